"""The command that writes edges of an audit for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from .._checks import printable
from .options import check_free, split_names


@click.command(name="export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Choice(["csv", "graphml", "cytoscape", "gmt"]),
    required=True,
    help="Format: a table, a graph, Cytoscape's JSON, or the targets of each regulator as gene sets.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option(
    "--kinds",
    callback=split_names,
    metavar="KIND[,...]",
    help="Calls (affine, nonlinear, inconclusive), or of a network survives, not_contradicted, distorted, "
    "not_seen, cannot_tell [default: survives of a network, else affine].",
)
@click.option("--force", is_flag=True, help="Replace the file that --out names.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def export_command(
    folder: Path, to: str, out: Path, kinds: tuple[str, ...], force: bool, quiet: bool
) -> None:
    """Write edges of the audit in DIR for other tools: those that survive, unless --kinds says others.

    Example: poolproof export audit --to graphml --out edges.graphml
    """
    from ..report.exporting import export_edges

    check_free(out, force)
    edges = export_edges(folder, out, to=to, kinds=kinds, force=force)
    if not quiet:
        plural = "s" if len(edges) != 1 else ""
        click.echo(f"{len(edges):,} edge{plural}: {printable(out, 400)}", err=True)
