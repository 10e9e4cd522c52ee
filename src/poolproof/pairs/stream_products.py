"""Products of regulators with targets, summed over blocks of cells (see ``stream_kernels``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .design import Level
from .stream_kernels import (
    LINE,
    MIXED,
    WITH_Y,
    WITH_Y2,
    Cells,
    gene_runs,
    moments_of,
    second_columns,
)
from .stream_sums import CellStream, Fractions, GeneSums, Piece


class LevelProducts(NamedTuple):
    """Sums over the cells of a level with both genes of a pair, shape ``(R, m, c)``: columns come last."""

    with_y: np.ndarray
    with_y2: np.ndarray
    with_y3: np.ndarray
    by_cluster: dict[int, np.ndarray]


def rows_of(products: list[LevelProducts], rows: slice) -> list[LevelProducts]:
    """The products of some of the regulators."""
    return [
        LevelProducts(
            of.with_y[rows],
            of.with_y2[rows],
            of.with_y3[rows],
            {c: sums[rows] for c, sums in of.by_cluster.items()},
        )
        for of in products
    ]


def multiply(
    stream: CellStream,
    sums: GeneSums,
    fractions: Fractions,
    levels: tuple[Level, ...],
    genes: np.ndarray,
) -> list[LevelProducts]:
    """One pass over all cells: products of some regulators with all targets, of every level."""
    m = stream.blocks.n_genes
    result = []
    for level in levels:
        present = [] if level.clusters is None else np.unique(level.clusters).tolist()
        result.append(
            LevelProducts(
                np.zeros((len(genes), m, WITH_Y.stop)),
                np.zeros((len(genes), m, WITH_Y2.stop - WITH_Y2.start)),
                np.zeros((len(genes), m, 1)),
                {code: np.zeros((len(genes), m, 3)) for code in present},
            )
        )
    for block in range(len(stream.blocks)):
        for piece in stream.pieces(block):
            s = piece.stratum
            to, cluster = result[int(stream.level_of[s])], int(stream.cluster_of[s])
            mean = fractions.moments[s][0]
            cells = Cells.of(piece.counts, piece.total, stream.known, fractions.unit, mean)
            for i, rows, columns in _columns(piece, genes, sums, stream.known):
                first, second, third = cells.products(
                    rows, [columns[:, WITH_Y], columns[:, WITH_Y2], columns[:, :1]]
                )
                first[:, MIXED] *= mean[:, None]
                to.with_y[i] += first
                to.with_y2[i] += second
                to.with_y3[i] += third
                if cluster in to.by_cluster:
                    to.by_cluster[cluster][i] += first[:, LINE]
    return result


def _columns(
    piece: Piece, genes: np.ndarray, sums: GeneSums, known: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For every regulator: its place, the cells with a count, its columns there less those without one."""
    counts = piece.counts[:, genes].tocsc()
    of, empty = sums.constants[piece.stratum].take(genes), sums.empty[piece.stratum][: WITH_Y2.stop, genes]
    for low, high in gene_runs(counts.indptr):
        entries = slice(int(counts.indptr[low]), int(counts.indptr[high]))
        place = np.repeat(np.arange(low, high), np.diff(counts.indptr[low : high + 1]))
        cells = counts.indices[entries]
        at = moments_of(counts.data[entries], piece.total[cells], known)
        columns = np.ascontiguousarray(second_columns(at, of.take(place), products_only=True).T)
        for i in range(low, high):
            mine = slice(int(counts.indptr[i]) - entries.start, int(counts.indptr[i + 1]) - entries.start)
            if mine.stop > mine.start:
                yield i, cells[mine], columns[mine] - empty[:, i]
