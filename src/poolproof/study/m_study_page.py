"""The page of the study: one self-contained file, made from its table and its summary."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from .._files import FIGURES, replace_file
from ..report.page import drawing_of, policy, resource, svg_of, template, text_of
from ..report.tables import csv_address
from .page import Drawn, drawn_pictures, table_of_datasets

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
    filters: dict[str, Callable[..., str]] = {
        "share": _share,
        "interval": _interval,
        "count": _count,
        "when": _when,
        "number": _number,
        "unbroken": _unbroken,
    }
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


def _share(value: float | None) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.1%}"


def _interval(share: Mapping[str, float | None]) -> str:
    low, high = share["low"], share["high"]
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"


def _count(value: int) -> str:
    return f"{value:,}"


def _unbroken(text: str) -> str:
    """No line break before a per cent sign."""
    return text.replace(" %", "\u00a0%")


def _number(value: float) -> str:
    return f"{value:g}"


def _when(value: object) -> str:
    return re.sub(r"^([\d-]+)T(\d\d:\d\d).*\+00:00$", r"\1 \2 UTC", str(value))
