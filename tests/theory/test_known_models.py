"""Models that were once judged wrongly, each for a kind of fault, with the answer that was worked out for it.

Every witness that `check` shows for them, and for the gallery, is recomputed by plain arithmetic.
"""

import json
import os
from contextlib import suppress

import pytest
from witness_checks import confirm

from poolproof import check
from poolproof.cli import main
from poolproof.models import example_model, list_models, read_model
from poolproof.theory.solver_output import quiet

NORMAL, GAMMA = "normal(0, 1)", "gamma(2, 1)"


def model(aggregation="sum", cells=20, types=None, **genes):
    entries = {}
    for name, how in genes.items():
        kernel = how.startswith("~ ")
        text, _, noise = how.removeprefix("~ ").partition(" ; ")
        entries[name] = (
            {"kernel": text} if kernel else {"equation": text, "noise": noise} if noise else {"noise": text}
        )
        if not noise and not kernel and how.startswith("= "):
            entries[name] = {"equation": text.removeprefix("= ")}
    content = {"name": "known", "genes": entries, "aggregation": aggregation, "cells": cells}
    return content | ({"cell_types": types} if types else {})


BENT_Z = f"Y**2 + N ; {NORMAL}"
TYPES = {"T": {"fraction": 0.5, "genes": {"X": {"equation": "(Y + 1)**2 - Y**2 - 1 + N"}}}}
MODELS = {
    "weights and counts": model({"weights": [1, 2, 3]}, 3, Y=GAMMA, X="~ poisson(Y)", Z="~ poisson(2*Y)"),
    "median of roots": model("median", 5, Y=GAMMA, V=GAMMA, X="= Y + V"),
    "hidden constant share": model("cpm", Y=GAMMA, V=GAMMA, X="1 + max(Y, 0) + N ; gamma(1, 1)"),
    "binary constant share": model("cpm", Y="bernoulli(0.5)", V=GAMMA, X="= (1 - Y)**2"),
    "sums tell the number": model(
        cells="discrete({2: 0.5, 3: 0.5})",
        Y="0.5 + N ; poisson(3)",
        X="1 + 2*Y + N ; exponential(1)",
        Z="2 + Y + N ; gamma(2, 0.5)",
    ),
    "silent maximum": model(
        cells="discrete({2: 0.5, 20: 0.5})", Y=GAMMA, X="= max(Y, 0)", Z="2 + Y + N ; gamma(2, 0.5)"
    ),
    "maximum and minimum": model(Y=GAMMA, X=f"max(Y, N) + min(Y, N) ; {NORMAL}", Z=BENT_Z),
    "trigonometry": model(
        Y=GAMMA, V=GAMMA, X=f"sin(2*Y) - 2*sin(Y)*cos(Y) + V + N ; {NORMAL}", Z=f"V + Y**2 + N ; {NORMAL}"
    ),
    "two halves": model(Y=GAMMA, X=f"hill(Y) + hill_repression(Y) + N ; {NORMAL}", Z=BENT_Z),
    "bound and unbound": model(Y=GAMMA, X=f"Y/(1 + Y) + 1/(1 + Y) + N ; {NORMAL}", Z=BENT_Z),
    "count of a maximum": model(Y=GAMMA, X="~ poisson(max(Y, 0))", Z=BENT_Z),
    "constant gene": model(C="constant(2)", Y=GAMMA, X="~ poisson(1 + Y*C)", Z=f"C*Y + N ; {GAMMA}"),
    "no common measure": model(
        cells=1000,
        B="discrete({0: 0.4, 1: 0.3, 2: 0.3})",
        Y="= sqrt(B)",
        X=f"Y**4 + N ; {NORMAL}",
        Z=f"Y**4 - Y + N ; {NORMAL}",
    ),
    "powers of e": model(
        cells=2, Y="exp(N) ; poisson(1)", X=f"log(Y) + N ; {NORMAL}", Z=f"log(Y)**2 + N ; {NORMAL}"
    ),
    "gap": model(
        cells=2,
        S="bernoulli(0.5)",
        Y="10*S + N ; uniform(0, 1)",
        X=f"Y + 5*threshold(Y, at=5) + N ; {NORMAL}",
        Z="~ bernoulli(0.9 - 0.8*threshold(Y, at=5))",
    ),
    "weights that tell": model(
        {"weights": [1, 2]},
        2,
        A="bernoulli(0.5)",
        C="bernoulli(0.25)",
        X=f"OR(A, C) + N ; {NORMAL}",
        Z=f"AND(A, C) + N ; {NORMAL}",
    ),
    "thinning": model(cells=5, X="poisson(3)", Y="~ binomial(X, 0.4)", Z=BENT_Z),
    "cancelled effect": model(
        E=NORMAL, A=NORMAL, B=NORMAL, D=f"A + E + N ; {NORMAL}", C=f"D - A + B + N ; {NORMAL}"
    ),
    "spliced": model(A="poisson(5)", B="~ binomial(A, 0.5)", X=f"max(A - B, 0) + N ; {NORMAL}"),
    "square link": model(A=GAMMA, B="= A**2", X=f"A + B - A**2 + N ; {NORMAL}"),
    "infinite variance": model(
        Y="N**-0.6 ; uniform(0, 1)", X="Y*N ; exponential(1)", Z="Y*N ; exponential(1)"
    ),
    "types alike": model(types=TYPES, Y=GAMMA, X=f"2*Y + N ; {NORMAL}", Z=f"Y + N ; {NORMAL}"),
    "normal kernel": model(X=GAMMA, Y="~ normal(2*X, 1)"),
    "normal noise": model(X=GAMMA, Y=f"2*X + N ; {NORMAL}"),
    "doublets": model(
        cells="poisson(0.1)", Y=GAMMA, X=f"1 + Y + 0.1*N ; {NORMAL}", Z=f"1 + Y + 0.1*N ; {NORMAL}"
    ),
    "feed-forward": model(cells=5, A="bernoulli(0.5)", B="= NOT(A)", X="= OR(A, B)"),
    "constant edge": model(X=NORMAL, Y=f"sin(X)**2 + cos(X)**2 + N ; {NORMAL}", Z=BENT_Z),
    "nothing times": model(Y=GAMMA, X=f"0*hill(Y) + N ; {NORMAL}"),
}
HOLDS, FAILS = "holds", "fails"
FORMS = {
    ("weights and counts", "X"): FAILS,
    ("hidden constant share", "X"): FAILS,
    ("binary constant share", "X"): FAILS,
    ("sums tell the number", "X"): HOLDS,
    ("sums tell the number", "Z"): HOLDS,
    ("silent maximum", "X"): HOLDS,
    ("silent maximum", "Z"): FAILS,
    ("maximum and minimum", "X"): HOLDS,
    ("trigonometry", "X"): HOLDS,
    ("two halves", "X"): HOLDS,
    ("bound and unbound", "X"): HOLDS,
    ("count of a maximum", "X"): HOLDS,
    ("constant gene", "X"): HOLDS,
    ("no common measure", "X"): HOLDS,
    ("no common measure", "Y"): FAILS,
    ("powers of e", "X"): HOLDS,
    ("gap", "X"): HOLDS,
    ("gap", "Z"): HOLDS,
    ("weights that tell", "X"): HOLDS,
    ("spliced", "X"): HOLDS,
    ("square link", "X"): HOLDS,
    ("square link", "B"): FAILS,
    ("types alike", "X"): HOLDS,
    ("doublets", "X"): FAILS,
    ("feed-forward", "X"): HOLDS,
    ("nothing times", "X"): HOLDS,
}
SEPARATIONS = {
    ("weights and counts", "X", "Z", "Y"): FAILS,
    ("median of roots", "Y", "V", ""): HOLDS,
    ("sums tell the number", "X", "Z", "Y"): HOLDS,
    ("silent maximum", "X", "Z", "Y"): HOLDS,
    ("maximum and minimum", "X", "Z", "Y"): HOLDS,
    ("no common measure", "X", "Z", "Y"): HOLDS,
    ("no common measure", "B", "X", "Y"): HOLDS,
    ("powers of e", "X", "Z", "Y"): HOLDS,
    ("gap", "X", "Z", "Y"): HOLDS,
    ("gap", "S", "X", "Y"): HOLDS,
    ("weights that tell", "X", "Z", "AC"): HOLDS,
    ("thinning", "X", "Z", "Y"): HOLDS,
    ("infinite variance", "X", "Z", "Y"): FAILS,
    ("types alike", "X", "Z", "Y"): HOLDS,
    ("doublets", "X", "Z", "Y"): FAILS,
    ("constant edge", "X", "Z", "Y"): HOLDS,
}
_FOUND: dict[str, dict] = {}


def summary(name):
    if name not in _FOUND:
        _FOUND[name] = check(MODELS[name], monte_carlo=False).summary
    return _FOUND[name]


@pytest.fixture(autouse=True)
def few_cells(monkeypatch):
    """Moments of many cells play no part here."""
    monkeypatch.setattr("poolproof.theory.pooled_model.N_CELLS", 2**9)


@pytest.mark.parametrize(("name", "gene"), FORMS)
def test_form(name, gene):
    row = next(m for m in summary(name)["mechanisms"] if m["gene"] == gene)
    assert row["ffc"] == FORMS[name, gene], row["rule"]


@pytest.mark.parametrize(("name", "x", "y", "given"), SEPARATIONS)
def test_separation(name, x, y, given):
    rows = summary(name)["separations"]
    row = next(s for s in rows if {s["x"], s["y"]} == {x, y} and set(s["given"]) == set(given))
    assert row["cic"] == SEPARATIONS[name, x, y, given], row["rule"]
    assert row["quantifier"] != "limit"


def test_verdicts__a_kernel_is_the_equation_that_it_is_and_a_cancelled_edge_is_seen():
    assert summary("normal kernel")["verdict"] == summary("normal noise")["verdict"] == "recoverable"
    assert summary("cancelled effect")["verdict"] == "markov-class"
    row = next(s for s in summary("constant edge")["separations"] if (s["x"], s["y"]) == ("X", "Z"))
    assert row["uniform"] == "holds"


def test_infinite_variance__says_nothing_of_a_limit():
    rows = check(MODELS["infinite variance"] | {"cells": 1000}, monte_carlo=False).summary["separations"]
    assert all(s["limit_partial_correlation"] is None for s in rows if s["given"] == ["Y"])


def test_standard_output__holds_the_json_alone(tmp_path, capfd, monkeypatch):
    """The solver of integer programmes prints a line for this model."""
    genes = {
        "A": {"noise": "discrete({0: 0.5, 2: 0.375, 5: 0.125})"},
        "B": {"equation": "(2*abs(A-1))+N", "noise": "bernoulli(0.25)"},
        "C": {"equation": "-1*(A-1)**2+-1*B"},
        "D": {"kernel": "bernoulli(0.25+(1*threshold(A, at=0)+2*(B-1)**2+2*C-(-48))/512)"},
    }
    path = tmp_path / "solver.json"
    path.write_text(json.dumps({"genes": genes, "aggregation": "sum", "cells": 3}), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["poolproof", "check", str(path), "--json"])
    with suppress(SystemExit):
        main()
    assert json.loads(capfd.readouterr().out)["mechanisms"]


def test_quiet__keeps_what_compiled_code_prints_off_standard_output(capfd):
    with quiet():
        os.write(1, b"noise")
    os.write(1, b"answer")
    assert capfd.readouterr().out == "answer"


# --- every witness ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_witnesses_of_these_models__are_confirmed(name):
    for row in summary(name)["mechanisms"]:
        if row["witness"]:
            confirm(read_model(MODELS[name]), row)


def test_witnesses_of_the_gallery__are_confirmed():
    n_shown = 0
    for name in list_models()["name"] if hasattr(list_models(), "columns") else list_models():
        of = example_model(name)
        for row in check(of, monte_carlo=False).summary["mechanisms"]:
            if row["witness"]:
                confirm(of, row)
                n_shown += 1
    assert n_shown > 5
