"""Where regulators hide: pairs that act by their product alone, single ones that act on the spread alone.

Such a regulator explains nothing of its target by a curve, so it is among no gene's strongest ones. It is
sought among all regulators in one half of the samples; what it does is measured in the other half, so that
the search biases nothing.
"""

from __future__ import annotations

import numpy as np

from ..basis import standardise
from .shape_kernels import N_CURVES, curve

AT_ONCE = 20_000_000
"""Entries of the arrays of products that are held at a time."""


def strongest_products(
    y: np.ndarray, x: np.ndarray, own: np.ndarray, dtype: type = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Find for each target the two regulators whose product goes most with it.

    Parameters
    ----------
    y
        Targets, standardised, what their known regulators explain taken off, shape ``(n, n_targets)``.
    x
        Regulators, standardised, shape ``(n, n_regulators)``.
    own
        Place of each target among the regulators, -1 where it is none, shape ``(n_targets,)``.
    dtype
        Of the products.

    Returns
    -------
    Places of the two regulators, shape ``(n_targets, 2)``, and the size of the correlation; no target is its
    own regulator. Ties go to the first.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(500, 6))
    >>> strongest_products((x[:, [1]] * x[:, [4]]), x, np.array([-1]))[0].tolist()
    [[1, 4]]
    """
    n, n_targets = y.shape
    n_regulators = x.shape[1]
    targets: np.ndarray = y.T.astype(dtype)
    regulators: np.ndarray = x.astype(dtype)
    pairs = np.zeros((n_targets, 2), dtype=int)
    best = np.full(n_targets, -1.0)
    each = np.arange(n_targets)
    first, second = np.triu_indices(n_regulators, 1)
    size = max(1, AT_ONCE // max(n, n_targets))
    for low in range(0, len(first), size):
        a, b = first[low : low + size], second[low : low + size]
        product = regulators[:, a] * regulators[:, b]
        product -= product.mean(axis=0)
        spread = np.sqrt(np.einsum("np,np->p", product, product) * n)
        strength = np.abs(targets @ product) / np.where(spread > 0, spread, np.inf)
        strength[(own[:, None] == a) | (own[:, None] == b)] = -1.0
        place = strength.argmax(axis=1)
        found = strength[each, place]
        better = found > best
        best[better] = found[better]
        pairs[better] = np.stack([a[place], b[place]], axis=1)[better]
    return pairs, best


def strongest_spreads(y: np.ndarray, x: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find for each target the regulator with which its squares bend most.

    Parameters and results as for :func:`strongest_products`, with one regulator a target, shape
    ``(n_targets,)``: that whose bends, beyond its line, explain most of the squared target.
    """
    squares = standardise(y**2)[0]
    best = np.full(y.shape[1], -1.0)
    regulator = np.zeros(y.shape[1], dtype=int)
    for place in range(x.shape[1]):
        basis, _ = np.linalg.qr(np.column_stack([np.ones(len(x)), curve(x[:, place])]))
        bends = basis[:, 2 : N_CURVES + 1].T @ squares
        found = np.einsum("kt,kt->t", bends, bends) / len(x)
        found[own == place] = -1.0
        better = found > best
        best[better], regulator[better] = found[better], place
    return regulator, best
