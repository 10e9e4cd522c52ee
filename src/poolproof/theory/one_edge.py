"""Does the law of a pooled child depend on its parents' cells only through their sums (method 3)?

It does, for cells independent given the parents' cells and equal weights, iff log E[exp(iuX) | parents] is
affine in the parents on their support. Asked of each parent p: log E[...] = a(u) p + b(u, other parents),
so that several parents may pass one by one, and those that do not stand in for their cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import comb, fsum, isfinite

import numpy as np
import sympy

from ..aggregation import Aggregation
from ..models.algebra import NOISE, evaluate_sympy, exact_value, gene_symbol
from ..models.families import MAX_ORDER, Law
from ..models.mechanisms import Equation, Kernel
from ..models.support import Support, exact_number
from .axis import AxisEquation, constant_derivative, on_axis, unequal_weights
from .coincidence import ROUNDING, affine_rest, bends_of, smallest_coincidence, weighted_coincidence

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
CLEARLY_BENT = 1e-3
"""Relative departure of a conditional cumulant from affine that is no error of integration."""
CLEARLY = 1e6
"""Times the size of rounding: from here on a difference between laws is none of rounding or integration."""
MOST_ROUNDING = 1e-10
"""Rounding of a characteristic function beyond which nothing is read off it."""
N_STEPS = 32
MOST_VALUES = 200
"""Values of a parent that are tried where others matter too; and combinations of those."""
MAX_CELLS = 20_000
"""Cells whose law is worked out at once."""
CANCELLED = 1e-14
"""What is left of terms that cancel, relative to them, if it is the rounding of moments."""
_MEANS: dict[str, Callable[..., sympy.Expr]] = {
    "poisson": lambda rate: rate,
    "binomial": lambda n, p: n * p,
    "gamma": lambda shape, scale: shape * scale,
    "negative_binomial": lambda mean, size: mean,
    "normal": lambda mean, sd: mean,
    "bernoulli": lambda p: p,
}


@dataclass(frozen=True)
class Edge:
    """One parent of one gene."""

    status: str
    """``pass``, ``fail`` or ``unknown``."""
    rule: str
    any_weights: bool = False
    """Whether it passes under unequal weights of cells too."""
    any_cells: bool = True
    """Whether it passes at every number of cells."""
    any_law: bool = True
    """Whether it passes for all laws of the other genes on the same supports."""


@dataclass(frozen=True)
class Family:
    """A gene given its parents."""

    edges: Mapping[str, Edge]
    no_constant: bool
    """Nothing of the pooled gene grows with the number of cells but what its parents' sums bring."""
    mean_affine: bool | None
    """Whether its conditional mean is affine in all parents jointly; None where that is open."""
    differs_by_type: bool = False
    """Whether the cell types have different mechanisms for it."""


def judge_family(
    mechanisms: Sequence[Equation | Kernel],
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    n_cells: int,
) -> Family:
    """Judge a gene whose mechanism may differ between cell types.

    Parameters
    ----------
    mechanisms
        One for each cell type; one if there are no types. Types may share one.
    supports
        Of all genes.
    aggregation
        Linear, quasi-arithmetic or a map of one of them.
    n_cells
        Largest number of cells in a pool.
    """
    linear = aggregation.inner or aggregation
    weights = unequal_weights(linear)
    mechanisms = [m for i, m in enumerate(mechanisms) if m not in mechanisms[:i]]
    slopes = [_slopes(m, supports, linear) for m in mechanisms]
    parents = list(dict.fromkeys(p for m in mechanisms for p in m.parents))
    differs = len(mechanisms) > 1
    edges = {}
    for parent in parents:
        found = [s.get(parent) for s in slopes]
        if all(isinstance(s, Slope) for s in found) and len(set(found)) == 1:
            edges[parent] = _passing(mechanisms[0])
        elif differs:
            rule = "cell types have different coefficients"
            edges[parent] = Edge(FAIL if all(s is not None for s in found) else UNKNOWN, rule)
        else:
            edges[parent] = _bent(mechanisms[0], parent, supports, linear, n_cells, found[0])
        if weights is not None and not edges[parent].any_weights:
            edges[parent] = _under_weights(mechanisms, parent, supports, linear, weights, edges[parent])
    no_constant = all(_without_constant(m, linear, supports) for m in mechanisms)
    mean = all(_mean_affine(m, supports, linear) for m in mechanisms) if not differs else None
    return Family(edges, no_constant, mean, differs)


@dataclass(frozen=True)
class Slope:
    """What a parent multiplies in the log characteristic function: (name of the term, coefficient)."""

    terms: tuple[tuple[str, sympy.Expr], ...]


def _passing(mechanism: Equation | Kernel) -> Edge:
    if isinstance(mechanism, Kernel):
        natural = dict(mechanism.natural() or ())
        located = mechanism.law == "normal" and not natural["variance"].free_symbols
        return Edge(PASS, f"{mechanism.law} kernel, affine in its parent", any_weights=located)
    return Edge(PASS, "a multiple of the parent plus the rest", any_weights=True)


def _slopes(
    mechanism: Equation | Kernel, supports: Mapping[str, Support], aggregation: Aggregation
) -> dict[str, Slope | bool | None]:
    """Per parent: its constant slope, False where it has none, None where that is open."""
    if isinstance(mechanism, Equation):
        equation = on_axis(mechanism, supports, aggregation, noise_too=False)
        found: dict[str, Slope | bool | None] = {}
        for symbol in equation.parents:
            derivative = constant_derivative(equation, symbol)
            found[symbol.name] = (
                Slope((("location", derivative),)) if isinstance(derivative, sympy.Expr) else derivative
            )
        return found
    if aggregation.kind != "linear":
        return dict.fromkeys(mechanism.parents)
    natural = mechanism.natural()
    if natural is None:
        return dict.fromkeys(mechanism.parents, False)
    found = {}
    for parent in mechanism.parents:
        symbol = gene_symbol(parent)
        terms = [(name, sympy.simplify(sympy.diff(term, symbol))) for name, term in natural]
        constant = all(not d.free_symbols for _, d in terms)
        found[parent] = Slope(tuple(terms)) if constant else False
    return found


# --- parents without a constant slope -----------------------------------------------------------------------


def _bent(
    mechanism: Equation | Kernel,
    parent: str,
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    n_cells: int,
    slope: object,
) -> Edge:
    """Judge a parent that does not enter as a plain multiple."""
    of_kernel = isinstance(mechanism, Kernel) and aggregation.kind != "linear"  # its law on the axis is open
    if supports[parent].kind == "finite" and (not of_kernel or _is_alone_and_binary(mechanism, supports)):
        return _finite_parent(mechanism, parent, supports, aggregation, n_cells)
    if slope is False and _is_separable(mechanism, supports, aggregation):
        return Edge(FAIL, f"not affine in {parent}")
    gap = None if of_kernel else _cumulant_gap(mechanism, parent, supports, aggregation)
    if gap is not None and gap > CLEARLY_BENT:
        return Edge(FAIL, f"a conditional cumulant is not affine in {parent}")
    return Edge(UNKNOWN, f"could not be decided for {parent}")


def _is_alone_and_binary(mechanism: Equation | Kernel, supports: Mapping[str, Support]) -> bool:
    """Tell whether the only parent has two values: its sum then tells all of its cells."""
    return len(mechanism.parents) == 1 and len(supports[mechanism.parents[0]].values) == 2


def _is_separable(
    mechanism: Equation | Kernel, supports: Mapping[str, Support], aggregation: Aggregation
) -> bool:
    """Tell whether the mechanism is a function of the parents plus independent noise, or a natural kernel:
    then a slope that is not constant is a refusal.
    """
    if isinstance(mechanism, Kernel):
        return mechanism.natural() is not None
    equation = on_axis(mechanism, supports, aggregation, noise_too=False)
    if equation.noise is None:
        return not any(equation.is_rough_in(v) for v in equation.parents)
    if any(equation.is_rough_in(v) for v in equation.variables):
        return False
    mixed = [sympy.diff(equation.expression, NOISE, v) for v in equation.parents]
    return all(sympy.simplify(m) == 0 for m in mixed)


def _finite_parent(
    mechanism: Equation | Kernel,
    parent: str,
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    n_cells: int,
) -> Edge:
    """On finitely many values the log characteristic function may be affine by lack of values between."""
    states = [(v,) for v in _supports_on_axis(mechanism, supports, aggregation)[parent].values]
    undecided = Edge(UNKNOWN, f"could not be decided for {parent}")
    try:
        exact = _exact_steps(mechanism, parent, supports, aggregation)
        if exact is None and not _is_alone_and_binary(mechanism, supports):
            if not _adds_apart(mechanism, parent, supports, aggregation):
                moves = _moved_by_others(mechanism, parent, supports, aggregation)
                rule = f"what {parent} adds depends on the other parents"
                return Edge(FAIL, rule) if moves else undecided
            if len(states) <= 2:
                return Edge(PASS, f"{parent} has two values")
            columns, rounding = _bent_columns(mechanism, parent, supports, aggregation)
            if columns is None:
                return undecided
        elif exact is None or len(states) <= 2:
            return Edge(PASS, f"{parent} has two values")
        else:
            columns, rounding = np.stack([bends_of(states, steps) for steps in exact], axis=1), None
        if not np.any(columns):
            of_all_laws = isinstance(mechanism, Kernel) or _is_separable(mechanism, supports, aggregation)
            return Edge(PASS, f"affine on the values of {parent}", any_law=of_all_laws)
        found = smallest_coincidence(states, columns, max_cells=n_cells, rounding=rounding)
    except TimeoutError:
        return Edge(UNKNOWN, f"the values of {parent} could not be compared")
    if found is None:
        rule = f"no {n_cells} values of {parent} have the sum of {n_cells} others"
        return Edge(PASS, rule, any_cells=False, any_law=False)
    return Edge(FAIL, f"from {found.n_cells} cells, equal sums of {parent} give different laws")


def _exact_steps(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> list[list[sympy.Expr]] | None:
    """What each value of a parent adds to the parameters that the law is exponential in, as exact numbers.

    None where it adds no such numbers: a noise that it stretches, another parent that changes them.
    """
    if isinstance(mechanism, Kernel):
        natural = mechanism.natural() if aggregation.kind == "linear" else None
        if natural is None:
            return None
        terms = [term for _, term in natural]
    else:
        terms = [on_axis(mechanism, supports, aggregation, noise_too=False).expression]
    symbol = gene_symbol(parent)
    values = _supports_on_axis(mechanism, supports, aggregation)[parent].values
    found = []
    for term in terms:
        moving = sympy.expand(term).as_independent(symbol, as_Add=True)[1]
        if moving.free_symbols - {symbol}:
            moving = term.as_independent(symbol, as_Add=True)[1]
        if moving.free_symbols - {symbol}:
            return None
        found.append([exact_value(moving, {symbol: value}) for value in values])
    return found


def _adds_apart(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> bool:
    """Tell whether a parent surely adds the same to the log characteristic function, whatever the others are.

    By algebra: values of the others that lie between those one tries may do something else.
    """
    others = [gene_symbol(p) for p in mechanism.parents if p != parent]
    if not others:
        return True
    if isinstance(mechanism, Kernel):
        return False  # with natural parameters, `_exact_steps` has the answer
    equation = on_axis(mechanism, supports, aggregation, noise_too=False)
    symbol, values = gene_symbol(parent), equation.supports[gene_symbol(parent)].values
    if len(values) > MOST_VALUES:
        return False
    base = equation.expression.subs(symbol, values[0])
    steps = [sympy.expand(equation.expression.subs(symbol, value) - base) for value in values[1:]]
    steps = [sympy.simplify(step) if step.free_symbols & {*others} else step for step in steps]
    if any(step.free_symbols & {*others} for step in steps):
        return False
    some = {v: exact_number(float(equation.supports[v].sample_grid(3)[0])) for v in others}
    rest = sympy.expand(base - base.subs(some))
    return NOISE not in (sympy.simplify(rest) if NOISE in rest.free_symbols else rest).free_symbols


def _moved_by_others(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> bool:
    """Tell whether what a parent adds to the law clearly differs between values of the other parents."""
    of = _supports_on_axis(mechanism, supports, aggregation)
    values = of[parent].floats
    others = [p for p in mechanism.parents if p != parent]
    tried = max(1, min(MOST_VALUES, MAX_CELLS // len(values)))
    rest = np.array(list(islice(product(*(of[p].sample_grid(4) for p in others)), tried)), dtype=float)
    cells = {p: np.repeat(rest[:, i], len(values)) for i, p in enumerate(others)}
    cells[parent] = np.tile(values, len(rest))
    mean, parts, rounding = _law_of(mechanism, supports, aggregation, cells)
    table = np.column_stack([mean, parts[0]]).reshape(len(rest), len(values), -1)
    steps = table - table[:, :1]
    return bool(np.abs(steps - steps[:1]).max() > CLEARLY * rounding)


def _bent_columns(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> tuple[np.ndarray | None, float]:
    """Parts of the log characteristic function that are clearly not affine in a parent, and their rounding.

    One column of zeros where none is; None where some may be.
    """
    of = _supports_on_axis(mechanism, supports, aggregation)
    others = {p: float(of[p].sample_grid(3)[0]) for p in mechanism.parents if p != parent}
    values = of[parent].floats
    cells = {p: np.full(len(values), v) for p, v in others.items()} | {parent: values}
    mean, parts, rounding = _law_of(mechanism, supports, aggregation, cells)
    columns = np.column_stack([mean, parts[0]])
    left = np.abs(affine_rest(values[None], columns)).max(axis=0)
    if not np.isfinite(left).all() or rounding > MOST_ROUNDING:
        return None, rounding
    clear = left > CLEARLY * rounding
    if not clear.any():
        return (None if (left > rounding).any() else np.zeros((len(values), 1))), rounding
    order = np.argsort(-left, kind="stable")
    return columns[:, order[: min(int(clear.sum()), 8)]], rounding


def _supports_on_axis(
    mechanism: Equation | Kernel, supports: Mapping[str, Support], aggregation: Aggregation
) -> dict[str, Support]:
    if isinstance(mechanism, Kernel):
        return {p: supports[p] for p in mechanism.parents}
    equation = on_axis(mechanism, supports, aggregation, noise_too=False)
    return {symbol.name: equation.supports[symbol] for symbol in equation.parents}


def _under_weights(
    mechanisms: Sequence[Equation | Kernel],
    parent: str,
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    weights: tuple[float, ...],
    found: Edge,
) -> Edge:
    """Cells of unequal weights keep a multiple of the parent plus noise, and what their sums tell apart."""
    if supports[parent].kind == "finite" and len(mechanisms) == 1 and mechanisms[0].parents == (parent,):
        support = _supports_on_axis(mechanisms[0], supports, aggregation)[parent]
        cells = {parent: support.floats}
        mean, parts, rounding = _law_of(mechanisms[0], supports, aggregation, cells, weights)
        by_weight = np.array(weights)[:, None, None] * mean[None, :, None]
        try:
            if not np.isfinite(parts).all() or rounding > MOST_ROUNDING:
                raise TimeoutError(f"the values of {parent} could not be compared")
            differing = weighted_coincidence(
                [(v,) for v in support.values], np.concatenate([by_weight, parts], axis=2), weights
            )
        except TimeoutError as reason:
            return Edge(UNKNOWN, str(reason))
        if differing is None:
            rule = f"weighted sums of {parent} tell all that matters of its cells"
            return Edge(PASS, rule, any_cells=False)
        return Edge(FAIL, f"cells of unequal weights: equal sums of {parent} give different laws")
    if found.status != PASS:
        return found
    return Edge(FAIL, "unequal weights keep only a multiple of the parent plus noise")


def _law_of(
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
        mean, variance = mechanism.cumulants(cells, 2)
        sd = float(np.sqrt(np.max(variance))) or 1.0
        parts = []
        for u in steps:
            log_cf = mechanism.log_cf(cells, u / sd) - 1j * mean[:, None] * (u / sd)
            parts.append(np.hstack([log_cf.real, np.angle(np.exp(1j * log_cf.imag))]))
        return mean / sd, np.array(parts), ROUNDING * (10 + np.abs(mean).max() / sd)
    equation = on_axis(mechanism, supports, aggregation, noise_too=False)
    expression = equation.expression.as_coeff_Add()[1]  # what is the same in all cells only adds rounding
    child, probabilities = _child_at_nodes(expression, mechanism.noise, cells)
    mean = np.array([fsum(row) for row in child * probabilities])
    centred = child - mean[:, None]
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


def _child_at_nodes(
    expression: sympy.Expr, noise: Law | None, cells: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The child at nodes of its noise, shape ``(n, n_nodes)``, and their probabilities."""
    nodes, weights = (np.zeros(1), np.ones(1)) if noise is None else noise.quadrature(128)
    n = len(next(iter(cells.values())))
    values = {p: np.repeat(v[:, None], len(nodes), axis=1) for p, v in cells.items()}
    values[NOISE.name] = np.broadcast_to(nodes, (n, len(nodes)))
    return np.broadcast_to(evaluate_sympy(expression, values), (n, len(nodes))), weights


def _cumulant_gap(
    mechanism: Equation | Kernel, parent: str, supports: Mapping[str, Support], aggregation: Aggregation
) -> float | None:
    """Largest relative departure of the first three conditional cumulants from affine in one parent."""
    if isinstance(mechanism, Kernel):
        of = {p: supports[p] for p in mechanism.parents}
    else:
        equation = on_axis(mechanism, supports, aggregation, noise_too=False)
        of = {symbol.name: equation.supports[symbol] for symbol in equation.parents}
    grid = np.asarray(of[parent].sample_grid(9), dtype=float)
    others = {p: float(np.median(s.sample_grid(9))) for p, s in of.items() if p != parent}
    cells = {p: np.full(len(grid), v) for p, v in others.items()} | {parent: grid}
    with np.errstate(all="ignore"):
        if isinstance(mechanism, Kernel):
            cumulants = np.asarray(mechanism.cumulants(cells, 3), dtype=float)
        else:
            cumulants = _equation_cumulants(equation, cells)
    gaps = []
    scale = np.sqrt(np.abs(cumulants[1]).max()) if len(cumulants) > 1 else 0.0
    scale = max(scale, np.abs(cumulants[0]).max())
    for order, row in enumerate(cumulants, start=1):
        if not np.isfinite(row).all() or np.ptp(row) <= 1e-9 * scale**order:
            continue
        line = np.polyval(np.polyfit(grid, row, 1), grid)
        gaps.append(np.abs(row - line).max() / np.ptp(row))
    return max(gaps) if gaps else None


def _equation_cumulants(equation: AxisEquation, cells: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean, variance and third cumulant of the child given its parents, on the axis."""
    n = len(next(iter(cells.values())))
    if equation.noise is None:
        return np.broadcast_to(evaluate_sympy(equation.expression, cells), n)[None].astype(float)
    child, weights = _child_at_nodes(equation.expression, equation.noise, cells)
    mean = child @ weights
    centred = child - mean[:, None]
    return np.stack([mean, centred**2 @ weights, centred**3 @ weights])


# --- constants and means -----------------------------------------------------------------------------------


def _without_constant(
    mechanism: Equation | Kernel, aggregation: Aggregation, supports: Mapping[str, Support]
) -> bool:
    """Tell whether a pooled gene carries nothing that grows with the number of cells beyond its parents."""
    if aggregation.kind != "linear":
        return False
    if isinstance(mechanism, Equation):
        affine = mechanism.affine()
        if affine is None:
            return False
        _, of_noise, constant = affine
        silent = mechanism.noise is None or of_noise == 0
        return bool(silent and constant == 0 and mechanism.parents)
    natural = mechanism.natural()
    if natural is None or not mechanism.parents:
        return False
    zero = {gene_symbol(p): 0 for p in mechanism.parents}
    return all(sympy.simplify(term.subs(zero)) == 0 for _, term in natural)


def _mean_affine(
    mechanism: Equation | Kernel, supports: Mapping[str, Support], aggregation: Aggregation
) -> bool:
    """Tell whether E[child | parents] is surely affine in all parents jointly."""
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
    return all(not sympy.simplify(sympy.diff(mean, s)).free_symbols for s in symbols)


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
