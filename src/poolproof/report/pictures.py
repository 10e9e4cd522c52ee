"""The pictures of a report, each with its data and with words for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from ..pairs.figures import CALLS, WORDS, describe_figure, describe_pair
from ..triples.figures import (
    PICTURES,
    SEPARATED,
    TRIPLE_FIGURES,
    TRIPLE_WORDS,
    describe_curves,
    describe_distortion,
    describe_histogram,
    describe_triple,
)
from . import plot
from .drawing import new_axes
from .page import svg_of, text_of
from .tables import csv_address

GALLERY = TRIPLE_FIGURES[1:]
"""Tables of the gallery of triples."""


def _picture(ax: Axes, table: pd.DataFrame, file: str, alt: str) -> dict[str, Any]:
    return svg_of(ax) | {"file": f"{file}.csv", "csv": csv_address(table), "alt": text_of(alt)}


def pictures_of(figures: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, Any] | None]:
    """Pictures by name; None where the table is missing or empty."""
    none = pd.DataFrame({"role": []})
    drawn: list[tuple[str, str, pd.DataFrame, Callable[[], Axes]]] = [
        (name, name, figures.get(name, none), partial(draw, figures))
        for name, draw in (
            ("calls_by_strength", plot.calls_by_strength),
            ("share_against_r2", plot.share_against_r2),
        )
    ]
    for part in ("depth", "zeros", "mean_variance"):
        drawn.append((part, part, figures.get(part, none), partial(plot.data_overview, figures, part)))
    for role in ("regulator", "target"):
        table = figures.get("genes", none).query("role == @role")
        drawn.append((f"genes_as_{role}", "genes", table, partial(plot.genes, figures, role)))
    found = {
        file: _picture(draw(), table, file, describe_figure(name, table)) if len(table) else None
        for file, name, table, draw in drawn
    }
    return found | _triple_pictures(figures)


def _triple_pictures(figures: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, Any] | None]:
    found: dict[str, dict[str, Any] | None] = dict.fromkeys(("triple_histogram", "triple_distortion"))
    table = figures.get("triple_histogram")
    if table is None or table.empty:
        return found
    said = describe_histogram(table)
    found["triple_histogram"] = _picture(plot.triple_histogram(figures), table, "triple_histogram", said)
    separated = table[table["call"].isin(SEPARATED)]
    if len(separated):
        said = describe_distortion(separated)
        found["triple_distortion"] = _picture(
            plot.triple_distortion(figures), separated, "triple_distortion", said
        )
    return found


def pair_gallery(figures: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Rows of pictures, one row a call."""
    if not all(name in figures for name in ("gallery", "gallery_points", "gallery_curves")):
        return []
    rows = []
    for call in CALLS:
        mine = figures["gallery"][figures["gallery"]["call"] == call]
        panels = []
        for row in mine.to_dict("records"):
            parts = {
                name: of[of["panel"] == row["panel"]] for name, of in figures.items() if "gallery" in name
            }
            file = f"pair_{int(row['panel']):02d}"
            drawn = plot.pair(parts, row["regulator"], row["target"])
            panels.append(
                _picture(drawn, parts["gallery_points"], f"{file}_points", describe_pair(row))
                | {"curves": csv_address(parts["gallery_curves"]), "curves_file": f"{file}_curves.csv"}
                | {"regulator": row["regulator_symbol"], "target": row["target_symbol"]}
            )
        if panels:
            rows.append({"call": call, "word": WORDS[call], "panels": panels})
    return rows


def triple_gallery(figures: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Rows of three pictures, one row a triple."""
    if not all(name in figures for name in GALLERY):
        return []
    rows = []
    for row in figures["triple_gallery"].to_dict("records"):
        parts = {name: of[of["panel"] == row["panel"]] for name, of in figures.items() if name in GALLERY}
        axes = [new_axes(2.75, height) for height in (2.8, 2.6, 2.6)]
        drawn = plot.triple(parts, row["x"], row["y"], row["z"], axes)
        panels = []
        for ax, picture in zip(drawn, PICTURES, strict=True):
            of = parts["triple_gallery_points"]
            of = of[of["picture"] == picture].drop(columns=["panel", "picture"])
            file = f"triple_{int(row['panel']):02d}_{picture}"
            panels.append(_picture(ax, of.dropna(axis=1, how="all"), file, describe_triple(row, picture)))
        rows.append({"call": row["call"], "word": TRIPLE_WORDS[row["call"]], "panels": panels, "row": row})
    return rows


def curve_pictures(curves: pd.DataFrame | None) -> list[dict[str, Any]]:
    """One picture a measure of the pooling curves, in the order of ``plot.MEASURES``."""
    if curves is None:
        return []
    known = curves[curves["value"].notna()]
    pictures = []
    for measure in dict.fromkeys([*plot.MEASURES, *known["measure"]]):
        part = known[known["measure"] == measure]
        if len(part):
            label = plot.MEASURES.get(measure, measure)
            ax = plot.pooling_curves({"pooling_curves": part}, measure)
            said = describe_curves(part, label.capitalize())
            pictures.append(_picture(ax, part, f"pooling_{measure}", said) | {"measure": measure})
    return pictures
