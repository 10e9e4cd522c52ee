"""Pipes at either end of a command, sizes of memory as people write them, and names that are not UTF-8."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from helpers import missing

from poolproof._checks import InputError
from poolproof.cli.options import parse_memory
from poolproof.data import read, read_edges
from poolproof.data.streams import whole_file

CASES = Path(__file__).resolve().parents[1] / "data" / "cases"
EXPRESSION, EDGES = CASES / "c10_expr.csv", CASES / "c10_networks" / "gene_tf_header.csv"
COMMAND = f"{sys.executable} -m poolproof.cli"


def shell(script, folder):
    """Run a script of bash; the exit codes of its last pipe are printed last."""
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=folder, timeout=120)


def fill(path, data):
    """Make a pipe that another process writes to, as a shell does."""
    os.mkfifo(path)
    process = subprocess.Popen(["bash", "-c", 'cat > "$0"', path], stdin=subprocess.PIPE)
    process.stdin.write(data)
    process.stdin.close()
    return process


@pytest.mark.parametrize("packed", [False, True])
def test_read__a_named_pipe_as_the_file(tmp_path, packed):
    data = EXPRESSION.read_bytes()
    process = fill(tmp_path / "pipe.csv", gzip.compress(data) if packed else data)
    found, plain = read(tmp_path / "pipe.csv"), read(EXPRESSION)
    assert process.wait() == 0
    assert found.to_df().equals(plain.to_df())
    assert found.uns["poolproof_read"]["path"] == "pipe"


def test_read__a_binary_file_through_a_pipe(tmp_path):
    process = fill(tmp_path / "x", (CASES / "loompy.loom").read_bytes())
    assert read(tmp_path / "x").shape == (20, 40)
    assert process.wait() == 0


def test_audit__every_input_may_come_through_a_pipe(tmp_path):
    quick = "--quiet --triples none --curves none"
    script = (
        f"cat {EXPRESSION} | {COMMAND} audit - --network <(cat {EDGES}) --out piped {quick} && "
        f"{COMMAND} audit {EXPRESSION} --network {EDGES} --out plain {quick}"
    )
    done = shell(script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for table in ("pairs.parquet", "equations.parquet"):
        assert (tmp_path / "piped" / table).read_bytes() == (tmp_path / "plain" / table).read_bytes()
    assert not list(Path(tmp_path).glob("poolproof-*"))


def test_audit__nothing_on_standard_input_is_one_line(tmp_path):
    done = shell(f": | {COMMAND} audit - --out out", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "standard-input: expected data; found nothing" in done.stderr
    assert not (tmp_path / "out").exists()


def test_whole_file__a_file_is_given_back():
    with whole_file(EXPRESSION) as path:
        assert path == EXPRESSION


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("datasets list", 0),
        (f"audit {EXPRESSION} --out out --triples none --curves none", 0),
    ],
)
def test_closed_pipe__the_exit_code_tells_about_the_work(tmp_path, command, code):
    done = shell(f"{COMMAND} {command} 2> said | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout == f"{code}\n"
    assert "Traceback" not in (tmp_path / "said").read_text()
    if command.startswith("audit"):
        assert (tmp_path / "out" / "verdict.json").is_file()


def test_closed_pipe__behind_both_outputs(tmp_path):
    done = shell(f"{COMMAND} datasets info no-such-data 2>&1 | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert (done.stdout, done.stderr) == ("2\n", "")


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("4e9", 4e9),
        ("4E+9", 4e9),
        ("4G", 4e9),
        ("4 GB", 4e9),
        ("4GiB", 4 * 2**30),
        ("4gi", 4 * 2**30),
        ("1.5k", 1500),
        ("500M", 5e8),
        ("123", 123),
    ],
)
def test_memory__sizes(text, n_bytes):
    assert parse_memory(None, None, text) == n_bytes


@pytest.mark.parametrize("text", ["4e", "e9", "4iB", "-1G", "0", "4X", "4e999", "1,5G", "4e9e9", "inf"])
def test_memory__what_is_no_size(text):
    with pytest.raises(click.BadParameter, match="such as 500M, 4G or 4e9"):
        parse_memory(None, None, text)


@pytest.fixture
def foreign(tmp_path):
    """A folder and a file whose names are Latin-1."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
    except OSError:
        missing("a file system that takes names which are not UTF-8")
    return folder


def test_names__that_are_no_utf8_are_read(foreign):
    path = foreign / os.fsdecode(b"\xfc.csv")
    path.write_bytes(EXPRESSION.read_bytes())
    assert read(path).shape == (200, 7)
    path.with_suffix(".tsv").write_bytes(EDGES.read_bytes())
    assert len(read_edges(path.with_suffix(".tsv"))) == 5


def test_names__results_in_such_a_folder_are_refused_before_the_work(foreign, tmp_path):
    for command in (["audit", EXPRESSION, "--out", foreign / "out"], ["report", foreign]):
        done = subprocess.run(
            [sys.executable, "-m", "poolproof.cli", *command], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "whole path is UTF-8" in done.stderr
    assert not list(foreign.iterdir())


def test_whole_file__a_terminal_is_no_pipe(monkeypatch):
    class Terminal:
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(InputError, match="found a terminal"), whole_file("-"):
        pass
