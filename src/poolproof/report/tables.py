"""The tables of a report: their columns, their rows as the page reads them, and CSV that is safe to open."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..pairs.figures import WORDS
from .page import address_of, json_of, text_of

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


PAIR_TABLE = {
    "regulator": ("Regulator", "gene"),
    "target": ("Target", "gene"),
    "call": ("Call", "word"),
    "r2_spline": ("r² of the curve", "number"),
    "r2_linear": ("r² of the line", "number"),
    "nonlinear_share": ("Non-linear share", "number"),
    "nonlinear_share_upper": ("Its upper bound", "number"),
    "q_value": ("q of the bend", "number"),
    "n": ("n", "count"),
}
"""Columns of the table of pairs: heading and kind."""
EDGE_TABLE = {
    "regulator": ("Regulator", "gene"),
    "target": ("Target", "gene"),
    "call": ("Call as a pair", "word"),
    "pool_status": ("Under pooling", "word"),
    "joint_call": ("Beside the other parents", "word"),
    "r2_spline": ("r² of the curve", "number"),
    "nonlinear_share": ("Non-linear share", "number"),
    "q_value": ("q of the bend as a pair", "number"),
    "joint_q_value": ("q beside the other parents", "number"),
    "status": ("Status of the pair", "word"),
    "joint_status": ("Status of the joint test", "word"),
}
CHILD_TABLE = {
    "target": ("Child", "gene"),
    "n_parents": ("Parents", "count"),
    "call": ("Call of the equation", "word"),
    "r2_spline": ("r² of the curves", "number"),
    "nonlinear_share": ("Non-linear share", "number"),
    "nonlinear_share_upper": ("Its upper bound", "number"),
    "q_value": ("q of the bend", "number"),
    "n": ("n", "count"),
    "status": ("Status", "word"),
}
LEVEL_COLUMNS = (
    "n_pairs_tested",
    "n_associated",
    "n_nonlinear",
    "n_affine",
    "n_inconclusive",
    "share_nonlinear",
    "share_affine",
    "share_inconclusive",
)
TRIPLE_TABLE = {
    "x": ("X", "gene"),
    "y": ("Middle gene Y", "gene"),
    "z": ("Z", "gene"),
    "call": ("Call", "word"),
    "partial_spline": ("Given a curve in Y", "number"),
    "partial_linear": ("Given a line in Y", "number"),
    "correlation": ("Correlation", "number"),
    "q_value": ("q of the call", "number"),
    "n": ("n", "count"),
}
MIDDLE_TABLE = {
    "gene": ("Middle gene", "gene"),
    "n_ends": ("Associated genes", "count"),
    "n_screened": ("Triples", "count"),
    "n_kept": ("Kept", "count"),
    "n_distorted": ("Distorted", "count"),
    "n_dependent": ("Dependent", "count"),
    "n_hidden": ("Hidden", "count"),
    "n_undetermined": ("Undetermined", "count"),
}
SEPARATION_TABLE = {
    "x": ("X", "gene"),
    "z": ("Z", "gene"),
    "given": ("Given", "gene"),
    "call": ("Call", "word"),
    "partial_spline": ("Given curves", "number"),
    "partial_linear": ("Given lines", "number"),
    "relation": ("Tied by", "word"),
    "n_given": ("Genes given", "count"),
    "q_value": ("q of the call", "number"),
    "status": ("Status", "word"),
}
EDGE_WORDS = WORDS | {
    "survives": "survives",
    "not_contradicted": "not contradicted",
    "distorted": "distorted",
}
"""Words that are shown with a mark; the rest of an edge's statuses are shown as they are."""

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def safe_csv(table: pd.DataFrame) -> str:
    """Return CSV in which no cell of text is a formula to a spreadsheet.

    Examples
    --------
    >>> print(safe_csv(pd.DataFrame({"gene": ["=1+1", "A"], "r2": [-0.5, 0.25]})))
    gene,r2
    '=1+1,-0.5
    A,0.25
    <BLANKLINE>
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(zip(*(_cells(table[column]) for column in table), strict=True))
    return lines.getvalue()


def _cells(column: pd.Series) -> list[str]:
    if pd.api.types.is_numeric_dtype(column):
        return ["" if pd.isna(value) else f"{value:.6g}" for value in column]
    text = ["" if pd.isna(value) else str(value) for value in column]
    return ["'" + cell if cell.startswith(_FORMULA) else cell for cell in text]


def csv_address(table: pd.DataFrame) -> str:
    """A table as a data address of CSV."""
    return address_of(safe_csv(table), "text/csv;charset=utf-8")


def labelled_table(
    table: pd.DataFrame, columns: Columns, genes: pd.DataFrame, words: Mapping[str, str] = WORDS
) -> dict[str, Any]:
    """A table as the page reads it: names once, rows that point to them.

    Columns that the table has not are left out; ``words`` are shown with a mark.
    """
    columns = {name: of for name, of in columns.items() if name in table}
    return page_table(lambda n_rows: _table_content(table.head(n_rows), columns, genes, words), len(table))


def _table_content(
    table: pd.DataFrame, columns: Columns, genes: pd.DataFrame, words: Mapping[str, str]
) -> dict[str, Any]:
    of_genes = [name for name, (_, kind) in columns.items() if kind == "gene"]
    used = pd.unique(table[of_genes].astype(object).to_numpy().ravel())
    symbols = symbols_of(genes)
    shown = [_symbol(gene, symbols) for gene in used]
    place = {gene: i for i, gene in enumerate(used)}
    values = [_column(table[name], kind, place) for name, (_, kind) in columns.items()]
    return {
        "columns": headings(columns),
        "words": dict(words),
        "genes": [text_of(gene) for gene in used],
        "symbols": [text_of(symbol) for symbol in shown] if shown != list(used) else None,
        "rows": [list(row) for row in zip(*values, strict=True)],
    }


def symbols_of(genes: pd.DataFrame) -> dict[str, str]:
    """Names for display, by gene."""
    return dict(zip(genes["gene"], genes["symbol"], strict=True))


def _symbol(gene: str, symbols: Mapping[str, str]) -> str:
    """Symbol of a gene, or those of several joined by semicolons."""
    if gene in symbols or ";" not in gene:
        return symbols.get(gene, gene)
    return ";".join(symbols.get(part, part) for part in gene.split(";"))


def level_table(levels: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Results of each level, one row a level."""
    rows = [
        {"level": level}
        | {name: part[name] for name in LEVEL_COLUMNS}
        | {f"contradicting_{name}": value for name, value in part["share_contradicting"].items()}
        for level, part in levels.items()
    ]
    return pd.DataFrame(rows)


def _column(column: pd.Series, kind: str, place: Mapping[Any, int]) -> Sequence[Any]:
    if kind == "gene":
        return [place[gene] for gene in column]
    if kind == "word":
        return ["" if pd.isna(value) else str(value) for value in column]
    return [None if not np.isfinite(value) else float(f"{value:.4g}") for value in column.astype(float)]
