"""Input that comes through a pipe: copied to a file first, as most readers look at a file more than once."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .._checks import InputError

STANDARD_INPUT = "-"


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the path of a file that can be read from any place, as often as one likes.

    Parameters
    ----------
    path
        A file or folder, which is given back; ``-`` for standard input, or a pipe (``<(zcat table.csv.gz)``):
        then a copy, gone in the end, whose name is ``standard-input`` or ``pipe``.

    Raises
    ------
    InputError
        Standard input is a terminal, or nothing comes through the pipe, or there is no room for the copy.

    Examples
    --------
    >>> with whole_file("counts.csv") as path:
    ...     path.name
    'counts.csv'
    """
    given = Path(path)
    if str(path) == STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.isatty():
            raise InputError("expected data on standard input; found a terminal; pipe a file into it")
        with _copied(sys.stdin.buffer, "standard-input") as copy:
            yield copy
    elif _is_pipe(given):
        with given.open("rb") as stream, _copied(stream, "pipe") as copy:
            yield copy
    else:
        yield given


def _is_pipe(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):  # whoever reads it says so
        return False


@contextmanager
def _copied(stream: BinaryIO, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="poolproof-") as folder:
        copy = Path(folder) / name
        try:
            with copy.open("wb") as file:
                shutil.copyfileobj(stream, file)
        except OSError as error:
            place = tempfile.gettempdir()
            raise InputError(
                f"{name}: expected room for a copy in {place}; found: {error.strerror}; write it to a file"
            ) from error
        if not copy.stat().st_size:
            raise InputError(f"{name}: expected data; found nothing; check the command before the pipe")
        yield copy
