"""The formulas of a model file: a small language of its own, read into sympy and evaluated with numpy.

A text becomes a checked syntax tree (`_syntax`), each node of which is turned into sympy here. Nothing of
it is ever run as Python.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, partial
from math import isfinite, log10
from typing import Any, Literal

import numpy as np
import sympy
from sympy import S

from .._checks import InputError, printable
from .algebra import NOISE, NOISE_NAME, constant_value, degree_and_terms, evaluate_sympy, gene_symbol
from .syntax import Source, parse_source

MAX_EXPONENT = 100
MAX_DEGREE = 1_000
MAX_ARGUMENTS = 20  # of min, max, AND, OR, noisy_or
MORE = "..."
"""In a signature: any number of further parameters."""
_PLAIN, _ANY_NUMBER = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
_MAX_BITS = 20_000
_MAX_VALUE = 1e100
TWO = sympy.Integer(2)

Need = Literal["nonzero", "positive", "nonnegative", "probability", "count", "real"]


FAULTS: dict[Need, str] = {
    "nonzero": "0",
    "positive": "0 or less",
    "nonnegative": "below 0",
    "probability": "outside 0 to 1",
    "count": "no whole number of at least 0",
    "real": "no number",
}
"""What breaks each demand."""


@dataclass(frozen=True)
class Guard:
    """A demand on a part of a formula, such as: what is divided by must not be 0."""

    argument: sympy.Expr
    need: Need
    text: str
    """The part of the formula that demands it, as written."""


@dataclass(frozen=True)
class Formula:
    """A formula in the genes' values and the noise N."""

    text: str
    sympy: sympy.Expr
    """In real symbols; decimals are exact rationals."""
    guards: tuple[Guard, ...] = ()
    """Where it is defined."""

    @cached_property
    def names(self) -> frozenset[str]:
        """Names that the value depends on, N among them; what cancels (``Y - Y``) is not."""
        return frozenset(symbol.name for symbol in self.sympy.free_symbols)

    def evaluate(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Values of the formula, float64, for arrays of one shape; NaN or infinite where undefined."""
        return evaluate_sympy(self.sympy, values)

    def __str__(self) -> str:
        return self.text


def parse_expression(
    text: object, names: Iterable[str], where: str = "equation", *, noise: bool = True
) -> Formula:
    """Read a formula.

    Parameters
    ----------
    text
        Numbers, ``+ - * / **``, brackets, names of genes (in backticks where they are no identifiers),
        the noise ``N``, and the functions exp, log, log1p, sqrt, abs, tanh, sigmoid, Phi, sin, cos, min,
        max, hill, hill_repression, michaelis_menten, threshold, AND, OR, NOT, noisy_or.
    names
        Genes that may occur.
    where
        Place for messages.
    noise
        Whether N may occur.

    Raises
    ------
    InputError
        Anything else is in the text, a name is unknown, an exponent is no constant within -100 to 100, or
        a constant part is undefined or out of bounds. One line, with the column.

    Examples
    --------
    >>> expression = parse_expression("0.1*X + hill(`HLA-A`, n=1) + N", ["X", "HLA-A"])
    >>> sorted(expression.names), expression.sympy.coeff(gene_symbol("X"))
    (['HLA-A', 'N', 'X'], 1/10)
    >>> expression.evaluate({"X": np.array([10.0]), "HLA-A": np.array([1.0]), "N": np.array([0.0])})
    array([1.5])
    """
    source = parse_source(text, where)
    return _Builder(source, names, noise).expression(source.tree)


def parse_call(
    text: object, names: Iterable[str], where: str, signatures: Mapping[str, tuple[str, ...]]
) -> tuple[str, tuple[Formula, ...]]:
    """Read one of some known calls, whose arguments are formulas: ``poisson(1 + 2*Y)``.

    Raises
    ------
    InputError
        It is no such call.

    Examples
    --------
    >>> name, arguments = parse_call("poisson(1 + Y)", ["Y"], "kernel", {"poisson": ("rate",)})
    >>> name, arguments[0].text
    ('poisson', '1 + Y')
    """
    source = parse_source(text, where)
    tree = source.tree
    known = ", ".join(f"{name}({', '.join(args)})" for name, args in signatures.items())
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
        raise source.error(f"expected one of {known}; found {printable(source.text, 40)!r}")
    name = source.name(tree.func)
    if name not in signatures:
        raise source.error(f"no kernel {printable(name, 40)!r}; expected one of {known}")
    parameters = [
        inspect.Parameter(*((p, _PLAIN) if p != MORE else ("others", _ANY_NUMBER))) for p in signatures[name]
    ]
    builder = _Builder(source, names, noise=False)
    given = {str(keyword.arg): keyword.value for keyword in tree.keywords}
    if len(given) < len(tree.keywords):
        raise source.error(f"a parameter is given twice; expected {name}({', '.join(signatures[name])})")
    try:
        bound = inspect.Signature(parameters).bind(*tree.args, **given)
    except TypeError as error:
        raise source.error(f"{error}; expected {name}({', '.join(signatures[name])})") from None
    return name, tuple(builder.expression(node) for node in bound.args)


def written(name: str) -> str:
    """A gene's name as formulas have it.

    Examples
    --------
    >>> written("STAT1"), written("HLA-A")
    ('STAT1', '`HLA-A`')
    """
    shown = printable(name, 40)
    return shown if name.isidentifier() else f"`{shown}`"


class _Builder:
    """Turns a checked syntax tree into sympy, node by node, and notes where it is defined."""

    def __init__(self, source: Source, names: Iterable[str], noise: bool) -> None:
        self.source = source
        self.names = frozenset(names)
        self.noise = noise
        self.guards: list[Guard] = []

    def expression(self, node: ast.expr) -> Formula:
        self.guards = []
        built = self.build(node)
        if any(
            number and not 1 / _MAX_VALUE <= abs(number) <= _MAX_VALUE for number in built.atoms(sympy.Number)
        ):
            raise self.source.error("a constant is out of bounds (1e-100 to 1e100)", node)
        return Formula(self.source.segment(node), built, tuple(dict.fromkeys(self.guards)))

    def build(self, node: ast.expr) -> sympy.Expr:
        if isinstance(node, ast.Constant):
            return self.source.number(node)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.UnaryOp):
            operand = self.build(node.operand)
            return -operand if isinstance(node.op, ast.USub) else operand
        if isinstance(node, ast.BinOp):
            built = self._operation(node)
        elif isinstance(node, ast.Call):
            built = self._call(node)
        else:
            raise self.source.error("a list stands only as an argument: noisy_or(a, b, p=[0.5, 0.8])", node)
        self._check_constant(built, node)
        return built

    def _name(self, node: ast.Name) -> sympy.Symbol:
        name = self.source.name(node)
        if name == NOISE_NAME and self.noise:
            return NOISE
        if name == NOISE_NAME:
            raise self.source.error("the noise N has no place in a kernel, which is random itself", node)
        if name in self.names:
            return gene_symbol(name)
        if name in FUNCTIONS:
            raise self.source.error(f"{name} is a function: write {usage(name)}", node)
        near = get_close_matches(name, self.names, n=1)
        hint = f"; did you mean {written(near[0])}?" if near else ""
        raise self.source.error(f"no gene {printable(name, 40)!r}{hint}", node)

    def _operation(self, node: ast.BinOp) -> sympy.Expr:
        if isinstance(node.op, ast.Pow):
            return self._power(self.build(node.left), self.build(node.right), node)
        kinds = (ast.Add, ast.Sub) if isinstance(node.op, (ast.Add, ast.Sub)) else (ast.Mult, ast.Div)
        links: list[ast.BinOp] = []
        first: ast.expr = node
        while isinstance(first, ast.BinOp) and isinstance(first.op, kinds):  # a long sum is no deep one
            links.append(first)
            first = first.left
        terms = [self.build(first)]
        for link in reversed(links):
            term = self.build(link.right)
            if isinstance(link.op, ast.Sub):
                term = -term
            elif isinstance(link.op, ast.Div):
                term = self._power(term, sympy.Integer(-1), link)
            terms.append(term)
        return (sympy.Add if ast.Add in kinds else sympy.Mul)(*terms)

    def _power(self, base: sympy.Expr, exponent: sympy.Expr, node: ast.expr) -> sympy.Expr:
        if exponent.free_symbols:
            raise self.source.error("an exponent must be a constant; a power of e is written exp(...)", node)
        if not abs(constant_value(exponent)) <= MAX_EXPONENT:
            raise self.source.error(f"an exponent must lie within -{MAX_EXPONENT} to {MAX_EXPONENT}", node)
        self._check_size(base, exponent, node)
        if not exponent.is_integer:
            self.need("nonnegative" if exponent.is_positive else "positive", base, node)
        elif exponent.is_negative:
            self.need("nonzero", base, node)
        power = sympy.Pow(base, exponent)
        if degree_and_terms(power)[0] > MAX_DEGREE:
            raise self.source.error(f"the powers multiply up to a degree above {MAX_DEGREE:,}", node)
        return power

    def _check_size(self, base: sympy.Expr, exponent: sympy.Expr, node: ast.expr) -> None:
        """Refuse powers of numbers before they are computed, where the result would be too long."""
        if base.free_symbols:
            return
        size, times = abs(constant_value(base)), abs(constant_value(exponent))
        bits = sum(number.p.bit_length() + number.q.bit_length() for number in base.atoms(sympy.Rational))
        if (size and abs(log10(size)) * times > log10(_MAX_VALUE)) or bits * max(times, 1) > _MAX_BITS:
            raise self.source.error("the power of this constant is out of bounds (1e-100 to 1e100)", node)

    def _call(self, node: ast.Call) -> sympy.Expr:
        if not isinstance(node.func, ast.Name):
            raise self.source.error(
                "only a function's name stands before brackets; write * for a product", node
            )
        name = self.source.name(node.func)
        if name not in FUNCTIONS:
            raise self.source.error(self._unknown_function(name), node)
        positional = [self._argument(argument) for argument in node.args]
        named = {str(keyword.arg): self._argument(keyword.value) for keyword in node.keywords}
        if len(named) < len(node.keywords):
            raise self.source.error(f"an argument is given twice; expected {usage(name)}", node)
        if len(positional) > MAX_ARGUMENTS:
            raise self.source.error(f"{name} takes at most {MAX_ARGUMENTS} arguments", node)
        call = partial(FUNCTIONS[name], _Place(self, node))
        try:
            bound = inspect.signature(call).bind(*positional, **named)
        except TypeError as error:
            raise self.source.error(f"{error}; expected {usage(name)}", node) from None
        for parameter, value in bound.arguments.items():
            parts = value if isinstance(value, tuple) else (value,)
            if parameter != "p" and any(isinstance(part, list) for part in parts):
                raise self.source.error(f"a list has no place here; expected {usage(name)}", node)
        return call(*bound.args, **bound.kwargs)

    def _argument(self, node: ast.expr) -> Any:
        return [self.build(item) for item in node.elts] if isinstance(node, ast.List) else self.build(node)

    def _unknown_function(self, name: str) -> str:
        if name in self.names:
            return f"{printable(name, 40)} is a gene, no function; a product is written with *"
        near = get_close_matches(name, FUNCTIONS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(FUNCTIONS)}"
        return f"no function {printable(name, 40)!r}{hint}"

    def need(self, need: Need, argument: sympy.Expr, node: ast.expr) -> None:
        """Note a demand; one on a constant is settled at once."""
        guard = Guard(argument, need, self.source.segment(node))
        if argument.free_symbols:
            self.guards.append(guard)
        elif not satisfies(constant_value(argument), need):
            shown = printable(guard.text, 60)
            raise self.source.error(f"{shown} is undefined: a part of it is {FAULTS[need]}", node)

    def _check_constant(self, built: sympy.Expr, node: ast.expr) -> None:
        """Constants stay finite numbers: sympy would compute with what they are otherwise."""
        if built.free_symbols:
            return
        value = constant_value(built)
        if not (isfinite(value) and abs(value) <= _MAX_VALUE):
            shown = printable(self.source.segment(node), 60)
            raise self.source.error(f"{shown} is no number within -1e100 to 1e100", node)


@dataclass(frozen=True)
class _Place:
    """What a function of the language gets first: where it stands, to state demands."""

    builder: _Builder
    node: ast.Call

    def need(self, need: Need, argument: sympy.Expr) -> None:
        self.builder.need(need, argument, self.node)

    def power(self, base: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
        return self.builder._power(base, exponent, self.node)

    def error(self, message: str) -> InputError:
        return self.builder.source.error(message, self.node)


# The functions of the language. Signatures are those that the user sees, less the place.


def _log(place: _Place, x: Any) -> Any:
    place.need("positive", x)
    return sympy.log(x)


def _log1p(place: _Place, x: Any) -> Any:
    return _log(place, 1 + x)


def _sqrt(place: _Place, x: Any) -> Any:
    place.need("nonnegative", x)
    return sympy.sqrt(x)


def _sigmoid(place: _Place, x: Any) -> Any:
    return 1 / (1 + sympy.exp(-x))


def _normal_cdf(place: _Place, x: Any) -> Any:
    return (1 + sympy.erf(x / sympy.sqrt(2))) / 2


def _exp(place: _Place, x: Any) -> Any:
    return sympy.exp(x)


def _abs(place: _Place, x: Any) -> Any:
    return sympy.Abs(x)


def _tanh(place: _Place, x: Any) -> Any:
    return sympy.tanh(x)


def _sin(place: _Place, x: Any) -> Any:
    return sympy.sin(x)


def _cos(place: _Place, x: Any) -> Any:
    return sympy.cos(x)


def _min(place: _Place, a: Any, *others: Any) -> Any:
    return _extreme(sympy.Min, (a, *others))


def _max(place: _Place, a: Any, *others: Any) -> Any:
    return _extreme(sympy.Max, (a, *others))


def _extreme(function: Any, parts: tuple[Any, ...]) -> Any:
    """A maximum or minimum as it stands: sympy would compare all parts with each other, at length."""
    if len(parts) == 1:
        return parts[0]
    if any(part.free_symbols for part in parts):
        return function(*parts, evaluate=False)
    pick = max if function is sympy.Max else min
    return pick(parts, key=constant_value)


def _hill_repression(place: _Place, x: Any, vmax: Any = S.One, k: Any = S.One, n: Any = TWO) -> Any:
    if n.free_symbols or not n.is_positive:
        raise place.error("n must be a constant above 0")
    place.need("nonzero", k)
    below = 1 + place.power(x / k, n)
    place.need("nonzero", below)
    return vmax / below


def _hill(place: _Place, x: Any, vmax: Any = S.One, k: Any = S.One, n: Any = TWO) -> Any:
    # x stands once in this form, so its range is found exactly, and no power overflows
    return vmax - _hill_repression(place, x, vmax, k, n)


def _michaelis_menten(place: _Place, x: Any, vmax: Any = S.One, km: Any = S.One) -> Any:
    return _hill(place, x, vmax, km, S.One)


def _threshold(place: _Place, x: Any, at: Any = S.Zero) -> Any:
    if not (x - at).free_symbols:
        return sympy.Integer(constant_value(x - at) > 0)
    return sympy.Heaviside(x - at, 0)


def _and(place: _Place, a: Any, *others: Any) -> Any:
    return sympy.Mul(a, *others)


def _or(place: _Place, a: Any, *others: Any) -> Any:
    return 1 - sympy.Mul(*(1 - one for one in (a, *others)))


def _not(place: _Place, a: Any) -> Any:
    return 1 - a


def _noisy_or(place: _Place, a: Any, *others: Any, p: Any = None, leak: Any = S.Zero) -> Any:
    causes = (a, *others)
    p = [sympy.Integer(1)] * len(causes) if p is None else p
    if not isinstance(p, list) or len(p) != len(causes):
        raise place.error(f"p must be a list of {len(causes)} probabilities, one for each cause")
    for share in (*p, leak):
        place.need("probability", share)
    return 1 - (1 - leak) * sympy.Mul(*(1 - share * cause for share, cause in zip(p, causes, strict=True)))


FUNCTIONS: dict[str, Callable[..., sympy.Expr]] = {
    "exp": _exp,
    "log": _log,
    "log1p": _log1p,
    "sqrt": _sqrt,
    "abs": _abs,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "Phi": _normal_cdf,
    "sin": _sin,
    "cos": _cos,
    "min": _min,
    "max": _max,
    "hill": _hill,
    "hill_repression": _hill_repression,
    "michaelis_menten": _michaelis_menten,
    "threshold": _threshold,
    "AND": _and,
    "OR": _or,
    "NOT": _not,
    "noisy_or": _noisy_or,
}


def usage(name: str) -> str:
    """How a function of the language is written.

    Examples
    --------
    >>> usage("hill"), usage("min")
    ('hill(x, vmax=1, k=1, n=2)', 'min(a, ...)')
    """
    shown = []
    for parameter in list(inspect.signature(FUNCTIONS[name]).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_POSITIONAL:
            shown.append("...")
        elif parameter.name == "p":
            shown.append("p=[...]")
        elif parameter.default is parameter.empty:
            shown.append(parameter.name)
        else:
            shown.append(f"{parameter.name}={parameter.default}")
    return f"{name}({', '.join(shown)})"


def satisfies(value: float, need: Need) -> bool:
    """Whether a number meets a demand."""
    if need == "nonzero":
        return value != 0
    if need == "positive":
        return value > 0
    if need == "probability":
        return 0 <= value <= 1
    if need == "real":
        return isfinite(value)
    return value >= 0 and (need == "nonnegative" or float(value).is_integer())
