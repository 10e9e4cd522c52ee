"""Columns of the corrected test at the cells that have a count, and what they are where there is none.

Where x is 0, every column of x that the test needs (method 6.3) is one number for all cells of a stratum. So
its products with y are sums over the few cells with both genes, and numbers known beforehand: of 10^6 cells
with 5 % of the genes each, 1 in 400 products is left. Formulas as in
:mod:`~poolproof.pairs.count_kernels` and :mod:`~poolproof.pairs.bursts`, one entry in place of one cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from .count_kernels import _PAIRS, MAX_LEVERAGE, OWN, CountDepth, own_products

N_OWN = len(OWN)
OWN_PAIRS = [(a, b) for a in range(N_OWN) for b in range(a, N_OWN)]
CROSS = {(1, 1): 0, (1, 2): 1, (1, 3): 2, (2, 2): 3, (2, 3): 4, (3, 3): 5}
POWERS = 5
"""Powers of the line's column, from 0, that the guard against bursty targets needs."""

# Sums of the first pass, of every gene in every stratum.
SEEN, HIGH, SUM, SQUARES = range(4)
MOMENTS = slice(4, 10)
"""e_1 .. e_6, not scaled."""
PRODUCTS = slice(10, 16)
"""e_j e_m in the order of `CROSS`."""
CUBES, FOURTHS = 16, 17
N_FIRST = 18

# Columns of the second pass; the first two runs are those that meet y and y^2.
WITH_Y = slice(0, 24)
"""F_1 .. F_3, six F_j D_m + D_j F_m, 13 products of F_j and own terms, F_1^3, F_1 in the upper bin."""
LINE, MIXED, WITH_OWN, CUBE, UPPER_LINE = slice(0, 3), slice(3, 9), slice(9, 22), 22, 23
WITH_Y2 = slice(24, 32)
"""Six F_j F_m, F_1^2, the upper bin."""
SQUARE, LINE_SQUARE, UPPER = slice(24, 30), 30, 31
REST, REST_SQUARES, REST_OWN = slice(32, 35), slice(35, 41), slice(41, 54)
"""D_j, D_j D_m, products of D_j and own terms."""
OWN_TERMS, OWN_WEIGHTED, OWN_PLAIN = slice(54, 60), slice(60, 81), slice(81, 102)
GUARD = slice(102, 132)
"""1, the upper bin, F_2^4, F_2^2, F_2 F_3, F_3^2 times powers of F_1."""
PLAIN_TERM, PLAIN_SQUARE = 132, 133
"""The own term H11 without overdispersion, and its square."""
N_SECOND = 134


@dataclass(frozen=True, eq=False)
class GeneConstants:
    """What one stratum says of its genes; arrays of shape ``(.., m)``."""

    n: int
    """Cells of the level."""
    kappa: float
    """n_s / (n_s - 1) of the stratum."""
    less_one: float
    scale: np.ndarray
    """Units of e_1 .. e_6, shape ``(6, m)``."""
    mean: np.ndarray
    """Means of e_1 .. e_3 in the stratum, scaled, shape ``(3, m)``."""
    slope: np.ndarray
    """Of degrees 2 and 3 on the line, shape ``(2, m)``."""
    variance: np.ndarray
    """V1, infinite where it is not above 0."""
    edge: np.ndarray
    """Of the upper bin of F_1."""
    edge_in: np.ndarray
    """Whether the edge itself belongs to it."""
    plain: np.ndarray
    """The factor of e_2 that overdispersion took away."""

    def take(self, genes: np.ndarray | slice) -> GeneConstants:
        """Those of some genes."""
        return GeneConstants(
            self.n,
            self.kappa,
            self.less_one,
            self.scale[:, genes],
            self.mean[:, genes],
            self.slope[:, genes],
            self.variance[genes],
            self.edge[genes],
            self.edge_in[genes],
            self.plain[genes],
        )


class Moments(NamedTuple):
    """Factorial moments of entries."""

    e: np.ndarray
    """e_1 .. e_6, shape ``(6, k)``."""
    f: np.ndarray
    """f_1 .. f_3, shape ``(3, k)``."""


def moments_of(x: np.ndarray, total: np.ndarray, known: bool) -> Moments:
    """Factorial moments of counts x of cells with these totals, not scaled; all of shape ``(k,)``."""
    n_moments, n_for_y = 6, 3
    of_x = _falling(x, n_moments)
    whole, rest = (
        (_powers(total, n_moments), _powers(total, n_for_y))
        if known
        else (_falling(total, n_moments), _falling(total - 1, n_for_y))
    )
    return Moments(of_x / whole, of_x[:n_for_y] / rest)


def _falling(values: np.ndarray, n: int) -> np.ndarray:
    """Falling factorials of orders 1 to n, one after the other; shape ``(n, k)``."""
    result = np.empty((n, len(values)))
    result[0] = values
    for i in range(1, n):
        np.multiply(result[i - 1], values - i, out=result[i])
    return result


def _powers(values: np.ndarray, n: int) -> np.ndarray:
    """Powers 1 to n, shape ``(n, k)``."""
    return np.stack([values**i for i in range(1, n + 1)])


def no_counts(n_genes: int) -> Moments:
    """Moments of cells without a count."""
    return Moments(np.zeros((6, n_genes)), np.zeros((3, n_genes)))


def first_sums(counts: sp.csr_matrix, total: np.ndarray, known: bool) -> np.ndarray:
    """Sums of the first pass over the cells of one stratum, shape ``(N_FIRST, n_genes)``."""
    n_genes = counts.shape[1]
    x, genes = counts.data, counts.indices
    e, _ = moments_of(x, np.repeat(total, np.diff(counts.indptr)), known)
    columns = [np.ones(len(x)), x >= 3, x, x * x, *e]
    columns += [e[j - 1] * e[m - 1] for j, m in CROSS]
    columns += [e[0] ** 3, e[0] ** 4]
    return np.stack([np.bincount(genes, of, minlength=n_genes) for of in columns])


def line_column(f1: np.ndarray, of: Any) -> np.ndarray:
    """F_1 from f_1, scaled."""
    return of.kappa * (f1 - of.mean[0])


def cell_terms(at: Moments, of: GeneConstants) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F_1 .. F_3 and D_1 .. D_3, shape ``(3, k)``, and the own terms in the order of ``OWN``, ``(6, k)``."""
    e, f = at.e / of.scale, at.f / of.scale[:3]
    centred = e[:3] - of.mean
    big_f = np.stack(
        [
            line_column(f[0], of),
            *(of.kappa * (f[j] - of.mean[j] - of.slope[j - 1] * (f[0] - of.mean[0])) for j in (1, 2)),
        ]
    )
    big_p = np.stack(
        [
            of.kappa * centred[0],
            *(of.kappa * (centred[j] - of.slope[j - 1] * centred[0]) for j in (1, 2)),
        ]
    )
    return big_f, big_f - big_p, _own_terms(e, centred, of)


def second_columns(at: Moments, of: GeneConstants, *, products_only: bool = False) -> np.ndarray:
    """Columns of the second pass, shape ``(N_SECOND, k)``; or those alone that meet y and y^2."""
    e = at.e / of.scale
    big_f, big_d, own = cell_terms(at, of)
    leverage = np.minimum(1 / of.n + np.maximum(own[2] / (of.n * of.variance), 0), MAX_LEVERAGE)
    weight = 1 / (1 - leverage) ** 2
    heavy = weight * big_f
    heavy_d = weight * big_d
    line = big_f[0]
    upper = np.where(of.edge_in, line >= of.edge, line > of.edge).astype(np.float64)
    result = np.empty((WITH_Y2.stop if products_only else N_SECOND, e.shape[1]))
    result[LINE] = big_f
    for place, (j, m) in enumerate(_PAIRS):
        result[MIXED.start + place] = heavy[j] * big_d[m] + heavy_d[j] * big_f[m]
        result[SQUARE.start + place] = heavy[j] * big_f[m]
    for place, column in enumerate(own_products(heavy, own), start=WITH_OWN.start):
        result[place] = column
    result[CUBE] = line**3
    result[UPPER_LINE] = upper * line
    result[LINE_SQUARE] = line * line
    result[UPPER] = upper
    if products_only:
        return result
    result[REST] = big_d
    for place, (j, m) in enumerate(_PAIRS):
        result[REST_SQUARES.start + place] = heavy_d[j] * big_d[m]
    for place, column in enumerate(own_products(heavy_d, own), start=REST_OWN.start):
        result[place] = column
    result[OWN_TERMS] = own
    for place, (a, b) in enumerate(OWN_PAIRS):
        product = own[a] * own[b]
        result[OWN_PLAIN.start + place] = product
        result[OWN_WEIGHTED.start + place] = weight * product
    squares = big_f[1] * big_f[1], big_f[1] * big_f[2], big_f[2] * big_f[2]
    for place, by in enumerate((np.ones_like(line), upper, squares[0] ** 2, *squares)):
        for power in range(POWERS):
            result[GUARD.start + POWERS * place + power] = by * line**power
    plain = own[2] + e[1] * (of.plain - 1)
    result[PLAIN_TERM] = plain
    result[PLAIN_SQUARE] = plain * plain
    return result


def _own_terms(e: np.ndarray, centred: np.ndarray, of: GeneConstants) -> np.ndarray:
    """Influence terms that depend on x alone, in the order of ``OWN``, shape ``(6, k)``."""

    def moment(j: int, m: int) -> np.ndarray:
        mean_j, mean_m = of.mean[j - 1], of.mean[m - 1]
        value = e[j + m - 1] - mean_j * e[m - 1] - mean_m * e[j - 1] + mean_j * mean_m
        return np.asarray(value + centred[j - 1] * centred[m - 1] / of.less_one)

    h11, h12, h13 = moment(1, 1), moment(1, 2), moment(1, 3)
    first = {1: h11, 2: h12, 3: h13}
    slope = {2: of.slope[0], 3: of.slope[1]}
    bends = [
        moment(j, m) - slope[j] * first[m] - slope[m] * first[j] + slope[j] * slope[m] * h11
        for j, m in ((2, 2), (2, 3), (3, 3))
    ]
    return np.stack([h12 - slope[2] * h11, h13 - slope[3] * h11, h11, *bends])


def second_sums(
    counts: sp.csc_matrix, total: np.ndarray, known: bool, of: GeneConstants, empty: np.ndarray
) -> np.ndarray:
    """Sums of the columns less what they are without a count, over the cells of a stratum with one.

    ``empty`` holds the columns without a count; shapes ``(N_SECOND, n_genes)``.
    """
    result = np.zeros_like(empty)
    for low, high in gene_runs(counts.indptr):
        entries = slice(int(counts.indptr[low]), int(counts.indptr[high]))
        lengths = np.diff(counts.indptr[low : high + 1])
        genes = np.repeat(np.arange(low, high), lengths)
        at = moments_of(counts.data[entries], total[counts.indices[entries]], known)
        columns = second_columns(at, of.take(genes))
        filled = np.flatnonzero(lengths)
        starts = (counts.indptr[low:high] - counts.indptr[low])[filled]
        mine = low + filled
        result[:, mine] = np.add.reduceat(columns, starts, axis=1) - lengths[filled] * empty[:, mine]
    return result


ENTRIES = 2**13
"""Entries whose columns are made at a time: they stay in the processor's cache."""


def gene_runs(ends: np.ndarray) -> list[tuple[int, int]]:
    """Runs of genes with at most `ENTRIES` entries together, or of one gene; those without any are skipped.

    Examples
    --------
    >>> gene_runs(np.array([0, 0, 5000, 9000, 30000, 30001]))
    [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    runs, low = [], 0
    n_genes = len(ends) - 1
    while low < n_genes:
        high = max(low + 1, int(np.searchsorted(ends, ends[low] + ENTRIES, side="right")) - 1)
        high = min(high, n_genes)
        if ends[high] > ends[low]:
            runs.append((low, high))
        low = high
    return runs


@dataclass(frozen=True, eq=False)
class Cells:
    """Targets in the cells of one stratum, by cell; entries are those with a count."""

    powers: tuple[sp.csr_matrix, sp.csr_matrix, sp.csr_matrix]
    """(y - ybar)^p less (-ybar)^p, p = 1, 2, 3, of every entry."""

    @staticmethod
    def of(
        counts: sp.csr_matrix, total: np.ndarray, known: bool, unit: np.ndarray, mean: np.ndarray
    ) -> Cells:
        """From counts; ``unit`` of every gene's fraction and its mean in that unit, shape ``(n_genes,)``."""
        genes = counts.indices
        by_cell = np.repeat(CountDepth(total, known).falling(1), np.diff(counts.indptr))
        y = counts.data / by_cell / unit[genes]
        at = mean[genes]
        first, second, third = (
            sp.csr_matrix((of, genes, counts.indptr), shape=counts.shape)
            for of in (y, y * (y - 2 * at), y * (y * (y - 3 * at) + 3 * at * at))
        )
        return Cells((first, second, third))

    def products(self, cells: np.ndarray, columns: list[np.ndarray]) -> list[np.ndarray]:
        """Sums over some cells of columns ``(len(cells), c)`` times powers of y, each ``(n_genes, c)``."""
        return [product_of_rows(power, cells, of) for power, of in zip(self.powers, columns, strict=False)]


def product_of_rows(values: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Some rows of values, transposed, times columns ``(len(rows), c)``; shape ``(n_genes, c)``.

    Rows are taken as they lie in memory, which costs half of what the product itself does.
    """
    return np.asarray(values[rows].T @ columns)
