"""PC with poolproof's own test of conditional independence by splines, which sees bends too."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ..._checks import InputError, check_share, check_whole
from ...triples.citest import MIN_SAMPLES as LEAST
from ..graph import Graph
from ..orientation import orient, unshielded_triples, vote
from ..spline_tests import SplineTests

MAX_GIVEN = 4
"""Most genes conditioned on. A gene with more parents may keep a false edge."""

Separating = dict[tuple[int, int], list[tuple[int, ...]]]


def spline_pc_graph(
    values: np.ndarray,
    names: tuple[str, ...],
    *,
    seed: int = 0,
    alpha: float = 0.01,
    max_given: int = MAX_GIVEN,
) -> Graph:
    """PC whose tests regress on splines: a graph up to what tests can tell (CPDAG).

    Parameters
    ----------
    values
        Samples x genes, shape ``(n, p)``, finite, in any unit, genes that vary; at least 30 samples.
    names
        Genes, in the order of the columns.
    seed
        Not used: nothing is drawn.
    alpha
        Level of each test.
    max_given
        Most genes conditioned on at once.

    Returns
    -------
    Arrows and lines; ``facts``: ``n_tests``, and ``n_conflicts``, pairs that colliders would turn both ways.

    Raises
    ------
    InputError
        ``alpha`` does not lie between 0 and 1, ``max_given`` is negative, or samples are fewer than 30.

    Notes
    -----
    PC of Spirtes, Glymour & Scheines (2000, *Causation, Prediction, and Search*), neighbours frozen in each
    round and colliders by majority (Colombo & Maathuis 2014, *JMLR* 15:3741), so that the order of columns
    does not matter; rules of Meek (1995, UAI). Tests: :class:`~poolproof.discovery.spline_tests.SplineTests`;
    all pairs that are due given one set are tested at once.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 500))
    >>> z = x**2 + y + rng.normal(size=500) / 2               # x and z are uncorrelated
    >>> graph = spline_pc_graph(np.column_stack([x, y, z]), ("x", "y", "z"))
    >>> graph.table[["regulator", "target"]].values.tolist()
    [['x', 'z'], ['y', 'z']]
    """
    check_share("alpha", alpha)
    check_whole("max_given", max_given, 0)
    tests = SplineTests(values, alpha)
    if not tests.possible(0):
        raise InputError(f"spline_pc needs at least {LEAST} samples; found {len(values)}: use pc")
    skeleton, separating = _skeleton(tests, max_given)
    triples = unshielded_triples(skeleton)
    votes = _votes(tests, skeleton, {(x, y) for x, _, y in triples}, max_given)
    colliders, others = vote(triples, {pair: votes[pair] or separating[pair] for pair in votes})
    directed, undirected, n_conflicts = orient(skeleton, colliders, others)
    return Graph(names, directed, undirected, facts={"n_tests": tests.n_tests, "n_conflicts": n_conflicts})


def _skeleton(tests: SplineTests, max_given: int) -> tuple[np.ndarray, Separating]:
    """Pairs that no set of neighbours separates, shape ``(p, p)``, and for the others the set that did."""
    adjacent = ~np.eye(tests.p, dtype=bool)
    separating: Separating = {}
    for size in range(max_given + 1):
        frozen = adjacent.copy()
        if not tests.possible(size) or frozen.sum(axis=0).max(initial=0) <= size:
            break
        for given in _sets(frozen, size):
            pairs = _due(frozen, adjacent, given)
            if not len(pairs):
                continue
            apart = pairs[tests.p_values(pairs, given) > tests.alpha]
            adjacent[apart[:, 0], apart[:, 1]] = adjacent[apart[:, 1], apart[:, 0]] = False
            separating |= {(x, y): [given] for x, y in apart.tolist()}
    return adjacent, separating


def _sets(neighbours: np.ndarray, size: int) -> list[tuple[int, ...]]:
    """All sets of so many genes that neighbour one gene, in order."""
    return sorted({s for row in neighbours for s in combinations(np.flatnonzero(row).tolist(), size)})


def _due(frozen: np.ndarray, adjacent: np.ndarray, given: tuple[int, ...]) -> np.ndarray:
    """Pairs i < j, still adjacent, one of which has all the given genes as neighbours; shape ``(m, 2)``."""
    chosen = list(given)
    around = np.asarray(frozen[chosen].all(axis=0))
    due = np.asarray(adjacent & (around[:, None] | around))
    due[chosen] = due[:, chosen] = False
    return np.argwhere(np.triu(due))


def _votes(
    tests: SplineTests, skeleton: np.ndarray, ends: set[tuple[int, int]], max_given: int
) -> Separating:
    """Every set of neighbours of one end that separates the two, for each pair of ends."""
    asked: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for pair in sorted(ends):
        for end in pair:
            around = np.flatnonzero(skeleton[end]).tolist()
            for size in range(min(max_given, len(around)) + 1):
                for given in combinations(around, size):
                    if tests.possible(size) and pair not in asked.setdefault(given, []):
                        asked[given].append(pair)
    found: Separating = {pair: [] for pair in ends}
    for given in sorted(asked):
        pairs = np.array(asked[given], dtype=int).reshape(-1, 2)
        for pair in pairs[tests.p_values(pairs, given) > tests.alpha].tolist():
            found[pair[0], pair[1]].append(given)
    return found
