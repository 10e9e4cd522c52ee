"""Results as HTML in a notebook: a few lines and a small table, every text from a file escaped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import fields
from html import escape
from typing import Any

import pandas as pd

from ._checks import printable

N_ROWS = 8
"""Rows of a table that a notebook shows."""
PAIR_COLUMNS = (
    "regulator",
    "target",
    "n",
    "r2_linear",
    "r2_spline",
    "nonlinear_share",
    "nonlinear_share_upper",
    "q_value",
    "call",
)
"""Columns of a table of pairs that a notebook shows."""


class Spoken(ABC):
    """A result that one sentence tells: it is printed as that sentence."""

    @property
    @abstractmethod
    def sentence(self) -> str:
        """The result in one sentence."""

    def __str__(self) -> str:
        return self.sentence

    __repr__ = __str__


def record_html(title: str, record: Any) -> str:
    """A dataclass as HTML: a title, and a line for each field that holds something."""
    lines = "".join(
        f"<tr><th>{_text(of.name.replace('_', ' '))}</th><td>{_text(str(value))}</td></tr>"
        for of in fields(record)
        if (value := getattr(record, of.name))
    )
    return f"<div><strong>{_text(title)}</strong><table>{lines}</table></div>"


def summary_html(
    title: str,
    sentences: Sequence[str],
    table: pd.DataFrame,
    more: Iterable[str] = (),
    *,
    columns: Sequence[str] = PAIR_COLUMNS,
    rows: str = "strongest",
) -> str:
    """Return a fragment of HTML: a title, sentences, the first rows of a table, and what unfolds on a click.

    Parameters
    ----------
    title
        First line, set in bold.
    sentences
        One paragraph a line.
    table
        Rows in the order in which they are shown; an empty table is not shown.
    more
        Sentences shown when the reader opens "Limits and notes".
    columns
        Of the table, those that are shown.
    rows
        What the first rows are: ``strongest`` or ``first``.
    """
    parts = [
        f"<strong>{_text(title)}</strong>",
        *(f"<p>{_text(line)}</p>" for s in sentences for line in s.splitlines()),
    ]
    if len(table):
        n_shown = min(N_ROWS, len(table))
        parts += [
            _table_html(table[list(columns)]),
            f"<p>The {n_shown:,} {rows} of {len(table):,} rows of <code>.table</code>.</p>",
        ]
    listed = "".join(f"<li>{_text(s)}</li>" for s in more)
    if listed:
        parts.append(f"<details><summary>Limits and notes</summary><ul>{listed}</ul></details>")
    return "<div>" + "\n".join(parts) + "</div>"


def _table_html(table: pd.DataFrame) -> str:
    shown = table.head(N_ROWS).astype(object)
    cells = shown.apply(lambda column: column.map(_cell))
    cells.columns = [c.replace("_", " ") for c in cells.columns]
    return cells.to_html(index=False, border=0, escape=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.3g}"
    return printable(value, 40)


def _text(text: str) -> str:
    return escape(printable(text, 1000))
