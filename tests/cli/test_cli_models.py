"""`poolproof check` and `poolproof simulate`, end to end: answers, files, and refusals in one line."""

import json
import stat

import anndata
import numpy as np
import pytest
from browser import Page
from helpers import one_line

from poolproof import list_models
from poolproof.cli.models import check_command, simulate_command

FORK = """
name: fork
genes:
  Y: {noise: "gamma(2, 1)"}
  X: {equation: "Y**2 + 0.15*N", noise: "normal(0, 1)"}
  Z: {equation: "Y/5 + 0.2*N", noise: "normal(0, 1)"}
aggregation: sum
cells: 20
"""


@pytest.fixture
def fork(tmp_path):
    path = tmp_path / "fork.yaml"
    path.write_text(FORK, encoding="utf-8")
    return path


# --- check ----------------------------------------------------------------------------------------------


def test_check__prints_the_answer(call, fork):
    done = call("check", fork)
    assert done.code == 0
    assert done.err == ""
    assert done.out.startswith("fork, pooled by sum, 20 cells in a pool\nVerdict: markov-class\n")
    assert "Witness for X." in done.out


@pytest.mark.parametrize("name", ["affine-grn", "fork-section4"])
def test_check__exit_code_is_0_whatever_the_verdict(call, name):
    assert call("check", "--example", name, "--no-monte-carlo").code == 0


def test_check__json_has_the_stable_keys(call, fork):
    done = call("check", fork, "--json")
    assert done.code == 0
    assert done.err == ""
    content = json.loads(done.out)
    assert list(content)[:4] == ["name", "aggregation", "cells", "verdict"]
    assert {"mechanisms", "separations", "lost_dependences", "monte_carlo"} < set(content)
    assert set(content["mechanisms"][0]) >= {"gene", "parents", "ffc", "quantifier", "rule", "witness"}
    named = {"x", "y", "given", "cic", "quantifier", "rule", "limit_partial_correlation"}
    assert set(content["separations"][0]) >= named


def test_check__options_reach_the_answer(call):
    done = call(
        "check", "--example", "fork-section4", "--json", "--aggregation", "{log1p: mean, scale: 2}",
        "--cells", "7", "--max-given", "0", "--pools", "500", "--seed", "3",
    )  # fmt: skip
    content = json.loads(done.out)
    assert content["aggregation"] == {"log1p": "mean", "scale": 2.0}
    assert content["cells"] == 7
    assert content["separations"] == []
    settings = content["settings"]
    assert (settings["max_given"], settings["n_pools"], settings["seed"]) == (0, 500, 3)
    done = call(
        "check", "--example", "fork-affine-arm", "--json", "--cells", "poisson(20)", "--no-monte-carlo"
    )
    content = json.loads(done.out)
    assert content["cells"] == "poisson(20)"
    assert content["monte_carlo"] is None
    assert content["settings"]["monte_carlo"] is False


def test_check__writes_a_page(call, fork, tmp_path):
    out = tmp_path / "page.html"
    done = call("check", fork, "--out", out)
    assert done.code == 0
    assert done.err == f"Page: {out}\n"
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert [c for _, c in page.all("title")] == ["poolproof: markov-class (fork)"]
    assert '"gamma(2, 1)"' in text
    assert "equation: Y**2 + 0.15*N" in text  # the model file
    assert "<b>2 of 3</b><span>mechanisms" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fork.yaml", "page.html"]


def test_check__page_keeps_what_is_there_unless_forced(call, fork, tmp_path):
    out = tmp_path / "page.html"
    out.write_text("mine")
    one_line(call("check", fork, "--out", out), "exists", "--force")
    assert out.read_text() == "mine"
    done = call("check", fork, "--out", out, "--force", "--quiet", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["name"] == "fork"
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_check__same_seed_same_answer_and_page(call, tmp_path):
    pages = []
    for name in ("a.html", "b.html"):
        assert call("check", "--example", "chain-nongaussian", "--out", tmp_path / name).code == 0
        pages.append((tmp_path / name).read_text(encoding="utf-8"))
    assert pages[0] == pages[1]


def test_check__lists_the_examples(call):
    done = call("check", "--list-examples")
    assert [line.split(": ", 1) for line in done.out.splitlines()] == [list(e) for e in list_models().items()]
    content = json.loads(call("check", "--list-examples", "--json").out)
    assert {entry["name"]: entry["shows"] for entry in content} == list_models()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["expected a model file or --example NAME; found none"]),
        (["x.yaml", "--example", "ecoli70"], ["found both"]),
        (["missing.yaml"], ["missing.yaml"]),
        (["--example", "nonsense\x1b[31m"], ["found 'nonsense\\\\x1b[31m'"]),
        (["--example", "and-gate", "--aggregation", "summ"], ["--aggregation", "'summ'"]),
        (["--example", "and-gate", "--aggregation", "{weights: [1, 2}"], ["--aggregation", "in braces"]),
        (["--example", "and-gate", "--aggregation", "{" * 5000], ["--aggregation"]),
        (["--example", "and-gate", "--aggregation", "{weights: [1, 2]}"], ["2 weights", "10 cells"]),
        (["--example", "and-gate", "--cells", "0"], ["cells"]),
        (["--example", "and-gate", "--cells", "poison(2)"], ["--cells"]),
        (["--example", "and-gate", "--cells", "__import__('os')"], ["--cells"]),
        (["--example", "and-gate", "--cells", "9" * 40], ["--cells"]),
        (["--example", "and-gate", "--pools", "5"], ["--pools"]),
        (["--example", "and-gate", "--seed", "-1"], ["--seed"]),
        (["--example", "and-gate", "--out", "."], ["is a folder"]),
        (["--example", "and-gate", "--out", "no/such/page.html"], ["does not exist"]),
    ],
)
def test_check__refuses_in_one_line(call, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_line(call("check", *arguments), *words)
    assert list(tmp_path.iterdir()) == []


def test_check__a_bad_model_names_the_place_in_the_file(call, fork):
    fork.write_text(FORK.replace("Y/5", "Q/5"), encoding="utf-8")
    one_line(call("check", fork), "fork.yaml", "genes.Z.equation", "'Q'")


# --- simulate -------------------------------------------------------------------------------------------


def test_simulate__writes_pools_with_the_truth(call, fork, tmp_path):
    out = tmp_path / "pools.h5ad"
    done = call("simulate", fork, "--pools", "300", "--cells", "5", "--seed", "4", "--out", out)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"300 pools x 3 genes: {out}\n"
    adata = anndata.read_h5ad(out)
    assert adata.shape == (300, 3)
    assert set(adata.obs["n_cells"]) == {5}
    truth = adata.uns["poolproof_simulation"]
    assert truth["edges"].to_numpy().tolist() == [["Y", "X"], ["Y", "Z"]]
    settings = json.loads(truth["settings"])
    assert (settings["pools"], settings["cells"], truth["seed"]) == (300, 5, 4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fork.yaml", "pools.h5ad"]
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE(fork.stat().st_mode)


def test_simulate__every_option_reaches_the_file(call, tmp_path):
    out = tmp_path / "pools.h5ad"
    done = call(
        "simulate", "--example", "cell-types", "--pools", "40", "--cells", "poisson(20)", "--out", out,
        "--heterogeneity", "0.5", "--composition", "3", "--counts", "negative-binomial",
        "--mean-depth", "500", "--size-factor-cv", "0.2", "--dispersion", "0.3", "--dropout", "0.1",
        "--keep-cells", "--quiet",
    )  # fmt: skip
    assert (done.code, done.out, done.err) == (0, "", "")
    adata = anndata.read_h5ad(out)
    settings = json.loads(adata.uns["poolproof_simulation"]["settings"])
    assert {k: v for k, v in settings.items() if k != "model"} == {
        "pools": 40,
        "cells": "poisson(20)",
        "heterogeneity": 0.5,
        "composition": 3.0,
        "counts": "negative-binomial",
        "mean_depth": 500.0,
        "size_factor_cv": 0.2,
        "dispersion": 0.3,
        "dropout": 0.1,
    }
    assert np.array_equal(adata.X, np.rint(adata.X))
    assert adata.uns["poolproof_cells"].n_obs == adata.obs["n_cells"].sum()


def test_simulate__keeps_what_is_there_unless_forced(call, fork, tmp_path):
    out = tmp_path / "pools.h5ad"
    out.write_text("mine")
    one_line(call("simulate", fork, "--out", out), "exists", "--force")
    assert out.read_text() == "mine"
    assert call("simulate", fork, "--pools", "10", "--out", out, "--force").code == 0
    assert anndata.read_h5ad(out).n_obs == 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--example", "and-gate"], ["--out"]),
        (["--example", "and-gate", "--out", "pools.csv"], [".h5ad", "pools.csv"]),
        (["--out", "pools.h5ad"], ["found none"]),
        (["--example", "and-gate", "--out", "pools.h5ad", "--composition", "1"], ["cell types"]),
        (["--example", "and-gate", "--out", "pools.h5ad", "--mean-depth", "10"], ["counts"]),
        (["--example", "and-gate", "--out", "pools.h5ad", "--cells", "normal(5, 1)"], ["cells"]),
        (["--example", "and-gate", "--out", "no/such/pools.h5ad"], ["does not exist"]),
        (["--example", "and-gate", "--out", "pools.h5ad", "--pools", "0"], ["--pools"]),
    ],
)
def test_simulate__refuses_in_one_line_and_leaves_nothing(call, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_line(call("simulate", *arguments), *words)
    assert list(tmp_path.iterdir()) == []


# --- help -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [check_command, simulate_command])
def test_help__describes_every_option(command):
    assert command.help
    assert "Example: poolproof" in command.help
    options = [p for p in command.params if p.param_type_name == "option"]
    assert all(option.help for option in options)
    assert all(option.help.endswith((".", "].", "]", "HTML.", "']")) for option in options)
