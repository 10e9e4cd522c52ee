"""HDF5 files and zarr folders, looked through before they are read: no circles, no other files, no bombs.

The readers follow what a container says of itself. A damaged or hostile one may send them in circles, into
other files, or have them fill memory with values that were never stored. On some damaged files the HDF5
library itself never returns, or crashes: a process of its own looks first (a quarter of a second).
"""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from .._checks import InputError, printable


@dataclass(frozen=True)
class OtherHdf5:
    """HDF5 files of other tools, which are refused by name."""

    holds: tuple[str, ...]
    """Names at the root that tell."""
    name: str
    tool: str
    """Who writes it, with the version that was looked at."""
    way_out: str


OTHER_HDF5 = (
    OtherHdf5(
        ("data", "meta"), "a collection of samples", "ARCHS4", "take samples with archs4py, and save a csv"
    ),
    OtherHdf5(("0",), "a GCTX table", "cmapPy 4.0", "write it as GCT, or its data frame as csv"),
    OtherHdf5(
        ("assays", "meta.data"),
        "an h5Seurat file",
        "SeuratDisk",
        "SeuratDisk::Convert(dest = 'h5ad')",
    ),
    OtherHdf5(
        ("barcode_idx", "feature_idx"),
        "a list of molecules",
        "Cell Ranger",
        "take filtered_feature_bc_matrix.h5 of the same run",
    ),
    OtherHdf5(
        ("est_counts", "aux"),
        "counts of transcripts of one sample",
        "kallisto 0.48",
        "sum transcripts to genes: tximport",
    ),
)
"""In the order in which they are tried."""
PATIENCE = 60.0
"""Seconds that looking through an HDF5 file may take."""
MAX_DEPTH = 50
"""Groups inside groups; AnnData needs about five."""
MAX_ITEMS = 200_000
"""Groups and arrays in all."""
SMALL_BYTES, SMALL_CHUNKS = 1 << 30, 1 << 20
"""Arrays up to this size are not asked how they are stored."""
MAX_RATIO = 2_000
"""Largest believable ratio of values to what is stored; deflate reaches about 1,000."""


def check_hdf5(path: Path) -> None:
    """Refuse an HDF5 file that does not hold its values itself, or claims absurdly many.

    Raises
    ------
    InputError
        The HDF5 library hangs or crashes on the file; groups are nested without end; values lie in another
        file; an array is far larger than the file.
    """
    if not _survives(path):
        raise InputError(
            "expected an HDF5 file; on this one the HDF5 library hangs or crashes: the file is damaged; "
            "copy it again, or write it anew"
        )
    with h5py.File(path, "r") as file:
        _check(file, _hdf5_members, path.stat().st_size)


def check_zarr(path: Path) -> None:
    """Refuse a zarr folder that is nested without end or claims absurdly many values.

    Raises
    ------
    InputError
        As for `check_hdf5`; or a part of a sparse matrix is missing, which zarr would read as zeros.
    """
    import zarr

    logging.getLogger("asyncio").addFilter(_is_no_loose_end_of_zarr)
    stored = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    _check(zarr.open_group(str(path), mode="r"), _zarr_members, stored)


SPARSE = ("csr_matrix", "csc_matrix")
"""Encodings of sparse matrices; what they store is no zeros, so that each chunk of it is written."""


def _is_no_loose_end_of_zarr(record: logging.LogRecord) -> bool:
    """Drop what asyncio says of zarr's other tasks after one has failed: the failure itself is reported."""
    message = record.getMessage()
    return not ("never retrieved" in message and "zarr" in message)


def _survives(path: Path) -> bool:
    """Whether another process can look through an HDF5 file; also true if none can be started."""
    command = [sys.executable, "-P", "-m", "poolproof.data.containers", str(path.absolute())]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
        return done.returncode >= 0
    except subprocess.TimeoutExpired:
        return False
    except OSError:
        return True


def _look_through(path: str) -> None:
    """Read the attributes and the texts of an HDF5 file: what the library reads without checking."""

    def look(name: str, item: Any) -> None:
        with suppress(Exception):
            for attribute in item.attrs:
                item.attrs[attribute]
            if isinstance(item, h5py.Dataset) and item.dtype.kind == "O":
                item[()]

    with h5py.File(path, "r") as file:
        look("/", file)
        file.visititems(look)


def _hdf5_members(group: h5py.Group) -> Iterator[tuple[str, Any]]:
    for name in group:
        elsewhere = isinstance(group.get(name, getlink=True), h5py.ExternalLink)
        item = None if elsewhere else group[name]
        if elsewhere or (isinstance(item, h5py.Dataset) and (item.is_virtual or item.external)):
            raise InputError(
                f"expected all values in one file; {printable(name, 60)!r} is a link to another file; "
                "save the data as one file"
            )
        yield name, item


def _zarr_members(group: Any) -> Iterator[tuple[str, Any]]:
    # to the end: a generator left half-way leaves tasks behind
    members = [*group.groups(), *group.arrays()]
    if group.attrs.get("encoding-type") in SPARSE:
        for name, item in members:
            if name == "data" and item.shards is None and item.nchunks_initialized < item.nchunks:
                raise InputError(
                    f"expected {item.nchunks:,} chunks of {printable(item.path, 60)!r}; found "
                    f"{item.nchunks_initialized:,}: the folder is not whole; copy it again"
                )
    yield from members


def _check(root: Any, members: Any, stored: int) -> None:
    """Look at every group and array once; ``stored`` is the size of the container in bytes."""
    waiting, n = [(root, 0)], 0
    while waiting:
        group, depth = waiting.pop()
        for name, item in members(group):
            n += 1
            if n > MAX_ITEMS or depth > MAX_DEPTH:
                raise InputError(
                    f"expected at most {MAX_ITEMS:,} items in groups at most {MAX_DEPTH} deep; found more; "
                    "a group may contain itself"
                )
            if hasattr(item, "shape"):
                _check_size(name, item, stored)
            else:
                waiting.append((item, depth + 1))


def _check_size(name: str, array: Any, stored: int) -> None:
    """Refuse an array of which next to nothing can have been stored."""
    shape = array.shape or ()
    n_bytes = math.prod(shape) * array.dtype.itemsize
    chunks = array.chunks or shape
    n_chunks = math.prod(-(-n // max(1, of)) for n, of in zip(shape, chunks, strict=False))
    if (n_bytes > SMALL_BYTES and n_bytes > MAX_RATIO * stored) or (
        n_chunks > SMALL_CHUNKS and n_chunks > stored
    ):
        raise InputError(
            f"expected values in the file; {printable(name, 60)!r} claims a shape of {shape}, for which "
            f"{stored:,} bytes are too few; the file may have been cut or damaged"
        )


if __name__ == "__main__":
    _look_through(sys.argv[1])
