"""AnnData whose matrices stay in their file: tables are read, rows of values when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem, sparse_dataset

from .._checks import InputError, printable
from .containers import check_hdf5, check_zarr
from .io import duplicates_sentence, unique_names


@dataclass(frozen=True)
class Place:
    """A matrix inside an h5ad file or a zarr folder; it can be sent to another process and opened there."""

    path: str
    """Absolute."""
    name: str
    """``X``, ``layers/NAME`` or ``raw/X``."""

    def open(self) -> Any:
        """The matrix, not read; its file stays open as long as it is used."""
        return matrix_of(_root(Path(self.path))[self.name])


def stays_on_disk(path: Path) -> bool:
    """Whether a path is of a form whose matrices need not be read at once."""
    if path.is_dir():
        return any((path / name).exists() for name in (".zgroup", "zarr.json", ".zmetadata"))
    return path.suffix == ".h5ad" and path.is_file()


def _root(path: Path) -> Any:
    if path.is_dir():
        import zarr

        return zarr.open_group(str(path), mode="r")
    return h5py.File(path, "r")


@contextmanager
def open_backed(path: Path) -> Iterator[tuple[AnnData, list[str]]]:
    """An AnnData of an h5ad file or a zarr folder, and sentences on names that were made unique.

    Raises
    ------
    InputError
        The file is damaged or holds no AnnData.
    """
    shown = printable(path.name, 60)
    form = "zarr" if path.is_dir() else "h5ad"
    try:
        (check_zarr if path.is_dir() else check_hdf5)(path)
        root = _root(path)
    except InputError as error:
        raise InputError(f"{shown}: {error}") from error
    except Exception as error:  # readers raise anything on bad content
        raise _unreadable(shown, form, error) from error
    try:
        try:
            adata, notes = _without_values(root)
        except Exception as error:
            raise _unreadable(shown, form, error) from error
        yield adata, notes
    finally:
        if isinstance(root, h5py.File):
            root.close()


def _unreadable(shown: str, form: str, error: Exception) -> InputError:
    reason = printable(" ".join(str(error).split()) or "no reason given", 120)
    return InputError(
        f"{shown}: expected a readable {form} file; found {type(error).__name__}: {reason}; "
        f"it may have been cut"
    )


def _without_values(root: Any) -> tuple[AnnData, list[str]]:
    """Tables of an open container, read; its matrices, not read; names made unique."""
    tables: dict[str, Any] = {"obs": read_elem(root["obs"]), "var": read_elem(root["var"])}
    notes = []
    for table, word in (("obs", "sample"), ("var", "gene")):
        names, n_changed = unique_names(tables[table].index)
        tables[table].index = pd.Index(names, dtype=object)
        notes += [duplicates_sentence(n_changed, word)] if n_changed else []
    raw = {"X": matrix_of(root["raw/X"]), "var": read_elem(root["raw/var"])} if "raw/X" in root else None
    layers = root["layers"] if "layers" in root else {}  # noqa: SIM401
    adata = AnnData(
        X=matrix_of(root["X"]) if "X" in root else None,
        **tables,
        layers={name: matrix_of(layers[name]) for name in layers},
        uns=read_elem(root["uns"]) if "uns" in root else {},
        raw=raw,
    )
    return adata, notes


def matrix_of(item: Any) -> Any:
    """A matrix that stays on disk: a dense one is an array, a sparse one a group."""
    return sparse_dataset(item) if hasattr(item, "keys") else item
