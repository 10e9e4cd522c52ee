"""Bend share of real bulk made straight: residuals permuted inside levels onto the line of every pair.

For each regulator, its targets are their lines in it plus their own residuals in another order. Regulators,
strengths and laws of residuals are real, and no pair is bent. The share must lie within 0 +- .01, widened by
two standard errors (by the bootstrap over regulators) where a data set is too small to tell. The default run
does the embedded set; ``POOLPROOF_CALIBRATION=full`` all bulk sets that are at hand.
"""

import os

import numpy as np
import pandas as pd
import pytest
from helpers import missing

import poolproof
from poolproof._random import stream
from poolproof.data.expression import ValueOptions
from poolproof.pairs.design import make_design
from poolproof.pairs.population_measures import ScoreMeasure
from poolproof.pairs.population_pass import sum_pairs
from poolproof.pairs.score_engine import ScoreTest

pytestmark = pytest.mark.calibration

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"
BAND = 0.01
MOST_EXPRESSED = 1000
SETS = {
    "bulk_saureus_imodulon": ["project"],
    "bulk_ecoli_precise": ["study"],
    "bulk_gtex_blood_small": [],
    "bulk_islet_fadista": [],
    "bulk_pickrell_lcl_counts": [],
    "bulk_geuvadis_lcl_eqtl": [],
    "bulk_yeast_stress_gasch": [],
    "bulk_yeast_segregants_eqtl": [],
    "bulk_mixology_pools": ["design", "dataset"],
}


def straightened(x, y, levels, draw):
    """Targets made straight in x, shape of ``y``; missing values stay where they are."""
    made = np.full(y.shape, np.nan)
    for level in levels:
        for j in range(y.shape[1]):
            rows = level.rows[~np.isnan(x[level.rows]) & ~np.isnan(y[level.rows, j])]
            if len(rows) < 3:
                continue
            line = np.polynomial.Polynomial.fit(x[rows], y[rows, j], 1)(x[rows]) if np.ptp(x[rows]) else 0.0
            made[rows, j] = line + draw.permutation(y[rows, j] - line)
    return made


def pseudo_null(adata, within, n_regulators, n_targets, seed=0):
    """Bend and line of each regulator over its straightened targets, shape ``(2, n_regulators)``."""
    expression, obs = ValueOptions(kind="bulk").read(adata, None)
    design = make_design(obs, within=within)
    rows = np.concatenate([level.rows for level in design.levels])
    draw = stream(seed, "pseudo-null")
    every = expression.normalised(np.arange(len(expression.genes)))
    seen = np.isfinite(every[rows]).mean(axis=0) > 0.9
    varied = np.nan_to_num(np.nanstd(every[rows], axis=0)) > 0
    by_level = np.where(seen & varied, np.nanmean(every[rows], axis=0), -np.inf)
    most = np.argsort(-by_level)[: min(MOST_EXPRESSED, int((seen & varied).sum()))]
    chosen = draw.permutation(most)[: n_regulators + n_targets]
    n_regulators = min(n_regulators, len(chosen) // 2)
    regulators, targets = chosen[:n_regulators], chosen[n_regulators:]
    found = np.zeros((2, n_regulators))
    for i, gene in enumerate(regulators):
        x = every[:, gene]
        values = np.column_stack([x, straightened(x, every[:, targets], design.levels, draw)])
        measure = ScoreMeasure(ScoreTest(values, None, design, dtype=np.float64), np.float64)
        if not measure.regulator_ok[0]:
            continue
        own = np.flatnonzero(measure.target_ok[1:]) + 1
        none = np.zeros(len(own), dtype=np.int64)
        found[:, i] = sum_pairs(measure, np.array([0]), own, none[:1], none, None).by_regulator[:2, 0]
    return found


def share_and_error(found):
    draw = np.random.default_rng(0)
    again = found[:, draw.integers(0, found.shape[1], (200, found.shape[1]))].sum(axis=2)
    bend, line = found.sum(axis=1)
    return bend / (bend + line), (again[0] / again.sum(axis=0)).std()


@pytest.mark.parametrize("name", list(SETS) if FULL else ["bulk_saureus_imodulon"])
def test_real_pairs_made_straight_have_no_bend_share(name):
    try:
        adata = poolproof.load_dataset(name)
    except poolproof.InputError:
        missing(f"the data set {name}, in a checkout or fetched")
    share, error = share_and_error(pseudo_null(adata, SETS[name], *((100, 300) if FULL else (25, 100))))
    print(f"{name}: bend share {share:.4f}, standard error {error:.4f}")
    assert error < BAND
    assert abs(share) <= BAND + 2 * error


def test_a_permuted_bend_is_straight_and_a_kept_one_is_not():
    """The construction itself: a parabola's residuals, permuted, are noise."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=400)
    y = np.stack([x + x**2, x], axis=1) + 0.3 * draw.normal(size=(400, 2))
    levels = make_design(pd.DataFrame(index=range(400))).levels
    made = straightened(x, y, levels, draw)
    assert np.allclose(np.sort(made[:, 0] - np.polyval(np.polyfit(x, y[:, 0], 1), x)).mean(), 0, atol=1e-9)
    bends = [
        abs(np.corrcoef(x**2, of - np.polyval(np.polyfit(x, of, 1), x))[0, 1]) for of in (y[:, 0], made[:, 0])
    ]
    assert bends[0] > 0.9
    assert bends[1] < 0.15
