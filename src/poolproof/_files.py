"""Result files: written aside, moved into place together, verdict.json last as the mark of completion."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ._checks import InputError, printable
from ._digits import shortened_table

MARK = "verdict.json"
FIGURES = "figures"
RESULTS = (
    "report.html",
    "pairs.parquet",
    "genes.parquet",
    "levels.parquet",
    "population.parquet",
    "equations.parquet",
    "edges.parquet",
    "separations.parquet",
    "triples.parquet",
    "triple_genes.parquet",
    "distortion.parquet",
    "assignment.parquet",
    "pooling_curves.parquet",
    "discovered.parquet",
    "discovered.graphml",
    MARK,
)
NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""What a full, read-only or broken disk says."""


def check_utf8(folder: Path) -> None:
    """Refuse a folder whose name is not UTF-8: what writes and reads tables there takes no such name.

    Raises
    ------
    InputError
        A part of the path is not.
    """
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"expected a folder whose whole path is UTF-8; found {printable(folder, 400)}; results go into a "
            "folder of another name, whatever the names of the input"
        ) from error


@contextmanager
def result_folder(folder: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Give a place to write results to; on success they move into ``folder``, on failure nothing stays.

    Earlier results are removed only when the new ones are complete; other files are not touched. A run
    that is killed leaves no verdict.json that does not belong to its neighbours.

    Raises
    ------
    InputError
        The folder holds an earlier result and ``force`` is not set, or it cannot be written to.
    """
    folder = Path(folder).absolute()
    check_utf8(folder)
    prefix = f".{folder.name[:80]}.poolproof-"
    try:
        _check_free(folder, force)
        home = folder.resolve() if folder.is_dir() else folder.parent  # one file system for all
        made = [parent for parent in reversed(folder.parents) if not parent.exists()]
        home.mkdir(parents=True, exist_ok=True)
        with hold(home):  # no other run sweeps a new place before it is marked as alive
            for left_from in {home, folder.parent}:
                _sweep(left_from, prefix)
            place = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
            alive = take(place, wait=True)
    except OSError as error:
        raise not_written(folder, error) from error
    try:
        yield place
        _move_in(place, folder, force)
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True)
        for parent in reversed(made):
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
            raise not_written(folder, error) from error
        raise
    finally:
        os.close(alive)
    shutil.rmtree(place, ignore_errors=True)


@contextmanager
def hold(folder: Path, *, wait: bool = True) -> Iterator[int]:
    """Keep other runs from a folder, as `take` does, for the time of a block."""
    handle = take(folder, wait=wait)
    try:
        yield handle
    finally:
        os.close(handle)


def take(folder: Path, *, wait: bool) -> int:
    """Lock a folder; gives the file descriptor, which holds it until it is closed or the process ends.

    Raises
    ------
    BlockingIOError
        Another run holds it, and we do not wait.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def not_written(folder: Path, error: OSError) -> InputError:
    """What to say where results cannot be written."""
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return InputError(f"--out {printable(folder)} cannot be written to: {reason}; name another folder")


def _check_free(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {printable(folder)} is a file; name a folder")
    if (folder / FIGURES).exists() and not (folder / FIGURES).is_dir():
        raise InputError(f"--out {printable(folder)} holds a file named {FIGURES}; name another folder")
    for name in RESULTS:
        if (folder / name).is_dir():
            raise InputError(f"--out {printable(folder)} holds a folder named {name}; name another folder")
    present = [name for name in RESULTS if (folder / name).exists()]
    if present and not force:
        raise InputError(
            f"--out {printable(folder)} holds an earlier result ({present[0]}); "
            "name another folder, or pass --force"
        )


def _sweep(parent: Path, prefix: str) -> None:
    """Remove what killed runs left behind: folders that no living process holds."""
    for left in parent.iterdir():
        if not left.name.startswith(prefix):
            continue
        with suppress(OSError), hold(left, wait=False):  # else somebody holds it, or has removed it
            shutil.rmtree(left, ignore_errors=True)


def _move_in(place: Path, folder: Path, force: bool) -> None:
    """Replace the results of a folder under a lock, the mark first out and last in."""
    folder.mkdir(exist_ok=True)
    with hold(folder) as handle, _uninterrupted():
        _check_free(folder, force)
        for name in (MARK, *RESULTS):
            (folder / name).unlink(missing_ok=True)
        for old in (folder / FIGURES).glob("*.parquet"):
            old.unlink()
        if (place / FIGURES).exists():
            (folder / FIGURES).mkdir(exist_ok=True)
            for new in (place / FIGURES).glob("*.parquet"):
                os.replace(new, folder / FIGURES / new.name)
        for name in RESULTS:  # the mark comes last
            if (place / name).exists():
                os.replace(place / name, folder / name)
        os.fsync(handle)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off what the signals to stop would do, so that no change ends half-way."""
    if threading.current_thread() is not threading.main_thread():  # which alone may handle signals
        yield
        return
    came: list[int] = []
    stops = (signal.SIGINT, signal.SIGTERM)
    before = {stop: signal.signal(stop, lambda number, _: came.append(number)) for stop in stops}
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, signal.SIG_DFL if handler is None else handler)
        for number in came:
            signal.raise_signal(number)


def replace_file(path: Path, text: str) -> Path:
    """Write a file aside and move it into place."""
    try:
        handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(aside, 0o666 & ~mask)
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
    except OSError as error:
        raise InputError(f"{printable(path, 400)} cannot be written: {error.strerror}") from error
    return path


def write_parquet(table: pd.DataFrame, path: Path, thresholds: Mapping[str, float] | None = None) -> None:
    """Write one table; with ``thresholds`` in short numbers, see :func:`shortened_table`."""
    content, how = _for_file(table, thresholds)
    pq.write_table(content, path, compression="zstd", **how)


def _for_file(
    table: pd.DataFrame, thresholds: Mapping[str, float] | None
) -> tuple[pa.Table, dict[str, list[str]]]:
    """A table as the file has it, and how its columns are laid out."""
    if thresholds is None:
        return pa.Table.from_pandas(table, preserve_index=False), {}
    numbers = [name for name in table.columns if table[name].dtype == np.float64]
    content = pa.Table.from_pandas(shortened_table(table, thresholds), preserve_index=False)
    names = [name for name in table.columns if name not in numbers]
    return content, {"use_dictionary": names, "use_byte_stream_split": numbers}


class ParquetStream:
    """Write a table part by part, without ever holding it whole."""

    def __init__(self, path: Path, thresholds: Mapping[str, float] | None = None) -> None:
        self._path = path
        self._thresholds = thresholds
        self._writer: pq.ParquetWriter | None = None

    def __call__(self, part: pd.DataFrame) -> None:
        """Append rows."""
        table, how = _for_file(part, self._thresholds)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd", **how)
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> bool:
        """Finish the file; whether anything was written."""
        if self._writer is not None:
            self._writer.close()
        return self._writer is not None


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write JSON; NaN and infinity become null."""
    path.write_text(to_json(content) + "\n", encoding="utf-8")


def to_json(content: Any) -> str:
    """JSON text; NaN and infinity become null.

    Examples
    --------
    >>> print(to_json({"share": float("nan")}))
    {
      "share": null
    }
    """
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    # control characters and direction marks in names stay harmless on a terminal
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def plain(value: Any) -> Any:
    """Plain Python values, NaN as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
