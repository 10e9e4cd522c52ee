"""What a verdict does not say, and labels of cells that an audit should have used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .. import _names as names
from .._checks import printable
from ..data.expression import Expression
from ..pairs.every_pair import Linearity
from ..triples.every_triple import Triples
from .equations import Equations

FEW_REPLICATES = 15
"""Fewer replicates leave little power among many pairs."""


def limits_of(
    expression: Expression,
    obs: pd.DataFrame,
    result: Linearity,
    equations: Equations | None,
    triples: Triples | None = None,
) -> list[str]:
    """What the verdict does not say."""
    s = result.settings
    limits = [
        "Linearity is judged for the conditional mean of one gene given another; a common cause, or a second "
        "parent related non-linearly to the first, can bend a pair whose own equation is affine.",
        "Affine here means a non-linear share below the margin in the range of these data, not everywhere; "
        "a few far samples can carry a relation, so look at its picture.",
    ]
    if expression.kind == "bulk":
        limits.append(
            "These are pools: composition of cell types and differences between donors can bend or "
            "straighten a relation, and an affine look says nothing about the cells."
        )
    if result.summary["directed"]:
        limits.append(
            "Only the directions given were judged; a wrong direction makes an affine relation "
            "look non-linear."
        )
    if result.summary["test"] == "corrected":
        limits.append(
            "Counts are judged as fractions of a cell's molecules, with multinomial sampling noise removed; "
            "technical noise beyond that is not removed, and for genes with very heavy tails the "
            "smallest p-values are somewhat too small."
        )
        limits.append(
            "The split-count control cannot see what both halves of a count share: amplification or capture "
            "that varies beyond counting (--overdispersion), reads taken for molecules, doublets, and totals "
            "that follow one gene or programme."
        )
    else:
        limits.append("Measurement error of the regulator was not removed; it can bend or flatten any pair.")
    if expression.scale_tested == "log":
        limits.append(
            "The values were tested on a log scale, on which even affine relations look non-linear."
        )
    if 0 < result.design.n_clusters < FEW_REPLICATES:
        limits.append(
            f"With {result.design.n_clusters} replicates only very strong relations stand out among "
            f"{result.summary['n_pairs_tested']:,} pairs; fewer pairs (--regulators, --network) "
            "leave more power."
        )
    labels = unused_labels(expression, obs, s)
    if labels:
        listed = ", ".join(printable(c, 40) for c in labels)
        limits.append(
            f"Cells were not separated by {listed}: mixing cell types or conditions bends affine relations "
            f"(--within {printable(labels[0], 40)})."
        )
    limits.append(
        "Shares and calls are those of the genes that were tested: with more or other genes the "
        "false-discovery cut moves, and so do they."
    )
    if triples is not None and triples.summary["n_screened"]:
        limits += _of_triples(triples)
    if equations is not None:
        limits += _left_out_of_equations(equations, result)
    if equations is not None and result.summary["test"] == "corrected":
        limits.append(
            "The joint equations use the robust test on depth-normalised counts, without noise correction."
        )
    return limits


def _of_triples(triples: Triples) -> list[str]:
    """What the calls of triples do not say."""
    found = triples.summary
    limits = [
        "A separated triple has no residual covariance given one gene: conditional independence asks for "
        "more, and most genes have more than one parent.",
        "A triple can look dependent without an edge: by another common cause, a bend too steep for the "
        "curve in the middle gene, or noise that both ends share (quality of a cell, droplets with two "
        "cells, one far sample).",
    ]
    if found["correction"] == "none":
        limits.append(
            "Measurement error of the middle gene of a triple was not removed; it makes separated genes look "
            "dependent."
        )
    else:
        limits.append(
            "Counts of the middle gene are conditioned on along a parabola: two ends that follow the same "
            "sharp switch look dependent; technical variation beyond counting does the same."
        )
    possible = int(((triples.genes["status"] == names.OK) & (triples.genes["n_ends"] >= 2)).sum())
    if found["n_middle"] < possible:
        limits.append(
            f"Triples were screened for {found['n_middle']:,} of {possible:,} middle genes, drawn by the "
            "seed (--triples all screens the rest)."
        )
    return limits


def _left_out_of_equations(equations: Equations, result: Linearity) -> list[str]:
    """Levels that are too small for a gene with several parents."""
    used = equations.table.loc[equations.table["status"] == names.OK, "n"]
    n = sum(len(level.rows) for level in result.design.levels)
    if used.empty or int(used.min()) == n:
        return []
    return [
        "Levels with too few samples for all parents of a gene were left out of its joint equation: "
        f"{used.min():,} to {used.max():,} of {n:,} samples were used."
    ]


_LABEL_WORDS = (
    "type",
    "cluster",
    "line",
    "leiden",
    "louvain",
    "annot",
    "stim",
    "condition",
    "treat",
    "label",
)


_DONOR_WORDS = ("donor", "patient", "individual", "subject", "replicate", "sample")


def unused_labels(expression: Expression, obs: pd.DataFrame, settings: Mapping[str, Any]) -> list[str]:
    """Columns of obs that look like labels of cells and were not used."""
    used = {*settings["within"], *settings["covariates"], settings["replicate"]}
    if expression.kind != "single-cell":
        return []
    found = []
    for column in obs.columns:
        values = obs[column]
        word = any(w in str(column).lower() for w in _LABEL_WORDS)
        text = not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)
        if word and text and column not in used and 2 <= values.nunique() <= max(50, len(obs) // 50):
            found.append(str(column))
    return found


def unused_donors(expression: Expression, obs: pd.DataFrame, settings: Mapping[str, Any]) -> list[str]:
    """Columns of obs that look like donors of cells and were not used."""
    used = {*settings["within"], *settings["covariates"], settings["replicate"]}
    if expression.kind != "single-cell" or settings["replicate"] is not None:
        return []
    return [
        str(column)
        for column in obs.columns
        if column not in used
        and any(word in str(column).lower() for word in _DONOR_WORDS)
        and 2 <= obs[column].nunique() <= len(obs) // 10
    ]


def label_warnings(expression: Expression, obs: pd.DataFrame, result: Linearity) -> list[str]:
    """A sentence for each column of labels that was not used."""
    within = [printable(name, 40) for name in result.settings["within"]]
    labels = [printable(c, 40) for c in unused_labels(expression, obs, result.settings)]
    return [
        f"obs column {c} labels cells and was not used; consider --within {','.join([*within, c])}"
        for c in labels
    ]
