"""Pools of cells that are alike: proofs against simulation, Gaussian models against closed forms."""

import networkx as nx
import numpy as np
import pytest

from poolproof import check, read_model, simulate_pools
from poolproof._checks import InputError
from poolproof._grouping import neighbours
from poolproof.theory.alike import gaussian_covariance, is_ancestral
from poolproof.theory.breaks import find_breaks, simulate
from poolproof.theory.pooled_model import PooledModel

FORK = {"Y": "N", "X": "Y + N", "Z": "Y + N"}
COLLIDER = {"X": "N", "Z": "N", "Y": "X + Z + N"}


def model(equations, by, cells=25, noise="normal(0, 1)", kind="sum"):
    genes = {gene: {"equation": text, "noise": noise} for gene, text in equations.items()}
    return read_model(
        {"name": "alike", "genes": genes, "aggregation": {kind: "similarity", "by": by}, "cells": cells}
    )


def answers(found):
    forms = {m["gene"]: m["ffc"] for m in found.summary["mechanisms"]}
    return forms, {(s["x"], s["y"], *s["given"]): s["cic"] for s in found.summary["separations"]}


def rho(found, x, y, *given):
    pooled = PooledModel(found.model, 0)
    place = {gene: i for i, gene in enumerate(pooled.scm.genes)}
    chosen = [place[g] for g in (x, y, *given)]
    inverse = np.linalg.inv(gaussian_covariance(pooled)[np.ix_(chosen, chosen)])
    return -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])


def test_pools_alike_in_the_parent_keep_bent_equations():
    bent = {"Y": "N", "X": "tanh(2*Y) + 0.2*N", "Z": "Y**2 + N"}
    found = check(model(bent, ["Y"]))
    assert found.verdict == "markov-class"
    forms, separations = answers(found)
    assert set(forms.values()) == {"holds"}
    assert separations == {("X", "Z", "Y"): "holds"}
    by_chance = check(model(bent, ["Y"]), aggregation="sum")
    assert answers(by_chance)[0]["X"] == "fails"


@pytest.mark.parametrize("cells", [2, 25, 1000])
def test_pools_alike_in_both_children_break_an_affine_fork(cells):
    """Var E[Y|X,Z] = 2/3 of Var Y = 1, so that 1 - 1/(2/3 + 1/(3 K)) of the covariance is left."""
    found = check(model(FORK, ["X", "Z"], cells))
    assert answers(found)[1] == {("X", "Z", "Y"): "fails"}
    of_y = 2 / 3 + 1 / (3 * cells)
    assert rho(found, "X", "Z", "Y") == pytest.approx((1 - 1 / of_y) / (2 - 1 / of_y), rel=1e-9)
    forms, _ = answers(found)
    assert forms == {"Y": "holds", "X": "fails", "Z": "fails"}


def test_pools_alike_in_one_child_keep_an_affine_gaussian_fork():
    """E[Y|X] = X/2: what is known of X is known to the pooled Y only, and Z follows it."""
    found = check(model(FORK, ["X"]))
    assert answers(found)[1] == {("X", "Z", "Y"): "holds"}
    assert rho(found, "X", "Z", "Y") == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("cells", [2, 25])
def test_pools_alike_in_a_child_join_its_parents(cells):
    """E[X|Y] = Y/3 of Var Y = 3: covariance K/3 - 1/3 beside variances K/3 + 2/3 (over K)."""
    found = check(model(COLLIDER, ["Y"], cells))
    assert answers(found)[1] == {("X", "Z"): "fails"}
    assert rho(found, "X", "Z") == pytest.approx((cells - 1) / (cells + 2), rel=1e-9)


def test_closed_form_agrees_with_neighbours():
    of = model(FORK, ["X"])
    pools, _ = simulate(of.scm, of.aggregation, 25, 4000, 1)
    expected = gaussian_covariance(PooledModel(of, 0))
    seen = np.cov(pools, rowvar=False) / 25
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((seen - expected) / scale).max() < 5 * np.sqrt(2 / 4000)


def test_one_cell_is_a_cell():
    found = check(model({"Y": "N", "X": "tanh(Y) + N", "Z": "Y**2 + N"}, ["X", "Z"], cells=1))
    assert answers(found)[1] == {("X", "Z", "Y"): "holds"}


def test_noise_that_does_not_add_is_left_open():
    forms, _ = answers(check(model({"Y": "N", "X": "exp(Y*N)"}, ["Y"]), monte_carlo=False))
    assert forms["X"] == "undecided"
    forms, _ = answers(check(model({"Y": "N", "X": "exp(Y)*N"}, ["Y"])))
    assert forms["X"] == "holds"


def random_equations(rng, n_genes):
    """A random DAG of bent and affine equations."""
    shapes = ("tanh({})", "0.5*{0} + 0.3*{0}**2", "0.8*{}", "{}/(1 + abs({}))")
    equations = {"G0": "N"}
    for i in range(1, n_genes):
        parents = [f"G{j}" for j in range(i) if rng.random() < 0.6]
        parts = [str(rng.choice(shapes)).replace("{0}", "{}").replace("{}", p) for p in parents]
        equations[f"G{i}"] = " + ".join([*parts, "0.6*N"])
    return equations


@pytest.mark.parametrize("seed", range(12))
def test_what_is_proved_is_not_broken_in_neighbours(seed):
    rng = np.random.default_rng(seed)
    of = model(random_equations(rng, 5), [f"G{rng.integers(4)}"], cells=10, noise="uniform(-1.5, 1.5)")
    rows = [s for s in check(of, monte_carlo=False).summary["separations"] if s["cic"] == "holds"]
    place = {gene: i for i, gene in enumerate(of.scm.genes)}
    listed = [(place[s["x"]], place[s["y"]], tuple(place[g] for g in s["given"])) for s in rows]
    found = find_breaks(of.scm, of.aggregation, 10, listed, n_pools=2000, seed=seed)
    assert not any(found.broken)


def test_simulation_finds_what_no_rule_decides():
    found = check(model({"Y": "N", "X": "Y**3 + N", "Z": "Y + N"}, ["X", "Z"], noise="laplace(0, 1)"))
    row = found.summary["separations"][0]
    assert (row["cic"], row["rule"]) == ("fails", "monte-carlo")
    assert found.verdict == "not-recoverable"


def test_ancestral():
    graph = nx.DiGraph([("A", "B"), ("C", "B")])
    assert is_ancestral(graph, ["A", "C", "B"])
    assert not is_ancestral(graph, ["A", "B"])


def test_neighbours_are_runs_and_equally_large():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(60, 1))
    groups = neighbours(values, 12)
    assert np.bincount(groups).tolist() == [5] * 12
    assert (np.diff(groups[np.argsort(values[:, 0])]) >= 0).all()
    wide = rng.normal(size=(700, 3))
    groups = neighbours(wide, 7)
    assert np.bincount(groups).tolist() == [100] * 7
    inside = np.mean([wide[groups == g].var(axis=0) for g in range(7)])
    assert inside < 0.6


@pytest.mark.parametrize(
    ("aggregation", "cells", "said"),
    [
        ({"sum": "similarity", "by": ["Q"]}, 5, "aggregation.by: no gene 'Q' in the model"),
        ({"sum": "similarity", "by": []}, 5, "similarity needs by: a list of different genes"),
        ({"sum": "similarity", "by": ["Y", "Y"]}, 5, "similarity needs by: a list of different genes"),
        ({"sum": "alike", "by": ["Y"]}, 5, "by goes with {sum: similarity}; found 'alike'"),
        ({"sum": "similarity", "by": ["Y"]}, "poisson(5)", "similarity needs a fixed number of cells"),
        ({"sum": "similarity"}, 5, "expected sum, mean"),
    ],
)
def test_refused(aggregation, cells, said):
    genes = {"Y": {"noise": "normal(0, 1)"}, "X": {"equation": "Y + N", "noise": "normal(0, 1)"}}
    with pytest.raises(InputError, match=said.replace("(", r"\(").replace("{", r"\{")):
        read_model({"name": "m", "genes": genes, "aggregation": aggregation, "cells": cells})


def test_spec_comes_back_and_pools_are_not_drawn_singly():
    of = model(FORK, ["Y"], kind="mean")
    assert of.aggregation.spec == {"mean": "similarity", "by": ["Y"]}
    assert read_model(of.to_dict()).aggregation == of.aggregation
    with pytest.raises(InputError, match="cannot be drawn one by one"):
        simulate_pools(of, pools=10)
    logged = read_model(of.to_dict() | {"aggregation": {"log1p": of.aggregation.spec}})
    assert logged.aggregation.alike_in == ("Y",)
