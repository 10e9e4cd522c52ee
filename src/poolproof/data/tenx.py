"""Matrices of cells: a folder of three files (10x, STARsolo, kb, alevin-fry), or 10x HDF5."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .._checks import InputError, printable
from .formats import decode, opened, read_decompressed


@dataclass(frozen=True)
class Layout:
    """How a tool lays out a matrix of cells and the names of its two sides."""

    format: str
    tool: str
    """Who writes it, with the version that was looked at."""
    matrix: str
    """Regular expression of the name of the matrix file (without .gz), the shared beginning in a group."""
    features: tuple[str, ...]
    barcodes: tuple[str, ...]
    """Names of the two lists; ``{}`` stands for the first group of ``matrix``."""
    needs: str = ""
    """Name of a file that must stand beside the matrix, where the name of that alone does not tell."""


LAYOUTS = (
    Layout(
        "parse",
        "Parse Biosciences split-pipe",
        r"()(?:DGE|count_matrix)\.mtx",
        ("all_genes.csv",),
        ("cell_metadata.csv",),
        "all_genes.csv",
    ),
    Layout(
        "10x",
        "Single Cell Expression Atlas",
        r"(.+\.mtx)",
        ("{}_rows",),
        ("{}_cols",),
        "{}_rows",
    ),
    Layout(
        "10x",
        "Cell Ranger, STARsolo 2.7",
        r"(.*)matrix\.mtx",
        ("{}features.tsv", "{}genes.tsv"),
        ("{}barcodes.tsv",),
    ),
    Layout(
        "10x",
        "STARsolo 2.7 (soloMultiMappers)",
        r"(.*)UniqueAndMult-\w+\.mtx",
        ("{}features.tsv",),
        ("{}barcodes.tsv",),
    ),
    Layout(
        "kallisto-bustools",
        "kb-python 0.30 (kb count), bustools 0.42",
        r"((?:.*[._])?(?:cells_x_genes|cells_x_tcc|genes|spliced|unspliced|nascent|mature|ambiguous|output)(?:\.\w+)?)\.mtx",
        ("{}.genes.txt", "cells_x_genes.genes.txt", "{}.ec.txt"),
        ("{}.barcodes.txt", "cells_x_genes.barcodes.txt"),
    ),
    Layout(
        "alevin-fry",
        "alevin-fry (quant), salmon (alevin --dumpMtx)",
        r"(quants_mat)\.mtx",
        ("{}_cols.txt",),
        ("{}_rows.txt",),
    ),
)
"""In the order in which they are tried."""
_UNSPLICED, _AMBIGUOUS = "-U", "-A"
"""What alevin-fry puts behind the name of a gene in its USA mode."""


def find_10x(folder: Path) -> list[Path]:
    """Return the matrix files of the first layout that a folder has, plain or gzip."""
    return next((found for _, found in _layouts_of(folder)), [])


def _layouts_of(folder: Path) -> list[tuple[Layout, list[Path]]]:
    names = sorted(folder.iterdir())
    every = [(layout, [p for p in names if _fits(layout, p)]) for layout in LAYOUTS]
    return [(layout, found) for layout, found in every if found]


def _fits(layout: Layout, path: Path) -> bool:
    match = re.fullmatch(layout.matrix, path.name.removesuffix(".gz"))
    if match is None or not layout.needs:
        return match is not None
    beside = path.parent / layout.needs.format(match[1])
    return beside.is_file() or beside.with_name(f"{beside.name}.gz").is_file()


def layout_of(path: Path) -> str:
    """Format of a folder or matrix file: that of its layout."""
    matrices = find_10x(path) if path.is_dir() else [path]
    return next((layout.format for layout in LAYOUTS if matrices and _fits(layout, matrices[0])), "10x")


def read_10x_folder(path: Path) -> tuple[AnnData, list[str]]:
    """Read a matrix of cells with its two lists, as one of `LAYOUTS`.

    Rows of the result are cells; ``var`` has ``symbol`` and, from CellRanger 3, ``feature_type``.
    """
    warnings: list[str] = []
    if path.is_dir():
        matrices = find_10x(path)
        others = [p.name for _, found in _layouts_of(path)[1:] for p in found if p not in matrices]
        if others:
            listed = ", ".join(printable(name, 40) for name in others[:3])
            warnings.append(f"{matrices[0].name} was read; to read {listed}, name that file itself")
    else:
        matrices = [path]
    if len(matrices) != 1:
        raise InputError(
            f"expected one matrix.mtx in the folder; found {len(matrices)}; give the file itself"
        )
    layout = next((layout for layout in LAYOUTS if _fits(layout, matrices[0])), None)
    if layout is None:
        raise InputError(
            "expected a matrix file named as Cell Ranger, STARsolo, kb or alevin-fry name it, with the "
            f"lists of its genes and cells beside it; found {printable(matrices[0].name, 60)}"
        )
    match = re.fullmatch(layout.matrix, matrices[0].name.removesuffix(".gz"))
    prefix = match[1] if match else ""
    folder = matrices[0].parent
    features = _rows_beside(folder, prefix, layout.features)
    barcodes = [row[0] for row in _rows_beside(folder, prefix, layout.barcodes)]
    shapes = (len(features), len(barcodes)), (len(barcodes), len(features))
    matrix: Any = read_matrix_market(matrices[0], shapes)
    if matrix.shape == shapes[0] and layout.format == "10x":
        matrix = matrix.T
    elif matrix.shape == shapes[1]:
        if layout.format == "10x":
            warnings.append("the matrix has cells in rows, unlike what CellRanger writes: taken so")
    else:
        matrix = matrix.T
    columns = list(zip(*features, strict=True))
    var = {"symbol": columns[1] if len(columns) > 1 else columns[0]}
    if len(columns) > 2:
        var["genome" if layout.format == "parse" else "feature_type"] = columns[2]
    names = folder / f"{prefix}.genes.names.txt"
    if layout.format == "kallisto-bustools" and names.is_file():
        symbols = decode(read_decompressed(names)).split("\n")[: len(features)]
        if len(symbols) == len(features):
            var = {"symbol": tuple(symbols)}
    adata, said = _cells_by_genes(matrix.tocsr(), barcodes, list(columns[0]), var, warnings)
    return _spliced_and_ambiguous(adata, said) if layout.format == "alevin-fry" else (adata, said)


def _spliced_and_ambiguous(adata: AnnData, said: list[str]) -> tuple[AnnData, list[str]]:
    """Add spliced and ambiguous counts of each gene, as advised for whole cells; else unchanged."""
    n = adata.n_vars // 3
    genes = list(adata.var_names[:n])
    for low, suffix in ((n, _UNSPLICED), (2 * n, _AMBIGUOUS)):
        if 3 * n != adata.n_vars or list(adata.var_names[low : low + n]) != [g + suffix for g in genes]:
            return adata, said
    summed = AnnData(adata.X[:, :n] + adata.X[:, 2 * n :], obs=adata.obs, var=adata.var.iloc[:n])
    return summed, [*said, f"spliced and ambiguous counts of {n:,} genes were added, unspliced ones left out"]


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
        named = name.format(prefix)
        for path in (folder / named, folder / f"{named}.gz"):
            if path.is_file():
                lines = [line for line in decode(read_decompressed(path)).split("\n") if line]
                table = named.endswith(".csv")  # these have a header
                rows = list(csv.reader(lines[1:])) if table else [line.split("\t") for line in lines]
                if not rows:
                    raise InputError(f"expected names in {printable(path.name)}; found an empty file")
                width = min(map(len, rows))
                return [row[:width] for row in rows]
    raise InputError(
        f"expected {printable(' or '.join(name.format(prefix) for name in names), 200)} (or .gz) beside the "
        "matrix; found none; "
        "keep the three files together"
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
    repeated = len(barcodes) - len(set(barcodes))
    if repeated:
        warnings.append(
            f"{repeated:,} barcodes stand there again: cells were cut in parts, as bustools count does with "
            "a file that is not sorted (run bustools sort first), or runs were joined without own names"
        )
    adata = AnnData(
        matrix, obs=pd.DataFrame(index=pd.Index(barcodes)), var=pd.DataFrame(var, index=pd.Index(ids))
    )
    return adata, warnings
