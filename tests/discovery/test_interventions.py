"""Measured data as tasks: effects by hand and by closed form, knock-out edges, intervals, real screens."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import stats

from poolproof import run_benchmark
from poolproof._checks import InputError
from poolproof.discovery import Graph, intervention_task, read_spec
from poolproof.discovery.interventions import edges_task, effects_of_samples
from poolproof.discovery.metrics import effect_intervals, effect_metrics


def knocked_out():
    rng = np.random.default_rng(0)
    target = np.array(["control"] * 400 + ["A"] * 60 + ["B"] * 10)
    a = rng.poisson(np.where(target == "A", 1.0, 30.0))
    b = rng.poisson(2 * a + 5)
    c = rng.poisson(40, len(target))
    depth = rng.poisson(900, len(target))
    adata = AnnData(
        np.column_stack([a, b, c, depth]).astype(float),
        obs=pd.DataFrame({"target": target}, index=[f"cell{i}" for i in range(len(target))]),
    )
    adata.var_names = ["A", "B", "C", "rest"]
    return adata


def test_intervention_task__tells_what_a_knock_out_does():
    task = intervention_task(knocked_out(), perturbation="target", control="control", name="made up")
    effects = task.effects.set_index(["regulator", "target"])
    assert set(effects.index.get_level_values("regulator")) == {"A"}  # B has too few cells
    assert effects.loc[("A", "B"), "q_value"] < 1e-6
    assert effects.loc[("A", "B"), "difference"] < -1
    assert len(task.cells) == 400
    with pytest.raises(InputError, match="401 cells are needed"):
        task.draw(401, 0)


def test_intervention_task__leaves_out_cells_without_a_count():
    screen = knocked_out()
    screen.X[[3, 410]] = 0  # a control, and one with a knock-out
    task = intervention_task(screen, perturbation="target", control="control", name="made up")
    assert len(task.cells) == 399
    assert set(task.effects["regulator"]) == {"A"}
    assert np.isfinite(task.cells).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"perturbation": "guide", "control": "control"}, "guide"),
        ({"perturbation": "target", "control": "NT"}, "labelled 'NT'"),
    ],
)
def test_intervention_task__refuses_in_one_line(options, words):
    with pytest.raises(InputError, match=words):
        intervention_task(knocked_out(), name="made up", **options)


# --- bulk samples, few of each deletion ----------------------------------------------------------------


def deletions(rng, n_genes=200, shift=0.0):
    """Three studies, each with 4 controls and 2 samples of each of 3 deletions; logs."""
    block = np.repeat(np.arange(3), 10)
    target = np.array((["none"] * 4 + ["G0"] * 2 + ["G1"] * 2 + ["G2"] * 2) * 3, dtype=object)
    values = 5 + rng.normal(size=(30, n_genes)) + 3 * rng.normal(size=(3, n_genes))[block]
    values[target == "G0", 3] += shift
    return values, [f"G{i}" for i in range(n_genes)], target, block


def test_effects_of_samples__level_and_what_a_deletion_does():
    """600 rows whose truth is 0: rejections at 5 % inside the binomial band of 99.9 %; 6 sd are found."""
    values, genes, target, block = deletions(np.random.default_rng(1), shift=-6.0)
    found = effects_of_samples(values, genes, target, "none", block).set_index(["regulator", "target"])
    assert len(found) == 3 * 199
    null = found.drop(("G0", "G3"))
    low, high = stats.binom.interval(0.999, len(null), 0.05)
    assert low <= (null["p_value"] < 0.05).sum() <= high
    effect = found.loc[("G0", "G3")]
    assert effect["difference"] == pytest.approx(-6.0, abs=1.5)
    assert effect["wasserstein"] == -effect["difference"]
    assert effect["q_value"] < 1e-4


def test_effects_of_samples__the_t_test_of_one_block():
    """With one block and one deletion it is the t-test with the pooled variance."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(14, 3))
    target = np.array(["none"] * 8 + ["A"] * 6, dtype=object)
    found = effects_of_samples(values, ["A", "B", "C"], target, "none", np.zeros(14))
    expected = stats.ttest_ind(values[8:], values[:8]).pvalue[1:]
    np.testing.assert_allclose(found["p_value"], expected, rtol=1e-10)


def test_effects_of_samples__refuses_what_has_no_control_or_no_repeats():
    values, genes, target, block = deletions(np.random.default_rng(3))
    with pytest.raises(InputError, match="no deleted gene is measured and has controls in its block"):
        effects_of_samples(values, genes, target, "none", block * 0 + np.where(target == "none", 0, 1))
    with pytest.raises(InputError, match="10 degrees of freedom between them; found 0"):
        effects_of_samples(values, genes, target, "none", np.arange(30))


# --- edges of knock-outs, and intervals -----------------------------------------------------------------


def test_edges_task__takes_regulators_with_targets_and_no_gaps():
    rng = np.random.default_rng(4)
    values = rng.gamma(3, size=(60, 12))
    values[3, 5] = np.nan
    data = AnnData(values)
    data.var_names = [f"g{i}" for i in range(12)]
    edges = pd.DataFrame(
        {"regulator": ["g0", "g0", "g0", "g1", "g1", "g9"], "target": ["g2", "g3", "g5", "g2", "g4", "zz"]}
    )
    read = {"kind": "bulk", "scale": "additive"}
    task = edges_task(data, edges, name="knock-outs", n_genes=5, values=read)
    assert task.genes == ("g0", "g2", "g3")
    real = task.effects[task.effects["q_value"] < 0.05]
    assert set(zip(real["regulator"], real["target"], strict=True)) == {("g0", "g2"), ("g0", "g3")}
    six = edges_task(data, edges, name="knock-outs", n_genes=6, values=read)
    assert set(six.effects["regulator"]) == {"g0", "g1"}
    assert "g5" not in six.genes
    with pytest.raises(InputError, match="measured together with a target"):
        edges_task(data[:, ["g0", "g5"]].copy(), edges, name="none", values=read)
    with pytest.raises(InputError, match="which logs do not"):
        edges_task(data, edges, name="logs", values={"kind": "bulk", "scale": "log"})


def effects_table(rng, n_regulators, n_targets, share_real):
    """Regulators that differ in how many of their targets are real."""
    rows = []
    for r in range(n_regulators):
        p = rng.beta(2, 2 / share_real - 2)
        for t in range(n_targets):
            real = rng.random() < p
            rows.append((f"r{r}", f"t{t}", 0.0, rng.gamma(2 + 2 * real), 0.0, 0.001 if real else 0.9))
    columns = ["regulator", "target", "difference", "wasserstein", "p_value", "q_value"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.calibration
def test_effect_intervals__cover_the_truth():
    """Means over all regulators that could be: covered in at least the 0.1 % quantile of 93 % of 150 runs."""
    rng = np.random.default_rng(5)
    names = (*(f"r{i}" for i in range(25)), *(f"t{i}" for i in range(20)))
    hits = {"mean_effect": 0, "false_omission": 0}
    for _ in range(150):
        effects = effects_table(rng, 25, 20, 0.3)
        arrows = np.zeros((45, 45), dtype=bool)
        arrows[:25, 25:] = rng.random((25, 20)) < 0.4
        ends = effect_intervals(Graph(names, arrows, np.zeros_like(arrows)), effects, rng)
        for name, truth in (("mean_effect", 2 + 2 * 0.3), ("false_omission", 0.3)):
            low, high = ends[name]
            hits[name] += low <= truth <= high
    floor = stats.binom.ppf(0.001, 150, 0.93)
    assert min(hits.values()) >= floor, hits


def test_effect_intervals__hold_the_value_and_need_three_genes():
    rng = np.random.default_rng(6)
    effects = effects_table(rng, 8, 6, 0.4)
    names = (*(f"r{i}" for i in range(8)), *(f"t{i}" for i in range(6)))
    weights = rng.random((14, 14)) * ~np.eye(14, dtype=bool)
    arrows = weights > 0.6
    found = Graph(names, arrows, np.zeros((14, 14), dtype=bool), weights)
    scores, ends = effect_metrics(found, effects), effect_intervals(found, effects, rng)
    assert ends.pop("n_joined") == (None, None)
    for name, (low, high) in ends.items():
        value = scores[name]
        assert low <= value <= high
    few = effects[effects["regulator"].isin(["r0", "r1"])]
    assert set(effect_intervals(found, few, rng).values()) == {(None, None)}


# --- in a benchmark ----------------------------------------------------------------------------------------


def test_benchmark__of_a_file_with_interventions(tmp_path):
    rng = np.random.default_rng(7)
    target = np.repeat(np.array(["none", "A", "B", "C"], dtype=object), [700, 60, 60, 60])
    a = rng.poisson(np.where(target == "A", 1.0, rng.gamma(3, 10, 880)))
    b = np.where(target == "B", 0, rng.poisson(2 * a + 5))
    c = np.where(target == "C", 0, rng.poisson(b / 2 + 5))
    rest = rng.poisson(900, (880, 2))
    screen = AnnData(np.column_stack([a, b, c, rest]).astype(float))
    screen.var_names = ["A", "B", "C", "D", "E"]
    screen.obs_names = [f"cell{i}" for i in range(880)]
    screen.obs["target"] = target
    screen.write_h5ad(tmp_path / "screen.h5ad")
    spec = {
        "tasks": [
            {
                "file": str(tmp_path / "screen.h5ad"), "perturbation": "target", "control": "none",
                "name": "mine", "values": {"kind": "single-cell"},
            }
        ],
        "pools": [{"cells": [1, 10]}],
        "methods": ["partial_correlation"],
        "n_pools": 60,
        "check": False,
    }  # fmt: skip
    table = run_benchmark(tmp_path / "out", spec, threads=1).table
    own = table[table["method"] == "partial_correlation"]
    rows = own.set_index(["n_cells", "metric"]).sort_index()
    assert set(rows.index.get_level_values("metric")) == {
        "n_joined",
        "mean_effect",
        "false_omission",
        "effect_auprc",
    }
    one = rows.loc[(1, "mean_effect")]
    assert one["low"] <= one["value"] <= one["high"]
    assert set(table["task"]) == {"mine"}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"file": "a.h5ad"}, "perturbation of a file"),
        ({"file": "a.h5ad", "edges": "e.csv", "perturbation": "t"}, "or edges; found both"),
        ({"file": "a.h5ad", "edges": "e.csv", "genes": 1}, "genes must be"),
        ({"file": "a.h5ad", "edges": "e.csv", "values": {"sclae": "counts"}}, "values has no entry 'sclae'"),
        ({"file": "a.h5ad", "edges": "e.csv", "values": "counts"}, "values must name options"),
        ({"fiel": "a.h5ad"}, "a task is one of model, random, dataset, file"),
    ],
)
def test_spec__refuses_in_one_line(task, words):
    with pytest.raises(InputError, match=words) as caught:
        read_spec({"tasks": [task], "pools": [{"cells": 1}], "methods": ["pc"]})
    assert "\n" not in str(caught.value)
