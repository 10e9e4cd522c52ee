"""Phases: what the log has of them, and what a terminal shows."""

import logging

import pytest

from poolproof import _phases
from poolproof._phases import phase


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG, logger="poolproof")
    return lambda: [(record.levelno, record.getMessage()) for record in caplog.records]


def test_phase__a_line_at_the_start_and_one_at_the_end(lines):
    with phase("pairs", 1_200) as done:
        done(1_200)
    (level, start), (_, end) = lines()
    assert (level, start) == (logging.INFO, "pairs: 1,200 genes")
    assert end.startswith("pairs: done after ")
    assert "of processor time" in end


def test_phase__of_no_steps_and_of_one(lines):
    with phase("report"), phase("copy", 1, unit="copy", part=True):
        pass
    assert [said for _, said in lines()][:2] == ["report", "copy: 1 copy"]
    assert [level for level, _ in lines()] == [logging.INFO, logging.DEBUG, logging.DEBUG, logging.INFO]


def test_phase__that_fails_says_so(lines):
    with pytest.raises(ZeroDivisionError), phase("pairs"):
        1 / 0  # noqa: B018
    assert lines()[-1][1].startswith("pairs: stopped after ")


def test_phase__names_from_files_are_harmless(lines):
    with phase("pairs of \x1b[31mT cells\n"):
        pass
    assert all("\x1b" not in said and "\n" not in said for _, said in lines())


def test_phase__without_a_listener_says_nothing(capfd):
    with phase("pairs", 3) as done:
        done(3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("total", [None, 4])
def test_phase__a_bar_on_standard_error_alone(capfd, monkeypatch, total):
    monkeypatch.setattr(_phases, "_TICK", 0.01)
    with phase("affine floor", total, unit="copy", show=True) as done:
        if total is None:
            _phases.time.sleep(0.2)
        else:
            done(total)
    out, err = capfd.readouterr()
    assert out == ""
    assert "affine floor" in err
    if total is None:
        assert err.count("so far") > 1  # the clock goes on
