"""The command that says what an audit would do, and how long it takes."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from .._checks import printable
from .logs import log_options, say
from .options import common_options, pair_options, value_options
from .reading import Given, Large, read_input


@click.command(name="describe")
@click.argument("source", metavar="INPUT")
@pair_options
@value_options
@common_options
@log_options
def describe_command(
    source: str,
    samples: Path | None,
    orientation: str,
    modality: str | None,
    regulators: Path | None,
    pairs: Path | None,
    network: Path | None,
    memory: float,
    threads: int | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Say how INPUT is read, what an audit of it would do, and how long that takes; write nothing.

    Options are those of audit; INPUT is what audit reads.

    Example: poolproof describe pbmc.h5ad --within cell_type
    """
    progress = not quiet and sys.stderr.isatty()
    with contextlib.ExitStack() as files:
        large = Large(options["layer"], memory, files)
        given = read_input(
            source, orientation, modality, samples, (regulators, pairs, network), options, progress, large
        )
        show_preview(given, memory=memory, threads=threads, quiet=quiet, as_json=as_json)


def show_preview(given: Given, *, memory: float, threads: int | None, quiet: bool, as_json: bool) -> None:
    """Try a few regulators, and print what an audit would do."""
    from .._files import to_json
    from ..verdict.preview import preview_audit

    found = preview_audit(
        given.expression, obs=given.obs, notes=given.notes, memory=memory, threads=threads, **given.options
    )
    if as_json:
        click.echo(to_json({"name": given.name} | found.summary))
        return
    say(quiet, given.name)
    click.echo(printable_lines(str(found)))


def printable_lines(text: str) -> str:
    """Lines that are harmless on a terminal."""
    return "\n".join(printable(line, 600) for line in text.splitlines())
