"""A limit of time: what is not judged by then is undecided."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

TIME_LIMIT = 45.0
"""Seconds of processor time, unless another limit is asked for."""


@dataclass
class Clock:
    """Processor time of this thread, which other programs on the machine do not use up.

    Examples
    --------
    >>> Clock(None).is_up, Clock(0.0).is_up
    (False, True)
    """

    limit: float | None = None
    """Seconds; None: no limit."""
    was_up: bool = False
    """Whether anything was left out for it."""
    _start: float = field(default_factory=time.thread_time)

    @property
    def is_up(self) -> bool:
        """Whether the time is over; asked before each step."""
        if self.limit is not None and time.thread_time() - self._start >= self.limit:
            self.was_up = True
        return self.was_up


def out_of_time() -> str:
    """The rule of what was not judged."""
    return "not judged: the time limit was reached"
