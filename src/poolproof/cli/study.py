"""The command that audits the data sets of the registry and compares them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .._checks import InputError, printable


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Names separated by commas."""
    return None if value is None else tuple(name.strip() for name in value.split(",") if name.strip())


def _files(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, Path]:
    """NAME=FILE, one or several."""
    found = {}
    for text in value:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise click.BadParameter(f"expected NAME=FILE; found {printable(text)!r}")
        if not Path(path).is_file():
            raise InputError(
                f"--path {printable(name)}: expected a file; found none at {printable(path, 400)}"
            )
        found[name] = Path(path)
    return found


@click.command(name="study")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option(
    "--only", callback=_names, metavar="NAME[,NAME...]", help="Data sets [default: all of the study]."
)
@click.option(
    "--path",
    "paths",
    callback=_files,
    multiple=True,
    metavar="NAME=FILE",
    help="Your file of a data set that is not ours to pass on.",
)
@click.option("--force", is_flag=True, help="Do everything anew, whatever an earlier run has done.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of every random draw.")
@click.option("--threads", type=click.IntRange(1), default=None, help="Processes [default: all processors].")
@click.option(
    "--dask",
    default=None,
    metavar="ADDRESS",
    help="Scheduler whose workers do the work, tcp://HOST:8786; or local:N, N processes.",
)
@click.option("--quiet", is_flag=True, help="Print nothing but the result and errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
def study_command(
    out: Path,
    only: tuple[str, ...] | None,
    paths: dict[str, Path],
    force: bool,
    seed: int,
    threads: int | None,
    dask: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Audit the data sets of the registry the same way, and compare them.

    What an earlier run in the same folder has finished is used again.

    Example: poolproof study --out study

    Example: poolproof study --only bulk_ecoli_precise,sc_papalexi_thp1_crispr --out two
    """
    from .._files import to_json
    from ..pairs.workers import clients
    from ..study.running import run_study

    with clients(dask) as client:
        study = run_study(
            out,
            only=only,
            paths=paths,
            seed=seed,
            threads=threads,
            progress=not quiet and sys.stderr.isatty(),
            force=force,
            client=client,
        )
    if as_json:
        click.echo(to_json(study.summary))
        return
    for sentence in study.summary["findings"].values():
        click.echo(sentence)
    if not quiet:
        for name, why in study.summary["left_out"].items():
            click.echo(f"note: {name} is left out: {why}", err=True)
        click.echo(f"Page: {printable(out / 'study.html', 400)}", err=True)
