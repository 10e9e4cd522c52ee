"""What a report says of pooling: what survives it, what is lost, what cannot be told, and by which edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .. import _names as names
from .tables import csv_address, symbols_of

N_EXAMPLES = 5
"""Pairs, and triples, that a card names."""
N_IN_CSV = 200
"""Rows of the CSV of a card."""
N_MIDDLE = 200
"""Rows of the table of middle genes."""
N_REASONS = 20
"""Reasons for the statuses of edges that are listed."""
PAIR_COLUMNS = (
    "regulator",
    "target",
    "call",
    "r2_spline",
    "nonlinear_share",
    "nonlinear_share_upper",
    "q_value",
)
TRIPLE_COLUMNS = ("x", "y", "z", "call", "correlation", "partial_spline", "partial_linear", "q_value")

CARDS = (
    ("survives", "affine", "survive", (names.AFFINE,), (names.KEPT, names.DEPENDENT)),
    ("lost", "nonlinear", "lost", (names.NONLINEAR,), (names.DISTORTED, names.HIDDEN)),
    ("unknown", "inconclusive", "undetermined", (names.INCONCLUSIVE,), (names.UNDETERMINED,)),
)
"""Each card: its name, its counts of pairs and of triples in verdict.json, and its calls of both."""
TITLES = {
    ("survives", "single-cell"): "Survives",
    ("survives", "bulk"): "Not contradicted",
    ("lost", "single-cell"): "Lost",
    ("lost", "bulk"): "Lost",
    ("unknown", "single-cell"): "Cannot be told",
    ("unknown", "bulk"): "Cannot be told",
}
PAIR_SENTENCES = {
    ("survives", "single-cell"): "Affine by equivalence: a pool shows the line of its cells.",
    ("survives", "bulk"): (
        "Affine by equivalence among these pools: nothing speaks against a line in their cells, and nothing "
        "proves it."
    ),
    ("lost", "single-cell"): "Non-linear: the curve that pools show is not that of their cells.",
    ("lost", "bulk"): (
        "Non-linear among these pools: affine cells would not bend, unless composition or differences "
        "between samples bend them."
    ),
    ("unknown", "single-cell"): "Associated, but these cells show neither a bend nor a line.",
    ("unknown", "bulk"): "Associated, but these samples show neither a bend nor a line.",
}
TRIPLE_SENTENCES = {
    ("survives", "single-cell"): (
        "Two genes are separated by a third, or are not, and pools say the same as the cells."
    ),
    ("survives", "bulk"): (
        "A line in the middle gene says the same as the curve that these pools show: no distortion is seen. "
        "What their cells do, bulk cannot say."
    ),
    ("lost", "single-cell"): "Pools show an edge that the cells have not, or hide one that they have.",
    ("lost", "bulk"): (
        "By the curves that these pools show, a line in the middle gene shows an edge that is not there, or "
        "hides one that is: a graph read from partial correlations is distorted here."
    ),
    ("unknown", "single-cell"): "Too uncertain with these cells.",
    ("unknown", "bulk"): "Too uncertain with these samples.",
}
REGIMES = {
    "within": "cells with the same {labels} in each pool",
    "mixed": "labels ignored",
    "between": "one pool of each donor (pseudobulk), where donors add their differences",
}
"""What a pool holds, by regime; ``labels`` are the columns of ``within`` and ``replicate``."""
CURVE_CAPTIONS = {
    "share_nonlinear": (
        "Non-linear pairs",
        "How many associated pairs are seen to bend. Where it falls, pools hide the curves of their cells.",
    ),
    "share_affine": (
        "Affine pairs",
        "How many associated pairs are shown to be straight: pools look straighter than cells.",
    ),
    "n_associated": ("Associated pairs", "How many ordered pairs are found associated at all."),
    "partial_linear": (
        "Given a line",
        "The typical partial correlation of the distorted triples, given a line in the middle gene. It "
        "should stay.",
    ),
    "partial_spline": (
        "Given a curve",
        "The same given a curve: near 0 in single cells, and in larger pools it drifts towards that given a "
        "line. The drift is the false edge.",
    ),
    "skewness": (
        "Skewness",
        "Of a typical gene: sums of many cells become symmetric. Few pools miss the rare cells that make "
        "long tails, so marks may lie below the prediction.",
    ),
    "excess_kurtosis": ("Excess kurtosis", "Of a typical gene: 0 is that of a Gaussian."),
    "skeleton_edges": ("Edges of the skeleton", "Pairs of genes that no single other gene separates."),
    "skeleton_changed": (
        "Edges changed",
        "Share of the skeleton's edges that differ from those of single cells; two drawings of single cells "
        "differ as well.",
    ),
}
"""Title and caption of the picture of each measure."""


def regime_words(data: Mapping[str, Any]) -> dict[str, str]:
    """What a pool holds, by regime; ``data`` is that entry of verdict.json.

    Examples
    --------
    >>> regime_words({"within": ["cell_type"], "replicate": "donor"})["within"]
    'cells with the same cell_type and donor in each pool'
    """
    labels = [*(data["within"] or ()), *([data["replicate"]] if data["replicate"] else ())]
    return {regime: words.replace("{labels}", " and ".join(labels)) for regime, words in REGIMES.items()}


def survival_cards(
    verdict: Mapping[str, Any], pairs: pd.DataFrame, triples: pd.DataFrame | None, genes: pd.DataFrame
) -> list[dict[str, Any]]:
    """Return the three cards: what survives, what is lost, what cannot be told; none for an old audit.

    Parameters
    ----------
    verdict
        Content of verdict.json.
    pairs
        The strongest pairs, strongest first.
    triples
        Listed triples, or None.
    genes
        Names and symbols.
    """
    counts = verdict.get("survives")
    if counts is None:
        return []
    kind, symbols = verdict["data"]["kind"], symbols_of(genes)
    cards = []
    for name, of_pairs, of_triples, pair_calls, triple_calls in CARDS:
        parts = []
        n = counts[f"n_pairs_{of_pairs}"]
        found = pairs[pairs["call"].isin(pair_calls)]
        examples = [
            {"genes": [_symbol(row, end, symbols) for end in ("regulator", "target")], "r2": row["r2_spline"]}
            for row in found.head(N_EXAMPLES).to_dict("records")
        ]
        parts.append(_part("pair", name, n, PAIR_SENTENCES[name, kind], examples, found, PAIR_COLUMNS))
        n = counts[f"n_triples_{of_triples}"]
        if n is not None:
            found = _listed(triples, triple_calls)
            examples = [
                {
                    "genes": [_symbol(row, end, symbols) for end in ("x", "z", "y")],
                    "cells": row["partial_spline"],
                    "pools": row["partial_linear"],
                }
                for row in found.head(N_EXAMPLES).to_dict("records")
            ]
            parts.append(
                _part("triple", name, n, TRIPLE_SENTENCES[name, kind], examples, found, TRIPLE_COLUMNS)
            )
        cards.append({"name": name, "title": TITLES[name, kind], "parts": parts})
    return cards


def _part(
    what: str,
    card: str,
    n: int,
    sentence: str,
    examples: list[dict[str, Any]],
    found: pd.DataFrame,
    columns: tuple[str, ...],
) -> dict[str, Any]:
    csv = csv_address(found[list(columns)].head(N_IN_CSV)) if len(found) else None
    return {
        "what": what,
        "n": n,
        "sentence": sentence,
        "examples": examples,
        "csv": csv,
        "file": f"{card}_{what}s.csv",
        "n_csv": min(len(found), N_IN_CSV),
    }


def _symbol(row: Mapping[Any, Any], end: str, symbols: Mapping[str, str]) -> str:
    return symbols.get(row[end], row[end])


def _listed(triples: pd.DataFrame | None, calls: tuple[str, ...]) -> pd.DataFrame:
    """Listed triples of some calls, taken in turn, so that the first ones show each; none beyond 1."""
    if triples is None:
        return pd.DataFrame({column: [] for column in TRIPLE_COLUMNS})
    sound = (triples[["partial_linear", "partial_spline"]].abs() <= 1).all(axis=1)  # counts: not always
    found = triples[triples["call"].isin(calls) & sound]
    turn = found.groupby(found["call"].astype(str)).cumcount()
    return found.assign(_turn=turn).sort_values("_turn", kind="stable").drop(columns="_turn")


def middle_genes(triple_genes: pd.DataFrame | None) -> pd.DataFrame | None:
    """Middle genes with most distorted and hidden triples first; at most `N_MIDDLE`."""
    if triple_genes is None:
        return None
    table = triple_genes[triple_genes["n_screened"] > 0]
    table = table.assign(_changed=table["n_distorted"] + table["n_hidden"])
    order = ["_changed", "n_screened", "gene"]
    return table.sort_values(order, ascending=[False, False, True]).head(N_MIDDLE).drop(columns="_changed")


def told_first(separations: pd.DataFrame | None) -> pd.DataFrame | None:
    """Separations by call, distorted and hidden ones first, each call with the strongest first."""
    if separations is None:
        return None
    calls = (names.DISTORTED, names.HIDDEN, names.DEPENDENT, names.KEPT, names.UNDETERMINED)
    order = separations["call"].astype(object).map({call: i for i, call in enumerate(calls)})
    strength = separations[["partial_linear", "partial_spline"]].abs().max(axis=1)
    table = separations.assign(_call=order, _strength=strength)
    columns = ["_call", "_strength"]
    return table.sort_values(columns, ascending=[True, False], kind="stable").drop(columns=columns)


def edge_reasons(edges: pd.DataFrame | None) -> list[tuple[str, str, int]]:
    """Status, reason and number of edges with both, frequent ones first."""
    if edges is None or not {"pool_status", "pool_reason"} <= set(edges.columns):
        return []
    both = edges[["pool_status", "pool_reason"]].astype(str)
    counted = both.value_counts().reset_index(name="n").head(N_REASONS)
    return list(zip(counted["pool_status"], counted["pool_reason"], counted["n"].tolist(), strict=True))
