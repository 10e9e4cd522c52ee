"""Kernels of what one-parent curves cannot see: products of two regulators, and a spread that bends.

A gene y with two regulators is fitted on curves of both and on the product of their lines; of a gene with
one, the squared residuals are fitted on a line and curves of the regulator. Squared effects are estimated
without bias by multiplying coefficients of two halves of the samples; what a sum over genes varies by is read
off by leaving out blocks of samples, and groups of genes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..basis import knots, spline_functions, standardise

N_BLOCKS = 20
"""Blocks of samples that are left out in turn; with replicates, at most as many as there are."""
N_HALVINGS = 10
N_CURVES = 3
"""Columns of a curve, the line included."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Numerator and denominator of a share, whole and with each block left out, by gene.

    Both have shape ``(n_genes, 1 + n_blocks)``; sums over genes are formed later, so that genes can be left
    out too.
    """

    numerator: np.ndarray
    denominator: np.ndarray


def product_sums(y: np.ndarray, x: np.ndarray, blocks: np.ndarray, halvings: np.ndarray) -> Sums:
    """What the product of two regulators adds to curves of both, for several targets of one level.

    Parameters
    ----------
    y
        Targets, shape ``(n, n_genes)``.
    x
        Their two regulators, shape ``(n, n_genes, 2)``.
    blocks
        Block of each sample, shape ``(n,)``, from 0.
    halvings
        Whether a block is in the first half, shape ``(n_halvings, n_blocks)``.

    Returns
    -------
    Variance that the product explains beyond the curves, and variance that all columns explain.

    Notes
    -----
    Interactions are tested beside additive splines (method 7a); the product is that of the two lines.
    """
    designs = []
    for gene in range(y.shape[1]):
        first, second = (curve(x[:, gene, side]) for side in (0, 1))
        product = first[:, :1] * second[:, :1]
        designs.append(np.hstack([first, second, product]))
    return _squared_effects(np.stack(designs), standardise(y)[0].T, blocks, halvings, last=1)


def spread_sums(
    y: np.ndarray,
    x: np.ndarray,
    blocks: np.ndarray,
    halvings: np.ndarray,
    counting: np.ndarray | None = None,
) -> Sums:
    """Bends of the conditional variance of targets given one regulator each, in units of its mean.

    Arguments as for :func:`product_sums`, with ``x`` of shape ``(n, n_genes)``. The numerator is the variance
    of the bent part of E[u² | x], u the residual of y given a curve in x; the denominator (mean u²)², with
    the variance that counting alone gives each target taken off u² (``counting``, shape ``(n_genes,)``).
    """
    designs = np.stack([curve(x[:, gene]) for gene in range(x.shape[1])])
    squares = np.empty_like(y.T)
    own = np.ones(y.shape[1])
    for gene, design in enumerate(designs):
        columns = np.column_stack([np.ones(len(design)), design])
        fitted = columns @ np.linalg.lstsq(columns, y[:, gene], rcond=None)[0]
        square = (y[:, gene] - fitted) ** 2
        mean = max(square.mean(), np.finfo(float).tiny)
        squares[gene] = square / mean
        if counting is not None:
            own[gene] = max(1 - counting[gene] / mean, 0.0)
    found = _squared_effects(designs, squares, blocks, halvings, last=N_CURVES - 1)
    return Sums(found.numerator, np.ones_like(found.numerator) * own[:, None] ** 2)


def curve(x: np.ndarray) -> np.ndarray:
    """Line and bends of a regulator, standardised, shape ``(n, N_CURVES)``."""
    columns = spline_functions(x, knots(x, N_CURVES + 1))
    return standardise(np.pad(columns, ((0, 0), (0, N_CURVES - columns.shape[1]))))[0]


def _squared_effects(
    designs: np.ndarray, y: np.ndarray, blocks: np.ndarray, halvings: np.ndarray, last: int
) -> Sums:
    """Variance that the last columns explain beyond the others, and that all explain, free of bias.

    ``designs`` has shape ``(n_genes, n, m)``, ``y`` ``(n_genes, n)``.
    """
    n_genes, n, m = designs.shape
    n_blocks = halvings.shape[1]
    columns = np.concatenate([np.ones((n_genes, n, 1)), designs], axis=2)
    gram = np.zeros((n_blocks, n_genes, m + 1, m + 1))
    moment = np.zeros((n_blocks, n_genes, m + 1))
    for block in range(n_blocks):
        part, target = columns[:, blocks == block], y[:, blocks == block]
        gram[block] = part.transpose(0, 2, 1) @ part
        moment[block] = np.einsum("gnm,gn->gm", part, target)
    whole = gram.sum(axis=0)
    covariance = (whole[:, 1:, 1:] - whole[:, 1:, :1] * whole[:, :1, 1:] / n) / n
    beyond = _schur(covariance, last)
    kept = np.vstack([np.ones(n_blocks), 1 - np.eye(n_blocks)])  # all, then each block left out
    numerator = np.zeros((n_genes, len(kept)))
    denominator = np.zeros_like(numerator)
    for half in halvings:
        for i, use in enumerate(kept):
            one, other = (_coefficients(gram, moment, use * side) for side in (half, 1 - half))
            numerator[:, i] += np.einsum("gi,gij,gj->g", one[:, -last:], beyond, other[:, -last:])
            denominator[:, i] += np.einsum("gi,gij,gj->g", one, covariance, other)
    return Sums(numerator / len(halvings), denominator / len(halvings))


def _coefficients(gram: np.ndarray, moment: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Coefficients of all columns but the constant, shape ``(n_genes, m)``, from some of the blocks."""
    left = np.tensordot(use, gram, axes=1)
    ridge = 1e-9 * np.trace(left, axis1=1, axis2=2)[:, None, None] * np.eye(left.shape[1])
    return np.linalg.solve(left + ridge, np.tensordot(use, moment, axes=1)[..., None])[:, 1:, 0]


def _schur(covariance: np.ndarray, last: int) -> np.ndarray:
    """Covariance of the last columns once the others are known, shape ``(n_genes, last, last)``."""
    first = covariance.shape[1] - last
    inner = covariance[:, :first, :first]
    inner = inner + 1e-9 * np.trace(inner, axis1=1, axis2=2)[:, None, None] * np.eye(first)
    across = covariance[:, :first, first:]
    return covariance[:, first:, first:] - across.transpose(0, 2, 1) @ np.linalg.solve(inner, across)


def share_with_interval(sums: Sums, groups: np.ndarray) -> tuple[float, float, float]:
    """A share and its 95 % interval, over samples and over groups of genes.

    Parameters
    ----------
    sums
        Of every gene (levels added).
    groups
        Group of each gene, shape ``(n_genes,)``: genes that hang together are left out together.

    Notes
    -----
    Delete-a-group jackknife of the ratio (Tukey 1958), once over blocks of samples and once over groups of
    genes; the two variances add, and the t quantile is that of the fewer parts.
    """
    top, bottom = sums.numerator.sum(axis=0), sums.denominator.sum(axis=0)
    if not (bottom > 0).all():
        return float("nan"), float("nan"), float("nan")
    ratios = top / bottom
    n_blocks = len(ratios) - 1
    variance = (n_blocks - 1) / n_blocks * ((ratios[1:] - ratios[1:].mean()) ** 2).sum()
    codes = np.unique(groups, return_inverse=True)[1]
    n_groups = codes.max() + 1
    if n_groups > 1:
        tops, bottoms = (
            of[0] - np.bincount(codes, weights=by_gene[:, 0])
            for of, by_gene in ((top, sums.numerator), (bottom, sums.denominator))
        )
        left = tops / np.where(bottoms > 0, bottoms, np.nan)
        variance += (n_groups - 1) / n_groups * np.nansum((left - np.nanmean(left)) ** 2)
    half = stats.t.ppf(0.975, max(min(n_blocks, n_groups) - 1, 1)) * np.sqrt(variance)
    return float(ratios[0]), float(ratios[0] - half), float(ratios[0] + half)
