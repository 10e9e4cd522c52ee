"""Counts that are not whole: what quantifiers estimate where a read fits several genes, or a soup is removed.

RSEM and salmon (EM), STARsolo's ``UniqueAndMult-EM``, alevin-fry, kallisto, ``featureCounts --fraction``,
SoupX, DecontX and CellBender write them. They need size factors as whole counts do, and rounding them loses
less than counting itself does: so they are rounded, and it is said.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from .depth import median_ratio
from .scale import Facts, is_sparse, nan_sum, parse_base, undo_log

WHOLE_SHARE = 0.2
"""Share of whole numbers among values other than 0 that only estimated counts reach: of EM counts .40 (bulk)
and .92 (cells) were whole, of TPM, FPKM and normalised cells less than .005."""
LEAST_MAXIMUM = 5.0
DEEP = 1000.0
"""Largest value that unnormalised bulk counts reach."""
FACTOR_SPREAD = 0.25
"""Standard deviation of the logs of median-ratio factors above which values were never normalised: of TPM,
FPKM and normalised files it was at most .07, of counts .29 to .64."""
NOTED_SPREAD, NOTED_SPREAD_FEW = 0.12, 0.35
"""The same from which depth is worth a word; the second of fewer than `MIN_GENES` genes."""
MIN_GENES = 100
"""Of fewer genes, factors tell biology as much as depth."""
NO_LOG = 30.0
ROWS = 200


def estimated_counts(matrix: Any, facts: Facts) -> str:
    """Return why values that are not whole are counts all the same; empty if they are none.

    Parameters
    ----------
    matrix
        Shape ``(n_obs, n_genes)``, float64, dense or CSR.
    facts
        Of the whole matrix.
    """
    if facts.whole or facts.minimum < 0 or facts.scaled or facts.maximum < LEAST_MAXIMUM:
        return ""
    stored = matrix.data if is_sparse(matrix) else matrix[matrix != 0]
    stored = stored[~np.isnan(stored)]
    totals = nan_sum(matrix, axis=1)
    if np.ptp(totals) <= 1e-3 * abs(totals.mean()) or _of_whole_numbers(stored):
        return ""
    whole = float(np.mean(stored == np.rint(stored)))
    fractional = f"{1 - whole:.0%} of the values that are not 0 are not whole"
    if whole >= WHOLE_SHARE:
        return fractional
    if multiples_in_rows(matrix):
        return ""
    if facts.maximum >= DEEP and matrix.shape[1] >= MIN_GENES:
        factors = np.log(median_ratio(matrix)[0])
        factors = factors[np.isfinite(factors)]
        if len(factors) and float(factors.std()) > FACTOR_SPREAD:
            spread = totals.max() / max(totals[totals > 0].min(), 1e-300)
            return f"{fractional}, and the totals of samples differ {spread:.3g}-fold"
    if facts.zero_share > 0.3 and facts.maximum > NO_LOG:
        return f"{fractional}, and rows are no multiples of one value, as normalised counts are"
    return ""


def stated_counts(matrix: Any, facts: Facts) -> str:
    """Return why values that are said to be counts can be taken as such, not being whole; empty if not.

    None is negative, they are no logs, and neither totals nor rows look normalised: so is what tximport
    calls ``lengthScaledTPM``, and counts that a batch was taken out of.
    """
    if facts.whole or facts.minimum < 0 or facts.scaled or facts.maximum < NO_LOG:
        return ""
    totals = nan_sum(matrix, axis=1)
    if np.ptp(totals) <= 1e-3 * abs(totals.mean()) or multiples_in_rows(matrix):
        return ""
    return "--scale counts was passed"


def never_normalised(matrix: Any, facts: Facts) -> list[str]:
    """A sentence where amounts of bulk samples differ in depth, as counts do and TPM, CPM or FPKM do not."""
    if facts.whole or facts.minimum < 0 or facts.maximum <= NO_LOG:
        return []
    factors = np.log(median_ratio(matrix)[0])
    factors = factors[np.isfinite(factors)]
    least = NOTED_SPREAD if matrix.shape[1] >= MIN_GENES else NOTED_SPREAD_FEW
    if len(factors) < 10 or float(factors.std()) <= least:
        return []
    return [
        f"samples differ in depth (median ratios spread by {factors.std():.0%}), as normalised amounts do "
        "not: if these are estimated counts, such as lengthScaledTPM, pass --scale counts; else pass "
        "--size-factors median-ratio"
    ]


def _of_whole_numbers(stored: np.ndarray) -> bool:
    """Say whether values are logs to base 2 or roots of whole numbers, of which many are whole themselves."""
    some = stored[:: max(1, len(stored) // 20_000)]
    with np.errstate(over="ignore"):
        for back in (np.exp2(np.minimum(some, 60.0)), some * some):
            if (np.abs(back - np.rint(back)) <= 1e-4 * np.maximum(back, 1.0)).all():
                return True
    return False


def multiples_in_rows(matrix: Any) -> bool:
    """Say whether the values of each row are whole multiples of its least one: counts over a size factor.

    Examples
    --------
    >>> multiples_in_rows(np.array([[0.2, 0.4, 1.0, 1.2, 0.6, 0.8]] * 5))
    True
    """
    n = matrix.shape[0]
    passed = seen = 0
    for row in np.unique(np.linspace(0, n - 1, min(n, ROWS)).astype(int)):
        values = matrix[row].data if is_sparse(matrix) else matrix[row]
        values = np.unique(values[np.isfinite(values) & (values > 0)])
        if len(values) < 5:
            continue
        seen += 1
        times = values / values[0]
        passed += bool((np.abs(times - np.rint(times)) <= 1e-3 * np.maximum(times, 1.0)).mean() > 0.95)
    return seen > 0 and passed >= 0.8 * seen


def agreeing_log1p(log1p: dict[str, Any], matrix: Any, facts: Facts) -> tuple[dict[str, Any], str]:
    """Return ``uns["log1p"]`` with the base that the values agree with, and a sentence if that is another.

    scanpy (1.11) has one such entry for X and all layers: the log of a layer overwrites what stood there of
    X. Counts over a size factor are whole multiples of one value within a row; undone with a wrong base they
    are not.

    Parameters
    ----------
    log1p
        The entry: ``base`` is a number, or None for e.
    matrix
        Values, shape ``(n_obs, n_genes)``, dense or CSR.
    facts
        Of the whole matrix.
    """
    if facts.whole or facts.minimum < 0 or facts.maximum > NO_LOG:
        return log1p, ""
    stated = parse_base(np.e if log1p.get("base") is None else log1p["base"]) or np.e
    some = matrix[np.unique(np.linspace(0, matrix.shape[0] - 1, min(matrix.shape[0], ROWS)).astype(int))]
    if multiples_in_rows(undo_log(some, stated, 1.0)):
        return log1p, ""
    others = [base for base in (np.e, 2.0, 10.0) if base != stated]
    agreeing = [base for base in others if multiples_in_rows(undo_log(some, base, 1.0))]
    if len(agreeing) != 1:
        return log1p, ""
    words = {np.e: "e", 2.0: "2", 10.0: "10"}
    taken = words[agreeing[0]]
    return {**log1p, "base": agreeing[0]}, (
        f"uns['log1p'] says base {words.get(stated, f'{stated:g}')}, but only undone with base {taken} are "
        f"the values of a row multiples of one value, as normalised counts are: base {taken} is taken (the "
        "log of a layer overwrites that entry); pass --log-base if that is wrong"
    )


def rounded(matrix: Any) -> Any:
    """Return values rounded to whole numbers; CSR stays without stored zeros."""
    if not is_sparse(matrix):
        return np.rint(matrix)
    result = sp.csr_matrix((np.rint(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)
    result.eliminate_zeros()
    return result
