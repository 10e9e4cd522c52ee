"""Numbers with as many digits as a table needs, which makes its file small."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

BITS = 20
"""Of the mantissa that are kept: numbers are right to 5e-7 of themselves."""


def shortened(values: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """Round float64 to `BITS` binary digits; what this would carry across the threshold stays as it is.

    Parameters
    ----------
    values
        Any shape; NaN and infinity stay.
    threshold
        A number that values are compared with (``<=``).

    Notes
    -----
    The range stays that of float64, so p-values far below the smallest float32 survive, and the digits that
    are left out are zeros, which compress to nothing.

    Examples
    --------
    >>> shortened(np.array([1 / 3, 1e-300, np.nan]))
    array([3.33333254e-001, 1.00000017e-300,             nan])
    >>> just_above = np.nextafter(0.05, 1)
    >>> shortened(np.array([just_above]), threshold=0.05)[0] > 0.05
    np.True_
    """
    drop = 52 - BITS
    values = np.ascontiguousarray(values, dtype=np.float64)
    codes = (values.view(np.uint64) + np.uint64(1 << (drop - 1))) & np.uint64(2**64 - 2**drop)
    short = np.where(np.isfinite(values), codes.view(np.float64), values)
    short = np.where(np.isfinite(short), short, values)  # the largest float64 has no larger neighbour
    if threshold is not None:
        short = np.where((short <= threshold) == (values <= threshold), short, values)
    return short


def shortened_table(table: pd.DataFrame, thresholds: Mapping[str, float]) -> pd.DataFrame:
    """Shorten all columns of float64; ``thresholds`` are those of columns that calls compare with one."""
    short = {
        name: shortened(table[name].to_numpy(), thresholds.get(name))
        for name in table.columns
        if table[name].dtype == np.float64
    }
    return table.assign(**short)
