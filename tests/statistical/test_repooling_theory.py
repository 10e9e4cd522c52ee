"""Pooling curves of simulated cells against closed forms and against their own predictions.

Cells are independent with one law, so what pools of K show is known: cumulants add up, the covariances of
two genes too. Tolerances were fixed before any run, at four standard errors or more of the largest size,
and the seeds with them. Shortened unless POOLPROOF_CALIBRATION=full.
"""

import os

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from threadpoolctl import threadpool_limits

from poolproof import pooling_curves

pytestmark = pytest.mark.calibration

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"
N_POOLS = 8000 if FULL else 2000
SIZES = (1, 2, 5, 10, 20)
N_CELLS = N_POOLS * SIZES[-1]
COMMON = {"sizes": SIZES, "n_pools": N_POOLS, "repeats": 1, "kind": "single-cell", "threads": 1}


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def frame(values, names=None):
    return pd.DataFrame(values, columns=names or [f"g{j}" for j in range(values.shape[1])])


def curve(result, measure, column="value"):
    return result.table.query("measure == @measure").groupby("n_cells")[column].mean()


def test_skewness_and_kurtosis__of_gamma_cells_fall_as_computed():
    values = np.random.default_rng(0).gamma(2.0, size=(N_CELLS, 9))
    result = pooling_curves(frame(values), scale="additive", triples=[], **COMMON)
    k = np.array(SIZES)
    assert_allclose(curve(result, "skewness"), 2 / np.sqrt(2 * k), atol=0.12)
    assert_allclose(curve(result, "skewness", "prediction"), 2 / np.sqrt(2 * k), rtol=0.05)
    assert_allclose(curve(result, "excess_kurtosis"), 6 / (2 * k), atol=0.4)
    assert_allclose(curve(result, "excess_kurtosis", "prediction"), 6 / (2 * k), rtol=0.1)


def test_skewness_and_kurtosis__of_poisson_counts_fall_as_computed():
    rng = np.random.default_rng(1)
    values = rng.poisson(np.r_[np.full(9, 0.5), 3000.0], (N_CELLS, 10))
    pairs = [("g0", f"g{j}") for j in range(1, 9)]  # the tenth gene is there for its depth
    result = pooling_curves(frame(values), pairs=pairs, triples=[], **COMMON)
    k = np.array(SIZES)
    assert_allclose(curve(result, "skewness"), 1 / np.sqrt(0.5 * k), atol=0.12)
    assert_allclose(curve(result, "excess_kurtosis"), 1 / (0.5 * k), atol=0.4)


@pytest.mark.parametrize("spread", [0.3, 0.6])
def test_skewness_and_kurtosis__predictions_hold_whatever_the_depth(spread):
    rng = np.random.default_rng(2)
    depth = rng.gamma(spread**-2, spread**2, (N_CELLS, 1))
    rates = np.column_stack([rng.gamma(1.0, 2.0, (N_CELLS, 12)), np.full(N_CELLS, 3000.0)])
    result = pooling_curves(frame(rng.poisson(rates * depth)), triples=[], n_genes=12, **COMMON)
    for measure, tolerance in (("skewness", 0.15), ("excess_kurtosis", 0.5)):
        found, predicted = curve(result, measure), curve(result, measure, "prediction")
        assert_allclose(found[1:], predicted[1:], rtol=tolerance, atol=0.1)


def test_partials__of_the_fork_of_method_4():
    rng = np.random.default_rng(3)
    y = rng.gamma(2.0, size=5 * N_CELLS)
    x, z = np.tanh(y) + 0.15 * rng.normal(size=len(y)), y**2 / 5 + 0.2 * rng.normal(size=len(y))
    cells = frame(np.column_stack([x, y, z]), list("XYZ"))
    options = COMMON | {"sizes": (1, 5, 100)}
    result = pooling_curves(cells, triples=[("X", "Y", "Z")], scale="additive", **options)
    linear, spline = curve(result, "partial_linear"), curve(result, "partial_spline")
    assert_allclose(linear, 0.507, atol=0.08)  # with the sign that makes it positive in the cells
    assert_allclose(spline, [0.0, 0.45, 0.51], atol=0.08)
    assert_allclose(curve(result, "partial_spline", "prediction"), 0.507, atol=0.02)


def test_partials__of_an_affine_fork_and_an_affine_chain_stay():
    rng = np.random.default_rng(4)
    y = rng.gamma(2.0, size=N_CELLS)
    noise = rng.gamma(1.0, size=(N_CELLS, 3))
    cells = np.column_stack([y, 2 * y + noise[:, 0], 1 + y + noise[:, 1], 2 * y + noise[:, 0] + noise[:, 2]])
    result = pooling_curves(
        frame(cells, ["Y", "X", "Z", "W"]), triples=[("X", "Y", "Z")], scale="additive", **COMMON
    )
    for measure in ("partial_linear", "partial_spline"):
        assert_allclose(curve(result, measure), 0.0, atol=4 / np.sqrt(N_POOLS))
    result = pooling_curves(
        frame(cells, ["Y", "X", "Z", "W"]), triples=[("X", "Y", "W")], scale="additive", **COMMON
    )
    for measure in ("partial_linear", "partial_spline"):  # one half of W's own variance is X's
        assert_allclose(curve(result, measure), np.sqrt(0.5), atol=0.08)
    assert curve(result, "share_nonlinear")[20] < 0.2


def test_partials__of_counts_are_those_of_the_rates():
    rng = np.random.default_rng(5)
    n = 20 * 5000
    y, own = rng.uniform(0, 3, n), rng.gamma(25.0, 0.04, (2, n))
    rates = [40 * np.tanh(2 * y) * own[0], 20 * y, 6 * y**2 * own[1], np.full(n, 3000.0)]
    counts = frame(rng.poisson(np.array(rates).T), ["X", "Y", "Z", "rest"])
    result = pooling_curves(counts, triples=[("X", "Y", "Z")], **COMMON | {"n_pools": 5000})
    linear = curve(result, "partial_linear")
    assert_allclose(linear, linear[20], atol=0.1)
    predicted = curve(result, "partial_linear", "prediction")
    assert_allclose(linear, predicted, atol=0.1)
    spline = curve(result, "partial_spline")
    assert abs(spline[1]) < 0.1
    assert_allclose(spline[20], linear[20], atol=0.03)
    assert linear[20] > 0.2


def test_partials__of_what_is_zero_stay_zero_whatever_the_depth():
    """Forks, depth of CV 1: with signs from the cells that are in the pools these would be .057, .056, .012.

    In 40 runs: -.007 (error .005) in single cells, -.001 (.002) in pools of four, -.000 (.004) predicted.
    """
    n_runs, n, n_triples = 40 if FULL else 8, 6000, 40
    found = []
    for seed in range(n_runs):
        rng = np.random.default_rng([7, seed])
        depth = rng.gamma(1.0, 1.0, (n, 1)) + 0.02
        y = rng.gamma(2.0, 0.5, (n, n_triples))
        x, z = (y * rng.gamma(4.0, 0.25, y.shape) for _ in range(2))
        rates = np.column_stack([15 * x, 15 * y, 15 * z, np.full(n, 2000.0)]) * depth
        names = [f"{of}{i}" for of in "xyz" for i in range(n_triples)] + ["rest"]
        triples = [(f"x{i}", f"y{i}", f"z{i}") for i in range(n_triples)]
        options = COMMON | {"sizes": (1, 4), "n_pools": 1500, "repeats": 1, "seed": seed}
        result = pooling_curves(frame(rng.poisson(rates), names), triples=triples, n_genes=4, **options)
        linear = curve(result, "partial_linear")
        found.append([linear[1], linear[4], curve(result, "partial_linear", "prediction")[1]])
    found = np.array(found)
    error = found.std(axis=0, ddof=1) / np.sqrt(n_runs)
    print(f"\npools of 1, of 4, prediction: {found.mean(axis=0).round(4)}, error {error.round(4)}")
    assert (np.abs(found.mean(axis=0)) <= 4 * 0.028 / np.sqrt(n_runs)).all()  # .028: of one run
    assert (found.std(axis=0, ddof=1) <= 0.06).all()


def test_skeleton__of_independent_cells_changes_no_more_than_between_drawings():
    rng = np.random.default_rng(6)
    mixing = np.eye(12) + np.diag(np.full(11, 0.6), 1)
    cells = frame(rng.gamma(1.0, size=(N_CELLS, 12)) @ mixing)
    result = pooling_curves(cells, triples=[], scale="additive", **COMMON | {"n_pools": 200, "repeats": 5})
    changed = curve(result, "skeleton_changed")
    assert_allclose(changed[1:], changed[1], atol=0.15)
    assert changed.max() < 0.4
    assert_allclose(curve(result, "skeleton_edges"), 11, atol=4)
    shuffled = cells.apply(lambda gene: rng.permutation(gene.to_numpy()))  # no edge at all
    result = pooling_curves(shuffled, triples=[], scale="additive", **COMMON | {"n_pools": 200, "repeats": 5})
    assert curve(result, "skeleton_edges").max() < 3
