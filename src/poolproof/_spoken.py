"""Errors speak of options on the command line, and of arguments in Python.

Messages are written with options (``pass --scale additive or log``). In Python they are shown with the
arguments of the same name (``pass scale='additive' or 'log'``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

CHOICES = {
    "kind": ("bulk", "single-cell", "auto"),
    "scale": ("counts", "additive", "log", "auto"),
    "test": ("robust", "corrected", "classical", "auto"),
    "size-factors": ("none", "total", "median-ratio", "auto"),
    "triples": ("auto", "all", "none"),
    "curves": ("auto", "none"),
    "goal": ("edges", "shape", "triples", "verdict"),
    "orientation": ("genes-in-rows", "genes-in-columns", "auto"),
    "log-base": ("e", "2", "10"),
}
"""Options with values that messages name; each is an argument of the same name."""
SWITCHES = {"force": "force=True", "no-resume": "resume=False", "steady-state": "steady_state=True"}
_SAME = (
    *("fdr", "margin", "min-r2", "triple-margin", "keep", "max-rows", "within", "replicate", "covariates"),
    *("layer", "gene-column", "log-offset", "overdispersion", "regulators", "pairs", "network", "memory"),
    *("threads", "seed", "assignment", "sizes", "cells-per-pool", "by", "size", "min-cells", "like"),
    *("donors", "budget", "cost", "steps", "format", "modality", "mask"),
)
NAMES = {name: name.replace("-", "_") for name in (*CHOICES, *_SAME)} | {"dask": "client", "out": "folder"}
"""Options, and the arguments that stand for them."""
_VALUE = "|".join(sorted({value for values in CHOICES.values() for value in values}, key=len, reverse=True))
_SAID = re.compile(
    r"(?P<command>poolproof [a-z]+\b[^;:,`]*)"
    r"|(?<![\w-])--(?P<name>[a-z][a-z0-9-]*[a-z0-9])"
    r"(?P<values> (?:" + _VALUE + r")(?:,? or (?:" + _VALUE + r"))*\b)?"
)


class _Where:
    """Who is spoken to, in this process."""

    at_command_line = False


@contextmanager
def at_command_line() -> Iterator[None]:
    """Within this block errors speak of options."""
    before = is_at_command_line()
    speak_of_options(True)
    try:
        yield
    finally:
        speak_of_options(before)


def speak_of_options(wanted: bool) -> None:
    """Let errors of this process speak of options, or not."""
    _Where.at_command_line = wanted


def is_at_command_line() -> bool:
    """Whether errors speak of options."""
    return _Where.at_command_line


def spoken(message: str) -> str:
    """The message as it is on the command line, with arguments in place of options elsewhere."""
    return message if _Where.at_command_line else with_arguments(message)


def with_arguments(message: str) -> str:
    """Put arguments in place of options; command lines of this and other programs stay as they are.

    Examples
    --------
    >>> with_arguments("pass --scale additive or log; name another --gene-column, or use --force")
    "pass scale='additive' or 'log'; name another gene_column, or use force=True"
    >>> with_arguments("see poolproof audit --within cell_type; salmon quant --geneMap")
    'see poolproof audit --within cell_type; salmon quant --geneMap'
    """
    return _SAID.sub(_argument, message)


def _argument(found: re.Match[str]) -> str:
    name, values = found["name"], found["values"] or ""
    if found["command"] or (name not in NAMES and name not in SWITCHES):
        return found[0]
    if name in SWITCHES:
        return SWITCHES[name] + values
    said = NAMES[name]
    words = re.findall(_VALUE, values)
    if not words or not all(word in CHOICES.get(name, ()) for word in words):
        return said + values
    return f"{said}=" + re.sub(_VALUE, lambda word: repr(word[0]), values.strip())
