"""Pairs with missing values, every one on the samples that it has, by matrix products (method 6.2).

For one regulator, D holds the covariates and the basis on the samples that know it, n of them. A target t
knows some of these, its mask m_t. The columns that are orthonormal on the samples of the pair are T_t D,
with T_t lower triangular: the inverse of the Cholesky factor of D diag(m_t) D', whose entries are the
products of pairs of columns of D with the mask. So masks, squares and weights of many targets meet the
products of columns that belong to the regulator alone in a few matrix products, and only what is not
a polynomial in D, the leverage under the root of the HC3 weight, is formed sample by sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..basis import spline_bases
from .design import Level
from .population_kernels import MAX_LEVERAGE, cluster_weight
from .replicate_kernels import masked_influences
from .score_kernels import Moments, columns_for, triangle

DROPPED = 1e-6
"""Of the norm of a column: what the columns before it must leave, or it is dropped on these samples."""
SURE = 1e-6
"""Of the square of that norm: below it the products have lost too many digits, and columns are subtracted one
by one."""


@dataclass(frozen=True, eq=False)
class Masked:
    """One regulator and m targets in one level, on the samples that each pair has."""

    known: np.ndarray
    """Samples of the regulator, shape ``(n_level,)``, bool; n of them."""
    design: np.ndarray
    """Covariates, then the basis of the regulator, shape ``(q, n)``."""
    products: np.ndarray
    """Products of two of its rows, those of `triangle`, shape ``(q (q + 1) / 2, n)``."""
    turn: np.ndarray
    """T, shape ``(m, q, q)``; rows of columns that are dropped are 0."""
    n_nuisance: int
    values: np.ndarray
    """Targets, covariates projected out, unit norm, 0 where missing, shape ``(m, n)``."""
    mask: np.ndarray
    """1 on the samples of each pair, shape ``(m, n)``."""
    norm: np.ndarray
    """Centred norm of each target before, shape ``(m,)``."""
    n_columns: int
    """Columns of the regulator's basis."""

    apart: np.ndarray
    """Targets whose columns are too close to each other for products, shape ``(u,)``."""
    columns_apart: np.ndarray
    """Their orthonormal columns, shape ``(u, q, n)``."""

    @property
    def used(self) -> np.ndarray:
        """Columns that are not dropped, shape ``(m, q)``."""
        return np.asarray(np.einsum("mqq->mq", self.turn) != 0)

    def take(self, pairs: np.ndarray) -> Masked:
        """The same for some pairs, in rising order."""
        inside = np.isin(self.apart, pairs)
        return replace(
            self,
            turn=self.turn[pairs],
            values=self.values[pairs],
            mask=self.mask[pairs],
            norm=self.norm[pairs],
            apart=np.searchsorted(pairs, self.apart[inside]),
            columns_apart=self.columns_apart[inside],
        )

    def along(self, values: np.ndarray) -> np.ndarray:
        """Products of the orthonormal columns with values ``(m, n)``, 0 where missing; shape ``(m, q)``."""
        found = np.matmul(self.turn, (values @ self.design.T)[:, :, None])[:, :, 0]
        found[self.apart] = np.matmul(self.columns_apart, values[self.apart][:, :, None])[:, :, 0]
        return found

    def combined(self, coefficients: np.ndarray) -> np.ndarray:
        """Sum of the orthonormal columns times coefficients ``(m, q)``; shape ``(m, n)``."""
        turned = np.matmul(coefficients[:, None], self.turn)[:, 0]
        found = turned @ self.design
        found *= self.mask
        found[self.apart] = np.matmul(coefficients[self.apart][:, None], self.columns_apart)[:, 0]
        return found

    def quadratic(self, weights: np.ndarray) -> np.ndarray:
        """Sum of the squares of the orthonormal columns times weights ``(m, q)``; shape ``(m, n)``."""
        full = np.matmul(self.turn.transpose(0, 2, 1) * weights[:, None], self.turn)
        found = folded(full) @ self.products
        found *= self.mask
        found[self.apart] = np.matmul(weights[self.apart][:, None], self.columns_apart**2)[:, 0]
        return found

    def gram(self, weights: np.ndarray) -> np.ndarray:
        """Products of the orthonormal columns under weights ``(m, n)``, 0 where missing: ``(m, q, q)``."""
        middle = unfolded(weights @ self.products.T)
        found = np.matmul(np.matmul(self.turn, middle), self.turn.transpose(0, 2, 1))
        weighted = self.columns_apart * weights[self.apart][:, None]
        found[self.apart] = np.matmul(weighted, self.columns_apart.transpose(0, 2, 1))
        return found

    def columns(self, pairs: np.ndarray) -> np.ndarray:
        """All orthonormal columns of some pairs, covariates first, shape ``(len(pairs), q, n)``."""
        found = np.matmul(self.turn[pairs], self.design)
        found *= self.mask[pairs, None]
        place = np.searchsorted(self.apart, pairs)
        inside = np.isin(pairs, self.apart)
        found[inside] = self.columns_apart[place[inside]]
        return found


def mask_pairs(x: np.ndarray, y: np.ndarray, present: np.ndarray, level: Level, k: int) -> Masked:
    """Make one regulator and its targets ready where values are missing.

    Parameters
    ----------
    x
        The regulator in this level, shape ``(n,)``; NaN where missing.
    y
        The targets, shape ``(m, n)``, any finite value where missing.
    present
        Where the target is known, shape ``(m, n)``, bool or 0 and 1.
    """
    known = ~np.isnan(x)
    basis, n_columns = spline_bases(x[known][:, None], columns_for(int(known.sum()), k))
    basis = np.pad(basis, ((0, 0), (0, k - basis.shape[1]), (0, 0)))
    design = np.concatenate([level.covariates[known].T, basis[0]])
    products = np.stack([design[i] * design[j] for i, j in triangle(len(design))])
    mask = np.asarray(present[:, known], dtype=np.float64)
    turn, unsure = orthonormal_rows(unfolded(mask @ products.T))
    apart = np.flatnonzero(unsure)
    turn[apart], columns = _one_by_one(design, mask[apart])
    p, values = level.covariates.shape[1], y[:, known] * mask
    norm = np.ones(len(y))
    found = Masked(known, design, products, turn, p, values, mask, norm, int(n_columns[0]), apart, columns)
    of_nuisance = found.along(values)
    of_nuisance[:, p:] = 0.0
    values -= found.combined(of_nuisance)
    np.sqrt(np.einsum("mn,mn->m", values, values), out=norm)
    values /= np.where(norm > 0, norm, 1.0)[:, None]
    return found


def unfolded(triangles: np.ndarray) -> np.ndarray:
    """Symmetric matrices ``(m, q, q)`` from their upper triangles ``(m, q (q + 1) / 2)``."""
    q = int((2 * triangles.shape[1]) ** 0.5)
    full = np.empty((len(triangles), q, q))
    for column, (i, j) in enumerate(triangle(q)):
        full[:, i, j] = full[:, j, i] = triangles[:, column]
    return full


def folded(full: np.ndarray) -> np.ndarray:
    """Upper triangles of symmetric matrices, entries off the diagonal twice: for sums over both halves."""
    pairs = triangle(full.shape[1])
    return np.stack([full[:, i, j] * (1 if i == j else 2) for i, j in pairs], axis=1)


def orthonormal_rows(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that turn columns with these products into orthonormal ones, and where that is not sure.

    ``gram`` has shape ``(m, q, q)``; row j of the answer is that of column j made orthogonal to those before.
    """
    m, q, _ = gram.shape
    products = np.ascontiguousarray(gram.transpose(1, 2, 0))
    turn = np.zeros((q, q, m))  # pairs last: every step is one along them
    unsure = np.zeros(m, dtype=bool)
    for j in range(q):
        row = turn[j]
        row[j] = 1.0
        for i in range(j):
            along = np.einsum("am,am->m", turn[i, : i + 1], products[j, : i + 1])
            row[: i + 1] -= along * turn[i, : i + 1]
        left = np.einsum("am,am->m", row[: j + 1], products[j, : j + 1])
        whole = products[j, j]
        unsure |= (left < SURE * whole) & (whole > 0)
        kept = left > DROPPED**2 * whole
        row *= np.where(kept, 1 / np.sqrt(np.where(kept, left, 1.0)), 0.0)
    return np.ascontiguousarray(turn.transpose(2, 0, 1)), unsure


def _one_by_one(design: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same rows by subtracting columns one by one, twice, on a pair's samples; and the columns."""
    columns = design[None] * mask[:, None]
    m, q, _ = columns.shape
    if m == 0:
        return np.zeros((0, q, q)), columns
    turn = np.broadcast_to(np.eye(q), (m, q, q)).copy()
    for j in range(q):
        before = np.sqrt((columns[:, j] ** 2).sum(axis=1))
        for _ in range(2):
            along = np.matmul(columns[:, :j], columns[:, j, :, None])[:, :, 0]
            columns[:, j] -= np.matmul(along[:, None], columns[:, :j])[:, 0]
            turn[:, j] -= np.matmul(along[:, None], turn[:, :j])[:, 0]
        after = np.sqrt((columns[:, j] ** 2).sum(axis=1))
        scale = np.where(after > DROPPED * before, 1 / np.where(after > 0, after, 1.0), 0.0)[:, None]
        columns[:, j] *= scale
        turn[:, j] *= scale
    return turn, columns


def masked_moments(of: Masked, level: Level, *, test: str) -> tuple[Moments, np.ndarray]:
    """Scores of one regulator against targets with missing values: every pair on its complete samples.

    Returns
    -------
    The moments (shape ``(1, m)``) and the samples of each pair ``(m,)``. The basis is built on the samples of
    the regulator and made orthonormal again on those of the pair; float64 throughout.
    """
    p, q = of.n_nuisance, len(of.design)
    score = of.along(of.values)[:, p:]  # (m, k)
    moments = Moments(score[None, :, 0], [score[None, :, j] for j in range(1, q - p)])
    if level.clusters is not None:
        every = of.columns(np.arange(len(score)))
        moments.clusters = masked_influences(every[:, p:], of.values, score.T, level.clusters[of.known])
    elif test == "robust":
        unit = np.zeros((len(score), q))
        unit[:, p] = 1.0
        line = of.combined(unit)
        unit[:, :p] = 1.0
        weight = 1 - of.quadratic(unit)
        np.maximum(weight, 1e-3, out=weight)
        weight *= weight
        np.divide(of.mask, weight, out=weight)
        residual = of.values - score[:, :1] * line
        for name, part in (("variance", residual), ("variance_null", of.values)):
            full = of.gram(weight * part * part)[:, p:, p:]
            setattr(moments, name, {(j, m): full[None, :, j, m] for j, m in triangle(q - p)})
        line *= line
        moments.fourth = np.einsum("mn,mn->m", line, line)[None]
    return moments, of.mask.sum(axis=1).astype(np.int64)


def masked_sums(
    of: Masked, scale: np.ndarray, clusters: np.ndarray | None, n_clusters: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """B and L (see ``population_kernels``) of one regulator and m targets in one level.

    Parameters
    ----------
    scale
        Norm of each target in this level, where that over all levels is 1, shape ``(m,)``.
    clusters
        Code of the replicate of each sample, shape ``(n,)``; None: samples are independent.
    n_clusters
        How many codes there are.

    Returns
    -------
    B and L of every pair, each ``(m,)``, and the influences of samples (or replicates) on them, each
    ``(m, n)`` (or ``(m, D)``), the term of the norm of y left out.
    """
    p = of.n_nuisance
    values = of.values * scale[:, None]
    scores = of.along(values)
    scores[:, :p] = 0.0
    alone = np.zeros_like(scores)
    alone[:, p] = 1.0
    own_line = of.combined(alone)
    line = own_line * scores[:, p, None]
    rest = values - of.combined(scores)
    by_line = line * (2 * values - line)
    by_bend = values**2 - rest**2 - by_line
    scores = scores[:, p:]
    if clusters is not None:
        member = (clusters[:, None] == np.arange(n_clusters)).astype(np.float64)
        variance, more = _by_replicate(of, rest, clusters, n_clusters)
        by_line, by_bend = by_line @ member + more[:, 0], by_bend @ member + more[:, 1:].sum(axis=1)
    else:
        weight = of.quadratic(np.ones_like(alone))
        weight = of.mask * rest**2 / (1 - np.minimum(weight, MAX_LEVERAGE))
        variance = np.einsum("mjj->mj", of.gram(weight))[:, p:]
        by_line += own_line**2 * (variance[:, :1] - weight)
        bends = np.zeros_like(alone)
        bends[:, p + 1 :] = variance[:, 1:]
        by_bend += of.quadratic(bends)
        bends[:, p + 1 :] = 1.0
        by_bend -= weight * of.quadratic(bends)
    explained = scores**2 - variance
    return explained[:, 1:].sum(axis=1), explained[:, 0], by_bend, by_line


def _by_replicate(
    of: Masked, rest: np.ndarray, clusters: np.ndarray, n_clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Variance of every score, ``(m, k)``, and the influence of replicates on it, ``(m, k, D)``."""
    own = of.columns(np.arange(len(rest)))[:, of.n_nuisance :]
    square, information = np.zeros((2, *own.shape[:2], n_clusters))
    for code in np.unique(clusters):
        part = own[:, :, clusters == code]
        gram = np.matmul(part, part.transpose(0, 2, 1))
        left = np.einsum("mkn,mn->mk", part, rest[:, clusters == code])
        square[:, :, code] = left**2 * cluster_weight(gram).T
        information[:, :, code] = np.einsum("mkk->mk", gram)
    variance = square.sum(axis=2)
    return variance, information * variance[:, :, None] - square
