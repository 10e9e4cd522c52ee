"""Passes over the cells of a file for the corrected test: sums over blocks of cells, in their order.

Pass one takes the moments of every gene, pass two those of its columns; the products are in
:mod:`~poolproof.pairs.stream_engine`. Nothing is kept that grows with the cells but their totals and strata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ..data.blocks import Blocks
from .bursts import UPPER as UPPER_SHARE
from .count_kernels import CountDepth, factorial_moment
from .design import Design
from .stream_kernels import (
    CROSS,
    CUBES,
    FOURTHS,
    HIGH,
    MOMENTS,
    N_FIRST,
    N_SECOND,
    PRODUCTS,
    SEEN,
    GeneConstants,
    first_sums,
    line_column,
    no_counts,
    second_columns,
    second_sums,
)
from .workers import Runner


class Piece(NamedTuple):
    """Cells of one stratum in one block."""

    stratum: int
    """Counted over all levels."""
    rows: np.ndarray
    """Their numbers in the file, rising."""
    counts: sp.csr_matrix
    total: np.ndarray


@dataclass(frozen=True, eq=False)
class CellStream:
    """Cells of a file by block, level and stratum."""

    blocks: Blocks
    total: np.ndarray
    """Total or known size factor of every cell, shape ``(n_cells,)``."""
    known: bool
    stratum: np.ndarray
    """Stratum of every cell, counted over all levels; -1: not used."""
    sizes: np.ndarray
    """Cells of each stratum."""
    level_of: np.ndarray
    """Level of each stratum."""
    cluster_of: np.ndarray
    """Replicate of each stratum; -1 without replicates."""

    @staticmethod
    def of(blocks: Blocks, total: np.ndarray, known: bool, design: Design) -> CellStream:
        """Number the strata of all levels."""
        stratum = np.full(blocks.n_cells, -1, dtype=np.int32)
        sizes: list[np.ndarray] = []
        level_of, cluster_of = [], []
        for i, level in enumerate(design.levels):
            stratum[level.rows] = level.strata + sum(len(of) for of in sizes)
            of_level = np.bincount(level.strata)
            sizes.append(of_level)
            level_of.append(np.full(len(of_level), i))
            clusters = np.full(len(of_level), -1)
            if level.clusters is not None:
                clusters[level.strata] = level.clusters
            cluster_of.append(clusters)
        return CellStream(
            blocks, total, known, stratum, *(np.concatenate(of) for of in (sizes, level_of, cluster_of))
        )

    def strata(self, level: int) -> np.ndarray:
        """Strata of a level."""
        return np.flatnonzero(self.level_of == level)

    def pieces(self, block: int) -> Iterator[Piece]:
        """The cells of a block, stratum by stratum, each in the order of the file."""
        rows = self.blocks.rows(block)
        codes, total = self.stratum[rows], self.total[rows]
        if not (codes >= 0).any():
            return
        counts = self.blocks.read(block)
        if len(self.sizes) == 1 and (codes == 0).all():
            yield Piece(0, np.arange(rows.start, rows.stop), counts, total)
            return
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        for stratum in np.unique(codes[codes >= 0]).tolist():
            mine = order[codes == stratum]
            yield Piece(stratum, mine + rows.start, counts[mine], total[mine])


@dataclass(frozen=True, eq=False)
class _First:
    stream: CellStream

    def __call__(self, block: int) -> dict[int, np.ndarray]:
        known = self.stream.known
        return {p.stratum: first_sums(p.counts, p.total, known) for p in self.stream.pieces(block)}


@dataclass(frozen=True, eq=False)
class _Second:
    stream: CellStream
    constants: list[GeneConstants]
    empty: list[np.ndarray]

    def __call__(self, block: int) -> dict[int, np.ndarray]:
        known = self.stream.known
        return {
            p.stratum: second_sums(
                p.counts.tocsc(), p.total, known, self.constants[p.stratum], self.empty[p.stratum]
            )
            for p in self.stream.pieces(block)
        }


def summed(
    stream: CellStream, work: Callable[[int], dict[int, np.ndarray]], n_sums: int, run: Runner
) -> np.ndarray:
    """Sums of every stratum, shape ``(n_strata, n_sums, n_genes)``; blocks are added in their order."""
    result = np.zeros((len(stream.sizes), n_sums, stream.blocks.n_genes))
    n_blocks = len(stream.blocks)
    at_once = 4 * run.n_workers
    for low in range(0, n_blocks, at_once):
        for part in run(work, range(low, min(low + at_once, n_blocks))):
            for stratum, sums in part.items():
                result[stratum] += sums
    return result


@dataclass(frozen=True, eq=False)
class GeneSums:
    """Everything about genes alone, of every stratum and level."""

    first: np.ndarray
    """Sums of the first pass, shape ``(n_strata, N_FIRST, n_genes)``."""
    unit: np.ndarray
    """Mean of x / T in every level, 1 where that is 0, shape ``(n_levels, n_genes)``."""
    constants: list[GeneConstants]
    """Of every stratum."""
    empty: list[np.ndarray]
    """Columns without a count, shape ``(N_SECOND, n_genes)``, of every stratum."""
    n_upper: np.ndarray
    """Cells in the upper bin, shape ``(n_levels, n_genes)``."""
    second: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """Sums of the second pass over all cells of every stratum with a count, less ``empty`` for each."""


def gene_sums(stream: CellStream, overdispersion: float, run: Runner) -> GeneSums:
    """Both passes."""
    first = summed(stream, _First(stream), N_FIRST, run)
    constants, unit, n_upper = _constants(stream, first, overdispersion)
    nothing = no_counts(stream.blocks.n_genes)
    empty = [second_columns(nothing, of) for of in constants]
    second = summed(stream, _Second(stream, constants, empty), N_SECOND, run)
    return GeneSums(first, unit, constants, empty, n_upper, second)


def _constants(
    stream: CellStream, first: np.ndarray, overdispersion: float
) -> tuple[list[GeneConstants], np.ndarray, np.ndarray]:
    """Constants of every stratum from the sums of the first pass; units and upper bins of every level."""
    n_levels = int(stream.level_of.max()) + 1
    n_genes = first.shape[2]
    spread = np.array([np.prod([1 + i * overdispersion for i in range(j)]) for j in range(1, 7)])
    constants: list[GeneConstants] = [None] * len(stream.sizes)  # type: ignore[list-item]
    units, upper = np.ones((n_levels, n_genes)), np.zeros((n_levels, n_genes), dtype=np.int64)
    for level in range(n_levels):
        strata = stream.strata(level)
        sizes = stream.sizes[strata].astype(np.float64)
        n = int(sizes.sum())
        unit = first[strata, MOMENTS.start].sum(axis=0) / n
        unit = np.where(unit > 0, unit, 1.0)
        scale = unit ** np.arange(1, 7)[:, None] * spread[:, None]
        e = first[strata, MOMENTS] / scale
        mean = e[:, :3] / sizes[:, None, None]
        less_one = np.maximum(sizes - 1.0, 1.0)
        kappa = sizes / less_one

        def of_level(j: int, m: int, strata=strata, scale=scale, e=e, mean=mean, sizes=sizes, n=n):  # type: ignore[no-untyped-def]
            """Mean over the cells of the level of the moment (j, m)."""
            product = first[strata, PRODUCTS.start + CROSS[j, m]] / (scale[j - 1] * scale[m - 1])
            means = mean[:, j - 1] * mean[:, m - 1] * sizes[:, None]
            value = e[:, j + m - 1] - mean[:, j - 1] * e[:, m - 1] - mean[:, m - 1] * e[:, j - 1] + means
            value = value + (product - means) / np.maximum(sizes - 1.0, 1.0)[:, None]
            return value.sum(axis=0) / n

        v1 = of_level(1, 1)
        variance = np.where(v1 > 0, v1, np.inf)
        slope = np.stack([of_level(1, 2), of_level(1, 3)]) / variance
        edge, edge_in, upper[level] = _edges(stream, level, first, scale, mean, kappa)
        units[level] = unit
        for place, stratum in enumerate(strata):
            constants[stratum] = GeneConstants(
                n,
                float(kappa[place]),
                float(less_one[place]),
                scale,
                mean[place],
                slope,
                variance,
                edge,
                edge_in,
                np.full(n_genes, 1 + overdispersion),
            )
    return constants, units, upper


GATHERED = 2**24
"""Values of genes that are held at a time to find the edges of their upper bins."""


def _edges(
    stream: CellStream, level: int, first: np.ndarray, scale: np.ndarray, mean: np.ndarray, kappa: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edge of the upper bin of F_1, whether it belongs to it, and the cells in it; see ``bursts``."""
    strata = stream.strata(level)
    sizes = stream.sizes[strata]
    n = int(sizes.sum())
    seen = first[strata, SEEN].astype(np.int64)
    nothing = -kappa[:, None] * mean[:, 0]  # F_1 of cells without a count
    place = UPPER_SHARE * (n - 1)
    ranks = int(place), min(int(place) + 1, n - 1)
    n_seen = seen.sum(axis=0)
    edge = nothing[0].copy()
    edge_in = n_seen < n / 20
    n_upper = np.where(edge_in, n, n_seen)
    if len(strata) == 1:
        rest = np.flatnonzero(n - n_seen <= ranks[1])
    else:
        rest = np.flatnonzero(first[strata, HIGH].sum(axis=0) > 0)
    for genes in genes_by_values(rest, n_seen):
        for gene, values in zip(genes, _line_values(stream, level, genes, scale, mean, kappa), strict=True):
            empty = nothing[:, gene], sizes - seen[:, gene]
            below, above = _ranked(values, *empty, ranks)
            at = below + (place - ranks[0]) * (above - below)
            large = int((values > at).sum() + empty[1][empty[0] > at].sum())
            edge[gene], edge_in[gene] = at, large < n / 20
            if large < n / 20:
                large = int((values >= at).sum() + empty[1][empty[0] >= at].sum())
            n_upper[gene] = large
    return edge, edge_in, n_upper


def genes_by_values(genes: np.ndarray, n_values: np.ndarray) -> Iterator[np.ndarray]:
    """Runs of genes with at most `GATHERED` values together."""
    run = np.cumsum(n_values[genes]) // GATHERED
    for part in np.unique(run):
        yield genes[run == part]


def _line_values(
    stream: CellStream,
    level: int,
    genes: np.ndarray,
    scale: np.ndarray,
    mean: np.ndarray,
    kappa: np.ndarray,
) -> list[np.ndarray]:
    """F_1 of every cell of a level with a count, gene by gene."""
    strata = stream.strata(level)
    parts: list[list[np.ndarray]] = [[] for _ in genes]
    for block in range(len(stream.blocks)):
        for piece in stream.pieces(block):
            if stream.level_of[piece.stratum] != level:
                continue
            at = int(np.searchsorted(strata, piece.stratum))
            depth = CountDepth(piece.total, stream.known).falling(1, less=1)
            found = piece.counts[:, genes].tocsc()
            for i in range(len(genes)):
                mine = slice(found.indptr[i], found.indptr[i + 1])
                f1 = factorial_moment(found.data[mine], 1) / depth[found.indices[mine]]
                of = _LineConstants(float(kappa[at]), mean[at, :, genes[i]])
                parts[i].append(line_column(f1 / scale[0, genes[i]], of))
    return [np.concatenate(part) if part else np.zeros(0) for part in parts]


class _LineConstants(NamedTuple):
    kappa: float
    mean: np.ndarray


def _ranked(
    values: np.ndarray, heaps: np.ndarray, sizes: np.ndarray, ranks: tuple[int, int]
) -> tuple[float, float]:
    """Values at two ranks, from 0, among values and heaps of equal ones.

    Examples
    --------
    >>> _ranked(np.array([3.0, 1.0]), np.array([0.0, 2.0]), np.array([2, 3]), (2, 6))
    (1.0, 3.0)
    """
    every = np.concatenate([heaps[sizes > 0], values])
    weights = np.concatenate([sizes[sizes > 0], np.ones(len(values), dtype=np.int64)])
    order = np.argsort(every, kind="stable")
    ends = np.cumsum(weights[order])
    low, high = (float(every[order[np.searchsorted(ends, rank, side="right")]]) for rank in ranks)
    return low, high


@dataclass(frozen=True, eq=False)
class Fractions:
    """Genes as targets."""

    unit: np.ndarray
    """Standard deviation of every gene's fraction over all cells used, 1 where it is 0."""
    moments: list[np.ndarray]
    """Of every stratum, in that unit: the mean, and sums of central powers 2 to 4, shape ``(4, n_genes)``."""


def fractions_of(stream: CellStream, sums: GeneSums) -> Fractions:
    """Units and moments from the sums of the first pass."""
    n_cells = stream.sizes.sum()
    mean = sums.first[:, MOMENTS.start].sum(axis=0) / n_cells
    square = sums.first[:, PRODUCTS.start].sum(axis=0) / n_cells
    spread = np.sqrt(np.maximum(square - mean * mean, 0))
    unit = np.where(spread > 1e-9 * mean, spread, 1.0)
    moments = []
    for of, n in zip(sums.first, stream.sizes, strict=True):
        columns = enumerate((MOMENTS.start, PRODUCTS.start, CUBES, FOURTHS), start=1)
        power = [of[column] / unit**j for j, column in columns]
        mean = power[0] / n
        central = (
            power[1] - n * mean**2,
            power[2] - 3 * mean * power[1] + 2 * n * mean**3,
            power[3] - 4 * mean * power[2] + 6 * mean**2 * power[1] - 3 * n * mean**4,
        )
        moments.append(np.stack([mean, *central]))
    return Fractions(unit, moments)


def total_of(sums: GeneSums, stratum: int, columns: slice | int, n_cells: Any) -> np.ndarray:
    """Sums of columns over all cells of a stratum, those without a count included."""
    return np.asarray(sums.second[stratum, columns] + n_cells * sums.empty[stratum][columns])
