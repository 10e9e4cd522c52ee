"""What the registry says of real data: one entry for each data set and each network of datasets.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, TypeVar

from .._checks import InputError, printable
from .._notebook import record_html

PACKAGE, REPOSITORY, USER = "package", "repository", "user"
"""Places of a file: in the wheel; in the folder data/ of the repository; not ours to pass on."""


@dataclass(frozen=True)
class Dataset:
    """A data set of the registry."""

    name: str
    """What :func:`load_dataset` calls it, and ``dataset:NAME`` on the command line."""
    title: str
    """What was measured, in one line."""
    organism: str
    """Species, and strain where one is stated."""
    assay: str
    """How it was measured."""
    kind: str
    """``bulk`` or ``single-cell``."""
    n_obs: int
    """Samples (bulk) or cells (single-cell) in the file."""
    n_genes: int
    """Genes in the file."""
    scale: str
    """Scale of ``X``: ``counts``, ``additive`` or ``log``."""
    licence: str
    """Licence that the place of origin states."""
    permissive: bool
    """Whether that licence lets the file be shipped inside a package under the MIT licence."""
    source: str
    """Package or repository that the file was taken from."""
    citation: str
    """The study to cite when the data are used."""
    accession: str
    """Where the raw data are."""
    settings: Mapping[str, Any]
    """Options of an audit that suit the data; :attr:`remarks` says why."""
    filter: Mapping[str, tuple[Any, ...]]
    """Columns of ``obs``, each with the values whose samples are usable; see :func:`usable`."""
    networks: tuple[str, ...]
    """Networks of the registry that go with the data, see :func:`load_network`."""
    remarks: str
    """What to know about the values before using them."""
    place: str
    """``package``, ``repository`` (fetched on first use) or ``user`` (not ours to pass on)."""
    size: int
    """Bytes of the file; 0 where it is the user's."""
    sha256: str
    """Checksum of the file, hexadecimal; empty where it is the user's."""
    how_to_get: str = ""
    """Where it is the user's: how to come by the file."""

    def _repr_html_(self) -> str:
        return record_html(self.title, self)

    @property
    def file_name(self) -> str:
        """Name of the file, in every place."""
        return f"{self.name}.h5ad"


@dataclass(frozen=True)
class Network:
    """A regulatory network of the registry."""

    name: str
    """What :func:`load_network` calls it."""
    title: str
    """What it is, in one line."""
    organism: str
    """Species."""
    evidence: str
    """What the edges rest on."""
    n_edges: int
    """Rows of the file; a pair can occur several times."""
    n_regulators: int
    """Different regulators among them."""
    licence: str
    """Licence that the place of origin states."""
    permissive: bool
    """Whether that licence lets the file be shipped inside a package under the MIT licence."""
    source: str
    """Package or repository that the file was taken from."""
    citation: str
    """The study to cite when the network is used."""
    datasets: tuple[str, ...]
    """Data sets of the registry that it goes with."""
    remarks: str
    """How its names match the data, and where its use would be circular."""
    place: str
    """Always ``repository``: fetched on first use."""
    size: int
    """Bytes of the file."""
    sha256: str
    """Checksum of the file, hexadecimal."""

    def _repr_html_(self) -> str:
        return record_html(self.title, self)

    @property
    def kind(self) -> str:
        """``network``."""
        return "network"

    @property
    def file_name(self) -> str:
        """Name of the file, in every place."""
        return f"{self.name}.csv.gz"


Entry = Dataset | Network
AnyEntry = TypeVar("AnyEntry", bound=Entry)


@cache
def known_datasets() -> Mapping[str, Dataset]:
    """Every data set by name, in alphabetical order."""
    content = _content()["datasets"]
    return MappingProxyType({name: _dataset(name, content[name]) for name in sorted(content)})


@cache
def known_networks() -> Mapping[str, Network]:
    """Every network by name, in alphabetical order."""
    content = _content()["networks"]
    users = {
        name: tuple(entry.name for entry in known_datasets().values() if name in entry.networks)
        for name in content
    }
    return MappingProxyType(
        {name: Network(name=name, datasets=users[name], **content[name]) for name in sorted(content)}
    )


def find_entry(name: object, known: Mapping[str, AnyEntry], what: str) -> AnyEntry:
    """The entry of that name.

    Raises
    ------
    InputError
        There is none; the message names the likeliest ones.
    """
    if isinstance(name, str) and name in known:
        return known[name]
    near = get_close_matches(str(name), known, n=3, cutoff=0.4) or list(known)[:3]
    raise InputError(
        f"expected the name of a {what}; found {printable(name)!r}; did you mean {' or '.join(near)}? "
        "`poolproof datasets list` shows all"
    )


def _content() -> dict[str, Any]:
    import yaml  # not at the top: most commands need no registry

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # both are safe; the first is ten times as fast
    text = (files(__package__) / "datasets.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=loader)


def _dataset(name: str, entry: Mapping[str, Any]) -> Dataset:
    """An entry that no caller can change."""
    mine: dict[str, Any] = {"size": 0, "sha256": ""} | dict(entry)
    for field in ("settings", "filter"):
        values = entry[field].items()
        mine[field] = MappingProxyType({key: tuple(v) if isinstance(v, list) else v for key, v in values})
    mine["networks"] = tuple(entry["networks"])
    return Dataset(name=name, **mine)
