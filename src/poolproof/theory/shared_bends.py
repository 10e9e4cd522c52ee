"""Forks that pooling surely breaks: both ends have one and the same bent cumulant (method 3)."""

from __future__ import annotations

import numpy as np
import sympy

from ..models.mechanisms import Equation, Kernel, Mechanism
from .axis import ROUGH
from .conditional_law import cumulants_on_grid
from .pooled_model import PooledModel
from .separations import Separation

ORDERS = 3
CLEARLY = 1e-3
"""Departure from a line, relative to the range, that is surely one."""
ROUNDING = 1e-8
"""The same, and of two bends from being proportional, that is rounding of quadrature."""


def bent_together(pooled: PooledModel, statement: Separation) -> str | None:
    """The rule that refuses a fork with one middle gene; None where this does not decide it.

    Notes
    -----
    Let k be the first order at which the sum of the conditional cumulants of an end, given the cells of the
    middle gene, is no function of that gene's sum. Given the sum, the covariance of the k-th powers of the
    ends is that of these sums; where one bend is a multiple of the other, it is a multiple of a variance.
    """
    if len(statement.given) != 1 or not _is_plain(pooled):
        return None
    (middle,) = statement.given
    ends = (statement.x, statement.y)
    if any(tuple(pooled.graph.predecessors(end)) != (middle,) for end in ends):
        return None
    if not _has_density(pooled, middle):
        return None
    grid = np.asarray(pooled.supports[middle].sample_grid(15, pooled.cores[middle]), dtype=float)
    one, two = (_first_bend(pooled, end, middle, grid) for end in ends)
    if one is None or two is None or (pooled.weights and one[0] != two[0]):
        return None
    (order, first), (other, second) = one, two
    basis = np.stack([np.ones_like(grid), first] if pooled.weights else [np.ones_like(grid), grid, first])
    fitted = np.linalg.lstsq(basis.T, second, rcond=None)[0]
    if np.abs(second - fitted @ basis).max() > ROUNDING * np.ptp(second) or fitted[-1] == 0:
        return None
    words = {1: "means", 2: "variances", 3: "third cumulants"}
    which = words[order] if order == other else f"{words[order]} and {words[other]}"
    return f"at equal sums of {middle} the {which} of both move together"


def _is_plain(pooled: PooledModel) -> bool:
    return pooled.linear.kind == "linear" and pooled.cells_are_alike and pooled.largest > 1


def _has_density(pooled: PooledModel, gene: str) -> bool:
    """Whether a gene has a density on all of an interval: a continuous noise, or a monotone map of one."""
    mechanism = pooled.scm.mechanism(gene)
    if isinstance(mechanism, Kernel) or mechanism.noise is None or not mechanism.noise.is_continuous:
        return False
    if pooled.supports[gene].kind != "interval":
        return False
    affine = mechanism.affine()
    if affine is not None:
        unbounded = np.isinf([mechanism.noise.support.low, mechanism.noise.support.high]).any()
        return affine[1] != 0 and bool(unbounded or not mechanism.parents)
    if mechanism.parents:
        return False
    values = mechanism.value({}, mechanism.noise.quantile(np.linspace(0.001, 0.999, 400)))
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all()) and not _has_steps(mechanism)


def _has_steps(mechanism: Equation) -> bool:
    return bool(mechanism.expression.sympy.has(sympy.Heaviside, sympy.sign))


def _first_bend(
    pooled: PooledModel, end: str, middle: str, grid: np.ndarray
) -> tuple[int, np.ndarray] | None:
    """Order and values of the first cumulant that the sum of the middle gene does not settle."""
    mechanism: Mechanism = next(iter(pooled.of_types(end).values()))
    formulas = mechanism.formulas if isinstance(mechanism, Kernel) else [mechanism.expression.sympy]
    if any(formula.has(*ROUGH) for formula in formulas):
        return None  # what happens between the values that are tried would be missed
    cumulants = cumulants_on_grid(mechanism, middle, grid, ORDERS)
    spread = float(np.sqrt(np.abs(cumulants[1]).max())) if len(cumulants) > 1 else 0.0
    for order, row in enumerate(cumulants, start=1):
        if not np.isfinite(row).all():
            return None
        size = max(float(np.abs(row).max()), spread**order)
        straight = [np.ones_like(grid)] if pooled.weights and order > 1 else [np.ones_like(grid), grid]
        line = np.linalg.lstsq(np.stack(straight, axis=1), row, rcond=None)[0] @ np.stack(straight)
        left = float(np.abs(row - line).max())
        if left > CLEARLY * np.ptp(row) > ROUNDING * size:
            return order, row
        if left > ROUNDING * max(size, 1e-300):
            return None
    return None
