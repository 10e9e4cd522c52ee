"""The bend share is unbiased and its interval covers, under affine and bent truths.

Every test prints its table (``pytest -s``). By default few laws, sizes and runs; with
POOLPROOF_CALIBRATION=full six laws of x, three of noise, n from 50 to 5,000. Bias must stay inside what is
claimed, widened by 3.3 standard errors of the mean over runs (once in a thousand times); coverage above .93
less the exact binomial quantile.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from poolproof._random import stream
from poolproof.pairs import make_design
from poolproof.pairs.intervals import CLEAR, variances
from poolproof.pairs.population_measures import ScoreMeasure
from poolproof.pairs.population_pass import sum_pairs
from poolproof.pairs.score_engine import ScoreTest
from poolproof.pairs.score_kernels import level_bases

pytestmark = pytest.mark.calibration

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"
RUNS = 100 if FULL else 8
N_REGULATORS, N_CHILDREN, N_OTHERS = 10, 6, 6
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

LAWS: dict[str, Draw] = {
    "log-normal": lambda rng, size: rng.lognormal(0, 0.7, size),
    "on in 20 %": lambda rng, size: (rng.random(size) < 0.2) * rng.gamma(2, 1, size) + 0.05,
    "bimodal": lambda rng, size: np.where(rng.random(size) < 0.4, 3, 0.5) * rng.lognormal(0, 0.15, size),
    "normal": lambda rng, size: rng.normal(3, 1.2, size),
    "gamma": lambda rng, size: rng.gamma(2, 0.5, size),
    "uniform": lambda rng, size: rng.uniform(0.2, 3, size),
}
NOISES: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "proportional": lambda rng, mean: mean * rng.lognormal(-0.08, 0.4, mean.shape),
    "equal": lambda rng, mean: mean + 0.5 * rng.normal(size=mean.shape),
    "t3": lambda rng, mean: mean + 0.4 * rng.standard_t(3, mean.shape),
}
RISES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "affine": lambda x: x,
    "Hill": lambda x: 3 * x**2 / (1 + x**2),
    "saturating": lambda x: 2 * x / (1 + np.abs(x)),
    "quadratic": lambda x: x**2 / 3,
}


def run(
    rng: np.random.Generator, n: int, law: str, noise: str, rise: str, **design: Any
) -> tuple[float, float, bool] | None:
    """Error of the share, its standard error over samples, whether covered; None if nothing is explained."""
    x = LAWS[law](rng, (n, N_REGULATORS))
    f = RISES[rise](x)
    slopes = rng.uniform(0.3, 1.5, (N_REGULATORS, N_CHILDREN))
    children = [NOISES[noise](rng, 1 + slopes[r] * f[:, [r]]) for r in range(N_REGULATORS)]
    y = np.concatenate([*children, rng.lognormal(0, 0.5, (n, N_OTHERS))], axis=1)
    obs = pd.DataFrame(index=range(n))
    if n_donors := design.get("donors"):
        donor = np.arange(n) % n_donors
        obs["donor"] = [f"d{i:02d}" for i in donor]
        y = y + rng.normal(0, 0.4, (n_donors, y.shape[1]))[donor]
    if n_types := design.get("types"):
        obs["type"] = [f"t{i}" for i in np.arange(n) * n_types // n]
    values = np.concatenate([x, y], axis=1)
    values[rng.random(values.shape) < design.get("missing", 0.0)] = np.nan
    made = make_design(obs, within=["type"] if n_types else (), replicate="donor" if n_donors else None)
    engine = ScoreTest(values, None, made, dtype=np.float64)
    measure = ScoreMeasure(engine, np.float64)
    regulators, targets = np.arange(N_REGULATORS), np.arange(N_REGULATORS, values.shape[1])
    sums = sum_pairs(measure, regulators, targets, regulators, targets - N_REGULATORS, None)
    bend, line = sums.by_level.sum(axis=(1, 2, 3))
    whole = bend + line
    influence = sums.influence.sum(axis=1)
    if whole <= CLEAR * np.sqrt(variances(influence.sum(axis=0), influence.sum(axis=0))[0]):
        return None
    share = bend / whole
    of_share = (influence[0] - share * influence.sum(axis=0)) / whole
    error = np.sqrt(variances(of_share, of_share)[0])
    truth = true_share(made.levels, x, f, y, slopes, engine.k)
    reach = stats.t.ppf(0.975, (n_donors or n) - 1) * error
    return share - truth, error, bool(abs(share - truth) <= reach)


def true_share(levels: Any, x: np.ndarray, f: np.ndarray, y: np.ndarray, slopes: np.ndarray, k: int) -> float:
    """The share of the mean of y given x, in these samples' x, by the same splines."""
    bend = line = 0.0
    for level in levels:
        for r in range(N_REGULATORS):
            basis, _ = level_bases(x[level.rows][:, [r]], level, k)
            scores = basis[0] @ f[level.rows, r]
            mine = slice(r * N_CHILDREN, (r + 1) * N_CHILDREN)
            weight = float((slopes[r] ** 2 / y[:, mine].var(axis=0)).sum())
            bend += weight * float((scores[1:] ** 2).sum())
            line += weight * float(scores[0] ** 2)
    return bend / (bend + line)


def check(name: str, n: int, law: str, noise: str, rise: str, allowed: float, **design: Any) -> None:
    found = [run(stream(1, name, n, law, noise, rise, i), n, law, noise, rise, **design) for i in range(RUNS)]
    told = [of for of in found if of is not None]
    if len(told) < RUNS / 2:
        return  # nothing explained: no share is given
    errors = np.array([error for error, _, _ in told])
    covered = int(sum(inside for _, _, inside in told))
    slack = 3.3 * errors.std(ddof=1) / np.sqrt(len(errors))
    print(
        f"{name} {law} {noise} {rise} n {n}: bias {errors.mean():.4f} (+- {slack:.4f}) sd {errors.std():.4f} "
        f"se {np.mean([se for _, se, _ in told]):.4f} covered {covered}/{len(told)}"
    )
    assert abs(errors.mean()) <= allowed + slack
    assert covered >= stats.binom.ppf(0.001, len(told), 0.93)


@pytest.mark.parametrize("n", [50, 100, 300, 1000, 5000] if FULL else [100, 400])
@pytest.mark.parametrize("law", list(LAWS) if FULL else ["log-normal", "on in 20 %", "bimodal"])
@pytest.mark.parametrize("noise", list(NOISES) if FULL else ["proportional"])
def test_an_affine_truth_has_no_bend_share(n: int, law: str, noise: str) -> None:
    check("affine", n, law, noise, "affine", 0.02 if n < 100 else 0.01)


@pytest.mark.parametrize("rise", ["Hill", "saturating", "quadratic"])
@pytest.mark.parametrize("n", [300, 1000] if FULL else [300])
@pytest.mark.parametrize("law", list(LAWS) if FULL else ["log-normal", "gamma"])
def test_a_bent_truth_shows_its_share(n: int, law: str, rise: str) -> None:
    rng = np.random.default_rng(0)
    x = LAWS[law](rng, (20_000, 1))
    f = RISES[rise](x[:, 0])
    rest = f - np.polyval(np.polyfit(x[:, 0], f, 1), x[:, 0])
    check("bent", n, law, "proportional", rise, 0.1 * rest.var() / f.var())


@pytest.mark.parametrize(
    "design", [{"donors": 8}, {"donors": 20}, {"donors": 40}, {"types": 3}, {"missing": 0.05}], ids=str
)
@pytest.mark.parametrize("rise", ["affine", "Hill"])
def test_designs_keep_it(design: dict[str, Any], rise: str) -> None:
    check(
        str(design),
        400 if "missing" not in design else 200,
        "log-normal",
        "proportional",
        rise,
        0.01,
        **design,
    )
