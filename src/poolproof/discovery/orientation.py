"""From a skeleton to arrows: colliders by majority, then the rules of Meek."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np

Triple = tuple[int, int, int]


def unshielded_triples(skeleton: np.ndarray) -> list[Triple]:
    """Triples ``(x, z, y)``, x < y, of which x and y neighbour z and not each other.

    Examples
    --------
    >>> unshielded_triples(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool))
    [(0, 1, 2)]
    """
    found = []
    for z in range(len(skeleton)):
        for x, y in combinations(np.flatnonzero(skeleton[z]).tolist(), 2):
            if not skeleton[x, y]:
                found.append((x, z, y))
    return found


def vote(
    triples: Iterable[Triple], separating: Mapping[tuple[int, int], list[tuple[int, ...]]]
) -> tuple[list[Triple], set[Triple]]:
    """Colliders and the triples that are certainly none, by what separates their ends.

    Parameters
    ----------
    triples
        As :func:`unshielded_triples` gives them.
    separating
        Sets that make each pair of ends independent.

    Notes
    -----
    The majority rule of Colombo & Maathuis (2014, *JMLR* 15:3741): z is a collider if it is in fewer than
    half of the sets that separate x and y, and none if it is in more. At half, or without a set, it is
    neither.

    Examples
    --------
    >>> vote([(0, 1, 2), (0, 3, 2)], {(0, 2): [(3,), (3, 4), (1, 3)]})
    ([(0, 1, 2)], {(0, 3, 2)})
    """
    colliders, others = [], set()
    for x, z, y in triples:
        sets = separating.get((x, y), [])
        share = sum(z in given for given in sets) / len(sets) if sets else 0.5
        if share < 0.5:
            colliders.append((x, z, y))
        elif share > 0.5:
            others.add((x, z, y))
    return colliders, others


def orient(
    skeleton: np.ndarray, colliders: Iterable[Triple], others: set[Triple]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Arrows and lines from colliders and the three rules of Meek.

    Parameters
    ----------
    skeleton
        Symmetric, boolean, shape ``(p, p)``.
    colliders, others
        As :func:`vote` gives them.

    Returns
    -------
    directed
        ``directed[i, j]``: i -> j.
    undirected
        Lines: the direction is open, or two colliders contradict each other.
    n_conflicts
        Lines of the second kind.

    Notes
    -----
    Meek (1995, UAI): a -> b - c with a, c apart and b no collider gives b -> c; a -> b -> c with a - c gives
    a -> c; a - b, with a - c -> b and a - d -> b, c and d apart and a no collider of them, gives a -> b.
    Arrows that close a circle are not drawn.

    Examples
    --------
    >>> skeleton = np.zeros((4, 4), dtype=bool)
    >>> for i, j in [(0, 1), (1, 2), (1, 3)]:
    ...     skeleton[i, j] = skeleton[j, i] = True
    >>> directed, undirected, _ = orient(skeleton, [(0, 1, 2)], {(0, 1, 3), (2, 1, 3)})
    >>> np.argwhere(directed).tolist(), int(undirected.sum())
    ([[0, 1], [1, 3], [2, 1]], 0)
    """
    wanted = np.zeros_like(skeleton)
    for x, z, y in colliders:
        wanted[x, z] = wanted[y, z] = True
    conflict = wanted & wanted.T
    directed = wanted & ~conflict
    lines = skeleton & ~directed & ~directed.T
    changed = True
    while changed:
        changed = False
        for a, b in np.argwhere(lines & ~conflict).tolist():
            if (
                lines[a, b]
                and _compelled(a, b, directed, lines, skeleton, others)
                and not _reaches(b, a, directed)
            ):
                directed[a, b] = True
                lines[a, b] = lines[b, a] = False
                changed = True
    return directed, lines, int(conflict.sum()) // 2


def _compelled(
    a: int, b: int, directed: np.ndarray, lines: np.ndarray, skeleton: np.ndarray, others: set[Triple]
) -> bool:
    """Whether a rule turns the line a - b into a -> b."""
    if any(
        not skeleton[c, b] and _triple(c, a, b) in others
        for c in np.flatnonzero(directed[:, a]).tolist()
        if c != b
    ):
        return True
    if (directed[a] & directed[:, b]).any():
        return True
    both = np.flatnonzero(lines[a] & directed[:, b]).tolist()
    return any(not skeleton[c, d] and _triple(c, a, d) in others for c, d in combinations(both, 2))


def _triple(x: int, z: int, y: int) -> Triple:
    return (int(min(x, y)), int(z), int(max(x, y)))


def _reaches(start: int, end: int, directed: np.ndarray) -> bool:
    """Whether arrows lead from one gene to the other."""
    seen = np.zeros(len(directed), dtype=bool)
    front = np.zeros(len(directed), dtype=bool)
    front[start] = True
    while front.any():
        seen |= front
        front = directed[front].any(axis=0) & ~seen
    return bool(seen[end])
