"""One pass over all pairs that keeps sums alone: of bends and lines, by regulator, target, level and module.

Blocks of regulators meet tiles of targets; what is kept grows with the genes, not with the pairs. Blocks are
cut by the regulators alone and added up in their order, so threads change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._arrays import add, in_threads
from .intervals import variances
from .population_measures import Measure

BLOCK = 32
TILE = 1024
MAX_SAMPLED = 32
"""Regulators from which the sampling error of a target's share is estimated."""

Counted = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Regulators and targets to the pairs of a set, ``(R, m)``, bool."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over a set of pairs; index 0 is bend, 1 is line."""

    n_pairs: np.ndarray
    """Pairs of each regulator, shape ``(R,)``."""
    n_pairs_by_target: np.ndarray
    """Shape ``(m,)``."""
    by_regulator: np.ndarray
    """Sums of bend, line, squared bend, squared line, bend times line, shape ``(5, R)``."""
    by_target: np.ndarray
    """The same, shape ``(5, m)``."""
    by_level: np.ndarray
    """By level, unit of the regulator and module of the target, shape ``(2, n_levels, U, K)``."""
    influence: np.ndarray
    """Influence of the axis's units on both sums, for every level, shape ``(2, n_levels, axis)``."""
    regulator_variance: np.ndarray
    """Variances of both sums of a regulator over the axis, and their covariance, shape ``(3, R)``."""
    target_variance: np.ndarray
    """The same of a target, shape ``(3, m)``."""


@dataclass(frozen=True, eq=False)
class _Part:
    """What one block of regulators adds."""

    n_pairs: np.ndarray
    n_pairs_by_target: np.ndarray
    by_regulator: np.ndarray
    units: np.ndarray
    by_target: np.ndarray
    by_level: np.ndarray
    level_target: np.ndarray
    own: list[np.ndarray]
    variance: np.ndarray


def sum_pairs(
    measure: Measure,
    regulators: np.ndarray,
    targets: np.ndarray,
    units: np.ndarray,
    modules: np.ndarray,
    wanted: Counted | None,
    *,
    threads: int = 1,
    progress: Callable[[int], object] = lambda n: None,
) -> Sums:
    """Sum bends and lines over all pairs of regulators and targets, a gene never with itself.

    Parameters
    ----------
    measure
        Of bend and line.
    regulators, targets
        Genes.
    units
        Unit of each regulator, shape ``(R,)``, from 0.
    modules
        Module of each target, shape ``(m,)``, from 0.
    wanted
        Which of the pairs belong to the set; None: all.
    """
    order = np.argsort(units, kind="stable")
    tiles = [slice(low, low + TILE) for low in range(0, len(targets), TILE)]
    n_units, n_modules = int(units.max()) + 1, int(modules.max()) + 1
    member = (modules[:, None] == np.arange(n_modules)).astype(np.float64)

    def work(low: int) -> _Part:
        mine = order[low : low + BLOCK]
        part = _block(measure, regulators[mine], targets, tiles, units[mine], member, wanted)
        progress(len(mine))
        return part

    parts = in_threads(work, range(0, len(order), BLOCK), threads)
    n_levels = len(measure.levels)
    by_regulator = np.zeros((5, len(order)))
    n_pairs = np.zeros(len(order))
    variance = np.zeros((3, len(order)))
    by_level = np.zeros((2, n_levels, n_units, n_modules))
    for low, part in zip(range(0, len(order), BLOCK), parts, strict=True):
        mine = order[low : low + BLOCK]
        n_pairs[mine], by_regulator[:, mine], variance[:, mine] = (
            part.n_pairs,
            part.by_regulator,
            part.variance,
        )
        by_level[:, :, part.units] += part.by_level
    level_target = add(part.level_target for part in parts)
    own = [add(part.own[i] for part in parts) for i in range(n_levels)]
    influence = np.stack(
        [measure.axis.place([o * (i == j) for j, o in enumerate(own)]) for i in range(n_levels)]
    )
    influence = influence.transpose(1, 0, 2).copy()
    for tile in tiles:
        squares = measure.squares(measure.targets(targets[tile]))
        influence -= level_target[:, :, tile] @ squares
    return Sums(
        n_pairs,
        add(part.n_pairs_by_target for part in parts),
        by_regulator,
        add(part.by_target for part in parts),
        by_level,
        influence,
        variance,
        _target_variances(measure, regulators, targets, wanted),
    )


def _block(
    measure: Measure,
    regulators: np.ndarray,
    targets: np.ndarray,
    tiles: list[slice],
    units: np.ndarray,
    member: np.ndarray,
    wanted: Counted | None,
) -> _Part:
    columns = measure.columns(regulators)
    names, inverse = np.unique(units, return_inverse=True)
    groups = (inverse == np.arange(len(names))[:, None]).astype(np.float64)
    n_levels, m = len(measure.levels), len(targets)
    n_pairs = np.zeros(len(regulators))
    n_by_target = np.zeros(m)
    by_regulator = np.zeros((5, len(regulators)))
    by_target = np.zeros((5, m))
    by_level = np.zeros((2, n_levels, len(names), member.shape[1]))
    level_target = np.zeros((2, n_levels, m))
    own: list[np.ndarray] = []
    norm = np.zeros((2, len(regulators), measure.axis.size))
    for tile in tiles:
        block = measure.targets(targets[tile])
        counted = measure.counted(columns, block)
        if wanted is not None:
            counted &= wanted(regulators, targets[tile])
        if not counted.any():
            continue
        weight = counted.astype(np.float64)
        n_pairs += weight.sum(axis=1)
        n_by_target[tile] = weight.sum(axis=0)
        levels = measure.sums(columns, block, [weight])
        found = np.stack([np.stack([of.bend, of.line]) for of in levels], axis=1) * weight
        whole = found.sum(axis=1)
        powers = np.stack([*whole, *(whole * whole), whole[0] * whole[1]])
        by_regulator += powers.sum(axis=2)
        by_target[:, tile] = powers.sum(axis=1)
        by_level += (groups @ found) @ member[tile]
        level_target[:, :, tile] = found.sum(axis=2)
        squares = measure.squares(block)
        norm += whole.astype(squares.dtype) @ squares
        new = [np.stack(of.own[0]) for of in levels]
        own = [a + b for a, b in zip(own, new, strict=True)] if own else new
    if not own:
        sizes = [len(level.rows) for level in measure.levels]
        if measure.axis.clustered:
            sizes = [level.n_clusters for level in measure.levels]
        own = [np.zeros((2, len(regulators), size)) for size in sizes]
    return _Part(
        n_pairs,
        n_by_target,
        by_regulator,
        names,
        by_target,
        by_level,
        level_target,
        [of.sum(axis=1) for of in own],
        variances(*(measure.axis.place(own) - norm)),
    )


def _target_variances(
    measure: Measure,
    regulators: np.ndarray,
    targets: np.ndarray,
    wanted: Counted | None,
) -> np.ndarray:
    """Variances of every target's sums over the axis, from at most `MAX_SAMPLED` regulators.

    Their mean influence stands for that of all: the share of a target hardly depends on how many of them
    there are, and what is peculiar to one of them weighs more than it should.
    """
    steps = np.unique(np.linspace(0, len(regulators) - 1, MAX_SAMPLED).astype(int))
    sampled = regulators[steps]
    result = np.zeros((3, len(targets)))
    blocks = [measure.columns(sampled[low : low + BLOCK]) for low in range(0, len(sampled), BLOCK)]
    ends = [sampled[low : low + BLOCK] for low in range(0, len(sampled), BLOCK)]
    for low in range(0, len(targets), TILE // 4):
        tile = slice(low, low + TILE // 4)
        block = measure.targets(targets[tile])
        squares = measure.squares(block)
        total = np.zeros((2, *squares.shape))
        for columns, genes in zip(blocks, ends, strict=True):
            counted = measure.counted(columns, block)
            if wanted is not None:
                counted &= wanted(genes, targets[tile])
            total += np.stack(measure.target_influences(columns, block, counted.astype(np.float64)))
        total -= total.sum(axis=2, keepdims=True) * squares  # the norm of what is explained, bias included
        result[:, tile] = variances(*total) * (len(regulators) / len(sampled)) ** 2
    return result
