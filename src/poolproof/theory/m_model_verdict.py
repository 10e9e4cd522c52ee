"""The verdict on a model: what of its graph can be recovered from pools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sympy

from .._checks import printable
from ..models.mechanisms import Equation
from .affine_form import FAILS, HOLDS, LIMIT, UNDECIDED
from .axis import constant_derivative, on_axis
from .pooled_model import PooledModel
from .separations import covered_edges

RECOVERABLE, MARKOV_CLASS, PARTIAL, NOT_RECOVERABLE = (
    "recoverable",
    "markov-class",
    "partial",
    "not-recoverable",
)


def model_verdict(
    pooled: PooledModel,
    mechanisms: Sequence[Mapping[str, Any]],
    separations: Sequence[Mapping[str, Any]],
    lost: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The verdict, its reasons, and the edges that survive."""
    forms = {m["gene"]: m["ffc"] for m in mechanisms}
    surviving = [[p, g] for p, g in pooled.graph.edges if _edge_survives(pooled, p, g, forms[g])]
    failing = [m["gene"] for m in mechanisms if m["ffc"] == FAILS]
    n_broken = sum(s["cic"] == FAILS for s in separations)
    n_open = sum(s["cic"] == UNDECIDED or s["quantifier"] == LIMIT for s in separations if s["cic"] != FAILS)
    reasons = [_count_sentence("mechanism", forms.values(), "keep their form")]
    reasons.append(_count_sentence("d-separation", [s["cic"] for s in separations], "hold in pools"))
    if n_broken:
        verdict = PARTIAL if surviving else NOT_RECOVERABLE
        reasons.append(f"{len(surviving)} of {pooled.graph.number_of_edges()} edges survive.")
    elif n_open:
        verdict = UNDECIDED
        n_limit = sum(s["cic"] == HOLDS and s["quantifier"] == LIMIT for s in separations)
        if n_limit:
            reasons.append(f"Of those that hold, {n_limit} hold for many cells; here that is open.")
    elif failing:
        verdict = MARKOV_CLASS
        reasons.append("All conditional independences hold: the graph up to its Markov class.")
    elif UNDECIDED in forms.values():
        verdict = UNDECIDED
    else:
        directed, why = _directions(pooled)
        verdict = RECOVERABLE if directed else MARKOV_CLASS
        reasons.append(why)
    if lost:
        reasons.append(
            f"Dependences that fade as pools grow, their partial correlation 0 in the limit: {len(lost)}."
        )
    return {"verdict": verdict, "reasons": reasons, "surviving_edges": surviving}


def _edge_survives(pooled: PooledModel, parent: str, child: str, ffc: str) -> bool:
    """Whether the pooled child's law depends on this parent's cells through their sum only.

    Nothing hidden may join the two: a number of cells that varies, or types in which both differ.
    """
    if ffc == HOLDS:
        return True
    hidden = child in pooled.by_number or {parent, child} <= set(pooled.by_type)
    return pooled.has_algebra and pooled.passes(child, parent) and not hidden


def _directions(pooled: PooledModel) -> tuple[bool, str]:
    """Whether the graph is the only one that can have made this law."""
    if not pooled.graph.number_of_edges():
        return True, "There are no edges whose direction could be lost."
    free = covered_edges(pooled.graph)
    if not free:
        return True, "The conditional independences alone fix every direction."
    if not pooled.has_algebra or pooled.by_type or pooled.random_number:
        return False, "No rule says that directions can be told in these pools."
    for a, b in free:
        if not _told_by_shape(pooled, a, b):
            return False, f"The direction of {printable(a, 40)} -> {printable(b, 40)} cannot be told."
    return True, (
        "Equations are affine and no edge that could be turned joins two Gaussian noises: directions can be "
        "told at this number of cells, with ever more samples as it grows."
    )


def _told_by_shape(pooled: PooledModel, a: str, b: str) -> bool:
    """Affine equations and not both noises Gaussian: the edge cannot be turned (Darmois and Skitovich)."""
    noises = []
    for gene in (a, b):
        mechanism = pooled.scm.mechanism(gene)
        if not isinstance(mechanism, Equation) or mechanism.noise is None:
            return False
        equation = on_axis(mechanism, pooled.supports, pooled.linear, noise_too=True)
        slopes = [constant_derivative(equation, v) for v in equation.variables]
        if not all(isinstance(slope, sympy.Expr) and slope != 0 for slope in slopes):
            return False
        noises.append(mechanism.noise)
    normal = {"linear": "normal", "quasi-arithmetic": "lognormal"}[pooled.linear.kind]
    return not all(noise.name == normal or noise.is_constant for noise in noises)


def _count_sentence(what: str, answers: Iterable[str], holds: str) -> str:
    listed = list(answers)
    n = len(listed)
    counts = f"{listed.count(FAILS)} fail, {listed.count(UNDECIDED)} undecided"
    return (
        f"{listed.count(HOLDS)} of {n} {what}s {holds}; {counts}." if n else f"There are no {what}s to judge."
    )
