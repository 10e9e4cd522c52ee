"""How near a graph is to the truth, or to what interventions did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx
import numpy as np
import pandas as pd

from ..triples.citest import ci_test
from .graph import Graph

GRAPH_METRICS = (
    "n_edges",
    "skeleton_precision",
    "skeleton_recall",
    "skeleton_f1",
    "orientation",
    "shd",
    "parent_aid",
    "ancestor_aid",
)
"""Of a graph beside the true one; see `graph_metrics`."""
WEIGHT_METRICS = ("precision_at_k", "auprc")
EFFECT_METRICS = ("n_joined", "mean_effect", "false_omission", "effect_auprc")
METRICS = (*GRAPH_METRICS, *WEIGHT_METRICS, *EFFECT_METRICS)
N_DRAWS, N_RANKED = 1_000, 200
"""Draws of a bootstrap, and of one that ranks pairs each time."""
RANDOM_GRAPH = "random_graph"
"""Name of the baseline: as many edges as the truth has, anywhere."""


def graph_metrics(found: Graph, truth: Graph) -> dict[str, float]:
    """Compare two graphs over the same genes in the same order.

    Returns
    -------
    `GRAPH_METRICS`. Precision, recall and F1 are of pairs with an edge of any kind; ``orientation`` is the
    share of the right direction among true edges found with an arrow; ``shd`` counts the pairs whose edge
    differs in any way; ``parent_aid`` and ``ancestor_aid`` are the normalised adjustment identification
    distances of Henckel et al. 2024 (UAI, PMLR 244:1569; gadjid). What cannot be had (no edges, no valid
    graph, gadjid missing) is NaN.

    Examples
    --------
    >>> truth = Graph.of("ABC", directed=[("A", "B"), ("B", "C")])
    >>> found = Graph.of("ABC", directed=[("B", "A")], undirected=[("B", "C")])
    >>> scores = graph_metrics(found, truth)
    >>> scores["skeleton_f1"], scores["orientation"], scores["shd"]
    (1.0, 0.0, 2.0)
    """
    upper = np.triu_indices(len(truth.names), 1)
    seen, real = found.skeleton[upper], truth.skeleton[upper]
    both = seen & real
    precision = both.sum() / seen.sum() if seen.any() else np.nan
    recall = both.sum() / real.sum() if real.any() else np.nan
    total = seen.sum() + real.sum()
    arrows = found.directed & ~found.directed.T & truth.skeleton
    differs = [
        (found.directed != truth.directed),
        (found.directed != truth.directed).T,
        (found.undirected != truth.undirected),
    ]
    parent, ancestor = _adjustment_distances(found, truth)
    return {
        "n_edges": float(seen.sum()),
        "skeleton_precision": float(precision),
        "skeleton_recall": float(recall),
        "skeleton_f1": float(2 * both.sum() / total) if total else np.nan,
        "orientation": float((arrows & truth.directed).sum() / arrows.sum()) if arrows.any() else np.nan,
        "shd": float(np.logical_or.reduce(differs)[upper].sum()),
        "parent_aid": parent,
        "ancestor_aid": ancestor,
    }


def _adjustment_distances(found: Graph, truth: Graph) -> tuple[float, float]:
    """Parent and ancestor adjustment identification distance, NaN where the graph is none that gadjid
    takes.
    """
    try:
        import gadjid
    except ImportError:
        return np.nan, np.nan
    guess, real = (_as_int8(graph) for graph in (found, truth))
    if (found.directed & found.directed.T).any() or not nx.is_directed_acyclic_graph(_arrows(found)):
        return np.nan, np.nan
    distances = []
    for measure in (gadjid.parent_aid, gadjid.ancestor_aid):
        try:
            distances.append(float(measure(real, guess, edge_direction="from row to column")[0]))
        except Exception:  # no CPDAG: gadjid raises its own kinds
            distances.append(np.nan)
    return distances[0], distances[1]


def _arrows(graph: Graph) -> nx.DiGraph:
    return nx.from_numpy_array(graph.directed, create_using=nx.DiGraph)


def _as_int8(graph: Graph) -> np.ndarray:
    """Gadjid's form: 1 for i -> j, 2 at one of the two places of a line."""
    return np.asarray(graph.directed.astype(np.int8) + 2 * np.triu(graph.undirected).astype(np.int8))


def weight_metrics(found: Graph, truth: Graph) -> dict[str, float]:
    """Rank all pairs by their larger weight, beside the true skeleton.

    Returns
    -------
    ``precision_at_k``, k the number of true edges, and ``auprc``, the average precision; ties share their
    precision, so that no order of names decides. NaN without weights.

    Examples
    --------
    >>> truth = Graph.of("ABC", directed=[("A", "B")])
    >>> weights = np.array([[0, 2.0, 1.0], [0, 0, 0], [0, 0, 0]])
    >>> empty = np.zeros((3, 3), dtype=bool)
    >>> weight_metrics(Graph(tuple("ABC"), empty, empty, weights), truth)
    {'precision_at_k': 1.0, 'auprc': 1.0}
    """
    if found.weights is None:
        return dict.fromkeys(WEIGHT_METRICS, np.nan)
    upper = np.triu_indices(len(truth.names), 1)
    best = np.maximum(found.weights, found.weights.T)[upper]
    real = truth.skeleton[upper]
    return {
        "precision_at_k": precision_at(best, real, int(real.sum())),
        "auprc": average_precision(best, real),
    }


def precision_at(scores: np.ndarray, real: np.ndarray, k: int) -> float:
    """Share of true ones among the ``k`` largest scores; those tied at the edge count in part."""
    if not 0 < k <= len(scores):
        return np.nan
    limit = np.sort(scores)[-k]
    above, tied = scores > limit, scores == limit
    hits = real[above].sum() + real[tied].mean() * (k - above.sum())
    return float(hits / k)


def average_precision(scores: np.ndarray, real: np.ndarray) -> float:
    """Area under precision and recall by steps of recall; tied scores enter together."""
    if not real.any():
        return np.nan
    values, group = np.unique(-scores, return_inverse=True)
    hits = np.cumsum(np.bincount(group, weights=real, minlength=len(values)))
    taken = np.cumsum(np.bincount(group, minlength=len(values)))
    gained = np.diff(np.r_[0.0, hits / real.sum()])
    return float((gained * hits / taken).sum())


def effect_metrics(found: Graph, effects: pd.DataFrame, fdr: float = 0.05) -> dict[str, float]:
    """Compare edges out of perturbed genes with what their perturbation did.

    Returns
    -------
    ``n_joined``: the pairs (perturbed gene, other gene) that the graph joins with an arrow out of the gene
    or a line; ``mean_effect``: mean Wasserstein distance over them; ``false_omission``: share of real
    effects (q below ``fdr``) among the pairs that it leaves out, as CausalBench has both (Chevalley et al.
    2025, Commun Biol 8:412); ``effect_auprc``: average precision of the weights for real effects.
    """
    joined, real, size, weights = _beside(found, effects, fdr)
    known = joined & np.isfinite(size)
    return {
        "n_joined": float(joined.sum()),
        "mean_effect": float(size[known].mean()) if known.any() else np.nan,
        "false_omission": float(real[~joined].mean()) if (~joined).any() else np.nan,
        "effect_auprc": np.nan if weights is None else average_precision(weights, real),
    }


def effect_intervals(
    found: Graph, effects: pd.DataFrame, rng: np.random.Generator, fdr: float = 0.05
) -> dict[str, tuple[float | None, float | None]]:
    """95 % percentile intervals of `effect_metrics`, by drawing perturbed genes again with all their pairs.

    None for what has no value, or fewer than three perturbed genes.
    """
    none: tuple[float | None, float | None] = (None, None)
    code, genes = pd.factorize(effects["regulator"])
    n = len(genes)
    if n < 3:
        return dict.fromkeys(EFFECT_METRICS, none)
    joined, real, size, weights = _beside(found, effects, fdr)
    times = np.stack([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(N_DRAWS)])
    known = joined & np.isfinite(size)
    sums = [np.bincount(code, weights=w, minlength=n) for w in (np.where(known, size, 0.0), known)]
    left = [np.bincount(code, weights=w, minlength=n) for w in (real & ~joined, ~joined)]
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = {
            "mean_effect": (times @ sums[0]) / (times @ sums[1]),
            "false_omission": (times @ left[0]) / (times @ left[1]),
        }
    if weights is not None:
        members = [np.flatnonzero(code == g) for g in range(n)]
        picked = (np.concatenate([np.tile(members[g], t[g]) for g in range(n)]) for t in times[:N_RANKED])
        drawn["effect_auprc"] = np.array([average_precision(weights[rows], real[rows]) for rows in picked])
    ends: dict[str, tuple[float | None, float | None]] = dict.fromkeys(EFFECT_METRICS, none)
    for name, values in drawn.items():
        values = values[np.isfinite(values)]
        if len(values):
            low, high = np.quantile(values, [0.025, 0.975])
            ends[name] = (float(low), float(high))
    return ends


def _beside(
    found: Graph, effects: pd.DataFrame, fdr: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """For each row of effects: whether the graph joins it, whether it is real, its size, its weight."""
    place = {name: i for i, name in enumerate(found.names)}
    i = effects["regulator"].map(place).to_numpy()
    j = effects["target"].map(place).to_numpy()
    joined = (found.directed | found.undirected)[i, j]
    real = (effects["q_value"] < fdr).to_numpy()
    size = effects["wasserstein"].to_numpy(dtype=np.float64)
    return joined, real, size, None if found.weights is None else found.weights[i, j]


def random_graph(names: Sequence[str], n_edges: int, rng: np.random.Generator) -> Graph:
    """A graph of some edges, drawn anywhere, each in a random direction along a random order."""
    p = len(names)
    i, j = np.triu_indices(p, 1)
    chosen = rng.choice(len(i), size=min(n_edges, len(i)), replace=False)
    rank = rng.permutation(p)
    first = rank[i[chosen]] < rank[j[chosen]]
    arrows = np.zeros((p, p), dtype=bool)
    arrows[np.where(first, i[chosen], j[chosen]), np.where(first, j[chosen], i[chosen])] = True
    weights = np.triu(rng.random((p, p)), 1)
    return Graph(tuple(names), arrows, np.zeros((p, p), dtype=bool), weights + weights.T)


def variance_sortability(values: np.ndarray, truth: Graph) -> float:
    """Share of directed paths from a smaller to a larger variance; .5 where scale tells nothing.

    Notes
    -----
    Reisach, Seiler and Weichwald 2021, arXiv:2102.13647: paths of every length, ties a half.
    """
    return _sortability(values.var(axis=0), truth)


def r2_sortability(values: np.ndarray, truth: Graph) -> float:
    """Share of directed paths from a smaller to a larger R2 given all other genes; scale does not matter.

    Notes
    -----
    Reisach et al. 2023, arXiv:2303.18211.
    """
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    correlation = np.corrcoef(standard, rowvar=False)
    unexplained = 1.0 / np.diagonal(np.linalg.pinv(correlation))
    return _sortability(1.0 - unexplained, truth)


def _sortability(score: np.ndarray, truth: Graph) -> float:
    arrows = truth.directed.astype(float)
    paths, n_right, n_paths = arrows.copy(), 0.0, 0.0
    while paths.any():
        i, j = np.nonzero(paths)
        right = np.where(np.isclose(score[i], score[j], rtol=1e-9), 0.5, score[i] < score[j])
        n_right, n_paths = n_right + right.sum(), n_paths + len(i)
        paths = (paths @ arrows > 0).astype(float)
    return float(n_right / n_paths) if n_paths else np.nan


def separation_sizes(
    values: np.ndarray, truth: Graph, tests: Mapping[str, str], rng: np.random.Generator, n: int = 100
) -> dict[str, float]:
    """Share of true separations that each test of independence rejects at 5 %.

    Parameters
    ----------
    values
        Samples x genes, shape ``(n_samples, p)``.
    truth
        The graph that made them.
    tests
        Names of results, and the tests of :func:`poolproof.triples.ci_test` behind them.
    rng
        Which ``n`` of the pairs without an edge are tested, given the parents of both.

    Notes
    -----
    Two genes without an edge are separated by their parents; a test in use by a method must keep its level
    there, or pooling makes edges.
    """
    i, j = np.nonzero(np.triu(~truth.skeleton, 1))
    picked = rng.permutation(len(i))[:n]
    rejected: dict[str, list[bool]] = {name: [] for name in tests}
    for a, b in zip(i[picked], j[picked], strict=True):
        given = np.flatnonzero(truth.directed[:, a] | truth.directed[:, b])
        for name, test in tests.items():
            columns = values[:, given] if len(given) else None
            result = ci_test(test, values[:, a], values[:, b], columns)
            rejected[name].append(bool(result.p_value < 0.05))
    return {name: float(np.mean(found)) if found else np.nan for name, found in rejected.items()}
