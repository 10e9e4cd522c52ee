"""The page of a benchmark: accuracy against the size of pools, what was predicted, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from .._checks import printable
from ..report.drawing import INK, SOFT, legend_above, new_axes
from ..report.page import policy, resource, svg_of, template, text_of
from ..report.tables import csv_address
from .metrics import EFFECT_METRICS, RANDOM_GRAPH
from .pooled import KINDS, RANDOM
from .prediction import TESTS
from .summary import MAIN, PREDICTORS

COLOURS = (
    "#0072b2",
    "#d55e00",
    "#008563",
    "#b4578c",
    "#8a6d00",
    "#3a87c0",
    "#7a5195",
    "#a3478f",
    "#4a6b1f",
    "#9c3b2e",
)
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<", ">", "p")
SHOWN = {
    MAIN: "F1 of the skeleton",
    "orientation": "right direction, of true edges found with an arrow",
    "auprc": "average precision of weights",
    "shd": "pairs whose edge differs (SHD)",
}


def benchmark_page(table: pd.DataFrame, tasks: pd.DataFrame, summary: Mapping[str, Any]) -> str:
    """One self-contained HTML page.

    Parameters
    ----------
    table, tasks
        As :class:`~poolproof.discovery.running.Benchmark` has them.
    summary
        The content of benchmark.json.
    """
    pictures = [
        picture for metric, label in SHOWN.items() if (picture := _curves(table, metric, label)) is not None
    ]
    style = resource("report.css")
    predicted = _predicted(table, tasks, summary)
    return template("benchmark_page.html.j2", {"share2": lambda v: "–" if v is None else f"{v:.3f}"}).render(
        policy=policy(style, ""),
        style=Markup(style),
        summary=summary,
        pictures=pictures,
        predicted=predicted,
        kinds={kind: KINDS[kind] for kind in dict.fromkeys(table["pooling"])},
        others=_others(summary),
        csv=csv_address(pd.DataFrame(summary["curves"])),
        predictors=PREDICTORS,
        effects=_effects(summary),
        effects_csv=csv_address(table[table["metric"].isin(EFFECT_METRICS)]),
    )


def _curves(table: pd.DataFrame, metric: str, label: str) -> dict[str, Any] | None:
    """Mean over tasks against the size of random pools, a line a method."""
    rows = table[(table["metric"] == metric) & (table["pooling"] == RANDOM) & table["value"].notna()]
    sizes = sorted(rows["n_cells"].unique())
    if len(sizes) < 2:
        return None
    ax = new_axes(7.2, 4.2)
    every = sorted(set(table["method"]) - {RANDOM_GRAPH, *TESTS})
    for i, method in enumerate(every):  # a method looks the same in every picture
        mean = rows[rows["method"] == method].groupby("n_cells")["value"].mean()
        if len(mean):
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            label_of = printable(method, 24)
            ax.plot(mean.index, mean.to_numpy(), color=colour, marker=marker, ms=5, lw=1.4, label=label_of)
    base = rows[rows["method"] == RANDOM_GRAPH].groupby("n_cells")["value"].mean()
    if len(base):
        ax.plot(base.index, base.to_numpy(), color=SOFT, ls=":", lw=1.4, label="random graph")
    _sizes_axis(ax, sizes)
    ax.set_ylabel(label)
    legend_above(ax, ncols=4)
    title = f"{label[0].upper()}{label[1:]}, by cells in a pool"
    data = rows.groupby(["method", "n_cells"])["value"].agg(["mean", "count"]).reset_index()
    return svg_of(ax) | {
        "title": title,
        "alt": text_of(title),
        "csv": csv_address(data),
        "file": f"benchmark_{metric}.csv",
    }


def _sizes_axis(ax: Axes, sizes: list[int]) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sizes))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.set_xlabel("cells in a pool")


def _predicted(table: pd.DataFrame, tasks: pd.DataFrame, summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Loss of F1 against the bend share, a dot a task."""
    n_cells = summary["n_cells"]
    if n_cells is None or "bend_share" not in tasks:
        return None
    rows = table[(table["metric"] == MAIN) & (table["pooling"] == RANDOM) & (table["method"] != RANDOM_GRAPH)]
    mean = rows.groupby(["task", "seed", "n_cells"])["value"].mean().unstack()
    if 1 not in mean or n_cells not in mean:
        return None
    loss = (mean[1] - mean[n_cells]).rename("loss").reset_index()
    joined = loss.merge(tasks, on=["task", "seed"]).dropna(subset=["loss", "bend_share"])
    if joined.empty:
        return None
    ax = new_axes(7.2, 4.2)
    kinds = (
        joined["mechanism"].fillna("other")
        if "mechanism" in joined
        else pd.Series("other", index=joined.index)
    )
    for i, kind in enumerate(sorted(kinds.unique())):
        part = joined[kinds == kind]
        ax.plot(
            part["bend_share"].astype(float),
            part["loss"],
            ls="",
            marker=MARKERS[i % len(MARKERS)],
            ms=6,
            color=COLOURS[i % len(COLOURS)],
            label=printable(kind, 24),
        )
    ax.axhline(0, color=INK, lw=0.8)
    ax.set_xlabel("bend share of the single cells")
    ax.set_ylabel(f"loss of F1 from single cells to pools of {n_cells}")
    legend_above(ax, ncols=4)
    title = "Did the bend share say so beforehand?"
    return svg_of(ax) | {
        "title": title,
        "alt": text_of(title),
        "csv": csv_address(joined),
        "file": "benchmark_prediction.csv",
    }


def _effects(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each task with interventions: methods by what was found at the smallest and the largest size."""
    tables = []
    for task in dict.fromkeys(row["task"] for row in summary["effects"]):
        mine = {(r["method"], r["n_cells"]): r for r in summary["effects"] if r["task"] == task}
        sizes = sorted({n_cells for _, n_cells in mine})
        places = [
            (n, m)
            for m in ("n_joined", "mean_effect", "false_omission")
            for n in dict.fromkeys((sizes[0], sizes[-1]))
        ]
        places = [(n, m) for n, m in places if any(m in row for row in mine.values())]
        words = {"n_joined": "Edges", "mean_effect": "Mean effect", "false_omission": "False omission"}
        tables.append(
            {
                "task": task,
                "heads": [f"{words[metric]}, {n:,} cell{'s' * (n > 1)}" for n, metric in places],
                "rows": [
                    (method, [mine.get((method, n), {}).get(metric) for n, metric in places])
                    for method in dict.fromkeys(method for method, _ in mine)
                ],
            }
        )
    return tables


def _others(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Mean F1 of each method in pools that are no random sums of K cells, beside random ones of that size."""
    rows = summary["curves"]
    places = sorted({(row["pooling"], row["n_cells"]) for row in rows if row["pooling"] != RANDOM})
    if not places:
        return None
    beside = [(RANDOM, n_cells) for n_cells in sorted({n_cells for _, n_cells in places})]
    mean = {(row["method"], row["pooling"], row["n_cells"]): row["mean"] for row in rows}
    places = [place for place in beside if any((m, *place) in mean for m, _, _ in mean)] + places
    methods = sorted({row["method"] for row in rows})
    return {
        "heads": [f"{kind}, {n_cells:,}" for kind, n_cells in places],
        "rows": [(method, [mean.get((method, *place)) for place in places]) for method in methods],
    }
