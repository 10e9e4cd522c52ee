"""Options from a file: --config, and --from an earlier verdict."""

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
    samples = pd.DataFrame({"sample": range(60), "batch": ["a", "b"] * 30, "sex": ["f", "f", "m"] * 20})
    samples.to_csv(tmp_path / "samples.csv", index=False)
    return path


def run(*arguments):
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments])


def settings_of(folder):
    return json.loads((folder / "verdict.json").read_text())["settings"]


def test_config__takes_options_by_name_and_the_command_line_wins(table, tmp_path):
    config = tmp_path / "audit.yaml"
    config.write_text(
        f"samples: {tmp_path / 'samples.csv'}\n"
        "kind: bulk\nscale: additive\nmargin: 0.2\n--min-r2: 0.05\nseed: 7\n"
        "within: batch\ncovariates: [sex]\ntriples: none\norientation: genes-in-columns\nquiet: true\n"
    )
    done = run("audit", table, "--config", config, "--out", tmp_path / "out", "--seed", 3)
    assert done.exit_code == 0, done.exception
    assert done.stderr == ""
    found = settings_of(tmp_path / "out")
    assert (found["kind"], found["margin"], found["min_r2"], found["seed"]) == ("bulk", 0.2, 0.05, 3)
    assert (found["within"], found["covariates"], found["triples"]) == (["batch"], ["sex"], "none")


def test_from__is_the_same_run_again(table, tmp_path, monkeypatch):
    arguments = ["audit", str(table), "--kind", "bulk", "--margin", "0.3", "--triples", "none", "--seed", "5"]
    arguments += ["--orientation", "genes-in-columns", "--out", str(tmp_path / "first"), "--quiet"]
    monkeypatch.setattr("sys.argv", ["poolproof", *arguments])
    assert run(*arguments).exit_code == 0
    again = ["audit", table, "--from", tmp_path / "first" / "verdict.json", "--out", tmp_path / "again"]
    done = run(*again)
    assert done.exit_code == 0, done.exception
    first, second = settings_of(tmp_path / "first"), settings_of(tmp_path / "again")
    for of in (first, second):
        of.pop("command")
    assert first == second
    pairs = [pd.read_parquet(tmp_path / name / "pairs.parquet") for name in ("first", "again")]
    pd.testing.assert_frame_equal(*pairs)
    assert "Report: " in done.stderr  # what is said is not repeated


def test_from__of_an_audit_in_python_takes_its_settings(table, tmp_path):
    run(
        "audit",
        table,
        "--kind",
        "bulk",
        "--margin",
        0.3,
        "--triples",
        "none",
        "--out",
        tmp_path / "first",
        "--orientation",
        "genes-in-columns",
        "--quiet",
    )
    path = tmp_path / "first" / "verdict.json"
    verdict = json.loads(path.read_text())
    verdict["settings"]["command"] = None
    path.write_text(json.dumps(verdict))
    run(
        "audit",
        table,
        "--from",
        path,
        "--out",
        tmp_path / "again",
        "--orientation",
        "genes-in-columns",
        "--quiet",
    )
    assert settings_of(tmp_path / "again")["margin"] == 0.3
    assert settings_of(tmp_path / "again")["triples"] == "none"


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--config", "nothing: 1", "'nothing' is no option"),
        ("--config", "- a\n- b", "mapping"),
        ("--config", "a: [", "mapping"),
        ("--config", "margin: much", "margin"),
        ("--config", "config: other.yaml", "no option"),
        ("--from", "[]", "verdict.json"),
        ("--from", '{"settings": {"command": "poolproof audit x --nothing 3"}}', "others"),
        ("--from", "{" * 5000, "verdict.json"),
    ],
)
def test_refused__in_one_line(table, tmp_path, option, content, said):
    path = tmp_path / "file"
    path.write_text(content)
    done = run("audit", table, option, path, "--out", tmp_path / "out")
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)
    assert not (tmp_path / "out").exists()
