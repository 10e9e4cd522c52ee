"""What several test files share."""

import gc
import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import settings
from sympy.core.cache import clear_cache

from poolproof import cli

# Scripts that make the frozen references need programs that the tests do without.
collect_ignore_glob = ["reference/make_*.py"]

# The same cases in every run; hypothesis' own limit of 200 ms wall time says nothing of ours.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

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


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line in this process: ``call("check", "model.yaml")``."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["poolproof", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        return Done(code, *capsys.readouterr())

    return run


def one_line(done, *words):
    """Expect a refusal: exit code 2, one line that holds these words, nothing on standard output."""
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert done.err.startswith("poolproof: ")
    for word in words:
        assert word in done.err


@pytest.fixture
def small(monkeypatch):
    """The content of study.yaml with settings that take seconds, to be changed before it is used."""
    from study_toys import small_content

    from poolproof.study import plan as _study_plan

    content = small_content()
    _study_plan.study_settings.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(_study_plan, "_content", lambda: content)
        yield content
    _study_plan.study_settings.cache_clear()
