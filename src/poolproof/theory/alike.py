"""Pools of cells that are alike in some genes, as metacells are: what they keep and break (method 5).

The cells of a pool share their values of the genes ``by`` exactly, and are otherwise independent draws of
the law given these values: the limit of neighbours among very many cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
import sympy

from .._checks import printable
from ..models.algebra import NOISE
from ..models.mechanisms import Equation, Kernel
from .affine_form import FAILS, HOLDS, LAW, UNDECIDED, UNIFORM, Form
from .pooled_model import PooledModel, PoolMoments
from .separations import Separation, ancestral, pool_graph

ZERO = 1e-9
"""Partial correlations and changes of slopes below this are rounding."""


# --- forms -------------------------------------------------------------------------------------------------


def alike_form(pooled: PooledModel, gene: str, by_chance: Form) -> Form:
    """The judgement on one mechanism.

    Parameters
    ----------
    by_chance
        The judgement where cells come together by chance.
    """
    by = set(pooled.alike_in)
    parents = set(pooled.scm.parents(gene))
    if pooled.is_one_cell or not parents:
        return by_chance
    if pooled.scm.cell_types:
        return Form(UNDECIDED, LAW, "no rule for cell types in pools of cells that are alike")
    if gene in by and parents <= by:
        return Form(HOLDS, UNIFORM, "the cells of a pool share the gene and its parents")
    if not by & {gene, *nx.descendants(pooled.graph, gene)}:
        if by_chance.ffc == HOLDS:
            return by_chance
        if parents <= by:
            return _of_shared_parents(pooled.scm.mechanism(gene))
        return Form(UNDECIDED, LAW, "parents vary inside pools of cells that are alike in other genes")
    return _chosen_by_gene(pooled, gene)


def _of_shared_parents(mechanism: Equation | Kernel) -> Form:
    """All cells of a pool have the same parents, and noises that pooling did not look at."""
    if isinstance(mechanism, Kernel):
        return Form(HOLDS, UNIFORM, "the cells of a pool share the parents: the law depends on their sums")
    if sympy.simplify(sympy.diff(mechanism.expression.sympy, NOISE, 2)) == 0:
        return Form(HOLDS, UNIFORM, "the cells of a pool share the parents: any curve is kept")
    return Form(UNDECIDED, LAW, "the cells of a pool share the parents, but the noise does not add")


def _chosen_by_gene(pooled: PooledModel, gene: str) -> Form:
    """Cells are alike in the gene or in what follows from it: its noise chose the pool."""
    covariance = gaussian_covariance(pooled)
    mechanism = pooled.scm.mechanism(gene)
    affine = mechanism.affine() if isinstance(mechanism, Equation) else None
    if covariance is None or affine is None:
        return Form(UNDECIDED, LAW, "cells are alike in what the gene does: its noise chose the pool")
    parents = list(pooled.scm.parents(gene))
    place = {name: i for i, name in enumerate(pooled.scm.genes)}
    of = [place[p] for p in parents]
    slopes = np.linalg.lstsq(covariance[np.ix_(of, of)], covariance[of, place[gene]], rcond=1e-12)[0]
    truth = np.array([float(affine[0].get(p, 0)) for p in parents])
    worst = int(np.argmax(np.abs(slopes - truth)))
    if abs(slopes[worst] - truth[worst]) <= ZERO * (1 + abs(truth[worst])):
        return Form(HOLDS, LAW, "Gaussian: the slopes stay")
    shown = printable(parents[worst], 40)
    rule = f"its noise chose the pool: the slope on {shown} is {slopes[worst]:.3g} for {truth[worst]:.3g}"
    return Form(FAILS, LAW, rule)


# --- independences -----------------------------------------------------------------------------------------


def alike_separation(pooled: PooledModel, statement: Separation) -> dict[str, Any]:
    """The row of one d-separation."""
    cic, quantifier, rule = _decide(pooled, statement)
    return {
        "x": statement.x,
        "y": statement.y,
        "given": list(statement.given),
        "cic": cic,
        "quantifier": quantifier,
        "rule": rule,
        "limit_partial_correlation": None,
        "limit_standard_error": 0.0,
        "uniform": HOLDS if (cic, quantifier) == (HOLDS, UNIFORM) else UNDECIDED,
        "monte_carlo": None,
    }


def _decide(pooled: PooledModel, statement: Separation) -> tuple[str, str, str]:
    if pooled.is_one_cell:
        return HOLDS, UNIFORM, "pools of one cell"
    if pooled.scm.cell_types:
        return UNDECIDED, LAW, "no rule for cell types in pools of cells that are alike"
    if _separated_by_what_is_shared(pooled, statement):
        return HOLDS, UNIFORM, "what the cells of a pool share separates them"
    if is_ancestral(pooled.graph, pooled.alike_in) and _kept(pooled, statement):
        return HOLDS, UNIFORM, "shared genes, and edges that pass the one-edge criterion, separate them"
    covariance = gaussian_covariance(pooled)
    if covariance is None:
        return UNDECIDED, LAW, "no rule for pools of cells that are alike in these genes"
    rho = _partial(pooled, covariance, statement)
    if abs(rho) <= ZERO:
        return HOLDS, LAW, "Gaussian: the partial correlation stays 0"
    return FAILS, LAW, f"Gaussian: the partial correlation in these pools is {rho:.3g}"


def _separated_by_what_is_shared(pooled: PooledModel, statement: Separation) -> bool:
    """Whether the genes given name the shared values, and one end is separated from all else by them."""
    by, given = set(pooled.alike_in), set(statement.given)
    if not by <= given:
        return False
    rest = given - by
    return any(
        nx.is_d_separator(pooled.graph, {end}, {other, *rest}, by)
        for end, other in ((statement.x, statement.y), (statement.y, statement.x))
    )


def is_ancestral(graph: nx.DiGraph, genes: Sequence[str]) -> bool:
    """Whether all parents of some genes are among them: then fixing them is all that conditioning does.

    Examples
    --------
    >>> chain = nx.DiGraph([("A", "B"), ("B", "C")])
    >>> is_ancestral(chain, ["A", "B"]), is_ancestral(chain, ["B"])
    (True, False)
    """
    return all(set(graph.predecessors(gene)) <= set(genes) for gene in genes)


def _kept(pooled: PooledModel, statement: Separation) -> bool:
    """Whether the graph of the pool separates them, where shared genes are one value for all cells."""
    by = set(pooled.alike_in)
    graph = ancestral(pooled.graph, statement)
    pools = pool_graph(
        graph, lambda child, parent: parent in by or pooled.passes(child, parent), by_type=(), by_number=()
    )
    shared = {("cells", gene): ("sum", gene) for gene in by if ("cells", gene) in pools}
    pools = nx.relabel_nodes(pools, shared)
    pools.remove_edges_from([(("sum", gene), ("sum", gene)) for gene in by])
    given = {("sum", gene) for gene in statement.given}
    return bool(nx.is_d_separator(pools, {("sum", statement.x)}, {("sum", statement.y)}, given))


def gaussian_covariance(pooled: PooledModel) -> np.ndarray | None:
    """Covariance of sums of K alike cells of a Gaussian model, up to a factor; None for other models.

    With C the covariance of cells and C(B) that of their means given the shared genes B, it is
    K^2 C(B) + K (C - C(B)).
    """
    if not pooled.is_gaussian(pooled.scm.genes):
        return None
    place = {name: i for i, name in enumerate(pooled.scm.genes)}
    shared = [place[gene] for gene in pooled.alike_in]
    covariance = pooled.scm.affine_moments()[1]
    inverse = np.linalg.pinv(covariance[np.ix_(shared, shared)], hermitian=True)
    between = covariance[:, shared] @ inverse @ covariance[shared]
    return np.asarray(pooled.largest * between + (covariance - between))


def _partial(pooled: PooledModel, covariance: np.ndarray, statement: Separation) -> float:
    """Partial correlation in pools; 0 where one end is settled by the genes given."""
    place = {name: i for i, name in enumerate(pooled.scm.genes)}
    rho, _ = PoolMoments(covariance[None], True).partial_correlation(
        place[statement.x], place[statement.y], [place[g] for g in statement.given]
    )
    return rho if np.isfinite(rho) else 0.0
