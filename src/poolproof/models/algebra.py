"""Sympy expressions in numbers: evaluated with numpy or exactly, and taken apart where they are affine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import reduce
from operator import add, mul
from typing import Any

import numpy as np
import sympy
from scipy import special

NOISE_NAME = "N"
NOISE = sympy.Symbol(NOISE_NAME, real=True)
"""A gene's own noise."""

_MAX_TERMS = 5_000
_CAP = 10**9


def gene_symbol(name: str) -> sympy.Symbol:
    """The symbol that stands for a gene's value.

    Examples
    --------
    >>> gene_symbol("HLA-A").is_real
    True
    """
    return sympy.Symbol(name, real=True)


_NUMPY: dict[Any, Callable[..., Any]] = {
    sympy.exp: np.exp,
    sympy.log: np.log,
    sympy.Abs: np.abs,
    sympy.tanh: np.tanh,
    sympy.sin: np.sin,
    sympy.cos: np.cos,
    sympy.erf: special.erf,
    sympy.sign: np.sign,
    sympy.Max: lambda *parts: reduce(np.maximum, parts),
    sympy.Min: lambda *parts: reduce(np.minimum, parts),
    sympy.Heaviside: lambda x, at_zero: np.heaviside(x, at_zero),
    sympy.Add: lambda *parts: reduce(add, parts),
    sympy.Mul: lambda *parts: reduce(mul, parts),
}


def evaluate_sympy(expr: sympy.Expr, values: Mapping[str, Any]) -> np.ndarray:
    """Values of a sympy expression, float64, with an array of one shape for each symbol's name.

    Undefined places are NaN or infinite, without a warning. Constants come out as shape ``()``.

    Examples
    --------
    >>> evaluate_sympy(2 * gene_symbol("X") + 1, {"X": np.array([0.0, 1.0])})
    array([1., 3.])
    """
    with np.errstate(all="ignore"):
        return np.asarray(_evaluate(expr, values), dtype=float)


def _evaluate(expr: sympy.Expr, values: Mapping[str, Any]) -> Any:
    if expr.is_Symbol:
        return values[expr.name]
    if not expr.args:
        return np.float64(expr)
    if expr.is_Pow:
        return _evaluate_power(expr, values)
    function = _NUMPY.get(expr.func)
    if function is None:
        raise TypeError(f"no numpy form of {expr.func}")
    return function(*(_evaluate(part, values) for part in expr.args))


def _evaluate_power(expr: sympy.Expr, values: Mapping[str, Any]) -> Any:
    base = _evaluate(expr.base, values)
    if expr.exp == -1:
        return 1 / base
    if expr.exp == sympy.S.Half:
        return np.sqrt(base)
    return base ** (int(expr.exp) if expr.exp.is_Integer else _evaluate(expr.exp, values))


def constant_value(expr: sympy.Expr) -> float:
    """A constant as a float, NaN or infinite if it is no finite real number."""
    try:
        return float(evaluate_sympy(expr, {}))
    except (TypeError, OverflowError):  # complex, or sympy's zoo
        return float("nan")


def exact_value(expr: sympy.Expr, values: Mapping[sympy.Symbol, sympy.Expr]) -> sympy.Expr:
    """Exact value of an expression, every symbol replaced by an exact number.

    Examples
    --------
    >>> x = gene_symbol("X")
    >>> exact_value(x**2 / 3, {x: sympy.Rational(1, 2)})
    1/12
    """
    try:
        fractions = {symbol: _fraction(value) for symbol, value in values.items()}
        value = _exact(expr, fractions)
    except _IrrationalError:
        return expr.xreplace(dict(values))
    return sympy.Rational(value.numerator, value.denominator)


class _IrrationalError(Exception):
    """Not within the rationals, or not without doubt."""


def _fraction(value: sympy.Expr) -> Fraction:
    if not value.is_Rational:
        raise _IrrationalError
    return Fraction(int(value.p), int(value.q))


def _exact(expr: sympy.Expr, values: Mapping[sympy.Symbol, Fraction]) -> Fraction:
    """Rational arithmetic only; many times faster than sympy's."""
    if expr.is_Symbol:
        return values[expr]
    if expr.is_Rational:
        return _fraction(expr)
    if expr.is_Pow and expr.exp.is_Integer:
        base = _exact(expr.base, values)
        if base == 0 and expr.exp < 0:
            raise _IrrationalError
        return Fraction(base ** int(expr.exp))
    if expr.func not in _RATIONAL:
        raise _IrrationalError
    return _RATIONAL[expr.func]([_exact(part, values) for part in expr.args])


def _step(parts: Sequence[Fraction]) -> Fraction:
    at, middle = parts
    return middle if at == 0 else Fraction(int(at > 0))


_RATIONAL: Mapping[Any, Callable[[list[Fraction]], Fraction]] = {
    sympy.Add: lambda parts: sum(parts, Fraction(0)),
    sympy.Mul: lambda parts: reduce(mul, parts),
    sympy.Max: max,
    sympy.Min: min,
    sympy.Abs: lambda parts: abs(parts[0]),
    sympy.Heaviside: _step,
}
"""Functions that map rationals to rationals, of the values of their arguments."""


# Polynomials and affine maps.


def degree_and_terms(expr: sympy.Expr) -> tuple[int, int]:
    """Bounds on the degree, and on the number of terms once multiplied out; functions count as symbols."""
    if expr.is_Add or expr.is_Mul:
        parts = [degree_and_terms(part) for part in expr.args]
        if expr.is_Add:
            return max(degree for degree, _ in parts), min(_CAP, sum(n for _, n in parts))
        return min(_CAP, sum(degree for degree, _ in parts)), reduce(_capped_product, (n for _, n in parts))
    if expr.is_Pow and expr.exp.is_number:
        degree, terms = degree_and_terms(expr.base)
        times = abs(constant_value(expr.exp))
        return min(_CAP, int(np.ceil(degree * times))), min(_CAP, int(min(1e9, float(terms) ** times)))
    return int(bool(expr.free_symbols)), 1


def _capped_product(a: int, b: int) -> int:
    return min(_CAP, a * b)


def affine_parts(expr: sympy.Expr) -> tuple[dict[str, sympy.Expr], sympy.Expr] | None:
    """Coefficients by name and the constant, exact, if the expression is affine in its symbols.

    Products and fractions are multiplied out and cancelled where needed, up to some thousand terms; a
    longer one counts as not affine.

    Examples
    --------
    >>> x, y = gene_symbol("X"), gene_symbol("Y")
    >>> affine_parts((x + 1) ** 2 - x**2 + y / 2)
    ({'X': 2, 'Y': 1/2}, 1)
    >>> affine_parts(x * y) is None
    True
    """
    found = _affine(expr)
    if found is None and expr.is_rational_function() and degree_and_terms(expr)[1] <= _MAX_TERMS:
        plain = sympy.expand(expr)
        if not plain.is_polynomial() and degree_and_terms(expr)[0] <= 20:
            plain = sympy.expand(sympy.cancel(plain))
        found = _affine(plain)
    if found is None:
        return None
    coefficients, constant = found
    return {name: c for name, c in sorted(coefficients.items()) if c != 0}, constant


def _affine(expr: sympy.Expr) -> tuple[dict[str, sympy.Expr], sympy.Expr] | None:
    if not expr.free_symbols:
        return {}, expr
    if expr.is_Symbol:
        return {expr.name: sympy.Integer(1)}, sympy.Integer(0)
    if expr.is_Add:
        return _sum_of_affine([_affine(part) for part in expr.args])
    if expr.is_Mul:
        varying = [part for part in expr.args if part.free_symbols]
        inner = _affine(varying[0]) if len(varying) == 1 else None
        if inner is None:
            return None
        factor = sympy.Mul(*(part for part in expr.args if not part.free_symbols))
        return {name: factor * c for name, c in inner[0].items()}, factor * inner[1]
    return None


def _sum_of_affine(
    parts: Sequence[tuple[dict[str, sympy.Expr], sympy.Expr] | None],
) -> tuple[dict[str, sympy.Expr], sympy.Expr] | None:
    """Sum of affine parts; None if one is not affine."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    total: dict[str, sympy.Expr] = {}
    for coefficients, _ in known:
        for name, coefficient in coefficients.items():
            total[name] = total.get(name, 0) + coefficient
    return total, sympy.Add(*(constant for _, constant in known))
