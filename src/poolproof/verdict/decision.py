"""The rule of the verdict (method 7.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import _names as names
from ..pairs.control import LARGEST_SIZE

MIN_ASSOCIATED = 100
"""Associated pairs that ``compatible`` needs."""
MIN_AFFINE = 0.5
"""Share of them that must be affine by equivalence."""


def decide(
    summary: Mapping[str, Any],
    *,
    kind: str,
    scale_tested: str,
    kind_known: bool = True,
    max_contradicting: float = 0.05,
    control_passed: bool | None = None,
) -> tuple[str, list[str]]:
    """Apply the rule of method 7.5 to the counts of an analysis.

    Parameters
    ----------
    summary
        The entry ``linearity`` of verdict.json.
    kind
        ``bulk`` or ``single-cell``: bulk can contradict, it cannot confirm.
    kind_known
        False if the kind was guessed from the values: nothing can be confirmed then.
    scale_tested
        ``log`` where a log could not be undone: nothing can be decided then.
    max_contradicting
        Largest share of associated pairs that may contradict.
    control_passed
        Whether the split-count control stayed inside its band; None if it was not run.

    Returns
    -------
    The verdict and its reasons.

    Examples
    --------
    >>> counts = {"n_associated": 0, "n_unordered": 0, "n_unordered_affine": 0, "directed": False,
    ...           "n_pairs_tested": 90, "detectable_share": None, "control": None,
    ...           "share_contradicting": {"estimate": None, "low": None, "high": None}}
    >>> decide(counts, kind="bulk", scale_tested="additive")[0]
    'inconclusive'
    """
    share, n = summary["share_contradicting"], summary["n_unordered"]
    reasons: list[str] = []
    verdict = names.UNDECIDED
    if summary["n_associated"] == 0:
        reasons.append(f"None of {summary['n_pairs_tested']:,} tested pairs is associated: nothing to judge.")
        return verdict, reasons
    if n == 0:
        reasons.append(
            f"{summary['n_associated']:,} ordered pairs are associated, but of none could both directions be "
            "tested: nothing to judge."
        )
        return verdict, [*reasons, *_power_sentence(summary)]
    what = (
        "associated pairs are non-linear"
        if summary["directed"]
        else ("associated unordered pairs are non-linear in both directions")
    )
    affine = summary["n_unordered_affine"] / n
    reasons.append(
        f"{share['estimate']:.1%} of {n:,} {what} (95 % interval {share['low']:.1%} to {share['high']:.1%}, "
        f"by leaving out genes; limit {max_contradicting:.0%})."
    )
    if share["low"] > max_contradicting:
        verdict = names.CONTRADICTED
    elif share["high"] < max_contradicting:
        reasons.append(
            f"{affine:.1%} of the associated pairs are affine by equivalence"
            f"{'' if summary['directed'] else ', in at least one direction'}."
        )
        if kind == "bulk":
            reasons.append(
                "Bulk samples can contradict affine cells but not confirm them: pooling straightens."
            )
        elif not kind_known:
            reasons.append(
                "Nothing in the file marks its rows as single cells, and pools would look the same: pass "
                "--kind single-cell if they are, or --kind bulk."
            )
        elif n < MIN_ASSOCIATED:
            reasons.append(
                f"Only {n:,} associated pairs; {MIN_ASSOCIATED} are needed to call data compatible."
            )
        elif affine < MIN_AFFINE:
            reasons.append(
                f"At least {MIN_AFFINE:.0%} must be affine by equivalence to call data compatible."
            )
        else:
            verdict = names.COMPATIBLE
    else:
        reasons.append(f"The interval includes the limit of {max_contradicting:.0%}.")
    if scale_tested == "log" and verdict != names.UNDECIDED:
        verdict = names.UNDECIDED
    if scale_tested == "log":
        reasons.append("The values are logs that were not undone: a bend may come from the log alone.")
    if control_passed is False:
        verdict = names.UNDECIDED
        control = summary["control"]
        reasons.append(
            f"The split-count control rejects {control['rejected']:.1%} of affine truths at "
            f"{control['level']:.0%} (at most {LARGEST_SIZE:.0%} is expected): the test cannot be trusted "
            "on these counts."
        )
    if verdict == names.UNDECIDED:
        reasons += _power_sentence(summary)
    return verdict, reasons


def _power_sentence(summary: Mapping[str, Any]) -> list[str]:
    if summary["detectable_share"] is None:
        return []
    return [
        f"With these samples a non-linear share of {summary['detectable_share']:.0%} would be found with "
        "power 0.8 in a typical associated pair; smaller bends would be missed."
    ]
