"""The second variance of the bends against explicit code: likelihood over all samples, one pair at a time."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from poolproof._random import stream
from poolproof.basis import spline_basis
from poolproof.pairs import score_engine
from poolproof.pairs.design import make_design
from poolproof.pairs.score_engine import ScoreTest
from poolproof.pairs.variance_law import LEAST_MEAN


def explicit(x, y):
    """Statistics with HC3 and with the variance phi m^kappa, and kappa."""
    n = len(y)
    q = spline_basis(x)
    v = y - y.mean()
    norm = np.linalg.norm(v)
    v, mean = v / norm, y.mean() / norm
    b, s = q[:, 0] @ v, q[:, 1:].T @ v
    u = v - b * q[:, 0]
    hc3 = (q[:, 1:].T * (u / (1 - 1 / n - q[:, 0] ** 2)) ** 2) @ q[:, 1:]
    m = np.maximum(1 + b / mean * q[:, 0], LEAST_MEAN)
    phi = [np.mean(u**2 / m**power) for power in range(3)]
    loss = [np.log(phi[power]) + power * np.log(m).mean() for power in range(3)]
    bow = loss[0] - 2 * loss[1] + loss[2]
    kappa = np.clip(1 + (loss[0] - loss[2]) / (2 * bow) if bow > 0 else 2.0 * (loss[2] < loss[0]), 0, 2)
    weights = np.maximum(1 - kappa, 0), 1 - abs(1 - kappa), np.maximum(kappa - 1, 0)
    variance = sum(w * f * m**power for power, (w, f) in enumerate(zip(weights, phi, strict=True)))
    variance *= max(1.0, u @ u / variance.sum())
    model = (q[:, 1:].T * variance) @ q[:, 1:]
    return s @ np.linalg.solve(hc3, s), s @ np.linalg.solve(model, s), kappa


LAWS = {
    "gamma": lambda rng, n: rng.gamma(2.0, size=n),
    "log-normal": lambda rng, n: rng.lognormal(0, 1, n),
    "many zeros": lambda rng, n: rng.gamma(2.0, size=n) * (rng.random(n) < 0.4),
    "counts": lambda rng, n: rng.poisson(3 * rng.gamma(2.0, size=n)).astype(float),
}
NOISES = {
    "bursts": lambda rng, m: m * (rng.random(m.shape) < 0.2) / 0.2,
    "gamma": lambda rng, m: m * rng.gamma(1.0, size=m.shape),
    "counts": lambda rng, m: rng.poisson(m).astype(float),
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("law", LAWS)
def test_statistic__is_near_the_likelihood_over_all_samples(law, noise, monkeypatch):
    """Tables stand for the likelihood: nine statistics of ten within a half, the median within an eighth."""
    monkeypatch.setattr(score_engine, "HEED", 0.999)
    rng = stream(0, "variance law", law, noise)
    n, n_y = 400, 60
    x = LAWS[law](rng, n)
    y = NOISES[noise](rng, (1 + 2 * x)[:, None] * np.ones((1, n_y)))
    engine = ScoreTest(
        np.column_stack([x, y]), None, make_design(pd.DataFrame(index=range(n))), dtype=np.float64
    )
    found = engine.outcome(engine.features(np.array([0])), np.arange(1, n_y + 1), np.float64, exact=True)
    slow = np.array([explicit(x, y[:, j]) for j in range(n_y)])
    expected = np.minimum(slow[:, 0], slow[:, 1])
    heeded = slow[:, 0] > stats.chi2.isf(0.999, 4)
    error = np.abs(found.statistic[0] / np.where(heeded, expected, slow[:, 0]) - 1)
    assert (slow[:, 1] < slow[:, 0]).mean() > 0.2  # the model decides often
    assert np.median(error) < 0.125
    assert np.quantile(error, 0.9) < 0.5


def test_statistic__only_amounts_have_the_second_variance(monkeypatch):
    rng = stream(0, "amounts")
    x = rng.lognormal(0, 1, 400)
    y = (1 + 2 * x)[:, None] * (rng.random((400, 20)) < 0.2)
    values = {"amounts": np.column_stack([x, y]), "centred": np.column_stack([x, y - y.mean(axis=0)])}
    found = {}
    for name, matrix in values.items():
        design = make_design(pd.DataFrame(index=range(400)))
        for heed in (0.0, 0.999):
            monkeypatch.setattr(score_engine, "HEED", heed)
            engine = ScoreTest(matrix, None, design, dtype=np.float64)
            out = engine.outcome(engine.features(np.array([0])), np.arange(1, 21), np.float64, exact=True)
            found[name, heed] = out.statistic[0]
    assert (found["amounts", 0.999] < found["amounts", 0.0]).any()
    np.testing.assert_allclose(found["centred", 0.999], found["centred", 0.0])
    np.testing.assert_allclose(found["amounts", 0.0], found["centred", 0.0], rtol=1e-9)
