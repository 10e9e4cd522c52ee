"""Lists of regulators and tables of edges: read from files, matched to the genes of the data."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from xml.parsers import expat

import pandas as pd

from .._checks import InputError, printable
from .edge_words import (
    REGULATOR_NAMES,
    SECOND_REGULATOR_NAMES,
    SECOND_TARGET_NAMES,
    TARGET_NAMES,
    WEIGHT_NAMES,
    real_edges,
)
from .matching import count_edges, plain_name
from .network_formats import edges_of_graph, parse_network
from .streams import whole_file

MAX_BYTES = 1 << 30
"""Largest file that is read, in bytes after decompression: guards against gzip bombs."""

LIST_NAMES = ("regulator", "tf", "source", "gene", "symbol")

Text = str | PathLike[str]


def read_regulators(path: Text) -> list[str]:
    """Read a list of regulators.

    Parameters
    ----------
    path
        A text file, gzipped or not: one name a line, or a table (comma, tab, semicolon) whose column
        ``regulator``, ``TF``, ``source``, ``gene`` or ``symbol``, else whose first column, holds the
        names. Lines that start with ``#``, and what follows `` #``, are comments.

    Returns
    -------
    The names in the order of the file, each once.

    Raises
    ------
    InputError
        The file cannot be read, is not text, or holds no name.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "regulators.txt")
    >>> _ = path.write_text("# interferon\\nSTAT1\\nIRF1\\nSTAT1\\n")
    >>> read_regulators(path)
    ['STAT1', 'IRF1']
    """
    where = printable(Path(path).name or path)
    text = re.sub(r"(?m)^ +|[ \t]#.*$", "", _read_text(path))
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(io.StringIO(text), delimiter=_delimiter(text))
        ]
    except csv.Error as error:
        raise InputError(f"{where}: expected one regulator a line; found broken quotes ({error})") from error
    rows = [row for row in rows if any(row)]
    column = 0
    if rows:
        named = _find(rows[0], LIST_NAMES)
        column, rows = (0, rows) if named is None else (named, rows[1:])
    names = list(dict.fromkeys(row[column] for row in rows if len(row) > column and row[column]))
    if not names:
        raise InputError(
            f"{where}: expected one regulator a line; found no name; list gene names, one a line"
        )
    return names


def read_edges(path: Text) -> pd.DataFrame:
    """Read a table of regulator -> target edges.

    Parameters
    ----------
    path
        One of these, gzipped or not. A table (tab, comma, semicolon or blanks) with a header that names
        the regulator (``regulator``, ``TF``, ``source``, ``from``, ...), the target (``target``, ``to``,
        ``target_gene``, ...) and perhaps a weight (``weight``, ``importance``, ...). A table without
        header: regulator, target and perhaps a weight, as GENIE3, GRNBoost2 and pySCENIC write it.
        GraphML, GEXF, GML and DOT, where an undirected edge is read as two edges; the text of causal-learn
        and Tetrad; SIF; BIF. Weight 0, sign 0 and ``is_edge`` false are no edges.

    Returns
    -------
    Table with the text columns ``regulator`` and ``target``, ``weight`` (float) where the file has one,
    and the file's other columns as text. Each ordered pair occurs once (the row with the largest absolute
    weight, else the first), no gene regulates itself; ``.attrs["warnings"]`` lists the sentences that say
    what was dropped.

    Raises
    ------
    InputError
        The file cannot be read, is neither of these, holds no edge, or has a weight that is no number.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "adjacencies.tsv")
    >>> _ = path.write_text("TF\\ttarget\\timportance\\nIRF1\\tSTAT1\\t3.5\\nIRF1\\tIRF1\\t9\\n")
    >>> edges = read_edges(path)
    >>> edges
      regulator target  weight
    0      IRF1  STAT1     3.5
    >>> edges.attrs["warnings"]
    ['adjacencies.tsv: 1 edge from a gene to itself dropped']
    """
    where = printable(Path(path).name or path)
    data = _read_bytes(path)
    warnings: list[str] = []
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<graphml", b"<gexf", b"<!")):
        edges = _parse_xml(data, where)
    else:
        text = _decode(data, where)
        found = parse_network(text, Path(path).name, where)
        edges = _parse_table(text, where) if found is None else found
    edges["regulator"] = edges["regulator"].str.strip()
    edges["target"] = edges["target"].str.strip()
    if "weight" in edges:
        edges["weight"] = _numbers(edges["weight"], where)
    edges = real_edges(edges, where, warnings)
    edges = _clean(edges, where, warnings)
    edges.attrs["warnings"] = warnings
    return edges


def _read_bytes(path: Text) -> bytes:
    """The content of a file, decompressed if it is gzipped."""
    where = printable(Path(path).name or path)
    try:
        with whole_file(path) as whole, whole.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) if zipped else raw as stream:
                data = stream.read(MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{where}: expected a whole gzip file; found a cut or broken one; copy it again"
        ) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{where}: expected a readable file; found: {reason}; check the path") from error
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{where}: expected at most {MAX_BYTES >> 20} MiB of text; found more; keep fewer edges"
        )
    return data


def _decode(data: bytes, where: str) -> str:
    """Text without byte-order mark, ``\\r\\n`` and comment lines."""
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: expected UTF-8 text; found other bytes; save it as UTF-8 text") from error
    if "\0" in text:
        raise InputError(f"{where}: expected text; found a binary file; save it as csv, tsv or GraphML")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first, _, rest = text.partition("\n")
    if (
        first.startswith("#")
        and first.count("\t") > 0
        and first.count("\t") == rest.split("\n", 1)[0].count("\t")
    ):
        text = text[1:]  # the header itself starts with the mark
    return re.sub(r"(?m)^[ \t]*#.*$", "", text)


def _read_text(path: Text) -> str:
    return _decode(_read_bytes(path), printable(Path(path).name or path))


def _delimiter(text: str) -> str:
    """The delimiter of the first line that holds something; a blank if there is none of the usual."""
    line = next((line for line in io.StringIO(text) if line.strip()), "")
    return next((mark for mark in "\t,;" if mark in line), " ")


def _find(header: Sequence[str], names: Sequence[str]) -> int | None:
    """Position of the first of ``names`` that a header has."""
    plain = [plain_name(cell) for cell in header]
    return next((plain.index(name) for name in names if name in plain), None)


def _parse_table(text: str, where: str) -> pd.DataFrame:
    """The columns of a table of edges as text; regulator, target and weight under these names."""
    mark = _delimiter(text)
    separator = r"\s+" if mark == " " else mark
    try:
        head = pd.read_csv(io.StringIO(text), sep=separator, header=None, nrows=1, dtype=str, na_filter=False)
        header = [str(cell) for cell in head.iloc[0]]
        ends = _ends(header, where)
        named = ends is not None
        body = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            skiprows=_first_line(text) + 1 if named else 0,
            dtype=str,
            na_filter=False,
        )
    except InputError:
        raise
    except pd.errors.EmptyDataError as error:
        raise InputError(
            f"{where}: expected edges, one a line; found none; give regulator and target"
        ) from error
    except (pd.errors.ParserError, csv.Error, ValueError) as error:
        raise InputError(
            f"{where}: expected a table of edges; found lines of different lengths or broken quotes "
            f"({printable(str(error).strip())})"
        ) from error
    body = body.fillna("")
    if not named:
        return _name_by_position(body, header, where)
    if body.shape[1] == len(header) + 1 and (body.iloc[:, -1] == "").all():
        body = body.iloc[:, :-1]  # a delimiter at the end of every line
    elif body.shape[1] == len(header) + 1:
        header = ["", *header]  # row names, as R writes them
    if body.shape[1] != len(header):
        raise InputError(
            f"{where}: expected {len(header)} columns, as its header names; found {body.shape[1]}"
        )
    regulator, target = _ends(header, where) or (0, 1)
    chosen = {regulator: "regulator", target: "target"}
    weight = _find(header, WEIGHT_NAMES)
    if weight is not None:
        chosen[weight] = "weight"
        if mark == ";":  # then decimals may have a comma
            body.iloc[:, weight] = body.iloc[:, weight].str.replace(",", ".", regex=False)
    names: list[str] = []
    for position, column in enumerate(header):
        name = chosen.get(position, column)
        while position not in chosen and (name in names or name in chosen.values()):
            name += "_"
        names.append(name)
    body.columns = pd.Index(names)
    return body


def _ends(header: Sequence[str], where: str) -> tuple[int, int] | None:
    """Positions of regulator and target in a header; None if the line is none."""
    header = [re.sub(r"^\d+\)\s*", "", cell) for cell in header]  # RegulonDB numbers its columns
    regulator, target = _find(header, REGULATOR_NAMES), _find(header, TARGET_NAMES)
    if regulator is not None and target is None:
        target = _find(header, SECOND_TARGET_NAMES)
    elif target is not None and regulator is None:
        regulator = _find(header, SECOND_REGULATOR_NAMES)
    if regulator is not None and target is not None:
        return regulator, target
    found = next((header[at] for at in (regulator, target) if at is not None), None)
    if found is None or (plain_name(found) in ("tf", "to", "from") and len(header) == 2):  # TF is a gene, too
        return None
    known = f"the {'regulator' if target is None else 'target'} ({printable(found, 30)!r})"
    others = ", ".join(printable(cell, 30) for cell in header if cell != found)
    raise InputError(
        f"{where}: expected a header with regulator and target; it names {known}, and no other column "
        f"({others}) is known; name the columns regulator and target"
    )


def _first_line(text: str) -> int:
    """Number of the first line that holds something, from 0."""
    return next(number for number, line in enumerate(io.StringIO(text)) if line.strip())


def _name_by_position(body: pd.DataFrame, first: list[str], where: str) -> pd.DataFrame:
    """A table without header: regulator, target and perhaps a weight."""
    width = body.shape[1]
    if width not in (2, 3) or (width == 3 and not _is_number(first[2])):
        shown = ", ".join(printable(cell, 30) for cell in first[:5])
        raise InputError(
            f"{where}: expected a header with regulator and target, or columns regulator, target[, weight]; "
            f"found a first line: {shown}; name the columns"
        )
    body.columns = pd.Index(["regulator", "target", "weight"][:width])
    return body


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(column: pd.Series, where: str) -> pd.Series:
    """Weights as floats; NaN where none is given."""
    text = column.str.strip()
    numbers = pd.to_numeric(text, errors="coerce")
    absent = text.str.lower().isin(["", "na", "nan"])
    wrong = text[numbers.isna() & ~absent]
    if len(wrong):
        raise InputError(
            f"{where}: expected numbers as weights; found {printable(wrong.iloc[0], 40)!r}; mend that column"
        )
    return numbers.astype(float)


def _parse_xml(data: bytes, where: str) -> pd.DataFrame:
    """Edges of a GraphML or GEXF file; nodes go by the attribute that names each of them differently."""
    import networkx as nx  # takes half a second: only where it is needed

    _refuse_doctype(data, where)
    form = "GEXF" if b"<gexf" in data[:10_000] else "GraphML"
    try:
        graph = (nx.read_gexf if form == "GEXF" else nx.read_graphml)(io.BytesIO(data))
    except Exception as error:  # networkx lets many kinds out of a malformed file
        raise InputError(f"{where}: expected {form} with one graph; found: {printable(error)}") from error
    for key, default in graph.graph.get("edge_default", {}).items():  # networkx leaves declared defaults out
        for _, _, attributes in graph.edges(data=True):
            attributes.setdefault(key, default)
    return edges_of_graph(graph)


def _refuse_doctype(data: bytes, where: str) -> None:
    """Refuse XML that declares a document type: entities declared there can expand without end."""

    def refuse(*_: object) -> None:
        raise InputError(
            f"{where}: expected GraphML without a document type; found <!DOCTYPE; delete that declaration"
        )

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except InputError:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:  # an unknown encoding is a LookupError
        raise InputError(f"{where}: expected well-formed GraphML; found: {printable(error)}") from error


def _clean(edges: pd.DataFrame, where: str, warnings: list[str]) -> pd.DataFrame:
    """Drop edges without an end, from a gene to itself, or named before; say how many of each."""
    without_end = (edges["regulator"] == "") | (edges["target"] == "")
    if without_end.any():
        warnings.append(f"{where}: {count_edges(int(without_end.sum()))} without regulator or target dropped")
        edges = edges[~without_end]
    loop = edges["regulator"] == edges["target"]
    if loop.any():
        warnings.append(f"{where}: {count_edges(int(loop.sum()))} from a gene to itself dropped")
        edges = edges[~loop]
    ordered = edges
    if "weight" in edges:
        strongest = (
            edges["weight"].abs().sort_values(ascending=False, kind="stable", na_position="last").index
        )
        ordered = edges.loc[strongest]
    distinct = ordered.drop_duplicates(["regulator", "target"]).sort_index()
    if repeats := len(edges) - len(distinct):
        which = "with the largest weight" if "weight" in edges else "named first"
        warnings.append(
            f"{where}: {count_edges(repeats)} named again dropped; of each pair the row {which} is kept"
        )
    if distinct.empty:
        raise InputError(f"{where}: expected edges, one a line; found none between two different genes")
    return distinct.reset_index(drop=True)
