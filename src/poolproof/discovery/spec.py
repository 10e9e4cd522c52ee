"""What a benchmark runs: tasks, pools, methods and seeds, read from YAML and checked before the work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from .._checks import InputError, check_whole, printable
from ..models.examples import list_models
from .pooled import KINDS, RANDOM, Pooling
from .random_models import MECHANISMS

DEFAULT, QUICK = "default", "quick"
SPEC_KEYS = ("name", "seeds", "n_pools", "time_limit", "tasks", "pools", "methods", "check")
MEASURED = (
    *("perturbation", "control", "edges", "evidence", "genes", "within"),
    *("leave_out", "values", "name", "n_pools"),
)
"""Of a task of measured data."""
VALUES = ("layer", "kind", "scale", "log_base", "log_offset", "size_factors", "gene_column")
"""Options of how to read values."""
TASK_KEYS = {
    "model": ("model", "hidden"),
    "random": ("random", "mechanism", "degree", "hidden", "draws"),
    "dataset": ("dataset", *MEASURED),
    "file": ("file", *MEASURED),
}


@dataclass(frozen=True)
class TaskPlan:
    """One task, not made yet."""

    kind: str
    """``model``, ``random``, ``dataset`` or ``file``."""
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Short, unique in a spec."""
        if self.kind == "random":
            c = self.content
            hidden = f"-hidden{c['hidden']}" if c["hidden"] else ""
            return f"{c['mechanism']}-{c['n_genes']}{hidden}-{c['draw']}"
        return str(self.content.get("name") or self.content[self.kind])


@dataclass(frozen=True)
class Spec:
    """A whole benchmark."""

    name: str
    tasks: tuple[TaskPlan, ...]
    pools: tuple[Pooling, ...]
    methods: tuple[str, ...]
    """Names of methods, or ``package.module:function``."""
    seeds: tuple[int, ...] = (0,)
    n_pools: int = 500
    time_limit: float = 60.0
    """Seconds of one method on one set of pools."""
    check: bool = True
    """Whether ``check`` and an audit of the cells predict what will happen."""
    content: Mapping[str, Any] = field(default_factory=dict)
    """As read."""


def read_spec(spec: str | Path | Mapping[str, Any]) -> Spec:
    """Read a benchmark: ``default``, ``quick``, the path of a YAML file, or its content.

    Raises
    ------
    InputError
        The file cannot be read, or an entry is not known or out of range; one line that names the entry.

    Examples
    --------
    >>> tasks = [{"model": "fork-section4"}]
    >>> spec = read_spec({"tasks": tasks, "pools": [{"cells": [1, 10]}], "methods": ["pc"]})
    >>> [pooling.n_cells for pooling in spec.pools]
    [1, 10]
    """
    content = spec if isinstance(spec, Mapping) else _loaded(spec)
    _known(content, SPEC_KEYS, "the spec")
    for key in ("tasks", "pools", "methods"):
        if not isinstance(content.get(key), Sequence) or isinstance(content[key], str) or not content[key]:
            raise InputError(f"the spec needs {key}: a list with at least one entry")
    seeds = content.get("seeds", [0])
    if not isinstance(seeds, Sequence) or isinstance(seeds, str) or not seeds:
        raise InputError("seeds must be a list of whole numbers of at least 0")
    limit = content.get("time_limit", 60)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
        raise InputError(f"time_limit must be above 0 seconds; found {printable(limit)!r}")
    tasks = tuple(task for entry in content["tasks"] for task in _tasks(entry))
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the task {printable(twice, 60)!r} stands twice in the spec")
    methods = tuple(_text(method, "methods") for method in content["methods"])
    if len(set(methods)) < len(methods):
        raise InputError("a method stands twice in the spec")
    return Spec(
        name=str(content.get("name", "benchmark")),
        tasks=tasks,
        pools=tuple(dict.fromkeys(pooling for entry in content["pools"] for pooling in _poolings(entry))),
        methods=methods,
        seeds=tuple(check_whole("a seed", seed, 0) for seed in seeds),
        n_pools=check_whole("n_pools", content.get("n_pools", 500), 20),
        time_limit=float(limit),
        check=bool(content.get("check", True)),
        content=dict(content),
    )


def _loaded(spec: str | Path) -> Mapping[str, Any]:
    if str(spec) in (DEFAULT, QUICK):
        text = files("poolproof.discovery").joinpath(f"{spec}.yaml").read_text(encoding="utf-8")
    else:
        path = Path(spec)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise InputError(
                f"expected {DEFAULT}, {QUICK} or a YAML file of a benchmark; found no text at "
                f"{printable(path, 400)}"
            ) from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise InputError(f"expected YAML; line {line} of {printable(spec, 400)} is none") from None
    if not isinstance(content, Mapping):
        raise InputError("expected a spec with tasks, pools and methods; found no mapping")
    return content


def _known(entry: object, keys: Sequence[str], where: str) -> Mapping[str, Any]:
    if not isinstance(entry, Mapping):
        raise InputError(
            f"expected entries such as {keys[0]}: ... in {where}; found {printable(entry, 60)!r}"
        )
    for key in entry:
        if key not in keys:
            near = get_close_matches(str(key), keys, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(keys)}"
            raise InputError(f"{where} has no entry {printable(key, 40)!r}{hint}")
    return entry


def _tasks(entry: object) -> Iterator[TaskPlan]:
    kind = next((k for k in TASK_KEYS if isinstance(entry, Mapping) and k in entry), None)
    if kind is None:
        raise InputError(
            f"a task is one of {', '.join(TASK_KEYS)}, such as {{model: fork-section4}}; found "
            f"{printable(entry, 60)!r}"
        )
    content = _known(entry, TASK_KEYS[kind], f"a task with {kind}")
    if kind == "model":
        model = _text(content["model"], "model")
        if model not in list_models() and not Path(model).is_file():
            raise InputError(f"expected a model of the gallery or a file; found {printable(model, 200)!r}")
        yield TaskPlan(kind, {"model": model, "hidden": tuple(_list(content.get("hidden", ())))})
    elif kind in ("dataset", "file"):
        yield TaskPlan(kind, _measured(kind, content))
    else:
        sizes, mechanisms, hidden = (
            _list(content.get(key, default))
            for key, default in (("random", 10), ("mechanism", "hill"), ("hidden", 0))
        )
        for mechanism in mechanisms:
            if mechanism not in MECHANISMS:
                raise InputError(
                    f"mechanism must be one of {', '.join(MECHANISMS)}; found {printable(mechanism, 40)!r}"
                )
        for draw in range(check_whole("draws", content.get("draws", 1), 1)):
            for size in sizes:
                for mechanism in mechanisms:
                    for n_hidden in hidden:
                        yield TaskPlan(
                            kind,
                            {
                                "n_genes": check_whole("random", size, 2),
                                "mechanism": mechanism,
                                "hidden": check_whole("hidden", n_hidden, 0),
                                "degree": float(content.get("degree", 2.0)),
                                "draw": draw,
                            },
                        )


def _measured(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a task of measured data, checked."""
    _text(content[kind], kind)
    if "edges" in content:
        _text(content["edges"], "edges")
        if "perturbation" in content:
            raise InputError("a task of measured data has perturbation and control, or edges; found both")
    else:
        for key in ("perturbation", "control"):
            _text(content.get(key), f"{key} of a {kind}")
    for key, least in (("genes", 2), ("n_pools", 20)):
        if key in content:
            check_whole(key, content[key], least)
    if not isinstance(content.get("values", {}), Mapping):
        raise InputError("values must name options of how to read them, such as {layer: counts}")
    for key in content.get("values", {}):
        if key not in VALUES:
            raise InputError(f"values has no entry {printable(key, 40)!r}; known: {', '.join(VALUES)}")
    return dict(content)


def _poolings(entry: object) -> Iterator[Pooling]:
    content = _known(entry, ("kind", "cells"), "an entry of pools")
    for kind in _list(content.get("kind", RANDOM)):
        if kind not in KINDS:
            raise InputError(
                f"kind of pools must be one of {', '.join(KINDS)}; found {printable(kind, 40)!r}"
            )
        for n_cells in _list(content.get("cells", 1)):
            yield Pooling(kind, check_whole("cells", n_cells, 1))


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"expected text for {what}; found {printable(value, 60)!r}")
    return value
