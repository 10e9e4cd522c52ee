"""Bends that are small but certain; numbers of cells that are large; a limit of time."""

import pytest

from poolproof import InputError, check

NORMAL = "normal(0, 1)"


def row(x, z, y="gamma(2, 1)", cells=20, aggregation="sum", **options):
    genes = {
        "Y": {"noise": y},
        "X": {"equation": x, "noise": NORMAL},
        "Z": {"equation": z, "noise": NORMAL},
    }
    model = {"name": "fork", "genes": genes, "aggregation": aggregation, "cells": cells}
    found = check(model, monte_carlo=False, **options)
    return next(s for s in found.summary["separations"] if s["given"] == ["Y"]), found


@pytest.mark.parametrize(
    ("x", "z", "y", "cells", "what"),
    [
        ("Y + 0.0001*Y**2 + N", "Y + 0.0001*exp(Y) + N", "uniform(1, 1.1)", 20, "means"),
        ("Y + 0.01*Y**2 + N", "Y + tanh(Y) + N", "uniform(1, 1.01)", 20, "means"),
        ("Y + 0.0001*Y**2 + N", "tanh(Y) + N", "gamma(2, 1)", 100, "means"),
        ("Y*N", "exp(Y/3)*N", "gamma(2, 1)", 200, "variances"),
        ("abs(Y - 0.25) + N", "Y + 0.001*Y**2 + N", "lognormal(0, 0.5)", 3, "means"),
        ("Y*N", "tanh(Y) + N", "uniform(0, 1)", 100, "variances and means"),
    ],
)
def test_bends__are_seen_however_small_and_their_size_is_said(x, z, y, cells, what):
    found, _ = row(x, z, y, cells)
    assert (found["cic"], found["quantifier"]) == ("fails", "law")
    assert f"the {what} of both move together: a bend of" in found["rule"]


def test_bends__of_both_variances_under_weights():
    found, _ = row("Y*N", "exp(Y/3)*N", cells=3, aggregation={"weights": [1, 2, 3]})
    assert (found["cic"], found["quantifier"]) == ("fails", "law")


@pytest.mark.parametrize("x", ["2*Y + N", "Y + sin(Y)**2 + cos(Y)**2 + N", "(Y + 1)**2 - Y**2 + N"])
def test_lines__in_other_words_are_no_bends(x):
    found, _ = row(x, "tanh(Y) + N", "uniform(1, 1.01)")
    assert found["cic"] == "holds"


@pytest.mark.parametrize(
    ("aggregation", "cells", "x", "form"),
    [
        ("max", 1000, "exp(Y)", "holds"),
        ("max", 1000, "1/(1 + Y)", "fails"),
        ("max", 1000, "Y**2 + N", "fails"),
        ("median", 101, "Y**2", "holds"),
        ("median", 1000, "Y**2 + N", "fails"),
        ("median", 6, "Y**2", "fails"),
    ],
)
def test_median_and_maximum__at_many_cells(aggregation, cells, x, form):
    noise = {"noise": NORMAL} if "N" in x else {}
    genes = {"Y": {"noise": "gamma(2, 1)"}, "X": {"equation": x, **noise}, "Z": {"kernel": "poisson(Y)"}}
    model = {"name": "order", "genes": genes, "aggregation": aggregation, "cells": cells}
    found = check(model, monte_carlo=False).summary
    assert found["mechanisms"][1]["ffc"] == form
    if form == "holds":
        assert [s["cic"] for s in found["separations"]] == ["holds"]


@pytest.mark.parametrize(
    ("genes", "kept"),
    [
        ({"Y": {"equation": "X + N", "noise": "poisson(2)"}}, True),
        ({"Y": {"kernel": "binomial(X, 0.4)"}}, True),
        ({"W": {"kernel": "binomial(X, 0.5)"}, "Y": {"kernel": "binomial(W, 0.4)"}}, True),
        ({"Y": {"equation": "X + N", "noise": "bernoulli(0.5)"}}, False),
        ({"Y": {"equation": "2*X + N", "noise": "poisson(2)"}}, False),
    ],
)
def test_poisson_counts__and_their_parts_are_read_backwards(genes, kept):
    bent = {"equation": "Y**2 + N", "noise": NORMAL}
    model = {
        "name": "parts",
        "genes": {"X": {"noise": "poisson(3)"}, **genes, "Z": bent},
        "aggregation": "sum",
    }
    rows = check(model | {"cells": 5}, monte_carlo=False).summary["separations"]
    first = "W" if "W" in genes else "X"
    row = next(s for s in rows if (s["x"], s["y"], s["given"]) == (first, "Z", ["Y"]))
    assert (row["cic"] == "holds") == kept, row["rule"]


def test_time_limit__ends_undecided_and_says_so():
    found, whole = row("tanh(Y) + N", "Y**2 + N", time_limit=1e-9)
    assert (found["cic"], found["rule"]) == ("undecided", "not judged: the time limit was reached")
    assert whole.verdict == "undecided"
    assert "The time limit of 1e-09 s was reached: not all was judged." in whole.summary["reasons"]
    assert {m["ffc"] for m in whole.summary["mechanisms"] if m["parents"]} == {"undecided"}
    unlimited, _ = row("tanh(Y) + N", "Y**2 + N", time_limit=None)
    assert unlimited["cic"] == "fails"


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_time_limit__must_be_above_zero(seconds):
    with pytest.raises(InputError, match="time_limit must be above 0 seconds"):
        row("Y + N", "Y + N", time_limit=seconds)
