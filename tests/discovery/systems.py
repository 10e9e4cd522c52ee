"""Linear systems with truth, and what methods are compared by."""

import numpy as np

from poolproof.discovery.graph import Graph


def linear_dag(p, n, seed, *, noise="laplace", degree=2.0):
    """Standardised values ``(n, p)``, names, and truth ``[cause, effect]`` of a random linear system."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(p)
    truth = np.zeros((p, p), dtype=bool)
    for a in range(p):
        for b in range(a + 1, p):
            truth[order[a], order[b]] = rng.random() < degree / (p - 1)
    weights = truth * rng.uniform(0.5, 1.0, (p, p)) * rng.choice([-1, 1], (p, p))
    values = np.zeros((n, p))
    for gene in order:
        own = values @ weights[:, gene] + getattr(rng, noise)(size=n)
        values[:, gene] = (own - own.mean()) / own.std()
    return values, tuple(f"g{i:03d}" for i in range(p)), truth


def f1(skeleton, truth):
    """F1 of a skeleton against that of the truth."""
    found, true = (np.triu(a | a.T) if len(a) == a.shape[1] else a for a in (skeleton, truth))
    return 2 * (found & true).sum() / max(found.sum() + true.sum(), 1)


def same(a: Graph, b: Graph) -> bool:
    weights = (a.weights is None) == (b.weights is None) and (
        a.weights is None or np.allclose(a.weights, b.weights, rtol=1e-6, atol=1e-9)
    )
    return (
        a.names == b.names
        and weights
        and bool((a.directed == b.directed).all() and (a.undirected == b.undirected).all())
    )
