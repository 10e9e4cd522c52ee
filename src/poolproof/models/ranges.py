"""Which values a formula can take, given those of its variables; and whether it is defined on all of them.

Ranges are sound: no value lies outside. They are exact for finite variables, affine formulas, fractions of
polynomials in one variable, and wherever each variable stands once; else they may be too wide. So a formula
is refused only if a place is found where it is undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, reduce
from itertools import product
from math import inf, isnan, prod
from typing import NamedTuple

import numpy as np
import sympy

from .._checks import InputError, printable
from .algebra import constant_value, evaluate_sympy, exact_value
from .diagrams import TooLargeError, diagrams_of
from .expressions import FAULTS, Formula, Guard, Need
from .support import MAX_STATES, Support, finite, integers, interval

Supports = Mapping[sympy.Symbol, Support]

_MANY_STATES = 200
"""States from which values are listed by a decision diagram, where it can be made."""
_MAX_IRRATIONAL_STATES = 2_000  # these take sympy's own arithmetic
_MAX_ROOT_DEGREE = 12
_TOLERANCE = 1e-9
_EVERYWHERE = interval(-inf, inf)


def range_of(expr: sympy.Expr, supports: Supports) -> Support:
    """Values that an expression can take while its symbols range over their supports, one by one.

    Parameters
    ----------
    expr
        A sympy expression.
    supports
        Support of every symbol in it.

    Examples
    --------
    >>> x, b = sympy.Symbol("X", real=True), sympy.Symbol("B", real=True)
    >>> supports = {x: interval(0, inf), b: finite([0, 1])}
    >>> print(range_of(x / (1 + x), supports), range_of(2 * b - 1, supports), range_of(x * b, supports))
    0 to 1 {-1, 1} 0 to inf
    """
    known = tuple(sorted(((v, supports[v]) for v in expr.free_symbols), key=lambda one: str(one[0])))
    return _range_of(expr, known)


@lru_cache(maxsize=20_000)
def _range_of(expr: sympy.Expr, known: tuple[tuple[sympy.Symbol, Support], ...]) -> Support:
    expr, supports = _steps_as_variables(expr, dict(known))
    symbols = sorted(expr.free_symbols, key=str)
    if not symbols:
        return finite([expr if _is_plain(expr) else constant_value(expr)])
    if all(supports[symbol].kind == "finite" for symbol in symbols):
        values = _enumerate(expr, symbols, supports)
        if values:
            return finite(values)
    box = _box(expr, supports)
    return integers(box.low, box.high) if _is_whole(expr, supports) else box


def _steps_as_variables(expr: sympy.Expr, supports: Supports) -> tuple[sympy.Expr, Supports]:
    """Put a 0/1 variable in place of every step (threshold) of something that is not finite."""
    steps = {
        step: sympy.Dummy("step", real=True)
        for step in expr.atoms(sympy.Heaviside)
        if any(supports[symbol].kind != "finite" for symbol in step.free_symbols)
    }
    if not steps:
        return expr, supports
    both = dict(supports)
    for step, symbol in steps.items():
        inside = _box(step.args[0], supports)
        reached = [0] if inside.high <= 0 else [1] if _holds(inside, "positive") else [0, 1]
        both[symbol] = finite(reached)
    return expr.xreplace(steps), both


def _enumerate(expr: sympy.Expr, symbols: list[sympy.Symbol], supports: Supports) -> set[sympy.Expr]:
    """All values of an expression in finite variables; empty where there are too many."""
    n_states = prod(len(supports[symbol].values) for symbol in symbols)
    if n_states > _MANY_STATES:
        found = _by_diagram(expr, symbols, supports)
        if found is not None:
            return found
    rational = expr.is_rational_function(*symbols)
    if n_states > (MAX_STATES if rational else _MAX_IRRATIONAL_STATES):
        return set()
    states = product(*(supports[symbol].values for symbol in symbols))
    values = (exact_value(expr, dict(zip(symbols, state, strict=True))) for state in states)
    found = {value for value in values if value.is_finite is not False and value.is_real is not False}
    return found if all(map(_is_plain, found)) else set()


def _by_diagram(expr: sympy.Expr, symbols: list[sympy.Symbol], supports: Supports) -> set[sympy.Expr] | None:
    """The same by a decision diagram, which has no row for each state; None where it does not tell."""
    table = diagrams_of({symbol.name: supports[symbol] for symbol in symbols})
    try:
        ends = table.ends(table.of(expr)) if table is not None else set()
    except TooLargeError:
        return None
    few = 0 < len(ends) <= MAX_STATES
    return {sympy.Rational(v.numerator, v.denominator) for v in ends} if few else None


def _is_plain(value: sympy.Expr) -> bool:
    """Whether sympy can tell the value of a constant: it cannot where rounding hides the sign."""
    try:
        return bool(np.isfinite(float(value)))
    except TypeError:
        return False


def _is_whole(expr: sympy.Expr, supports: Supports) -> bool:
    """Whether whole numbers give whole numbers."""
    if expr.is_Symbol:
        return supports[expr].is_whole
    if expr.is_Pow:
        return expr.exp.is_Integer and expr.exp >= 0 and _is_whole(expr.base, supports)
    if expr.func in (sympy.Add, sympy.Mul, sympy.Max, sympy.Min, sympy.Abs):
        return all(_is_whole(part, supports) for part in expr.args)
    return bool(expr.is_Integer) or expr.func is sympy.Heaviside


# Interval arithmetic.


def _box(expr: sympy.Expr, supports: Supports) -> Support:
    """An interval that holds all values."""
    if not expr.free_symbols:
        value = constant_value(expr)
        return _EVERYWHERE if isnan(value) else interval(value, value)
    if expr.is_Symbol:
        known = supports[expr]
        return interval(known.low, known.high, open_low=known.open_low, open_high=known.open_high)
    exact = _by_critical_points(expr, supports)
    if exact is not None:
        return exact
    if expr.is_Add:
        return reduce(_sum, (_box(part, supports) for part in _groups(expr)))
    if expr.is_Mul:
        return reduce(_product, (_box(part, supports) for part in expr.args))
    if expr.is_Pow:
        return _power(_box(expr.base, supports), constant_value(expr.exp))
    inside = [_box(part, supports) for part in expr.args]
    return _FUNCTION_RANGES[expr.func](*inside)


def _ends(low: float, high: float, open_low: bool, open_high: bool) -> Support:
    if isnan(low) or isnan(high):
        return _EVERYWHERE
    return interval(low, high, open_low=open_low, open_high=open_high)


def _groups(expr: sympy.Expr) -> list[sympy.Expr]:
    """Terms of a sum; those in one and the same single variable are kept together."""
    groups: dict[object, list[sympy.Expr]] = {}
    for position, term in enumerate(expr.args):
        single = len(term.free_symbols) == 1
        groups.setdefault(next(iter(term.free_symbols)) if single else position, []).append(term)
    if len(groups) == 1:
        return list(expr.args)
    return [sympy.Add(*terms) for terms in groups.values()]


def _sum(a: Support, b: Support) -> Support:
    return _ends(a.low + b.low, a.high + b.high, a.open_low or b.open_low, a.open_high or b.open_high)


class _End(NamedTuple):
    value: float
    open: bool


def _product(a: Support, b: Support) -> Support:
    corners = [_corner(x, y) for x in _both_ends(a) for y in _both_ends(b)]
    return _hull(corners)


def _both_ends(a: Support) -> tuple[_End, _End]:
    return _End(a.low, a.open_low), _End(a.high, a.open_high)


def _corner(x: _End, y: _End) -> _End:
    if 0 in (x.value, y.value):  # 0 times infinity is 0 here: values are finite
        return _End(0.0, not any(end.value == 0 and not end.open for end in (x, y)))
    with np.errstate(over="ignore"):
        return _End(float(np.float64(x.value) * y.value), x.open or y.open)


def _hull(ends: Iterable[_End]) -> Support:
    """The interval between the outermost ends; closed where one of them is reached."""
    ends = list(ends)
    low, high = min(end.value for end in ends), max(end.value for end in ends)
    return _ends(
        low,
        high,
        all(end.open for end in ends if end.value == low),
        all(end.open for end in ends if end.value == high),
    )


def _power(base: Support, exponent: float) -> Support:
    if exponent < 0:
        return _reciprocal(_power(base, -exponent))
    if exponent == 0:
        return interval(1, 1)
    if not exponent.is_integer():
        base = _clip_below_zero(base)
    elif exponent % 2 == 0:
        base = _absolute(base)
    with np.errstate(over="ignore"):
        low, high = (float(np.float64(end) ** exponent) for end in (base.low, base.high))
    return _ends(low, high, base.open_low, base.open_high)


def _clip_below_zero(a: Support) -> Support:
    return a if a.low >= 0 else _ends(0.0, max(0.0, a.high), False, a.open_high)


def _absolute(a: Support) -> Support:
    if a.low >= 0:
        return a
    mirrored = [_End(abs(end.value), end.open) for end in _both_ends(a)]
    return _hull([*mirrored, _End(0.0, False)] if a.high > 0 else mirrored)


def _reciprocal(a: Support) -> Support:
    if a.low < 0 < a.high or a.low == a.high == 0:
        return _EVERYWHERE
    if a.high <= 0:
        mirrored = _reciprocal(_ends(-a.high, -a.low, a.open_high, a.open_low))
        return _ends(-mirrored.high, -mirrored.low, mirrored.open_high, mirrored.open_low)
    return _ends(1 / a.high, 1 / a.low if a.low else inf, a.open_high, a.open_low or a.low == 0)


def _rising(function: Callable[[np.float64], np.float64]) -> Callable[[Support], Support]:
    def transformed(a: Support) -> Support:
        with np.errstate(all="ignore"):
            low, high = (float(function(np.float64(end))) for end in (a.low, a.high))
        return _ends(low, high, a.open_low, a.open_high)

    return transformed


def _step(a: Support, at_zero: Support) -> Support:
    low = 1.0 if a.low > 0 or (a.low == 0 and a.open_low) else 0.0
    return interval(low, 1.0 if a.high > 0 else 0.0)


def _largest(*parts: Support) -> Support:
    low, high = max(part.low for part in parts), max(part.high for part in parts)
    return _ends(
        low,
        high,
        any(part.open_low for part in parts if part.low == low),
        all(part.open_high for part in parts if part.high == high),
    )


def _negated(a: Support) -> Support:
    return _ends(-a.high, -a.low, a.open_high, a.open_low)


def _wave(a: Support) -> Support:
    return interval(-1, 1)


_FUNCTION_RANGES: dict[object, Callable[..., Support]] = {
    sympy.exp: _rising(np.exp),
    sympy.log: lambda a: _rising(np.log)(_clip_below_zero(a)),
    sympy.tanh: _rising(np.tanh),
    sympy.erf: _rising(lambda x: np.float64(sympy.erf(float(x)))),
    sympy.Abs: _absolute,
    sympy.sin: _wave,
    sympy.cos: _wave,
    sympy.sign: _wave,
    sympy.Heaviside: _step,
    sympy.Max: _largest,
    sympy.Min: lambda *parts: _negated(_largest(*map(_negated, parts))),
}


def _by_critical_points(expr: sympy.Expr, supports: Supports) -> Support | None:
    """Exact range of a fraction of polynomials in one variable that stands in it more than once."""
    if len(expr.free_symbols) != 1:
        return None
    (symbol,) = expr.free_symbols
    if expr.count(symbol) < 2 or not expr.is_rational_function(symbol):
        return None
    if expr.is_Add or expr.is_Mul:
        above, below = _fraction(expr, symbol)
        if above is not None and below is not None:
            return _fraction_range(above, below, _box(symbol, supports))
    return None


def _fraction(expr: sympy.Expr, symbol: sympy.Symbol) -> tuple[np.poly1d | None, np.poly1d | None]:
    """Numerator and denominator without common factors, or None where the degree is high."""
    if _plain_degree(expr) > _MAX_ROOT_DEGREE:
        return None, None
    parts = (sympy.Poly(part, symbol) for part in sympy.fraction(sympy.cancel(expr)))
    above, below = (np.poly1d([float(c) for c in part.all_coeffs()]) for part in parts)
    return above, below


def _plain_degree(expr: sympy.Expr) -> int:
    """How often the variable stands in a product at most, powers counted."""
    if expr.is_Pow:
        return abs(int(expr.exp)) * _plain_degree(expr.base)
    return sum(map(_plain_degree, expr.args)) if expr.args else int(expr.is_Symbol)


def _fraction_range(above: np.poly1d, below: np.poly1d, base: Support) -> Support | None:
    if any(base.low - _TOLERANCE <= root <= base.high + _TOLERANCE for root in _real_roots(below)):
        return None
    turning = [
        root
        for root in _real_roots(above.deriv() * below - above * below.deriv())
        if base.low < root < base.high
    ]
    with np.errstate(all="ignore"):
        inside = [_End(float(above(x) / below(x)), False) for x in turning]
        outer = [_End(_limit(above, below, end.value), end.open) for end in _both_ends(base)]
    return _hull([*outer, *inside])


def _real_roots(poly: np.poly1d) -> list[float]:
    if poly.order == 0:
        return []
    return [float(r.real) for r in poly.roots if abs(r.imag) < 1e-6 * (1 + abs(r))]


def _limit(above: np.poly1d, below: np.poly1d, x: float) -> float:
    """Value of the fraction at x, which may be infinite."""
    if abs(x) != inf:
        return float(above(x) / below(x))
    excess = above.order - below.order
    leading = float(above.coeffs[0] / below.coeffs[0])
    if excess <= 0:
        return leading if excess == 0 else 0.0
    return leading * inf * (-1.0 if x < 0 and excess % 2 else 1.0)


# Definedness.

Rewrite = Callable[[sympy.Expr], tuple[sympy.Expr, Supports]]


def check_defined(
    formula: Formula | Iterable[Guard], supports: Supports, where: str, rewrite: Rewrite | None = None
) -> None:
    """Refuse a formula that is undefined somewhere on the support of its variables.

    Parameters
    ----------
    formula
        A formula, or the demands themselves.
    supports
        Support of every symbol.
    where
        Place for messages.
    rewrite
        How to write an expression in variables that are independent of each other, with their supports.
        It is used where ranges alone leave a doubt: X - Y may be positive though both range from 0 up.

    Raises
    ------
    InputError
        There is a point in the support where a divisor is 0, the argument of a logarithm not positive,
        and so on; the message shows the part, its range and the point.

    Examples
    --------
    >>> from poolproof.models import parse_expression
    >>> y = sympy.Symbol("Y", real=True)
    >>> check_defined(parse_expression("1/(1 + Y)", ["Y"]), {y: interval(0, inf)}, "here")
    >>> check_defined(parse_expression("1/(1 - Y)", ["Y"]), {y: interval(0, inf)}, "here")
    Traceback (most recent call last):
    ...
    poolproof._checks.InputError: here: 1/(1 - Y) is undefined: 1 - Y can be 0 (it ranges over -inf to 1)
    """
    for guard in formula.guards if isinstance(formula, Formula) else formula:
        if is_met(guard, supports):
            continue
        argument, bases = (guard.argument, supports) if rewrite is None else rewrite(guard.argument)
        inner = Guard(argument, guard.need, guard.text)
        if not is_met(inner, bases) and _is_broken(inner, bases):
            raise InputError(f"{where}: {_sentence(guard, range_of(argument, bases))}")


def is_met(guard: Guard, supports: Supports) -> bool:
    """Whether a demand is met everywhere, as far as ranges can show it."""
    if guard.need != "nonzero":
        return _holds(range_of(guard.argument, supports), guard.need)
    return all(_holds(range_of(part, supports), "nonzero") for part in _factors(guard.argument))


def _holds(values: Support, need: Need) -> bool:
    low = values.low
    if need == "nonzero":
        if values.kind == "finite":
            return 0 not in values.values
        inside = low < 0 < values.high
        at_end = (low == 0 and not values.open_low) or (values.high == 0 and not values.open_high)
        return not inside and not at_end
    if need == "positive":
        return low > 0 or (low == 0 and values.open_low)
    if need == "count":
        return values.is_whole and low >= 0
    if need == "real":
        return True
    enough = low >= -_TOLERANCE
    return enough and (need == "nonnegative" or values.high <= 1 + _TOLERANCE)


def _factors(expr: sympy.Expr) -> list[sympy.Expr]:
    """Parts of which one must be 0 for the whole to be 0."""
    if expr.is_Mul:
        return [factor for part in expr.args for factor in _factors(part)]
    return _factors(expr.base) if expr.is_Pow and expr.exp.is_positive else [expr]


_GROUPS, _POINTS = 40, 500


def _is_broken(guard: Guard, supports: Supports) -> bool:
    """Whether a search over the support finds a point where the demand is not met."""
    parts = _factors(guard.argument) if guard.need == "nonzero" else [guard.argument]
    return any(_breaks(part, guard.need, supports) for part in parts)


def _breaks(expr: sympy.Expr, need: Need, supports: Supports) -> bool:
    values = evaluate_sympy(expr, _search_points(expr, supports))
    values = np.broadcast_to(values, (_GROUPS, _POINTS))
    small = _TOLERANCE * max(1.0, float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0)))
    if need == "nonzero":
        changes = (values < 0).any(axis=1) & (values > 0).any(axis=1)
        return bool((values == 0).any() or (_is_continuous(expr) and changes.any()))
    if need == "positive":
        return bool((values <= 0).any())
    if need == "nonnegative":
        return bool((values < -small).any())
    if need == "probability":
        return bool(((values < -_TOLERANCE) | (values > 1 + _TOLERANCE)).any())
    return bool(((values < 0) | (values != np.round(values))).any())


def _search_points(expr: sympy.Expr, supports: Supports) -> dict[str, np.ndarray]:
    """Points of the support; within a row the variables that have no interval stay the same."""
    rng = np.random.default_rng(0)
    points = {}
    for symbol in sorted(expr.free_symbols, key=str):
        known = supports[symbol]
        grid = _search_grid(known)
        if known.kind == "interval":
            points[symbol.name] = rng.choice(grid, (_GROUPS, _POINTS))
        else:
            points[symbol.name] = np.repeat(rng.choice(grid, (_GROUPS, 1)), _POINTS, axis=1)
    return points


def _search_grid(known: Support) -> np.ndarray:
    grid = known.sample_grid(41)
    tails = np.geomspace(1e-3, 100, 16)
    more = [np.zeros(1)]
    more += [known.low + tails] if known.high == inf and known.low > -inf else []
    more += [known.high - tails] if known.low == -inf and known.high < inf else []
    more += [tails, -tails] if known.low == -inf and known.high == inf else []
    extra = np.concatenate(more)
    if known.kind == "integers":
        extra = np.round(extra)
    inside = (extra > known.low) | ((extra == known.low) & (not known.open_low))
    inside &= (extra < known.high) | ((extra == known.high) & (not known.open_high))
    return grid if known.kind == "finite" else np.union1d(grid, extra[inside])


def _is_continuous(expr: sympy.Expr) -> bool:
    jumps = expr.has(sympy.Heaviside, sympy.sign)
    return not jumps and not any(power.exp.is_negative for power in expr.atoms(sympy.Pow))


def _sentence(guard: Guard, values: Support) -> str:
    part, text = printable(guard.argument, 60), printable(guard.text, 60)
    return f"{text} is undefined: {part} can be {FAULTS[guard.need]} (it ranges over {values})"
