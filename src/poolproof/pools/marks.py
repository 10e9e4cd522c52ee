"""Labels of metacells that are no metacell: what tools write for cells that they left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._checks import InputError, printable

NO_POOL = frozenset({"outliers", "outlier", "excluded", "unassigned", "none", "nan", "na", "n/a", "null", ""})
"""In lower case: metacells 0.9 writes ``Outliers`` and ``Excluded``, tables written as text the rest."""


def in_a_pool(labels: pd.Series) -> tuple[pd.Series, int]:
    """Which cells are in a pool, and how many others have a label that is a mark.

    Missing labels, negative numbers (also as text: a table read back) and `NO_POOL` name no pool.

    Raises
    ------
    InputError
        Numbers are not whole ones: then the column names no pools.

    Examples
    --------
    >>> used, n_marks = in_a_pool(pd.Series(["m1", "Outliers", "-1", None, "m2"]))
    >>> used.tolist(), n_marks
    ([True, False, False, False, True], 2)
    """
    there = labels.notna()
    text = labels.astype(str).str.strip()
    numbers = pd.to_numeric(text.where(there), errors="coerce")
    if not pd.api.types.is_bool_dtype(labels) and there.any() and numbers[there].notna().all():
        parts = numbers[there & (numbers % 1 != 0)]
        if len(parts):
            raise InputError(
                f"expected --assignment to name metacells; {printable(labels.name, 40)!r} has "
                f"{printable(parts.iloc[0], 40)}"
            )
    marked = there & ((numbers < 0) | text.str.lower().isin(NO_POOL))
    return there & ~marked, int(np.count_nonzero(marked))
