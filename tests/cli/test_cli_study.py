"""The command ``poolproof study``: what it prints, what it refuses, its exit codes."""

import json

import pytest
from helpers import one_line
from study_toys import AUREUS, ISLETS, YEAST, without_drawing

from poolproof.data import download as _download


@pytest.fixture
def quick(small, monkeypatch):
    """Small studies without pictures."""
    without_drawing(monkeypatch)
    return small


def test_study__prints_its_sentences_and_where_the_page_is(quick, call, tmp_path):
    out = tmp_path / "study"
    done = call("study", "--out", out, "--only", f" {YEAST} ,", "--threads", 1)
    assert done.code == 0
    content = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert done.out.splitlines() == list(content["findings"].values())
    assert done.err == f"Page: {out / 'study.html'}\n"
    # again, from what is done: as JSON, and quietly
    done = call("study", "--out", out, "--only", YEAST, "--threads", 1, "--json")
    assert done.code == 0
    found = json.loads(done.out, parse_constant=lambda word: pytest.fail(word))
    assert {**found, "created": ""} == {**content, "created": ""}
    done = call("study", "--out", out, "--only", YEAST, "--threads", 1, "--quiet")
    assert done.out.splitlines() == list(content["findings"].values())
    assert done.err == ""


def test_study__says_what_is_left_out(quick, call, tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "checkout_folder", lambda: None)
    monkeypatch.setenv("POOLPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("POOLPROOF_DATA_URL", "http://127.0.0.1:9")
    done = call("study", "--out", tmp_path / "study", "--only", f"{AUREUS},{ISLETS},{YEAST}", "--threads", 1)
    assert done.code == 0
    notes = [line for line in done.err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 3
    for name, word in (
        (ISLETS, "--path"),
        (YEAST, "no connection"),
        ("network_saureus_regprecise", "no connection"),
    ):
        assert any(name in note and word in note for note in notes)


def test_refused__names_paths_and_folders(call, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out"
    one_line(call("study"), "--out")
    one_line(call("study", "--out", out, "--only", "bulk_east"), "bulk_east", "did you mean")
    one_line(call("study", "--out", out, "--only", ","), "no name is given")
    one_line(call("study", "--out", out, "--only", ISLETS), "none stated", f"--path {ISLETS}=FILE")
    for text in (ISLETS, f"={tmp_path / 'file'}", f"{ISLETS}="):
        one_line(call("study", "--out", out, "--path", text), "NAME=FILE")
    one_line(call("study", "--out", out, "--path", f"{ISLETS}={tmp_path / 'none'}"), "found none at", "none")
    one_line(call("study", "--out", out, "--path", f"{ISLETS}={tmp_path}"), "expected a file")
    one_line(call("study", "--out", out, "--path", f"{YEAST}={tmp_path / 'file'}"), "comes with poolproof")
    one_line(call("study", "--out", out, "--path", f"no_such={tmp_path / 'file'}"), "no_such")
    one_line(call("study", "--out", out, "--only", ISLETS, "--path", f"{ISLETS}={tmp_path / 'file'}"), "file")
    one_line(call("study", "--out", tmp_path / "file", "--only", YEAST), "is a file")
    one_line(call("study", "--out", tmp_path / "other", "--only", YEAST), "holds other files (mine.txt)")
    one_line(call("study", "--out", "/proc/poolproof", "--only", YEAST), "cannot be written to")
    one_line(call("study", "--out", out, "--seed", "-1"), "seed")
    one_line(call("study", "--out", out, "--threads", "0"), "threads")
    assert sorted(tmp_path.rglob("*")) == before


def test_help__names_every_option(call):
    done = call("study", "--help")
    assert done.code == 0
    for option in ("--out", "--only", "--path", "--force", "--seed", "--threads", "--quiet", "--json"):
        assert option in done.out
