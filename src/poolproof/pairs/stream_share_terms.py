"""Genes of the bend share of counts (see ``population_counts``), cells read block by block.

Columns of x are made where a cell has a count of it, and once for the cells of a stratum that have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .count_kernels import MAX_LEVERAGE
from .kept_bends import UNIT, put_back, sandwich
from .population_counts import CLEAR_LINE, inverse_of
from .stream_genes import StreamedGenes
from .stream_kernels import (
    OWN_PAIRS,
    OWN_PLAIN,
    SEEN,
    GeneConstants,
    Moments,
    cell_terms,
    moments_of,
    no_counts,
)
from .stream_sums import CellStream, genes_by_values, total_of

H11 = 2
"""Place of V1's term among the own terms."""
WITH_Y, WITH_MEAN, WITH_SLOPE, WITH_Y2 = slice(0, 3), slice(3, 5), slice(5, 7), slice(7, 9)
"""F_1 .. F_3 (with y~); two columns each for the variance of the bend and of the line: with y~ ybar, with
y~ b, with y~^2."""
OF_MEAN2, OF_SLOPE_MEAN, OF_SLOPE2, OF_D = slice(9, 11), slice(11, 13), slice(13, 15), slice(15, 18)
"""Columns whose sums meet ybar^2, b ybar, b^2, and D_1 .. D_3 that meet ybar."""
N_COLUMNS = 18
N_PRODUCTS = WITH_Y2.stop


@dataclass(frozen=True, eq=False)
class LevelGenes:
    """Genes in one level."""

    level: int
    n: int
    strata: np.ndarray
    """Strata of the level, counted over all levels."""
    mean: dict[int, np.ndarray]
    """Mean fraction in every stratum, in units in which squares sum to 1 over all levels, shape ``(m,)``."""
    square: dict[int, np.ndarray]
    """Sums of squares around it, shape ``(m,)``."""
    usable_x: np.ndarray
    """Whether the bend of a regulator can be sized, shape ``(m,)``."""
    usable_y: np.ndarray
    """Seen in enough cells, shape ``(m,)``."""
    variance: np.ndarray
    """V1, 1 where not usable, shape ``(m,)``."""
    inverse: np.ndarray
    """nu_22, nu_23, nu_33, shape ``(3, m)``."""
    kept: np.ndarray
    """W_22, W_23, W_33, shape ``(3, m)``."""


@dataclass(frozen=True, eq=False)
class ShareGenes:
    """What the bend share needs of every gene alone."""

    stream: CellStream
    constants: list[GeneConstants]
    """Of every stratum."""
    unit: np.ndarray
    """Of every gene's fraction: its deviations from the strata's means have norm 1; infinite where there
    are none."""
    levels: list[LevelGenes]
    clustered: bool

    @staticmethod
    def of(engine: StreamedGenes, regulators: np.ndarray) -> ShareGenes:
        """From the sums of the test; one more look at the cells for each run of regulators."""
        moments = engine.fractions.moments
        norm = np.sqrt(sum(of[1] for of in moments))
        scale = np.where(norm > 0, 1 / np.where(norm > 0, norm, 1.0), 0.0)
        levels = [_level_genes(engine, i, scale, regulators) for i in range(len(engine.levels))]
        unit = np.where(norm > 0, engine.fractions.unit * norm, np.inf)
        return ShareGenes(engine.stream, engine.sums.constants, unit, levels, engine.has_replicates)

    def columns(
        self, at: Moments, stratum: int, level: LevelGenes, genes: np.ndarray, whole: bool
    ) -> np.ndarray:
        """Columns of entries of these genes, ``(N_COLUMNS, k)``, or F alone."""
        big_f, big_d, own = cell_terms(at, self.constants[stratum].take(genes))
        if not whole:
            return big_f
        weight = weight_of(own, level.n, level.variance[genes])
        form = weight * forms(big_f, big_d, own, level.kept[:, genes], level.variance[genes])
        ff, fd, f_own, dd, d_own, own_own = form
        return np.concatenate([big_f, 2 * fd, -2 * f_own, ff, dd, -2 * d_own, own_own, big_d])


KINDS = (("f", "f"), ("f", "d"), ("f", "o"), ("d", "d"), ("d", "o"), ("o", "o"))
"""Products of F, D and own terms."""


def weight_of(own: np.ndarray, n: int, variance: np.ndarray) -> np.ndarray:
    """1 / (1 - h) of entries, shape ``(k,)``."""
    leverage = 1 / n + np.maximum(own[H11], 0) / (n * variance)
    return np.asarray(1 / (1 - np.minimum(leverage, MAX_LEVERAGE)))


def forms(
    f: np.ndarray, d: np.ndarray, own: np.ndarray, kept: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """A'W B of the bends and A B / V1 of the line, for FF, FD, F own, DD, D own, own own; ``(6, 2, k)``."""
    parts = {"f": (f, f[1:]), "d": (d, d[1:]), "o": (own[H11:], own[:2])}
    result = np.empty((6, 2, f.shape[1]))
    for place, (a, b) in enumerate(KINDS):
        (line, left), (other, right) = parts[a], parts[b]
        mixed = left[0] * right[1] + left[1] * right[0]
        result[place, 0] = kept[0] * left[0] * right[0] + kept[1] * mixed + kept[2] * left[1] * right[1]
        result[place, 1] = line[0] * other[0] / variance
    return result


def _level_genes(engine: StreamedGenes, level: int, scale: np.ndarray, regulators: np.ndarray) -> LevelGenes:
    every = np.arange(engine.n_genes)
    n = len(engine.levels[level].rows)
    strata = engine.stream.strata(level)
    features = engine.level_features(level, every)
    v1 = features.own_mean[H11]
    square = sum(
        total_of(engine.sums, s, OWN_PLAIN.start + OWN_PAIRS.index((H11, H11)), engine.stream.sizes[s])
        for s in strata
    )
    spread = np.sqrt(np.maximum(np.asarray(square) / n - v1**2, 0))
    usable = (v1 > CLEAR_LINE * spread / np.sqrt(n)) & (features.degree >= 2)
    moments = engine.fractions.moments
    found = LevelGenes(
        level,
        n,
        strata,
        {int(s): moments[s][0] * scale for s in strata},
        {int(s): moments[s][1] * scale**2 for s in strata},
        usable,
        engine.level_targets(level).testable,
        np.where(usable, v1, 1.0),
        inverse_of(features.own_mean, features.degree, usable),
        np.zeros((3, engine.n_genes)),
    )
    wanted = np.intersect1d(np.flatnonzero(usable), regulators)
    n_seen = engine.sums.first[strata, SEEN].sum(axis=0)
    for genes in genes_by_values(wanted, n_seen):
        for gene, (cells, counts) in zip(genes, gathered(engine.stream, level, genes), strict=True):
            size, degree = features.own_mean[3:, gene], int(features.degree[gene])
            found.kept[:, gene] = _kept(engine, found, int(gene), (cells, counts), size, degree)
    return found


def gathered(stream: CellStream, level: int, genes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cells of a level with a count of each gene, and their counts, in the order of the file."""
    parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in genes]
    for block in range(len(stream.blocks)):
        for piece in stream.pieces(block):
            if stream.level_of[piece.stratum] != level:
                continue
            found = piece.counts[:, genes].tocsc()
            for i in range(len(genes)):
                mine = slice(found.indptr[i], found.indptr[i + 1])
                parts[i].append((piece.rows[found.indices[mine]], found.data[mine]))
    for part in parts:
        cells, counts = (np.concatenate(of) for of in zip(*part, strict=True))
        yield cells, counts


def _kept(
    engine: StreamedGenes,
    level: LevelGenes,
    gene: int,
    entries: tuple[np.ndarray, np.ndarray],
    size: np.ndarray,
    degree: int,
) -> np.ndarray:
    """W of one regulator in one level, shape ``(3,)``; as :func:`~poolproof.pairs.kept_bends.bends_kept`.

    Cells of a stratum without a count are one point with their number as its weight.
    """
    stream, (cells, counts) = engine.stream, entries
    strata = level.strata
    at = np.searchsorted(strata, stream.stratum[cells])
    sizes = stream.sizes[strata].astype(np.float64)
    many = np.concatenate([np.ones(len(cells)), sizes - np.bincount(at, minlength=len(strata))])
    total = stream.total[cells]
    fraction = np.concatenate([counts / total, np.zeros(len(strata))])
    place = np.concatenate([at, np.arange(len(strata))])
    moments, own = moments_of(counts, total, stream.known), np.empty((6, len(place)))
    for i, s in enumerate(strata):
        of = engine.sums.constants[s].take(np.array([gene]))
        mine = np.flatnonzero(at == i)
        own[:, mine] = cell_terms(Moments(*(part[:, mine] for part in moments)), of)[2]
        own[:, len(at) + i] = cell_terms(no_counts(1), of)[2][:, 0]
    on = np.array([degree >= 2, degree >= 3], dtype=np.float64)[:, None]
    q = _polynomials(fraction, many, place, sizes) * on
    s = np.stack([q[0] * q[0], q[0] * q[1], q[1] * q[1]])
    share = np.full(s.shape[1], 1 / level.n)
    weight = many * weight_of(own, level.n, level.variance[[gene]])
    if stream.cluster_of[strata[0]] >= 0:
        codes, n_clusters = stream.cluster_of[strata], engine.levels[level.level].n_clusters
        s = np.stack([np.bincount(codes[place], many * of, minlength=n_clusters) for of in s])
        share = np.bincount(codes, sizes, minlength=n_clusters) / level.n
        weight = 1 / (1 - np.minimum(share, 0.95))
    lost = (sandwich(s - UNIT[:, None] * share) * weight).sum(axis=2)
    return put_back(lost[None], size[:, None], on)[:, 0]


def _polynomials(fraction: np.ndarray, many: np.ndarray, place: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Degrees 2 and 3 of points of ``many`` cells each, orthonormal to what is below, shape ``(2, k)``."""
    basis: list[np.ndarray] = []
    for _ in range(3):
        column = fraction if not basis else basis[0] * basis[-1]
        for _ in range(2):  # one pass loses orthogonality
            column = column - (np.bincount(place, many * column, minlength=len(sizes)) / sizes)[place]
            for before in basis:
                column = column - (many * before * column).sum() * before
        length = np.sqrt((many * column * column).sum())
        basis.append(column / length if length > 0 else np.zeros_like(column))
    return np.stack(basis[1:])
