"""Kernels of the classical and the robust test of linearity (method 6.2): all pairs by matrix products.

For an ordered pair x -> y, Q = [q_1 .. q_k] is the basis of x and y is centred with unit norm. The
score of the bends is s_j = q_j'y, j >= 2; u is what the line leaves of y. With h the leverage of the
linear fit, the robust variance of the scores is M_jl = sum_i q_ij q_il u_i^2 / (1 - h_i)^2 (the HC3
weight of MacKinnon & White 1985, with the leverage of the null model), and s'M^-1 s ~ chi2(k - 1) if
E[y|x] is affine. As u = y - q_1 b, M expands into products of columns that belong to x alone with y
and y^2, so that a block of regulators meets a block of targets in two matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from scipy import special

from .._arrays import add, as_slice, dense_columns
from ..basis import N_COLUMNS, conditioning_bases, orthonormalise, spline_bases
from .design import Level
from .replicate_kernels import Influence, influences, leave_out_maps

Tri = dict[tuple[int, int], np.ndarray]

STEEP = 0.9
"""Linear R2 above which float32 products lose the residual: such pairs are decided in float64."""
WEAK = 0.02
"""Pivot of a robust variance, relative to the diagonal entry of what was summed, below which float32 is not
enough: the error of -ln p is up to 2e-5 over it."""


def triangle(k: int) -> list[tuple[int, int]]:
    """Row and column of each entry of a symmetric matrix, the upper triangle row by row."""
    return [(j, m) for j in range(k) for m in range(j, k)]


@dataclass(frozen=True, eq=False)
class LevelFeatures:
    """Columns of a block of R regulators in one level, ready for the products."""

    with_y: np.ndarray
    """Columns multiplied with y: q_j, then (robust) w q_j q_m q_1, shape ``(c1 * R, n)``."""
    with_y2: np.ndarray
    """Columns multiplied with y^2: w q_j q_m, shape ``(c2 * R, n)``."""
    constant: np.ndarray
    """sum_i w q_j q_m q_1^2, shape ``(c2, R)``."""
    n_columns: np.ndarray
    """Columns of each basis, shape ``(R,)``."""
    fourth: np.ndarray
    """sum_i q_i1^4, shape ``(R,)``: over one of it is the number of samples that carry the line."""
    leave_out: np.ndarray
    """With replicates: see :func:`~poolproof.pairs.replicate_kernels.leave_out_maps`, ``(R, D, k, 2 k)``."""

    def columns(self) -> np.ndarray:
        """The orthonormal columns, a view, shape ``(k, R, n)`` (robust, without replicates)."""
        n_regulators, n = len(self.n_columns), self.with_y.shape[1]
        k = (len(self.with_y) - len(self.with_y2)) // n_regulators
        return self.with_y.reshape(-1, n_regulators, n)[:k]

    def take(self, regulators: np.ndarray) -> LevelFeatures:
        """The same for some regulators of the block."""
        n_regulators, n = len(self.n_columns), self.with_y.shape[1]

        def pick(flat: np.ndarray) -> np.ndarray:
            return flat.reshape(-1, n_regulators, n)[:, regulators].reshape(-1, n)

        return LevelFeatures(
            pick(self.with_y),
            pick(self.with_y2),
            self.constant[:, regulators],
            self.n_columns[regulators],
            self.fourth[regulators],
            self.leave_out[regulators],
        )

    def astype(self, dtype: type) -> LevelFeatures:
        """The same in another floating-point type."""
        return LevelFeatures(
            self.with_y.astype(dtype),
            self.with_y2.astype(dtype),
            self.constant.astype(dtype),
            self.n_columns,
            self.fourth,
            self.leave_out.astype(dtype),
        )


@dataclass(eq=False)
class Moments:
    """Score, variance and covariance of one level for R regulators x m targets, each ``(R, m)``."""

    b: np.ndarray
    s: list[np.ndarray]
    variance: Tri = field(default_factory=dict)
    """M over all columns, with u."""
    variance_null: Tri = field(default_factory=dict)
    """The same with y in place of u: x explains nothing."""
    fourth: np.ndarray | None = None
    """sum_i q_i1^4, broadcastable to ``(R, m)``."""
    clusters: list[Influence] = field(default_factory=list)
    """With replicates: what leaving out each of them changes."""

    def at(self, chosen: np.ndarray) -> Moments:
        """What the bound needs of some pairs, by their flat positions."""

        def pick(values: np.ndarray) -> np.ndarray:
            return values.ravel().take(chosen)

        return Moments(
            pick(self.b),
            [pick(s) for s in self.s],
            {pair: pick(value) for pair, value in self.variance.items()},
            clusters=[Influence(code, [pick(v) for v in change]) for code, change in self.clusters],
        )

    def rescale(self, scale: np.ndarray) -> None:
        """Moments of unit-norm targets become those of targets with this norm."""
        self.b = self.b * scale
        self.s = [s * scale for s in self.s]
        for matrix in (self.variance, self.variance_null):
            for key in matrix:
                matrix[key] = matrix[key] * scale**2
        self.clusters = [Influence(code, [v * scale for v in change]) for code, change in self.clusters]


def least_p_value(levels: tuple[Level, ...], k: int) -> float:
    """Smallest p-value that the robust test of the bends can give on so many samples, whatever their values.

    The score s'M^-1 s is at most sum (1 - h)^2 (Cauchy & Schwarz), and that at most n less the columns of the
    linear fit.

    Examples
    --------
    >>> level = Level("", np.arange(12), np.full((12, 1), 12**-0.5), np.zeros(12, dtype=int), None)
    >>> round(least_p_value((level,), 5), 4)
    0.0016
    """
    most = sum(len(level.rows) - level.covariates.shape[1] - 1 for level in levels)
    df = sum(columns_for(len(level.rows), k) - 1 for level in levels)
    return float(special.chdtrc(df, max(most, 0)))


def columns_for(n: int, k: int) -> int:
    """Columns of a basis on n samples: k from 30 samples on, below that one for every 6, at least 2.

    A small level (of ``within``) would spend its samples on bends that it cannot show.
    """
    return min(k, max(2, n // 6))


def level_bases(x: np.ndarray, level: Level, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Bases of a block of regulators in one level, built from x itself, covariates projected out.

    ``x`` has shape ``(n, R)``; the bases ``(R, k, n)``, unused columns 0 and last; and the columns used.
    """
    basis, n_columns = spline_bases(x, columns_for(len(x), k))
    if basis.shape[1] < k:
        basis = np.pad(basis, ((0, 0), (0, k - basis.shape[1]), (0, 0)))
    if level.covariates.shape[1] > 1:
        z = level.covariates
        basis, n_columns = orthonormalise(basis - np.matmul(np.matmul(basis, z), z.T))
    return basis, n_columns


def level_conditioning(x: np.ndarray, level: Level, k: int) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`level_bases`, for conditioning on x: see :func:`poolproof.basis.conditioning_bases`."""
    basis, n_columns = conditioning_bases(x, columns_for(len(x), k))
    if basis.shape[1] < k:
        basis = np.pad(basis, ((0, 0), (0, k - basis.shape[1]), (0, 0)))
    if level.covariates.shape[1] > 1:
        z = level.covariates
        basis, n_columns = orthonormalise(basis - np.matmul(np.matmul(basis, z), z.T))
    return basis, n_columns


def level_features(x: np.ndarray, level: Level, *, test: str, k: int = N_COLUMNS) -> LevelFeatures:
    """Build the columns of a block of regulators in one level, float64.

    Parameters
    ----------
    x
        Values of the regulators, shape ``(n, R)``, in the order of ``level.rows``, finite.
    level
        Its covariates are projected out of the bases, which are built from x itself.
    test
        ``classical`` or ``robust``.
    """
    basis, n_columns = level_bases(x, level, k)
    n_regulators, _, n = basis.shape
    columns = np.ascontiguousarray(basis.transpose(1, 0, 2))  # (k, R, n)
    square = columns[0] * columns[0]
    fourth = np.einsum("rn,rn->r", square, square)
    if test == "classical" or level.clusters is not None:
        empty = np.zeros((0, n_regulators))
        flat = columns.reshape(-1, n)
        maps = leave_out_maps(basis, level.cluster_slices()) if level.clusters is not None else basis[:, :0]
        return LevelFeatures(flat, flat[:0], empty, n_columns, fourth, maps)
    leverage = square + (level.covariates**2).sum(axis=1)
    weight = 1.0 / np.maximum(1.0 - leverage, 1e-3) ** 2
    pairs = triangle(k)
    with_y = np.empty((k + len(pairs), n_regulators, n))
    with_y2 = np.empty((len(pairs), n_regulators, n))
    constant = np.empty((len(pairs), n_regulators))
    with_y[:k] = columns
    weighted = weight * columns
    for p, (j, m) in enumerate(pairs):
        product = weighted[j] * columns[m]
        with_y2[p] = product
        product *= columns[0]
        with_y[k + p] = product
        constant[p] = np.einsum("rn,rn->r", product, columns[0])
    return LevelFeatures(
        with_y.reshape(-1, n), with_y2.reshape(-1, n), constant, n_columns, fourth, basis[:, :0]
    )


def level_moments(features: LevelFeatures, y: np.ndarray, level: Level, *, test: str, k: int) -> Moments:
    """Scores and variances of a block of regulators against a block of targets, by matrix products.

    ``y`` holds the targets, shape ``(m, n)``: centred, covariates projected out.
    """
    n_regulators = len(features.n_columns)
    if level.clusters is not None:
        theta, found = influences(features.leave_out, features.with_y, y, level.cluster_slices())
        return Moments(theta[0], list(theta[1:]), clusters=found)
    first = (features.with_y @ y.T).reshape(-1, n_regulators, len(y))
    b, s = first[0], list(first[1:k])
    if test == "classical":
        return Moments(b, s)
    second = (features.with_y2 @ (y * y).T).reshape(-1, n_regulators, len(y))
    moments = Moments(b, s, fourth=features.fourth[:, None])
    b2 = b * b
    for p, pair in enumerate(triangle(k)):
        moments.variance_null[pair] = second[p]
        variance = first[k + p]
        variance *= -2 * b
        variance += second[p]
        variance += features.constant[p][:, None] * b2
        moments.variance[pair] = variance
    return moments


def quadratic_form(
    matrix: Tri,
    vector: list[np.ndarray],
    columns: list[int],
    floor: float,
    weak: np.ndarray | None = None,
    summed: Tri | None = None,
) -> np.ndarray:
    """``v' A^-1 v`` for many small symmetric matrices at once, by Cholesky, elementwise over arrays.

    Pivots are held above ``floor`` times their diagonal entry: a direction without variance (a missing
    column of the basis), whose entry of ``v`` vanishes with it, then adds nothing. ``weak``, if given, is set
    where a pivot is small (`WEAK`) beside the diagonal of ``summed``, from which A is what was left, or of A
    itself: few samples carry a column, and rounding shows.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # where float32 fails, float64 decides
        return np.minimum(_quadratic_form(matrix, vector, columns, floor, weak, summed or matrix), 1e30)


def _quadratic_form(
    matrix: Tri,
    vector: list[np.ndarray],
    columns: list[int],
    floor: float,
    weak: np.ndarray | None,
    summed: Tri,
) -> np.ndarray:
    lower: dict[tuple[int, int], np.ndarray] = {}
    solved: list[np.ndarray] = []
    total = None
    for a, i in enumerate(columns):
        diagonal = matrix[i, i]
        pivot, rest = diagonal, vector[a]
        for c in range(a):
            part = lower[c, a]
            pivot = pivot - part * part
            rest = rest - part * solved[c]
        if weak is not None:
            weak |= pivot < WEAK * summed[i, i]
        inverse = np.abs(diagonal)
        inverse *= floor
        inverse += 1e-30
        np.maximum(inverse, pivot, out=inverse)
        np.sqrt(inverse, out=inverse)
        np.divide(1.0, inverse, out=inverse)
        rest = rest * inverse
        solved.append(rest)
        total = rest * rest if total is None else np.add(total, rest * rest, out=total)
        for d in range(a + 1, len(columns)):
            value = matrix[i, columns[d]]
            for c in range(a):
                value = value - lower[c, a] * lower[c, d]
            lower[a, d] = value * inverse
    return total if total is not None else np.zeros_like(vector[0])


def pair_sum(matrix: Tri, left: list[np.ndarray]) -> np.ndarray:
    """``v' A v`` over columns 1.. (the bends), elementwise over arrays."""
    total = np.zeros_like(left[0])
    for (j, m), value in matrix.items():
        if j >= 1:
            total += value * left[j - 1] * left[m - 1] * (1 if j == m else 2)
    return total


class Targets:
    """Targets centred, covariates projected out, scaled to unit norm over all levels."""

    def __init__(
        self, matrix: np.ndarray | sp.csc_matrix, factors: np.ndarray | None, levels: tuple[Level, ...]
    ) -> None:
        self._matrix = matrix
        self._factors = factors
        self.levels = levels
        self.rows = np.concatenate([level.rows for level in levels])
        self._every_row = np.array_equal(self.rows, np.arange(matrix.shape[0]))
        edges = np.cumsum([0, *(len(level.rows) for level in levels)])
        self.slices = [slice(int(a), int(b)) for a, b in pairwise(edges)]
        self.n_genes = matrix.shape[1]
        self.varies = np.zeros((len(levels), self.n_genes), dtype=bool)
        self.missing = np.zeros(self.n_genes, dtype=bool)
        self.norm = np.zeros(self.n_genes)
        self.kurtosis = np.zeros((len(levels), self.n_genes))
        self._prepared: dict[np.dtype, np.ndarray] = {}

    def raw(self, genes: np.ndarray) -> np.ndarray:
        """Values of genes divided by the size factors, shape ``(n, len(genes))``, level by level.

        They may be those of the matrix itself: not to be changed.
        """
        if isinstance(self._matrix, np.ndarray):
            values = np.asarray(self._matrix[:, as_slice(genes)], dtype=np.float64)
        else:
            values = dense_columns(self._matrix, genes)
        if not self._every_row:
            values = values[self.rows]
        if self._factors is not None:
            values = values / self._factors[self.rows, None]
        return values

    def known_values(self, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values of genes less the mean of those that are known, and which are known.

        Both have the shape ``(len(genes), n)``; the latter holds 0 and 1. What stands where a value is
        missing means nothing.
        """
        y = self.raw(genes).T.copy(order="C")
        present = ~np.isnan(y)
        y[~present] = 0.0
        y -= (y.sum(axis=1) / np.maximum(present.sum(axis=1), 1))[:, None]
        return y, present.astype(np.float64)

    def prepare(self, dtype: type, memory: float, chunks: Iterator[np.ndarray]) -> None:
        """Pass over all genes once: which vary in which level, norms, and scaled values as memory allows.

        Values are kept in ``dtype``, and in float64 as well, where each fits into ``memory`` bytes.
        """
        size = self.n_genes * len(self.rows)
        for kept in {np.dtype(dtype), np.dtype(np.float64)}:
            if size * kept.itemsize <= memory:
                self._prepared[kept] = np.empty((self.n_genes, len(self.rows)), dtype=kept)
        for genes in chunks:
            values = self.raw(genes)
            gone = np.isnan(values)
            self.missing[genes] = gone.any(axis=0)
            if self.missing[genes].any():
                values = np.where(gone, 0.0, values)
            centred = self._centred(values, genes, first=True)
            for array in self._prepared.values():
                array[genes] = centred

    def keeps(self, dtype: type) -> bool:
        """Whether the scaled values of all genes are at hand in this type."""
        return np.dtype(dtype) in self._prepared

    def _centred(self, values: np.ndarray, genes: np.ndarray, first: bool = False) -> np.ndarray:
        y = values.T.copy(order="C")  # it is changed
        squares = np.zeros(len(genes))
        for index, (level, rows) in enumerate(zip(self.levels, self.slices, strict=True)):
            part = y[:, rows]
            size = np.abs(part).max(axis=1, initial=0.0)
            part = part - (part @ level.covariates) @ level.covariates.T
            norm2 = (part**2).sum(axis=1)
            varies = norm2 > (1e-9 * size) ** 2 * part.shape[1]
            part[~varies] = 0.0
            y[:, rows] = part
            if first:
                self.varies[index, genes] = varies
                square = part * part
                fourth = np.einsum("mn,mn->m", square, square) * part.shape[1]
                self.kurtosis[index, genes] = np.where(
                    varies, fourth / np.where(varies, norm2, 1.0) ** 2, 0.0
                )
            squares += np.where(varies, norm2, 0.0)
        norm = np.sqrt(squares)
        if first:
            self.norm[genes] = norm
        return y / np.where(norm > 0, norm, 1.0)[:, None]

    def block(self, genes: np.ndarray | slice, dtype: type) -> np.ndarray:
        """Scaled values, shape ``(m, n)``; missing values count as 0 (such pairs are decided apart)."""
        kept = self._prepared.get(np.dtype(dtype))
        if kept is not None:
            return kept[as_slice(genes)]
        genes = np.arange(self.n_genes)[genes]
        values = self.raw(genes)
        return self._centred(np.where(np.isnan(values), 0.0, values), genes).astype(dtype)


def bound_pieces(
    levels: list[Moments], gain: np.ndarray, line: np.ndarray, n_clusters: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances of the bend's size, of the line's, and their covariance, over all levels."""
    r, size = np.sqrt(gain), np.sqrt(line)
    nothing = np.finfo(r.dtype).tiny ** 0.25  # what is smaller is 0, and its inverse would overflow
    inverse_r = np.where(r > nothing, 1 / np.where(r > nothing, r, 1), 0).astype(r.dtype)
    inverse_b = np.where(size > nothing, 1 / np.where(size > nothing, size, 1), 0).astype(r.dtype)
    v_bend, v_line, v_both = (np.zeros_like(r) for _ in range(3))
    if n_clusters == 0:
        for of in levels:
            v_bend += pair_sum(of.variance, of.s)
            v_line += of.b**2 * of.variance[0, 0]
            for j, s in enumerate(of.s, start=1):
                v_both += of.b * s * of.variance[0, j]
        return v_bend * inverse_r**2, v_line * inverse_b**2, v_both * inverse_r * inverse_b
    bends: dict[int, np.ndarray] = {}
    lines: dict[int, np.ndarray] = {}
    for of in levels:
        for code, z in of.clusters:
            bend = add(s * z_j for s, z_j in zip(of.s, z[1:], strict=True)) * inverse_r
            bends[code] = bends.get(code, 0) + bend
            lines[code] = lines.get(code, 0) + of.b * z[0] * inverse_b
    for code, bend in bends.items():
        v_bend += bend**2
        v_line += lines[code] ** 2
        v_both += bend * lines[code]
    scale = (n_clusters - 1) / n_clusters
    return v_bend * scale, v_line * scale, v_both * scale
