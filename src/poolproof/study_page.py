"""The page of the study: one self-contained file, made from its table and its summary."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from ._files import replace_file
from ._page import policy, resource, svg_of, template
from ._report_tables import csv_address
from ._study_pictures import draw_calls, pictures_of

PAGE = "study.html"


def write_study_page(folder: Path, summary: Mapping[str, Any], table: pd.DataFrame) -> Path:
    """Write study.html.

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
    return replace_file(folder / PAGE, render_study(summary, table))


def render_study(summary: Mapping[str, Any], table: pd.DataFrame) -> str:
    """The page as text."""
    style = resource("report.css")
    datasets, findings = summary["datasets"], summary["findings"]
    judged = [row for row in datasets if row["n_associated"]]
    filters: dict[str, Callable[..., str]] = {
        "share": _share,
        "interval": _interval,
        "count": _count,
        "when": _when,
        "number": _number,
    }
    return template("study_page.html.j2", filters).render(
        policy=policy(style, ""),
        style=Markup(style),
        summary=summary,
        datasets=datasets,
        findings=findings,
        calls=svg_of(draw_calls(judged)) if judged else None,
        datasets_csv=csv_address(_flat(datasets)),
        pictures=pictures_of(table, datasets, findings),
        controls=summary["controls"],
        controls_csv=csv_address(pd.DataFrame(summary["controls"])),
        labels={row["name"]: row["label"] for row in datasets},
        settings={name: json.dumps(value, ensure_ascii=False) for name, value in summary["settings"].items()},
    )


def _flat(datasets: list[dict[str, Any]]) -> pd.DataFrame:
    """The table of data sets, a column a number."""
    rows = []
    for row in datasets:
        flat: dict[str, Any] = {}
        for name, value in row.items():
            if isinstance(value, Mapping):
                flat |= {f"{name}_{part}": number for part, number in value.items()}
            elif isinstance(value, list):
                flat[name] = "; ".join(map(str, value))
            else:
                flat[name] = value
        rows.append(flat)
    return pd.DataFrame(rows)


def _share(value: float | None) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.1%}"


def _interval(share: Mapping[str, float | None]) -> str:
    low, high = share["low"], share["high"]
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"


def _count(value: int) -> str:
    return f"{value:,}"


def _number(value: float) -> str:
    return f"{value:g}"


def _when(value: object) -> str:
    return re.sub(r"^([\d-]+)T(\d\d:\d\d).*\+00:00$", r"\1 \2 UTC", str(value))
