"""Make the files of this folder from the collected originals, smaller and with the same content.

Run ``python data/make_files.py --source FOLDER``, where FOLDER holds the originals (``*.h5ad`` and
``network_*.csv``). An h5ad file is compressed anew (large chunks, gzip 9, bytes shuffled where that helps); a
network is gzipped, without the rows whose distributor states no licence. Every file is then compared with its
original: each group, attribute and value with its type. With ``--check`` nothing is written, only compared.
The size and sha256 of each file are printed, as the registry ``src/poolproof/data/datasets.yaml`` needs them.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

FOLDER = Path(__file__).resolve().parent
EMBEDDED = ("bulk_saureus_imodulon", "sc_mixology_10x_3lines")
"""In the package itself, ``src/poolproof/data``."""
LEFT_OUT = ("bulk_islet_fadista",)
"""No licence is stated: not ours to pass on."""
UNLICENSED = b"MERLIN-P-TFA"
"""In the evidence of rows that come from a repository which states no licence: they are left out."""
LONGEST_CHUNK = 1 << 20
"""Entries of a chunk of a one-dimensional array: what is read at once to get at one value."""


def main() -> int:
    """Make or check every file; the exit code is 1 if one of them differs from its original."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--source", type=Path, required=True, help="folder with the originals")
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--only", default="", help="names, separated by commas")
    arguments = parser.parse_args()
    only = arguments.only.split(",") if arguments.only else None
    wrong = 0
    for original, made in pairs(arguments.source):
        if only is None or original.stem in only:
            if not arguments.check:
                make(original, made)
            difference = compare(original, made)
            wrong += difference is not None
            sys.stdout.write(f"{described(made)}  {difference or 'same content'}\n")
            sys.stdout.flush()
    return int(wrong > 0)


def pairs(source: Path) -> Iterator[tuple[Path, Path]]:
    """Path of each original, and of the file made from it."""
    for original in sorted(source.glob("*.h5ad")):
        if original.stem not in (*EMBEDDED, *LEFT_OUT):
            yield original, FOLDER / original.name
    for original in sorted(source.glob("network_*.csv")):
        yield original, FOLDER / f"{original.name}.gz"


def make(original: Path, made: Path) -> None:
    """Write aside and move into place."""
    aside = made.with_name(f".{made.name}.part")
    if original.suffix == ".h5ad":
        with h5py.File(original) as source, h5py.File(aside, "w") as target:
            copy_group(source, target)
    else:
        aside.write_bytes(gzip.compress(licensed(original), 9, mtime=0))  # no time: same bytes every time
    os.replace(aside, made)


def licensed(network: Path) -> bytes:
    """The lines of a network whose distributor states a licence."""
    lines = network.read_bytes().splitlines(keepends=True)
    return b"".join(line for line in lines if UNLICENSED not in line)


def copy_group(source: h5py.Group, target: h5py.Group) -> None:
    """Everything below a group, arrays compressed."""
    copy_attributes(source, target)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            copy_group(item, target.create_group(name))
        else:
            made = target.create_dataset(name, data=item[()], dtype=item.dtype, **storage(item))
            copy_attributes(item, made)


def copy_attributes(source: h5py.HLObject, target: h5py.HLObject) -> None:
    """Attributes keep their type: AnnData tells from them what a group is."""
    for name in source.attrs:
        target.attrs.create(name, source.attrs[name], dtype=source.attrs.get_id(name).dtype)


def storage(item: h5py.Dataset) -> dict[str, object]:
    """Options of compression; none for what is too small to gain by it."""
    if not item.shape or item.size < 64:
        return {}
    chunks = (min(item.size, LONGEST_CHUNK),) if item.ndim == 1 else item.shape
    return {"compression": "gzip", "compression_opts": 9, "shuffle": gains_by_shuffle(item), "chunks": chunks}


def gains_by_shuffle(item: h5py.Dataset) -> bool:
    """Whether numbers compress better with their first bytes together, then their second bytes, and so on."""
    if item.dtype.kind not in "iuf":
        return False
    content = item[()].tobytes()
    shuffled = np.frombuffer(content, np.uint8).reshape(-1, item.dtype.itemsize).T.tobytes()
    return len(zlib.compress(shuffled, 6)) < len(zlib.compress(content, 6))


def compare(original: Path, made: Path) -> str | None:
    """What differs first; None if nothing does."""
    if original.suffix != ".h5ad":
        return None if gzip.decompress(made.read_bytes()) == licensed(original) else "content differs"
    with h5py.File(original) as a, h5py.File(made) as b:
        return compare_items(a, b)


def compare_items(a: h5py.HLObject, b: h5py.HLObject) -> str | None:
    """What differs first at or below two items of the same name."""
    if type(a) is not type(b):
        return f"{a.name}: a group against an array"
    if set(a.attrs) != set(b.attrs) or not all(same(a.attrs[name], b.attrs[name]) for name in a.attrs):
        return f"{a.name}: attributes differ"
    if isinstance(a, h5py.Dataset):
        return None if a.dtype == b.dtype and same(a[()], b[()]) else f"{a.name}: values differ"
    if set(a) != set(b):
        return f"{a.name}: other entries"
    return next((found for name in a if (found := compare_items(a[name], b[name]))), None)


def same(a: object, b: object) -> bool:
    """Equal type, shape and values, bit by bit for numbers: NaN equals NaN."""
    left, right = np.asarray(a), np.asarray(b)
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind == "O":
        return left.tolist() == right.tolist()
    return left.tobytes() == right.tobytes()


def described(path: Path) -> str:
    """Name, size and checksum."""
    content = path.read_bytes()
    return f"{path.name} {len(content)} {hashlib.sha256(content).hexdigest()}"


if __name__ == "__main__":
    sys.exit(main())
