"""The verdict: hardly ever `contradicted` where equations are affine, nor `compatible` where they are not.

Rules written down before: at most 2 % `contradicted` of data sets with affine truth (stars, chains, modules,
composition, batches, depth; bulk and cells, regulators measured or hidden), at most 2 % `compatible` of data
with bent curves, gates or multiplied noises. The default run is reduced; ``POOLPROOF_CALIBRATION=full`` runs
200 of each.
"""

import os

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_floor_calibration import LAWS, batches, chain, composition, module, read_depth, star

import poolproof
from poolproof._random import stream

pytestmark = pytest.mark.calibration

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"
N_RUNS = 200 if FULL else 4
N = 500
ALLOWED = 0.02
OPTIONS = {"triples": "none", "curves": "none", "threads": 1}


def most_allowed(n_runs):
    return stats.binom.ppf(0.999, n_runs, ALLOWED)


def hidden_star(draw, n, law):
    return star(draw, n, law, hidden=True)


def bent_star(draw, n, law):
    return star(draw, n, law, bent=True)


def gates(draw, n, law):
    """Two regulators and a target that needs both, fifteen times."""
    x = LAWS[law](draw, (n, 15, 2)) + 0.2
    target = x[..., 0] * x[..., 1] * draw.lognormal(-0.02, 0.2, (n, 15))
    return np.concatenate([x[..., 0], x[..., 1], target], axis=1)


def multiplied(draw, n, law):
    """Y = X N beside its regulator, twenty times: straight in the mean."""
    x = LAWS[law](draw, (n, 20)) + 0.2
    return np.concatenate([x, x * draw.gamma(4, 0.25, (n, 20))], axis=1)


def verdict_of(world, law, how, run):
    draw = stream(run, "verdict calibration", world.__name__, law, how)
    values = world(draw, N, law)
    if how == "counts":
        rate = values / values.mean(axis=0) * draw.lognormal(np.log(6), 0.6, values.shape[1])
        counts = draw.poisson(rate * draw.lognormal(0, 0.35, (N, 1))).astype(float)
        values = np.hstack([counts, draw.poisson(np.full((N, 20), 30.0)).astype(float)])
    data = pd.DataFrame(values, columns=[f"g{i:03d}" for i in range(values.shape[1])])
    kind = "bulk" if how == "bulk" else "single-cell"
    scale = "counts" if how == "counts" else "additive"
    found = poolproof.audit(data, kind=kind, scale=scale, seed=run, **OPTIONS)
    return found.verdict


AFFINE = [
    *((world, law) for world in (star, hidden_star, chain, module) for law in LAWS),
    *((world, law) for world in (composition, batches, read_depth) for law in ("bimodal", "gamma")),
]
BENT = [(world, law) for world in (bent_star, gates, multiplied) for law in LAWS]


def verdicts(worlds, hows):
    cases = [
        (*worlds[(7 * i) % len(worlds)], hows[i % len(hows)], i) for i in range(N_RUNS)
    ]  # 7 divides neither number of worlds
    found = [(world.__name__, law, how, verdict_of(world, law, how, run)) for world, law, how, run in cases]
    table = pd.DataFrame(found, columns=["world", "law", "how", "verdict"])
    print(table.groupby(["world", "how"])["verdict"].value_counts().to_string())
    return table["verdict"]


def test_affine_truths_are_hardly_ever_contradicted():
    found = verdicts(AFFINE, ("bulk", "cells", "counts"))
    assert (found == "contradicted").sum() <= most_allowed(N_RUNS)


def test_bends_gates_and_multiplied_noises_are_hardly_ever_compatible():
    found = verdicts(BENT, ("cells", "counts"))
    assert (found == "compatible").sum() <= most_allowed(N_RUNS)


def test_straight_cells_can_be_compatible():
    """Stars of log-normal regulators with many cells, values without counting noise."""
    draw = stream(0, "compatible")
    values = star(draw, 3000, "gamma")
    data = pd.DataFrame(values, columns=[f"g{i:03d}" for i in range(values.shape[1])])
    found = poolproof.audit(data, kind="single-cell", scale="additive", **OPTIONS)
    assert found.verdict == "compatible", found.reasons
