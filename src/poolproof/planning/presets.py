"""Systems measured from data sets of the registry, for plans without a pilot."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from .._checks import InputError, printable
from .system import System

FILE = "presets.json"
N_PAIRS = 80
"""Pairs that a preset keeps, at even steps of strength."""


@cache
def _kept() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((files(__package__) / FILE).read_text(encoding="utf-8"))
    return kept


def list_presets() -> list[str]:
    """Names of the data sets that a plan can be made like."""
    return sorted(_kept())


def preset(name: str) -> tuple[System, float]:
    """A system, and the relative error of what it says of bends.

    Raises
    ------
    InputError
        There is none of this name.

    Examples
    --------
    >>> system, error = preset("sc_kang_pbmc_8donors")
    >>> system.counted, 0 < system.bend_share < 0.5
    (True, True)
    """
    if name not in _kept():
        raise InputError(
            f"--like: expected one of {', '.join(list_presets())}; found {printable(name, 60)!r}"
        )
    entry = dict(_kept()[name])
    error = float(entry.pop("error"))
    unknown = tuple(entry.pop("unknown"))
    values: dict[str, Any] = {
        key: np.array(value, dtype=float) if isinstance(value, list) else value
        for key, value in entry.items()
    }
    return System(**values, unknown=unknown), error


def entry_of(system: System, error: float) -> dict[str, Any]:
    """A system as the file keeps it."""
    few = system.at_quantiles(N_PAIRS)
    entry: dict[str, Any] = {"error": round(error, 3)}
    for f in fields(System):
        value = getattr(few, f.name)
        if f.name == "extra":
            continue
        if isinstance(value, np.ndarray):
            entry[f.name] = [float(f"{v:.3g}") for v in value]
        elif isinstance(value, tuple):
            entry[f.name] = list(value)
        else:
            entry[f.name] = value if isinstance(value, str) else float(f"{value:.4g}")
    return entry
