"""What the study found: one sentence for each of its pictures, every number from its rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..pairs.population_sets import STRENGTH_NAMES
from .controls import AFFINE, HILL
from .plan import study_settings

GROUPS = ("bulk", "single-cell")
"""The two sides of the comparison; pools of cell lines count as neither."""

LABELS = {
    "within": "cell types or batches apart",
    "covariates": "covariates projected out",
    "replicate": "donors as the independent unit",
}
"""What the registry may say of the samples, in words."""

PARTS = {
    "better_direction": "in the less bent direction",
    "direct": "of direct pairs",
    "direct_better_direction": "of direct pairs in the less bent direction",
}
"""Parts of the pairs whose bend share is measured, in words."""

STRONG = 0.4
"""Where the bins of strong relations begin."""

Controls = Sequence[Mapping[str, Any]]


def findings_of(
    datasets: Sequence[Mapping[str, Any]], controls: Controls, table: pd.DataFrame
) -> dict[str, str]:
    """Sentences by the name of their picture; without rows no sentence.

    Parameters
    ----------
    datasets, controls
        Entries of study.json.
    table
        All rows of study.parquet.
    """
    found: dict[str, str | None] = {
        "share": _share(datasets),
        "floor": _floor(datasets),
        "direction": _direction(datasets),
        "calls": _calls(datasets),
    }
    found |= {name: sentence(table) for name, sentence in SENTENCES.items()}
    found["controls"] = _controls(controls)
    said = {name: text for name, text in found.items() if text}
    return {name: _of_one(text) for name, text in said.items()} if len(datasets) == 1 else said


def _of_one(sentence: str) -> str:
    """A sentence about one data set, of whose numbers no medians are taken."""
    return re.sub(r",? \(?(?:a median|medians)\b,?", "", sentence)


def medians(rows: pd.DataFrame, column: str = "share_nonlinear") -> dict[str, float]:
    """Median over the data sets of each group; of a data set the mean of its rows."""
    by_dataset = rows.groupby(["group", "dataset"], observed=True)[column].mean().dropna()
    return {str(group): float(value) for group, value in by_dataset.groupby("group").median().items()}


def _each_group(text: Callable[[str], str | None]) -> str | None:
    """A part of a sentence for both groups, joined; None where neither has one."""
    parts = [
        f"{part} {'in bulk' if group == 'bulk' else 'in single cells'}"
        for group in GROUPS
        if (part := text(group))
    ]
    return " and ".join(parts) or None


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} %"


def _between(rows: pd.DataFrame, settings: Mapping[str, str], column: str = "share_nonlinear") -> str | None:
    """Medians of some settings, for both groups: only data sets that have them all."""
    rows = rows[rows["setting"].isin(settings)].dropna(subset=column)
    n = rows.groupby("dataset")["setting"].nunique()
    rows = rows[rows["dataset"].isin(n.index[n == len(settings)])]
    found = {setting: medians(rows[rows["setting"] == setting], column) for setting in settings}

    def text(group: str) -> str | None:
        if any(group not in of for of in found.values()):
            return None
        return ", ".join(f"{_percent(found[setting][group])} {word}" for setting, word in settings.items())

    return _each_group(text)


def _bend_and_calls(rows: pd.DataFrame, settings: Mapping[str, str]) -> str | None:
    """Medians of some settings: of the bend share, and of the share of calls."""
    share, calls = (_between(rows, settings, column) for column in ("bend_share", "share_nonlinear"))
    said = [f"bend share {share}" if share else "", f"called non-linear {calls}" if calls else ""]
    return "; ".join(part for part in said if part) or None


def _known(datasets: Sequence[Mapping[str, Any]], group: str) -> list[Mapping[str, Any]]:
    """Data sets of a group in which genes explain enough of each other for a bend share."""
    return [row for row in datasets if row["group"] == group and row["bend_share"]["estimate"] is not None]


def _n_sets(n: int, group: str) -> str:
    return f"{n} {'bulk' if group == 'bulk' else 'single-cell'} data set{'s' * (n != 1)}"


def _middle(shares: Sequence[float]) -> str:
    """A median over data sets; the share itself where there is one."""
    return f"{'a median ' * (len(shares) > 1)}{_percent(float(np.median(shares)))}"


def _spread(shares: Sequence[float]) -> str:
    """In brackets, where a median has been told."""
    return f" ({_range(shares)})" if len(shares) > 1 else ""


def _share(datasets: Sequence[Mapping[str, Any]]) -> str | None:
    parts = []
    for group in GROUPS:
        mine = _known(datasets, group)
        if mine:
            shares = [row["bend_share"]["estimate"] for row in mine]
            parts.append(f"in {_n_sets(len(mine), group)} {_middle(shares)}{_spread(shares)}")
    if not parts:
        return None
    margin = study_settings()["margin"]
    judged = [row for group in GROUPS for row in _known(datasets, group)]
    above = sum(row["bend_share"]["low"] > margin for row in judged)
    below = sum(row["bend_share"]["high"] < margin for row in judged)
    told = f"Of what genes explain in each other, bend is {' and '.join(parts)}."
    if len(judged) == 1:
        where = "lies above" if above else "lies below" if below else "includes"
        return f"{told} Its interval {where} the margin of {margin:.0%}."
    return (
        f"{told} In {above} of {len(judged)} data sets the whole interval lies above the margin of "
        f"{margin:.0%}, in {below} below it."
    )


def _floor(datasets: Sequence[Mapping[str, Any]]) -> str | None:
    judged = [row for group in GROUPS for row in _known(datasets, group) if row["floor"]["floor"] is not None]
    if not judged:
        return None
    left = [row["floor"]["excess"] for row in judged]
    beyond = [row["label"] for row in judged if row["floor"]["evidence"]]
    return (
        "Affine equations with common causes can make all of it but "
        f"{100 * min(left):.1f} to {100 * max(left):.1f} points. That is more than chance would leave in "
        f"{len(beyond)} of {len(judged)} data sets{f' ({_and(beyond)})' if beyond else ''}."
    )


def _direction(datasets: Sequence[Mapping[str, Any]]) -> str | None:
    def text(group: str) -> str | None:
        mine = [
            row
            for row in _known(datasets, group)
            if all(row["bend_parts"][part]["estimate"] is not None for part in PARTS)
        ]
        if not mine:
            return None
        shares = {part: np.median([row["bend_parts"][part]["estimate"] for row in mine]) for part in PARTS}
        shares = {"all": np.median([row["bend_share"]["estimate"] for row in mine])} | shares
        words = {"all": "of all pairs"} | PARTS
        return ", ".join(f"{_percent(float(share))} {words[part]}" for part, share in shares.items())

    found = _each_group(text)
    return f"Bend share, medians: {found}." if found else None


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _calls(datasets: Sequence[Mapping[str, Any]]) -> str | None:
    parts = []
    for group in GROUPS:
        mine = [row for row in datasets if row["group"] == group and row["n_associated"]]
        if not mine:
            continue
        shares = {of: [row[f"share_{of}"]["estimate"] for row in mine] for of in ("nonlinear", "affine")}
        parts.append(
            f"in {_n_sets(len(mine), group)} {_middle(shares['nonlinear'])} of the associated ordered pairs "
            f"are non-linear{_spread(shares['nonlinear'])} and "
            f"{_percent(float(np.median(shares['affine'])))} affine by equivalence"
        )
    if not parts:
        return None
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}. Of all others these data cannot tell."


def _share_strength(table: pd.DataFrame) -> str | None:
    rows = table[(table["step"] == "population") & table["setting"].str.startswith("strength ")]
    weak, strong = STRENGTH_NAMES[0], STRENGTH_NAMES[-1]
    ends = {f"strength {weak}": f"where r² is {weak}", f"strength {strong}": f"where it is {strong}"}
    found = _between(rows, ends, "bend_share")
    return f"Bend share, medians, r² being that in the other half of the samples: {found}." if found else None


def _strength(table: pd.DataFrame) -> str | None:
    rows = table[
        (table["step"] == "pairs") & (table["setting"] == "strength") & (table["n_associated"] >= 20)
    ]
    lows = sorted(rows["value"].unique())
    if len(lows) < 2:
        return None

    def text(of: Mapping[str, float]) -> str | None:
        return _each_group(lambda group: _percent(of[group]) if group in of else None)

    strong = [low for low in lows if low >= STRONG]
    if not strong:
        return None
    of_weak, of_strong = (medians(rows[rows["value"] == low]) for low in (lows[0], strong[0]))
    weak_share, strong_share = text(of_weak), text(of_strong)
    if weak_share is None or strong_share is None:
        return None
    easier = all(of_weak[group] < of_strong[group] for group in of_weak.keys() & of_strong.keys())
    return (
        f"Of weak relations (r² from {lows[0]:g} to {lows[1]:g}) a median {weak_share} are called "
        f"non-linear, of strong ones (from {strong[0]:g} on) {strong_share}."
        + (" A bend is found more easily where the relation is strong." if easier else "")
    )


def _tests(table: pd.DataFrame) -> str | None:
    rows = table[table["step"] == "tests"]
    text = _between(rows, {"classical": "by the classical F test", "robust": "by the robust test"})
    corrected = _between(rows, {"robust": "by the robust test", "corrected": "by the corrected one"})
    if text is None:
        return None
    share = _between(
        rows, {"robust": "by the robust test", "corrected": "by the corrected one"}, "bend_share"
    )
    more = f"; where counts let noise be taken out, {corrected}" if corrected else ""
    last = f" Bend share of these counts, medians: {share}." if share else ""
    return f"Called non-linear, medians: {text}{more}.{last}"


def _scales(table: pd.DataFrame) -> str | None:
    rows = table[table["step"] == "scales"]
    text = _bend_and_calls(rows, {"additive": "on amounts", "log": "on their logs"})
    return f"By the same robust test, medians: {text}." if text else None


def _labels(table: pd.DataFrame) -> str | None:
    rows = table[table["step"] == "labels"]
    texts = []
    for name, words in LABELS.items():
        text = _bend_and_calls(rows, {"as registered": "with", f"without {name}": "without"})
        texts += [f"{words[0].upper()}{words[1:]}: {text}."] if text else []
    return f"Medians of the data sets that have such labels. {' '.join(texts)}" if texts else None


def _bases(table: pd.DataFrame) -> str | None:
    rows = table[table["step"] == "bases"]
    if rows.empty:
        return None
    low, high = rows["value"].min(), rows["value"].max()
    text = _bend_and_calls(
        rows, {f"{low:g} columns": f"with {low:g} columns", f"{high:g} columns": f"with {high:g}"}
    )
    return f"The size of the spline basis, medians: {text}." if text else None


def _depths(table: pd.DataFrame) -> str | None:
    rows = table[table["step"] == "depths"]
    text = _bend_and_calls(
        rows, {"none": "without normalisation", "total": "by totals", "median-ratio": "by median ratios"}
    )
    return f"By the robust test, medians: {text}." if text else None


def _by_value(table: pd.DataFrame, setting: str, column: str, what: str) -> str | None:
    rows = table[(table["step"] == "pairs") & (table["setting"] == setting)]
    if rows.empty:
        return None
    ends = (rows["value"].min(), rows["value"].max())

    def text(group: str) -> str | None:
        first, last = (medians(rows[rows["value"] == end], column) for end in ends)
        return (
            f"{_percent(first[group])} and {_percent(last[group])}" if group in {*first} & {*last} else None
        )

    found = _each_group(text)
    return f"{what.format(*ends)} {found}." if found else None


def _margin(table: pd.DataFrame) -> str | None:
    return _by_value(
        table,
        "margin",
        "share_affine",
        "With a margin of {:g} and of {:g}, affine by equivalence are, medians,",
    )


def _min_r2(table: pd.DataFrame) -> str | None:
    return _by_value(
        table,
        "min_r2",
        "share_nonlinear",
        "With a smallest r² of {:g} and of {:g}, called non-linear are, medians,",
    )


def _parts(table: pd.DataFrame) -> str | None:
    rows = table[(table["step"] == "parts") & (table["setting"] == "part")]
    half = rows[rows["value"] == 0.5]
    if half.empty:
        return None
    ends = pd.concat([table[(table["step"] == "parts") & (table["setting"] == "all samples")], half])
    share = _between(ends, {"all samples": "with all samples", "part": "with half"}, "bend_share")
    settled = medians(half, "share_settled")
    text = _each_group(lambda group: _percent(settled[group]) if group in settled else None)
    if text is None:
        return None
    turned = rows["share_reversed"].max()
    first = f"Bend share, medians: {share}. " if share else ""
    return (
        f"{first}Of the pairs decided with all samples, half of the samples decide the same way, medians, "
        f"{text}; in no part of any data set are more than {_percent(turned)} decided the opposite way. More "
        "samples settle calls, and seldom turn them."
    )


def _edges(table: pd.DataFrame) -> str | None:
    rows = table[(table["step"] == "edges")].copy()
    if rows.empty:
        return None
    rows["kind"] = rows["setting"].str.split(" of ").str[0]
    rows["network"] = rows["setting"].str.split(" of ").str[1]
    rows["share_associated"] = rows["n_associated"] / rows["n_tested"].where(rows["n_tested"] > 0)

    def text(column: str) -> str | None:
        of = {kind: medians(rows[rows["kind"] == kind], column) for kind in ("edges", "random")}
        return _each_group(
            lambda group: (
                f"{_percent(of['edges'][group])} against {_percent(of['random'][group])}"
                if group in of["edges"] and group in of["random"]
                else None
            )
        )

    share, associated, bent = text("bend_share"), text("share_associated"), text("share_nonlinear")
    if associated is None:
        return None
    first = f"bend share {share}; " if share else ""
    more = f"; of the associated, non-linear {bent}" if bent else ""
    return (
        f"Edges of curated networks against random pairs of the same genes, medians: {first}associated "
        f"{associated}{more}."
    )


def _pooling(table: pd.DataFrame) -> str | None:
    return _pooled(table, "share_nonlinear", "called non-linear")


def _pooling_affine(table: pd.DataFrame) -> str | None:
    return _pooled(table, "share_affine", "affine by equivalence")


def _pooled(table: pd.DataFrame, measure: str, word: str) -> str | None:
    """A share in single cells and in the largest pools, medians over data sets, for both ways of drawing."""
    parts = []
    for regime, drawn in (("within", "inside donors and types"), ("mixed", "drawn from all cells")):
        mine = table[(table["step"] == "pooling") & (table["setting"] == f"{regime} {measure}")]
        sizes = (
            mine.dropna(subset="measurement").groupby(["dataset", "value"])["measurement"].mean().unstack()
        )
        sizes = sizes[sizes.notna().sum(axis=1) > 1]
        if len(sizes):
            first, last = (
                _percent(float(of.iloc[:, 0].median()))
                for of in (sizes.bfill(axis=1), sizes.ffill(axis=1).iloc[:, ::-1])
            )
            parts.append(
                f"{drawn} {first} in single cells and {last} in the largest pools ({len(sizes)} data sets)"
            )
    return (
        f"In equally many samples of one cell and of many, {word} are, medians, {'; '.join(parts)}."
        if parts
        else None
    )


SENTENCES: Mapping[str, Callable[[pd.DataFrame], str | None]] = {
    "share_strength": _share_strength,
    "strength": _strength,
    "tests": _tests,
    "scales": _scales,
    "labels": _labels,
    "edges": _edges,
    "pooling": _pooling,
    "pooling_affine": _pooling_affine,
    "margin": _margin,
    "min_r2": _min_r2,
    "bases": _bases,
    "parts": _parts,
    "depths": _depths,
}
"""The sentence of each picture, in the order of the page."""


def _controls(controls: Controls) -> str | None:
    judged = [row for row in controls if row["inside"] is not None]
    if not judged:
        return None
    permuted = [row["n_associated"] for row in controls if row["control"] == "permuted"]
    sizes = [row["share_rejected"] for row in controls if row["control"] == AFFINE and row["n_tested"]]
    straight, bent = (_shares_of(controls, kind) for kind in (AFFINE, HILL))
    power = [row["share_found"] for row in judged if row["control"] == HILL]
    n_shown = sum(n > 0 for n in permuted)
    said = [
        _inside_their_bands(judged),
        f". Permuted genes show an associated pair in {n_shown} of {len(permuted)} data sets",
        f"; affine relations are rejected at 5 % in {_range(sizes)}" if sizes else "",
        f"; of bent ones {_range(power)} are found" if power else "",
        f". The bend share of affine relations is {_range(straight)}" if straight else "",
        f", that of bent ones {_range(bent)}" if straight and bent else "",
    ]
    return f"{''.join(said)}."


def _shares_of(controls: Controls, kind: str) -> list[float]:
    """Bend shares of a control, where genes explain enough for one."""
    return [
        row["bend_share"]
        for row in controls
        if row["control"] == kind and np.isfinite(row["bend_share"] or np.nan)
    ]


def _inside_their_bands(judged: Controls) -> str:
    outside = [f"{row['control']} of {row['dataset']}" for row in judged if not row["inside"]]
    said = f"{len(judged) - len(outside)} of {len(judged)} controls are inside their bands"
    return f"{said} (outside: {', '.join(outside)})" if outside else said


def _range(shares: Sequence[float]) -> str:
    return f"{_percent(min(shares))} to {_percent(max(shares))}"
