"""The command that puts many audits on one page."""

from __future__ import annotations

from pathlib import Path

import click

from .._checks import printable
from .options import fail_on_option, fail_where


@click.command(name="collect")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the page.")
@click.option("--force", is_flag=True, help="Replace an earlier collection in that folder.")
@fail_on_option
@click.option("--quiet", is_flag=True, help="Print nothing but errors, or with --json the result.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
def collect_command(
    folders: tuple[Path, ...], out: Path, force: bool, fail_on: tuple[str, ...], quiet: bool, as_json: bool
) -> None:
    """Put many audits on one page: verdicts, bend shares, and what differs between runs of the same data.

    Each DIR is the folder of an audit, or holds some at any depth. Besides the page there are tables (parquet
    and CSV) and poolproof_mqc.json, which MultiQC shows.

    Example: poolproof collect audits --out summary
    """
    from .._files import to_json
    from ..report.collecting import check_free_folder, collect

    check_free_folder(out, force=force)
    found = collect(folders)
    found.save(out, force=force)
    if as_json:
        click.echo(to_json(found.summary | {"audits": found.table.to_dict("records")}))
    elif not quiet:
        for sentence in found.summary["sentences"]:
            click.echo(printable(sentence, 600))
        click.echo(f"Page: {printable(out / 'collected.html', 400)}", err=True)
    fail_where(fail_on, list(found.table["verdict"]))
