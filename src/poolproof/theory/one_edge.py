"""Does the law of a pooled child depend on its parents' cells only through their sums (method 3)?

It does, for cells independent given the parents' cells and equal weights, iff log E[exp(iuX) | parents] is
affine in the parents on their support. Asked of each parent p: log E[...] = a(u) p + b(u, other parents),
so that several parents may pass one by one, and those that do not stand in for their cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

import numpy as np
import sympy

from ..aggregation import Aggregation
from ..models.algebra import NOISE, exact_value, gene_symbol
from ..models.mechanisms import Equation, Kernel
from ..models.support import Support, exact_number
from .axis import constant_derivative, on_axis, unequal_weights
from .by_diagram import diagram_of, slope_of_parent, steps_of_parent
from .coincidence import affine_rest, bends_of, smallest_coincidence, weighted_coincidence
from .conditional_law import (
    constant_or_not,
    cumulant_gap,
    has_affine_mean,
    has_no_constant,
    law_given_parents,
    supports_on_axis,
)

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
CLEARLY_BENT = 1e-3
"""Relative departure of a conditional cumulant from affine that is no error of integration."""
CLEARLY = 1e6
"""Times the size of rounding: from here on a difference between laws is none of rounding or integration."""
MOST_ROUNDING = 1e-10
"""Rounding of a characteristic function beyond which nothing is read off it."""
MOST_VALUES = 200
"""Values of a parent that are tried where others matter too; and combinations of those."""
MAX_CELLS = 20_000
"""Cells whose law is worked out at once."""


@dataclass(frozen=True)
class Edge:
    """One parent of one gene."""

    status: str
    """``pass``, ``fail`` or ``unknown``."""
    rule: str
    any_weights: bool = False
    """Whether it passes under unequal weights of cells too."""
    any_cells: bool = True
    """Whether it passes at every number of cells."""
    any_law: bool = True
    """Whether it passes for all laws of the other genes on the same supports."""


@dataclass(frozen=True)
class Family:
    """A gene given its parents."""

    edges: Mapping[str, Edge]
    no_constant: bool
    """Nothing of the pooled gene grows with the number of cells but what its parents' sums bring."""
    mean_affine: bool | None
    """Whether its conditional mean is affine in all parents jointly; None where that is open."""
    free_parents: bool = True
    """Whether any values of the parents inside their supports occur together."""
    differs_by_type: bool = False
    """Whether the cell types have different mechanisms for it."""


def judge_family(
    mechanisms: Sequence[Equation | Kernel],
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    n_cells: int,
) -> Family:
    """Judge a gene whose mechanism may differ between cell types.

    Parameters
    ----------
    mechanisms
        One for each cell type; one if there are no types. Types may share one.
    supports
        Of all genes.
    aggregation
        Linear, quasi-arithmetic or a map of one of them.
    n_cells
        Largest number of cells in a pool.
    """
    linear = aggregation.inner or aggregation
    mechanisms = [m for i, m in enumerate(mechanisms) if m not in mechanisms[:i]]
    slopes = [_slopes(m, supports, linear) for m in mechanisms]
    parents = dict.fromkeys(p for m in mechanisms for p in m.parents)
    edges = {
        p: _judge_edge(mechanisms, p, [s.get(p) for s in slopes], supports, linear, n_cells) for p in parents
    }
    no_constant = all(has_no_constant(m, linear) for m in mechanisms)
    differs = len(mechanisms) > 1
    mean = None if differs else all(has_affine_mean(m, supports, linear) for m in mechanisms)
    return Family(edges, no_constant, mean, differs_by_type=differs)


@dataclass(frozen=True)
class Slope:
    """What a parent multiplies in the log characteristic function: (name of the term, coefficient)."""

    terms: tuple[tuple[str, sympy.Expr], ...]


def _judge_edge(
    mechanisms: Sequence[Equation | Kernel],
    parent: str,
    slopes: Sequence[Slope | bool | None],
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    n_cells: int,
) -> Edge:
    """Judge one parent from its slope in each mechanism, for the weights that cells have."""
    if all(isinstance(slope, Slope) for slope in slopes) and len(set(slopes)) == 1:
        edge = _passing(mechanisms[0])
    elif len(mechanisms) > 1:
        status = FAIL if all(slope is not None for slope in slopes) else UNKNOWN
        edge = Edge(status, "cell types have different coefficients")
    else:
        edge = _bent(mechanisms[0], parent, supports, aggregation, n_cells, slopes[0])
    weights = unequal_weights(aggregation)
    if weights is None or edge.any_weights:
        return edge
    return _under_weights(mechanisms, parent, supports, aggregation, weights, edge)


def _passing(mechanism: Equation | Kernel) -> Edge:
    if isinstance(mechanism, Kernel):
        natural = dict(mechanism.natural() or ())
        located = mechanism.law == "normal" and not natural["variance"].free_symbols
        return Edge(PASS, f"{mechanism.law} kernel, affine in its parent", any_weights=located)
    return Edge(PASS, "a multiple of the parent plus the rest", any_weights=True)


def _slopes(
    mechanism: Equation | Kernel, supports: Mapping[str, Support], aggregation: Aggregation
) -> dict[str, Slope | bool | None]:
    """Per parent: its constant slope, False where it has none, None where that is open."""
    told = diagram_of(mechanism, supports) if aggregation.axis is None else None
    if told is not None:
        slopes = {p: slope_of_parent(told, p) for p in mechanism.parents}
        return {p: False if s is None else Slope((("location", s),)) for p, s in slopes.items()}
    if isinstance(mechanism, Equation):
        equation = on_axis(mechanism, supports, aggregation, noise_too=False)
        found: dict[str, Slope | bool | None] = {}
        for symbol in equation.parents:
            derivative = constant_derivative(equation, symbol)
            found[symbol.name] = (
                Slope((("location", derivative),)) if isinstance(derivative, sympy.Expr) else derivative
            )
        return found
    if aggregation.kind != "linear":
        return dict.fromkeys(mechanism.parents)
    natural = mechanism.natural()
    if natural is None:
        return dict.fromkeys(mechanism.parents, False)
    found, known = {}, mechanism.symbol_supports(supports)
    for parent in mechanism.parents:
        symbol = gene_symbol(parent)
        terms = [(name, constant_or_not(sympy.diff(term, symbol), known)) for name, term in natural]
        constant = all(not d.free_symbols for _, d in terms)
        found[parent] = Slope(tuple(terms)) if constant else False
    return found


# --- parents without a constant slope -----------------------------------------------------------------------


def _bent(
    mechanism: Equation | Kernel,
    parent: str,
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    n_cells: int,
    slope: object,
) -> Edge:
    """Judge a parent that does not enter as a plain multiple."""
    of_kernel = isinstance(mechanism, Kernel) and aggregation.kind != "linear"  # its law on the axis is open
    if supports[parent].kind == "finite" and (not of_kernel or _is_alone_and_binary(mechanism, supports)):
        return _finite_parent(mechanism, parent, supports, aggregation, n_cells)
    if slope is False and _is_separable(mechanism, supports, aggregation):
        return Edge(FAIL, f"not affine in {parent}")
    gap = None if of_kernel else cumulant_gap(mechanism, parent, supports, aggregation)
    if gap is not None and gap > CLEARLY_BENT:
        return Edge(FAIL, f"a conditional cumulant is not affine in {parent}")
    return Edge(UNKNOWN, f"could not be decided for {parent}")


def _is_alone_and_binary(mechanism: Equation | Kernel, supports: Mapping[str, Support]) -> bool:
    """Tell whether the only parent has two values: its sum then tells all of its cells."""
    return len(mechanism.parents) == 1 and len(supports[mechanism.parents[0]].values) == 2


def _is_separable(
    mechanism: Equation | Kernel, supports: Mapping[str, Support], aggregation: Aggregation
) -> bool:
    """Tell whether the mechanism is a function of the parents plus independent noise, or a natural kernel:
    then a slope that is not constant is a refusal.
    """
    if isinstance(mechanism, Kernel):
        return mechanism.natural() is not None
    equation = on_axis(mechanism, supports, aggregation, noise_too=False)
    if equation.noise is None:
        return not any(equation.is_rough_in(v) for v in equation.parents)
    if any(equation.is_rough_in(v) for v in equation.variables):
        return False
    mixed = [sympy.diff(equation.expression, NOISE, v) for v in equation.parents]
    return all(sympy.simplify(m) == 0 for m in mixed)


def _finite_parent(
    mechanism: Equation | Kernel,
    parent: str,
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    n_cells: int,
) -> Edge:
    """On finitely many values the log characteristic function may be affine by lack of values between."""
    states = [(v,) for v in supports_on_axis(mechanism, supports, aggregation)[parent].values]
    try:
        bends = _bends_on_values(mechanism, parent, supports, aggregation)
        if isinstance(bends, Edge):
            return bends
        columns, rounding = bends
        if not np.any(columns):
            of_all_laws = isinstance(mechanism, Kernel) or _is_separable(mechanism, supports, aggregation)
            return Edge(PASS, f"affine on the values of {parent}", any_law=of_all_laws)
        found = smallest_coincidence(states, columns, max_cells=n_cells, rounding=rounding)
    except TimeoutError:
        return Edge(UNKNOWN, f"the values of {parent} could not be compared")
    if found is None:
        rule = f"no {n_cells} values of {parent} have the sum of {n_cells} others"
        return Edge(PASS, rule, any_cells=False, any_law=False)
    return Edge(FAIL, f"from {found.n_cells} cells, equal sums of {parent} give different laws")


def _bends_on_values(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> tuple[np.ndarray, float | None] | Edge:
    """What a parent adds to the law beyond an affine part, a row for each of its values, and its rounding.

    None for exact numbers; the answer itself where it shows without them.
    """
    states = [(v,) for v in supports_on_axis(mechanism, supports, aggregation)[parent].values]
    two_values = Edge(PASS, f"{parent} has two values")
    told = diagram_of(mechanism, supports) if aggregation.axis is None else None
    if told is not None:
        steps = steps_of_parent(told, parent)
        if steps is None:
            return Edge(FAIL, f"what {parent} adds depends on the other parents")
        return two_values if len(states) <= 2 else (bends_of(states, steps)[:, None], None)
    exact = _exact_steps(mechanism, parent, supports, aggregation)
    if exact is not None:
        if len(states) <= 2:
            return two_values
        return np.stack([bends_of(states, steps) for steps in exact], axis=1), None
    if _is_alone_and_binary(mechanism, supports):
        return two_values
    undecided = Edge(UNKNOWN, f"could not be decided for {parent}")
    if not _adds_apart(mechanism, parent, supports, aggregation):
        moves = _moved_by_others(mechanism, parent, supports, aggregation)
        return Edge(FAIL, f"what {parent} adds depends on the other parents") if moves else undecided
    if len(states) <= 2:
        return two_values
    columns, rounding = _bent_columns(mechanism, parent, supports, aggregation)
    return undecided if columns is None else (columns, rounding)


def _exact_steps(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> list[list[sympy.Expr]] | None:
    """What each value of a parent adds to the parameters that the law is exponential in, as exact numbers.

    None where it adds no such numbers: a noise that it stretches, another parent that changes them.
    """
    if isinstance(mechanism, Kernel):
        natural = mechanism.natural() if aggregation.kind == "linear" else None
        if natural is None:
            return None
        terms = [term for _, term in natural]
    else:
        terms = [on_axis(mechanism, supports, aggregation, noise_too=False).expression]
    symbol = gene_symbol(parent)
    values = supports_on_axis(mechanism, supports, aggregation)[parent].values
    found = []
    for term in terms:
        moving = sympy.expand(term).as_independent(symbol, as_Add=True)[1]
        if moving.free_symbols - {symbol}:
            moving = term.as_independent(symbol, as_Add=True)[1]
        if moving.free_symbols - {symbol}:
            return None
        found.append([exact_value(moving, {symbol: value}) for value in values])
    return found


def _adds_apart(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> bool:
    """Tell whether a parent surely adds the same to the log characteristic function, whatever the others are.

    By algebra: values of the others that lie between those one tries may do something else.
    """
    others = [gene_symbol(p) for p in mechanism.parents if p != parent]
    if not others:
        return True
    if isinstance(mechanism, Kernel):
        return False  # with natural parameters, `_exact_steps` has the answer
    equation = on_axis(mechanism, supports, aggregation, noise_too=False)
    symbol, values = gene_symbol(parent), equation.supports[gene_symbol(parent)].values
    if len(values) > MOST_VALUES:
        return False
    base = equation.expression.subs(symbol, values[0])
    steps = [sympy.expand(equation.expression.subs(symbol, value) - base) for value in values[1:]]
    steps = [sympy.simplify(step) if step.free_symbols & {*others} else step for step in steps]
    if any(step.free_symbols & {*others} for step in steps):
        return False
    some = {v: exact_number(float(equation.supports[v].sample_grid(3)[0])) for v in others}
    rest = sympy.expand(base - base.subs(some))
    return NOISE not in (sympy.simplify(rest) if NOISE in rest.free_symbols else rest).free_symbols


def _moved_by_others(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> bool:
    """Tell whether what a parent adds to the law clearly differs between values of the other parents."""
    of = supports_on_axis(mechanism, supports, aggregation)
    values = of[parent].floats
    others = [p for p in mechanism.parents if p != parent]
    tried = max(1, min(MOST_VALUES, MAX_CELLS // len(values)))
    rest = np.array(list(islice(product(*(of[p].sample_grid(4) for p in others)), tried)), dtype=float)
    cells = {p: np.repeat(rest[:, i], len(values)) for i, p in enumerate(others)}
    cells[parent] = np.tile(values, len(rest))
    mean, parts, rounding = law_given_parents(mechanism, supports, aggregation, cells)
    table = np.column_stack([mean, parts[0]]).reshape(len(rest), len(values), -1)
    steps = table - table[:, :1]
    return bool(np.abs(steps - steps[:1]).max() > CLEARLY * rounding)


def _bent_columns(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> tuple[np.ndarray | None, float]:
    """Parts of the log characteristic function that are clearly not affine in a parent, and their rounding.

    One column of zeros where none is; None where some may be.
    """
    of = supports_on_axis(mechanism, supports, aggregation)
    others = {p: float(of[p].sample_grid(3)[0]) for p in mechanism.parents if p != parent}
    values = of[parent].floats
    cells = {p: np.full(len(values), v) for p, v in others.items()} | {parent: values}
    mean, parts, rounding = law_given_parents(mechanism, supports, aggregation, cells)
    columns = np.column_stack([mean, parts[0]])
    left = np.abs(affine_rest(values[None], columns)).max(axis=0)
    if not np.isfinite(left).all() or rounding > MOST_ROUNDING:
        return None, rounding
    clear = left > CLEARLY * rounding
    if not clear.any():
        return (None if (left > rounding).any() else np.zeros((len(values), 1))), rounding
    order = np.argsort(-left, kind="stable")
    return columns[:, order[: min(int(clear.sum()), 8)]], rounding


def _under_weights(
    mechanisms: Sequence[Equation | Kernel],
    parent: str,
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    weights: tuple[float, ...],
    found: Edge,
) -> Edge:
    """Cells of unequal weights keep a multiple of the parent plus noise, and what their sums tell apart."""
    if supports[parent].kind == "finite" and len(mechanisms) == 1 and mechanisms[0].parents == (parent,):
        support = supports_on_axis(mechanisms[0], supports, aggregation)[parent]
        cells = {parent: support.floats}
        mean, parts, rounding = law_given_parents(mechanisms[0], supports, aggregation, cells, weights)
        by_weight = np.array(weights)[:, None, None] * mean[None, :, None]
        try:
            if not np.isfinite(parts).all() or rounding > MOST_ROUNDING:
                raise TimeoutError(f"the values of {parent} could not be compared")
            differing = weighted_coincidence(
                [(v,) for v in support.values], np.concatenate([by_weight, parts], axis=2), weights
            )
        except TimeoutError as reason:
            return Edge(UNKNOWN, str(reason))
        if differing is None:
            rule = f"weighted sums of {parent} tell all that matters of its cells"
            return Edge(PASS, rule, any_cells=False)
        return Edge(FAIL, f"cells of unequal weights: equal sums of {parent} give different laws")
    if found.status != PASS:
        return found
    return Edge(FAIL, "unequal weights keep only a multiple of the parent plus noise")
