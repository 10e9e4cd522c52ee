"""Forms under aggregations that are linear on some axis: affine, or refused with a witness (method 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import sympy

from ..aggregation import Aggregation
from ..models.algebra import NOISE, NOISE_NAME, exact_value
from ..models.mechanisms import Equation
from ..models.support import Support, exact_number
from .axis import AxisEquation, constant_derivative, has_power_mean, on_axis, states_of, unequal_weights
from .by_diagram import diagram_of, trading_pools
from .coincidence import bends_of, bends_of_listed, smallest_coincidence, weighted_coincidence
from .numbers import CellNumbers, tells
from .witness import CanOccur, axis_functions, describe_pools, readable_values, two_cell_witness

HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"
UNIFORM, LAW, LIMIT = "uniform", "law", "limit"

NO_SUCH_CELLS = "it fails for cells that may not occur together"
NUMBER_MAY_SHOW = "a constant, and a number of cells that the parents' sums may tell"

State = tuple[sympy.Expr, ...]

Supports = Mapping[str, Support]
ChangedCells = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
Cores = Mapping[str, tuple[float, float]]
"""Where most values of each gene lie."""


@dataclass(frozen=True)
class Form:
    """The judgement on one mechanism."""

    ffc: str
    """``holds``, ``fails`` or ``undecided``."""
    quantifier: str
    """``uniform``: for every number of cells; ``law``: for the support and the number of cells given."""
    rule: str
    """The step of the proof, in words."""
    witness: dict[str, Any] | None = None


@dataclass(frozen=True)
class Pooling:
    """How cells are pooled, as far as the form is concerned."""

    aggregation: Aggregation
    cell_numbers: tuple[int, ...]
    """Numbers of cells that occur: one, or the smallest and a few more of a random number."""
    can_occur: CanOccur = lambda cell: True
    """Whether the model can make a cell with these values."""
    states: Callable[[Sequence[str]], list[State] | None] = lambda genes: None
    """Joint values of some genes, where they are finitely many."""
    most_cells: int = 0
    """The largest number of cells that occurs; 0: the largest of those above."""
    numbers: CellNumbers | None = None
    tell_number: Callable[[Sequence[str]], bool] = lambda genes: False
    """Whether the sums of some genes tell a number of cells that varies."""
    total_is_free: bool = True
    """Whether other genes can make up any total, whatever the genes that are looked at do."""
    draw_changed: Callable[[Equation, tuple[int, int]], ChangedCells | None] = lambda equation, shape: None
    """Cells of many pools, and the same with some parents drawn anew, where parents are not free."""

    @property
    def largest(self) -> int:
        """The largest number of cells that is looked at."""
        return self.most_cells or max(self.cell_numbers)

    @property
    def linear(self) -> Aggregation:
        """The aggregation under a monotone map, or the aggregation itself."""
        return self.aggregation.inner or self.aggregation

    def two_weights(self) -> tuple[float, float]:
        """Weights of two cells, different ones if there are."""
        weights = unequal_weights(self.linear)
        return (1.0, 1.0) if weights is None else (min(weights), max(weights))


def algebraic_form(
    mechanism: Equation,
    supports: Supports,
    cores: Cores,
    pooling: Pooling,
) -> Form:
    """What algebra says of the form of an equation under pooling, where it says anything."""
    form = _algebraic_form(mechanism, supports, cores, pooling)
    no_mean = mechanism.noise is not None and not has_power_mean(mechanism.noise.support)
    if pooling.linear.axis is None or not no_mean or form.ffc != FAILS:
        return form
    kept = form.witness is not None and form.witness["same_noise"]
    return form if kept else Form(UNDECIDED, LAW, "its noise can be below 0, and has no mean of this kind")


def _algebraic_form(mechanism: Equation, supports: Supports, cores: Cores, pooling: Pooling) -> Form:
    equation = on_axis(mechanism, supports, pooling.linear, noise_too=True)
    finite, others = equation.split()
    derivatives = {v: constant_derivative(equation, v) for v in others}
    known = {v: d for v, d in derivatives.items() if isinstance(d, sympy.Expr)}
    witness = None
    if len(known) < len(others):
        witness = _search(mechanism, supports, cores, pooling)
        if witness is None:
            return Form(UNDECIDED, LAW, "not shown to be affine, and no witness was found")
        return Form(FAILS, LAW, _refusal(witness, pooling), witness)
    rest = equation.expression
    if known:
        rest = sympy.simplify(rest - sum((d * v for v, d in known.items()), sympy.Integer(0)))
    rest = rest.xreplace({v: _inner_value(equation.supports[v]) for v in known if v in rest.free_symbols})
    form = _finite_form(mechanism, equation, rest, finite, pooling, _some_values(mechanism, supports, cores))
    if form.ffc == HOLDS and len(pooling.cell_numbers) > 1 and not pooling.linear.divides_by_cells:
        return _random_number_form(form, mechanism, supports, cores, pooling)
    return form


def diagram_form(mechanism: Equation, supports: Supports, pooling: Pooling) -> Form | None:
    """What a decision diagram says of a function of many parents with few values, where it says anything."""
    if pooling.linear.axis is not None or unequal_weights(pooling.linear) is not None:
        return None
    told = diagram_of(mechanism, supports)
    if told is None:
        return None
    names = list(mechanism.parents)
    for pools in trading_pools(told):
        if not all(pooling.can_occur(cell) for pool in pools for cell in pool):
            continue
        weights = [[1.0, 1.0]] * 2
        witness = describe_pools(pools, mechanism.expression.evaluate, names, pooling.linear, weights)
        if witness is not None:
            rule = f"equal sums and different values from {len(pools[0])} cells on its finite support"
            return Form(FAILS, LAW, rule, completed(witness, pooling))
    return None


def _inner_value(support: Support) -> sympy.Expr:
    """An exact value inside a support."""
    grid = support.sample_grid(5)
    return exact_number(float(grid[len(grid) // 2]))


def _axis_words(pooling: Pooling) -> str:
    """Where the equation is affine."""
    if pooling.linear.kind == "quasi-arithmetic":
        return f" on the axis of the {pooling.linear.name} mean"
    return " on the additive scale" if pooling.aggregation.kind == "mapped" else ""


def _refusal(witness: Mapping[str, Any], pooling: Pooling) -> str:
    what = "not affine" if witness["same_noise"] else "affine in its parents, but not in its noise"
    return f"{what}{_axis_words(pooling)}"


def _finite_form(
    mechanism: Equation,
    equation: AxisEquation,
    rest: sympy.Expr,
    finite: tuple[sympy.Symbol, ...],
    pooling: Pooling,
    fixed: Mapping[str, float],
) -> Form:
    """The equation is affine in all variables but those with finitely many values."""
    words = _axis_words(pooling)
    if not rest.free_symbols:
        return Form(HOLDS, UNIFORM, f"affine{words}")
    try:
        states, whole = _states(equation, finite, pooling)
        exact = [exact_value(rest, dict(zip(finite, state, strict=True))) for state in states]
        values = bends_of(states, exact) if whole else bends_of_listed(states, exact)
        if not np.any(values):
            return Form(HOLDS, UNIFORM, f"affine on the {len(states)} states of its finite variables{words}")
        weights = unequal_weights(pooling.linear)
        if weights is not None:
            return _weighted_form(mechanism, states, finite, values, weights, pooling, fixed)
        # first with each cell's noise kept, then without
        for same_noise in (True, False) if NOISE in finite else (True,):
            points = _with_noise_marked(states, finite) if same_noise else states
            found = smallest_coincidence(points, values, max_cells=pooling.largest)
            if found is not None:
                pools = [_chosen(states, counts) for counts in (found.first, found.second)]
                return _finite_failure(mechanism, pools, finite, None, pooling, fixed, same_noise)
    except TimeoutError as reason:
        return Form(UNDECIDED, LAW, str(reason))
    if len(pooling.cell_numbers) > 1:
        if pooling.linear.divides_by_cells:
            return Form(UNDECIDED, LAW, "finite support, and means over a number of cells that varies")
        return Form(UNDECIDED, LAW, "finite support and a random number of cells")
    return Form(
        HOLDS,
        LAW,
        f"no pools of up to {pooling.largest} cells have equal sums and different values on its support",
    )


def _states(
    equation: AxisEquation, finite: tuple[sympy.Symbol, ...], pooling: Pooling
) -> tuple[list[State], bool]:
    """Joint values of finite variables that occur, and whether those are all combinations."""
    joint = pooling.states([v.name for v in finite if v != NOISE]) if pooling.linear.axis is None else None
    if joint is not None and NOISE not in finite:
        return joint, len(joint) == prod(len(equation.supports[v].values) for v in finite)
    listed = states_of([equation.supports[v] for v in finite])
    if joint is None:
        return listed, True
    at = [v for v in finite if v != NOISE]
    possible = set(joint)
    kept = [s for s in listed if tuple(x for v, x in zip(finite, s, strict=True) if v in at) in possible]
    return kept, len(kept) == len(listed)


def _with_noise_marked(
    states: Sequence[tuple[sympy.Expr, ...]], finite: tuple[sympy.Symbol, ...]
) -> list[tuple[sympy.Expr, ...]]:
    """States with one indicator for each value of the noise, so that equal sums keep every noise."""
    if NOISE not in finite:
        return list(states)
    at = finite.index(NOISE)
    levels = sorted({state[at] for state in states}, key=float)
    return [(*state, *(sympy.Integer(state[at] == level) for level in levels)) for state in states]


def _chosen(states: Sequence[State], counts: Sequence[int]) -> list[State]:
    """One state for each cell of a pool."""
    return [state for state, count in zip(states, counts, strict=True) for _ in range(count)]


def _weighted_form(
    mechanism: Equation,
    states: Sequence[State],
    finite: tuple[sympy.Symbol, ...],
    values: np.ndarray,
    weights: tuple[float, ...],
    pooling: Pooling,
    fixed: Mapping[str, float],
) -> Form:
    """Cells of unequal weights: all assignments of states to cells are compared."""
    added = np.array(weights)[:, None, None] * values[None, :, None]
    found = weighted_coincidence(states, added, weights)
    if found is None:
        return Form(HOLDS, LAW, "no two assignments of states to the weighted cells have equal sums")
    pools = [[states[i] for i in assigned] for assigned in found]
    return _finite_failure(mechanism, pools, finite, weights, pooling, fixed, same_noise=NOISE not in finite)


def _finite_failure(
    mechanism: Equation,
    pools: Sequence[Sequence[State]],
    finite: tuple[sympy.Symbol, ...],
    weights: tuple[float, ...] | None,
    pooling: Pooling,
    fixed: Mapping[str, float],
    same_noise: bool,
) -> Form:
    """Write a coincidence out cell by cell; variables that are not finite are held at one value."""
    _, from_axis = axis_functions(pooling.linear)
    plain = mechanism.noise is not None and not has_power_mean(mechanism.noise.support)
    names = list(fixed)
    cells = [
        [
            {
                **fixed,
                **{
                    v.name: float(x) if plain and v == NOISE else float(from_axis(np.array(float(x))))
                    for v, x in zip(finite, state, strict=True)
                },
            }
            for state in pool
        ]
        for pool in pools
    ]
    weighted = [list(weights) if weights else [1.0] * len(pool) for pool in pools]
    witness = describe_pools(cells, mechanism.expression.evaluate, names, pooling.linear, weighted)
    if witness is None:
        return Form(UNDECIDED, LAW, "a coincidence of sums was found, but the pools do not differ clearly")
    if not all(pooling.can_occur(cell) for pool in cells for cell in pool):
        return Form(UNDECIDED, LAW, "it fails for cells that may not occur together")
    witness = witness | {"same_noise": same_noise}
    rule = f"equal sums and different values from {len(pools[0])} cells on its finite support"
    return Form(FAILS, LAW, rule, completed(witness, pooling))


def _some_values(mechanism: Equation, supports: Supports, cores: Cores) -> dict[str, float]:
    """A readable value of each parent, and of N."""
    of, inner = with_noise(mechanism, supports, cores)
    grids = {name: readable_values(of[name], inner[name]) for name in of}
    return {name: float(grid[len(grid) // 2]) for name, grid in grids.items()}


def _search(
    mechanism: Equation,
    supports: Supports,
    cores: Cores,
    pooling: Pooling,
) -> dict[str, Any] | None:
    """Two cells that make the pools differ."""
    of, inner = with_noise(mechanism, supports, cores)
    witness = two_cell_witness(
        mechanism.expression.evaluate,
        mechanism.parents,
        of,
        inner,
        pooling.linear,
        pooling.two_weights(),
        pooling.can_occur,
    )
    return None if witness is None else completed(witness, pooling)


def with_noise(
    mechanism: Equation, supports: Supports, cores: Cores
) -> tuple[dict[str, Support], dict[str, tuple[float, float]]]:
    """Supports and cores of the parents, and of N where there is noise."""
    of = {name: supports[name] for name in mechanism.parents}
    inner = {name: cores[name] for name in mechanism.parents}
    if mechanism.noise is not None:
        of[NOISE_NAME] = mechanism.noise.support
        drawn = mechanism.noise.sample(np.random.default_rng(0), 4000)
        inner[NOISE_NAME] = (float(np.quantile(drawn, 0.02)), float(np.quantile(drawn, 0.98)))
    return of, inner


def completed(witness: dict[str, Any], pooling: Pooling) -> dict[str, Any]:
    """Say how many further cells, the same in both pools, complete the pools."""
    shown = max(sum(cell["times"] for cell in pool["cells"]) for pool in witness["pools"])
    return witness | {"further_cells": max(pooling.largest - shown, 0)}


def _random_number_form(
    form: Form,
    mechanism: Equation,
    supports: Supports,
    cores: Cores,
    pooling: Pooling,
) -> Form:
    """A sum over an unknown number of cells keeps an affine equation only without constant."""
    affine = mechanism.affine()
    if affine is not None and affine[2] == 0:
        return Form(HOLDS, form.quantifier, f"{form.rule}, without constant: any number of cells")
    of, inner = with_noise(mechanism, supports, cores)
    few, many = pooling.cell_numbers[0], pooling.cell_numbers[-1]
    if affine is None:
        return Form(UNDECIDED, LAW, "finite support and a random number of cells")
    noise = of.get(NOISE_NAME)
    by_noise = noise is not None and pooling.numbers is not None and tells(noise, pooling.numbers)
    if by_noise or pooling.tell_number(mechanism.parents):
        return Form(HOLDS, LAW, f"{form.rule}; its sums tell the number of cells")
    names = list(of)
    # all cells alike, the same sums over few cells and over many
    total = {name: shared_total(of[name], inner[name], few, many) for name in names}
    if any(v is None for v in total.values()):
        return Form(UNDECIDED, LAW, NUMBER_MAY_SHOW)
    pools = [[{n: total[n] / k for n in names}] * k for k in (few, many)]  # type: ignore[operator]
    weights = [[1.0] * k for k in (few, many)]
    witness = describe_pools(pools, mechanism.expression.evaluate, names, pooling.linear, weights)
    rule = "the sum of its constant depends on the number of cells, which varies"
    if witness is None or not all(pooling.can_occur(pool[0]) for pool in pools):
        return Form(UNDECIDED, LAW, NUMBER_MAY_SHOW)
    return Form(FAILS, LAW, rule, witness | {"same_noise": False, "further_cells": 0})


def shared_total(support: Support, core: tuple[float, float], few: int, many: int) -> float | None:
    """A sum that both few and many equal cells can have."""
    if support.contains(0.0) and not (support.low == 0 and support.open_low):
        return 0.0
    low, high = max(support.low * few, support.low * many), min(support.high * few, support.high * many)
    if support.kind != "interval" or low > high:
        return None
    total = max(low, min(sum(core) / 2 * few, high))
    at_open_end = (total == low and support.open_low) or (total == high and support.open_high)
    return (low + high) / 2 if at_open_end and low < high else None if at_open_end else total
