"""Fixtures that several test files share, and how tests are run."""

import sys
from pathlib import Path

import pytest
from helpers import Done
from hypothesis import settings

from poolproof import cli

# Scripts that make the frozen references need programs that the tests do without.
collect_ignore_glob = ["reference/make_*.py"]

# The same cases in every run; hypothesis' own limit of 200 ms wall time says nothing of ours.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


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


def _write_next_to_nothing(folder):
    page = Path(folder) / "report.html"
    page.write_text("no page was drawn", encoding="utf-8")
    return page


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Tests of the command line leave out what takes most of the time of a small audit: page and floor.

    Under the mark ``drawn`` both are made.
    """
    if request.path.parent.name == "cli" and request.node.get_closest_marker("drawn") is None:
        monkeypatch.setattr("poolproof.report.audit_page.write_report", _write_next_to_nothing)
        monkeypatch.setattr("poolproof.pairs.analyst.Analyst._floor", lambda self, engine: None)
