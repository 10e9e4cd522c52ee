"""Forms under median and maximum, which no axis makes linear: kept in order, or a witness (method 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy

from ..models.algebra import gene_symbol
from ..models.mechanisms import Equation
from ..models.ranges import range_of
from .affine_form import (
    FAILS,
    HOLDS,
    LAW,
    NO_SUCH_CELLS,
    UNDECIDED,
    Cores,
    Form,
    Pooling,
    Supports,
    completed,
    with_noise,
)
from .witness import MOST_TRIED, counted, readable_values

N_TRIES = 20_000
MOST_CELLS_TRIED = 30


def searched_form(
    mechanism: Equation,
    supports: Supports,
    cores: Cores,
    pooling: Pooling,
) -> Form:
    """Change the parents of some cells at an unchanged pooled value, and see whether the child's changes."""
    one_value = pooling.linear.name == "max" or _all_odd(pooling) or mechanism.affine() is not None
    if one_value and _follows_in_order(mechanism, supports):
        return Form(HOLDS, LAW, f"an increasing function: the {pooling.linear.name} goes through it")
    n_cells = _cells_tried(pooling)
    n_tries = N_TRIES // n_cells
    name = pooling.linear.name
    cells = pooling.draw_changed(mechanism, (n_tries, n_cells)) or _changed_cells(
        mechanism, *with_noise(mechanism, supports, cores), (n_tries, n_cells)
    )
    children = [np.broadcast_to(mechanism.expression.evaluate(p), (n_tries, n_cells)) for p in cells]
    before, after = ({n: _pooled_rows(v, pooling) for n, v in p.items()} for p in cells)
    equal = np.all([before[n] == after[n] for n in mechanism.parents], axis=0)
    sums = [_pooled_rows(child, pooling) for child in children]
    gap = np.abs(sums[0] - sums[1]) / (np.abs(sums[0]) + np.abs(sums[1]) + 1e-12)
    hits = np.flatnonzero(equal & (gap > 1e-6))
    if not len(hits):
        return Form(UNDECIDED, LAW, f"no algebra for {name}, and no witness was found in {n_tries:,} pools")
    cost = [sum((cells[1][n][h] != v[h]).sum() for n, v in cells[0].items()) for h in hits]
    ordered = hits[np.argsort(cost, kind="stable")][:MOST_TRIED]
    possible = (h for h in ordered if _all_can_occur(int(h), cells, n_cells, pooling))
    chosen = next(possible, None)
    if chosen is None:
        return Form(UNDECIDED, LAW, NO_SUCH_CELLS)
    witness = _witness_of_pool(int(chosen), cells, children, sums, pooling)
    if n_cells < pooling.largest:
        larger = _in_larger_pools(witness, pooling, n_cells)
        if larger is not None:
            return Form(FAILS, LAW, f"a witness under {name}", larger)
        rule = f"no algebra for {name}; it fails in pools of {n_cells} cells"
        return Form(UNDECIDED, LAW, rule, completed(witness, pooling))
    return Form(FAILS, LAW, f"a witness under {name}", completed(witness, pooling))


def _all_can_occur(
    at: int, cells: Sequence[Mapping[str, np.ndarray]], n_cells: int, pooling: Pooling
) -> bool:
    return all(
        pooling.can_occur({name: float(v[at, i]) for name, v in values.items()})
        for values in cells
        for i in range(n_cells)
    )


def _changed_cells(
    mechanism: Equation, supports: Supports, cores: Cores, shape: tuple[int, int]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Cells of many pools, shape ``(n_pools, n_cells)`` a variable; and the same, some parents drawn anew."""
    rng = np.random.default_rng(0)
    first = {n: rng.choice(readable_values(supports[n], cores[n]), shape) for n in supports}
    second = dict(first)
    changed = rng.random(shape) < 0.3
    for parent in mechanism.parents:
        drawn = rng.choice(readable_values(supports[parent], cores[parent]), shape)
        second[parent] = np.where(changed, drawn, first[parent])
    return first, second


def _pooled_rows(values: np.ndarray, pooling: Pooling) -> np.ndarray:
    """Pooled value of each row of cells."""
    return np.asarray(pooling.linear.pool_blocks(values[:, :, None])[:, 0])


def _witness_of_pool(
    at: int,
    cells: Sequence[Mapping[str, np.ndarray]],
    children: Sequence[np.ndarray],
    sums: Sequence[np.ndarray],
    pooling: Pooling,
) -> dict[str, Any]:
    """One of many pools, before and after its change, in words of a witness."""
    shown: list[dict[str, Any]] = []
    for values, child, total in zip(cells, children, sums, strict=True):
        listed = [
            {"values": {n: float(v[at, i]) for n, v in values.items()}, "child": float(child[at, i])}
            for i in range(child.shape[1])
        ]
        pooled = {n: float(_pooled_rows(v[at][None], pooling)[0]) for n, v in values.items()}
        shown.append({"cells": counted(listed), "pooled": {"values": pooled, "child": float(total[at])}})
    difference = shown[1]["pooled"]["child"] - shown[0]["pooled"]["child"]
    return {"pools": shown, "difference": difference, "same_noise": True}


def _follows_in_order(mechanism: Equation, supports: Supports) -> bool:
    """Whether an equation without noise is a smooth function of one parent that nowhere falls."""
    if mechanism.noise is not None or len(mechanism.parents) != 1:
        return False
    (parent,) = mechanism.parents
    symbol = gene_symbol(parent)
    slope = sympy.diff(mechanism.expression.sympy, symbol)
    if slope.has(sympy.DiracDelta, sympy.Derivative, sympy.Heaviside, sympy.sign):
        return False
    return range_of(slope, {symbol: supports[parent]}).low >= 0


def _all_odd(pooling: Pooling) -> bool:
    """Whether a median always is one of the values."""
    numbers = pooling.cell_numbers if pooling.numbers is None else pooling.numbers.occurring
    return all(n % 2 for n in numbers)


def _cells_tried(pooling: Pooling) -> int:
    """As many cells as there are; of a larger pool under the median a part of which it is a multiple."""
    n = pooling.largest
    if n <= MOST_CELLS_TRIED:
        return n
    parts = [m for m in range(2, MOST_CELLS_TRIED + 1) if n % m == 0]
    return max(parts, default=MOST_CELLS_TRIED) if pooling.linear.name == "median" else MOST_CELLS_TRIED


def _in_larger_pools(witness: dict[str, Any], pooling: Pooling, n_cells: int) -> dict[str, Any] | None:
    """The same witness in pools of the number of cells asked for; None where it is not known to be one.

    Every cell as many times over leaves a median where it is; and a cell that both pools have, once more,
    changes no maximum.
    """
    times, left = divmod(pooling.largest, n_cells)
    if pooling.linear.name == "median" and not left:
        pools = [
            {**pool, "cells": [{**cell, "times": times * cell["times"]} for cell in pool["cells"]]}
            for pool in witness["pools"]
        ]
        return witness | {"pools": pools, "further_cells": 0}
    plain = [[{**cell, "times": 1} for cell in pool["cells"]] for pool in witness["pools"]]
    shared = any(cell in plain[1] for cell in plain[0])
    return completed(witness, pooling) if pooling.linear.name == "max" and shared else None
