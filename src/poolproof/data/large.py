"""Cells that do not fit into memory: all of them as blocks, and a draw for what needs whole columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.abc import CSCDataset

from .._checks import InputError, check_column, printable
from .._random import stream
from .backed import Place, open_backed, stays_on_disk
from .blocks import DISK, Blocks, stored_values
from .copies import LEAST_ENTRIES, LEAST_VALUES
from .depth import find_depth
from .expression import Expression, ValueOptions, describe
from .io import read_named
from .not_genes import leave_out
from .scale import is_sparse

SMALL = 20_000
"""Up to so many cells are always held in memory."""
DRAWN = 50_000
"""Cells that are drawn for what needs all values of a cell, or all cells of a gene, at once."""
LEAST_DRAWN = 2_000
MOST_STORED = 0.25
"""Share of all values beyond which amounts are not read by blocks: products are made of what is stored."""
BYTES_PER_VALUE = 24
"""Of a sparse matrix: by cells and by genes, 8 bytes for a value and 4 for its place."""
TARGETS, COLUMNS = 2_048, 8 * 33
"""Genes whose values engines hold densely at a time, and columns of regulators beside them."""
PLACE = "poolproof_place"
"""Entry of uns: the path of a file whose matrices were not read."""


@dataclass(frozen=True, eq=False)
class AllCells:
    """All cells of a file of which some were drawn."""

    blocks: Blocks
    """Their counts."""
    obs: pd.DataFrame
    """Their table."""
    whole: Expression
    """As the drawn ones are described, but for names, totals and size factors; its matrix is empty."""
    note: str
    """Says so, among the warnings."""
    note_of_counts: str
    """The same where counts are tested as counts, and the bend share is that of all cells too."""


def held_bytes(n_cells: int, n_genes: int, stored: int) -> float:
    """Bytes that an audit of so many cells in memory takes, about."""
    return BYTES_PER_VALUE * stored + 8.0 * n_cells * (min(n_genes, TARGETS) + COLUMNS)


def too_large(adata: Any, layer: str | None, memory: float, by_blocks: bool = False) -> bool:
    """Whether the values of an AnnData lie in a file and would not fit into memory, or are not to."""
    if not isinstance(adata, AnnData):
        return False
    matrix = _matrix(adata, layer)[0]
    if not isinstance(matrix, (*DISK, CSCDataset)):
        return False
    if by_blocks or matrix.shape[0] <= SMALL:
        return by_blocks
    n_cells, n_genes = matrix.shape
    return held_bytes(n_cells, n_genes, stored_values(matrix)) > memory


def read_values(
    options: ValueOptions,
    adata: AnnData | pd.DataFrame | Expression | str | PathLike[str],
    obs: pd.DataFrame | None,
    *,
    memory: float,
    seed: int,
    by_blocks: bool = False,
) -> tuple[Expression, pd.DataFrame]:
    """The values of an analysis and its table of samples; of too many cells on disk, those of a draw.

    ``by_blocks`` has cells on disk read by blocks however few they are.

    Such an expression has ``all_cells``. Other values are read as :meth:`ValueOptions.read` does.
    """
    if isinstance(adata, (str, PathLike)):
        with left_in_file(Path(adata), options.layer, memory, by_blocks) as held:
            if held is not None:
                return _drawn(options, held, memory, seed)
        adata = read_named(adata, "", ())[0]
    if isinstance(adata, AnnData) and too_large(adata, options.layer, memory, by_blocks):
        return _drawn(options, adata, memory, seed)
    return options.read(adata, obs)


@contextmanager
def left_in_file(
    path: Path, layer: str | None, memory: float, by_blocks: bool = False
) -> Iterator[AnnData | None]:
    """An AnnData whose values stay in their h5ad file or zarr folder; None where they fit into memory.

    Also None where the path is of another form, or cannot be read: readers say what is wrong.
    """
    if not stays_on_disk(path) or (not by_blocks and bytes_on_disk(path) < memory / 1000):
        yield None
        return
    with ExitStack() as files:
        try:
            adata, notes = files.enter_context(open_backed(path))
            large = too_large(adata, layer, memory, by_blocks)
        except InputError:
            large = False
        if not large:
            files.close()
            yield None
            return
        adata.uns |= {
            PLACE: str(path.absolute()),
            "poolproof_read": {
                "path": path.name,
                "format": "zarr" if path.is_dir() else "h5ad",
                "orientation": "genes-in-columns",
                "warnings": notes,
            },
        }
        yield adata


def _matrix(adata: AnnData, layer: str | None) -> tuple[Any, pd.DataFrame, str]:
    """The matrix of a layer, its table of genes and its place in a file."""
    if layer is None:
        return adata.X, adata.var, "X"
    if layer == "raw" and adata.raw is not None:
        return adata.raw.X, adata.raw.var, "raw/X"
    check_column(adata.layers, layer, where="the AnnData", option="--layer")
    return adata.layers[layer], adata.var, f"layers/{layer}"


def _drawn(
    options: ValueOptions, adata: AnnData, memory: float, seed: int
) -> tuple[Expression, pd.DataFrame]:
    layer = options.layer
    matrix, var, name = _matrix(adata, layer)
    keep, left_out = leave_out(var.index, var)
    path = adata.uns.get(PLACE)
    genes = None if keep.all() else np.flatnonzero(keep)
    blocks = Blocks(matrix if path is None else Place(str(path), name), genes, memory / 4)
    n_drawn = _n_drawn(blocks, matrix, memory)
    rows = np.sort(stream(seed, "cells drawn").choice(blocks.n_cells, n_drawn, replace=False))
    seen = _look(blocks, rows)
    uns = {key: value for key, value in adata.uns.items() if key != PLACE}
    if left_out:
        read = dict(uns.get("poolproof_read", {}))
        uns["poolproof_read"] = read | {"warnings": [*read.get("warnings", ()), *left_out]}
    if layer == "raw":
        uns.pop("source", None)
    layers = {} if layer in (None, "raw") else {layer: seen.drawn}
    some = AnnData(
        X=None if layers else seen.drawn, obs=adata.obs.iloc[rows], var=var[keep], layers=layers, uns=uns
    )
    asked = replace(options, layer=None if layer == "raw" else layer)
    expression = describe(some, **asdict(asked))
    settings = expression.settings | {"layer": layer}
    n = f"{blocks.n_cells:,} cells are more than --memory holds"
    if n_drawn == blocks.n_cells:
        n = f"{n_drawn:,} cells stay in their file"
    if not _readable(expression, blocks, seen, stored_values(matrix)):
        said = f"{n}: {n_drawn:,} were drawn; only counts and sparse amounts can be read block by block"
        warnings = (said, *expression.warnings)
        return replace(expression, settings=settings, warnings=warnings), some.obs
    if expression.scale == "log":
        blocks.undo(float(settings["log_base"]))
    rest = f"control, triples, curves and pictures are those of {n_drawn:,} cells drawn by the seed"
    blocked = f"{n}: they are read block by block, and every pair"
    said = f"{blocked} is tested on all of them; bend share, affine floor, {rest}"
    of_counts = f"{blocked} and the bend share are those of all of them; affine floor, {rest}"
    expression = replace(expression, settings=settings, warnings=(said, *expression.warnings))
    whole = _whole(expression, adata.obs, blocks, seen)
    return replace(expression, all_cells=AllCells(blocks, adata.obs, whole, said, of_counts)), some.obs


def _readable(expression: Expression, blocks: Blocks, seen: _Seen, n_stored: int) -> bool:
    """Whether all cells can be read as the drawn ones were: as counts, or as amounts of which few are stored.

    Raises
    ------
    InputError
        The drawn cells hold counts, and others do not.
    """
    if expression.scale_tested == "counts":
        if seen.no_counts is not None and _are_counts(seen.drawn.data):
            at = blocks.rows(seen.no_counts)
            raise InputError(
                f"expected counts in all cells, as in the {seen.drawn.shape[0]:,} looked at; found values "
                f"that are negative or not whole among cells {at.start:,} to {at.stop:,}; name a --layer "
                "that holds counts only"
            )
        return seen.no_counts is None
    undone = expression.scale == "additive" or expression.settings["log_offset"] == 1.0
    values = expression.matrix.data if is_sparse(expression.matrix) else np.array([np.nan])
    return bool(
        expression.scale_tested == "additive"
        and undone
        and expression.size_factors is None
        and n_stored <= MOST_STORED * blocks.n_cells * blocks.n_genes
        and np.isfinite(values).all()
    )


def _are_counts(values: np.ndarray) -> bool:
    return bool(((values >= 0) & (values == np.floor(values))).all())


def _n_drawn(blocks: Blocks, matrix: Any, memory: float) -> int:
    """Cells that are drawn: as many as half of the memory holds, within limits."""
    per_cell = held_bytes(1, blocks.n_genes, 1 + stored_values(matrix) // blocks.n_cells)
    return int(min(blocks.n_cells, np.clip(memory / 2 / per_cell, LEAST_DRAWN, DRAWN)))


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one pass over all values has told."""

    drawn: sp.csr_matrix
    no_counts: int | None
    """The first block with a value that is negative or not whole."""
    totals: np.ndarray
    copies: np.ndarray
    """Cells that hold the very values of an earlier one."""


def _look(blocks: Blocks, rows: np.ndarray) -> _Seen:
    """Totals, copies and the cells drawn; infinite values are refused.

    Raises
    ------
    InputError
        A value is infinite or missing.
    """
    draw = np.random.default_rng(0)
    weights = draw.integers(1 << 63, size=(2, blocks.n_genes), dtype=np.uint64) | np.uint64(1)
    totals = np.zeros(blocks.n_cells)
    marks = np.zeros((2, blocks.n_cells), dtype=np.uint64)
    drawn: list[sp.csr_matrix] = []
    no_counts = None
    for block in range(len(blocks)):
        at = blocks.rows(block)
        values = blocks.read(block)
        if not np.isfinite(values.data).all():
            raise InputError(
                f"expected finite numbers; found an infinite or missing value among cells {at.start:,} to "
                f"{at.stop:,}; cells that are read block by block need all values"
            )
        totals[at] = np.asarray(values.sum(axis=1)).ravel()
        if no_counts is None and not _are_counts(values.data):
            no_counts = block
        bits = values.data.view(np.uint64)
        for mark, weight in zip(marks, weights, strict=True):
            ends = np.cumsum(bits * weight[values.indices], dtype=np.uint64)
            sums = np.concatenate([np.zeros(1, dtype=np.uint64), ends])
            mark[at] = sums[values.indptr[1:]] - sums[values.indptr[:-1]]
        mine = rows[np.searchsorted(rows, at.start) : np.searchsorted(rows, at.stop)]
        drawn.append(values[mine - at.start])
    return _Seen(sp.vstack(drawn, format="csr"), no_counts, totals, _copies(blocks, marks))


def _copies(blocks: Blocks, marks: np.ndarray) -> np.ndarray:
    """Cells with the marks of an earlier one, and entries enough that this is no chance."""
    order = np.lexsort((np.arange(marks.shape[1]), marks[1], marks[0]))
    again = order[1:][(marks[:, order[1:]] == marks[:, order[:-1]]).all(axis=0)]
    copies = np.zeros(marks.shape[1], dtype=bool)
    if len(again) == 0:
        return copies
    again = np.sort(again)
    values = blocks.cells(again)
    for row, cell in enumerate(again):
        entries = values.data[values.indptr[row] : values.indptr[row + 1]]
        copies[cell] = len(entries) >= LEAST_ENTRIES and len(np.unique(entries)) >= LEAST_VALUES
    return copies


def _whole(drawn: Expression, obs: pd.DataFrame, blocks: Blocks, seen: _Seen) -> Expression:
    """All cells, described as the drawn ones were; totals are their own."""
    method = drawn.settings["size_factors"]
    method = "total" if method == "median-ratio" else method
    totals = sp.csr_matrix(seen.totals[:, None])
    depth = find_depth(totals, obs, method=method, kind=drawn.kind, scale=drawn.scale_tested)
    obs_names = np.array(obs.index.astype(str), dtype=object)
    warnings = drawn.warnings
    if seen.copies.any():
        first = printable(obs_names[np.flatnonzero(seen.copies)[0]], 40)
        said = (
            f"{int(seen.copies.sum()):,} of {len(obs):,} samples are exact copies of others, left out of the "
        )
        warnings = (*warnings, f"{said}tests ({first!r}, ...): copies tell nothing new")
    return replace(
        drawn,
        matrix=sp.csr_matrix((blocks.n_cells, blocks.n_genes)),
        obs_names=obs_names,
        size_factors=depth.factors,
        totals=depth.totals,
        totals_known=depth.known,
        copies=tuple(obs_names[seen.copies]),
        warnings=warnings,
        all_cells=None,
    )


def bytes_on_disk(path: Path) -> int:
    """Bytes of a file or of the files of a folder."""
    if path.is_dir():
        return sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
    return path.stat().st_size
