"""The rule of the verdict by hand, and what it says to do next."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from poolproof._names import POPULATION_COLUMNS
from poolproof.verdict.advice import next_steps
from poolproof.verdict.decision import Evidence, decide

CONTROL = {"rejected": 0.2, "rejected_naive": 0.5, "level": 0.05, "n_pairs": 1000, "bend_share": None}


def share(low, high, axis="samples", n_axis=200):
    return {
        "n_pairs": 5000, "bend_share": (low + high) / 2, "low": low, "high": high, "axis": axis,
        "n_axis": n_axis, "status": "ok",
    }  # fmt: skip


def floor(evidence, decided=True):
    found = {"bend_share": 0.3, "floor": 0.1, "excess": 0.2, "limit": 0.05, "n_genes": 150, "n_copies": 19}
    return found | {"evidence": evidence, "decided": decided}


def shape(passed):
    return {"passed": passed, "sentence": "Products of regulators and spreads are said here."}


def of_control(low, high):
    return CONTROL | {
        "rejected": 0.05,
        "bend_share": {"estimate": (low + high) / 2, "low": low, "high": high},
    }


BENT, STRAIGHT, WIDE = share(0.15, 0.3), share(0.0, 0.05), share(0.05, 0.2)
CELLS = {"kind": "single-cell", "scale_tested": "counts"}
BRANCHES = {
    # name: (what the verdict rests on, verdict, words of a reason)
    "bent, above floor": ({"population": BENT, "floor": floor(True)}, "contradicted", "equations are bent"),
    "cells too": ({"population": BENT, "floor": floor(True)} | CELLS, "contradicted", "15.0% to 30.0%"),
    "bent, within the floor": ({"population": BENT, "floor": floor(False)}, "inconclusive", "can have made"),
    "bent, floor not decided": (
        {"population": BENT, "floor": floor(False, decided=False)}, "inconclusive", "is not decided",
    ),
    "bent, no floor": ({"population": BENT}, "inconclusive", "is not decided"),
    "bent, directed": ({"population": BENT, "directed": True}, "contradicted", "directions given"),
    "low at the margin": ({"population": share(0.1, 0.3), "floor": floor(True)}, "inconclusive", "includes"),
    "wide": ({"population": WIDE, "floor": floor(True)}, "inconclusive", "includes the margin of 10%"),
    "straight bulk": ({"population": STRAIGHT, "shape": shape(True)}, "inconclusive", "not confirm"),
    "straight cells": ({"population": STRAIGHT, "shape": shape(True)} | CELLS, "compatible", "said here"),
    "kind guessed": (
        {"population": STRAIGHT, "shape": shape(True), "kind_known": False} | CELLS, "inconclusive", "--kind",
    ),
    "products found": ({"population": STRAIGHT, "shape": shape(False)} | CELLS, "inconclusive", "said here"),
    "products not tested": ({"population": STRAIGHT} | CELLS, "inconclusive", "cannot see products"),
    "too few for products": (
        {"population": STRAIGHT, "shape": shape(None)} | CELLS, "inconclusive", "cannot see products",
    ),
    "high at the margin": (
        {"population": share(0.0, 0.1), "shape": shape(True)} | CELLS, "inconclusive", "includes",
    ),
    "log": (
        {"population": BENT, "floor": floor(True), "scale_tested": "log"}, "inconclusive", "not undone",
    ),
    "control fails": (
        {"population": BENT, "floor": floor(True), "control": CONTROL, "control_passed": False} | CELLS,
        "inconclusive", "rejects 20.0%",
    ),
    "control fails, straight": (
        {"population": STRAIGHT, "shape": shape(True), "control": CONTROL, "control_passed": False} | CELLS,
        "inconclusive", "rejects 20.0%",
    ),
    "control is bent": (
        {"population": BENT, "floor": floor(True), "control": of_control(0.03, 0.05)} | CELLS,
        "inconclusive", "bend share of 4.0%",
    ),
    "control wavers": (
        {"population": BENT, "floor": floor(True), "control": of_control(-0.03, 0.05)} | CELLS,
        "contradicted", "equations are bent",
    ),
    "nothing explained": (
        {"population": share(0.1, 0.2) | {"bend_share": None, "low": None, "high": None}},
        "inconclusive", "does not stand out from chance",
    ),
    "not measured": ({"population": None}, "inconclusive", "does not stand out"),
}  # fmt: skip


def evidence_of(case):
    case = dict(case)
    linearity = {
        "directed": case.pop("directed", False),
        "control": case.pop("control", None),
        "n_pairs_tested": 5000,
    }
    return Evidence(linearity, case.pop("population"), **case)


@pytest.mark.parametrize("branch", BRANCHES.values(), ids=BRANCHES)
def test_decide__every_branch(branch):
    case, expected, words = branch
    verdict, reasons = decide(evidence_of(case))
    assert verdict == expected
    assert any(words in reason for reason in reasons)
    assert any(character.isdigit() for character in reasons[0])


def test_decide__the_margin_is_an_option():
    for margin, expected in ((0.1, "contradicted"), (0.15, "inconclusive"), (0.16, "inconclusive")):
        case = {"population": BENT, "floor": floor(True), "margin": margin}
        assert decide(evidence_of(case))[0] == expected


def test_decide__no_pair_could_be_tested():
    found = Evidence({"directed": False, "control": None, "n_pairs_tested": 0}, None)
    assert decide(found)[1] == ["No pair could be tested: nothing to judge."]


# --- what to do next ---------------------------------------------------------------------------------

TABLE = pd.DataFrame(
    [
        ("regulator", "LINE", 50, 0.02, 0.01, 0.0, 0.04, 0.1, "ok"),
        ("regulator", "<b>BENT</b>", 50, 0.5, 0.1, 0.3, 0.7, 0.1, "ok"),
        ("regulator", "NONE", 50, None, None, None, None, None, "nothing_explained"),
    ],
    columns=[column.name for column in POPULATION_COLUMNS],
)


def steps_of(case, **more):
    found = evidence_of(case)
    return next_steps(found, decide(found)[0], TABLE, **more)


def test_steps__levels_that_are_kept_apart_stay_apart():
    steps = steps_of({"population": BENT, "floor": floor(True)}, unused_labels=["stim"], within=["cell_type"])
    assert any("inside levels of stim (--within cell_type,stim)" in step for step in steps)


def test_steps__listed_pairs_without_a_test_are_counted():
    nothing = evidence_of({"population": BENT, "floor": floor(True)})
    nothing = replace(nothing, population=None)
    steps = next_steps(nothing, "inconclusive", TABLE, untested={"too_few_counts": 380, "constant": 1})
    assert "Of the listed pairs 380 have no test: too few counts." in steps
    assert "Of the listed pairs 1 has no test: constant." in steps
    assert not any("--network" in step for step in steps)
    assert any("--network" in step for step in next_steps(nothing, "inconclusive", TABLE))


def test_next_steps__unused_labels_come_first_and_are_text():
    steps = steps_of({"population": BENT, "floor": floor(True)}, unused_labels=["cell\ttype"])
    assert steps[0].startswith("Audit inside levels of cell\\ttype")


def test_next_steps__a_contradiction_says_what_else_bends_and_which_edges_to_keep():
    steps = steps_of({"population": BENT, "floor": floor(True)}, n_affine=12)
    assert "rule out what else bends" in steps[0]
    kept = next(step for step in steps if step.startswith("Edges to keep"))
    assert "LINE" in kept
    assert "BENT" not in kept
    assert "NONE" not in kept
    assert any("12 pairs are affine" in step for step in steps)


def test_next_steps__bent_without_evidence_asks_for_directions_or_perturbations():
    (step,) = steps_of({"population": BENT, "floor": floor(False)})
    assert "--regulators" in step
    assert "knock-out" in step


def test_next_steps__counts_that_are_too_few_for_a_floor_are_named():
    bent = {"population": BENT, "floor": floor(False), "scale_tested": "counts"}
    step, shallow = steps_of(bent | CELLS, mean_counts=np.array([0.5, 3.0, 14.9, 15.0]))
    assert "knock-out" in step
    assert "3 of 4 genes have fewer than 15 counts a cell" in shallow
    assert "counts a sample" in steps_of(bent, mean_counts=np.array([1.0]))[1]
    assert len(steps_of(bent, mean_counts=np.array([6000.0, 8000.0, 2.0]))) == 1
    assert len(steps_of({"population": BENT, "floor": floor(False)})) == 1


def test_next_steps__an_interval_across_the_margin_says_how_many_would_do():
    # Half width .075, .025 off the margin: nine times as many.
    (step,) = steps_of({"population": WIDE})
    assert "About 1,800 samples" in step
    assert "(now 200)" in step
    (step,) = steps_of({"population": share(0.05, 0.2, axis="replicates", n_axis=8)} | CELLS)
    assert "About 72 replicates" in step
    (step,) = steps_of({"population": share(0.05, 0.15)})
    assert "will not settle" in step


def test_next_steps__says_what_of_an_interval_more_samples_cannot_narrow():
    error = (WIDE["high"] - WIDE["low"]) / 4
    mostly_samples = WIDE | {"standard_error": error, "samples_error": 0.999 * error, "n_modules": 7}
    (step,) = steps_of({"population": mostly_samples})
    assert "About 1,800 samples" in step
    mostly_genes = WIDE | {"standard_error": error, "samples_error": 0.6 * error, "n_modules": 7}
    (step,) = steps_of({"population": mostly_genes})
    assert "At least 1,800 samples" in step
    assert "64% of the variance" in step
    assert "(now 7)" in step


def test_next_steps__logs_are_undone_or_left_for_counts():
    case = {"population": WIDE, "scale_tested": "log"}
    assert "--log-base" in steps_of(case)[0]
    assert "--layer counts" in steps_of(case, counts_elsewhere=("counts",))[0]


@pytest.mark.parametrize("hidden", ["", "hidden_"])
@pytest.mark.parametrize(
    ("product", "spread", "words"),
    [
        ((0.2, 0.3), (0.0, 0.05), "products count"),
        ((0.0, 0.05), (0.2, 0.3), "spread of targets"),
        ((0.05, 0.2), (0.05, 0.2), "Add cells"),
        ((None, None), (None, None), "Add cells"),
    ],
)
def test_next_steps__products_and_spreads_that_are_found_are_named(product, spread, words, hidden):
    straight = {"low": -0.01, "high": 0.01}
    found = shape(False) | dict.fromkeys(("product", "spread", "hidden_product", "hidden_spread"), straight)
    for name, (low, high) in (("product", product), ("spread", spread)):
        found[hidden + name] = {"low": low, "high": high}
    (step,) = steps_of({"population": STRAIGHT, "shape": found} | CELLS)
    assert words in step


def test_next_steps__straight_bulk_asks_for_cells():
    (step,) = steps_of({"population": STRAIGHT})
    assert "single cells" in step
