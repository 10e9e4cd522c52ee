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

    INPUT is an h5ad, zarr, csv, tsv, gct, parquet or 10x file, or dataset:NAME. An h5ad file is read a part
    at a time. Give one of --by, --size and --assignment.

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
    """The input and what there is to say of it; the matrices of an h5ad file stay in the file."""
    if source.startswith("dataset:"):
        from ..data.datasets import dataset_info, load_dataset, usable, usable_notes

        name = source.removeprefix("dataset:")
        adata = usable(load_dataset(name), dataset_info(name))
        yield adata, usable_notes(adata)
        return
    path = Path(source)
    if path.suffix == ".h5ad" and path.is_file() and orientation != "genes-in-rows":
        with _open_h5ad(path) as opened:
            yield opened
        return
    from ..data.io import read

    adata = read(path, orientation=orientation)
    yield adata, list(adata.uns["poolproof_read"]["warnings"])


@contextmanager
def _open_h5ad(path: Path) -> Iterator[tuple[AnnData, list[str]]]:
    """An AnnData whose matrices are read when their rows are asked for."""
    import h5py

    from ..data.containers import check_hdf5

    shown = printable(path.name, 60)
    try:
        check_hdf5(path)
        file = h5py.File(path, "r")
    except InputError as error:
        raise InputError(f"{shown}: {error}") from error
    except Exception as error:  # HDF5 raises anything on bad content
        raise _unreadable(shown, error) from error
    with file:
        try:
            adata, notes = _without_values(file)
        except Exception as error:
            raise _unreadable(shown, error) from error
        yield adata, notes


def _unreadable(shown: str, error: Exception) -> InputError:
    reason = printable(" ".join(str(error).split()) or "no reason given", 120)
    return InputError(
        f"{shown}: expected a readable h5ad file; found {type(error).__name__}: {reason}; "
        f"it may have been cut"
    )


def _without_values(file: Any) -> tuple[AnnData, list[str]]:
    """Tables of an open h5ad file, read; its matrices, not read; names made unique."""
    import pandas as pd
    from anndata import AnnData
    from anndata.io import read_elem

    from ..data.io import duplicates_sentence, unique_names

    tables: dict[str, Any] = {"obs": read_elem(file["obs"]), "var": read_elem(file["var"])}
    notes = []
    for table, word in (("obs", "sample"), ("var", "gene")):
        names, n_changed = unique_names(tables[table].index)
        tables[table].index = pd.Index(names, dtype=object)
        notes += [duplicates_sentence(n_changed, word)] if n_changed else []
    raw = {"X": _matrix(file["raw/X"]), "var": read_elem(file["raw/var"])} if "raw/X" in file else None
    adata = AnnData(
        X=_matrix(file["X"]) if "X" in file else None,
        **tables,
        layers={name: _matrix(item) for name, item in file.get("layers", {}).items()},
        uns=read_elem(file["uns"]) if "uns" in file else {},
        raw=raw,
    )
    return adata, notes


def _matrix(item: Any) -> Any:
    """A matrix that stays on disk: a dense one is a data set, a sparse one a group."""
    from anndata.io import sparse_dataset

    return sparse_dataset(item) if hasattr(item, "keys") else item
