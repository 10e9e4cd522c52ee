"""What a run says beside its result: -v, -vv and --log-file."""

import json
import logging
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from poolproof import cli

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .+")


@pytest.fixture
def table(tmp_path):
    values = np.random.default_rng(0).gamma(2.0, size=(60, 6)).round(4)
    path = tmp_path / "bulk.csv"
    pd.DataFrame(values, columns=[f"YAL{i:03}W" for i in range(6)]).to_csv(path)
    return path


def run(*arguments):
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments])


def test_verbose__phases_on_standard_error_and_nothing_else_changes(table, tmp_path):
    plain = run("audit", table, "--out", tmp_path / "plain", "--json")
    verbose = run("audit", table, "--out", tmp_path / "verbose", "--json", "-v")
    assert plain.exit_code == verbose.exit_code == 0
    assert "done after" not in plain.stderr
    begun = [line for line in verbose.stderr.splitlines() if line not in plain.stderr]
    for name in ("reading", "bases of genes", "pairs: 6 genes", "bend share: 6 genes", "tables", "report"):
        assert name in begun
    first, second = (json.loads(of.stdout) for of in (plain, verbose))
    assert first["linearity"] == second["linearity"]


def test_verbose__twice_has_the_parts(table, tmp_path):
    samples = tmp_path / "samples.csv"
    pd.DataFrame({"sample": range(60), "batch": ["a", "b"] * 30}).to_csv(samples, index=False)
    arguments = (
        "audit",
        table,
        "--samples",
        samples,
        "--within",
        "batch",
        "--orientation",
        "genes-in-columns",
    )
    once = run(*arguments, "--out", tmp_path / "once", "-v")
    twice = run(*arguments, "--out", tmp_path / "twice", "-vv")
    assert "levels alone: 2 levels" in once.stderr
    assert "pairs of" not in once.stderr
    assert "pairs of a: 6 genes" in twice.stderr


def test_log_file__has_the_command_phases_notes_and_the_verdict(table, tmp_path):
    log = tmp_path / "run.log"
    done = run("audit", table, "--out", tmp_path / "out", "--log-file", log, "--quiet")
    assert done.exit_code == 0
    assert done.stderr == ""
    lines = log.read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    said = "\n".join(lines)
    for text in (
        "poolproof 0",
        "pairs: 6 genes",
        "note: scale guessed",
        "Verdict: inconclusive",
        "report: done",
    ):
        assert text in said


def test_log_file__has_the_error(table, tmp_path):
    log = tmp_path / "run.log"
    done = run("audit", table, "--out", tmp_path / "out", "--within", "nothing", "--log-file", log)
    assert done.exit_code != 0
    assert "stopped by InputError: " in log.read_text().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_log_file__that_cannot_be_written_is_refused_before_the_work(table, tmp_path):
    done = run("audit", table, "--out", tmp_path / "out", "--log-file", tmp_path / "none" / "run.log")
    assert "--log-file" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_listeners__are_gone_afterwards(table, tmp_path):
    logger = logging.getLogger("poolproof")
    before = logger.level, list(logger.handlers)
    run("audit", table, "--out", tmp_path / "out", "-vv", "--log-file", tmp_path / "run.log")
    assert (logger.level, list(logger.handlers)) == before


def test_json__errors_are_an_object_too(table, tmp_path):
    command = [sys.executable, "-m", "poolproof.cli"]
    for arguments, said in (
        (["audit", str(table), "--out", str(tmp_path / "a"), "--within", "nothing"], "nothing"),
        (["collect", str(tmp_path / "none"), "--out", str(tmp_path / "b")], "none"),
        (["audit", str(table)], "--out"),
    ):
        with_json = subprocess.run(
            [*command, *arguments, "--json"], capture_output=True, text=True, check=False
        )
        without = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert with_json.returncode == without.returncode == 2
        assert without.stdout == ""
        assert with_json.stderr == without.stderr
        told = json.loads(with_json.stdout)
        assert told["exit_code"] == 2
        assert said in told["error"]
        assert f"poolproof: {told['error']}\n" == with_json.stderr
