"""Kernels of partial correlations: pairs of ends given one middle gene, as low-rank downdates (method 8.1).

The covariance of two residuals is the covariance of the genes less a product of k coefficients each, and its
variance under conditional independence is a product of k + 1 smoothed squares each. So all pairs of ends
meet in thin matrix products, for a tile of them (`Tile`) or one by one (`Listed`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy.linalg import blas

from .._arrays import as_slice
from ..pairs.donors import Shares, shares_of

MIN_REPLICATES = 4
"""Replicates that the spread of one sum needs: one parameter and 3."""
THIN = 16
"""Columns up to which products of a tile are left to BLAS itself."""
WORKING_BYTES = 1e9
"""What the columns of the ends of one middle gene may take."""
SMALLEST_VARIANCE = 0.1
"""Least variance of a partial correlation, beside that with equal noise: smoothed squares can be below 0."""


class Mesh(Protocol):
    """Which ends meet which."""

    def dot(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Products of rows of ``left`` with rows of ``right``, both of shape ``(m, c)``."""

    def take_away(self, values: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
        """Subtract these products from ``values``, in place."""

    def scaled(self, values: np.ndarray, by: np.ndarray) -> np.ndarray:
        """``values`` times what ``by``, shape ``(m,)``, holds of both ends."""


@dataclass(frozen=True)
class Tile:
    """Every left end with every right end: answers have shape ``(n_left, n_right)``."""

    left: slice
    right: slice

    def dot(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Mesh`."""
        if left.shape[1] == 1:  # far quicker than a product of matrices
            return left[self.left] * right[self.right, 0]
        if left.shape[1] > THIN:
            return left[self.left] @ right[self.right].T
        shape = left[self.left].shape[0], right[self.right].shape[0]
        value: np.ndarray = np.empty(shape, dtype=left.dtype)
        self._accumulate(value, left, right, 1.0, 0.0)
        return value

    def take_away(self, values: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
        """See `Mesh`."""
        self._accumulate(values, left, right, -1.0, 1.0)

    def _accumulate(
        self, values: np.ndarray, left: np.ndarray, right: np.ndarray, factor: float, keep: float
    ) -> None:
        """``keep`` times the values plus ``factor`` times the products, in place.

        Of few columns numpy's own product takes several times longer, most of all where left is right.
        """
        gemm = blas.sgemm if values.dtype == np.float32 else blas.dgemm
        parts = (np.ascontiguousarray(of).T for of in (right[self.right], left[self.left]))
        gemm(factor, *parts, beta=keep, c=values.T, trans_a=True, overwrite_c=True)

    def scaled(self, values: np.ndarray, by: np.ndarray) -> np.ndarray:
        """See `Mesh`."""
        found = values * by[self.right]
        found *= by[self.left, None]
        return found


@dataclass(frozen=True, eq=False)
class Listed:
    """Pairs of ends, one by one: answers have shape ``(n_pairs,)``."""

    left: np.ndarray
    right: np.ndarray

    def dot(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Mesh`."""
        return np.einsum("pc,pc->p", left[self.left], right[self.right])

    def take_away(self, values: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
        """See `Mesh`."""
        values -= self.dot(left, right)

    def scaled(self, values: np.ndarray, by: np.ndarray) -> np.ndarray:
        """See `Mesh`."""
        return values * by[self.left] * by[self.right]


class Spread(Protocol):
    """The variance of a partial correlation under conditional independence."""

    @property
    def df(self) -> float:
        """Degrees of freedom of Student's t; infinite: the normal."""

    def variance(self, mesh: Mesh, rho: np.ndarray) -> np.ndarray:
        """Variances of the partial correlations ``rho``, in their shape."""

    def take(self, ends: np.ndarray) -> Spread:
        """The same for some ends."""


@dataclass(frozen=True, eq=False)
class Smooth:
    """Squared residuals smoothed over the middle gene: ``w_x' w_z`` (method 8.1)."""

    w: np.ndarray
    """Shape ``(m, k + 1)``, in units of the residual variance."""
    n: int
    centred: bool
    """Whether the covariance of the residuals is not 0 under conditional independence (the linear one)."""
    df = np.inf

    def variance(self, mesh: Mesh, rho: np.ndarray) -> np.ndarray:
        """See `Spread`."""
        value = mesh.dot(self.w, self.w)
        if self.centred:
            square = rho * rho
            square /= self.n
            value -= square
        return np.maximum(value, SMALLEST_VARIANCE / self.n, out=value)

    def take(self, ends: np.ndarray) -> Smooth:
        """See `Spread`."""
        return replace(self, w=self.w[ends])


@dataclass(frozen=True, eq=False)
class Squares:
    """Mean square of the influence of each cell, as one product."""

    left: np.ndarray
    right: np.ndarray
    n: int
    df = np.inf

    def variance(self, mesh: Mesh, rho: np.ndarray) -> np.ndarray:
        """See `Spread`."""
        value = (mesh.dot(self.left, self.right) - rho * rho) / self.n
        return np.maximum(value, 1e-3 / self.n, out=value)

    def take(self, ends: np.ndarray) -> Squares:
        """See `Spread`."""
        return replace(self, left=self.left[ends], right=self.right[ends])


@dataclass(frozen=True, eq=False)
class Replicates:
    """Spread of sums by leaving out whole replicates."""

    parts: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Left and right columns of each replicate, of shape ``(m, c)``."""
    sizes: tuple[int, ...]
    """Samples of each replicate."""

    @cached_property
    def _shares(self) -> Shares:
        sizes = np.array(self.sizes)
        return shares_of(sizes, sizes[:, None].astype(np.float64))

    @property
    def df(self) -> float:
        """See `Spread`."""
        return float(self._shares.df[0, 0])

    def variance(self, mesh: Mesh, rho: np.ndarray) -> np.ndarray:
        """See `Spread`."""
        d = len(self.parts)
        shares = self._shares.share[:, 0, 0].tolist()
        total, squares, mixed, whole = np.zeros_like(rho), np.zeros_like(rho), np.zeros_like(rho), 0.0
        for (left, right), h in zip(self.parts, shares, strict=True):
            value = mesh.dot(left, right)
            weight = (1 - h) ** -2
            total += value
            mixed += (weight * h) * value
            squares += weight * (value * value)
            whole += weight * h * h
        # the sum of squares of (value - h total) / (1 - h)
        squares += total * (whole * total - 2 * mixed)
        return np.maximum(squares * ((d - 1) / d), 1e-12)

    def take(self, ends: np.ndarray) -> Replicates:
        """See `Spread`."""
        return replace(self, parts=tuple((left[ends], right[ends]) for left, right in self.parts))


@dataclass(frozen=True, eq=False)
class Downdate:
    """What conditioning takes away."""

    inverse: np.ndarray
    """1 / size of each residual, shape ``(m,)``; NaN where nothing is left."""
    coefficients: np.ndarray
    """Shape ``(m, k)``, in units of the residual's size."""
    spread: Spread

    def take(self, ends: np.ndarray) -> Downdate:
        """The same for some ends."""
        return Downdate(self.inverse[ends], self.coefficients[ends], self.spread.take(ends))

    def of(self, mesh: Mesh, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Partial correlations and their variances."""
        rho = mesh.scaled(covariance, self.inverse)
        mesh.take_away(rho, self.coefficients, self.coefficients)
        return rho, self.spread.variance(mesh, rho)


@dataclass(frozen=True, eq=False)
class Estimates:
    """Pairs of ends given one middle gene; arrays of one shape."""

    correlation: np.ndarray
    """Nothing conditioned on."""
    linear: np.ndarray
    """Partial correlation given a line in the middle gene."""
    linear_variance: np.ndarray
    spline: np.ndarray
    """The same given the whole basis."""
    spline_variance: np.ndarray


@dataclass(frozen=True, eq=False)
class Given:
    """Everything about one middle gene and its m ends."""

    ends: np.ndarray
    """Genes, shape ``(m,)``."""
    cross: tuple[np.ndarray, np.ndarray] | np.ndarray
    """Covariances of all genes, shape ``(G, G)``, or columns whose products they are."""
    inverse: np.ndarray | None
    """1 / standard deviation of each end in the units of ``cross``, shape ``(m,)``; None: all are 1."""
    linear: Downdate
    spline: Downdate
    n: int
    """Samples used."""

    @property
    def df(self) -> float:
        """Degrees of freedom of the tests; infinite: the normal."""
        return self.spline.spread.df

    @property
    def usable(self) -> np.ndarray:
        """Ends of which something is left, shape ``(m,)``."""
        return np.isfinite(self.linear.inverse) & np.isfinite(self.spline.inverse)

    def take(self, chosen: np.ndarray) -> Given:
        """The same for some ends."""
        cross = self.cross
        if isinstance(cross, tuple):
            cross = cross[0][chosen], cross[1][chosen]
        return Given(
            self.ends[chosen],
            cross,
            None if self.inverse is None else self.inverse[chosen],
            self.linear.take(chosen),
            self.spline.take(chosen),
            self.n,
        )

    def estimates(self, mesh: Mesh) -> Estimates:
        """Both partial correlations of pairs of ends, with their variances."""
        covariance = self._covariance(mesh)
        linear, linear_variance = self.linear.of(mesh, covariance)
        spline, spline_variance = self.spline.of(mesh, covariance)
        if self.inverse is not None:
            covariance = mesh.scaled(covariance, self.inverse)
        return Estimates(covariance, linear, linear_variance, spline, spline_variance)

    def _covariance(self, mesh: Mesh) -> np.ndarray:
        if isinstance(self.cross, tuple):
            return mesh.dot(*self.cross)
        if isinstance(mesh, Tile):
            rows, columns = as_slice(self.ends[mesh.left]), as_slice(self.ends[mesh.right])
            if isinstance(rows, slice) and isinstance(columns, slice):
                return self.cross[rows, columns]
            rows, columns = self.ends[mesh.left].astype(np.intp), self.ends[mesh.right]
            return self.cross.take(rows[:, None] * len(self.cross) + columns)
        raise TypeError("a kept matrix of covariances is for tiles")


class Conditioner(Protocol):
    """Data ready for conditioning on any gene."""

    n_genes: int
    most_ends: int
    """Ends that are conditioned on a gene at once; depends on the data alone, as rounding depends on it."""
    status: np.ndarray
    """Status of each gene as the middle gene."""
    end_status: np.ndarray
    """Status of each gene as an end."""

    def bases_of(self, middle: np.ndarray) -> dict[int, Any]:
        """What `given` can be handed ready for some middle genes, made for many at once; may be empty."""

    def ready_of(self, middle: np.ndarray, ends: list[np.ndarray], dtype: type) -> dict[int, Any]:
        """The same for tiles of these ends of each, which are all that `given` is then asked for."""

    def given(
        self, middle: int, ends: np.ndarray, dtype: type, *, listed: bool = False, ready: Any = None
    ) -> Given | None:
        """Condition ends on a middle gene; None where it has too few counts.

        ``listed``: for pairs of ends one by one, in place of tiles. ``ready``: of this gene, from `bases_of`
        or `ready_of`.
        """
