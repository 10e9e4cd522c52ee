"""Long tables: one line for each gene of each cell, as some counters write them; spread to cells by genes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .._checks import InputError, printable
from .formats import decode, opened, read_decompressed


@dataclass(frozen=True)
class LongTable:
    """A form of long tables."""

    tool: str
    """Who writes it, with the version that was looked at."""
    gene: str
    cell: str
    value: str
    """Headers of its columns."""


LONG_TABLES = (
    LongTable("umi_tools 1.1 (count --per-cell)", "gene", "cell", "count"),
    LongTable("BD Rhapsody (Expression_Data.st)", "Gene", "Cell_Index", "RSEC_Adjusted_Molecules"),
    LongTable("BD Rhapsody (Expression_Data.st)", "Bioproduct", "Cell_Index", "RSEC_Adjusted_Molecules"),
)
FIRST = 4096


def long_table_of(path: Path) -> LongTable | None:
    """Return which long table a text file is, by its header."""
    with opened(path) as file:
        head = file.read(FIRST).decode("utf-8", "replace").splitlines()
    header = next((line for line in head if line.strip() and not line.startswith("#")), "")
    words = {cell.strip(' "') for cell in header.split("\t")}
    return next((form for form in LONG_TABLES if {form.gene, form.cell, form.value} <= words), None)


def read_long_table(path: Path) -> tuple[AnnData, list[str]]:
    """Read a long table; cells that it does not name have no counts and are not there.

    Raises
    ------
    InputError
        It is none, a value is no number, or a gene of a cell stands there twice.
    """
    form = long_table_of(path)
    if form is None:
        raise InputError("expected a table of gene, cell and count, one a line; found another header")
    text = decode(read_decompressed(path))
    lines = text.split("\n", 200)
    start = sum(1 for line in lines[: next(i for i, x in enumerate(lines) if x and x[0] != "#")])
    table = pd.read_csv(
        io.StringIO(text),
        sep="\t",
        skiprows=start,
        usecols=[form.gene, form.cell, form.value],
        dtype={form.gene: str, form.cell: str},
        na_filter=False,
    )
    values = pd.to_numeric(table[form.value], errors="coerce").to_numpy(dtype=np.float64)
    if not len(table) or not np.isfinite(values).all():
        found = (
            "no lines"
            if not len(table)
            else f"{printable(table[form.value][~np.isfinite(values)].iloc[0])!r}"
        )
        raise InputError(f"expected numbers in the column {form.value}; found {found}")
    gene, genes = pd.factorize(table[form.gene])
    cell, cells = pd.factorize(table[form.cell])
    if table.duplicated([form.gene, form.cell]).any():
        twice = table[table.duplicated([form.gene, form.cell])].iloc[0]
        raise InputError(
            f"expected each gene of a cell once; {printable(twice[form.gene], 40)!r} of "
            f"{printable(twice[form.cell], 40)!r} stands there twice; name the cells of each run apart"
        )
    adata = AnnData(
        sp.csr_matrix((values, (cell, gene)), shape=(len(cells), len(genes))),
        obs=pd.DataFrame(index=pd.Index(cells, dtype=object)),
        var=pd.DataFrame(index=pd.Index(genes, dtype=object)),
    )
    return adata, [f"a long table ({form.tool}) was spread: {len(table):,} lines, column {form.value}"]
