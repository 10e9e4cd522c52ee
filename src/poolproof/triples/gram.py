"""Kernels of all triples at once: what pooling does to partial correlations, by Gram matrices (method 8.6).

For a middle gene y, pooling moves the residual covariance of two ends x and z by ``s_x's_z``, s the products
of the ends with the bends of y. Sums of squares over all x and z are traces of products of small matrices, so
no pair of ends is ever formed. Squares of estimates are too large by their noise, and ends share noise (a
hidden common cause); so the samples are cut into folds, and every factor of a product comes from another one:
of four for ``(s_x's_z)^2``, of two for a squared residual covariance. All ways to choose different folds are
summed.

Notation: Y middle genes in a block, B folds, c columns of a fold, R bends, and ends, some at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from itertools import combinations

import numpy as np

MOST_FOLDS = 8
LEAST_FOLDS = 4
LEAST_KNOWN = 0.02
"""Least share of a known bend that four folds must find; below, too few samples carry the bends."""
TILE = 512
"""Ends at a time: their products with a block of middle genes stay in the processor's cache."""
BLOCK = 32
"""Middle genes at a time."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over all pairs of different ends; of all folds first, then without each fold: ``(Y, 1 + B)``."""

    moved: np.ndarray
    """Squared change of the residual covariance by pooling, without bias."""
    line: np.ndarray
    """Product of the variances that the line of y leaves of both ends, in the same units."""
    partial: np.ndarray
    """Squared residual covariance given the curve of y, without bias."""
    curve: np.ndarray
    """Product of the variances that the curve leaves, in the same units."""


@dataclass(frozen=True, eq=False)
class Totals:
    """Sums over ends, float64; they add up over tiles of ends."""

    left: np.ndarray
    """Products of what the line leaves of an end in two folds, shape ``(Y, B, B)``."""
    left_sum: np.ndarray
    """Sum of it, shape ``(Y, B)``."""
    rest: np.ndarray
    """The same of what the curve leaves."""
    rest_sum: np.ndarray
    same: np.ndarray
    """See :func:`same_end`, shape ``(Y, 1 + B)``."""

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Totals)))


def tile_totals(left: np.ndarray, rest: np.ndarray, s: np.ndarray, size: np.ndarray | None = None) -> Totals:
    """Sums over some ends.

    Parameters
    ----------
    left, rest
        What the line, and the curve, leave of the variance of each end in each fold, ``(Y, B, ends)``.
    s
        Products of the bends, shape ``(Y, B, R, ends)``: over all folds they sum to the slopes of an end.
    size
        See :func:`same_end`.
    """
    return Totals(
        np.matmul(left, left.transpose(0, 2, 1)).astype(np.float64),
        left.sum(axis=2, dtype=np.float64),
        np.matmul(rest, rest.transpose(0, 2, 1)).astype(np.float64),
        rest.sum(axis=2, dtype=np.float64),
        same_end(s, size),
    )


def products_of(columns: np.ndarray) -> np.ndarray:
    """Products of all columns of all folds over some ends: ``(Y, B, c, ends)`` to ``(Y, B, c, B, c)``."""
    n_middle, n_folds, c, n_ends = columns.shape
    flat = columns.reshape(n_middle, n_folds * c, n_ends)
    gram = np.matmul(flat, flat.transpose(0, 2, 1)).astype(np.float64)
    return gram.reshape(n_middle, n_folds, c, n_folds, c)


def moved_squares(gram: np.ndarray, same: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Sum over pairs of ends of ``(s_x's_z)^2``, each factor from another fold, shape ``(Y, 1 + B)``.

    Parameters
    ----------
    gram
        ``gram[y, a, c]`` is the sum over ends of ``s_a s_c'``, shape ``(Y, B, B, R, R)``.
    same
        From :func:`same_end`.
    known
        What such a sum finds of two ends that lie along one bend without noise, with slope 1, shape ``(Y, 1 +
        B)``: ``B (B - 1) (B - 2) (B - 3) / B^4`` where all folds are alike, less where few samples carry a
        bend. Where it is less than `LEAST_KNOWN`, the answer is NaN.
    """
    if gram.shape[1] <= LEAST_FOLDS:
        known = np.concatenate([known[:, :1], np.zeros_like(known[:, 1:])], axis=1)
    seen = known > LEAST_KNOWN
    return np.where(seen, (four_folds(gram) - same) / np.where(seen, known, 1.0), np.nan)


def subsets(n_folds: int) -> list[np.ndarray]:
    """All folds, and all but one."""
    every = np.arange(n_folds)
    return [every, *(np.delete(every, fold) for fold in every)]


def four_folds(gram: np.ndarray) -> np.ndarray:
    """Sum over four different folds a, b, c, d of ``<gram_ac, gram_bd>``; and the same without each fold.

    Parameters
    ----------
    gram
        ``gram[y, a, c]``, shape ``(Y, B, B, R, R)``, where ``gram[y, c, a]`` is its transpose.

    Returns
    -------
    Shape ``(Y, 1 + B)``. By inclusion and exclusion: with U the sum over all pairs of different folds and R_a
    that over the pairs with a, ``<U, U> - 2 sum_a (<R_a, R_a> + <R_a, R_a'>) + sum_ac (<g_ac, g_ac> + <g_ac,
    g_ca>)``.

    Examples
    --------
    >>> four_folds(np.ones((1, 4, 4, 1, 1)))    # 4! ways to choose four of four folds, and none of three
    array([[24.,  0.,  0.,  0.,  0.]])
    """
    n_folds = gram.shape[1]
    other = gram * (1 - np.eye(n_folds))[:, :, None, None]
    return np.stack([_four_folds(other[:, kept][:, :, kept]) for kept in subsets(n_folds)], axis=1)


def _four_folds(gram: np.ndarray) -> np.ndarray:
    rows = gram.sum(axis=2)
    total = rows.sum(axis=1)
    turned = (rows * (rows + rows.transpose(0, 1, 3, 2))).sum(axis=(1, 2, 3))
    both = (gram * (gram + gram.transpose(0, 1, 2, 4, 3))).sum(axis=(1, 2, 3, 4))
    return np.asarray((total * total).sum(axis=(1, 2)) - 2 * turned + both)


def same_end(s: np.ndarray, size: np.ndarray | None = None) -> np.ndarray:
    """The part of :func:`four_folds` in which both ends are one, summed over ends, shape ``(Y, 1 + B)``.

    ``s`` has shape ``(Y, B, R, ends)`` and ``size``, if given, ``(Y, B)``: what slopes of a fold are to be
    multiplied by. With g_ac = s_a's_c, a < c, and H their products over the ends, it is 4 times the sum of H
    over ordered pairs of such pairs without a common fold: two ways to order either.

    Examples
    --------
    >>> same_end(np.ones((1, 4, 1, 3)))         # three ends
    array([[72.,  0.,  0.,  0.,  0.]])
    """
    n_middle, n_folds, _, n_ends = s.shape
    g = np.empty((n_middle, n_folds * (n_folds - 1) // 2, n_ends), dtype=s.dtype)
    at = 0
    for a in range(n_folds - 1):
        after = at + n_folds - 1 - a
        np.einsum("yrx,ycrx->ycx", s[:, a], s[:, a + 1 :], out=g[:, at:after])
        at = after
    gram = np.matmul(g, g.transpose(0, 2, 1)).astype(np.float64)
    if size is not None:
        of_pair = np.prod(size[:, list(combinations(range(n_folds), 2))], axis=2)
        gram *= of_pair[:, :, None] * of_pair[:, None]
    return 4 * np.tensordot(gram, _apart(n_folds), axes=((1, 2), (1, 2)))


def powers_of_two(values: np.ndarray) -> np.ndarray:
    """The power of two above the largest value of each fold: of shape ``(Y, B, ...)``, to ``(Y, B)``.

    Slopes of a fold that hardly carries a bend are of any size, and their fourth powers need not fit into
    float32; over a power of two they do, and nothing is rounded.

    Examples
    --------
    >>> powers_of_two(np.array([[[0.3, -5.0], [0.0, 0.0]]]))
    array([[8., 1.]])
    """
    largest = np.abs(values).max(axis=tuple(range(2, values.ndim)), initial=0.0)
    return np.asarray(np.ldexp(1.0, np.frexp(largest)[1]))


@cache
def _apart(n_folds: int) -> np.ndarray:
    """Which pairs of pairs of folds have no fold in common; and the same without each fold."""
    pairs = np.array(list(combinations(range(n_folds), 2)))
    none = np.array([[not set(left) & set(right) for right in pairs.tolist()] for left in pairs.tolist()])
    without = [(pairs != fold).all(axis=1) for fold in range(n_folds)]
    return np.stack([none, *(none & of & of[:, None] for of in without)]).astype(np.float64)


def different_folds(matrix: np.ndarray, *, own: bool = False) -> np.ndarray:
    """Sum over pairs of different folds (``own``: over all pairs), and the same without each fold.

    ``matrix`` has shape ``(Y, B, B)``, the result ``(Y, 1 + B)``.

    Examples
    --------
    >>> different_folds(np.ones((1, 3, 3)))
    array([[6., 2., 2., 2.]])
    """
    if not own:
        matrix = matrix * (1.0 - np.eye(matrix.shape[1]))
    every = matrix.sum(axis=(1, 2))[:, None]
    with_fold = matrix.sum(axis=1) + matrix.sum(axis=2) - np.einsum("yaa->ya", matrix)
    return np.concatenate([every, every - with_fold], axis=1)


def sums_of(
    total: Totals, squared: np.ndarray, gram: np.ndarray, known: np.ndarray, freedom: np.ndarray
) -> Sums:
    """Put the sums together.

    Parameters
    ----------
    total
        Over all ends.
    squared
        Sum over all pairs of ends of the product of their residual covariances in two folds, ``(Y, B, B)``.
    gram, known
        See :func:`moved_squares`.
    freedom
        Of what the line leaves: degrees of freedom in each fold, as a share of those with all samples
        together, shape ``(Y, B)``.
    """
    kept = np.stack([freedom[:, folds].sum(axis=1) for folds in subsets(freedom.shape[1])], axis=1)
    line = different_folds(pairs_of(total.left_sum) - total.left, own=True)
    return Sums(
        moved=moved_squares(gram, total.same, known),
        line=line / np.where(kept > 0, kept, np.nan) ** 2,
        partial=different_folds(squared - total.rest),
        curve=different_folds(pairs_of(total.rest_sum) - total.rest),
    )


def pairs_of(values: np.ndarray) -> np.ndarray:
    """Products of the values of two folds: of shape ``(Y, B)``, to ``(Y, B, B)``."""
    return np.asarray(values[:, :, None] * values[:, None])
