"""Tasks of a study or a benchmark on the workers of a Dask cluster."""

import os
import signal
import warnings
from functools import partial

import pytest
from helpers import needed

from poolproof._checks import InputError
from poolproof._side_by_side import on_cluster
from poolproof.pairs.workers import clients

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def of_dask():
    needed("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def write(folder, task):
    """Write a file; the first worker that meets task 2 is ended, once."""
    if task == 2 and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 7:
        raise InputError("expected a task below 7; found 7")
    (folder / f"{task}.txt").write_text(str(os.getpid()))


def test_cluster__does_all_tasks_also_those_of_a_worker_that_is_killed(of_dask, tmp_path):
    n_done = []
    with clients("local:2") as client:
        on_cluster(client, partial(write, tmp_path), range(6), lambda: n_done.append(1), "study")
    assert sorted(path.stem for path in tmp_path.glob("*.txt")) == list("012345")
    assert len(n_done) == 6
    assert os.getpid() not in {int(path.read_text()) for path in tmp_path.glob("*.txt")}


def test_cluster__errors_of_a_task_come_through_and_what_is_finished_stays(of_dask, tmp_path):
    (tmp_path / "killed").touch()
    with (
        clients("local:1") as client,
        pytest.raises(InputError, match=r"^expected a task below 7; found 7$"),
    ):
        on_cluster(client, partial(write, tmp_path), [0, 7, 1], lambda: None, "study")
    assert (tmp_path / "0.txt").exists()


def test_cluster__that_is_gone_is_told_in_one_line(of_dask, tmp_path):
    import distributed

    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        client = distributed.Client(cluster, set_as_default=False)
    with pytest.raises(InputError, match="to the end of the study; lost it") as found:
        on_cluster(client, partial(write, tmp_path), [0], lambda: None, "study")
    assert "\n" not in str(found.value)
    client.close(timeout=1)


def test_no_cluster__is_no_client():
    with clients(None) as client:
        assert client is None
