"""Result files: all or nothing, foreign files untouched, leftovers of killed runs swept."""

import errno
import fcntl
import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers import missing

from poolproof import InputError
from poolproof._files import (
    RESULTS,
    ParquetStream,
    hold,
    result_folder,
    take,
    to_json,
    write_json,
    write_parquet,
)


def fill(place, text="new", names=("pairs.parquet", "verdict.json")):
    for name in names:
        (place / name).write_text(text)


def run(out, *, error=None, force=False, meanwhile=lambda: None):
    """One run that writes results, sees something happen meanwhile, and may fail."""
    with result_folder(out, force=force) as place:
        fill(place)
        meanwhile()
        if error is not None:
            raise error


def names_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_folder__results_appear_together_at_the_end(tmp_path):
    with result_folder(tmp_path / "out") as place:
        fill(place)
        assert not (tmp_path / "out").exists()
    assert names_in(tmp_path / "out") == ["pairs.parquet", "verdict.json"]
    assert names_in(tmp_path) == ["out"]


def test_folder__may_exist_and_hold_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "sub").mkdir()
    with result_folder(tmp_path) as place:
        fill(place)
    assert names_in(tmp_path) == ["notes.txt", "pairs.parquet", "sub", "verdict.json"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("error", [InputError("no"), RuntimeError("bug"), KeyboardInterrupt()])
def test_folder__nothing_stays_after_an_error(tmp_path, error, exists):
    out = tmp_path / "a" / "b" / "out"
    if exists:
        out.mkdir(parents=True)
    with pytest.raises(type(error)):
        run(out, error=error)
    assert (list(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "a" / "b", out]) == exists
    assert exists or names_in(tmp_path) == []


def test_folder__an_earlier_result_needs_force(tmp_path):
    fill(tmp_path, "old", RESULTS)
    with pytest.raises(InputError, match="force=True"), result_folder(tmp_path):
        pytest.fail("not reached")
    assert all((tmp_path / name).read_text() == "old" for name in RESULTS)
    with result_folder(tmp_path, force=True) as place:
        fill(place)
        assert all((tmp_path / name).read_text() == "old" for name in RESULTS)
    # What the new run did not write belongs to the earlier one and is gone.
    assert names_in(tmp_path) == ["pairs.parquet", "verdict.json"]
    assert (tmp_path / "verdict.json").read_text() == "new"


def test_folder__a_failed_run_keeps_the_earlier_result(tmp_path):
    fill(tmp_path, "old")
    with pytest.raises(InputError):
        run(tmp_path, error=InputError("no"), force=True)
    assert (tmp_path / "verdict.json").read_text() == "old"
    assert names_in(tmp_path) == ["pairs.parquet", "verdict.json"]


def test_folder__a_result_that_appeared_meanwhile_is_not_replaced(tmp_path):
    out = tmp_path / "out"

    def other_run():
        out.mkdir()
        fill(out, "other run")

    with pytest.raises(InputError, match="force=True"):
        run(out, meanwhile=other_run)
    assert (out / "verdict.json").read_text() == "other run"
    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["out", "sq[1]", "a*b", ".", "deep/out"])
def test_folder__leftovers_of_killed_runs_are_swept(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with result_folder(name) as place:
        fill(place)
        left = place.absolute().with_name(place.name + "x")
    left.mkdir(exist_ok=True)
    fill(left)
    run(name, force=True)
    assert not left.exists()
    assert names_in(name) == ["pairs.parquet", "verdict.json"]


def test_folder__a_living_run_is_not_swept(tmp_path):
    with result_folder(tmp_path / "out") as first:
        fill(first, "first")
        with result_folder(tmp_path / "out") as second:
            assert second != first
            assert (first / "verdict.json").exists()
            fill(second, "second")
        for name in RESULTS:
            (tmp_path / "out" / name).unlink(missing_ok=True)
    assert (tmp_path / "out" / "verdict.json").read_text() == "first"


def test_folder__a_new_place_is_not_swept_before_it_is_marked_as_alive(tmp_path, monkeypatch):
    make = tempfile.mkdtemp
    others = []

    def slow(**options):
        place = make(**options)
        if not others:
            others.append(threading.Thread(target=run, args=(tmp_path / "other" / ".." / "out",)))
            others[0].start()
            time.sleep(0.3)
        return place

    monkeypatch.setattr(tempfile, "mkdtemp", slow)
    (tmp_path / "other").mkdir()
    with result_folder(tmp_path / "out", force=True) as place:
        others[0].join()
        fill(place, "first")
    assert (tmp_path / "out" / "verdict.json").read_text() == "first"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_folder__a_signal_waits_until_all_files_are_in(tmp_path, monkeypatch, number):
    stopped = []
    monkeypatch.setattr(os, "replace", interrupting(os.replace, number))
    before = signal.signal(number, lambda *_: stopped.append(names_in(tmp_path / "out")))
    try:
        with result_folder(tmp_path / "out") as place:
            fill(place)
        assert stopped[0] == ["pairs.parquet", "verdict.json"]
    finally:
        signal.signal(number, before)


def interrupting(replace, number):
    """Move a file, with a signal before."""

    def moved(source, target):
        os.kill(os.getpid(), number)
        replace(source, target)

    return moved


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_folder__a_full_disk_is_said_and_nothing_stays(tmp_path, number):
    with pytest.raises(InputError, match=os.strerror(number)):
        run(tmp_path / "out", error=OSError(number, "cannot write"))
    assert names_in(tmp_path) == []


def test_folder__another_error_of_files_is_a_bug_of_ours(tmp_path):
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "out", error=FileNotFoundError(errno.ENOENT, "no such file"))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["verdict.json", "genes.parquet"])
def test_folder__a_folder_in_the_way_of_a_file(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="a folder named"):
        run(tmp_path, force=True)
    assert names_in(tmp_path) == [name]


def test_folder__a_file_in_the_way_of_the_figures(tmp_path):
    (tmp_path / "figures").write_text("mine")
    with pytest.raises(InputError, match="a file named figures"):
        run(tmp_path)
    assert names_in(tmp_path) == ["figures"]


def test_folder__a_file_in_the_way(tmp_path):
    (tmp_path / "out").write_text("mine")
    for out in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(InputError, match="folder"), result_folder(out):
            pytest.fail("not reached")
    assert (tmp_path / "out").read_text() == "mine"


def test_folder__name_too_long_for_the_file_system(tmp_path):
    with pytest.raises(InputError, match="folder") as raised, result_folder(tmp_path / ("a" * 300)):
        pytest.fail("not reached")
    assert str(raised.value).isprintable()


def test_folder__on_another_file_system_than_its_parent(tmp_path):
    # A mount point (a container's volume) looks like this; a link is the same without privileges.
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        missing("a second file system at /dev/shm")
    home = other / f"poolproof-test-{os.getpid()}"
    home.mkdir()
    try:
        (tmp_path / "out").symlink_to(home)
        with result_folder(tmp_path / "out") as place:
            fill(place)
        assert names_in(home) == ["pairs.parquet", "verdict.json"]
        assert names_in(tmp_path) == ["out"]
    finally:
        for path in home.iterdir():
            path.unlink()
        home.rmdir()


def test_folder__the_lock_is_released(tmp_path):
    with result_folder(tmp_path) as place:
        fill(place)
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def test_hold__one_that_does_not_wait_is_told(tmp_path):
    with hold(tmp_path), pytest.raises(BlockingIOError):
        take(tmp_path, wait=False)
    with hold(tmp_path, wait=False) as handle:
        assert os.fstat(handle).st_ino == tmp_path.stat().st_ino


def test_folder__verdict_is_first_out_and_last_in(tmp_path, monkeypatch):
    fill(tmp_path, "old", RESULTS)
    steps = []
    replace, unlink = os.replace, Path.unlink

    def watched_replace(source, target):
        steps.append(("in", Path(target).name))
        replace(source, target)

    def watched_unlink(self, missing_ok=False):
        steps.append(("out", self.name))
        unlink(self, missing_ok=missing_ok)

    with result_folder(tmp_path, force=True) as place:
        fill(place, "new", RESULTS)
        monkeypatch.setattr(os, "replace", watched_replace)
        monkeypatch.setattr(Path, "unlink", watched_unlink)
    assert steps[0] == ("out", "verdict.json")
    assert [step for step in steps if step[0] == "in"][-1] == ("in", "verdict.json")


def test_stream__parts_make_one_table(tmp_path):
    whole = pd.DataFrame(
        {
            "gene": ["a", "b", "c", "d"],
            "value": [1.0, np.nan, 3.0, 4.0],
            "call": pd.Categorical(["x", "y", "x", "x"], categories=["x", "y", "z"]),
        }
    )
    stream = ParquetStream(tmp_path / "stream.parquet")
    for part in (whole[:1], whole[1:3], whole[3:]):
        stream(part)
    assert stream.close()
    write_parquet(whole, tmp_path / "whole.parquet")
    streamed = pd.read_parquet(tmp_path / "stream.parquet")
    pd.testing.assert_frame_equal(streamed, pd.read_parquet(tmp_path / "whole.parquet"))
    types = [pq.read_schema(tmp_path / f"{name}.parquet").types for name in ("stream", "whole")]
    assert types[0] == types[1]


def test_stream__nothing_written_is_no_file(tmp_path):
    stream = ParquetStream(tmp_path / "stream.parquet")
    assert not stream.close()
    assert names_in(tmp_path) == []


def test_json__not_a_number_is_null_and_numpy_is_plain(tmp_path):
    content = {
        "nan": np.nan,
        "inf": [np.inf, -np.inf],
        "int": np.int64(3),
        "float": np.float32(0.5),
        "bool": np.bool_(True),
        "deep": {"x": (np.float64("nan"), None, "é")},
        1: "key",
    }
    write_json(content, tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {
        "nan": None,
        "inf": [None, None],
        "int": 3,
        "float": 0.5,
        "bool": True,
        "deep": {"x": [None, None, "é"]},
        "1": "key",
    }


@pytest.mark.parametrize("text", ["\x1b[31m", "\x9b31m", "\u202e", "\udcff", "\n", "a\x00b", "é"])
def test_json__text_survives_and_is_safe_on_a_terminal(text):
    written = to_json({"name": text})
    assert written.encode("utf-8")
    assert all(c.isprintable() or c == "\n" for c in written)
    assert json.loads(written)["name"] == text
