"""Kernels of the corrected test against an explicit cell-by-cell computation, and their identities."""

from dataclasses import dataclass
from itertools import product
from math import comb, factorial

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from poolproof.pairs import Design, make_design
from poolproof.pairs.calls import share_upper
from poolproof.pairs.count_bounds import Z_COUNTS
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.count_kernels import (
    MIN_TOGETHER,
    CountDepth,
    count_features,
    count_targets,
    enough_counts,
    enough_together,
    factorial_moment,
)

# --- slow and obvious: method 6.3, cell by cell -------------------------------------------


def ff(count: float, order: int, less: int = 0) -> float:
    value = 1.0
    for i in range(order):
        value *= count - less - i
    return value


@dataclass
class Slow:
    """Everything that is known of one pair."""

    b: float
    v1: float
    g: np.ndarray
    psi: np.ndarray
    """Influence of g, shape ``(n, 2)``."""
    slope: np.ndarray
    """Influence of b times V1, shape ``(n,)``."""
    n_matrix: np.ndarray
    n_cells: np.ndarray
    """Each cell's term of N, shape ``(n, 2, 2)``."""
    h11: np.ndarray
    leverage: np.ndarray
    variance_y: float


def slow_pair(
    x: np.ndarray, y: np.ndarray, total: np.ndarray, strata: np.ndarray, *, known: bool, phi: float = 0.0
) -> Slow:
    n = len(x)
    e, f = np.zeros((7, n)), np.zeros((4, n))
    share, pair_y = np.zeros(n), np.zeros(n)
    for i in range(n):
        share[i] = y[i] / total[i]
        pair_y[i] = ff(y[i], 2) / (total[i] ** 2 if known else ff(total[i], 2)) / (1 + phi)
        for j in range(1, 7):
            spread = np.prod([1 + a * phi for a in range(j)])
            e[j, i] = ff(x[i], j) / (total[i] ** j if known else ff(total[i], j)) / spread
            if j < 4:
                f[j, i] = ff(x[i], j) / (total[i] ** j if known else ff(total[i], j, less=1)) / spread
    size = np.array([(strata == c).sum() for c in strata], dtype=float)
    mu = np.array([[e[j, strata == c].mean() if j else 0 for c in strata] for j in range(7)])
    ybar = np.array([share[strata == c].mean() for c in strata])
    h_cell = {}
    for j, k in product((1, 2, 3), repeat=2):
        h_cell[j, k] = e[j + k] - mu[j] * e[k] - mu[k] * e[j] + mu[j] * mu[k]
        h_cell[j, k] += (e[j] - mu[j]) * (e[k] - mu[k]) / (size - 1)
    h = {key: value.mean() for key, value in h_cell.items()}
    v1 = h[1, 1]
    k_of = {j: h[1, j] / v1 for j in (2, 3)}
    unbiased = size / (size - 1)
    a1 = unbiased * (share * (f[1] - mu[1]) - ybar * (e[1] - mu[1]))
    b = a1.mean() / v1
    psi = []
    for j in (2, 3):
        big_p = e[j] - mu[j] - k_of[j] * (e[1] - mu[1])
        big_f = f[j] - mu[j] - k_of[j] * (f[1] - mu[1])
        big_r = h_cell[1, j] - k_of[j] * h_cell[1, 1]
        psi.append(unbiased * (share * big_f - ybar * big_p) - b * big_r)
    n_cells = np.zeros((n, 2, 2))
    for row, column in product((2, 3), repeat=2):
        n_cells[:, row - 2, column - 2] = (
            h_cell[row, column]
            - k_of[row] * h_cell[1, column]
            - k_of[column] * h_cell[1, row]
            + k_of[row] * k_of[column] * h_cell[1, 1]
        )
    y_terms = pair_y - 2 * ybar * share + ybar**2 + (share - ybar) ** 2 / (size - 1)
    return Slow(
        b=b,
        v1=v1,
        g=np.mean(psi, axis=1),
        psi=np.array(psi).T,
        slope=a1 - b * h_cell[1, 1],
        n_matrix=n_cells.mean(axis=0),
        n_cells=n_cells,
        h11=h_cell[1, 1],
        leverage=1 / n + np.clip(h_cell[1, 1] / (n * v1), 0, 0.9),
        variance_y=max(y_terms.mean(), 2 * y_terms.std() / np.sqrt(n)),
    )


@dataclass
class SlowResult:
    statistic: float
    z2: float
    line: float
    bend: float
    upper: float


def slow_result(
    x: np.ndarray, y: np.ndarray, total: np.ndarray, strata: np.ndarray, *, known: bool, phi: float = 0.0
) -> SlowResult:
    of = slow_pair(x, y, total, strata, known=known, phi=phi)
    n = len(x)
    weight = 1 / (1 - of.leverage) ** 2

    def covariance(left: np.ndarray, right: np.ndarray) -> float:
        return float((weight * left * right).mean() - left.mean() * right.mean())

    omega = np.array([[covariance(of.psi[:, j], of.psi[:, k]) for k in range(2)] for j in range(2)])
    statistic = n * of.g @ np.linalg.inv(omega) @ of.g
    z2 = n * (of.b * of.v1) ** 2 / covariance(of.slope, of.slope)
    d = np.linalg.inv(of.n_matrix) @ of.g
    r = np.sqrt(of.g @ d)
    line = of.b**2 * of.v1
    # influences of r and of B = |b| sqrt(V1), up to constants
    of_r = (of.psi @ d - np.einsum("j,njk,k->n", d, of.n_cells, d) / 2) / r
    of_line = (of.b * of.slope + of.b**2 * of.h11 / 2) / np.sqrt(line)
    pieces = [covariance(*pair) / n for pair in ((of_r, of_r), (of_line, of_line), (of_r, of_line))]
    upper = share_upper(np.array(r), np.array(np.sqrt(line)), *(np.array(v) for v in pieces), Z_COUNTS)
    scale = max(of.variance_y, line + r**2)  # noise can put the sum above the variance
    return SlowResult(statistic, z2, line / scale, r**2 / scale, float(upper))


# --- data -----------------------------------------------------------------------------------------------


def simulated(
    n: int, seed: int, *, known: bool, shift: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of a regulator and three targets (a line, a curve, noise), and depths."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(1.5, 0.6, n) + shift
    targets = [0.3 + 0.7 * level, level**2 / 2 + 0.2, rng.gamma(3.0, 0.4, n)]
    truth = np.stack([level, *targets], axis=1) * rng.gamma(5.0, 0.2, (n, 4)) ** [0, 1, 1, 1]
    if known:
        size = rng.gamma(4.0, 0.25, n) + 0.2
        return rng.poisson(20 * size[:, None] * truth).astype(float), size
    total = rng.poisson(800 * rng.gamma(4.0, 0.25, n) + 300)
    return rng.poisson(total[:, None] * 0.025 * truth).astype(float), total.astype(float)


def design_of(n: int, **options: object) -> Design:
    obs = options.pop("obs", pd.DataFrame(index=range(n)))
    return make_design(obs, categorical_only=True, min_per_stratum=20, **options)  # type: ignore[arg-type]


def batches(n: int, size: int, seed: int = 0) -> pd.DataFrame:
    codes = np.random.default_rng(seed).permutation(np.arange(n) // size)
    return pd.DataFrame({"batch": [f"b{code:02d}" for code in codes]})


# --- exactness --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("strata", [None, 30])
@pytest.mark.parametrize("phi", [0.0, 0.02])
def test_matches_the_cell_by_cell_computation(known: bool, strata: int | None, phi: float) -> None:
    n = 900
    obs = pd.DataFrame(index=range(n)) if strata is None else batches(n, strata)
    codes = np.zeros(n, dtype=int) if strata is None else pd.factorize(obs["batch"])[0]
    counts, depth = simulated(n, 1, known=known, shift=0.3 * (codes % 3))
    design = design_of(n, obs=obs, covariates=[] if strata is None else ["batch"])
    engine = CountTest(counts, depth, known, design, overdispersion=phi, dtype=np.float64)
    outcome = engine.outcome(engine.features(np.array([0])), np.arange(1, 4), np.float64, exact=True)
    assert engine.features(np.array([0])).levels[0].degree[0] == 3
    for target in range(3):
        slow = slow_result(counts[:, 0], counts[:, target + 1], depth, codes, known=known, phi=phi)
        found = {
            "statistic": outcome.statistic[0, target],
            "z2": outcome.association.laws[1].value[0, target],
            "line": outcome.r2_linear[0, target],
            "bend": outcome.gain[0, target],
            "upper": outcome.share_upper[0, target],
        }
        for name, value in found.items():
            assert value == pytest.approx(getattr(slow, name), rel=1e-7), (target, name)


def test_depends_on_no_order_of_cells_strata_or_genes() -> None:
    n = 600
    obs = batches(n, 30)
    counts, depth = simulated(n, 2, known=False)
    order = np.random.default_rng(0).permutation(n)
    results = []
    for rows, genes in ((np.arange(n), np.arange(4)), (order, np.array([2, 0, 3, 1]))):
        design = design_of(n, obs=obs.iloc[rows].reset_index(drop=True), covariates=["batch"])
        engine = CountTest(counts[np.ix_(rows, genes)], depth[rows], False, design, dtype=np.float64)
        every = engine.outcome(engine.features(np.argsort(genes)), np.argsort(genes), np.float64, exact=True)
        results.append(np.stack([every.statistic, every.gain, every.share_upper]))
    apart = ~np.eye(4, dtype=bool)
    assert results[0][:, apart] == pytest.approx(results[1][:, apart], rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_the_unit_of_a_size_factor_changes_nothing(factor: float) -> None:
    counts, size = simulated(500, 3, known=True)
    outcomes = []
    for unit in (1.0, factor):
        engine = CountTest(counts, size * unit, True, design_of(500), dtype=np.float64)
        found = engine.outcome(engine.features(np.arange(4)), np.arange(4), np.float64, exact=True)
        outcomes.append(np.stack([found.statistic, found.gain, found.r2_linear, found.share_upper]))
    assert outcomes[0] == pytest.approx(outcomes[1], rel=1e-8, nan_ok=True)


def left_out(sums: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Covariance of totals by the jackknife, the donor's own share of the total taken off: CR3."""
    changes = (sums - share[:, None] * sums.sum(axis=0)) / (1 - share)[:, None]
    return (len(sums) - 1) / len(sums) * changes.T @ changes


@pytest.mark.parametrize("sizes", [[100] * 9, [40, 50, 60, 80, 100, 140, 180, 250]])
def test_replicates_are_left_out_one_by_one(sizes: list[int]) -> None:
    """Everything computed anew without each donor: T2 = s'M^-1 s and the bound, shares h of the total."""
    n, n_donors = sum(sizes), len(sizes)
    donor = np.repeat(np.arange(n_donors), sizes)
    obs = pd.DataFrame({"donor": [f"d{code}" for code in donor]})
    counts, depth = simulated(n, 4, known=False, shift=0.2 * (donor % 3))
    design = design_of(n, obs=obs, replicate="donor")
    engine = CountTest(counts, depth, False, design, dtype=np.float64)
    outcome = engine.outcome(engine.features(np.array([0])), np.arange(1, 4), np.float64, exact=True)
    for target in range(3):
        x, y = counts[:, 0], counts[:, target + 1]
        of = slow_pair(x, y, depth, donor, known=False)
        s = n * of.g
        changes, spread = [], []
        for code in range(n_donors):
            rest = donor != code
            without = slow_pair(x[rest], y[rest], depth[rest], donor[rest], known=False)
            changes.append(s - rest.sum() * without.g)
            spread.append(of.h11[~rest].sum())
        share = (np.array(sizes) / n + np.array(spread) / (n * of.v1)) / 2
        taken = (np.array(changes) - share[:, None] * s) / (1 - share)[:, None]
        t2 = s @ np.linalg.inv((n_donors - 1) / n_donors * taken.T @ taken) @ s
        weight = share / (1 - share)
        df = min((weight.sum() ** 2 / (weight**2).sum() - 1 + n_donors - 1) / 2, n_donors - 1)
        assert 3 < df <= n_donors - 1
        statistic = t2 * (df - 1) / (2 * df)
        assert outcome.statistic[0, target] == pytest.approx(statistic, rel=1e-7)
        p = np.exp(-outcome.bend.minus_log_p()[0, target])
        assert p == pytest.approx(stats.f.sf(statistic, 2, df - 1), rel=1e-6)
        d = np.linalg.inv(of.n_matrix) @ of.g
        r, line = np.sqrt(of.g @ d), of.b**2 * of.v1
        of_r = (of.psi @ d - np.einsum("j,njk,k->n", d, of.n_cells, d) / 2) / r
        of_line = (of.b * of.slope + of.b**2 * of.h11 / 2) / np.sqrt(line)
        sums = np.array([[v[donor == c].sum() / n for v in (of_r, of_line)] for c in range(n_donors)])
        v = left_out(sums, share)
        z = stats.t.ppf(0.975, df)
        upper = share_upper(*(np.array(value) for value in (r, np.sqrt(line), v[0, 0], v[1, 1], v[0, 1])), z)
        assert outcome.share_upper[0, target] == pytest.approx(float(upper), rel=1e-6)


# --- identities ------------------------------------------------------------------------------------------


def test_factorial_moments_by_hand() -> None:
    counts = np.array([0.0, 1, 2, 3, 7])
    assert factorial_moment(counts, 3).tolist() == [0, 0, 0, 6, 210]
    assert factorial_moment(counts, 1).tolist() == counts.tolist()
    assert CountDepth(np.array([10.0]), False).falling(3).tolist() == [720]
    assert CountDepth(np.array([10.0]), False).falling(2, less=1).tolist() == [72]
    assert CountDepth(np.array([10.0]), True).falling(3, less=1).tolist() == [1000]


@pytest.mark.parametrize("order", range(1, 5))
def test_moments_are_unbiased_for_multinomial_counts(order: int) -> None:
    """E e_j = p_x^j and E y f_j = p_y p_x^j, summed over every outcome of a multinomial of 7 molecules."""
    total, p_x, p_y = 7, 0.35, 0.2
    e = cross = 0.0
    for x in range(total + 1):
        for y in range(total + 1 - x):
            rest = total - x - y
            ways = factorial(total) / (factorial(x) * factorial(y) * factorial(rest))
            weight = ways * p_x**x * p_y**y * (1 - p_x - p_y) ** rest
            depth = CountDepth(np.array([float(total)]), False)
            moment = factorial_moment(np.array([float(x)]), order)
            e += weight * float((moment / depth.falling(order))[0])
            cross += weight * float((y / depth.falling(1) * moment / depth.falling(order, less=1))[0])
    assert e == pytest.approx(p_x**order, rel=1e-12)
    assert cross == pytest.approx(p_y * p_x**order, rel=1e-12)


def test_moments_of_poisson_counts_with_a_known_factor() -> None:
    s, level = 1.7, 2.3
    counts = np.arange(80.0)
    weight = np.exp(
        -s * level + counts * np.log(s * level) - [np.log(float(factorial(int(c)))) for c in counts]
    )
    for order in range(1, 7):
        e = factorial_moment(counts, order) / CountDepth(np.array([s]), True).falling(order)
        assert (weight * e).sum() == pytest.approx(level**order, rel=1e-9)


def test_overdispersion_is_divided_out_by_enumeration() -> None:
    """Gamma noise of squared CV phi multiplies the j-th factorial moment by the product of 1 + i phi."""
    phi, s, level = 0.2, 1.0, 1.5
    counts = np.arange(200)
    shape = 1 / phi
    odds = s * level * phi
    negative_binomial = np.array(
        [
            np.prod([(shape + i) / (i + 1) for i in range(c)])
            * (odds / (1 + odds)) ** c
            / (1 + odds) ** shape
            for c in counts
        ]
    )
    for order in range(1, 5):
        expected = level**order * np.prod([1 + i * phi for i in range(order)])
        moment = factorial_moment(counts.astype(float), order)
        assert (negative_binomial * moment).sum() == pytest.approx(expected, rel=1e-9)


def test_within_strata_of_two_cells_every_term_is_unbiased() -> None:
    """All multisets of a law with three levels: V1 and h_12 come out as the population's, at n_c = 2 too.

    Cells are drawn in pairs (a stratum each), in every combination with its probability, so the average
    over strata is the expectation.
    """
    levels, p = np.array([0.0, 2.0, 5.0]), np.array([0.5, 0.3, 0.2])
    copies = np.round(np.outer(p, p) * 100).astype(int)
    cells = [pair for i, j in product(range(3), repeat=2) for pair in [(levels[i], levels[j])] * copies[i, j]]
    x = np.array(cells).ravel()
    strata = np.repeat(np.arange(len(cells)), 2)
    obs = pd.DataFrame({"stratum": [f"s{code:03d}" for code in strata]})
    design = make_design(obs, covariates=["stratum"], categorical_only=True)
    of = count_features(x[None], CountDepth(np.ones(len(x)), True), design.levels[0])
    moment = [float((p * factorial_moment(levels, j)).sum()) for j in range(7)]
    unit = moment[1]
    v1, h12 = moment[2] - moment[1] ** 2, moment[3] - moment[1] * moment[2]
    h22 = moment[4] - moment[2] ** 2
    assert of.own_mean[2, 0] == pytest.approx(v1 / unit**2, rel=1e-9)
    slope = h12 / v1
    n22 = h22 - 2 * slope * h12 + slope**2 * v1
    assert of.own_mean[3, 0] == pytest.approx(n22 / unit**4, rel=1e-9)
    assert of.own_mean[0, 0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_split_of_a_gene_is_an_exact_null(seed: int) -> None:
    """Averaged over every way to split the counts, y f_j is e_(j+1): slope 1, no bend, for any counts."""
    counts = np.random.default_rng(seed).negative_binomial(2, 0.3, 60)
    cross, pure = np.zeros(4), np.zeros(5)
    for c in counts:
        weight = np.array([comb(int(c), x) for x in range(c + 1)]) / 2.0**c
        x = np.arange(c + 1.0)
        for j in range(1, 5):
            pure[j] += (weight * factorial_moment(x, j)).sum()
            if j < 4:
                cross[j] += (weight * (c - x) * factorial_moment(x, j)).sum()
    assert cross[1:4] == pytest.approx(pure[2:5], rel=1e-10)


# --- single precision --------------------------------------------------------------------------------------


def test_float32_agrees_or_is_flagged() -> None:
    n, m = 2000, 40
    rng = np.random.default_rng(5)
    level = np.exp(rng.normal(size=(n, 8)) * np.linspace(0.2, 1.5, 8))
    truth = np.concatenate(
        [level, level**2, 0.1 + level, level * rng.gamma(2.0, 0.5, (n, 8)), 1 / (1 + level)], 1
    )
    truth /= truth.mean(axis=0)
    size = rng.gamma(4.0, 0.25, n) + 0.2
    mean = np.geomspace(0.5, 200, m)[rng.permutation(m)]
    counts = rng.poisson(size[:, None] * mean * truth).astype(float)
    engine = CountTest(counts, size, True, design_of(n))
    block = engine.features(np.arange(m))
    low = engine.outcome(block.astype(np.float32), np.arange(m), np.float32, exact=False)
    high = engine.outcome(block, np.arange(m), np.float64, exact=True)
    ok = (engine.regulator_status == "ok")[:, None] & (engine.target_status == "ok")[None] & ~low.doubt
    ok &= ~np.eye(m, dtype=bool)
    assert ok.mean() > 0.4
    for name in ("statistic", "gain", "r2_linear", "share_upper"):
        fast, exact = getattr(low, name)[ok], getattr(high, name)[ok]
        known = np.isfinite(exact)
        assert (np.isfinite(fast) == known).all()
        error = np.abs(fast - exact)[known] / np.maximum(np.abs(exact[known]), 1e-2)
        assert np.quantile(error, 0.999) < 1e-3, name
        assert error.max() < 2e-2, name
    assert low.statistic.dtype == np.float32


# --- enough counts -----------------------------------------------------------------------------------------


def test_rule_of_enough_counts() -> None:
    n = 400
    few = np.zeros(n)
    few[:9] = 3
    level = design_of(n).levels[0]
    depth = CountDepth(np.full(n, 1000.0), False)
    enough = few.copy()
    enough[9] = 3
    constant = np.full(n, 5.0)  # no variance of the fraction beyond sampling
    steep = np.random.default_rng(0).poisson(5 * np.random.default_rng(1).gamma(1.0, 1.0, n)).astype(float)
    x = np.stack([few, enough, constant, steep])
    assert enough_counts(x, depth, level).tolist() == [False, True, False, True]
    assert count_features(x, depth, level).testable.tolist() == [False, True, False, True]


def test_the_two_forms_of_the_rule_agree() -> None:
    rng = np.random.default_rng(6)
    n = 300
    x = rng.poisson(np.geomspace(0.2, 5, 200)[:, None] * rng.gamma(2.0, 0.5, (200, n))).astype(float)
    design = design_of(n, obs=batches(n, 30), covariates=["batch"])
    depth = CountDepth(rng.integers(200, 2000, n).astype(float), False)
    quick = enough_counts(x[:, design.levels[0].rows], depth, design.levels[0])
    full = count_features(x[:, design.levels[0].rows], depth, design.levels[0]).testable
    assert (quick == full).all()
    assert 20 < quick.sum() < 180


def test_degree_needs_more_than_two_levels_of_expression() -> None:
    """Two narrow modes have a line but no resolved bend; a wide law has both."""
    rng = np.random.default_rng(7)
    n = 3000
    modes = np.where(rng.random(n) < 0.5, 2.0, 14.0)
    wide = 8 * rng.gamma(1.5, 1 / 1.5, n)
    x = rng.poisson(np.stack([modes, wide])).astype(float)
    of = count_features(x, CountDepth(np.ones(n), True), design_of(n).levels[0])
    assert of.testable.all()
    assert of.degree.tolist() == [1, 3]


def test_enough_together__asks_for_cells_with_both_genes():
    """100 of 1,000 cells have at least 3 counts of x: chance gives 20 with both from 200 cells with y on."""
    n = 1000
    rng = np.random.default_rng(0)
    x = np.where(np.arange(n) < 100, 9.0, rng.integers(0, 2, n))
    ys = np.zeros((3, n))
    for row, seen in zip(ys, (10 * MIN_TOGETHER - 1, 10 * MIN_TOGETHER, 900), strict=True):
        row[rng.choice(n, seen, replace=False)] = 1.0
    (level,) = make_design(pd.DataFrame(index=range(n)), categorical_only=True).levels
    depth = CountDepth(np.full(n, 50.0), known=True)
    features = count_features(x[None], depth, level)
    targets = count_targets(ys, depth, level, np.ones(3), np.float64)
    assert features.testable.all()
    assert targets.testable.all()
    assert enough_together(features, targets).tolist() == [[False, True, True]]


def test_count_features__one_cell_of_ten_carries_everything():
    """The smallest level there can be: the leverage of that cell stays below 1."""
    x = np.ones((1, 10))
    x[0, 3] = 40.0
    (level,) = make_design(pd.DataFrame(index=range(10)), categorical_only=True).levels
    features = count_features(x, CountDepth(np.full(10, 100.0), known=False), level)
    assert all(np.isfinite(getattr(features, name)).all() for name in ("f", "fd", "ff", "own_cov"))
    assert not features.testable.any()
