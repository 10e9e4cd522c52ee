"""Whether the values of equations and of parameters of kernels are what they must be."""

from __future__ import annotations

import numpy as np

from .._checks import InputError, printable
from .expressions import Need


def checked(values: np.ndarray, text: str) -> np.ndarray:
    """Return values if all are finite.

    Raises
    ------
    InputError
        Some are not.
    """
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise InputError(
            f"{printable(text, 60)} is no finite number in {bad:,} of {values.size:,} cells; "
            f"bound its arguments, with {_bound(values)} say"
        )
    return values


def _bound(values: np.ndarray) -> str:
    """How to keep arguments in bounds: from above where a value is too large, else from below."""
    return "min(x, 100)" if np.isposinf(values).any() else "max(x, 0.001)"


def meets(values: np.ndarray, need: Need) -> bool:
    """Whether all values are what a parameter needs."""
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    if need == "positive":
        return bool(low > 0)
    if need == "probability":
        return bool(low >= -1e-9 and high <= 1 + 1e-9)
    if need == "count":
        return bool(low >= 0 and np.all(values == np.round(values)))
    return need == "real" or bool(low >= -1e-9 * max(1.0, high))


def worst(values: np.ndarray) -> float:
    """The value that fails most plainly: the smallest if it is not positive, else the largest."""
    low, high = float(values.min()), float(values.max())
    return low if low <= 0 else high
