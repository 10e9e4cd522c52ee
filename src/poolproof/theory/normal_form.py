"""One normal form of a model before it is judged: what is said in other words is the same (method 2).

Constants are filled in, steps and absolute values resolved where ranges settle them, identities cancelled,
variables with two values made linear. A gene that drops out of a formula is no parent any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import sympy

from ..models.algebra import NOISE, constant_value, evaluate_sympy, gene_symbol
from ..models.diagrams import TooLargeError, diagrams_of
from ..models.expressions import Formula
from ..models.families import Normal
from ..models.laws import make_law
from ..models.mechanisms import Equation, Kernel, Mechanism
from ..models.ranges import range_of
from ..models.scm import SCM, CellType
from ..models.support import Support, exact_number, interval

N_POINTS = 12
ROUNDING = 1e-11
"""What is left of terms that cancel, relative to them, if it may be rounding."""
CLEARLY_BENT = 1e-4
"""Second difference of a formula, relative to its terms, that is none of rounding."""
MAX_OPERATIONS = 250
"""Longer formulas are not simplified."""
FROM_VARIABLES = 5
"""Variables with the values 0 and 1 from which a decision diagram takes the place of algebra."""
MAX_VALUES = 12
"""Values of a variable up to which a formula is looked at on all of them."""

Range = Callable[[sympy.Expr], Support]


def normal_model(scm: SCM, *, fill_in: bool = True) -> SCM:
    """The same model in normal form; the model itself if nothing changes.

    Parameters
    ----------
    fill_in
        Whether constant genes are filled in; among shares they are not constant.

    Examples
    --------
    >>> from poolproof.models import parse_equation
    >>> genes = {"Y": parse_equation(None, "gamma(2, 1)", ["Y"])}
    >>> genes["X"] = parse_equation("sin(Y)**2 + cos(Y)**2 + N", "normal(0, 1)", ["Y"])
    >>> normal_model(SCM("identity", genes)).parents("X")
    ()
    """
    supports = scm.supports()
    if not fill_in:
        supports = {g: interval(s.low, s.low) if s.is_point else s for g, s in supports.items()}
    genes = {gene: normal_mechanism(part, supports) for gene, part in scm.genes.items()}
    types = {
        name: CellType(one.fraction, {g: normal_mechanism(m, supports) for g, m in one.genes.items()})
        for name, one in scm.cell_types.items()
    }
    if genes == dict(scm.genes) and types == dict(scm.cell_types):
        return scm
    return SCM(scm.name, genes, types)


def normal_mechanism(mechanism: Mechanism, supports: Mapping[str, Support]) -> Mechanism:
    """One mechanism in normal form, for parents anywhere in their supports."""
    known = mechanism.symbol_supports(supports)
    if isinstance(mechanism, Equation):
        found = normal_expression(mechanism.expression.sympy, known)
        if found == mechanism.expression.sympy:
            return mechanism
        noise = mechanism.noise if NOISE in found.free_symbols else None
        return Equation(_formula(mechanism.expression, found), noise)
    if mechanism.law == "categorical" and len(mechanism.parents) > 1:
        return mechanism  # tables are in normal form, and long
    parts = [normal_expression(argument.sympy, known) for argument in mechanism.arguments]
    equation = _as_equation(mechanism, parts)
    if equation is not None:
        return equation
    if parts == [argument.sympy for argument in mechanism.arguments]:
        return mechanism
    arguments = tuple(_formula(old, new) for old, new in zip(mechanism.arguments, parts, strict=True))
    return replace(mechanism, arguments=arguments)


def _formula(old: Formula, new: sympy.Expr) -> Formula:
    return old if new == old.sympy else Formula(old.text, new)


def _as_equation(kernel: Kernel, parts: list[sympy.Expr]) -> Equation | None:
    """A normal kernel of fixed spread is an equation with noise, a kernel without parents a noise."""
    if not kernel.parents or not any(part.free_symbols for part in parts):
        values = [constant_value(part) for part in parts]
        if kernel.law in ("poisson", "gamma", "normal") and all(value > 0 for value in values):
            return Equation(Formula(kernel.text, NOISE), make_law(kernel.law, *values))
        return None
    if kernel.law != "normal" or parts[1].free_symbols or not constant_value(parts[1]) > 0:
        return None
    if any(sympy.diff(parts[0], v, w) != 0 for v in parts[0].free_symbols for w in parts[0].free_symbols):
        return None
    return Equation(Formula(kernel.text, parts[0] + parts[1] * NOISE), Normal(0.0, 1.0))


def normal_expression(
    expression: sympy.Expr, supports: Mapping[sympy.Symbol, Support], within: Range | None = None
) -> sympy.Expr:
    """A formula in normal form.

    Parameters
    ----------
    supports
        Of every symbol.
    within
        The range of an expression, where more is known than the supports of its symbols.

    Examples
    --------
    >>> from poolproof.models.support import interval
    >>> y = sympy.Symbol("Y", real=True)
    >>> normal_expression(sympy.Max(y, 0) + sympy.Abs(y), {y: interval(0, np.inf)})
    2*Y
    """
    ranges = within or (lambda part: range_of(part, supports))
    points = {v: s.values[0] for v, s in supports.items() if s.kind == "finite" and len(s.values) == 1}
    found = expression.xreplace({v: x for v, x in points.items() if v in expression.free_symbols})
    found = _without_roughness(found, ranges) if found.atoms(*_ROUGH) else found
    if len(found.free_symbols) >= FROM_VARIABLES and all(_is_switch(supports[v]) for v in found.free_symbols):
        return _by_diagram(found, supports)
    for variable in sorted(found.free_symbols, key=str):
        found = _straightened(found, variable, supports)
    return found


def _is_switch(support: Support) -> bool:
    return support.kind == "finite" and support.values == (0, 1)


def _by_diagram(expression: sympy.Expr, supports: Mapping[sympy.Symbol, Support]) -> sympy.Expr:
    """A function of many switches as a formula that is a line in each, without multiplying out."""
    table = diagrams_of({v.name: supports[v] for v in sorted(expression.free_symbols, key=str)})
    try:
        return expression if table is None else table.expression(table.of(expression))
    except TooLargeError:
        return expression


_ROUGH = (sympy.Abs, sympy.Max, sympy.Min, sympy.Heaviside, sympy.sign)


def _without_roughness(expression: sympy.Expr, ranges: Range) -> sympy.Expr:
    """Resolve steps, absolute values and extremes whose parts do not cross."""
    done: dict[sympy.Expr, sympy.Expr] = {}

    def resolved(part: sympy.Expr) -> sympy.Expr:
        if not part.args or not part.atoms(*_ROUGH):
            return part
        if part not in done:
            done[part] = _resolved(part, [resolved(inner) for inner in part.args], ranges)
        return done[part]

    return _joined(resolved(expression))


def _resolved(part: sympy.Expr, inside: list[sympy.Expr], ranges: Range) -> sympy.Expr:
    if isinstance(part, sympy.Heaviside):
        at = _positive_and_negative(inside[0], ranges)
        if at == (True, False):
            return sympy.Integer(1)
        return sympy.Integer(0) if at[1] else part.func(*inside)
    if isinstance(part, sympy.Abs):
        known = ranges(inside[0])
        return inside[0] if known.low >= 0 else -inside[0] if known.high <= 0 else part.func(*inside)
    if isinstance(part, (sympy.Max, sympy.Min)):
        sign = 1 if isinstance(part, sympy.Max) else -1
        kept: list[sympy.Expr] = []
        for one in inside:
            if any(ranges(sign * (other - one)).low >= 0 for other in kept):
                continue
            kept = [other for other in kept if not ranges(sign * (one - other)).low >= 0]
            kept.append(one)
        return kept[0] if len(kept) == 1 else part.func(*kept, evaluate=False)
    return part.func(*inside)


def _positive_and_negative(part: sympy.Expr, ranges: Range) -> tuple[bool, bool]:
    """Whether a part is above 0 everywhere, and whether it nowhere is."""
    known = ranges(part)
    above = known.low > 0 or (known.low == 0 and known.open_low)
    return above, known.high <= 0


def _joined(expression: sympy.Expr) -> sympy.Expr:
    """Write extremes of two parts by the absolute value of their difference where fewer of these are left."""
    rough = {m for m in expression.atoms(sympy.Max, sympy.Min) if len(m.args) == 2}
    before = len(rough | expression.atoms(sympy.Abs))
    if not rough or before < 2:
        return expression
    halves: dict[sympy.Expr, sympy.Expr] = {}
    for one in rough:
        a, b = one.args
        sign = 1 if isinstance(one, sympy.Max) else -1
        halves[one] = (a + b + sign * sympy.Abs(sympy.expand(a - b))) / 2
    found = sympy.expand(expression.xreplace(halves))
    return found if len(found.atoms(sympy.Abs, sympy.Max, sympy.Min)) < before else expression


def _straightened(
    expression: sympy.Expr, variable: sympy.Symbol, supports: Mapping[sympy.Symbol, Support]
) -> sympy.Expr:
    """Write a formula as a line in one variable where it is one on its support."""
    support = supports[variable]
    if _is_line(expression, variable) or variable not in expression.free_symbols:
        return expression
    if expression.is_Add:  # what does not depend on it stays as it is, and costs nothing
        rest = [part for part in expression.args if variable not in part.free_symbols]
        if rest:
            own = sympy.Add(*(part for part in expression.args if variable in part.free_symbols))
            return sympy.Add(*rest, _straightened(own, variable, supports))
    few = support.kind == "finite" and len(support.values) <= MAX_VALUES
    if few and len(support.values) == 2:
        low, high = (expression.xreplace({variable: value}) for value in support.values)
        return _line(variable, support.values[0], low, (high - low) / (support.values[1] - support.values[0]))
    if expression.count_ops() > MAX_OPERATIONS:
        return expression
    if any(variable in part.free_symbols for part in expression.atoms(*_ROUGH)):
        return _line_on_values(expression, variable, support) if few else expression
    if not few and _clearly_bent(expression, variable, supports):
        return expression
    bend = sympy.diff(expression, variable, 2)
    if _is_zero(bend, supports):
        at = _some_value(support, expression, variable)
        slope = sympy.simplify(sympy.diff(expression, variable).xreplace({variable: at}))
        return _line(variable, at, sympy.simplify(expression.xreplace({variable: at})), slope)
    return _line_on_values(expression, variable, support) if few else expression


def _clearly_bent(
    expression: sympy.Expr, variable: sympy.Symbol, supports: Mapping[sympy.Symbol, Support]
) -> bool:
    """Whether numbers alone show that a formula is no line: three values, equally far apart."""
    grid = supports[variable].sample_grid(5)
    if len(grid) < 5 or not np.allclose(np.diff(grid, 2), 0.0, atol=1e-9 * np.ptp(grid)):
        return False
    at = {v.name: np.asarray(np.median(supports[v].sample_grid(5))) for v in expression.free_symbols}
    with np.errstate(all="ignore"):
        values = np.broadcast_to(evaluate_sympy(expression, at | {variable.name: grid[:3]}), 3)
        size = np.broadcast_to(_size(expression, at | {variable.name: grid[:3]}), 3).max()
    return bool(np.isfinite(size) and abs(values[0] - 2 * values[1] + values[2]) > CLEARLY_BENT * size)


def _is_line(expression: sympy.Expr, variable: sympy.Symbol) -> bool:
    """Whether a formula is plainly of degree one in a variable."""
    if expression == variable or variable not in expression.free_symbols:
        return True
    if expression.is_Add:
        return all(_is_line(part, variable) for part in expression.args)
    if expression.is_Mul:
        with_it = [part for part in expression.args if variable in part.free_symbols]
        return len(with_it) == 1 and _is_line(with_it[0], variable)
    return False


def _line(variable: sympy.Symbol, at: sympy.Expr, value: sympy.Expr, slope: sympy.Expr) -> sympy.Expr:
    return sympy.expand(value - at * slope) + sympy.expand(slope) * variable


def _line_on_values(expression: sympy.Expr, variable: sympy.Symbol, support: Support) -> sympy.Expr:
    """The line through all values of a variable with a few, if there is one."""
    first, *others = support.values
    start = expression.xreplace({variable: first})
    steps = [sympy.expand(expression.xreplace({variable: value}) - start) for value in others]
    slope = sympy.expand(steps[0] / (others[0] - first))
    for step, value in zip(steps[1:], others[1:], strict=True):
        rest = sympy.expand(step - slope * (value - first))
        if rest != 0:
            return expression
    return _line(variable, first, start, slope)


def _some_value(support: Support, expression: sympy.Expr, variable: sympy.Symbol) -> sympy.Expr:
    """A short exact number inside a support, where the formula is defined."""
    grid = support.sample_grid(5)
    whole = sorted({*np.round(grid), *grid}, key=lambda v: (len(f"{v:g}"), abs(v)))
    for value in whole:
        at = exact_number(float(value))
        inside = support.low < value < support.high or (
            support.kind != "interval" and support.contains(value)
        )
        if inside and expression.xreplace({variable: at}).is_finite is not False:
            return at
    return exact_number(float(grid[len(grid) // 2]))


def _is_zero(expression: sympy.Expr, supports: Mapping[sympy.Symbol, Support]) -> bool:
    """Whether a formula is 0 everywhere: numbers raise the suspicion, algebra proves it."""
    if not expression.free_symbols:
        return bool(sympy.simplify(expression) == 0)
    value, size = values_and_size(expression, supports)
    usable = np.isfinite(value) & np.isfinite(size)
    if not usable.any() or (np.abs(value[usable]) > ROUNDING * size[usable]).any():
        return False
    return bool(sympy.simplify(expression) == 0)


def values_and_size(
    expression: sympy.Expr, supports: Mapping[sympy.Symbol, Support]
) -> tuple[np.ndarray, np.ndarray]:
    """Values at some points of the support, and the size of the terms that cancel in them."""
    rng = np.random.default_rng(0)
    at = {
        v: rng.choice(supports[v].sample_grid(25), size=N_POINTS)
        for v in sorted(expression.free_symbols, key=str)
    }
    values = {v.name: x for v, x in at.items()}
    with np.errstate(all="ignore"):
        value = np.broadcast_to(evaluate_sympy(expression, values), N_POINTS)
        size = np.broadcast_to(_size(expression, values), N_POINTS)
    return value, size


def _size(expression: sympy.Expr, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sum of the sizes of the terms of a formula, multiplied out over its factors."""
    if expression.is_Add:
        return np.asarray(sum(_size(part, values) for part in expression.args))
    if expression.is_Mul:
        sizes = [_size(part, values) for part in expression.args]
        return np.asarray(np.prod(np.broadcast_arrays(*sizes), axis=0))
    value = np.abs(evaluate_sympy(expression, values))
    if expression.is_Pow and expression.exp.is_number and expression.base.free_symbols:
        base = np.abs(evaluate_sympy(expression.base, values))
        ratio = np.maximum(_size(expression.base, values) / np.where(base > 0, base, 1.0), 1.0)
        return np.asarray(value * ratio ** abs(float(expression.exp)))
    return value


def symbols_of(names: tuple[str, ...]) -> list[sympy.Symbol]:
    """Symbols of some genes."""
    return [gene_symbol(name) for name in names]
