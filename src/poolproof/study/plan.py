"""What the study does to which data sets: its settings, and the steps that are done one by one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from .._checks import InputError, printable
from ..data.registry import USER, Dataset, find_entry, known_datasets, known_networks

STEPS = (
    "audit",
    "pairs",
    "tests",
    "scales",
    "labels",
    "bases",
    "depths",
    "parts",
    "groups",
    "controls",
    "edges",
)
"""What is done with a data set, each on its own; see ``steps``."""


@dataclass(frozen=True)
class Entry:
    """A data set of the study; small enough to be sent to another process."""

    name: str
    """In the registry."""
    path: Path | None = None
    """The user's file, where the data set is not ours to pass on."""

    @property
    def dataset(self) -> Dataset:
        """What the registry says of it."""
        return known_datasets()[self.name]

    @property
    def label(self) -> str:
        """Short name, for pictures."""
        return str(_content()["datasets"][self.name]["label"])

    @property
    def group(self) -> str:
        """``bulk``, ``single-cell``, or ``pools of cell lines``, which count as neither."""
        return str(_content()["datasets"][self.name]["group"])

    @property
    def unit(self) -> str | None:
        """Column of obs whose values are left out together; ``consecutive``; None: single samples."""
        return _content()["datasets"][self.name].get("unit")


@cache
def study_settings() -> Mapping[str, Any]:
    """The settings of the study, without its data sets."""
    return MappingProxyType({name: value for name, value in _content().items() if name != "datasets"})


def study_names() -> tuple[str, ...]:
    """The data sets of the study, in the order of its tables."""
    return tuple(_content()["datasets"])


def choose_entries(
    only: Sequence[str] | None, paths: Mapping[str, Path]
) -> tuple[list[Entry], dict[str, str]]:
    """Choose data sets; those that are not ours to pass on are in it where the user has them.

    Returns
    -------
    The data sets, and why others are left out, by name.

    Raises
    ------
    InputError
        A name is not one of the study, or a path is given for a data set that comes with us.
    """
    known = {name: known_datasets()[name] for name in study_names()}
    _check_chosen(only, paths, known)
    entries, left_out = [], {}
    for name, dataset in known.items():
        if only is not None and name not in only:
            continue
        if dataset.place == USER and name not in paths:
            left_out[name] = f"licence: {dataset.licence}; give your file with --path {name}=FILE"
            continue
        entries.append(Entry(name, paths.get(name)))
    if not entries:
        found = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise InputError(f"expected data sets to study; found none: {found or 'no name is given'}")
    return entries, left_out


def _check_chosen(
    only: Sequence[str] | None, paths: Mapping[str, Path], known: Mapping[str, Dataset]
) -> None:
    """Names and files that the user gives: known, wanted, and there."""
    for name in (*(only or ()), *paths):
        find_entry(name, known, "data set of the study")
    for name, path in paths.items():
        if known[name].place != USER:
            raise InputError(f"{name} comes with poolproof and needs no file; found {printable(path, 200)}")
        if only is not None and name not in only:
            raise InputError(f"a file is given for {name}, which --only leaves out; name it there too")
        if not path.is_file():
            raise InputError(f"expected a file of {name}; found none at {printable(path, 200)}")


def key_of(entry: Entry, step: str, seed: int) -> str:
    """What the result of a step depends on: with the same key it need not be done again."""
    data = entry.dataset
    path = None
    if entry.path is not None:
        path = hashlib.sha256(entry.path.read_bytes()).hexdigest()
    content = {
        "version": version("poolproof"),
        "settings": dict(study_settings()),
        "step": step,
        "seed": seed,
        "data": [data.name, data.sha256, path, {**data.settings}, {**data.filter}],
        "networks": {name: known_networks()[name].sha256 for name in data.networks},
        "entry": [entry.group, entry.unit],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _content() -> dict[str, Any]:
    return yaml.safe_load((files(__package__) / "study.yaml").read_text(encoding="utf-8"))
