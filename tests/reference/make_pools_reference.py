"""Make the frozen pools: made-up cells, pooled by scanpy and decoupler.

    python tests/reference/make_pools_reference.py

Needs scanpy and decoupler, in an environment of its own; not poolproof. The tests need neither.
"""

from importlib.metadata import version
from pathlib import Path

import decoupler
import numpy as np
import pandas as pd
import scanpy
import scipy.sparse as sp
from anndata import AnnData

HERE = Path(__file__).resolve().parent
GENES = [f"g{j}" for j in range(8)]
BY = ["donor", "cell_type"]


def made_up_cells() -> pd.DataFrame:
    """60 cells; some without a label; the mask excludes about half of each group."""
    rng = np.random.default_rng(20240607)
    n = 60
    cells = pd.DataFrame(rng.poisson(rng.gamma(0.7, 3.0, (n, len(GENES)))), columns=GENES)
    cells.insert(0, "cell", [f"c{i:02d}" for i in rng.permutation(n)])
    cells["donor"] = rng.choice(["d1", "d2", "d3"], n)
    cells["cell_type"] = rng.choice(["B", "T_naive"], n)
    cells["sex"] = cells["donor"].map({"d1": "f", "d2": "m", "d3": "f"})
    cells["used"] = rng.random(n) < 0.5
    cells.loc[rng.choice(n, 6, replace=False), "donor"] = np.nan
    cells.loc[rng.choice(n, 6, replace=False), "cell_type"] = np.nan
    return cells


def to_anndata(cells: pd.DataFrame) -> AnnData:
    obs = cells.set_index("cell")[[*BY, "sex", "used"]].astype(dict.fromkeys([*BY, "sex"], "category"))
    values = sp.csr_matrix(cells[GENES].to_numpy(dtype=np.float32))
    return AnnData(values, obs=obs, var=pd.DataFrame(index=GENES))


def scanpy_pools(adata: AnnData, how: str, mask: str | None) -> pd.DataFrame:
    found = scanpy.get.aggregate(adata, by=BY, func=[how], mask=mask)
    values = found.layers[how]
    return pd.DataFrame(
        values.toarray() if sp.issparse(values) else values, index=found.obs_names, columns=GENES
    )


def decoupler_pools(adata: AnnData, how: str) -> pd.DataFrame:
    found = decoupler.pp.pseudobulk(
        adata, sample_col="donor", groups_col="cell_type", mode=how, skip_checks=True
    )
    table = pd.DataFrame(np.asarray(found.X), index=found.obs_names, columns=GENES)
    return table.join(found.obs[["psbulk_cells", "psbulk_counts", "sex"]])


def main() -> None:
    cells = made_up_cells()
    cells.to_csv(HERE / "pools_cells.csv", index=False)
    # Neither tool leaves out cells without a label: scanpy stops or puts them elsewhere, decoupler stops.
    adata = to_anndata(cells.dropna())
    used = adata[adata.obs["used"]].copy()
    tables = []
    for how in ("sum", "mean", "median"):
        tables.append(scanpy_pools(adata, how, None).assign(tool="scanpy", aggregation=how, mask=False))
        tables.append(decoupler_pools(adata, how).assign(tool="decoupler", aggregation=how, mask=False))
        tables.append(decoupler_pools(used, how).assign(tool="decoupler", aggregation=how, mask=True))
    # With a mask scanpy's mean divides by the excluded cells too, and its median keeps them: sums only.
    tables.append(scanpy_pools(adata, "sum", "used").assign(tool="scanpy", aggregation="sum", mask=True))
    expected = pd.concat(tables).rename_axis("pool").reset_index()
    expected.to_csv(HERE / "pools_expected.csv", index=False, float_format="%.17g")
    print({name: version(name) for name in ("scanpy", "decoupler", "anndata", "numpy", "scipy")})


if __name__ == "__main__":
    main()
