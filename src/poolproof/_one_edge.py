"""Does the law of a pooled child depend on its parents' cells only through their sums (science 3)?

It does, for cells independent given the parents' cells and equal weights, iff log E[exp(iuX) | parents] is
affine in the parents on their support. Asked of each parent p: log E[...] = a(u) p + b(u, other parents),
so that several parents may pass one by one, and those that do not stand in for their cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import comb, fsum, isfinite

import numpy as np
import sympy

from ._algebra import NOISE, evaluate_sympy, gene_symbol
from ._axis import AxisEquation, constant_derivative, on_axis, unequal_weights
from ._coincidence import is_affine_on, smallest_coincidence, weighted_coincidence
from ._families import MAX_ORDER, Law
from ._support import Support, exact_number
from .aggregation import Aggregation
from .mechanisms import Equation, Kernel

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
CLEARLY_BENT = 1e-3
"""Relative departure of a conditional cumulant from affine that is no error of integration."""
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
    if supports[parent].kind == "finite":
        return _finite_parent(mechanism, parent, supports, aggregation, n_cells)
    if slope is False and _is_separable(mechanism, supports, aggregation):
        return Edge(FAIL, f"not affine in {parent}")
    gap = _cumulant_gap(mechanism, parent, supports, aggregation)
    if gap is not None and gap > CLEARLY_BENT:
        return Edge(FAIL, f"a conditional cumulant is not affine in {parent}")
    return Edge(UNKNOWN, f"could not be decided for {parent}")


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
    values = supports[parent].values
    others = [p for p in mechanism.parents if p != parent]
    grids = [[float(v) for v in supports[p].sample_grid(4)] for p in others]
    log_cf = _log_cf(mechanism, supports, aggregation)
    rows = []
    for rest in product(*grids):
        cells = {p: np.full(len(values), r) for p, r in zip(others, rest, strict=True)}
        rows.append(log_cf(cells | {parent: np.array([float(v) for v in values])}))
    table = np.array(rows)  # rest x value x u
    steps = table - table[:, :1]
    if np.abs(steps - steps[:1]).max() > 1e-7 * max(np.abs(steps).max(), 1e-12):
        return Edge(FAIL, f"what {parent} adds depends on the other parents")
    parts = np.concatenate([steps[0].real, steps[0].imag], axis=1)
    spread = np.abs(parts).max(axis=0)
    parts = parts[:, spread > 1e-9]
    states = [(v,) for v in values]
    if parts.shape[1] == 0 or len(values) <= 2 or is_affine_on(states, parts):
        if len(values) <= 2:
            return Edge(PASS, f"{parent} has two values")
        of_all_laws = isinstance(mechanism, Kernel) or _is_separable(mechanism, supports, aggregation)
        return Edge(PASS, f"affine on the values of {parent}", any_law=of_all_laws)
    try:
        found = smallest_coincidence(states, parts[:, :: max(1, parts.shape[1] // 6)], max_cells=n_cells)
    except TimeoutError:
        return Edge(UNKNOWN, f"the values of {parent} could not be compared")
    if found is None:
        rule = f"no {n_cells} values of {parent} have the sum of {n_cells} others"
        return Edge(PASS, rule, any_cells=False, any_law=False)
    return Edge(FAIL, f"from {found.n_cells} cells, equal sums of {parent} give different laws")


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
        values = supports[parent].values
        cells = {parent: np.array([float(v) for v in values])}
        added = np.stack([_log_cf(mechanisms[0], supports, aggregation, w)(cells) for w in weights])
        parts = np.concatenate([added.real, added.imag], axis=2)
        try:
            differing = weighted_coincidence([(v,) for v in values], parts, weights)
        except TimeoutError as reason:
            return Edge(UNKNOWN, str(reason))
        if differing is None:
            rule = f"weighted sums of {parent} tell all that matters of its cells"
            return Edge(PASS, rule, any_cells=False)
        return Edge(FAIL, f"cells of unequal weights: equal sums of {parent} give different laws")
    if found.status != PASS:
        return found
    return Edge(FAIL, "unequal weights keep only a multiple of the parent plus noise")


def _log_cf(
    mechanism: Equation | Kernel,
    supports: Mapping[str, Support],
    aggregation: Aggregation,
    weight: float = 1.0,
) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """Log characteristic function of the weighted child, shape (n_values, n_u), followed from u = 0."""
    if isinstance(mechanism, Kernel):
        scale = _spread(mechanism, supports) / weight
        u = np.linspace(0, 1.0 / scale, 33)[1:]
        return lambda cells: mechanism.log_cf(cells, u)
    equation = on_axis(mechanism, supports, aggregation, noise_too=False)
    nodes, weights = (np.zeros(1), np.ones(1)) if mechanism.noise is None else mechanism.noise.quadrature(128)

    def of(cells: Mapping[str, np.ndarray]) -> np.ndarray:
        n = len(next(iter(cells.values())))
        values = {p: np.repeat(v[:, None], len(nodes), axis=1) for p, v in cells.items()}
        values[NOISE.name] = np.broadcast_to(nodes, (n, len(nodes)))
        child = np.broadcast_to(evaluate_sympy(equation.expression, values), (n, len(nodes)))
        u = np.linspace(0, weight / max(np.abs(child).max(), 1e-12), 33)
        cf = np.einsum("nku,k->nu", np.exp(1j * child[:, :, None] * u), weights)
        return (np.log(np.abs(cf)) + 1j * np.unwrap(np.angle(cf), axis=1))[:, 1:]

    return of


def _spread(mechanism: Kernel, supports: Mapping[str, Support]) -> float:
    cells = {p: np.asarray(supports[p].sample_grid(5), dtype=float) for p in mechanism.parents}
    n = max(len(v) for v in cells.values())
    mean = np.asarray(mechanism.cumulants({p: np.resize(v, n) for p, v in cells.items()}, 2))
    return float(max(1.0, np.nanmax(np.abs(mean))))


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
    nodes, weights = equation.noise.quadrature(128)
    values = {p: np.repeat(v[:, None], len(nodes), axis=1) for p, v in cells.items()}
    values[NOISE.name] = np.broadcast_to(nodes, (n, len(nodes)))
    child = np.broadcast_to(evaluate_sympy(equation.expression, values), (n, len(nodes)))
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
            terms = (comb(order - 1, k - 1) * law.cumulant(k) * moments[order - k] for k in range(1, order + 1))
            moments.append(sum(terms))
        moment = moments[power]
    else:
        nodes, weights = law.quadrature(64)
        terms = nodes**power * weights
        moment, size = fsum(terms), fsum(np.abs(terms))
        moment = 0.0 if abs(moment) <= 1e-12 * size else moment
    return exact_number(moment) if isfinite(moment) else None
