"""The answer on the terminal: everything said, what fails first, never wider than 100 columns."""

import copy

import pytest
from model_toys import FORK, LONG, renamed

from poolproof.theory import check_text
from poolproof.theory.affine_form import FAILS, HOLDS, LAW, LIMIT, UNDECIDED, UNIFORM
from poolproof.theory.conditions import MARKOV_CLASS, NOT_RECOVERABLE, PARTIAL, RECOVERABLE
from poolproof.theory.text import (
    MAX_ROWS,
    ORDER,
    QUANTIFIERS,
    VERDICTS,
    display_width,
    monte_carlo_sentence,
    pool_tables,
    statement_text,
)

"""A check written by hand, with one of everything."""


def part(text, start):
    """Lines of the part that begins so."""
    (found,) = [p.split("\n") for p in text.split("\n\n") if p.startswith(start)]
    return found


def test_check_text__says_verdict_and_reasons_first():
    lines = check_text(FORK).split("\n")
    assert lines[0] == "fork, pooled by sum, 20 cells in a pool"
    assert lines[1] == "Verdict: partial"
    assert " ".join(lines[2:4]) == VERDICTS["partial"]
    assert lines[4] == f"- {FORK['reasons'][0]}"
    assert lines[5] == "- Surviving edges: Y -> Z"


def test_check_text__random_number_of_cells():
    first = check_text(FORK | {"cells": "poisson(20)", "aggregation": {"log1p": "sum"}}).split("\n")[0]
    assert first == 'fork, pooled by {"log1p": "sum"}, poisson(20) cells in a pool'


@pytest.mark.parametrize("verdict", VERDICTS)
def test_check_text__explains_every_verdict(verdict):
    text = check_text(FORK | {"verdict": verdict})
    assert " ".join(VERDICTS[verdict].split()) in " ".join(text.split())


def test_verdicts__are_those_of_the_decision():
    words = (RECOVERABLE, MARKOV_CLASS, PARTIAL, NOT_RECOVERABLE, UNDECIDED)
    assert set(VERDICTS) == set(words)
    assert set(QUANTIFIERS) == {UNIFORM, LAW, LIMIT}
    assert set(ORDER) == {HOLDS, FAILS, UNDECIDED}


def test_check_text__mechanisms_fails_first():
    lines = part(check_text(FORK), "Mechanisms")
    assert [line.split()[:2] for line in lines[2:]] == [
        ["X", "fails"],
        ["K", "fails"],
        ["Y", "holds"],
        ["Z", "holds"],
    ]
    assert lines[2] == "  X     fails  law      not affine"


def test_check_text__separations_fails_first_with_limit_and_rule():
    lines = part(check_text(FORK), "Conditional")
    assert lines[2].split("  ")[1:2] == ["X _||_ K | Y"]
    assert "fails  limit    -0.507   partial correlation of many cells" in lines[2]
    assert "holds  uniform  0.000 " in lines[3]  # no minus before a zero
    folded = " ".join(" ".join(lines[4:]).split())
    assert "a reversed kernel depends on the sum only; under some other law it breaks" in folded
    assert "uniform: for all laws of the noises; law: for the laws" in folded


def test_check_text__cuts_long_tables_and_says_how_many_are_left():
    many = copy.deepcopy(FORK)
    holds, fails = FORK["separations"][0], FORK["separations"][1]
    many["separations"] = [holds] * 60 + [fails]
    lines = part(check_text(many), "Conditional")
    assert "fails" in lines[2]
    assert sum("_||_" in line for line in lines) == MAX_ROWS
    assert "  ... and 36 more: --json or --out" in lines
    many["mechanisms"] = [FORK["mechanisms"][2]] * 30
    text = check_text(many)
    assert "  ... and 5 more: --json or --out" in part(text, "Mechanisms")
    assert text.endswith("... and 22 more witnesses: --json or --out")


def test_check_text__writes_a_witness_out():
    assert "\n".join(part(check_text(FORK), "Witness for X")) == (
        "Witness for X. The parents pool to the same values, no cell's noise differs, and X pools to "
        "another.\n18 more cells, the same in both, complete the pools.\n"
        "  pool A                   pool B\n"
        "  cell    Y    N    X      cell    Y    N    X\n"
        "  1       0  0.5  0.5      1-2     1  0.5  1.5\n"
        "  2       2  0.5  4.5\n"
        "  -------------------      -------------------\n"
        "  pooled  2    1    5      pooled  2    1    3"
    )


def test_check_text__writes_the_cumulants_of_a_kernel_out():
    lines = part(check_text(FORK), "Witness for K")
    assert "other cumulants. One more cell" in " ".join(lines[:2])
    assert [line.split() for line in lines if "variance" in line] == [["variance", "4", "variance", "2"]]


def test_check_text__lost_dependences_and_monte_carlo():
    text = check_text(FORK)
    assert part(text, "Lost")[2].split() == ["X", "~", "Z", "|", "K", "collider", "0.000"]
    assert "1 separation tested in 2,000 simulated pools (seed 0), 1 found broken" in text
    assert "Lost" not in check_text(FORK | {"lost_dependences": []})
    assert "none to judge" in check_text(FORK | {"separations": []})


def test_monte_carlo_sentence__tells_switched_off_from_not_needed():
    off = {"monte_carlo": None, "settings": {"monte_carlo": False}}
    on = {"monte_carlo": None, "settings": {"monte_carlo": True}}
    assert "switched off" in monte_carlo_sentence(off)
    assert "not needed" in monte_carlo_sentence(on)


def test_statement_text__nothing_given():
    assert statement_text({"x": "A", "y": "B", "given": []}) == "A _||_ B"


HOSTILE = {
    "Y": LONG,
    "X": "\x1b[31mred\x07",
    "Z": "abc‮dcba",
    "K": "遺伝子" * 40,
    "fork": "a\nb\r",
    "not affine": f"not affine in {'w' * 300}",
}


@pytest.mark.parametrize("cells", [20, "poisson(20)\x1b[31m"])
@pytest.mark.parametrize("aggregation", ["sum", {"weights": [0.123456789] * 40}])
def test_check_text__stays_narrow_and_printable_whatever_the_names(cells, aggregation):
    hostile = renamed(FORK, HOSTILE) | {"cells": cells, "aggregation": aggregation}
    hostile["separations"][0]["given"] = [LONG, *(f"gene{i}" for i in range(50))]
    hostile["reasons"] = [f"The direction of {LONG} -> \x1b[31m cannot be told."]
    text = check_text(hostile)
    assert max(map(display_width, text.split("\n"))) <= 100
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\x1b[31mred" in text


def test_check_text__columns_stand_under_their_headings_with_wide_characters():
    lines = part(check_text(renamed(FORK, {"X": "遺伝子"})), "Mechanisms")
    words = (" form", " fails", " holds")
    starts = {display_width(line[: line.index(w)]) for line in lines[1:] for w in words if w in line}
    assert starts == {9}


def cell(y, child, times=1, **more):
    return {"values": {"Y": float(y)}, "child": float(child), "times": times, **more}


def pool_of(cells, y, child):
    return {"cells": cells, "pooled": {"values": {"Y": float(y)}, "child": float(child)}}


def test_pool_tables__cells_alike_share_a_row_and_many_are_cut():
    alike = pool_of([cell(1, 2, times=400)], 400, 800)
    differ = pool_of([cell(i, 0, times=1 + (i == 19)) for i in range(30)], 435, 0)
    few, many = pool_tables("X", {"pools": [alike, differ]})
    assert few.rows == (("1-400", "1", "2"), ("pooled", "400", "800"))
    assert few.heads == ("cell", "Y", "X")
    assert many.n_cells == 20
    assert many.rows[19] == ("20-31", "...", "...")
    assert many.rows[20] == ("pooled", "435", "0")


def test_pool_tables__cell_types_are_shown():
    typed = pool_of([cell(1, 2, cell_type="T"), cell(2, 2, cell_type="other")], 3, 4)
    (table,) = pool_tables("X", {"pools": [typed]})
    assert table.heads == ("cell", "cell type", "Y", "X")
    assert table.rows == (("1", "T", "1", "2"), ("2", "other", "2", "2"), ("pooled", "", "3", "4"))


def test_pool_tables__a_parent_may_be_called_child():
    (table,) = pool_tables("X", {"pools": [{
        "cells": [{"values": {"child": 1.0, "times": 3.0}, "child": 7.0, "times": 1}],
        "pooled": {"values": {"child": 1.0, "times": 3.0}, "child": 7.0},
    }]})  # fmt: skip
    assert table.rows[0] == ("1", "1", "3", "7")


def test_check_text__wide_witnesses_stand_below_each_other():
    wide = copy.deepcopy(FORK)
    names = [f"a_rather_long_name_{i}" for i in range(4)]
    for pool in wide["mechanisms"][2]["witness"]["pools"]:
        for part_of in (*pool["cells"], pool["pooled"]):
            part_of["values"] |= dict.fromkeys(names, 1.0)
    lines = part(check_text(wide), "Witness for X")
    assert "  pool A" in lines
    assert "  pool B" in lines
