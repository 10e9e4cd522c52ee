"""Intervals by module and by regulator cover the share of the population of modules; those by gene do not.

Systems of modules: one measured regulator and its children each, every module with a bend of its own, so that
what varies from one study to the next is the modules. Truth: sums over many systems of the same kind, drawn
apart. Bands: coverage at least the exact binomial quantile of .93, as in the other calibrations; by single
genes at most that of .6 in the large modules. The default run is reduced; ``POOLPROOF_CALIBRATION=full`` does
200 systems of each kind.
"""

import os

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import poolproof
from poolproof._random import stream
from poolproof.pairs import make_design
from poolproof.pairs.intervals import both_ends, share_of, unit_variance, variances
from poolproof.pairs.population_measures import ScoreMeasure
from poolproof.pairs.population_pass import sum_pairs
from poolproof.pairs.score_engine import ScoreTest

pytestmark = pytest.mark.calibration

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"
RUNS = 200 if FULL else 10
N_TRUTH = 100 if FULL else 30
N = 300
LARGE = "8 modules of 40"
SIZES = {"8 modules of 12": (8, 12), "16 modules of 6": (16, 6), LARGE: (8, 40)}


def system(draw, n_modules, size, n=N):
    """Regulators first, then their children; shape ``(n, n_modules * size)``."""
    x = draw.lognormal(0, 0.6, (n, n_modules))
    part = draw.random(n_modules)
    rise = (1 - part) * 1.5 * x + part * 3 * x**4 / (0.3 + x**4)
    children = [
        (0.5 + draw.uniform(0.5, 1.5, size - 1) * rise[:, [m]]) * draw.lognormal(-0.045, 0.3, (n, size - 1))
        for m in range(n_modules)
    ]
    return np.concatenate([x, *children], axis=1)


def sums_of(values, regulators, targets, units, modules):
    engine = ScoreTest(values, None, make_design(pd.DataFrame(index=range(len(values)))), dtype=np.float64)
    return sum_pairs(ScoreMeasure(engine, np.float64), regulators, targets, units, modules, None)


def of_all(values, n_modules):
    """Sums over all pairs, every gene its own unit."""
    every = np.arange(values.shape[1])
    return sums_of(values, every, every, every, every)


def of_given(values, n_modules):
    """Sums over the pairs from regulators to the children, every regulator its own unit."""
    regulators, targets = np.arange(n_modules), np.arange(n_modules, values.shape[1])
    return sums_of(values, regulators, targets, regulators, targets - n_modules)


def truth_of(sums, name, n_modules, size):
    parts = [
        sums(system(stream(i, "interval truth", name), n_modules, size), n_modules).by_level.sum(
            axis=(1, 2, 3)
        )
        for i in range(N_TRUTH)
    ]
    bend, line = np.sum(parts, axis=0)
    return bend / (bend + line)


def covered(name, n_modules, size, directed):
    """Runs whose interval, as users get it, holds the truth; and so for one by single genes."""
    truth = truth_of(of_given if directed else of_all, name, n_modules, size)
    own = genes = 0
    for run in range(RUNS):
        values = system(stream(run, "interval", name), n_modules, size)
        data = pd.DataFrame(values, columns=[f"g{i:03d}" for i in range(values.shape[1])])
        how = {"regulators": list(data.columns[:n_modules])} if directed else {}
        found = poolproof.linearity(data, kind="bulk", scale="additive", threads=1, seed=run, **how)
        share = found.population.summary
        own += share["low"] <= truth <= share["high"]
        if not directed:
            single = by_gene(of_all(values, n_modules))
            genes += single.low <= truth <= single.high
    print(
        f"{name}, {'given' if directed else 'all'}: {own}/{RUNS}, by gene {genes}/{RUNS}, truth {truth:.3f}"
    )
    return own, genes


def by_gene(sums):
    square = sums.by_level.sum(axis=1)
    total = square.sum(axis=(1, 2))
    spread = variances(*sums.influence.sum(axis=1))
    return share_of(sums.n_pairs.sum(), total, spread, N, unit_variance(total, both_ends(square)))


@pytest.mark.parametrize("name", list(SIZES) if FULL else ["8 modules of 12"])
def test_intervals_by_module_cover(name):
    own, genes = covered(name, *SIZES[name], directed=False)
    assert own >= stats.binom.ppf(0.001, RUNS, 0.93)
    assert name != LARGE or genes <= stats.binom.ppf(0.999, RUNS, 0.6)


def test_intervals_by_regulator_cover():
    own, _ = covered("8 modules of 12", 8, 12, directed=True)
    assert own >= stats.binom.ppf(0.001, RUNS, 0.93)
