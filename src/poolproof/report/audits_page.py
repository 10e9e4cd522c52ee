"""The page of many audits: verdicts as signs and words, bend shares on one scale, differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from .. import _names as names
from .page import policy, resource, template, text_of
from .tables import csv_address

WIDTH = 300
"""Of the scale, in its own units."""
LEAST_TOP = 0.25
"""The scale reaches so far at least."""
ROOM = 1.08
"""Room right of the largest value."""
ORDER = (names.CONTRADICTED, names.COMPATIBLE, names.UNDECIDED)


def collect_page(table: pd.DataFrame, summary: Mapping[str, Any], links: Sequence[str | None]) -> str:
    """One self-contained page.

    Parameters
    ----------
    table, summary
        As :class:`~poolproof.report.collecting.Collected` has them.
    links
        Where the report of each audit is, from the page, ``/`` between folders; None: there is none.
    """
    style = resource("report.css")
    reach = table[["bend_share", "high", "margin"]].max().max()
    top = max(LEAST_TOP, ROOM * float(reach)) if pd.notna(reach) else LEAST_TOP
    margins = table["margin"].unique()
    records: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    rows = [_row(row, link, top) for row, link in zip(records, links, strict=True)]
    rows.sort(key=lambda row: (ORDER.index(row["verdict"]), -(row["bend_share"] or -1.0)))
    return template("audits_page.html.j2", {"percent": lambda value: f"{100 * value:g}%"}).render(
        policy=policy(style, ""),
        style=Markup(style),
        summary=summary,
        rows=rows,
        verdicts=[(word, summary["verdicts"][word]) for word in ORDER],
        top=top,
        margin=float(margins[0]) if len(margins) == 1 else None,
        csv=csv_address(table),
    )


def _row(row: Mapping[str, Any], link: str | None, top: float) -> dict[str, Any]:
    """What the page shows of one audit, places on the scale among it."""

    def known(name: str) -> float | None:
        return None if pd.isna(row[name]) else float(row[name])

    def at(name: str) -> float | None:
        value = known(name)
        return None if value is None else round(WIDTH * min(max(value / top, 0.0), 1.0), 1)

    return {name: row[name] for name in row} | {
        "link": None if link is None else quote(link),
        "bend_share": known("bend_share"),
        "low": known("low"),
        "high": known("high"),
        "floor": known("floor_of_same_genes"),
        "at": {name: at(name) for name in ("bend_share", "low", "high", "margin")},
        "at_floor": at("floor_of_same_genes"),
        "size": f"{row['n_obs']:,} x {row['n_genes']:,}",
        "words": text_of(row["audit"]),
    }
