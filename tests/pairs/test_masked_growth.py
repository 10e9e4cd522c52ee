"""The second test of bends for pairs with holes: what the test of each pair by itself says."""

import numpy as np
import pandas as pd
import pytest

from poolproof.pairs import make_design, masked_growth
from poolproof.pairs.growing_noise import least, lowered, weighted_statistics
from poolproof.pairs.masked_growth import lower_incomplete, second_test
from poolproof.pairs.masked_kernels import mask_pairs

K = 5


def bursty(n, m, *, covariate=False, share=0.1, seed=1):
    """A skewed regulator, targets in bursts whose noise grows with it; values of both are missing."""
    rng = np.random.default_rng(seed)
    x = rng.lognormal(0, 1, n)
    y = (0.5 + x) * rng.gamma(1.0, size=(m, n)) * (rng.random((m, n)) < 0.3)
    present = rng.random((m, n)) > share
    x[rng.random(n) < share] = np.nan
    obs = pd.DataFrame({"age": rng.normal(size=n)})
    level = make_design(obs, covariates=["age"] if covariate else []).levels[0]
    return x, mask_pairs(x, np.where(present, y, 0.0), present, level, K)


def one_by_one(x, masked, pair):
    """Statistic and doubt of a pair from its own samples and columns."""
    at = masked.mask[pair] > 0
    columns = masked.columns(np.array([pair]))[0][masked.used[pair]][:, at]
    p = masked.n_nuisance
    found = weighted_statistics(
        x[masked.known][at], columns[p:], columns[:p].T, masked.values[pair : pair + 1, at]
    )
    return float(found[0][0]), float(found[1][0])


@pytest.mark.parametrize("covariate", [False, True])
@pytest.mark.parametrize("n", [41, 200])
def test_second_test__is_that_of_each_pair_alone(n, covariate):
    x, masked = bursty(n, 30, covariate=covariate)
    statistic, doubt, sure = second_test(x[masked.known], masked)
    assert sure.mean() > 0.9
    expected = np.array([one_by_one(x, masked, pair) for pair in range(30)])
    np.testing.assert_allclose(statistic[sure], expected[sure, 0], rtol=1e-8)
    np.testing.assert_allclose(doubt[sure], expected[sure, 1], rtol=1e-8)
    assert (doubt > 0.1).any()


@pytest.mark.parametrize("replicates", [False, True])
def test_lower_incomplete__whatever_the_number_looked_at_together(replicates, monkeypatch):
    x, masked = bursty(120, 40)
    floor = float(least(K, replicates=replicates))
    value = np.linspace(0.5 * floor, 12 * floor, 40)
    found = value.copy()
    lower_incomplete(found, x, masked, replicates=replicates)
    monkeypatch.setattr(masked_growth, "AT_ONCE", 1)
    alone = value.copy()
    lower_incomplete(alone, x, masked, replicates=replicates)
    np.testing.assert_allclose(found, alone, rtol=1e-10)
    assert (found <= value).all()
    assert (found < value).sum() > 10
    assert (found[value <= floor] == value[value <= floor]).all()
    for pair in np.flatnonzero(found < value):
        second, doubt = (np.array([of]) for of in one_by_one(x, masked, pair))
        expected = lowered(value[pair : pair + 1], second, doubt, K, replicates=replicates)
        np.testing.assert_allclose(found[pair], expected[0], rtol=1e-8)


def test_lower_incomplete__columns_that_products_cannot_tell_apart(monkeypatch):
    x, masked = bursty(120, 12)
    value = np.full(12, 60.0)
    together = value.copy()
    lower_incomplete(together, x, masked, replicates=False)

    def unsure(x, some):
        statistic, doubt, sure = second_test(x, some)
        return statistic + 1e3, doubt, np.zeros_like(sure)

    monkeypatch.setattr(masked_growth, "second_test", unsure)
    alone = value.copy()
    lower_incomplete(alone, x, masked, replicates=False)
    np.testing.assert_allclose(together, alone, rtol=1e-8)
