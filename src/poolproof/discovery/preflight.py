"""What may go into a method: the libraries answer wrongly without a word where poolproof refuses here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._checks import InputError, printable
from ..basis import standardise

MIN_SAMPLES = 3
_SAME = 1e-9
"""1 - r^2 of two genes below which one is a multiple of the other, up to rounding."""


def prepare(
    values: np.ndarray, names: Sequence[str], *, method: str = "this method", more_samples: bool = False
) -> np.ndarray:
    """Check samples x genes and standardise them, so that no method sees units.

    Parameters
    ----------
    values
        Shape ``(n, p)``; any unit.
    names
        Genes, in the order of the columns.
    method
        Named in messages.
    more_samples
        Refuse as many genes as samples or more.

    Returns
    -------
    Columns of mean 0 and variance 1 (divisor n), float64, shape ``(n, p)``.

    Raises
    ------
    InputError
        Shapes do not fit, names repeat, values are not numbers, are missing or infinite, a gene is constant,
        two are copies or multiples of each other, or samples are too few; with one line that names the genes.

    Notes
    -----
    Seen in libraries: with a missing value, GES and GRaSP of causal-learn give a wrong or an empty graph and
    BOSS does not end; a constant gene is next to every gene (PC) or turns a true arrow around (DirectLiNGAM);
    with fewer samples than genes there is a graph all the same. Copies explain each other away: neither has
    another neighbour.

    Examples
    --------
    >>> prepare(np.array([[0.0, 5], [1, 3], [4, 1]]), ["a", "b"]).round(2).tolist()
    [[-0.98, 1.22], [-0.39, 0.0], [1.37, -1.22]]
    >>> prepare(np.array([[0.0, 5], [1, 5], [2, 5]]), ["a", "b"])
    Traceback (most recent call last):
    poolproof._checks.InputError: expected genes that vary; constant: b. Leave it out
    """
    values = as_table(values, names)
    n, p = values.shape
    _refuse(~np.isfinite(values).any(axis=0) & np.isnan(values).all(axis=0), names, "values", "without any")
    _refuse(np.isnan(values).any(axis=0), names, "no missing values", "with some", "these samples or genes")
    _refuse(np.isinf(values).any(axis=0), names, "finite values", "infinite", "these samples or genes")
    largest = np.abs(values).max(axis=0, initial=0.0)
    standard, varies = standardise(values / np.where(largest > 0, largest, 1.0))  # squares stay finite
    _refuse(~varies, names, "genes that vary", "constant")
    if n < MIN_SAMPLES:
        raise InputError(f"expected at least {MIN_SAMPLES} samples; found {n}")
    _refuse_copies(standard, names)
    if more_samples and n <= p:
        raise InputError(
            f"{method} needs more samples than genes; found {n} samples of {p} genes: choose fewer genes, or "
            "a method that gives weights"
        )
    return standard


def as_table(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The values as float64, row by row in memory (which decides how sums are rounded), if all fits."""
    try:
        values = np.array(values, dtype=np.float64, order="C")
    except (TypeError, ValueError):
        raise InputError(
            "expected numbers, one row per sample and one column per gene; found others"
        ) from None
    if values.ndim != 2 or values.shape[1] != len(names):
        raise InputError(
            f"expected one row per sample and one column for each of the {len(names)} names; found shape "
            f"{values.shape}"
        )
    if len(names) < 2:
        raise InputError(f"expected at least 2 genes; found {len(names)}")
    if len(set(names)) != len(names):
        raise InputError("expected names that differ; found some twice: rename or leave out")
    return values


def _refuse(
    found: np.ndarray, names: Sequence[str], expected: str, problem: str, leave_out: str | None = None
) -> None:
    genes = [names[i] for i in np.flatnonzero(found).tolist()]
    if genes:
        what = leave_out or ("it" if len(genes) == 1 else "them")
        raise InputError(f"expected {expected}; {problem}: {_listed(genes)}. Leave {what} out")


def _refuse_copies(standard: np.ndarray, names: Sequence[str]) -> None:
    """Refuse pairs of columns that are equal up to scale, origin and sign."""
    r = standard.T @ standard / len(standard)
    for i, j in np.argwhere(np.triu(1 - r**2 < _SAME, 1)).tolist():
        sign = np.sign(r[i, j])
        if np.mean((standard[:, i] - sign * standard[:, j]) ** 2) < _SAME:
            raise InputError(
                f"expected genes that differ; {printable(names[j], 40)} is a copy or a multiple of "
                f"{printable(names[i], 40)}. Leave one out"
            )


def _listed(genes: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(printable(gene, 40) for gene in genes[:most])
    return shown if len(genes) <= most else f"{shown} and {len(genes) - most} more"
