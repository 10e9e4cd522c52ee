"""From the rows of the study to its statements: a table of data sets with intervals, controls, sentences.

An interval joins two sources of chance. *Genes*: leaving out one gene at a time, since pairs that share a
gene hang together. *Samples*: leaving out one group of samples at a time (whole donors, studies, projects),
with few genes; the error of their share is carried over on the logit scale. Each half of the interval is the
root of the sum of both squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..pairs.table import Z_INTERVAL, jackknife_share
from ..verdict.decision import CONTROL_WIDTH
from .controls import AFFINE, HILL, PERMUTED
from .findings import findings_of
from .plan import Entry, study_settings

PARTS_OF_PAIRS = ("better_direction", "direct", "direct_better_direction")
"""Parts of the pairs whose bend share an audit measures beside that of all."""
KINDS = {"share_nonlinear": "n_nonlinear", "share_affine": "n_affine", "share_inconclusive": "n_inconclusive"}
"""Shares of ordered pairs, and the columns of genes.parquet that they are counted from."""


def summarise(
    entries: Sequence[Entry],
    table: pd.DataFrame,
    results: Mapping[tuple[str, str], Mapping[str, Any]],
    genes: Mapping[str, pd.DataFrame],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """The content of study.json, but for who made it.

    Parameters
    ----------
    entries
        Data sets, in order.
    table
        All rows; columns ``poolproof._names.STUDY_COLUMNS``.
    results
        What each step gave, by data set and step: ``notes``, ``seconds``; of audits also ``verdict``.
    genes
        The gene table of each audit.
    left_out
        Data sets that are not in the study, and why.
    """
    datasets = [_dataset(entry, table, results[entry.name, "audit"], genes[entry.name]) for entry in entries]
    controls = controls_of(table, {row["name"]: row["n_independent"] for row in datasets})
    return {
        "datasets": datasets,
        "controls": controls,
        "findings": findings_of(datasets, controls, table),
        "left_out": dict(left_out),
        "notes": [
            f"{name}, {step}: {note}"
            for (name, step), found in results.items()
            if step != "audit"
            for note in found["notes"]
        ],
        "seconds": {name: round(sum(found["seconds"] for (of, _), found in results.items() if of == name), 1)
                    for name in dict.fromkeys(of for of, _ in results)},
    }  # fmt: skip


def _dataset(
    entry: Entry, table: pd.DataFrame, found: Mapping[str, Any], genes: pd.DataFrame
) -> dict[str, Any]:
    """A row of the table of data sets."""
    verdict, data = found["verdict"], entry.dataset
    linearity, facts, triples = verdict["linearity"], verdict["data"], verdict["triples"]
    mine = table[table["dataset"] == entry.name]
    return {
        "name": entry.name,
        "label": entry.label,
        "group": entry.group,
        "title": data.title,
        "organism": data.organism,
        "assay": data.assay,
        "licence": data.licence,
        "citation": data.citation,
        "n_obs": facts["n_obs_tested"],
        "n_independent": found["n_independent"],
        "n_genes": facts["n_genes"],
        "scale": facts["scale"],
        "scale_tested": facts["scale_tested"],
        "within": facts["within"],
        "replicate": facts["replicate"],
        "covariates": facts["covariates"],
        "unit": entry.unit,
        "test": linearity["test"],
        "bend_share": bend_share_of(verdict["population"], mine),
        "bend_parts": parts_of(verdict["population"]),
        "bend_levels": levels_of(verdict["population"]),
        "floor": floor_of(verdict["floor"]),
        "control_share": _control_share(linearity["control"]),
        "moved": _moved(verdict["sensitivity"]),
        "n_tested": linearity["n_pairs_tested"],
        "n_associated": linearity["n_associated"],
        **{share: _share_of_pairs(share, counted, genes, mine) for share, counted in KINDS.items()},
        "share_contradicting": _share_contradicting(linearity["share_contradicting"], mine),
        "detectable_share": linearity["detectable_share"],
        "control": linearity["control"],
        "verdict": verdict["verdict"],
        "reasons": verdict["reasons"],
        "next_steps": verdict["next_steps"],
        "n_separated": None if triples is None else triples["n_separated"],
        "share_distorted": None if triples is None else triples["share_distorted"],
        "n_dependent": None if triples is None else triples["n_dependent"],
        "share_hidden": None if triples is None else triples["share_hidden"],
        "notes": found["notes"],
    }


NO_SHARE: dict[str, float | None] = {"estimate": None, "low": None, "high": None}


def bend_share_of(share: Mapping[str, Any] | None, mine: pd.DataFrame) -> dict[str, float | None]:
    """The bend share of an audit; its interval is widened where leaving out whole groups moves it further.

    Its own interval has the chance of samples already, but takes them as exchangeable, which the studies of a
    compendium are not: so the wider of both counts, and not their sum.
    """
    if share is None or share["low"] is None:
        return dict(NO_SHARE)
    error = jackknife_error(mine.loc[mine["step"] == "groups", "bend_share"].dropna().to_numpy())
    estimate, reach = share["bend_share"], Z_INTERVAL * error
    return {
        "estimate": estimate,
        "low": min(share["low"], estimate - reach),
        "high": max(share["high"], estimate + reach),
    }


def parts_of(share: Mapping[str, Any] | None) -> dict[str, dict[str, float | None]]:
    """Bend shares of parts of the pairs: the less bent direction, direct pairs."""
    found = {}
    for part in PARTS_OF_PAIRS:
        of = None if share is None else share[part]
        found[part] = (
            dict(NO_SHARE)
            if of is None
            else {"estimate": of["bend_share"]} | {end: of[end] for end in ("low", "high")}
        )
    return found


def levels_of(share: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Bend share of each level in which genes explain enough of each other to have one."""
    levels = {} if share is None else share["levels"]
    return {
        name: {"estimate": of["bend_share"], "low": of["low"], "high": of["high"]}
        for name, of in levels.items()
        if of["low"] is not None
    }


def floor_of(floor: Mapping[str, Any] | None) -> dict[str, float | bool | None]:
    """What affine equations with common causes can make, beside the share of the same genes."""
    columns = ("bend_share", "floor", "excess", "limit")
    if floor is None or not floor["decided"]:
        return dict.fromkeys((*columns, "evidence"), None)
    return {name: floor[name] for name in (*columns, "evidence")}


def _control_share(control: Mapping[str, Any] | None) -> dict[str, float | None]:
    """The bend share of counts split in two."""
    share = None if control is None else control.get("bend_share")
    return dict(NO_SHARE) if share is None else {name: share[name] for name in NO_SHARE}


def _moved(sensitivity: Sequence[Mapping[str, Any]] | None) -> float | None:
    """How far what is technical moves the share at most, up or down."""
    moves = [
        row["bend_share"] - row["as_given"]
        for row in sensitivity or []
        if row["bend_share"] is not None and row["as_given"] is not None
    ]
    return max(moves, key=abs) if moves else None


def _share_of_pairs(
    share: str, counted: str, genes: pd.DataFrame, mine: pd.DataFrame
) -> dict[str, float | None]:
    """A share of the associated ordered pairs, with its interval."""
    part, whole = (
        (genes[f"{of}_as_regulator"] + genes[f"{of}_as_target"]).to_numpy() for of in (counted, "n")
    )
    return with_samples(jackknife_share(part, whole), mine, share)


def _share_contradicting(found: Mapping[str, float | None], mine: pd.DataFrame) -> dict[str, float | None]:
    return with_samples(dict(found), mine, "share_contradicting")


def with_samples(found: dict[str, float | None], mine: pd.DataFrame, share: str) -> dict[str, float | None]:
    """Widen an interval over genes by the chance of samples, from the rows with a group left out."""
    estimate, low, high = found["estimate"], found["low"], found["high"]
    if estimate is None or low is None or high is None:
        return found
    left_out = mine.loc[mine["step"] == "groups", share].dropna().to_numpy()
    error = jackknife_error(left_out)
    few = float(left_out.mean()) if len(left_out) else 0.0
    if 0 < few < 1 and 0 < estimate < 1:  # the same error of the logit
        error *= min(estimate * (1 - estimate) / (few * (1 - few)), 1.0)
    reach = Z_INTERVAL * error
    return {
        "estimate": estimate,
        "low": max(estimate - float(np.hypot(estimate - low, reach)), 0.0),
        "high": min(estimate + float(np.hypot(high - estimate, reach)), 1.0),
    }


def jackknife_error(left_out: np.ndarray) -> float:
    """Standard error from estimates with one group left out each (delete-a-group jackknife, Kott 2001).

    Examples
    --------
    >>> round(jackknife_error(np.array([1.0, 2.0, 3.0])), 3)
    1.155
    """
    g = len(left_out)
    return float(np.sqrt((g - 1) / g * ((left_out - left_out.mean()) ** 2).sum())) if g > 1 else 0.0


# --- controls ----------------------------------------------------------------------------------------------


def controls_of(table: pd.DataFrame, n_independent: Mapping[str, int]) -> list[dict[str, Any]]:
    """Each control of each data set: what was found, what is allowed, and whether it is inside.

    A share of pairs is inside if it is no further from its bound than chance takes it: the 97.5 % limit of
    the binomial law; the bend share of affine relations, if its interval reaches into 0 +- CONTROL_WIDTH. A
    Hill relation is asked for where there are independent samples enough.
    """
    settings, bands = study_settings()["controls"], study_settings()["bands"]
    found = []
    for row in table[table["step"] == "controls"].to_dict("records"):
        n, k = row["n_tested"], row["n_associated"]
        n_nonlinear = round(row["share_nonlinear"] * k) if k else 0
        base = {
            name: row[name]
            for name in (
                *("dataset", "n_tested", "n_associated", "share_rejected", "share_nonlinear"),
                *("bend_share", "low", "high"),
            )
        }
        base["control"] = row["setting"]
        if row["setting"] == PERMUTED:
            base |= {"bound": bands["associated"], "inside": k <= most(n, bands["associated"])}
        elif row["setting"] == AFFINE:
            size = round(row["share_rejected"] * n) if n else 0
            inside = n_nonlinear <= most(k, bands["false_nonlinear"]) and size <= most(n, bands["rejected"])
            inside &= not (row["low"] > CONTROL_WIDTH or row["high"] < -CONTROL_WIDTH)
            base |= {"bound": bands["false_nonlinear"], "inside": inside}
        elif row["setting"] == HILL:
            asked = n > 0 and n_independent[row["dataset"]] >= settings["n_found"]
            inside = n_nonlinear >= n - most(n, 1 - bands["found"])
            base |= {"share_found": n_nonlinear / n if n else None, "bound": bands["found"]}
            base |= {"inside": inside if asked else None}
        found.append(base)
    return found


def most(n: int, rate: float) -> int:
    """Largest number of n that chance gives at a rate, at 97.5 %.

    Examples
    --------
    >>> most(100, 0.05)
    10
    """
    return int(stats.binom.ppf(0.975, n, rate)) if n else 0
