"""Does a d-separation of the cells hold in pools, and which dependences fade (CIC, method 3 to 5)?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import networkx as nx
import numpy as np

from ..models.algebra import affine_parts
from ..models.mechanisms import Equation
from .affine_form import FAILS, HOLDS, LAW, LIMIT, UNDECIDED, UNIFORM
from .clock import out_of_time
from .enumeration import MAX_PRODUCT, independent_in_pools
from .no_product import ends_move_together
from .numbers import hidden_pairs
from .one_edge import FAIL, PASS, Edge
from .pooled_model import PooledModel
from .separations import Separation, kept, kept_for_this_law
from .shared_bends import bent_together
from .small_bends import bends_covary

WORK = 400_000_000
"""Numbers that the enumerations of one check may take at a time, shared between its statements."""
MOST_NUMBERS = 12
"""Numbers of cells that are counted through."""
N_SIGMA = 5.0
"""Standard errors beyond which a simulated partial correlation is not zero."""
LOST = 0.01
"""Simulated partial correlations in the limit below this count as lost."""
ZERO = 1e-9
"""Exact ones below this are rounding."""


def judge_separation(pooled: PooledModel, statement: Separation) -> dict[str, Any]:
    """The row of one d-separation."""
    if pooled.clock.is_up:
        return _row(statement, (UNDECIDED, LAW, out_of_time()), (None, 0.0), UNDECIDED)
    cic, quantifier, rule = _decide(pooled, statement)
    rho, error = _limit(pooled, statement)
    if cic == UNDECIDED and rho is not None:
        apart = abs(rho) > max(N_SIGMA * error, ZERO)
        if apart and not pooled.random_number:  # such pools are mixtures, not Gaussian in the limit
            cic, quantifier, rule = FAILS, LIMIT, "partial correlation of many cells"
        elif not apart and _zero_in_the_limit(pooled, statement):
            cic, quantifier, rule = (
                HOLDS,
                LIMIT,
                "means are affine in the parents: uncorrelated, in the limit",
            )
    uniform = _uniform(pooled, statement, cic, quantifier)
    return _row(statement, (cic, quantifier, rule), (rho, error), uniform)


def _row(
    statement: Separation, judged: tuple[str, str, str], limit: tuple[float | None, float], uniform: str
) -> dict[str, Any]:
    cic, quantifier, rule = judged
    return {
        "x": statement.x,
        "y": statement.y,
        "given": list(statement.given),
        "cic": cic,
        "quantifier": quantifier,
        "rule": rule,
        "limit_partial_correlation": limit[0],
        "limit_standard_error": limit[1],
        "uniform": uniform,
        "monte_carlo": None,
    }


def _decide(pooled: PooledModel, statement: Separation) -> tuple[str, str, str]:
    if pooled.is_one_cell and kept(statement, pooled.graph, pooled.passes, by_type=pooled.by_type):
        return HOLDS, UNIFORM, "pools of one cell"
    if not pooled.has_algebra:
        everywhere = pooled.linear.kind == "other" and _nothing_in_common(pooled, statement)
        if everywhere:
            return HOLDS, UNIFORM, "no common cause"
        if pooled.in_order and kept(
            statement, pooled.graph, lambda gene, _: gene in pooled.in_order, by_number=_all_if_varies(pooled)
        ):
            return HOLDS, LAW, "the pooled gene follows the pooled parent"
        exact = _counted(pooled, statement)
        if exact is not None:
            return (HOLDS if exact else FAILS), LAW, "enumeration of all sums"
        return UNDECIDED, LAW, f"no rule for {pooled.linear.name}"
    if pooled.keeps_everything or kept(
        statement, pooled.graph, pooled.passes, by_type=pooled.by_type, by_number=pooled.by_number
    ):
        return HOLDS, *_proof(pooled, statement)
    if _number_told(pooled, statement) and kept(
        statement, pooled.graph, pooled.passes, by_type=pooled.by_type
    ):
        return HOLDS, LAW, "the sums of the genes given tell the number of cells"
    if _number_breaks(pooled, statement):
        return FAILS, LAW, "the number of cells varies and moves both"
    if pooled.random_number:
        exact = _counted(pooled, statement)
        if exact is not None:
            return (HOLDS if exact else FAILS), LAW, "enumeration of all sums"
        together = ends_move_together(pooled, statement)
        if together is not None:
            return FAILS, LAW, together
        return UNDECIDED, LAW, "the number of cells varies"
    if pooled.tell_cells(statement.given):
        return HOLDS, LAW, "the sums of the genes given tell all of their cells"
    if pooled.cells_are_alike and kept_for_this_law(
        statement, pooled.graph, pooled.families, pooled.passes_reversed, by_type=pooled.by_type
    ):
        return HOLDS, LAW, "a reversed kernel depends on the sum only"
    exact = _counted(pooled, statement)
    if exact is not None:
        return (HOLDS if exact else FAILS), LAW, "enumeration of all sums"
    together = (
        bent_together(pooled, statement)
        or ends_move_together(pooled, statement)
        or bends_covary(pooled, statement)
    )
    if together is not None:
        return FAILS, LAW, together
    return UNDECIDED, LAW, "no rule decides it"


def _proof(pooled: PooledModel, statement: Separation) -> tuple[str, str]:
    """Quantifier and rule of a statement that the graph of pools keeps."""
    genes = _ancestors(pooled, statement)
    found = [pooled.families[g].edges[p] for g in genes for p in pooled.graph.predecessors(g)]
    passing = [e for e in found if e.status == PASS]
    uniform = all(e.any_cells and e.any_law for e in passing)
    return (UNIFORM if uniform else LAW), _rule_of(passing, len(found), bool(statement.given))


def _rule_of(passing: Sequence[Edge], n_edges: int, is_given: bool) -> str:
    """The rule that keeps a statement, from the edges above its genes that pass."""
    if not n_edges or (not passing and not is_given):
        return "no common cause"
    if not all(e.any_cells for e in passing):
        return "sums of this many cells tell all that matters of their cells"
    if len(passing) < n_edges:
        return "the edges that pass the one-edge criterion separate them"
    if all(e.any_weights for e in passing):
        return "affine equations"
    return "every law is affine in its parents' cells"


def _counted(pooled: PooledModel, statement: Separation) -> bool | None:
    """The answer of all sums, where every gene that matters has finitely many values."""
    numbers = pooled.cell_numbers
    shares = pooled.linear.kind == "composition"
    counted = shares or pooled.linear.kind == "linear"
    if pooled.scm.cell_types or not counted or len(numbers.occurring) > MOST_NUMBERS:
        return None
    if pooled.random_number and numbers.has_tails:
        return None
    values, weights = numbers.law
    return independent_in_pools(
        pooled.scm,
        statement.x,
        statement.y,
        statement.given,
        set(pooled.scm.genes) if shares else _ancestors(pooled, statement),
        {int(k): float(p) for k, p in zip(values, weights, strict=True)},
        pooled.weights,
        means=pooled.random_number and pooled.linear.divides_by_cells,
        shares=shares,
        most=min(MAX_PRODUCT, WORK // max(pooled.n_statements, 1)),
    )


def _number_breaks(pooled: PooledModel, statement: Separation) -> bool:
    """A varying number of cells moves both sums: two products of laws that differ, mixed."""
    if not pooled.random_number or pooled.linear.divides_by_cells or pooled.by_type:
        return False
    if not kept(statement, pooled.graph, pooled.passes):
        return False
    given = set(statement.given)
    for end, other in ((statement.x, statement.y), (statement.y, statement.x)):
        if not _moves_with_number(pooled, end) or not set(pooled.graph.predecessors(end)) <= given:
            return False
        if given & nx.descendants(pooled.graph, end) or other in nx.descendants(pooled.graph, end):
            return False
    pairs = pooled.cell_numbers.pairs()
    if pairs is None:
        pairs = [(pooled.numbers[0], pooled.numbers[-1])]
    for gene in statement.given:
        pairs = hidden_pairs(gene, pooled.scm.mechanism(gene), pooled.supports, given, pairs)
    return bool(pairs)


def _moves_with_number(pooled: PooledModel, gene: str) -> bool:
    """Whether the law of a sum, its parents' sums given, surely differs between numbers of cells."""
    mechanism = pooled.scm.mechanism(gene)
    if isinstance(mechanism, Equation):
        affine = mechanism.affine()
        return affine is not None and (affine[1] != 0 or affine[2] != 0)
    natural = mechanism.natural()
    passing = all(pooled.passes(gene, parent) for parent in pooled.graph.predecessors(gene))
    if natural is None or not passing:
        return False
    lines = [affine_parts(term) for _, term in natural]
    return any(line is not None and line[1] != 0 for line in lines)


def _number_told(pooled: PooledModel, statement: Separation) -> bool:
    """Whether the sums of the genes given surely tell a number of cells that varies."""
    return pooled.random_number and pooled.tell_number(statement.given)


def _nothing_in_common(pooled: PooledModel, statement: Separation) -> bool:
    """Whether cells are separated, and no number or type of cells joins them: any aggregate is then."""
    everyone = _all_if_varies(pooled)
    return kept(
        statement, pooled.graph, lambda gene, parent: False, by_type=pooled.by_type, by_number=everyone
    )


def _all_if_varies(pooled: PooledModel) -> list[str]:
    """All genes, where the number of cells is a hidden cause of them."""
    return list(pooled.graph) if pooled.random_number else []


def _uniform(pooled: PooledModel, statement: Separation, cic: str, quantifier: str) -> str:
    """Whether the separation holds for all laws of the noises: for forks and chains of three, exactly."""
    if cic == HOLDS and quantifier == UNIFORM:
        return HOLDS
    equal = pooled.has_algebra and pooled.weights is None and pooled.cells_are_alike
    if not equal or pooled.largest < 4 or len(statement.given) != 1:
        return UNDECIDED
    arms = _arms(pooled.graph, statement)
    if not arms or any(pooled.families[g].edges[statement.given[0]].status != FAIL for g in arms):
        return UNDECIDED
    return FAILS


def _arms(graph: nx.DiGraph, statement: Separation) -> list[str]:
    """Ends that the middle gene acts on, in a fork or a chain that nothing else enters; else none."""
    (middle,) = statement.given
    ends = (statement.x, statement.y)
    if nx.ancestors(graph, middle) - {*ends} or len(graph.subgraph({*ends, middle}).edges) != 2:
        return []
    if any(set(graph.predecessors(end)) - {middle} for end in ends):
        return []
    return [end for end in ends if graph.has_edge(middle, end)]


def _limit(pooled: PooledModel, statement: Separation) -> tuple[float | None, float]:
    if pooled.largest == 1 or pooled.moments is None:
        return None, 0.0
    if not {statement.x, statement.y, *statement.given} <= pooled.with_moments:
        return None, 0.0  # without a variance there is no limit of this kind
    place = pooled.place
    rho, error = pooled.moments.partial_correlation(
        place[statement.x], place[statement.y], [place[g] for g in statement.given]
    )
    return (rho, error) if np.isfinite(rho) else (None, 0.0)


def _zero_in_the_limit(pooled: PooledModel, statement: Separation) -> bool:
    """Residuals uncorrelated, exactly: all means affine, or one end is a sink with an affine mean."""
    if pooled.by_type or pooled.linear.kind == "composition":
        return False
    if pooled.random_number and not pooled.linear.divides_by_cells:
        return False
    genes = _ancestors(pooled, statement)
    if all(pooled.families[g].mean_affine for g in genes):
        return True
    given = set(statement.given)
    for end, other in ((statement.x, statement.y), (statement.y, statement.x)):
        below = nx.descendants(pooled.graph, end)
        parents_given = set(pooled.graph.predecessors(end)) <= given
        if pooled.families[end].mean_affine and parents_given and not below & (given | {other}):
            return True
    return False


def lost_dependences(pooled: PooledModel) -> list[dict[str, Any]]:
    """Edges and colliders whose dependence fades in pools of many cells."""
    if pooled.largest == 1 or pooled.moments is None:
        return []
    listed = []
    seen = set(pooled.model.observed)
    for x, y, given, kind in _dependences(pooled.graph):
        if not {x, y, *given} <= seen:
            continue
        if pooled.clock.is_up:
            break
        rho, error = _limit(pooled, Separation(x, y, given))
        if rho is not None and abs(rho) < (max(LOST, N_SIGMA * error) if error else ZERO):
            listed.append(
                {
                    "x": x,
                    "y": y,
                    "given": list(given),
                    "kind": kind,
                    "limit_partial_correlation": rho,
                    "limit_standard_error": error,
                }
            )
    return listed


def _dependences(graph: nx.DiGraph) -> Iterable[tuple[str, str, tuple[str, ...], str]]:
    """Edges, alone and given the child's other parents; parents of a common child, given it."""
    for a, b in graph.edges:
        others = tuple(p for p in graph.predecessors(b) if p != a)
        yield a, b, (), "edge"
        if others:
            yield a, b, others, "edge"
    for child in graph:
        for a, b in combinations(list(graph.predecessors(child)), 2):
            if not (graph.has_edge(a, b) or graph.has_edge(b, a)):
                yield a, b, (child,), "collider"


def _ancestors(pooled: PooledModel, statement: Separation) -> set[str]:
    ends = {statement.x, statement.y, *statement.given}
    return ends.union(*(pooled.above[g] for g in ends))
