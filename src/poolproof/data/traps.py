"""Values that are well formed and not what their reader thinks: what tools write into X, or count twice.

Each entry was seen (``findings/``) or is documented by the tool; none can be mended here, so it is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from anndata import AnnData

from .._arrays import dense_columns
from .._checks import InputError, printable
from .scale import is_sparse
from .tables import GENE_WORDS

EVEN = 0.9
"""Share of even numbers from which reads were counted twice; of counts of single reads it is about a half."""
ROWS = 100
"""Samples that are looked at first."""
LEAST_VALUES = 100
"""Counts other than 0 that a word about their common factor needs."""
MOST_DIFFERENT = 0.9
"""Share of different values from which a sample of whole numbers holds identifiers."""

LEAST_MEAN = 2.0
"""Mean from which a gene tells logs from counts."""
LEAST_GENES = 10
MOST_OF_GENES = 0.5
LARGEST_LOG = 64.0
"""No count has a larger logarithm, to any base in use."""
LEAST_SPREAD = 0.5
"""Variance over mean of most genes below which values are no counts."""


def traps_of(data: Any, layer: str | None) -> list[str]:
    """Sentences about the chosen matrix of an AnnData that tools are known to fill in their own way."""
    if not isinstance(data, AnnData) or layer is not None or data.X is None:
        return []
    return [*_geometric_means(data), *_spliced_only(data)]


def _geometric_means(data: AnnData) -> list[str]:
    """What ``collect_metacells`` (metacells 0.9) writes: X is a weighted geometric mean of fractions."""
    marked = {"grouped", "total_umis"} <= set(data.obs.columns) and "total_umis" in data.layers
    if not marked or _largest(data.X) > 1.0:
        return []
    return [
        "X of metacells (metacells 0.9) holds weighted geometric means of fractions, neither sums nor means "
        "of cells, so it says nothing about pools that add up; pass --layer total_umis, which holds the sums"
    ]


def _spliced_only(data: AnnData) -> list[str]:
    """What ``read_loom`` (anndata 0.12) does: X is the layer ``spliced`` wherever a loom file has one."""
    if "unspliced" not in data.layers:
        return []
    if "spliced" in data.layers:
        only = _equal(data.X, data.layers["spliced"])
    else:
        only = "matrix" in data.layers and not _equal(data.X, data.layers["matrix"])
    if not only:
        return []
    way_out = (
        "pass --layer matrix for all of them"
        if "matrix" in data.layers
        else "convert the loom file with read_loom(..., X_name='') for all of them"
    )
    return [f"X holds spliced molecules alone, as anndata.io.read_loom takes them: {way_out}"]


def counted_twice(counts: Any) -> list[str]:
    """A sentence where nearly all counts are even, or all are multiples of one number.

    featureCounts 2.0 with ``-p`` and without ``--countReadPairs`` counts both mates of a pair.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(20.0, (100, 20)).astype(float)
    >>> counted_twice(counts), len(counted_twice(2 * counts))
    ([], 1)
    """
    some = _positive(counts[np.unique(np.linspace(0, counts.shape[0] - 1, ROWS).astype(int))])
    if len(some) < LEAST_VALUES or float(np.mean(some % 2 == 0)) < EVEN:
        return []
    stored = _positive(counts)
    even = float(np.mean(stored % 2 == 0))
    if even < EVEN:
        return []
    factor = int(np.gcd.reduce(stored.astype(np.int64)))
    what = f"all counts are multiples of {factor}" if factor > 1 else f"{even:.0%} of the counts are even"
    return [
        f"{what}: mates of a pair were counted one by one, as featureCounts -p does without "
        "--countReadPairs, or counts were multiplied; the noise of counting is then larger than that of "
        "counts: count pairs, or pass --test robust"
    ]


def rounded_logs(counts: Any) -> list[str]:
    """A sentence where most genes vary less than counts can: logs rounded to whole numbers do.

    The variance of counts is at least their mean (that of a Poisson law), but for what chance takes off.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(np.geomspace(20.0, 2e4, 50), (60, 50)).astype(float)
    >>> rounded_logs(counts), len(rounded_logs(np.round(np.log2(1 + counts))))
    ([], 1)
    """
    mean = np.asarray(counts.mean(axis=0)).ravel()
    genes = np.flatnonzero(mean >= LEAST_MEAN)
    if len(genes) < LEAST_GENES or len(genes) < MOST_OF_GENES * np.count_nonzero(mean):
        return []
    if float(counts.max()) > LARGEST_LOG:
        return []
    values = dense_columns(counts, genes)
    spread = float(np.nanmedian(values.var(axis=0) / mean[genes]))
    if not spread < LEAST_SPREAD:
        return []
    return [
        f"the variance of most genes is {spread:.2g} times their mean, less than counting alone gives: these "
        "may be logs rounded to whole numbers; if so give them before rounding, or pass --scale log with its "
        "base and offset"
    ]


def _positive(counts: Any) -> np.ndarray:
    stored = counts.data if is_sparse(counts) else counts
    return np.asarray(stored[np.isfinite(stored) & (stored > 0)])


def refuse_identifiers(matrix: Any, obs_names: Iterable[str], genes: Iterable[str]) -> None:
    """Refuse a row or column that is called ``gene`` and holds whole numbers, hardly any twice.

    scanpy 1.11 (``read_csv``) takes a first column of numbers, such as Entrez ids, for values.

    Raises
    ------
    InputError
        There is one.
    """
    for row, name in enumerate(obs_names):
        if _says_gene(name) and _are_identifiers(matrix[row]):
            raise InputError(
                f"expected samples; the one called {printable(name, 30)!r} holds identifiers of genes, as "
                "scanpy.read_csv leaves them where names are numbers; leave it out and name the genes by it"
            )
    for column, name in enumerate(genes):
        if _says_gene(name) and _are_identifiers(matrix[:, [column]]):
            raise InputError(
                f"expected genes in columns; the column {printable(name, 30)!r} holds identifiers of genes: "
                "genes are in rows (scanpy.read_csv leaves them so where names are numbers); name the rows "
                "by it and transpose"
            )


def _says_gene(name: object) -> bool:
    text = str(name)
    return len(text) < 24 and text.lower().replace(" ", "_").replace(".", "_") in GENE_WORDS


def _are_identifiers(values: Any) -> bool:
    values = values.toarray().ravel() if is_sparse(values) else np.ravel(values)
    whole = bool((values == np.floor(values)).all() and (values >= 0).all())
    return whole and len(np.unique(values)) > MOST_DIFFERENT * len(values)


def _largest(values: Any) -> float:
    stored = values.data if is_sparse(values) else np.asarray(values)
    return float(np.nanmax(stored)) if stored.size else 0.0


def _equal(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    if is_sparse(one) and is_sparse(other):
        return (one != other).nnz == 0
    dense = [m.toarray() if is_sparse(m) else np.asarray(m) for m in (one, other)]
    return np.array_equal(dense[0], dense[1])
