"""What several test files call."""

import gc
import os
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from sympy.core.cache import clear_cache

SHARED = Path(
    os.environ.get("POOLPROOF_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)


def shared_data(name: str) -> Path:
    """Path of a real data file that lies beside the checkout, not in it.

    Where the file is absent the test is skipped, except under ``CI=true``: there it fails.
    """
    path = SHARED / name
    if not path.is_file():
        missing(f"the data file {name} in a folder shared/data beside the checkout")
    return path


def missing(what):
    """Skip a test for what the machine has not; under ``CI=true`` it fails."""
    reason = f"needs {what}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def needed(module):
    """A module of an optional dependency; where it is not installed, see `missing`."""
    if find_spec(module) is None:
        missing(f"the package {module}")
    return import_module(module)


def quickly(seconds, work, attempts=3):
    """Do the work, and expect that it takes less processor time than so many seconds; give its answer.

    Other programs slow it down even in processor time, and only that: so one quick attempt is enough. Each
    starts anew, without what sympy has kept of the one before.
    """
    times = []
    for attempt in range(attempts):
        clear_cache()
        if attempt:
            gc.collect()  # what other tests have left is not collected at this one's cost
        started = time.process_time()
        answer = work()
        times.append(time.process_time() - started)
        if times[-1] < seconds:
            return answer
    pytest.fail(f"expected less than {seconds} s in one of {attempts} attempts, took {times}")


class Done:
    """What a call of the command line left."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


def one_line(done, *words):
    """Expect a refusal: exit code 2, one line that holds these words, nothing on standard output."""
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert done.err.startswith("poolproof: ")
    for word in words:
        assert word in done.err
