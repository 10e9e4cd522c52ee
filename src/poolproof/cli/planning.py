"""The commands that plan an experiment and that take pools apart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from .._checks import InputError, printable
from .options import answer_options, file_options, whole_numbers

GOALS = ("edges", "shape", "triples", "verdict")


def _system(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, float] | None:
    """Names with numbers: ``r2=0.1,bend_share=0.2``."""
    if value is None:
        return None
    found = {}
    for part in value.split(","):
        name, _, text = part.partition("=")
        try:
            found[name.strip()] = float(text)
        except ValueError:
            raise click.BadParameter(
                f"expected names with numbers such as r2=0.1,bend_share=0.2; found {printable(part)!r}"
            ) from None
    return found


@click.command(name="plan")
@click.argument("pilot", metavar="PILOT", required=False)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the plan.")
@click.option(
    "--goal", type=click.Choice(GOALS), default="verdict", show_default=True, help="What is planned for."
)
@click.option(
    "--power", type=click.FloatRange(0, 1), default=0.8, show_default=True, help="Mean power wanted."
)
@click.option("--like", default=None, metavar="NAME", help="Plan like a data set, without a pilot.")
@click.option(
    "--numbers",
    callback=_system,
    default=None,
    metavar="NAME=NUMBER[,...]",
    help="The system by hand: r2=0.1.",
)
@click.option(
    "--cost",
    default=None,
    metavar="NAME=PRICE[,...]",
    help="Prices: donors, cells, pools, pooled_cells, reads (a million).",
)
@click.option("--budget", type=click.FloatRange(0, min_open=True), default=None, help="Money that there is.")
@click.option("--max-cells", type=click.IntRange(1), default=None, help="Cells that there are.")
@click.option("--donors", callback=whole_numbers, metavar="N[,N...]", help="Numbers of donors to try.")
@click.option("--sizes", callback=whole_numbers, metavar="K[,K...]", help="Sizes of pools to try; 1: cells.")
@click.option(
    "--cells-per-pool",
    default=None,
    metavar="COLUMN|N",
    help="PILOT holds pools: cells in each, a number or the column of obs that holds it.",
)
@click.option(
    "--saturation",
    type=click.FloatRange(0, 1, max_open=True),
    default=None,
    help="Of the pilot's sequencing: 1 - molecules / reads.",
)
@click.option("--within", default=None, help="Columns of obs that cells are compared inside: cell_type.")
@click.option("--replicate", default=None, help="Column of obs with the donor.")
@click.option("--fdr", type=float, default=0.05, show_default=True, help="False-discovery rate.")
@click.option("--margin", type=float, default=0.1, show_default=True, help="Largest affine non-linear share.")
@click.option(
    "--min-r2", type=float, default=0.02, show_default=True, help="Smallest r2 of a pair that counts."
)
@file_options
@click.option("--threads", type=click.IntRange(1), default=None, help="Threads [default: all processors].")
@click.option("--force", is_flag=True, help="Replace an earlier plan in that folder.")
@answer_options
def plan_command(
    pilot: str | None,
    out: Path,
    cells_per_pool: str | None,
    samples: Path | None,
    orientation: str,
    modality: str | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Plan how many pools or cells to measure, of how many cells, read how deep, of how many donors.

    PILOT holds counts of single cells, or of pools of known size (--cells-per-pool): an h5ad, zarr, csv, tsv,
    parquet or 10x file, or dataset:NAME. Without one give --like or --numbers.

    Example: poolproof plan pilot.h5ad --goal edges --within cell_type --replicate donor --out plan

    Example: poolproof plan --like sc_kang_pbmc_8donors --goal shape --budget 20000 --out plan
    """
    from .._files import to_json
    from ..planning.choosing import FILES, plan_design
    from ..planning.folder import check_folder
    from .reading import load

    check_folder(out, FILES, force=force)
    adata = None
    notes: list[str] = []
    if pilot is not None:
        adata, _, notes, defaults = load(pilot, orientation, modality, samples, ())
        for name in ("within", "replicate"):
            options[name] = options[name] or defaults.get(name)
    show = not quiet and sys.stderr.isatty()
    with tqdm(desc="designs", disable=not show, leave=False) as bar:

        def report(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        found = plan_design(adata, cells_per_pool=cells_per_pool_of(cells_per_pool), report=report, **options)
    found.save(out, force=force)
    if as_json:
        click.echo(to_json(found.summary))
        return
    click.echo(found.sentence)
    if not quiet:
        for note in [*notes, *found.summary["unknown"]]:
            click.echo(f"note: {printable(note, 400)}", err=True)
        click.echo(f"Page: {printable(out / 'plan.html', 400)}", err=True)


def cells_per_pool_of(text: str | None) -> str | int | None:
    """A number, the name of a column, or neither.

    Raises
    ------
    InputError
        The number is below 1.
    """
    if text is not None and text.isdecimal():
        if not 0 < int(text) < 10**6:
            raise InputError(
                f"--cells-per-pool: expected a number of at least 1; found {printable(text, 20)}"
            )
        return int(text)
    return text


@click.command(name="depool")
@click.argument("pools", metavar="POOLS")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option(
    "--cells-per-pool",
    default=None,
    metavar="COLUMN|N",
    help="Cells in each pool: a number, or the column of obs that holds it.",
)
@click.option("--within", default=None, help="Columns of obs whose levels are taken apart by themselves.")
@file_options
@click.option("--force", is_flag=True, help="Replace an earlier result in that folder.")
@answer_options
def depool_command(
    pools: str,
    out: Path,
    cells_per_pool: str | None,
    samples: Path | None,
    orientation: str,
    modality: str | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Say what the cells of POOLS are like, from pools of known size.

    POOLS holds sums of cells, one row a pool: an h5ad, zarr, csv, tsv, parquet or 10x file, or dataset:NAME.

    Example: poolproof depool wells.h5ad --cells-per-pool 10 --out cells

    Example: poolproof depool pools.h5ad --cells-per-pool psbulk_cells --within cell_type --out cells
    """
    from .._files import to_json
    from ..planning.depooling import FILES, depool
    from ..planning.folder import check_folder
    from .reading import load

    size = cells_per_pool_of(cells_per_pool)
    if size is None:
        raise InputError(
            "expected --cells-per-pool: a number, or the column of obs with the cells of each pool; found "
            "none: without it nothing can be said of cells"
        )
    check_folder(out, FILES, force=force)
    adata, _, notes, _ = load(pools, orientation, modality, samples, ())
    found = depool(adata, cells_per_pool=size, **options)
    found.save(out, force=force)
    if as_json:
        click.echo(to_json(found.summary))
        return
    click.echo(found.sentence)
    if not quiet:
        for note in [*notes, *found.summary["notes"]]:
            click.echo(f"note: {printable(note, 400)}", err=True)
        click.echo(f"Tables: {printable(out, 400)}", err=True)
