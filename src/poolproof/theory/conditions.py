"""Decide for a model what survives pooling: forms and conditional independences (method 1 to 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from importlib.metadata import version
from typing import Any

import networkx as nx
import pandas as pd
import sympy

from .._checks import InputError, printable
from ..aggregation import Aggregation, parse_aggregation
from ..models.laws import Law
from ..models.mechanisms import Equation
from ..models.model_file import Model, cell_number, read_model
from ..models.scm import SCM
from .affine_form import FAILS, HOLDS, LAW, LIMIT, UNDECIDED, Form, Pooling
from .alike import alike_form, alike_separation
from .axis import constant_derivative, on_axis
from .breaks import find_breaks
from .circles import circle_form, circle_graph, circle_separation
from .clock import TIME_LIMIT, Clock, out_of_time
from .forms import judge_form
from .independence import judge_separation, lost_dependences
from .listed_cells import refused_by_listed_cells
from .pooled_model import PooledModel
from .separations import Separation, covered_edges, d_separations, pairwise_separations
from .text import check_text

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
    edges = _seen_edges(pooled, mechanisms)
    surviving = [[p, g] for p, g in edges if _edge_survives(pooled, p, g, forms[g])]
    faded = any(d["kind"] == "edge" for d in lost)
    counts = len(surviving), len(edges)
    verdict, why = _decide(pooled, list(forms.values()), separations, counts, faded)
    if pooled.clock.was_up and verdict in (RECOVERABLE, MARKOV_CLASS):
        verdict, why = UNDECIDED, None
    told = pooled.model.snapshot.told if pooled.model.snapshot else ""
    reasons = [
        *([told] if told else []),
        _count_sentence("mechanism", forms.values(), "keep their form"),
        _count_sentence("d-separation", [s["cic"] for s in separations], "hold in pools"),
        *([why] if why else []),
    ]
    if pooled.clock.was_up:
        reasons.append(f"The time limit of {pooled.clock.limit:g} s was reached: not all was judged.")
    if lost:
        reasons.append(
            f"Dependences that fade as pools grow, their partial correlation 0 in the limit: {len(lost)}."
        )
    return {"verdict": verdict, "reasons": reasons, "surviving_edges": surviving}


def _seen_edges(pooled: PooledModel, mechanisms: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Edges between genes that pools show."""
    seen = set(pooled.model.observed)
    return [(p, m["gene"]) for m in mechanisms for p in m["parents"] if p in seen]


def _leaves_pairs_out(pooled: PooledModel) -> bool:
    """Whether a model has too many genes for a statement of each pair."""
    n = len(pooled.model.observed)
    return n == len(pooled.graph) and n * (n - 1) // 2 > MOST_PAIRS


def _decide(
    pooled: PooledModel,
    forms: Sequence[str],
    separations: Sequence[Mapping[str, Any]],
    counts: tuple[int, int],
    faded: bool,
) -> tuple[str, str | None]:
    """The verdict, and what else there is to say of it."""
    kept = [s for s in separations if s["cic"] != FAILS or s["quantifier"] == LIMIT]
    if len(kept) < len(separations):
        why = f"{counts[0]} of {counts[1]} edges survive."
        return (PARTIAL if counts[0] else NOT_RECOVERABLE), why
    if any(s["cic"] == UNDECIDED or s["quantifier"] == LIMIT for s in kept):
        n_limit = sum(s["quantifier"] == LIMIT for s in kept)
        why = f"{n_limit} of these answers are for many cells; at this number of cells that is open."
        return UNDECIDED, why if n_limit else None
    if _leaves_pairs_out(pooled) and not pooled.keeps_everything:
        return UNDECIDED, "Only pairs of genes two edges apart were looked at."
    snapshot = pooled.model.snapshot
    if snapshot and snapshot.observed and not separations:
        return (
            UNDECIDED,
            "The snapshot has no conditional independence: nothing of the graph follows from them.",
        )
    if snapshot and snapshot.observed:
        return MARKOV_CLASS, "All conditional independences of the snapshot hold; directions were not judged."
    if faded:
        return MARKOV_CLASS, (
            "All conditional independences hold, but more do than the graph says: edges cancel or fade, and "
            "what is learned from independences alone can miss them."
        )
    if FAILS in forms:
        return MARKOV_CLASS, "All conditional independences hold: the graph up to its Markov class."
    if UNDECIDED in forms:
        return UNDECIDED, None
    directed, why = _directions(pooled)
    return (RECOVERABLE if directed else MARKOV_CLASS), why


def _edge_survives(pooled: PooledModel, parent: str, child: str, ffc: str) -> bool:
    """Whether the pooled child's law depends on this parent's cells through their sum only.

    Nothing hidden may join the two: a number of cells that varies, or types in which both differ.
    """
    snapshot = pooled.model.snapshot
    if ffc == HOLDS or pooled.alike_in or (snapshot and snapshot.circles):
        return ffc == HOLDS
    hidden = child in pooled.by_number or {parent, child} <= set(pooled.by_type)
    return pooled.has_algebra and pooled.passes(child, parent) and not hidden


def _directions(pooled: PooledModel) -> tuple[bool, str]:
    """Whether the graph is the only one that can have made this law."""
    if not pooled.graph.number_of_edges():
        return True, "There are no edges whose direction could be lost."
    free = covered_edges(pooled.graph)
    if not free:
        return True, "The conditional independences alone fix every direction."
    if not pooled.has_algebra or pooled.by_type or pooled.random_number or pooled.alike_in:
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


ALL_GIVEN_UP_TO = 6
"""Genes up to which every d-separation is listed; up to twice as many, those given at most two genes."""
MAX_CELLS = 20_000_000
"""Cells that are simulated at most, with fewer pools where they are large."""
MAX_ALIKE = 2_000_000
"""The same for cells that are alike, which are drawn at once."""
FEWEST_POOLS = 200
"""Pools without which nothing is simulated."""
MOST_TESTED = 500
"""Open separations beyond which none is simulated."""
MOST_PAIRS = 20_000
"""Pairs of genes beyond which only those two edges apart are listed."""
NEAR = "one for each pair of genes two edges apart"
PAIRWISE_FROM = 21
"""Genes from which one d-separation is listed for each pair that is not adjacent."""


@dataclass(frozen=True, eq=False, repr=False)
class Check:
    """What of a model survives its pooling."""

    summary: dict[str, Any]
    """The answer, as ``poolproof check --json`` prints it."""
    model: Model
    seed: int

    @property
    def verdict(self) -> str:
        """``recoverable``, ``markov-class``, ``partial``, ``not-recoverable`` or ``undecided``."""
        return str(self.summary["verdict"])

    @property
    def settings(self) -> dict[str, Any]:
        """All options, defaults filled in."""
        return dict(self.summary["settings"])

    @cached_property
    def mechanisms(self) -> pd.DataFrame:
        """One row per gene: gene, parents, ffc, quantifier, rule."""
        rows = [{**m, "parents": ", ".join(m["parents"])} for m in self.summary["mechanisms"]]
        return pd.DataFrame(rows, columns=["gene", "parents", "ffc", "quantifier", "rule"])

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per d-separation: x, y, given, cic, quantifier, rule, limit_partial_correlation."""
        rows = [{**s, "given": ", ".join(s["given"])} for s in self.summary["separations"]]
        columns = ["x", "y", "given", "cic", "quantifier", "rule", "limit_partial_correlation"]
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        return check_text(self.summary)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def check(
    model: Model | SCM | Mapping[str, Any] | str,
    aggregation: Aggregation | str | Mapping[str, Any] | None = None,
    *,
    cells: int | str | Law | None = None,
    max_given: int | None = None,
    monte_carlo: bool = True,
    n_pools: int = 2000,
    seed: int = 0,
    time_limit: float | None = TIME_LIMIT,
) -> Check:
    """Decide which mechanisms and which conditional independences of a model survive pooling.

    Parameters
    ----------
    model
        A :class:`Model`, an :class:`SCM`, the path of a model file, or its content as a mapping.
    aggregation
        What a pool does to its cells; None: what the model says, else the sum.
    cells
        Cells in a pool, or their law; None: what the model says.
    max_given
        Most genes that a listed d-separation is given. None: all for at most 6 genes, 2 for at most 12,
        1 for at most 20; beyond, one d-separation for each pair that is not adjacent.
    monte_carlo
        Whether separations that no rule decides are tested on simulated pools.
    n_pools
        How many pools are simulated for that.
    seed
        Of everything that is drawn.
    time_limit
        Seconds of processor time, looked at between steps; what is not judged by then is ``undecided``, with
        that reason. None: no limit. Limits of size in each step come before it and do not depend on the
        machine.

    Returns
    -------
    Check

    Raises
    ------
    InputError
        The model or an option cannot be used.

    Notes
    -----
    A conditional independence ``holds`` with a proof, ``uniform`` over all laws of the noises, for this
    ``law`` and number of cells, or in the ``limit`` of many cells. A simulation never proves one: it can
    show that one ``fails``; otherwise the answer is ``undecided``.

    Examples
    --------
    >>> fork = {
    ...     "name": "fork",
    ...     "genes": {
    ...         "Y": {"noise": "gamma(2, 1)"},
    ...         "X": {"equation": "tanh(Y) + 0.15*N", "noise": "normal(0, 1)"},
    ...         "Z": {"equation": "Y/5 + 0.2*N", "noise": "normal(0, 1)"},
    ...     },
    ...     "aggregation": "sum",
    ...     "cells": 20,
    ... }
    >>> found = check(fork)
    >>> found.verdict
    'markov-class'
    >>> found.table[["x", "y", "given", "cic", "quantifier"]].values.tolist()
    [['X', 'Z', 'Y', 'holds', 'uniform']]
    """
    of = _as_model(model, aggregation, cells)
    if max_given is not None and (not isinstance(max_given, int) or max_given < 0):
        raise InputError(f"max_given must be a whole number of at least 0; found {printable(max_given)}")
    if not isinstance(n_pools, int) or n_pools < 100:
        raise InputError(f"n_pools must be a whole number of at least 100; found {printable(n_pools)}")
    if time_limit is not None and not time_limit > 0:
        raise InputError(f"time_limit must be above 0 seconds, or None; found {printable(time_limit)}")
    clock = Clock(time_limit)
    pooled = PooledModel(of, seed, clock)
    circles = of.snapshot.circles if of.snapshot else {}
    graph = circle_graph(circles) if circles else pooled.graph
    listed, listing = _statements(graph, max_given, of.observed)
    if circles:
        mechanisms = [circle_form(pooled, gene) for gene in circles]
    else:
        mechanisms = [_mechanism_row(pooled, gene) for gene in of.observed]
    judge = circle_separation if circles else alike_separation if pooled.alike_in else judge_separation
    pooled.learn({m["gene"]: m["quantifier"] for m in mechanisms if m["ffc"] == HOLDS})
    pooled.n_statements = len(listed)
    separations = [judge(pooled, s) for s in listed]
    tested = _test_open_ones(pooled, separations, n_pools, seed) if monte_carlo and not clock.is_up else None
    lost = [] if pooled.alike_in or circles else lost_dependences(pooled)
    summary = {
        "name": of.name,
        "aggregation": of.aggregation.spec,
        "cells": of.cells.text if isinstance(of.cells, Law) else of.cells,
        "verdict": "",
        "reasons": [],
        "mechanisms": mechanisms,
        "separations": separations,
        "lost_dependences": lost,
        "surviving_edges": [],
        "monte_carlo": tested,
        "settings": {
            "max_given": max_given,
            "separations_listed": listing,
            "monte_carlo": monte_carlo,
            "n_pools": n_pools,
            "seed": seed,
            "time_limit": time_limit,
        },
        "tool": {"name": "poolproof", "version": version("poolproof")},
    }
    summary |= model_verdict(pooled, mechanisms, separations, lost)
    return Check(summary, of, seed)


def _as_model(
    model: Model | SCM | Mapping[str, Any] | str,
    aggregation: Aggregation | str | Mapping[str, Any] | None,
    cells: int | str | Law | None,
) -> Model:
    if isinstance(model, SCM):
        if cells is None:
            raise InputError("expected the number of cells in a pool; pass cells=, such as cells=100")
        model = Model(model.name, model, parse_aggregation("sum", "aggregation"), cell_number(cells))
    elif not isinstance(model, Model):
        model = read_model(model)
    if isinstance(aggregation, str | Mapping):
        aggregation = parse_aggregation(aggregation, "aggregation")
    chosen = cell_number(model.cells if cells is None else cells)
    return replace(model, aggregation=aggregation or model.aggregation, cells=chosen)


def _statements(
    graph: nx.DiGraph, max_given: int | None, seen: Sequence[str]
) -> tuple[list[Separation], str]:
    """The d-separations that are judged, of genes that are seen, and what they are in words."""
    n = len(seen)
    if n < len(graph) or not nx.is_directed_acyclic_graph(graph):
        if max_given is None and n > ALL_GIVEN_UP_TO:
            max_given = 1 if n < PAIRWISE_FROM else 0
    elif max_given is None and n >= PAIRWISE_FROM:
        if n * (n - 1) // 2 > MOST_PAIRS:
            return list(pairwise_separations(graph, near=True)), NEAR
        return list(pairwise_separations(graph)), "one for each pair of genes that is not adjacent"
    if max_given is None:
        max_given = n if n <= ALL_GIVEN_UP_TO else 2 if n <= 2 * ALL_GIVEN_UP_TO else 1
    most = min(max_given, max(n - 2, 0))
    words = "all" if most == max(n - 2, 0) else f"all given at most {most} genes"
    return list(d_separations(graph, most, seen)), words


def _test_open_ones(
    pooled: PooledModel, separations: list[dict[str, Any]], n_pools: int, seed: int
) -> dict[str, Any] | None:
    """Simulate pools for the statements that no exact rule decides for this law; write the findings in."""
    open_ones = [s for s in separations if s["cic"] == UNDECIDED or s["quantifier"] == LIMIT]
    if not open_ones or len(open_ones) > MOST_TESTED:
        return None
    most = MAX_ALIKE if pooled.alike_in else MAX_CELLS
    n_pools = min(n_pools, int(most // pooled.largest))
    if n_pools < FEWEST_POOLS:
        return None
    place = {gene: i for i, gene in enumerate(pooled.scm.genes)}
    where = [(place[s["x"]], place[s["y"]], tuple(place[g] for g in s["given"])) for s in open_ones]
    found = find_breaks(
        pooled.scm, pooled.model.aggregation, pooled.model.cells, where, n_pools=n_pools, seed=seed
    )
    for statement, broken, smooth in zip(open_ones, found.broken, found.smooth, strict=True):
        statement["monte_carlo"] = "broken" if broken else "no break found"
        if broken and not smooth:
            statement["rule"] = "simulated pools differ, but sums of genes with gaps may tell cells apart"
        elif broken:
            statement.update(cic=FAILS, quantifier=LAW, rule="monte-carlo")
        elif statement["cic"] == UNDECIDED:
            statement["rule"] = (
                f"no break found in {n_pools:,} simulated pools, which would have shown a residual "
                f"correlation of {found.detectable:.2f} in the means, and less surely one of the variances"
            )
    return {
        "n_pools": n_pools,
        "n_tested": len(open_ones),
        "n_broken": sum(found.broken),
        "level": found.level,
        "detectable": found.detectable,
        "power": 0.8,
        "seed": seed,
    }


def _mechanism_row(pooled: PooledModel, gene: str) -> dict[str, Any]:
    """The row of one mechanism."""
    parents = pooled.scm.parents(gene)
    if parents and pooled.clock.is_up:
        return _form_row(gene, parents, Form(UNDECIDED, LAW, out_of_time()))
    pooling = Pooling(
        pooled.model.aggregation,
        pooled.numbers,
        pooled.joint.can_occur,
        pooled.joint.states,
        pooled.largest,
        pooled.cell_numbers,
        lambda genes: pooled.tell_number({*genes, *pooled.model.scm.parents(gene)}),
        pooled.total_is_free(gene),
        pooled.draw_changed,
    )
    form = judge_form(
        gene,
        pooled.of_types(gene),
        pooled.families[gene],
        pooled.supports,
        pooled.cores,
        pooling,
        all_genes=list(pooled.scm.genes),
    )
    if form.ffc == UNDECIDED:
        form = refused_by_listed_cells(pooled, gene, pooling) or form
    if pooled.alike_in:
        form = alike_form(pooled, gene, form)
    return _form_row(gene, parents, form)


def _form_row(gene: str, parents: Sequence[str], form: Form) -> dict[str, Any]:
    return {
        "gene": gene,
        "parents": list(parents),
        "ffc": form.ffc,
        "quantifier": form.quantifier,
        "rule": form.rule,
        "witness": form.witness,
    }
