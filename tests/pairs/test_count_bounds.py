"""Bounds of the share of count pairs where a screen asks for them, and nowhere else."""

import numpy as np
import pandas as pd
import pytest

from poolproof.pairs import count_bounds, make_design
from poolproof.pairs.count_engine import CountTest

N, M = 900, 12


@pytest.fixture(scope="module", params=["one level", "levels and strata"])
def engine(request: pytest.FixtureRequest) -> CountTest:
    """Twelve genes of which half follow a common cause; one is rare."""
    rng = np.random.default_rng(3)
    cause = rng.gamma(2.0, 0.5, (N, 1))
    size = rng.gamma(4.0, 0.25, N) + 0.2
    level = np.where(np.arange(M) % 2, 0.4 + 0.6 * cause, rng.gamma(2.0, 0.5, (N, M)))
    mean = np.full(M, 8.0)
    mean[-1] = 0.05
    counts = rng.poisson(mean * size[:, None] * level).astype(float)
    obs = pd.DataFrame({"level": np.arange(N) % 2, "batch": np.arange(N) % 3}).astype(str)
    options = {} if request.param == "one level" else {"within": ["level"], "covariates": ["batch"]}
    design = make_design(obs, categorical_only=True, min_per_stratum=20, **options)
    return CountTest(counts, size, True, design, bound_p=0.05, dtype=np.float64)


@pytest.mark.parametrize("many", [0.0, 1.0])
def test_bounds_that_are_wanted__are_those_of_all_pairs(
    engine: CountTest, many: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count_bounds, "MANY", many)
    block = engine.features(np.arange(M))
    every = engine.outcome(block, slice(None), np.float64, exact=True)
    asked = engine.outcome(block, slice(None), np.float64, exact=True, bound_from=0.02)
    apart = ~np.eye(M, dtype=bool)
    p = np.exp(-every.association.minus_log_p())
    wanted = np.broadcast_to(every.tested, p.shape) & apart & (every.r2_spline >= 0.02) & (p <= 0.05)
    assert 20 < wanted.sum() < wanted.size / 2
    assert asked.share_upper[wanted] == pytest.approx(every.share_upper[wanted], rel=1e-9)
    assert (asked.share_upper[~wanted] == 1).mean() > 0.9  # but for p-values next to the threshold
    for name in ("r2_linear", "gain", "statistic"):
        assert np.array_equal(getattr(asked, name), getattr(every, name), equal_nan=True)


def test_no_bound_is_wanted(engine: CountTest) -> None:
    asked = engine.outcome(
        engine.features(np.arange(M)), slice(None), np.float64, exact=True, bound_from=np.inf
    )
    assert (asked.share_upper == 1).all()
