"""Parts of a long computation, kept on disk until the whole is done: an interrupted run goes on from them."""

from __future__ import annotations

import io
import json
import os
import pickle
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ._phases import PHASES

WORTH = 1.0
"""Seconds: what is computed faster is not kept."""
DAYS = 14
"""Parts of a run that nobody went on with are removed after so many."""
_SUFFIX = ".part"
_LIBRARIES = ("numpy", "scipy", "pandas")
_RESULTS_OF = frozenset({*_LIBRARIES, "poolproof", "collections", "datetime", "_codecs"})
_PLAIN = frozenset({"slice", "set", "frozenset", "complex", "bytearray", "range"})

Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Parts:
    """The kept parts of one computation. Without a folder nothing is kept, and everything is computed."""

    folder: Path | None = None
    known: Mapping[str, Any] = field(default_factory=dict)
    """Objects that a later run will have by itself: parts hold their names instead."""

    @classmethod
    def of(cls, home: Path, inputs: Iterable[Any]) -> Parts:
        """The parts of a computation of these inputs; ``home`` holds a folder for each.

        They are found again by a digest of the inputs, of the code of this package and of the versions of
        the libraries that compute.
        """
        _sweep(home)
        return cls(home / digest([_code(), *inputs]))

    def knowing(self, **known: Any) -> Parts:
        """The same parts, of which these objects need not be kept."""
        return Parts(self.folder, known)

    def names(self) -> list[str]:
        """Names of the parts that an earlier run left, the oldest first."""
        if self.folder is None:
            return []
        with suppress(OSError):
            files = sorted(_ours(self.folder.glob(f"*{_SUFFIX}")), key=lambda path: path.stat().st_mtime_ns)
            return [name for path in files if (name := self._load(path, whole=False)) is not None]
        return []

    def __call__(self, name: str, make: Callable[[], Made]) -> Made:
        """Give the part of this name: as an earlier run left it, or else as ``make`` computes it."""
        if self.folder is None:
            return make()
        path = self.folder / f"{digest([name])}{_SUFFIX}"
        if _ours([path]) and (found := self._load(path)) is not None:
            PHASES.info("%s: taken from an interrupted run", name)
            return cast("Made", found[0])
        began = time.perf_counter()
        made = make()
        if made is not None and time.perf_counter() - began >= WORTH:
            self._save(path, name, made)
        return made

    def remove(self) -> None:
        """Remove the parts: the whole is done, or cannot be."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _load(self, path: Path, *, whole: bool = True) -> Any:
        """What a part holds, as a list of one; or its name alone; None where it cannot be read."""
        try:
            with open(path, "rb") as stream:
                name = json.loads(stream.readline())
                return [_Loading(stream, self.known).load()] if whole else name
        except Exception:  # cut, or of classes that are no more: computed again
            return None

    def _save(self, path: Path, name: str, made: Any) -> None:
        """Write a part aside and move it into place; where that fails the run goes on without."""
        aside = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=path.parent)
            with open(handle, "wb") as stream:
                stream.write(json.dumps(name).encode() + b"\n")
                _Saving(stream, self.known).dump(made)
            os.replace(aside, path)
        except (OSError, pickle.PicklingError, TypeError, AttributeError) as error:
            PHASES.info("%s: not kept for a later run (%s)", name, type(error).__name__)
            if aside is not None:
                with suppress(OSError):
                    os.unlink(aside)


class _Saving(pickle.Pickler):
    """Writes names in place of objects that a later run has by itself."""

    def __init__(self, stream: Any, known: Mapping[str, Any]) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._names = {id(thing): name for name, thing in known.items()}

    def persistent_id(self, thing: Any) -> str | None:
        return self._names.get(id(thing))


class _Loading(pickle.Unpickler):
    """Puts those objects in again."""

    def __init__(self, stream: io.BufferedReader, known: Mapping[str, Any]) -> None:
        super().__init__(stream)
        self._known = known

    def find_class(self, module: str, name: str) -> Any:
        """Classes of results alone: nothing else of Python is called by a file."""
        package = module.partition(".")[0]
        if package in _RESULTS_OF or (module == "builtins" and name in _PLAIN):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"a part holds no {module}.{name}")

    def persistent_load(self, name: Any) -> Any:
        return self._known[name]


def digest(things: Sequence[Any]) -> str:
    """A digest of values, hexadecimal: arrays, tables, mappings, sequences, text, numbers.

    Values of the same type and content have the same digest; sparse matrices also the same layout.

    Raises
    ------
    TypeError
        A value is of another type.

    Examples
    --------
    >>> digest([np.arange(3), {"a": 1}]) == digest([np.arange(3), {"a": 1}])
    True
    >>> digest(["ab", "c"]) == digest(["a", "bc"])
    False
    """
    summed = blake2b(digest_size=16)
    _feed(summed, things)
    return summed.hexdigest()


def _feed(summed: Any, thing: Any) -> None:
    """Add a value to a digest: its type, its length, its content."""
    if isinstance(thing, Mapping):
        _mark(summed, "mapping", len(thing))
        for key in sorted(thing, key=str):
            _feed(summed, key)
            _feed(summed, thing[key])
    elif isinstance(thing, (list, tuple, pd.Index)):
        _mark(summed, "sequence", len(thing))
        for part in thing:
            _feed(summed, part)
    elif isinstance(thing, pd.DataFrame):
        _mark(summed, "table", thing.shape)
        _feed(summed, thing.index)
        for column in range(thing.shape[1]):
            _feed(summed, thing.columns[column])
            _feed(summed, thing.iloc[:, column])
    elif isinstance(thing, pd.Series):
        _mark(summed, "column", thing.dtype)
        _feed(summed, np.asarray(thing) if thing.dtype.kind in "biuf" else thing.astype(str).tolist())
    elif sp.issparse(thing):
        layout: Any = thing
        held = layout if layout.format in ("csr", "csc") else layout.tocsr()
        _mark(summed, held.format, held.shape)
        for part in (held.indptr, held.indices, held.data):
            _feed(summed, part)
    elif isinstance(thing, np.ndarray) and thing.dtype.kind in "OUST":
        _mark(summed, "array", thing.shape)
        _feed(summed, thing.ravel().tolist())
    elif isinstance(thing, (np.ndarray, np.generic)):
        _mark(summed, thing.dtype, thing.shape)
        summed.update(np.ascontiguousarray(thing).reshape(-1).view(np.uint8).data)
    elif thing is None or isinstance(thing, (bool, int, float, complex, str, bytes, os.PathLike, type)):
        said = str(thing)
        _mark(summed, type(thing).__name__, len(said))
        summed.update(said.encode("utf-8", "surrogatepass"))
    else:
        raise TypeError(f"no digest of {type(thing).__name__}")


def _mark(summed: Any, kind: Any, size: Any) -> None:
    summed.update(f"<{kind} {size}>".encode())


@cache
def _code() -> str:
    """A digest of the code that computes: this package's files, and the versions of libraries."""
    home = Path(__file__).parent
    files = [(str(path.relative_to(home)), path.read_bytes()) for path in sorted(home.rglob("*.py"))]
    return digest([files, [version(name) for name in _LIBRARIES], platform.python_version()])


def _ours(paths: Iterable[Path]) -> list[Path]:
    """Those files that exist and are the user's own: nobody else's are loaded."""
    mine = []
    for path in paths:
        with suppress(OSError):
            if path.stat().st_uid == os.getuid():
                mine.append(path)
    return mine


def _sweep(home: Path) -> None:
    """Remove parts that have waited too long."""
    oldest = time.time() - DAYS * 24 * 3600
    with suppress(OSError):
        for folder in home.iterdir():
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
