"""The numbers behind the pictures: they agree with the result, stay small, and depend on names alone."""

import numpy as np
import pandas as pd
import pytest

from poolproof import InputError, linearity
from poolproof.pairs import figure_data, pair_data
from poolproof.pairs import figures as _figures
from poolproof.pairs.figures import CALLS, FIGURES, describe_figure, describe_pair

SETTINGS = {"kind": "bulk", "scale": "additive", "threads": 1}


def mixed_data(n=300, n_genes=18, seed=3):
    """Genes that share one cause: strong lines, bends, weak relations; the last gene is noise."""
    random = np.random.default_rng(seed)
    x = random.gamma(2.0, size=n)
    forms = (2 * x, np.exp(0.5 * x), 0.2 * x)
    columns = {f"g{i}": 9 + forms[i % 3] + random.normal(0, 0.5, n) for i in range(n_genes - 1)}
    columns[f"g{n_genes - 1}"] = random.normal(9, 0.5, n)
    return pd.DataFrame(columns, index=[f"s{i}" for i in range(n)])


@pytest.fixture(scope="module")
def result():
    return linearity(mixed_data(), **SETTINGS)


@pytest.fixture(scope="module")
def tables(result):
    return figure_data(result)


def test_figure_data__all_tables_small(tables):
    assert tuple(tables) == FIGURES
    assert all(len(table) <= 12 * 400 for table in tables.values())


def test_calls_by_strength__adds_up_to_the_counts(result, tables):
    table = tables["calls_by_strength"]
    for call in CALLS:
        assert table.loc[table["call"] == call, "n_pairs"].sum() == result.summary[f"n_{call}"] > 0
    share = table.groupby("r2_low")["share"].sum(min_count=1).dropna()
    np.testing.assert_allclose(share, 1)
    strongest = result.table[result.table["r2_spline"] >= 0.9]
    assert table.loc[table["r2_low"] > 0.85, "n_pairs"].sum() == strongest["call"].isin(CALLS).sum()


def test_share_against_r2__draws_each_call_and_says_of_how_many(result, tables, monkeypatch):
    table = tables["share_against_r2"]
    known = result.table.dropna(subset="nonlinear_share")
    for call in CALLS:
        part, of = table[table["call"] == call], (known["call"] == call).sum()
        assert len(part) == of
        assert (part["n_pairs"] == of).all()
    monkeypatch.setattr(_figures, "N_OF_A_CALL", 10)
    drawn = figure_data(result)["share_against_r2"]
    assert drawn["call"].value_counts().to_dict() == dict.fromkeys(CALLS, 10)
    found = drawn.merge(result.table, on=["regulator", "target", "r2_spline", "nonlinear_share"])
    assert len(found) == len(drawn)


def test_genes__most_bent_first(result, tables):
    table = tables["genes"]
    for role in ("regulator", "target"):
        part = table[table["role"] == role]
        assert 0 < len(part) <= 15
        assert part["n_nonlinear"].is_monotonic_decreasing
        assert part["n_nonlinear"].iloc[0] == result.genes[f"n_nonlinear_as_{role}"].max()
        total = part[["n_nonlinear", "n_affine", "n_inconclusive"]].sum(axis=1)
        assert (total == part["n_associated"]).all()


def test_gallery__strongest_pairs_of_each_call_no_gene_twice(result, tables):
    gallery = tables["gallery"]
    assert gallery["panel"].tolist() == list(range(1, len(gallery) + 1))
    for call in CALLS:
        part = gallery[gallery["call"] == call]
        assert 1 <= len(part) <= 4
        strongest = result.table[result.table["call"] == call]["r2_spline"].max()
        assert part["r2_spline"].iloc[0] == strongest
        assert part["r2_spline"].is_monotonic_decreasing
        shown = [*part["regulator"], *part["target"]]
        assert len(set(shown)) == len(shown)
    for name in ("gallery_points", "gallery_curves"):
        assert tables[name]["panel"].unique().tolist() == gallery["panel"].tolist()


def test_pair_data__points_are_the_values_and_curve_is_the_fit(result):
    found = pair_data(result, "g0", "g1")
    points = found["gallery_points"]
    data = mixed_data()
    assert sorted(zip(points["x"], points["y"], strict=True)) == sorted(
        zip(data["g0"], data["g1"], strict=True)
    )
    curve = result.curve("g0", "g1")
    pd.testing.assert_frame_equal(found["gallery_curves"].drop(columns="panel"), curve)
    row = result.table.query("regulator == 'g0' and target == 'g1'").iloc[0]
    assert found["gallery"].loc[0, "r2_spline"] == row["r2_spline"]
    assert found["gallery"].loc[0, "unit"] == "additive scale"


def test_pair_data__draws_samples_and_knows_pairs_that_were_not_kept(result):
    kept = set(zip(result.table["regulator"], result.table["target"], strict=True))
    missing = next(("g17", f"g{i}") for i in range(17) if ("g17", f"g{i}") not in kept)
    found = pair_data(result, *missing, n_samples=50)
    assert len(found["gallery_points"]) == 50
    assert found["gallery"].loc[0, "call"] is None
    assert np.isnan(found["gallery"].loc[0, "r2_spline"])
    with pytest.raises(InputError, match="nobody"):
        pair_data(result, "nobody", "g1")


def test_pair_data__leaves_out_missing_values():
    data = mixed_data()
    data.iloc[:7, 0] = np.nan
    points = pair_data(linearity(data, **SETTINGS), "g0", "g1")["gallery_points"]
    assert len(points) == len(data) - 7
    assert points.notna().all().all()


def test_pair_data__symbols_and_levels():
    data = mixed_data()
    obs = pd.DataFrame({"type": ["a"] * 180 + ["b"] * 120}, index=data.index)
    result = linearity(data, obs=obs, within="type", **SETTINGS)
    found = pair_data(result, "g0", "g1")
    assert found["gallery_points"]["level"].value_counts().to_dict() == {"a": 180, "b": 120}
    assert set(found["gallery_curves"]["level"]) == {"a", "b"}
    assert {len(table) for _, table in found["gallery_curves"].groupby("level")} == {100}


def counts_result(seed=4, n=600):
    """Twelve genes of single cells; the first six share a cause."""
    random = np.random.default_rng(seed)
    amount = random.gamma(3.0, size=(n, 12))
    amount[:, :6] += 4 * random.gamma(2.0, size=(n, 1))
    counts = random.poisson(amount * random.uniform(2, 6, (n, 1)))
    data = pd.DataFrame(counts, columns=[f"g{i}" for i in range(12)])
    return linearity(data, kind="single-cell", threads=1)


def test_figure_data__counts_are_fractions_of_a_cell():
    result = counts_result()
    assert result.summary["test"] == "corrected"
    tables = figure_data(result)
    counts = result.expression.matrix
    total = counts.sum(axis=1)
    row = tables["gallery"].iloc[0]
    points = tables["gallery_points"].query("panel == 1")
    assert row["unit"] == "per 10,000 molecules"
    fraction = 1e4 * counts[:, int(row["regulator"][1:])] / total
    assert np.isin(points["x"].to_numpy().round(6), fraction.round(6)).all()
    assert len(points) == 400
    curve = tables["gallery_curves"].query("panel == 1")
    assert fraction.min() <= curve["x"].min() < curve["x"].max() <= fraction.max()
    assert (tables["mean_variance"]["counting"] == tables["mean_variance"]["mean"]).all()
    assert tables["depth"]["n_cells"].sum() == len(total)
    assert tables["depth"]["low"].iloc[0] == total.min()


def test_data_tables__count_everything(result, tables):
    assert tables["depth"]["n_samples"].sum() == 300
    assert tables["zeros"]["n_genes"].sum() == 18
    assert len(tables["mean_variance"]) == 18
    assert tables["mean_variance"]["counting"].isna().all()


def test_depth__totals_that_were_made_equal_stand_in_the_middle():
    data = mixed_data()
    data = data.div(data.sum(axis=1), axis=0) * 1e6  # as TPM: equal but for rounding
    depth = figure_data(linearity(data, **SETTINGS))["depth"]
    used = depth[depth["n_samples"] > 0]
    assert used["n_samples"].sum() == 300
    assert used["low"].min() > 0.98e6
    assert used["high"].max() < 1.02e6
    assert depth["high"].iloc[-1] - depth["low"].iloc[0] == pytest.approx(1e5, rel=0.01)


def test_mean_variance__draws_genes(result, monkeypatch):
    monkeypatch.setattr(_figures, "N_SCATTER", 7)
    table = figure_data(result)["mean_variance"]
    assert len(table) == 7
    merged = table.merge(result.genes, on=["gene", "mean", "variance"])
    assert len(merged) == 7


def test_figure_data__same_seed_same_tables_in_any_gene_order(result, tables, monkeypatch):
    monkeypatch.setattr(_figures, "N_SCATTER", 7)
    monkeypatch.setattr(_figures, "N_SAMPLES", 50)
    monkeypatch.setattr(_figures, "N_OF_A_CALL", 10)
    once = figure_data(result)
    data = mixed_data()
    shuffled = linearity(data[data.columns[np.random.default_rng(0).permutation(18)]], **SETTINGS)
    again = figure_data(shuffled)
    for name in FIGURES:
        if name == "depth":  # sums of floats in another order
            assert (once[name]["n_samples"] == again[name]["n_samples"]).all()
            continue
        pd.testing.assert_frame_equal(once[name], again[name], rtol=1e-9)
    other = figure_data(linearity(data, seed=1, **SETTINGS))
    assert not once["gallery_points"].equals(other["gallery_points"])


def test_figure_data__nothing_associated():
    data = pd.DataFrame(np.random.default_rng(8).normal(10, 1, (60, 4)), columns=list("abcd"))
    result = linearity(data, **SETTINGS)
    assert result.summary["n_associated"] == 0
    tables = figure_data(result)
    assert tuple(tables) == FIGURES
    assert len(tables["gallery"]) == len(tables["gallery_points"]) == len(tables["genes"]) == 0
    assert tables["calls_by_strength"]["n_pairs"].sum() == 0
    assert list(tables["gallery"].columns) == list(pair_data(result, "a", "b")["gallery"].columns)


def test_figure_data__all_rows_kept_counts_associated_only(result, tables):
    everything = linearity(mixed_data(), keep="all", **SETTINGS)
    assert len(everything.table) > len(result.table)
    for name, table in figure_data(everything).items():
        pd.testing.assert_frame_equal(table, tables[name])


# --- in words --------------------------------------------------------------------------------------


def test_describe_figure__says_what_each_picture_shows(result, tables):
    for name in ("calls_by_strength", "share_against_r2", "depth", "zeros", "mean_variance"):
        assert any(digit in describe_figure(name, tables[name]) for digit in "123456789")
    said = describe_figure("calls_by_strength", tables["calls_by_strength"])
    weak = result.table[(result.table["r2_spline"] < 0.5) & result.table["call"].isin(CALLS)]
    bent = (weak["call"] == "nonlinear").mean()
    assert f"Of {len(weak):,} pairs with r² below 0.5: {bent:.0%} non-linear" in said
    assert "300 samples" in describe_figure("depth", tables["depth"])
    assert "0 of 18 genes" in describe_figure("zeros", tables["zeros"])
    shares = result.table.groupby("call", observed=True)["nonlinear_share"].median()
    said = describe_figure("share_against_r2", tables["share_against_r2"])
    assert f"non-linear {shares['nonlinear']:.0%}, affine {shares['affine']:.0%}" in said


def test_describe_figure__genes_and_pairs(tables):
    table = tables["genes"].query("role == 'target'")
    first = table.iloc[0]
    said = describe_figure("genes", table)
    assert f"{first['symbol']}, non-linear in {first['n_nonlinear']} of {first['n_associated']}" in said
    assert "as target" in said
    row = tables["gallery"].iloc[0].to_dict()
    said = describe_pair(row)
    assert f"{row['target_symbol']} against {row['regulator_symbol']}, called non-linear" in said
    assert f"r² {row['r2_spline']:.2f} of the curve" in said
    assert "% non-linear" not in describe_pair(row | {"nonlinear_share": np.nan})


def test_describe_figure__hostile_names_are_escaped(tables):
    table = tables["genes"].query("role == 'target'").assign(symbol="a\x1b[31m\u202eb")
    assert "a\\x1b[31m\\u202eb" in describe_figure("genes", table)


def test_describe_figure__counts_and_no_strong_pair():
    said = describe_figure("mean_variance", figure_data(counts_result())["mean_variance"])
    assert "12 genes" in said
    assert "more than twice as much as counting alone" in said
    weak = pd.DataFrame({"r2_low": [0.0, 0.5], "call": "affine", "n_pairs": [3, 0]})
    assert describe_figure("calls_by_strength", weak).endswith(
        "Of 3 pairs with r² below 0.5: 0% non-linear, 100% affine, 0% inconclusive. No pair has r² from 0.5."
    )
