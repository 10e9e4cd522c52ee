"""The kernels of partial correlations given one gene, against slow regressions, one triple at a time."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from poolproof import _names as names
from poolproof._random import stream
from poolproof.basis import spline_basis
from poolproof.pairs import make_design
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.count_kernels import usable_cells
from poolproof.pairs.score_kernels import columns_for
from poolproof.triples import score_conditioner as _triple_score
from poolproof.triples.count_conditioner import CountConditioner
from poolproof.triples.partial import Listed, Tile
from poolproof.triples.score_conditioner import Ready, ScoreConditioner, fill_missing

FIELDS = ("correlation", "linear", "linear_variance", "spline", "spline_variance")


def genes(seed, n, n_genes):
    """Genes of every kind that share three factors, some of them bent: ``(n, n_genes)``."""
    rng = stream(seed, "genes")
    factors = rng.gamma(2.0, 0.5, (n, 3))
    columns = []
    for i in range(n_genes):
        z = factors[:, i % 3]
        noise = rng.normal(size=n) * (0.2 + 0.2 * (i % 4))
        columns.append(
            (
                z + noise,
                z * (1 + 0.4 * noise),
                np.tanh(z) + 0.3 * noise,
                z**2 + noise,
                rng.poisson(3 * z).astype(float),
                z * (rng.random(n) < 0.6),
            )[i % 6]
        )
    return np.stack(columns, axis=1)


def conditioning_columns(x, k):
    """What is conditioned on: k - 1 columns of natural splines, the line first, and the square."""
    square = x**2 - np.polyval(np.polyfit(x, x**2, 1), x)
    columns = np.column_stack([spline_basis(x, k - 1), square / np.sqrt(square @ square)])
    return columns if np.linalg.matrix_rank(columns, tol=1e-4) == columns.shape[1] else columns[:, :-1]


def samples(n, **columns):
    return pd.DataFrame(columns, index=[f"s{i}" for i in range(n)])


def all_ends(n_genes, middle):
    return np.setdiff1d(np.arange(n_genes), [middle])


def tile_of(conditioner, middle, ends, dtype=np.float64):
    """Estimates of every pair of ends, by products of matrices."""
    given = conditioner.given(middle, ends, dtype)
    return given.estimates(Tile(slice(0, len(ends)), slice(0, len(ends))))


# --- residuals by direct regression ---------------------------------------------------


def residuals(values, columns):
    """What a least-squares fit of columns leaves, for every column of ``values``."""
    return values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]


def slow_given(matrix, middle, levels, covariates, k):
    """Residuals of all genes given a line and given the spline of the middle gene, level by level.

    Returns what is left by nothing, by the line and by the spline, the projection on the constant and the
    spline (block by block), and the columns fitted by line and spline, the nuisance included.
    """
    left = [np.zeros_like(matrix) for _ in range(3)]
    smooth = np.zeros((len(matrix), len(matrix)))
    n_columns = np.zeros(2, dtype=int)
    for rows in levels:
        fixed = covariates[rows]
        fixed = fixed[:, (fixed != 0).any(axis=0)]
        spline = conditioning_columns(matrix[rows, middle], columns_for(len(rows), k))
        for values, extra in zip(left, (0, 1, spline.shape[1]), strict=True):
            values[rows] = residuals(matrix[rows], np.hstack([fixed, spline[:, :extra]]))
        own = np.hstack([np.ones((len(rows), 1)), residuals(spline, fixed)])
        q = np.linalg.qr(own)[0]
        smooth[np.ix_(rows, rows)] = q @ q.T
        rank = np.linalg.matrix_rank(fixed)
        n_columns += [rank + 1, rank + spline.shape[1]]
    return left, smooth, n_columns


def left_out(values, donors):
    """Variance of a total by leaving out one donor at a time, its own share of the total taken off (CR3)."""
    codes = np.unique(donors)
    changes = []
    for code in codes:
        mine = donors == code
        share = mine.mean()
        changes.append((values[mine].sum() - share * values.sum()) / (1 - share))
    return (len(codes) - 1) / len(codes) * (np.array(changes) ** 2).sum()


def degrees_of_freedom(donors):
    """Half-way between D - 1 and those of Satterthwaite."""
    share = np.bincount(np.unique(donors, return_inverse=True)[1]) / len(donors)
    weight = share / (1 - share)
    return (weight.sum() ** 2 / (weight**2).sum() - 1 + len(share) - 1) / 2


def slow_estimates(matrix, middle, ends, *, levels=None, covariates=None, donors=None, k=5):
    """The five fields of Estimates, pair by pair, as method 8.1 writes them."""
    n = len(matrix)
    levels = [np.arange(n)] if levels is None else levels
    covariates = np.ones((n, 1)) if covariates is None else covariates
    left, smooth, n_columns = slow_given(matrix, middle, levels, covariates, k)
    found = {field: np.full((len(ends), len(ends)), np.nan) for field in FIELDS}
    for i, x in enumerate(ends):
        for j, z in enumerate(ends):
            for name, values in zip(("correlation", "linear", "spline"), left, strict=True):
                size = np.sqrt(values[:, x] @ values[:, x] * (values[:, z] @ values[:, z]))
                rho = values[:, x] @ values[:, z] / size
                found[name][i, j] = rho
                if name == "correlation":
                    continue
                if donors is not None:
                    product = values[:, x] * values[:, z] / size
                    found[f"{name}_variance"][i, j] = left_out(product, donors)
                    continue
                free = n / (n - n_columns[int(name == "spline")])
                variance = free * (values[:, x] ** 2 @ smooth @ values[:, z] ** 2) / size**2
                variance -= rho**2 / n if name == "linear" else 0
                found[f"{name}_variance"][i, j] = max(variance, 0.1 / n)
    return found


def assert_near(fast, slow, tolerance, relative):
    """Correlations to ``tolerance``, variances to ``relative``."""
    upper = np.triu_indices(len(slow["linear"]), 1)
    for field in FIELDS:
        value, expected = getattr(fast, field)[upper], slow[field][upper]
        close = {"rtol": relative, "atol": 0} if "variance" in field else {"rtol": 0, "atol": tolerance}
        np.testing.assert_allclose(value, expected, **close, err_msg=field)


SIXTY = 60


@pytest.fixture(scope="module")
def sixty():
    return genes(0, 120, SIXTY)


def test_given__every_triple_of_60_genes_is_the_direct_regression(sixty):
    """102,660 triples: correlations to 1e-6 in float64 and 1e-4 in float32, variances to 1e-6 and 1e-2."""
    n = len(sixty)
    conditioner = ScoreConditioner(sixty, None, make_design(samples(n)))
    worst = {np.float64: np.zeros(2), np.float32: np.zeros(2)}
    for middle in range(SIXTY):
        ends = all_ends(SIXTY, middle)
        left, smooth, n_columns = slow_given(sixty, middle, [np.arange(n)], np.ones((n, 1)), 5)
        upper = np.triu_indices(len(ends), 1)
        for dtype, of_type in worst.items():
            of = tile_of(conditioner, middle, ends, dtype)
            for name, values, fitted in zip(("linear", "spline"), left[1:], n_columns, strict=True):
                e = values[:, ends] / np.sqrt((values[:, ends] ** 2).sum(axis=0))
                rho = e.T @ e
                variance = (e**2).T @ smooth @ e**2 * n / (n - fitted)
                variance = np.maximum(variance - (rho**2 / n if name == "linear" else 0), 0.1 / n)
                of_type[0] = max(of_type[0], np.abs(getattr(of, name) - rho)[upper].max())
                ratio = getattr(of, f"{name}_variance") / variance
                of_type[1] = max(of_type[1], np.abs(ratio - 1)[upper].max())
    print(f"worst differences (correlation, relative variance): {worst}")
    assert (worst[np.float64] < 1e-6).all()
    assert (worst[np.float32] < [1e-4, 1e-2]).all()


def test_given__pair_by_pair_formula(sixty):
    """The same with the formulas written out for one pair at a time, for tiles and for lists."""
    matrix = sixty[:, :9]
    conditioner = ScoreConditioner(matrix, None, make_design(samples(len(matrix))), dtype=np.float64)
    for middle in range(9):
        ends = all_ends(9, middle)
        slow = slow_estimates(matrix, middle, ends)
        assert_near(tile_of(conditioner, middle, ends), slow, 1e-9, 1e-7)
        left, right = np.triu_indices(len(ends), 1)
        given = conditioner.given(middle, ends, np.float64, listed=True)
        listed = given.estimates(Listed(left, right))
        for field in FIELDS:
            np.testing.assert_allclose(getattr(listed, field), slow[field][left, right], rtol=1e-7, atol=1e-9)


def test_given__levels_and_covariates():
    """Every level has its own basis and covariates; residuals are put side by side."""
    n = 150
    rng = stream(1, "levels and covariates")
    matrix = genes(1, n, 8)
    level = rng.permutation(np.repeat(["a", "b", "c"], (70, 50, 30)))
    matrix += 3 * (level == "b")[:, None]
    obs = samples(n, level=level, age=rng.normal(size=n), batch=rng.choice(["p", "q"], n))
    design = make_design(obs, within=["level"], covariates=["age", "batch"])
    conditioner = ScoreConditioner(matrix, None, design, dtype=np.float64)
    columns = np.stack([np.ones(n), obs["age"], obs["batch"] == "q"], axis=1).astype(float)
    levels = [np.flatnonzero(level == name) for name in "abc"]
    for middle in (0, 3, 5):
        ends = all_ends(8, middle)
        slow = slow_estimates(matrix, middle, ends, levels=levels, covariates=columns)
        assert_near(tile_of(conditioner, middle, ends), slow, 1e-9, 1e-7)


def test_given__replicates():
    """With replicates the variance comes from leaving them out one by one, over all levels."""
    n = 160
    rng = stream(2, "replicates")
    matrix = genes(2, n, 7)
    level, donor = rng.choice(["a", "b"], n), rng.choice(list("vwxyz"), n)
    obs = samples(n, level=level, donor=donor)
    design = make_design(obs, within=["level"], replicate="donor")
    conditioner = ScoreConditioner(matrix, None, design, dtype=np.float64)
    dummies = np.stack([donor == name for name in "vwxyz"], axis=1).astype(float)
    levels = [np.flatnonzero(level == name) for name in "ab"]
    for middle in (0, 2):
        ends = all_ends(7, middle)
        slow = slow_estimates(matrix, middle, ends, levels=levels, covariates=dummies, donors=donor)
        assert_near(tile_of(conditioner, middle, ends), slow, 1e-9, 1e-7)
        df = conditioner.given(middle, ends, np.float64).df
        assert df == pytest.approx(degrees_of_freedom(donor))
        assert 3 < df < 4


def test_given__size_factors_divide_the_values():
    matrix, factors = genes(3, 90, 6) + 4, stream(3, "factors").gamma(5.0, 0.2, 90)
    divided = ScoreConditioner(matrix / factors[:, None], None, make_design(samples(90)), dtype=np.float64)
    conditioner = ScoreConditioner(matrix, factors, make_design(samples(90)), dtype=np.float64)
    ends = all_ends(6, 0)
    one, other = tile_of(conditioner, 0, ends), tile_of(divided, 0, ends)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), rtol=1e-9, atol=1e-12)


def test_given__mirrored_genes():
    """The sign of an end changes the signs of its correlations, that of the middle gene nothing."""
    matrix = genes(10, 90, 6)
    sign = np.array([-1.0, 1, -1, 1, 1, -1])
    plain, mirrored = (
        ScoreConditioner(values, None, make_design(samples(90)), dtype=np.float64)
        for values in (matrix, 5 + 2 * sign * matrix)
    )
    for middle in (0, 1):
        ends = all_ends(6, middle)
        one, other = tile_of(plain, middle, ends), tile_of(mirrored, middle, ends)
        turned = np.outer(sign[ends], sign[ends])
        for field in FIELDS:
            expected = getattr(one, field) * (1 if "variance" in field else turned)
            np.testing.assert_allclose(getattr(other, field), expected, rtol=1e-7, atol=1e-9)


def test_given__sparse_is_dense_and_some_ends_are_all():
    matrix = genes(4, 100, 12)
    matrix[matrix < np.median(matrix, axis=0)] = 0
    design = make_design(samples(100))
    dense = ScoreConditioner(matrix, None, design, dtype=np.float64)
    ends = all_ends(12, 4)
    full = tile_of(dense, 4, ends)
    for other in (
        ScoreConditioner(sp.csc_matrix(matrix), None, design, dtype=np.float64),
        ScoreConditioner(matrix, None, design, dtype=np.float64, memory=0),  # nothing kept
    ):
        some = other.given(4, ends, np.float64).take(np.array([1, 4, 9]))
        assert some.ends.tolist() == ends[[1, 4, 9]].tolist()
        part = some.estimates(Tile(slice(0, 2), slice(1, 3)))
        for field in FIELDS:
            expected = getattr(full, field)[np.ix_([1, 4], [4, 9])]
            np.testing.assert_allclose(getattr(part, field), expected, rtol=1e-9, atol=1e-12)


def test_given__kept_covariances_change_nothing():
    """Float32 tiles read covariances of all genes that are kept, or form products of the columns."""
    matrix = genes(5, 100, 20)
    design = make_design(samples(100))
    ends = np.array([1, 2, 7, 8, 9, 15])
    kept = ScoreConditioner(matrix, None, design).given(0, ends, np.float32)
    formed = ScoreConditioner(matrix, None, design, memory=0).given(0, ends, np.float32)
    assert isinstance(kept.cross, np.ndarray)
    assert isinstance(formed.cross, tuple)
    tile = Tile(slice(0, 3), slice(2, 6))
    for field in FIELDS:
        one, other = getattr(kept.estimates(tile), field), getattr(formed.estimates(tile), field)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"covariates": ["age"]}, {"within": ["batch"]}], ids=["plain", "covariate", "levels"]
)
def test_ready__products_of_many_middle_genes_give_what_residuals_give(options, constant):
    matrix = genes(5, 120, 20)
    if constant:  # a middle gene without columns in a level, or with one
        matrix[:50, 3] = 2.0
        matrix[50:, 4] = matrix[50:, 4] > np.median(matrix[50:, 4])
    obs = samples(120, batch=np.where(np.arange(120) < 50, "a", "b"), age=np.arange(120) % 7)
    conditioner = ScoreConditioner(matrix, None, make_design(obs, **options))
    middle = np.array([0, 3, 4])
    ends = [np.setdiff1d(np.arange(20), [y, y + 5]) for y in middle.tolist()]
    ready = conditioner.ready_of(middle, ends, np.float32)
    tile = Tile(slice(0, 8), slice(5, 18))
    for y, mine in zip(middle.tolist(), ends, strict=True):
        assert isinstance(ready[y], Ready)
        fast = conditioner.given(y, mine, np.float32, ready=ready[y]).estimates(tile)
        slow = conditioner.given(y, mine, np.float64).estimates(tile)
        for field in FIELDS:
            np.testing.assert_allclose(getattr(fast, field), getattr(slow, field), rtol=1e-4, atol=2e-6)


def test_ready__is_for_shared_ends_without_missing_values_and_replicates():
    matrix = genes(5, 120, 20)
    middle, every = np.array([0, 3, 4, 5]), [np.arange(6, 20)] * 4
    apart = [np.arange(6, 9), np.arange(9, 12), np.arange(12, 15), np.arange(15, 18)]
    holes = matrix.copy()
    holes[4, 3] = np.nan
    replicates = make_design(samples(120, donor=np.arange(120) % 8), replicate="donor")
    plain = make_design(samples(120))
    for values, design, ends, dtype, expected in (
        (matrix, plain, every, np.float32, [True] * 4),
        (matrix, plain, every, np.float64, [False] * 4),
        (matrix, plain, apart, np.float32, [False] * 4),
        (matrix, replicates, every, np.float32, [False] * 4),
        (holes, plain, every, np.float32, [True, False, True, True]),
    ):
        ready = ScoreConditioner(values, None, design).ready_of(middle, ends, dtype)
        assert [isinstance(ready[y], Ready) for y in middle.tolist()] == expected


def test_ready__copies_of_the_middle_gene_are_told_in_float64():
    matrix = genes(6, 80, 4)
    matrix = np.column_stack([matrix, matrix[:, 0], 3 - 2 * matrix[:, 0]])
    conditioner = ScoreConditioner(matrix, None, make_design(samples(80)))
    ready = conditioner.ready_of(np.array([0]), [np.arange(1, 6)], np.float32)[0]
    assert isinstance(ready, Ready)
    given = conditioner.given(0, np.arange(1, 6), np.float32, ready=ready)
    assert given.usable.tolist() == [True, True, True, False, False]


def test_given__exact_functions_of_the_middle_gene():
    """Nothing is left of a copy, a line or a kink that the spline spans; the others stay."""
    matrix = genes(6, 80, 4)
    matrix = np.column_stack([matrix, matrix[:, 0], 3 - 2 * matrix[:, 0]])
    conditioner = ScoreConditioner(matrix, None, make_design(samples(80)))
    for dtype in (np.float32, np.float64):
        given = conditioner.given(0, np.arange(1, 6), dtype)
        assert given.usable.tolist() == [True, True, True, False, False]
    taken = given.take(np.flatnonzero(given.usable)).estimates(Tile(slice(0, 3), slice(0, 3)))
    assert np.isfinite(taken.spline).all()


def test_given__little_left_is_told_in_float64():
    """Where a middle gene leaves less than 1 in 1,000, float32 products would not tell: float64 is used."""
    rng = stream(7, "steep")
    y = rng.gamma(2.0, 1.0, 200)
    shared = rng.normal(size=200)
    matrix = np.stack([y, *(y + 1e-3 * (shared + rng.normal(size=200)) for _ in range(3))], axis=1)
    conditioner = ScoreConditioner(matrix, None, make_design(samples(200)))
    fast = tile_of(conditioner, 0, np.arange(1, 4), np.float32)
    assert_near(fast, slow_estimates(matrix, 0, np.arange(1, 4)), 1e-6, 1e-4)


def test_score_conditioner__statuses():
    matrix = genes(8, 60, 4)
    matrix[:, 2] = 5.0
    obs = samples(60, donor=np.arange(60) % 3)
    assert ScoreConditioner(matrix, None, make_design(obs)).status.tolist() == ["ok", "ok", "constant", "ok"]
    few = ScoreConditioner(matrix, None, make_design(obs, replicate="donor"))
    assert few.status.tolist() == [names.TOO_FEW_REPLICATES] * 2 + ["constant", names.TOO_FEW_REPLICATES]
    assert few.end_status.tolist() == ["ok", "ok", "constant", "ok"]


def test_fill_missing__sparse_and_empty_columns():
    values = np.array([[1.0, np.nan, 0.0], [3.0, np.nan, 2.0], [np.nan, np.nan, 0.0]])
    expected = [[1, 0, 0], [3, 0, 2], [2, 0, 0]]
    np.testing.assert_array_equal(fill_missing(values), expected)
    np.testing.assert_array_equal(fill_missing(sp.csc_matrix(values)), expected)
    whole = sp.csc_matrix([[1.0, 0.0]])
    assert fill_missing(whole) is whole


def test_chunks__change_nothing(monkeypatch):
    matrix = genes(9, 70, 11)
    conditioner = ScoreConditioner(matrix, None, make_design(samples(70)), dtype=np.float64)
    expected = tile_of(conditioner, 0, np.arange(1, 11))
    monkeypatch.setattr(_triple_score, "_CHUNK", 3)
    found = tile_of(conditioner, 0, np.arange(1, 11))
    for field in FIELDS:
        np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=1e-10, atol=1e-13)


# --- counts: factorial moments, one cell at a time ---------------------------------------------------


def falling(x, order):
    result = np.ones_like(x)
    for i in range(order):
        result = result * (x - i)
    return result


class Slow:
    """Method 6.3 and 8.3 for one middle gene in one level, from sums over cells.

    ``strata`` are cells analysed around means of their own; products of two means are U-statistics.
    """

    def __init__(self, y, total, strata, known):
        self.total, self.known = total, known
        self.groups = [np.flatnonzero(strata == code) for code in np.unique(strata)]
        self.n = len(y)
        e = {j: self.ratio(y, j) for j in (1, 2, 3, 4)}
        f = {j: self.ratio(y, j, less=1) for j in (1, 2)}
        mu = {j: self.mean_of_stratum(e[j]) for j in (1, 2)}
        self.kappa = np.empty(self.n)
        for rows in self.groups:
            self.kappa[rows] = len(rows) / (len(rows) - 1)
        h = {}
        for j, k in ((1, 1), (1, 2), (2, 2)):
            term = e[j + k] - mu[j] * e[k] - mu[k] * e[j] + mu[j] * mu[k]
            h[j, k] = term + (e[j] - mu[j]) * (e[k] - mu[k]) * (self.kappa - 1)
        self.v1 = h[1, 1].mean()
        k2 = h[1, 2].mean() / self.v1
        self.h11, self.r2 = h[1, 1], h[1, 2] - k2 * h[1, 1]
        self.q22 = h[2, 2] - 2 * k2 * h[1, 2] + k2**2 * h[1, 1]
        self.n22 = self.q22.mean()
        self.p1 = self.kappa * (e[1] - mu[1])
        self.p2 = self.kappa * (e[2] - mu[2] - k2 * (e[1] - mu[1]))
        self.f1 = self.kappa * (f[1] - mu[1])
        self.f2 = self.kappa * (f[2] - mu[2] - k2 * (f[1] - mu[1]))

    def ratio(self, counts, order, less=0):
        """ff(X, order) / ff(T - less, order), or / s^order."""
        below = self.total**order if self.known else falling(self.total - less, order)
        return falling(counts, order) / below

    def mean_of_stratum(self, values):
        mean = np.empty(self.n)
        for rows in self.groups:
            mean[rows] = values[rows].mean()
        return mean

    def slopes(self, x):
        """b and g of an end: its covariance with p - mu and with P_2 over V1 and N_22."""
        share = self.ratio(x, 1)
        return (share * self.f1).mean() / self.v1, (share * self.f2).mean() / self.n22

    def covariance(self, x, z):
        """Covariance of the fractions: E X Z / ff(T, 2) less the mean over pairs of different cells."""
        product = self.ratio(x, 1) * self.ratio(z, 1)
        if not self.known:
            product = product * self.total / (self.total - 1)
        sum_of_all = 0.0
        for rows in self.groups:
            left, right = self.ratio(x, 1)[rows], self.ratio(z, 1)[rows]
            m = len(rows)
            different = (left.sum() * right.sum() - left @ right) / (m * (m - 1))
            sum_of_all += (product[rows] - different).sum()
        return sum_of_all / self.n

    def variance(self, x):
        """Variance of the fraction: mean ff(X, 2) / ff(T, 2) less the square of its mean."""
        pairs, share, sum_of_all = self.ratio(x, 2), self.ratio(x, 1), 0.0
        for rows in self.groups:
            m = len(rows)
            different = (share[rows].sum() ** 2 - (share[rows] ** 2).sum()) / (m * (m - 1))
            sum_of_all += (pairs[rows] - different).sum()
        return sum_of_all / self.n

    def influence(self, x, z, degree):
        """Influence of every cell on the residual covariance (method 8.3)."""
        bx, gx = self.slopes(x)
        bz, gz = self.slopes(z)
        x = self.ratio(x, 1) - self.mean_of_stratum(self.ratio(x, 1))
        z = self.ratio(z, 1) - self.mean_of_stratum(self.ratio(z, 1))
        if degree == 1:
            gx = gz = 0.0
        value = (x - bx * self.p1 - gx * self.p2) * (z - bz * self.p1 - gz * self.p2)
        value = value + bx * bz * (self.h11 - self.p1**2)
        value = value + (bx * gz + gx * bz) * (self.r2 - self.p1 * self.p2)
        return value + gx * gz * (self.q22 - self.p2**2)


def slow_counts(counts, total, middle, x, z, *, levels, strata, known, donors=None):
    """The five fields of Estimates for one triple of counts."""
    n = sum(len(rows) for rows in levels)
    cov, sizes, downdate = 0.0, np.zeros(2), {1: np.zeros(3), 2: np.zeros(3)}
    influence = {1: np.zeros(len(counts)), 2: np.zeros(len(counts))}
    for rows in levels:
        of = Slow(counts[rows, middle], total[rows], strata[rows], known)
        share = len(rows) / n
        cov += share * of.covariance(counts[rows, x], counts[rows, z])
        sizes += [share * of.variance(counts[rows, end]) for end in (x, z)]
        (bx, gx), (bz, gz) = of.slopes(counts[rows, x]), of.slopes(counts[rows, z])
        line = of.v1 * np.array([bx * bx, bz * bz, bx * bz])
        downdate[1] += share * line
        downdate[2] += share * (line + of.n22 * np.array([gx * gx, gz * gz, gx * gz]))
        for degree in (1, 2):
            influence[degree][rows] = of.influence(counts[rows, x], counts[rows, z], degree)
    found = {"correlation": cov / np.sqrt(sizes.prod())}
    for degree, name in ((1, "linear"), (2, "spline")):
        left = np.sqrt((sizes[0] - downdate[degree][0]) * (sizes[1] - downdate[degree][1]))
        rho = (cov - downdate[degree][2]) / left
        used = np.concatenate(levels)
        scaled = influence[degree] / left
        found[name] = rho
        if donors is None:
            found[f"{name}_variance"] = ((scaled[used] ** 2).mean() - rho**2) / n
        else:
            found[f"{name}_variance"] = left_out(scaled[used] / n, donors[used])
    return found


def fractions(seed, n, n_genes, spread=0.5):
    """Levels of expression, mean 1, that share two factors: ``(n, n_genes)``."""
    rng = stream(seed, "fractions")
    factors = rng.gamma(2.0, 0.5, (n, 2))
    level = [(1 - spread + spread * factors[:, i % 2]) * rng.gamma(12.0, 1 / 12, n) for i in range(n_genes)]
    return np.stack(level, axis=1)


def counted(seed, n, n_genes, mean=15.0):
    """Counts, their totals (with the genes not listed), and size factors that made them."""
    rng = stream(seed, "counted")
    size = rng.gamma(20.0, 0.05, n)
    counts = rng.poisson(mean * size[:, None] * fractions(seed, n, n_genes)).astype(float)
    rest = rng.poisson(400 * size)
    return counts, counts.sum(axis=1) + rest, size


def compare_counts(counts, total, known, design, middles, **slow):
    """Every pair of ends of some middle genes, in tiles, lists and float32, against the slow code."""
    conditioner = CountConditioner(CountTest(counts, total, known, design, dtype=np.float64))
    n_genes = counts.shape[1]
    for middle in middles:
        ends = all_ends(n_genes, middle)
        of = tile_of(conditioner, middle, ends)
        rough = tile_of(conditioner, middle, ends, np.float32)
        pairs = list(combinations(range(len(ends)), 2))
        given = conditioner.given(middle, ends, np.float64, listed=True)
        listed = given.estimates(Listed(*np.array(pairs).T))
        assert given.n == sum(len(rows) for rows in slow["levels"])
        for at, (i, j) in enumerate(pairs):
            expected = slow_counts(counts, total, middle, ends[i], ends[j], known=known, **slow)
            for field in FIELDS:
                at_fault = field, middle, ends[i], ends[j]
                value = expected[field]
                for found in (getattr(of, field)[i, j], getattr(of, field)[j, i], getattr(listed, field)[at]):
                    assert found == pytest.approx(value, rel=1e-7, abs=1e-9), at_fault
                assert getattr(rough, field)[i, j] == pytest.approx(value, rel=2e-3, abs=1e-4), at_fault


def test_counts__one_level_totals_of_the_cells():
    n = 700
    counts, total, _ = counted(10, n, 5)
    design = make_design(samples(n), categorical_only=True, min_per_stratum=20)
    compare_counts(
        counts, total, False, design, range(5), levels=[np.arange(n)], strata=np.zeros(n, dtype=int)
    )


def test_counts__known_size_factors():
    n = 600
    counts, _, size = counted(11, n, 4)
    design = make_design(samples(n), categorical_only=True, min_per_stratum=20)
    compare_counts(counts, size, True, design, (0, 2), levels=[np.arange(n)], strata=np.zeros(n, dtype=int))


def test_counts__levels_and_strata():
    """Slopes and moments of each level are pooled over its strata, which have means of their own."""
    n = 1500
    rng = stream(12, "levels and strata")
    counts, total, _ = counted(12, n, 4)
    level, batch = rng.choice(["a", "b"], n, p=[0.6, 0.4]), rng.choice(["p", "q", "r"], n)
    counts[batch == "q"] = rng.poisson(1.5 * counts[batch == "q"])
    total = counts.sum(axis=1) + rng.poisson(400, n)
    obs = samples(n, level=level, batch=batch)
    design = make_design(
        obs, within=["level"], covariates=["batch"], categorical_only=True, min_per_stratum=20
    )
    levels = [np.flatnonzero(level == name) for name in "ab"]
    strata = np.unique(batch, return_inverse=True)[1]
    for known in (False, True):
        compare_counts(counts, total, known, design, (0, 3), levels=levels, strata=strata)


def test_counts__replicates():
    """Every replicate is a stratum of its own; the variance comes from leaving them out one by one."""
    n = 1200
    rng = stream(13, "count replicates")
    counts, total, _ = counted(13, n, 4)
    level, donor = rng.choice(["a", "b"], n), rng.choice(6, n)
    obs = samples(n, level=level, donor=[f"d{i}" for i in donor])
    design = make_design(obs, within=["level"], replicate="donor", categorical_only=True, min_per_stratum=20)
    levels = [np.flatnonzero(level == name) for name in "ab"]
    compare_counts(counts, total, False, design, (1, 2), levels=levels, strata=donor, donors=donor)


def test_counts__levels_with_too_few_are_left_out():
    """A level in which the middle gene is hardly counted has no say, in the ends' variance neither."""
    n = 1000
    counts, total, _ = counted(14, n, 4)
    level = np.repeat(["a", "b"], n // 2)
    counts[n // 2 :, 1] = np.minimum(counts[n // 2 :, 1], 1)
    design = make_design(samples(n, level=level), within=["level"], categorical_only=True, min_per_stratum=20)
    strata = np.zeros(n, dtype=int)
    compare_counts(counts, total, False, design, (1,), levels=[np.arange(n // 2)], strata=strata)
    conditioner = CountConditioner(CountTest(counts, total, False, design))
    assert [conditioner.given(y, np.array([2, 3]), np.float32).n for y in (0, 1)] == [n, n // 2]


def test_counts__statuses():
    """Constant, hardly counted, without variance beyond Poisson, or nothing left beside the middle gene."""
    n = 800
    rng = stream(15, "statuses")
    counts, _, _ = counted(15, n, 3)
    rare = (rng.random(n) < 0.02).astype(float)
    flat = rng.poisson(8.0, n).astype(float)
    counts = np.column_stack([counts, np.full(n, 2.0), rare, flat])
    total = counts.sum(axis=1) + rng.poisson(400, n)
    assert usable_cells(total, False).all()
    design = make_design(samples(n), categorical_only=True, min_per_stratum=20)
    conditioner = CountConditioner(CountTest(counts, total, False, design))
    few = names.TOO_FEW_COUNTS
    assert conditioner.status.tolist() == ["ok", "ok", "ok", "constant", few, few]
    assert conditioner.end_status.tolist() == ["ok", "ok", "ok", "constant", few, "ok"]
    usable = conditioner.given(0, np.array([1, 2, 5]), np.float32).usable
    assert usable.tolist() == [True, True, False]  # the flat one has no variance of its own
    assert conditioner.given(5, np.array([1, 2]), np.float32) is None
