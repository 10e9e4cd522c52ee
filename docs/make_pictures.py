"""Draw the pictures of the README and of the tutorials from the embedded data, in half a minute.

``python docs/make_pictures.py`` writes ``docs/figures/*.svg`` and ``pictures.json``, the facts that a test
compares with what the data say now.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

import poolproof
from poolproof import plot

FOLDER = Path(__file__).resolve().parent / "figures"
RC = {"svg.hashsalt": "poolproof", "font.size": 8.5, "axes.titlesize": 9, "legend.fontsize": 8}


def main() -> int:
    """Write every picture and the facts."""
    FOLDER.mkdir(exist_ok=True)
    with mpl.rc_context(RC):
        drawn = {"pairs": pairs_of_cells(), "medium": medium_of_bulk()}
        for name, (figure, _) in drawn.items():
            figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
    facts = {name: said for name, (_, said) in drawn.items()}
    (FOLDER / "pictures.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


def pairs_of_cells() -> tuple[Figure, dict[str, Any]]:
    """The strongest pair that is called affine, and the strongest that is called non-linear."""
    cells = poolproof.load_dataset("sc_mixology_10x_3lines")
    cells = cells[:, cells.to_df().mean() >= 5]
    result = poolproof.audit(cells, within="cell_line", gene_column="symbol", triples="none", curves="none")
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    said = {}
    for ax, call in zip(figure.subplots(1, 2), ("affine", "nonlinear"), strict=True):
        mine = result.table[result.table["call"] == call].sort_values("r2_spline").iloc[-1]
        plot.pair(result, mine["regulator"], mine["target"], ax=ax)
        said[call] = [ax.get_xlabel().split("\n")[0], ax.get_ylabel().split("\n")[0], ax.get_title()]
    return figure, said


def medium_of_bulk() -> tuple[Figure, dict[str, Any]]:
    """Bends of bulk pairs, before and after what is known of the samples is taken out."""
    bulk = poolproof.load_dataset("bulk_saureus_imodulon")
    bulk = bulk[:, bulk.var["cog"] == "Nucleotide transport and metabolism"]
    steps: dict[str, dict[str, Any]] = {
        "within a reference": {},
        "and the medium taken out": {"covariates": ["base-media"]},
    }
    values = {"kind": "bulk", "scale": "log", "log_base": 2, "log_offset": 0, "within": "reference"}
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    said = {}
    for ax, (title, options) in zip(figure.subplots(1, 2), steps.items(), strict=True):
        result = poolproof.audit(bulk, triples="none", **values, **options)
        plot.share_against_r2(result, ax=ax)
        ax.set_title(title, pad=22)
        said[title] = [result.verdict, {of: int(n) for of, n in result.table["call"].value_counts().items()}]
    return figure, said


if __name__ == "__main__":
    sys.exit(main())
