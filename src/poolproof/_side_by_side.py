"""Work kept piece by piece: a folder that is ours alone while it runs, and processes that end with us."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from ._bars import tqdm
from ._checks import InputError, PoolproofError, printable
from ._files import NOT_WRITABLE, not_written, take
from ._spoken import is_at_command_line, speak_of_options

Task = TypeVar("Task")


@contextmanager
def kept_folder(
    folder: Path, inside: Sequence[str], what: str, *, remove: Sequence[str] = ()
) -> Iterator[Path]:
    """Hold a folder whose finished parts later runs use again; one that stays empty is removed again.

    Parameters
    ----------
    folder
        It may hold an earlier run, and nothing else.
    inside
        Names of its own folders, which are made; the first one tells an earlier run and is locked.
    what
        Whose folder it is, in words: ``study``.
    remove
        Patterns of files that killed runs left, or that are to be made anew.

    Raises
    ------
    InputError
        The folder is a file, holds other files, cannot be written to, or another run holds it.
    """
    made: list[Path] = []
    try:
        handle = _lock(folder, inside, what, made)
    except OSError as error:
        raise not_written(folder, error) from error
    try:
        for pattern in remove:
            for path in folder.glob(pattern):
                path.unlink()
        yield folder.resolve()
    except OSError as error:
        if error.errno in NOT_WRITABLE:
            raise not_written(folder, error) from error
        raise
    finally:
        with suppress(OSError):  # it holds something
            if {path.name for path in folder.iterdir()} <= set(inside):
                for path in (*(folder / name for name in reversed(inside)), *reversed(made)):
                    path.rmdir()
        os.close(handle)


def _lock(folder: Path, inside: Sequence[str], what: str, made: list[Path]) -> int:
    """Make the folder and take it; gives the descriptor that holds it, and adds what had to be made."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {printable(folder)} is a file; name a folder")
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if found and inside[0] not in found:
        raise InputError(
            f"--out {printable(folder)} holds other files ({printable(found[0])}); name a new folder"
        )
    made += [path for path in (*reversed(folder.parents), folder) if not path.exists()]
    for name in inside:
        (folder / name).mkdir(parents=True, exist_ok=True)
    try:
        return take(folder / inside[0], wait=False)
    except BlockingIOError as error:
        raise InputError(
            f"--out {printable(folder)} is in use by another {what}; wait for it, or name another folder"
        ) from error


def side_by_side(
    do: Callable[[Task], object],
    tasks: Sequence[Task],
    workers: int,
    done: Callable[[], object],
    what: str,
) -> None:
    """Do tasks in processes of their own, which end at once when this one fails, is stopped or killed.

    Parameters
    ----------
    do
        A function of a module; what it raises is raised here.
    tasks
        In the order in which they are begun.
    workers
        Processes.
    done
        Called after each task.
    what
        What the processes belong to, in words: ``study``.

    Raises
    ------
    InputError
        A process was ended from outside.
    """
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)  # closes when we let go of it, however we end
    with theirs, ours:
        begin = partial(_begin, theirs, is_at_command_line())
        pool = ProcessPoolExecutor(workers, context, initializer=begin)
        try:
            running: set[Future[object]] = {pool.submit(do, task) for task in tasks}
            while running:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    future.result()
                    done()
        except BrokenProcessPool as error:
            raise InputError(
                f"a process of the {what} was ended from outside, perhaps for want of memory; what is "
                "finished stays: run it again, with fewer --threads"
            ) from error
        except BaseException:
            ours.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def on_cluster(
    client: Any, do: Callable[[Task], object], tasks: Sequence[Task], done: Callable[[], object], what: str
) -> None:
    """Do tasks on the workers of a Dask cluster, which see the same folders under the same paths.

    A task writes its own result, whole or not at all: its scheduler has it done again where a worker is lost.

    Parameters
    ----------
    client
        ``distributed.Client``.
    do, tasks, done, what
        As for :func:`side_by_side`.

    Raises
    ------
    InputError
        The cluster is lost, or a task has ended several workers.
    """
    as_completed = import_module("distributed").as_completed
    futures = []
    try:
        futures = [client.submit(_with_one_thread, do, task, pure=False, retries=2) for task in tasks]
        for future in as_completed(futures):
            future.result()
            done()
    except Exception as error:
        reason = loss_of_cluster(client, error)
        if reason is None:
            raise
        raise InputError(
            f"expected a Dask cluster that works to the end of the {what}; lost it ({reason}); what is "
            "finished stays: start the cluster again, and run it again"
        ) from error
    finally:
        for future in futures:
            with suppress(Exception):  # the scheduler has gone
                future.cancel()


def loss_of_cluster(client: Any, error: Exception) -> str | None:
    """Why a Dask cluster was lost, in one line; None where the error is that of a task."""
    of_cluster = type(error).__module__.startswith(("distributed", "tornado", "asyncio", "concurrent"))
    if isinstance(error, PoolproofError) or (not of_cluster and client.status == "running"):
        return None
    said = " ".join(str(error).split())
    return printable(f"{type(error).__name__}: {said}" if said else type(error).__name__, 200)


def _with_one_thread(do: Callable[[Task], object], task: Task) -> None:
    """One task on a worker; what it returns stays there."""
    with threadpool_limits(limits=1):
        do(task)


def _begin(pipe: Connection, command_line: bool) -> None:
    """In a worker: words as in the parent, one thread of linear algebra, and an end when the parent lets go
    or is killed.
    """
    speak_of_options(command_line)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    threadpool_limits(limits=1)
    # tqdm's own lock is shared by processes, and one that is ended would leave it behind.
    tqdm.set_lock(threading.RLock())

    def watch() -> None:
        with suppress(OSError, EOFError):
            pipe.recv_bytes()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
