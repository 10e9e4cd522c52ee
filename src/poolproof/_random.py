"""One seed, one independent random stream per named task."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from ._checks import InputError


def stream(seed: int, *task: str | int) -> np.random.Generator:
    """Return the random generator of a named task.

    The stream depends on ``seed`` and the task's name alone, so the order in which tasks run,
    and the threads that they run on, change no draw.

    Raises
    ------
    InputError
        The seed is not a whole number of at least 0.

    Examples
    --------
    >>> a, b = stream(0, "split", "geneA"), stream(0, "split", "geneA")
    >>> bool(a.random() == b.random())
    True
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0; found {seed!r}")
    words = [crc32(str(part).encode()) for part in task]
    return np.random.default_rng([int(seed), len(words), *words])
