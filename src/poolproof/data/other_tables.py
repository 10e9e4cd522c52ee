"""Tables with a form of their own: GCT, parquet, and the series matrix of GEO."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from .._checks import InputError, printable
from .formats import decode, parse, parse_text, read_decompressed
from .tables import Table, numbers_of, to_table

GCT_MISSING = -666
"""What GCT files write for a missing value besides ``na``: the Connectivity Map's mark (cmapPy 4.0)."""


def read_gct(path: Path) -> Table:
    """Read a GCT table, version 1.2 or 1.3 (Broad Institute), genes in rows."""
    lines = decode(read_decompressed(path)).rstrip("\n").split("\n")
    version = lines[0].strip()
    if version not in ("#1.2", "#1.3"):
        raise InputError(
            f"expected a GCT file that starts with #1.2 or #1.3; found {printable(lines[0], 40)!r}"
        )
    sizes = [int(n) for n in lines[1].split()]
    if len(sizes) != (2 if version == "#1.2" else 4) or min(sizes) < 0:
        raise InputError(
            f"expected the table's dimensions in line 2 of a GCT file; found {printable(lines[1], 40)!r}"
        )
    n_rows, n_columns, n_row_notes, n_column_notes = (*sizes, 1, 0) if version == "#1.2" else sizes
    header = lines[2].split("\t")
    body = [line.split("\t") for line in lines[3 : 3 + n_column_notes]]
    data = [line for line in lines[3 + n_column_notes :] if line.strip()]
    n_text, n_fields = 1 + n_row_notes, 1 + n_row_notes + n_columns
    widths = {len(header), *map(len, body), *(line.count("\t") + 1 for line in data)}
    if widths != {n_fields} or len(data) != n_rows:
        raise InputError(
            f"expected {n_rows} rows of {n_fields} fields, as the head of the GCT file says; found "
            f"{len(data)} rows "
            f"of {min(widths)} to {max(widths)}; the file may have been cut"
        )
    if not data or not n_columns:
        raise InputError("expected a table; the GCT file has no rows or no samples")
    text = "\n".join(data)
    frame = parse(text, "\t", n_fields, n_text, header=None, quoting=csv.QUOTE_NONE)
    row_names = frame.iloc[:, 0].tolist()
    values = np.column_stack(
        [numbers_of(frame.iloc[:, j], row_names, header[j]) for j in range(n_text, n_fields)]
    )
    row_notes = pd.DataFrame({header[j]: frame.iloc[:, j].to_numpy() for j in range(1, n_text)})
    row_notes.index = pd.RangeIndex(n_rows)
    column_notes = pd.DataFrame({row[0]: row[n_text:] for row in body})
    marked = values == GCT_MISSING
    values[marked] = np.nan
    said = (
        f"{int(marked.sum())} values are -666, the mark of GCT files for missing ones, and are taken as that"
    )
    return Table(
        values,
        row_names,
        header[n_text:],
        row_notes,
        column_notes,
        corner=header[0],
        warnings=[said] if marked.any() else [],
    )


def read_parquet(path: Path) -> Table:
    """Read a parquet table; row names are its index or its first column of text."""
    frame = pd.read_parquet(path)
    if not isinstance(frame.index, pd.RangeIndex):
        frame.insert(0, "", frame.index.astype(str), allow_duplicates=True)
        named = True
    else:
        named = False
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        raise InputError("expected a table; found no rows or no columns")
    return to_table(frame, [str(label) for label in frame.columns], named=named)


_BEGIN, _END = "!series_matrix_table_begin", "!series_matrix_table_end"


def read_series_matrix(path: Path) -> Table:
    """Read the table of a GEO series matrix, probes in rows; titles and the like describe samples."""
    lines = decode(read_decompressed(path)).split("\n")
    begin = next((i for i, line in enumerate(lines) if line.startswith(_BEGIN)), None)
    end = next((i for i, line in enumerate(lines) if line.startswith(_END)), len(lines))
    if begin is None or end <= begin + 2:
        raise InputError(
            "expected a table between !series_matrix_table_begin and _end; this series matrix has none, as "
            "those of sequencing have not: take the supplementary files of the series"
        )
    frame, labels = parse_text("\n".join(lines[begin + 1 : end]))
    table = to_table(frame, labels, named=True)
    table.warnings.append("the values are as their submitter wrote them: often logs, or normalised")
    notes: dict[str, list[str]] = {}
    for line in lines[:begin]:
        cells = [cell.strip(' "') for cell in line.split("\t")]
        if cells[0] in _SAMPLE_LINES and len(cells) == len(table.column_names) + 1:
            name = cells[0].removeprefix("!Sample_")
            if name == "characteristics_ch1" and ":" in cells[1]:
                name = cells[1].split(":")[0]
                cells[1:] = [cell.split(":", 1)[-1].strip() for cell in cells[1:]]
            notes[name if name not in notes else f"{name}_{len(notes)}"] = cells[1:]
    table.column_notes = pd.DataFrame(notes)
    return table


_SAMPLE_LINES = ("!Sample_title", "!Sample_source_name_ch1", "!Sample_characteristics_ch1")
