"""Powers: level where nothing is there, order, and simulation of what they stand for."""

import numpy as np
import pytest
from scipy import stats

from poolproof.planning.powers import (
    affine_power,
    association_power,
    bend_power,
    column_kurtosis,
    false_edges,
    fdr_cut,
    sample_kurtosis,
    score_power,
    triple_power,
    wald_power,
)


def test_score_power__is_the_law_of_a_score_over_its_own_squares():
    rng = np.random.default_rng(0)
    n, k, effect = 60, 4, 0.25
    hit = []
    for _ in range(4000):
        z = rng.normal(size=(n, k)) + effect * np.eye(k)[0]
        s = z.sum(axis=0)
        hit.append(s @ np.linalg.solve(z.T @ z, s))
    for cut in (0.05, 0.01):
        found = np.mean(np.array(hit) > stats.chi2.isf(cut, k))
        assert float(score_power(n * effect**2, n, cut, k)) == pytest.approx(found, abs=0.03)


@pytest.mark.parametrize("hotelling", [True, False])
def test_wald_power__is_the_law_of_effects_over_their_covariance(hotelling):
    rng = np.random.default_rng(1)
    n, k, effect = 15, 2, 0.8
    hit = []
    for _ in range(4000):
        z = rng.normal(size=(n, k)) + effect * np.eye(k)[0]
        mean = z.mean(axis=0)
        hit.append(n * mean @ np.linalg.solve(np.cov(z.T), mean))
    statistic = np.array(hit)
    if hotelling:
        found = np.mean(statistic * (n - k) / (k * (n - 1)) > stats.f.isf(0.01, k, n - k))
    else:
        found = np.mean(statistic > stats.chi2.isf(0.01, k))
    assert float(wald_power(n * effect**2, n, 0.01, k, hotelling=hotelling)) == pytest.approx(found, abs=0.03)


def test_powers__rise_with_effects_and_samples_and_keep_their_level():
    n = np.array([100.0, 300.0, 1000.0])
    for power in (
        bend_power(0.2, 0.03, n, 0.01),
        association_power(0.05, 0.0, n, 0.01),
        affine_power(0.2, 0.001, n, 0.1),
    ):
        assert (np.diff(power) > 0).all()
    assert float(bend_power(0.2, 0.0, 1000.0, 0.05)) <= 0.05
    assert float(association_power(0.0, 0.0, 1000.0, 0.05)) <= 0.055
    # at the margin itself affine is called at most at its level
    assert float(affine_power(0.27, 0.03, 1000.0, 0.1)) <= 0.08


def test_affine_power__is_the_law_of_the_bound():
    rng = np.random.default_rng(2)
    n, line, bend, p, c = 400, 0.3, 0.004, 4, 1 / 3
    variance = (1 - line) / n
    b = np.sqrt(line) + np.sqrt(variance * (1 - line)) * rng.normal(size=20_000)
    s = np.sqrt(variance) * rng.normal(size=(20_000, p)) + np.sqrt(bend) * np.eye(p)[0]
    reach = 1.645 * np.sqrt(variance * (1 + 2 * 4 / n) * (1 + c**2))
    found = np.mean(np.linalg.norm(s, axis=1) - c * np.abs(b) + reach < 0)
    assert float(affine_power(line, bend, n, 0.1)) == pytest.approx(found, abs=0.02)


@pytest.mark.parametrize(
    ("given", "n"), [((0.0, 0.0), 900), ((0.0, 0.25), 900), ((0.4, 0.4), 100), ((0.25, 0.0), 900)]
)
def test_triple_power__is_the_law_of_two_errors(given, n):
    rng = np.random.default_rng(3)
    margin, rho = 0.1, np.array(given)
    bend = abs(rho[0] - rho[1])
    shared = min(1 - bend, 0.999)
    errors = rng.multivariate_normal([0, 0], [[1, shared], [shared, 1]], size=40_000) / np.sqrt(n)
    line = np.sqrt(1 + bend**2 * (float(sample_kurtosis(15.0, n)) - 1))  # a bend of a normal regulator
    at, z = rho + errors * (1 - rho**2), 1.645 * np.array([1.0, line]) / np.sqrt(n)
    small, large = np.abs(at) + z < margin, np.abs(at) - z > margin
    found = {
        "separated": small[:, 0],
        "kept": small[:, 0] & small[:, 1],
        "distorted": small[:, 0] & large[:, 1],
        "hidden": large[:, 0] & small[:, 1],
        "dependent": large[:, 0] & large[:, 1],
    }
    for name, power in triple_power(*given, n, margin).items():
        assert float(power) == pytest.approx(found[name].mean(), abs=0.02), name


def test_column_kurtosis__is_that_of_the_bend_of_a_gamma_law():
    x = np.random.default_rng(6).gamma(8.0, size=1_000_000)
    z = (x - x.mean()) / x.std()
    q = z**2 - 1 - np.mean(z**3) * z
    assert column_kurtosis(2 + 2 / 8.0) == pytest.approx(np.mean(q**4) / np.mean(q**2) ** 2, rel=0.1)


def test_false_edges__are_what_a_test_of_distorted_triples_finds():
    rng = np.random.default_rng(4)
    r = 0.04 * rng.normal(size=100_000) + rng.normal(size=100_000) / np.sqrt(800)
    found = np.mean(np.abs(r) * np.sqrt(800) > stats.norm.isf(0.005))
    assert float(false_edges(0.04, 800.0, 0.01)) == pytest.approx(found, abs=0.01)
    assert float(false_edges(0.0, 800.0, 0.01)) == pytest.approx(0.01)


def test_fdr_cut__is_where_benjamini_and_hochberg_cut():
    rng = np.random.default_rng(5)
    z = np.abs(np.where(np.arange(20_000) < 2000, 4.0, 0.0) + rng.normal(size=20_000))
    p = np.sort(2 * stats.norm.sf(z))
    passed = p <= 0.05 * np.arange(1, 20_001) / 20_000

    def power(cut):
        t = stats.norm.isf(cut / 2)
        return 0.1 * (stats.norm.sf(t - 4) + stats.norm.sf(t + 4)) + 0.9 * cut

    assert fdr_cut(power, 0.05, 20_000) == pytest.approx(p[passed].max(), rel=0.15)
    assert fdr_cut(lambda cut: cut, 0.05, 100) == pytest.approx(0.05 / 100)
