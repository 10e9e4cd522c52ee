"""Normal form, values that occur together, sums that tell more, and what tails do to limits."""

import numpy as np
import pytest
import sympy

from poolproof import check
from poolproof.models import SCM, parse_equation, parse_kernel, parse_law
from poolproof.models.support import finite, integers, interval
from poolproof.theory import numbers
from poolproof.theory.coincidence import are_independent, bends_of_listed
from poolproof.theory.joint import Joint
from poolproof.theory.moments import genes_with_moments
from poolproof.theory.normal_form import normal_expression, normal_model
from poolproof.theory.numbers import CellNumbers, hidden_pairs, tells
from poolproof.theory.pieces import pieces_of, tells_cells, told

Y, W, B = (sympy.Symbol(name, real=True) for name in "YWB")
SUPPORTS = {Y: interval(0, np.inf), W: interval(-np.inf, np.inf), B: finite([0, 1])}
NAMES = {v.name: v for v in (Y, W, B)}
GAMMA, NORMAL = "gamma(2, 1)", "normal(0, 1)"


def scm(**genes):
    """A model from laws (text), equations with or without noise (pairs) and kernels (lists of one text)."""
    parts = {}
    for name, how in genes.items():
        if isinstance(how, list):
            parts[name] = parse_kernel(how[0], list(genes), name)
        else:
            equation, noise = (None, how) if isinstance(how, str) else how
            parts[name] = parse_equation(equation, noise, list(genes), name)
    return SCM("model", parts)


def joint(of):
    return Joint(of, of.supports(), 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sin(Y)**2 + cos(Y)**2", "1"),
        ("Y/(1 + Y) + 1/(1 + Y)", "1"),
        ("(Y + 1)**2 - Y**2", "2*Y + 1"),
        ("Max(Y, 0) + Abs(Y)", "2*Y"),
        ("Max(W, Y) + Min(Y, W)", "W + Y"),
        ("Max(W, 0)", "Max(W, 0)"),
        ("Heaviside(Y + 1, 0)", "1"),
        ("Heaviside(-Y, 0)", "0"),
        ("exp(B)", "1 + B*(E - 1)"),
        ("(1 - B)**2", "1 - B"),
        ("Y**2", "Y**2"),
        ("Y + Y**2/10**13", "Y + Y**2/10**13"),
        ("sin(W)**2 + cos(W)**2 + Y**2/10**14", "Y**2/10**14 + 1"),
    ],
)
def test_normal_form__keeps_the_function_and_cancels_identities(text, expected):
    expression, plain = (
        sympy.sympify(t, {**NAMES, "Max": lambda *a: sympy.Max(*a, evaluate=False)}) for t in (text, expected)
    )
    found = normal_expression(expression, SUPPORTS)
    assert sympy.simplify(found - plain) == 0
    assert found.free_symbols == plain.free_symbols


def test_normal_form__a_gene_that_drops_out_is_no_parent():
    of = normal_model(scm(C="constant(2)", Y=GAMMA, X=("0*Y + C + N", NORMAL), Z=["poisson(C*Y)"]))
    assert of.parents("X") == ()
    assert of.parents("Z") == ("Y",)
    assert of.mechanism("Z").formulas[0] == 2 * Y


def test_joint_support__relations_of_parents_are_used():
    of = scm(
        A="poisson(5)", B=["binomial(A, 0.5)"], D=("A**2", None), X=("max(A - B, 0) + D - A**2 + N", NORMAL)
    )
    assert joint(of).judged("X").affine() == ({"A": 1, "B": -1}, 1, 0)


def test_joint_support__finite_parts_are_enumerated():
    of = joint(scm(A="bernoulli(0.5)", B=("NOT(A)", None), X=("OR(A, B)", None)))
    assert of.states(["A", "B"]) == [(0, 1), (1, 0)]
    assert of.judged("X").affine() == ({"A": 1, "B": 1}, 0, 0)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ({"A": 1.0, "B": 1.0}, True),
        ({"A": 1.0, "B": 2.0}, False),
        ({"A": 2.0, "B": 4.0}, True),
        ({"C": 5.0}, True),
        ({"C": 10.5}, True),
        ({"A": 1.0, "C": 20.0}, False),
        ({"D": 4.0}, True),
        ({"D": -4.0}, False),
    ],
)
def test_cells_that_occur__have_noises_that_make_them(cell, expected):
    of = scm(A=GAMMA, B=("A**2", None), C=("A + 9*N", "uniform(0, 1)"), D=("exp(N)", NORMAL))
    assert joint(of).can_occur(cell) == expected


def test_gaps__values_between_pieces_do_not_occur():
    of = joint(scm(S="bernoulli(0.5)", Y=("10*S + N", "uniform(0, 1)")))
    assert [(p.low, p.high) for p in pieces_of(of, "Y")] == [(0, 1), (10, 11)]
    assert of.can_occur({"Y": 10.5})
    assert not of.can_occur({"Y": 5.0})
    assert told(pieces_of(of, "Y"), 9)
    assert not told(pieces_of(of, "Y"), 10)


def test_sums_that_tell_all_cells():
    assert tells_cells(scm(Y=("exp(N)", "poisson(1)")), "Y", {})
    assert not tells_cells(scm(Y=("exp(N)", NORMAL)), "Y", {})
    assert not tells_cells(scm(Y=("exp(N) + N", "poisson(1)")), "Y", {})
    roots = [(sympy.sqrt(n),) for n in (1, 2, 3, 5)]
    assert are_independent(roots)
    assert not are_independent([(sympy.Integer(0),), (sympy.sqrt(2),), (sympy.sqrt(8),)])
    assert not are_independent([(sympy.pi,), (sympy.Integer(0),), (sympy.Integer(1),)])


def test_bends_of_states_that_are_not_all_combinations():
    points = [tuple(map(sympy.Integer, s)) for s in ((0, 1), (1, 0), (1, 1), (2, 0))]
    assert not bends_of_listed(points, [3 * a - b + 1 for a, b in points]).any()
    assert bends_of_listed(points, [a * b for a, b in points]).any()


@pytest.mark.parametrize(
    ("support", "law", "expected"),
    [
        (interval(1, 1.1), "discrete({2: 0.5, 3: 0.5})", True),
        (interval(0, 1), "discrete({2: 0.5, 3: 0.5})", False),
        (finite([sympy.Rational(1, 2), sympy.Rational(3, 2)]), "discrete({2: 0.5, 3: 0.5})", True),
        (finite([sympy.Rational(1, 2), sympy.Rational(3, 2)]), "discrete({2: 0.5, 4: 0.5})", False),
        (integers(0, np.inf), "poisson(3)", False),
    ],
)
def test_sums_tell_the_number_of_cells(support, law, expected):
    assert tells(support, CellNumbers(parse_law(law))) == expected


def test_numbers_of_cells__the_whole_law_counts_and_pools_of_none_are_not_seen():
    few = CellNumbers(parse_law("poisson(0.1)"))
    values, weights = few.law
    assert weights[values >= 2].sum() == pytest.approx(0.0492, abs=1e-4)
    assert few.varies
    assert few.spread == pytest.approx(0.0506, abs=2e-3)
    assert not CellNumbers(parse_law("bernoulli(0.3)")).varies


def test_moments__tails_that_are_not_bounded_count_as_heavy():
    of = scm(
        A=("N**-0.6", "uniform(0, 1)"),
        B=("exp(N)", GAMMA),
        C=("exp(N)", NORMAL),
        D=("A/(1 + A**2)*0 + hill(C) + C**3 + N", NORMAL),
        E=["poisson(C)"],
        F=("A*N", NORMAL),
        G=("log(N)", GAMMA),
    )
    assert genes_with_moments(of) == {"C", "D", "E", "G"}


@pytest.mark.parametrize(
    ("x", "z", "expected"),
    [
        (("Y*N", NORMAL), ("Y*N + Y", "laplace(0, 1)"), "fails"),
        (("tanh(Y) + N", NORMAL), ("2*tanh(Y) - Y + N", NORMAL), "fails"),
        (("tanh(Y) + N", NORMAL), ("Y*N", NORMAL), "fails"),  # seen in transforms on a lattice
        (("Y + N", NORMAL), ("Y*N", NORMAL), "holds"),
    ],
)
def test_forks_whose_bends_are_multiples__break_at_this_number(x, z, expected):
    def entry(how):
        return {"equation": how[0], "noise": how[1]}

    genes = {"Y": {"noise": GAMMA}, "X": entry(x), "Z": entry(z)}
    found = check({"name": "f", "genes": genes, "aggregation": "sum", "cells": 3}, monte_carlo=False)
    (row,) = found.summary["separations"]
    assert row["cic"] == expected or row["quantifier"] == "limit"
    assert (row["cic"] == "fails" and row["quantifier"] == "law") == (expected == "fails")


def test_the_number_breaks_only_what_sums_of_both_numbers_can_hold(monkeypatch):
    root = parse_equation(None, "uniform(10, 11)", [])
    pairs = [(2, 3), (11, 12)]  # sums 20 to 22 and 30 to 33; 110 to 121 and 120 to 132
    supports = {"Y": root.support({})}
    assert hidden_pairs("Y", root, supports, {"Y"}, pairs) == [(11, 12)]
    monkeypatch.setattr(numbers, "_overlap", lambda support, few, many: True)  # the condition taken out
    assert hidden_pairs("Y", root, supports, {"Y"}, pairs) == pairs


@pytest.mark.parametrize(("cells", "expected"), [((2, 3), "holds"), ((11, 12), "fails")])
def test_a_number_that_sums_tell_breaks_nothing(cells, expected):
    genes = {
        "Y": {"noise": "uniform(10, 11)"},
        "X": {"equation": "1 + Y + N", "noise": NORMAL},
        "Z": {"equation": "2 + Y + N", "noise": NORMAL},
    }
    law = "discrete({" + ", ".join(f"{k}: 0.5" for k in cells) + "})"
    found = check({"name": "n", "genes": genes, "aggregation": "sum", "cells": law}, monte_carlo=False)
    assert found.table["cic"].tolist() == [expected]
