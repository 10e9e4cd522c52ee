"""The rule of the verdict (method 7a): how bent, and whether affine equations can have made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import _names as names
from ..pairs.control import LARGEST_SIZE

CONTROL_WIDTH = 0.02
"""Bend share of split counts, whose truth is 0, that is still trusted."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on; the mappings are entries of verdict.json, None where there is none."""

    linearity: Mapping[str, Any]
    population: Mapping[str, Any] | None
    floor: Mapping[str, Any] | None = None
    shape: Mapping[str, Any] | None = None
    """Tests of products of regulators and of the shape of the variance."""
    kind: str = names.BULK
    kind_known: bool = True
    """False if the kind was guessed from the values."""
    scale_tested: str = "additive"
    """``log`` where a log could not be undone."""
    margin: float = 0.1
    """Largest bend share that counts as affine."""
    control_passed: bool | None = None
    """Whether the split-count control stayed inside its band; None if it was not run."""

    @property
    def directed(self) -> bool:
        """Whether the directions of the pairs were given."""
        return bool(self.linearity["directed"])

    @property
    def share(self) -> Mapping[str, Any]:
        """The entry of the bend share, where one was measured."""
        if self.population is None:
            raise ValueError("no bend share was measured")
        return self.population

    @property
    def measured(self) -> bool:
        """Whether the pairs explain enough of each other for a bend share."""
        return self.population is not None and self.population["low"] is not None


def decide(evidence: Evidence) -> tuple[str, list[str]]:
    """Apply the rule of method 7a.

    Returns
    -------
    The verdict and its reasons: how bent the relations are, then what decides or what is missing.

    Examples
    --------
    >>> share = {"n_pairs": 90, "bend_share": 0.3, "low": 0.2, "high": 0.4, "status": "ok"}
    >>> counts = {"directed": True, "control": None, "n_pairs_tested": 90}
    >>> decide(Evidence(counts, share))[0]
    'contradicted'
    """
    if not evidence.measured:
        return names.UNDECIDED, [_nothing_explained(evidence)]
    reasons = [_size(evidence)]
    blocked = _blocked(evidence)
    if blocked:
        return names.UNDECIDED, reasons + blocked
    if evidence.share["low"] > evidence.margin:
        verdict, why = _bent(evidence)
    elif evidence.share["high"] < evidence.margin:
        verdict, why = _straight(evidence)
    else:
        verdict, why = names.UNDECIDED, f"The interval includes the margin of {evidence.margin:.0%}."
    return verdict, [*reasons, why]


def _size(evidence: Evidence) -> str:
    """The first answer: how bent."""
    share = evidence.share
    given = "the pairs whose direction was given" if evidence.directed else "all pairs of genes"
    return (
        f"{share['bend_share']:z.1%} of what genes explain in each other is bend (95 % interval "
        f"{share['low']:z.1%} to {share['high']:z.1%}, margin {evidence.margin:.0%}), over {given}: "
        f"{share['n_pairs']:,}."
    )


def _bent(evidence: Evidence) -> tuple[str, str]:
    """More than the margin: can affine equations have made it?"""
    if evidence.directed:
        return names.CONTRADICTED, (
            "With the directions given affine equations make no such bend, unless a common cause that is "
            "not measured bends both genes."
        )
    floor = evidence.floor
    if floor is None or not floor["decided"]:
        return names.UNDECIDED, (
            "Whether affine equations with common causes can have made this is not decided: the genes share "
            "no factor that could tell."
        )
    made = (
        f"Affine equations with common causes can make a bend share of {floor['floor']:.1%} where the "
        f"{floor['n_genes']:,} genes compared show {floor['bend_share']:.1%}"
    )
    if floor["evidence"]:
        return names.CONTRADICTED, (
            f"{made}; the excess of {floor['excess']:.1%} is above the {floor['limit']:.1%} that chance "
            "would reach: equations are bent."
        )
    return names.UNDECIDED, (
        f"{made}; an excess of more than {floor['limit']:.1%} would be needed to tell: affine equations can "
        "have made these bends."
    )


def _straight(evidence: Evidence) -> tuple[str, str]:
    """Less than the margin: is it about cells, and is the rest of the criterion met?"""
    if evidence.kind == names.BULK:
        return names.UNDECIDED, (
            "Bulk samples can contradict affine cells but not confirm them: pooling straightens."
        )
    if not evidence.kind_known:
        return names.UNDECIDED, (
            "Nothing in the file marks its rows as single cells, and pools would look the same: pass "
            "--kind single-cell if they are, or --kind bulk."
        )
    shape = evidence.shape
    if shape is None or shape["passed"] is None:
        return names.UNDECIDED, (
            "One-parent curves cannot see products of regulators, nor a spread that bends: these data are "
            "too few to test for both, so nothing is confirmed."
        )
    if not shape["passed"]:
        return names.UNDECIDED, shape["sentence"]
    return names.COMPATIBLE, shape["sentence"]


def _blocked(evidence: Evidence) -> list[str]:
    """Reasons for which nothing can be decided, whatever the size."""
    found = []
    if evidence.scale_tested == "log":
        found.append("The values are logs that were not undone: a bend may come from the log alone.")
    control = evidence.linearity["control"]
    if evidence.control_passed is False and control is not None:
        found.append(
            f"The split-count control rejects {control['rejected']:.1%} of affine truths at "
            f"{control['level']:.0%} (at most {LARGEST_SIZE:.0%} is expected): the test cannot be trusted "
            "on these counts."
        )
    share = None if control is None else control.get("bend_share")
    if share is None or share["low"] is None:
        return found
    if share["low"] > CONTROL_WIDTH or share["high"] < -CONTROL_WIDTH:
        found.append(
            f"Counts split in two, which are affine, show a bend share of {share['estimate']:.1%} "
            f"(0 ± {CONTROL_WIDTH:.0%} is expected): the share cannot be trusted on these counts."
        )
    return found


def _nothing_explained(evidence: Evidence) -> str:
    pairs = evidence.linearity["n_pairs_tested"]
    if not pairs:
        return "No pair could be tested: nothing to judge."
    return (
        f"Summed over all {pairs:,} ordered pairs, what genes explain in each other does not stand out from "
        "chance, so there is no bend share; single strong pairs may. Fewer genes, chosen beforehand, would "
        "tell more (--regulators, --pairs, --network)."
    )
