"""A process that stays alive for many runs of methods, and is ended when one takes too long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import IO, Any, cast

import numpy as np

from .graph import Graph

OK, TIME_LIMIT, FAILED, REFUSED = STATUSES = ("ok", "time_limit", "failed", "refused")
START_LIMIT = 300.0
"""Seconds for a new process and the import of a library, which the time limit of a run leaves out."""

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
        "RAYON_NUM_THREADS",
    ),
    "1",
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of one run."""

    status: str
    """``ok``, ``time_limit``, ``failed`` (the library stopped, or its process died) or ``refused`` (by the
    preflight)."""
    graph: Graph | None
    """None unless ``ok``."""
    reason: str
    """One line; empty if ``ok``."""
    seconds: float
    """Wall time of the run, without the start of the process and the import of the library."""


@dataclass(frozen=True, eq=False)
class _Process:
    """The child and both ends of the talk with it."""

    popen: subprocess.Popen[bytes]
    tasks: Connection
    answers: Connection

    @classmethod
    def started(cls) -> _Process:
        path = os.pathsep.join(p for p in sys.path if p)
        popen = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": path},
        )
        with cast(IO[bytes], popen.stdin) as into, cast(IO[bytes], popen.stdout) as out:
            tasks = Connection(os.dup(into.fileno()), readable=False)
            return cls(popen, tasks, Connection(os.dup(out.fileno()), writable=False))

    def answer(self, limit: float | None) -> tuple[Any, ...] | None:
        """The next answer; empty if the process died, None if it took too long."""
        try:
            if not self.answers.poll(limit):
                return None
            answer: tuple[Any, ...] = self.answers.recv()
        except (EOFError, OSError):
            return ()
        return answer

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        self.tasks.close()
        self.answers.close()


class Worker:
    """Run methods in a process of their own, one after the other, with one thread.

    The process is started when it is needed, stays alive, and is started anew after it was ended or died.
    What libraries print is not shown. Close it, or use it in ``with``.

    Examples
    --------
    >>> values = np.array([[0.0, 1], [1, 3], [2, 2], [3, 5]])
    >>> with Worker() as worker:
    ...     outcome = worker.run(values, ["a", "b"], "correlation", time_limit=60)
    >>> outcome.status, outcome.graph.weights.round(3).tolist()
    ('ok', [[0.0, 0.832], [0.832, 0.0]])
    """

    def __init__(self) -> None:
        self._process: _Process | None = None

    def run(
        self,
        values: np.ndarray,
        names: Sequence[str],
        method: str,
        *,
        seed: int = 0,
        time_limit: float | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Run one method; see :func:`poolproof.discover`. Nothing that the method does raises.

        ``time_limit`` is in seconds of wall time; None: none.
        """
        process = self._alive()
        task = {"values": np.asarray(values), "names": tuple(names), "method": method, "seed": seed}
        task |= {"options": dict(options or {}), "path": sys.path, "limit": time_limit}
        try:
            process.tasks.send(task)
        except OSError:
            return self._died(process, 0.0)
        begun = process.answer(START_LIMIT)
        start = time.monotonic()
        if begun is None:
            return self._too_long(f"{method} could not be imported in {START_LIMIT:g} s", FAILED, 0.0)
        if begun and begun[0] == "started":
            begun = process.answer(time_limit)
        seconds = time.monotonic() - start
        if begun is None:
            return self._too_long(f"{method} did not end in {time_limit:g} s", TIME_LIMIT, seconds)
        if not begun:
            return self._died(process, seconds)
        status, content = begun
        if status == OK:
            return Outcome(OK, content, "", seconds)
        return Outcome(status, None, content, seconds)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _alive(self) -> _Process:
        if self._process is None or self._process.popen.poll() is not None:
            self.close()
            self._process = _Process.started()
        return self._process

    def _too_long(self, reason: str, status: str, seconds: float) -> Outcome:
        self.close()
        return Outcome(status, None, reason, seconds)

    def _died(self, process: _Process, seconds: float) -> Outcome:
        code = process.popen.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self.close()
        return Outcome(FAILED, None, f"its process died ({how})", seconds)
