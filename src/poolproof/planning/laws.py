"""Laws of a pair in pools: what is left of line and bend, and how clearly it is seen (method 7c).

All shares are of the variance of the target. A pool holds K cells that are independent and alike, apart
from what cells of one donor share. With x standardised, the bend of degree 2 has the column x^2 - 1 - g3 x
and that column the variance n22 = g4 + 2 - g3^2 (g3 skewness, g4 excess kurtosis of the cells). Cumulants of
sums add, so that in pools the covariance of y with the column falls as 1/sqrt(K) and the variance of the
column tends to 2:

    line_K = line,  bend_K = bend * n22 / (2 K + n22 - 2).
"""

from __future__ import annotations

import numpy as np

NORMAL = 2.0
"""n22 of a normal regulator."""


def bend_factor(n22: np.ndarray, n_cells: np.ndarray | float) -> np.ndarray:
    """Part of the bend of degree 2 of single cells that pools of ``n_cells`` show.

    Parameters
    ----------
    n22
        Excess kurtosis + 2 - squared skewness of the regulator in cells, any shape, positive.
    n_cells
        Cells in a pool, at least 1.

    Examples
    --------
    >>> bend_factor(np.array([2.0, 3.0]), 10.0).round(3).tolist()
    [0.1, 0.143]
    """
    return np.asarray(n22 / (2 * np.asarray(n_cells) + n22 - 2))


def bend_in_pools(
    bend: np.ndarray, n22: np.ndarray, n_cells: np.ndarray | float, higher: np.ndarray | float = 0.0
) -> np.ndarray:
    """Bend that pools show: of degree 2 exactly, what is higher as the square of that factor.

    Parameters
    ----------
    bend
        Bend of cells along degree 2, a share of the variance of the target.
    n22, n_cells
        As for :func:`bend_factor`.
    higher
        Bend of cells beyond degree 2. Degree 3 of a normal regulator falls as 1/K^2; of a skewed one it
        leaks into degree 2, and this is too little.
    """
    factor = bend_factor(n22, n_cells)
    return np.asarray(bend * factor + higher * factor**2)


def reliability(
    molecules: np.ndarray,
    cv2: np.ndarray,
    n_cells: np.ndarray | float = 1.0,
    between: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Part of the variance of a count that is not the noise of counting.

    Parameters
    ----------
    molecules
        Mean count of the gene in a cell.
    cv2
        Variance of its level over cells of one donor, over its squared mean.
    n_cells
        Cells in a pool. Variance of cells and noise both fall as 1/K: without ``between`` pooling changes
        nothing here.
    between
        Variance of its level over donors, over its squared mean.

    Examples
    --------
    >>> reliability(np.array([1.0]), np.array([0.5]), np.array([1.0, 100.0])).round(3).tolist()
    [0.333, 0.333]
    >>> reliability(np.array([1.0]), np.array([0.5]), 100.0, 0.1).round(3).tolist()
    [0.913]
    """
    n_cells = np.asarray(n_cells, dtype=np.float64)
    true = between + cv2 / n_cells
    return np.asarray(true / (true + 1 / (n_cells * molecules)))


def molecules_of(reads: np.ndarray, library: np.ndarray) -> np.ndarray:
    """Distinct molecules seen with so many reads of a library of so many (Lander & Waterman 1988).

    Examples
    --------
    >>> molecules_of(np.array([0.0, 1e4, 1e9]), np.array([1e4])).round().tolist()
    [0.0, 6321.0, 10000.0]
    """
    return np.asarray(library * -np.expm1(-reads / library))


def reads_for(molecules: np.ndarray, library: np.ndarray) -> np.ndarray:
    """Reads that show so many distinct molecules; infinite beyond the library."""
    with np.errstate(divide="ignore", invalid="ignore"):
        reads = -library * np.log1p(-molecules / library)
    return np.where(molecules < library, reads, np.inf)


def library_of(molecules: float, saturation: float) -> float:
    """Molecules in the library of a cell in which this many were seen at this saturation (1 - seen / reads).

    Examples
    --------
    >>> round(library_of(6321.2, 1 - 0.63212), -1)
    10000.0
    """
    from scipy.optimize import brentq

    # seen / reads = (1 - exp(-x)) / x, x the reads per molecule of the library
    x = brentq(lambda x: -np.expm1(-x) / x - (1 - saturation), 1e-9, 1e6)
    return float(molecules / -np.expm1(-x))


def effective_units(n: np.ndarray, n_donors: np.ndarray, icc_x: np.ndarray, icc_y: np.ndarray) -> np.ndarray:
    """Independent units that would show an association as well as n units of so many donors.

    The product of two unrelated genes has the variance n (1 + (n/D - 1) icc_x icc_y), icc the part of a
    gene's variance that a donor's units share.

    Examples
    --------
    >>> effective_units(np.array(1000.0), np.array(10.0), np.array(0.5), np.array(0.2)).round(1).tolist()
    91.7
    """
    return np.asarray(n / (1 + np.maximum(n / n_donors - 1, 0) * icc_x * icc_y))


def correlation_by_size(cv_size: float, cv2_x: np.ndarray, cv2_y: np.ndarray, n_cells: float) -> np.ndarray:
    """Correlation of the sums of two unrelated genes over an unknown, random number of cells.

    Klebanov & Yakovlev 2008: Cov = Var(K) E x E y. Means, and shares of the total, do not have it.

    Examples
    --------
    >>> correlation_by_size(0.3, np.array(1.0), np.array(1.0), 50.0).round(2).tolist()
    0.82
    """
    shared = cv_size**2
    return np.asarray(shared / np.sqrt((shared + cv2_x / n_cells) * (shared + cv2_y / n_cells)))


def share_variance(
    line: np.ndarray,
    bend: np.ndarray,
    n: np.ndarray | float,
    *,
    n_bends: int = 4,
    spread: np.ndarray | float = 1.0,
    of_line: np.ndarray | float = 1.0,
    of_bend: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Variance over samples of the bend share of pairs whose errors are independent.

    With R = 1 - line - bend, p bends and n units,

        Var B = 4 B (1 - B) R spread / n + 6 B^2 / n + 2 p (R spread)^2 / n^2
        Var L = 4 L (1 - L)^2 / n + 2 (1 - L)^2 / n^2

    (delta method; the last terms are those of squared noise, which is all there is for unrelated pairs; 6 B^2
    stands for how the bend varies with the regulators drawn, 4 B^2 to 14 B^2 by their law),
    and for the share Lambda of the sums Var = sum [(1 - Lambda)^2 Var B + Lambda^2 Var L] / (sum B + L)^2.

    Parameters
    ----------
    line, bend
        Shares of the variance of y in the units tested, noise included, shape ``(m,)``.
    n
        Independent units.
    n_bends
        Columns of a bend.
    spread
        Variance of the noise along the bend over its mean.
    of_line, of_bend
        What part of line and bend of the cells is seen in the units; the estimates are divided by it.

    Examples
    --------
    >>> share_variance(np.full(100, 0.1), np.full(100, 0.02), 500.0).round(6).tolist()
    9.3e-05
    """
    rest = np.maximum(1 - line - bend, 0.0)
    of_bends = (
        4 * bend * (1 - bend) * rest * spread / n
        + 6 * bend**2 / n
        + 2 * n_bends * (rest * spread) ** 2 / n**2
    ) / np.square(of_bend)
    of_lines = (4 * line * (1 - line) ** 2 / n + 2 * (1 - line) ** 2 / n**2) / np.square(of_line)
    bends, lines = bend / of_bend, line / of_line
    whole = float(np.sum(bends + lines))
    if whole <= 0:
        return np.asarray(np.inf)
    share = float(np.sum(bends)) / whole
    return np.asarray(np.sum((1 - share) ** 2 * of_bends + share**2 * of_lines) / whole**2)
