"""The commands about models: decide what survives pooling, draw cells and pools."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._checks import InputError, printable
from .options import check_free, parse_memory, read_aggregation, write_h5ad

if TYPE_CHECKING:
    from ..models.laws import Law
    from ..models.model_file import Model

Command = Callable[..., None]


def model_options(command: Command) -> Command:
    """Options that both commands share: the model, and what is drawn from it."""
    for option in (
        click.option(
            "--steps",
            type=click.IntRange(1),
            default=None,
            metavar="NUMBER",
            help="For a model with feedback: steps after which cells are seen.",
        ),
        click.option(
            "--steady-state",
            is_flag=True,
            help="For a model with feedback: cells are seen at its steady state, if there is only one.",
        ),
        click.option(
            "--regulators",
            type=click.Path(path_type=Path),
            default=None,
            metavar="FILE",
            help="For --format sergio: the table of master regulators and their rates.",
        ),
        click.option(
            "--format",
            "format_",
            default=None,
            metavar="NAME",
            help="Of MODEL: model, bnet, sergio, bif, linear-gaussian or sbml-qual [default: by its suffix].",
        ),
        click.option("--quiet", is_flag=True, help="Print nothing but the result and errors."),
        click.option(
            "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of every random draw."
        ),
        click.option("--force", is_flag=True, help="Replace the file that --out names."),
        click.option(
            "--cells",
            default=None,
            metavar="NUMBER|LAW",
            help="Cells in a pool: 20, or a law such as 'poisson(20)' [default: as the model says, else 20].",
        ),
        click.option(
            "--example", default=None, metavar="NAME", help="A model of the gallery, instead of MODEL."
        ),
        click.argument("source", metavar="[MODEL]", required=False),
    ):
        command = option(command)
    return command


@click.command(name="check")
@model_options
@click.option("--list-examples", is_flag=True, help="List the models of the gallery, and stop.")
@click.option(
    "--aggregation",
    default=None,
    metavar="TEXT",
    help="sum, mean, geometric, harmonic, 'power(2)', median, max, cpm, '{log1p: sum, scale: 1}' or "
    "'{weights: [1, 2]}' [default: what the model says].",
)
@click.option(
    "--max-given",
    type=click.IntRange(0),
    default=None,
    help="Most genes that a listed independence is given [default: all of a small model, fewer of a large].",
)
@click.option("--no-monte-carlo", is_flag=True, help="Do not simulate what no rule decides.")
@click.option(
    "--pools",
    type=click.IntRange(100),
    default=2000,
    show_default=True,
    help="Pools simulated for what no rule decides.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0, min_open=True),
    default=45.0,
    show_default=True,
    metavar="SECONDS",
    help="Processor time; what is not judged by then is undecided.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON on standard output.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Write a page about it: PAGE.html."
)
def check_command(
    source: str | None,
    example: str | None,
    list_examples: bool,
    aggregation: str | None,
    cells: str | None,
    max_given: int | None,
    no_monte_carlo: bool,
    pools: int,
    time_limit: float,
    as_json: bool,
    out: Path | None,
    force: bool,
    seed: int,
    quiet: bool,
    **source_options: Any,
) -> None:
    """Decide which causal relations of MODEL survive pooling, and why.

    MODEL is a YAML or JSON file, or one in another format: Boolean rules (.bnet), a Bayesian network (.bif,
    linear-Gaussian .json), a table of SERGIO, SBML-qual. Exit code 0 whatever the verdict.

    Example: poolproof check model.yaml --out page.html

    Example: poolproof check --example fork-section4 --json

    Example: poolproof check cycle.bnet --steps 3 --cells 10
    """
    from .._files import to_json
    from ..theory.conditions import check

    if list_examples:
        _print_examples(as_json)
        return
    if out is not None:
        check_free(out, force)
    found = check(
        _read(source, example, **source_options),
        None if aggregation is None else read_aggregation(aggregation),
        cells=None if cells is None else _cells(cells),
        max_given=max_given,
        monte_carlo=not no_monte_carlo,
        n_pools=pools,
        seed=seed,
        time_limit=time_limit,
    )
    click.echo(to_json(found.summary) if as_json else str(found))
    if out is not None:
        from ..report.model_page import write_model_page

        path = write_model_page(found, out)
        if not quiet:
            click.echo(f"Page: {printable(path, 400)}", err=True)


@click.command(name="simulate")
@model_options
@click.option(
    "--pools", type=click.IntRange(1), default=1000, show_default=True, help="Number of pools to draw."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write: POOLS.h5ad.")
@click.option(
    "--heterogeneity",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Variance of the noises between pools over their variance within.",
)
@click.option(
    "--composition",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="Concentration of the Dirichlet law of each pool's shares of cell types [default: fixed shares].",
)
@click.option(
    "--counts",
    type=click.Choice(["poisson", "negative-binomial"]),
    default=None,
    help="Draw counts of molecules from the pooled values [default: the values themselves].",
)
@click.option(
    "--mean-depth",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="With --counts: mean total of a pool [default: a gene's rate is its pooled value].",
)
@click.option(
    "--size-factor-cv",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="With --counts: coefficient of variation of the depth between pools.",
)
@click.option(
    "--dispersion",
    type=click.FloatRange(0, min_open=True),
    default=0.1,
    show_default=True,
    help="Of negative-binomial counts: variance m + DISPERSION m^2 at mean m.",
)
@click.option(
    "--dropout",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Probability that a gene's value in a cell is lost before pooling.",
)
@click.option(
    "--memory",
    callback=parse_memory,
    metavar="SIZE",
    default="1G",
    show_default=True,
    help="Memory for cells.",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads.")
@click.option("--keep-cells", is_flag=True, help="Write the cells too, into uns['poolproof_cells'].")
def simulate_command(
    source: str | None,
    example: str | None,
    pools: int,
    cells: str | None,
    out: Path,
    force: bool,
    seed: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Draw cells from MODEL, pool them, and write the pools with the truth.

    MODEL is a file that check reads too. The graph, the number of cells and all settings are in
    uns['poolproof_simulation'] of the file written.

    Example: poolproof simulate model.yaml --pools 1000 --cells 100 --out pools.h5ad
    """
    from ..models.simulate import simulate_pools

    source_options = {name: options.pop(name) for name in ("format_", "regulators", "steps", "steady_state")}
    check_free(out, force)
    if out.suffix != ".h5ad":
        raise InputError(f"expected --out to end in .h5ad; found {printable(out, 400)}")
    adata = simulate_pools(
        _read(source, example, **source_options),
        pools=pools,
        cells=None if cells is None else _cells(cells),
        seed=seed,
        progress=not quiet and sys.stderr.isatty(),
        **options,
    )
    write_h5ad(adata, out)
    if not quiet:
        click.echo(f"{adata.n_obs:,} pools x {adata.n_vars:,} genes: {printable(out, 400)}", err=True)


# --- what goes in ---------------------------------------------------------------------------------------


def _read(
    source: str | None,
    example: str | None,
    format_: str | None,
    regulators: Path | None,
    steps: int | None,
    steady_state: bool,
) -> Model:
    """The model that the command names."""
    from ..models.examples import example_model
    from ..models.imports import read_any

    if source is not None and example is None:
        return read_any(source, format=format_, regulators=regulators, steps=steps, steady_state=steady_state)
    if example is not None and (format_ or regulators or steps or steady_state):
        raise InputError(
            "--format, --regulators, --steps and --steady-state belong to a MODEL, not to --example"
        )
    if example is not None and source is None:
        return example_model(example)
    found = "none" if source is None else "both"
    raise InputError(f"expected a model file or --example NAME; found {found}; see --list-examples of check")


def _cells(text: str) -> int | Law:
    from ..models.laws import parse_law

    if text.strip().isdecimal() and len(text) < 20:
        if int(text) < 1:
            raise InputError(f"--cells must be a whole number of at least 1, or a law; found {text}")
        return int(text)

    return parse_law(text, "--cells")


def _print_examples(as_json: bool) -> None:
    from .._files import to_json
    from ..models.examples import list_models

    models = list_models()
    if as_json:
        click.echo(to_json([{"name": name, "shows": shows} for name, shows in models.items()]))
        return
    for name, shows in models.items():
        click.echo(f"{name}: {shows}")
