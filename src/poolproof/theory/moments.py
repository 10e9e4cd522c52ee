"""Which genes surely have all moments, as limits of many cells need them (method 4)."""

from __future__ import annotations

import numpy as np
import sympy

from ..models.algebra import NOISE
from ..models.laws import Law
from ..models.mechanisms import Equation, Mechanism
from ..models.ranges import range_of
from ..models.scm import SCM
from ..models.support import Support

_BOUNDED = (sympy.tanh, sympy.erf, sympy.sin, sympy.cos, sympy.Heaviside, sympy.sign)
_GROWS_AS_ITS_PARTS = (sympy.Add, sympy.Mul, sympy.Abs, sympy.Max, sympy.Min)
_LOG_HAS_MOMENTS = ("gamma", "exponential", "lognormal", "uniform")
_EXP_HAS_MOMENTS = ("normal", "poisson")


def genes_with_moments(scm: SCM) -> frozenset[str]:
    """Genes all of whose moments are finite in every cell type, as far as their formulas show it.

    Examples
    --------
    >>> from poolproof.models import parse_equation
    >>> genes = {"Y": parse_equation("N**-0.6", "uniform(0, 1)", ["Y"])}
    >>> genes["X"] = parse_equation("tanh(Y) + N", "normal(0, 1)", ["Y"])
    >>> sorted(genes_with_moments(SCM("tails", genes)))
    ['X']
    """
    supports = scm.supports()
    found: set[str] = set()
    for gene in scm.order:
        parts = [scm.mechanism(gene, kind) for kind in scm.fractions]
        if all(_has_moments(part, found, part.symbol_supports(supports)) for part in parts):
            found.add(gene)
    return frozenset(found)


def _has_moments(mechanism: Mechanism, known: set[str], supports: dict[sympy.Symbol, Support]) -> bool:
    if isinstance(mechanism, Equation):
        return _is_tame(mechanism.expression.sympy, known, supports, mechanism.noise)
    parts = list(mechanism.formulas)
    if mechanism.law == "negative_binomial" and not sympy.cancel(parts[1] / parts[0]).free_symbols:
        parts = parts[:1]
    elif mechanism.law == "negative_binomial":
        parts = [parts[0], 1 / parts[1]]
    return all(_is_tame(part, known, supports, None) for part in parts)


def _is_tame(
    expression: sympy.Expr, known: set[str], supports: dict[sympy.Symbol, Support], noise: Law | None
) -> bool:
    """Whether a formula grows no faster than a power of variables that have all moments."""
    if not expression.free_symbols or isinstance(expression, _BOUNDED):
        return True
    if expression.is_Symbol:
        bounded = bool(np.isfinite([supports[expression].low, supports[expression].high]).all())
        return expression == NOISE or bounded or expression.name in known
    if isinstance(expression, _GROWS_AS_ITS_PARTS):
        return all(_is_tame(part, known, supports, noise) for part in expression.args)
    inside = range_of(expression.args[0], supports)
    if expression.is_Pow and expression.exp.is_number:
        away = expression.exp.is_nonnegative or inside.low > 0 or inside.high < 0
        return bool(away) and _is_tame(expression.base, known, supports, noise)
    if isinstance(expression, sympy.log):
        plain = expression.args[0].free_symbols == {NOISE} and sympy.diff(expression.args[0], NOISE, 2) == 0
        from_law = plain and noise is not None and noise.name in _LOG_HAS_MOMENTS
        return (inside.low > 0 or from_law) and _is_tame(expression.args[0], known, supports, noise)
    if isinstance(expression, sympy.exp):
        plain = expression.args[0].free_symbols == {NOISE} and sympy.diff(expression.args[0], NOISE, 2) == 0
        from_law = plain and noise is not None and noise.name in _EXP_HAS_MOMENTS
        return bool(inside.high < np.inf or from_law)
    return False
