"""An audit that was interrupted goes on where it stopped, and ends as if it had not been."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from poolproof import InputError, _parts, audit, cli
from poolproof.pairs import analyst
from poolproof.report import audit_page
from poolproof.verdict import survival

STAGES = [
    (analyst, "population_of", "pairs"),
    (analyst, "affine_floor", "pairs, bend share"),
    (survival, "screen_associated", "pairs, bend share, affine floor"),
    (audit_page, "write_report", "pairs, bend share, affine floor, triples, confirmed triples"),
]
"""What is interrupted, and what is finished by then."""


FLOOR = analyst.Analyst._floor


@pytest.fixture(autouse=True)
def cache(undrawn, monkeypatch, tmp_path):
    monkeypatch.setattr(analyst.Analyst, "_floor", FLOOR)
    monkeypatch.setattr(_parts, "WORTH", 0.0)
    monkeypatch.setenv("POOLPROOF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "interrupted"


def values(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, size=(90, 2))
    columns = np.column_stack([x, x.sum(axis=1), np.sqrt(x[:, 0]), x[:, 1] ** 2]) + rng.gamma(
        2.0, 0.2, (90, 5)
    )
    return pd.DataFrame(columns.round(4), columns=[f"YAL{i:03}W" for i in range(5)])


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "bulk.csv"
    values().to_csv(path)
    return path


def run(table, out, *options):
    arguments = ["audit", table, "--out", out, "--scale", "additive", "--kind", "bulk", *options]
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments])


def interrupted(table, out, where, name, *options):
    """Run an audit that Ctrl-C ends in a function."""

    def stop(*_, **__):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, stop)
        done = run(table, out, *options)
    assert done.exit_code != 0
    assert not out.exists()


def assert_same(first, second):
    tables = sorted(path.relative_to(first) for path in first.rglob("*.parquet"))
    assert tables == sorted(path.relative_to(second) for path in second.rglob("*.parquet"))
    for path in tables:
        assert (first / path).read_bytes() == (second / path).read_bytes(), path
    verdicts = [json.loads((of / "verdict.json").read_text()) for of in (first, second)]
    for verdict in verdicts:
        del verdict["created"], verdict["settings"]["command"]
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize(("where", "name", "finished"), STAGES)
def test_goes_on_and_ends_as_if_nothing_had_been(table, tmp_path, cache, where, name, finished):
    interrupted(table, tmp_path / "out", where, name)
    assert list(cache.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        if "bend share" in finished:  # not measured again
            patch.delattr(analyst, "population_of")
        again = run(table, tmp_path / "out")
    assert again.exit_code == 0, again.exception
    assert f"interrupted audit of the same data and options: {finished} " in again.stderr
    assert "--no-resume computes everything" in again.stderr
    assert not list(cache.iterdir())
    whole = run(table, tmp_path / "whole", "--no-resume")
    assert whole.exit_code == 0
    assert "interrupted" not in whole.stderr
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_levels_are_parts_of_their_own(table, tmp_path):
    samples = tmp_path / "samples.csv"
    pd.DataFrame({"batch": ["a"] * 45 + ["b"] * 45}).to_csv(samples)
    options = ("--samples", samples, "--within", "batch")
    interrupted(table, tmp_path / "out", survival, "screen_associated", *options)
    again = run(table, tmp_path / "out", *options)
    assert "affine floor, pairs of a, pairs of b are not computed again" in again.stderr
    run(table, tmp_path / "whole", "--no-resume", *options)
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_rows_that_are_written_as_they_come_are_tested_again(table, tmp_path):
    interrupted(table, tmp_path / "out", survival, "screen_associated", "--keep", "all")
    again = run(table, tmp_path / "out", "--keep", "all")
    assert "options: bend share, affine floor are not computed again" in again.stderr
    assert len(pd.read_parquet(tmp_path / "out" / "pairs.parquet")) == 20


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        (("--margin", "0.2"), False),
        (("--seed", "1"), False),
        (("--triples", "none"), False),
        (("--threads", "1"), True),
        (("--memory", "2G"), True),
        (("-v",), True),
    ],
)
def test_what_bears_on_results_must_be_the_same(table, tmp_path, options, taken):
    interrupted(table, tmp_path / "out", analyst, "affine_floor")
    again = run(table, tmp_path / "out", *options)
    assert again.exit_code == 0, again.exception
    assert ("interrupted audit" in again.stderr) == taken


def test_another_value_in_the_data_is_another_audit(table, tmp_path):
    interrupted(table, tmp_path / "out", analyst, "affine_floor")
    changed = values()
    changed.iloc[40, 3] += 0.001
    changed.to_csv(table)
    assert "interrupted audit" not in run(table, tmp_path / "out").stderr


def test_refused_input_leaves_nothing(table, tmp_path, cache, monkeypatch):
    def refuse(*_, **__):
        raise InputError("no")

    monkeypatch.setattr(analyst, "affine_floor", refuse)
    assert run(table, tmp_path / "out").exit_code != 0
    assert not list(cache.iterdir())


def test_in_python_parts_stay_until_the_result_is_saved(tmp_path, cache):
    asked = {"kind": "bulk", "scale": "additive", "triples": "none"}
    plain = audit(values(), **asked)
    assert not cache.exists()
    kept = audit(values(), resume=True, **asked)
    assert kept.parts.names() == ["pairs", "bend share", "affine floor"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(analyst, "population_of")
        again = audit(values(), resume=True, **asked)
    assert again.summary["linearity"] == plain.summary["linearity"]
    again.save(tmp_path / "out")
    assert not list(cache.iterdir())
