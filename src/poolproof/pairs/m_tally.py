"""Counts over calls: how many pairs of each kind, per gene, and how many contradict the affine model.

An unordered pair is compatible with affine equations if either direction is; it contradicts them if both
directions are called non-linear. The share that does is a ratio of sums over pairs that share genes, so
its interval comes from leaving out one gene at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import as_slice
from .screening import AFFINE, INCONCLUSIVE, NONLINEAR, UNTESTED, Columns, Screen

Z_INTERVAL = 1.959963984540054
_ROWS = 512


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts over all tested pairs."""

    n_tested: int
    n_associated: int
    n_nonlinear: int
    n_affine: int
    n_inconclusive: int
    n_unordered: int
    """Associated unordered pairs with both directions tested; where the direction is given, the
    associated ordered pairs."""
    n_unordered_affine: int
    """Of those, affine by equivalence in at least one direction (or in the direction given)."""
    share_contradicting: dict[str, float | None]
    by_gene: dict[str, np.ndarray]
    """The counting columns of the gene table."""


def tally_screen(result: Screen, n_genes: int, directed: bool) -> Tally:
    """Count over a screen; ``directed`` where the regulators were given."""
    as_regulator = np.zeros((4, n_genes), dtype=np.int64)
    as_target = np.zeros((4, n_genes), dtype=np.int64)
    n_tested = 0
    for low in range(0, len(result.regulators), _ROWS):
        calls = result.calls[low : low + _ROWS]
        n_tested += int((calls != UNTESTED).sum())
        for i, wanted in enumerate(_kinds(calls)):
            as_regulator[i, result.regulators[low : low + _ROWS]] += wanted.sum(axis=1)
            as_target[i, result.targets] += wanted.sum(axis=0)
    if directed:
        associated, contradicting = as_regulator[0] + as_target[0], as_regulator[1] + as_target[1]
        n_affine = int(as_regulator[2].sum())
    else:
        associated, contradicting, n_affine = _unordered(result, n_genes)
    return _count_up(n_tested, as_regulator, as_target, associated, contradicting, n_affine)


def tally_list(columns: Columns, n_genes: int) -> Tally:
    """Count over a list of ordered pairs, whose direction is given."""
    calls = columns["call"]
    as_regulator, as_target = (
        np.stack([np.bincount(columns[end][kind], minlength=n_genes) for kind in _kinds(calls)])
        for end in ("regulator", "target")
    )
    associated, contradicting = as_regulator[0] + as_target[0], as_regulator[1] + as_target[1]
    n_tested = int((calls != UNTESTED).sum())
    return _count_up(n_tested, as_regulator, as_target, associated, contradicting, int(as_regulator[2].sum()))


def _kinds(calls: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Masks: associated, non-linear, affine, inconclusive."""
    return calls >= INCONCLUSIVE, calls == NONLINEAR, calls == AFFINE, calls == INCONCLUSIVE


def _unordered(result: Screen, n_genes: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Per gene, associated and contradicting unordered pairs; and how many are affine either way."""
    genes, row, column = np.intersect1d(result.regulators, result.targets, return_indices=True)
    associated = np.zeros(n_genes, dtype=np.int64)
    contradicting = np.zeros(n_genes, dtype=np.int64)
    n_affine = 0
    rows, columns = as_slice(row), as_slice(column)
    for low in range(0, len(genes), _ROWS):
        part = slice(low, low + _ROWS)
        forward = result.calls[as_slice(row[part])][:, columns]
        backward = np.ascontiguousarray(result.calls[:, as_slice(column[part])][rows].T)
        both = (forward != UNTESTED) & (backward != UNTESTED)
        linked = both & ((forward >= INCONCLUSIVE) | (backward >= INCONCLUSIVE))
        associated[genes[part]] = linked.sum(axis=1)
        contradicting[genes[part]] = ((forward == NONLINEAR) & (backward == NONLINEAR)).sum(axis=1)
        n_affine += int((both & ((forward == AFFINE) | (backward == AFFINE))).sum())
    return associated, contradicting, n_affine // 2


def _count_up(
    n_tested: int,
    as_regulator: np.ndarray,
    as_target: np.ndarray,
    associated: np.ndarray,
    contradicting: np.ndarray,
    n_affine: int,
) -> Tally:
    kinds = ("", "nonlinear_", "affine_", "inconclusive_")
    by_gene: dict[str, Any] = {}
    for end, counts in (("regulator", as_regulator), ("target", as_target)):
        by_gene |= {f"n_{kind}as_{end}": counts[i] for i, kind in enumerate(kinds)}
    by_gene["n_contradicting"] = contradicting
    totals = as_regulator.sum(axis=1)
    return Tally(
        n_tested=n_tested,
        n_associated=int(totals[0]),
        n_nonlinear=int(totals[1]),
        n_affine=int(totals[2]),
        n_inconclusive=int(totals[3]),
        n_unordered=int(associated.sum()) // 2,
        n_unordered_affine=n_affine,
        share_contradicting=jackknife_share(contradicting, associated),
        by_gene=by_gene,
    )


def jackknife_share(part: np.ndarray, whole: np.ndarray) -> dict[str, float | None]:
    """Share of pairs, with a 95 % interval by leaving out one gene at a time.

    Parameters
    ----------
    part, whole
        Pairs of each gene that count and that could, shape ``(n_genes,)``; each pair stands at both its
        genes.

    Returns
    -------
    ``estimate``, ``low`` and ``high``; None where no pair could count. Where (nearly) all pairs agree,
    leaving out genes shows (nearly) no spread: the interval always includes the exact binomial one of
    no event, or of nothing but events, in as many independent pairs as there can be, two genes to each.

    Examples
    --------
    >>> jackknife_share(np.array([1, 1, 0, 0]), np.array([2, 1, 2, 1]))["estimate"]
    0.3333333333333333
    """
    total_part, total = part.sum() / 2, whole.sum() / 2
    if total == 0:
        return {"estimate": None, "low": None, "high": None}
    estimate = total_part / total
    used = whole > 0
    rest = total - whole[used]
    if used.sum() < 3 or (rest <= 0).any():
        return {"estimate": float(estimate), "low": 0.0, "high": 1.0}
    left_out = (total_part - part[used]) / rest
    n = int(used.sum())
    error = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    reach = 1 - 0.025 ** (1 / min(total, n / 2))
    low = min(estimate - Z_INTERVAL * error, 1 - reach)
    high = max(estimate + Z_INTERVAL * error, reach)
    return {"estimate": float(estimate), "low": float(max(low, 0.0)), "high": float(min(high, 1.0))}
