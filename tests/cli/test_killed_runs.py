"""Audits killed, stopped, raced or out of room: no mark of completion, or a whole result; never a mix."""

import contextlib
import errno
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from poolproof import cli
from poolproof._files import RESULTS
from poolproof.pairs.analyst import Analyst
from poolproof.report import pictures as _report_pictures
from poolproof.report import plot

SCHEMA = json.loads((files("poolproof.verdict") / "verdict.schema.json").read_text(encoding="utf-8"))
TRIPLES = ["triple_genes.parquet", "triples.parquet"]
TABLES = ["distortion.parquet", "genes.parquet", "pairs.parquet", "population.parquet"]
WRITTEN = sorted(["figures", *TABLES, "report.html", *TRIPLES, "verdict.json"])
PICTURES = ("calls_by_strength", "share_against_r2", "genes", "data_overview", "pair")
PICTURES += ("triple_histogram", "triple_distortion", "pooling_curves")
FORK = multiprocessing.get_context("forkserver")
# What an audit and this file import is loaded once, in the server that the audits are forked from.
LOADED = ["io", "samples", "networks", "verdict", "report", "cli"]
FORK.set_forkserver_preload([*(f"poolproof.{name}" for name in LOADED), "jsonschema", "pytest"])


# --- running the command line in processes that start fast -------------------------------------------


def run(arguments, said, limit, die_at):
    """Run the command line in this process, both outputs into files."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{said}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    _report_pictures.svg_of = lambda ax: {"src": "data:,", "width": 1, "height": 1}
    plot.triple = lambda *_, **__: (None, None, None)
    Analyst._floor = lambda self, engine: None
    for name in PICTURES:
        setattr(plot, name, lambda *_, **__: None)  # drawing takes most of the time
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if die_at is not None:
        die_after_steps(die_at)
    sys.argv = ["poolproof", *arguments]
    try:
        cli.main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def die_after_steps(n):
    """Kill this process after the n-th file that is removed from or moved into the folder of results."""
    steps = iter(range(n))
    replace, unlink = os.replace, Path.unlink

    def count(path):
        if ".poolproof-" not in str(path) and next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted_replace(source, target):
        count(target)
        replace(source, target)

    def counted_unlink(self, missing_ok=False):
        count(self)
        unlink(self, missing_ok=missing_ok)

    os.replace, Path.unlink = counted_replace, counted_unlink


class Run:
    """One call of the command line in a process of its own."""

    n = 0

    def __init__(self, home, *arguments, limit=None, die_at=None):
        Run.n += 1
        self.said = home / f"said-{Run.n}"
        arguments = [str(argument) for argument in arguments]
        self.process = FORK.Process(target=run, args=(arguments, self.said, limit, die_at))
        self.process.start()

    def send(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def wait(self):
        """Exit code and standard error; the process must end."""
        self.process.join(60)
        assert self.process.exitcode is not None, "hangs"
        err = Path(f"{self.said}.err")
        return self.process.exitcode, err.read_text(encoding="utf-8") if err.exists() else ""


@pytest.fixture
def home(tmp_path):
    """A folder for what the runs say, beside the one that is looked at."""
    folder = tmp_path / "said"
    folder.mkdir()
    return folder


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Two inputs that differ in their genes."""
    folder = tmp_path_factory.mktemp("tables")
    numbers = np.random.default_rng(0)
    for first in ("A", "B"):
        driver = numbers.gamma(4.0, size=40)
        values = {f"Y{first}L{i:03}W": driver * (i + 1) + numbers.gamma(2.0, size=40) for i in range(5)}
        pd.DataFrame(values, index=[f"sample_{i}" for i in range(40)]).to_csv(folder / f"{first}.csv")
    return folder / "A.csv", folder / "B.csv"


def audit(table, out, *options):
    return (
        "audit",
        table,
        "--kind",
        "bulk",
        "--scale",
        "additive",
        "--quiet",
        "--threads",
        "1",
        "--out",
        out,
        *options,
    )


# --- what a folder may look like ----------------------------------------------------------------------


def whole_result(out, *, after_death=False):
    """The verdict of a folder, every file of which is complete and of the same run."""
    content = json.loads((out / "verdict.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(content)
    names = sorted(path.name for path in out.iterdir())
    if after_death:  # what a killed run was writing is swept by the next one
        names = [name for name in names if not name.startswith(".out.poolproof-")]
    assert names == WRITTEN
    genes = set(pd.read_parquet(out / "genes.parquet")["gene"])
    pairs = pd.read_parquet(out / "pairs.parquet")
    assert len(pairs) == content["linearity"]["n_kept"]
    assert set(pairs["regulator"]) | set(pairs["target"]) <= genes
    assert {gene[:2] for gene in genes} == {f"Y{content['data']['name'][0]}"}
    for path in (out / "figures").iterdir():
        pq.read_table(path)
    gallery = pd.read_parquet(out / "figures" / "gallery.parquet")
    assert set(gallery["regulator"]) <= genes
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert content["data"]["name"] in page
    assert re.search(rf"\b{content['created'][:16].replace('T', '.')}", page)
    assert re.search(rf"seed\D{{1,80}}\b{content['seed']}\b", page, re.IGNORECASE)
    return content


def check_after_death(out):
    """Either no mark of completion, or a whole result."""
    if (out / "verdict.json").exists():
        whole_result(out, after_death=True)


def assert_refused(code, err):
    assert code == 2, err
    assert err.count("\n") == 1
    assert err.startswith("poolproof: ")


# --- killed -------------------------------------------------------------------------------------------


def test_killed__at_random_moments(tables, place, home):
    out = place / "out"
    for _ in range(2):  # the first run also starts the server
        started = time.monotonic()
        assert Run(home, *audit(tables[0], out, "--force")).wait()[0] == 0
        whole = time.monotonic() - started
    moments = random.Random(0)
    n_killed = n_marked = 0
    for i in range(12):
        if i % 2:
            shutil.rmtree(out, ignore_errors=True)
        one = Run(home, *audit(tables[i % 2], out, "--force", "--seed", i))
        time.sleep(moments.uniform(0.0, 1.1) * whole)
        one.send(signal.SIGKILL)
        n_killed += one.wait()[0] == -signal.SIGKILL
        n_marked += (out / "verdict.json").exists()
        check_after_death(out)
    assert n_killed > 3
    assert 0 < n_marked < 12
    assert Run(home, *audit(tables[1], out, "--force", "--seed", 99)).wait() == (0, "")
    assert whole_result(out)["seed"] == 99
    assert [path.name for path in place.iterdir()] == ["out"]


@pytest.mark.parametrize("seen", ["place", "pairs.parquet", "figures", "report.html"])
def test_killed__as_soon_as_a_file_is_seen(tables, place, home, seen):
    out = place / "out"
    one = Run(home, *audit(tables[0], out))
    pattern = ".out.poolproof-*" if seen == "place" else f".out.poolproof-*/*{seen}*"
    until = time.monotonic() + 30
    while not any(place.glob(pattern)) and time.monotonic() < until:
        time.sleep(0.001)
    one.send(signal.SIGKILL)
    one.wait()
    check_after_death(out)
    assert any(place.iterdir())
    assert Run(home, *audit(tables[1], out, "--force")).wait() == (0, "")
    whole_result(out)
    assert [path.name for path in place.iterdir()] == ["out"]


@pytest.mark.parametrize("step", [0, 1, 5, 12, 20, -4, -3, -2, -1])
def test_killed__while_files_move_in(tables, place, home, step):
    # The most dangerous moments, made certain: old files go, new ones come, the mark last.
    out = place / "out"
    assert Run(home, *audit(tables[0], out)).wait()[0] == 0
    n_steps = len(RESULTS) + 1 + 2 * len(list((out / "figures").iterdir())) + len(WRITTEN) - 1
    one = Run(home, *audit(tables[1], out, "--force"), die_at=step % n_steps)
    assert one.wait()[0] == -signal.SIGKILL
    assert (out / "verdict.json").exists() == (step == 0)
    check_after_death(out)
    assert Run(home, *audit(tables[1], out, "--force")).wait() == (0, "")
    assert whole_result(out)["data"]["name"] == "B.csv"
    assert [path.name for path in place.iterdir()] == ["out"]


# --- stopped ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("share", [0.15, 0.5, 0.8])
def test_stopped__by_a_signal(tables, place, home, number, code, share):
    out = place / "out"
    one = Run(home, *audit(tables[0], out))
    until = time.monotonic() + 30
    while not any(place.iterdir()) and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(share)
    one.send(number)
    found, err = one.wait()
    if found == 0:  # it was done before
        whole_result(out)
        return
    assert found == code
    assert err.count("\n") <= 2
    assert number != signal.SIGINT or "poolproof: interrupted; the same command goes on" in err
    assert "Traceback" not in err
    left = list(place.iterdir())
    assert left in ([], [out])
    if left:  # the signal came when the results had moved in, before the last word was said
        whole_result(out)


# --- two at once --------------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True], ids=["", "force"])
@pytest.mark.parametrize("delay", [0.0, 0.1])
@pytest.mark.parametrize("same", [False, True], ids=["other-data", "same-data"])
def test_two_at_once__never_a_mix(tables, place, home, force, delay, same):
    out = place / "out"
    options = ("--force",) if force else ()
    runs = []
    for i in range(2):
        table = tables[0 if same else i]
        runs.append(Run(home, *audit(table, out, "--seed", i, *options)))
        time.sleep(delay)
    while any(one.process.is_alive() for one in runs):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            # Whatever is looked at while they run is complete or not marked.
            json.loads((out / "verdict.json").read_text(encoding="utf-8"))
        time.sleep(0.005)
    ends = [one.wait() for one in runs]
    content = whole_result(out)
    assert [path.name for path in place.iterdir()] == ["out"]
    codes = [code for code, _ in ends]
    if force:
        assert codes == [0, 0], ends
    else:
        assert sorted(codes) == [0, 2], ends
        assert content["seed"] == codes.index(0)
        assert_refused(*ends[codes.index(2)])
    if not same:
        assert content["data"]["name"] == "AB"[content["seed"]] + ".csv"


def test_two_reports_at_once(tables, place, home):
    out = place / "out"
    assert Run(home, *audit(tables[0], out)).wait()[0] == 0
    first = (out / "report.html").read_bytes()
    for _ in range(2):
        runs = [Run(home, "report", out) for _ in range(2)]
        assert [one.wait() for one in runs] == [(0, ""), (0, "")]
        whole_result(out)
        assert (out / "report.html").read_bytes() == first


# --- no room, no right, in the way --------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 100, 5_000, 20_000])
@pytest.mark.parametrize("keep", ["associated", "all"])
def test_no_room__one_line_and_nothing_stays(tables, place, home, limit, keep):
    done = Run(home, *audit(tables[0], place / "deep" / "out", "--keep", keep), limit=limit)
    code, err = done.wait()
    # What is said goes into a file as well, and the smallest limits leave no room for it.
    assert code == 2 or (limit < 1000 and code != 0)
    assert "Traceback" not in err
    assert list(place.iterdir()) == []


def test_no_room__keeps_the_earlier_result(tables, place, home):
    out = place / "out"
    assert Run(home, *audit(tables[0], out)).wait()[0] == 0
    done = Run(home, *audit(tables[1], out, "--force"), limit=20_000)
    code, err = done.wait()
    assert_refused(code, err)
    assert os.strerror(errno.EFBIG) in err
    assert whole_result(out)["data"]["name"] == "A.csv"
    assert [path.name for path in place.iterdir()] == ["out"]


def test_report__no_room_keeps_the_earlier_page(tables, place, home):
    out = place / "out"
    assert Run(home, *audit(tables[0], out)).wait()[0] == 0
    page = (out / "report.html").read_bytes()
    assert_refused(*Run(home, "report", out, limit=20_000).wait())
    assert (out / "report.html").read_bytes() == page
    whole_result(out)


def test_read_only__one_line(tables, place, home):
    if os.geteuid() == 0:
        out = Path("/proc/poolproof/out")  # root may write everywhere else
    else:
        place.chmod(0o500)
        out = place / "out"
    try:
        assert_refused(*Run(home, *audit(tables[0], out)).wait())
    finally:
        place.chmod(0o700)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", ["", "below", "verdict.json/", "pairs.parquet/", "figures"])
def test_in_the_way__one_line_and_it_stays(tables, place, home, name):
    out = place / "out"
    if name in ("", "below"):
        out.write_text("mine")
        target = out / name if name else out
    else:
        out.mkdir()
        if name.endswith("/"):
            (out / name).mkdir()
        else:
            (out / name).write_text("mine")
        target = out
    before = sorted(place.rglob("*"))
    assert_refused(*Run(home, *audit(tables[0], target, "--force")).wait())
    assert sorted(place.rglob("*")) == before
