"""Which triples to judge: middle genes by name, by number or all; or a list of triples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from .._checks import InputError, printable
from .._random import stream
from ..data.expression import Expression
from ..data.matching import match_genes, table_of


def middle_genes(
    expression: Expression, middle: Sequence[str] | int | None
) -> tuple[np.ndarray | int | None, tuple[str, ...]]:
    """Positions of middle genes, or how many to draw; and what was said about them."""
    if middle is None:
        return None, ()
    if isinstance(middle, (int, np.integer)) and not isinstance(middle, bool):
        if middle < 1:
            raise InputError(f"expected at least 1 middle gene; found {middle}")
        return int(middle), ()
    if isinstance(middle, str) or not isinstance(middle, Iterable):
        raise InputError(f"expected a list of middle genes, or how many; found {printable(middle)!r}")
    found = match_genes(list(middle), expression.genes, expression.symbols, what="middle genes")
    return found.genes, (found.sentence,)


def draw_middle(
    possible: np.ndarray, chosen: np.ndarray | int | None, place: np.ndarray, seed: int
) -> np.ndarray:
    """Middle genes to screen, rising; ``possible`` are places in the order of names."""
    if chosen is None:
        return possible
    if isinstance(chosen, (int, np.integer)):
        n = min(int(chosen), len(possible))
        return np.sort(stream(seed, "middle genes").choice(possible, size=n, replace=False))
    return np.intersect1d(possible, place[chosen])


def triple_positions(
    expression: Expression, triples: pd.DataFrame | Sequence[tuple[str, str, str]]
) -> tuple[np.ndarray, str]:
    """Positions of the genes of listed triples, shape ``(N, 3)``, and what was left out."""
    triples = table_of(triples, ("x", "y", "z"), "triples")
    if any(list(triples).count(column) != 1 for column in "xyz"):
        found = ", ".join(printable(column, 40) for column in list(triples)[:8]) or "no columns"
        raise InputError(f"triples need the columns x, y (the middle gene) and z; found {found}")
    place = {gene: i for i, gene in reversed(list(enumerate(expression.genes)))}
    for i, symbol in enumerate(expression.symbols):
        place.setdefault(symbol, i)
    at = np.array([[place.get(str(gene), -1) for gene in triples[c]] for c in "xyz"], dtype=np.int64).T
    at = at.reshape(-1, 3)
    sound = (at >= 0).all(axis=1)
    sound &= (at[:, 0] != at[:, 1]) & (at[:, 1] != at[:, 2]) & (at[:, 0] != at[:, 2])
    if not sound.any():
        raise InputError(
            f"expected triples of three genes of the data; found none among {len(triples):,}; check the names"
        )
    left_out = int((~sound).sum())
    return at[
        sound
    ], f"{int(sound.sum()):,} triples judged, {left_out:,} left out: a gene unknown or repeated"
