"""Functions of parents with few values, judged by decision diagrams, not row by row (method 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, islice, product

import sympy

from ..models.diagrams import Choice, Diagrams, TooLargeError, diagrams_of
from ..models.mechanisms import Equation, Kernel
from ..models.support import Support

FROM_PARENTS = 5
"""Parents from which diagrams take the place of algebra."""
MOST_POOLS = 60
"""Pairs of pools that are tried as a witness."""

Value = Mapping[str, float]
Told = tuple[Diagrams, int]


def diagram_of(mechanism: Equation | Kernel, supports: Mapping[str, Support]) -> Told | None:
    """The diagram of a deterministic function of many parents with few values; None for anything else."""
    if isinstance(mechanism, Kernel) or mechanism.noise is not None or len(mechanism.parents) < FROM_PARENTS:
        return None
    return diagram_of_formula(mechanism.expression.sympy, {p: supports[p] for p in mechanism.parents})


def diagram_of_formula(formula: sympy.Expr, supports: Mapping[str, Support]) -> Told | None:
    """The diagram of a formula of variables with few values; None where there is none."""
    return _diagram(formula, tuple(supports.items()))


@lru_cache(maxsize=64)
def _diagram(expression: sympy.Expr, supports: tuple[tuple[str, Support], ...]) -> Told | None:
    table = diagrams_of(dict(supports))
    try:
        return None if table is None else (table, table.of(expression))
    except TooLargeError:
        return None


def steps_of_parent(told: Told, parent: str) -> list[sympy.Expr] | None:
    """What each value of a parent adds, exactly; None where that depends on the other parents."""
    table, node = told
    steps = [table.value(table.step(node, parent, i)) for i in range(len(table.values[parent]))]
    return [_exact(step) for step in steps if step is not None] if None not in steps else None


def slope_of_parent(told: Told, parent: str) -> sympy.Expr | None:
    """The number that a parent is multiplied by; None where there is none."""
    table, node = told
    values = table.values[parent]
    slopes = set()
    for i in range(1, len(values)):
        step = table.value(table.step(node, parent, i))
        if step is None:
            return None
        slopes.add(step / (values[i] - values[0]))
    return _exact(slopes.pop()) if len(slopes) == 1 else sympy.Integer(0) if not slopes else None


def _exact(value: Fraction) -> sympy.Expr:
    return sympy.Rational(value.numerator, value.denominator)


def trading_pools(told: Told) -> Iterator[list[list[dict[str, float]]]]:
    """Pairs of pools of two cells that trade the values of one parent, and whose children differ in sum.

    There are none iff each parent adds the same whatever the others are: f(a', b') - f(a, b') - f(a', b) +
    f(a, b) is 0 for any two parents and any values of the others.
    """
    yield from islice(_trading_pools(*told), MOST_POOLS)


def _trading_pools(table: Diagrams, node: int) -> Iterator[list[list[dict[str, float]]]]:
    for one, two in combinations(table.names(node), 2):
        for i, j in product(range(1, len(table.values[one])), range(1, len(table.values[two]))):
            mixed = table.step(table.step(node, one, i), two, j)
            for others in table.ways_other_than(mixed, Fraction(0)):
                yield _pools(table, others, (one, i), (two, j))


def _pools(
    table: Diagrams, others: Choice, one: tuple[str, int], two: tuple[str, int]
) -> list[list[dict[str, float]]]:
    base = {name: float(values[0]) for name, values in table.values.items()}
    base |= {name: float(table.values[name][i]) for name, i in others}
    (a, i), (b, j) = one, two
    low = {a: float(table.values[a][0]), b: float(table.values[b][0])}
    high = {a: float(table.values[a][i]), b: float(table.values[b][j])}
    return [
        [base | high, base | low],
        [base | {a: high[a], b: low[b]}, base | {a: low[a], b: high[b]}],
    ]
