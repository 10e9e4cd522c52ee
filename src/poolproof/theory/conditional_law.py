"""The law of a gene given the values of its parents, on the axis: characteristic function, cumulants, mean.

All of one cell, or of cells with weights; ``one_edge`` asks what of it is affine in the parents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import comb, fsum, isfinite

import numpy as np
import sympy

from ..aggregation import Aggregation
from ..models.algebra import NOISE, evaluate_sympy, gene_symbol
from ..models.families import MAX_ORDER, Law
from ..models.mechanisms import Equation, Kernel
from ..models.support import Support, exact_number
from .axis import AxisEquation, on_axis
from .by_diagram import diagram_of, diagram_of_formula, slope_of_parent
from .coincidence import ROUNDING
from .normal_form import values_and_size

N_STEPS = 32
"""Places at which a characteristic function is looked at."""
CLEARLY_VARIES = 1e-6
"""Range of a slope, relative to the terms that cancel in it, that is none of rounding."""
CANCELLED = 1e-14
"""What is left of terms that cancel, relative to them, if it is the rounding of moments."""
_MEANS: dict[str, Callable[..., sympy.Expr]] = {
    "poisson": lambda rate: rate,
    "binomial": lambda n, p: n * p,
    "gamma": lambda shape, scale: shape * scale,
    "negative_binomial": lambda mean, size: mean,
    "normal": lambda mean, sd: mean,
    "bernoulli": lambda p: p,
    "categorical": lambda *p: sympy.Add(*(k * share for k, share in enumerate(p, start=1))),
}


def supports_on_axis(
    mechanism: Equation | Kernel, supports: Mapping[str, Support], aggregation: Aggregation
) -> dict[str, Support]:
    """Where the parents of an equation can lie on the axis; those of a kernel stay as they are."""
    if isinstance(mechanism, Kernel):
        return {p: supports[p] for p in mechanism.parents}
    equation = on_axis(mechanism, supports, aggregation, noise_too=False)
    return {symbol.name: equation.supports[symbol] for symbol in equation.parents}


def law_given_parents(
    mechanism: Equation | Kernel,
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    cells: Mapping[str, np.ndarray],
    weights: Sequence[float] = (1.0,),
) -> tuple[np.ndarray, np.ndarray, float]:
    """The law of the child given its parents, in units of its largest standard deviation.

    Parameters
    ----------
    cells
        Values of the parents on the axis, each of shape ``(n,)``.
    weights
        Of cells.

    Returns
    -------
    Conditional means, shape ``(n,)``; real and imaginary parts of the log characteristic functions of the
    centred and weighted children, shape ``(n_weights, n, 2 * n_u)``; and the size of rounding in both.

    Notes
    -----
    Up to one over the standard deviation a characteristic function is at least 1/2 and winds around nothing,
    and shows all that a law differs in: much below, only its variance.
    """
    largest = max(abs(w) for w in weights)
    steps = [np.linspace(0, w / largest, N_STEPS + 1)[1:] for w in weights]
    if isinstance(mechanism, Kernel):
        return _law_of_kernel(mechanism, cells, steps)
    expression = on_axis(mechanism, supports, aggregation, noise_too=False).expression
    varying = expression.as_coeff_Add()[1]  # what is the same in all cells only adds rounding
    return _law_at_nodes(*child_at_nodes(varying, mechanism.noise, cells), steps)


def _law_of_kernel(
    kernel: Kernel, cells: Mapping[str, np.ndarray], steps: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, float]:
    mean, variance = kernel.cumulants(cells, 2)
    sd = float(np.sqrt(np.max(variance))) or 1.0
    parts = []
    for u in steps:
        log_cf = kernel.log_cf(cells, u / sd) - 1j * mean[:, None] * (u / sd)
        parts.append(np.hstack([log_cf.real, np.angle(np.exp(1j * log_cf.imag))]))
    return mean / sd, np.array(parts), ROUNDING * (10 + np.abs(mean).max() / sd)


def _law_at_nodes(
    child: np.ndarray, probabilities: np.ndarray, steps: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, float]:
    """The same for a child that is known at nodes of its noise."""
    mean = np.array([fsum(row) for row in child * probabilities])
    with np.errstate(invalid="ignore"):
        centred = child - mean[:, None]
    if not np.isfinite(centred).all():  # nothing is read off such a law
        return np.zeros(len(mean)), np.zeros((len(steps), len(mean), 2 * N_STEPS)), np.inf
    sd = float(np.sqrt((centred**2 * probabilities).sum(axis=1).max()))
    size = float(np.abs(mean).max())
    if not sd > ROUNDING * size:
        sd = size or 1.0
        centred = np.zeros_like(centred)
    parts = []
    for u in steps:
        cf = np.stack([(np.exp(1j * centred * at) * probabilities).sum(axis=1) for at in u / sd], axis=1)
        parts.append(np.hstack([np.log(np.abs(cf)), np.angle(cf)]))
    return mean / sd, np.array(parts), ROUNDING * (10 + size / sd)


def child_at_nodes(
    expression: sympy.Expr, noise: Law | None, cells: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The child at nodes of its noise, shape ``(n, n_nodes)``, and their probabilities."""
    nodes, weights = (np.zeros(1), np.ones(1)) if noise is None else noise.quadrature(128)
    n = len(next(iter(cells.values())))
    values = {p: np.repeat(v[:, None], len(nodes), axis=1) for p, v in cells.items()}
    values[NOISE.name] = np.broadcast_to(nodes, (n, len(nodes)))
    return np.broadcast_to(evaluate_sympy(expression, values), (n, len(nodes))), weights


def cumulant_gap(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> float | None:
    """Largest relative departure of the first three conditional cumulants from affine in one parent."""
    of = supports_on_axis(mechanism, supports, aggregation)
    grid = np.asarray(of[parent].sample_grid(9), dtype=float)
    others = {p: float(np.median(s.sample_grid(9))) for p, s in of.items() if p != parent}
    cells = {p: np.full(len(grid), v) for p, v in others.items()} | {parent: grid}
    with np.errstate(all="ignore"):
        if isinstance(mechanism, Kernel):
            cumulants = np.asarray(mechanism.cumulants(cells, 3), dtype=float)
        else:
            cumulants = _equation_cumulants(on_axis(mechanism, supports, aggregation, noise_too=False), cells)
    scale = np.sqrt(np.abs(cumulants[1]).max()) if len(cumulants) > 1 else 0.0
    scale = max(scale, np.abs(cumulants[0]).max())
    gaps = [
        _departure(grid, row)
        for order, row in enumerate(cumulants, start=1)
        if np.isfinite(row).all() and np.ptp(row) > 1e-9 * scale**order
    ]
    return max(gaps, default=None)


def cumulants_on_grid(mechanism: Equation | Kernel, parent: str, grid: np.ndarray, order: int) -> np.ndarray:
    """Conditional cumulants, orders 1 to at most 3, at values of the only parent, a row each."""
    with np.errstate(all="ignore"):
        if isinstance(mechanism, Kernel):
            return np.asarray(mechanism.cumulants({parent: grid}, order), dtype=float)
        expression = mechanism.expression.sympy
        if mechanism.noise is None:
            return np.broadcast_to(evaluate_sympy(expression, {parent: grid}), len(grid))[None].astype(float)
        child, weights = child_at_nodes(expression, mechanism.noise, {parent: grid})
        mean = child @ weights
        centred = child - mean[:, None]
        return np.stack([mean, centred**2 @ weights, centred**3 @ weights])[:order]


def _departure(grid: np.ndarray, row: np.ndarray) -> float:
    """Largest distance from the line of best fit, as a share of the range."""
    line = np.polyval(np.polyfit(grid, row, 1), grid)
    return float(np.abs(row - line).max() / np.ptp(row))


def _equation_cumulants(equation: AxisEquation, cells: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean, variance and third cumulant of the child given its parents, on the axis."""
    n = len(next(iter(cells.values())))
    if equation.noise is None:
        return np.broadcast_to(evaluate_sympy(equation.expression, cells), n)[None].astype(float)
    child, weights = child_at_nodes(equation.expression, equation.noise, cells)
    mean = child @ weights
    centred = child - mean[:, None]
    return np.stack([mean, centred**2 @ weights, centred**3 @ weights])


def has_no_constant(mechanism: Equation | Kernel, aggregation: Aggregation) -> bool:
    """Tell whether a pooled gene carries nothing that grows with the number of cells beyond its parents."""
    if isinstance(mechanism, Equation) and mechanism.expression.sympy == 0:
        return True
    if aggregation.kind != "linear" or not mechanism.parents:
        return False
    if isinstance(mechanism, Kernel):
        natural = mechanism.natural()
        zero = {gene_symbol(p): 0 for p in mechanism.parents}
        return natural is not None and all(sympy.simplify(term.subs(zero)) == 0 for _, term in natural)
    affine = mechanism.affine()
    if affine is None:
        return False
    _, of_noise, constant = affine
    return bool(constant == 0 and (mechanism.noise is None or of_noise == 0))


def has_affine_mean(
    mechanism: Equation | Kernel, supports: Mapping[str, Support], aggregation: Aggregation
) -> bool:
    """Tell whether E[child | parents] is surely affine in all parents jointly."""
    told = diagram_of(mechanism, supports) if aggregation.axis is None else None
    if told is not None:
        return all(slope_of_parent(told, parent) is not None for parent in mechanism.parents)
    symbols = [gene_symbol(p) for p in mechanism.parents]
    if isinstance(mechanism, Equation):
        equation = on_axis(mechanism, supports, aggregation, noise_too=False)
        if any(equation.is_rough_in(v) for v in symbols):
            return False
        coefficients = [sympy.diff(equation.expression, s) for s in symbols]
        mean = [_mean_over_noise(c, mechanism) for c in coefficients]
        return all(m is not None and not m.free_symbols for m in mean)
    if aggregation.kind != "linear":
        return False
    mean = _MEANS[mechanism.law](*mechanism.formulas)
    if mechanism.law == "categorical" and len(mechanism.parents) > 1:
        told = diagram_of_formula(mean, {p: supports[p] for p in mechanism.parents})
        return told is not None and all(slope_of_parent(told, p) is not None for p in mechanism.parents)
    known = mechanism.symbol_supports(supports)
    return all(not constant_or_not(sympy.diff(mean, s), known).free_symbols for s in symbols)


def constant_or_not(slope: sympy.Expr, supports: Mapping[sympy.Symbol, Support]) -> sympy.Expr:
    """A slope, simplified where it may be a number: one that clearly varies is left as it is."""
    if not slope.free_symbols or slope.has(sympy.DiracDelta, sympy.Derivative):
        return sympy.simplify(slope)
    value, size = values_and_size(slope, {v: supports[v] for v in slope.free_symbols})
    usable = np.isfinite(value) & np.isfinite(size)
    if usable.sum() > 1 and np.ptp(value[usable]) > CLEARLY_VARIES * size[usable].max():
        return slope
    return sympy.simplify(slope)


def _mean_over_noise(expression: sympy.Expr, mechanism: Equation) -> sympy.Expr | None:
    """E over N of a polynomial in N; None for anything else. What cancels up to rounding is no term."""
    if mechanism.noise is None or NOISE not in expression.free_symbols:
        return sympy.simplify(expression)
    polynomial = expression.as_poly(NOISE)
    if polynomial is None:
        return None
    total: dict[sympy.Expr, sympy.Expr] = {}
    size: dict[sympy.Expr, sympy.Expr] = {}
    for (power,), coefficient in polynomial.terms():
        moment = _moment(mechanism.noise, power)
        if moment is None:
            return None
        for term, factor in sympy.expand(coefficient).as_coefficients_dict().items():
            total[term] = total.get(term, sympy.Integer(0)) + factor * moment
            size[term] = size.get(term, sympy.Integer(0)) + abs(factor * moment)
    kept = [term * number for term, number in total.items() if abs(number) > CANCELLED * size[term]]
    return sympy.simplify(sympy.Add(*kept))


def _moment(law: Law, power: int) -> sympy.Expr | None:
    """E N^power: exact for finite laws, else from cumulants, and beyond their orders by quadrature.

    No sum of it may depend on how a library adds: a symmetric law has odd moments of exactly 0.
    """
    if law.atoms is not None:
        return sympy.Add(*(exact_number(p) * value**power for value, p in law.atoms))
    if power <= MAX_ORDER:
        moments = [1.0]
        for order in range(1, power + 1):
            terms = (
                comb(order - 1, k - 1) * law.cumulant(k) * moments[order - k] for k in range(1, order + 1)
            )
            moments.append(sum(terms))
        moment = moments[power]
    else:
        nodes, weights = law.quadrature(64)
        terms = nodes**power * weights
        moment, size = fsum(terms), fsum(np.abs(terms))
        moment = 0.0 if abs(moment) <= 1e-12 * size else moment
    return exact_number(moment) if isfinite(moment) else None
