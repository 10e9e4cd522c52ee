"""Equations on the axis on which an aggregation is linear, and what is constant, affine or finite there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import sympy

from ..aggregation import Aggregation
from ..models.algebra import NOISE, evaluate_sympy, gene_symbol
from ..models.laws import Law
from ..models.mechanisms import Equation
from ..models.support import Support, finite, interval

ROUGH = (sympy.Abs, sympy.Max, sympy.Min, sympy.Heaviside, sympy.Piecewise, sympy.sign, sympy.floor)
"""Functions of which derivatives tell nothing."""
N_PROBES = 16
SAME = 1e-10
"""Relative differences of a derivative below this are rounding."""
MAX_STATES = 4000


@dataclass(frozen=True)
class AxisEquation:
    """y = f(parents, N), every variable on the axis of the aggregation."""

    expression: sympy.Expr
    parents: tuple[sympy.Symbol, ...]
    supports: Mapping[sympy.Symbol, Support]
    """Supports of parents and noise, on the axis."""
    noise: Law | None
    """Law of N itself, not on the axis."""

    @property
    def variables(self) -> tuple[sympy.Symbol, ...]:
        """Parents, then N where there is noise."""
        return self.parents if self.noise is None else (*self.parents, NOISE)

    def is_rough_in(self, variable: sympy.Symbol) -> bool:
        """Tell whether derivatives along a variable say nothing about this equation."""
        return any(variable in part.free_symbols for part in self.expression.atoms(*ROUGH))

    def split(self) -> tuple[tuple[sympy.Symbol, ...], tuple[sympy.Symbol, ...]]:
        """Variables with a finite support, and the others."""
        finite = tuple(v for v in self.variables if self.supports[v].kind == "finite")
        return finite, tuple(v for v in self.variables if v not in finite)


def unequal_weights(aggregation: Aggregation) -> tuple[float, ...] | None:
    """Weights of the cells, where they differ."""
    weights = aggregation.weights
    return None if weights is None or len(set(weights)) == 1 else tuple(weights)


def on_axis(
    equation: Equation, supports: Mapping[str, Support], aggregation: Aggregation, *, noise_too: bool
) -> AxisEquation:
    """Bring an equation to the axis; ``noise_too`` where the pool sees the noise through the same axis.

    A noise that need not be above 0 has no power mean and is added up as it is.
    """
    symbols = {name: gene_symbol(name) for name in equation.parents}
    expression = equation.expression.sympy
    of_symbols = {symbols[name]: supports[name] for name in equation.parents}
    if equation.noise is not None:
        of_symbols[NOISE] = equation.noise.support
    forward_inverse = aggregation.axis
    if forward_inverse is not None:
        forward, inverse = forward_inverse
        shown = noise_too and NOISE in of_symbols and has_power_mean(of_symbols[NOISE])
        moved = [v for v in of_symbols if shown or v is not NOISE]
        expression = forward(expression.subs({v: inverse(v) for v in moved}, simultaneous=True))
        expression = sympy.simplify(
            sympy.expand_log(sympy.expand_power_base(expression, force=True), force=True)
        )
        of_symbols = {v: moved_support(s, forward) if v in moved else s for v, s in of_symbols.items()}
    constants = {v: s.values[0] for v, s in of_symbols.items() if s.kind == "finite" and len(s.values) == 1}
    expression = _with_signs(expression.subs(constants), of_symbols)
    return AxisEquation(expression, tuple(symbols.values()), of_symbols, equation.noise)


def has_power_mean(support: Support) -> bool:
    """Whether a noise has a mean on the axis of a power mean: it is never below 0, nor at times 0."""
    return support.low > 0 or (support.low == 0 and support.kind == "interval")


def _with_signs(expression: sympy.Expr, supports: Mapping[sympy.Symbol, Support]) -> sympy.Expr:
    """Use what the supports say of signs: |Y| is Y, and max(Y, 0) too, where Y is not negative."""
    if not expression.has(*ROUGH):
        return expression
    signed = {v: sympy.Symbol(v.name, nonnegative=True) for v, s in supports.items() if s.low >= 0}
    back = {to: v for v, to in signed.items()}
    return sympy.simplify(expression.subs(signed)).subs(back)


def moved_support(support: Support, forward: sympy.Lambda) -> Support:
    """The support after a monotone map."""
    if support.kind == "finite":
        values = tuple(sorted((forward(v) for v in support.values), key=float))
        return finite(values)
    ends = sorted(float(sympy.limit(forward(_X), _X, end)) for end in (support.low, support.high))
    return interval(*ends)


_X = sympy.Symbol("x", positive=True)


def constant_derivative(equation: AxisEquation, variable: sympy.Symbol) -> sympy.Expr | bool | None:
    """The derivative along a variable if it is a constant; False if it is not; None if that is open."""
    if equation.is_rough_in(variable):
        return None
    derivative = sympy.diff(equation.expression, variable)
    if not derivative.free_symbols:
        return derivative
    values = probe(derivative, equation.supports)
    if values is not None and np.ptp(values) > SAME * max(np.abs(values).max(), 1e-300):
        return False
    simple = sympy.simplify(derivative)
    return None if simple.free_symbols else simple


def probe(expression: sympy.Expr, supports: Mapping[sympy.Symbol, Support]) -> np.ndarray | None:
    """Values at points of the support; None where none of them is defined."""
    rng = np.random.default_rng(0)
    points = {v: rng.choice(s.sample_grid(25), size=N_PROBES) for v, s in supports.items()}
    values = np.broadcast_to(evaluate_sympy(expression, {v.name: x for v, x in points.items()}), N_PROBES)
    finite = values[np.isfinite(values)]
    return finite if len(finite) > 1 else None


def states_of(supports: Sequence[Support]) -> list[tuple[sympy.Expr, ...]]:
    """All combinations of values of finite supports."""
    n = int(np.prod([len(s.values) for s in supports]))
    if n > MAX_STATES:
        raise TimeoutError(f"{n:,} states are too many to compare")
    return list(product(*(s.values for s in supports)))
