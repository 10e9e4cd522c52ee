"""Phases of long work: a bar on a terminal, and a line at start and end for whoever listens to the log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from ._bars import tqdm
from ._checks import printable

PHASES = logging.getLogger("poolproof.phases")
"""Begin and end of phases, at level INFO; of parts of phases, at level DEBUG."""
_NO_STEPS = "{desc} ({elapsed} so far)"
_TICK = 1.0
"""Seconds between two looks at the clock, where no step moves the bar."""


@contextmanager
def phase(
    name: str, total: int | None = None, *, unit: str = "gene", show: bool = False, part: bool = False
) -> Iterator[Callable[[int], Any]]:
    """Mark a phase: what is done inside the block.

    Parameters
    ----------
    name
        What is done, as the log and the bar say it.
    total
        Steps that the phase takes; None: it has none.
    unit
        Of a step.
    show
        Whether to show a bar on standard error.
    part
        Whether this is a part of a larger phase, which only a detailed log has.

    Returns
    -------
    A function that is told how many steps have been done since it was called last.

    Examples
    --------
    >>> with phase("pairs", 3) as done:
    ...     for _ in range(3):
    ...         _ = done(1)
    """
    level = logging.DEBUG if part else logging.INFO
    plain = printable(name, 60)
    many = f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
    steps = f": {total:,} {unit if total == 1 else many}" if total is not None else ""
    PHASES.log(level, "%s%s", plain, steps)
    start, worked = time.perf_counter(), time.process_time()
    how = "stopped"
    try:
        with (
            tqdm(
                total=total,
                desc=plain[:20],
                unit=unit,
                disable=not show,
                leave=False,
                bar_format=_NO_STEPS if total is None else None,
            ) as bar,
            _clock(bar) if show and total is None else nullcontext(),
        ):
            yield bar.update
        how = "done"
    finally:
        took, worked = time.perf_counter() - start, time.process_time() - worked
        PHASES.log(level, "%s: %s after %.1f s (%.1f s of processor time)", plain, how, took, worked)


@contextmanager
def _clock(bar: tqdm) -> Iterator[None]:
    """Let a bar show the time while nothing moves it."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(_TICK):
            bar.refresh()

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield
    finally:
        over.set()
        ticking.join()
