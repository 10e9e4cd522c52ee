"""Files to AnnData: every supported format, oriented as samples by genes, with what was guessed.

Also here, because files bring them: what names look like (genes or samples) and how they are made unique.
"""

from __future__ import annotations

import re
import warnings as python_warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.io import read_elem

from .._checks import InputError, PoolproofError, check_choice, printable
from . import formats as _formats
from . import other_tables as _other
from . import tenx as _tenx
from .containers import OTHER_HDF5, check_hdf5, check_zarr
from .long_tables import long_table_of, read_long_table
from .loom import is_loom, read_loom
from .not_genes import leave_out
from .orientation import GENES_IN_COLUMNS, GENES_IN_ROWS, ORIENTATIONS, guess_orientation
from .sample_files import find_sample_files, read_sample_files, sample_file_of
from .scale import is_sparse
from .streams import whole_file
from .tables import Table

FORMATS = (
    "h5ad",
    "h5mu",
    "zarr",
    "loom",
    "text",
    "gct",
    "series-matrix",
    "parquet",
    "10x",
    "10x-h5",
    "kallisto-bustools",
    "alevin-fry",
    "parse",
    "long-table",
    "sample-files",
)

_HDF5, _PARQUET, _ZIP = b"\x89HDF\r\n\x1a\n", b"PAR1", b"PK\x03\x04"
_WAYS_OUT = {
    ".xlsx": "save the sheet as csv",
    ".xls": "save the sheet as csv",
    ".rds": "write the matrix as csv or h5ad from R",
    ".rdata": "write the matrix as csv or h5ad from R",
    ".rda": "write the matrix as csv or h5ad from R",
}


class Known(NamedTuple):
    """Names that other files of a run hold."""

    genes: Collection[str] = ()
    samples: Collection[str] = ()
    modality: str | None = None


def read(
    path: str | Path,
    *,
    orientation: str = "auto",
    format: str = "auto",
    modality: str | None = None,
    known_genes: Collection[str] = (),
    known_samples: Collection[str] = (),
) -> AnnData:
    """Read expression data from a file or folder; rows of the result are samples or cells.

    Parameters
    ----------
    path
        An h5ad file, a zarr AnnData, a csv, tsv or txt table (also gzip), a GCT table, a parquet
        table, a 10x folder or a 10x h5 file.
    orientation
        ``genes-in-rows``, ``genes-in-columns``, or ``auto``: guessed for tables, and said; AnnData
        files hold genes in columns unless this says otherwise.
    format
        One of `FORMATS`, or ``auto``: from the content, then from the name.
    modality
        Of a MuData file; None: ``rna`` or the like, and it is said.
    known_genes, known_samples
        Names that a network, a list of regulators or a table of samples holds: they decide the orientation of
        a table before what its names look like.

    Returns
    -------
    AnnData, ``(n_obs, n_genes)``, values as in the file: sparse matrices stay sparse (CSR).
    ``uns["poolproof_read"]`` holds ``path`` (the name only), ``format``, ``orientation`` and
    ``warnings``, a list of sentences: what was guessed, left out or renamed.

    Raises
    ------
    InputError
        The file is missing, empty, cut or junk, or holds text or infinite numbers among the values.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "counts.tsv"
    ...     _ = file.write_text("gene_id\\ts1\\ts2\\nENSG00000000003\\t5\\t0\\nENSG00000000419\\t1\\t7\\n")
    ...     adata = read(file)
    >>> adata.X
    array([[5., 1.],
           [0., 7.]])
    >>> adata.uns["poolproof_read"]["orientation"]
    'genes-in-rows'
    """
    check_choice("orientation", orientation, ("auto", *ORIENTATIONS))
    check_choice("format", format, ("auto", *FORMATS))
    with whole_file(path) as whole:
        return _read(whole, orientation, format, Known(known_genes, known_samples, modality))


def _read(path: Path, orientation: str, format: str, known: Known) -> AnnData:
    """Read a file or folder that can be read as often as its reader wants."""
    _check_exists(path)
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # the parsers' own; what matters is said in uns
        chosen = "data"
        try:
            _check_container(path)
            chosen = _detect(path) if format == "auto" else format
            adata, found, said = _READERS[chosen](path, orientation, known)
            if chosen not in ("h5ad", "zarr", "h5mu"):  # AnnData stays as it is; describe leaves out the same
                keep, left_out = leave_out(adata.var_names, adata.var)
                adata = adata if keep.all() else adata[:, keep].copy()
                said += left_out
        except PoolproofError as error:
            raise InputError(f"{printable(path.name, 60)}: {error}") from error
        except Exception as error:  # parsers raise anything on bad content
            reason = printable(" ".join(str(error).split()) or "no reason given", 120)
            raise InputError(
                f"{printable(path.name, 60)}: expected readable {chosen}; found "
                f"{type(error).__name__}: "
                f"{reason}; the file may have been cut, or its ending may be wrong"
            ) from error
        said += _name_uniquely(adata)
    said += markup_warnings(adata.obs_names, "sample") + markup_warnings(adata.var_names, "gene")
    adata.uns["poolproof_read"] = {
        "path": path.name,
        "format": chosen,
        "orientation": found,
        "warnings": said,
    }
    return adata


def _check_exists(path: Path) -> None:
    """Refuse a path that does not exist or is empty, suggesting names that come close."""
    try:
        if not path.exists():
            beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            near = ", ".join(
                printable(name, 60) for name in get_close_matches(path.name, beside, n=3, cutoff=0.6)
            )
            raise InputError(
                f"expected a file or folder; {printable(path, 200)} does not exist; "
                + (f"did you mean: {near}" if near else "check the path")
            )
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(
                f"{printable(path.name, 60)}: expected data; found an empty file; check how it was made"
            )
        if not path.is_file() and not path.is_dir():
            raise InputError(f"{printable(path.name, 60)}: expected a file or folder; found something else")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"expected a readable path; found {printable(path, 100)!r} ({type(error).__name__})"
        ) from error


def _check_container(path: Path) -> None:
    """Look through an HDF5 file or a zarr folder before any reader follows what it says."""
    if path.is_dir():
        if _is_zarr(path):
            check_zarr(path)
    elif _head(path) == _HDF5:
        check_hdf5(path)


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).exists() for name in (".zgroup", "zarr.json", ".zmetadata"))


def _head(path: Path) -> bytes:
    """The first bytes of a file; MuData puts 512 of its own before those of HDF5."""
    with path.open("rb") as file:
        head = file.read(8)
    return _HDF5 if head.startswith(b"MuData") else head


def _detect(path: Path) -> str:
    """Return the format of a path: by its content where that is telling, else by its name."""
    if path.is_dir():
        if _is_zarr(path):
            return "zarr"
        if _tenx.find_10x(path):
            return _tenx.layout_of(path)
        if find_sample_files(path):
            return "sample-files"
        inside = ", ".join(printable(p.name, 40) for p in sorted(path.iterdir())[:5]) or "nothing"
        raise InputError(
            "expected a zarr AnnData, a matrix of cells with its two lists, or tables of samples as a "
            f"quantifier names them; the folder holds {inside}; see docs/reference/inputs.md"
        )
    head = _head(path)
    suffixes = [s.lower() for s in path.suffixes]
    suffix = next((s for s in reversed(suffixes) if s != ".gz"), "")
    if head == _HDF5:
        return _detect_hdf5(path)
    if head[:4] == _PARQUET:
        return "parquet"
    if suffix in _WAYS_OUT or head[:4] == _ZIP:
        way_out = _WAYS_OUT.get(suffix, "unpack it first")
        raise InputError(f"this format is not read; {way_out} (formats: {', '.join(FORMATS)})")
    if suffix in (".h5ad", ".h5", ".hdf5"):
        raise InputError(
            "expected an HDF5 file; its content is not HDF5; the file may have been cut or renamed"
        )
    if suffix == ".parquet":
        raise InputError(
            "expected a parquet file; its content is not parquet; it may have been cut or renamed"
        )
    if suffix == ".mtx":
        return _tenx.layout_of(path)
    if "series_matrix" in path.name.lower() or head.startswith((b"!Series_", b"!Sample_")):
        return "series-matrix"
    form = sample_file_of(path)
    if form is not None:
        way_out = form.way_out or "give the folder that holds the files of all samples"
        raise InputError(f"expected several samples; found one ({form.name}, {form.tool}); {way_out}")
    if suffix == ".gct" or head.startswith((b"#1.2", b"#1.3")):
        return "gct"
    return "text" if long_table_of(path) is None else "long-table"


def _detect_hdf5(path: Path) -> str:
    with h5py.File(path, "r") as file:
        names = set(file)
        if "mod" in names:
            return "h5mu"
        if {"obs", "var"} <= names:
            return "h5ad"
        if is_loom(file):
            return "loom"
        if "matrix" in names or any(isinstance(g, h5py.Group) and "barcodes" in g for g in file.values()):
            return "10x-h5"
    other = next((form for form in OTHER_HDF5 if set(form.holds) <= names), None)
    if other is not None:
        raise InputError(f"this is {other.name} ({other.tool}), which is not read; {other.way_out}")
    listed = ", ".join(printable(name, 30) for name in sorted(names)[:5]) or "nothing"
    raise InputError(f"expected an AnnData or a 10x matrix inside the HDF5 file; it holds {listed}")


# --- from what the parsers return to AnnData -------------------------------------------------------

_Read = tuple[AnnData, str, list[str]]
_Reader = Callable[[Path, str, "Known"], _Read]


def _read_anndata(reader: Callable[[Path], AnnData]) -> _Reader:
    """Wrap a reader of AnnData files: check the matrices, make sparse ones CSR, transpose on request."""

    def read_container(path: Path, orientation: str, known: Known) -> _Read:
        adata = reader(path)
        if adata.n_obs == 0 or adata.n_vars == 0:
            raise InputError(f"expected samples and genes; found {adata.n_obs} x {adata.n_vars}")
        if adata.X is not None:
            adata.X = _checked(adata.X, "X")
        for name in list(adata.layers):
            adata.layers[name] = _checked(adata.layers[name], f"layer {printable(name, 40)!r}")
        if adata.raw is not None:
            _checked(adata.raw.X, "raw")
        if adata.X is not None and not adata.layers and adata.raw is None:
            _refuse_infinite(adata)
        if orientation == GENES_IN_ROWS:
            return adata.T.copy(), GENES_IN_ROWS, ["rows and columns were exchanged, as --orientation asked"]
        return adata, GENES_IN_COLUMNS, []

    return read_container


_RNA = ("rna", "gex", "gene expression", "rna_counts")
"""Modalities of gene expression: muon, mudata 0.3."""


def _read_mudata(path: Path, orientation: str, known: Known) -> _Read:
    """Read one modality of a MuData file."""
    with h5py.File(path, "r") as file:
        names = list(file["mod"])
        chosen = known.modality
        if chosen is None:
            chosen = next((name for name in names if name.lower() in _RNA), None)
        if chosen not in names:
            listed = ", ".join(printable(name, 30) for name in names[:8]) or "none"
            raise InputError(f"expected the name of a modality; the file has {listed}; pass --modality NAME")
        adata, found, said = _read_anndata(lambda _: read_elem(file["mod"][chosen]))(path, orientation, known)
    listed = ", ".join(printable(name, 30) for name in names if name != chosen) or "no other"
    return adata, found, [f"modality {printable(chosen, 30)!r} was read; --modality takes {listed}", *said]


def _checked(matrix: Any, where: str) -> np.ndarray | sp.csr_matrix:
    """Return a matrix of real numbers, CSR if sparse; its structure is checked to the last index."""
    if not is_sparse(matrix) and not isinstance(matrix, np.ndarray):
        raise InputError(f"expected a matrix in {where}; found {type(matrix).__name__}")
    if matrix.dtype.kind not in "biuf":
        raise InputError(f"expected real numbers in {where}; found {printable(matrix.dtype, 40)}")
    if isinstance(matrix, np.ndarray):
        return matrix
    if matrix.dtype == np.float16:
        matrix.data = matrix.data.astype(np.float64)  # SciPy does not compute with half precision
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # a mutated file must not lead compiled code out of bounds
    return matrix.tocsr()


def _refuse_infinite(adata: AnnData) -> None:
    matrix: Any = adata.X
    if matrix.dtype.kind != "f":
        return
    bad = np.isinf(matrix.data) if is_sparse(matrix) else np.isinf(matrix)
    if bad.any():
        first = np.flatnonzero(bad)[0]
        if is_sparse(matrix):
            row, column = (
                int(np.searchsorted(matrix.indptr, first, side="right")) - 1,
                int(matrix.indices[first]),
            )
        else:
            row, column = divmod(int(first), adata.n_vars)
        raise InputError(
            f"expected finite numbers; sample {printable(adata.obs_names[row], 40)!r}, gene "
            f"{printable(adata.var_names[column], 40)!r} is infinite; write NaN where a value is missing"
        )


def _read_table(reader: Callable[[Path], Table]) -> _Reader:
    """Wrap a reader of tables: decide which way round they are."""

    def read_oriented(path: Path, orientation: str, known: Known) -> _Read:
        table = reader(path)
        said = list(table.warnings)
        if orientation == "auto":
            if reader in (_other.read_gct, _other.read_series_matrix):
                orientation = GENES_IN_ROWS  # the format says so
            else:
                orientation, sentence = guess_orientation(table, known.genes, known.samples)
                said.append(sentence)
        return _to_anndata(table, orientation), orientation, said

    return read_oriented


def _to_anndata(table: Table, orientation: str) -> AnnData:
    rows = _frame(table.row_notes, table.row_names)
    columns = _frame(table.column_notes, table.column_names)
    if orientation == GENES_IN_ROWS:
        return AnnData(np.ascontiguousarray(table.values.T), obs=columns, var=rows)
    return AnnData(table.values, obs=rows, var=columns)


def _frame(notes: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    notes = notes.copy() if notes.shape[1] else pd.DataFrame(index=range(len(names)))
    notes.index = pd.Index([name if name.strip() else "unnamed" for name in names], dtype=object)
    notes.columns = pd.Index(unique_names(notes.columns)[0], dtype=object)
    return notes


def _read_10x(reader: Callable[[Path], tuple[AnnData, list[str]]]) -> _Reader:
    def read_cells(path: Path, orientation: str, known: Known) -> _Read:
        adata, said = reader(path)
        if adata.n_obs == 0 or adata.n_vars == 0:
            raise InputError(f"expected cells and genes; found {adata.n_obs} x {adata.n_vars}")
        adata.X = _checked(adata.X, "the matrix")
        _refuse_infinite(adata)
        if orientation != "auto":
            said.append("--orientation was not used: the 10x formats say which are the genes")
        return adata, GENES_IN_ROWS, said

    return read_cells


_READERS: dict[str, _Reader] = {
    "h5ad": _read_anndata(anndata.read_h5ad),
    "zarr": _read_anndata(anndata.read_zarr),
    "loom": _read_anndata(read_loom),
    "h5mu": _read_mudata,
    "text": _read_table(_formats.read_text),
    "gct": _read_table(_other.read_gct),
    "series-matrix": _read_table(_other.read_series_matrix),
    "parquet": _read_table(_other.read_parquet),
    "10x": _read_10x(_tenx.read_10x_folder),
    "kallisto-bustools": _read_10x(_tenx.read_10x_folder),
    "alevin-fry": _read_10x(_tenx.read_10x_folder),
    "parse": _read_10x(_tenx.read_10x_folder),
    "long-table": _read_10x(read_long_table),
    "sample-files": _read_10x(read_sample_files),
    "10x-h5": _read_10x(_tenx.read_10x_h5),
}


# --- names -----------------------------------------------------------------------------------------

_MARKUP = re.compile(r"[<>]")


def unique_names(names: Iterable[object]) -> tuple[list[str], int]:
    """Return names made unique by the suffixes ``-1``, ``-2``, ..., and how many were changed.

    Examples
    --------
    >>> unique_names(["a", "b", "a", "a-1", "a"])
    (['a', 'b', 'a-2', 'a-1', 'a-3'], 2)
    """
    given = [str(name) for name in names]
    taken = set(given)
    if len(taken) == len(given):
        return given, 0
    seen: set[str] = set()
    last: dict[str, int] = {}
    result = []
    for name in given:
        new = name
        if name in seen:
            number = last.get(name, 0) + 1
            while f"{name}-{number}" in taken:
                number += 1
            last[name] = number
            new = f"{name}-{number}"
            taken.add(new)
        seen.add(new)
        result.append(new)
    return result, sum(new != old for new, old in zip(result, given, strict=True))


def _name_uniquely(adata: AnnData) -> list[str]:
    """Make the names of an AnnData unique, in place, and return the sentences that say so."""
    said = []
    for axis, word in (("obs_names", "sample"), ("var_names", "gene")):
        names, n_changed = unique_names(getattr(adata, axis))
        setattr(adata, axis, pd.Index(names, dtype=object))
        if n_changed:
            said.append(duplicates_sentence(n_changed, word))
    return said


def duplicates_sentence(n_changed: int, word: str) -> str:
    """Return the sentence that reports names made unique."""
    return f"{n_changed} duplicated {word} names were made unique with the suffixes -1, -2, ..."


def markup_warnings(names: Iterable[str], word: str) -> list[str]:
    """Return a sentence if names hold control characters or markup; the names stay as they are.

    Examples
    --------
    >>> markup_warnings(["TP53", "<b>MYC</b>"], "gene")
    ['1 gene names contain markup or control characters and are kept as they are']
    """
    n = sum(1 for name in names if not name.isprintable() or _MARKUP.search(name))
    return [f"{n} {word} names contain markup or control characters and are kept as they are"] if n else []


def read_named(
    path: str | PathLike[str], name: str, notes: Sequence[str]
) -> tuple[AnnData, str, tuple[str, ...]]:
    """The content of a file, its name unless it has one, and what was noted while it was read."""
    adata = read(Path(path))
    told = adata.uns["poolproof_read"]
    return adata, name or printable(told["path"], 255), (*told["warnings"], *notes)
