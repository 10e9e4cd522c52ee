"""The command that pools cells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._checks import InputError, printable
from .options import check_free, read_aggregation, whole_numbers, write_h5ad

if TYPE_CHECKING:
    from anndata import AnnData


def _columns(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


@click.command(name="pool")
@click.argument("source", metavar="INPUT")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write: POOLS.h5ad.")
@click.option(
    "--by",
    callback=_columns,
    metavar="COLUMNS",
    help="One pool for each combination of these columns of obs.",
)
@click.option(
    "--size",
    callback=whole_numbers,
    metavar="K[,K...]",
    help="Cells in a pool; of each K equally many pools.",
)
@click.option("--within", callback=_columns, metavar="COLUMNS", help="With --size: strata to draw cells in.")
@click.option(
    "--pools",
    type=click.IntRange(1),
    default=None,
    help="With --size: pools of each K [default: what the largest K has room for].",
)
@click.option("--assignment", default=None, metavar="COLUMN", help="Column of obs with existing metacells.")
@click.option("--mask", default=None, metavar="COLUMN", help="Column of obs that is true for cells to use.")
@click.option(
    "--aggregation",
    default="sum",
    show_default=True,
    metavar="TEXT",
    help="sum, mean, geometric, harmonic, 'power(2)', median, max, cpm, '{log1p: sum, scale: 1}' or "
    "'{weights: [1, 2]}'.",
)
@click.option("--layer", default=None, help="Layer to pool into X, or raw [default: X].")
@click.option("--layers", callback=_columns, metavar="NAMES", help="More layers to pool, each into its own.")
@click.option(
    "--min-cells",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="With --by and --assignment: leave out smaller pools.",
)
@click.option("--keep-cells", is_flag=True, help="Write which cells each pool has.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    default=None,
    help="Table with one row a cell (first column: its name), for the columns named here.",
)
@click.option(
    "--orientation",
    type=click.Choice(["auto", "genes-in-rows", "genes-in-columns"]),
    default="auto",
    show_default=True,
    help="Of a text table.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of every random draw.")
@click.option("--force", is_flag=True, help="Replace the file that --out names.")
@click.option("--quiet", is_flag=True, help="Print nothing but the result and errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
def pool_command(
    source: str,
    out: Path,
    aggregation: str,
    samples: Path | None,
    orientation: str,
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Pool the cells of INPUT: by label, by size, or as metacells that exist already.

    INPUT is an h5ad, zarr, csv, tsv, gct, parquet or 10x file, or dataset:NAME. Of h5ad and zarr files
    a part is read at a time. Give one of --by, --size and --assignment.

    Example: poolproof pool pbmc.h5ad --layer counts --by donor,cell_type --out pools.h5ad

    Example: poolproof pool pbmc.h5ad --size 1,2,5,10,20,50 --within cell_type,donor --out pools.h5ad
    """
    from .._files import to_json
    from ..pools.cells import pool_cells

    check_free(out, force)
    if out.suffix != ".h5ad":
        raise InputError(f"expected --out to end in .h5ad; found {printable(out, 400)}")
    with _opened(source, orientation) as (adata, notes):
        if samples is not None:
            from ..data.samples import read_samples

            notes += read_samples(samples, adata)
        pooled = pool_cells(adata, aggregation=read_aggregation(aggregation), **options)
    write_h5ad(pooled, out)
    summary = _summary(pooled, notes, out)
    if not quiet:
        for note in summary["notes"]:
            click.echo(f"note: {printable(note, 400)}", err=True)
    if as_json:
        click.echo(to_json(summary))
    elif not quiet:
        click.echo(
            f"{pooled.n_obs:,} pools x {pooled.n_vars:,} genes from {summary['n_cells_used']:,} of "
            f"{summary['n_cells']:,} cells: {printable(out, 400)}",
            err=True,
        )


def _summary(pooled: AnnData, notes: list[str], out: Path) -> dict[str, Any]:
    """What the command did, for JSON."""
    import json

    from ..pools.cells import CELLS, PROVENANCE, SIZE

    kept = pooled.uns[PROVENANCE]
    sizes = pooled.obs[SIZE].value_counts().sort_index() if SIZE in pooled.obs else {}
    return {
        "out": str(out),
        "n_pools": pooled.n_obs,
        "n_genes": pooled.n_vars,
        "n_cells": kept["n_cells"],
        "n_cells_used": kept["n_cells_used"],
        "cells_in_a_pool": {"least": int(pooled.obs[CELLS].min()), "most": int(pooled.obs[CELLS].max())},
        "pools_of_size": {str(size): int(n) for size, n in sizes.items()},
        "settings": json.loads(kept["settings"]),
        "seed": kept["seed"],
        "version": kept["version"],
        "notes": [*notes, *kept["notes"]],
    }


# --- what goes in ---------------------------------------------------------------------------------------


@contextmanager
def _opened(source: str, orientation: str) -> Iterator[tuple[AnnData, list[str]]]:
    """The input and what there is to say of it; the matrices of an h5ad or zarr file stay in the file."""
    if source.startswith("dataset:"):
        from ..data.datasets import dataset_info, load_dataset, usable, usable_notes

        name = source.removeprefix("dataset:")
        adata = usable(load_dataset(name), dataset_info(name))
        yield adata, usable_notes(adata)
        return
    from ..data.backed import open_backed, stays_on_disk
    from ..data.io import read

    path = Path(source)
    if stays_on_disk(path) and orientation != "genes-in-rows":
        with open_backed(path) as opened:
            yield opened
        return

    adata = read(path, orientation=orientation)
    yield adata, list(adata.uns["poolproof_read"]["warnings"])
