"""The labelled function: what is tested, what is kept, and that nothing but the data decides a call."""

from contextlib import contextmanager

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy import stats

from poolproof import InputError, linearity, load_dataset
from poolproof import _names as names
from poolproof._random import stream
from poolproof.pairs import screening as _screen
from poolproof.pairs import table as _rows

N = 90
NUMBERS = [column.name for column in names.PAIR_COLUMNS[2:11]]
EXACT = [name for name in NUMBERS if name != "q_value"]


def related_genes(seed, n=N, n_genes=24):
    """Genes of every kind, many of them related by lines and bends: DataFrame."""
    rng = stream(seed, "related genes")
    common = rng.lognormal(0, 0.6, (n, 3))
    columns = {}
    for i in range(n_genes):
        z = common[:, i % 3]
        noise = rng.normal(size=n) * (0.3 + (i % 4) * 0.3)
        kind = i % 6
        columns[f"g{i}"] = (
            z * (1 + 0.3 * noise),
            1 + 2 * z + noise,
            np.sqrt(z) + 0.2 * noise,
            z**2 + noise,
            rng.poisson(2 * z).astype(float),
            z * (rng.random(n) < 0.5),
        )[kind]
    return pd.DataFrame(columns, index=[f"s{i}" for i in range(n)])


def awkward_genes():
    """Genes that cannot be tested, among some that can."""
    data = related_genes(5, n_genes=6)
    data["constant"] = 3.0
    data["binary"] = np.arange(N) % 2.0
    data["another constant"] = 0.0
    return data[["binary", "g0", "constant", "g1", "g2", "another constant", "g3", "g4", "g5"]]


def run(data, **options):
    options = {"kind": "bulk", "scale": "additive", "threads": 1, **options}
    return linearity(data, **options)


def indexed(table):
    return table.set_index(["regulator", "target"]).sort_index()


def calls(data, **options):
    table = run(data, keep="all", **options).table
    return indexed(table)["call"].astype(str)


@pytest.fixture(scope="module")
def related():
    data = related_genes(0)
    return data, run(data, keep="all")


# --- which pairs ---------------------------------------------------------------------------------------


def test_linearity__all_ordered_pairs(related):
    data, result = related
    table, n = result.table, data.shape[1]
    assert list(table.columns) == [column.name for column in names.PAIR_COLUMNS]
    assert len(table) == n * (n - 1) == result.summary["n_pairs_tested"]
    assert not table.duplicated(["regulator", "target"]).any()
    assert (table["regulator"] != table["target"]).all()
    assert (table["n"] == N).all()
    assert set(table["call"]) == set(names.PAIR_CALLS)  # a data set where everything happens
    assert (table["status"] == "ok").all()
    assert (np.diff(table["r2_spline"]) <= 0).all()
    np.testing.assert_allclose(table["gain"], table["r2_spline"] - table["r2_linear"], atol=1e-12)
    np.testing.assert_allclose(table["nonlinear_share"], table["gain"] / table["r2_spline"])
    for column in names.PAIR_COLUMNS:
        found = table[column.name].dtype
        assert str(found) == column.dtype or (column.dtype == "str" and found is np.dtype(object))


def test_linearity__calls_follow_the_rule(related):
    _, result = related
    table, rule = result.table, result.summary
    everything = indexed(table)
    bent = stats.false_discovery_control(everything["p_value"]) <= rule["fdr"]
    strong = everything["r2_spline"] >= rule["min_r2"]
    flat = everything["nonlinear_share_upper"] < rule["margin"]
    associated = everything["call"] != "not_associated"
    expected = np.select(
        [~associated, flat, bent], ["not_associated", "affine", "nonlinear"], default="inconclusive"
    )
    assert (everything["call"].astype(str) == expected).all()
    assert (strong | ~associated).all()
    # which are associated: the omnibus test, Benjamini-Hochberg over all
    engine_p = association_p_values(result)
    wanted = (stats.false_discovery_control(engine_p) <= rule["fdr"]) & strong
    assert (associated == wanted).all()


def association_p_values(result):
    """P-values of the omnibus test in the order of ``indexed``."""
    from poolproof.pairs.score_engine import ScoreTest

    engine = ScoreTest(result.expression.matrix, None, result.design, test="robust", dtype=np.float64)
    genes = np.arange(engine.n_genes)
    outcome = engine.outcome(engine.features(genes), genes, np.float64, exact=True)
    p = pd.DataFrame(
        np.exp(-outcome.association.minus_log_p()), result.expression.genes, result.expression.genes
    )
    return np.array([p.loc[x, y] for x, y in indexed(result.table).index])


def test_linearity__q_values_are_benjamini_hochberg(related):
    data, result = related
    everything = indexed(result.table)
    expected = stats.false_discovery_control(everything["p_value"])
    np.testing.assert_allclose(everything["q_value"], expected, rtol=0.02, atol=1e-9)
    np.testing.assert_allclose(everything["q_value"], expected, atol=5e-3)
    assert ((everything["q_value"] <= 0.05) == (expected <= 0.05)).all()
    # the same in the table of associated pairs, where most tests do not show
    kept = indexed(run(data).table)
    np.testing.assert_allclose(kept["q_value"], everything.loc[kept.index, "q_value"], rtol=1e-12)


def test_linearity__keep_associated_is_the_associated_part(related):
    data, result = related
    kept = run(data)
    expected = result.table[result.table["call"] != "not_associated"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept.table, expected)
    assert kept.summary["n_kept"] == len(expected) == result.summary["n_associated"]
    same = [key for key in kept.summary if key not in ("n_kept", "median_nonlinear_share")]
    for key in same:
        assert kept.summary[key] == result.summary[key], key
    pd.testing.assert_frame_equal(kept.genes, result.genes)


@pytest.mark.parametrize("limit", [1, 2, 17, 60])
@pytest.mark.parametrize("option", ["top", "max_rows"])
@pytest.mark.parametrize(
    "memory", [4e9, 1e5, 1.0], ids=["rows collected", "weak rows left out", "rows chosen afterwards"]
)
def test_linearity__the_strongest_exactly(related, limit, option, memory):
    data, result = related
    options = {"keep": f"top:{limit}"} if option == "top" else {"max_rows": limit}
    kept = run(data, **options, memory=memory)
    associated = result.table[result.table["call"] != "not_associated"]
    pd.testing.assert_frame_equal(kept.table, associated.head(limit).reset_index(drop=True))
    assert kept.summary["n_kept"] == limit
    for key in ("n_associated", "n_nonlinear", "n_affine", "share_nonlinear", "share_contradicting"):
        assert kept.summary[key] == result.summary[key]


def test_linearity__sink_receives_the_whole_table(related):
    data, result = related
    parts = []
    streamed = run(data, keep="all", sink=parts.append)
    whole = indexed(pd.concat(parts, ignore_index=True))
    pd.testing.assert_frame_equal(whole, indexed(result.table))
    pd.testing.assert_frame_equal(streamed.table, run(data).table)


def test_linearity__regulators_against_all_targets(related):
    data, result = related
    chosen = ["g7", "g2", "g15"]
    found = run(data, keep="all", regulators=chosen)
    assert len(found.table) == 3 * (data.shape[1] - 1)
    assert found.summary["directed"]
    assert found.summary["n_unordered"] == found.summary["n_associated"]
    subset = indexed(result.table).loc[chosen].sort_index()
    pd.testing.assert_frame_equal(indexed(found.table)[EXACT], subset[EXACT], rtol=1e-9)
    expected = stats.false_discovery_control(indexed(found.table)["p_value"])
    np.testing.assert_allclose(indexed(found.table)["q_value"], expected, atol=5e-3)


def test_linearity__a_list_of_pairs_is_a_part_of_the_screen(related):
    data, result = related
    rng = stream(0, "list")
    listed = result.table.iloc[rng.choice(len(result.table), 80, replace=False)]
    edges = list(zip(listed["regulator"], listed["target"], strict=True))
    for pairs in (edges, listed[["regulator", "target"]].reset_index(drop=True)):
        found = run(data, pairs=pairs)
        assert len(found.table) == 80  # all that was asked for, associated or not
        both = indexed(found.table), indexed(listed)
        pd.testing.assert_frame_equal(both[0][EXACT], both[1][EXACT], rtol=1e-9)
        expected = stats.false_discovery_control(both[0]["p_value"])
        np.testing.assert_allclose(both[0]["q_value"], expected, rtol=1e-9)
        assert found.summary["n_pairs_tested"] == 80
        assert found.summary["directed"]


def test_linearity__regulators_and_pairs_do_not_mix(related):
    with pytest.raises(InputError, match="either regulators or pairs"):
        run(related[0], regulators=["g1"], pairs=[("g1", "g2")])


@pytest.mark.parametrize(
    ("option", "value"),
    [("keep", "top:0"), ("keep", "top:x"), ("keep", "some"), ("max_rows", 0), ("fdr", 1.5), ("margin", -0.1)],
)
def test_linearity__refuses_options_that_make_no_sense(related, option, value):
    with pytest.raises(InputError, match=option):
        run(related[0], **{option: value})


# --- statuses ------------------------------------------------------------------------------------------


def test_status__of_every_ordered_pair():
    data = awkward_genes()
    table = run(data, keep="all").table
    assert len(table) == 9 * 8
    found = indexed(table)["status"].astype(str)
    constants = {"constant", "another constant"}
    for (regulator, target), status in found.items():
        if regulator == "binary":  # what the regulator lacks is said first
            expected = "too_few_levels"
        else:
            expected = "constant" if constants & {regulator, target} else "ok"
        assert status == expected, (regulator, target)
    untested = table[table["status"] != "ok"]
    assert untested[NUMBERS[1:]].isna().all(axis=None)
    assert (untested["call"] == "not_associated").all()
    assert not table[table["status"] == "ok"][NUMBERS].isna().any(axis=None)
    # numbers stand in the rows of their own pair
    alone = indexed(run(data[["g0", "g1", "g2", "g3", "g4", "g5", "binary"]], keep="all").table)
    pd.testing.assert_frame_equal(indexed(table).loc[alone.index, EXACT], alone[EXACT], rtol=1e-9)


def test_status__in_lists_and_with_few_regulators():
    data = awkward_genes()
    edges = [("constant", "g1"), ("g1", "constant"), ("binary", "g1"), ("g1", "binary"), ("g0", "g1")]
    expected = ["constant", "constant", "too_few_levels", "ok", "ok"]
    table = indexed(run(data, pairs=edges).table)
    assert [table.loc[edge, "status"] for edge in edges] == expected
    assert table["q_value"].notna().sum() == 2
    table = indexed(run(data, regulators=["binary", "g1", "constant"], keep="all").table)
    assert [table.loc[edge, "status"] for edge in edges[:4]] == expected[:4]
    assert len(table) == 3 * 8


def test_status__of_genes():
    genes = run(awkward_genes()).genes.set_index("gene")
    expected = ["too_few_levels", "ok", "constant", "ok", "ok", "constant", "ok", "ok", "ok"]
    assert genes["status"].astype(str).tolist() == expected
    assert list(genes.reset_index().columns) == [column.name for column in names.GENE_COLUMNS]


def test_status__too_few_common_samples():
    data = related_genes(1, n_genes=6)
    data.iloc[:50, 0] = np.nan
    data.iloc[58:, 1] = np.nan  # 8 samples in common, where a basis of 5 columns needs 10
    table = indexed(run(data, keep="all").table)
    assert table.loc[("g0", "g1"), "status"] == "too_few_samples"
    assert table.loc[("g1", "g0"), "status"] == "too_few_samples"
    assert (table.drop([("g0", "g1"), ("g1", "g0")])["status"] == "ok").all()
    assert table.loc[("g0", "g2"), "n"] == 40


def test_status__too_few_replicates():
    data = related_genes(1, n_genes=4)
    obs = pd.DataFrame({"donor": np.arange(N) % 4}, index=data.index)
    for pairs in ([("g0", "g1")], None):
        with pytest.raises(InputError, match="too_few_replicates"):
            run(data, pairs=pairs, obs=obs, replicate="donor")


# --- invariance ----------------------------------------------------------------------------------------

NO_SHRINK = (Phase.explicit, Phase.generate)
few = settings(max_examples=4, deadline=None, derandomize=True, phases=NO_SHRINK)
seeds = st.integers(0, 10_000)


@contextmanager
def decided(floats, block=None, tile=None):
    """All pairs in float64, as in small problems, or screened in float32 first; in blocks of some size."""
    with pytest.MonkeyPatch.context() as patch:
        if floats == "screened":
            patch.setattr(_screen, "SMALL", 0)
        if block is not None:
            for module in (_screen, _rows):
                patch.setattr(module, "block_size", lambda *_: block)
            patch.setattr(_screen, "TILE", tile)
        yield


def assert_same(before, after, floats):
    """The same calls; and the same numbers, to what the screening promises."""
    before, after = indexed(before.table), indexed(after.table)
    pd.testing.assert_series_equal(before["call"], after["call"])
    pd.testing.assert_series_equal(before["status"], after["status"])
    # keep="all" recomputes its rows in float64; only ranks behind q-values come from the screening
    pd.testing.assert_frame_equal(before[EXACT], after[EXACT], rtol=1e-6, atol=1e-12)
    rtol = 1e-6 if floats == "at once" else 0.03
    pd.testing.assert_series_equal(before["q_value"], after["q_value"], rtol=rtol, atol=1e-12)


modes = st.sampled_from(["at once", "screened"])


@given(seed=seeds, floats=modes)
@few
def test_invariance__order_of_genes_and_samples(seed, floats):
    data, rng = related_genes(seed), stream(seed, "order")
    shuffled = data.iloc[rng.permutation(len(data)), rng.permutation(data.shape[1])]
    with decided(floats):
        before, after = run(data, keep="all"), run(shuffled, keep="all")
    assert_same(before, after, floats)
    assert before.summary["share_contradicting"] == pytest.approx(after.summary["share_contradicting"])


@given(seed=seeds, floats=modes)
@few
def test_invariance__affine_rescaling_of_any_gene(seed, floats):
    data, rng = related_genes(seed), stream(seed, "rescale")
    size = data.std().to_numpy()
    slope = rng.choice([-1.0, 1.0], data.shape[1]) * 10.0 ** rng.uniform(-3, 3, data.shape[1])
    shift = rng.normal(0, 10, data.shape[1]) * size * np.abs(slope)
    with decided(floats):
        pd.testing.assert_series_equal(calls(data), calls(data * slope + shift))


@given(seed=seeds, floats=modes, block=st.integers(1, 30), tile=st.integers(1, 30))
@few
def test_invariance__blocks(seed, floats, block, tile):
    data = related_genes(seed)
    with decided(floats):
        before, top = run(data, keep="all"), run(data, keep="top:20")
    with decided(floats, block, tile):
        assert_same(before, run(data, keep="all"), floats)
        again = run(data, keep="top:20")
    ends = ["regulator", "target", "call"]
    pd.testing.assert_frame_equal(top.table[ends], again.table[ends])


@given(seed=seeds, floats=modes, threads=st.sampled_from([2, 3]))
@few
def test_invariance__threads(seed, floats, threads):
    data = related_genes(seed)
    with decided(floats):
        assert_same(run(data, keep="all"), run(data, keep="all", threads=threads), floats)


@given(seed=seeds)
@few
def test_invariance__dense_and_sparse(seed):
    data = related_genes(seed)
    expected = calls(data)
    for form in (sp.csr_matrix, sp.csc_matrix, np.asarray):
        adata = ad.AnnData(form(data.to_numpy()), obs=pd.DataFrame(index=data.index))
        adata.var_names = data.columns
        pd.testing.assert_series_equal(calls(adata), expected)


@given(seed=seeds, test=st.sampled_from(["robust", "classical"]))
@few
def test_invariance__screening_in_float32_and_float64(seed, test):
    data = related_genes(seed)
    data["copy"] = 2 * data["g0"] + 1  # a line without noise, and one nearly so
    data["near copy"] = data["g1"] + 1e-4 * stream(seed, "near").normal(size=N)
    expected = run(data, keep="all", test=test)
    for dtype in (np.float32, np.float64):
        with decided("screened"):
            assert_same(expected, run(data, keep="all", test=test, dtype=dtype), "screened")


def test_screening__pairs_at_a_threshold_are_decided_in_float64(related):
    """A threshold that is some pair's own number, to the last digit: float32 could only guess."""
    data, result = related
    shown = result.table[result.table["call"].isin(["affine", "inconclusive", "nonlinear"])]
    wide = shown[shown["nonlinear_share_upper"] < 0.99]
    for i in range(12):
        for options in (
            {"min_r2": shown["r2_spline"].iloc[i * len(shown) // 12]},
            {"margin": wide["nonlinear_share_upper"].iloc[i * len(wide) // 12]},
        ):
            expected = calls(data, **options)
            with decided("screened"):
                pd.testing.assert_series_equal(calls(data, **options), expected)


@pytest.mark.parametrize("factor", [1 - 1e-13, 1, 1 + 1e-13])
def test_screening__the_last_digits_of_a_number_at_a_threshold_do_not_decide(related, factor):
    """They depend on the processor and on the other pairs in the block."""
    data, result = related
    shown = result.table[result.table["call"] == names.AFFINE]
    wide = shown[shown["nonlinear_share_upper"].between(1e-3, 0.99)].iloc[0]
    edge = [(wide["regulator"], wide["target"])]
    assert calls(data, margin=wide["nonlinear_share_upper"] * factor)[edge[0]] != names.AFFINE
    assert calls(data, min_r2=wide["r2_spline"] * factor)[edge[0]] == names.AFFINE
    for options in ({"margin": wide["nonlinear_share_upper"]}, {"min_r2": wide["r2_spline"]}):
        listed = indexed(run(data, pairs=edge, **{name: v * factor for name, v in options.items()}).table)
        assert (listed["call"] == names.AFFINE).all() == ("min_r2" in options)


@given(seed=seeds)
@few
def test_screening__rows_collected_on_the_way_are_those_recomputed(seed):
    data = related_genes(seed)
    expected = indexed(run(data).table)
    with decided("screened"):
        found = indexed(run(data).table)
    pd.testing.assert_series_equal(found["call"], expected["call"])
    pd.testing.assert_frame_equal(found[EXACT], expected[EXACT], rtol=5e-3, atol=1e-5)


@given(seed=seeds)
@few
def test_invariance__memory_on_disk(seed):
    data = related_genes(seed, n_genes=12)
    pd.testing.assert_frame_equal(run(data).table, run(data, memory=1.0).table, rtol=1e-9)


@given(seed=seeds, floats=modes)
@pytest.mark.parametrize("design", ["within", "covariates", "replicate"])
@few
def test_invariance__with_a_design(design, seed, floats):
    data, rng = related_genes(seed, n_genes=10), stream(seed, "design")
    obs = pd.DataFrame({"label": rng.choice(["a", "b", "c"], N)}, index=data.index)
    if design == "replicate":
        obs["label"] = rng.integers(0, 12, N)
    order, genes = rng.permutation(N), rng.permutation(10)
    before = calls(data, obs=obs, **{design: "label"})
    after = calls(
        -3 * data.iloc[order, genes] + 7, obs=obs.iloc[order], dtype=np.float64, **{design: "label"}
    )
    pd.testing.assert_series_equal(before, after)


@given(seed=seeds)
@few
def test_invariance__with_missing_values(seed):
    data, rng = related_genes(seed, n_genes=8), stream(seed, "holes")
    data = data.mask(rng.random(data.shape) < 0.05)
    data.iloc[:, 0] = data.iloc[:, 0].fillna(1.0)
    order = rng.permutation(N)
    before = calls(data)
    pd.testing.assert_series_equal(before, calls(2 - 0.5 * data.iloc[order, ::-1]))
    with decided("screened"):
        pd.testing.assert_series_equal(before, calls(data, threads=2))


def test_linearity__the_input_is_not_changed():
    data = related_genes(0)
    adata = ad.AnnData(data.to_numpy().copy(), obs=pd.DataFrame(index=data.index))
    before = adata.copy()
    run(adata)
    np.testing.assert_array_equal(adata.X, before.X)
    assert not adata.uns
    assert list(adata.obs.columns) == list(before.obs.columns)


# --- within --------------------------------------------------------------------------------------------


def test_within__levels_are_the_analyses_of_each_level():
    data = related_genes(2, n=160, n_genes=12)
    obs = pd.DataFrame({"type": np.repeat(["A", "B"], [70, 90])}, index=data.index)
    result = run(data, obs=obs, within="type")
    assert list(result.levels) == ["A", "B"]
    for name, level in result.levels.items():
        alone = run(data[obs["type"] == name])
        pd.testing.assert_frame_equal(level.table, alone.table, rtol=1e-9)
        assert level.summary["n_associated"] == alone.summary["n_associated"]
    both = indexed(run(data, obs=obs, within="type", keep="all").table)
    parts = [indexed(run(data[obs["type"] == name], keep="all").table) for name in "AB"]
    np.testing.assert_allclose(both["statistic"], parts[0]["statistic"] + parts[1]["statistic"], rtol=1e-9)


# --- fitted curves -------------------------------------------------------------------------------------


def test_curve__of_the_robust_test_meets_the_truth():
    rng = stream(0, "curve")
    n = 4000
    x = rng.uniform(0, 4, n)
    truth = np.array([1.0, 2.0, -0.4])
    y = np.polynomial.polynomial.polyval(x, truth) + (0.2 + 0.2 * x) * rng.normal(size=n)
    data = pd.DataFrame({"x": x, "y": y})
    curve = run(data).curve("x", "y", n_points=60)
    assert list(curve.columns) == ["level", "x", "linear", "curve", "curve_error"]
    assert len(curve) == 60
    assert (curve["x"].min(), curve["x"].max()) == (x.min(), x.max())
    expected = np.polynomial.polynomial.polyval(curve["x"], truth)
    inside = curve["x"].between(0.2, 3.8)
    error = np.abs(curve["curve"] - expected)
    assert (error[inside] < 4 * curve["curve_error"][inside] + 0.01).all()
    assert (curve["curve_error"] > 0).all()
    assert curve["curve_error"].max() < 0.1
    slope, intercept = np.polyfit(x, y, 1)
    np.testing.assert_allclose(curve["linear"], intercept + slope * curve["x"], rtol=1e-9)


def test_curve__its_error_is_that_of_repeated_samples():
    fits = []
    for repeat in range(60):
        rng = stream(repeat, "repeat")
        x = np.concatenate([[0.0, 4.0], np.linspace(0.01, 3.99, 298)])
        y = x**2 + (0.5 + x) * rng.normal(size=300)
        fits.append(run(pd.DataFrame({"x": x, "y": y})).curve("x", "y", n_points=9))
    spread = np.std([fit["curve"] for fit in fits], axis=0)
    said = np.mean([fit["curve_error"] for fit in fits], axis=0)
    np.testing.assert_allclose(said, spread, rtol=0.35)


def test_curve__in_levels_with_covariates():
    rng = stream(0, "levels")
    n = 3000
    obs = pd.DataFrame({"type": rng.choice(["A", "B"], n), "age": rng.normal(size=n)})
    x = rng.normal(size=n) + 0.5 * obs["age"]
    y = np.where(obs["type"] == "A", 2 * x, 1 - x) + 3 * obs["age"] + 0.3 * rng.normal(size=n)
    data = pd.DataFrame({"x": x, "y": y})
    curve = run(data, obs=obs, within="type", covariates="age").curve("x", "y")
    assert list(curve["level"].unique()) == ["A", "B"]
    for level, intercept, slope in (("A", 0.0, 2.0), ("B", 1.0, -1.0)):
        part = curve[(curve["level"] == level) & curve["x"].between(-2, 2)]
        shift = 3 * obs["age"][obs["type"] == level].mean()  # covariates are set to their mean
        for column in ("linear", "curve"):
            np.testing.assert_allclose(part[column], intercept + shift + slope * part["x"], atol=0.12)


def test_curve__of_the_corrected_test_meets_the_truth():
    rng = stream(0, "count curve")
    n, depth = 20_000, 2000
    share_x = rng.uniform(0.002, 0.012, n)
    share_y = 0.002 + 100 * (share_x - 0.004) ** 2
    share_z = 1 - share_x - share_y
    counts = np.array(rng.multinomial(depth, np.stack([share_x, share_y, share_z / 2, share_z / 2], axis=1)))
    data = pd.DataFrame(counts, columns=["x", "y", "rest", "more"])
    result = linearity(data, kind="single-cell", scale="counts", test="corrected", threads=1)
    curve = result.curve("x", "y")
    assert list(curve.columns) == ["level", "x", "linear", "curve", "curve_error"]
    assert curve["curve_error"].isna().all()
    inside = curve["x"].between(0.003, 0.011)
    assert inside.sum() > 20
    truth = 0.002 + 100 * (curve["x"] - 0.004) ** 2
    np.testing.assert_allclose(curve["curve"][inside], truth[inside], atol=3e-4)
    assert np.abs(curve["linear"] - truth)[inside].max() > 8e-4
    slope, intercept = np.polyfit(share_x, share_y, 1)
    np.testing.assert_allclose(curve["linear"][inside], (intercept + slope * curve["x"])[inside], atol=2e-4)


def test_curve__of_an_unknown_gene_is_refused():
    with pytest.raises(InputError, match="not among"):
        run(related_genes(0, n_genes=3)).curve("g0", "nobody")


# --- the statement of power --------------------------------------------------------------------------


def test_detectable_share__does_not_depend_on_the_rows_kept():
    rng = np.random.default_rng(3)
    shared = rng.gamma(2.0, size=(300, 1))
    loading = np.linspace(0.3, 3.0, 12)  # weak to strong pairs
    data = pd.DataFrame(shared * loading + rng.gamma(2.0, size=(300, 12)), columns=list("ABCDEFGHIJKL"))
    every, few = (
        linearity(data, kind="bulk", scale="additive", keep=keep).summary["detectable_share"]
        for keep in ("associated", "top:3")
    )
    strongest = linearity(data[["K", "L"]], kind="bulk", scale="additive").summary["detectable_share"]
    assert few == pytest.approx(every, rel=0.05)
    assert strongest < 0.8 * every  # so that taking the strongest for typical would have shown
    turned = linearity(data[data.columns[::-1]], kind="bulk", scale="additive", keep="top:3")
    assert turned.summary["detectable_share"] == pytest.approx(few, rel=1e-9)


def test_detectable_share__is_left_out_with_replicates():
    rng = np.random.default_rng(3)
    x = rng.gamma(2.0, size=(300, 1))
    data = pd.DataFrame(x + rng.gamma(2.0, size=(300, 3)), columns=list("ABC"))
    obs = pd.DataFrame({"donor": [f"d{i % 12}" for i in range(300)]}, index=data.index)
    found = linearity(data, kind="bulk", scale="additive", obs=obs, replicate="donor")
    assert found.summary["n_associated"] > 0
    assert found.summary["detectable_share"] is None


# --- the order of the rows ---------------------------------------------------------------------------


def test_order__estimates_cut_at_one_come_last():
    """Hardly counted genes give estimates of r2 above 1, which are set to 1 and say little."""
    adata = load_dataset("sc_mixology_10x_3lines")
    options = {"within": "cell_line", "kind": "single-cell", "scale": "counts"}
    options["regulators"] = list(adata.var_names[::12])
    table = linearity(adata, **options).table
    cut = table["r2_spline"] >= 1
    assert 0 < cut.sum() < len(table) / 2
    assert cut.is_monotonic_increasing
    assert table["r2_spline"][~cut].is_monotonic_decreasing
    few = linearity(adata, **options, keep="top:20").table
    pd.testing.assert_frame_equal(few, table.head(20))


def test_order__a_perfect_line_comes_first_elsewhere():
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, size=100)
    data = pd.DataFrame({"x": x, "noisy": x + 0.2 * rng.normal(size=100), "line": 2 * x})
    table = linearity(data, kind="bulk", scale="additive").table
    assert set(table[["regulator", "target"]].iloc[0]) == {"x", "line"}
    assert table["r2_spline"].iloc[0] == pytest.approx(1)
