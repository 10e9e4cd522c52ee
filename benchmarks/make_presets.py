"""Measure the presets of `poolproof plan --like` from data sets of the registry.

    python benchmarks/make_presets.py FOLDER

FOLDER holds the h5ad files by the names of the registry. Writes src/poolproof/planning/presets.json.
"""

import json
import sys
from pathlib import Path

import anndata

from poolproof.data.datasets import dataset_info, usable
from poolproof.data.expression import describe
from poolproof.planning.pilot import measure_pilot
from poolproof.planning.presets import FILE, entry_of

DONORS = {"sc_kang_pbmc_8donors": "donor", "sc_onek1k_pbmc_40donors": "donor"}
TYPES = {
    "sc_kang_pbmc_8donors": ["cell_type"],
    "sc_onek1k_pbmc_40donors": ["cell_type"],
    "sc_mixology_10x_3lines": ["cell_line"],
    "sc_papalexi_thp1_crispr": [],
}


def main() -> None:
    """Measure and write."""
    kept = {}
    for name, within in TYPES.items():
        adata = anndata.read_h5ad(Path(sys.argv[1]) / f"{name}.h5ad")
        adata = usable(adata, dataset_info(name))
        pilot = measure_pilot(describe(adata), adata.obs, within=within, replicate=DONORS.get(name))
        kept[name] = entry_of(pilot.system, pilot.error_factor) | {"source": name}
        print(name, pilot.system.bend_share)
    place = Path(__file__).parents[1] / "src" / "poolproof" / "planning" / FILE
    place.write_text(json.dumps(kept, indent=1).replace("\n   ", " ") + "\n")


if __name__ == "__main__":
    main()
