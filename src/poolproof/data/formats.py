"""Parsers of the text and parquet formats: from a file to a table.

A parser here may raise anything on bad content; ``io.read`` turns that into one line. What a parser
can say better itself (the row and the column of a cell of text) it raises as `InputError`.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._checks import InputError, printable

INDEX_LIKE = re.compile(
    r"gene|symbol|name|probe|feature|transcript|sample|cell|index|^ids?$|_id$", re.IGNORECASE
)
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
MISSING_WORDS = ("", "NA", "NaN", "nan", "na", "N/A", "#N/A", "null", "NULL", "None", "<NA>")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GENE_WORDS = _words(
    """gene genes gene_id geneid gene_name genename gene_symbol genesymbol symbol symbols hgnc hgnc_symbol
    ensembl ensembl_id ensembl_gene_id ensg entrez entrezid entrez_id entrez_gene_id entrezgene entrezgene_id
    ncbi_gene_id ncbigene gene_stable_id external_gene_name hgnc_id mgi_symbol mgi_id refseq uniprot
    uniprotid gene_ids genes_id probe_set_id locus locus_tag feature
    feature_id probe probe_id probeset id_ref orf transcript transcript_id target_id"""
)
SAMPLE_WORDS = _words(
    """sample samples sample_id sampleid sample_name cell cells cell_id cellid cell_name barcode barcodes
    donor donor_id patient patient_id subject subject_id individual run well array geo_accession depmap_id
    modelid model_id cell_line cellline tumor_sample_barcode"""
)
INDEX_WORDS = GENE_WORDS | SAMPLE_WORDS | _words("index id name names rowname rownames")
GENE_NOTES = GENE_WORDS | _words(
    """chr chrom chromosome start end stop strand length gene_length description product biotype gene_biotype
    gene_type gene_description"""
)
SAMPLE_NOTES = SAMPLE_WORDS | _words(
    """batch age sex gender condition treatment group time cell_type celltype cluster label tissue n_counts
    total_counts n_genes"""
)
"""Headers of columns that describe rows: in the block after the names they are never values."""
GENE_TABLE = _words(
    """chr chrom chromosome start end strand length gene_length effective_length gene_description description
    biotype gene_biotype gene_type entrez entrezid entrez_id entrez_gene_id entrezgene entrezgene_id
    ncbi_gene_id    hgnc_id gene_symbol hugo_symbol gene_name"""
)
"""Headers of columns that describe genes wherever they stand: featureCounts, biomaRt, cBioPortal, GDC."""
COUNTER_WORDS = (
    "",
    "unnamed:_0",
    "unnamed:_0.1",
    "unnamed:_0_1",
    "index",
    "level_0",
    "x",
    "row",
    "row_number",
)
"""Headers of a column that only numbers the rows: pandas and R write it."""


@dataclass
class Table:
    """A table of numbers with named rows and columns; which of them are genes is not decided here."""

    values: np.ndarray
    """Shape ``(n_rows, n_columns)``, float64; NaN where missing."""
    row_names: list[str]
    column_names: list[str]
    row_notes: pd.DataFrame
    """Annotation columns, one row per row of ``values``."""
    column_notes: pd.DataFrame
    """Annotation rows (GCT 1.3), one row per column of ``values``."""
    corner: str = ""
    """Header of the column of row names."""
    warnings: list[str] = field(default_factory=list)


# --- text ------------------------------------------------------------------------------------------


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
        raise InputError("expected text; found binary content; check the file or name its --format")
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


# --- tables ----------------------------------------------------------------------------------------


def to_table(frame: pd.DataFrame, labels: list[str], *, named: bool = False) -> Table:
    """Tell names, annotation and values of a parsed table apart.

    Parameters
    ----------
    frame
        Parsed cells, shape ``(n_rows, n_columns)``; the first column may hold the row names.
    labels
        Header of each column.
    named
        True if the first column is known to hold the row names.

    Raises
    ------
    InputError
        A cell of a value column holds text or an infinite number; no column is numeric.
    """
    warnings: list[str] = []
    first, corner = frame.iloc[:, 0], labels[0]
    word = header_word(corner)
    second = frame.iloc[:, 1] if frame.shape[1] > 1 else first
    if word in COUNTER_WORDS and _is_counter(first) and _text_share(second) == 1.0 and second.is_unique:
        warnings.append("the first column numbers the rows and was left out")  # pandas' index, written
        frame, labels, named = frame.iloc[:, 1:], labels[1:], True
        first, corner = frame.iloc[:, 0], labels[0]
        word = header_word(corner)
    if named or word in INDEX_WORDS or word in ("", "unnamed:_0") or _is_text(first):
        row_names = ["" if pd.isna(name) else str(name) for name in first]
        start = 1
    else:
        row_names = [str(i + 1) for i in range(len(frame))]
        start, corner = 0, ""
        warnings.append("no column of row names was found: rows are numbered")
    columns = [frame.iloc[:, j] for j in range(frame.shape[1])]
    empty = [j for j in range(start, len(columns)) if not labels[j] and columns[j].isna().all()]
    empty += [j for j in range(start, len(columns)) if _numbers_rows(columns[j], labels[j])]
    notes = [j for j in _note_columns(columns, labels, start) if j not in empty]
    kept = [j for j in range(start, len(columns)) if j not in set(notes) | set(empty)]
    if not kept:
        cells = [str(cell) for j in notes for cell in columns[j].head(20)]
        comma = any(re.fullmatch(DECIMAL_COMMA, cell) for cell in cells)
        way_out = "write decimals with a point" if comma else "check the delimiter and the file"
        raise InputError(f"expected columns of numbers; found none; {way_out}")
    values = np.empty((len(frame), len(kept)))
    separated = [j for j in kept if _has_thousands(columns[j])]
    if separated and _are_thousands([columns[j] for j in kept if not _is_numeric(columns[j])]):
        warnings.append(
            f"commas in {len(separated)} columns were taken as thousands separators (1,234 as 1234); where "
            "they are decimal commas, write decimals with a point"
        )
        for j in separated:
            columns[j] = columns[j].astype(str).str.replace(",", "", regex=False)
    for position, j in enumerate(kept):
        values[:, position] = numbers_of(columns[j], row_names, labels[j])
    if notes:
        listed = ", ".join(printable(labels[j] or "(no header)", 30) for j in notes[:6])
        more = f" and {len(notes) - 6} more" if len(notes) > 6 else ""
        warnings.append(f"columns taken as annotation, not as values: {listed}{more}")
    row_notes = pd.DataFrame({labels[j] or f"column_{j + 1}": columns[j].to_numpy() for j in notes})
    row_notes.index = pd.RangeIndex(len(frame))
    table = Table(
        values,
        row_names,
        [labels[j] for j in kept],
        row_notes,
        pd.DataFrame(),
        corner=corner,
        warnings=warnings,
    )
    return _without_empty_rows(table)


def _note_columns(columns: list[pd.Series], labels: list[str], start: int) -> list[int]:
    """Return the columns that describe rows: the leading block, and any column of nothing but text."""
    notes = []
    leading = True
    for j in range(start, len(columns)):
        word = header_word(labels[j])
        known = leading and (word in GENE_NOTES or word in SAMPLE_NOTES)
        if known or word in GENE_TABLE or _share_of_words(columns[j]) == 1.0:
            notes.append(j)
        else:
            leading = False
    return notes


def header_word(label: str) -> str:
    """Return a header in the form that the word lists use."""
    return re.sub(r"[\s.-]+", "_", label.strip().lstrip("#").lower())


def _is_counter(column: pd.Series) -> bool:
    """Say whether a column counts the rows from 0 or 1."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    return any(np.array_equal(numbers, np.arange(start, start + len(numbers))) for start in (0, 1))


def _numbers_rows(column: pd.Series, label: str) -> bool:
    return header_word(label) in COUNTER_WORDS and _is_counter(column)


def _share_of_words(column: pd.Series) -> float:
    """Return the share of text that is no number with thousands separators."""
    share = _text_share(column)
    if share == 0.0:
        return 0.0
    present = column[column.notna()].astype(str)
    return 0.0 if present.str.fullmatch(THOUSANDS).any() else share


def _is_text(column: pd.Series) -> bool:
    """Say whether any cell is neither a number nor missing."""
    return _text_share(column) > 0.0


def _text_share(column: pd.Series) -> float:
    """Return the share of text among the cells that are not missing."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return 1.0
    if pd.api.types.is_numeric_dtype(column.dtype):
        return 0.0
    present = column[column.notna()].astype(str)
    present = present[~present.isin(MISSING_WORDS)]
    return float(pd.to_numeric(present, errors="coerce").isna().mean()) if len(present) else 0.0


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype)


def _has_thousands(column: pd.Series) -> bool:
    return not _is_numeric(column) and bool(column.astype(str).str.fullmatch(THOUSANDS).any())


def _are_thousands(columns: list[pd.Series]) -> bool:
    """Say whether commas separate thousands: each number of 1,000 and more has them, no smaller one."""
    text = pd.concat(columns).dropna().astype(str)
    comma = text.str.contains(",", regex=False)
    if not text[comma].str.fullmatch(THOUSANDS).all():
        return False
    plain = pd.to_numeric(text[~comma], errors="coerce").abs()
    return bool((plain.dropna() < 1000).all())


def numbers_of(column: pd.Series, row_names: list[str], label: str) -> np.ndarray:
    """Return a column as float64, or refuse it naming the first bad cell."""
    if pd.api.types.is_complex_dtype(column.dtype):
        raise InputError(f"expected real numbers; column {printable(label)!r} holds complex ones")
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        text = column.where(column.notna(), "").astype(str)
        numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
        bad = np.isnan(numbers) & ~text.isin(MISSING_WORDS).to_numpy()
        if column.dtype == bool:
            bad[:] = True
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            cell = text.iloc[row]
            comma = "; write decimals with a point" if re.fullmatch(DECIMAL_COMMA, cell) else ""
            raise InputError(
                f"expected numbers; row {printable(row_names[row], 40)!r}, column {printable(label, 40)!r} "
                f"holds "
                f"{printable(cell, 40)!r}; remove the text, or write NA where a value is missing{comma}"
            )
    if np.isinf(numbers).any():
        row = int(np.flatnonzero(np.isinf(numbers))[0])
        raise InputError(
            f"expected finite numbers; row {printable(row_names[row], 40)!r}, column "
            f"{printable(label, 40)!r} is "
            "infinite; write NA where a value is missing"
        )
    return numbers


def _without_empty_rows(table: Table) -> Table:
    """Drop rows that have neither name nor values, as spreadsheets leave them at the end."""
    blank = np.array([not name.strip() for name in table.row_names]) & np.isnan(table.values).all(axis=1)
    if blank.any():
        keep = np.flatnonzero(~blank)
        table.values = table.values[keep]
        table.row_names = [table.row_names[i] for i in keep]
        table.row_notes = table.row_notes.iloc[keep].reset_index(drop=True)
        table.warnings.append(f"{int(blank.sum())} empty rows were left out")
    return table
