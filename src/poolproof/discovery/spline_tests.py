"""Many tests of conditional independence given one set of genes, by matrix products; they see bends too.

The spline GCM of ``triples.citest`` for the line, and beside it the same for the bends of each gene.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from ..basis import N_COLUMNS, conditioning_bases, spline_bases, standardise
from ..pairs.score_kernels import columns_for, quadratic_form, triangle
from ..triples.citest import MIN_SAMPLES, SPLINE_RIDGE

TEST_COLUMNS = 3
"""Columns of the gene that is tested: its line and two bends. More of them cost power against plain
shapes."""

MIN_SAMPLES_PER_GIVEN = 12
"""As in the spline GCM: so many samples for each given gene, or there is no test."""

_NOTHING = 1e-12
_RANK_TOLERANCE = 1e-6
_PIVOT = 1e-10


class SplineTests:
    """Tests of pairs of genes given sets of others.

    Parameters
    ----------
    values
        Shape ``(n, p)``, finite, in any unit.
    alpha
        Level. Where the line alone rejects, the bends are not looked at.

    Notes
    -----
    Given S, splines in the genes of S (additive, five columns each at most, a small ridge where there are
    several) leave e of x, f of y, and c_1 = e, c_2, c_3 of the line and two bends of x. If x and y are
    independent given S, sums s_j = sum(c_j f) have mean 0, and s'M^-1 s is chi-squared with three degrees of
    freedom for many samples, M_jl = sum(c_j c_l f^2) less s_j s_l / n; f^2 is divided by 1 - h, h the
    leverage of the fit (HC2). With c_1 alone it is the generalised covariance measure of Shah & Peters (2020,
    *Annals of Statistics* 48:1514); functions of x beside x are their section 3.2 and the weighted measure of
    Scheidegger, Hörrmann & Bühlmann (2022, *JMLR* 23:273). The p-value is twice the smallest of that of the
    line and twice those of x's and y's three sums (Bonferroni, half of the level for the line).

    It sees what moves the mean of y along a smooth function of x, or of x along one of y. It does not see a
    change of the spread alone, nor is it right where genes of S act on both only in concert (a product).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=500)
    >>> x, z = y**2 + rng.normal(size=(2, 500))            # independent given y; y and x are uncorrelated
    >>> tests = SplineTests(np.column_stack([x, y, z]), alpha=0.01)
    >>> tests.p_values(np.array([[0, 1], [0, 2]]), ()).round(3).tolist(), tests.n_tests
    ([0.0, 0.0], 2)
    >>> bool(tests.p_values(np.array([[0, 2]]), (1,))[0] > 0.05)
    True
    """

    def __init__(self, values: np.ndarray, alpha: float) -> None:
        standard, _ = standardise(values)
        self.n, self.p = standard.shape
        self.alpha = alpha
        self.n_tests = 0
        # unit norm instead of variance 1: the statistics are free of scale
        self._columns, self._n_columns = spline_bases(standard, columns_for(self.n, TEST_COLUMNS))
        self._standard = standard
        self._bases: dict[int, np.ndarray] = {}

    def possible(self, n_given: int) -> bool:
        """Whether there are samples enough for a test given so many genes."""
        return self.n >= max(MIN_SAMPLES, MIN_SAMPLES_PER_GIVEN * n_given)

    def p_values(self, pairs: np.ndarray, given: tuple[int, ...]) -> np.ndarray:
        """P-values of pairs of columns given others, exact where they exceed alpha.

        ``pairs`` has shape ``(m, 2)``, without genes of ``given``; the result ``(m,)``. 1 where nothing is
        left of a gene given the others. Needs ``possible(len(given))``.
        """
        self.n_tests += len(pairs)
        genes, place = np.unique(pairs, return_inverse=True)
        pairs = place.reshape(-1, 2)
        rest, spread, left = self._residuals(genes, given)
        p_values = np.minimum(1.0, 2 * _line_p_values(rest[:, 0], spread, pairs))
        p_values[~left[pairs].all(axis=1)] = 1.0
        open_ = np.flatnonzero((p_values > self.alpha) & left[pairs].all(axis=1))
        for a, b in ((0, 1), (1, 0)):
            p_values[open_] = np.minimum(
                p_values[open_],
                4 * _bent_p_values(rest, spread, pairs[open_, a], pairs[open_, b], self._n_columns[genes]),
            )
        return p_values

    def _basis(self, gene: int, k: int) -> np.ndarray:
        """Columns for conditioning on a gene, shape ``(n, k')``; of the last few k kept."""
        key = gene * (N_COLUMNS + 1) + k
        if key not in self._bases:
            basis, n_columns = conditioning_bases(self._standard[:, gene][:, None], k)
            self._bases[key] = np.ascontiguousarray(basis[0, : n_columns[0]].T)
        return self._bases[key]

    def _residuals(
        self, genes: np.ndarray, given: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What splines in the given genes leave of the test columns of genes, shape ``(g, k, n)``.

        And 1 / (1 - h) of every sample, shape ``(n,)``, and of which genes anything is left, shape ``(g,)``.
        """
        columns = self._columns[genes]
        g, k, n = columns.shape
        if not given:
            return columns, np.full(n, n / (n - 1)), self._n_columns[genes] > 0
        width = columns_for(n // len(given), N_COLUMNS)
        basis = np.hstack([self._basis(gene, width) for gene in given])
        squares, turn = np.linalg.eigh(basis.T @ basis)
        keep = squares > _RANK_TOLERANCE**2 * squares.max(initial=0.0)
        directions = basis @ (turn[:, keep] / np.sqrt(squares[keep]))
        shrunken = squares[keep] / (squares[keep] + (SPLINE_RIDGE if len(given) > 1 else 0.0))
        flat = columns.reshape(-1, n)
        weights = flat @ directions
        left = 1 - (weights.reshape(g, k, -1)[:, 0] ** 2).sum(axis=1) > _NOTHING
        rest = flat - (weights * shrunken) @ directions.T
        leverage = 1 / n + directions**2 @ shrunken
        return rest.reshape(g, k, n), 1 / np.maximum(1 - leverage, 1e-12), left & (self._n_columns[genes] > 0)


def _line_p_values(rest: np.ndarray, spread: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The generalised covariance measure of pairs of rows of ``rest``, two-sided."""
    n = len(spread)
    squares = rest**2
    i, j = pairs.T
    total = (rest @ rest.T)[i, j]
    variance = ((squares * spread) @ squares.T)[i, j] - total**2 / n
    return np.asarray(special.chdtrc(1, total**2 / np.maximum(variance, np.finfo(float).tiny)))


def _bent_p_values(
    rest: np.ndarray, spread: np.ndarray, x: np.ndarray, y: np.ndarray, n_columns: np.ndarray
) -> np.ndarray:
    """P-values of the line and the bends of x together, against what is left of y; ``(m,)``."""
    n = len(spread)
    k = rest.shape[1]
    entries = triangle(k)
    score, spreads = np.zeros((k, len(x))), np.zeros((len(entries), len(x)))
    weighted = rest[:, 0] ** 2 * spread
    for gene in np.unique(x):
        mine = np.flatnonzero(x == gene)
        own = rest[gene]
        products = np.stack([own[j] * own[m] for j, m in entries])
        score[:, mine] = own @ rest[y[mine], 0].T
        spreads[:, mine] = products @ weighted[y[mine]].T
    matrix = {(j, m): spreads[e] - score[j] * score[m] / n for e, (j, m) in enumerate(entries)}
    statistic = quadratic_form(matrix, list(score), list(range(k)), _PIVOT)
    return np.asarray(special.chdtrc(n_columns[x], statistic))
