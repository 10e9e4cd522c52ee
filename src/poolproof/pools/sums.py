"""The values of pools: sums over cells in blocks, from a matrix in memory or on disk, dense or sparse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
import zarr
from anndata.abc import CSCDataset, CSRDataset

from .._checks import InputError, printable
from ..aggregation import LINEAR, Aggregation
from ..data.scale import Facts, is_sparse, measure

BLOCK_VALUES = 2**18
"""Values of cells, and of pools, that are worked on at a time: they stay in the processor's cache."""
READ_VALUES = 2**23
"""Values that are read from a file, or taken from columns, at a time. Sums of counts depend on neither."""
EXACT = 2.0**53
"""Whole numbers below are exact in float64."""
MATRICES = (np.ndarray, CSRDataset, CSCDataset, h5py.Dataset, zarr.Array)
"""What cells may come in, beside the sparse matrices of SciPy."""


@dataclass(frozen=True, eq=False)
class Members:
    """Which cells are in which pool."""

    names: tuple[str, ...]
    """Unique names of the pools."""
    cells: np.ndarray
    """Rows of the input, pool after pool, shape ``(sum of n_cells,)``."""
    n_cells: np.ndarray
    """Cells of each pool, shape ``(n_pools,)``, at least 1."""
    sizes: np.ndarray | None = None
    """The K that each pool was drawn for, shape ``(n_pools,)``; None: pools by label."""
    weights: np.ndarray | None = None
    """Weight of each entry of ``cells``; None: all 1."""

    @cached_property
    def ends(self) -> np.ndarray:
        """Where pools begin and end in ``cells``, shape ``(n_pools + 1,)``."""
        return np.concatenate([[0], np.cumsum(self.n_cells)])

    def take(self, first: int, last: int) -> Members:
        """The pools from ``first`` up to ``last``, which is not among them."""
        low, high = self.ends[[first, last]]
        weights = None if self.weights is None else self.weights[low:high]
        return Members(
            self.names[first:last], self.cells[low:high], self.n_cells[first:last], weights=weights
        )


class Seen:
    """What the values that were pooled have told so far; every block is looked at."""

    def __init__(self) -> None:
        self.counts = True
        """All values so far are whole and none is negative."""
        self.missing = False
        self.facts: Facts | None = None
        """Facts of the first block that holds something else than counts."""

    def look(self, block: Any) -> Any:
        """Return a block, dense or CSR, as float64.

        Raises
        ------
        InputError
            A value is infinite.
        """
        if is_sparse(block):
            block = block.astype(np.float64)
            values = block.data
        else:
            block = np.ma.filled(np.ma.asanyarray(block).astype(np.float64), np.nan)
            values = block.ravel()
        low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
        if np.isnan(low):
            self.missing = True
            low, high = np.fmin.reduce(values), np.fmax.reduce(values)
        if np.isinf(low) or np.isinf(high):
            raise InputError(
                "expected finite numbers; found an infinite value; write NaN where one is missing"
            )
        if self.counts and (low < 0 or not (values == np.rint(values)).all()):
            present = values[~np.isnan(values)]
            self.counts = bool(low >= 0 and (present == np.rint(present)).all()) if len(present) else True
            self.facts = None if self.counts else measure(block)
        return block


def pool_matrix(matrix: Any, members: Members, aggregation: Aggregation, seen: Seen) -> Any:
    """Values of the pools, shape ``(n_pools, n_genes)``; CSR for sparse cells and a linear aggregation."""
    if not aggregation.adds_parts:
        return _each_pool(matrix, members, aggregation, seen)
    return _finish(_totals(matrix, members, aggregation, seen), members.n_cells, aggregation, matrix.dtype)


def pool_counted(
    matrix: Any, members: Members, aggregation: Aggregation, seen: Seen
) -> tuple[Any, np.ndarray]:
    """Values of the pools, and the total of each pool's cells over all genes."""
    plain = aggregation.adds_parts and aggregation.exponent is None and aggregation.cell_weights is None
    if not plain:
        sums = _totals(matrix, replace(members, weights=None), Aggregation.sum(), Seen())
        return pool_matrix(matrix, members, aggregation, seen), _row_sums(sums)
    sums = _totals(matrix, members, aggregation, seen)
    counts = _row_sums(sums)
    return _finish(sums, members.n_cells, aggregation, matrix.dtype), counts


def _row_sums(totals: Any) -> np.ndarray:
    return np.asarray(totals.sum(axis=1), dtype=np.float64).ravel()


def _finish(totals: Any, n_cells: np.ndarray, aggregation: Aggregation, dtype: np.dtype[Any]) -> Any:
    """From sums to values; whole numbers stay whole."""
    if aggregation.kind != LINEAR:
        return aggregation.finish(totals.toarray() if is_sparse(totals) else totals, n_cells)
    if is_sparse(totals):
        if aggregation.divides_by_cells:
            totals.data /= np.repeat(n_cells, np.diff(totals.indptr))
    else:
        totals = aggregation.finish(totals, n_cells)
    if dtype.kind not in "biu" or aggregation.divides_by_cells or aggregation.cell_weights is not None:
        return totals
    if totals.size and max(totals.max(), -totals.min()) >= EXACT:
        raise InputError(
            f"expected sums of whole numbers below {EXACT:.1e}; found larger ones; convert to float"
        )
    return totals.astype(np.int64)


def _totals(matrix: Any, members: Members, aggregation: Aggregation, seen: Seen) -> Any:
    """Sums of the cells on the axis of the aggregation: CSR where cells are sparse, else dense."""
    if _is_by_columns(matrix):
        blocks = (_csr(matrix[:, genes]) for genes in _gene_slices(matrix))
        return sp.hstack([_sums(b, members, aggregation, seen) for b in blocks], format="csr")
    if not _on_disk(matrix):
        return _sums(_csr(matrix), members, aggregation, seen)
    total: Any = None
    for rows in _row_slices(matrix):
        touched, part = _part_of(members, rows)
        if len(touched) == 0:
            continue
        sums = _sums(_read(matrix, rows), part, aggregation, seen)
        total = _add_rows(total, sums, touched, len(members.n_cells))
    return total


def _sums(matrix: Any, members: Members, aggregation: Aggregation, seen: Seen) -> Any:
    """As `_totals`, of a matrix in memory, CSR or dense: some pools at a time, large pools in pieces."""
    rows_at_once, done = _rows_at_once(matrix), []
    for pools in _pool_runs(members.n_cells, rows_at_once, BLOCK_VALUES // matrix.shape[1]):
        part = members.take(pools.start, pools.stop)
        pooled = np.zeros((len(part.n_cells), matrix.shape[1]))
        for low in range(0, len(part.cells), rows_at_once):
            high = min(low + rows_at_once, len(part.cells))
            block = seen.look(matrix[part.cells[low:high]])
            weights = None if part.weights is None else part.weights[low:high]
            _add_cells(pooled, block, np.clip(part.ends, low, high) - low, weights, aggregation)
        done.append(_sparse(pooled) if is_sparse(matrix) else pooled)
    return _stacked(done)


def _stacked(parts: list[Any]) -> Any:
    return sp.vstack(parts, format="csr") if is_sparse(parts[0]) else np.concatenate(parts)


def _add_cells(
    pooled: np.ndarray, block: Any, ends: np.ndarray, weights: np.ndarray | None, aggregation: Aggregation
) -> None:
    """Add rows ``ends[i]`` to ``ends[i + 1]`` of a block to pool i, in place.

    This is the product of the pools x cells indicator matrix with the block. As the rows are in the order of
    the pools, a sparse block needs no product: the rows of a pool become one long row, in which genes repeat.
    """
    if is_sparse(block):
        if aggregation.exponent is not None:
            block.sum_duplicates()  # a power of a sum is no sum of powers
        values = aggregation.on_axis(block.data)
        if weights is not None:
            values = values * np.repeat(weights, np.diff(block.indptr))
        pooled += sp.csr_matrix((values, block.indices, block.indptr[ends]), shape=pooled.shape).toarray()
        return
    values = aggregation.on_axis(block)
    if weights is not None:
        values = values * weights[:, None]
    filled = np.flatnonzero(np.diff(ends))
    pooled[filled] += np.add.reduceat(values, ends[filled], axis=0)


def _sparse(dense: np.ndarray) -> Any:
    """CSR of what is not 0; much faster than SciPy's own way."""
    there = dense != 0
    ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    genes = np.broadcast_to(np.arange(dense.shape[1], dtype=np.int32), dense.shape)[there]
    return sp.csr_matrix((dense[there], genes, ends), shape=dense.shape)


def _each_pool(matrix: Any, members: Members, aggregation: Aggregation, seen: Seen) -> np.ndarray:
    """Values of the pools where all cells of a pool are needed at once."""
    if _is_by_columns(matrix):
        groups = np.repeat(np.arange(len(members.n_cells)), members.n_cells)
        blocks = (seen.look(_csr(matrix[:, genes])[members.cells]) for genes in _gene_slices(matrix))
        return np.concatenate([aggregation.pool(b, groups, len(members.n_cells)) for b in blocks], axis=1)
    done, matrix = [], matrix if _on_disk(matrix) else _csr(matrix)
    for pools in _pool_runs(members.n_cells, _rows_at_once(matrix), BLOCK_VALUES // matrix.shape[1]):
        part = members.take(pools.start, pools.stop)
        rows, inverse = np.unique(part.cells, return_inverse=True)
        block = seen.look(_read(matrix, rows)[inverse])
        groups = np.repeat(np.arange(len(part.n_cells)), part.n_cells)
        done.append(aggregation.pool(block, groups, len(part.n_cells)))
    return np.concatenate(done)


def _pool_runs(n_cells: np.ndarray, max_cells: int, max_pools: int) -> Iterator[range]:
    """Consecutive pools that fit into a block; a pool that does not fit comes alone.

    Examples
    --------
    >>> list(_pool_runs(np.array([2, 2, 9, 1]), max_cells=4, max_pools=10))
    [range(0, 2), range(2, 3), range(3, 4)]
    """
    first = held = 0
    for pool, n in enumerate(n_cells):
        if pool > first and (held + n > max_cells or pool - first >= max_pools):
            yield range(first, pool)
            first, held = pool, 0
        held += int(n)
    yield range(first, len(n_cells))


def _part_of(members: Members, rows: slice) -> tuple[np.ndarray, Members]:
    """The pools that have cells in a run of rows, and those cells, counted from the first row."""
    inside = (members.cells >= rows.start) & (members.cells < rows.stop)
    n_cells = np.diff(np.concatenate([[0], np.cumsum(inside)])[members.ends])
    touched = np.flatnonzero(n_cells)
    weights = None if members.weights is None else members.weights[inside]
    return touched, Members((), members.cells[inside] - rows.start, n_cells[touched], weights=weights)


def _add_rows(total: Any, sums: Any, touched: np.ndarray, n_pools: int) -> Any:
    """Add the sums of some pools to those of all."""
    if not is_sparse(sums):
        total = np.zeros((n_pools, sums.shape[1])) if total is None else total
        total[touched] += sums
        return total
    lengths = np.zeros(n_pools, dtype=np.int64)
    lengths[touched] = np.diff(sums.indptr)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    spread = sp.csr_matrix((sums.data, sums.indices, ends), shape=(n_pools, sums.shape[1]))
    return spread if total is None else total + spread


# --- matrices in memory and on disk ---------------------------------------------------------------------


def _is_by_columns(matrix: Any) -> bool:
    return isinstance(matrix, CSCDataset) or (is_sparse(matrix) and matrix.format == "csc")


def _on_disk(matrix: Any) -> bool:
    return not is_sparse(matrix) and not isinstance(matrix, np.ndarray)


def _csr(matrix: Any) -> Any:
    return matrix.tocsr() if is_sparse(matrix) else matrix


def _values_per_row(matrix: Any) -> float:
    if isinstance(matrix, (CSRDataset, CSCDataset)):
        return matrix.group["data"].shape[0] / matrix.shape[0]
    return (matrix.nnz if is_sparse(matrix) else matrix.shape[0] * matrix.shape[1]) / matrix.shape[0]


def _rows_at_once(matrix: Any) -> int:
    values = READ_VALUES if _on_disk(matrix) else BLOCK_VALUES
    return int(max(1, values // max(1.0, _values_per_row(matrix))))


def _row_slices(matrix: Any) -> Iterator[slice]:
    step = _rows_at_once(matrix)
    for start in range(0, matrix.shape[0], step):
        yield slice(start, min(start + step, matrix.shape[0]))


def _gene_slices(matrix: Any) -> Iterator[slice]:
    per_gene = max(1.0, _values_per_row(matrix) * matrix.shape[0] / matrix.shape[1])
    step = int(max(1, READ_VALUES // per_gene))
    for start in range(0, matrix.shape[1], step):
        yield slice(start, min(start + step, matrix.shape[1]))


def _read(matrix: Any, rows: slice | np.ndarray) -> Any:
    """Rows of a matrix; one on disk may turn out to be damaged."""
    if not _on_disk(matrix):
        return matrix[rows]
    try:
        block = matrix[rows]
        if is_sparse(block):
            block.check_format(full_check=True)  # a damaged file must not lead compiled code out of bounds
    except Exception as error:  # readers raise anything on bad content
        reason = printable(" ".join(str(error).split()) or "no reason given", 120)
        raise InputError(
            f"expected readable values; found {type(error).__name__}: {reason}; the file may have been cut"
        ) from error
    return block
