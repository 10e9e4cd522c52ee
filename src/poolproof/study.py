"""The study: is gene regulation affine in real data? Every data set of the registry, audited the same way."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from . import _names as names
from ._checks import InputError, check_threads, printable
from ._files import MARK, replace_file, to_json, write_json, write_parquet
from ._notebook import summary_html
from ._random import stream
from ._study_plan import STEPS, Entry, choose_entries, key_of, study_settings
from ._study_steps import row_of, rows_of_step, table_of_rows
from ._study_subject import Subject, read_subject
from ._study_summary import summarise
from .repooling import PoolingCurves
from .verdict import audit

PARTS = "parts"
"""Folder with what is done of each data set: a file a step."""
AUDITS = "audits"
"""Folder with the audit of each data set, its report included."""


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
    """Of every random draw."""

    def __str__(self) -> str:
        return "\n".join(self.summary["findings"].values())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        overview = pd.DataFrame(self.summary["datasets"])
        return summary_html("Study", list(self.summary["findings"].values()), overview, self.summary["notes"])


def run_study(
    folder: str | Path,
    *,
    only: Sequence[str] | None = None,
    paths: Mapping[str, str | Path] | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = False,
    force: bool = False,
) -> Study:
    """Audit the data sets of the registry the same way, and compare them.

    Parameters
    ----------
    folder
        Where results go. What an earlier, perhaps interrupted run with the same settings finished there is
        used again.
    only
        Names of data sets; None: all of the study.
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

    Returns
    -------
    Study. In ``folder``: ``study.parquet`` (one row per data set, step and setting), ``study.json`` (the
    comparison), ``study.html`` (the page), ``audits/NAME/`` (the audit of each data set, with its report) and
    ``parts/`` (what is done of each data set). study.json is written last.

    Raises
    ------
    InputError
        A name is not one of the study, a file is missing, or the folder cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_study(folder, only=["no_such_data"])
    Traceback (most recent call last):
    poolproof._checks.InputError: expected the name of a data set of the study; found 'no_such_data'; ...

    The whole study takes 20 minutes; ``run_study("study", only=["bulk_yeast_segregants_eqtl"]).table`` one.
    """
    stream(seed)  # refuses what is no seed
    workers = check_threads(threads)
    entries, left_out = choose_entries(only, {name: Path(path) for name, path in (paths or {}).items()})
    with _held(Path(folder), force) as place:
        tasks = [
            _Task(entry, step, seed, place, key_of(entry, step, seed)) for entry in entries for step in STEPS
        ]
        waiting = [task for task in tasks if not task.is_done()]
        _do_all(waiting, workers, progress, n_done=len(tasks) - len(waiting))
        return _write(entries, tasks, left_out, seed, place)


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
        """Of the file with the result."""
        return self.place / PARTS / f"{self.entry.name}.{self.step}.json"

    @property
    def folder(self) -> Path:
        """Of the audit."""
        return self.place / AUDITS / self.entry.name

    def is_done(self) -> bool:
        """Whether its result is there, of the same version, settings and data."""
        with suppress(OSError, ValueError):
            if json.loads(self.path.read_text(encoding="utf-8")).get("key") == self.key:
                return self.step != "audit" or (self.folder / MARK).exists()
        return False

    def result(self) -> dict[str, Any]:
        """What was found: ``rows``, ``notes``, ``seconds``; of the audit also ``verdict``."""
        return json.loads(self.path.read_text(encoding="utf-8"))


@contextmanager
def _held(folder: Path, force: bool) -> Iterator[Path]:
    """The folder of a study, ours alone while it runs."""
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {printable(folder)} is a file; name a folder")
    if found and PARTS not in found:
        raise InputError(
            f"--out {printable(folder)} holds other files ({printable(found[0])}); name a new folder"
        )
    try:
        for name in (PARTS, AUDITS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / PARTS, os.O_RDONLY)
    except OSError as error:
        raise InputError(
            f"--out {printable(folder)} cannot be written to: {error.strerror}; name another folder"
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"--out {printable(folder)} is in use by another study; wait for it, or name another folder"
            ) from error
        if force:
            for path in (folder / PARTS).glob("*.json"):
                path.unlink()
        yield folder.resolve()
    finally:
        os.close(handle)


# --- doing -------------------------------------------------------------------------------------------------


def _do_all(tasks: list[_Task], workers: int, progress: bool, n_done: int) -> None:
    """Do tasks side by side, the longest first; what is finished stays when others fail or are stopped."""
    tasks = sorted(tasks, key=lambda task: -task.entry.dataset.n_obs)  # steps of a data set stay together
    with tqdm(
        total=len(tasks) + n_done, initial=n_done, unit="step", disable=not progress, leave=False
    ) as bar:
        if workers == 1 or len(tasks) < 2:
            for task in tasks:
                bar.set_description(f"{task.entry.name} {task.step}"[:40])
                _do(task)
                bar.update()
            return
        pool = ProcessPoolExecutor(
            min(workers, len(tasks)), mp_context=get_context("spawn"), initializer=_end_with_parent
        )
        try:
            running: set[Future[None]] = {pool.submit(_do, task) for task in tasks}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()


def _end_with_parent() -> None:
    """In a worker: one thread of linear algebra, and an end when the parent is killed."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@lru_cache(maxsize=1)
def _subject(entry: Entry) -> Subject:
    return read_subject(entry)


def _do(task: _Task) -> None:
    """Do a step and write its file."""
    started = time.perf_counter()
    subject = _subject(task.entry)
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
    from .report import write_report  # draws: not needed to import the package

    settings = study_settings()
    options = {name: settings[name] for name in ("fdr", "margin", "min_r2")}
    result = audit(
        subject.chosen,
        obs=subject.obs,
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
    rows = [row_of(result.linearity, "audit"), *_curve_rows(result.curves)]
    verdict = {name: result.summary[name] for name in ("verdict", "reasons", "data", "linearity", "triples")}
    verdict["linearity"].pop("levels")
    largest = max(len(level.rows) for level in result.linearity.design.levels)
    return {
        "rows": rows,
        "notes": list(result.data["warnings"]),
        "verdict": verdict,
        "n_largest_level": largest,
    }


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
    from .study_page import write_study_page  # draws: not needed to import the package

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
    write_parquet(table, place / "study.parquet")
    write_study_page(place, summary, table)
    write_json(summary, place / "study.json")
    return study
