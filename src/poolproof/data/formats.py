"""Parsers of the text and parquet formats: from a file to a table.

A parser here may raise anything on bad content; ``io.read`` turns that into one line. What a parser
can say better itself (the row and the column of a cell of text) it raises as `InputError`.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from pathlib import Path
from typing import Any

import pandas as pd

from .._checks import InputError, printable
from .tables import INDEX_LIKE, MISSING_WORDS, Table, to_table


def read_decompressed(path: Path) -> bytes:
    """Return the bytes of a file, unpacked if they are gzip, whatever the name says."""
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def opened(path: Path) -> io.BufferedIOBase:
    """Open a file that may be gzip, whatever its name says."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")


def decode(data: bytes) -> str:
    """Return text with line feeds only; binary content is refused."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    if "\x00" in text:
        raise InputError(
            "expected text; found binary content; check the file, and that its ending says what it is"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(path: Path) -> Table:
    """Read a csv, tsv or txt table, with or without gzip."""
    text, said = _with_header(decode(read_decompressed(path)))
    frame, labels = parse_text(text)
    table = to_table(frame, labels, named=not labels[0])
    table.warnings[:0] = said
    return table


def _with_header(text: str) -> tuple[str, list[str]]:
    """Give a table a header whose first line is a row like the others, as htseq-count writes many files.

    That is so where all of its cells but the first are numbers and the first is formed like a name of a row.
    """
    body = _without_comments(text.lstrip("\n"))
    lines = [line for line in body.split("\n", 200)[:200] if line.strip()]
    if len(lines) < 3:
        return text, []
    delimiter = next((d for d in "\t,;" if d in lines[0]), " ")
    rows = [[cell.strip(' "') for cell in line.split(delimiter)] for line in lines]
    first, cells = rows[0][0], rows[0][1:]
    alike = {_form(row[0]) for row in rows[1:]}
    if (
        len({len(row) for row in rows[:-1]}) > 1
        or not (first and cells and all(map(_is_number, cells)))
        or _is_number(first)
        or _form(first) not in alike
        or INDEX_LIKE.search(first)
    ):
        return text, []
    header = delimiter.join(["", *(f"sample_{i + 1}" for i in range(len(cells)))])
    said = f"no header was found (the first line begins with {printable(first, 30)!r}): samples are numbered"
    return f"{header}\n{body}", [said]


def _form(name: str) -> str:
    """The form of a name: upper case, lower case, digits and the rest, each once where repeated."""
    kinds = "".join("A" if c.isupper() else "a" if c.islower() else "0" if c.isdigit() else c for c in name)
    return re.sub(r"(.)\1+", r"\1", kinds)


def parse_text(text: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the fields of a text table, the first column as text, and a label for each column.

    R writes a header without a label for the first column: that label is then empty.
    """
    text = _without_comments(text.lstrip("\n"))
    if not text.strip():
        raise InputError("expected a table; found an empty file")
    delimiter = _delimiter(text)
    header, n_fields = _header_and_width(text, delimiter)
    frame = parse(text, delimiter, n_fields, n_text_columns=1)
    shifted = len(header) == n_fields - 1
    if shifted and frame.iloc[:, -1].isna().all():  # a delimiter at the end of each row, not R's header
        frame = frame.iloc[:, :-1]
        shifted = False
    return frame, [label.strip() for label in (["", *header] if shifted else header)]


def _without_comments(text: str) -> str:
    """Drop the comment lines above a table, such as the command line that featureCounts writes."""
    start = 0
    while text.startswith("#", start):
        end = text.find("\n", start) + 1 or len(text)
        following = text[end : text.find("\n", end) + 1 or len(text)]
        line = text[start:end]
        if any(line.count(d) == following.count(d) > 0 for d in "\t,;") and not following.startswith("#"):
            break  # the header itself starts with the mark: "#NAME<tab>sample1"
        start = end
    return text[start:]


def _delimiter(text: str) -> str:
    """Return the delimiter that splits the first rows into equally many fields."""
    head = [line for line in text.split("\n", 20)[:20] if line.strip()]
    best, most = "", 1
    for delimiter in ("\t", ",", ";", " "):
        widths = _widths(head, delimiter)
        body = widths[1:] or widths
        agree = body.count(body[0]) >= 0.5 * len(body)
        if body[0] > most and agree and widths[0] in (body[0], body[0] - 1):
            best, most = delimiter, body[0]
            if delimiter == "\t":
                break
    if not best:
        raise InputError(
            f"expected a table split by tabs, commas, semicolons or spaces; found the first line "
            f"{printable(head[0] if head else '')!r}; check that the file holds a table"
        )
    return best


def _widths(lines: list[str], delimiter: str) -> list[int]:
    """Return the number of fields of each line; 1 where a quoted field would be longer than csv reads."""
    if not any('"' in line for line in lines) and delimiter != " ":
        return [line.count(delimiter) + 1 for line in lines]
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter == " ")
    try:
        return [len(row) for row in rows]
    except csv.Error:  # one field of more than 128 KiB: this is not what splits them
        return [1] * len(lines)


def _header_and_width(text: str, delimiter: str) -> tuple[list[str], int]:
    """Return the header and the number of fields of each row, which must agree."""
    header: list[str] = []
    n_fields = n_rows = 0
    if '"' in text or delimiter == " ":
        rows = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=delimiter == " ")
        widths = (
            (row if not header else None, len(row) - (delimiter == " " and row[-1:] == [""])) for row in rows
        )
    else:
        lines = text.split("\n")
        header = lines[0].split(delimiter)
        widths = ((None, line.count(delimiter) + 1) for line in lines if line.strip(" "))
        next(widths)
    for first, width in widths:
        if width == 0:
            continue
        if not header:
            header = list(first or [])[:width]
            continue
        n_rows += 1
        n_fields = n_fields or width
        if width != n_fields:
            raise InputError(
                f"expected {n_fields} fields in each row; row {n_rows} below the header has {width}; "
                "the file may have been cut or a name may hold the delimiter"
            )
    if n_rows == 0:
        raise InputError("expected a header and rows; found one line only")
    if len(header) not in (n_fields, n_fields - 1):
        raise InputError(
            f"expected a header of {n_fields} or {n_fields - 1} names for rows of {n_fields} fields; "
            f"found {len(header)}; the file may have been cut"
        )
    numbers = [_is_number(name) for name in header[1:]]
    if (
        numbers
        and all(numbers)
        and (len(set(header[1:])) < len(numbers) or any("." in n for n in header[1:]))
    ):
        raise InputError("expected names in the first row; found numbers; add a header of names")
    return header, n_fields


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse(text: str, delimiter: str, n_fields: int, n_text_columns: int, **options: Any) -> pd.DataFrame:
    """Parse a table whose width is known; columns are numbered, the first ones kept as text."""
    options = {
        "header": 0,
        "names": list(range(n_fields)),
        "index_col": False,
        "dtype": dict.fromkeys(range(n_text_columns), str),
        "keep_default_na": False,
        "na_values": {i: list(MISSING_WORDS) for i in range(n_text_columns, n_fields)},
        "float_precision": "round_trip",
        "low_memory": False,
        **options,
    }
    frame: pd.DataFrame = pd.read_csv(
        io.StringIO(text), sep=r"\s+" if delimiter == " " else delimiter, **options
    )
    return frame
