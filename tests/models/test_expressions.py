"""The formulas of model files: read as meant, evaluated right, ranges sound, abuse refused quickly."""

import math
from math import inf

import numpy as np
import pytest
import sympy
from helpers import quickly
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from poolproof import InputError
from poolproof.models import parse_expression
from poolproof.models.algebra import NOISE, affine_parts, evaluate_sympy, exact_value, gene_symbol
from poolproof.models.expressions import FUNCTIONS, parse_call, usage
from poolproof.models.ranges import check_defined, range_of
from poolproof.models.support import finite, integers, interval

X, Y, Z = map(gene_symbol, "XYZ")
GENES = ("X", "Y", "Z", "HLA-A", "MAX", "µ")
VALUES = {"X": np.array([0.5, 2.0, 1.0]), "Y": np.array([3.0, 0.25, 1.0]), "N": np.array([-1.0, 0.0, 2.0])}
VALUES |= {"Z": np.array([0.0, 1.0, 1.0]), "HLA-A": VALUES["X"], "MAX": VALUES["Y"], "µ": VALUES["X"]}


def read(text):
    return parse_expression(text, GENES, "genes.X.equation")


# What the formulas mean.

x, y, z, n = (VALUES[name] for name in ("X", "Y", "Z", "N"))
MEANT = {
    "1 + 2*X - Y/4 + N": 1 + 2 * x - y / 4 + n,
    "-X**2": -(x**2),
    "(-X)**2": x**2,
    "2**3**2*X": 512 * x,
    "X/Y/2*3": x / y / 2 * 3,
    "X - Y - Z": x - y - z,
    "X - (Y - Z)": x - (y - z),
    "+X": x,
    "X**0.5 + Y**-1.5": x**0.5 + y**-1.5,
    ".5*X + 1e-2 + 2.": 0.5 * x + 2.01,
    "exp(X) + log(Y) + log1p(Z) + sqrt(X)": np.exp(x) + np.log(y) + np.log1p(z) + np.sqrt(x),
    "abs(N) + tanh(X) + sin(Y)*cos(Z)": np.abs(n) + np.tanh(x) + np.sin(y) * np.cos(z),
    "sigmoid(X - Y)": special.expit(x - y),
    "Phi(N)": special.ndtr(n),
    "min(X, Y, 1) + max(X, Y)": np.minimum(np.minimum(x, y), 1) + np.maximum(x, y),
    "hill(X)": x**2 / (1 + x**2),
    "hill(X, vmax=2, k=1.5, n=3)": 2 * x**3 / (1.5**3 + x**3),
    "hill(X, 2, 1.5, 0.7)": 2 * x**0.7 / (1.5**0.7 + x**0.7),
    "hill(X, vmax=Y)": y * x**2 / (1 + x**2),
    "hill_repression(X, k=2, n=4)": 2**4 / (2**4 + x**4),
    "michaelis_menten(X, vmax=3, km=2)": 3 * x / (2 + x),
    "threshold(X)": np.ones(3),
    "threshold(X, at=1)": np.array([0.0, 1, 0]),
    "AND(X, Y, Z)": x * y * z,
    "OR(X, Z)": 1 - (1 - x) * (1 - z),
    "NOT(Z)": 1 - z,
    "noisy_or(X, Z)": 1 - (1 - x) * (1 - z),
    "noisy_or(X, Z, p=[0.5, 0.8], leak=0.1)": 1 - 0.9 * (1 - 0.5 * x) * (1 - 0.8 * z),
    "`HLA-A`*2 + `X`": 3 * x,
    "MAX + max(MAX, X)": y + np.maximum(y, x),  # the gene, and the function
    "µ + 1": x + 1,
    "  X\t+\n  Y ": x + y,
}


@pytest.mark.parametrize("text", MEANT)
def test_parse_expression__means_what_it_says(text):
    np.testing.assert_allclose(read(text).evaluate(VALUES), MEANT[text], rtol=1e-12)


def test_parse_expression__keeps_decimals_exact():
    assert read("0.1*X + 0.2*X").sympy == sympy.Rational(3, 10) * X
    assert read("1e-3*X").sympy == X / 1000
    assert read("X/3 + X/3 + X/3").sympy == X


def test_parse_expression__names_are_those_that_matter():
    assert read("X + `HLA-A` + N").names == {"X", "HLA-A", "N"}
    assert read("X + Y - Y").names == {"X"}
    assert read("0*X + 1").names == set()
    assert read("N").sympy == NOISE


def test_parse_expression__takes_long_sums_but_not_deep_ones():
    assert len(read(" + ".join(f"{i}*X*Y" for i in range(1, 80))).sympy.free_symbols) == 2
    assert read("*".join(["X"] * 100)).sympy == X**100
    with pytest.raises(InputError, match="nested too deeply"):
        read("tanh(" * 60 + "X" + ")" * 60)


def test_every_function__shows_its_use_and_is_tried_above():
    for name in FUNCTIONS:
        assert usage(name).startswith(f"{name}(")
        assert any(f"{name}(" in text for text in MEANT)


def test_evaluate__is_quiet_where_it_is_undefined():
    values = {"X": np.array([-1.0, 0.0, 1.0])}
    assert np.isnan(evaluate_sympy(sympy.log(X), values)).tolist() == [True, False, False]
    assert evaluate_sympy(1 / X, values).tolist() == [-1, inf, 1]
    assert np.isnan(evaluate_sympy(X ** sympy.Rational(1, 3), values)[0])
    assert read("sigmoid(1000*X)").evaluate(values).tolist() == [0, 0.5, 1]
    assert read("hill(X, n=8)").evaluate({"X": values["X"] * 1e60}).tolist() == [1, 0, 1]  # no overflow
    with pytest.raises(TypeError, match="no numpy form"):
        evaluate_sympy(sympy.gamma(X), values)


# Hostile texts. Each is refused, fast, in one line that names the place.

ABUSE = (
    "X.real",
    "X.__class__.__mro__",
    "().__class__",
    "X[0]",
    "X[1:2]",
    "'a'",
    '"a"',
    "f'{X}'",
    "b'a'",
    "lambda: 1",
    "(lambda x: x)(X)",
    "X if Y else Z",
    "X, Y",
    "(X, Y)",
    "[X]",
    "{X}",
    "{X: 1}",
    "[x for x in Y]",
    "max(x for x in Y)",
    "exp(*X)",
    "exp(**X)",
    "exp(X)(X)",
    "exp",
    "2(X)",
    "X(Y)",
    "(X)(Y)",
    "__import__('os')",
    "__import__(os)",
    "__builtins__",
    "eval(X)",
    "exec(X)",
    "open(X)",
    "getattr(X, Y)",
    "globals()",
    "print(X)",
    "Symbol(X)",
    "sympify(X)",
    "S(X)",
    "X := 1",
    "(X := 1)",
    "X = 1",
    "yield",
    "(yield X)",
    "await X",
    "import os",
    "X; Y",
    "X\nimport os",
    "X # Y",
    "X\\",
    "del X",
    "assert X",
    "not X",
    "X and Y",
    "X or Y",
    "X < 1",
    "X == Y",
    "X is Y",
    "X in Y",
    "X ^ Y",
    "X % Y",
    "X @ Y",
    "X // Y",
    "X << Y",
    "X | Y",
    "~X",
    "!X",
    "$X",
    "True",
    "None",
    "...",
    "nan",
    "inf",
    "oo",
    "pi",
    "I",
    "1j",
    "0x10",
    "0b1",
    "1_000",
    "1if X else 2",
    "X\x00",
    "\x1b[31mX",
    "X\u202e",
    "\ufeffX",
    "ｅｘｐ(X)",
    "Ｘ",
    "x",
    "``",
    "` `",
    "`X",
    "`nope`",
    "(" * 900 + ")" * 900,
    "(" * 2000,
    "-" * 1900 + "X",
    "+-" * 900 + "X",
    "exp(" * 400,
    "tanh(" * 60 + "X" + ")" * 60,
    "X" * 2001,
    "X+" * 999 + "X",
    "max(" + ",".join(["X"] * 21) + ")",
    "9" * 31,
    "0." + "1" * 40,
    "1e51",
    "1e400",
    "1e-400",
    "1e999999999",
    "1e-999999999",
    "9**9**9",
    "10**10**10",
    "9**99*9**99",
    "2**100**100",
    "((9**100)**100)**100",
    "(1.0000001**100)**100",
    "X**9**9",
    "X**101",
    "X**-101",
    "X**X",
    "2**X",
    "(X**100)**100",
    "((X**100 + 1)**100 + 1)**100",
    "X**(1/0)",
    "1/0",
    "X/0",
    "0/0",
    "1/(1 - 1)",
    "0**-1",
    "log(0)",
    "log(-1)",
    "log1p(-1)",
    "sqrt(-1)",
    "(-1)**0.5",
    "exp(1000)",
    "exp(exp(exp(9)))",
    "exp(exp(exp(exp(9)))) - exp(exp(exp(exp(9))))",
    "max(exp(exp(9)), 3)",
    "sin(exp(exp(9)))",
    "threshold(exp(800))",
    "X*1e50*1e50*1e50",
    "X/1e50/1e50/1e50",
    "exp()",
    "exp(X, Y)",
    "exp(y=X)",
    "log(X, 2)",
    "hill(X, q=2)",
    "hill(X, n=Y)",
    "hill(X, n=0)",
    "hill(X, n=-1)",
    "hill(X, n=200)",
    "hill(X, k=0)",
    "hill(X, n=2, n=3)",
    "hill(X, 1, 1, 1, 1)",
    "max([X, Y])",
    "noisy_or(X, Y, p=[0.5])",
    "noisy_or(X, p=0.5)",
    "noisy_or(X, p=[2])",
    "noisy_or(X, p=[[1]])",
    "noisy_or(X, leak=3)",
    "X X",
    "X Y + 1",
    "X +",
    "* X",
    ")",
    "(X",
    "X)",
    "",
    "   ",
    None,
    5,
    ["X"],
    b"X",
)


def refusal(text):
    with pytest.raises(InputError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize("text", ABUSE, ids=range(len(ABUSE)))
def test_parse_expression__refuses_abuse(text):
    message = quickly(0.1, lambda: refusal(text))
    assert message.startswith("genes.X.equation: ")
    assert message.isprintable()  # one line, and nothing that moves a cursor
    assert len(message) < 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Y + X.real", "column 5: an attribute"),
        ("Y + `HLA-A`.real", "column 5: an attribute"),
        ("µ + nope", "column 5: no gene 'nope'"),
        ("`HLA-A` + `nope`", "column 11: no gene 'nope'"),
        ("`HLA-A` + `HLA-B`", "did you mean `HLA-A`?"),
        ("expp(X)", "did you mean exp?"),
        ("X ^ 2", "a power is written **"),
        ("HLA-A", "column 1: no gene 'HLA'; did you mean `HLA-A`?"),
        ("X(Y)", "X is a gene, no function"),
        ("X + exp", "exp is a function: write exp(x)"),
        ("hill(X, q=2)", "expected hill(x, vmax=1, k=1, n=2)"),
        ("if + 1", "a Python word goes in `backticks`"),
        ("1/(2 - 2)", "column 1: 1/(2 - 2) is undefined: a part of it is 0"),
    ],
)
def test_parse_expression__says_what_and_where(text, said):
    with pytest.raises(InputError) as caught:
        read(text)
    assert said in str(caught.value)


def test_parse_expression__a_kernel_has_no_noise():
    with pytest.raises(InputError, match="no place in a kernel"):
        parse_expression("N", GENES, "here", noise=False)


def test_parse_call__binds_by_position_and_by_name():
    known = {"gamma": ("shape", "scale")}
    for text in ("gamma(1 + Y, 2)", "gamma(scale=2, shape=1 + Y)", "gamma(1 + Y, scale=2)"):
        name, arguments = parse_call(text, ["Y"], "k", known)
        assert (name, [a.text for a in arguments]) == ("gamma", ["1 + Y", "2"])
    for text in ("gamma(1)", "gamma(1, 2, 3)", "gamma(1, rate=2)", "beta(1, 2)", "Y", "1", "gamma(N, 1)"):
        with pytest.raises(InputError, match=r"^k: "):
            parse_call(text, ["Y"], "k", known)


# Random formulas: against Python itself, and ranges against random points.

atoms = st.sampled_from(["X", "Y", "Z", "0.5", "2", "3", "1.25"])


def _grow(inner):
    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(lambda p: f"({p[0]} + {p[1]})"),
        pairs.map(lambda p: f"({p[0]} - {p[1]})"),
        pairs.map(lambda p: f"({p[0]} * {p[1]})"),
        pairs.map(lambda p: f"({p[0]} / (1 + abs({p[1]})))"),
        pairs.map(lambda p: f"max({p[0]}, {p[1]})"),
        pairs.map(lambda p: f"min({p[0]}, {p[1]})"),
        pairs.map(lambda p: f"OR({p[0]}, {p[1]})"),
        inner.map(lambda p: f"tanh({p})"),
        inner.map(lambda p: f"({p})**2"),
        inner.map(lambda p: f"({p})**3"),
        inner.map(lambda p: f"hill({p}, n=2)"),
        inner.map(lambda p: f"exp(-abs({p}))"),
        inner.map(lambda p: f"sigmoid({p})"),
        inner.map(lambda p: f"threshold({p}, at=0.3)"),
        inner.map(lambda p: f"sqrt(abs({p}))"),
        inner.map(lambda p: f"-({p})"),
    )


formulas = st.recursive(atoms, _grow, max_leaves=6)
PYTHON = {
    "abs": abs,
    "max": max,
    "min": min,
    "tanh": math.tanh,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "sigmoid": special.expit,
    "OR": lambda a, b: 1 - (1 - a) * (1 - b),
    "hill": lambda x, n: x**n / (1 + x**n),
    "threshold": lambda x, at: float(x > at),
    "__builtins__": {},
}
SUPPORTS = {
    X: interval(-2, 3),
    Y: interval(0, inf, open_low=True),
    Z: finite([0, 1, 2.5]),
}


@settings(deadline=None)
@given(formulas, st.floats(-2, 3), st.floats(0, 50), st.sampled_from([0, 1, 2.5]))
def test_random_formulas__agree_with_python(text, x, y, z):
    expected = eval(text, PYTHON, {"X": x, "Y": y, "Z": z})
    found = read(text).evaluate({"X": np.array([x]), "Y": np.array([y]), "Z": np.array([z])})
    if "threshold" not in text:  # next to a step, rounding decides
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)


@settings(deadline=None)
@given(formulas)
def test_random_formulas__stay_in_their_range(text):
    expr = read(text).sympy
    known = range_of(expr, SUPPORTS)
    rng = np.random.default_rng(0)
    points = {
        "X": rng.uniform(-2, 3, 300),
        "Y": rng.exponential(5, 300),
        "Z": rng.choice([0, 1, 2.5], 300),
    }
    values = np.broadcast_to(evaluate_sympy(expr, points), 300)
    slack = 1e-9 * max(1.0, np.abs(values).max())
    assert values.min() >= known.low - slack
    assert values.max() <= known.high + slack
    if known.kind != "interval":
        assert all(known.contains(round(v, 9)) or known.contains(v) for v in values)
    defined = parse_expression(text, GENES)
    check_defined(defined, SUPPORTS, "here")  # all of them are defined everywhere


RANGES = [
    ("2*X + 1", "-3 to 7"),
    ("X + Y", "-2 to inf"),
    ("X**2", "0 to 9"),
    ("X**3", "-8 to 27"),
    ("X - X**2", "-6 to 0.25"),
    ("X**2 - X + 1", "0.75 to 7"),
    ("Y/(1 + Y)", "0 to 1"),
    ("Y**2/(1 + Y**2)", "0 to 1"),
    ("1/(1 + X**2)", "0.1 to 1"),
    ("hill(Y, vmax=3, n=2.5)", "0 to 3"),
    ("michaelis_menten(Y, 2)", "0 to 2"),
    ("exp(-Y)", "0 to 1"),
    ("sigmoid(X)", "0.119203 to 0.952574"),
    ("Phi(Y)", "0.5 to 1"),
    ("abs(X)", "0 to 3"),
    ("sqrt(Y)", "0 to inf"),
    ("log(Y)", "-inf to inf"),
    ("1/Y", "0 to inf"),
    ("min(X, 1) + max(X, 0)", "-2 to 4"),
    ("Z**2 - Z", "{0, 3.75}"),
    ("threshold(X)", "{0, 1}"),
    ("threshold(Y)", "{1}"),
    ("AND(threshold(X), Z)", "{0, 1, 2.5}"),
    ("OR(threshold(X), threshold(X, at=1))", "{0, 1}"),
    ("MAX + 1", "whole numbers 1 to inf"),
    ("3*MAX - 2", "whole numbers -2 to inf"),
    ("MAX/2", "0 to inf"),
    ("MAX*threshold(X)", "whole numbers 0 to inf"),
    ("X*Y", "-inf to inf"),
    ("sin(X)", "-1 to 1"),
    ("2", "{2}"),
]


@pytest.mark.parametrize(("text", "shown"), RANGES)
def test_range_of__by_hand(text, shown):
    supports = {**SUPPORTS, gene_symbol("MAX"): integers(0, inf)}
    assert str(range_of(read(text).sympy, supports)) == shown


def test_range_of__exact_finite_values():
    both = {X: finite([0, 1, 3]), Y: finite([0, 0.1])}
    assert range_of(X + Y, both).values == tuple(sympy.Rational(v, 10) for v in (0, 1, 10, 11, 30, 31))
    assert range_of(sympy.tanh(X), {X: finite([0, 1])}).values == (0, sympy.tanh(1))
    many = {gene_symbol(f"b{i}"): finite([0, 1]) for i in range(20)}
    assert range_of(sympy.Add(*many), many).values == tuple(range(21))  # 2^20 states: by a diagram
    other = {gene_symbol(f"b{i}"): finite([0, sympy.sqrt(i + 2)]) for i in range(20)}
    assert range_of(sympy.Add(*other), other).kind == "interval"  # not listed


def test_range_of__ends_of_probability_zero():
    known = range_of(read("2*Y").sympy, SUPPORTS)
    assert (known.low, known.open_low) == (0, True)
    assert not range_of(read("max(Y - 1, 0)").sympy, SUPPORTS).open_low
    assert not range_of(read("X**2").sympy, SUPPORTS).open_low


DEFINED = ("log(Y)", "1/Y", "1/(1 + X**2 - X)", "sqrt(X + 2)", "log(X + 2.001)", "1/(Z + 1)", "Y**-1.5")
DEFINED += ("log(1 - tanh(Y))", "log(sigmoid(X))", "hill(Y, n=1.5)", "hill(X, n=2)", "1/(X*X + Y)")
UNDEFINED = {
    "1/X": "can be 0",
    "X/X": "X can be 0",
    "1/(X - 0.1234567)": "can be 0",
    "1/(exp(X) - 1.1*Y - 0.77)": "can be 0",
    "1/(1 - Y)": "1 - Y can be 0",
    "1/(X - 1)**2": "can be 0",
    "1/(Y*(X + 1))": "can be 0",
    "Y/(Z - 2.5)": "can be 0",
    "X**-3": "can be 0",
    "log(X)": "can be 0 or less",
    "log(Z)": "can be 0 or less",
    "log(Y - 1)": "Y - 1 can be 0 or less",
    "log1p(X)": "X + 1 can be 0 or less",
    "sqrt(X)": "X can be below 0",
    "X**0.5": "X can be below 0",
    "sqrt(1 - Y)": "can be below 0",
    "hill(X, n=1.5)": "X can be below 0",
    "hill(X, n=1)": "can be 0",
    "1/threshold(X)": "can be 0",
    "noisy_or(X, p=[0.5])*log(Z - 1)": "can be 0 or less",
}


@pytest.mark.parametrize("text", DEFINED)
def test_check_defined__passes(text):
    check_defined(read(text), SUPPORTS, "here")


@pytest.mark.parametrize("text", UNDEFINED)
def test_check_defined__names_the_part_and_its_range(text):
    with pytest.raises(InputError) as caught:
        check_defined(read(text), SUPPORTS, "genes.X.equation")
    message = str(caught.value)
    assert message.startswith("genes.X.equation: ")
    assert UNDEFINED[text] in message
    assert "it ranges over" in message


# Affine formulas.

weights = st.integers(-20, 20).map(lambda k: sympy.Rational(k, 8))


@settings(deadline=None)
@given(weights, weights, weights, weights)
def test_affine_parts__finds_disguised_ones(a, b, c, d):
    plain = a * X + b * Y + c
    disguised = [
        plain + d * (X + 1) ** 2 - d * X**2 - 2 * d * X - d,
        ((X + Y) ** 3 - X**3 - Y**3 - 3 * X * Y * (X + Y)) * d + plain,
        (plain * (1 + X**2)) / (1 + X**2),
    ]
    expected = {name: w for name, w in (("X", a), ("Y", b)) if w != 0}
    for expr in (plain, *disguised):
        assert affine_parts(expr) == (expected, c)


def test_affine_parts__of_a_quotient_that_cancels():
    assert affine_parts((X**2 - 1) / (X - 1)) == ({"X": 1}, 1)
    assert affine_parts(read("(Y + 2*N)/4 - 1").sympy) == (
        {"N": sympy.Rational(1, 2), "Y": sympy.Rational(1, 4)},
        -1,
    )
    root = sympy.sqrt(2)
    assert affine_parts(root * (X + 3) + 1) == ({"X": root}, 3 * root + 1)
    assert affine_parts(sympy.sqrt(2) * X + sympy.exp(1)) == ({"X": sympy.sqrt(2)}, sympy.exp(1))


@pytest.mark.parametrize(
    "text",
    ["X*Y", "X**2", "X*N", "exp(X)", "1/(1 + X**2)", "abs(X)", "max(X, Y)", "hill(X)", "threshold(X)", "X/Y"],
)
def test_affine_parts__none_for_others(text):
    assert affine_parts(read(text).sympy) is None


HEAVY = (
    "max(" * 20 + "X" + "".join(f", {i}*X*Y)" for i in range(20)),
    "max(" + ", ".join(f"min(X*Y + {i}, Z - {i}, X)" for i in range(20)) + ")",
    "max(" + ", ".join(f"X**{i} + Y" for i in range(1, 21)) + ")",
    "abs((X + Y + Z + N)**100)",
    "*".join("(X + Y + Z)" for _ in range(50)),
    " + ".join(f"{p}**0.{p}" for p in range(11, 99)),
    " + ".join(f"{10**29 + p}**0.5*X" for p in range(1, 40)),
    "tanh(1 + " * 24 + "X" + ")" * 24,
    "log(2 + abs(" * 12 + "X" + "))" * 12,
)


@pytest.mark.parametrize("text", HEAVY, ids=range(len(HEAVY)))
def test_parse_expression__odd_but_legal_formulas_cost_little(text):
    def handle():
        expression = read(text)
        range_of(expression.sympy, {**SUPPORTS, NOISE: interval(-inf, inf)})
        affine_parts(expression.sympy)

    quickly(1, handle)


def test_parse_expression__constants_that_sympy_cannot_tell_from_0():
    hidden = "sin(1)**2 + cos(1)**2"
    assert read(f"threshold({hidden} - 1)").sympy in (0, 1)
    assert read(f"max({hidden}, 0.5)").evaluate({}) == pytest.approx(1)
    found = range_of(read(f"threshold(Z - 1 + {hidden} - 1)").sympy, SUPPORTS)
    assert (found.low, found.high) == (0, 1)


def test_affine_parts__gives_up_on_what_is_too_long_quickly():
    text = "(" + "+".join(f"{i}*X + {i}*Y*Z" for i in range(1, 20)) + ")**30"
    texts = text, "(X + Y + Z + N + 1)**100 - (X + Y + Z + N)**100"
    assert quickly(1, lambda: [affine_parts(read(text).sympy) for text in texts]) == [None, None]


@settings(deadline=None)
@given(formulas, st.fractions(-2, 3, max_denominator=9), st.sampled_from([0, 1]))
def test_exact_value__agrees_with_sympy(text, x, z):
    expr = read(text).sympy
    values = {X: sympy.Rational(x.numerator, x.denominator), Y: sympy.Rational(2, 7), Z: sympy.Integer(z)}
    assert exact_value(expr, values) == expr.xreplace(values)


def test_exact_value__where_it_is_undefined():
    assert not exact_value(1 / X, {X: sympy.Integer(0)}).is_finite
    assert exact_value(sympy.sqrt(X), {X: sympy.Integer(8)}) == 2 * sympy.sqrt(2)
