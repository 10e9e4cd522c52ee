"""What to do next, chosen by what is the case: one sentence for each thing that would help."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .. import _names as names
from .._checks import printable
from ..pairs.needed import samples_needed
from .decision import Evidence

MANY = 1_000_000
"""More samples than anyone has: what would need more is said not to be in reach."""

Z95 = 1.96
BEST_KNOWN = 1.25
"""Ratio of two numbers of samples up to which one is said."""

PRODUCTS = (
    "Regulators act together: their products count, and no pool keeps such equations, however straight the "
    "curve of each looks. Do not read a graph learned from pools of these cells as one about the cells; "
    "perturb regulators alone and together."
)
SPREADS = (
    "The spread of targets bends with their regulators, and pools do not keep that. Look whether groups of "
    "cells differ in it (--within); else do not read a graph learned from pools of these cells as one about "
    "the cells."
)
DEEP = 15
"""Counts a cell from which a gene tells bent equations from common causes (method 7a)."""


def next_steps(
    evidence: Evidence,
    verdict: str,
    population: pd.DataFrame,
    *,
    unused_labels: Sequence[str] = (),
    within: Sequence[str] = (),
    untested: Mapping[str, int] | None = None,
    counts_elsewhere: Sequence[str] = (),
    n_affine: int = 0,
    mean_counts: np.ndarray | None = None,
) -> list[str]:
    """Say what would settle a verdict, or what follows from it.

    Parameters
    ----------
    evidence
        What the verdict rests on.
    verdict
        One of ``_names.VERDICTS``.
    population
        Bend shares of sets of pairs; columns as ``_names.POPULATION_COLUMNS``.
    unused_labels
        Columns of obs that label cells and were not used.
    within
        Columns of obs whose levels were kept apart.
    untested
        Where pairs were listed: why some of them have no test, and how many of each; None: all pairs.
    counts_elsewhere
        Names of layers, or ``raw``, that hold counts.
    n_affine
        Pairs that are affine by equivalence.
    mean_counts
        Mean counts of the genes tested, where values are counts.

    Returns
    -------
    Sentences, what should be done first at the front.
    """
    steps = _other_values(evidence, counts_elsewhere)
    if unused_labels:
        label = printable(unused_labels[0], 40)
        option = ",".join([*(printable(name, 40) for name in within), label])
        steps.append(
            f"Audit inside levels of {label} (--within {option}): mixed cell types or conditions bend "
            "relations that are affine in each."
        )
    if evidence.scale_tested == "log":
        return steps  # nothing else can be said before that
    if verdict == names.CONTRADICTED:
        steps += _after_contradiction(evidence, population, n_affine)
    elif verdict == names.COMPATIBLE:
        steps.append(
            "Graphs learned from pools of these cells may be read as graphs of the cells, within the limits "
            "below; directions need non-Gaussian cells or interventions."
        )
    elif evidence.measured:
        steps += _to_settle(evidence, mean_counts)
    elif untested is None:
        steps.append(
            "Use more samples or cells, genes that vary together, or fewer genes (--regulators, --network)."
        )
    else:
        steps.append("Use more samples or cells, deeper measured, or list genes that vary together.")
        steps += [
            f"Of the listed pairs {n:,} {'has' if n == 1 else 'have'} no test: {reason.replace('_', ' ')}."
            for reason, n in untested.items()
        ]
    return steps


def _other_values(evidence: Evidence, counts_elsewhere: Sequence[str]) -> list[str]:
    if evidence.scale_tested != "log":
        return []
    if counts_elsewhere:
        layer = printable(counts_elsewhere[0], 40)
        return [f"Audit the counts instead of the logs: --layer {layer}."]
    return ["Say how the log goes back (--log-base and --log-offset), or give the counts."]


def _after_contradiction(evidence: Evidence, population: pd.DataFrame, n_affine: int) -> list[str]:
    bend = "batches, donors, composition and a log that was undone wrongly bend relations too"
    steps = [
        f"First rule out what else bends: {bend}; repeat with --within, --replicate or --covariates where "
        "there are labels.",
        "Do not read a graph learned from pools of these data as one about the cells.",
    ]
    safe = _straight_regulators(evidence, population)
    if safe:
        named = ", ".join(printable(name, 30) for name in safe[:5])
        more = f" and {len(safe) - 5:,} more" if len(safe) > 5 else ""
        steps.append(
            f"Edges to keep: those of regulators whose own bend share lies below the margin: {named}{more} "
            "(population.parquet)."
        )
    if n_affine:
        are = "pair is" if n_affine == 1 else "pairs are"
        steps.append(f"{n_affine:,} {are} affine by equivalence (call affine in pairs.parquet).")
    steps.append("For the other edges perturb the regulator: an intervention needs no linearity.")
    return steps


def _straight_regulators(evidence: Evidence, population: pd.DataFrame) -> list[str]:
    rows = population[(population["set"] == "regulator") & (population["status"] == names.OK)]
    rows = rows[rows["high"] < evidence.margin].sort_values(["high", "name"])
    return rows["name"].astype(str).tolist()


def _to_settle(evidence: Evidence, mean_counts: np.ndarray | None) -> list[str]:
    share = evidence.share
    if share["low"] > evidence.margin:
        return [
            "The relations are bent, so pools will distort what rests on them; only their cause is open. "
            "Name the regulators (--regulators, --network) or measure them: with directions given the share "
            "decides by itself. Else perturb: a knock-out tells a bent equation from a common cause.",
            *_too_shallow(mean_counts, evidence.kind),
        ]
    if share["high"] < evidence.margin:
        if evidence.kind == names.BULK:
            return ["Audit single cells of the same tissue: only cells can confirm what pools look like."]
        if _above(evidence, "product"):
            return [PRODUCTS]
        if _above(evidence, "spread"):
            return [SPREADS]
        return ["Add cells, or deeper counts, until products of regulators and spreads can be tested."]
    return [_how_many(evidence)]


def _too_shallow(mean_counts: np.ndarray | None, kind: str) -> list[str]:
    """Where most genes have too few counts for the floor."""
    if mean_counts is None or np.mean(mean_counts < DEEP) < 0.5:
        return []
    row = "cell" if kind == names.SINGLE_CELL else "sample"
    return [
        f"{int((mean_counts < DEEP).sum()):,} of {len(mean_counts):,} genes have fewer than {DEEP} counts a "
        f"{row} and hardly tell bent equations from common causes, however many the {row}s: sequence deeper, "
        "or audit the most counted genes alone."
    ]


def _above(evidence: Evidence, what: str) -> bool:
    """Whether a test of the shape shows more than the margin, of known regulators or of hidden ones."""
    if evidence.shape is None:
        return False
    lows = [evidence.shape[name]["low"] for name in (what, f"hidden_{what}")]
    return any(low is not None and low > evidence.margin for low in lows)


def _how_many(evidence: Evidence) -> str:
    """How many samples would move the interval off the margin, if the share stays where it is."""
    share = evidence.share
    distance = abs(share["bend_share"] - evidence.margin)
    half = (share["high"] - share["low"]) / 2
    what = (
        "replicates"
        if share["axis"] == "replicates"
        else ("cells" if evidence.kind == names.SINGLE_CELL else "samples")
    )
    error = share.get("standard_error") or half / Z95
    if distance <= 0:
        return f"The share lies at the margin: more {what} will not settle on which side."
    of_samples = share.get("samples_error") or error
    least, most = samples_needed(share["n_axis"], error, of_samples, distance / (half / error))
    if least > MANY:
        return f"The share lies at the margin: more {what} will not settle on which side."
    now = f"{what} like these would settle it (now {share['n_axis']:,}), if the share stays where it is"
    if _round_up(most) <= BEST_KNOWN * _round_up(least):
        return f"About {_round_up(least):,} {now} and genes are as many and as unlike."
    of_genes = 1 - (of_samples / error) ** 2
    reach = f"At least {_round_up(least):,}"
    if most <= MANY:
        reach = f"{_round_up(least):,} to {_round_up(most):,}"
    return (
        f"{reach} {now}; {of_genes:.0%} of the variance of the interval comes from how genes differ, and "
        f"more {what} may leave that as it is: genes of more modules (now {share['n_modules']:,}) would "
        "narrow it too."
    )


def _round_up(n: float) -> float:
    """The next number with two digits."""
    if n > MANY:
        return math.inf
    step = 10 ** max(int(math.log10(n)) - 1, 0)
    return int(math.ceil(n / step - 1e-9) * step)
