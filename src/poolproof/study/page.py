"""The pictures of the study: bars of calls, dots where settings are words, lines where they are numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from .._files import FIGURES, replace_file
from ..pairs.figures import CALLS
from ..pairs.population_sets import STRENGTH_NAMES, STRENGTHS
from ..report.drawing import INK, SOFT, bars, legend_above, new_axes, scale_of_sizes, shown
from ..report.page import drawing_of, policy, resource, svg_of, template, text_of
from ..report.tables import csv_address
from .findings import PARTS
from .plan import study_settings

COLOURS = ("#0072b2", "#d55e00", "#008563", "#b4578c", "#8a6d00", "#1d2733", "#3a87c0", "#7a5195")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<")

REGIMES = {"within": "inside donors and types", "mixed": "from all cells"}
"""How pools are drawn, in words."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """How rows of the study are drawn."""

    title: str
    rows: Callable[[pd.DataFrame], pd.DataFrame]
    """Chooses the rows, and gives them the columns ``x`` (dots: ``setting``) and ``y``."""
    x_label: str
    y_label: str = "non-linear, of the associated"
    dots: bool = False
    """One place for each data set, one mark for each setting; else one line for each data set."""
    log: bool = False
    """Whether x is logarithmic."""
    regimes: bool = False
    """Whether the two ways of drawing pools are shown apart, else bulk and single cells."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture with what is behind it."""

    name: str
    """Name of its finding."""
    title: str
    side: str
    """``bulk and pools``, ``single cells``, or how pools were drawn; empty where all is in it."""
    ax: Axes
    data: pd.DataFrame

    @property
    def file(self) -> str:
        """Name of its file, without ending."""
        return "_".join(["study", self.name, *self.side.split()])


def _step(
    step: str, setting: str | None = None, y: str = "share_nonlinear"
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def rows(table: pd.DataFrame) -> pd.DataFrame:
        mine = table[table["step"] == step]
        if setting is not None:
            mine = mine[mine["setting"] == setting]
        return mine.assign(x=mine["value"], y=mine[y])

    return rows


def _strength(table: pd.DataFrame) -> pd.DataFrame:
    rows = _step("pairs", "strength")(table)
    return rows[rows["n_associated"] >= 20]


def _parts(table: pd.DataFrame) -> pd.DataFrame:
    rows = _step("parts", y="share_settled")(table)
    return rows.assign(x=rows["n_obs"])


def _pooling(measure: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def rows(table: pd.DataFrame) -> pd.DataFrame:
        mine = _step("pooling", y="measurement")(table)
        return mine[mine["setting"].isin([f"{regime} {measure}" for regime in REGIMES])]

    return rows


def _edges(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[(table["step"] == "edges") & (table["n_associated"] >= 5)]
    kinds = rows["setting"].str.split(" of ").str[0]
    return rows.assign(
        setting=kinds.map({"edges": "curated edges", "random": "random pairs"}), y=rows["bend_share"]
    )


def _directions(table: pd.DataFrame) -> pd.DataFrame:
    """Bend share of all pairs, and of its parts."""
    words = {"audit": "all pairs"} | {part: of.removeprefix("of ") for part, of in PARTS.items()}
    rows = table[table["setting"].isin(words) & table["step"].isin(["audit", "population"])]
    several = rows["dataset"].isin(rows.loc[rows["step"] == "population", "dataset"])
    return rows[several].assign(setting=rows["setting"].map(words), y=rows["bend_share"])


def _share_strength(table: pd.DataFrame) -> pd.DataFrame:
    """Bend share by strength; the weakest stand at half the first bound."""
    lows = dict(zip(STRENGTH_NAMES, (STRENGTHS[0] / 2, *STRENGTHS), strict=True))
    rows = table[(table["step"] == "population") & table["setting"].str.startswith("strength ")]
    return rows.assign(x=rows["setting"].str.removeprefix("strength ").map(lows), y=rows["bend_share"])


PICTURES: Mapping[str, Picture] = {
    "direction": Picture("Less bent directions, direct pairs", _directions, "bend share", dots=True),
    "share_strength": Picture(
        "Bend share by strength",
        _share_strength,
        "r² in the other half of the samples, from",
        "bend share",
        log=True,
    ),
    "strength": Picture("By strength of the relation", _strength, "r² of the curve, from", log=True),
    "tests": Picture("Three tests", _step("tests"), "non-linear, of the associated", dots=True),
    "scales": Picture("Amounts and their logs", _step("scales", y="bend_share"), "bend share", dots=True),
    "labels": Picture(
        "With and without covariates, donors, cell types",
        _step("labels", y="bend_share"),
        "bend share",
        dots=True,
    ),
    "edges": Picture("Curated edges and random pairs", _edges, "bend share", dots=True),
    "pooling": Picture(
        "Pools of the cells: non-linear",
        _pooling("share_nonlinear"),
        "cells in a pool",
        log=True,
        regimes=True,
    ),
    "pooling_affine": Picture(
        "Pools of the cells: affine",
        _pooling("share_affine"),
        "cells in a pool",
        "affine, of the associated",
        log=True,
        regimes=True,
    ),
    "margin": Picture(
        "Margin of equivalence",
        _step("pairs", "margin", "share_affine"),
        "margin",
        "affine, of the associated",
    ),
    "min_r2": Picture("Smallest r² of an associated pair", _step("pairs", "min_r2"), "smallest r²", log=True),
    "bases": Picture(
        "Size of the spline basis", _step("bases", y="bend_share"), "columns of the basis", "bend share"
    ),
    "parts": Picture("Number of samples", _parts, "samples or cells", "decided calls found again", log=True),
    "depths": Picture("Normalisation", _step("depths", y="bend_share"), "bend share", dots=True),
}
"""By the name of their sentence, in the order of the page."""


def drawn_pictures(table: pd.DataFrame, datasets: Sequence[Row], findings: Mapping[str, str]) -> list[Drawn]:
    """Every picture of the study that there are rows for; of lines, bulk and single cells apart."""
    flat = table_of_datasets(datasets)
    known = [row for row in datasets if row["bend_share"]["estimate"] is not None]
    found = [Drawn("share", "Bend share of each data set", "", draw_shares(known), flat)] if known else []
    judged = [row for row in datasets if row["share_nonlinear"]["estimate"] is not None]
    found += [Drawn("calls", "Calls in each data set", "", draw_calls(judged), flat)] if judged else []
    labels = {row["name"]: row["label"] for row in datasets}
    groups = {row["name"]: row["group"] for row in datasets}
    columns = ["dataset", "setting", "value", "repeat", "n_obs", "n_associated", "y"]
    for name, picture in PICTURES.items():
        rows = picture.rows(table).dropna(subset="y")
        if rows.empty or name not in findings:
            continue
        draw = draw_dots if picture.dots else draw_lines
        sides = [("", rows)] if picture.dots else _regimes(rows) if picture.regimes else _sides(rows, groups)
        for side, part in sides:
            found.append(Drawn(name, picture.title, side, draw(part, picture, labels), part[columns]))
    return found


def table_of_datasets(datasets: Sequence[Row]) -> pd.DataFrame:
    """The table of data sets, a column a number."""
    rows = []
    for row in datasets:
        flat: dict[str, Any] = {}
        for name, value in row.items():
            if isinstance(value, Mapping):
                flat |= _flat(name, value)
            else:
                flat[name] = "; ".join(map(str, value)) if isinstance(value, list) else value
        rows.append(flat)
    return pd.DataFrame(rows)


def _flat(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of a mapping, and of the mappings in it, as columns."""
    flat: dict[str, Any] = {}
    for part, of in value.items():
        flat |= _flat(f"{name}_{part}", of) if isinstance(of, Mapping) else {f"{name}_{part}": of}
    return flat


def _sides(rows: pd.DataFrame, groups: Mapping[str, str]) -> list[tuple[str, pd.DataFrame]]:
    bulk = rows["dataset"].map(groups) != "single-cell"
    sides = (("bulk and pools", rows[bulk]), ("single cells", rows[~bulk]))
    return [(side, part) for side, part in sides if len(part)]


def _regimes(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    regime = rows["setting"].str.split(" ").str[0]
    parts = ((words, rows[regime == name]) for name, words in REGIMES.items())
    return [(side, part) for side, part in parts if len(part)]


def draw_shares(datasets: Sequence[Row]) -> Axes:
    """Bend share of each data set with its interval, beside the affine floor and the control."""
    ax = new_axes(7.2, 1.1 + 0.27 * len(datasets))
    place = np.arange(len(datasets))[::-1]
    margin = float(study_settings()["margin"])
    ax.axvline(0, color=SOFT, linewidth=0.8)
    ax.axvline(margin, color=SOFT, linewidth=0.9, linestyle="--", label=f"margin {margin:.0%}")
    for y, row in zip(place, datasets, strict=True):
        ax.plot([row["bend_share"][end] for end in ("low", "high")], [y, y], color=INK, linewidth=1.6)
    marks = {
        "bend share": ("bend_share", "estimate", "o", INK, INK),
        "of some genes": ("floor", "bend_share", "D", "#d55e00", "white"),
        "made by affine equations": ("floor", "floor", "D", "#d55e00", "#d55e00"),
        "counts split in two": ("control_share", "estimate", "x", "#0072b2", "#0072b2"),
    }
    for label, (entry, name, marker, edge, fill) in marks.items():
        values = np.array([row[entry][name] for row in datasets], dtype=np.float64)  # None: nan
        style: dict[str, Any] = {"markeredgecolor": edge, "markerfacecolor": fill, "markersize": 5.5}
        ax.plot(values, place, marker, label=label, zorder=3, **style)
    _places(ax, place, [f"{row['label']} (n = {row['n_obs']:,})" for row in datasets])
    _rules(ax, place, [row["group"] for row in datasets])
    ax.set_xlim(max(-0.1, ax.get_xlim()[0]), min(1.0, ax.get_xlim()[1]))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("bend share, with its 95 % interval")
    legend_above(ax, ncols=5, markerscale=1)
    return ax


def draw_calls(datasets: Sequence[Row]) -> Axes:
    """Shares of the three calls for each data set, with the interval of the non-linear one."""
    rows = [row for row in datasets if row["share_nonlinear"]["estimate"] is not None]
    ax = new_axes(7.2, 0.9 + 0.27 * len(rows))
    place = np.arange(len(rows))[::-1]
    left = np.zeros(len(rows))
    for call in CALLS:
        width = np.array([row[f"share_{call}"]["estimate"] for row in rows])
        bars(ax.barh, place, width, call, left=left, height=0.62)
        left = left + width
    for y, row in zip(place, rows, strict=True):
        low, high = row["share_nonlinear"]["low"], row["share_nonlinear"]["high"]
        ax.plot([low, high], [y, y], color=INK, linewidth=1.6, solid_capstyle="butt")
        for end in (low, high):
            ax.plot([end, end], [y - 0.17, y + 0.17], color=INK, linewidth=1.6)
    _places(ax, place, [f"{row['label']} (n = {row['n_obs']:,})" for row in rows])
    _rules(ax, place, [row["group"] for row in rows])
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("share of the associated ordered pairs; lines: 95 % interval of the non-linear share")
    legend_above(ax)
    return ax


def draw_dots(rows: pd.DataFrame, picture: Picture, labels: Mapping[str, str]) -> Axes:
    """A place for each data set, a mark for each setting."""
    names = [name for name in labels if name in set(rows["dataset"])]
    ax = new_axes(5.2, 1.0 + 0.24 * len(names))
    place = {name: y for y, name in enumerate(reversed(names))}
    for name in names:
        mine = rows[rows["dataset"] == name]["y"]
        ax.plot([mine.min(), mine.max()], [place[name]] * 2, color="#c3cad1", linewidth=2, zorder=1)
    for i, setting in enumerate(dict.fromkeys(rows["setting"])):
        mine = rows[rows["setting"] == setting].groupby("dataset")["y"].mean()
        y = [place[name] for name in mine.index]
        ax.plot(
            mine,
            y,
            MARKERS[i],
            color=COLOURS[i],
            markersize=5.5,
            label=shown(setting, 30),
            zorder=3,
            alpha=0.9,
        )
    _places(ax, np.array(list(place.values())), [labels[name] for name in place])
    ax.set_xlim(left=min(-0.01, ax.get_xlim()[0]))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel(picture.x_label)
    legend_above(ax, ncols=2, markerscale=1)
    return ax


def draw_lines(rows: pd.DataFrame, picture: Picture, labels: Mapping[str, str]) -> Axes:
    """A line for each data set through the means of its drawings."""
    names = [name for name in labels if name in set(rows["dataset"])]
    ax = new_axes(4.6, 3.3 + 0.16 * (len(names) + 1) // 2)
    for i, name in enumerate(names):
        mine = rows[rows["dataset"] == name]
        line = mine.groupby("x")["y"].mean().sort_index()
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "markersize": 4.5,
        }
        ax.plot(line.index, line, label=shown(labels[name], 24), linewidth=1.4, **style)
    ticks = np.unique(rows["x"])
    if picture.log:
        ax.set_xscale("log")
        scale_of_sizes(ax, ticks[-1] / ticks[0])
    if len(ticks) <= 8:
        ax.xaxis.set_major_locator(FixedLocator(list(ticks)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    ax.set(xlabel=picture.x_label, ylabel=picture.y_label)
    legend_above(ax, ncols=2, markerscale=1, handlelength=1.6)
    return ax


def _places(ax: Axes, place: np.ndarray, texts: Sequence[str]) -> None:
    ax.set_yticks(place, [shown(text, 40) for text in texts], fontsize=8)
    ax.set_ylim(place.min() - 0.6, place.max() + 0.6)
    ax.tick_params(axis="y", length=0)


def _rules(ax: Axes, place: np.ndarray, groups: Sequence[str]) -> None:
    """Thin lines between the groups of data sets."""
    for above, below, first, second in zip(place, place[1:], groups, groups[1:], strict=False):
        if first != second:
            ax.axhline((above + below) / 2, color=SOFT, linewidth=0.7, linestyle=":")


PAGE = "study.html"


def write_study_page(folder: Path, summary: Mapping[str, Any], table: pd.DataFrame) -> Path:
    """Write study.html, and every picture of it as an SVG file into ``figures/``.

    Parameters
    ----------
    folder
        Of the study; the page links the reports in ``audits/``.
    summary
        The content of study.json.
    table
        The content of study.parquet.

    Returns
    -------
    Path of the page: it opens offline, loads nothing, and runs no script.
    """
    drawn = drawn_pictures(table, summary["datasets"], summary["findings"])
    (folder / FIGURES).mkdir(exist_ok=True)
    for old in (folder / FIGURES).glob("study_*.svg"):
        old.unlink()
    for picture in drawn:
        replace_file(folder / FIGURES / f"{picture.file}.svg", drawing_of(picture.ax))
    return replace_file(folder / PAGE, render_study(summary, drawn))


def render_study(summary: Mapping[str, Any], drawn: Sequence[Drawn]) -> str:
    """The page as text."""
    style = resource("report.css")
    datasets, findings = summary["datasets"], summary["findings"]
    parts: dict[str, dict[str, Any]] = {}
    for picture in drawn:
        part = {
            "name": picture.name,
            "title": picture.title,
            "sentence": findings.get(picture.name, ""),
            "pictures": [],
        }
        parts.setdefault(picture.name, part)["pictures"].append(_shown(picture, part["sentence"]))
    filters: dict[str, Callable[..., str]] = {"interval": _interval, "number": _number}
    return template("study_page.html.j2", filters).render(
        policy=policy(style, ""),
        style=Markup(style),
        summary=summary,
        datasets=datasets,
        findings=findings,
        parts=parts,
        datasets_csv=csv_address(table_of_datasets(datasets)),
        controls=summary["controls"],
        controls_csv=csv_address(pd.DataFrame(summary["controls"])),
        labels={row["name"]: row["label"] for row in datasets},
        settings={name: json.dumps(value, ensure_ascii=False) for name, value in summary["settings"].items()},
    )


def _shown(picture: Drawn, sentence: str) -> dict[str, Any]:
    """A picture as the template shows it."""
    title = f"{picture.title}, {picture.side}" if picture.side else picture.title
    csv = {"csv": csv_address(picture.data), "file": f"{picture.file}.csv"}
    return (
        svg_of(picture.ax)
        | csv
        | {"title": title, "side": picture.side, "alt": text_of(f"{title}. {sentence}")}
    )


def _interval(share: Mapping[str, float | None]) -> str:
    low, high = share["low"], share["high"]
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"


def _number(value: float) -> str:
    return f"{value:g}"
