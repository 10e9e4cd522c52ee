"""Errors name options on the command line and arguments in Python."""

import inspect
import pickle

import click
import pandas as pd
import pytest
from click.testing import CliRunner

import poolproof
from poolproof import InputError, cli
from poolproof._spoken import CHOICES, NAMES, SWITCHES, at_command_line, with_arguments
from poolproof.models.imports import read_any

COMMANDS = cli.commands.commands.values()
OPTIONS = {
    word.removeprefix("--"): option
    for command in COMMANDS
    for option in command.params
    if isinstance(option, click.Option)
    for word in (*option.opts, *option.secondary_opts)
}
PUBLIC = [getattr(poolproof, name) for name in poolproof.__all__]
ARGUMENTS = {name for of in PUBLIC if inspect.isfunction(of) for name in inspect.signature(of).parameters}
ARGUMENTS |= {*inspect.signature(read_any).parameters, "folder"}


@pytest.mark.parametrize(("option", "argument"), NAMES.items())
def test_names_are_options_and_arguments(option, argument):
    assert option in OPTIONS
    assert argument in ARGUMENTS


def test_switches_are_options_and_arguments():
    for option, argument in SWITCHES.items():
        assert option in OPTIONS
        assert argument.split("=")[0] in ARGUMENTS


def test_values_are_those_of_the_options():
    for name, values in CHOICES.items():
        choices = getattr(OPTIONS[name].type, "choices", None)
        assert choices is None or set(values) <= set(choices), name


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("pass --scale additive or log if that is wrong", "pass scale='additive' or 'log' if that is wrong"),
        ("use --test robust", "use test='robust'"),
        ("a larger --min-r2, or fewer --covariates", "a larger min_r2, or fewer covariates"),
        ("leave out --pairs and --regulators", "leave out pairs and regulators"),
        ("move it away, or pass --force", "move it away, or pass force=True"),
        (
            "--within type (see poolproof audit --within A)",
            "within type (see poolproof audit --within A)",
        ),
        ("salmon quant --geneMap, alevin --dumpMtx, --countReadPairs", None),
        ("--size-factors obs:COLUMN", "size_factors obs:COLUMN"),
        ("two--kind dashes ---kind", None),
        ("--kind", "kind"),
        ("--orientation genes-in-rows", "orientation='genes-in-rows'"),
    ],
)
def test_messages(said, shown):
    assert with_arguments(said) == (said if shown is None else shown)
    assert with_arguments(with_arguments(said)) == with_arguments(said)


def test_the_same_refusal_on_both_sides(tmp_path):
    table = pd.DataFrame({"A": [1.0, 2.0, 3.0, 4.0], "B": [4.0, 1.0, 2.0, 2.5]})
    table.to_csv(tmp_path / "t.csv")
    with pytest.raises(InputError) as raised:
        poolproof.audit(table, kind="bulk", scale="counts", test="corrected")
    options = ["--kind", "bulk", "--scale", "counts", "--test", "corrected", "--out"]
    done = CliRunner().invoke(
        cli.commands, ["audit", str(tmp_path / "t.csv"), *options, str(tmp_path / "out")]
    )
    assert "--orientation genes-in-rows" in str(done.exception)
    assert "--" not in str(raised.value)
    assert "orientation='genes-in-rows'" in str(raised.value)


def test_errors_keep_their_words_between_processes():
    with at_command_line():
        error = InputError("pass --kind bulk")
        assert str(pickle.loads(pickle.dumps(error))) == "pass --kind bulk"
    assert str(error) == "pass --kind bulk"
    assert str(InputError("pass --kind bulk")) == "pass kind='bulk'"
