"""What a network claims, judged: its separations in the data, and what pooling leaves of its edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._checks import check_choice, check_threads
from .._notebook import summary_html
from ..basis import N_COLUMNS
from ..data.expression import Expression
from ..data.matching import count_edges
from ..pairs.calls import bh_adjust
from ..pairs.count_engine import CountTest
from ..pairs.design import Design
from ..pairs.settings import EngineSettings
from ..triples.table import Rows, leave_one_out, rows_of
from .claims import Claim, Claims, Nodes, SeparationGraph, draw_claims, network_nodes
from .edges import Evidence, edge_status
from .given_sets import CountSets, ScoreSets

MAX_SEPARATIONS = 20_000
"""Related pairs of genes whose separation is looked for."""
MAX_GIVEN = 3
"""Largest set that separates them."""


@dataclass(frozen=True, eq=False, repr=False)
class NetworkClaims:
    """What became of the claims of a network."""

    separations: pd.DataFrame
    """One row per claim judged: ``x``, ``z``, ``given`` (names joined by semicolons), ``n_given``,
    ``relation``, ``n``, ``correlation``, ``partial_linear``, ``partial_linear_se``, ``partial_spline``,
    ``partial_spline_se``, ``p_value``, ``q_value``, ``call``, ``status``; by set, then by ends."""
    edges: pd.DataFrame
    """One row per edge, in the order of the table of edges: ``regulator``, ``target``, ``n_separations``
    (claims judged that give this regulator for this target), ``n_separations_distorted`` and
    ``n_separations_failed`` (dependent or hidden) of them, ``pool_status`` and ``pool_reason``."""
    summary: dict[str, Any]
    """Counts of genes, pairs, claims and edges."""
    warnings: tuple[str, ...]
    """What limits the claims: unmeasured regulators, cycles, sets too large."""

    def __str__(self) -> str:
        of, edges = self.summary["separations"], self.summary["edges"]
        unrelated = self.summary["unrelated"]["share_failed"]
        told = ", ".join(
            f"{edges[f'n_{s}']:,} {s.replace('_', ' ')}" for s in names.EDGE_STATUSES if edges[f"n_{s}"]
        )
        said = f"{count_edges(edges['n_edges'])}: {told}"
        if not of["n_judged"]:
            said += "; no separation could be judged"
            return said if unrelated is None else f"{said} but of unrelated pairs: {unrelated:.1%} fail"
        said += f"; {of['n_judged']:,} separations judged: {of['share_failed']:.1%} fail"
        if unrelated is not None:
            said += f" (of unrelated pairs {unrelated:.1%})"
        if of["share_distorted"] is not None:
            said += f", {of['share_distorted']:.1%} of those that hold are distorted in pools"
        return said

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return summary_html(
            "Claims of a network",
            [str(self)],
            self.edges,
            self.warnings,
            columns=("regulator", "target", "pool_status", "pool_reason"),
            rows="first",
        )


def judge_network(
    expression: Expression,
    design: Design,
    network: pd.DataFrame,
    pair_table: pd.DataFrame,
    edges_table: pd.DataFrame,
    *,
    children: pd.DataFrame | None = None,
    correction: str = "none",
    margin: float = 0.1,
    fdr: float = 0.05,
    k: int = N_COLUMNS,
    overdispersion: float = 0.0,
    max_separations: int = MAX_SEPARATIONS,
    max_given: int = MAX_GIVEN,
    seed: int = 0,
    threads: int | None = None,
    memory: float = 4e9,
) -> NetworkClaims:
    """Judge the separations that a network claims, and say of each edge what pooling leaves of it.

    Parameters
    ----------
    expression, design
        The values, and the design of the tests of pairs.
    network
        Edges with the columns ``regulator`` and ``target``; all of them, those of unmeasured genes too.
    pair_table
        The tests of its edges as pairs: columns as ``poolproof._names.PAIR_COLUMNS``.
    edges_table
        The tests of its edges beside the child's other parents: columns as
        ``poolproof._names.EDGE_COLUMNS``.
    children
        The tests of whole equations: columns as ``poolproof._names.EQUATION_COLUMNS``.
    correction
        ``poisson`` for counts of molecules, whose sampling noise is removed, else ``none``; as for
        :func:`poolproof.screen_triples`. Counts can be conditioned on one gene: larger sets have the status
        ``too_many_given``.
    margin
        Partial correlations below it count as none.
    fdr
        False-discovery rate of the bend of an edge beside the other parents, and of distorted claims.
    k
        Columns of a spline basis, the linear one included.
    overdispersion
        See :func:`poolproof.linearity`.
    max_separations
        So many related pairs of genes are drawn, and a fourth as many unrelated ones, by ``seed``.
    max_given
        Claims with more genes given are left out.
    seed
        Of the draw; it is tied to names, not to the order of genes.
    threads, memory
        Threads (None: all processors) and bytes that may be used.

    Returns
    -------
    NetworkClaims

    Notes
    -----
    Two genes without an edge are independent given some others, if the network is right and complete (the
    Markov property). Of each pair the smallest of two minimal sets is taken, nearest to either end. Cycles
    are read by sigma-separation, unmeasured regulators are never given: see `_claims`. The residuals of both
    ends on the splines (and on the lines) of the set are judged as those of a triple. ``kept``: separated,
    and a line shows it, as in pools of many cells. ``distorted``: separated, but a line does not show it.
    ``dependent`` and ``hidden``: the claim fails in these data, be it that the network lacks an edge or a
    common cause, or that RNA is not the activity of its protein. ``unrelated`` pairs, with nothing given, are
    counted apart.

    ``pool_status`` of an edge, the first that fits:

    - ``cannot_tell``: logs that were not undone, or no test of the pair.
    - ``not_seen``: not associated, and no bend beside the other parents.
    - ``distorted``: non-linear as a pair, or its bend was found beside the other parents. Two exceptions are
      ``cannot_tell``: the child's equation is affine by equivalence, so that the bend of the pair may be that
      of another parent; and counts, where the equations keep the sampling noise that bends them.
    - ``survives``, in bulk ``not_contradicted``: affine by equivalence as a pair, no bend beside the other
      parents (tested, or there are none, or the child's equation is affine by equivalence), and no distorted
      separation that this edge carries. Bulk samples are pools and cannot confirm that cells are affine.
    - ``cannot_tell``: the rest.

    Examples
    --------
    >>> from poolproof.pairs import linearity
    >>> from poolproof.verdict import joint_equations
    >>> rng = np.random.default_rng(0)
    >>> y = rng.gamma(2.0, size=2000)
    >>> data = pd.DataFrame({"X": np.tanh(y) + 0.15 * rng.normal(size=2000), "Y": y,
    ...                      "Z": y**2 / 5 + 0.2 * rng.normal(size=2000)})
    >>> network = pd.DataFrame({"regulator": ["Y", "Y"], "target": ["X", "Z"]})
    >>> pairs = linearity(data, kind="bulk", scale="additive", pairs=network)
    >>> joint = joint_equations(data.to_numpy(), np.array([[1, 0], [1, 2]]), list("XYZ"))
    >>> found = judge_network(pairs.expression, pairs.design, network, pairs.table, joint.edges)
    >>> found.separations[["x", "z", "given", "call"]].to_dict("records")
    [{'x': 'X', 'z': 'Z', 'given': 'Y', 'call': 'distorted'}]
    >>> found.edges["pool_status"].tolist()
    ['distorted', 'distorted']
    """
    check_choice("correction", correction, names.CORRECTIONS)
    nodes = network_nodes(network, expression.genes, expression.symbols)
    graph = SeparationGraph(len(nodes.names), map(tuple, nodes.edges.tolist()), nodes.measured)
    claims = draw_claims(graph, max_claims=max_separations, max_given=max_given, seed=seed)
    ordered = sorted(claims.drawn, key=lambda claim: (claim.given, claim.x, claim.z))
    sets = sorted({claim.given for claim in ordered})
    options = {"k": k, "overdispersion": overdispersion, "memory": memory / 8}
    rows = _judge(expression, design, nodes, ordered, sets, correction, margin, threads, options)
    separations = _separation_table(nodes, ordered, rows)
    tallies = _tallies(nodes, ordered, separations, edges_table, fdr)
    status, reason = edge_status(
        Evidence.of(pair_table, edges_table, children, tallies["n_separations_distorted"], fdr),
        kind=expression.kind,
        log=expression.scale_tested == "log",
        corrected=correction == "poisson",
    )
    edges = pd.DataFrame(
        {
            "regulator": edges_table["regulator"].to_numpy(),
            "target": edges_table["target"].to_numpy(),
            **tallies,
            "pool_status": pd.Categorical(status, categories=names.EDGE_STATUSES),
            "pool_reason": reason,
        }
    )
    summary = _summary(nodes, graph, claims, separations, edges) | {
        "correction": correction,
        "margin": margin,
        "max_given": max_given,
        "max_separations": max_separations,
    }
    return NetworkClaims(separations, edges, summary, _warnings(summary, expression))


def _judge(
    expression: Expression,
    design: Design,
    nodes: Nodes,
    claims: list[Claim],
    sets: list[tuple[int, ...]],
    correction: str,
    margin: float,
    threads: int | None,
    options: Mapping[str, Any],
) -> Rows:
    """Judge claims in the order given, on the genes that they name alone."""
    used = np.array(sorted({node for c in claims for node in (c.x, c.z, *c.given)}), dtype=np.intp)
    place = {node: i for i, node in enumerate(used.tolist())}
    number = {given: i for i, given in enumerate(sets)}
    placed = [tuple(place[node] for node in given) for given in sets]
    genes, k, memory = nodes.gene[used], options["k"], options["memory"]
    conditioner: CountSets | ScoreSets
    if correction == "poisson" and claims:  # a complete network claims nothing: no genes to prepare
        settings = EngineSettings("corrected", options["overdispersion"], dtype=np.float64, memory=memory)
        conditioner = CountSets(placed, CountTest.of(expression, design, settings, genes))
    else:
        conditioner = ScoreSets(
            placed, expression.columns(genes), expression.size_factors, design, k=k, memory=memory
        )
    triples = [(place[c.x], number[c.given], place[c.z]) for c in claims]
    return rows_of(
        conditioner,
        np.array(triples, dtype=np.intp).reshape(-1, 3),
        margin,
        nothing_left=names.TOO_FEW_COUNTS if correction == "poisson" else names.NO_VARIANCE_LEFT,
        threads=check_threads(threads),
    )


def _separation_table(nodes: Nodes, claims: list[Claim], rows: Rows) -> pd.DataFrame:
    claimed = {
        "x": np.array([nodes.names[c.x] for c in claims], dtype=object),
        "z": np.array([nodes.names[c.z] for c in claims], dtype=object),
        "given": np.array([";".join(nodes.names[g] for g in c.given) for c in claims], dtype=object),
        "n_given": np.array([len(c.given) for c in claims], dtype=np.int32),
        "relation": pd.Categorical([c.relation for c in claims], categories=names.RELATIONS),
    }
    return pd.DataFrame(claimed | rows.columns(bh_adjust(rows.p_value), names.SEPARATION_STATUSES))


def _tallies(
    nodes: Nodes, claims: list[Claim], separations: pd.DataFrame, edges: pd.DataFrame, fdr: float
) -> dict[str, np.ndarray]:
    """How many judged claims each edge carries: those that give its regulator for its target."""
    place = {pair: i for i, pair in enumerate(zip(edges["regulator"], edges["target"], strict=True))}
    call, status = separations["call"].to_numpy(), separations["status"].to_numpy()
    distorted = (call == names.DISTORTED) & (separations["q_value"].to_numpy() <= fdr)
    failed = (call == names.DEPENDENT) | (call == names.HIDDEN)
    counts = np.zeros((3, len(edges)), dtype=np.int64)
    for row in np.flatnonzero(status == names.OK):
        claim = claims[row]
        for parent in claim.given:
            for child in (claim.x, claim.z):
                at = place.get((nodes.names[parent], nodes.names[child]))
                if at is not None:
                    counts[:, at] += (1, distorted[row], failed[row])
    return {
        "n_separations": counts[0],
        "n_separations_distorted": counts[1],
        "n_separations_failed": counts[2],
    }


def _summary(
    nodes: Nodes,
    graph: SeparationGraph,
    claims: Claims,
    separations: pd.DataFrame,
    edges: pd.DataFrame,
) -> dict[str, Any]:
    unrelated = separations["relation"] == names.UNRELATED
    found = int((~unrelated).sum())
    share = found / claims.n_related_drawn if claims.n_related_drawn else 0.0
    return {
        "n_genes": int(nodes.measured.sum()),
        "n_unmeasured": int((~nodes.measured).sum()),
        "n_on_cycles": graph.n_on_cycles,
        "n_pairs": claims.n_pairs,
        "n_related": claims.n_related,
        "n_related_drawn": claims.n_related_drawn,
        "n_unseparated": claims.n_unseparated,
        "n_large": claims.n_large,
        "n_claims_estimated": round(claims.n_related * share),
        "separations": _counts(separations[~unrelated]),
        "unrelated": _counts(separations[unrelated]),
        "edges": {"n_edges": len(edges)}
        | {f"n_{status}": int((edges["pool_status"] == status).sum()) for status in names.EDGE_STATUSES},
    }


def _counts(separations: pd.DataFrame) -> dict[str, Any]:
    """Calls of claims, and shares with an interval by leaving out one group of claims at a time.

    Claims with the same set are a group; where nothing is given, claims with the same first end.
    """
    judged = separations[separations["status"] == names.OK]
    calls = {call: (judged["call"] == call).to_numpy() for call in names.TRIPLE_CALLS}
    failed = calls[names.DEPENDENT] | calls[names.HIDDEN]
    result: dict[str, Any] = {"n_claims": len(separations), "n_judged": len(judged)}
    result |= {f"n_{call}": int(which.sum()) for call, which in calls.items()}
    group, groups = pd.factorize(judged["given"].where(judged["n_given"] > 0, judged["x"]))
    for name, part, whole in (
        ("distorted", calls[names.DISTORTED], calls[names.KEPT] | calls[names.DISTORTED]),
        ("failed", failed, np.ones(len(judged), dtype=bool)),
        ("undetermined", calls[names.UNDETERMINED], np.ones(len(judged), dtype=bool)),
    ):
        sums = [np.bincount(group, weights=which, minlength=len(groups)) for which in (part, whole)]
        estimate, low, high = leave_one_out(*sums)
        result |= {f"share_{name}": estimate, f"share_{name}_low": low, f"share_{name}_high": high}
    return result


def _warnings(summary: Mapping[str, Any], expression: Expression) -> tuple[str, ...]:
    said = []
    if summary["n_related_drawn"] < summary["n_related"]:
        said.append(
            f"separations were looked for in {summary['n_related_drawn']:,} of {summary['n_related']:,} "
            "related pairs without an edge, drawn by the seed"
        )
    if summary["n_unseparated"]:
        said.append(f"{summary['n_unseparated']:,} pairs have no claim: unmeasured regulators connect them")
    if summary["n_large"]:
        said.append(
            f"{summary['n_large']:,} pairs have more than {summary['max_given']} genes between them and were "
            "not judged"
        )
    if summary["n_on_cycles"]:
        said.append(
            f"{summary['n_on_cycles']:,} genes lie on cycles of the network: what separates them is read by "
            "sigma-separation, which takes each cycle to settle in one state"
        )
    if expression.scale_tested == "log":
        said.append("separations were judged on a log scale: lines on it are not what pools show")
    return tuple(said)
