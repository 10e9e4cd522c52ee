"""The command describe, and audit --dry-run."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from poolproof import cli


@pytest.fixture
def table(tmp_path):
    values = np.random.default_rng(0).gamma(2.0, size=(60, 6)).round(4)
    path = tmp_path / "bulk.csv"
    pd.DataFrame(values, columns=[f"YAL{i:03}W" for i in range(6)]).to_csv(path)
    return path


def run(*arguments):
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments])


def test_describe__says_what_an_audit_would_do(table, tmp_path):
    done = run("describe", table)
    assert done.exit_code == 0, done.exception
    assert done.stderr == "bulk.csv\n"
    assert "Test: robust, 30 ordered pairs of 6 regulators\n" in done.stdout
    assert "Note: scale guessed as log" in done.stdout
    assert "Time: about " in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["bulk.csv"]


def test_dry_run__says_the_same_and_writes_nothing(table, tmp_path):
    dry = run("audit", table, "--out", tmp_path / "out", "--dry-run", "--json")
    described = run("describe", table, "--json")
    first, second = (json.loads(of.stdout) for of in (dry, described))
    for of in (first, second):
        of.pop("bytes")
        assert set(of.pop("seconds")) >= {"pairs", "bend share", "floor"}
    assert first == second
    assert first["name"] == "bulk.csv"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options", [["--within", "nothing"], ["--test", "corrected"], ["--pairs", "none.csv"]]
)
def test_describe__refuses_what_audit_refuses(table, options):
    done = run("describe", table, *options)
    assert done.exit_code != 0
    assert done.stdout == ""
