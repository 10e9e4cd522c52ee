"""From the options of a command to values: files of samples, genes, pairs and networks."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._checks import printable
from .._phases import phase

if TYPE_CHECKING:
    import pandas as pd

    from ..data.expression import Expression, ValueOptions

VALUE_OPTIONS = ("layer", "kind", "scale", "log_base", "log_offset", "size_factors", "gene_column")
"""Options that say how to read the values."""


@dataclass(frozen=True)
class Given:
    """What an audit works on."""

    expression: Expression
    obs: pd.DataFrame
    name: str
    notes: list[str]
    """From reading the files."""
    options: dict[str, Any]
    """What is left for :func:`poolproof.audit`, with what the data set's own settings say."""


@dataclass(frozen=True)
class Large:
    """What becomes of cells that do not fit into memory: they stay in their file and are read by blocks."""

    layer: str | None
    memory: float
    files: contextlib.ExitStack
    """Closes the file at the end."""
    by_blocks: bool = False
    """Whether cells stay in their file however few they are: workers of a cluster read them."""

    def values(self, asked: ValueOptions, adata: Any, seed: int) -> tuple[Expression, pd.DataFrame]:
        """The values of an analysis and its table of samples."""
        from ..data.large import read_values

        return read_values(asked, adata, None, memory=self.memory, seed=seed, by_blocks=self.by_blocks)

    def open(self, path: Path) -> Any:
        """An AnnData whose values stay in their file; None where they fit into memory."""
        from ..data.large import left_in_file

        return self.files.enter_context(left_in_file(path, self.layer, self.memory, self.by_blocks))


def read_input(
    source: str,
    orientation: str,
    modality: str | None,
    samples: Path | None,
    lists: tuple[Path | None, Path | None, Path | None],
    options: dict[str, Any],
    progress: bool,
    large: Large | None = None,
) -> Given:
    """Read the values, and the files of regulators, pairs and network, in this order in ``lists``.

    ``large`` says what becomes of cells that do not fit into memory; None: they are read.
    """
    from ..data.datasets import load_network
    from ..data.expression import ValueOptions
    from ..data.networks import read_edges, read_regulators

    with phase("reading", show=progress):
        options = dict(options)
        of_edges: list[str] = []
        genes: list[str] = []
        regulators, *edge_lists = lists
        if regulators is not None:
            options["regulators"] = genes = read_regulators(regulators)
        for option, path in zip(("pairs", "network"), edge_lists, strict=True):
            if path is not None:
                listed = str(path).removeprefix("dataset:")
                edges = read_edges(path) if listed == str(path) else load_network(listed)
                options[option] = edges
                of_edges += edges.attrs.get("warnings", [])
                genes = [*genes, *edges["regulator"], *edges["target"]]
        adata, name, notes, defaults = load(source, orientation, modality, samples, genes, large)
        options = _fill_in(options, defaults)
        asked = ValueOptions(**{option: options.pop(option) for option in VALUE_OPTIONS})
        expression, obs = (
            asked.read(adata, None) if large is None else large.values(asked, adata, options["seed"])
        )
    return Given(expression, obs, name, [*notes, *of_edges], options)


def load(
    source: str,
    orientation: str,
    modality: str | None,
    samples: Path | None,
    genes: Sequence[str],
    large: Large | None = None,
) -> tuple[Any, str, list[str], dict[str, Any]]:
    """Read the input: AnnData, its name, notes, and options that suit it."""
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
        adata = None
        if large is not None and not modality and orientation != "genes-in-rows":
            adata = large.open(Path(source))
        if adata is None:
            adata = read(
                source, orientation=orientation, modality=modality, known_genes=genes, known_samples=known
            )
        notes = list(adata.uns["poolproof_read"]["warnings"])
        if table is not None:
            notes += read_samples(table, adata)
    return adata, printable(adata.uns["poolproof_read"]["path"], 255), notes, {}


def _fill_in(options: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Options of the command line, with a data set's own settings where the user gave none."""
    context = click.get_current_context()
    sources = click.core.ParameterSource
    given = (sources.COMMANDLINE, sources.DEFAULT_MAP)
    return options | {
        name: value for name, value in defaults.items() if context.get_parameter_source(name) not in given
    }
