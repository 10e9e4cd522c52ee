"""Labels of samples as they are meant: blanks, case, missing words, and numbers that only name a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .._checks import printable

MISSING_LABELS = frozenset({"", "nan", "na", "n/a", "none", "null", "<na>", "-", "not available"})
"""Texts that stand for no label: pandas 2.3, R 4 and GEO write them."""
MOST_LEVELS = 20
"""Whole numbers of at most so many values are labels, where each stands often enough."""
LEAST_OFTEN = 4
"""Samples that a value of a label has on average, at least."""
QUANTITY, LABEL = "quantity:", "label:"
"""Before the name of a covariate: what its numbers are, whatever they look like."""


def meant(
    obs: pd.DataFrame, labels: Sequence[str], covariates: Sequence[str]
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the table of samples with its labels cleaned, the names of the covariates, and sentences.

    Parameters
    ----------
    obs
        One row a sample; not changed.
    labels
        Columns whose entries are labels (``within``, ``replicate``).
    covariates
        Columns to project out; whole numbers of few values become labels. ``quantity:age`` and
        ``label:batch`` say what the numbers are.

    Examples
    --------
    >>> obs = pd.DataFrame({"batch": [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], "age": range(30, 42)})
    >>> cleaned, names, said = meant(obs, [], ["batch", "age"])
    >>> cleaned["batch"].tolist()[:3], cleaned["age"].tolist()[:3]
    (['1', '2', '3'], [30, 31, 32])
    """
    obs = obs.copy()
    said: list[str] = []
    names: list[str] = []
    for given in covariates:
        name, how = _named(obs, given)
        names.append(name)
        if name not in obs:
            continue
        numeric = pd.api.types.is_numeric_dtype(obs[name]) and not pd.api.types.is_bool_dtype(obs[name])
        if not numeric:
            obs[name] = _cleaned(obs[name], name, said)
        elif how == LABEL or (how == "" and _names_batches(obs[name])):
            levels = obs[name].dropna()
            obs[name] = _as_text(obs[name])
            if how == "":
                said.append(
                    f"covariate {printable(name, 40)!r} taken as a label: {levels.nunique()} whole numbers; "
                    f"pass --covariates {QUANTITY}{printable(name, 40)} if it is a quantity"
                )
    for name in labels:
        if name in obs and not pd.api.types.is_numeric_dtype(obs[name]):
            obs[name] = _cleaned(obs[name], name, said)
    return obs, names, said


def _named(obs: pd.DataFrame, given: str) -> tuple[str, str]:
    """Name of a covariate and what was said before it."""
    for word in (QUANTITY, LABEL):
        if given.startswith(word) and given not in obs:
            return given.removeprefix(word), word
    return given, ""


def _names_batches(column: pd.Series) -> bool:
    """Say whether numbers are names: whole, of few values, each of several samples."""
    values = column.dropna().to_numpy(dtype=np.float64)
    if not len(values) or not (np.isfinite(values) & (values == np.rint(values))).all():
        return False
    n = len(np.unique(values))
    return 2 <= n <= MOST_LEVELS and len(values) >= LEAST_OFTEN * n


def _as_text(column: pd.Series) -> pd.Series:
    values = column.astype(object)
    text = [v if pd.isna(v) else str(int(v)) if float(v).is_integer() else str(v) for v in values]
    return pd.Series(text, index=column.index, dtype=object)


def _cleaned(column: pd.Series, name: str, said: list[str]) -> pd.Series:
    """Labels without blanks around, missing where a word says so, spelled alike where only case differs."""
    values = column.astype(object)
    present = values.notna()
    text = values[present].map(str)
    stripped = text.str.strip()
    shown = printable(name, 40)
    if n := int((stripped != text).sum()):
        said.append(f"column {shown!r}: blanks around {n} labels were taken away")
    absent = stripped.str.lower().isin(MISSING_LABELS)
    if absent.any():
        word = printable(stripped[absent].iloc[0], 20)
        said.append(f"column {shown!r}: {int(absent.sum())} entries such as {word!r} were taken as missing")
        stripped = stripped[~absent]
    spelled: dict[str, str] = {}
    for label, _ in Counter(stripped).most_common():
        spelled.setdefault(label.casefold(), label)
    alike = stripped.map(lambda label: spelled[label.casefold()])
    if (alike != stripped).any():
        listed = ", ".join(sorted({repr(printable(label, 20)) for label in stripped[alike != stripped]})[:3])
        said.append(f"column {shown!r}: labels that differ in case only were taken as one ({listed})")
    if len(alike) == len(column) and (alike == values).all():
        return column
    result = pd.Series(np.nan, index=column.index, dtype=object)
    result[alike.index] = alike.to_numpy() if column.index.is_unique else alike
    return result
