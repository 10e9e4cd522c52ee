"""Who does the tasks of a run: threads of this process, or the workers of a Dask cluster.

A task is a function of the data alone, and results are put together in the order of the tasks: so who does
them, and how often one is done again, changes nothing.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .._arrays import in_threads
from .._checks import InputError, printable
from .._side_by_side import loss_of_cluster

Task = TypeVar("Task")
Result = TypeVar("Result")

LOCAL = "local:"
PATIENCE = 20
"""Seconds until a scheduler must have answered."""
MOST_LOCAL = 256


class Runner(Protocol):
    """Does tasks side by side."""

    @property
    def n_workers(self) -> int:
        """Tasks that are worked on at once."""

    @property
    def n_sharing(self) -> int:
        """Tasks that share the memory of one machine."""

    def __call__(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        """Results in the order of the tasks."""


@dataclass(frozen=True)
class Threads:
    """Tasks in threads of this process."""

    n_workers: int = 1

    @property
    def n_sharing(self) -> int:
        """See :class:`Runner`."""
        return self.n_workers

    def __call__(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        """See :class:`Runner`."""
        return in_threads(work, tasks, self.n_workers)


@dataclass(frozen=True)
class DaskRunner:
    """Tasks on the workers of a Dask cluster; one that is lost is replaced by its scheduler."""

    client: Any
    """``distributed.Client``."""

    @property
    def n_workers(self) -> int:
        """Threads of all workers, at least 1."""
        return max(1, sum(self._threads().values()))

    @property
    def n_sharing(self) -> int:
        """See :class:`Runner`; workers of one host share its memory."""
        by_host: dict[str, int] = {}
        for address, n in self._threads().items():
            host = address.rsplit(":", 1)[0]
            by_host[host] = by_host.get(host, 0) + n
        return max(by_host.values(), default=1)

    def _threads(self) -> dict[str, int]:
        with _one_line(self.client):
            return dict(self.client.nthreads())

    def __call__(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        """See :class:`Runner`."""
        with _one_line(self.client), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the work is large: it is sent once, and can be sent again
            packed = importlib.import_module("cloudpickle").dumps(work)
            shared = self.client.submit(_unpacked, packed, pure=False, retries=2)
            futures = [self.client.submit(_do, shared, task, pure=False, retries=2) for task in tasks]
            return list(self.client.gather(futures))


def _unpacked(work: bytes) -> Any:
    """Work as a task of its own, which a scheduler has done again where the worker that held it is lost."""
    return importlib.import_module("cloudpickle").loads(work)


def _do(work: Callable[[Task], Result], task: Task) -> Result:
    """One task on a worker, with one thread of linear algebra."""
    return in_threads(work, [task], 1)[0]


@contextmanager
def _one_line(client: Any) -> Iterator[None]:
    """What goes wrong with a cluster, in one line; errors of the task itself come through."""
    try:
        yield
    except Exception as error:
        reason = loss_of_cluster(client, error)
        if reason is None:
            raise
        raise InputError(
            f"expected a Dask cluster that works to the end; lost it ({reason}); nothing was written; "
            "start the cluster again, or leave out --dask"
        ) from error


@contextmanager
def open_client(where: str) -> Iterator[Any]:
    """A client of a Dask cluster, closed at the end.

    Parameters
    ----------
    where
        The address of a scheduler, ``tcp://HOST:8786``, or ``local:N``: N processes on this machine, started
        and ended here.

    Raises
    ------
    InputError
        Dask is not installed, N is no number of workers, or no scheduler answers.
    """
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise InputError("--dask needs Dask; install it: pip install 'poolproof[dask]'") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # losses are told once, in one line
    if where.startswith(LOCAL):
        number = where.removeprefix(LOCAL)
        if not number.isdecimal() or not 0 < int(number) <= MOST_LOCAL:
            raise InputError(f"expected local:N with 1 to {MOST_LOCAL} workers; found {printable(where)!r}")
        cluster = distributed.LocalCluster(
            n_workers=int(number), threads_per_worker=1, dashboard_address=None, memory_limit=0
        )
        with cluster, distributed.Client(cluster) as client:
            yield client
        return
    try:
        client = distributed.Client(where, timeout=PATIENCE, set_as_default=False)
    except Exception as error:  # addresses that are none raise anything
        reason = printable(" ".join(str(error).split()) or type(error).__name__, 200)
        raise InputError(
            f"expected the address of a Dask scheduler (tcp://HOST:8786) or local:N; none answers at "
            f"{printable(where)!r} ({reason})"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=1)


@contextmanager
def clients(where: str | None) -> Iterator[Any]:
    """The client that ``--dask`` asks for; None where it does not."""
    if where is None:
        yield None
        return
    with open_client(where) as client:
        yield client


def runner_of(client: Any, threads: int) -> Runner:
    """Workers of a cluster, or threads where there is none."""
    return Threads(threads) if client is None else DaskRunner(client)
