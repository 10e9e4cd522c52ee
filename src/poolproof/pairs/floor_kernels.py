"""Kernels of the matched affine floor: the same data with every gene made a line in its hidden causes.

What genes share is put down to factors, hidden or measured causes of any joint law (states, composition,
batches and regulators alike), and a gene x is affine in them when E[x | F] = a'F. That much can be asked
without knowing the law of F, nor that of any noise. Let the genes be split into two halves, and F_P, F_Q be
estimates of F from the genes of either half, x itself left out. The noise of F_Q is not in F_P, so under
affine equations

    E[x - a'F_Q | F_P] = a' (E[F | F_P] - E[F_Q | F_P]) = 0,

with a the slopes by instruments F_P, however noisy both are. What x - a'F_Q bends in F_P is therefore bend of
the equation of x, and not of noise in the factors; taken off x, it leaves a gene that is affine in its causes
and has all else of the data: margins, laws of factors and noises, spreads that grow, samples in their places.
Its bends with other genes are those that affine equations make by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from ..basis import orthonormalise, spline_bases, standardise

MAX_FACTORS = 40
"""Factors of a level at most; of n samples and G genes also at most n / 5 and G / 3."""
N_SPLITS = 4
"""Ways of halving the genes."""
N_FLIPPED = 2
"""Copies with random signs that a factor must exceed."""
LEAST_UNIQUE = 0.05
"""Share of a gene's variance that is its own, at least: else a gene like its factor decides it alone."""
N_COMMUNALITY = 20
TOLERANCE = 0.003
"""Change of a communality that ends their iteration."""
N_ROTATIONS = 100
N_COLUMNS = 3
"""Columns of a basis of a gene's line: the line and two bends, which find what is smooth with less noise."""
CLEARLY = 1.15
"""Times that a factor must be as strong as the strongest of the copies: the residual of a fit has had its
own noise fitted too, and comes out a little stronger or weaker than they are."""
MAX_FACTORS_OF_GENE = 6
LEAST_LOADING = 0.05
SCORE_RIDGE = 0.01
"""Added to the information on a factor, which a well measured one has 10 to 100 of."""
INSTRUMENT_RIDGE = 0.003
"""Added to the covariance of the two halves' factors, in which a well measured one has variance 1."""
SHRINKAGE = 2.5
"""Times its variance that is taken off the square of a bend: 1 makes it best on average, more leaves genes
that do not bend beyond noise as they are, so that the floor is not made of noise."""
BLOCK = 200_000
"""Numbers in an array of factors of several genes: what a processor's cache holds."""
BIN = 25
"""Samples among which the noises of an affine copy are shuffled, so that their spread still grows."""


@dataclass(frozen=True, eq=False)
class FactorCurves:
    """What the factors of one level say of every gene, each of shape ``(n, n_genes)``, in the unit given."""

    lines: np.ndarray
    """By a line, less its mean: of the genes of the same half, the gene itself left out."""
    bends: np.ndarray
    """Beyond the line: what to take off a gene to make it affine in its causes."""
    n_factors: int
    """Factors that genes share in this level; with none there is no line and no bend."""


def find_factors(standard: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Find the factors that genes share: as many as exceed what is left with random signs.

    Parameters
    ----------
    standard
        Values of mean 0 and variance 1, shape ``(n, n_genes)``.
    generator
        Of the signs.

    Returns
    -------
    Loadings of the genes on factors of variance 1, turned to be as sparse as they can be, shape
    ``(n_genes, n_factors)``.

    Notes
    -----
    Principal factors with iterated communalities. One more factor as long as what the ones before it leave,
    each gene in units of its own noise, has a stronger direction than the same with random signs: parallel
    analysis (Horn 1965, Psychometrika 30:179) by signs (Hong, Sheng & Dobriban 2020, arXiv:2012.02985), as
    shuffling would even out noise that is larger in some samples than in others and call that a factor.
    Rotation by varimax (Kaiser 1958, Psychometrika 23:187).

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> z, _ = standardise(draw.normal(size=(300, 1)) + draw.normal(size=(300, 12)))
    >>> find_factors(z, draw).shape
    (12, 1)
    """
    n, n_genes = standard.shape
    correlation = standard.T @ standard / n
    unique = np.ones(n_genes)
    loadings = np.zeros((n_genes, 0))
    for n_factors in range(1, min(MAX_FACTORS, n // 5, n_genes // 3) + 1):
        directions = np.linalg.qr(loadings / np.sqrt(unique)[:, None])[0]
        rest = standard / np.sqrt(unique)
        rest = rest - (rest @ directions) @ directions.T
        signs = generator.integers(0, 2, size=(N_FLIPPED, n, n_genes), dtype=np.int8) * 2 - 1
        if _strength(rest) <= CLEARLY * max(_strength(rest * sign) for sign in signs):
            break
        loadings, unique = _principal_factors(correlation, unique, n_factors)
    return _varimax(loadings)


def _strength(values: np.ndarray) -> float:
    """Squared length along the strongest direction of the genes."""
    last = values.shape[1] - 1
    return float(eigh(values.T @ values, eigvals_only=True, subset_by_index=(last, last))[0])


def _principal_factors(
    correlation: np.ndarray, unique: np.ndarray, n_factors: int
) -> tuple[np.ndarray, np.ndarray]:
    """Loadings and the share of each gene that is its own, from those with one factor less."""
    last = len(correlation) - 1
    reduced = correlation.copy()
    for _ in range(N_COMMUNALITY):
        np.fill_diagonal(reduced, 1 - unique)
        powers, directions = eigh(reduced, subset_by_index=(last - n_factors + 1, last))
        loadings = directions * np.sqrt(np.maximum(powers, 1e-9))
        before, unique = unique, np.clip(1 - (loadings**2).sum(axis=1), LEAST_UNIQUE, 1.0)
        if np.abs(unique - before).max() < TOLERANCE:
            break
    return loadings, unique


def _varimax(loadings: np.ndarray) -> np.ndarray:
    n_factors = loadings.shape[1]
    rows = loadings / np.sqrt((loadings**2).sum(axis=1, keepdims=True) + 1e-12)
    rotation, before = np.eye(n_factors), 0.0
    for _ in range(N_ROTATIONS if n_factors > 1 else 0):
        turned = rows @ rotation
        left, singular, right = np.linalg.svd(rows.T @ (turned**3 - turned * (turned**2).mean(axis=0)))
        rotation = left @ right
        if singular.sum() < before * (1 + 1e-7):
            break
        before = singular.sum()
    return np.asarray(loadings @ rotation)


def factor_curves(
    values: np.ndarray, generator: np.random.Generator, *, n_splits: int = N_SPLITS
) -> FactorCurves:
    """Measure how every gene of a level bends in the factors that its genes share.

    Parameters
    ----------
    values
        Shape ``(n, n_genes)``, finite, covariates projected out. Genes with fewer than three values
        have no bend, and constant ones no line.
    generator
        Draws the halves of the genes and the signs of :func:`find_factors`.
    n_splits
        Ways of halving the genes, whose curves are averaged.

    Notes
    -----
    Per gene x with factors F_P of its own half (x left out) and F_Q of the other: slopes a by instruments,
    F_P'F_Q a = F_P'x; u = x - F_Q a; bends q_j of x's line in F_P, made orthogonal to 1 and F_P;
    c = sum_j q_j q_j'u, shrunk by 1 - 2.5 V / |c|^2 where V is the variance of c (after James & Stein 1961),
    so that what is noise is left in place.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> factor = draw.normal(size=(500, 1))
    >>> values = factor + draw.normal(scale=0.5, size=(500, 12))
    >>> values[:, :1] += factor**2                            # the first gene alone is bent
    >>> bends = factor_curves(values, draw).bends
    >>> (bends.std(axis=0) > 0.3).nonzero()[0]
    array([0])
    """
    n_genes = values.shape[1]
    standard, varies = standardise(values)
    several = np.array([len(np.unique(column[:1000])) > 2 for column in values.T], dtype=bool)
    used = np.flatnonzero(varies)
    lines, bends = np.zeros((2, len(values), n_genes))
    z = standard[:, used]
    loadings = find_factors(z, generator)
    if loadings.shape[1] == 0:
        return FactorCurves(lines, bends, 0)
    scale = values[:, used].std(axis=0) / n_splits
    for _ in range(n_splits):
        half = np.zeros(len(used), dtype=np.int64)
        half[generator.permutation(len(used))[: len(used) // 2]] = 1
        z_lines, z_bends = _curves_of_halves(_HalfScores(z, loadings, half))
        lines[:, used] += z_lines * scale
        bends[:, used] += z_bends * scale
    return FactorCurves(lines, bends * several, loadings.shape[1])


def _curves_of_halves(scores: _HalfScores) -> tuple[np.ndarray, np.ndarray]:
    """Lines and bends, shape ``(n, n_genes)`` each, of some genes at a time."""
    n, n_genes = scores.z.shape
    together = max(1, BLOCK // (n * scores.factors.shape[1]))
    blocks = [np.arange(low, min(low + together, n_genes)) for low in range(0, n_genes, together)]
    lines, bends = zip(*(_curves_of_block(scores, genes) for genes in blocks), strict=True)
    return np.concatenate(lines).T, np.concatenate(bends).T


class _HalfScores:
    """Estimates of the factors from either half of the genes (Bartlett 1937: unbiased given the factors)."""

    def __init__(self, z: np.ndarray, loadings: np.ndarray, half: np.ndarray) -> None:
        self.z, self.loadings, self.half = z, loadings, half
        unique = np.maximum(1 - (loadings**2).sum(axis=1), LEAST_UNIQUE)
        self.weights = loadings / unique[:, None]
        ridge = SCORE_RIDGE * np.eye(loadings.shape[1])
        self.information = np.stack([self.weights[half == s].T @ loadings[half == s] + ridge for s in (0, 1)])
        self.sums = [self.weights[half == s].T @ z[:, half == s].T for s in (0, 1)]
        self.whole = np.stack(
            [np.linalg.inv(a).T @ b for a, b in zip(self.information, self.sums, strict=True)]
        )
        strength = np.abs(loadings)
        strongest = np.argsort(-strength, axis=1)[:, :MAX_FACTORS_OF_GENE]
        loaded = np.take_along_axis(strength, strongest, axis=1) > LEAST_LOADING
        n_factors = max(1, int(loaded.sum(axis=1).max()))
        self.factors, self.loaded = strongest[:, :n_factors], loaded[:, :n_factors]
        """Factors of each gene, and which of them are meant, shape ``(n_genes, n_factors of a gene)``."""

    def without(self, genes: np.ndarray) -> np.ndarray:
        """The factors of genes by the other genes of their half, ``(len(genes), n_factors of a gene, n)``."""
        side, weights = self.half[genes], self.weights[genes]
        own = self.loadings[genes, :, None] * weights[:, None, :]
        inverse = np.linalg.inv(self.information[side] - own).transpose(0, 2, 1)
        inverse = np.take_along_axis(inverse, self.factors[genes][:, :, None], axis=1)
        found = np.empty((*inverse.shape[:2], len(self.z)))
        for s in (0, 1):
            mine = side == s
            found[mine] = inverse[mine] @ self.sums[s]
        found -= np.matmul(inverse, weights[:, :, None]) * self.z.T[genes][:, None]
        return found * self.loaded[genes][:, :, None]

    def other(self, genes: np.ndarray) -> np.ndarray:
        """The same factors by the genes of the other half."""
        found = self.whole[1 - self.half[genes][:, None], self.factors[genes]]
        return np.asarray(found * self.loaded[genes][:, :, None])


def _curves_of_block(scores: _HalfScores, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Line of each gene in the factors of its half, by least squares, and its bend in that line.

    Both of shape ``(len(genes), n)``. Factors that a gene does not load on are zero throughout.
    """
    own, y = scores.without(genes), scores.z.T[genes]
    n = y.shape[1]
    line = np.matmul(_slopes(own, own, y, 1e-6 * n)[:, None], own)[:, 0]
    other = scores.other(genes)
    rest = y - np.matmul(_slopes(own, other, y, INSTRUMENT_RIDGE * n)[:, None], other)[:, 0]
    straight = np.linalg.qr((own - own.mean(axis=2, keepdims=True)).transpose(0, 2, 1))[0].transpose(0, 2, 1)
    straight = straight * scores.loaded[genes][:, :, None]
    basis = spline_bases(line.T, N_COLUMNS)[0][:, 1:]
    basis = orthonormalise(basis - basis @ straight.transpose(0, 2, 1) @ straight)[0]
    coefficients = np.matmul(basis, rest[:, :, None])[:, :, 0]
    bend = np.matmul(coefficients[:, None], basis)[:, 0]
    explained = (coefficients**2).sum(axis=1)
    noise = (basis**2 @ ((rest - bend) ** 2)[:, :, None]).sum(axis=(1, 2))
    kept = np.maximum(0.0, 1 - SHRINKAGE * noise / np.where(explained > 0, explained, 1.0))
    return line, bend * np.where(explained > 0, kept, 0.0)[:, None]


def _slopes(instruments: np.ndarray, factors: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Slopes of y in its factors, ``(n_genes, n_factors)``; least squares where they are the instruments."""
    cross = instruments @ factors.transpose(0, 2, 1) + ridge * np.eye(factors.shape[1])
    return np.asarray(np.linalg.solve(cross, instruments @ y[:, :, None])[:, :, 0])


def affine_copy(straight: np.ndarray, lines: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw data with affine equations anew: the lines, and each gene's own noise shuffled.

    Parameters
    ----------
    straight
        Values without their bends, shape ``(n, n_genes)``.
    lines
        What the factors say of them, likewise; see :class:`FactorCurves`.

    Returns
    -------
    Shape ``(n, n_genes)``. Noises are shuffled among samples of similar lines, each gene's by itself, and
    have mean 0 there.
    """
    n = len(straight)
    copy = lines + straight.mean(axis=0)
    noise = straight - copy
    order = np.argsort(lines, axis=0, kind="stable")
    for places in np.array_split(order, max(2, n // BIN)):
        drawn = np.take_along_axis(noise, generator.permuted(places, axis=0), axis=0)
        found = np.take_along_axis(copy, places, axis=0) + drawn - drawn.mean(axis=0)
        np.put_along_axis(copy, places, found, axis=0)
    return copy
