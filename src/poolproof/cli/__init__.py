"""The command line: parse, read, call one public function, save.

The last room: it imports every other, and none imports it. Read this file (``audit``, ``report`` and what
all commands share), then ``options``, ``reading``, ``pipes``, ``logs``, ``config``, ``versions``, and a file
for each family of commands: ``preview``, ``collection``, ``exports``, ``datasets``, ``models``, ``pools``,
``study``, ``benchmark``, ``planning``.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from .._checks import InputError, PoolproofError, printable
from .._spoken import at_command_line
from .benchmark import benchmark_command
from .collection import collect_command
from .config import config_options
from .datasets import datasets_command
from .exports import export_command
from .logs import SAID, log_options, say
from .models import check_command, simulate_command
from .options import (
    common_options,
    fail_on_option,
    fail_where,
    pair_options,
    refuse_limit,
    split_names,
    value_options,
)
from .pipes import outliving_pipes
from .planning import depool_command, plan_command
from .pools import pool_command
from .preview import describe_command, show_preview
from .reading import Large, read_input
from .study import study_command


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    invoke_without_command=True,
    no_args_is_help=True,
)
@click.option("--version", is_flag=True, help="Print the version and end; with -v those of libraries too.")
@click.option("-v", "--verbose", is_flag=True, help="With --version.")
@click.pass_context
def commands(context: click.Context, version: bool, verbose: bool) -> None:
    """Say whether causal relations among genes can be recovered from pooled expression data.

    Example: poolproof audit pbmc.h5ad --within cell_type --out audit
    """
    context.with_resource(at_command_line())
    if version:
        from .versions import told_versions

        click.echo("\n".join(told_versions() if verbose else told_versions()[:1]))
        context.exit()
    if verbose and context.invoked_subcommand is not None:
        raise click.UsageError(f"-v belongs after the command: poolproof {context.invoked_subcommand} -v")
    if context.invoked_subcommand is None:
        raise click.UsageError("Missing command.")


@commands.command(name="audit")
@click.argument("source", metavar="INPUT")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the results; needed unless --dry-run."
)
@click.option("--force", is_flag=True, help="Replace an earlier result in that folder.")
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on from an interrupted run of the same audit, whose finished parts are in the cache.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done and how long it takes; write nothing.")
@pair_options
@click.option("--fdr", type=float, default=0.05, show_default=True, help="False-discovery rate.")
@click.option("--margin", type=float, default=0.1, show_default=True, help="Largest affine non-linear share.")
@click.option(
    "--min-r2", type=float, default=0.02, show_default=True, help="Smallest r2 of an associated pair."
)
@click.option("--max-contradicting", hidden=True, expose_value=False, callback=refuse_limit)
@click.option(
    "--discover",
    callback=split_names,
    metavar="METHOD[,...]",
    help="Methods of causal discovery, run on the cells and on pools of them: pc,boss.",
)
@click.option(
    "--triples",
    type=click.Choice(["auto", "all", "none"]),
    default="auto",
    show_default=True,
    help="Middle genes whose triples are screened; auto draws as many as take about 15 seconds.",
)
@click.option(
    "--triple-margin",
    type=float,
    default=0.1,
    show_default=True,
    help="Partial correlations below it count as none.",
)
@click.option(
    "--curves",
    type=click.Choice(["auto", "none"]),
    default="auto",
    show_default=True,
    help="Pooling curves; auto draws them for single cells.",
)
@click.option(
    "--assignment",
    default=None,
    metavar="COLUMN",
    help="Column of obs with existing metacells: are they random pools, and else in what are cells alike?",
)
@click.option("--keep", default="associated", show_default=True, help="Rows kept: associated, all or top:N.")
@click.option(
    "--max-rows",
    type=click.IntRange(1),
    default=2_000_000,
    show_default=True,
    help="Most associated rows kept, strongest first.",
)
@click.option(
    "--overdispersion",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Squared CV of technical noise in counts beyond sampling.",
)
@click.option(
    "--dask",
    default=None,
    metavar="ADDRESS",
    help="Scheduler whose workers read counts of cells by blocks, tcp://HOST:8786; or local:N, N processes.",
)
@fail_on_option
@value_options
@common_options
@log_options
@config_options
def audit_command(
    source: str,
    out: Path | None,
    force: bool,
    resume: bool,
    dry_run: bool,
    samples: Path | None,
    orientation: str,
    modality: str | None,
    regulators: Path | None,
    pairs: Path | None,
    network: Path | None,
    keep: str,
    memory: float,
    threads: int | None,
    dask: str | None,
    quiet: bool,
    as_json: bool,
    discover: tuple[str, ...],
    fail_on: tuple[str, ...],
    **options: Any,
) -> None:
    """Test every pair of genes of INPUT and give a verdict.

    INPUT is an h5ad, zarr, csv, tsv, gct, parquet or 10x file, or dataset:NAME; - reads standard input. Every
    form is listed in docs/reference/inputs.md.

    Example: poolproof audit pbmc.h5ad --layer counts --within cell_type --out audit
    """
    from .._files import ParquetStream, result_folder, to_json
    from .._phases import phase
    from ..pairs.plan import pair_thresholds
    from ..report.audit_page import write_report
    from ..verdict.auditing import audit, write_result

    if discover:
        from ..discovery.methods import find_method

        for method in discover:
            find_method(method)  # refuses now, not after the audit
    tell = functools.partial(say, quiet)
    progress = not quiet and sys.stderr.isatty()
    reading = functools.partial(
        read_input, source, orientation, modality, samples, (regulators, pairs, network), options, progress
    )
    if dry_run:
        with contextlib.ExitStack() as files:
            given = reading(Large(options["layer"], memory, files))
            show_preview(given, memory=memory, threads=threads, quiet=quiet, as_json=as_json)
        return
    if out is None:
        raise click.MissingParameter(param_hint="'--out'", param_type="option")
    with result_folder(out, force=force) as place, contextlib.ExitStack() as files:
        if dask is not None:
            from ..pairs.workers import open_client

            options["client"] = files.enter_context(open_client(dask))
        given = reading(Large(options["layer"], memory, files, by_blocks=dask is not None))
        expression, name, notes, options = given.expression, given.name, given.notes, given.options
        guesses: list[str] = []

        def announce(warnings: Sequence[str]) -> None:
            """Say the guesses before the wait, so that a wrong one can be stopped."""
            n_obs, n_genes = expression.n_obs, len(expression.genes)
            tell(f"{name}: {n_obs:,} x {n_genes:,}, {expression.kind}, {expression.scale}")
            guesses.extend(dict.fromkeys([*notes, *warnings]))
            for guess in guesses:
                tell(f"note: {printable(guess, 400)}")

        thresholds = pair_thresholds(options["fdr"], options["margin"], options["min_r2"])
        stream = ParquetStream(place / "pairs.parquet", thresholds) if keep == "all" else None
        result = audit(
            expression,
            obs=given.obs,
            name=name,
            notes=tuple(notes),
            keep=keep,
            sink=stream,
            command=shlex.join(["poolproof", *sys.argv[1:]]),
            memory=memory,
            threads=threads,
            progress=progress,
            announce=announce,
            resume=resume,
            **options,
        )
        written = stream.close() if stream is not None else False
        discovered = _discover(result, discover, place, quiet) if discover else None
        with phase("tables", show=progress):
            write_result(result, place, pairs_written=written)
        with phase("report", show=progress):
            write_report(place)
    result.parts.remove()
    data = result.data
    for warning in data["warnings"]:
        if warning not in guesses:
            tell(f"note: {printable(warning, 400)}")
    SAID.info("Verdict: %s", result.verdict)
    if as_json:
        click.echo(to_json(result.summary))
    else:
        click.echo(f"Verdict: {result.verdict}")
        for reason in result.reasons:
            click.echo(f"  {reason}")
        for step in result.next_steps:
            click.echo(f"  Next: {step}")
        for sentence in [*result.findings(), *(discovered.summary["findings"] if discovered else ())]:
            tell(sentence)
        tell(f"Report: {printable(out / 'report.html', 400)}")
    fail_where(fail_on, [result.verdict])


def _discover(result: Any, methods: Sequence[str], place: Path, quiet: bool) -> Any:
    """Run methods on the cells of an audit and on pools of them."""
    from ..discovery.in_audit import discover_in_pools

    seed = result.linearity.seed
    progress = not quiet and sys.stderr.isatty()
    found = discover_in_pools(result.linearity, methods, seed=seed, progress=progress)
    found.save(place)
    return found


commands.add_command(describe_command)
commands.add_command(collect_command)
commands.add_command(export_command)
commands.add_command(pool_command)
commands.add_command(check_command)
commands.add_command(simulate_command)
commands.add_command(datasets_command)
commands.add_command(study_command)
commands.add_command(benchmark_command)
commands.add_command(plan_command)
commands.add_command(depool_command)


@commands.command(name="report")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def report_command(folder: Path) -> None:
    """Rebuild report.html from the files of an audit in DIR.

    Example: poolproof report audit
    """
    from .._files import check_utf8, hold
    from ..report.audit_page import write_report

    check_utf8(folder.absolute())
    with hold(folder) if folder.is_dir() else contextlib.nullcontext():  # no audit moves in meanwhile
        page = write_report(folder)
    click.echo(printable(page, 400))


def main() -> None:
    """Run the command line: bad input gives one line and exit code 2, our bugs a traceback and 1."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # fonts found or not: no one's news
    with outliving_pipes():
        _run()


def _run() -> None:
    """Run the commands; the exit code says how that ended."""
    try:
        with _stopped_by_terminate():
            commands(standalone_mode=False)
    except click.exceptions.Abort:
        again = "; the same command goes on from the phases that were finished"
        click.echo(f"poolproof: interrupted{again if sys.argv[1:2] == ['audit'] else ''}", err=True)
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        said = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "poolproof"
        _end(f"{printable(said, 2000)}; see {command} --help", 2)
    except PoolproofError as error:
        _end(printable(error, 2000), 2 if isinstance(error, InputError) else 1)


def _end(said: str, code: int) -> NoReturn:
    """One line on standard error; for programs that asked for JSON an object on standard output as well."""
    click.echo(f"poolproof: {said}", err=True)
    if "--json" in sys.argv[1:]:
        from .._files import to_json

        click.echo(to_json({"error": said, "exit_code": code}))
    sys.exit(code)


@contextlib.contextmanager
def _stopped_by_terminate() -> Iterator[None]:
    """While a command runs, SIGTERM ends it as Ctrl-C does: what was begun is cleaned up."""
    try:
        before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    except ValueError:  # not in the main thread, which alone may handle signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
