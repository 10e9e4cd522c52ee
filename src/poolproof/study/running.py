"""The study: is gene regulation affine in real data? Every data set of the registry, audited the same way."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from .. import _names as names
from .._bars import tqdm
from .._checks import InputError, check_threads
from .._files import FIGURES, MARK, replace_file, to_json, write_parquet
from .._notebook import summary_html
from .._random import stream
from .._side_by_side import kept_folder, on_cluster, side_by_side
from ..data.datasets import fetch_dataset, load_dataset
from ..pools.curves import PoolingCurves
from ..verdict.auditing import Audit, audit
from .plan import STEPS, Entry, choose_entries, key_of, study_settings
from .steps import row_of, rows_of_step, share_columns, table_of_rows
from .subject import Subject, read_subject
from .summary import PARTS_OF_PAIRS, summarise

PARTS = "parts"
"""Folder with what is done of each data set: a file a step."""
AUDITS = "audits"
"""Folder with the audit of each data set, its report included."""
AUDIT_FILES = (MARK, "genes.parquet", "report.html")
"""Without these an audit is done again: the table and the page of the study need them."""
NOTEBOOK_COLUMNS = (
    *("dataset", "step", "setting", "n_obs", "n_genes", "bend_share", "low", "high"),
    *("share_nonlinear", "share_affine"),
)
VERDICT_ENTRIES = (
    *(
        "verdict",
        "reasons",
        "next_steps",
        "data",
        "linearity",
        "population",
        "floor",
        "sensitivity",
        "triples",
    ),
)
"""Entries of verdict.json that the comparison needs."""
LEFT_BY_THE_KILLED = (f"{PARTS}/.*", ".study.*", f"{FIGURES}/.*", f"{AUDITS}/*/.report.html.*")
"""Files that were being written."""


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """What the data sets say, side by side."""

    table: pd.DataFrame
    """One row per data set, step and setting; columns ``poolproof._names.STUDY_COLUMNS``."""
    summary: dict[str, Any]
    """The content of study.json."""
    settings: Mapping[str, Any] = field(default_factory=study_settings)
    """The same for every data set."""
    seed: int = 0
    """Seed of every random draw."""

    def __str__(self) -> str:
        return "\n".join(self.summary["findings"].values())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return summary_html(
            "Study",
            list(self.summary["findings"].values()),
            self.table,
            self.summary["notes"],
            columns=NOTEBOOK_COLUMNS,
            rows="first",
        )


def run_study(
    folder: str | Path,
    *,
    only: Sequence[str] | None = None,
    paths: Mapping[str, str | Path] | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = False,
    force: bool = False,
    client: Any = None,
) -> Study:
    """Audit the data sets of the registry the same way, and compare them.

    Parameters
    ----------
    folder
        Where results go. What an earlier, perhaps interrupted run with the same settings finished there is
        used again.
    only
        Names of data sets; None: all of the study. Those that cannot be fetched are left out, and study.json
        says why.
    paths
        Files of data sets that are not ours to pass on, by name.
    seed
        Of every random draw.
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
    Study. In ``folder``: ``study.parquet`` (one row per data set, step and setting), ``study.json`` (the
    comparison), ``study.html`` (the page), ``audits/NAME/`` (the audit of each data set, with its report) and
    ``parts/`` (what is done of each data set). study.json is written last.

    Raises
    ------
    InputError
        A name is not one of the study, a file is missing or another one, no data set can be fetched, or the
        folder cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_study(folder, only=["no_such_data"])
    Traceback (most recent call last):
    poolproof._checks.InputError: expected the name of a data set of the study; found 'no_such_data'; ...

    The whole study takes an hour or more; ``run_study("study", only=["bulk_yeast_segregants_eqtl"]).table`` a
    minute or two.
    """
    stream(seed)  # refuses what is no seed
    workers = check_threads(threads)
    entries, left_out = choose_entries(only, {name: Path(path) for name, path in (paths or {}).items()})
    remove = (*LEFT_BY_THE_KILLED, *([f"{PARTS}/*.json"] if force else []))
    with kept_folder(Path(folder), (PARTS, AUDITS), "study", remove=remove) as place:
        tasks = [
            _Task(entry, step, seed, place, key_of(entry, step, seed)) for entry in entries for step in STEPS
        ]
        waiting = [task for task in tasks if not task.is_done()]
        missing = _fetch(waiting, progress)
        tasks, waiting = (
            [task for task in some if not missing.keys() & task.sources] for some in (tasks, waiting)
        )
        entries = [entry for entry in entries if entry.name not in missing]
        if not entries:
            raise InputError(f"expected data sets to study; found none: {next(iter(missing.values()))}")
        _do_all(waiting, workers, progress, n_done=len(tasks) - len(waiting), client=client)
        return _write(entries, tasks, left_out | missing, seed, place)


@dataclass(frozen=True)
class _Task:
    """One step with one data set."""

    entry: Entry
    step: str
    seed: int
    place: Path
    key: str

    @property
    def path(self) -> Path:
        """Path of the file with the result."""
        return self.place / PARTS / f"{self.entry.name}.{self.step}.json"

    @property
    def folder(self) -> Path:
        """Folder of the audit."""
        return self.place / AUDITS / self.entry.name

    @property
    def sources(self) -> tuple[str, ...]:
        """Names in the registry of what it reads."""
        return (self.entry.name, *(self.entry.dataset.networks if self.step == "edges" else ()))

    def is_done(self) -> bool:
        """Whether its result is there, of the same version, settings and data."""
        with suppress(OSError, ValueError, TypeError):
            if json.loads(self.path.read_text(encoding="utf-8"))["key"] == self.key:
                return self.step != "audit" or all((self.folder / name).exists() for name in AUDIT_FILES)
        return False

    def result(self) -> dict[str, Any]:
        """What was found: ``rows``, ``notes``, ``seconds``; of the audit also ``verdict``."""
        return json.loads(self.path.read_text(encoding="utf-8"))


def _fetch(tasks: Sequence[_Task], progress: bool) -> dict[str, str]:
    """Have the files that tasks need; by name why those that cannot be fetched are left out.

    Raises
    ------
    InputError
        A file that the user gave is another one.
    """
    missing = {}
    given = {task.entry.name: task.entry.path for task in tasks}
    for name in dict.fromkeys(name for task in tasks for name in task.sources):
        path = given.get(name)
        if path is not None:
            load_dataset(name, path=path)  # refuses now, not when the others are done
            continue
        try:
            fetch_dataset(name, progress=progress)
        except InputError as error:
            missing[name] = str(error)
    return missing


# --- doing -------------------------------------------------------------------------------------------------


def _do_all(tasks: list[_Task], workers: int, progress: bool, n_done: int, client: Any = None) -> None:
    """Do tasks side by side, the longest first; what is finished stays when others fail or are stopped."""
    # audits take longest; of the others, those of a data set stay together, so that it is read once
    tasks = sorted(tasks, key=lambda task: (task.step != "audit", -task.entry.dataset.n_obs))
    with tqdm(
        total=len(tasks) + n_done, initial=n_done, unit="step", disable=not progress, leave=False
    ) as bar:
        try:
            if client is not None:
                on_cluster(client, _do, tasks, bar.update, "study")
            elif workers == 1 or len(tasks) < 2:
                with threadpool_limits(limits=1):
                    for task in tasks:
                        bar.set_description(f"{task.entry.name} {task.step}"[:40])
                        _do(task)
                        bar.update()
            else:
                side_by_side(_do, tasks, min(workers, len(tasks)), bar.update, "study")
        finally:
            _subject.cache_clear()


@lru_cache(maxsize=1)
def _subject(entry: Entry, seed: int) -> Subject:
    return read_subject(entry, seed)


def _do(task: _Task) -> None:
    """Do a step and write its file."""
    started = time.perf_counter()
    subject = _subject(task.entry, task.seed)
    if task.step == "audit":
        found = _audit(subject, task)
    else:
        rows, notes = rows_of_step(subject, task.step, task.seed)
        found = {"rows": rows, "notes": notes}
    for row in found["rows"]:
        row |= {"dataset": task.entry.name, "group": task.entry.group} | (
            {"step": task.step} if "step" not in row else {}
        )
    content = {"key": task.key} | found | {"seconds": round(time.perf_counter() - started, 1)}
    replace_file(task.path, to_json(content) + "\n")


def _audit(subject: Subject, task: _Task) -> dict[str, Any]:
    """The audit of a data set, saved with its report; its strongest pairs only."""
    from ..report.audit_page import write_report  # draws: not needed to import the package

    task.path.unlink(missing_ok=True)  # an earlier result goes with its folder, which is replaced below
    settings = study_settings()
    options = {name: settings[name] for name in ("fdr", "margin", "min_r2")}
    result = audit(
        subject.chosen,
        obs=subject.chosen_obs,
        name=task.entry.name,
        notes=subject.notes,
        keep=f"top:{settings['max_pairs']}",
        threads=1,
        seed=task.seed,
        **options,
        **subject.options,
    )
    result.save(task.folder, force=True)
    write_report(task.folder)
    rows = [_audit_row(result), *_population_rows(result.summary["population"]), *_curve_rows(result.curves)]
    verdict = {name: result.summary[name] for name in VERDICT_ENTRIES}
    verdict["linearity"].pop("levels")
    design = result.linearity.design
    largest = max(len(level.rows) for level in design.levels)
    return {
        "rows": rows,
        "notes": list(result.data["warnings"]),
        "verdict": verdict,
        "n_independent": design.n_clusters or largest,
    }


def _audit_row(result: Audit) -> dict[str, Any]:
    """The row of an audit: its bend share, what that is held against, and the verdict."""
    floor, control = result.summary["floor"], result.summary["linearity"]["control"]
    beside: dict[str, Any] = {"verdict": result.verdict}
    if floor is not None and floor["decided"]:
        beside |= {name: floor[name] for name in ("floor", "excess", "limit")}
    if control is not None and control.get("bend_share"):
        beside["control_share"] = control["bend_share"]["estimate"]
    return row_of(result.linearity, "audit", **beside)


def _population_rows(share: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Bend shares of parts of the pairs of an audit as rows of the study."""
    if share is None:
        return []
    parts = {part: share[part] for part in PARTS_OF_PAIRS if share[part] is not None}
    for kind in ("level", "strength"):
        parts |= {f"{kind} {name}": of for name, of in share["levels" if kind == "level" else kind].items()}
    return [
        {"step": "population", "setting": name, "n_tested": of["n_pairs"], **share_columns(of)}
        for name, of in parts.items()
    ]


def _curve_rows(curves: PoolingCurves | None) -> list[dict[str, Any]]:
    """Pooling curves as rows of the study: what was measured, of pools of how many cells."""
    if curves is None:
        return []
    return [
        {
            "step": "pooling",
            "setting": f"{row['regime']} {row['measure']}",
            "value": row["n_cells"],
            "repeat": row["repeat"],
            "n_obs": row["n_pools"],
            "measurement": row["value"],
        }
        for row in curves.table.to_dict("records")
    ]


# --- writing -----------------------------------------------------------------------------------------------


def _write(
    entries: Sequence[Entry], tasks: Sequence[_Task], left_out: Mapping[str, str], seed: int, place: Path
) -> Study:
    """Put the parts together, and write table, page and, last, study.json."""
    from .page import write_study_page  # draws: not needed to import the package

    results = {(task.entry.name, task.step): task.result() for task in tasks}
    table = table_of_rows([row for found in results.values() for row in found["rows"]])
    genes = {entry.name: pd.read_parquet(place / AUDITS / entry.name / "genes.parquet") for entry in entries}
    summary = {
        "schema_version": names.SCHEMA_VERSION,
        "tool": {"name": "poolproof", "version": version("poolproof")},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "settings": dict(study_settings()),
        **summarise(entries, table, results, genes, left_out),
    }
    study = Study(table, summary, seed=seed)
    (place / "study.json").unlink(missing_ok=True)
    aside = place / ".study.parquet"
    write_parquet(table, aside)
    os.replace(aside, place / "study.parquet")
    write_study_page(place, summary, table)
    replace_file(place / "study.json", to_json(summary) + "\n")
    return study
