"""Pools of cells that the model makes, counted through: the same sums and another child (method 2).

Where parents are linked, a witness must lie among the cells that occur. So cells are made from a few values
of the roots and noises, as the model makes them, and all small pools of them are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from math import comb
from typing import Any

import networkx as nx
import numpy as np

from ..models.algebra import NOISE_NAME
from ..models.mechanisms import Equation, Kernel, Mechanism
from ..models.support import Support
from .affine_form import FAILS, LAW, Form, Pooling, completed
from .pooled_model import PooledModel
from .witness import BEYOND_ROUNDING, counted, describe_pools, readable_values

LEVELS = (5, 4, 3, 2)
"""Values of a root or noise: as many as leave few enough cells."""
MOST_CELLS = 300
MOST_MADE = 20_000
"""Cells before equal ones are put together."""
MOST_POOLS = 100_000
DIGITS = 9
ORDERS = 4
"""Cumulants of a child that has a law."""


@dataclass(frozen=True)
class _Pools:
    """Pools of listed cells: which ones, with which weights, what they show, and their child."""

    cells: list[tuple[int, ...]]
    weights: list[tuple[float, ...]]
    shown: np.ndarray
    noises: np.ndarray
    child: np.ndarray


def refused_by_listed_cells(pooled: PooledModel, gene: str, pooling: Pooling) -> Form | None:
    """The refusal of a form by two pools of cells that the model makes; None where none are found."""
    (mechanism, *others) = pooled.of_types(gene).values()
    shares = pooling.linear.kind == "composition"
    if others or not mechanism.parents or not (shares or pooling.linear.kind == "linear"):
        return None
    if shares and (not pooling.total_is_free or isinstance(mechanism, Kernel)):
        return None
    cells = _listed(pooled, gene, mechanism)
    if cells is None:
        return None
    with np.errstate(all="ignore"):
        child = _child(mechanism, cells)
    usable = np.isfinite(child).all(axis=0)
    cells, child = {n: v[usable] for n, v in cells.items()}, child[:, usable]
    for sizes in _sizes(pooling, shares):
        pools = _pools_of(cells, child, sizes, pooling)
        if pools is None:
            continue
        for keep_noise in (True, False) if NOISE_NAME in cells else (True,):
            found = _two_that_differ(pools, keep_noise, shares)
            witness = found and _shown(found, pools, cells, mechanism, pooling, keep_noise)
            if witness:
                in_law = "in law: " if isinstance(mechanism, Kernel) else ""
                equal = "shares" if shares else "sums"
                rule = f"{in_law}equal {equal} and another child from {max(sizes)} cells that the model makes"
                return Form(FAILS, LAW, rule, witness)
    return None


def _sizes(pooling: Pooling, shares: bool) -> list[tuple[int, ...]]:
    """Numbers of cells of the pools that are compared with each other."""
    largest = pooling.largest
    few: list[tuple[int, ...]] = [(n,) for n in (2, 3) if (n == largest if shares else n <= largest)]
    if shares:
        return [(1,), *few]
    several = tuple(n for n in pooling.cell_numbers if n <= 3)
    return [*few, several] if len(several) > 1 else few


# --- cells ------------------------------------------------------------------------------------------------


def _listed(pooled: PooledModel, gene: str, mechanism: Mechanism) -> dict[str, np.ndarray] | None:
    """Different cells: values of the parents, and of N where there is noise."""
    for n_levels in LEVELS:
        made = _made(pooled, gene, n_levels)
        if made is None:
            continue
        names = [*mechanism.parents]
        columns = [made[p] for p in names]
        if isinstance(mechanism, Equation) and mechanism.noise is not None:
            low, high = np.quantile(mechanism.noise.sample(np.random.default_rng(0), 2_000), [0.02, 0.98])
            noise = _few(mechanism.noise.support, (float(low), float(high)), min(n_levels, 3))
            columns = [np.repeat(c, len(noise)) for c in columns] + [np.tile(noise, len(columns[0]))]
            names.append(NOISE_NAME)
        rows = np.unique(np.round(np.stack(columns, axis=1), 12), axis=0)
        if len(rows) <= MOST_CELLS:
            return dict(zip(names, rows.T, strict=True))
    return None


def _made(pooled: PooledModel, gene: str, n_levels: int) -> dict[str, np.ndarray] | None:
    """Cells made from a few values of each root and noise; None where they are too many."""
    scm = pooled.scm
    above = nx.ancestors(scm.graph, gene)
    values: dict[str, np.ndarray] = {}
    n = 1
    for name in scm.order:
        if name not in above:
            continue
        row, grown = _outcomes(pooled, name, values, n, n_levels)
        values = {other: column[row] for other, column in values.items()} | {name: grown}
        keep = np.isfinite(grown)
        values, n = {other: column[keep] for other, column in values.items()}, int(keep.sum())
        if not 0 < n <= MOST_MADE:
            return None
    return values


def _outcomes(
    pooled: PooledModel, gene: str, values: dict[str, np.ndarray], n: int, n_levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """From which cell each value of one gene comes, and the value."""
    mechanism = pooled.scm.mechanism(gene)
    if isinstance(mechanism, Equation):
        if mechanism.noise is None:
            return np.arange(n), np.broadcast_to(mechanism.value(values, np.nan), (n,)).astype(float)
        law = mechanism.noise
        core = tuple(float(q) for q in law.quantile(np.array([0.02, 0.98])))
        noise = _few(law.support, (core[0], core[1]), n_levels if not mechanism.parents else 3)
        row = np.repeat(np.arange(n), len(noise))
        at = {p: values[p][row] for p in mechanism.parents}
        return row, np.broadcast_to(mechanism.value(at, np.tile(noise, n)), row.shape).astype(float)
    listed = _few(pooled.supports[gene], pooled.cores[gene], n_levels)
    row = np.repeat(np.arange(n), len(listed))
    value = np.tile(listed, n)
    _, variance = mechanism.cumulants({p: values[p][row] for p in mechanism.parents}, 2)
    possible = variance > 0
    if mechanism.law == "binomial":
        trials = mechanism.arguments[0].evaluate({p: values[p][row] for p in mechanism.parents})
        possible = possible & (value <= trials)
    kept = possible & (mechanism.law != "categorical")  # of these some values may be impossible
    return row[kept], value[kept]


def _few(support: Support, core: tuple[float, float], n: int) -> np.ndarray:
    """At most n values, equally far apart where they lie in an interval; of few values all."""
    grid = readable_values(support, core)
    if support.kind == "finite":
        return grid[: 2 * n]
    inside = (grid > support.low) | ((grid == support.low) & (not support.open_low))
    inside &= (grid < support.high) | ((grid == support.high) & (not support.open_high))
    grid = grid[inside]
    if support.kind == "integers":
        return grid[:n]
    step = max(1, len(grid) // n)
    zero = np.flatnonzero(grid == 0)
    start = int(zero[0]) % step if len(zero) else 0  # so that 0, which pools of any size can have, is kept
    return grid[start::step][:n]


def _child(mechanism: Mechanism, cells: dict[str, np.ndarray]) -> np.ndarray:
    """What adds up to the child: its values, or its cumulants, shape ``(n, n_cells)``."""
    n = len(next(iter(cells.values())))
    if isinstance(mechanism, Kernel):
        return np.broadcast_to(mechanism.cumulants(cells, ORDERS), (ORDERS, n)).astype(float)
    return np.broadcast_to(mechanism.expression.evaluate(cells), (1, n)).astype(float)


# --- pools ------------------------------------------------------------------------------------------------


def _pools_of(
    cells: dict[str, np.ndarray], child: np.ndarray, sizes: Sequence[int], pooling: Pooling
) -> _Pools | None:
    """All pools of some sizes; None where they are too many."""
    n_cells = child.shape[1]
    unequal = pooling.two_weights()[0] != pooling.two_weights()[1]
    n_pools = sum(n_cells**n if unequal else comb(n_cells + n - 1, n) for n in sizes)
    if not 0 < n_pools <= MOST_POOLS:
        return None
    names = list(cells)
    seen = np.stack([cells[name] for name in names])
    noise = cells.get(NOISE_NAME, np.zeros(n_cells))
    chosen: list[tuple[int, ...]] = []
    weights: list[tuple[float, ...]] = []
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for n in sizes:
        weight = _weights_of(n, pooling)
        share = np.array(weight) / (sum(weight) if pooling.linear.divides_by_cells else 1)
        listed = list(
            product(range(n_cells), repeat=n) if unequal else combinations_with_replacement(range(n_cells), n)
        )
        at = np.array(listed)
        orders = np.arange(1, len(child) + 1)
        noises = np.stack([(share * noise[at] ** k).sum(axis=1) for k in (2, 3)], axis=1)
        added = (share ** orders[:, None, None] * child[:, at]).sum(axis=2).T
        parts.append(((share * seen[:, at]).sum(axis=2).T, noises, added))
        chosen += listed
        weights += [weight] * len(listed)
    shown, noises, added = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return _Pools(chosen, weights, shown, noises, added)


def _weights_of(n: int, pooling: Pooling) -> tuple[float, ...]:
    few, many = pooling.two_weights()
    listed = pooling.linear.weights
    if few == many or listed is None:
        return (1.0,) * n
    return tuple(map(float, listed)) if len(listed) == n else (few, many)


def _two_that_differ(pools: _Pools, keep_noise: bool, shares: bool) -> tuple[int, int] | None:
    """Two pools that show the same and differ in the child, the clearest ones."""
    key, child = pools.shown, pools.child
    if shares:
        total = key.sum(axis=1, keepdims=True)
        key, child = key / np.where(total > 0, total, np.nan), child / np.where(total > 0, total, np.nan)
    if keep_noise:
        key = np.hstack([key, pools.noises])
    usable = np.flatnonzero(np.isfinite(key).all(axis=1))
    if not len(usable):
        return None
    size = np.maximum(np.abs(key[usable]).max(axis=0), 1e-300)
    _, group = np.unique(np.round(key[usable] / size, DIGITS), axis=0, return_inverse=True)
    group = np.ravel(group)
    best: tuple[float, int, int] = (1e3 * BEYOND_ROUNDING, -1, -1)
    for column in child[usable].T:
        order = np.lexsort((column, group))
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        ends = np.append(starts[1:], len(order)) - 1
        low, high = column[order[starts]], column[order[ends]]
        gap = (high - low) / np.maximum(np.abs(high) + np.abs(low), 1e-9 * np.abs(column).max() + 1e-300)
        at = int(np.argmax(gap))
        if gap[at] > best[0]:
            best = (float(gap[at]), int(usable[order[starts[at]]]), int(usable[order[ends[at]]]))
    return None if best[1] < 0 else best[1:]


# --- the witness ------------------------------------------------------------------------------------------


def _shown(
    found: tuple[int, int],
    pools: _Pools,
    cells: dict[str, np.ndarray],
    mechanism: Mechanism,
    pooling: Pooling,
    same_noise: bool,
) -> dict[str, Any] | None:
    names = list(cells)
    listed = [[{n: float(cells[n][i]) for n in names} for i in pools.cells[at]] for at in found]
    weights = [list(pools.weights[at]) for at in found]
    if pooling.linear.kind == "composition":
        return _of_shares(listed, mechanism, pooling) if isinstance(mechanism, Equation) else None
    if isinstance(mechanism, Kernel):
        shown = [
            {
                "cells": counted(
                    [
                        {"values": cell, **({"weight": w} if len(set(weight)) > 1 else {})}
                        for cell, w in zip(pool, weight, strict=True)
                    ]
                ),
                "pooled": {"values": dict(zip(names, map(float, pools.shown[at]), strict=True))},
                "child_cumulants": list(map(float, pools.child[at])),
            }
            for at, pool, weight in zip(found, listed, weights, strict=True)
        ]
        return _complete({"pools": shown, "same_noise": True}, weights, pooling)
    witness = describe_pools(listed, mechanism.expression.evaluate, names, pooling.linear, weights)
    return witness and _complete(witness | {"same_noise": same_noise}, weights, pooling)


def _complete(
    witness: dict[str, Any], weights: Sequence[Sequence[float]], pooling: Pooling
) -> dict[str, Any]:
    """Pools of the same number of cells can be part of larger ones; others are whole."""
    alike = len(weights[0]) == len(weights[1])
    return completed(witness, pooling) if alike else witness | {"further_cells": 0}


def _of_shares(
    listed: Sequence[Sequence[dict[str, float]]], mechanism: Equation, pooling: Pooling
) -> dict[str, Any] | None:
    """Totals, made up by other genes, at which parents and noise have equal shares and the child has not."""
    times = pooling.largest if len(listed[0]) == 1 else 1
    pools = []
    for pool in listed:
        children = [
            float(mechanism.expression.evaluate({k: np.array(v) for k, v in c.items()})) for c in pool
        ]
        own = sum(
            c + sum(v for n, v in cell.items() if n != NOISE_NAME)
            for c, cell in zip(children, pool, strict=True)
        )
        pools.append((children, times * own, times * sum(sum(cell.values()) for cell in pool)))
    ratio = pools[0][2] / pools[1][2]
    base = 2 * max(pools[1][1], pools[0][1] / ratio)
    shown = []
    for pool, (children, own, _), total in zip(listed, pools, (ratio * base, base), strict=True):
        cells = [{"values": cell, "child": c, "times": times} for cell, c in zip(pool, children, strict=True)]
        values = {n: times * sum(cell[n] for cell in pool) / total for n in pool[0]}
        pooled = {"values": values, "child": times * sum(children) / total}
        shown.append({"cells": cells, "pooled": pooled, "other_genes": total - own})
    return {"pools": shown, "same_noise": False, "further_cells": 0}
