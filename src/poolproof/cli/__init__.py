"""The command line: parse, read, call one public function, save.

The last room: it imports every other, and none imports it. Read this file (``audit``, ``report`` and what
all commands share), then ``options``, ``pipes``, and a file for each family of commands: ``datasets``,
``models``, ``pools``, ``study``, ``benchmark``, ``planning``.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from .._checks import InputError, PoolproofError, printable
from .._names import KINDS, SCALES, TESTS
from .benchmark import benchmark_command
from .datasets import datasets_command
from .models import check_command, simulate_command
from .options import parse_memory, refuse_limit, split_names
from .pipes import outliving_pipes
from .planning import depool_command, plan_command
from .pools import pool_command
from .study import study_command

VALUE_OPTIONS = ("layer", "kind", "scale", "log_base", "log_offset", "size_factors", "gene_column")
"""Options that say how to read the values."""


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that every command with a result shares."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."),
        click.option("--quiet", is_flag=True, help="Print nothing but the result and errors."),
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
        click.option(
            "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of every random draw."
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
        click.option("--modality", default=None, help="Of a MuData file [default: rna]."),
        click.option("--layer", default=None, help="Layer of the AnnData to test, or raw."),
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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="poolproof")
def commands() -> None:
    """Say whether causal relations among genes can be recovered from pooled expression data.

    Example: poolproof audit pbmc.h5ad --within cell_type --out audit
    """


@commands.command(name="audit")
@click.argument("source", metavar="INPUT")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option("--force", is_flag=True, help="Replace an earlier result in that folder.")
@click.option("--within", default=None, help="Columns of obs analysed level by level: cell_type[,batch].")
@click.option("--replicate", default=None, help="Column of obs with the independent unit: donor.")
@click.option("--covariates", default="", help="Columns of obs to project out: batch,sex.")
@click.option(
    "--regulators", type=click.Path(path_type=Path), default=None, help="File with regulators to test."
)
@click.option(
    "--pairs", type=click.Path(path_type=Path), default=None, help="Table or GraphML of pairs to test."
)
@click.option(
    "--network",
    type=click.Path(path_type=Path),
    default=None,
    help="As --pairs; equations and separations too. Also dataset:NAME.",
)
@click.option(
    "--test",
    type=click.Choice(["auto", *TESTS]),
    default="auto",
    show_default=True,
    help="robust; corrected, for counts of molecules; classical, for comparison; auto chooses.",
)
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
    default=5_000_000,
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
@value_options
@common_options
def audit_command(
    source: str,
    out: Path,
    force: bool,
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
    **options: Any,
) -> None:
    """Test every pair of genes of INPUT and give a verdict.

    INPUT is an h5ad, zarr, csv, tsv, gct, parquet or 10x file, or dataset:NAME; - reads standard input. Every
    form is listed in docs/reference/inputs.md.

    Example: poolproof audit pbmc.h5ad --layer counts --within cell_type --out audit
    """
    from .._files import ParquetStream, result_folder, to_json
    from ..data.datasets import load_network
    from ..data.expression import ValueOptions
    from ..data.large import read_values
    from ..data.networks import read_edges, read_regulators
    from ..report.audit_page import write_report
    from ..verdict.auditing import audit, write_result

    if discover:
        from ..discovery.methods import find_method

        for method in discover:
            find_method(method)  # refuses now, not after the audit
    say = functools.partial(_say, quiet)
    with result_folder(out, force=force) as place, contextlib.ExitStack() as files:
        of_edges: list[str] = []
        genes: list[str] = []
        if regulators is not None:
            options["regulators"] = genes = read_regulators(regulators)
        for option, path in (("pairs", pairs), ("network", network)):
            if path is not None:
                listed = str(path).removeprefix("dataset:")
                edges = read_edges(path) if listed == str(path) else load_network(listed)
                options[option] = edges
                of_edges += edges.attrs.get("warnings", [])
                genes = [*genes, *edges["regulator"], *edges["target"]]
        if dask is not None:
            from ..pairs.workers import open_client

            options["client"] = files.enter_context(open_client(dask))
        by_blocks = dask is not None
        large = functools.partial(
            _left_in_file, layer=options["layer"], memory=memory, files=files, by_blocks=by_blocks
        )
        adata, name, notes, defaults = _load(source, orientation, modality, samples, genes, large)
        options = _fill_in(options, defaults)
        notes = [*notes, *of_edges]
        asked = ValueOptions(**{option: options.pop(option) for option in VALUE_OPTIONS})
        expression, table = read_values(
            asked, adata, None, memory=memory, seed=options["seed"], by_blocks=by_blocks
        )
        guesses: list[str] = []

        def announce(warnings: Sequence[str]) -> None:
            """Say the guesses before the wait, so that a wrong one can be stopped."""
            n_obs, n_genes = expression.n_obs, len(expression.genes)
            say(f"{name}: {n_obs:,} x {n_genes:,}, {expression.kind}, {expression.scale}")
            guesses.extend(dict.fromkeys([*notes, *warnings]))
            for guess in guesses:
                say(f"note: {printable(guess, 400)}")

        stream = ParquetStream(place / "pairs.parquet") if keep == "all" else None
        result = audit(
            expression,
            obs=table,
            name=name,
            notes=tuple(notes),
            keep=keep,
            sink=stream,
            command=shlex.join(["poolproof", *sys.argv[1:]]),
            memory=memory,
            threads=threads,
            progress=not quiet and sys.stderr.isatty(),
            announce=announce,
            **options,
        )
        written = stream.close() if stream is not None else False
        discovered = _discover(result, discover, place, quiet) if discover else None
        write_result(result, place, pairs_written=written)
        write_report(place)
    data = result.data
    for warning in data["warnings"]:
        if warning not in guesses:
            say(f"note: {printable(warning, 400)}")
    if as_json:
        click.echo(to_json(result.summary))
    else:
        click.echo(f"Verdict: {result.verdict}")
        for reason in result.reasons:
            click.echo(f"  {reason}")
        for step in result.next_steps:
            click.echo(f"  Next: {step}")
        for sentence in [*result.findings(), *(discovered.summary["findings"] if discovered else ())]:
            say(sentence)
        say(f"Report: {printable(out / 'report.html', 400)}")


def _discover(result: Any, methods: Sequence[str], place: Path, quiet: bool) -> Any:
    """Run methods on the cells of an audit and on pools of them."""
    from ..discovery.in_audit import discover_in_pools

    seed = result.linearity.seed
    progress = not quiet and sys.stderr.isatty()
    found = discover_in_pools(result.linearity, methods, seed=seed, progress=progress)
    found.save(place)
    return found


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


def _load(
    source: str,
    orientation: str,
    modality: str | None,
    samples: Path | None,
    genes: Sequence[str],
    large: Callable[[Path], Any] = lambda path: None,
) -> tuple[Any, str, list[str], dict[str, Any]]:
    """Read the input: AnnData, its name, notes, and options that suit it.

    ``large`` gives an AnnData whose values stay in their file, or None where they fit into memory.
    """
    if source.startswith("dataset:"):
        from ..data.datasets import dataset_info, load_dataset, usable, usable_notes

        entry = dataset_info(source.removeprefix("dataset:"))
        adata = usable(load_dataset(entry.name), entry)
        return adata, entry.name, usable_notes(adata), dict(entry.settings)
    from ..data.io import read
    from ..data.samples import read_samples, sample_names
    from ..data.streams import whole_file

    with contextlib.ExitStack() as open_ones:
        table = None if samples is None else open_ones.enter_context(whole_file(samples))
        known = [] if table is None else sample_names(table)
        adata = None if modality or orientation == "genes-in-rows" else large(Path(source))
        if adata is None:
            adata = read(
                source, orientation=orientation, modality=modality, known_genes=genes, known_samples=known
            )
        notes = list(adata.uns["poolproof_read"]["warnings"])
        if table is not None:
            notes += read_samples(table, adata)
    return adata, printable(adata.uns["poolproof_read"]["path"], 255), notes, {}


def _left_in_file(
    path: Path, *, layer: str | None, memory: float, files: contextlib.ExitStack, by_blocks: bool
) -> Any:
    """An AnnData whose values stay in their file, where they would not fit into memory; else None."""
    from ..data.backed import open_backed, stays_on_disk
    from ..data.large import PLACE, bytes_on_disk, too_large

    if not stays_on_disk(path) or (not by_blocks and bytes_on_disk(path) < memory / 1000):
        return None
    opened = contextlib.ExitStack()
    try:
        adata, notes = opened.enter_context(open_backed(path))
        large = too_large(adata, layer, memory, by_blocks)
    except InputError:  # the reader says what is wrong
        large = False
    files.enter_context(opened)
    if not large:
        opened.close()
        return None
    adata.uns |= {
        PLACE: str(path.absolute()),
        "poolproof_read": {
            "path": path.name,
            "format": "zarr" if path.is_dir() else "h5ad",
            "orientation": "genes-in-columns",
            "warnings": notes,
        },
    }
    return adata


def _fill_in(options: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Options of the command line, with a data set's own settings where the user gave none."""
    context = click.get_current_context()
    given = click.core.ParameterSource.COMMANDLINE
    return options | {
        name: value for name, value in defaults.items() if context.get_parameter_source(name) != given
    }


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        click.echo(text, err=True)


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
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        said = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "poolproof"
        click.echo(f"poolproof: {printable(said, 2000)}; see {command} --help", err=True)
        sys.exit(2)
    except PoolproofError as error:
        click.echo(f"poolproof: {printable(error, 2000)}", err=True)
        sys.exit(2 if isinstance(error, InputError) else 1)


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
