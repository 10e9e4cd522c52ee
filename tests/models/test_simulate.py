"""Simulated pools against closed forms, against the cells that they were made of, and against themselves."""

import json
import tracemalloc

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtr
from scipy.stats import kurtosis, skew

import poolproof.models.sampler as blocks
import poolproof.models.simulate as module
from poolproof import InputError, read_model, simulate_pools
from poolproof.aggregation import Aggregation, parse_aggregation

N_SE = 5  # false alarm 6 in 10 million for each number

CHAIN = {
    "X": {"noise": "gamma(2, 1)"},
    "Y": {"equation": "3 + 2*X + N", "noise": "gamma(1, 2)"},
    "Z": {"equation": "0.5*Y + N", "noise": "exponential(1)"},
}
# By hand: X = G, Y = 3 + 2 G + E, Z = 1.5 + G + E/2 + D with variances 2, 4, 1 and means 2, 2, 1.
CHAIN_MEAN = np.array([2.0, 9.0, 5.5])
CHAIN_COVARIANCE = np.array([[2.0, 4.0, 2.0], [4.0, 12.0, 6.0], [2.0, 6.0, 4.0]])

FORK = {  # method 4: linear partial correlation -0.507 at every K
    "Y": {"noise": "gamma(2, 1)"},
    "X": {"equation": "tanh(Y) + 0.15*N", "noise": "normal(0, 1)"},
    "Z": {"equation": "Y**2/5 + 0.2*N", "noise": "normal(0, 1)"},
}
TYPES = {
    "genes": {
        "X": {"noise": "gamma(2, 1)"},
        "Y": {"equation": "2*X"},
        "Z": {"equation": "Y + N", "noise": "gamma(4, 1)"},
    },
    "cell_types": {
        "A": {"fraction": 0.3, "genes": {"X": {"noise": "gamma(8, 1)"}, "Y": {"equation": "0.5*X"}}},
        "B": {"fraction": 0.2, "genes": {"Z": {"equation": "3*Y + N", "noise": "gamma(4, 1)"}}},
    },
}


def model(genes=CHAIN, aggregation="sum", cells=5, **more):
    return {"name": "test", "genes": genes, "aggregation": aggregation, "cells": cells, **more}


def typed(aggregation="mean", cells=5):
    return {"name": "test", "aggregation": aggregation, "cells": cells, **TYPES}


def with_error(statistic, data, n_groups=40):
    """A statistic of independent rows, and its standard error by the jackknife over groups of rows."""
    group = np.arange(len(data)) % n_groups
    without = np.array([statistic(data[group != g]) for g in range(n_groups)])
    spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    return np.asarray(statistic(data)), np.sqrt(spread * (n_groups - 1) / n_groups)


def assert_close(statistic, data, expected, within):
    """Equal to the expected value inside the error; that is at most ``within``, so that the test can fail."""
    found, error = with_error(statistic, data)
    assert (error <= within).all(), f"error {error} above {within}"
    assert (np.abs(found - expected) <= N_SE * error).all(), f"{found} +- {error}, expected {expected}"


def mean_of(data):
    return data.mean(axis=0)


def covariance_of(data):
    return np.cov(data, rowvar=False)


def correlation_given(data, x, z, y):
    """Partial correlation of columns x and z given column y."""
    c = np.corrcoef(data[:, [x, z, y]], rowvar=False)
    return (c[0, 1] - c[0, 2] * c[1, 2]) / np.sqrt((1 - c[0, 2] ** 2) * (1 - c[1, 2] ** 2))


# Closed forms


@pytest.mark.parametrize(("aggregation", "factors"), [("sum", (7, 7)), ("mean", (1, 1 / 7))])
def test_moments__of_sums_and_means_of_an_affine_model(aggregation, factors):
    data = simulate_pools(model(CHAIN, aggregation, 7), pools=20_000).X
    assert_close(mean_of, data, factors[0] * CHAIN_MEAN, within=0.01 * factors[0] * CHAIN_MEAN)
    assert_close(covariance_of, data, factors[1] * CHAIN_COVARIANCE, within=0.05 * factors[1] * 12)


def test_moments__weights():
    weights = np.array([1.0, 2.0, 0.5])
    data = simulate_pools(model(aggregation={"weights": weights.tolist()}, cells=3), pools=20_000).X
    assert_close(mean_of, data, weights.sum() * CHAIN_MEAN, within=0.1)
    assert_close(covariance_of, data, (weights**2).sum() * CHAIN_COVARIANCE, within=1.5)


def test_moments__of_a_kernel():
    genes = {"Y": {"noise": "gamma(2, 1)"}, "C": {"kernel": "poisson(1 + 2*Y)"}}
    data = simulate_pools(model(genes, cells=4), pools=20_000).X
    assert_array_equal(data[:, 1], np.rint(data[:, 1]))
    assert_close(mean_of, data, [8, 20], within=0.1)
    assert_close(covariance_of, data, [[8, 16], [16, 4 * (5 + 4 * 2)]], within=1.5)


@pytest.mark.parametrize(
    ("cells", "mean", "variance"),
    [("poisson(6)", 6, 6), ("discrete({2: 0.5, 20: 0.5})", 11, 81), ("discrete({0: 0.25, 4: 0.75})", 3, 3)],
)
def test_random_number_of_cells__covariance_of_sums(cells, mean, variance):
    adata = simulate_pools(model(), pools=30_000, cells=cells)
    numbers = adata.obs["n_cells"].to_numpy().astype(float)
    assert_close(mean_of, numbers[:, None], mean, within=0.1)
    assert_array_equal(adata.X[numbers == 0], 0.0)
    assert_close(mean_of, adata.X, mean * CHAIN_MEAN, within=1.0)
    expected = mean * CHAIN_COVARIANCE + variance * np.outer(CHAIN_MEAN, CHAIN_MEAN)
    assert_close(covariance_of, adata.X, expected, within=0.02 * expected.max())


def test_random_number_of_cells__means_have_the_mean_of_one_over_the_number():
    adata = simulate_pools(model(aggregation="mean"), pools=30_000, cells="discrete({2: 0.5, 20: 0.5})")
    assert_close(mean_of, adata.X, CHAIN_MEAN, within=0.05)
    assert_close(covariance_of, adata.X, CHAIN_COVARIANCE * (1 / 2 + 1 / 20) / 2, within=0.1)


def test_random_number_of_cells__makes_a_dependence_that_means_repair_in_part():
    genes = {
        "Y": {"noise": "gamma(2, 1)"},
        "X": {"equation": "Y + N", "noise": "normal(1, 1)"},
        "Z": {"equation": "Y + N", "noise": "normal(1, 1)"},
    }

    def partial(data):
        return correlation_given(data, 1, 2, 0)

    def of_squares(data):
        line = np.column_stack([np.ones(len(data)), data[:, 0]])
        residuals = data[:, 1:] - line @ np.linalg.lstsq(line, data[:, 1:], rcond=None)[0]
        return np.corrcoef(residuals**2, rowvar=False)[0, 1]

    law, noise = "discrete({2: 0.5, 20: 0.5})", np.array([1.0, 1.0])
    covariance = 11 * np.array([[2, 2, 2], [2, 3, 2], [2, 2, 3]]) + 81 * np.outer([2, 3, 3], [2, 3, 3])
    precision = np.linalg.inv(covariance)
    expected = -precision[1, 2] / np.sqrt(precision[1, 1] * precision[2, 2])
    sums = simulate_pools(model(genes), pools=30_000, cells=law).X
    means = simulate_pools(model(genes, "mean"), pools=30_000, cells=law).X
    assert expected > 0.3
    assert_close(partial, sums, expected, within=0.01)
    assert_close(partial, means, 0.0, within=0.01)
    # Given nu the residuals are normal with variance v = 1/nu: squares correlate Var(v) / (2 E v^2 + Var(v)).
    v = noise / np.array([2, 20])
    assert_close(of_squares, means, v.var() / (2 * (v**2).mean() + v.var()), within=0.01)


@pytest.mark.parametrize("cells", [1, 20])
def test_partial_correlation__of_the_design_s_fork_at_every_number_of_cells(cells):
    data = simulate_pools(model(FORK, cells=cells), pools=20_000).X
    assert_close(lambda d: correlation_given(d, 1, 2, 0), data, -0.507, within=0.02)


@pytest.mark.parametrize("cells", [1, 4, 16])
def test_shape__skewness_and_kurtosis_fade(cells):
    data = simulate_pools(model({"X": {"noise": "gamma(2, 1)"}}, cells=cells), pools=60_000).X[:, 0]
    assert_close(skew, data, np.sqrt(2) / np.sqrt(cells), within=0.05)
    assert_close(kurtosis, data, 3 / cells, within=0.4)


@pytest.mark.parametrize("cells", [1, 10, 100])
def test_collider__the_dependence_fades(cells):
    genes = {
        "X": {"noise": "normal(0, 1)"},
        "Z": {"noise": "normal(0, 1)"},
        "Y": {"equation": "X*Z + N", "noise": "normal(0, 0.5)"},
    }
    data = simulate_pools(model(genes, cells=cells), pools=20_000).X

    def dependence(d):
        return np.corrcoef(d[:, 0] * d[:, 1], d[:, 2])[0, 1]

    assert_close(dependence, data, np.sqrt(0.8 / cells), within=0.02)


def test_composition__adds_the_covariance_of_the_shares():
    concentration, cells = 4.0, 6
    fractions = np.array([0.3, 0.2, 0.5])
    # Cell means of X, Y, Z in types A, B, other.
    means = np.array([[8, 4, 8], [2, 4, 16], [2, 4, 8]], dtype=float)
    x, n = np.array([8.0, 2.0, 2.0]), 4.0
    slopes = np.array([[1, 0.5, 0.5], [1, 2, 6], [1, 2, 2]])
    within = np.array([v * np.outer(s, s) for v, s in zip(x, slopes, strict=True)])
    within[:, 2, 2] += n
    spread = np.einsum("t,ti,tj->ij", fractions, means, means) - np.outer(
        fractions @ means, fractions @ means
    )
    cell = np.einsum("t,tij->ij", fractions, within) + spread
    of_shares = (np.diag(fractions) - np.outer(fractions, fractions)) / (concentration + 1)
    between = means.T @ of_shares @ means
    for aggregation, factor in (("mean", 1), ("sum", cells)):
        adata = simulate_pools(typed(aggregation, cells), pools=30_000, composition=concentration)
        assert_close(mean_of, adata.X, factor * fractions @ means, within=0.05 * factor)
        expected = factor**2 * (between + (cell - between) / cells)
        assert_close(covariance_of, adata.X, expected, within=0.03 * expected.max())
        assert adata.uns["poolproof_simulation"]["cell_types"].tolist() == ["A", "B", "other"]
        assert_close(covariance_of, adata.obsm["composition"], of_shares, within=0.002)
        shares = adata.obsm["type_cells"] / cells
        assert_array_equal(adata.obsm["type_cells"].sum(axis=1), cells)
        assert_close(mean_of, shares - adata.obsm["composition"], 0.0, within=0.002)
    # Without it, every pool has the model's fractions.
    adata = simulate_pools(typed("mean", cells), pools=30_000)
    assert "composition" not in adata.obsm
    assert_close(covariance_of, adata.X, cell / cells, within=0.05 * cell.max() / cells)


def test_heterogeneity__smooths_a_probit():
    genes = {"X": {"noise": "normal(1, 2)"}, "Y": {"equation": "Phi(X/0.5)"}}
    adata = simulate_pools(model(genes, "mean", 4000), pools=300, heterogeneity=1.5)
    between = adata.obsm["between"]
    assert np.isnan(between[:, 1]).all()  # no noise of its own
    m = 1 + np.sqrt(1.5) * 2 * between[:, 0]
    smooth = ndtr(m / np.sqrt(0.5**2 + 2**2))
    difference = adata.X[:, 1] - smooth
    assert np.abs(difference).max() < N_SE * 0.5 / np.sqrt(4000)
    assert np.abs(adata.X[:, 1] - ndtr(m / 0.5)).max() > 0.2  # the curve of cells is another one
    assert np.abs(adata.X[:, 0] - m).max() < N_SE * 2 / np.sqrt(4000)


@pytest.mark.parametrize(
    ("law", "mean", "variance"),
    [
        ("normal(1, 2)", 1, 4),
        ("laplace(1, 2)", 1, 8),
        ("gamma(2, 3)", 6, 18),
        ("exponential(2)", 2, 4),
        ("lognormal(0, 0.5)", np.exp(0.125), (np.exp(0.25) - 1) * np.exp(0.25)),
    ],
)
def test_heterogeneity__variance_between_over_within(law, mean, variance):
    h, cells = 0.3, 2000
    adata = simulate_pools(model({"X": {"noise": law}}, "mean", cells), pools=1500, heterogeneity=h)
    assert_close(mean_of, adata.X, mean, within=0.1 * np.sqrt(variance))
    assert_close(lambda d: d.var(axis=0), adata.X, h * variance, within=0.05 * variance)
    assert_close(lambda d: d.var(axis=0), adata.obsm["between"], 1.0, within=0.1)


def test_heterogeneity__widens_a_half_line_within_pools_too():
    """Var(mean of K) = variance (h + (1 + h cv^2) / K): a factor of the pool times a noise of the cell."""
    h, cells, pools = 0.5, 20, 20_000
    law_mean, variance = np.exp(0.125), (np.exp(0.25) - 1) * np.exp(0.25)
    of = model({"X": {"noise": "lognormal(0, 0.5)"}}, "mean", cells)
    adata = simulate_pools(of, pools=pools, heterogeneity=h)
    expected = variance * (h + (1 + h * variance / law_mean**2) / cells)
    plain = variance * (h + 1 / cells)
    assert_close(lambda d: d.var(axis=0), adata.X, expected, within=0.05 * variance)
    within = float(np.mean((adata.X[:, 0] / factor_of(adata, h, variance, law_mean) - law_mean) ** 2))
    assert within == pytest.approx(variance / cells, rel=0.05)
    assert expected > plain


def factor_of(adata, h, variance, law_mean):
    sd = np.sqrt(np.log1p(h * variance / law_mean**2))
    return np.exp(sd * adata.obsm["between"][:, 0] - sd**2 / 2)


def test_heterogeneity__moves_each_gene_of_each_pool_in_every_cell_type():
    tiny = "normal(0, 0.0001)"  # so that a cell shows the shift of its pool, of sd 1
    source = {
        **model({"X": {"noise": tiny}, "Y": {"noise": tiny}}),
        "cell_types": {"A": {"fraction": 0.5, "genes": {"Y": {"equation": "10 + N", "noise": tiny}}}},
    }
    adata = simulate_pools(source, pools=40, heterogeneity=1e8, keep_cells=True)
    cells = adata.uns["poolproof_cells"]
    expected = adata.obsm["between"][cells.obs["pool"]]
    expected[:, 1] += 10 * (cells.obs["cell_type"] == "A")
    assert_allclose(cells.X, expected, atol=1e-3)


def test_heterogeneity__leaves_finite_and_bounded_noises_alone():
    genes = {
        "B": {"noise": "bernoulli(0.3)"},
        "U": {"noise": "uniform(0, 1)"},
        "P": {"noise": "poisson(3)"},
        "K": {"kernel": "poisson(1 + B)"},
        "X": {"noise": "normal(0, 1)"},
    }
    adata = simulate_pools(model(genes, cells=1), pools=200, heterogeneity=3.0)
    assert_array_equal(np.isnan(adata.obsm["between"]).all(axis=0), [True, True, True, True, False])
    assert set(np.unique(adata.X[:, 0])) == {0.0, 1.0}
    assert (adata.X[:, 1] < 1).all()
    assert_array_equal(adata.X[:, :1], simulate_pools(model(genes, cells=1), pools=200).X[:, :1])


def test_counts__poisson_error_on_the_middle_gene_leaves_the_stated_partial_covariance():
    cells = 3
    adata = simulate_pools(model(cells=cells), pools=60_000, counts="poisson")
    assert_array_equal(adata.layers["expected"], simulate_pools(model(cells=cells), pools=60_000).X)

    def residual(data):
        c = np.cov(data, rowvar=False)
        return c[0, 2] - c[0, 1] * c[1, 2] / c[1, 1]

    variance, error = cells * CHAIN_COVARIANCE[1, 1], cells * CHAIN_MEAN[1]
    expected = cells * CHAIN_COVARIANCE[0, 2] * (1 - variance / (variance + error))
    assert_close(residual, adata.X, expected, within=0.1)
    assert_close(residual, adata.layers["expected"], 0.0, within=0.1)
    counted = cells * (CHAIN_COVARIANCE + np.diag(CHAIN_MEAN))
    assert_close(covariance_of, adata.X, counted, within=1.0)


def test_counts__depth_size_factors_and_dispersion():
    options = {"mean_depth": 500.0, "size_factor_cv": 0.4, "counts": "negative-binomial", "dispersion": 0.2}
    adata = simulate_pools(model(cells=50), pools=30_000, **options)
    factors = adata.obs["size_factor"].to_numpy()
    assert_close(mean_of, factors[:, None], 1.0, within=0.01)
    assert_close(lambda d: d.std(), factors, 0.4, within=0.01)
    assert_close(mean_of, adata.X.sum(axis=1, keepdims=True), 500.0, within=3.0)
    expected = adata.layers["expected"]
    mean = 500 * factors[:, None] * expected / expected.sum(axis=1, keepdims=True)
    assert_close(mean_of, (adata.X - mean) / mean, 0.0, within=0.01)
    assert_close(mean_of, (adata.X - mean) ** 2 / (mean + 0.2 * mean**2), 1.0, within=0.03)
    assert_close(lambda d: np.corrcoef(d, rowvar=False)[0, 1], (adata.X - mean) / mean, 0.0, within=0.01)
    poisson = simulate_pools(model(cells=50), pools=30_000, **{**options, "counts": "poisson"})
    assert_close(mean_of, (poisson.X - mean) ** 2 / mean, 1.0, within=0.03)


def test_dropout__before_pooling():
    d, cells = 0.3, 4
    data = simulate_pools(model(cells=cells), pools=30_000, dropout=d).X
    kept = (1 - d) ** 2 * CHAIN_COVARIANCE
    second = np.diag(CHAIN_COVARIANCE) + CHAIN_MEAN**2
    np.fill_diagonal(kept, (1 - d) * second - (1 - d) ** 2 * CHAIN_MEAN**2)
    assert_close(mean_of, data, cells * (1 - d) * CHAIN_MEAN, within=0.2)
    assert_close(covariance_of, data, cells * kept, within=3.0)
    assert_array_equal(simulate_pools(model(), pools=3, dropout=1.0).X, 0.0)


# Exactness, against the cells


AGGREGATIONS = [
    "sum",
    "mean",
    "geometric",
    "power(2)",
    "median",
    "max",
    "cpm",
    {"log1p": "mean", "scale": 0.5},
    {"log1p": "cpm", "scale": 1.0},
]


@pytest.mark.parametrize("cells", [7, "poisson(3)"])
@pytest.mark.parametrize("block", [2**19, 2**5])
@pytest.mark.parametrize("aggregation", AGGREGATIONS, ids=str)
def test_pools__are_the_aggregation_of_their_cells(aggregation, block, cells, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", block)
    source = {**typed(aggregation, cells), "aggregation": aggregation}
    adata = simulate_pools(source, pools=50, keep_cells=True, dropout=0.1)
    cells = adata.uns["poolproof_cells"]
    groups = cells.obs["pool"].to_numpy()
    expected = parse_aggregation(aggregation).pool(cells.X, groups, 50)
    assert_allclose(adata.X, expected, rtol=1e-12)
    assert_array_equal(np.bincount(groups, minlength=50), adata.obs["n_cells"])
    numbers = pd.crosstab(groups, cells.obs["cell_type"]).reindex(range(50), fill_value=0)
    assert_array_equal(numbers[["A", "B", "other"]], adata.obsm["type_cells"])


def test_pools__the_largest_of_negative_cells(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", 4)  # parts of 8 cells
    adata = simulate_pools(model({"X": {"noise": "normal(-99, 1)"}}, "max", 20), pools=9, keep_cells=True)
    assert_array_equal(adata.X[:, 0], adata.uns["poolproof_cells"].X.reshape(9, 20).max(axis=1))


def test_pools__weights_go_by_the_place_in_the_pool_across_parts(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", 12)  # parts of 8 cells
    weights = np.arange(1.0, 22.0)
    adata = simulate_pools(
        model(aggregation={"weights": weights.tolist()}, cells=21), pools=9, keep_cells=True
    )
    cells = adata.uns["poolproof_cells"].X.reshape(9, 21, 3)
    assert_allclose(adata.X, np.einsum("k,pkg->pg", weights, cells), rtol=1e-12)


def test_cells__follow_the_equations_of_their_type():
    adata = simulate_pools(typed(), pools=400, keep_cells=True)
    cells = adata.uns["poolproof_cells"]
    x, y, z = cells.X.T
    kind = cells.obs["cell_type"].to_numpy()
    assert_array_equal(y[kind == "A"], 0.5 * x[kind == "A"])
    assert_array_equal(y[kind != "A"], 2 * x[kind != "A"])
    assert (z[kind == "B"] > 3 * y[kind == "B"]).all()
    assert cells.obs["cell_type"].cat.categories.tolist() == ["A", "B", "other"]
    share = (kind == "B").mean()
    assert abs(share - 0.2) < N_SE * np.sqrt(0.16 / len(kind))


def test_dropout__children_still_see_what_is_lost():
    cells = simulate_pools(
        {"name": "t", "genes": {"X": {"noise": "gamma(2, 1)"}, "Y": {"equation": "2*X"}},
         "aggregation": "sum", "cells": 3},
        pools=300, dropout=0.5, keep_cells=True,
    ).uns["poolproof_cells"].X  # fmt: skip
    lost = cells == 0
    both = ~lost.any(axis=1)
    assert_allclose(cells[both, 1], 2 * cells[both, 0])
    for column in range(2):
        assert abs(lost[:, column].mean() - 0.5) < N_SE * 0.5 / 30
    assert abs(lost.all(axis=1).mean() - 0.25) < N_SE * 0.44 / 30


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any),
    n_at_once=st.integers(1, 20),
)
def test_parts__every_cell_once_in_its_place(sizes, n_at_once):
    sizes = np.array(sizes)
    parts = list(blocks._parts(sizes, n_at_once))
    assert all(0 < len(part.pool_of_cell) <= n_at_once for part in parts)
    assert_array_equal(
        np.concatenate([part.pool_of_cell for part in parts]), np.repeat(np.arange(len(sizes)), sizes)
    )
    assert_array_equal(
        np.concatenate([part.place for part in parts]), np.concatenate([np.arange(n) for n in sizes])
    )
    for part in parts:
        assert_array_equal(part.pool_of_cell[part.starts], part.pools)
        assert_array_equal(np.unique(part.pool_of_cell), part.pools)


# What must not change an answer


def everything(**options):
    source = {**typed("sum"), "cells": "poisson(4)"}
    return simulate_pools(
        source,
        heterogeneity=0.5,
        composition=3.0,
        counts="negative-binomial",
        size_factor_cv=0.3,
        dropout=0.1,
        **{"pools": 60, "seed": 3, **options},
    )


def assert_same(first, second):
    pd.testing.assert_frame_equal(first.obs, second.obs)
    for one, other in ((first.layers, second.layers), (first.obsm, second.obsm)):
        assert set(one) == set(other)
        for name in one:
            assert_array_equal(one[name], other[name])
    assert_array_equal(first.X, second.X)


def test_seed__repeats_and_changes_every_draw():
    first = everything()
    assert_same(first, everything())
    other = everything(seed=4)
    assert (first.layers["expected"] != other.layers["expected"]).all(
        axis=1
    ).mean() > 0.8  # empty pools are 0
    assert (first.obsm["composition"] != other.obsm["composition"]).all()


@pytest.mark.parametrize("block", [2**19, 60])
def test_threads_and_memory__change_nothing(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", block)
    first = everything(threads=1, memory=1e9)
    for options in ({"threads": 4}, {"memory": 6e8}, {"threads": 3, "memory": 3e8}):
        assert_same(first, everything(**options))


@pytest.mark.parametrize("block", [2**19, 60])
def test_pools__do_not_depend_on_how_many_there_are(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", block)
    many = everything(pools=60)
    for pools in (1, 7, 59):
        assert_same(many[:pools], everything(pools=pools))


def test_cells__are_the_same_whatever_is_done_to_them():
    plain = simulate_pools(model(), pools=30, keep_cells=True)
    same = simulate_pools(model(aggregation="mean"), pools=30, keep_cells=True, counts="poisson")
    assert_array_equal(same.uns["poolproof_cells"].X, plain.uns["poolproof_cells"].X)
    lost = simulate_pools(model(), pools=30, keep_cells=True, dropout=0.4).uns["poolproof_cells"].X
    assert_array_equal(lost[lost != 0], plain.uns["poolproof_cells"].X[lost != 0])
    assert_array_equal(simulate_pools(model(), pools=30).X, plain.X)


def test_blocks__are_independent():
    data = simulate_pools(model({"X": {"noise": "normal(0, 1)"}}, cells=2**18), pools=8).X[:, 0]
    assert len(np.unique(data)) == 8


def test_blocks__share_no_random_numbers(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", 60)  # 20 cells, 5 pools
    adata = everything(pools=60)
    drawn = (*adata.obsm.values(), *(adata.obs[name].to_numpy() for name in ("n_cells", "size_factor")))
    for rows in drawn:
        assert len(np.unique(np.nan_to_num(rows).reshape(12, -1), axis=0)) == 12
    ones = simulate_pools(
        model({"X": {"noise": "constant(1)"}}, cells=60), pools=9, dropout=0.5, keep_cells=True
    )
    assert len(np.unique(ones.uns["poolproof_cells"].X.reshape(9, 60), axis=0)) == 9


def test_dropout__is_independent_of_the_values():
    adata = simulate_pools(model({"X": {"noise": "uniform(0, 1)"}}), pools=2000, dropout=0.3, keep_cells=True)
    kept = adata.uns["poolproof_cells"].X
    assert_close(mean_of, kept[kept > 0][:, None], 0.5, within=0.01)


def peak_bytes(**options):
    tracemalloc.start()
    try:
        simulate_pools(model(), threads=1, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory__does_not_grow_with_the_number_of_cells():
    simulate_pools(model(), pools=2)  # imports
    bound = module.WORKING_COPIES * 8 * 2 * module.BLOCK_VALUES  # what the estimate reckons with
    few, many = peak_bytes(pools=20, cells=20_000), peak_bytes(pools=200, cells=20_000)
    assert few < bound
    assert many < 1.1 * few + 1e6
    assert peak_bytes(pools=1, cells=4_000_000) < bound < 8 * 3 * 4_000_000


def test_memory__bounds_the_threads(monkeypatch):
    seen, original = [], module.draw_pools

    def spy(recipe, pools, threads, report):
        seen.append(threads)
        return original(recipe, pools, threads, report)

    monkeypatch.setattr(module, "draw_pools", spy)
    block = module.WORKING_COPIES * 8 * 2 * module.BLOCK_VALUES
    for memory in (1.5 * block, 3.5 * block, 100 * block):
        simulate_pools(model(), pools=2, threads=8, memory=memory)
    assert seen == [1, 3, 8]


# The result


def test_result__holds_the_truth():
    source = typed("mean")
    adata = simulate_pools(source, pools=np.int64(5), seed=np.int64(2), heterogeneity=0.5)
    truth = adata.uns["poolproof_simulation"]
    assert truth["edges"].to_numpy().tolist() == [["X", "Y"], ["Y", "Z"]]
    assert truth["seed"] == 2
    settings = json.loads(truth["settings"])
    assert settings["pools"] == 5
    assert settings["cells"] == 5
    assert settings["heterogeneity"] == 0.5
    again = simulate_pools(settings["model"], pools=5, seed=2, heterogeneity=0.5)
    assert_array_equal(again.X, adata.X)
    assert_array_equal(simulate_pools(read_model(source), pools=5, seed=2, heterogeneity=0.5).X, adata.X)
    assert adata.var_names.tolist() == ["X", "Y", "Z"]
    assert adata.obs_names[:2].tolist() == ["pool0", "pool1"]


def test_result__columns_follow_the_model_s_order_not_the_graph_s():
    genes = {"Y": {"equation": "2*X"}, "X": {"noise": "normal(5, 1)"}}
    adata = simulate_pools(model(genes, cells=1), pools=20)
    assert adata.var_names.tolist() == ["Y", "X"]
    assert_array_equal(adata.X[:, 0], 2 * adata.X[:, 1])


@pytest.mark.parametrize("full", [True, False])
def test_result__round_trips_through_h5ad(full, tmp_path):
    if full:
        adata = everything(keep_cells=True)
    else:  # no edges, no types, a name that h5ad does not take as a key
        genes = {"HLA/A": {"noise": "normal(0, 1)"}, "NO": {"noise": "normal(0, 1)"}}
        adata = simulate_pools(model(genes), pools=3, keep_cells=True)
    adata.write_h5ad(tmp_path / "pools.h5ad")
    back = ad.read_h5ad(tmp_path / "pools.h5ad")
    assert_same(back, adata)
    truth, read = adata.uns["poolproof_simulation"], back.uns["poolproof_simulation"]
    assert set(truth) == set(read)
    assert read["edges"].to_numpy().tolist() == truth["edges"].to_numpy().tolist()
    assert read["cell_types"].tolist() == truth["cell_types"].tolist()
    assert [read[k] for k in ("settings", "seed", "version")] == [
        truth[k] for k in ("settings", "seed", "version")
    ]
    cells = adata.uns["poolproof_cells"]
    assert_array_equal(back.uns["poolproof_cells"].X, cells.X)
    pd.testing.assert_frame_equal(back.uns["poolproof_cells"].obs, cells.obs)


def test_empty_pools__are_zero_in_sums_and_unknown_in_means():
    for aggregation, empty in (("sum", 0.0), ("mean", np.nan), ("max", np.nan), ("median", np.nan)):
        adata = simulate_pools(model(aggregation=aggregation), pools=200, cells="poisson(0.5)")
        none = (adata.obs["n_cells"] == 0).to_numpy()
        assert 60 < none.sum() < 180
        assert_array_equal(adata.X[none], empty)
        assert np.isfinite(adata.X[~none]).all()
    counted = simulate_pools(
        model(aggregation="mean"), pools=200, cells="poisson(0.5)", counts="poisson", mean_depth=9
    )
    assert_array_equal(np.isnan(counted.X).any(axis=1), none)
    assert len(simulate_pools(model(), pools=1, cells="poisson(0.001)")) == 1


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pools": 0}, "pools must be a whole number"),
        ({"pools": 2.0}, "pools must be a whole number"),
        ({"pools": True}, "pools must be a whole number"),
        ({"cells": 0}, "cells must be a whole number"),
        ({"cells": 2.5}, "cells must be a whole number"),
        ({"cells": "gamma(2, 1)"}, "cells needs a law of whole numbers"),
        ({"cells": "discrete({-1: 0.5, 2: 0.5})"}, "cells needs a law of whole numbers"),
        ({"cells": "discrete({1.5: 0.5, 2: 0.5})"}, "cells needs a law of whole numbers"),
        ({"cells": "discrete({0: 1})"}, "cells needs a law of whole numbers"),
        ({"cells": "many"}, "cells"),
        ({"heterogeneity": -0.1}, "heterogeneity must be a number of at least 0"),
        ({"heterogeneity": float("nan")}, "heterogeneity must be a number"),
        ({"composition": 3.0}, "composition needs a model with cell types"),
        ({"composition": 0.0}, "composition must be a number above 0"),
        ({"counts": "binomial"}, "counts must be one of poisson, negative-binomial"),
        ({"mean_depth": 100}, "need counts"),
        ({"size_factor_cv": 0.3}, "need counts"),
        ({"counts": "poisson", "mean_depth": 0}, "mean_depth must be a number above 0"),
        ({"counts": "poisson", "mean_depth": 1e20}, "counts need rates of at most 1e[+]15"),
        ({"counts": "poisson", "size_factor_cv": -1}, "size_factor_cv must be a number of at least 0"),
        ({"counts": "negative-binomial", "dispersion": 0}, "dispersion must be a number above 0"),
        ({"dropout": 1.5}, "dropout must lie between 0 and 1"),
        ({"dropout": -0.5}, "dropout must be a number of at least 0"),
        ({"dropout": "half"}, "dropout must be a number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"threads": 0}, "threads must be a whole number"),
        ({"memory": 1000}, "memory allows 0 MB"),
        ({"memory": 0}, "memory must be a number above 0"),
        ({"cells": 10**9, "keep_cells": True}, "a smaller one needs keep_cells=False"),
    ],
    ids=str,
)
def test_options__are_checked_in_one_line(options, message):
    with pytest.raises(InputError, match=message) as error:
        simulate_pools(model(), **{"pools": 10, **options})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("genes", "aggregation", "options", "message"),
    [
        (CHAIN, {"weights": [1, 2, 3, 4, 5]}, {"cells": 2}, "exactly 5 cells; pool 0 has 2"),
        (CHAIN, {"weights": [1, 2, 3, 4, 5]}, {"cells": "poisson(5)"}, "needs a fixed number of cells"),
        (CHAIN, {"log1p": "sum"}, {"counts": "poisson"}, "counts are drawn on the additive scale"),
        (CHAIN, "median", {"cells": 10**8}, "memory allows"),
        ({"B": {"noise": "bernoulli(0.5)"}}, "sum", {"heterogeneity": 1.0}, "on the line or on a half-line"),
        ({"X": {"noise": "normal(-9, 1)"}}, "geometric", {}, "gene X: geometric needs values of at least 0"),
        ({"X": {"noise": "normal(-9, 1)"}}, "sum", {"counts": "poisson"}, "counts need pooled values"),
    ],
    ids=range(7),
)
def test_models__that_do_not_fit_are_refused_in_one_line(genes, aggregation, options, message):
    with pytest.raises(InputError, match=message) as error:
        simulate_pools(model(genes, aggregation), **{"pools": 10, **options})
    assert "\n" not in str(error.value)


def test_values__that_are_not_finite_are_refused():
    genes = {"X": {"noise": "normal(500, 300)"}, "Y": {"equation": "exp(X)"}}
    with pytest.raises(InputError, match="Y") as error:
        simulate_pools(model(genes), pools=100)
    assert "finite" in str(error.value)


def test_progress__shows_on_the_error_stream_and_changes_nothing(capsys):
    shown = simulate_pools(model(), pools=4, progress=True)
    said = capsys.readouterr()
    assert "pools" in said.err
    assert said.out == ""
    assert_array_equal(simulate_pools(model(), pools=4).X, shown.X)
    assert capsys.readouterr().err == ""


def test_counts__of_cpm_are_shares_times_depth():
    adata = simulate_pools(model(aggregation="cpm"), pools=50, counts="poisson")
    assert_allclose(adata.layers["expected"].sum(axis=1), 1e6)
    assert Aggregation.cpm().kind == "composition"
