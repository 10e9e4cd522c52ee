"""What the options of several commands mean."""

from __future__ import annotations

import re

import click

from ._checks import printable

_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


def parse_memory(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """Bytes, with an optional unit: 500M, 4G."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", value.strip().lower())
    if not match or float(match[1]) <= 0:
        raise click.BadParameter(f"expected a size such as 500M or 4G; found {printable(value)!r}")
    return float(match[1]) * _UNITS[match[2]]
