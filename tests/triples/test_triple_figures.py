"""The numbers behind the pictures of triples: they agree with the screen, stay small, and depend on names."""

import numpy as np
import pandas as pd
import pytest

from poolproof import InputError, screen_triples
from poolproof import _names as names
from poolproof.triples import figures as _triple_figures
from poolproof.triples import triple_data, triple_figure_data
from poolproof.triples.figures import (
    LINE,
    N_POINTS,
    PICTURES,
    SPLINE,
    TRIPLE_FIGURES,
    VALUES,
    _thirds,
    describe_curves,
    describe_distortion,
    describe_histogram,
    describe_triple,
)

SETTINGS = {"scale": "additive", "threads": 1}
FORK = ("X", "Y", "Z")


def fork_data(n=1500, seed=3):
    """The fork of method 4, and straight followers of the same middle gene."""
    random = np.random.default_rng(seed)
    y = random.gamma(2.0, size=n)
    columns = {
        "X": np.tanh(y) + 0.15 * random.normal(size=n),
        "Y": y,
        "Z": y**2 / 5 + 0.2 * random.normal(size=n),
        "V": y + 0.5 * random.normal(size=n),
        "W": 3 - y + 0.6 * random.normal(size=n),
        "U": np.tanh(y) + 0.2 * random.normal(size=n),
    }
    return pd.DataFrame(columns, index=[f"s{i:04d}" for i in range(n)])


def counts_data(n=2000, seed=5):
    random = np.random.default_rng(seed)
    amount = random.gamma(2.0, size=n)
    rates = {"X": 20 * np.tanh(amount), "Y": 15 * amount, "Z": 4 * amount**2}
    rates |= {f"G{i}": np.full(n, 60.0) for i in range(6)}
    counts = {name: random.poisson(rate) for name, rate in rates.items()}
    return pd.DataFrame(counts, index=[f"c{i:04d}" for i in range(n)])


@pytest.fixture(scope="module")
def cells():
    return screen_triples(fork_data(), kind="single-cell", **SETTINGS)


@pytest.fixture(scope="module")
def bulk():
    return screen_triples(fork_data(), kind="bulk", **SETTINGS)


@pytest.fixture(scope="module")
def tables(cells):
    return triple_figure_data(cells)


def residuals(points, picture):
    part = points[points["picture"] == picture]
    return part["x"].to_numpy(), part["z"].to_numpy()


def test_triple_figure_data__all_tables_small(tables):
    assert tuple(tables) == TRIPLE_FIGURES
    assert len(tables["triple_gallery_points"]) <= 3 * N_POINTS * 7
    assert sum(len(table) for table in tables.values()) < 15_000


def test_triple_histogram__holds_every_screened_triple(cells, tables):
    table = tables["triple_histogram"]
    assert list(table.columns) == ["call", "linear", "spline", "n", "margin"]
    assert table["n"].sum() == cells.summary["n_screened"] > 0
    for call in names.TRIPLE_CALLS:
        counted = table.loc[table["call"] == call, "n"].sum()
        assert counted == cells.genes[f"n_{call}"].sum()
    assert (table["margin"] == 0.1).all()


def test_triple_gallery__strongest_of_each_call_no_gene_twice(cells, tables):
    gallery = tables["triple_gallery"]
    assert gallery["panel"].tolist() == list(range(1, len(gallery) + 1))
    order = list(_triple_figures.SHOWN)
    assert sorted(gallery["call"], key=order.index) == gallery["call"].tolist()
    repeated = cells.table[cells.table["call"] == "distorted"].head(2)[["x", "y", "z"]].to_numpy()
    assert len(set(repeated.ravel())) < 6  # the two strongest share genes: one of them is shown
    for call, part in gallery.groupby("call"):
        first = cells.table[cells.table["call"] == call].iloc[0]
        assert part[["x", "y", "z"]].iloc[0].tolist() == first[["x", "y", "z"]].tolist()
        shown = [*part["x"], *part["y"], *part["z"]]
        assert len(set(shown)) == len(shown)
    for name in ("triple_gallery_points", "triple_gallery_lines"):
        assert tables[name]["panel"].unique().tolist() == gallery["panel"].tolist()
    assert set(tables["triple_gallery_points"]["picture"]) == set(PICTURES)


def test_triple_gallery__leaves_out_estimates_beyond_one(cells):
    table = cells.table.copy()
    strongest = table.index[table["call"] == "distorted"][0]
    table.loc[strongest, "partial_linear"] = 1.7
    changed = type(cells)(**{**cells.__dict__, "table": table})
    gallery = triple_figure_data(changed)["triple_gallery"]
    assert gallery[["partial_linear", "partial_spline"]].abs().max().max() <= 1


def test_triple_data__residuals_correlate_as_the_table_says(bulk):
    row = bulk.table[(bulk.table["y"] == "Y") & (bulk.table["call"] == "distorted")].iloc[0]
    found = triple_data(bulk, row["x"], row["y"], row["z"], n_points=10**6)
    shown = found["triple_gallery"].iloc[0]
    for picture, column in ((SPLINE, "partial_spline"), (LINE, "partial_linear")):
        x, z = residuals(found["triple_gallery_points"], picture)
        assert len(x) == 1500
        assert np.mean(x * z) == pytest.approx(row[column], abs=1e-8)
        np.testing.assert_allclose([np.mean(x**2), np.mean(z**2)], 1)
    assert shown["shown_spline"] == pytest.approx(row["partial_spline"], abs=1e-8)
    assert shown["shown_line"] == pytest.approx(row["partial_linear"], abs=1e-8)
    assert (shown["n_pooled"], shown["n_pools"]) == (1, 1500)  # bulk samples are pools: none is made of them


def test_triple_data__levels_and_covariates_are_taken_out():
    data = fork_data(600)
    random = np.random.default_rng(0)
    obs = pd.DataFrame({"type": np.where(np.arange(600) < 350, "a", "b"), "age": random.normal(size=600)})
    obs.index = data.index
    data.loc[obs["type"] == "b"] += 5
    data["X"] += obs["age"]
    settings = {"obs": obs, "within": "type", "covariates": ["age"], "triples": [FORK]}
    result = screen_triples(data, kind="bulk", **SETTINGS, **settings)
    found = triple_data(result, *FORK, n_points=10**6)
    x, z = residuals(found["triple_gallery_points"], LINE)
    assert np.mean(x * z) == pytest.approx(result.table["partial_linear"].iloc[0], abs=1e-8)
    assert found["triple_gallery_points"].query("picture == 'values'")["level"].value_counts().to_dict() == {
        "a": 350,
        "b": 250,
    }
    assert set(found["triple_gallery_lines"]["line"]) == {"slope", "many_cells"}  # no path over two levels


def test_triple_data__values_are_the_data(bulk):
    found = triple_data(bulk, *FORK, n_points=10**6)["triple_gallery_points"].query("picture == 'values'")
    data = fork_data()
    for end, gene in (("x", "X"), ("y", "Y"), ("z", "Z")):
        np.testing.assert_array_equal(found[end], data[gene])
    assert found["third"].value_counts().to_dict() == {"low": 500, "middle": 500, "high": 500}
    assert found.groupby("third")["y"].mean().loc[["low", "middle", "high"]].is_monotonic_increasing


def test_thirds__equal_values_are_in_one():
    assert _thirds(np.array([0, 0, 0, 0, 0, 0, 0, 1, 2])).tolist() == ["low"] * 7 + ["high"] * 2


def test_triple_data__pools_hold_ten_cells_of_one_donor_each():
    data = fork_data(1200)
    donors = pd.DataFrame({"donor": [f"d{i % 12}" for i in range(1200)]}, index=data.index)
    data["X"] = np.repeat(np.arange(12.0), 100)[np.argsort(np.argsort(donors["donor"], kind="stable"))]
    data["Z"] = np.random.default_rng(1).normal(size=1200)
    result = screen_triples(
        data, kind="single-cell", obs=donors, replicate="donor", triples=[FORK], **SETTINGS
    )
    seen = []
    real = _triple_figures._members

    def watched(expression, level, task):
        pools = real(expression, level, task)
        seen.append((level, pools))
        return pools

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_triple_figures, "_members", watched)
        found = triple_data(result, *FORK)
    ((level, pools),) = seen
    assert pools.shape == (120, 10)
    assert len(np.unique(pools)) == pools.size  # no cell twice
    donor_of = donors["donor"].to_numpy()[level.rows]
    assert all(len(set(donor_of[pool])) == 1 for pool in pools)
    assert (found["triple_gallery"].iloc[0][["n_pooled", "n_pools"]] == [10, 120]).all()
    assert (found["triple_gallery_points"]["picture"] == LINE).sum() == 120


def test_triple_data__pools_show_the_line_and_not_the_curve(cells):
    """Section 4: given a spline nothing is left in cells, and pools of 10 show what the line predicts."""
    row = triple_data(cells, *FORK)["triple_gallery"].iloc[0]
    assert abs(row["shown_spline"]) < 4 / np.sqrt(1500)
    assert row["partial_linear"] == pytest.approx(-0.507, abs=0.06)
    assert row["shown_line"] == pytest.approx(row["partial_linear"], abs=4 / np.sqrt(row["n_pools"]))


def test_triple_data__few_cells_are_not_pooled():
    result = screen_triples(fork_data(150), kind="single-cell", triples=[FORK], **SETTINGS)
    row = triple_data(result, *FORK)["triple_gallery"].iloc[0]
    assert (row["n_pooled"], row["n_pools"]) == (1, 150)


def test_triple_data__levels_with_few_pools_are_not_drawn_in_pools():
    data = fork_data(500)
    obs = pd.DataFrame({"type": np.where(np.arange(500) < 390, "a", "b")}, index=data.index)
    result = screen_triples(data, kind="single-cell", obs=obs, within="type", triples=[FORK], **SETTINGS)
    found = triple_data(result, *FORK)
    assert found["triple_gallery"].loc[0, "n_pools"] == 39  # not the 11 of the other type
    assert set(found["triple_gallery_points"].query("picture == 'line'")["level"]) == {"a"}


def test_triple_data__counts_are_pooled_by_their_totals():
    data = counts_data()
    result = screen_triples(data, kind="single-cell", triples=[FORK], threads=1)
    assert result.summary["correction"] == "poisson"
    found = triple_data(result, *FORK, n_points=10**6)
    values = found["triple_gallery_points"].query("picture == 'values'")
    np.testing.assert_allclose(values["x"], 1e4 * data["X"] / data.sum(axis=1))
    assert found["triple_gallery"].loc[0, "unit"] == "per 10,000 molecules"
    expression, design = result.expression, result.design
    (level,) = design.levels
    pools = _triple_figures._members(expression, level, ["0", *FORK])
    cells = data.to_numpy()[level.rows][pools].sum(axis=1)
    x, y, z = (1e4 * cells[:, i] / cells.sum(axis=1) for i in range(3))
    columns = np.column_stack([np.ones(len(y)), y])
    left = [of - columns @ np.linalg.lstsq(columns, of, rcond=None)[0] for of in (x, z)]
    expected = np.corrcoef(*left)[0, 1]
    assert found["triple_gallery"].loc[0, "shown_line"] == pytest.approx(expected, abs=1e-9)


def test_triple_gallery_lines__slopes_ellipse_and_paths(cells):
    found = triple_data(cells, *FORK)
    row, lines = found["triple_gallery"].iloc[0], found["triple_gallery_lines"]
    kinds = lines.groupby(["picture", "line"]).size().to_dict()
    assert kinds.keys() == {
        (VALUES, "curve"),
        (VALUES, "straight"),
        (SPLINE, "slope"),
        (LINE, "slope"),
        (LINE, "many_cells"),
    }
    for picture, column in ((SPLINE, "partial_spline"), (LINE, "partial_linear")):
        slope = lines[(lines["picture"] == picture) & (lines["line"] == "slope")]
        np.testing.assert_allclose(slope["z"], row[column] * slope["x"])
    ellipse = lines[lines["line"] == "many_cells"]
    rho = row["partial_linear"]
    form = (ellipse["x"] ** 2 - 2 * rho * ellipse["x"] * ellipse["z"] + ellipse["z"] ** 2) / (1 - rho**2)
    np.testing.assert_allclose(form, 5.991)  # 95 % of a Gaussian
    straight = lines[lines["line"] == "straight"].to_numpy()[:, -2:].astype(float)
    steps = np.diff(straight, axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape))
    curve = lines[lines["line"] == "curve"]
    assert curve["z"].iloc[-1] > 4 * curve["z"].iloc[len(curve) // 2]  # the square bends upwards


def test_triple_data__knows_triples_that_are_not_listed_and_both_directions(cells):
    one, other = (triple_data(cells, *ends)["triple_gallery"].iloc[0] for ends in (FORK, FORK[::-1]))
    assert one.equals(other)
    result = screen_triples(fork_data(300), kind="bulk", triples=[FORK], **SETTINGS)
    row = triple_data(result, "V", "Y", "W")["triple_gallery"].iloc[0]
    assert row["call"] is None
    assert np.isnan(row["partial_linear"])
    assert np.isfinite(row["shown_line"])
    with pytest.raises(InputError, match="nobody"):
        triple_data(cells, "nobody", "Y", "Z")


def test_triple_data__missing_values_take_the_mean():
    data = fork_data(300)
    data.iloc[:9, 0] = np.nan
    result = screen_triples(data, kind="bulk", triples=[FORK], **SETTINGS)
    found = triple_data(result, *FORK)
    x, z = residuals(found["triple_gallery_points"], LINE)
    assert np.mean(x * z) == pytest.approx(result.table["partial_linear"].iloc[0], abs=1e-8)


def test_triple_figure_data__same_seed_same_tables_in_any_order(monkeypatch):
    monkeypatch.setattr(_triple_figures, "N_POINTS", 60)
    data = fork_data(700)
    random = np.random.default_rng(0)
    shuffled = data.iloc[random.permutation(len(data)), random.permutation(data.shape[1])]
    once, again = (
        triple_figure_data(screen_triples(of, kind="single-cell", **SETTINGS)) for of in (data, shuffled)
    )
    for name in TRIPLE_FIGURES:
        key = ["call", "linear", "spline"] if name == "triple_histogram" else []
        one, other = (t[name].sort_values(key, ignore_index=True) if key else t[name] for t in (once, again))
        pd.testing.assert_frame_equal(one, other, rtol=1e-7, atol=1e-9)
    assert len(once["triple_gallery_points"].query("panel == 1 and picture == 'values'")) == 60
    reseeded = triple_figure_data(screen_triples(data, kind="single-cell", seed=1, **SETTINGS))
    assert not once["triple_gallery_points"].equals(reseeded["triple_gallery_points"])


def test_triple_figure_data__nothing_screened():
    data = pd.DataFrame(np.random.default_rng(8).normal(10, 1, (60, 4)), columns=list("abcd"))
    result = screen_triples(data, kind="bulk", **SETTINGS)
    tables = triple_figure_data(result)
    assert tuple(tables) == TRIPLE_FIGURES
    assert all(len(table) == 0 for table in tables.values())
    filled = triple_data(result, "a", "b", "c")
    for name, table in filled.items():
        assert list(tables[name].columns) == list(table.columns)


# --- in words --------------------------------------------------------------------------------------


def test_describe__says_what_each_picture_shows(cells, tables):
    said = describe_histogram(tables["triple_histogram"])
    assert f"Map of {cells.summary['n_screened']:,} triples" in said
    assert f"{cells.summary['n_distorted']:,} distorted (false edge)" in said
    separated = tables["triple_histogram"].query("call in ('kept', 'distorted')")
    said = describe_distortion(separated)
    assert f"of {cells.summary['n_separated']:,} triples that are separated" in said
    assert f"{cells.summary['n_distorted']:,} are distorted" in said
    row = triple_data(cells, *FORK)["triple_gallery"].iloc[0].to_dict()
    texts = [describe_triple(row, picture) for picture in PICTURES]
    assert len(set(texts)) == 3
    assert f"partial correlation {row['partial_spline']:.2f}" in texts[1]
    assert "in 150 pools of 10 cells" in texts[2]
    assert texts[2].endswith(f"given a line is {row['partial_linear']:.2f}.")


def test_describe_curves__from_the_smallest_to_the_largest():
    table = pd.DataFrame({"regime": "mixed", "n_cells": [1, 1, 1, 50], "value": [0.1, 0.3, 0.2, 0.5]})
    said = describe_curves(table, "Skewness")
    assert said == "Skewness against the number of cells in a pool. mixed: 0.2 with 1, 0.5 with 50."


def test_describe__hostile_names_are_escaped(cells):
    row = triple_data(cells, *FORK)["triple_gallery"].iloc[0].to_dict() | {"x_symbol": "a\x1b[31m\u202eb"}
    assert all("a\\x1b[31m\\u202eb" in describe_triple(row, picture) for picture in PICTURES)
