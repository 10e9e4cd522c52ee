"""Linear equations in a circle, at their steady state: pools obey the same equations (method 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx

from ..models.feedback import noise_name
from ..models.mechanisms import Equation
from .affine_form import HOLDS, LAW, UNDECIDED, UNIFORM
from .pooled_model import PooledModel
from .separations import Separation


def circle_graph(regulators: Mapping[str, Sequence[str]]) -> nx.DiGraph:
    """The graph of the equations, circles included."""
    graph = nx.DiGraph()
    graph.add_nodes_from(regulators)
    graph.add_edges_from((parent, gene) for gene, parents in regulators.items() for parent in parents)
    return graph


def circle_form(pooled: PooledModel, gene: str) -> dict[str, Any]:
    """The row of one equation: sums of X = B X + c + N obey it with sums of c and N."""
    ffc, quantifier, rule = _said_of_form(_is_linear(pooled))
    snapshot = pooled.model.snapshot
    return {
        "gene": gene,
        "parents": list(snapshot.circles[gene]) if snapshot else [],
        "ffc": ffc,
        "quantifier": quantifier,
        "rule": rule,
        "witness": None,
    }


def circle_separation(pooled: PooledModel, statement: Separation) -> dict[str, Any]:
    """The row of one d-separation of the graph with circles.

    Notes
    -----
    In a linear system with independent noises every d-separation of the graph, circles included, is an
    independence (Spirtes 1995; Koster 1996); pools are such a system with the noises' sums.
    """
    cic, quantifier, rule = _said_of_separation(_is_linear(pooled))
    return {
        "x": statement.x,
        "y": statement.y,
        "given": list(statement.given),
        "cic": cic,
        "quantifier": quantifier,
        "rule": rule,
        "limit_partial_correlation": None,
        "limit_standard_error": 0.0,
        "uniform": cic,
        "monte_carlo": None,
    }


def _said_of_form(known: bool) -> tuple[str, str, str]:
    if known:
        return HOLDS, UNIFORM, "affine, at the steady state of a linear system"
    return UNDECIDED, LAW, "no rule for such pools of a linear system at its steady state"


def _said_of_separation(known: bool) -> tuple[str, str, str]:
    if known:
        return HOLDS, UNIFORM, "pools are a linear system with the same graph"
    return UNDECIDED, LAW, "no rule for such pools of a linear system at its steady state"


def _is_linear(pooled: PooledModel) -> bool:
    """Whether sums obey the equations: a fixed number of cells, and each gene with a noise of its own."""
    if pooled.linear.kind != "linear" or pooled.random_number or pooled.alike_in:
        return False
    snapshot = pooled.model.snapshot
    noises = [pooled.model.scm.genes.get(noise_name(gene)) for gene in (snapshot.circles if snapshot else ())]
    return all(isinstance(m, Equation) and m.noise is not None and not m.noise.is_constant for m in noises)
