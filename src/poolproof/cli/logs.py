"""What a run says beside its result: lines of its phases (``-v``) and a log file (``--log-file``)."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
from tqdm import tqdm

from .._checks import InputError, printable

LOGGER = logging.getLogger("poolproof")
SAID = logging.getLogger("poolproof.said")
"""Notes, sentences and errors, which standard error has already: for the log file."""


class _AboveBars(logging.Handler):
    """Writes to standard error, above the progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != SAID.name:
            tqdm.write(self.format(record), file=sys.stderr)


def log_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say how much a run tells of itself."""
    for option in (
        click.option(
            "--log-file",
            type=click.Path(path_type=Path, dir_okay=False),
            default=None,
            expose_value=False,
            callback=_into_file,
            help="Write a log there: the command, notes, phases, the verdict or the error, with times.",
        ),
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_to_terminal,
            help="Say when each phase begins and ends; -vv: its parts too.",
        ),
    ):
        command = option(command)
    return command


def say(quiet: bool, text: str) -> None:
    """One line on standard error and in the log; with ``quiet`` in the log alone."""
    SAID.info(text)
    if not quiet:
        click.echo(text, err=True)


def _to_terminal(context: click.Context, parameter: click.Parameter, value: int) -> None:
    if value:
        handler = _AboveBars(logging.INFO if value == 1 else logging.DEBUG)
        handler.setFormatter(logging.Formatter("%(message)s"))
        _listen(context, handler)


def _into_file(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    try:
        handler = logging.FileHandler(value, mode="w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(
            f"--log-file {printable(value, 400)} cannot be written: {error.strerror or error}; name another"
        ) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    handler.setLevel(logging.DEBUG)
    _listen(context, handler)
    words = printable(shlex.join(["poolproof", *sys.argv[1:]]), 2000)
    SAID.info("poolproof %s: %s", version("poolproof"), words)
    context.call_on_close(_say_error)  # handlers are closed after it: callbacks run last first


def _say_error() -> None:
    """What ended the run, if something did."""
    error = sys.exc_info()[1]
    if error is not None:
        SAID.info("stopped by %s: %s", type(error).__name__, printable(error, 2000))


def _listen(context: click.Context, handler: logging.Handler) -> None:
    """Attach a handler until the command ends."""
    before = LOGGER.level

    def stop() -> None:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before)
        handler.close()

    LOGGER.setLevel(min(handler.level, LOGGER.level or handler.level))
    LOGGER.addHandler(handler)
    context.call_on_close(stop)
