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
from .controls import AFFINE, HILL, PERMUTED
from .findings import findings_of
from .plan import Entry, study_settings

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
        "n_tested": linearity["n_pairs_tested"],
        "n_associated": linearity["n_associated"],
        **{share: _share_of_pairs(share, counted, genes, mine) for share, counted in KINDS.items()},
        "share_contradicting": _share_contradicting(linearity["share_contradicting"], mine),
        "detectable_share": linearity["detectable_share"],
        "control": linearity["control"],
        "verdict": verdict["verdict"],
        "n_separated": None if triples is None else triples["n_separated"],
        "share_distorted": None if triples is None else triples["share_distorted"],
        "n_dependent": None if triples is None else triples["n_dependent"],
        "share_hidden": None if triples is None else triples["share_hidden"],
        "notes": found["notes"],
    }


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

    A share is inside if it is no further from its bound than chance takes it: the 97.5 % limit of the
    binomial law. A Hill relation is asked for where there are independent samples enough.
    """
    settings, bands = study_settings()["controls"], study_settings()["bands"]
    found = []
    for row in table[table["step"] == "controls"].to_dict("records"):
        n, k = row["n_tested"], row["n_associated"]
        n_nonlinear = round(row["share_nonlinear"] * k) if k else 0
        base = {
            name: row[name]
            for name in ("dataset", "n_tested", "n_associated", "share_rejected", "share_nonlinear")
        }
        base["control"] = row["setting"]
        if row["setting"] == PERMUTED:
            base |= {"bound": bands["associated"], "inside": k <= most(n, bands["associated"])}
        elif row["setting"] == AFFINE:
            size = round(row["share_rejected"] * n) if n else 0
            inside = n_nonlinear <= most(k, bands["false_nonlinear"]) and size <= most(n, bands["rejected"])
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
