"""Cell-level cumulants from pools of known size: kernels (method 7c).

With T the total count of a pool and f the share of a gene in all, what a gene has beyond its share,
D = X - f T, adds up over the cells of a pool. Cumulants of sums of independent cells add, and the mean of D
is 0, so that with K_i cells in pool i

    k2 = sum D D' / sum K,  k3 = sum D D' D'' / sum K,  k4 = (sum D^4 - 3 k2^2 sum K^2) / sum K,

times n / (n - 1), n^2 / ((n - 1)(n - 2)) for what is lost by estimating f. Counting adds to the moments of X;
given T and the level m, X is Poisson, and the polynomials of Charlier with parameter f T have the expectation
(m - f T)^r: they take the place of D^r where a gene is multiplied with itself. T counts as known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_BLOCKS = 20
"""Blocks of pools: products of different blocks are free of the bias of squares, and give the errors."""


def charlier(x: np.ndarray, expected: np.ndarray, order: int) -> np.ndarray:
    """Polynomial whose expectation is (m - expected)^order if x is Poisson with mean m.

    ``C_r = sum_j binom(r, j) (-expected)^(r - j) ff(x, j)``, ff the falling factorial.

    Examples
    --------
    >>> charlier(np.array([0.0, 3.0]), np.array([1.0, 1.0]), 2).tolist()
    [1.0, 1.0]
    """
    result = np.zeros_like(x, dtype=np.float64)
    falling = np.ones_like(x, dtype=np.float64)
    binomial = 1.0
    for j in range(order + 1):
        result += binomial * (-expected) ** (order - j) * falling
        falling = falling * (x - j)
        binomial = binomial * (order - j) / (j + 1)
    return result


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Sums over the pools of each block, blocks first."""

    n: np.ndarray
    """Pools, shape ``(B,)``."""
    cells: np.ndarray
    """Sum of K, shape ``(B,)``."""
    squared_cells: np.ndarray
    """Sum of K^2, shape ``(B,)``."""
    covariance: np.ndarray
    """Sum of D_x D_y; on the diagonal without counting noise, shape ``(B, G, G)``."""
    third: np.ndarray
    """Sum of (D_x^2 without noise) D_y; on the diagonal the third moment, shape ``(B, G, G)``."""
    fourth: np.ndarray
    """Fourth moments without noise, shape ``(B, G)``."""
    observed: np.ndarray
    """Squares of D with noise, shape ``(B, G)``."""


def block_sums(
    counts: np.ndarray, expected: np.ndarray, n_cells: np.ndarray, block: np.ndarray, *, counted: bool
) -> BlockSums:
    """Sums of products of deviations over blocks of pools.

    Parameters
    ----------
    counts
        Of the genes, shape ``(n, G)``.
    expected
        f T, shape ``(n, G)``.
    n_cells
        Cells of each pool, shape ``(n,)``.
    block
        Code of the block of each pool, shape ``(n,)``, 0 .. B - 1.
    counted
        Whether values are counts whose noise is taken out.
    """
    deviation = counts - expected
    powers = [charlier(counts, expected, r) if counted else deviation**r for r in (2, 3, 4)]
    n_blocks, n_genes = int(block.max()) + 1, counts.shape[1]
    covariance = np.zeros((n_blocks, n_genes, n_genes))
    third = np.zeros_like(covariance)
    for b in range(n_blocks):
        rows = block == b
        covariance[b] = deviation[rows].T @ deviation[rows]
        third[b] = powers[0][rows].T @ deviation[rows]
    at = np.arange(n_genes)
    member = (block == np.arange(n_blocks)[:, None]).astype(np.float64)
    covariance[:, at, at] = member @ powers[0]
    third[:, at, at] = member @ powers[1]
    return BlockSums(
        n=member.sum(axis=1),
        cells=member @ n_cells,
        squared_cells=member @ n_cells**2,
        covariance=covariance,
        third=third,
        fourth=member @ powers[2],
        observed=member @ deviation**2,
    )


@dataclass(frozen=True, eq=False)
class CellCumulants:
    """Cumulants of single cells."""

    covariance: np.ndarray
    """Shape ``(G, G)``, the variance without counting noise on the diagonal."""
    third: np.ndarray
    """Cumulant of x, x and y, shape ``(G, G)``; the third cumulant on the diagonal."""
    fourth: np.ndarray
    """Fourth cumulant, shape ``(G,)``."""
    observed: np.ndarray
    """Variance with counting noise, shape ``(G,)``."""

    @property
    def n22(self) -> np.ndarray:
        """Excess kurtosis + 2 - squared skewness."""
        variance = np.diag(self.covariance)
        safe = np.where(variance > 0, variance, np.nan)
        return np.asarray(self.fourth / safe**2 + 2 - np.diag(self.third) ** 2 / safe**3)


def cell_cumulants(sums: BlockSums, keep: np.ndarray | None = None) -> CellCumulants:
    """Cumulants of cells from the sums of all blocks, or of some.

    Parameters
    ----------
    keep
        Blocks to use, a mask of shape ``(B,)``; None: all.
    """
    chosen = np.ones(len(sums.n), dtype=bool) if keep is None else keep
    n, cells = sums.n[chosen].sum(), sums.cells[chosen].sum()
    second, third = n / (n - 1), n**2 / ((n - 1) * (n - 2))
    covariance = second * sums.covariance[chosen].sum(axis=0) / cells
    variance = np.diag(covariance)
    squared = np.maximum(variance**2 - _square_error(sums, chosen), 0.0)
    fourth = (sums.fourth[chosen].sum(axis=0) - 3 * squared * sums.squared_cells[chosen].sum()) / cells
    return CellCumulants(
        covariance=covariance,
        third=third * sums.third[chosen].sum(axis=0) / cells,
        fourth=fourth,
        observed=second * sums.observed[chosen].sum(axis=0) / cells,
    )


def _square_error(sums: BlockSums, chosen: np.ndarray) -> np.ndarray:
    """Variance of the estimated variances, from blocks, shape ``(G,)``."""
    at = np.arange(sums.covariance.shape[1])
    of_block = sums.covariance[chosen][:, at, at] / sums.cells[chosen][:, None]
    n_blocks = len(of_block)
    return np.asarray(of_block.var(axis=0, ddof=1) / n_blocks)


def pair_squares(
    sums: BlockSums, moments: CellCumulants, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Squares of bend and line of every pair of cells without bias, each ``(G, G)``, before any scaling.

    The bend is ``k_xxy - (k3_x / k2_x) k_xy``, the line ``k_xy``; products of different blocks only.
    """
    variance = np.diag(moments.covariance)
    skew = np.where(variance > 0, np.diag(moments.third) / np.where(variance > 0, variance, 1), 0.0)
    scale = 1 / sums.cells[chosen].sum()
    bends = (sums.third[chosen] - skew[None, :, None] * sums.covariance[chosen]) * scale
    lines = sums.covariance[chosen] * scale
    n_blocks = int(chosen.sum())
    unbiased = n_blocks / (n_blocks - 1)
    return tuple(unbiased * (of.sum(axis=0) ** 2 - (of**2).sum(axis=0)) for of in (bends, lines))


def bend_share_of_cells(sums: BlockSums, n22: np.ndarray, chosen: np.ndarray) -> tuple[float, float, float]:
    """Sums of bends and of lines of all pairs, as shares of the variance of y, and the bend share.

    Parameters
    ----------
    n22
        Of each regulator in cells, shape ``(G,)``; NaN: its bends have no size, and it is left out.
    chosen
        Blocks, a mask of shape ``(B,)``.
    """
    moments = cell_cumulants(sums, chosen)
    variance = np.diag(moments.covariance)
    usable = np.isfinite(n22) & (variance > 0)
    divisor = np.where(usable, np.maximum(n22, MIN_N22), np.inf)
    bends, lines = pair_squares(sums, moments, chosen)
    of_x = np.where(variance > 0, variance, np.inf)
    of_y = np.where(moments.observed > 0, moments.observed, np.inf)
    pairs = usable[:, None] & (moments.observed > 0)[None] & ~np.eye(len(variance), dtype=bool)
    bend = float((bends / (of_x**2 * divisor)[:, None] / of_y[None])[pairs].sum())
    line = float((lines / of_x[:, None] / of_y[None])[pairs].sum())
    whole = bend + line
    return bend, line, bend / whole if whole > 0 else float("nan")


def shrunk_n22(n22: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, float]:
    """Pull estimates of n22 towards their mean as far as they are noise, and the error of that mean.

    Parameters
    ----------
    n22, error
        Estimates and standard errors, shape ``(G,)``; NaN where there are none.

    Examples
    --------
    >>> shrunk_n22(np.array([2.0, 4.0, np.nan]), np.array([0.1, 0.1, np.nan]))[0].round(1).tolist()
    [2.0, 4.0, nan]
    """
    known = np.isfinite(n22) & np.isfinite(error)
    if not known.any():
        return n22, float("inf")
    weight = np.where(known, 1 / np.maximum(error, 0.05) ** 2, 0.0)
    value = np.where(known, n22, 0.0)
    centre = float((weight * value).sum() / weight.sum())
    spread = max(float(np.mean((value[known] - centre) ** 2 - error[known] ** 2)), 0.0)
    pull = spread / (spread + np.where(known, error, 1.0) ** 2)
    result = np.where(known, centre + pull * (value - centre), np.nan)
    return result, float(1 / np.sqrt(weight.sum()))


MIN_N22 = 0.5
"""n22 below this is taken for noise: of a two-state regulator it is 0, and a bend then has no size."""


def jackknife(values: np.ndarray) -> np.ndarray:
    """Standard error from leaving out one block at a time; blocks first."""
    n = len(values)
    return np.asarray(np.sqrt((n - 1) / n * np.sum((values - values.mean(axis=0)) ** 2, axis=0)))
