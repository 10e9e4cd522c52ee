"""A table of a page: all rows as the page's script reads them, and the first as they stand in the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .page import json_of

MAX_JSON = 800_000
"""Characters of one table on the page; with longer names, fewer rows."""
STATIC_ROWS = 25
"""Rows of a table that stand in the page itself and are read without JavaScript: its first page."""

Columns = Mapping[str, tuple[str, str]]
"""Heading and kind (gene, word, count or number) of each column."""


def page_table(content: Callable[[int], dict[str, Any]], n_rows: int) -> dict[str, Any]:
    """Return what the template's table needs.

    Parameters
    ----------
    content
        Gives, for a number of rows: ``columns`` (see :func:`headings`), ``words`` (how words are shown),
        ``genes`` (names, once each), ``symbols`` (other names to show, or None) and ``rows``, whose entries
        of the kind gene are places in ``genes``.
    n_rows
        Rows that are wanted; there are fewer where the table would be too large.

    Returns
    -------
    ``json``, ``n_rows``, ``columns`` and ``head``: the cells of the first rows.
    """
    while True:
        found = content(n_rows)
        text = json_of(found)
        if len(text) <= MAX_JSON or n_rows == 0:
            break
        n_rows = min(n_rows - 1, int(0.95 * n_rows * MAX_JSON / len(text)))
    head = [_static_row(row, found) for row in found["rows"][:STATIC_ROWS]]
    return {"json": text, "n_rows": n_rows, "columns": found["columns"], "head": head}


def headings(columns: Columns) -> list[dict[str, str]]:
    """Name, label and kind of each column, as the script reads them."""
    return [{"name": name, "label": label, "kind": kind} for name, (label, kind) in columns.items()]


def _static_row(row: Sequence[Any], content: Mapping[str, Any]) -> list[dict[str, str]]:
    """Cells as the page's script would show them."""
    names, words = content["symbols"] or content["genes"], content["words"]
    return [
        {
            "kind": column["kind"],
            "label": column["label"],
            "mark": value if column["kind"] == "word" and value in words else "",
            "text": names[value] if column["kind"] == "gene" else _shown(value, column["kind"], words),
        }
        for value, column in zip(row, content["columns"], strict=True)
    ]


def _shown(value: Any, kind: str, words: Mapping[str, str]) -> str:
    if value is None or value == "":
        return "–"
    if kind == "word":
        return words.get(value) or value.replace("_", " ")
    if kind == "count":
        return f"{value:,.0f}"
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1e}".replace("e-0", "e-")
