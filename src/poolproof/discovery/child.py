"""The process behind ``worker``: takes tasks on its input, answers on what was its output.

Started as ``python -m poolproof.discovery.child`` by poolproof alone, which is who writes its input. What
libraries print goes nowhere. Two answers to a task: ``started``, when the method has been found, and the
outcome.
"""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

GRACE = 5.0
"""Seconds after its limit at which the process ends itself, should nobody have ended it."""


def serve(tasks: Connection, answers: Connection) -> None:
    """Answer tasks until there are no more."""
    from .._checks import InputError, PoolproofError
    from .in_process import in_one_line, run_method
    from .methods import find_method, load_needs

    def answer(*content: Any) -> None:
        answers.send(content)

    while True:
        try:
            task = tasks.recv()
        except EOFError:
            return
        sys.path[:] = task.pop("path")
        limit = task.pop("limit")
        try:
            load_needs(find_method(task["method"]))
            answer("started")
            signal.setitimer(signal.ITIMER_REAL, limit + GRACE if limit else 0.0)
            graph = run_method(**task)
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        except InputError as error:
            answer("refused", str(error))
        except PoolproofError as error:
            answer("failed", str(error))
        except Exception as error:
            answer("failed", in_one_line(error))
        else:
            answer("ok", graph)


def main() -> None:
    """Keep output for answers and send all that is printed nowhere."""
    with Connection(os.dup(1), readable=False) as answers, Connection(os.dup(0), writable=False) as tasks:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        serve(tasks, answers)


if __name__ == "__main__":
    main()
