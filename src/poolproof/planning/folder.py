"""How a result of planning is written: all files or none, the last one as the mark of completion."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .._checks import InputError, printable
from .._files import not_written


def check_folder(folder: Path, files: Sequence[str], *, force: bool) -> None:
    """Refuse a folder that holds such a result, or is none, before the work is done.

    Raises
    ------
    InputError
        It is a file, is in no folder, or holds one of the files and ``force`` is false.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {printable(folder, 400)} is a file; name a folder")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"--out {printable(folder, 400)} is in a folder that does not exist; make it first")
    present = [name for name in files if (folder / name).exists()]
    if present and not force:
        raise InputError(
            f"--out {printable(folder, 400)} holds an earlier result ({present[0]}); name another folder, or "
            "pass --force"
        )


def save_files(folder: str | Path, writers: dict[str, Callable[[Path], object]], *, force: bool) -> Path:
    """Write files aside and move them into a folder, which is made if need be.

    Parameters
    ----------
    writers
        By name of the file what writes it to a path; in the order in which they are moved.

    Raises
    ------
    InputError
        As :func:`check_folder`, or it cannot be written to.
    """
    place = Path(folder)
    check_folder(place, list(writers), force=force)
    try:
        place.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".planning.", dir=place) as aside:
            for name, write in writers.items():
                write(Path(aside) / name)
            for name in writers:
                os.replace(Path(aside) / name, place / name)
    except OSError as error:
        raise not_written(place, error) from error
    return place
