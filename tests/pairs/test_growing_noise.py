"""The second test of bends: what it depends on, and what it does not."""

import numpy as np
import pandas as pd
import pytest

from poolproof import linearity
from poolproof._random import stream
from poolproof.basis import spline_basis
from poolproof.pairs import growing_noise, make_design
from poolproof.pairs.growing_noise import SecondTest, concentration, lowered, shapes, weighted_statistics
from poolproof.pairs.score_engine import ScoreTest


def bursty(rng, n=400, m=30):
    x = rng.lognormal(0, 1.2, n)
    y = (0.3 + 0.7 * x)[:, None] * (rng.random((n, m)) < 0.1) / 0.1
    return x, y


def test_weighted_statistics__do_not_know_where_zero_lies():
    """Shifted, scaled and mirrored, x and y give the same."""
    x, y = bursty(stream(40, "shift"))
    nuisance = np.full((len(x), 1), len(x) ** -0.5)

    def of(x, y):
        y = y - y.mean(axis=0)
        y = y / np.linalg.norm(y, axis=0)
        return np.stack(weighted_statistics(x, spline_basis(x).T, nuisance, y.T))

    wanted = of(x, y)
    assert np.isfinite(wanted).all()
    for a, b in ((7.0, 1.0), (0.0, 3e4), (-2.0, -0.5)):
        np.testing.assert_allclose(of(a + b * x, y), wanted, rtol=1e-6)
        np.testing.assert_allclose(of(x, a + b * y), wanted, rtol=1e-6)


def test_weighted_statistics__equal_noise_gives_the_plain_f():
    rng = stream(41, "equal")
    x = rng.normal(size=300)
    y = (x + rng.normal(size=300))[None]
    y = y - y.mean()
    q = spline_basis(x)
    nuisance = np.full((300, 1), 300**-0.5)
    statistic, doubt = weighted_statistics(x, q.T, nuisance, y)
    s = q.T @ y[0]
    rest = y[0] @ y[0] - s[0] ** 2
    assert statistic[0] == pytest.approx(298 * np.sum(s[1:] ** 2) / rest)
    u = y[0] - q[:, 0] * s[0]
    leverage = (q[:, 1:] ** 2).sum(axis=1)
    assert doubt[0] == pytest.approx(300 * np.sum(u**4) / np.sum(u**2) ** 2 * np.sum(leverage**2) / 4)


def test_weighted_statistics__nothing_left_of_a_target():
    """An exact line has no noise whose growth could be told."""
    x = np.arange(50.0)
    y = (x - x.mean())[None] / np.linalg.norm(x - x.mean())
    with np.errstate(all="raise"):
        statistic, doubt = weighted_statistics(x, spline_basis(x).T, np.full((50, 1), 50**-0.5), y)
    assert np.isfinite(doubt).all()
    assert statistic.shape == (1,)


def test_shapes__grow_from_either_end_and_are_never_zero():
    of = shapes(np.array([0.0, 0, 1, 5]))
    assert (of > 0).all()
    assert (np.diff(of[1:7], axis=1) >= 0).all()
    assert (np.diff(of[7:], axis=1) <= 0).all()


def test_concentration__runs_from_even_to_one_sample():
    even = np.stack([np.ones((1, 8)), np.ones((1, 8)) / 8**0.5])
    one = np.stack([np.ones((1, 8)), np.eye(8)[:1]])
    assert concentration(even)[0] == pytest.approx(1 / 8)
    assert concentration(one)[0] == pytest.approx(1.0)


def test_lowered__lowers_only_and_not_below_the_floor():
    x, y = bursty(stream(42, "lower"))
    y = y - y.mean(axis=0)
    q = spline_basis(x)
    first = np.linspace(growing_noise.least(q.shape[1]), 60, y.shape[1])
    found = lowered(
        first, *weighted_statistics(x, q.T, np.full((len(x), 1), len(x) ** -0.5), y.T), q.shape[1]
    )
    assert (found <= first).all()
    assert (found >= growing_noise.least(q.shape[1])).all()
    assert (found < first - 5).sum() >= 10


def test_linearity__few_missing_values_change_little():
    """A pair with a hole is looked at as one without: before, it would keep its small p-value."""
    x, y = bursty(stream(43, "holes"), n=300)
    data = pd.DataFrame(np.column_stack([x, y]), columns=["x", *(f"y{j}" for j in range(y.shape[1]))])
    holes = data.copy()
    holes.iloc[int(np.argsort(x)[150]), 1:] = np.nan
    pairs = [("x", f"y{j}") for j in range(y.shape[1])]
    run = {
        name: linearity(values, pairs=pairs, keep="all", kind="bulk", scale="additive", threads=1).table
        for name, values in (("whole", data), ("holes", holes))
    }
    p = {name: table.set_index("target")["p_value"] for name, table in run.items()}
    np.testing.assert_allclose(np.log(p["holes"]), np.log(p["whole"][p["holes"].index]), atol=0.7)


def test_linearity__takes_the_smaller_statistic(monkeypatch):
    x, y = bursty(stream(44, "smaller"), n=600, m=60)
    data = pd.DataFrame(np.column_stack([x, y]), columns=["x", *(f"y{j}" for j in range(y.shape[1]))])
    pairs = [("x", f"y{j}") for j in range(y.shape[1])]

    def p_values():
        table = linearity(data, pairs=pairs, keep="all", kind="bulk", scale="additive", threads=1).table
        return table.set_index("target")["p_value"]

    new = p_values()
    monkeypatch.setattr(growing_noise, "HEED", 0.0)
    alone = p_values()
    new, alone = new.sort_index(), alone.sort_index()
    assert (new >= alone[new.index]).all()
    assert (new > 2 * alone).sum() >= 5
    assert (new[alone > growing_noise_heed] == alone[alone > growing_noise_heed]).all()


growing_noise_heed = growing_noise.HEED


def many_covariates(n, p):
    """The constant and p - 1 others, orthonormal."""
    columns = np.column_stack([np.ones(n), stream(45, "covariates", p).normal(size=(n, p - 1))])
    q, r = np.linalg.qr(columns)
    return q * np.sign(np.diag(r))


@pytest.mark.parametrize("p", [1, 4, 20])
def test_statistics__as_weighted_least_squares_one_by_one(p):
    """Few columns of the design (products made at once) and many; blocks of targets; use of what is known."""
    n = 300
    x, y = bursty(stream(46, "wls", p), n=n, m=2 * growing_noise.AT_ONCE + 5)
    nuisance = many_covariates(n, p)
    q = spline_basis(x).T
    q = q - (q @ nuisance) @ nuisance.T
    q = np.linalg.qr(q.T)[0].T
    y = (y - nuisance @ (nuisance.T @ y)).T
    test = SecondTest(nuisance)
    statistic, doubt, known = test.statistics(x, q, y)
    test.statistics(x[::-1].copy(), q, y)  # another regulator in between
    again = test.statistics(x, q, y, known)
    np.testing.assert_array_equal(again[0], statistic)
    np.testing.assert_array_equal(again[1], doubt)
    line = np.column_stack([nuisance, q[0]])
    for j in (0, 1, growing_noise.AT_ONCE, len(y) - 1):
        u = y[j] - q[0] * (q[0] @ y[j])
        fits = [n * np.log(np.sum(u**2 / v)) + np.log(v).sum() for v in shapes(x)]
        sd = np.sqrt(shapes(x)[int(np.argmin(fits))])
        rest, full = (
            np.linalg.lstsq(columns / sd[:, None], y[j] / sd)[1][0]
            for columns in (line, np.column_stack([line, q[1:].T]))
        )
        assert statistic[j] == pytest.approx((n - p - 1) * (rest - full) / rest, rel=1e-8)


def test_regulators__take_keeps_what_is_known_with_its_regulator():
    x = stream(47, "take").lognormal(size=(3, 50))
    known = {0: "first", 2: "third"}
    block = growing_noise.Regulators(x, np.zeros((5, 3, 50)), np.arange(3.0), known)
    assert block.take(np.array([2, 1])).known == {0: "third"}


@pytest.mark.parametrize("replicate", [None, "donor"])
def test_outcome__looks_again_only_where_it_is_asked_to(replicate, monkeypatch):
    x, y = bursty(stream(48, "again"), n=600, m=40)
    obs = pd.DataFrame({"donor": np.arange(600) % 12}).astype(str)
    engine = ScoreTest(np.column_stack([x, y]), None, make_design(obs, replicate=replicate), dtype=np.float64)
    block, targets = engine.features(np.array([0])), np.arange(1, 41)

    def bends(**options):
        return engine.outcome(block, targets, np.float64, exact=True, **options).bend.minus_log_p()[0]

    twice = bends()
    half = bends(again=(targets <= 20)[None])
    monkeypatch.setattr(growing_noise, "HEED", 0.0)
    once = bends()
    assert (twice <= once).all()
    assert (twice[:20] < once[:20]).any()
    assert (twice[20:] < once[20:]).any()
    np.testing.assert_array_equal(half, np.concatenate([twice[:20], once[20:]]))
