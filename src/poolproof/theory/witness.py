"""Witnesses: two pools that agree in everything the parents show and differ in the child (method 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy

from ..aggregation import Aggregation
from ..models.support import Support

N_GRID = 9
"""Values of one variable that are tried."""
N_TRIES = 20_000
BEYOND_ROUNDING = 1e-7
"""Smallest difference of the pooled child, relative to its size, that counts."""
NOISE_NAME = "N"

Child = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""Value of the child from parents (and N), elementwise."""
CanOccur = Callable[[Mapping[str, float]], bool]
"""Whether the model can make a cell with these values."""
MOST_TRIED = 60
"""Pairs of pools of which it is asked whether their cells can occur."""


def readable_values(support: Support, core: tuple[float, float]) -> np.ndarray:
    """A few round numbers of a support, where its law has most of its weight.

    Examples
    --------
    >>> readable_values(Support("interval", 0.0, np.inf, ()), (0.1, 3.9))
    array([0. , 0.5, 1. , 1.5, 2. , 2.5, 3. , 3.5, 4. ])
    """
    if support.kind == "finite":
        return np.array([float(v) for v in support.values])
    low, high = core
    spread = max(high - low, 1e-9 * max(abs(low), abs(high), 1e-12))
    step = spread / (N_GRID - 1)
    size = 10.0 ** np.floor(np.log10(step))
    step = size * next(m for m in (1, 2, 5, 10) if m * size >= 0.999 * step)
    if support.kind == "integers":
        step = max(1.0, round(step))
    values = np.round(np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step, 12)
    inside = values[(values >= support.low) & (values <= support.high)]
    return inside if len(inside) > 1 else np.linspace(max(low, support.low), min(high, support.high), 3)


def two_cell_witness(
    child: Child,
    parents: Sequence[str],
    supports: Mapping[str, Support],
    cores: Mapping[str, tuple[float, float]],
    aggregation: Aggregation,
    weights: tuple[float, float],
    can_occur: CanOccur = lambda cell: True,
) -> dict[str, Any] | None:
    """Search two cells that differ between two pools, all other cells being the same.

    First with the noise of every cell kept, so that knowing the noises does not help; then, if nothing
    is found, with the parents kept and the noises moved at a constant pooled noise.

    Parameters
    ----------
    child
        The equation, on the natural scale.
    parents
        Names; ``supports`` and ``cores`` have them, and ``N`` where there is noise.
    weights
        Of the two cells.
    can_occur
        Whether the model can make a cell, of those with every value inside its support.

    Returns
    -------
    The witness as plain numbers; None if none was found.
    """
    to_axis, from_axis = axis_functions(aggregation)
    rng = np.random.default_rng(0)
    has_noise = NOISE_NAME in supports
    names = [*parents, NOISE_NAME] if has_noise else list(parents)
    grids = {name: readable_values(supports[name], cores[name]) for name in names}
    grids = {name: grid[np.isfinite(to_axis(grid))] for name, grid in grids.items()}
    grids = {name: _possible(name, grid, can_occur) for name, grid in grids.items()}
    if not all(map(len, grids.values())):
        return None
    first, second = ({name: rng.choice(grids[name], N_TRIES) for name in names} for _ in range(2))
    if has_noise:
        half = N_TRIES // 2
        second[NOISE_NAME][:half] = first[NOISE_NAME][:half]
    moved = _meet(first, second, parents, to_axis, from_axis, weights, rng)
    inside = _inside(moved, supports)
    found = _best((first, second), moved, inside, child, names, aggregation, weights, can_occur)
    if found is None and has_noise:
        moved = _meet(first, second, [NOISE_NAME], to_axis, from_axis, weights, rng)
        inside = _inside(moved, supports)
        found = _best((first, second), moved, inside, child, names, aggregation, weights, can_occur)
        found = None if found is None else found | {"same_noise": False}
    return found


def _possible(name: str, grid: np.ndarray, can_occur: CanOccur) -> np.ndarray:
    """Values of a parent that cells can have; those of the noise are taken from its law."""
    return grid if name == NOISE_NAME else np.array([v for v in grid if can_occur({name: float(v)})])


def axis_functions(
    aggregation: Aggregation,
) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """The map to the axis on which the aggregation is linear, and back, for arrays."""
    if aggregation.axis is None:
        return (lambda x: np.asarray(x, dtype=float)), (lambda x: x)
    from ..models.algebra import evaluate_sympy

    symbol = sympy.Symbol("x", positive=True)
    forward, inverse = (side(symbol) for side in aggregation.axis)

    def of(expression: sympy.Expr) -> Callable[[np.ndarray], np.ndarray]:
        return lambda x: np.asarray(evaluate_sympy(expression, {"x": np.asarray(x, dtype=float)}))

    return of(forward), of(inverse)


Cells = Mapping[str, np.ndarray]


def _meet(
    first: Cells,
    second: Cells,
    moving: Sequence[str],
    to_axis: Callable[[np.ndarray], np.ndarray],
    from_axis: Callable[[np.ndarray], np.ndarray],
    weights: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Move variables of both cells at a constant weighted sum: to their middle, or, where weights are
    equal, to the other cell; with several variables, some stay.
    """
    a, b = weights
    n = len(next(iter(first.values())))
    moved = dict(first), dict(second)
    for name in moving:
        middle = np.round(from_axis((a * to_axis(first[name]) + b * to_axis(second[name])) / (a + b)), 12)
        how = rng.integers(0, 3, n)  # stay, middle, other cell
        if len(moving) == 1:
            how = np.maximum(how, 1)
        if a != b:
            how = np.minimum(how, 1)
        moved[0][name] = np.choose(how, [first[name], middle, second[name]])
        moved[1][name] = np.choose(how, [second[name], middle, first[name]])
    return moved


def _inside(cells: Sequence[Cells], supports: Mapping[str, Support]) -> np.ndarray:
    inside = np.ones(len(next(iter(cells[0].values()))), dtype=bool)
    for cell in cells:
        for name, values in cell.items():
            support = supports[name]
            if support.kind == "finite":
                listed = np.array([float(v) for v in support.values])
                inside &= np.isclose(values[:, None], listed, rtol=1e-12, atol=1e-12).any(axis=1)
            else:
                low, high = values > support.low, values < support.high
                inside &= low if support.open_low else low | (values == support.low)
                inside &= high if support.open_high else high | (values == support.high)
                if support.kind == "integers":
                    inside &= values == np.rint(values)
    return inside


def _best(
    before: Sequence[Cells],
    after: Sequence[Cells],
    inside: np.ndarray,
    child: Child,
    names: Sequence[str],
    aggregation: Aggregation,
    weights: tuple[float, float],
    can_occur: CanOccur,
) -> dict[str, Any] | None:
    """The most readable of the pairs of pools that differ clearly and can occur."""
    with np.errstate(all="ignore"):
        children = [
            np.stack([np.broadcast_to(child(c), inside.shape) for c in pool], axis=1)
            for pool in (before, after)
        ]
    to_axis, _ = axis_functions(aggregation)
    sums = [to_axis(values) @ np.array(weights) for values in children]
    size = sum(np.abs(to_axis(values)).sum(axis=1) for values in children)
    with np.errstate(all="ignore"):
        relative = np.abs(sums[0] - sums[1]) / np.where(size > 0, size, 1)
    usable = inside & np.isfinite(relative) & (relative > BEYOND_ROUNDING)
    if not usable.any():
        return None
    clear = np.flatnonzero(usable & (relative >= 0.25 * relative[usable].max()))
    cost = np.zeros(len(clear))
    for cell in (*before, *after):
        for name in names:
            cost += [len(f"{v:.6g}") for v in cell[name][clear]]
    for chosen in clear[np.lexsort((-relative[clear], cost))][:MOST_TRIED]:
        pools = [
            [{name: float(cell[name][chosen]) for name in names} for cell in pool] for pool in (before, after)
        ]
        if all(can_occur(cell) for pool in pools for cell in pool):
            return describe_pools(pools, child, names, aggregation, [weights, weights])
    return None


def describe_pools(
    pools: Sequence[Sequence[Mapping[str, float]]],
    child: Child,
    names: Sequence[str],
    aggregation: Aggregation,
    weights: Sequence[Sequence[float]],
) -> dict[str, Any] | None:
    """Two pools cell by cell, pooled by plain arithmetic; None unless all but the child is equal.

    Returns
    -------
    ``pools``: a list of two, each with ``cells`` (a list of ``values`` of the parents and of ``N``,
    ``child``, ``times`` that this cell occurs, ``weight`` where weights differ) and ``pooled``
    (``values`` and ``child``); ``difference`` of the pooled child; ``same_noise``: every cell keeps its
    noise.
    """
    to_axis, from_axis = axis_functions(aggregation)
    shown: list[dict[str, Any]] = []
    for cells, weight in zip(pools, weights, strict=True):
        values = {name: np.array([cell[name] for cell in cells]) for name in names}
        children = np.broadcast_to(child(values), len(cells)).astype(float)
        share = np.asarray(weight, dtype=float)
        if aggregation.divides_by_cells:
            share = share / share.sum()

        def pooled(v: np.ndarray, share: np.ndarray = share, name: str = "") -> float:
            if name == NOISE_NAME and aggregation.axis is not None and v.min() <= 0:
                return float(np.dot(share, v))  # such a noise has no mean on this axis
            return float(from_axis(np.dot(share, to_axis(v))))

        listed = [
            {"values": {n: float(v[i]) for n, v in values.items()}, "child": float(children[i])}
            for i in range(len(cells))
        ]
        if len(set(weight)) > 1:
            listed = [{**cell, "weight": float(w)} for cell, w in zip(listed, weight, strict=True)]
        of_pool = {"values": {n: pooled(v, name=n) for n, v in values.items()}, "child": pooled(children)}
        shown.append({"cells": counted(listed), "pooled": of_pool})
    a, b = shown[0]["pooled"], shown[1]["pooled"]
    sums = [(a["values"][n], b["values"][n]) for n in names]
    if any(abs(u - v) > BEYOND_ROUNDING * (abs(u) + abs(v) + 1e-9) for u, v in sums):
        return None
    difference = b["child"] - a["child"]
    if abs(difference) <= BEYOND_ROUNDING * (abs(a["child"]) + abs(b["child"])):
        return None
    return {"pools": shown, "difference": difference, "same_noise": True}


def counted(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put equal cells that follow each other together, with the number of ``times`` that they occur.

    Examples
    --------
    >>> counted([{"child": 1.0}, {"child": 1.0}, {"child": 2.0}])
    [{'child': 1.0, 'times': 2}, {'child': 2.0, 'times': 1}]
    """
    found: list[dict[str, Any]] = []
    for cell in cells:
        if found and {k: v for k, v in found[-1].items() if k != "times"} == cell:
            found[-1]["times"] += 1
        else:
            found.append({**cell, "times": 1})
    return found
