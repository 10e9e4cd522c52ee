"""Sets that the data themselves choose: by strength, direct pairs, the better direction; all cross-fitted.

A set chosen and measured in the same samples is biased: the less bent of two directions is less bent by
chance too. So pairs are chosen in one half of the samples (or replicates) and measured in the other, both
ways round, for a few divisions into halves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._arrays import in_threads
from .._random import stream
from .design import MIN_SAMPLES, Design, part_of
from .population_measures import Axis, Measure
from .population_pass import BLOCK, Counted
from .stream_share import StreamedShare

N_SPLITS = 1
MAX_GENES = 300
"""Most genes whose pairs are divided into such sets, drawn by the seed."""
STRENGTHS = (0.02, 0.05, 0.1, 0.2)
"""Limits of the explained share of the other half."""
STRENGTH_NAMES = ("below 0.02", "0.02 to 0.05", "0.05 to 0.1", "0.1 to 0.2", "above 0.2")
MIN_REPLICATES = 8
"""Replicates that a division into halves needs."""


@dataclass(frozen=True, eq=False)
class ChosenSums:
    """Sums over sets of pairs, over all halves; index 0 is bend, 1 is line."""

    sets: tuple[tuple[str, str], ...]
    """Set and name of each."""
    n_pairs: np.ndarray
    """Mean over the halves, shape ``(n_sets,)``."""
    sums: np.ndarray
    """Likewise, by unit of the regulator and module of the target, shape ``(2, n_sets, U, K)``."""
    influence: np.ndarray
    """Influence of the units of the whole axis, shape ``(2, n_sets, axis)``."""


def halves(design: Design, seed: int, split: int) -> tuple[Design, Design] | None:
    """Divide samples inside every level, or whole replicates, into two halves; None if there are too few."""
    if design.n_clusters:
        if design.n_clusters < MIN_REPLICATES:
            return None
        codes = np.unique(np.concatenate([np.asarray(level.clusters) for level in design.levels]))
        first = stream(seed, "population", split).permutation(codes)[: len(codes) // 2]
        masks = [np.isin(np.asarray(level.clusters), first) for level in design.levels]
    else:
        masks = []
        for level in design.levels:
            mask = np.zeros(len(level.rows), dtype=bool)
            order = stream(seed, "population", split, level.name).permutation(len(mask))
            mask[order[: len(mask) // 2]] = True
            masks.append(mask[np.argsort(np.argsort(level.rows))])
    parts = []
    for keep in (masks, [~mask for mask in masks]):
        levels = tuple(
            part_of(level, mask)
            for level, mask in zip(design.levels, keep, strict=True)
            if mask.sum() >= MIN_SAMPLES
        )
        if not levels:
            return None
        n = (
            len(np.unique(np.concatenate([np.asarray(x.clusters) for x in levels])))
            if design.n_clusters
            else 0
        )
        parts.append(Design(levels, n, design.numeric_covariates, ()))
    return parts[0], parts[1]


@dataclass(frozen=True, eq=False)
class _Matrices:
    """Every pair of one half, shapes ``(R, m)``."""

    bend: np.ndarray
    line: np.ndarray
    counted: np.ndarray


def chosen_sums(
    design: Design,
    measure_half: Callable[[Design], Measure | StreamedShare | None],
    genes: tuple[np.ndarray, np.ndarray],
    units: tuple[np.ndarray, np.ndarray],
    wanted: Counted | None,
    *,
    directed: bool,
    min_r2: float,
    seed: int,
    threads: int,
) -> ChosenSums | None:
    """Choose sets of pairs in one half of the samples, and sum bends and lines in the other.

    Parameters
    ----------
    design
        Of the whole analysis.
    measure_half
        Makes the measure of a half, whose genes are numbered as ``genes`` says; None where it has none.
    genes
        Regulators and targets.
    units
        Unit of each regulator and module of each target.
    wanted
        Which pairs are meant; None: all.
    directed
        Directions are given: no set needs both of them.
    min_r2
        Explained share from which a pair can be direct.
    """
    axis = Axis(design.levels, design.n_clusters)
    names = _sets(directed)
    shape = (2, len(names), int(units[0].max()) + 1, int(units[1].max()) + 1)
    sums, influence, n_halves = np.zeros(shape), np.zeros((2, len(names), axis.size)), 0
    n_pairs = np.zeros(len(names))
    cell = (units[0][:, None] * shape[3] + units[1]).ravel()
    for split in range(N_SPLITS):
        divided = halves(design, seed, split)
        if divided is None:
            continue
        measures = [of for half in divided if (of := measure_half(half)) is not None]
        if len(measures) < 2:
            continue
        found = [_matrices(of, genes, wanted, threads) for of in measures]
        for here, there in ((0, 1), (1, 0)):
            both = found[here].counted & found[there].counted
            masks = _masks(found[there], both, genes, directed, min_r2)
            for place, mask in enumerate(masks):
                n_pairs[place] += mask.sum()
                for kind, values in enumerate((found[here].bend, found[here].line)):
                    of_cell = np.bincount(cell, (mask * values).ravel(), minlength=shape[2] * shape[3])
                    sums[kind, place] += of_cell.reshape(shape[2:])
            own = _influences(measures[here], genes, masks, found[here], threads)
            influence[:, :, _places(design, divided[here], axis)] += own
            n_halves += 1
    if n_halves == 0:
        return None
    return ChosenSums(names, n_pairs / n_halves, sums / n_halves, influence / n_halves)


def _sets(directed: bool) -> tuple[tuple[str, str], ...]:
    strengths = tuple(("strength", name) for name in STRENGTH_NAMES)
    both = (("better_direction", ""), ("direct", ""), ("direct_better_direction", ""))
    return strengths if directed else (*strengths, *both)


def _places(design: Design, half: Design, axis: Axis) -> np.ndarray:
    """Place of every unit of a half's axis on the whole axis."""
    if axis.clustered:
        return np.arange(max(level.n_clusters for level in half.levels))
    rows = np.concatenate([level.rows for level in design.levels])
    lookup = np.empty(rows.max() + 1, dtype=np.int64)
    lookup[rows] = np.arange(len(rows))
    return lookup[np.concatenate([level.rows for level in half.levels])]


def _matrices(
    measure: Measure | StreamedShare,
    genes: tuple[np.ndarray, np.ndarray],
    wanted: Counted | None,
    threads: int,
) -> _Matrices:
    regulators, targets = genes
    if isinstance(measure, StreamedShare):
        bend, line, counted = measure.matrices(regulators, targets)
        return _Matrices(bend, line, counted if wanted is None else counted & wanted(regulators, targets))
    block = measure.targets(targets)

    def work(low: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mine = regulators[low : low + BLOCK]
        columns = measure.columns(mine)
        counted = measure.counted(columns, block)
        if wanted is not None:
            counted &= wanted(mine, targets)
        of = measure.sums(columns, block, [])
        bend, line = (np.sum([getattr(level, kind) for level in of], axis=0) for kind in ("bend", "line"))
        return bend, line, counted

    parts = in_threads(work, range(0, len(regulators), BLOCK), threads)
    return _Matrices(*(np.concatenate(kind) for kind in zip(*parts, strict=True)))


def _masks(
    other: _Matrices, both: np.ndarray, genes: tuple[np.ndarray, np.ndarray], directed: bool, min_r2: float
) -> np.ndarray:
    """The sets as masks, shape ``(n_sets, R, m)``, chosen in the other half."""
    explained = np.where(both, other.bend + other.line, -np.inf)
    place = np.searchsorted(np.array(STRENGTHS), explained, side="right")
    masks = [both & (place == i) for i in range(len(STRENGTHS) + 1)]
    if directed:
        return np.stack(masks)
    twoway = both & both.T
    tie = np.where(both, np.maximum(explained, 0), 0)
    tie = np.maximum(tie, tie.T)
    better = (other.bend < other.bend.T) | ((other.bend == other.bend.T) & _first(len(tie)))
    direct = twoway & direct_pairs(tie, min_r2)
    return np.stack([*masks, twoway & better, direct, direct & better])


def _first(g: int) -> np.ndarray:
    return np.triu(np.ones((g, g), dtype=bool), 1)


def direct_pairs(tie: np.ndarray, least: float) -> np.ndarray:
    """Pairs of which no third gene is tied more strongly to both ends.

    Parameters
    ----------
    tie
        Strength of the tie of each pair, symmetric, shape ``(g, g)``, 0 on the diagonal.
    least
        Weaker ties are not direct.

    Returns
    -------
    Shape ``(g, g)``, bool, symmetric.

    Examples
    --------
    >>> chain = np.array([[0, 0.8, 0.5], [0.8, 0, 0.6], [0.5, 0.6, 0]])
    >>> direct_pairs(chain, 0.1).astype(int).tolist()
    [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    first, second = np.nonzero(np.triu(tie > least, 1))
    strength = tie[first, second]
    for third in np.argsort(-tie.sum(axis=0), kind="stable"):  # hubs first: they explain most pairs away
        row = tie[third]
        keep = np.minimum(row[first], row[second]) <= strength
        if not keep.all():
            first, second, strength = first[keep], second[keep], strength[keep]
    direct = np.zeros(tie.shape, dtype=bool)
    direct[first, second] = direct[second, first] = True
    return direct


def _influences(
    measure: Measure | StreamedShare,
    genes: tuple[np.ndarray, np.ndarray],
    masks: np.ndarray,
    found: _Matrices,
    threads: int,
) -> np.ndarray:
    """Influences of the half's units on the sums over every set, shape ``(2, n_sets, axis)``."""
    regulators, targets = genes
    if isinstance(measure, StreamedShare):
        return measure.influences(regulators, targets, masks)
    block = measure.targets(targets)

    def work(low: int) -> np.ndarray:
        columns = measure.columns(regulators[low : low + BLOCK])
        weights = [mask[low : low + BLOCK].astype(np.float64) for mask in masks]
        levels = measure.sums(columns, block, weights)
        return np.stack(
            [
                np.stack(
                    [
                        measure.axis.place([of.own[s][kind].sum(axis=0) for of in levels])
                        for s in range(len(weights))
                    ]
                )
                for kind in range(2)
            ]
        )

    total = np.sum(in_threads(work, range(0, len(regulators), BLOCK), threads), axis=0)
    squares = measure.squares(block).astype(np.float64)
    for place in range(len(masks)):
        for kind, values in enumerate((found.bend, found.line)):
            total[kind, place] -= (masks[place] * values).sum(axis=0) @ squares
    return np.asarray(total)
