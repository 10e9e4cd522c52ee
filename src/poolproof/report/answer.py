"""The top of an audit's page: how bent, and whether affine equations can have made it, in one picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from .. import _names as names

N_REGULATORS = 5
"""Regulators that are named as the most and the least bent."""
N_LEVELS = 8
"""Levels that are shown; more are in the table by level."""
WIDTH = 300
"""Steps of the scale."""
Row = dict[str, Any]


def answer_of(verdict: Mapping[str, Any], population: pd.DataFrame | None, genes: pd.DataFrame) -> Row | None:
    """What the top of the page shows; None for an audit that measured no bend share.

    Parameters
    ----------
    verdict
        Content of verdict.json.
    population
        Content of population.parquet, if there is one.
    genes
        Content of genes.parquet: for symbols.
    """
    share = verdict.get("population")
    if share is None or share["low"] is None:
        return None
    groups = [(title, rows) for title, rows in _groups(verdict, share) if rows]
    top = _top([row for _, rows in groups for row in rows], verdict["linearity"]["margin"])
    for _, rows in groups:
        for row in rows:
            row |= _places(row, top)
    symbols = dict(zip(genes["gene"], genes["symbol"], strict=True))
    return {
        "share": share,
        "groups": groups,
        "top": top,
        "margin": _place(verdict["linearity"]["margin"], top),
        "regulators": {} if population is None else _regulators(population, symbols),
    }


def _groups(verdict: Mapping[str, Any], share: Mapping[str, Any]) -> Iterator[tuple[str, list[Row]]]:
    given = share["set"] == names.GIVEN_PAIRS
    yield "", [_row("Pairs given" if given else "All pairs of genes", share, "main"), *_beside(verdict)]
    yield "Parts", [*_parts(share)]
    levels = list(share["levels"].items())
    yield "By level", [*_levels(levels)] if len(levels) > 1 else []
    variants = verdict.get("sensitivity") or []
    yield (
        "With what is technical varied, in some of the genes",
        [_alone(of["variant"], of["bend_share"], "part") | {"as_given": of["as_given"]} for of in variants],
    )
    strength = [_row(f"r² {name}", of, "part") for name, of in share["strength"].items()]
    yield "By strength (r² in the other half of the samples)", strength


def _levels(levels: list[tuple[str, Mapping[str, Any]]]) -> Iterator[Row]:
    """Levels with a bend share, as many as fit, and how many others there are."""
    known = [(name, of) for name, of in levels if of["bend_share"] is not None]
    for name, of in known[:N_LEVELS]:
        yield _row(name, of, "level")
    n = len(levels) - len(known)
    if n:
        yield _alone(f"{n} other{'s' * (n > 1)}: genes explain too little of each other", None, "part")


def _alone(label: str, estimate: float | None, kind: str) -> Row:
    """A row without an interval."""
    return {"label": label, "estimate": estimate, "low": None, "high": None, "kind": kind}


def _beside(verdict: Mapping[str, Any]) -> Iterator[Row]:
    """What the share is held against."""
    floor = verdict.get("floor")
    if floor is not None and floor["decided"]:
        genes = f"{floor['n_genes']:,} of the genes"
        yield _alone(f"All pairs of {genes}", floor["bend_share"], "part")
        label = f"Made by affine equations with common causes, {genes}"
        yield _alone(label, floor["floor"], "floor")
    control = verdict["linearity"]["control"]
    if control is not None and control.get("bend_share"):
        yield {"label": "Counts split in two (affine)", "kind": "control", **control["bend_share"]}


def _parts(share: Mapping[str, Any]) -> Iterator[Row]:
    for part, label in (
        ("better_direction", "In the less bent direction"),
        ("direct", "Direct pairs: no third gene closer to both"),
        ("direct_better_direction", "Direct pairs, less bent direction"),
    ):
        if share[part] is not None:
            yield _row(label, share[part], "part")


def _row(label: str, of: Mapping[str, Any], kind: str) -> Row:
    return {"label": label, "estimate": of["bend_share"], "low": of["low"], "high": of["high"], "kind": kind}


def _top(rows: list[Row], margin: float) -> float:
    """End of the scale: what the estimates and the main interval need, in steps of 10 %."""
    known = [row["estimate"] for row in rows if row["estimate"] is not None]
    known += [row["high"] for row in rows if row["kind"] == "main"]
    return min(max(round(max(known) * 10 + 0.9999) // 1, 3) / 10, 1.0) if known else 3 * margin


def _places(row: Row, top: float) -> dict[str, float | None]:
    return {
        f"at_{of}": None if row[of] is None else _place(row[of], top) for of in ("estimate", "low", "high")
    }


def _place(value: float, top: float) -> float:
    return round(WIDTH * min(max(value / top, 0.0), 1.0), 1)


def _regulators(population: pd.DataFrame, symbols: Mapping[str, str]) -> dict[str, list[Row]]:
    """The regulators that are surely the most and the least bent."""
    rows = population[(population["set"].astype(str) == "regulator") & (population["status"] == names.OK)]
    if len(rows) < 2 * N_REGULATORS:
        return {}
    ends = {
        "most": rows.sort_values(["low", "name"], ascending=[False, True]).head(N_REGULATORS),
        "least": rows.sort_values(["high", "name"]).head(N_REGULATORS),
    }
    columns = ["name", "bend_share", "low", "high"]
    return {
        end: [
            {"gene": symbols.get(name, name), "estimate": share, "low": low, "high": high}
            for name, share, low, high in table[columns].to_numpy().tolist()
        ]
        for end, table in ends.items()
    }
