import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from poolproof import InputError
from poolproof._random import stream
from poolproof.basis import spline_basis
from poolproof.verdict import equation_test, joint_equations

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"


def skewed_parents(rng, n, m=3):
    """Log-normal, correlated about .5 on the log scale."""
    common = rng.normal(size=(n, 1))
    return np.exp(0.8 * (np.sqrt(0.5) * common + np.sqrt(0.5) * rng.normal(size=(n, m))))


def affine_child(rng, x, slopes=(0.5, 1.0, 0.3), noise=0.4):
    """Affine, noise sd proportional to the mean."""
    mean = 1 + x @ np.asarray(slopes)[: x.shape[1]]
    return mean + noise * mean * rng.normal(size=len(x))


def rejected(p_values):
    return np.mean(np.asarray(p_values) < 0.05)


def band(n_runs, low=0.02, high=0.08):
    """Rates that a level between ``low`` and ``high`` leaves once in a thousand times at most."""
    return stats.binom.ppf(0.001, n_runs, low) / n_runs, stats.binom.isf(0.001, n_runs, high) / n_runs


# --- by hand -------------------------------------------------------------------------------------------


def test_equation_test__one_parent_is_the_robust_score():
    rng = stream(0, "by hand")
    x = rng.gamma(2.0, size=200)
    y = 1 + x + x * rng.normal(size=200)
    q = spline_basis(x, 5)
    centred = y - y.mean()
    u = centred - q[:, 0] * (q[:, 0] @ centred)
    h = 1 / 200 + q[:, 0] ** 2
    s = q[:, 1:].T @ centred
    middle = (q[:, 1:].T * (u / (1 - h)) ** 2) @ q[:, 1:]
    expected = s @ np.linalg.solve(middle, s)
    result = equation_test(x[:, None], y)
    assert (result.status, result.n, result.k, result.df) == ("ok", 200, 5, 4)
    assert result.statistic == pytest.approx(expected, rel=1e-9)
    assert result.p_value == pytest.approx(stats.chi2.sf(expected, 4), rel=1e-9)
    assert result.edge_statistic == pytest.approx([expected], rel=1e-9)
    total = centred @ centred
    assert result.r2_linear == pytest.approx((q[:, 0] @ centred) ** 2 / total, rel=1e-9)
    assert result.r2_spline == pytest.approx(((q.T @ centred) ** 2).sum() / total, rel=1e-9)

    omnibus_s, weight = q.T @ centred, (centred / (1 - 1 / 200)) ** 2
    omnibus = omnibus_s @ np.linalg.solve((q.T * weight) @ q, omnibus_s)
    assert result.association_p_value == pytest.approx(stats.chi2.sf(omnibus, 5), rel=1e-9)


def test_equation_test__bound_by_its_formula():
    rng = stream(0, "bound")
    x = rng.gamma(2.0, size=300)
    y = x + 0.02 * x**2 + 0.3 * rng.normal(size=300)
    q = spline_basis(x, 5)
    b, s = q[:, 0] @ y, q[:, 1:].T @ y
    u = y - y.mean() - q[:, 0] * b
    weighted = q * (u / (1 - 1 / 300 - q[:, 0] ** 2))[:, None]
    big = weighted.T @ weighted
    r = np.linalg.norm(s)
    d = s / r

    def excess(c):
        v = d @ big[1:, 1:] @ d + c**2 * big[0, 0] - 2 * c * np.sign(b) * (d @ big[1:, 0])
        return r - c * abs(b) + stats.norm.ppf(0.95) * np.sqrt(v)

    upper = equation_test(x[:, None], y).nonlinear_share_upper
    c = np.sqrt(upper / (1 - upper))
    assert excess(c) == pytest.approx(0, abs=1e-8 * abs(b))
    assert excess(0.9 * c) > 0 > excess(1.1 * c)


def test_equation_test__two_level_parents_add_interactions_of_nothing():
    """Two binary parents have no bend: every additive function of them is affine."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 20, dtype=float)
    assert equation_test(x, x.sum(axis=1) + np.arange(80) % 7).status == "too_few_levels"


def test_equation_test__three_levels_one_bend_closed_form():
    """One three-level parent: the score is that of the middle mean against the middle of the outer ones."""
    rng = stream(0, "levels")
    x = np.repeat([0.0, 1.0, 2.0], 40)
    y = rng.normal(size=120) + 0.4 * (x == 1)
    contrast = np.where(x == 1, 2.0, -1.0)
    line = np.polyval(np.polyfit(x, y, 1), x)
    h = 1 / 120 + (x - 1) ** 2 / ((x - 1) ** 2).sum()
    expected = (contrast @ y) ** 2 / ((contrast * (y - line) / (1 - h)) ** 2).sum()
    result = equation_test(x[:, None], y)
    assert result.df == 1
    assert result.statistic == pytest.approx(expected, rel=1e-9)


def test_equation_test__replicates_follow_the_cluster_form():
    rng = stream(0, "donors")
    donor = np.repeat(np.arange(12), 30)
    x = rng.gamma(2.0, size=360)
    y = x + rng.normal(size=12)[donor] * x + rng.normal(size=360)
    inside = np.eye(12)[donor] / np.sqrt(30)
    q = spline_basis(x, 5)
    line, bends = q[:, :1] - inside @ (inside.T @ q[:, :1]), q[:, 1:] - inside @ (inside.T @ q[:, 1:])
    y_inside = y - inside @ (inside.T @ y)
    bends = bends - line @ np.linalg.lstsq(line, bends)[0]
    u = y_inside - line @ np.linalg.lstsq(line, y_inside)[0]
    sums = np.array([(bends[donor == d] * u[donor == d, None]).sum(axis=0) for d in range(12)])
    s = sums.sum(axis=0)
    m = sums.T @ sums - np.outer(s, s) / 12
    t2 = s @ np.linalg.solve(m, s) * 11 / 12
    f = t2 * (12 - 4) / (4 * 11)
    result = equation_test(x[:, None], y, replicate=donor)
    assert result.df == 4
    assert result.statistic == pytest.approx(f, rel=1e-8)
    assert result.p_value == pytest.approx(stats.f.sf(f, 4, 8), rel=1e-8)
    assert 0 < result.nonlinear_share_upper <= 1


def test_equation_test__levels_add_and_donors_take_bonferroni():
    rng = stream(0, "levels add")
    x, level, donor = rng.gamma(2.0, size=(600, 2)), np.repeat([0, 1], 300), np.tile(np.arange(20), 30)
    y = 5.0 * level + x @ [1.0, 0.5] * (1 + level) + rng.normal(size=600)
    apart = [equation_test(x[level == one], y[level == one]) for one in (0, 1)]
    both = equation_test(x, y, levels=level)
    assert (both.df, both.n) == (sum(t.df for t in apart), 600)
    assert both.statistic == pytest.approx(sum(t.statistic for t in apart))
    assert both.edge_statistic == pytest.approx(sum(t.edge_statistic for t in apart))
    apart = [equation_test(x[level == one], y[level == one], replicate=donor[level == one]) for one in (0, 1)]
    both = equation_test(x, y, levels=level, replicate=donor)
    assert both.p_value == pytest.approx(min(1.0, 2 * min(t.p_value for t in apart)))


def test_equation_test__small_levels_are_left_out():
    rng = stream(0, "small level")
    x = rng.gamma(2.0, size=(205, 1))
    y, level = x[:, 0] + rng.normal(size=205), np.repeat([0, 1], [200, 5])
    assert equation_test(x, y, levels=level).n == 200
    assert equation_test(x, y, levels=level).statistic == equation_test(x[:200], y[:200]).statistic


def test_equation_test__exact_affine_child_is_affine():
    x = stream(0, "exact").gamma(2.0, size=(200, 2))
    result = equation_test(x, 3 + x @ [1.0, -2.0])
    assert (result.statistic, result.p_value, result.nonlinear_share_upper) == (0.0, 1.0, 0.0)
    assert result.r2_linear == pytest.approx(1)


# --- fewer columns, and no test ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "m", "k", "status"),
    [
        (60, 1, 5, "ok"),
        (59, 1, 3, "ok"),
        (39, 1, 2, "ok"),
        (15, 1, 2, "ok"),
        (14, 1, 0, "too_few_samples"),
        (260, 5, 5, "ok"),
        (280, 9, 3, "ok"),
        (279, 9, 2, "ok"),
        (275, 27, 2, "ok"),
        (274, 27, 0, "too_few_samples"),
    ],
)
def test_equation_test__fewer_columns_before_giving_up(n, m, k, status):
    rng = stream(0, "ladder", n, m)
    result = equation_test(rng.normal(size=(n, m)), rng.normal(size=n))
    assert (result.status, result.k) == (status, k)
    assert len(result.edge_status) == m
    assert set(result.edge_status) == {status}
    assert np.isnan(result.p_value) == (status != "ok")


def test_equation_test__constants():
    rng = stream(0, "constant")
    x = rng.normal(size=(100, 2))
    assert equation_test(x, np.full(100, 7.0)).status == "constant"
    assert equation_test(np.ones((100, 1)), x[:, 0]).status == "constant"
    result = equation_test(np.column_stack([x[:, 0], np.ones(100)]), x[:, 1])
    assert result.edge_status == ("ok", "constant")
    assert result.statistic == pytest.approx(equation_test(x[:, :1], x[:, 1]).statistic)


def test_equation_test__parents_that_repeat_each_other_are_collinear():
    rng = stream(0, "collinear")
    x = rng.normal(size=(200, 1))
    y = x[:, 0] ** 2 + rng.normal(size=200)
    result = equation_test(np.hstack([x, 2 * x + 1]), y)
    assert result.edge_status == ("collinear", "collinear")
    assert result.statistic == pytest.approx(equation_test(x, y).statistic, rel=1e-6)


def test_equation_test__too_few_replicates():
    rng = stream(0, "few donors")
    x, y = rng.normal(size=(2, 400))
    statuses = [equation_test(x[:, None], y, replicate=np.arange(400) % d) for d in (3, 4, 5, 7)]
    assert [test.status for test in statuses] == ["too_few_replicates", "ok", "ok", "ok"]
    assert [test.k for test in statuses] == [0, 2, 3, 5]


def test_equation_test__bad_input_in_one_line():
    x, y = np.ones((20, 1)), np.arange(20.0)
    for bad in (
        lambda: equation_test(x, y[:10]),
        lambda: equation_test(x * np.nan, y),
        lambda: equation_test(x, y, k=1),
        lambda: equation_test(np.ones((20, 0)), y),
        lambda: equation_test(x, y, levels=np.zeros(3)),
    ):
        with pytest.raises(InputError) as caught:
            bad()
        assert "\n" not in str(caught.value)


# --- laws --------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 1000),
    st.tuples(*[st.floats(0.01, 1000)] * 3),
    st.tuples(*[st.floats(-1000, 1000)] * 3),
    st.booleans(),
)
def test_equation_test__order_and_affine_rescaling_change_nothing(seed, scale, shift, flip):
    rng = stream(seed, "law")
    x = skewed_parents(rng, 200, 2)
    y = affine_child(rng, x)
    order, sign = rng.permutation(200), -1 if flip else 1
    a = equation_test(x, y)
    moved = sign * np.array(scale[:2]) * x + np.array(shift[:2])
    b = equation_test(moved[order][:, ::-1], (sign * scale[2] * y + shift[2])[order])
    assert b.df == a.df
    for name in ("statistic", "r2_linear", "r2_spline", "nonlinear_share_upper", "association_p_value"):
        assert getattr(b, name) == pytest.approx(getattr(a, name), rel=1e-5, abs=1e-9)
    assert b.edge_statistic[::-1] == pytest.approx(a.edge_statistic, rel=1e-5)


def test_equation_test__covariates_are_projected_out():
    rng = stream(0, "covariate")
    x, batch = rng.gamma(2.0, size=(300, 1)), rng.integers(0, 3, 300)
    dummies = np.eye(3)[batch]
    y = x[:, 0] + rng.normal(size=300)
    a, b = equation_test(x, y, dummies), equation_test(x, y + dummies @ [0.0, 50.0, -9.0], dummies)
    assert b.statistic == pytest.approx(a.statistic, rel=1e-6)
    assert b.r2_linear == pytest.approx(a.r2_linear, rel=1e-6)


# --- calibration and power ----------------------------------------------------------------------


@pytest.mark.calibration
@pytest.mark.parametrize("n", [150, 500])
def test_calibration__affine_child_of_three_skewed_parents(n):
    runs = 2000 if FULL else 300
    joint, edges = [], []
    for run in range(runs):
        rng = stream(1, "null", n, run)
        x = skewed_parents(rng, n)
        result = equation_test(x, affine_child(rng, x))
        joint.append(result.p_value)
        edges.extend(result.edge_p_value)
    low, high = band(runs)
    print(f"n = {n}: joint {rejected(joint):.3f}, edges {rejected(edges):.3f}, k = {result.k}")
    assert low <= rejected(joint) <= high
    assert rejected(edges) <= high


@pytest.mark.calibration
@pytest.mark.parametrize("law", ["mean", "first parent", "counts"])
def test_calibration__level_holds_for_every_noise(law):
    runs, n = (2000 if FULL else 200), 300
    joint = []
    for run in range(runs):
        rng = stream(2, law, run)
        x = np.maximum(rng.normal(size=(n, 3)), 0) if law == "counts" else skewed_parents(rng, n)
        mean = 1 + x.sum(axis=1)
        y = {
            "mean": mean + 0.4 * mean * rng.normal(size=n),
            "first parent": mean + x[:, 0] * rng.standard_t(5, size=n),
            "counts": rng.negative_binomial(2, 2 / (2 + mean)).astype(float),
        }[law]
        joint.append(equation_test(x, y).p_value)
    print(f"{law}: {rejected(joint):.3f}")
    assert rejected(joint) <= band(runs)[1]


@pytest.mark.calibration
def test_calibration__donors_with_bends_of_their_own():
    runs = 2000 if FULL else 200
    joint, naive = [], []
    for run in range(runs):
        rng = stream(3, "donors", run)
        donor = np.repeat(np.arange(20), 30)
        x = skewed_parents(rng, 600, 2)
        own = rng.normal(size=(20, 2))[donor]  # bends that differ between donors, and cancel on average
        y = affine_child(rng, x) + (own * np.log(x) ** 2).sum(axis=1)
        joint.append(equation_test(x, y, replicate=donor).p_value)
        naive.append(equation_test(x, y).p_value)
    print(f"donors {rejected(joint):.3f}, cells as independent {rejected(naive):.3f}")
    low, high = band(runs)
    assert low <= rejected(joint) <= high
    assert rejected(naive) > high


@pytest.mark.calibration
def test_calibration__few_wrong_affine_calls_at_the_margin():
    """The bends hold exactly the margin's share of the mean function: affine is wrong there, at most 9 %."""
    runs, n, margin = (2000 if FULL else 200), 500, 0.1
    wrong = 0
    for run in range(runs):
        rng = stream(9, "margin", run)
        x = skewed_parents(rng, n)
        lines = np.column_stack([np.ones(n), x])
        linear = x @ [0.5, 1.0, 0.3]
        bend = spline_basis(x[:, 0])[:, 1]
        bend = bend - lines @ np.linalg.lstsq(lines, bend)[0]
        length = np.sqrt(margin / (1 - margin)) * np.linalg.norm(linear - linear.mean())
        mean = linear + bend * length / np.linalg.norm(bend)
        y = mean + 0.3 * (1 + linear) * rng.normal(size=n)
        wrong += equation_test(x, y).nonlinear_share_upper < margin
    print(f"affine at the margin: {wrong / runs:.3f}")
    assert wrong / runs <= band(runs, high=0.09)[1]


def common_cause(rng, n=300):
    """x bends with z and has no effect on y; z acts on y affinely."""
    z = rng.gamma(2.0, size=n)
    x = 0.3 * z**2 + 0.3 * rng.normal(size=n)
    return x, z, 1 + z + 0.3 * rng.normal(size=n)


@pytest.mark.calibration
def test_common_cause__bends_the_pair_and_not_the_equation():
    runs = 1000 if FULL else 150
    alone, joint, edge = [], [], []
    for run in range(runs):
        x, z, y = common_cause(stream(4, "cause", run))
        result = equation_test(np.column_stack([x, z]), y)
        alone.append(equation_test(x[:, None], y).p_value)
        joint.append(result.p_value)
        edge.append(result.edge_p_value[0])
    print(f"pair {rejected(alone):.3f}, joint {rejected(joint):.3f}, edge x -> y {rejected(edge):.3f}")
    assert rejected(alone) > 0.95
    assert max(rejected(joint), rejected(edge)) <= band(runs)[1]


def test_power__a_hill_parent_is_found_and_the_bend_put_on_its_edge():
    hill, linear = [], []
    for run in range(60):
        rng = stream(5, "hill", run)
        x = skewed_parents(rng, 200)
        mean = 1 + 4 * x[:, 0] ** 2 / (1 + x[:, 0] ** 2) + 0.3 * (x[:, 1] + x[:, 2])
        result = equation_test(x, mean + 0.2 * mean * rng.normal(size=200))
        assert result.status == "ok"
        hill.append(result.edge_p_value[0])
        linear.extend(result.edge_p_value[1:])
    assert rejected(hill) > 0.9
    assert rejected(linear) <= band(120)[1]


def test_power__a_level_shift_is_no_bend_inside_levels():
    """Two cell types, one slope, other means and intercepts: bent when mixed, affine inside."""
    mixed, inside = [], []
    for run in range(60):
        rng = stream(6, "types", run)
        level = np.repeat([0, 1, 2], 100)
        x = np.array([2.0, 5.0, 8.0])[level] + rng.normal(size=300)
        y = 0.5 * x + np.array([0.0, 2.0, 0.0])[level] + 0.5 * rng.normal(size=300)
        mixed.append(equation_test(x[:, None], y).p_value)
        inside.append(equation_test(x[:, None], y, levels=level).p_value)
    assert rejected(mixed) == 1
    assert rejected(inside) <= band(60)[1]


# --- the labelled function ----------------------------------------------------------------------

GENES = ["x", "z", "y", "flat", "bent"]
EDGES = np.array([(0, 2), (1, 4), (1, 2), (3, 2), (1, 3), (1, 0)])


@pytest.fixture
def values():
    rng = stream(7, "network")
    x, z, y = common_cause(rng, 600)
    return np.column_stack([x, z, y, np.full(600, 3.0), np.tanh(z) + 0.1 * rng.normal(size=600)])


def test_joint_equations__table(values):
    result = joint_equations(values, EDGES, GENES)
    table = result.table.set_index("target")
    assert list(result.table["target"]) == ["x", "y", "flat", "bent"]  # in the order of the columns
    assert table.loc["y", "parents"] == "x;z;flat"
    assert table["call"].astype(object).where(table["call"].notna(), None).to_dict() == {
        "x": "nonlinear",
        "y": "affine",
        "flat": None,
        "bent": "nonlinear",
    }
    assert table.loc["flat", "status"] == "constant"
    assert table.loc[["x", "y", "bent"], "gain"].to_numpy() == pytest.approx(
        (table["r2_spline"] - table["r2_linear"])[["x", "y", "bent"]].to_numpy()
    )
    assert list(result.edges["regulator"]) == ["x", "z", "z", "flat", "z", "z"]
    assert list(result.edges["joint_status"]) == ["ok", "ok", "ok", "constant", "constant", "ok"]
    q = stats.false_discovery_control(table["p_value"].dropna())
    assert table["q_value"].dropna().to_numpy() == pytest.approx(q)
    assert result.summary["n_children"] == 4
    counts = [result.summary[f"n_{call}"] for call in ("tested", "associated", "nonlinear", "affine")]
    assert counts == [3, 3, 2, 1]


def test_joint_equations__edge_order_changes_no_number(values):
    order = [5, 3, 0, 4, 2, 1]
    a, b = joint_equations(values, EDGES, GENES), joint_equations(values, EDGES[order], GENES)
    pd.testing.assert_frame_equal(
        a.edges.iloc[order].reset_index(drop=True), b.edges, check_exact=False, rtol=1e-8
    )
    pd.testing.assert_frame_equal(a.table.drop(columns="parents"), b.table.drop(columns="parents"), rtol=1e-8)


def test_joint_equations__missing_values_cost_only_their_own_child(values):
    holes = values.copy()
    holes[:100, 0] = np.nan
    full, result = (joint_equations(v, EDGES, GENES).table.set_index("target") for v in (values, holes))
    assert result["n"].to_dict() == {"x": 500, "y": 500, "flat": 600, "bent": 600}
    assert result.loc["bent", "statistic"] == full.loc["bent", "statistic"]
    part = joint_equations(values[100:], EDGES, GENES).table.set_index("target")
    assert result.loc["y", "statistic"] == pytest.approx(part.loc["y", "statistic"])
    holes[:] = np.nan
    assert set(joint_equations(holes, EDGES, GENES).table["status"]) == {"too_few_samples"}


def test_joint_equations__unrelated_child_is_not_associated():
    values = stream(8, "unrelated").normal(size=(300, 3))
    result = joint_equations(values, [(0, 2), (1, 2)], ["a", "b", "c"])
    assert list(result.table["call"]) == ["not_associated"]
    assert result.summary["share_affine"] is None


def test_joint_equations__no_edges(values):
    result = joint_equations(values, np.empty((0, 2), dtype=int), GENES)
    assert (len(result.table), len(result.edges), result.summary["n_tested"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "edges", [[(0, 0)], [(0, 1), (0, 1)], [(0, 9)], [(-1, 2)], [(0.5, 1.0)], [0, 1]], ids=str
)
def test_joint_equations__bad_edges_in_one_line(values, edges):
    with pytest.raises(InputError, match="expected") as caught:
        joint_equations(values, edges, GENES)
    assert "\n" not in str(caught.value)
