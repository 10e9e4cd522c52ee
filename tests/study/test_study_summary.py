"""From rows to statements: intervals over genes and samples, controls and their bands, sentences."""

import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from study_toys import made, row, toy_subject

from poolproof import _names as names
from poolproof.pairs.table import Z_INTERVAL, jackknife_share
from poolproof.study import findings, steps
from poolproof.study.findings import findings_of, medians
from poolproof.study.steps import table_of_rows
from poolproof.study.summary import (
    KINDS,
    bend_share_of,
    controls_of,
    floor_of,
    jackknife_error,
    levels_of,
    most,
    parts_of,
    summarise,
    with_samples,
)

shares = st.floats(0.0, 1.0)


def left_out(values, share="share_nonlinear"):
    return pd.DataFrame({"step": "groups", share: values})


# --- intervals -------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=40))
def test_jackknife__of_a_mean_is_its_standard_error(values):
    x = np.array(values)
    assume(x.std() > 1e-3)
    n = len(x)
    without = (x.sum() - x) / (n - 1)
    assert jackknife_error(without) == pytest.approx(x.std(ddof=1) / np.sqrt(n))


def test_jackknife__of_a_mean_with_groups_left_out():
    # Groups of 5: the error is that of a mean of group means.
    x = np.random.default_rng(0).normal(size=(12, 5))
    without = (x.sum() - x.sum(axis=1)) / 55
    assert jackknife_error(without) == pytest.approx(x.mean(axis=1).std(ddof=1) / np.sqrt(12))
    assert jackknife_error(np.array([0.3])) == 0.0
    assert jackknife_error(np.array([])) == 0.0


@given(
    ends=st.lists(shares, min_size=3, max_size=3).map(sorted),
    values=st.lists(shares, max_size=12),
)
def test_with_samples__never_narrower_than_the_genes_alone(ends, values):
    low, estimate, high = ends
    found = with_samples(
        {"estimate": estimate, "low": low, "high": high}, left_out(values), "share_nonlinear"
    )
    assert found["estimate"] == estimate
    assert found["low"] <= low + 1e-12
    assert found["high"] >= high - 1e-12
    assert 0.0 <= found["low"] <= found["high"] <= 1.0


def test_with_samples__by_hand():
    found = {"estimate": 0.5, "low": 0.47, "high": 0.53}
    values = 0.5 + 0.01 * np.array([-1, 1, -1, 1])
    error = np.sqrt(3 / 4 * 4 * 0.01**2)
    wide = with_samples(found, left_out(values), "share_nonlinear")
    assert wide["low"] == pytest.approx(0.5 - np.hypot(0.03, Z_INTERVAL * error))
    assert wide["high"] == pytest.approx(0.5 + np.hypot(0.03, Z_INTERVAL * error))
    # of a share of a tenth the same error of the logit is 0.09 / 0.25 of it
    small = with_samples({"estimate": 0.1, "low": 0.09, "high": 0.11}, left_out(values), "share_nonlinear")
    assert small["high"] == pytest.approx(0.1 + np.hypot(0.01, Z_INTERVAL * error * 0.36))


def test_with_samples__without_groups_or_estimate_nothing_changes():
    found = {"estimate": 0.2, "low": 0.1, "high": 0.3}
    assert with_samples(found, left_out([]), "share_nonlinear") == pytest.approx(found)
    other = pd.DataFrame({"step": ["parts"] * 3, "share_nonlinear": [0.0, 0.5, 1.0]})
    assert with_samples(found, other, "share_nonlinear") == pytest.approx(found)
    missing = left_out([np.nan, np.nan])
    assert with_samples(found, missing, "share_nonlinear") == pytest.approx(found)
    nothing = {"estimate": None, "low": None, "high": None}
    assert with_samples(nothing, left_out([0.1, 0.9]), "share_nonlinear") == nothing


FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"
N_RUNS = 300 if FULL else 24
N_SAMPLES, N_GENES, GROUPS = 150, 40, 10


def world(rng, n_genes):
    """Samples and genes drawn anew: all follow one level, half of them along lines, half a Hill curve."""
    level = rng.gamma(3.0, 1 / 3, (N_SAMPLES, 1))
    bent = rng.random(n_genes) < 0.5
    half = rng.uniform(0.5, 1.5, n_genes)
    mean = np.where(bent, 3 * level**4 / (half**4 + level**4), level * rng.uniform(0.5, 2.0, n_genes))
    return (0.3 + mean) * rng.gamma(20.0, 1 / 20.0, (N_SAMPLES, n_genes))


SHARES = ("share_nonlinear", "share_affine")


def analysed(values):
    subject = toy_subject(made(values, {}), scale="additive", kind="bulk")
    return subject, steps.analyse(subject, subject.few)


def studied(values):
    """Estimates and intervals of the study, as `summarise` makes them."""
    subject, whole = analysed(values)
    table = pd.DataFrame(list(steps.groups(subject, 0))).assign(step="groups")
    found = {}
    for share in SHARES:
        part, total = (
            (whole.genes[f"{of}_as_regulator"] + whole.genes[f"{of}_as_target"]).to_numpy()
            for of in (KINDS[share], "n")
        )
        found[share] = with_samples(jackknife_share(part, total), table, share)
    return found


@pytest.mark.calibration
def test_interval__covers_the_value_of_a_large_run(small):
    """The value: the mean share of 200 genes over many draws. The band, fixed before: 90 to 99 %."""
    small["groups"] = GROUPS
    large = [analysed(world(np.random.default_rng([20, i]), 200))[1] for i in range(4 * 24 if FULL else 24)]
    found = [studied(world(np.random.default_rng([21, i]), N_GENES)) for i in range(N_RUNS)]
    for share in SHARES:
        value = float(np.mean([result.summary[share] for result in large]))
        assert 0.1 < value < 0.9
        n_covered = sum(of[share]["low"] <= value <= of[share]["high"] for of in found)
        assert stats.binom.ppf(0.005, N_RUNS, 0.90) <= n_covered <= stats.binom.ppf(0.995, N_RUNS, 0.99)
        assert np.median([of[share]["high"] - of[share]["low"] for of in found]) < 0.4


# --- controls --------------------------------------------------------------------------------------------


def control_row(setting, n, k, nonlinear=0.0, rejected=0.05, dataset="a"):
    return {
        "dataset": dataset, "group": "bulk", "step": "controls", "setting": setting, "n_tested": n,
        "n_associated": k, "share_nonlinear": nonlinear / k if k else None, "share_rejected": rejected,
    }  # fmt: skip


def inside(row, n_independent=500):
    return controls_of(table_of_rows([row]), {"a": n_independent})[0]["inside"]


def test_most__is_the_97_5_percent_limit_of_the_binomial_law():
    for n, rate in ((100, 0.05), (400, 0.09), (249_500, 0.001)):
        assert stats.binom.cdf(most(n, rate), n, rate) >= 0.975
        assert stats.binom.cdf(most(n, rate) - 1, n, rate) < 0.975
    assert most(0, 0.05) == 0


def test_controls__at_the_edge_of_each_band():
    n = most(10_000, 0.001)
    assert inside(control_row("permuted", 10_000, n))
    assert not inside(control_row("permuted", 10_000, n + 1))
    n = most(300, 0.05)
    assert inside(control_row("affine", 400, 300, n))
    assert not inside(control_row("affine", 400, 300, n + 1))
    n = most(400, 0.09)
    assert inside(control_row("affine", 400, 300, 0, n / 400))
    assert not inside(control_row("affine", 400, 300, 0, (n + 1) / 400))
    n = 200 - most(200, 0.5)
    assert inside(control_row("hill", 200, 190, n))
    assert not inside(control_row("hill", 200, 190, n - 1))


def test_controls__too_few_samples_or_nothing_tested_is_not_asked():
    assert inside(control_row("hill", 200, 0), n_independent=99) is None
    assert inside(control_row("hill", 200, 0), n_independent=100) is False
    assert inside(control_row("hill", 0, 0, rejected=np.nan)) is None
    assert inside(control_row("affine", 0, 0, rejected=np.nan)) is True
    found = controls_of(table_of_rows([control_row("hill", 100, 80, 60)]), {"a": 500})[0]
    assert found["share_found"] == pytest.approx(0.6)


POPULATION = {
    "bend_share": 0.3, "low": 0.25, "high": 0.36,
    "better_direction": None,
    "direct": {"bend_share": 0.1, "low": 0.0, "high": 0.2},
    "direct_better_direction": None,
    "levels": {"T": {"bend_share": 0.4, "low": 0.3, "high": 0.5},
               "B": {"bend_share": None, "low": None, "high": None}},
}  # fmt: skip


# --- sentences -------------------------------------------------------------------------------------------


def sentence(name, *rows):
    return findings.SENTENCES[name](table_of_rows(list(rows)))


def test_medians__over_data_sets_of_the_mean_of_their_rows():
    table = table_of_rows(
        [
            row("x", "s", "a", share_nonlinear=0.1),
            row("x", "s", "a", share_nonlinear=0.3),
            row("x", "s", "b", share_nonlinear=0.5),
            row("x", "s", "c", share_nonlinear=0.9),
            row("x", "s", "d"),
            row("x", "s", "e", "single-cell", share_nonlinear=0.7),
        ]
    )
    assert medians(table) == pytest.approx({"bulk": 0.5, "single-cell": 0.7})


def test_sentences__only_data_sets_with_all_settings_are_compared():
    rows = [
        row("tests", "classical", "a", share_nonlinear=0.4),
        row("tests", "robust", "a", share_nonlinear=0.2),
        row("tests", "classical", "b", share_nonlinear=0.9),
    ]
    assert "40 % by the classical F test, 20 % by the robust test in bulk" in sentence("tests", *rows)
    assert "90 %" not in sentence("tests", *rows)


def test_sentences__numbers_are_those_of_the_rows():
    found = sentence(
        "margin",
        row("pairs", "margin", value=0.02, share_affine=0.051),
        row("pairs", "margin", value=0.1, share_affine=0.3),
        row("pairs", "margin", value=0.3, share_affine=0.62),
    )
    assert "0.02" in found
    assert "5.1 % and 62 %" in found
    found = sentence(
        "strength",
        row("pairs", "strength", value=0.02, share_nonlinear=0.01, n_associated=100),
        row("pairs", "strength", value=0.05, share_nonlinear=0.02, n_associated=100),
        row("pairs", "strength", value=0.4, share_nonlinear=0.35, n_associated=20),
        row("pairs", "strength", value=0.7, share_nonlinear=0.95, n_associated=19),
    )
    assert "0.02 to 0.05" in found
    assert "1.0 % in bulk" in found
    assert "35 % in bulk" in found
    assert "95 %" not in found
    assert found.endswith("found more easily where the relation is strong.")
    found = sentence(
        "strength",
        row("pairs", "strength", value=0.02, share_nonlinear=0.04, n_associated=100),
        row("pairs", "strength", value=0.05, share_nonlinear=0.02, n_associated=100),
        row("pairs", "strength", value=0.4, share_nonlinear=0.03, n_associated=20),
    )
    assert "more easily" not in found
    found = sentence(
        "parts",
        row("parts", "all samples", value=1.0, share_settled=1.0, share_reversed=0.0),
        row("parts", "part", value=0.5, share_settled=0.6, share_reversed=0.002),
        row("parts", "part", value=0.25, share_settled=0.3, share_reversed=0.013),
    )
    assert "60 % in bulk" in found
    assert "1.3 %" in found
    found = sentence(
        "edges",
        row("edges", "edges of net", n_tested=200, n_associated=50, share_nonlinear=0.2),
        row("edges", "random of net", n_tested=100, n_associated=10, share_nonlinear=0.1),
    )
    assert "25 % against 10 % in bulk" in found
    assert "20 % against 10 % in bulk" in found


@pytest.mark.parametrize("name", list(findings.SENTENCES))
@pytest.mark.parametrize("group", ["bulk", "pools of cell lines"])
def test_sentences__never_speak_of_nothing(name, group):
    """A table of one group, with numbers missing here and there: a whole sentence, or none."""
    every = [
        row("pairs", "strength", value=0.02, n_associated=50, share_nonlinear=0.1),
        row("pairs", "strength", value=0.4, n_associated=50, share_nonlinear=0.1),
        row("pairs", "strength", value=0.7, n_associated=50),
        row("pairs", "margin", value=0.1, share_affine=0.2),
        row("pairs", "min_r2", value=0.1, share_nonlinear=0.2),
        row("tests", "classical", share_nonlinear=0.2),
        row("tests", "robust", share_nonlinear=0.2),
        row("scales", "additive", share_nonlinear=0.2),
        row("scales", "log", share_nonlinear=0.2),
        row("labels", "as registered", share_nonlinear=0.2),
        row("labels", "without within", share_nonlinear=0.2),
        row("bases", "3 columns", value=3, share_nonlinear=0.2),
        row("depths", "none", share_nonlinear=0.2),
        row("parts", "part", value=0.5, share_settled=0.2, share_reversed=0.0),
        row("edges", "edges of net", n_tested=10, n_associated=0),
        row("edges", "random of net", n_tested=10, n_associated=0),
        row("pooling", "mixed share_nonlinear", value=1, measurement=0.1),
        row("pooling", "mixed share_nonlinear", value=5, measurement=0.2),
    ]
    for drop in (None, "share_nonlinear", "share_affine", "share_settled", "measurement"):
        rows = [{**each, "group": group} for each in every]
        text = sentence(name, *({k: v for k, v in each.items() if k != drop} for each in rows))
        assert text is None or ("None" not in text and "nan" not in text and text.endswith("."))
    assert sentence(name) is None


def test_controls_sentence__names_what_is_outside():
    rows = [
        control_row("permuted", 10_000, 3),
        control_row("affine", 400, 300, 4, 0.04),
        control_row("affine", 400, 300, 290, 0.5, dataset="b"),
        control_row("affine", 0, 0, rejected=np.nan, dataset="c"),
        control_row("hill", 200, 190, 150),
    ]
    table = table_of_rows(rows)
    found = findings_of([], controls_of(table, {"a": 500, "b": 500, "c": 500}), table)["controls"]
    assert "4 of 5 controls" in found
    assert "affine of b" in found
    assert "1 of 1 data sets" in found
    assert "4.0 % to 50 %" in found
    assert "75 % to 75 %" in found
    assert "nan" not in found


def test_findings__of_an_empty_study_are_none():
    assert findings_of([], [], table_of_rows([])) == {}


# --- the table of data sets ------------------------------------------------------------------------------


def test_summarise__one_entry_from_the_audit_its_genes_and_the_groups():
    genes = pd.DataFrame(
        {
            f"n_{kind}as_{end}": values
            for end in ("regulator", "target")
            for kind, values in (
                ("", [4, 4, 4, 4]),
                ("nonlinear_", [1, 2, 1, 0]),
                ("affine_", [2, 2, 2, 2]),
                ("inconclusive_", [1, 0, 1, 2]),
            )
        }
    )
    data = SimpleNamespace(title="t", organism="o", assay="a", licence="l", citation="c")
    entry = SimpleNamespace(name="a", label="A", group="bulk", dataset=data, unit=None)
    verdict = {
        "verdict": "inconclusive",
        "reasons": ["so bent"],
        "next_steps": [],
        "population": POPULATION,
        "floor": {"decided": True, "bend_share": 0.3, "floor": 0.28, "excess": 0.02, "limit": 0.03,
                  "evidence": False, "n_genes": 4},
        "sensitivity": [{"variant": "a", "bend_share": 0.25, "as_given": 0.3},
                        {"variant": "b", "bend_share": None, "as_given": 0.3}],
        "data": {"n_obs_tested": 50, "n_genes": 4, "scale": "log", "scale_tested": "additive", "within": [],
                 "replicate": None, "covariates": []},
        "linearity": {"test": "robust", "n_pairs_tested": 12, "n_associated": 16, "detectable_share": None,
                      "control": None, "share_contradicting": {"estimate": 0.1, "low": 0.0, "high": 0.3}},
        "triples": None,
    }  # fmt: skip
    results = {
        ("a", "audit"): {
            "verdict": verdict,
            "n_independent": 50,
            "notes": ["guessed"],
            "seconds": 1.25,
            "rows": [],
        },
        ("a", "groups"): {"notes": [], "seconds": 2.0},
        ("a", "scales"): {"notes": ["no log"], "seconds": 0.5},
    }
    left_out = [{"share_nonlinear": 0.2, "bend_share": 0.1}, {"share_nonlinear": 0.3, "bend_share": 0.3},
                {"share_nonlinear": 0.25, "bend_share": 0.5}]  # fmt: skip
    table = table_of_rows([row("groups", "left out", **of) for of in left_out])
    found = summarise([entry], table, results, {"a": genes}, {"b": "licence"})
    (mine,) = found["datasets"]
    assert mine["share_nonlinear"]["estimate"] == pytest.approx(4 / 16)
    assert mine["share_affine"]["estimate"] == pytest.approx(8 / 16)
    of_genes = jackknife_share(np.array([2, 4, 2, 0]), np.array([8, 8, 8, 8]))
    assert mine["share_nonlinear"] == with_samples(of_genes, table, "share_nonlinear")
    assert found["notes"] == ["a, scales: no log"]
    assert mine["notes"] == ["guessed"]
    assert found["left_out"] == {"b": "licence"}
    assert found["seconds"] == {"a": 3.8}
    assert set(names.SHARES) <= set(mine)
    reach = 1.959964 * np.sqrt(2 / 3 * 0.08)  # more than the audit's own interval says
    assert mine["bend_share"] == pytest.approx({"estimate": 0.3, "low": 0.3 - reach, "high": 0.3 + reach})
    assert mine["bend_parts"]["direct"] == {"estimate": 0.1, "low": 0.0, "high": 0.2}
    assert mine["bend_parts"]["better_direction"]["estimate"] is None
    assert mine["bend_levels"] == {"T": {"estimate": 0.4, "low": 0.3, "high": 0.5}}
    assert mine["floor"] == {
        "bend_share": 0.3,
        "floor": 0.28,
        "excess": 0.02,
        "limit": 0.03,
        "evidence": False,
    }
    assert mine["control_share"]["estimate"] is None
    assert mine["moved"] == pytest.approx(-0.05)
    assert mine["reasons"] == ["so bent"]


def test_bend_share__the_wider_interval_counts_and_nothing_stays_nothing():
    own = bend_share_of(POPULATION, table_of_rows([row("groups", "left out", bend_share=0.3)] * 3))
    assert own == {"estimate": 0.3, "low": 0.25, "high": 0.36}
    for nothing in (None, POPULATION | {"low": None}):
        assert set(bend_share_of(nothing, table_of_rows([])).values()) == {None}
    assert parts_of(None)["direct"]["estimate"] is None
    assert floor_of({"decided": False})["floor"] is None
    assert levels_of(None) == {}


def test_controls__the_bend_share_of_affine_relations_must_reach_into_its_band():
    inside = control_row("affine", 100, 80) | {"bend_share": 0.05, "low": 0.01, "high": 0.09}
    outside = inside | {"low": 0.03}
    found = controls_of(table_of_rows([inside, outside]), {"a": 500})
    assert [entry["inside"] for entry in found] == [True, False]
