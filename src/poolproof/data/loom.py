"""Loom files: genes in rows, cells in columns, read part by part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .._checks import InputError, printable

GENE_NAMES = ("Accession", "Gene", "gene", "gene_ids", "GeneID", "EnsemblID", "var_names", "Name")
CELL_NAMES = ("CellID", "cell_id", "obs_names", "Barcode", "barcode", "Cell", "cell_names")
"""Attributes that name rows and columns, in the order in which they are tried: loompy 3.0, scanpy 1.11."""
SYMBOLS = ("Gene", "gene", "gene_name", "Name")
AT_ONCE = 512


def is_loom(file: h5py.File) -> bool:
    """Say whether an HDF5 file is a loom: a matrix beside attributes of its rows and columns."""
    return {"matrix", "row_attrs", "col_attrs"} <= set(file) and isinstance(file["matrix"], h5py.Dataset)


def read_loom(path: Path) -> AnnData:
    """Read matrix and layers of a loom file; rows of the result are cells."""
    with h5py.File(path, "r") as file:
        if not is_loom(file):
            raise InputError("expected a loom file: matrix, row_attrs and col_attrs")
        n_genes, n_cells = file["matrix"].shape
        var, obs = _table(file["row_attrs"], n_genes), _table(file["col_attrs"], n_cells)
        genes = _names(var, GENE_NAMES, "gene", n_genes)
        if len(set(genes)) < len(genes) and "Gene" in var:
            genes = [str(name) for name in var["Gene"]]
        cells = _names(obs, CELL_NAMES, "cell", n_cells)
        symbol = next((var[name] for name in SYMBOLS if name in var), None)
        if symbol is not None:
            var["symbol"] = symbol
        layers = {}
        for name, values in dict(file.get("layers", {})).items():
            if name and values.shape == (n_genes, n_cells):
                layers[name] = _transposed(values)
        return AnnData(
            _transposed(file["matrix"]),
            obs=pd.DataFrame(obs, index=pd.Index(cells, dtype=object)),
            var=pd.DataFrame(var, index=pd.Index(genes, dtype=object)),
            layers=layers,
        )


def _transposed(values: h5py.Dataset) -> sp.csr_matrix:
    """Cells by genes, sparse; a part of the genes is dense at a time."""
    if values.dtype.kind not in "biuf":
        raise InputError(f"expected numbers in a loom matrix; found {printable(values.dtype, 30)}")
    parts = [
        sp.csc_matrix(np.asarray(values[low : low + AT_ONCE]).T) for low in range(0, values.shape[0], AT_ONCE)
    ]
    return sp.hstack(parts, format="csr") if parts else sp.csr_matrix(values.shape[::-1])


def _table(group: h5py.Group, n: int) -> dict[str, Any]:
    """Attributes that have one entry for each row."""
    found: dict[str, Any] = {}
    for name, values in group.items():
        if isinstance(values, h5py.Dataset) and values.shape == (n,):
            entries = values[()]
            if entries.dtype.kind in "OS":
                entries = np.array(
                    [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in entries],
                    dtype=object,
                )
            found[name] = entries
    return found


def _names(table: dict[str, Any], known: tuple[str, ...], word: str, n: int) -> list[str]:
    given = next((table[name] for name in known if name in table), None)
    return [f"{word}_{i + 1}" for i in range(n)] if given is None else [str(name) for name in given]
