"""The page of a plan: the answer, what the money buys otherwise, power over units and cells, the limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from ..report.drawing import LEVEL_COLOURS, LEVEL_MARKERS, SOFT, legend_above, new_axes
from ..report.page import policy, resource, svg_of, template, text_of
from ..report.plan_picture import design_surface
from ..report.tables import csv_address
from .words import GOAL_WORDS

COLUMNS = {
    "n_units": "Units",
    "n_cells": "Cells each",
    "n_donors": "Donors",
    "depth": "Molecules",
    "cost": "Cost",
    "power": "Power",
    "interval": "80 %",
    "n_edges": "Pairs found",
    "share_error": "Share ±",
    "basis": "From",
    "shape_power": "Shape told",
    "false_edges": "False edges",
    "flags": "Where the law may fail",
}
CHECKS = {
    "n_units": "Units",
    "n_cells": "Cells each",
    "n_edges": "Pairs, drawn",
    "n_edges_law": "Pairs, by the law",
    "share_error": "Error, drawn",
    "share_error_law": "Error, by the law",
    "said": "Where they disagree",
}


def plan_page(table: pd.DataFrame, summary: Mapping[str, Any]) -> str:
    """One self-contained HTML page.

    Parameters
    ----------
    table, summary
        As :class:`~poolproof.planning.choosing.DesignPlan` has them.
    """
    style = resource("report.css")
    pictures = [picture for picture in (_surface(table, summary), _curves(table)) if picture is not None]
    designs = table[table["part"].isin(["frontier", "same_money"])]
    return template("plan_page.html.j2", {}).render(
        policy=policy(style, ""),
        style=Markup(style),
        summary=summary,
        goal=GOAL_WORDS[summary["goal"]],
        pictures=pictures,
        heads=list(COLUMNS.values()),
        frontier=_rows(table, "frontier"),
        same=_rows(table, "same_money"),
        checks=[[_cell(row, column) for column in CHECKS] for row in summary["checks"]],
        check_heads=list(CHECKS.values()),
        csv=csv_address(designs),
    )


def _surface(table: pd.DataFrame, summary: Mapping[str, Any]) -> dict[str, Any] | None:
    points = table[table["part"] == "surface"]
    if points.empty or points["power"].isna().all():
        return None
    ax = design_surface(table, best=summary["best"])
    title = f"Power over units and cells in each, for {points['cost'].iloc[0]:,.0f}"
    note = "What donors, cells and pools leave pays for reads; empty: too dear. The cross is the best."
    return _picture(ax, title, note, points[["n_units", "n_cells", "depth", "power"]], "plan_surface.csv")


def _curves(table: pd.DataFrame) -> dict[str, Any] | None:
    points = table[table["part"] == "curve"]
    if points.empty:
        return None
    ax = new_axes(7.2, 4.0)
    for i, k in enumerate(sorted(points["n_cells"].unique())):
        part = points[points["n_cells"] == k]
        style: dict[str, Any] = {"color": LEVEL_COLOURS[i % 6], "marker": LEVEL_MARKERS[i % 6]}
        label = "single cells" if k == 1 else f"pools of {k:,}"
        ax.plot(part["n_units"], part["power"], ms=8 - 2 * min(i, 3), lw=1.4, label=label, **style)
    ax.axhline(0.8, color=SOFT, lw=0.8, ls=":")
    ax.set_xscale("log")
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel("units (pools, or single cells)")
    ax.set_ylabel("power")
    legend_above(ax, ncols=4)
    note = "Donors and depth as in the best design; equal curves lie on each other; the dotted line is at .8."
    return _picture(
        ax, "Power against units", note, points[["n_units", "n_cells", "power"]], "plan_curves.csv"
    )


def _picture(ax: Axes, title: str, note: str, data: pd.DataFrame, file: str) -> dict[str, Any]:
    return svg_of(ax) | {
        "title": title,
        "note": note,
        "alt": text_of(title),
        "csv": csv_address(data),
        "file": file,
    }


def _rows(table: pd.DataFrame, part: str) -> list[list[str]]:
    rows = table[table["part"] == part]
    return [[_cell(row, column) for column in COLUMNS] for row in rows.to_dict("records")]


def _cell(row: Mapping[Any, Any], column: str) -> str:
    if column == "interval":
        low, high = row.get("power_low", np.nan), row.get("power_high", np.nan)
        return "–" if pd.isna(low) else f"{low:.2f} to {high:.2f}"
    value = row[column]
    if column in ("flags", "basis", "said"):
        return text_of(value) or "–"
    if pd.isna(value):
        return "–"
    if column.startswith("share_error"):
        return f"{value:.3f}"
    if column in ("power", "shape_power", "false_edges"):
        return f"{value:.2f}"
    return f"{value:,.0f}"
