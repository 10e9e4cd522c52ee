"""Options of an audit from a file: a YAML mapping (``--config``), or an earlier verdict (``--from``)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from .._checks import InputError, printable

MAX_CHARACTERS = 100_000
"""Of a file of options."""
NOT_REPEATED = (
    "out",
    "force",
    "resume",
    "config",
    "from_verdict",
    "dry_run",
    "quiet",
    "as_json",
    "verbose",
    "log_file",
)
"""Options that say where results go and what is said, not what is done."""


def config_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that name a file with options; those of the command line win."""
    for option in (
        click.option(
            "--from",
            "from_verdict",
            type=click.Path(path_type=Path, dir_okay=False),
            default=None,
            is_eager=True,
            expose_value=False,
            callback=_from_verdict,
            metavar="verdict.json",
            help="Take the options of an earlier audit; those given here win.",
        ),
        click.option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            default=None,
            is_eager=True,
            expose_value=False,
            callback=_from_config,
            metavar="FILE.yaml",
            help="Take options from a YAML mapping, by their names; those given here win.",
        ),
    ):
        command = option(command)
    return command


def _from_config(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    import yaml

    try:
        content = yaml.safe_load(_text(value, "--config"))
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(
            f"--config {printable(value, 400)}: expected a YAML mapping of options; it cannot be read"
        ) from error
    if not isinstance(content, Mapping):
        raise InputError(
            f"--config {printable(value, 400)}: expected a YAML mapping such as 'within: cell_type'; found "
            f"{type(content).__name__}"
        )
    known = _options_of(context)
    found: dict[str, Any] = {}
    for key, of in content.items():
        name = known.get(str(key).removeprefix("--").replace("-", "_"))
        if name is None:
            raise InputError(
                f"--config {printable(value, 400)}: {printable(str(key), 60)!r} is no option of "
                f"{context.command_path}; see {context.command_path} --help"
            )
        found[name] = ",".join(map(str, of)) if isinstance(of, list) else of
    _take(context, found)


def _from_verdict(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    shown = f"--from {printable(value, 400)}"
    try:
        settings = json.loads(_text(value, "--from"))["settings"]
        command = settings.get("command")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{shown}: expected the verdict.json of an audit; it cannot be read as one"
        ) from error
    if isinstance(command, str):
        found = _parsed(context, command, shown)
    else:
        known = set(_options_of(context).values())
        found = {
            name: ",".join(map(str, of)) if isinstance(of, list) else of
            for name, of in settings.items()
            if name in known and of not in (None, [])
        }
    _take(context, {name: of for name, of in found.items() if name not in NOT_REPEATED})


def _parsed(context: click.Context, command: str, shown: str) -> dict[str, Any]:
    """Options that stand on a command line, as texts."""
    try:
        words = shlex.split(command)[2:]  # after the program and the name of the command
        given, _, _ = context.command.make_parser(context).parse_args(args=words)
    except (ValueError, click.UsageError) as error:
        raise InputError(
            f"{shown}: expected options of {context.command_path}; found a command that has others"
        ) from error
    options = {of.name for of in context.command.params if isinstance(of, click.Option)}
    return {name: of for name, of in given.items() if name in options}


def _options_of(context: click.Context) -> dict[str, str]:
    """Names of options, as they are written with underscores, and those of their parameters."""
    return {
        word.removeprefix("--").replace("-", "_"): of.name
        for of in context.command.params
        if isinstance(of, click.Option) and of.name and of.name not in ("config", "from_verdict")
        for word in of.opts
        if word.startswith("--")
    }


def _take(context: click.Context, found: Mapping[str, Any]) -> None:
    """Options that hold where the command line says nothing."""
    context.default_map = {**(context.default_map or {}), **found}


def _text(path: Path, option: str) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{option} {printable(path, 400)} cannot be read as text") from error
    if len(text) > MAX_CHARACTERS and option == "--config":
        raise InputError(
            f"{option} {printable(path, 400)}: expected a few options; found {len(text):,} characters"
        )
    return text
