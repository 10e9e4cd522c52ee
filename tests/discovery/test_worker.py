"""A process that is ended when a method takes too long, survives its crashes and keeps quiet."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from systems import linear_dag, same

import poolproof
from poolproof import InputError, PoolproofError
from poolproof.discovery import child
from poolproof.discovery.in_process import run_method
from poolproof.discovery.worker import STATUSES, Worker, _Process

VALUES, NAMES, _ = linear_dag(5, 100, 1)


@pytest.fixture(scope="module")
def worker():
    with Worker() as started:
        yield started


def pid(worker):
    return worker.run(VALUES, NAMES, "stand_ins:tell").graph.facts["pid"]


def test_worker__stays_alive_for_many_runs_with_one_thread(worker):
    first, second = (worker.run(VALUES, NAMES, "stand_ins:tell", seed=3).graph.facts for _ in range(2))
    assert first == second
    assert first["threads"] == ["1", "1"]
    assert first != worker.run(VALUES, NAMES, "stand_ins:tell", seed=4).graph.facts


def test_worker__gives_the_graph_of_this_process(worker):
    for name in ("partial_correlation", "spline_pc", "boss"):
        outcome = worker.run(VALUES, NAMES, name, seed=5)
        assert (outcome.status, outcome.reason) == ("ok", "")
        assert same(outcome.graph, run_method(VALUES, NAMES, name, seed=5))


def test_worker__time_limit_ends_the_process_and_the_next_run_has_a_new_one(worker):
    before = pid(worker)
    start = time.monotonic()
    outcome = worker.run(VALUES, NAMES, "stand_ins:sleep", time_limit=0.3)
    assert time.monotonic() - start < 30
    assert outcome.status == "time_limit"
    assert outcome.graph is None
    assert outcome.reason == "stand_ins:sleep did not end in 0.3 s"
    assert 0.3 <= outcome.seconds < 30
    assert pid(worker) != before


def test_worker__a_run_within_its_limit_is_left_alone(worker):
    outcome = worker.run(VALUES, NAMES, "stand_ins:sleep", time_limit=60, options={"seconds": 0.05})
    assert outcome.status == "ok"
    assert outcome.seconds >= 0.01


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("die", r"its process died \(SIGABRT\)"),
        ("leave", r"its process died \(exit code 3\)"),
        ("fail", "stand_ins:fail failed: ZeroDivisionError: nothing"),
        ("give_nothing", "stand_ins:give_nothing gave a str; expected a Graph"),
    ],
)
def test_worker__failures_have_a_reason_of_one_line_and_the_next_run_works(worker, name, reason):
    outcome = worker.run(VALUES, NAMES, f"stand_ins:{name}")
    assert outcome.status == "failed"
    assert outcome.graph is None
    assert np.array([c.isprintable() for c in outcome.reason]).all()
    assert re.fullmatch(reason, outcome.reason)
    assert worker.run(VALUES, NAMES, "correlation").status == "ok"


def test_worker__a_process_that_died_between_runs_is_replaced(worker):
    pid(worker)
    worker._process.popen.kill()
    worker._process.popen.wait()
    assert worker.run(VALUES, NAMES, "correlation").status == "ok"


def test_worker__what_the_preflight_refuses(worker):
    outcome = worker.run(np.ones_like(VALUES), NAMES, "correlation")
    assert outcome.status == "refused"
    assert outcome.reason.startswith("expected genes that vary; constant: g000, g001, g002 and 2 more")
    assert worker.run(VALUES, NAMES, "no_method").status == "refused"
    assert worker.run(VALUES, NAMES, "correlation", options={"alpha": 1}).status == "refused"


def test_worker__what_a_library_prints_is_not_shown(worker, capfd):
    assert worker.run(VALUES, NAMES, "stand_ins:shout").status == "ok"
    shown = capfd.readouterr()
    assert shown.out + shown.err == ""


def test_statuses__are_those_that_occur():
    assert STATUSES == ("ok", "time_limit", "failed", "refused")


def test_discover__with_a_time_limit_gives_the_same_graph_or_raises():
    found = poolproof.discover(VALUES, NAMES, "spline_pc", time_limit=120, alpha=0.05)
    assert same(found, poolproof.discover(VALUES, NAMES, "spline_pc", alpha=0.05))
    with pytest.raises(PoolproofError, match=r"stand_ins:sleep did not end in 0\.2 s"):
        poolproof.discover(VALUES, NAMES, "stand_ins:sleep", time_limit=0.2)
    with pytest.raises(InputError, match="constant"):
        poolproof.discover(np.ones_like(VALUES), NAMES, time_limit=60)


def test_child__ends_itself_when_nobody_does(monkeypatch):
    """The process that started it is stuck or gone: an alarm ends a run that would not end."""
    script = "from poolproof.discovery import child; child.GRACE = 0.1; child.main()"
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **kw: popen([command[0], "-c", script], **kw))
    process = _Process.started()
    task = {"values": VALUES, "names": NAMES, "method": "stand_ins:sleep", "seed": 0, "options": {}}
    process.tasks.send(task | {"path": sys.path, "limit": 0.2})
    assert process.popen.wait(timeout=100) == -signal.SIGALRM
    assert process.answers.recv() == ("started",)
    process.end()
    assert child.GRACE > 1


def test_child__ends_with_its_input():
    process = _Process.started()
    process.tasks.close()
    assert process.popen.wait(timeout=100) == 0
    process.end()
