"""Parts that an interrupted run leaves: found for the same inputs, never for others or where damaged."""

import copy
import os
import time

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from poolproof import _parts
from poolproof._parts import Parts, digest


@pytest.fixture(autouse=True)
def everything_is_worth_keeping(monkeypatch):
    monkeypatch.setattr(_parts, "WORTH", 0.0)


def never():
    raise AssertionError("computed although it was kept")


def test_a_part_is_computed_once_and_gone_after_remove(tmp_path):
    first = Parts.of(tmp_path, ["data"])
    assert first("bend share", lambda: {"share": 0.25}) == {"share": 0.25}
    again = Parts.of(tmp_path, ["data"])
    assert again.names() == ["bend share"]
    assert again("bend share", never) == {"share": 0.25}
    again.remove()
    assert Parts.of(tmp_path, ["data"]).names() == []
    assert not list(tmp_path.rglob("*"))


def test_nothing_is_kept_without_a_folder():
    assert Parts()("a", lambda: 1) == 1
    assert Parts().names() == []
    Parts().remove()


def test_what_is_fast_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(_parts, "WORTH", 3600.0)
    parts = Parts.of(tmp_path, [1])
    parts("a", lambda: 1)
    assert not parts.names()


def test_known_objects_are_put_in_again_and_not_written(tmp_path):
    values = np.arange(1e5)
    Parts.of(tmp_path, [1]).knowing(values=values)("a", lambda: {"of": values, "n": 3})
    (path,) = tmp_path.rglob("*.part")
    assert path.stat().st_size < 1000
    other = np.zeros(2)
    assert Parts.of(tmp_path, [1]).knowing(values=other)("a", never)["of"] is other


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.95])
def test_a_cut_file_is_computed_again(tmp_path, keep):
    parts = Parts.of(tmp_path, [1])
    parts("a", lambda: np.arange(1000))
    (path,) = tmp_path.rglob("*.part")
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    assert parts("a", lambda: "anew") == "anew"
    assert parts("a", never) == "anew"


def test_files_of_others_are_not_loaded(tmp_path, monkeypatch):
    parts = Parts.of(tmp_path, [1])
    parts("a", lambda: 1)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert parts.names() == []
    assert parts("a", lambda: 2) == 2


def test_a_file_that_calls_something_else_is_not_obeyed(tmp_path):
    class Calls:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    parts = Parts.of(tmp_path / "cache", [1])
    assert isinstance(parts("a", Calls), Calls)
    assert parts.names() == ["a"]
    assert parts("a", lambda: "anew") == "anew"
    assert not (tmp_path / "made").exists()


def test_what_cannot_be_written_is_only_not_kept(tmp_path):
    parts = Parts.of(tmp_path, [1])
    assert parts("a", lambda: lambda: 1)() == 1  # a lambda cannot be pickled
    assert not list(tmp_path.rglob("*.part"))
    (tmp_path / "file").write_text("")
    blocked = Parts(tmp_path / "file" / "folder")
    assert blocked("a", lambda: 1) == 1
    assert blocked.names() == []


def test_old_parts_are_swept(tmp_path):
    parts = Parts.of(tmp_path, [1])
    parts("a", lambda: 1)
    old = time.time() - (_parts.DAYS + 1) * 24 * 3600
    os.utime(parts.folder, (old, old))
    assert Parts.of(tmp_path, [1]).names() == []


def test_errors_of_the_computation_pass_and_leave_nothing(tmp_path):
    parts = Parts.of(tmp_path, [1])
    with pytest.raises(AssertionError):
        parts("a", never)
    assert parts.names() == []


TABLE = pd.DataFrame({"type": pd.Categorical(["a", "b"]), "n": [1.0, np.nan]}, index=["x", "y"])
DIFFERENT = [
    *(1, 1.0, True, "1", None, b"1", np.float32(1), np.float64(1)),
    *([1], [[1]], [1, 2], [12], {"a": 1}, {"a": 2}, {"b": 1}),
    *(np.arange(6.0), np.arange(6), np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)),
    *(np.array(["ab", "c"]), np.array(["a", "bc"]), np.array(["a", None], dtype=object)),
    *(TABLE, TABLE.rename(columns={"n": "m"}), TABLE.iloc[::-1], TABLE.assign(n=[1.0, 2.0])),
    *(TABLE.set_index(pd.Index(["x", "z"])), TABLE.assign(type=["a", "c"])),
    *(sp.csr_matrix(np.eye(3)), sp.csc_matrix(np.eye(3)), sp.csr_matrix(np.eye(3)[::-1])),
    *(sp.csr_matrix((3, 4)), sp.csr_matrix((4, 4))),
    *(np.float32, np.float64),
]


def test_different_values_have_different_digests_and_copies_the_same():
    seen = [digest([value]) for value in DIFFERENT]
    assert len(set(seen)) == len(seen)
    copies = copy.deepcopy(DIFFERENT)
    assert [digest([value]) for value in copies] == seen


def test_strides_do_not_matter():
    values = np.arange(12.0).reshape(3, 4)
    assert digest([values.T]) == digest([np.ascontiguousarray(values.T)])


def test_what_has_no_digest_is_refused():
    with pytest.raises(TypeError, match="no digest of object"):
        digest([object()])
