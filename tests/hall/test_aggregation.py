"""Aggregations: every way to pool against a plain loop, small cases by hand, and what is refused."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import poolproof.aggregation as module
from poolproof import InputError
from poolproof.aggregation import KINDS, Aggregation, parse_aggregation

EVERY = {
    "sum": Aggregation.sum(),
    "mean": Aggregation.mean(),
    "geometric": Aggregation.geometric(),
    "harmonic": Aggregation.harmonic(),
    "power(2)": Aggregation.power(2),
    "power(-0.5)": Aggregation.power(-0.5),
    "log1p(sum)": Aggregation.log1p(Aggregation.sum()),
    "log1p(0.5 * mean)": Aggregation.log1p(Aggregation.mean(), 0.5),
    "cpm": Aggregation.cpm(),
    "log1p(cpm(10000))": Aggregation.cpm(1e4, log=True),
    "median": Aggregation.median(),
    "max": Aggregation.maximum(),
}
PLAIN = {  # of the cells of one pool, shape (n, genes)
    "sum": lambda x: x.sum(axis=0),
    "mean": lambda x: x.mean(axis=0),
    "geometric": lambda x: np.prod(x, axis=0) ** (1 / len(x)),
    "harmonic": lambda x: np.array([0.0 if (c == 0).any() else len(c) / sum(1 / v for v in c) for c in x.T]),
    "power(2)": lambda x: np.sqrt((x**2).mean(axis=0)),
    "power(-0.5)": lambda x: np.array([0.0 if (c == 0).any() else np.mean(c**-0.5) ** -2 for c in x.T]),
    "log1p(sum)": lambda x: np.log(1 + x.sum(axis=0)),
    "log1p(0.5 * mean)": lambda x: np.log(1 + 0.5 * x.mean(axis=0)),
    "cpm": lambda x: 1e6 * x.sum(axis=0) / x.sum(),
    "log1p(cpm(10000))": lambda x: np.log(1 + 1e4 * x.sum(axis=0) / x.sum()),
    "median": lambda x: np.median(x, axis=0),
    "max": lambda x: x.max(axis=0),
}
EMPTY_IS_ZERO = {"sum", "log1p(sum)"}
N_GROUPS = 7


def some_cells(seed=0, n=60, n_genes=5, zeros=0.4):
    """Cells with zeros, in groups 0 to 5 and none; group 6 is empty."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, size=(n, n_genes)) * (rng.random((n, n_genes)) > zeros)
    groups = rng.integers(-1, 6, size=n)
    groups[:6] = np.arange(6)
    values[groups == 0] += 1.0  # one group without zeros
    return values, groups


def looped(name, values, groups, n_groups=N_GROUPS):
    """A plain loop over pools."""
    empty = 0.0 if name in EMPTY_IS_ZERO else np.nan
    pooled = np.full((n_groups, values.shape[1]), empty)
    for group in range(n_groups):
        if (groups == group).any():
            pooled[group] = PLAIN[name](values[groups == group])
    return pooled


@pytest.mark.parametrize("name", EVERY)
def test_names__are_what_they_say(name):
    assert str(EVERY[name]) == EVERY[name].name == name
    assert EVERY[name].kind in KINDS
    assert EVERY[name].sentence


@pytest.mark.parametrize("name", EVERY)
def test_pool__equals_a_loop_over_pools(name):
    values, groups = some_cells()
    pooled = EVERY[name].pool(values, groups, N_GROUPS)
    assert pooled.dtype == np.float64
    assert_allclose(pooled, looped(name, values, groups), rtol=1e-12)


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array])
@pytest.mark.parametrize("name", EVERY)
def test_pool__sparse_equals_dense_to_the_last_bit(name, form):
    values, groups = some_cells(seed=1)
    matrix = form(values)
    kept = matrix.copy()
    pooled = EVERY[name].pool(matrix, groups, N_GROUPS)
    if EVERY[name].kind == "linear":
        assert sp.issparse(pooled)
        assert pooled.format == "csr"
        pooled = pooled.toarray()
    assert_array_equal(pooled, EVERY[name].pool(values, groups, N_GROUPS))
    assert_array_equal(matrix.toarray(), kept.toarray())


@pytest.mark.parametrize("name", ["geometric", "median", "max"])
def test_pool__sparse_by_few_genes_at_a_time(name, monkeypatch):
    values, groups = some_cells(seed=2)
    whole = EVERY[name].pool(sp.csr_matrix(values), groups, N_GROUPS)
    monkeypatch.setattr(module, "BLOCK_VALUES", 1)
    assert_array_equal(EVERY[name].pool(sp.csr_matrix(values), groups, N_GROUPS), whole)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8, bool])
def test_pool__any_number_type(name, dtype):
    values = (some_cells()[0] * 3).astype(dtype)
    groups = some_cells()[1]
    expected = looped(name, values.astype(np.float64), groups)
    assert_allclose(EVERY[name].pool(values, groups, N_GROUPS), expected, rtol=1e-12)
    pooled = EVERY[name].pool(sp.csr_matrix(values), groups, N_GROUPS)
    assert_allclose(pooled.toarray() if sp.issparse(pooled) else pooled, expected, rtol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_pool__cells_in_no_pool_count_neither_in_sum_nor_in_number(name):
    values, groups = some_cells()
    wild = np.vstack([values, np.full((4, values.shape[1]), -1e6)])  # outside every domain
    masked = np.append(groups, [-1] * 4)
    assert_array_equal(EVERY[name].pool(wild, masked, N_GROUPS), EVERY[name].pool(values, groups, N_GROUPS))
    sparse = EVERY[name].pool(sp.csr_matrix(wild), masked, N_GROUPS)
    assert_array_equal(
        sparse.toarray() if sp.issparse(sparse) else sparse, EVERY[name].pool(values, groups, N_GROUPS)
    )


def test_pool__half_a_group_masked_by_hand():
    values, groups = np.array([[1.0], [3.0], [100.0], [7.0]]), np.array([0, 0, -1, 1])
    assert_array_equal(Aggregation.mean().pool(values, groups, 2), [[2.0], [7.0]])


@pytest.mark.parametrize("name", EVERY)
def test_pool__without_any_cell_or_any_pool(name):
    empty = EVERY[name].pool(np.empty((0, 3)), np.empty(0, dtype=int), 2)
    assert_array_equal(empty, np.full((2, 3), 0.0 if name in EMPTY_IS_ZERO else np.nan))
    assert EVERY[name].pool(np.ones((2, 3)), np.array([-1, -1]), 0).shape == (0, 3)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_pool__order_of_cells_and_of_genes_changes_nothing(name, seed):
    rng = np.random.default_rng(seed)
    values, groups = some_cells(seed, n=20, n_genes=4)
    cells, genes = rng.permutation(20), rng.permutation(4)
    pooled = EVERY[name].pool(values, groups, N_GROUPS)
    moved = EVERY[name].pool(values[cells][:, genes], groups[cells], N_GROUPS)
    assert_allclose(moved, pooled[:, genes], rtol=1e-12)


@pytest.mark.parametrize("name", [n for n, a in EVERY.items() if not a.outer and n != "cpm"])
def test_pool__scales_with_the_gene(name):
    values, groups = some_cells()
    factors = np.array([1e-3, 0.5, 1.0, 7.0, 1e4])
    pooled = EVERY[name].pool(values, groups, N_GROUPS)
    assert_allclose(EVERY[name].pool(values * factors, groups, N_GROUPS), pooled * factors, rtol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_pool__not_a_number_reaches_its_own_pool_only(name):
    values, groups = some_cells()
    values[np.flatnonzero(groups == 2)[0], 1] = np.nan
    spoiled = np.isnan(EVERY[name].pool(values, groups, N_GROUPS))
    if "cpm" in name:
        assert spoiled[2].all()  # the total is unknown
    else:
        assert_array_equal(np.flatnonzero(spoiled[2]), [1])
    assert not spoiled[[0, 1, 3, 4, 5]].any()


@pytest.mark.parametrize("name", EVERY)
def test_pool_blocks__equals_pool(name):
    values = some_cells(n=60)[0]
    pooled = EVERY[name].pool_blocks(values.reshape(12, 5, 5))
    assert_allclose(pooled, EVERY[name].pool(values, np.repeat(np.arange(12), 5), 12), rtol=1e-13)


@pytest.mark.parametrize("name", [n for n, a in EVERY.items() if a.merge is not None])
def test_merge__parts_of_a_pool_give_the_pool(name):
    aggregation, values = EVERY[name], some_cells(n=9)[0]
    parts = [aggregation.merge.reduce(aggregation.on_axis(part), axis=0) for part in np.split(values, [2, 6])]
    whole = aggregation.finish(aggregation.merge.reduce(parts, axis=0)[None], np.array([9]))
    assert_allclose(whole, aggregation.pool_blocks(values[None]), rtol=1e-12)


def test_weighted__goes_by_the_order_of_rows():
    aggregation = Aggregation.weighted([1, 10])
    values = np.array([[1.0, 0.0], [2.0, 5.0], [3.0, 0.0], [4.0, 6.0], [9.0, 9.0]])
    groups = np.array([1, 0, 1, 0, -1])
    expected = [[42.0, 65.0], [31.0, 0.0]]
    assert_array_equal(aggregation.pool(values, groups, 2), expected)
    assert_array_equal(aggregation.pool(sp.csr_matrix(values), groups, 2).toarray(), expected)
    assert_array_equal(aggregation.pool_blocks(values[[[1, 3], [0, 2]]]), expected)
    assert_array_equal(Aggregation.log1p(aggregation).pool(values, groups, 2), np.log1p(expected))


def test_weighted__needs_as_many_cells_as_weights():
    for aggregation in (Aggregation.weighted([1, 2]), Aggregation.log1p(Aggregation.weighted([1, 2]))):
        with pytest.raises(InputError, match="exactly 2 cells; pool 1 has 3"):
            aggregation.pool(np.ones((5, 1)), np.array([0, 0, 1, 1, 1]), 2)
        with pytest.raises(InputError, match="exactly 2 cells; pool 0 has 3"):
            aggregation.pool_blocks(np.ones((1, 3, 1)))


def test_cpm__by_hand_and_without_molecules():
    values = np.array([[1.0, 3.0], [0.0, 4.0], [0.0, 0.0]])
    groups = np.array([0, 0, 1])
    expected = [[0.125, 0.875], [np.nan, np.nan]]
    assert_array_equal(Aggregation.cpm(1.0).pool(values, groups, 2), expected)
    assert_array_equal(Aggregation.cpm(1.0).pool(sp.csr_matrix(values), groups, 2), expected)
    log = Aggregation.cpm(8.0, log=True)
    assert_allclose(log.pool(values, groups, 2)[0], np.log([2.0, 8.0]))
    assert log == Aggregation.log1p(Aggregation.cpm(8.0))


@pytest.mark.parametrize("name", ["geometric", "harmonic", "power(2)", "cpm", "log1p(cpm(10000))"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_domain__negative_values_are_refused(name, form):
    values = form(np.array([[1.0, -0.25], [2.0, 3.0]]))
    with pytest.raises(InputError, match=r"needs values of at least 0; found -0\.25") as error:
        EVERY[name].pool(values, np.array([0, 0]), 1)
    assert "\n" not in str(error.value)


def test_domain__log1p_of_a_pool_below_its_limit():
    aggregation = Aggregation.log1p(Aggregation.sum(), scale=0.5)
    assert_allclose(aggregation.pool(np.array([[-5.0], [3.5]]), np.array([0, 0]), 1), np.log(0.25))
    with pytest.raises(InputError, match="log1p needs values above -2; found -2"):
        aggregation.pool(np.array([[-5.0], [3.0]]), np.array([0, 0]), 1)


def test_log1p__inverse_goes_back():
    pooled = np.array([0.0, 0.3, 1e6])
    outer = Aggregation.log1p(Aggregation.sum(), 0.02).outer
    assert_allclose(outer.inverse(outer.forward(pooled)), pooled, rtol=1e-12)


@pytest.mark.parametrize("name", ["geometric", "harmonic", "power(2)", "power(-0.5)"])
def test_axis__is_the_axis_of_the_numbers(name):
    forward, inverse = EVERY[name].axis
    values = np.array([0.5, 2.0, 9.0])
    assert_allclose([float(forward(v)) for v in values], EVERY[name].on_axis(values), rtol=1e-12)
    assert_allclose([float(inverse(forward(v))) for v in values], values, rtol=1e-12)


def test_axis__only_power_means_have_one():
    assert {name for name in EVERY if EVERY[name].axis} == {
        "geometric",
        "harmonic",
        "power(2)",
        "power(-0.5)",
    }
    assert {n for n in EVERY if EVERY[n].kind == "quasi-arithmetic"} == {n for n in EVERY if EVERY[n].axis}


def test_power__special_exponents_have_their_names():
    assert Aggregation.power(1) == Aggregation.mean()
    assert Aggregation.power(0) == Aggregation.geometric()
    assert Aggregation.power(-1) == Aggregation.harmonic()
    values = np.array([[[1.0], [2.0], [8.0]]])
    near_zero = Aggregation.power(1e-9).pool_blocks(values)
    assert_allclose(near_zero, Aggregation.geometric().pool_blocks(values), rtol=1e-6)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.floats(0.01, 100), min_size=3, max_size=3), min_size=1, max_size=8),
    st.floats(-5, 5).filter(lambda p: abs(p) > 0.01),
)
def test_power__means_lie_between_the_cells_and_rise_with_the_exponent(rows, p):
    values = np.array([rows])
    low, high = (Aggregation.power(q).pool_blocks(values) for q in (p, p + 1))
    assert (low >= values.min(axis=1) * (1 - 1e-9)).all()
    assert (low <= high * (1 + 1e-9)).all()


SPECS = [
    "sum",
    "mean",
    "geometric",
    "harmonic",
    "power(2)",
    "power(-0.5)",
    "median",
    "max",
    "cpm",
    {"cpm": 10000.0},
    {"weights": [1.0, 2.5]},
    {"log1p": "sum", "scale": 1.0},
    {"log1p": "cpm", "scale": 2.0},
    {"log1p": {"weights": [1.0, 3.0]}, "scale": 0.1},
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_parse__spec_round_trips(spec):
    aggregation = parse_aggregation(spec)
    assert aggregation.spec == spec
    assert parse_aggregation(aggregation.spec) == aggregation
    assert hash(aggregation) == hash(parse_aggregation(spec))


def test_parse__defaults():
    assert parse_aggregation({"log1p": "mean"}) == Aggregation.log1p(Aggregation.mean())
    assert parse_aggregation(" power( +2e0 ) ") == Aggregation.power(2)
    assert parse_aggregation("power(0)").name == "geometric"


@pytest.mark.parametrize(
    "spec",
    [
        "total",
        "SUM",
        "",
        "power",
        "power()",
        "power(x)",
        "power(1e999)",
        "power(nan)",
        "power(1000)",
        "power(__import__('os'))",
        "weights",
        None,
        True,
        3,
        ["sum"],
        {},
        {"weights": []},
        {"weights": "12"},
        {"weights": [1, -1]},
        {"weights": [1, 0]},
        {"weights": [1, "x"]},
        {"weights": [True, 1]},
        {"weights": [1, math.inf]},
        {"weights": [1], "scale": 2},
        {"log1p": "median"},
        {"log1p": "geometric"},
        {"log1p": "nonsense"},
        {"log1p": {"log1p": "sum"}},
        {"log1p": "sum", "scale": 0},
        {"log1p": "sum", "scale": "big"},
        {"log1p": "sum", "base": 2},
        {"cpm": 0},
        {"cpm": None},
        {1: 2},
        {"\x1b[31m": "sum"},
    ],
    ids=repr,
)
def test_parse__refuses_in_one_line_that_names_the_place(spec):
    with pytest.raises(InputError) as error:
        parse_aggregation(spec, "model.yaml line 9: aggregation")
    text = str(error.value)
    assert text.startswith("model.yaml line 9: aggregation: ")
    assert text.isprintable()
    assert len(text) < 300


def test_log1p__goes_over_sums_and_shares_once():
    for inner in ("median", "geometric", {"log1p": "sum"}, {"log1p": "cpm"}):
        with pytest.raises(InputError, match="log1p goes over sum, mean, weights or cpm; found"):
            Aggregation.log1p(parse_aggregation(inner))


def test_parse__depth_of_nesting_is_bounded():
    spec = "sum"
    for _ in range(100_000):
        spec = {"log1p": spec}
    with pytest.raises(InputError, match="log1p goes over"):
        parse_aggregation(spec)


@pytest.mark.parametrize(
    ("values", "groups", "n_groups", "message"),
    [
        (np.ones(3), np.zeros(3, int), 1, "cells x genes"),
        (np.ones((3, 1)), np.zeros(2, int), 1, "one group per cell"),
        (np.ones((3, 1)), np.zeros(3), 1, "whole numbers"),
        (np.ones((3, 1)), np.array([0, 1, 2]), 2, "between -1 and 1; found 0 to 2"),
        (np.ones((3, 1)), np.array([0, -2, 1]), 2, "between -1 and 1; found -2 to 1"),
        (sp.csr_matrix(np.ones((3, 1))), np.array([0, 5, 1]), 2, "found 0 to 5"),
    ],
)
def test_pool__bad_groups_are_refused(values, groups, n_groups, message):
    with pytest.raises(InputError, match=message):
        Aggregation.sum().pool(values, groups, n_groups)


def test_pool_blocks__bad_shapes_are_refused():
    for shape in [(3, 2), (3, 0, 2)]:
        with pytest.raises(InputError, match="pools x cells x genes"):
            Aggregation.sum().pool_blocks(np.ones(shape))
