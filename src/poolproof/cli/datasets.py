"""The commands about real data sets: list them, tell about one, fetch their files."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._checks import InputError, printable

if TYPE_CHECKING:
    from ..data.registry import Entry


@click.group(name="datasets")
def datasets_command() -> None:
    """Real data sets and networks, each with its licence and the settings that suit it.

    Example: poolproof datasets list
    """


@datasets_command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def list_command(as_json: bool) -> None:
    """List the data sets and networks, and where their files are.

    Example: poolproof datasets list --json
    """
    from .._files import to_json

    rows = [_row(entry) for entry in _entries().values()]
    if as_json:
        click.echo(to_json(rows))
        return
    for row in rows:
        size = f", {row['size'] / 1e6:.1f} MB" if row["size"] else ""
        click.echo(f"{row['name']}: {row['kind']}, {_extent(row)}, {row['licence']}{size}, {row['file']}")


@datasets_command.command(name="info")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
def info_command(name: str, as_json: bool) -> None:
    """Tell what a data set or network is, where it comes from, and how to use it.

    Example: poolproof datasets info sc_mixology_10x_3lines
    """
    from .._files import to_json
    from ..data.download import whereabouts

    entry = _find(name)
    told = {field.name: _plain(getattr(entry, field.name)) for field in fields(entry)}
    told = {"name": told.pop("name"), "kind": entry.kind} | told | {"file": whereabouts(entry)}
    if as_json:
        click.echo(to_json(told))
        return
    for field, value in told.items():
        if value not in ("", [], {}):
            click.echo(f"{field}: {', '.join(value) if isinstance(value, list) else value}")


@datasets_command.command(name="fetch")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "all_of_them", is_flag=True, help="Every file that may be passed on.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Folder for copies [default: the cache]."
)
@click.option("--force", is_flag=True, help="Replace other files of these names in that folder.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print an object: path by name.")
def fetch_command(
    names: tuple[str, ...], all_of_them: bool, out: Path | None, force: bool, quiet: bool, as_json: bool
) -> None:
    """Download files that are not here yet, check them, and print their paths.

    Example: poolproof datasets fetch bulk_ecoli_precise network_ecoli_regulon --out data
    """
    from .._files import to_json
    from ..data.datasets import fetch_dataset
    from ..data.registry import USER

    if all_of_them == bool(names):
        found = "both" if names else "neither"
        raise InputError(f"expected names of data sets or --all; found {found}; see poolproof datasets list")
    if all_of_them:
        names = tuple(name for name, entry in _entries().items() if entry.place != USER)
    for name in names:
        _find(name)  # a wrong name is refused before anything is downloaded
    progress = not quiet and sys.stderr.isatty()
    paths: dict[str, str] = {}
    for name in names:
        paths[name] = str(fetch_dataset(name, out=out, force=force, progress=progress))
        if not as_json:
            click.echo(printable(paths[name], 400))
    if as_json:
        click.echo(to_json(paths))


def _entries() -> dict[str, Entry]:
    """Every data set, then every network, by name."""
    from ..data.datasets import list_datasets, list_networks

    entries: list[Entry] = [*list_datasets(), *list_networks()]
    return {entry.name: entry for entry in entries}


def _find(name: str) -> Entry:
    from ..data.registry import find_entry

    return find_entry(name, _entries(), "data set or network")


def _row(entry: Entry) -> dict[str, Any]:
    """A line of the list; keys that an entry has not are null."""
    from ..data.download import whereabouts

    names = ("name", "kind", "title", "n_obs", "n_genes", "n_edges", "n_regulators", "scale", "licence")
    row = {name: getattr(entry, name, None) for name in (*names, "source", "size")}
    return row | {"file": whereabouts(entry)}


def _extent(row: dict[str, Any]) -> str:
    if row["n_edges"] is not None:
        return f"{row['n_edges']:,} edges of {row['n_regulators']:,} regulators"
    return f"{row['n_obs']:,} x {row['n_genes']:,}"


def _plain(value: Any) -> Any:
    """Mappings and tuples as JSON and a terminal show them."""
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
