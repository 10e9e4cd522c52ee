"""Witnesses: every refused form comes with two pools that a plain sum confirms."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolproof import check
from poolproof.aggregation import parse_aggregation
from poolproof.models.support import finite, integers, interval
from poolproof.theory.witness import counted, describe_pools, readable_values

GAMMA = "gamma(2, 1)"
POSITIVE = (0, math.inf)


@pytest.fixture(autouse=True)
def few_cells(monkeypatch):
    """Moments of many cells play no part here."""
    monkeypatch.setattr("poolproof.theory.pooled_model.N_CELLS", 2**6)


def refused(equation, noise, parents, aggregation="sum", cells=5, **options):
    """The row of a gene X that is expected to fail."""
    genes = {name: {"noise": law} if isinstance(law, str) else law for name, law in parents.items()}
    genes["X"] = {"equation": equation} | ({"noise": noise} if noise else {})
    model = {"name": "model", "genes": genes, "aggregation": aggregation, "cells": cells, **options}
    rows = check(model, monte_carlo=False).summary["mechanisms"]
    return next(row for row in rows if row["gene"] == "X")


def cells_of(pool):
    """Cells one by one."""
    return [cell for cell in pool["cells"] for _ in range(cell["times"])]


def confirm(row, child, supports, *, pooled=sum, n_cells=5):
    """Recompute a witness from the cells it shows: equal parents and noises, another child.

    ``pooled`` goes from a list of cells' values to the pool's; ``supports`` has (low, high) or a set by name.
    """
    assert row["ffc"] == "fails"
    first, second = (cells_of(pool) for pool in row["witness"]["pools"])
    assert len(first) == len(second)
    assert len(first) + row["witness"]["further_cells"] == n_cells
    for cell in first + second:
        assert set(cell["values"]) == set(supports)
        for name, value in cell["values"].items():
            within = supports[name]
            inside = value in within if isinstance(within, set) else within[0] <= value <= within[1]
            assert inside, f"{name} = {value} lies outside {within}"
        assert cell["child"] == pytest.approx(child(**cell["values"]), rel=1e-9, abs=1e-12)
    for name in supports:
        sums = [pooled([cell["values"][name] for cell in pool]) for pool in (first, second)]
        assert sums[0] == pytest.approx(sums[1], rel=1e-9, abs=1e-9)
    children = [pooled([child(**cell["values"]) for cell in pool]) for pool in (first, second)]
    assert abs(children[1] - children[0]) > 1e-7 * (abs(children[0]) + abs(children[1]))
    assert row["witness"]["difference"] == pytest.approx(children[1] - children[0], rel=1e-6)
    if row["witness"]["same_noise"] and "N" in supports:
        assert [c["values"]["N"] for c in first] == [c["values"]["N"] for c in second]


# --- on intervals -------------------------------------------------------------------------------------------

CURVES = {
    "tanh(Y)": lambda y, w: math.tanh(y),
    "Y**2": lambda y, w: y**2,
    "Y*W": lambda y, w: y * w,
    "exp(-Y)": lambda y, w: math.exp(-y),
    "log(1 + Y)": lambda y, w: math.log(1 + y),
    "sqrt(1 + Y)": lambda y, w: math.sqrt(1 + y),
    "hill(Y, vmax=2, k=1.5, n=3)": lambda y, w: 2 * y**3 / (1.5**3 + y**3),
    "michaelis_menten(Y, vmax=3, km=2)": lambda y, w: 3 * y / (2 + y),
    "1 / (1 + Y + W**2)": lambda y, w: 1 / (1 + y + w**2),
    "sin(Y + W)": lambda y, w: math.sin(y + w),
}
LAWS = {
    GAMMA: POSITIVE,
    "uniform(0.5, 3)": (0.5, 3),
    "lognormal(0, 0.5)": POSITIVE,
    "exponential(2)": POSITIVE,
}
NOISES = {
    "normal(0, 1)": (-math.inf, math.inf),
    "uniform(1, 2)": (1, 2),
    "laplace(0, 1)": (-math.inf, math.inf),
}
NUMBERS = st.sampled_from([-3, -0.5, 0.5, 1, 2, 10])


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(list(CURVES)),
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    st.sampled_from(list(LAWS)),
    st.sampled_from(list(NOISES)),
    st.sampled_from([None, (1, 2, 3, 4, 5), (5, 1, 1, 0.5, 2)]),
)
def test_smooth_mechanisms_that_are_not_affine__have_a_witness(curve, numbers, law, noise, weights):
    bend, slope, spread = numbers
    aggregation = {"weights": list(weights)} if weights else "sum"
    parents = {"Y": law, "W": "normal(0, 1)"}
    row = refused(f"{bend}*({curve}) + {slope}*W + {spread}*N", noise, parents, aggregation)

    shown = (min(weights), max(weights)) if weights else (1, 1)  # of the cells that a witness shows

    def child(Y, N, W=0.0):
        return bend * CURVES[curve](Y, W) + slope * W + spread * N

    def pooled(values):
        return sum(w * v for w, v in zip(shown, values, strict=True))

    supports = {"Y": LAWS[law], "W": (-math.inf, math.inf), "N": NOISES[noise]}
    confirm(row, child, supports, pooled=pooled)
    assert row["witness"]["same_noise"]


@pytest.mark.parametrize(
    ("equation", "child"),
    [
        ("2*Y + N**2", lambda Y, N: 2 * Y + N**2),
        ("Y + exp(N)", lambda Y, N: Y + math.exp(N)),
    ],
)
def test_bent_noise__moves_the_noises_and_no_parent(equation, child):
    row = refused(equation, "normal(0, 1)", {"Y": GAMMA})
    confirm(row, child, {"Y": POSITIVE, "N": (-math.inf, math.inf)})
    assert not row["witness"]["same_noise"]
    first, second = (cells_of(pool) for pool in row["witness"]["pools"])
    assert [c["values"]["Y"] for c in first] == [c["values"]["Y"] for c in second]


@pytest.mark.parametrize(
    ("aggregation", "pooled"),
    [
        ("mean", lambda v: sum(v) / len(v)),
        ("geometric", lambda v: math.exp(sum(map(math.log, v)) / len(v))),
        ("harmonic", lambda v: len(v) / sum(1 / x for x in v)),
        ("power(2)", lambda v: math.sqrt(sum(x * x for x in v) / len(v))),
    ],
)
def test_other_aggregations__pool_the_witness_as_they_say(aggregation, pooled):
    row = refused("1 + Y**3 + N", "exponential(1)", {"Y": "uniform(1, 4)"}, aggregation, cells=2)
    confirm(row, lambda Y, N: 1 + Y**3 + N, {"Y": (1, 4), "N": POSITIVE}, pooled=pooled, n_cells=2)


def test_median__a_witness_has_all_cells():
    row = refused("Y + N", "uniform(0, 2)", {"Y": "uniform(0, 1)"}, "median", cells=3)
    pools = [cells_of(pool) for pool in row["witness"]["pools"]]
    medians = [{n: sorted(c["values"][n] for c in p)[1] for n in ("Y", "N")} for p in pools]
    assert medians[0] == medians[1]
    assert sorted(c["child"] for c in pools[0])[1] != sorted(c["child"] for c in pools[1])[1]


# --- on finite supports -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gate", "child"), [("AND(A, B)", min), ("OR(A, B)", max)])
def test_gates__two_cells_that_trade_their_inputs(gate, child):
    row = refused(gate, None, {"A": "bernoulli(0.4)", "B": "bernoulli(0.5)"}, cells=9)
    confirm(row, lambda A, B: child(A, B), {"A": {0.0, 1.0}, "B": {0.0, 1.0}}, n_cells=9)
    assert len(cells_of(row["witness"]["pools"][0])) == 2


def test_finite_parent__the_others_stay_at_one_value_of_their_support():
    row = refused(
        "Y**2 + W + N", "uniform(2, 3)", {"Y": "discrete({0: 0.4, 1: 0.3, 2: 0.3})", "W": "uniform(5, 6)"}
    )
    supports = {"Y": {0.0, 1.0, 2.0}, "W": (5, 6), "N": (2, 3)}
    confirm(row, lambda Y, W, N: Y**2 + W + N, supports)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=3, max_size=4, unique=True),
    st.integers(3, 9),
)
def test_finite_supports__a_refusal_is_confirmed(values, n_cells):
    law = f"discrete({{{', '.join(f'{v}: {1 / len(values)}' for v in values)}}})"
    row = refused("Y**3 + N", "normal(0, 1)", {"Y": law}, cells=n_cells)
    if row["ffc"] == "fails":
        supports = {"Y": {float(v) for v in values}, "N": (-math.inf, math.inf)}
        confirm(row, lambda Y, N: Y**3 + N, supports, n_cells=n_cells)


# --- what pooling adds --------------------------------------------------------------------------------------


def test_random_number_of_cells__pools_of_two_sizes_with_equal_sums():
    row = refused("1 + 2*Y + N", "normal(0, 1)", {"Y": GAMMA}, cells="discrete({2: 0.5, 20: 0.5})")
    few, many = (cells_of(pool) for pool in row["witness"]["pools"])
    assert {len(few), len(many)} == {2, 20}
    for name in ("Y", "N"):
        assert sum(c["values"][name] for c in few) == pytest.approx(sum(c["values"][name] for c in many))
    assert sum(c["child"] for c in few) != pytest.approx(sum(c["child"] for c in many))


@pytest.mark.parametrize("other", ["3*Y + N", "3 + Y + N"])
def test_cell_types__pools_with_the_same_sums_whose_types_matter(other):
    types = {"T": {"fraction": 0.4, "genes": {"X": {"equation": other}}}}
    row = refused("Y + N", "normal(0, 1)", {"Y": GAMMA}, cell_types=types)
    pools = [cells_of(pool) for pool in row["witness"]["pools"]]
    for name in ("Y", "N"):
        sums = [sum(c["values"][name] for c in pool) for pool in pools]
        assert sums[0] == pytest.approx(sums[1])
    for cell in pools[0] + pools[1]:
        y, n = cell["values"]["Y"], cell["values"]["N"]
        at_t = 3 * y + n if "3*Y" in other else 3 + y + n
        assert cell["child"] == pytest.approx(at_t if cell["cell_type"] == "T" else y + n)
    sums = [sum(c["child"] for c in pool) for pool in pools]
    assert sums[0] != pytest.approx(sums[1])


def test_cells_of_a_witness__can_occur_together():
    """B is never below A, so C = B - A + N on all cells that occur: no witness may show another."""
    parents = {"A": "normal(0, 1)", "B": {"equation": "A + N", "noise": "exponential(1)"}}
    row = refused("max(B - A, 0) + N", "normal(0, 1)", parents)
    shown = row["witness"]["pools"] if row["witness"] else []
    assert all(c["values"]["B"] >= c["values"]["A"] for pool in shown for c in cells_of(pool))


# --- the parts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("support", "core"),
    [
        (interval(0, math.inf), (0.1, 3.9)),
        (interval(-math.inf, math.inf), (-2e6, 3e6)),
        (interval(0.25, 0.5), (0.26, 0.49)),
        (interval(1e-9, 2e-9), (1.1e-9, 1.9e-9)),
        (integers(0, math.inf), (0, 40)),
        (finite([0, 1, 3]), (0, 3)),
    ],
)
def test_readable_values__lie_in_the_support_and_are_several(support, core):
    values = readable_values(support, core)
    assert len(values) >= 3
    assert all(support.contains(float(v)) for v in values)
    assert len(set(values.tolist())) == len(values)


def describe(pools, child, aggregation="sum"):
    ones = [[1.0] * len(pool) for pool in pools]
    return describe_pools(pools, child, ["Y"], parse_aggregation(aggregation), ones)


def test_describe_pools__by_hand():
    found = describe([[{"Y": 0.0}, {"Y": 2.0}], [{"Y": 1.0}, {"Y": 1.0}]], lambda v: v["Y"] ** 2)
    assert found["difference"] == -2
    assert [pool["pooled"] for pool in found["pools"]] == [
        {"values": {"Y": 2.0}, "child": 4.0},
        {"values": {"Y": 2.0}, "child": 2.0},
    ]
    assert found["pools"][1]["cells"] == [{"values": {"Y": 1.0}, "child": 1.0, "times": 2}]


def test_describe_pools__refuses_what_is_no_witness():
    assert describe([[{"Y": 0.0}, {"Y": 2.0}], [{"Y": 1.0}, {"Y": 1.0}]], lambda v: 3 * v["Y"]) is None
    assert describe([[{"Y": 0.0}, {"Y": 2.0}], [{"Y": 1.0}, {"Y": 1.5}]], lambda v: v["Y"] ** 2) is None


def test_describe_pools__differences_of_rounding_are_none():
    pools = [[{"Y": 0.1}, {"Y": 0.3}], [{"Y": 0.2}, {"Y": 0.2}]]
    assert describe(pools, lambda v: 1e9 + v["Y"] + 1e-3 * v["Y"] ** 2) is None


def test_counted__keeps_the_order_and_the_number():
    cells = [{"child": 1.0}, {"child": 2.0}, {"child": 2.0}, {"child": 1.0}]
    assert counted(cells) == [
        {"child": 1.0, "times": 1},
        {"child": 2.0, "times": 2},
        {"child": 1.0, "times": 1},
    ]
