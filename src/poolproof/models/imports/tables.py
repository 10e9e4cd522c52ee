"""Tables of conditional probabilities, or of other numbers, as formulas of the states of parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np

from ..._checks import InputError, printable
from ..diagrams import Diagrams, TooLargeError
from ..expressions import Formula
from ..laws import make_law
from ..mechanisms import CategoricalKernel, Mechanism, parse_equation

MAX_ROWS = 1_000
"""Rows of a table that are read."""
MAX_LEVELS = 12
"""States of a parent up to which a polynomial goes through all of them."""
MAX_APART = 0.02
"""How far the probabilities of a row may be from a sum of 1: files round them."""


@dataclass(frozen=True)
class Table:
    """A variable given its parents: for each of their states, by number, the probabilities of its own."""

    parents: tuple[str, ...]
    n_levels: tuple[int, ...]
    rows: Mapping[tuple[int, ...], Sequence[float]]
    default: Sequence[float] | None = None
    line: int = 0


def table_mechanism(name: str, table: Table, file: str) -> Mechanism:
    """The categorical kernel of a table, or the law of a root.

    Raises
    ------
    InputError
        It is too large, or a row does not sum to 1.
    """
    where = f"{file} line {table.line}" if table.line else f"{file}: {printable(name, 40)}"
    numbers = _probabilities(table, where)
    if not table.parents:
        shares = {str(v): float(p) for v, p in enumerate(numbers) if p > 0}
        if len(shares) == 1:
            return parse_equation(None, make_law("constant", float(next(iter(shares)))), ())
        return parse_equation(None, make_law("discrete", {float(v): p for v, p in shares.items()}), ())
    formulas = [
        column_formula(table.parents, table.n_levels, numbers[..., k], where)
        for k in range(1, numbers.shape[-1])
    ]
    return CategoricalKernel(tuple(formulas))


def column_formula(
    parents: Sequence[str], n_levels: Sequence[int], column: np.ndarray, where: str
) -> Formula:
    """The formula that has a number for each combination of states.

    Raises
    ------
    InputError
        There are too many combinations, or states of one parent.
    """
    check_size(n_levels, where)
    diagrams = Diagrams({p: [Fraction(v) for v in range(n)] for p, n in zip(parents, n_levels, strict=True)})
    try:
        node = diagrams.table(parents, column)
        return Formula(diagrams.text(node), diagrams.expression(node))
    except TooLargeError:
        raise InputError(f"{where}: the table is too large") from None


def check_size(n_levels: Sequence[int], where: str) -> None:
    """Raise InputError if a table has too many rows, or a parent too many states."""
    if prod(n_levels) > MAX_ROWS or max(n_levels, default=0) > MAX_LEVELS:
        raise InputError(
            f"{where}: a table of {prod(n_levels):,} rows, with up to {max(n_levels)} states of a parent; up "
            f"to {MAX_ROWS:,} rows and {MAX_LEVELS} states are read"
        )


def _probabilities(table: Table, where: str) -> np.ndarray:
    """Probabilities, an axis for each parent and one for the own states; each row sums to 1."""
    check_size(table.n_levels, where)
    given = next(iter(table.rows.values()), table.default)
    if given is None:
        raise InputError(f"{where}: no probabilities")
    numbers = np.empty((*table.n_levels, len(given)))
    for key in np.ndindex(*table.n_levels):
        row = table.rows.get(tuple(key), table.default)
        numbers[key] = np.nan if row is None else row
    total = numbers.sum(axis=-1, keepdims=True)
    if not np.all(np.abs(total - 1) <= MAX_APART):
        raise InputError(
            f"{where}: a row of probabilities sums to {float(total.flat[np.argmax(np.abs(total - 1))]):g}"
        )
    return np.asarray(numbers / total)
