"""The command that runs methods of causal discovery on pools of cells with known truth."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .._checks import printable


@click.command(name="benchmark")
@click.argument("spec", default="default")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option(
    "--edges",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of edge lists made elsewhere, POOLS.METHOD.csv, scored beside the methods.",
)
@click.option("--write-pools", is_flag=True, help="Write the pools too (pools/*.csv), for methods elsewhere.")
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
def benchmark_command(
    spec: str,
    out: Path,
    edges: Path | None,
    write_pools: bool,
    force: bool,
    seed: int,
    threads: int | None,
    dask: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure what methods of causal discovery find in pools of cells, where the truth is known.

    SPEC is default (all methods, 20 minutes on two processors), quick (a minute) or a YAML file with tasks,
    pools and methods. What an earlier run in the same folder has finished is used again. Methods need
    pip install 'poolproof[discovery]'.

    Example: poolproof benchmark quick --out first

    Example: poolproof benchmark mine.yaml --out mine --threads 8
    """
    from .._files import to_json
    from ..discovery.running import run_benchmark
    from ..pairs.workers import clients

    with clients(dask) as client:
        found = run_benchmark(
            out,
            spec,
            edges=edges,
            write_pools=write_pools,
            seed=seed,
            threads=threads,
            progress=not quiet and sys.stderr.isatty(),
            force=force,
            client=client,
        )
    if as_json:
        click.echo(to_json(found.summary))
        return
    for sentence in found.summary["findings"]:
        click.echo(sentence)
    if not quiet:
        for note in found.summary["notes"]:
            click.echo(f"note: {note}", err=True)
        click.echo(f"Page: {printable(out / 'benchmark.html', 400)}", err=True)
