"""A matrix of cells as blocks of cells in a fixed order: in memory or on disk, whatever its own chunks are.

Sums over cells are sums over these blocks, so that they do not depend on how a file is stored. What was read
is kept in a compact form where it fits, and read again where it does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
import zarr
from anndata.abc import CSCDataset, CSRDataset

from .._checks import InputError, printable
from .backed import Place
from .scale import is_sparse, undo_log

MOST_CELLS = 2**16
"""Cells of a block at most."""
STORED = 2**22
"""Values of a block, where zeros are not stored."""
DENSE = 2**25
"""The same where they are."""
DISK = (CSRDataset, h5py.Dataset, zarr.Array)


class Blocks:
    """Counts or other values of cells, block by block.

    Parameters
    ----------
    matrix
        Shape ``(n_cells, n_genes)``: SciPy CSR, a NumPy array, an array or a CSR matrix on disk, or a
        :class:`~poolproof.data.backed.Place` where there is one.
    genes
        Columns that are used, rising; None: all.
    memory
        Bytes of blocks that are kept once they were read.

    Raises
    ------
    InputError
        The matrix is stored by columns, or is none.
    """

    def __init__(self, matrix: Any, genes: np.ndarray | None = None, memory: float = 1e9) -> None:
        self._place = matrix if isinstance(matrix, Place) else None
        self._matrix = matrix.open() if isinstance(matrix, Place) else matrix
        found = self._matrix
        if isinstance(found, CSCDataset) or (is_sparse(found) and found.format != "csr"):
            raise InputError(
                "expected values stored cell by cell (CSR); found them gene by gene (CSC), of which no block "
                "of cells can be read; write the file with a CSR matrix, or pass a --memory that holds it"
            )
        if not is_sparse(found) and not isinstance(found, (np.ndarray, *DISK)):
            raise InputError(f"expected a matrix of cells by genes; found {type(found).__name__}")
        self._genes = genes
        self._memory = memory
        self._base: float | None = None
        self._kept: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._held = 0.0
        self.n_cells = int(found.shape[0])
        self.n_genes = int(found.shape[1]) if genes is None else len(genes)
        step = _cells_at_once(found)
        self.edges = np.append(np.arange(0, self.n_cells, step), self.n_cells)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__ | {"_kept": {}, "_held": 0.0}
        return state | {"_matrix": None} if self._place is not None else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._place is not None:
            self._matrix = self._place.open()

    def stamp(self) -> tuple[Any, ...] | None:
        """What changes where the file changes: its path, sizes and times; None where there is no path."""
        of = self._place.name if self._place is not None else getattr(self._matrix, "name", "")
        top = _file_of(self._matrix) if self._place is None else Path(self._place.path)
        if top is None:
            return None
        files = sorted(path for path in top.rglob("*") if path.is_file()) if top.is_dir() else [top]
        state = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return of, state, self._genes

    def undo(self, base: float) -> None:
        """From now on give ``base**value - 1``; zeros stay zeros."""
        self._base = base

    def limit(self, memory: float) -> None:
        """Keep no more blocks than so many bytes hold, here and in other processes."""
        self._memory = memory

    def of_genes(self, genes: np.ndarray) -> Blocks:
        """The same cells in the same blocks, with some of the genes, in rising order."""
        within = genes if self._genes is None else self._genes[genes]
        result = Blocks(self._matrix if self._place is None else self._place, within, self._memory)
        result._base = self._base
        return result

    def __len__(self) -> int:
        return len(self.edges) - 1

    def rows(self, block: int) -> slice:
        """Cells of a block."""
        return slice(int(self.edges[block]), int(self.edges[block + 1]))

    def read(self, block: int) -> sp.csr_matrix:
        """Values of a block, float64, shape ``(cells, n_genes)``; no zeros are stored, columns rise.

        Raises
        ------
        InputError
            The file cannot be read there.
        """
        kept = self._kept.get(block)
        if kept is None:
            found = self._chosen(self._matrix, self.rows(block))
            self._keep(block, found)
            return self._undone(found)
        data, indices, ends = kept
        parts = (data.astype(np.float64), indices.astype(np.int32), ends)
        return self._undone(sp.csr_matrix(parts, shape=(len(ends) - 1, self.n_genes)))

    def _undone(self, values: sp.csr_matrix) -> sp.csr_matrix:
        return values if self._base is None else undo_log(values, self._base, 1.0)

    def cells(self, rows: np.ndarray) -> sp.csr_matrix:
        """Values of some cells, whose numbers rise, float64."""
        parts = []
        for block in range(len(self)):
            at = self.rows(block)
            mine = rows[np.searchsorted(rows, at.start) : np.searchsorted(rows, at.stop)]
            if len(mine):
                parts.append(self.read(block)[mine - at.start])
        return sp.vstack(parts, format="csr")

    def _chosen(self, matrix: Any, rows: slice) -> sp.csr_matrix:
        try:
            block = matrix[rows]
            if is_sparse(block):
                block.check_format(
                    full_check=True
                )  # a damaged file must not lead compiled code out of bounds
        except Exception as error:  # readers raise anything on bad content
            reason = printable(" ".join(str(error).split()) or "no reason given", 120)
            raise InputError(
                f"expected readable values in cells {rows.start:,} to {rows.stop:,}; found "
                f"{type(error).__name__}: {reason}; the file may have been cut"
            ) from error
        found = sp.csr_matrix(block, dtype=np.float64)
        found.sum_duplicates()
        found.eliminate_zeros()
        return found if self._genes is None else found[:, self._genes]

    def _keep(self, block: int, found: sp.csr_matrix) -> None:
        data = _compact(found.data)
        indices = found.indices.astype(np.uint16 if self.n_genes <= 2**16 else np.int32)
        size = data.nbytes + indices.nbytes + found.indptr.nbytes
        if self._held + size <= self._memory:
            self._held += size
            self._kept[block] = data, indices, found.indptr


def _compact(values: np.ndarray) -> np.ndarray:
    """The same values in the smallest type that holds them all."""
    high = values.max(initial=0.0)
    if values.min(initial=0.0) >= 0 and high < 2**32 and (values == np.floor(values)).all():
        for of in (np.uint8, np.uint16, np.uint32):
            if high <= np.iinfo(of).max:
                return values.astype(of)
    return values


def stored_values(matrix: Any) -> int:
    """Values that a matrix stores."""
    if isinstance(matrix, CSRDataset | CSCDataset):
        return int(matrix.group["data"].shape[0])
    return int(matrix.nnz) if is_sparse(matrix) else int(matrix.shape[0]) * int(matrix.shape[1])


def _cells_at_once(matrix: Any) -> int:
    """Cells of a block: from what the matrix is, not from how it is cut into chunks."""
    sparse = is_sparse(matrix) or isinstance(matrix, CSRDataset)
    per_cell = max(1.0, stored_values(matrix) / max(1, matrix.shape[0]))
    return int(np.clip((STORED if sparse else DENSE) // per_cell, 1, MOST_CELLS))


def _file_of(matrix: Any) -> Path | None:
    """The h5ad file or zarr folder of a matrix on disk; None where it lies elsewhere."""
    held = getattr(matrix, "group", matrix)
    if isinstance(held, (h5py.Group, h5py.Dataset)):
        return Path(held.file.filename)
    store = getattr(held, "store", None)
    root = getattr(store, "root", None) or getattr(store, "path", None)
    return Path(root) if root is not None and Path(root).exists() else None
