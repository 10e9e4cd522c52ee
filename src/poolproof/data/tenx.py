"""The 10x formats: a folder with a matrix and its two lists, and one HDF5 file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .._checks import InputError, printable
from .formats import decode, opened, read_decompressed


def find_10x(folder: Path) -> list[Path]:
    """Return the matrix files of a 10x folder, plain or gzip, with or without a prefix."""
    return sorted(p for p in folder.iterdir() if p.name.endswith(("matrix.mtx", "matrix.mtx.gz")))


def read_10x_folder(path: Path) -> tuple[AnnData, list[str]]:
    """Read matrix, features (or genes) and barcodes as CellRanger 2 or 3 writes them.

    Rows of the result are cells; ``var`` has ``symbol`` and, from CellRanger 3, ``feature_type``.
    """
    matrices = find_10x(path) if path.is_dir() else [path]
    if len(matrices) != 1:
        raise InputError(
            f"expected one matrix.mtx in the folder; found {len(matrices)}; give the file itself"
        )
    prefix = re.sub(r"matrix\.mtx(\.gz)?$", "", matrices[0].name)
    folder = matrices[0].parent
    features = _rows_beside(folder, prefix, ("features.tsv", "genes.tsv"))
    barcodes = [row[0] for row in _rows_beside(folder, prefix, ("barcodes.tsv",))]
    shapes = (len(features), len(barcodes)), (len(barcodes), len(features))
    matrix: Any = read_matrix_market(matrices[0], shapes)
    warnings: list[str] = []
    if matrix.shape == shapes[0]:
        matrix = matrix.T
    else:
        warnings.append("the matrix has cells in rows, unlike what CellRanger writes: taken so")
    columns = list(zip(*features, strict=True))
    var = {"symbol": columns[1] if len(columns) > 1 else columns[0]}
    if len(columns) > 2:
        var["feature_type"] = columns[2]
    return _cells_by_genes(matrix.tocsr(), barcodes, list(columns[0]), var, warnings)


def read_matrix_market(path: Path, shapes: tuple[tuple[int, int], ...]) -> sp.csr_matrix:
    """Read a sparse Matrix Market file, plain or gzip, of one of the given shapes.

    SciPy's reader takes ``1 1.5 7`` for column 1 and ``1 1 2.7`` in a file of whole numbers for 2, and
    crashes on some damaged files; here each line is three numbers or the file is refused.
    """
    with opened(path) as file:
        kind = file.readline(1000).decode("latin-1").lower().split()
        if kind not in (
            ["%%matrixmarket", "matrix", "coordinate", of, "general"] for of in ("integer", "real")
        ):
            raise InputError(
                "expected a Matrix Market file of coordinates, general, integer or real; found "
                f"{printable(' '.join(kind), 60)!r}"
            )
        sizes = next((line for line in file if line.strip() and not line.startswith(b"%")), b"")
        n_rows, n_columns, n_entries = (int(n) for n in sizes.split())
        if (n_rows, n_columns) not in shapes:
            raise InputError(
                f"expected a matrix of {shapes[0][0]} features x {shapes[0][1]} barcodes; found {n_rows} x "
                f"{n_columns}; the files may not belong together or may have been cut"
            )
        types = {0: np.int64, 1: np.int64, 2: np.int64 if kind[3] == "integer" else np.float64}
        table = pd.read_csv(file, sep=r"\s+", header=None, dtype=types, float_precision="round_trip")
    if table.shape != (n_entries, 3) or table.isna().to_numpy().any():
        raise InputError(
            f"expected {n_entries} lines of row, column and value, as the head of the matrix says; found "
            f"{table.shape[0]}; the file may have been cut"
        )
    rows, columns, values = (table[j].to_numpy() for j in range(3))
    if min(rows.min(), columns.min()) < 1 or rows.max() > n_rows or columns.max() > n_columns:
        raise InputError(f"expected rows 1 to {n_rows} and columns 1 to {n_columns}; found others")
    return sp.csr_matrix((values, (rows - 1, columns - 1)), shape=(n_rows, n_columns))


def _rows_beside(folder: Path, prefix: str, names: tuple[str, ...]) -> list[list[str]]:
    """Return the fields of each line of the first file that exists, all rows equally wide."""
    for name in names:
        for path in (folder / f"{prefix}{name}", folder / f"{prefix}{name}.gz"):
            if path.is_file():
                rows = [line.split("\t") for line in decode(read_decompressed(path)).split("\n") if line]
                if not rows:
                    raise InputError(f"expected names in {printable(path.name)}; found an empty file")
                width = min(map(len, rows))
                return [row[:width] for row in rows]
    raise InputError(
        f"expected {printable(prefix)}{' or '.join(names)} (or .gz) beside the matrix; found none; "
        "keep the three files of a 10x folder together"
    )


def read_10x_h5(path: Path) -> tuple[AnnData, list[str]]:
    """Read the HDF5 matrix of CellRanger 2 (one group per genome) or 3 (group ``matrix``)."""
    with h5py.File(path, "r") as file:
        if "matrix" in file:
            group = file["matrix"]
            features = group["features"]
            ids, var = _strings(features["id"]), {"symbol": _strings(features["name"])}
            for name in ("feature_type", "genome"):
                if name in features:
                    var[name] = _strings(features[name])
        else:
            genomes = [
                name for name, group in file.items() if isinstance(group, h5py.Group) and "genes" in group
            ]
            if len(genomes) != 1:
                raise InputError(
                    f"expected a 10x matrix of one genome; found {len(genomes)}: "
                    f"{', '.join(printable(name, 30) for name in genomes[:5]) or 'none'}; save one genome "
                    f"alone"
                )
            group = file[genomes[0]]
            ids, var = _strings(group["genes"]), {"symbol": _strings(group["gene_names"])}
        barcodes = _strings(group["barcodes"])
        parts = tuple(group[name][()] for name in ("data", "indices", "indptr"))
        n_genes, n_cells = (int(n) for n in group["shape"][()])
    if (n_genes, n_cells) != (len(ids), len(barcodes)):
        raise InputError(
            f"expected names for {n_genes} features and {n_cells} barcodes; found {len(ids)} and "
            f"{len(barcodes)}; "
            "the file may have been cut"
        )
    matrix = sp.csr_matrix(parts, shape=(n_cells, n_genes))  # genes x cells by column is cells x genes by row
    matrix.check_format(full_check=True)
    return _cells_by_genes(matrix, barcodes, ids, var, [])


def _strings(dataset: h5py.Dataset) -> list[str]:
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in dataset[()]]


def _cells_by_genes(
    matrix: sp.csr_matrix, barcodes: list[str], ids: list[str], var: dict[str, Any], warnings: list[str]
) -> tuple[AnnData, list[str]]:
    """Label a 10x matrix."""
    adata = AnnData(
        matrix, obs=pd.DataFrame(index=pd.Index(barcodes)), var=pd.DataFrame(var, index=pd.Index(ids))
    )
    return adata, warnings
