"""Residuals given a spline in the middle gene: partial correlations of values without a noise model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from .. import _names as names
from .._arrays import add, as_slice
from ..basis import N_COLUMNS, orthonormalise
from ..pairs.design import Design, Level
from ..pairs.score_kernels import Targets, level_conditioning
from .partial import MIN_REPLICATES, WORKING_BYTES, Downdate, Given, Replicates, Smooth, Spread
from .score_products import Left, Products, products_of

NOTHING_LEFT = 1e-9
"""Share of the variance of an end that must be left beside the middle gene."""
UNSAFE = 1e-3
"""Below this share float32 does not tell the residual covariance."""

_CHUNK = 128
CLEARLY_NEW = 1e-2
"""Share of a column that those before it leave, above which it need not be looked at closely."""

SHARED = 0.5
"""Share of the ends of many middle genes that each has, on average, from which products are made at once."""

Bases = list[np.ndarray]
"""Orthonormal columns of one gene in each level, shape ``(k, n)``."""


@dataclass(frozen=True, eq=False)
class Ready:
    """What was made for one middle gene together with others."""

    bases: Bases
    products: list[Products]
    """In each level, with ``ends``."""
    ends: np.ndarray
    """Genes, rising."""


class ScoreConditioner:
    """Conditions on any gene by its spline basis; levels have bases of their own.

    Parameters
    ----------
    matrix
        Values on the tested scale, shape ``(n_obs, n_genes)``, dense or CSC. Missing values are replaced
        by the mean of their gene.
    factors
        Size factors by which samples are divided, shape ``(n_obs,)``, or None.
    design
        Levels, covariates and replicates.
    k
        Columns of a basis.
    memory
        Bytes that scaled values, and covariances of all genes, may take each.

    Notes
    -----
    The variance of method 8.1, times n / (n - columns fitted): without it the size at 5 % is up to .09 with
    40 samples, with it up to .05 (spline residuals; Gaussian and skewed middle genes).
    """

    def __init__(
        self,
        matrix: np.ndarray | sp.csc_matrix,
        factors: np.ndarray | None,
        design: Design,
        *,
        k: int = N_COLUMNS,
        dtype: type = np.float32,
        memory: float = 1e9,
    ) -> None:
        self.k = k
        self.levels = design.levels
        self.n_genes = matrix.shape[1]
        self._targets = Targets(fill_missing(matrix), factors, design.levels)
        self.n_samples = len(self._targets.rows)
        self._missing = missing_values(matrix, self._targets.rows)
        self.most_ends = max(64, int(WORKING_BYTES / (8 * self.n_samples * (6 if design.n_clusters else 2))))
        genes = np.arange(self.n_genes)
        self._targets.prepare(dtype, memory, (genes[i : i + 1024] for i in range(0, self.n_genes, 1024)))
        self.end_status = np.full(self.n_genes, names.OK, dtype=object)
        self.end_status[~self._targets.varies.any(axis=0)] = names.CONSTANT
        self.status = self.end_status.copy()
        self._order: np.ndarray | None = None
        self._edges: list[slice] = []
        if design.n_clusters:
            self._order, self._edges = _by_cluster(design)
        if 0 < design.n_clusters < MIN_REPLICATES:
            self.status[self.status == names.OK] = names.TOO_FEW_REPLICATES
        self._n_nuisance = sum(level.covariates.shape[1] for level in self.levels)
        self._cross: np.ndarray | None = None
        if 4.0 * self.n_genes**2 <= memory:
            x = self._targets.block(slice(None), np.float32)
            self._cross = x @ x.T

    def bases_of(self, middle: np.ndarray) -> dict[int, Bases]:
        """Bases of middle genes in every level; many at once take a tenth of the time of one by one."""
        raw = self._targets.raw(middle)
        found: dict[int, Bases] = {int(gene): [] for gene in middle}
        for level, rows in zip(self.levels, self._targets.slices, strict=True):
            basis, n_columns = level_conditioning(raw[rows], level, self.k)
            for i, gene in enumerate(middle.tolist()):
                found[gene].append(basis[i, : n_columns[i]])
        return found

    def ready_of(self, middle: np.ndarray, ends: list[np.ndarray], dtype: type) -> dict[int, Bases | Ready]:
        """See `Conditioner`: bases; in float32, products with the ends too, where these are mostly the same.

        Residuals of replicates are needed one by one, and samples without a middle gene add columns.
        """
        bases = self.bases_of(middle)
        found: dict[int, Bases | Ready] = dict(bases)
        some = [i for i, gene in enumerate(middle.tolist()) if gene not in self._missing]
        if dtype is not np.float32 or self._order is not None or not some:
            return found
        every = np.unique(np.concatenate([ends[i] for i in some]))
        if sum(len(ends[i]) for i in some) < SHARED * len(some) * len(every):
            return found
        of_each = [bases[gene] for gene in middle[some].tolist()]
        products = products_of(
            lambda at: self._targets.block(every[at], dtype), len(every), self._targets.slices, of_each
        )
        for gene, of, made in zip(middle[some].tolist(), of_each, products, strict=True):
            found[gene] = Ready(of, made, every)
        return found

    def given(
        self,
        middle: int,
        ends: np.ndarray,
        dtype: type,
        *,
        listed: bool = False,
        ready: Bases | Ready | None = None,
    ) -> Given:
        """Condition ends on a middle gene; see `Conditioner`."""
        if isinstance(ready, Ready):
            n, x, bases = self.n_samples, None, ready.bases
            linear, spline = self._from_products(ready, ends)
        else:
            bases = self.bases_of(np.array([middle]))[middle] if ready is None else ready
            n = self.n_samples - len(self._missing.get(middle, ()))
            x = self._targets.block(ends, dtype)
            linear, spline = self._from_residuals(middle, x, bases, dtype)
        lost = 1 / np.nanmax(np.maximum(spline.inverse, linear.inverse), initial=1.0) ** 2 < UNSAFE
        if dtype is not np.float64 and lost:
            return self.given(middle, ends, np.float64, listed=listed, ready=bases)
        if self._cross is not None and dtype is not np.float64 and not listed:
            return Given(ends, self._cross, None, linear, spline, n)
        x = self._targets.block(ends, dtype) if x is None else x
        return Given(ends, (x, x), None, linear, spline, n)

    def _from_products(self, ready: Ready, ends: np.ndarray) -> tuple[Downdate, Downdate]:
        """What the line and the spline leave of ends, in float32."""
        at = as_slice(np.searchsorted(ready.ends, ends))
        products = [of.take(at) for of in ready.products]
        lines = [of.left_by(1) for of in products]
        splines = [of.left_by(len(of.with_square)) for of in products]
        return self._joined(lines, centred=True), self._joined(splines, centred=False)

    def _joined(self, levels: list[Left], *, centred: bool) -> Downdate:
        """Levels together, of what was left in each."""
        left = add(of.size for of in levels)  # float64 says whether it is nothing
        inverse = np.maximum(left, NOTHING_LEFT) ** -0.5
        scale: np.ndarray = inverse.astype(np.float32)
        a = np.concatenate([of.coefficients for of in levels])
        rows = []
        for of, level in zip(levels, self._targets.slices, strict=True):
            constant = of.size * (level.stop - level.start) ** -0.5
            rows += [constant[None].astype(np.float32), of.squares]
        w = np.concatenate(rows) * self._per_square(inverse, len(a)).astype(np.float32)
        return Downdate(scale, (a * scale).T, Smooth(w.T, self.n_samples, centred))

    def _per_square(self, inverse: np.ndarray, n_columns: int) -> np.ndarray:
        """What smoothed squares are multiplied with; see the notes of the class."""
        free = self.n_samples / max(self.n_samples - n_columns - self._n_nuisance, 1)
        return inverse**2 * np.sqrt(free)

    def _from_residuals(
        self, middle: int, x: np.ndarray, of_levels: Bases, dtype: type
    ) -> tuple[Downdate, Downdate]:
        """What the line and the spline leave of ends ``(m, n)``; samples without the middle gene left out."""
        gone = self._missing.get(middle, np.zeros(0, dtype=np.int64))
        bases: list[np.ndarray] = []
        lines: list[np.ndarray] = []
        for of_level, level, rows in zip(of_levels, self.levels, self._targets.slices, strict=True):
            absent = gone[(gone >= rows.start) & (gone < rows.stop)] - rows.start
            q, n_out = _leave_out(of_level, absent, level) if len(absent) else (of_level, 0)
            bases.append(q.astype(dtype))
            lines.append(bases[-1][: n_out + 1])
        spline = self._downdate(x, bases, bases, dtype, False)
        return self._downdate(x, lines, bases, dtype, True), spline

    def _downdate(
        self, x: np.ndarray, bases: list[np.ndarray], full: list[np.ndarray], dtype: type, centred: bool
    ) -> Downdate:
        """Residuals of ends on the columns ``bases``; their squares smoothed over the columns ``full``."""
        rows = self._targets.slices
        a = np.concatenate([x[:, r] @ q.T for r, q in zip(rows, bases, strict=True)], axis=1)
        smooth = [np.vstack([np.full((1, q.shape[1]), q.shape[1] ** -0.5, dtype), q]) for q in full]
        w: np.ndarray = np.empty((len(x), sum(len(s) for s in smooth)), dtype=dtype)
        left = np.zeros(len(x))
        e: np.ndarray = np.empty((len(x) if self._order is not None else 0, self.n_samples), dtype=dtype)
        for low in range(0, len(x), _CHUNK):
            at = slice(low, low + _CHUNK)
            column = place = 0
            for r, q, s in zip(rows, bases, smooth, strict=True):
                slopes = a[at, column : column + len(q)]
                part = slopes * q if len(q) == 1 else slopes @ q  # far quicker than a product of matrices
                np.subtract(x[at, r], part, out=part)
                if self._order is not None:
                    e[at, r] = part
                np.multiply(part, part, out=part)
                w[at, place : place + len(s)] = part @ s.T
                left[at] += w[at, place] * np.sqrt(part.shape[1])
                column, place = column + len(q), place + len(s)
        inverse = np.where(left > NOTHING_LEFT, left, np.nan) ** -0.5
        scale: np.ndarray = inverse.astype(dtype)
        spread: Spread
        if self._order is not None:
            e = e[:, self._order] * scale[:, None]
            parts = [np.ascontiguousarray(e[:, at]) for at in self._edges]
            sizes = tuple(part.shape[1] for part in parts)
            spread = Replicates(tuple((part, part) for part in parts), sizes)
        else:
            w *= self._per_square(inverse, a.shape[1]).astype(dtype)[:, None]
            spread = Smooth(w, self.n_samples, centred)
        return Downdate(scale, a * scale[:, None], spread)


def missing_values(matrix: np.ndarray | sp.csc_matrix, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Samples, in the order of ``rows``, that each gene has no value of; genes without such are left out."""
    values = matrix.data if sp.issparse(matrix) else matrix
    if not np.isnan(values).any():
        return {}
    gone = np.isnan(matrix.toarray() if sp.issparse(matrix) else matrix)[rows]
    return {int(gene): np.flatnonzero(gone[:, gene]) for gene in np.flatnonzero(gone.any(axis=0))}


def _leave_out(basis: np.ndarray, absent: np.ndarray, level: Level) -> tuple[np.ndarray, int]:
    """Put a column for each absent sample before the basis: its residuals become 0, as if it were not there.

    Returns the basis, orthonormal again, and how many of its columns are those of absent samples.

    A middle gene filled with its mean would leave both ends what the true value explains of them.
    """
    units = np.zeros((len(absent), basis.shape[1]))
    units[np.arange(len(absent)), absent] = 1.0
    columns = np.concatenate([units, basis])
    z = level.covariates
    if z.shape[1] > 1:
        columns = columns - (columns @ z) @ z.T
    q, size = np.linalg.qr((columns - columns.mean(axis=1, keepdims=True)).T)
    if (np.abs(np.diagonal(size)) > CLEARLY_NEW * np.linalg.norm(columns, axis=1)).all():
        return np.ascontiguousarray(q.T), len(absent)
    n_out = int(orthonormalise(columns[None, : len(absent)])[1][0])
    found, n_columns = orthonormalise(columns[None])
    return found[0, : n_columns[0]], n_out


def fill_missing(matrix: np.ndarray | sp.csc_matrix) -> np.ndarray | sp.csc_matrix:
    """Replace missing values by the mean of their column.

    Examples
    --------
    >>> fill_missing(np.array([[1.0, 2.0], [3.0, np.nan]]))
    array([[1., 2.],
           [3., 2.]])
    """
    if sp.issparse(matrix):
        if not np.isnan(matrix.data).any():
            return matrix
        matrix = matrix.toarray()
    gone = np.isnan(matrix)
    if not gone.any():
        return matrix
    known = np.maximum((~gone).sum(axis=0), 1)
    return np.where(gone, np.where(gone, 0.0, matrix).sum(axis=0) / known, matrix)


def _by_cluster(design: Design) -> tuple[np.ndarray, list[slice]]:
    """Order of samples that brings each replicate together over all levels, and their slices."""
    codes = np.concatenate([np.asarray(level.clusters) for level in design.levels])
    order = np.argsort(codes, kind="stable")
    edges = [0, *(np.flatnonzero(np.diff(codes[order])) + 1), len(codes)]
    return order, [slice(int(a), int(b)) for a, b in pairwise(edges)]
