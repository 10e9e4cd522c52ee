"""Studies as a whole: what they write, what is done again and what is not, killed, raced, without data."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import needed, shared_data
from study_toys import AUREUS, ISLETS, YEAST, quick_study, small_content

import poolproof
from poolproof import InputError
from poolproof import _names as names
from poolproof._side_by_side import kept_folder
from poolproof.data import download as _download
from poolproof.data import registry as _registry
from poolproof.study import plan as _study_plan
from poolproof.study import running as study
from poolproof.study.plan import STEPS, Entry, choose_entries, key_of, study_names

ROOT = Path(__file__).resolve().parents[2]
BOTH = [YEAST, AUREUS]


def parts_of(folder):
    """What is done, by data set and step, without the time it took."""
    found = {}
    for path in sorted((folder / "parts").iterdir()):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content.pop("seconds") >= 0
        found[path.name.removesuffix(".json")] = content
    return found


def times_of(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "parts").iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted study of two data sets, in one process; not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "study"
    return quick_study(folder, only=BOTH), folder


@pytest.fixture
def again(whole, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(whole[1], tmp_path / "study"))


@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_study__workers_of_dask_find_the_same(whole, tmp_path):
    distributed = needed("distributed")
    with (
        warnings.catch_warnings(),
        distributed.Client(
            processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None
        ) as client,
    ):
        warnings.simplefilter("ignore")
        quick_study(tmp_path / "study", client=client)
    ours, theirs = parts_of(whole[1]), parts_of(tmp_path / "study")
    assert theirs == {name: part for name, part in ours.items() if name.startswith(YEAST)}


# --- what is written -------------------------------------------------------------------------------------


def test_study__files_and_nothing_else(whole):
    found, folder = whole
    assert sorted(path.name for path in folder.iterdir()) == [
        "audits", "figures", "parts", "study.html", "study.json", "study.parquet",
    ]  # fmt: skip
    assert sorted(parts_of(folder)) == sorted(f"{name}.{step}" for name in BOTH for step in STEPS)
    for name in BOTH:
        verdict = json.loads((folder / "audits" / name / "verdict.json").read_text(encoding="utf-8"))
        verdicts = {row["name"]: row["verdict"] for row in found.summary["datasets"]}
        assert verdict["verdict"] == verdicts[name]
        assert (folder / "audits" / name / "report.html").exists()


def test_study__the_table_has_its_columns_and_comes_back_from_its_file(whole):
    found, folder = whole
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "study.parquet"), found.table)
    assert list(found.table.columns) == [column.name for column in names.STUDY_COLUMNS]
    for column in names.STUDY_COLUMNS:
        assert str(found.table.dtypes[column.name]) == ("object" if column.dtype == "str" else column.dtype)
    assert set(found.table["dataset"]) == set(BOTH)
    assert set(found.table["step"]) == {*STEPS, "population"}
    assert set(found.table["group"]) == {"bulk"}
    shares = found.table[[*names.SHARES, "share_rejected", "share_settled", "share_reversed"]].stack()
    assert shares.between(0, 1).all()
    calls = found.table[found.table["n_associated"] > 0][list(names.SHARES[:3])]
    assert np.allclose(calls.sum(axis=1), 1.0)


def test_study__the_summary_is_plain_and_says_how_it_was_made(whole):
    found, folder = whole
    text = (folder / "study.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    assert content["seed"] == 0
    settings = {name: value for name, value in small_content().items() if name != "datasets"}
    assert content["settings"] == settings
    assert [row["name"] for row in content["datasets"]] == sorted(BOTH, key=study_names().index)
    assert content["tool"]["name"] == "poolproof"
    assert set(content["seconds"]) == set(BOTH)
    assert len(content["controls"]) >= 2 * 2
    for row in content["datasets"]:
        for share in names.SHARES:
            assert row[share]["low"] <= row[share]["estimate"] <= row[share]["high"]
        assert row["n_genes"] == 30
    assert str(found) == "\n".join(content["findings"].values())
    shown = found._repr_html_()
    rows = re.findall(r"<td>([^<]*)</td>", shown)
    assert rows[0] == found.table["dataset"].iloc[0]
    assert "share nonlinear" in shown
    assert f"The 8 first of {len(found.table):,} rows" in shown


def test_study__estimates_are_those_of_the_audits(whole):
    found, folder = whole
    for row in found.summary["datasets"]:
        verdict = json.loads((folder / "audits" / row["name"] / "verdict.json").read_text(encoding="utf-8"))
        linearity = verdict["linearity"]
        for share in names.SHARES[:3]:
            assert row[share]["estimate"] == pytest.approx(linearity[share])
        both = linearity["share_contradicting"]
        assert row["share_contradicting"]["estimate"] == pytest.approx(both["estimate"])
        assert row["share_contradicting"]["low"] <= both["low"] + 1e-12
        audit = found.table[(found.table["dataset"] == row["name"]) & (found.table["step"] == "audit")]
        assert audit["share_nonlinear"].tolist() == pytest.approx([linearity["share_nonlinear"]])


def test_study__a_data_set_alone_gives_the_same(whole, tmp_path):
    alone = quick_study(tmp_path / "alone", only=[AUREUS])
    theirs = whole[0].table[whole[0].table["dataset"] == AUREUS].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.table, theirs)
    together = {name: part for name, part in parts_of(whole[1]).items() if name.startswith(AUREUS)}
    assert parts_of(tmp_path / "alone") == together


def test_study__is_drawn_and_written_for_real(small, tmp_path):
    small |= {"max_genes": 6, "few_genes": 6}
    found = poolproof.run_study(tmp_path / "study", only=[YEAST], threads=1)
    page = (tmp_path / "study" / "study.html").read_text(encoding="utf-8")
    report = (tmp_path / "study" / "audits" / YEAST / "report.html").read_text(encoding="utf-8")
    assert found.summary["findings"]["calls"] in page
    assert page.count("<img") == len(list((tmp_path / "study" / "figures").iterdir())) > 3
    assert report.rstrip().endswith("</html>")
    assert found.seed == 0


# --- again -----------------------------------------------------------------------------------------------


def test_again__nothing_is_done_twice(again, whole, monkeypatch):
    before = times_of(again)
    monkeypatch.setattr(study, "_do", lambda task: pytest.fail(f"{task} is done again"))
    found = quick_study(again, only=BOTH)
    assert times_of(again) == before
    pd.testing.assert_frame_equal(found.table, whole[0].table)
    assert found.summary["datasets"] == whole[0].summary["datasets"]


def test_again__needs_no_data(again, monkeypatch, tmp_path):
    monkeypatch.setattr(_download, "checkout_folder", lambda: None)
    monkeypatch.setenv("POOLPROOF_CACHE", str(tmp_path / "cache"))
    assert quick_study(again, only=BOTH).summary["left_out"] == {}


def key(name=YEAST, step="audit", seed=0):
    return key_of(Entry(name), step, seed)


def test_key__changes_with_what_the_result_depends_on(small, monkeypatch):
    first = key()
    assert key() == first
    assert key(seed=1) != first
    assert key(step="tests") != first
    assert key(AUREUS) != first
    small["controls"]["hill"] = 3
    assert key() != first
    small["controls"]["hill"] = 4
    small["datasets"][YEAST]["unit"] = "consecutive"
    assert key() != first
    del small["datasets"][YEAST]["unit"]
    small["datasets"][YEAST]["label"] = "another word"
    assert key() == first


@pytest.mark.parametrize(
    "change", [{"sha256": "0" * 64}, {"settings": {"scale": "additive"}}, {"filter": {"good": ("yes",)}}]
)
def test_key__changes_with_the_registry(small, monkeypatch, change):
    first = key()
    known = dict(_registry.known_datasets())
    known[YEAST] = replace(known[YEAST], **change)
    monkeypatch.setattr(_study_plan, "known_datasets", lambda: known)
    assert key() != first


def test_key__changes_with_a_network_and_with_the_file_of_the_user(small, monkeypatch, tmp_path):
    first = key(AUREUS)
    networks = dict(_registry.known_networks())
    networks["network_saureus_regprecise"] = replace(networks["network_saureus_regprecise"], sha256="0" * 64)
    with monkeypatch.context() as patch:
        patch.setattr(_study_plan, "known_networks", lambda: networks)
        assert key(AUREUS) != first
    (tmp_path / "mine").write_text("a")
    mine = key_of(Entry(ISLETS, tmp_path / "mine"), "audit", 0)
    (tmp_path / "mine").write_text("b")
    assert key_of(Entry(ISLETS, tmp_path / "mine"), "audit", 0) != mine


def done_again(folder, monkeypatch, **options):
    """Names of the parts that a run does."""
    did = []
    do = study._do

    def watched(task):
        did.append(task.path.name.removesuffix(".json"))
        do(task)

    monkeypatch.setattr(study, "_do", watched)
    quick_study(folder, **{"only": [YEAST], **options})
    return sorted(did)


class StopError(Exception):
    """What ends a run in a test."""


def stop(*_):
    raise StopError


def stopped(folder, monkeypatch, target, replacement=stop, **options):
    """Run a study that ends where something of it is replaced."""
    with monkeypatch.context() as patch:
        patch.setattr(target, replacement)
        with pytest.raises(StopError):
            quick_study(folder, **options)


@pytest.mark.parametrize("options", [{"seed": 1}, {"force": True}])
def test_again__a_changed_seed_and_force_do_everything(again, monkeypatch, options):
    waiting = []

    def wait_for(tasks, *_, **__):
        waiting.extend(task.path.name for task in tasks)
        raise StopError

    stopped(again, monkeypatch, "poolproof.study.running._do_all", wait_for, only=BOTH, **options)
    assert sorted(waiting) == sorted(f"{name}.{step}.json" for name in BOTH for step in STEPS)
    assert len(times_of(again)) == (0 if "force" in options else 2 * len(STEPS))
    assert (again / "study.json").exists()  # the earlier result, until there is a new one


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"key": 3}', None])
def test_again__a_damaged_part_is_done_again(again, whole, monkeypatch, damage):
    path = again / "parts" / f"{YEAST}.bases.json"
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    assert done_again(again, monkeypatch) == [f"{YEAST}.bases"]
    assert parts_of(again) == parts_of(whole[1])


@pytest.mark.parametrize("name", ["verdict.json", "genes.parquet", "report.html"])
def test_again__an_audit_without_its_files_is_done_again(again, monkeypatch, name):
    (again / "audits" / YEAST / name).unlink()
    assert done_again(again, monkeypatch) == [f"{YEAST}.audit"]
    assert (again / "audits" / YEAST / name).exists()


def test_again__an_audit_of_another_seed_that_was_killed_is_no_result_of_the_first(again, monkeypatch):
    # Seed 1 replaces the folder of the audit and is killed before its part is written.
    stopped(again, monkeypatch, "poolproof.study.running._curve_rows", only=[YEAST], seed=1)
    verdict = again / "audits" / YEAST / "verdict.json"
    assert json.loads(verdict.read_text(encoding="utf-8"))["seed"] == 1
    assert f"{YEAST}.audit" in done_again(again, monkeypatch)
    assert json.loads(verdict.read_text(encoding="utf-8"))["seed"] == 0


def test_stopped__what_is_finished_stays(tmp_path, whole, monkeypatch):
    n_done = []
    replace_file = study.replace_file

    def stop_at_the_fourth(path, text):
        if len(n_done) == 3:
            raise StopError
        n_done.append(path.name)
        return replace_file(path, text)

    folder = tmp_path / "study"
    stopped(folder, monkeypatch, "poolproof.study.running.replace_file", stop_at_the_fourth)
    before = times_of(folder)
    assert len(before) == 3
    assert not (folder / "study.json").exists()
    found = quick_study(folder)
    assert before.items() <= times_of(folder).items()
    theirs = whole[0].table[whole[0].table["dataset"] == YEAST].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.table, theirs)


def test_write__the_mark_goes_first_and_comes_last(again, monkeypatch):
    stopped(again, monkeypatch, "poolproof.study.page.render_study", only=BOTH)
    assert not (again / "study.json").exists()
    assert len(pd.read_parquet(again / "study.parquet"))
    quick_study(again, only=BOTH)
    assert (again / "study.json").exists()


def test_another_run__sweeps_what_the_killed_left(again):
    left = [".study.parquet", ".study.html.abc", "figures/.study_calls.svg.x"]
    left += [f"parts/.{YEAST}.bases.json.abc", f"audits/{YEAST}/.report.html.abc"]
    for name in left:
        (again / name).write_text("half")
    (again / "mine.txt").write_text("mine")
    quick_study(again, only=BOTH)
    assert not [name for name in left if (again / name).exists()]
    assert (again / "mine.txt").read_text() == "mine"


# --- in processes ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the package whose studies are small and draw nothing: the workers import it anew."""
    top = tmp_path_factory.mktemp("checkout")
    package = Path(study.__file__).parents[1]
    shutil.copytree(package, top / "src" / "poolproof", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", top)
    (top / "data").symlink_to(ROOT / "data")
    (top / "src" / "poolproof" / "study" / "study.yaml").write_text(
        yaml.safe_dump(small_content(), sort_keys=False)
    )
    for name, arguments, module, file in (
        ("write_report", "folder", "report/audit_page.py", "report.html"),
        ("write_study_page", "folder, *_", "study/page.py", "study.html"),
    ):
        path = top / "src" / "poolproof" / module
        code = f"\n\ndef {name}({arguments}):\n    (folder / {file!r}).write_text('page')\n"
        path.write_text(path.read_text(encoding="utf-8") + code, encoding="utf-8")
    slow = (
        "\n\nimport os, time\n\nif os.environ.get('SLOW_STEPS'):\n"
        "    STEPS = {step: lambda *_: time.sleep(60) or iter(()) for step in STEPS}\n"
    )
    path = top / "src" / "poolproof" / "study" / "steps.py"
    path.write_text(path.read_text(encoding="utf-8") + slow, encoding="utf-8")
    return top


HEEDS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""A shell without job control has what it starts in the background ignore an interrupt."""


class Run:
    """``poolproof study`` in a process of its own, with two workers."""

    def __init__(self, checkout, out, **more):
        code = f"{HEEDS}; from poolproof.cli import main; main()"
        command = [sys.executable, "-c", code, "study", "--out", str(out),
                   "--only", ",".join(BOTH), "--threads", "2"]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"} | more
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=checkout,
            start_new_session=True,
        )  # fmt: skip
        self.out = out

    def until_done(self, n):
        """Wait for so many parts."""
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            if len(list(self.out.glob("parts/[!.]*.json"))) >= n:
                return
            time.sleep(0.01)
        pytest.fail(f"no {n} parts: {self.process.communicate(timeout=10)}")

    def workers(self):
        """Process ids of the workers; the tracker of resources is none."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and b"spawn_main" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def end(self, number, pid=None):
        """Send a signal; exit code, both outputs, and the seconds until it and all workers had ended."""
        workers = self.workers()
        assert len(workers) == 2
        started = time.monotonic()
        os.kill(pid(workers) if pid else self.process.pid, number)
        out, err = self.process.communicate(timeout=240)
        while any(is_running(worker) for worker in workers) and time.monotonic() < started + 20:
            time.sleep(0.01)
        return self.process.returncode, out, err, time.monotonic() - started


def is_running(pid):
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find the workers")
@pytest.mark.parametrize("how", ["killed", "interrupted", "worker killed"])
def test_ended__no_worker_goes_on_and_nothing_finished_is_lost(checkout, tmp_path, whole, how):
    out = tmp_path / "study"
    run = Run(checkout, out, **({} if how == "killed" else {"SLOW_STEPS": "1"}))  # in the midst of a step
    run.until_done({"killed": 9}.get(how, 1))
    number = {"interrupted": signal.SIGINT}.get(how, signal.SIGKILL)
    code, said, err, seconds = run.end(number, min if how == "worker killed" else None)
    assert code == {"killed": -9, "interrupted": 130, "worker killed": 2}[how], err
    assert said == ""
    assert seconds < 5
    assert "Traceback" not in err
    if how == "worker killed":
        assert err.count("\n") == 1
        assert "--threads" in err
    assert not (out / "study.json").exists()
    done = {path.name: path.read_text(encoding="utf-8") for path in out.glob("parts/[!.]*")}
    for text in done.values():
        json.loads(text)
    if how != "killed":
        return
    before = times_of(out)
    found = quick_study(out, only=BOTH)
    kept = {name: when for name, when in before.items() if not name.startswith(".")}
    assert len(kept) >= 9
    assert kept.items() <= times_of(out).items()
    assert parts_of(out) == parts_of(whole[1])  # two workers against one process, killed against whole
    pd.testing.assert_frame_equal(found.table, whole[0].table)
    assert [path.name for path in out.rglob(".*")] == []


def test_two_at_once__the_second_is_refused(again):
    folder = kept_folder(again, (study.PARTS, study.AUDITS), "study")
    with folder, pytest.raises(InputError, match="is in use by another study"):
        quick_study(again, only=BOTH)
    quick_study(again, only=BOTH)


# --- what cannot be used ---------------------------------------------------------------------------------


def refused(match, folder, **options):
    with pytest.raises(InputError, match=match) as caught:
        poolproof.run_study(folder, **options)
    assert "\n" not in str(caught.value)


def test_refused__names_and_paths(tmp_path):
    out = tmp_path / "out"
    (tmp_path / "file.h5ad").write_text("mine")
    refused("no_such", out, only=["no_such"])
    refused("sc_kang_pbmc_ifnb", out, only=["sc_kang_pbmc_ifnb"])  # of the registry, not of the study
    refused("no name is given", out, only=[])
    refused("none stated.*--path bulk_islet_fadista=FILE", out, only=[ISLETS])
    refused("comes with poolproof", out, paths={YEAST: tmp_path / "file.h5ad"})
    refused("--only leaves out", out, only=[YEAST], paths={ISLETS: tmp_path / "file.h5ad"})
    refused("found none at", out, paths={ISLETS: tmp_path / "none.h5ad"})
    refused("seed", out, seed=-1)
    refused("threads", out, threads=0)
    assert not out.exists()


def test_refused__a_file_of_the_user_that_is_another_one(tmp_path):
    table = pd.DataFrame(np.random.default_rng(0).poisson(5.0, (30, 20)), index=[f"s{i}" for i in range(30)])
    table.columns = [f"g{i}" for i in range(20)]
    table.to_csv(tmp_path / "mine.csv")
    out = tmp_path / "deep" / "out"
    refused("expected 77 samples", out, only=[ISLETS, YEAST], paths={ISLETS: tmp_path / "mine.csv"})
    assert not out.exists()
    assert not out.parent.exists()
    (tmp_path / "mine.h5ad").write_text("no h5ad")
    refused("mine.h5ad", out, only=[ISLETS], paths={ISLETS: tmp_path / "mine.h5ad"})
    assert not out.exists()


def test_refused__folders(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    refused("is a file", tmp_path / "file", only=[YEAST])
    refused("cannot be written", tmp_path / "file" / "below", only=[YEAST])
    refused("holds other files", tmp_path, only=[YEAST])
    refused("cannot be written", tmp_path / ("x" * 300), only=[YEAST])
    refused("cannot be written", Path("/proc/poolproof"), only=[YEAST])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_refused__no_room_half_way(again, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(study, "write_parquet", full)
    with pytest.raises(InputError, match="cannot be written to: No space left"):
        quick_study(again, only=BOTH)
    assert len(times_of(again)) == 2 * len(STEPS)


def test_choose__all_but_what_is_not_ours():
    entries, left_out = choose_entries(None, {})
    assert [entry.name for entry in entries] == [name for name in study_names() if name != ISLETS]
    assert list(left_out) == [ISLETS]
    assert {entry.group for entry in entries} == {"bulk", "single-cell", "pools of cell lines"}
    assert sum(entry.group == "bulk" for entry in entries) >= 4
    assert sum(entry.group == "single-cell" for entry in entries) >= 4
    entries, left_out = choose_entries([AUREUS, YEAST], {})
    assert [entry.name for entry in entries] == sorted([AUREUS, YEAST], key=study_names().index)
    assert left_out == {}


def test_islets__from_the_file_of_the_user(tmp_path, small):
    path = shared_data("bulk_islet_fadista.h5ad")
    found = quick_study(tmp_path / "study", only=[ISLETS], paths={ISLETS: path})
    (row,) = found.summary["datasets"]
    assert row["name"] == ISLETS
    assert row["n_obs"] == 77
    assert row["scale"] == "counts"
    assert row["test"] == "robust"
    assert found.summary["left_out"] == {}


# --- data that cannot be fetched -------------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """As after an installation, with an address where nothing answers."""
    monkeypatch.setattr(_download, "checkout_folder", lambda: None)
    monkeypatch.setenv("POOLPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("POOLPROOF_DATA_URL", str(tmp_path / "nothing"))


def test_offline__the_study_goes_on_with_the_others(offline, tmp_path, whole, monkeypatch):
    found = quick_study(tmp_path / "study", only=BOTH)
    assert [row["name"] for row in found.summary["datasets"]] == [AUREUS]  # which is in the package
    content = json.loads((tmp_path / "study" / "study.json").read_text(encoding="utf-8"))
    assert "cannot fetch" in content["left_out"][YEAST]
    assert "cannot fetch" in content["left_out"]["network_saureus_regprecise"]
    assert set(found.table["step"]) == {*STEPS, "population"} - {"edges"}
    page = (tmp_path / "study" / "study.html").read_text(encoding="utf-8")
    assert "<b>network_saureus_regprecise</b> is left out" in page
    # once they are there, they are done, and nothing else
    before = times_of(tmp_path / "study")
    monkeypatch.setenv("POOLPROOF_DATA_URL", str(ROOT / "data"))
    found = quick_study(tmp_path / "study", only=BOTH)
    assert before.items() <= times_of(tmp_path / "study").items()
    assert found.summary["left_out"] == {}
    pd.testing.assert_frame_equal(found.table, whole[0].table)


def test_offline__nothing_left_is_refused_and_leaves_no_folder(offline, tmp_path):
    refused("expected data sets to study; found none.*cannot fetch", tmp_path / "a" / "study", only=[YEAST])
    assert not (tmp_path / "a").exists()
    (tmp_path / "empty").mkdir()
    refused("cannot fetch", tmp_path / "empty", only=[YEAST])
    assert list((tmp_path / "empty").iterdir()) == []
