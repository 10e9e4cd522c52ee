"""What several commands share: what their options mean, and how they write one file."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._checks import InputError, printable
from .._names import KINDS, SCALES, TESTS, VERDICTS

if TYPE_CHECKING:
    from anndata import AnnData

    from ..aggregation import Aggregation

MAX_TEXT = 2_000
"""Characters of an aggregation on the command line."""
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_memory(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """Bytes, with an optional unit: 500M, 4G, 4GiB, 4e9; of ``G`` 1000 make up a ``T``, of ``GiB`` 1024."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?(?:e\+?\d{1,2})?)\s*([kmgt]?)(i?)b?", value.strip().lower())
    if not match or float(match[1]) <= 0 or (match[3] and not match[2]):
        raise click.BadParameter(f"expected a size such as 500M, 4G or 4e9; found {printable(value)!r}")
    return float(match[1]) * (1024.0 if match[3] else 1000.0) ** _POWERS[match[2]]


def refuse_limit(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Earlier command lines limited the share of calls that contradict: say why that is gone."""
    if value is not None:
        from ..verdict.auditing import NO_LIMIT

        raise InputError(f"--max-contradicting {NO_LIMIT}")


def read_aggregation(text: str) -> Aggregation:
    """The aggregation as a model file would have it: a word, or a mapping in braces."""
    from ..aggregation import parse_aggregation

    if not text.lstrip().startswith("{"):
        return parse_aggregation(text, "--aggregation")
    import yaml

    try:
        return parse_aggregation(yaml.safe_load(text[:MAX_TEXT]), "--aggregation")
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"--aggregation: expected a mapping in braces; found {printable(text)!r}") from error


def check_free(out: Path, force: bool) -> None:
    """Refuse a place that cannot be written to before the work is done."""
    if out.is_dir():
        raise InputError(f"--out {printable(out, 400)} is a folder; name a file")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {printable(out, 400)} is in a folder that does not exist; make it first")
    if out.exists() and not force:
        raise InputError(f"--out {printable(out, 400)} exists; name another file, or pass --force")


def write_h5ad(adata: AnnData, out: Path) -> None:
    """Write aside and move into place."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name[:80]}.", dir=out.absolute().parent) as folder:
            aside = Path(folder) / out.name
            adata.write_h5ad(aside)
            os.replace(aside, out)
    except OSError as error:
        raise InputError(
            f"--out {printable(out, 400)} cannot be written: {error.strerror or error}"
        ) from error


def split_names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Names separated by commas, each once."""
    names = [] if value is None else [name.strip() for name in value.split(",") if name.strip()]
    return tuple(dict.fromkeys(names))


def whole_numbers(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Whole numbers of at least 1, separated by commas."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and len(part) < 10 and int(part) > 0 for part in parts):
        raise click.BadParameter(f"expected whole numbers such as 1,2,5,10; found {printable(value)!r}")
    return tuple(int(part) for part in parts)


FAILED = 3
"""Exit code where a verdict is one of those that --fail-on names."""


def _verdicts(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Verdicts, separated by commas."""
    found = split_names(context, parameter, value)
    unknown = [word for word in found if word not in VERDICTS]
    if unknown:
        known = ", ".join(VERDICTS)
        raise click.BadParameter(f"expected verdicts ({known}); found {printable(unknown[0])!r}")
    return found


fail_on_option = click.option(
    "--fail-on",
    callback=_verdicts,
    metavar="VERDICT[,...]",
    help="Exit code 3 where the verdict is one of these (results are written): for unattended checks.",
)


def fail_where(fail_on: tuple[str, ...], verdicts: Sequence[str]) -> None:
    """End the command where a verdict is one of those named."""
    if set(fail_on) & set(verdicts):
        sys.exit(FAILED)


def answer_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of every command that draws and prints an answer."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."),
        click.option("--quiet", is_flag=True, help="Print nothing but the result and errors."),
        click.option(
            "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of every random draw."
        ),
    ):
        command = option(command)
    return command


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that every command with a result of pairs shares."""
    for option in (
        answer_options,
        click.option(
            "--memory",
            callback=parse_memory,
            metavar="SIZE",
            default="4G",
            show_default=True,
            help="Memory for pair arrays and cells; counts of more cells are read by blocks.",
        ),
        click.option(
            "--threads", type=click.IntRange(1), default=None, help="Threads [default: all processors]."
        ),
    ):
        command = option(command)
    return command


def file_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say how to read a file, and which of its values."""
    for option in (
        click.option("--modality", default=None, help="Of a MuData file [default: rna]."),
        click.option("--layer", default=None, help="Layer of the AnnData to take, or raw."),
        click.option(
            "--samples",
            type=click.Path(path_type=Path),
            default=None,
            help="Table with one row a sample (first column: its name), for --within and the like.",
        ),
        click.option(
            "--orientation",
            type=click.Choice(["auto", "genes-in-rows", "genes-in-columns"]),
            default="auto",
            show_default=True,
            help="Of a text table.",
        ),
    ):
        command = option(command)
    return command


def value_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say how to read the values."""
    for option in (
        click.option(
            "--gene-column", default=None, help="Column of var with names for matching and display."
        ),
        click.option(
            "--size-factors",
            default="auto",
            show_default=True,
            help="auto, none, total, median-ratio or obs:COLUMN.",
        ),
        click.option("--log-offset", type=float, default=None, help="A log goes back by BASE**v - OFFSET."),
        click.option("--log-base", default=None, help="Base of the log: a number, or e."),
        click.option(
            "--scale",
            type=click.Choice(["auto", *SCALES]),
            default="auto",
            show_default=True,
            help="Of the values as they are in the file.",
        ),
        click.option(
            "--kind",
            type=click.Choice(["auto", *KINDS]),
            default="auto",
            show_default=True,
            help="What a row is: a pool of cells, or one cell.",
        ),
        file_options,
    ):
        command = option(command)
    return command


def pair_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say which pairs are tested, and how samples are compared."""
    for option in (
        click.option(
            "--test",
            type=click.Choice(["auto", *TESTS]),
            default="auto",
            show_default=True,
            help="robust; corrected, for counts of molecules; classical, for comparison; auto chooses.",
        ),
        click.option(
            "--network",
            type=click.Path(path_type=Path),
            default=None,
            help="As --pairs; equations and separations too. Also dataset:NAME.",
        ),
        click.option(
            "--pairs",
            type=click.Path(path_type=Path),
            default=None,
            help="Table or GraphML of pairs to test.",
        ),
        click.option(
            "--regulators",
            type=click.Path(path_type=Path),
            default=None,
            help="File with regulators to test.",
        ),
        click.option("--covariates", default="", help="Columns of obs to project out: batch,sex."),
        click.option("--replicate", default=None, help="Column of obs with the independent unit: donor."),
        click.option(
            "--within", default=None, help="Columns of obs analysed level by level: cell_type[,batch]."
        ),
    ):
        command = option(command)
    return command
