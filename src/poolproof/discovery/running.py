"""A benchmark: tasks x pools x methods x seeds, done side by side, resumed where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._bars import tqdm
from .._checks import InputError, check_column, check_threads, printable
from .._files import replace_file, to_json, write_parquet
from .._notebook import summary_html
from .._random import stream
from .._side_by_side import kept_folder, on_cluster, side_by_side
from ..data.datasets import dataset_info, load_dataset, load_network, usable
from ..data.io import read
from ..data.networks import read_edges
from .graph import Graph
from .interventions import edges_task, intervention_task
from .methods import METHODS, find_method
from .metrics import (
    METRICS,
    RANDOM_GRAPH,
    effect_intervals,
    effect_metrics,
    graph_metrics,
    random_graph,
    weight_metrics,
)
from .pooled import Pooling, draw_pools
from .prediction import predict, sizes_in
from .spec import VALUES, Spec, TaskPlan, read_spec
from .summary import summarise
from .tasks import Task, model_task, random_task
from .worker import OK, Worker

PARTS, POOLS = "parts", "pools"
Scored = tuple[float, float | None, float | None]
"""A metric, and its interval where it has one."""
ROW_COLUMNS = (
    *("task", "source", "mechanism", "n_genes", "n_hidden", "pooling", "n_cells", "n_pools", "seed"),
    *("method", "status", "reason", "seconds", "metric", "value", "low", "high"),
)


@dataclass(frozen=True, eq=False, repr=False)
class Benchmark:
    """What methods found in pools."""

    table: pd.DataFrame
    """One row per task, pools, seed, method and metric (`ROW_COLUMNS`); ``low`` and ``high``: 95 % interval
    of metrics of effects, by drawing the perturbed genes again."""
    tasks: pd.DataFrame
    """One row per task and seed: what was known beforehand."""
    summary: dict[str, Any]
    """The content of benchmark.json."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The spec."""
    seed: int = 0

    def __str__(self) -> str:
        return "\n".join(self.summary["findings"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return summary_html(
            "Benchmark", self.summary["findings"], self.table, self.summary["notes"], rows="first"
        )


def run_benchmark(
    folder: str | Path,
    spec: str | Path | Mapping[str, Any] = "default",
    *,
    edges: str | Path | None = None,
    write_pools: bool = False,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = False,
    force: bool = False,
    client: Any = None,
) -> Benchmark:
    """Measure what methods find in single cells and in pools of them, where the truth is known.

    Parameters
    ----------
    folder
        Where results go. What an earlier run with the same spec finished there is used again.
    spec
        ``default`` (about 20 minutes on two processors), ``quick`` (a minute), the path of a YAML file, or
        its content as a mapping.
    edges
        Folder with edge lists made elsewhere, one file per pools: ``POOLS.METHOD.csv`` (or .tsv), where POOLS
        is the name of a file that ``write_pools`` writes; with the columns ``regulator`` and ``target`` and,
        if there are any, ``weight``.
    write_pools
        Write the pools too, as ``pools/NAME.csv`` (samples x genes), for methods that run elsewhere.
    seed
        Added to each seed of the spec.
    threads
        Processes that work side by side; None: one for each processor.
    progress
        Show a progress bar.
    force
        Whether everything is done anew.
    client
        ``distributed.Client`` of a Dask cluster whose workers do the work and see the folder under the same
        path; None: ``threads`` do.

    Returns
    -------
    Benchmark. In ``folder``: ``benchmark.parquet``, ``tasks.parquet``, ``benchmark.json``,
    ``benchmark.html`` and ``parts/``.

    Raises
    ------
    InputError
        The spec cannot be used, a method's library is missing, or the folder cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> spec = {"tasks": [{"model": "fork-section4"}], "pools": [{"cells": [1, 20]}], "n_pools": 200,
    ...         "methods": ["partial_correlation"], "check": False}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = run_benchmark(folder, spec, threads=1).table
    >>> found[(found.metric == "auprc") & (found.method == "partial_correlation")].value.tolist()[0]
    1.0
    """
    stream(seed)
    plan = read_spec(spec)
    for name in plan.methods:
        find_method(name)  # refuses now what is not known or not installed
    workers = check_threads(threads)
    place, given = Path(folder).absolute(), None if edges is None else Path(edges).absolute()
    of_edges = {} if given is None else _edge_files(given)
    units = [
        _Unit(task, s + seed, plan, place, given, of_edges, write_pools)
        for task in plan.tasks
        for s in plan.seeds
    ]
    with kept_folder(place, (PARTS,), "benchmark", remove=(f"{PARTS}/.*", ".benchmark.*")):
        waiting = [unit for unit in units if force or not unit.is_done()]
        _do_all(waiting, workers, progress, len(units) - len(waiting), client)
        parts = [unit.result() for unit in units]
        table = pd.DataFrame([row for part in parts for row in part["rows"]], columns=list(ROW_COLUMNS))
        tasks = pd.DataFrame([part["task"] for part in parts])
        notes = list(dict.fromkeys(note for part in parts for note in part["notes"]))
        summary = summarise(table, tasks, notes, seed)
        summary["tool"] = {"name": "poolproof", "version": version("poolproof"), "libraries": _versions(plan)}
        summary["spec"] = dict(plan.content)
        found = Benchmark(table, tasks, summary, plan.content, seed)
        _write(found, place)
    return found


@dataclass(frozen=True)
class _Unit:
    """One task with one seed: all of its pools and methods."""

    task: TaskPlan
    seed: int
    spec: Spec
    place: Path
    edges: Path | None
    edge_files: Mapping[str, str]
    """Edge lists made elsewhere, each with a mark of its content."""
    write_pools: bool

    @property
    def name(self) -> str:
        """Part of the names of its files."""
        return f"{_file_name(self.task.name)}.{self.seed}"

    @property
    def path(self) -> Path:
        """Path of the file with the result."""
        return self.place / PARTS / f"{self.name}.json"

    @property
    def key(self) -> str:
        """Changes with whatever could change the result."""
        content = {
            "version": version("poolproof"),
            "task": [self.task.kind, dict(self.task.content)],
            "model": _content_of(self.task),
            "pools": [[p.kind, p.n_cells] for p in self.spec.pools],
            "methods": [[name, _source_of(name)] for name in self.spec.methods],
            "n_pools": self.spec.n_pools,
            "limit": self.spec.time_limit,
            "check": self.spec.check,
            "edges": dict(self.edge_files),
            "write_pools": self.write_pools,
            "libraries": _versions(self.spec),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    def is_done(self) -> bool:
        """Whether its result is there, of the same version, settings, model and methods."""
        try:
            return bool(json.loads(self.path.read_text(encoding="utf-8"))["key"] == self.key)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def result(self) -> dict[str, Any]:
        """What was found: ``rows``, ``task``, ``notes``."""
        return dict(json.loads(self.path.read_text(encoding="utf-8")))


def _content_of(task: TaskPlan) -> list[str]:
    """Marks of the content of the files that a task names."""
    named = (Path(str(task.content.get(key, ""))) for key in ("model", "file", "edges"))
    return [_mark(path) for path in named if path.is_file()]


def _source_of(method: str) -> str:
    """Mark of the file with a function of the user; empty for methods of ours."""
    module, colon, _ = method.partition(":")
    found = find_spec(module) if colon else None
    return "" if found is None or found.origin is None else _mark(Path(found.origin))


def _mark(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _versions(plan: Spec) -> dict[str, str]:
    """Versions of the libraries behind the methods."""
    needed = {METHODS[name].needs for name in plan.methods if name in METHODS} - {""}
    found = {}
    for package in sorted({*needed, "numpy"}):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _file_name(name: str) -> str:
    """A task's name as part of a file's; with a mark of the whole where signs of it are lost (a path)."""
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(name).stem)
    return kept if kept == name else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _edge_files(folder: Path) -> dict[str, str]:
    """Edge lists in a folder, each with a mark of its content."""
    if not folder.is_dir():
        raise InputError(f"--edges must be a folder of edge lists; found none at {printable(folder, 400)}")
    files = sorted(path for path in folder.iterdir() if path.suffix in (".csv", ".tsv"))
    if not files:
        raise InputError(f"expected files POOLS.METHOD.csv in {printable(folder, 400)}; found none")
    return {path.name: _mark(path) for path in files}


# --- doing -------------------------------------------------------------------------------------------------


def _do_all(units: list[_Unit], workers: int, progress: bool, n_done: int, client: Any = None) -> None:
    """Do units side by side; what is finished stays when others fail or are stopped."""
    n = len(units) + n_done
    with tqdm(total=n, initial=n_done, desc="tasks", unit="task", disable=not progress, leave=False) as bar:
        if client is not None:
            on_cluster(client, _do, units, bar.update, "benchmark")
        elif workers == 1 or len(units) < 2:
            for unit in units:
                bar.set_description(unit.task.name[:40])
                _do(unit)
                bar.update()
        else:
            side_by_side(_do, units, min(workers, len(units)), bar.update, "benchmark")


def _do(unit: _Unit) -> None:
    """Draw the pools of one task and seed, run every method on them, and write what came of it."""
    task = make_task(unit.task)
    notes: list[str] = []
    rows: list[tuple[Any, ...]] = []
    with Worker() as worker:
        for pooling in unit.spec.pools:
            try:
                n_pools = int(unit.task.content.get("n_pools", unit.spec.n_pools))
                values = draw_pools(task, pooling, n_pools, unit.seed)
            except InputError as error:
                notes.append(f"{task.name}: no pools {pooling.kind} of {pooling.n_cells}: {error}")
                continue
            rows += _rows(unit, task, pooling, values, worker)
    known = {"task": task.name, "seed": unit.seed, **task.facts, "n_genes": len(task.genes)}
    known |= {"n_edges": task.n_edges}
    known |= predict(task, seed=unit.seed, with_check=unit.spec.check)
    content = {"key": unit.key, "task": known, "rows": rows, "notes": notes}
    replace_file(unit.path, to_json(content))


def make_task(plan: TaskPlan) -> Task:
    """Make a task of its plan.

    Raises
    ------
    InputError
        The model or the data set cannot be used.
    """
    content = plan.content
    if plan.kind == "model":
        return model_task(content["model"], hidden=content["hidden"], name=plan.name)
    if plan.kind == "random":
        of = {key: content[key] for key in ("mechanism", "degree", "hidden")}
        return random_task(content["n_genes"], **of, seed=content["draw"])
    return _measured_task(plan)


def _measured_task(plan: TaskPlan) -> Task:
    """Make a task of measured data, of the registry or of a file."""
    content = plan.content
    values: dict[str, Any] = {}
    if plan.kind == "dataset":
        entry = dataset_info(content["dataset"])
        adata = usable(load_dataset(entry.name), entry)
        values = {key: value for key, value in entry.settings.items() if key in VALUES}
    else:
        adata = read(content["file"])
    values |= content.get("values", {})
    if "edges" not in content:
        return intervention_task(
            adata,
            perturbation=content["perturbation"],
            control=content["control"],
            name=plan.name,
            n_genes=content.get("genes"),
            within=content.get("within"),
            leave_out=content.get("leave_out"),
            values=values,
        )
    listed = content["edges"].removeprefix("dataset:")
    edges = load_network(listed) if listed != content["edges"] else read_edges(listed)
    if "evidence" in content:
        check_column(edges.columns, "evidence", where="the table of edges", option="evidence")
        named = edges["evidence"].astype(str).str.contains(str(content["evidence"]), regex=False)
        edges = edges[named]
    return edges_task(adata, edges, name=plan.name, n_genes=content.get("genes", 40), values=values)


def _rows(
    unit: _Unit, task: Task, pooling: Pooling, values: np.ndarray, worker: Worker
) -> Iterator[tuple[Any, ...]]:
    """Rows of all methods on one set of pools."""
    place = f"{unit.name}.{pooling.kind}.{pooling.n_cells}"
    if unit.write_pools:
        folder = unit.place / POOLS
        folder.mkdir(exist_ok=True)
        replace_file(
            folder / f"{place}.csv", pd.DataFrame(values, columns=list(task.genes)).to_csv(index=False)
        )
    facts = task.facts
    about = (
        *(task.name, facts["source"], facts.get("mechanism"), len(task.genes), facts.get("n_hidden", 0)),
        *(pooling.kind, pooling.n_cells, len(values), unit.seed),
    )
    score = partial(_scores, task, unit.seed)
    for name in unit.spec.methods:
        outcome = worker.run(values, task.genes, name, seed=unit.seed, time_limit=unit.spec.time_limit)
        yield from _long(about, name, outcome.status, outcome.reason, outcome.seconds, outcome.graph, score)
    for name, graph, reason in _from_elsewhere(unit, task, place):
        yield from _long(about, name, OK if graph else "failed", reason, None, graph, score)
    rng = stream(unit.seed, "random graph", task.name, pooling.n_cells)
    drawn = random_graph(task.genes, task.n_edges, rng)
    yield from _long(about, RANDOM_GRAPH, OK, "", None, drawn, score)
    if task.truth is not None and task.has_separations:
        for test, size in sizes_in(values, task.truth, unit.seed).items():
            yield (*about, test, OK, "", None, "size", size, None, None)


def _long(
    about: tuple[Any, ...],
    method: str,
    status: str,
    reason: str,
    seconds: float | None,
    graph: Graph | None,
    score: Callable[[Graph], dict[str, Scored]],
) -> Iterator[tuple[Any, ...]]:
    """A row per metric; one without a value where there is no graph."""
    if graph is None:
        yield (*about, method, status, reason, seconds, METRICS[0], None, None, None)
        return
    for metric, (value, low, high) in score(graph).items():
        if np.isfinite(value):
            yield (*about, method, status, reason, seconds, metric, value, low, high)


def _scores(task: Task, seed: int, found: Graph) -> dict[str, Scored]:
    """All metrics that a task can have. Weights become a graph of as many edges as the truth has."""
    scores: dict[str, Scored] = {}
    if task.truth is not None:
        graph = found.with_edges(task.n_edges)
        of_graph = graph_metrics(graph, task.truth) | weight_metrics(found, task.truth)
        scores |= {name: (value, None, None) for name, value in of_graph.items()}
    if task.effects is not None:
        graph = found.with_edges(task.n_edges)
        of_effects = effect_metrics(graph, task.effects)
        ends = effect_intervals(graph, task.effects, stream(seed, "effects", task.name))
        scores |= {name: (value, *ends[name]) for name, value in of_effects.items()}
    return scores


def _from_elsewhere(unit: _Unit, task: Task, place: str) -> Iterator[tuple[str, Graph | None, str]]:
    """Graphs of the edge lists that were made elsewhere for one set of pools."""
    if unit.edges is None:
        return
    for name in unit.edge_files:
        if not name.startswith(f"{place}."):
            continue
        method = Path(name).stem.removeprefix(f"{place}.")
        try:
            yield method, Graph.of_table(task.genes, read_edges(unit.edges / name)), ""
        except InputError as error:
            yield method, None, f"{printable(name, 80)}: {error}"


def _write(found: Benchmark, place: Path) -> None:
    from .page import benchmark_page

    write_parquet(found.table, place / "benchmark.parquet")
    write_parquet(found.tasks, place / "tasks.parquet")
    replace_file(place / "benchmark.html", benchmark_page(found.table, found.tasks, found.summary))
    replace_file(place / "benchmark.json", to_json(found.summary))
