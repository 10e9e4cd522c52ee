"""Pooling curves: kernels by hand, which cells are drawn, laws, refusals, real cells."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import shared_data
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import poolproof
from poolproof import InputError, describe, pool_cells, pooling_curves
from poolproof import _names as names
from poolproof.pools.draws import LADDER, make_strata, plan_pools, plan_replicates
from poolproof.pools.measures import (
    beyond_depth,
    correlations,
    mean_cumulants,
    shapes,
    share_changed,
    skeleton,
)
from poolproof.pools.meter import MEASURES, Labels, pool_expression
from poolproof.pools.sums import Members
from poolproof.triples import fisher_z_test

FORK = ("X", "Y", "Z")
ONE = {"repeats": 1, "threads": 1, "kind": "single-cell"}


def fork(n=2000, seed=0):
    """Amounts in cells: X and Z depend on Y alone, both bent (method 4)."""
    rng = np.random.default_rng(seed)
    y = rng.gamma(2.0, size=n)
    x, z = np.tanh(y) + 0.15 * rng.normal(size=n), y**2 / 5 + 0.2 * rng.normal(size=n)
    return pd.DataFrame({"X": x, "Y": y, "Z": z}, index=[f"c{i}" for i in range(n)])


def counted(n=1200, n_genes=12, n_donors=0, seed=0):
    """Counts of cells of two types; genes in pairs that share a rate; donors in turn."""
    rng = np.random.default_rng(seed)
    rate = np.repeat(rng.gamma(2.0, 3.0, (n, n_genes // 2)), 2, axis=1) + 0.5
    kind = rng.choice(["B", "T"], n)
    rate[kind == "T", 0] += 6.0
    obs = pd.DataFrame({"kind": kind}, index=[f"cell{i}" for i in range(n)])
    if n_donors:
        obs["donor"] = [f"d{i % n_donors}" for i in range(n)]
    values = rng.poisson(rate * rng.gamma(20, 0.05, (n, 1)))
    var = pd.DataFrame(index=[f"g{j}" for j in range(n_genes)])
    return AnnData(sp.csr_matrix(values.astype(np.float32)), obs=obs, var=var)


def curve(result, measure, regime="mixed"):
    """Mean of a measure at each number of cells."""
    rows = result.table.query("measure == @measure and regime == @regime")
    return rows.groupby("n_cells")["value"].mean()


# --- kernels ----------------------------------------------------------------------------------------------


def test_mean_cumulants__are_k_statistics_averaged_over_strata():
    rng = np.random.default_rng(0)
    values, strata = rng.gamma(1.0, size=(50, 3)), np.repeat([0, 1], [20, 30])
    for order, found in zip((2, 3, 4), mean_cumulants(values, strata), strict=True):
        parts = [[stats.kstat(values[strata == s, j], order) for j in range(3)] for s in (0, 1)]
        assert_allclose(found, np.average(parts, axis=0, weights=[20, 30]), rtol=1e-10)
    even = mean_cumulants(values, strata, np.array([1, 1]))
    assert_allclose(
        even, (mean_cumulants(values[:20], strata[:20]) + mean_cumulants(values[20:], strata[:30] * 0)) / 2
    )


def test_shapes__have_no_number_without_variance():
    values = np.column_stack([np.arange(6.0), np.full(6, 3.0)])
    skewness, kurtosis = shapes(mean_cumulants(values, np.zeros(6, dtype=int)))
    assert_allclose(skewness, [0, np.nan], atol=1e-12)
    assert_allclose(kurtosis, [stats.kurtosis(values[:, 0], bias=False), np.nan])


def test_beyond_depth__adds_up_over_cells():
    rng = np.random.default_rng(1)
    depth = rng.gamma(5.0, size=40)
    values, strata = rng.poisson(depth[:, None], (40, 2)).astype(float), np.repeat([0, 1], 20)
    of_cells = beyond_depth(values, depth, strata)
    pools = np.repeat(np.arange(8), 5)
    summed, depths = (np.add.reduceat(v, np.arange(0, 40, 5), axis=0) for v in (values, depth))
    of_pools = beyond_depth(summed, depths, np.repeat([0, 1], 4))
    assert_allclose(of_pools, np.array([of_cells[pools == p].sum(axis=0) for p in range(8)]), atol=1e-12)
    share = values[:20].sum(axis=0) / depth[:20].sum()
    assert_allclose(of_cells[:20], values[:20] - depth[:20, None] * share)
    assert_allclose(beyond_depth(values, None, strata)[:20], values[:20] - values[:20].mean(axis=0))


def test_correlations__inside_strata_and_none_of_what_has_no_variance():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(60, 4))
    strata = np.repeat([0, 1, 2], 20)
    values[:, 1] += values[:, 0] + 100 * strata
    values[:, 2] = strata  # varies between strata only
    values[7, 3] = np.nan
    found, df = correlations(values, strata)
    within = values[:, :2] - np.array([values[strata == s, :2].mean(axis=0) for s in strata])
    assert_allclose(found[0, 1], np.corrcoef(within.T)[0, 1], rtol=1e-10)
    assert_array_equal(found[2:], 0)
    assert df == 57


def test_skeleton__is_what_tests_one_by_one_leave():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(300, 6))
    values = noise @ (np.eye(6) + np.triu(rng.choice([0, 0.8], (6, 6)), 1))
    edge = skeleton(*correlations(values, np.zeros(300, dtype=int)))
    for i in range(6):
        for j in range(6):
            given = [None, *(values[:, k] for k in range(6) if k not in (i, j))]
            p = [fisher_z_test(values[:, i], values[:, j], g).p_value for g in given] if i != j else [1.0]
            assert edge[i, j] == (max(p) < 0.01)
    assert 3 < edge.sum() / 2 < 15


@pytest.mark.parametrize("n_genes", [2, 3])
def test_skeleton__has_an_edge_just_above_the_cut_of_fisher_z(n_genes):
    cut = np.tanh(stats.norm.isf(0.005) / np.sqrt(100 - 3 - (n_genes - 2)))  # the third gene is unrelated
    for correlation, there in ((1.001 * cut, True), (0.999 * cut, False)):
        matrix = np.eye(n_genes)
        matrix[0, 1] = matrix[1, 0] = -correlation
        assert skeleton(matrix, 99)[0, 1] == there


def test_share_changed__of_the_edges_that_either_has():
    a, b = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    assert np.isnan(share_changed(a, b))
    a[0, 1] = a[1, 0] = a[0, 2] = a[2, 0] = b[0, 1] = b[1, 0] = b[2, 3] = b[3, 2] = True
    assert share_changed(a, a) == 0
    assert_allclose(share_changed(a, b), 2 / 3)


# --- which cells ------------------------------------------------------------------------------------------


def strata_of(*n_cells):
    obs = pd.DataFrame({"label": np.repeat([f"s{i}" for i in range(len(n_cells))], n_cells)})
    return make_strata(obs, ["label"], np.arange(len(obs)), np.arange(len(obs)))


def test_plan_pools__every_size_has_the_same_pools_from_the_same_strata():
    plan = plan_pools(strata_of(30, 1000, 410, 2000), "within", (1, 2, 5, 10, 20), 120)
    assert plan.sizes == (1, 2, 5, 10, 20)
    assert plan.strata.names == ("s1", "s2", "s3")  # 30 cells have no 20 pools of 20
    assert plan.pools.tolist() == [50, 20, 50]
    for size in plan.sizes:
        drawing = plan.draw(size, 1, seed=0)
        assert len(np.unique(drawing.members.cells)) == 120 * size, "a cell is in two pools"
        assert drawing.members.n_cells.tolist() == [size] * 120
        assert np.bincount(drawing.groups).tolist() == [50, 20, 50]
        of = drawing.labels["label"].to_numpy()
        cells = np.split(drawing.members.cells, drawing.members.ends[1:-1])
        known = np.repeat(["s0", "s1", "s2", "s3"], [30, 1000, 410, 2000])
        assert all((known[pool] == label).all() for pool, label in zip(cells, of, strict=True))


def test_plan_pools__takes_the_larger_strata_where_pools_are_few():
    plan = plan_pools(strata_of(100, 300, 200, 150), "within", (1, 2), 40)
    assert plan.strata.names == ("s1", "s2")
    assert plan.pools.tolist() == [20, 20]
    assert plan_pools(strata_of(39, 39, 39), "within", (1, 2), 40).sizes == (1,)
    assert plan_pools(strata_of(19, 19, 19), "within", (1, 2), 40).sizes == ()


def test_draw__depends_on_names_and_not_on_order():
    obs = pd.DataFrame({"label": list("ab") * 100})
    cell_names = np.array([f"c{i}" for i in range(200)])
    plan = plan_pools(make_strata(obs, ["label"], cell_names, np.arange(200)), "within", (1, 2), 40)
    at = np.random.default_rng(0).permutation(200)
    turned = make_strata(obs.iloc[at].reset_index(drop=True), ["label"], cell_names[at], np.arange(200))
    other = plan_pools(turned, "within", (1, 2), 40)
    first, second = plan.draw(2, 1, seed=3), other.draw(2, 1, seed=3)
    assert_array_equal(cell_names[first.members.cells], cell_names[at][second.members.cells])
    for different in (plan.draw(2, 2, seed=3), plan.draw(2, 1, seed=4)):
        assert (first.members.cells != different.members.cells).any()


def test_plan_replicates__takes_each_replicate_once_and_compares_inside_levels():
    n_cells = {("B", f"d{i}"): 12 + i for i in range(12)} | {("T", f"d{i}"): 30 for i in range(9)}
    n_cells["B", "few"] = 9
    obs = pd.DataFrame([key for key, n in n_cells.items() for _ in range(n)], columns=["kind", "donor"])
    strata = make_strata(obs, ["kind", "donor"], np.arange(len(obs)), np.arange(len(obs)))
    plan = plan_replicates(strata, ["kind"], (1, 2, 5, 10, 15, 20))  # the smallest has 12 cells
    assert plan.sizes == (1, 2, 5, 10)
    drawings = list(plan.drawings(2, seed=0))
    assert [(d.n_cells, d.repeat) for d in drawings] == [(k, r) for k in (1, 2, 5, 10) for r in (1, 2)] + [
        (17, 1)
    ]
    for drawing in drawings:  # 9 replicates of T are too few, and 9 cells
        assert drawing.labels["kind"].eq("B").all()
        assert sorted(drawing.labels["donor"]) == sorted(f"d{i}" for i in range(12))
        assert set(drawing.groups) == {0}
        for label, cells in zip(
            drawing.labels["donor"], np.split(drawing.members.cells, drawing.members.ends[1:-1]), strict=True
        ):
            assert obs["donor"].iloc[cells].eq(label).all()
            assert obs["kind"].iloc[cells].eq("B").all()
    assert drawings[-1].members.n_cells.sum() == sum(n for (kind, d), n in n_cells.items() if kind == "B") - 9
    assert plan_replicates(strata_of(*[50] * 9), [], LADDER) is None


# --- values -----------------------------------------------------------------------------------------------


def test_pool_expression__are_the_sums_of_pool_cells():
    adata = counted(200, n_donors=4)
    expression = describe(adata)
    pooled = pool_cells(adata, by="donor")
    cells = np.concatenate([np.flatnonzero(adata.obs["donor"] == d) for d in pooled.obs_names])
    found = pool_expression(expression, Members((), cells, pooled.obs["psbulk_cells"].to_numpy()))
    assert_array_equal(found.matrix, pooled.X.toarray())
    assert_array_equal(found.totals, pooled.obs["psbulk_counts"])
    assert_allclose(found.size_factors, found.totals / found.totals.mean())


def test_pool_expression__of_amounts_are_means_whatever_the_number_of_cells():
    expression = describe(pd.DataFrame(np.arange(24.0).reshape(12, 2)), kind="single-cell", scale="additive")
    found = pool_expression(expression, Members((), np.arange(12), np.array([3, 9])))
    assert_allclose(found.matrix, [[2, 3], [14, 15]])
    assert found.size_factors is None
    counts = describe(pd.DataFrame(np.arange(24).reshape(12, 2)), kind="single-cell", size_factors="none")
    found = pool_expression(counts, Members((), np.arange(12), np.array([3, 9])))
    assert_allclose(found.matrix / found.size_factors[:, None] / 6, [[2, 3], [14, 15]])


def test_labels__types_are_levels_and_donors_are_strata():
    labels = Labels(("kind",), "donor")
    assert labels.options("within") == {"within": ["kind"], "covariates": ["donor"]}
    assert labels.options("between") == {"within": ["kind"], "covariates": []}
    assert labels.options("mixed") == {"within": [], "covariates": []}
    assert Labels(("donor",), "donor").columns == ("donor",)


# --- the curves -------------------------------------------------------------------------------------------


def test_curves__have_one_row_for_each_regime_size_repeat_and_measure():
    result = pooling_curves(
        counted(1200, n_donors=12), within="kind", replicate="donor", n_pools=40, threads=1
    )
    table = result.table
    assert table.columns.tolist() == [column.name for column in names.CURVE_COLUMNS]
    kinds = {"str": "O", "int32": "i", "float64": "f"}
    assert [dtype.kind for dtype in table.dtypes] == [kinds[column.dtype] for column in names.CURVE_COLUMNS]
    assert not table.duplicated(["regime", "n_cells", "repeat", "measure"]).any()
    assert set(table.groupby(["regime", "n_cells", "repeat"])["measure"].apply(tuple)) == {MEASURES}
    sizes = table.groupby("regime", sort=False)["n_cells"].unique().apply(list).to_dict()
    assert list(sizes) == ["within", "mixed", "between"]
    assert sizes["mixed"] == [1, 2, 5, 10, 20]
    assert table.groupby("regime")["n_pools"].nunique().eq(1).all()
    assert table.query("regime != 'between'")["n_pools"].eq(40).all()
    assert table.query("regime == 'between'")["n_pools"].eq(24).all()
    assert table.query("regime == 'between'")["prediction"].isna().all()
    assert curve(result, "n_associated", "between").max() > 0  # the corrected test needs 50 pools
    curves = json.loads(json.dumps(result.summary, allow_nan=False))["curves"]
    assert [(c["regime"], c["n_cells"]) for c in curves] == [(r, k) for r, ks in sizes.items() for k in ks]
    assert json.dumps(result.settings)


def test_curves__of_a_fork_show_the_edge_that_pools_make():
    options = {"n_pools": 400, "sizes": [1, 2, 5, 10, 20], "scale": "additive"} | ONE | {"repeats": 6}
    result = pooling_curves(fork(8000), triples=[FORK], **options)
    linear, spline = curve(result, "partial_linear"), curve(result, "partial_spline")
    assert_allclose(linear, 0.507, atol=0.12)
    assert abs(spline[1]) < 0.12
    alone = result.table.query("measure == 'partial_spline' and n_cells == 1")["value"]
    assert alone.min() < 0 < alone.max(), "noise has both signs"
    assert_allclose(spline[20], linear[20], atol=0.05)
    assert curve(result, "share_nonlinear")[1] > 0.5 > 0.2 > curve(result, "share_nonlinear")[20]
    predicted = result.table.query("measure == 'partial_spline'")["prediction"]
    assert_allclose(predicted, 0.507, atol=0.05)
    assert "partial correlation of triples given a spline" in str(result)
    assert "mixed, 400 pools of 1 to 20 cells" in result._repr_html_()


def test_curves__find_distorted_triples_of_their_own():
    result = pooling_curves(fork(4000), n_pools=100, sizes=[1, 20], scale="additive", **ONE)
    assert result.summary["n_triples"] == 1
    assert curve(result, "partial_spline")[20] > 0.3
    none = pooling_curves(fork(4000), n_pools=100, sizes=[1, 20], scale="additive", triples=[], **ONE)
    assert none.summary["n_triples"] == 0
    assert curve(none, "partial_spline").isna().all()
    assert none.summary["curves"][0]["partial_spline"] is None


def test_curves__triples_by_symbol_mirrored_or_partly_unknown():
    cells = AnnData(fork(1000))
    cells.var["symbol"] = ["SX", "SY", "SZ"]
    options = dict(n_pools=100, sizes=[5], scale="additive", **ONE)
    first = pooling_curves(cells, triples=[("X", "Y", "Z")], **options)
    for triples in ([("SZ", "SY", "SX")], pd.DataFrame({"y": ["Y", "Y"], "x": ["Z", "A"], "z": ["X", "X"]})):
        result = pooling_curves(cells, triples=triples, gene_column="symbol", **options)
        assert_allclose(curve(result, "partial_linear"), curve(first, "partial_linear"))
    assert "1 of 2 triples name genes of the data" in result.warnings


def test_curves__depend_neither_on_the_order_of_cells_nor_of_genes():
    adata = counted(600, n_donors=3)
    rng = np.random.default_rng(5)
    turned = adata[rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)].copy()
    options = {"replicate": "donor", "n_pools": 60, "sizes": [1, 5], **ONE}
    first, second = pooling_curves(adata, **options), pooling_curves(turned, **options)
    pd.testing.assert_frame_equal(first.table, second.table, rtol=1e-9)
    assert first.settings["genes"] == second.settings["genes"]
    other = pooling_curves(adata, seed=1, **options)
    assert (other.table["value"] - first.table["value"]).abs().max() > 0.01


def test_curves__genes_that_are_alike_are_chosen_by_name():
    values = np.random.default_rng(8).gamma(2.0, size=(300, 1)) * np.ones(4)
    for order in (list("abcd"), list("dcba"), list("bdac")):
        cells = pd.DataFrame(values, columns=order)
        result = pooling_curves(cells, n_genes=2, n_pools=40, sizes=[2], scale="additive", triples=[], **ONE)
        assert result.settings["genes"] == ["a", "b"]


def test_curves__sparse_and_dense_counts_agree():
    adata = counted(600)
    dense = AnnData(adata.X.toarray(), obs=adata.obs, var=adata.var)
    options = {"n_pools": 60, "sizes": [1, 5], **ONE}
    first, second = (pooling_curves(cells, **options).table for cells in (adata, dense))
    pd.testing.assert_frame_equal(first, second)


def test_curves__look_at_the_genes_of_pairs_or_at_those_that_vary_most():
    adata = counted(600)
    adata.X = adata.X.multiply(np.r_[np.ones(10), 0, 1]).tocsr()  # g10 is constant
    options = {"n_pools": 60, "sizes": [1, 5], "triples": [], **ONE}
    result = pooling_curves(adata, n_genes=3, **options)
    assert len(result.settings["genes"]) == 3
    assert "g0" in result.settings["genes"]
    assert "g10" not in pooling_curves(adata, **options).settings["genes"]
    result = pooling_curves(adata, pairs=[("g2", "g3"), ("g3", "g4")], **options)
    assert result.settings["genes"] == ["g2", "g3", "g4"]
    assert curve(result, "n_associated").max() <= 2
    result = pooling_curves(adata, pairs=[("g2", "g3"), ("g3", "g4")], n_genes=2, **options)
    assert any("of 2 pairs are followed: 2 genes" in text for text in result.warnings)


def test_curves__predict_from_each_stratum_as_much_as_its_pools_weigh():
    rng = np.random.default_rng(6)
    values = np.concatenate([rng.gamma(0.25, size=(2000, 1)), rng.gamma(4.0, size=(400, 1))])
    cells = pd.DataFrame(np.hstack([values, values + rng.normal(size=values.shape)]), columns=["x", "y"])
    obs = pd.DataFrame({"kind": np.repeat(["A", "B"], [2000, 400])})
    options = {"within": "kind", "n_pools": 40, "sizes": [5], "triples": [], "scale": "additive"}
    result = pooling_curves(cells, obs=obs, **options, **ONE)
    strata = [cells[obs["kind"] == kind] for kind in "AB"]
    second, third = (
        np.mean([[stats.kstat(part[gene], order) for gene in "xy"] for part in strata], axis=0)
        for order in (2, 3)
    )
    expected = np.median(third / second**1.5)
    found = result.table.query("measure == 'skewness' and regime == 'within'").set_index("n_cells")
    assert_allclose(found["prediction"], [expected, expected / np.sqrt(5)])


def test_curves__of_pseudobulk_are_those_of_donors_not_of_their_numbers_of_cells():
    rng = np.random.default_rng(7)
    rate, n_cells = np.linspace(5, 15, 40), np.tile([10, 200], 20)
    donor = np.repeat(np.arange(40), n_cells)
    rates = np.column_stack([rate[donor], rng.permutation(rate)[donor], np.full(len(donor), 1000.0)])
    obs = pd.DataFrame({"donor": donor.astype(str)})
    options = {"replicate": "donor", "n_genes": 2, "triples": [], "sizes": [2], "n_pools": 40}
    result = pooling_curves(pd.DataFrame(rng.poisson(rates)), obs=obs, **options, **ONE)
    pseudobulk = curve(result, "excess_kurtosis", "between")
    assert_allclose(pseudobulk[105], -1.2, atol=0.3)  # of even values


def test_curves__a_mixture_of_types_bends_what_is_straight_inside_them():
    rng = np.random.default_rng(4)
    n = 6000
    kind = rng.choice(["A", "B"], n)
    y = rng.gamma(2.0, size=n) + np.where(kind == "A", 0.0, 8.0)
    x = np.where(kind == "A", y, 20.0 - y) + rng.normal(size=n)
    cells, obs = pd.DataFrame({"x": x, "y": y}), pd.DataFrame({"kind": kind})
    options = {"within": "kind", "n_pools": 100, "sizes": [5], "triples": [], "scale": "additive"}
    result = pooling_curves(cells, obs=obs, **options, **ONE)
    bent = result.table.query("measure == 'share_nonlinear' and n_cells == 1").set_index("regime")["value"]
    assert bent["within"] == 0
    assert bent["mixed"] == 1


# --- notes and refusals -----------------------------------------------------------------------------------


def test_notes__say_what_was_left_out():
    adata = counted(400, n_donors=4)
    adata.obs.loc[adata.obs_names[:7], "donor"] = None
    result = pooling_curves(adata, replicate="donor", n_pools=80, sizes=[2, 5, 50], triples=[], **ONE)
    said = " | ".join(result.warnings)
    assert "7 cells are in no pool: no value in donor" in said
    assert "no within pools of 5, 50 cells: no room for 80 of them" in said
    assert "no mixed pools of 5, 50 cells: no room for 80 of them" in said
    assert "no pools of whole replicates: fewer than 10 of them" in said
    few = pooling_curves(adata, within="donor", n_pools=130, sizes=[2], triples=[], **ONE)
    assert list(few.table["regime"].unique()) == ["within", "mixed"]
    adata.obs["each"] = [f"e{i}" for i in range(adata.n_obs)]
    none = pooling_curves(adata, within="each", n_pools=80, sizes=[2], triples=[], **ONE)
    assert list(none.table["regime"].unique()) == ["mixed"]
    assert any(text.startswith("no pools within labels: no room for 80 pools of 2") for text in none.warnings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sizes": 0}, "sizes must be a whole number of at least 1; found '0'"),
        ({"sizes": []}, "sizes must name a number of cells above 1"),
        ({"sizes": [1]}, "sizes must name a number of cells above 1"),
        ({"sizes": [2.5]}, "sizes must be a whole number"),
        ({"sizes": "ten"}, "sizes must be a whole number"),
        ({"n_pools": 19}, "n_pools must be a whole number of at least 20; found '19'"),
        ({"repeats": 0}, "repeats must be a whole number of at least 1"),
        ({"n_genes": 1}, "n_genes must be a whole number of at least 2"),
        ({"margin": 1.5}, "margin must lie between 0 and 1"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"within": "nonsense"}, "within names 'nonsense'"),
        ({"replicate": "nonsense"}, "replicate names 'nonsense'"),
        ({"n_pools": 101}, "expected at least 202 cells, for 101 pools of 2; found 200; pass fewer"),
        ({"sizes": [50]}, "expected at least 5,000 cells, for 100 pools of 50; found 200"),
        ({"kind": "bulk"}, "found bulk samples, which are pools already; pass kind='single-cell'"),
        ({"scale": "log"}, "logs that cannot be undone; pass log_base and log_offset"),
        ({"triples": [("g0", "g1", "A")]}, "expected triples of genes of the data; found g0, g1, A"),
        ({"triples": pd.DataFrame({"x": ["g0"]})}, "names 'y', which the table of triples has not"),
        ({"triples": "g0"}, "expected a list of triples (x, y, z); found 'g0'"),
        ({"triples": [("g0", "g1")]}, "expected triples of 3 names (x, y, z)"),
        ({"pairs": [("A", "B")]}, "A"),
        ({"pairs": []}, "edges: expected at least one; found none"),
    ],
)
def test_bad_input__is_refused_in_one_line(change, words):
    with pytest.raises(InputError) as refusal:
        pooling_curves(counted(200), **{"threads": 1, **change})
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_bad_input__a_table_of_other_cells():
    adata = counted(200)
    with pytest.raises(InputError, match="expected a table of 200 samples; found one of 199 rows"):
        pooling_curves(describe(adata), obs=adata.obs[1:])


def test_bad_input__one_cell_and_no_gene_that_varies():
    with pytest.raises(InputError, match="at least 10 samples"):
        pooling_curves(counted(200)[:1])
    same = pd.DataFrame({"a": np.r_[1.0, np.zeros(999)], "b": np.r_[np.zeros(999), 1.0]})
    same.iloc[:, 0] = np.r_[np.nan, 1.0, np.zeros(998)]
    with pytest.raises(InputError, match="at least 2 genes that vary and have no missing values; found 1"):
        pooling_curves(same, scale="additive", **ONE)


# --- real cells -------------------------------------------------------------------------------------------


def test_real_cells__of_three_lines_straighten_with_the_pool():
    result = pooling_curves(poolproof.load_dataset("sc_mixology_10x_3lines"), threads=1, triples=[])
    nonlinear, skewness = curve(result, "share_nonlinear"), curve(result, "skewness")
    assert list(nonlinear.index) == [1, 2, 5]
    assert nonlinear[1] > 0.4
    assert nonlinear[5] < 0.1
    predicted = result.table.query("measure == 'skewness'").groupby("n_cells")["prediction"].first()
    assert_allclose(skewness, predicted, rtol=0.35)
    changed = result.table.query("measure == 'skeleton_changed'")
    assert changed["value"].min() > 0.1, "compared with itself"
    assert_allclose(changed["prediction"], changed.query("n_cells == 1")["value"].mean())


def test_real_cells__of_eight_donors_pool_within_them():
    adata = ad.read_h5ad(shared_data("sc_kang_pbmc_8donors.h5ad"))
    result = pooling_curves(adata, replicate="donor", repeats=1, threads=1, triples=[])
    within, mixed = (curve(result, "share_nonlinear", regime) for regime in ("within", "mixed"))
    assert list(within.index) == [1, 2, 5, 10, 20]
    assert list(mixed.index) == [1, 2, 5, 10, 20, 50]
    assert min(within[1], mixed[1]) > 0.1
    assert max(within[20], mixed[50]) < 0.05
    assert result.table["n_pools"].eq(245).all()


def test_halves__share_no_cell_and_leave_none_out():
    strata = make_strata(pd.DataFrame({"kind": list("ab") * 55}), ["kind"], np.arange(110), np.arange(110))
    plan = plan_pools(strata, "within", (1, 2), 40)
    first, second = plan.halves(0)
    for whole, one, other in zip(plan.strata.cells, first.strata.cells, second.strata.cells, strict=True):
        assert abs(len(one) - len(other)) <= 1
        assert sorted([*one, *other]) == sorted(whole)
    drawn = [half.draw(2, 1, 0) for half in (first, second)]
    assert not set(drawn[0].members.cells) & set(drawn[1].members.cells)
    assert [len(of.groups) for of in drawn] == [
        28,
        26,
    ]  # as many as half of 55 cells hold: 14 and 13 a stratum


def test_partials__where_half_the_cells_hold_too_few_pools_come_from_all():
    rng = np.random.default_rng(8)
    y = rng.gamma(2.0, 0.5, 400)
    rates = np.column_stack([15 * y * rng.gamma(4.0, 0.25, 400), 15 * y, 15 * y, np.full(400, 2000.0)])
    cells = pd.DataFrame(rng.poisson(rates), columns=["x", "y", "z", "rest"])
    obs = pd.DataFrame({"donor": np.tile(["p", "q"], 200)})
    found = pooling_curves(
        cells, obs=obs, replicate="donor", kind="single-cell", scale="counts", triples=[("x", "y", "z")],
        sizes=(1, 4, 8), n_pools=40, repeats=1, n_genes=3, threads=1,
    ).table  # fmt: skip
    assert set(found.query("regime == 'within' and measure == 'partial_linear'")["n_cells"]) == {1, 4, 8}
