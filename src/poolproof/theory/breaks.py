"""Monte Carlo: does pooling break a conditional independence that the cells have (method 3)?

A test on simulated pools never proves an independence. It says ``broken`` where it rejects in pools and
does not on as many single cells, and else names the effect that it would have found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats
from scipy.linalg import qr

from .._checks import InputError
from .._grouping import neighbours
from .._random import stream
from ..aggregation import Aggregation
from ..basis import spline_basis
from ..models.laws import Law
from ..models.scm import SCM

LEVEL = 1e-3
"""Level of all tests together."""
POWER = 0.8
N_COLUMNS = 6
N_NUMBERS = 6
"""Classes of a number of cells that varies."""
BLOCK = 250
"""Pools that are drawn from one stream, whatever the memory."""
MAX_CELLS = 2_000_000
"""Cells that are held at once."""


MANY_VALUES = 100
"""Different values of a gene in simulated cells beyond which it counts as one without steps."""
WIDE_GAP = 0.1
"""Share of the middle 98 % of a gene's values that an empty stretch between two of them may take."""


@dataclass(frozen=True)
class BreakTest:
    """What the simulated pools say of a list of separations."""

    broken: tuple[bool, ...]
    smooth: tuple[bool, ...]
    """Whether curves in the sums of the genes given can be smooth: those have no gaps in cells."""
    n_pools: int
    level: float
    """Level of each single test."""
    detectable: float
    """Residual correlation that had power 0.8."""


def find_breaks(
    scm: SCM,
    aggregation: Aggregation,
    cells: int | Law,
    separations: Sequence[tuple[int, int, tuple[int, ...]]],
    *,
    n_pools: int,
    seed: int,
) -> BreakTest:
    """Test separations on simulated pools, and on as many single cells.

    Parameters
    ----------
    separations
        Positions of x, y and the genes given, in the order of ``scm.genes``.
    n_pools
        Pools that are simulated.
    """
    level = LEVEL / (2 * max(len(separations), 1))
    pools = Residuals(*simulate(scm, aggregation, cells, n_pools, seed))
    largest = max(scm.fractions, key=scm.fractions.__getitem__)
    singles = Residuals(scm.sample(n_pools, stream(seed, "cells"), largest))  # of one type, as they are
    without_gaps = [_has_no_gaps(column) for column in scm.sample(n_pools, stream(seed, "gaps")).T]
    broken, smooth = [], []
    for x, y, given in separations:
        in_pools = pools.smallest_p(x, y, given)
        broken.append(in_pools < level and singles.smallest_p(x, y, given) >= level)
        smooth.append(all(without_gaps[j] for j in given))
    reach = stats.norm.isf(level / 2) + stats.norm.ppf(POWER)
    return BreakTest(tuple(broken), tuple(smooth), n_pools, level, float(min(1.0, reach / np.sqrt(n_pools))))


def _has_no_gaps(values: np.ndarray) -> bool:
    """Whether values fill their range, or are neighbouring whole numbers: then sums are no code of cells."""
    low, high = np.quantile(values, [0.01, 0.99])
    levels = np.unique(values)
    middle = levels[(levels >= low) & (levels <= high)]
    if len(levels) <= MANY_VALUES:
        steps = np.diff(middle)
        return len(steps) == 0 or bool(np.allclose(steps, steps[0], rtol=1e-9))
    return bool(np.diff(middle).max(initial=0.0) <= WIDE_GAP * (high - low))


def simulate(
    scm: SCM, aggregation: Aggregation, cells: int | Law, n_pools: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pools of a model, shape (n_pools, n_genes), and their numbers of cells; whatever the memory.

    Cells that are alike are neighbours among all cells of all pools, which are then drawn at once.
    """
    if aggregation.alike_in:
        return _alike(scm, aggregation, cells, n_pools, seed), np.full(n_pools, cells)
    parts, numbers = [], []
    for block, low in enumerate(range(0, n_pools, BLOCK)):
        rng = stream(seed, "pools", block)
        n = min(BLOCK, n_pools - low)
        sizes = np.full(n, cells) if isinstance(cells, int) else _sizes(cells, n, rng)
        parts += [_pooled(scm, aggregation, part, rng) for part in _portions(sizes)]
        numbers.append(sizes)
    return np.concatenate(parts), np.concatenate(numbers)


def _alike(scm: SCM, aggregation: Aggregation, cells: int | Law, n_pools: int, seed: int) -> np.ndarray:
    """Pools of neighbours, shape (n_pools, n_genes)."""
    if not isinstance(cells, int):
        raise InputError(f"similarity needs a fixed number of cells; found {cells.text}")
    values = scm.sample(n_pools * cells, stream(seed, "pools", 0))
    shared = values[:, [list(scm.genes).index(gene) for gene in aggregation.alike_in]]
    spread = shared.std(axis=0)
    groups = neighbours(shared / np.where(spread > 0, spread, 1.0), n_pools)
    return np.asarray(aggregation.pool(values, groups, n_pools))


def _sizes(law: Law, n: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of cells, at least 1."""
    sizes = np.rint(law.sample(rng, n)).astype(int)
    while (sizes < 1).any():
        empty = sizes < 1
        sizes[empty] = np.rint(law.sample(rng, int(empty.sum()))).astype(int)
    return sizes


def _portions(sizes: np.ndarray) -> Iterator[np.ndarray]:
    n = max(1, int(MAX_CELLS // max(sizes.max(), 1)))
    yield from (sizes[low : low + n] for low in range(0, len(sizes), n))


def _pooled(scm: SCM, aggregation: Aggregation, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    values = scm.sample(int(sizes.sum()), rng)
    if (sizes == sizes[0]).all():
        return aggregation.pool_blocks(values.reshape(len(sizes), sizes[0], -1))
    return np.asarray(aggregation.pool(values, np.repeat(np.arange(len(sizes)), sizes), len(sizes)))


class Residuals:
    """Tests of independence on one sample, with what depends on the genes given kept.

    All variables are ranked to normal scores first, which changes no independence; residuals are those of
    splines in the genes given, with products of their first two columns. Where the number of cells varies,
    what the genes given tell of it is a function of them too, and a regression on it mixes one line for each
    number: the probabilities of the numbers, and their products with the genes, join the columns.
    """

    def __init__(self, values: np.ndarray, numbers: np.ndarray | None = None) -> None:
        """Take a sample, shape (n, n_genes), and the numbers of cells, shape (n,)."""
        self.values = values
        self.scores = np.stack([_normal_scores(column) for column in values.T], axis=1)
        self.groups = None if numbers is None else _number_groups(numbers)
        self._designs: dict[tuple[int, ...], np.ndarray] = {}
        self._kept: dict[tuple[int, tuple[int, ...]], tuple[np.ndarray, np.ndarray]] = {}

    def smallest_p(self, x: int, y: int, given: Sequence[int]) -> float:
        """Smaller p-value of two tests of residuals: of their product, and of that of their squares."""
        first, second = (self._of(column, tuple(given)) for column in (x, y))
        return min(_product_p(first[0], second[0]), _product_p(first[1], second[1]))

    def _of(self, column: int, given: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Residuals of one gene, and residuals of their squares."""
        key = (column, given)
        if key not in self._kept:
            design = self._design(given)
            residual = _residual(design, self.scores[:, column])
            self._kept[key] = residual, _residual(design, residual**2)
        return self._kept[key]

    def _design(self, given: tuple[int, ...]) -> np.ndarray:
        """Orthonormal columns."""
        if given in self._designs:
            return self._designs[given]
        n = len(self.values)
        parts = [np.ones((n, 1)) / np.sqrt(n)]
        bases = [spline_basis(self.scores[:, j], N_COLUMNS) for j in given]
        parts += bases
        for a, b in combinations(bases, 2):
            few = a[:, :2, None] * b[:, None, :2] * np.sqrt(n)
            parts.append(few.reshape(n, -1))
        if self.groups is not None and given:
            parts.append(_number_columns(self.values[:, list(given)], self.groups))
        q, r, _ = qr(np.hstack(parts), mode="economic", pivoting=True)
        size = np.abs(np.diag(r))
        self._designs[given] = q[:, size > 1e-8 * size[0]]
        return self._designs[given]


def _number_groups(numbers: np.ndarray) -> np.ndarray | None:
    """Codes of up to ``N_NUMBERS`` classes of the number of cells; None if it does not vary."""
    distinct = np.unique(numbers)
    if len(distinct) == 1:
        return None
    if len(distinct) <= N_NUMBERS:
        return np.searchsorted(distinct, numbers)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, N_NUMBERS + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, numbers), return_inverse=True)[1].ravel()


def _number_columns(given: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Probability of each class of numbers given the genes, by Gaussian densities, and its products."""
    n = len(given)
    scaled = (given - given.mean(axis=0)) / np.maximum(given.std(axis=0), 1e-300)
    log_density = np.empty((n, groups.max() + 1))
    for group in range(groups.max() + 1):
        mine = scaled[groups == group]
        covariance = np.atleast_2d(np.cov(mine, rowvar=False)) + 1e-9 * np.eye(given.shape[1])
        inverse = np.linalg.pinv(covariance)
        apart = scaled - mine.mean(axis=0)
        log_density[:, group] = (
            np.log(len(mine))
            - 0.5 * np.linalg.slogdet(covariance)[1]
            - 0.5 * np.einsum("ij,jk,ik->i", apart, inverse, apart)
        )
    weight = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    slopes = weight[:, :, None] * scaled[:, None, :]
    return np.hstack([weight, slopes.reshape(n, -1)]) / np.sqrt(n)


def _normal_scores(values: np.ndarray) -> np.ndarray:
    return stats.norm.ppf((stats.rankdata(values) - 0.5) / len(values))


def _residual(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values - design @ (design.T @ values)


def _product_p(a: np.ndarray, b: np.ndarray) -> float:
    products = a * b
    size = np.sqrt((products**2).sum())
    return float(2 * stats.norm.sf(abs(products.sum()) / size)) if size > 1e-12 else 1.0
