"""Runs of regulators of counts: with many cells few of them at a time stay in a processor's cache."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

Built = TypeVar("Built")

IN_CACHE = 2**15
"""Numbers of an array of a few regulators and all cells, of which some twenty stay in a processor's cache."""


def few_rows(x: np.ndarray) -> list[slice]:
    """Runs of regulators, counts ``(R, n)``, whose arrays stay in cache; one run at least.

    Examples
    --------
    >>> few_rows(np.zeros((3, 20_000)))
    [slice(0, 1, None), slice(1, 2, None), slice(2, 3, None)]
    """
    size = max(1, IN_CACHE // max(x.shape[1], 1))
    return [slice(low, min(low + size, len(x))) for low in range(0, max(len(x), 1), size)]


def join_rows(parts: list[Built], axes: dict[str, int]) -> Built:
    """What was built of runs of regulators as one; ``axes`` of the regulators, by field."""
    if len(parts) == 1:
        return parts[0]
    joined = {name: np.concatenate([getattr(part, name) for part in parts], at) for name, at in axes.items()}
    return type(parts[0])(**joined)
