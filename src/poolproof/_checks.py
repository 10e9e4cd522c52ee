"""The errors that a user may cause, and the input checks that every module shares."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np

from ._spoken import spoken


class PoolproofError(Exception):
    """Base of every error that poolproof raises on purpose.

    Its text names options on the command line, and the arguments of the same name in Python.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(spoken(message))


class InputError(PoolproofError, ValueError):
    """The input cannot be used as given.

    The message is one line: what was expected, what was found, and the way out.
    """


def printable(text: object, limit: int = 80) -> str:
    """Make text that came from a file safe to print on one line of a terminal.

    Control characters and direction marks become escapes; long text is cut.

    Examples
    --------
    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises
    ------
    InputError
        It is not; the message lists the choices.

    Examples
    --------
    >>> check_choice("kind", "bulk", ("auto", "bulk", "single-cell"))
    'bulk'
    """
    choices = tuple(choices)
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}; found {printable(value)!r}")
    return str(value)


def check_share(name: str, value: float) -> float:
    """Return ``value`` as a float if it lies strictly between 0 and 1.

    Raises
    ------
    InputError
        It does not, or is not a number.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not 0.0 < number < 1.0:
        raise InputError(f"{name} must lie between 0 and 1, both excluded; found {printable(value)!r}")
    return number


def check_whole(name: str, value: object, least: int) -> int:
    """Return ``value`` as an int if it is a whole number of at least ``least``; True and 2.0 are none.

    Raises
    ------
    InputError
        It is not.

    Examples
    --------
    >>> check_whole("n_pools", np.int64(20), 1)
    20
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}; found {printable(value)!r}")
    return int(value)


def check_threads(threads: int | None) -> int:
    """Return how many threads to use; None: all processors.

    Raises
    ------
    InputError
        The number is not a whole one of at least 1.

    Examples
    --------
    >>> check_threads(2)
    2
    """
    if threads is None:
        return os.cpu_count() or 1
    return check_whole("threads", threads, 1)


def check_column(columns: Iterable[str], name: str, *, where: str, option: str) -> str:
    """Return ``name`` if a table has that column.

    Raises
    ------
    InputError
        It has not; the message names the columns that it has, the likeliest first.
    """
    known = [str(c) for c in columns]
    if name in known:
        return name
    near = get_close_matches(str(name), known, n=3, cutoff=0.5)
    listed = near + [c for c in known if c not in near]
    nothing = "no layers: leave it out, and X is read" if option == "--layer" else "no columns"
    found = ", ".join(printable(c, 40) for c in listed[:8]) or nothing
    raise InputError(f"{option} names {printable(name)!r}, which {where} has not; it has: {found}")


def finite_number(value: object, what: str) -> float:
    """Return ``value`` as a float.

    Raises
    ------
    InputError
        It is not a finite number; True is none.
    """
    try:
        number = math.nan if isinstance(value, (bool, np.bool_)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{what} must be a number; found {printable(value)!r}")
    return number


def positive_number(value: object, what: str) -> float:
    """Return ``value`` as a float above 0.

    Raises
    ------
    InputError
        It is not.
    """
    number = finite_number(value, what)
    if number <= 0:
        raise InputError(f"{what} must be above 0; found {number:g}")
    return number


def check_range(fine: np.ndarray, values: np.ndarray, name: str, range_: str) -> None:
    """Raise InputError for the first value that is not fine; NaN passes."""
    if not fine.all():
        wrong = values[~fine & ~np.isnan(values)]
        if wrong.size:
            raise InputError(f"{name} needs values {range_}; found {wrong.flat[0]:g}")
