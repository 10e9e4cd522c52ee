"""Files of the registry: in the package, a checkout, poolproof-data or the cache; else downloaded."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from .._checks import InputError, printable
from .registry import PACKAGE, USER, Entry

BASE_ADDRESS = ""
"""Address of the folder with the project's data files; the project has no public one yet."""
ADDRESS_VARIABLE = "POOLPROOF_DATA_URL"
"""Environment variable that overrides the base address: http(s)://, file:// or a folder."""
COMPANION = "poolproof_data"
"""Name under which the wheel poolproof-data, made from the folder data/, is installed."""
CACHE_VARIABLE = "POOLPROOF_CACHE"
"""Environment variable that overrides the folder of downloaded files."""
TIMEOUT = 30.0
"""Seconds without an answer after which a download is given up."""
LONGEST = 400
"""Characters of an address or path in a message."""


def locate(entry: Entry, *, progress: bool = False) -> Path:
    """Path of the file of an entry, its checksum verified; downloaded where it is nowhere else.

    Parameters
    ----------
    entry
        A data set or network of the registry.
    progress
        Whether a download shows a bar on standard error.

    Raises
    ------
    InputError
        The file is the user's own; it is damaged; or it cannot be downloaded. The message says the way out.
    """
    if entry.place == USER:
        raise InputError(_not_ours(entry))
    if entry.place == PACKAGE:
        return checked(package_folder() / entry.file_name, entry, "install poolproof again")
    home = checkout_folder()
    if home is not None and (home / entry.file_name).exists():
        return checked(home / entry.file_name, entry, f"restore it: git checkout data/{entry.file_name}")
    companion = companion_folder()
    if companion is not None and (companion / entry.file_name).exists():
        return checked(companion / entry.file_name, entry, "install the poolproof-data of this version again")
    cached = cache_folder() / entry.file_name
    if found_sha256(cached) != entry.sha256:
        _into_cache(entry, cached, progress)
    return cached


def whereabouts(entry: Entry) -> str:
    """Where the file is now, in words for lists.

    One of ``embedded``, ``in checkout``, ``in poolproof-data``, ``cached``, ``to fetch`` and ``your own``.
    Of a file in the cache the size is compared; no checksum is.
    """
    if entry.place == USER:
        return "your own"
    if entry.place == PACKAGE:
        return "embedded"
    home = checkout_folder()
    if home is not None and (home / entry.file_name).exists():
        return "in checkout"
    companion = companion_folder()
    if companion is not None and (companion / entry.file_name).exists():
        return "in poolproof-data"
    path = cache_folder() / entry.file_name
    return "cached" if path.is_file() and path.stat().st_size == entry.size else "to fetch"


def copy_to(path: Path, folder: Path, *, force: bool = False) -> Path:
    """Copy a file into a folder, aside first and then into place; a copy that is there already is kept.

    Raises
    ------
    InputError
        The folder cannot be written to, or holds another file of that name and ``force`` is not set.
    """
    target = folder / path.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists():
            if found_sha256(target) == found_sha256(path):
                return target
            if not force:
                raise InputError(
                    f"{printable(target, LONGEST)} exists and is another file; move it away, or pass --force"
                )
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=folder) as aside:
            os.replace(shutil.copyfile(path, Path(aside) / path.name), target)
    except OSError as error:
        raise InputError(
            f"expected a folder that can be written to; found {printable(folder, LONGEST)}: "
            f"{error.strerror or type(error).__name__}; name another folder"
        ) from error
    return target


# --- places ---------------------------------------------------------------------------------------------


def package_folder() -> Path:
    """Folder of the embedded files."""
    return Path(__file__).resolve().parent / "embedded"


def checkout_folder() -> Path | None:
    """Folder ``data`` of the source tree that the package runs from; None where it is installed."""
    package = Path(__file__).resolve().parents[1]
    top = package.parents[1]
    from_source = (
        package.parent.name == "src" and (top / "pyproject.toml").is_file() and (top / "data").is_dir()
    )
    return top / "data" if from_source else None


def companion_folder() -> Path | None:
    """Folder of the files of the wheel poolproof-data; None where it is not installed."""
    spec = find_spec(COMPANION)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def cache_folder() -> Path:
    """Folder of downloaded files."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import pooch  # not at the top: most commands download nothing

    return Path(pooch.os_cache("poolproof"))


def base_address() -> str:
    """Address of the folder to download from, without a slash at its end; empty if there is none."""
    return (os.environ.get(ADDRESS_VARIABLE) or BASE_ADDRESS).rstrip("/")


# --- checks ---------------------------------------------------------------------------------------------


def checked(path: Path, entry: Entry, way_out: str) -> Path:
    """The path of a file with the right checksum.

    Raises
    ------
    InputError
        It has another one, or cannot be read.
    """
    found = found_sha256(path)
    if found != entry.sha256:
        raise InputError(
            f"the file of {entry.name} should have sha256 {entry.sha256[:16]}; "
            f"found {found[:16] or 'no readable file'}; {way_out}"
        )
    return path


def found_sha256(path: Path) -> str:
    """Checksum of a file, hexadecimal; empty if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _not_ours(entry: Entry) -> str:
    how = getattr(entry, "how_to_get", "")
    return (
        f"{entry.name} does not come with poolproof: its place of origin states no licence; {how}; then "
        f"`poolproof audit FILE`, or in Python load_dataset({entry.name!r}, path=FILE)"
    )


# --- downloads ------------------------------------------------------------------------------------------


def _into_cache(entry: Entry, target: Path, progress: bool) -> None:
    """Download to a temporary name beside the target, check, move into place; a wrong file is not kept."""
    import pooch

    base = base_address()
    if not base:
        raise InputError(
            f"{entry.name} is not in the package, and this version of poolproof knows no address of the "
            f"project's data; {_companion_hint()}set {ADDRESS_VARIABLE} to the address or path of its folder "
            f"data, or put {entry.file_name} into {printable(target.parent, LONGEST)}"
        )
    address = f"{base}/{entry.file_name}"

    def fetch(url: str, aside: str, _: object) -> None:
        _copy_or_get(address, aside, progress)
        os.chmod(aside, 0o644)  # temporary files are private, a cache may be shared

    try:
        with _quiet_pooch():
            # A base that is a path is no URL to pooch: it is told a name, and `fetch` knows the address.
            pooch.retrieve(
                entry.file_name,
                known_hash=f"sha256:{entry.sha256}",
                fname=target.name,
                path=target.parent,
                downloader=fetch,
            )
    except InputError:
        raise
    except ValueError as error:  # pooch found another checksum, and has deleted the file
        raise InputError(
            f"{printable(address, LONGEST)} should have sha256 {entry.sha256[:16]}; found another, so it was "
            f"not kept; try again, or check {ADDRESS_VARIABLE}"
        ) from error
    except OSError as error:
        raise InputError(
            f"the cache {printable(target.parent, LONGEST)} cannot be written to: "
            f"{error.strerror or 'permission denied'}; set {CACHE_VARIABLE} to a folder that can"
        ) from error


def _companion_hint() -> str:
    """Where the companion wheel is installed, it has not what is looked for."""
    return "install poolproof-data, " if companion_folder() is None else ""


def _copy_or_get(address: str, aside: str, progress: bool) -> None:
    """Copy a file from a folder, or download it."""
    import pooch

    try:
        if _is_web(address):
            pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT)(address, aside, None)
        else:
            shutil.copyfile(_as_path(address), aside)
    except (OSError, ValueError) as error:  # what requests raises is one of these
        raise InputError(
            f"cannot fetch {printable(address, LONGEST)}: {_reason(error)}; check the connection and "
            f"{ADDRESS_VARIABLE}, or put the file into the cache folder ({CACHE_VARIABLE}) yourself"
        ) from error


def _is_web(address: str) -> bool:
    return urlsplit(address).scheme.lower() in ("http", "https")


def _as_path(address: str) -> Path:
    parts = urlsplit(address)
    return Path(unquote(parts.path)) if parts.scheme.lower() == "file" else Path(address).expanduser()


def _reason(error: Exception) -> str:
    """A few words on what went wrong."""
    answer: Any = getattr(error, "response", None)
    if answer is not None:
        answer.close()  # pooch leaves the connection open
        return f"the server answered {answer.status_code}"
    named = {
        "ConnectionError": "no connection",
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "the server stopped sending",
        "ChunkedEncodingError": "the connection broke half-way",
    }
    kind = type(error).__name__
    return named.get(kind) or getattr(error, "strerror", None) or kind


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Keep pooch from telling what it does; the errors tell what matters."""
    import pooch

    def is_trouble(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    logger = pooch.get_logger()
    logger.addFilter(is_trouble)  # not its level, which downloads at the same time would restore wrongly
    try:
        yield
    finally:
        logger.removeFilter(is_trouble)
