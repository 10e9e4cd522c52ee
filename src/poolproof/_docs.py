"""Texts of parameters that several functions share: written at one function, shown by help() at each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_ENTRY = re.compile(r"^(?P<names>\w+(?:, \w+)*)\n(?P<text>(?: {4}.*\n|\n(?= {4}))+)", re.MULTILINE)
_REFERENCE = re.compile(
    r"^(?P<names>\w+(?:, \w+)*)\n {4}See :func:`poolproof\.(?P<source>\w+)`\.\n", re.MULTILINE
)


def texts_of(*sources: Callable[..., Any]) -> Callable[[Function], Function]:
    """Return a decorator that puts the texts of parameters in place of ``See :func:`poolproof.NAME`.``.

    Parameters
    ----------
    sources
        The functions that such a docstring refers to, each with the parameters that it is asked for.

    Raises
    ------
    KeyError
        A docstring refers to another function, or to a parameter that the function does not describe.

    Examples
    --------
    >>> def first(size):
    ...     '''Take some.
    ...
    ...     Parameters
    ...     ----------
    ...     size
    ...         So many.
    ...     '''
    >>> @texts_of(first)
    ... def second(size):
    ...     '''Take others.
    ...
    ...     Parameters
    ...     ----------
    ...     size
    ...         See :func:`poolproof.first`.
    ...     '''
    >>> second.__doc__.splitlines()[-1].strip()
    'So many.'
    """
    known = {source.__name__: _entries(source) for source in sources}

    def put(match: re.Match[str]) -> str:
        texts = known[match["source"]]
        groups: dict[str, list[str]] = {}
        for name in match["names"].split(", "):
            groups.setdefault(texts[name], []).append(name)
        return "".join(f"{', '.join(names)}\n{text}" for text, names in groups.items())

    def decorate(function: Function) -> Function:
        if function.__doc__:  # python -OO has none
            function.__doc__ = _REFERENCE.sub(put, inspect.cleandoc(function.__doc__) + "\n")
        return function

    return decorate


def _entries(function: Callable[..., Any]) -> dict[str, str]:
    """The indented text of each parameter that a docstring describes."""
    text = inspect.cleandoc(function.__doc__ or "") + "\n"
    return {name: match["text"] for match in _ENTRY.finditer(text) for name in match["names"].split(", ")}
