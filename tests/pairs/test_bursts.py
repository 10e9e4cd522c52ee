"""The guard against bursty targets, against sums taken cell by cell."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from poolproof.pairs import bursts, calls, make_design, screening
from poolproof.pairs.bursts import KURTOSIS, RELATIVE_VARIANCE, guarded_wald
from poolproof.pairs.count_engine import CountTest
from poolproof.pairs.screening import INCONCLUSIVE, Rule, screen


def slow(f, y, ybar, bends, omega, square, wald):
    n = len(y)
    x = f[0]
    slope = sum(y * x) / sum(x * x)
    m, u2 = ybar + slope * x, (y - slope * x) ** 2
    high = x > np.quantile(x, 2 / 3)
    system = np.array([[1, (m[~high] ** 2).mean()], [1, (m[high] ** 2).mean()]])
    c0, c2 = np.linalg.solve(system, [u2[~high].mean(), u2[high].mean()])
    if c2 < 0:
        c0, c2 = u2.mean(), 0.0
    elif c0 < 0:
        c0, c2 = 0.0, u2.mean() / (m**2).mean()
    v = c0 + c2 * m**2
    kurtosis = (u2**2).mean() / (v**2).mean()
    relative = kurtosis * (f[1] ** 4 * v**2).sum() / (f[1] ** 2 * v).sum() ** 2
    changed = [
        whole - part + (f[j] * f[k] * (v + (m - ybar) ** 2)).mean()
        for (j, k), whole, part in zip(((1, 1), (1, 2), (2, 2)), omega, square, strict=True)
    ]
    matrix = np.array([[changed[0], changed[1]], [changed[1], changed[2]]])
    value = n * np.array(bends) @ np.linalg.solve(matrix, bends)
    guarded = kurtosis > KURTOSIS and relative > RELATIVE_VARIANCE
    return (min(value, wald) if guarded else wald), guarded


@pytest.mark.parametrize("on", [0.05, 1.0])
def test_guarded_wald__as_cell_by_cell(on):
    rng = np.random.default_rng(3)
    n, m = 400, 12
    level = np.exp(1.3 * rng.normal(size=n))
    y = (0.3 + 0.7 * level) * (rng.random((m, n)) < on) * rng.gamma(4.0, 0.25, (m, n)) / on
    f = np.stack([level**j - (level**j).mean() for j in (1, 2, 3)])
    f[1:] -= (f[1:] @ f[0] / (f[0] @ f[0]))[:, None] * f[0]
    ybar = y.mean(axis=1)
    y = y - ybar[:, None]
    bends = tuple(f[j] @ y.T / n for j in (1, 2))
    square = tuple((f[j] * f[k]) @ (y * y).T / n for j, k in ((1, 1), (1, 2), (2, 2)))
    omega = tuple(value * 1.1 for value in square)
    wald = np.full(m, 50.0)
    found = guarded_wald(f, y, ybar, bends, omega, square, wald)
    guarded = []
    for i in range(m):
        at = [tuple(float(v[i]) for v in part) for part in (bends, omega, square)]
        expected, was = slow(f, y[i], ybar[i], *at, wald[i])
        guarded.append(was)
        assert found[i] == pytest.approx(expected, rel=1e-8)
    assert any(guarded) == (on < 1)
    assert (found <= wald).all()


def test_guarded_wald__a_copy_is_left_alone():
    x = np.random.default_rng(0).gamma(2.0, size=200)
    f = np.stack([x**j - (x**j).mean() for j in (1, 2, 3)])
    one = np.ones(1)
    kept = guarded_wald(f, f[:1], one, (one, one), (one, 0 * one, one), (one, 0 * one, one), 7 * one)
    assert kept.tolist() == [7.0]


def test_means__of_powers_of_the_line():
    rng = np.random.default_rng(5)
    x, weights = rng.gamma(2.0, size=50), rng.random((3, 50))
    ybar, slope = rng.normal(size=(2, 4))
    for weight, found in zip(weights, bursts._along(bursts._moments(weights, x), ybar, slope), strict=True):
        line = ybar[:, None] + slope[:, None] * x
        assert found.zero == pytest.approx(weight.mean())
        for power, of in ((1, found.one), (2, found.two), (4, found.four)):
            np.testing.assert_allclose(of, (weight * line**power).mean(axis=1), rtol=1e-10)


@pytest.mark.parametrize("ties", [False, True])
def test_upper_bin__holds_what_lies_above_two_thirds(ties):
    x = np.random.default_rng(6).gamma(2.0, size=101)
    x = np.floor(x) if ties else x
    np.testing.assert_array_equal(bursts.upper_bin(x), x > np.quantile(x, 2 / 3))
    few = np.array([0.0] * 20 + [1.0] * 40 + [2.0] * 2)  # the edge is 1, and less than a twentieth lies above
    np.testing.assert_array_equal(bursts.upper_bin(few), few >= 1)


def test_screen__associates_by_the_guarded_bend_too(monkeypatch):
    """Association of counts may show in the bend: near its cut it is decided by the bend as guarded."""
    rng = np.random.default_rng(7)
    n, n_x, n_y = 1500, 12, 100
    x = np.minimum(rng.lognormal(-0.5, 1.0, (n, n_x)), 60)
    on = (rng.random((n, n_y)) < 0.3) * rng.gamma(4, 0.25 / 0.3, (n, n_y))
    y = (0.3 + 0.7 * x)[:, rng.integers(n_x, size=n_y)] * on
    counts = rng.poisson(np.column_stack([8 * x, 8 * np.minimum(y, 150)])).astype(float)
    design = make_design(pd.DataFrame(index=range(n)))
    engine = CountTest(counts, counts.sum(axis=1) + 3000, False, design)
    regulators, targets, rule = np.arange(n_x), n_x + np.arange(n_y), Rule(0.05, margin=0.1, min_r2=0.0)
    monkeypatch.setattr(screening, "doubtful_codes", lambda *_: (0, calls.N_CODES - 1))  # all near the cut
    found = screen(engine, regulators, targets, rule)
    direct = engine.outcome(engine.features(regulators), targets, np.float64, exact=True)
    p = np.exp(-direct.association.minus_log_p())
    tested = np.broadcast_to(direct.tested, p.shape)
    adjusted = np.ones(p.shape)
    adjusted[tested] = stats.false_discovery_control(p[tested])
    assert 20 <= (adjusted <= 0.05).sum() <= 0.9 * tested.sum()
    np.testing.assert_array_equal(found.calls >= INCONCLUSIVE, tested & (adjusted <= 0.05))
