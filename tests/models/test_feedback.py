"""Models with feedback: unrolled over steps, or at the only steady state."""

from itertools import product

import networkx as nx
import numpy as np
import pytest

from poolproof import InputError
from poolproof.models import read_any
from poolproof.theory import check

CIRCLE = """
name: circle
genes:
  X: {equation: "0.5*Y + N", noise: "gamma(2, 1)"}
  Y: {equation: "-0.4*X + Z + N", noise: "normal(0, 1)"}
  Z: {noise: "uniform(0, 1)"}
  W: {equation: "2*Y + N", noise: "normal(0, 1)"}
aggregation: sum
cells: 5
"""
SWITCH = "targets, factors\nA, A\nX, A & !Y\nY, X | Z\nZ, !X\n"


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_circle_asks_when_cells_are_seen(tmp_path):
    with pytest.raises(InputError, match="steps 3, or steady_state=True"):
        read_any(write(tmp_path, "switch.bnet", SWITCH))
    with pytest.raises(InputError, match="a cycle: X -> Y -> X"):
        read_any(write(tmp_path, "circle.yaml", CIRCLE))
    with pytest.raises(InputError, match="choose one"):
        read_any(write(tmp_path, "circle.yaml", CIRCLE), steps=2, steady_state=True)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_steps_are_those_of_synchronous_updates(tmp_path, steps):
    model = read_any(write(tmp_path, "switch.bnet", SWITCH), steps=steps)
    assert model.observed == ("A", "X", "Y", "Z")
    cells = model.scm.sample(4000, np.random.default_rng(steps))
    column = dict(zip(model.scm.gene_names, cells.T, strict=True))
    counted = {}
    for a, x, y, z in product((0, 1), repeat=4):
        for _ in range(steps):
            x, y, z = int(a and not y), int(x or z), int(not x)
        counted[a, x, y, z] = counted.get((a, x, y, z), 0) + 1 / 16
    seen = np.stack([column[g] for g in "AXYZ"], axis=1)
    states, times = np.unique(seen, axis=0, return_counts=True)
    assert {tuple(map(int, s)) for s in states} == set(counted)
    for state, n in zip(states, times, strict=True):
        share = counted[tuple(map(int, state))]
        assert abs(n / len(seen) - share) < 5 * np.sqrt(share * (1 - share) / len(seen)) + 1e-9


def test_statements_are_about_the_genes_that_are_seen(tmp_path):
    found = check(read_any(write(tmp_path, "switch.bnet", SWITCH), steps=2), cells=3)
    named = {g for s in found.summary["separations"] for g in (s["x"], s["y"], *s["given"])}
    assert named <= {"A", "X", "Y", "Z"}
    assert list(found.mechanisms["gene"]) == ["A", "X", "Y", "Z"]
    assert found.verdict != "recoverable"
    assert "after 2 steps" in str(found)


def test_a_linear_steady_state_solves_the_equations(tmp_path):
    model = read_any(write(tmp_path, "circle.yaml", CIRCLE), steady_state=True)
    cells = dict(zip(model.scm.gene_names, model.scm.sample(500, np.random.default_rng(0)).T, strict=True))
    noise = {g: cells[f"noise of {g}"] for g in "XYZW"}
    assert cells["X"] == pytest.approx(0.5 * cells["Y"] + noise["X"])
    assert cells["Y"] == pytest.approx(-0.4 * cells["X"] + cells["Z"] + noise["Y"])
    assert cells["W"] == pytest.approx(2 * cells["Y"] + noise["W"])


def test_pools_of_a_linear_steady_state_keep_what_the_circle_says(tmp_path):
    model = read_any(write(tmp_path, "circle.yaml", CIRCLE), steady_state=True)
    found = check(model)
    assert set(found.mechanisms["ffc"]) == {"holds"}
    listed = {(s.x, s.y, s.given) for s in found.table.itertuples()}
    assert ("X", "W", "Y") in listed
    assert ("X", "Z", "") not in listed
    assert ("X", "Z", "Y") not in listed  # the circle opens Y
    assert set(found.table["cic"]) == {"holds"}
    assert found.verdict == "markov-class"
    # by the exact covariance of pools, which is that of cells
    total = np.linalg.inv(np.eye(4) - np.array([[0, 0.5, 0, 0], [-0.4, 0, 1, 0], [0, 0, 0, 0], [0, 2, 0, 0]]))
    covariance = total @ np.diag([2, 1, 1 / 12, 1]) @ total.T
    place = {g: i for i, g in enumerate("XYZW")}
    for s in found.table.itertuples():
        chosen = [place[g] for g in (s.x, s.y, *(s.given.split(", ") if s.given else []))]
        precision = np.linalg.inv(covariance[np.ix_(chosen, chosen)])
        assert abs(precision[0, 1]) < 1e-9, s
    assert set(check(model, cells="poisson(5)").table["cic"]) == {"undecided"}


def test_a_gene_without_noise_leaves_a_linear_circle_open(tmp_path):
    text = CIRCLE.replace('W: {equation: "2*Y + N", noise: "normal(0, 1)"}', 'W: {equation: "2*Y"}')
    found = check(read_any(write(tmp_path, "circle.yaml", text), steady_state=True))
    assert set(found.table["cic"]) <= {"undecided", "fails", "holds"}
    assert "holds" not in set(found.table["cic"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (CIRCLE.replace("0.5*Y", "-3*Y"), "come to no steady state"),
        (CIRCLE.replace("0.5*Y", "tanh(Y)"), "a steady state is found for linear equations"),
    ],
)
def test_without_a_unique_steady_state_nothing_is_said(tmp_path, text, says):
    with pytest.raises(InputError) as caught:
        read_any(write(tmp_path, "circle.yaml", text), steady_state=True)
    assert says in str(caught.value)


def test_boolean_fixed_points_are_counted(tmp_path):
    with pytest.raises(InputError, match="fixed points"):
        read_any(write(tmp_path, "two.bnet", "X, Y\nY, X\n"), steady_state=True)
    with pytest.raises(InputError, match="0 fixed points"):
        read_any(write(tmp_path, "none.bnet", "X, !Y\nY, X\n"), steady_state=True)
    path = write(tmp_path, "one.bnet", "X, A & Y | B\nY, X & B\nZ, X | Z & A & !A\n")
    model = read_any(path, steady_state=True)
    cells = dict(zip(model.scm.gene_names, model.scm.sample(500, np.random.default_rng(0)).T, strict=True))
    assert np.array_equal(cells["X"], np.minimum(1, cells["A"] * cells["Y"] + cells["B"]))
    assert np.array_equal(cells["Y"], cells["X"] * cells["B"])
    assert np.array_equal(cells["Z"], cells["X"])
    assert nx.is_directed_acyclic_graph(model.scm.graph)


def test_names_of_functions_stay_when_genes_are_renamed(tmp_path):
    text = """
name: names
genes:
  exp: {equation: "tanh(exp(-exp)) + 0.1*`a-b` + N", noise: "normal(0, 1)"}
  a-b: {equation: "0.5*exp + N", noise: "normal(0, 1)"}
aggregation: sum
cells: 2
"""
    model = read_any(write(tmp_path, "names.yaml", text), steps=2)
    shown = model.scm.genes["exp"].text
    assert shown == "tanh(exp(-`exp@1`)) + 0.1*`a-b@1` + N"
    assert model.scm.parents("exp") == ("exp@1", "a-b@1")
