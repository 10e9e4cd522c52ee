"""Steps of the study: each changes one thing; what is read off a table is what a new run says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_toys import AUREUS, YEAST, bulk, counts, toy_subject

import poolproof
from poolproof import InputError
from poolproof import _names as names
from poolproof.study import steps
from poolproof.study.plan import STEPS, Entry, study_settings
from poolproof.study.steps import agreement, calls_at, decided_calls, rows_of_step, some_of, table_of_rows
from poolproof.study.subject import read_subject

SHARES = ("share_nonlinear", "share_affine", "share_inconclusive")


@pytest.fixture(scope="module")
def bulk_subject():
    donors = np.array([f"d{i % 20}" for i in range(160)])
    adata = bulk(n=160, n_genes=12, noise=300.0, batch=np.array(list("ab"))[np.arange(160) % 2], donor=donors)
    adata.X[:, :6] = 100 / (1 + (np.median(adata.X, axis=0)[:6] / adata.X[:, :6]) ** 6)
    return toy_subject(adata, scale="additive", options={"within": "batch"})


@pytest.fixture(scope="module")
def count_subject():
    adata = counts(n=900, n_genes=12, shape=1.0, donor=np.array([f"d{i % 15}" for i in range(900)]))
    return toy_subject(adata, scale="counts", kind="single-cell")


def rows(step, subject, seed=0):
    return [dict(row) for row in steps.STEPS[step](subject, seed)]


def assert_same_shares(row, summary):
    assert row["n_associated"] == summary["n_associated"]
    for share in SHARES:
        assert row[share] == pytest.approx(summary[share], abs=1e-12) if summary[share] is not None else True


# --- read off one table ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "within"), [(YEAST, None), (AUREUS, "reference"), ("sc_mixology_10x_3lines", "cell_line")]
)
def test_pairs__are_what_a_new_run_says_at_each_margin_and_min_r2(small, name, within):
    small |= {"max_genes": 60, "few_genes": 45}
    small["datasets"]["sc_mixology_10x_3lines"] = {"label": "10x", "group": "single-cell"}
    subject = read_subject(Entry(name))
    found = rows("pairs", subject)
    settings = study_settings()
    anew = lambda **of: poolproof.linearity(  # noqa: E731
        subject.few, obs=subject.obs, within=within, each_level=False, control=False, **of
    )
    n_checked = 0
    for row in found:
        if row["setting"] == "margin":
            again = anew(margin=row["value"]).summary
        elif row["setting"] == "min_r2":
            again = anew(min_r2=row["value"]).summary
        elif row["setting"] == "all":
            again = anew().summary
        else:
            continue
        assert again["test"] == row["test"] == ("corrected" if name.startswith("sc") else "robust")
        assert_same_shares(row, again)
        assert row["n_tested"] == again["n_pairs_tested"]
        n_checked += 1
    assert n_checked == 1 + len(settings["margins"]) + len(settings["min_r2s"])
    assert len({row["share_affine"] for row in found if row["setting"] == "margin"}) > 1
    assert len({row["n_associated"] for row in found if row["setting"] == "min_r2"}) > 1


def test_pairs__bins_of_strength_part_the_associated(small, bulk_subject):
    found = rows("pairs", bulk_subject)
    whole = next(row for row in found if row["setting"] == "all")
    bins = [row for row in found if row["setting"] == "strength"]
    assert [row["value"] for row in bins] == small["strength"]
    assert sum(row["n_associated"] for row in bins) == whole["n_associated"]
    table = steps.analyse(bulk_subject, bulk_subject.few).table
    for row, (low, high) in zip(bins, [(0.02, 0.2), (0.2, 0.5), (0.5, 2.0)], strict=True):
        mine = table[(table["r2_spline"] >= low) & (table["r2_spline"] < high)]
        assert row["n_associated"] == len(mine)
        assert row["share_affine"] == pytest.approx((mine["call"] == "affine").mean(), nan_ok=True)


def test_calls_at__by_hand():
    table = pd.DataFrame(
        {
            "nonlinear_share_upper": [0.04, 0.04, 0.2, 0.2, np.nan, np.nan, 0.1],
            "q_value": [0.9, 0.01, 0.01, 0.051, 0.05, np.nan, 0.5],
        }
    )
    A, N, I = names.AFFINE, names.NONLINEAR, names.INCONCLUSIVE  # noqa: E741
    assert calls_at(table, 0.1, 0.05).tolist() == [A, A, N, I, N, I, I]
    assert calls_at(table, 0.3, 0.05).tolist() == [A, A, A, A, N, I, A]


def test_pairs__nothing_associated_has_no_shares(small):
    adata = bulk(n=40, n_genes=4)
    rng = np.random.default_rng(1)
    adata.X[:] = rng.gamma(3.0, size=adata.shape)
    found = rows("pairs", toy_subject(adata, scale="additive"))
    assert {row["n_associated"] for row in found} == {0}
    assert {row["share_affine"] for row in found} == {None}


# --- one thing changed -----------------------------------------------------------------------------------


def test_tests__are_those_that_fit_the_scale(bulk_subject, count_subject):
    assert [row["setting"] for row in rows("tests", bulk_subject)] == ["classical", "robust"]
    found = rows("tests", count_subject)
    assert {row["setting"] for row in found} == {"classical", "robust", "corrected"}
    for row in found:
        again = poolproof.linearity(count_subject.few, obs=count_subject.obs, test=row["setting"])
        assert row["test"] == row["setting"]
        assert_same_shares(row, again.summary)


def test_scales__amounts_and_their_logs(bulk_subject):
    additive, log = rows("scales", bulk_subject)
    logs = pd.DataFrame(np.log2(bulk_subject.few.matrix + 1), columns=bulk_subject.few.genes)
    obs = bulk_subject.obs.reset_index(drop=True)
    again = poolproof.linearity(logs, obs=obs, scale="log", kind="bulk", within="batch").summary
    assert (additive["setting"], log["setting"]) == ("additive", "log")
    assert_same_shares(log, again)
    assert_same_shares(additive, steps.analyse(bulk_subject, bulk_subject.few, test="robust").summary)


def test_logged__gives_the_logs_of_the_file_back():
    subject = read_subject(Entry(YEAST))
    few = subject.few
    place = {gene: i for i, gene in enumerate(poolproof.load_dataset(YEAST).var_names)}
    logs = poolproof.load_dataset(YEAST).X[:, [place[gene] for gene in few.genes]]
    found = steps.logged(subject)
    assert found.scale_tested == "log"
    np.testing.assert_allclose(found.matrix, logs, atol=1e-9)


def test_logged__counts_are_divided_by_depth_and_values_below_minus_1_refused(count_subject):
    found = steps.logged(count_subject)
    expected = np.log2(count_subject.few.normalised(np.arange(12)) + 1)
    np.testing.assert_allclose(found.matrix, expected)
    adata = bulk(n=50, n_genes=5)
    adata.X[0, 0] = -1.5
    subject = toy_subject(adata, scale="additive")
    with pytest.raises(InputError, match="have no log"):
        steps.logged(subject)
    found, notes = rows_of_step(subject, "scales", 0)
    assert [row["setting"] for row in found] == ["additive"]
    assert len(notes) == 1


def test_labels__with_each_left_out(bulk_subject):
    subject = replace(bulk_subject, options={"within": "batch", "replicate": "donor"})
    found = rows("labels", subject)
    assert [row["setting"] for row in found] == [
        "as registered", "without within", "without replicate", "without any",
    ]  # fmt: skip
    assert_same_shares(found[1], poolproof.linearity(subject.few, obs=subject.obs, replicate="donor").summary)
    assert_same_shares(found[3], poolproof.linearity(subject.few, obs=subject.obs).summary)
    assert [row["setting"] for row in rows("labels", replace(subject, options={}))] == ["as registered"]


def test_bases_and_depths__say_what_was_set(small, bulk_subject, count_subject):
    found = rows("bases", bulk_subject)
    assert [(row["setting"], row["value"]) for row in found] == [("3 columns", 3.0), ("5 columns", 5.0)]
    again = poolproof.linearity(bulk_subject.few, obs=bulk_subject.obs, within="batch", k=3)
    assert_same_shares(found[0], again.summary)
    found = rows("depths", count_subject)
    assert [row["setting"] for row in found] == ["none", "total", "median-ratio"]
    assert {row["test"] for row in found} == {"robust"}
    totals = replace(count_subject.few, size_factors=count_subject.every.size_factors)
    again = poolproof.linearity(totals, obs=count_subject.obs, test="robust").summary
    assert_same_shares(found[1], again)


# --- parts of the samples --------------------------------------------------------------------------------


def test_some_of__a_part_of_each_stratum():
    strata = np.repeat([0, 1, 2], [40, 20, 4])
    found = some_of(strata, 0.25, np.random.default_rng(0))
    assert np.bincount(strata[found]).tolist() == [10, 5, 1]
    assert (np.diff(found) > 0).all()
    assert some_of(strata, 1.0, np.random.default_rng(0)).tolist() == list(range(64))
    assert (found != some_of(strata, 0.25, np.random.default_rng(1))).any()


@given(
    strata=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    part=st.floats(0.01, 1.0),
    seed=st.integers(0, 9),
)
def test_some_of__law(strata, part, seed):
    strata = np.unique(strata, return_inverse=True)[1]
    found = some_of(strata, part, np.random.default_rng(seed))
    assert len(set(found.tolist())) == len(found)
    sizes = np.bincount(strata)
    kept = np.bincount(strata[found], minlength=len(sizes))
    assert (np.abs(kept - part * sizes) <= 0.5).all()


def series(**calls):
    index = pd.MultiIndex.from_arrays([[name[0] for name in calls], [name[1] for name in calls]])
    return pd.Series(list(calls.values()), index=index, dtype=object)


def test_agreement__by_hand():
    whole = series(AB="affine", AC="affine", BC="nonlinear", CA="nonlinear")
    part = series(AB="affine", AC="nonlinear", CA="nonlinear", XY="affine")
    assert agreement(whole, part) == {"share_settled": 0.5, "share_reversed": 0.25}
    assert agreement(whole, whole) == {"share_settled": 1.0, "share_reversed": 0.0}
    assert agreement(whole, series()) == {"share_settled": 0.0, "share_reversed": 0.0}
    nothing = agreement(series(), whole)
    assert np.isnan(nothing["share_settled"])
    assert np.isnan(nothing["share_reversed"])


def test_decided__are_the_two_firm_calls(bulk_subject):
    result = steps.analyse(bulk_subject, bulk_subject.few)
    found = decided_calls(result)
    assert set(found) == {"affine", "nonlinear"}
    assert len(found) == result.summary["n_affine"] + result.summary["n_nonlinear"]


def test_parts__rows_by_part_and_drawing(small, bulk_subject):
    small |= {"parts": [0.02, 0.5], "repeats": 2}
    found = rows("parts", bulk_subject)
    assert [(row["setting"], row["value"], row["repeat"]) for row in found] == [
        ("all samples", 1.0, 0), ("part", 0.5, 0), ("part", 0.5, 1),  # 2 in 100 of 160 are too few
    ]  # fmt: skip
    assert [row["n_obs"] for row in found] == [160, 80, 80]
    assert found[0]["share_settled"] == 1.0
    assert 0 < found[1]["share_settled"] < 1
    assert found == rows("parts", bulk_subject)
    assert found != rows("parts", bulk_subject, seed=1)


def test_groups__each_left_out_once(small, bulk_subject):
    found = rows("groups", bulk_subject)
    assert [row["value"] for row in found] == [0, 1, 2, 3]
    assert [row["n_obs"] for row in found] == [120] * 4
    group = bulk_subject.groups(4, 0)
    obs = bulk_subject.obs[group != 2]
    values = pd.DataFrame(bulk_subject.few.matrix[group != 2], columns=bulk_subject.few.genes)
    again = poolproof.linearity(
        values, obs=obs.reset_index(drop=True), scale="additive", kind="bulk", within="batch"
    )
    assert_same_shares(found[2], again.summary)


def test_groups__all_or_none(small, bulk_subject, monkeypatch):
    n_calls = []

    def fail_at_the_third(*args, **options):
        n_calls.append(1)
        if len(n_calls) == 3:
            raise InputError("too few samples are left")
        return analyse(*args, **options)

    analyse = steps.analyse
    monkeypatch.setattr(steps, "analyse", fail_at_the_third)
    assert rows_of_step(bulk_subject, "groups", 0) == ([], ["too few samples are left"])


# --- controls as a step ----------------------------------------------------------------------------------


def test_controls__three_rows_with_what_was_rejected(small, bulk_subject):
    found = rows("controls", bulk_subject)
    assert [row["setting"] for row in found][:2] == ["permuted", "affine"]
    assert found[0]["n_tested"] == 12 * 11
    assert found[1]["n_tested"] == small["controls"]["n_pairs"]
    assert all(0 <= row["share_rejected"] <= 1 for row in found)


def test_rejected__by_hand():
    table = pd.DataFrame({"p_value": [0.05, 0.051, 0.2, np.nan, 0.001]})
    assert steps.rejected(table) == 0.5
    assert np.isnan(steps.rejected(table.head(0)))


# --- tables ----------------------------------------------------------------------------------------------


def test_every_step_of_the_plan_is_there():
    assert tuple(steps.STEPS) == STEPS[1:]
    assert STEPS[0] == "audit"


def test_table__has_its_columns_and_their_dtypes(small, bulk_subject):
    made = [row | {"dataset": "toy", "group": "bulk", "step": step} for step in ("pairs", "parts", "controls")
            for row in rows(step, bulk_subject)]  # fmt: skip
    pooling = {
        "dataset": "toy",
        "group": "bulk",
        "step": "pooling",
        "setting": "mixed x",
        "value": 2,
        "measurement": 0.5,
    }
    for some in (made, [*made, pooling], [pooling], []):
        table = table_of_rows(some)
        assert [(name, str(dtype)) for name, dtype in table.dtypes.items()] == [
            (column.name, "object" if column.dtype == "str" else column.dtype)
            for column in names.STUDY_COLUMNS
        ]
        assert len(table) == len(some)
    assert table_of_rows([pooling]).loc[0, ["n_obs", "repeat", "test"]].tolist() == [0, 0, ""]
    assert table_of_rows(made)["share_settled"].notna().sum() == 2


def test_step__what_cannot_be_done_is_one_printable_note(bulk_subject, monkeypatch):
    def broken(subject, seed):
        yield {"setting": "before"}
        raise InputError("no\x1b[31m log")

    monkeypatch.setattr(steps, "STEPS", {"broken": broken})
    assert rows_of_step(bulk_subject, "broken", 0) == ([{"setting": "before"}], ["no\\x1b[31m log"])
