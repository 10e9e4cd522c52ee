"""Folders with one table a sample, as quantifiers and the GDC leave them: joined to samples by genes."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from .._checks import InputError, printable
from .formats import decode, opened, read_decompressed

MAX_FILES = 20_000
ENDS, MOST_BYTES = 4096, 50_000_000
"""Bytes at either end of a file that are looked at; larger files are no table of one sample."""
BINARY = (".bam", ".bai", ".h5", ".h5ad", ".png", ".pdf", ".html", ".mtx")


@dataclass(frozen=True)
class SampleFile:
    """The table of one sample that a tool writes."""

    name: str
    tool: str
    """Who writes it, with the version that was looked at."""
    pattern: str
    """Regular expression of its name (without .gz); the first group is the sample, else the folder is."""
    gene: str
    values: str
    """Headers of the columns of genes and of counts; the first and second column where there is no header."""
    way_out: str = ""
    """If not empty, the file is refused with it."""
    symbol: str = ""
    """Header of the column of symbols, if there is one."""
    holds: bytes = b""
    """What such a file holds at its beginning or end, where its name does not tell; then one file alone is a
    table like others."""


SAMPLE_FILES = (
    SampleFile("RSEM genes", "RSEM 1.3", r"(.+)\.genes\.results", "gene_id", "expected_count"),
    SampleFile(
        "GDC counts",
        "GDC (STAR)",
        r"(.+?)\.(?:rna_seq\.)?augmented_star_gene_counts\.tsv",
        "gene_id",
        "unstranded",
        symbol="gene_name",
    ),
    SampleFile(
        "featureCounts",
        "subread 2.0 (featureCounts)",
        r"(.+?)(?:[._-]?(?:featureCounts|(?:gene)?_?counts?))?(?:\.(?:txt|tsv|out))?",
        "Geneid",
        "",
        holds=b"# Program:featureCounts",
    ),
    SampleFile(
        "htseq-count",
        "HTSeq 2.1 (htseq-count)",
        r"(.+?)(?:[._-](?:htseq|(?:gene)?_?counts?))*(?:\.(?:txt|tsv|tab|out))?",
        "",
        "",
        holds=b"\n__no_feature\t",
    ),
    SampleFile("STAR counts", "STAR 2.7 (quantMode)", r"(.*?)[._]?ReadsPerGene\.out\.tab", "", ""),
    SampleFile("salmon genes", "salmon 1.10 (quant -g)", r"()quant\.genes\.sf", "Name", "NumReads"),
    SampleFile(
        "salmon transcripts",
        "salmon 1.10 (quant)",
        r"()quant\.sf",
        "Name",
        "NumReads",
        "sum transcripts to genes: salmon quant --geneMap, or tximport",
    ),
    SampleFile(
        "kallisto transcripts",
        "kallisto 0.48 (quant)",
        r"()abundance\.(?:tsv|h5)",
        "target_id",
        "est_counts",
        "sum transcripts to genes: tximport, or kb count",
    ),
    SampleFile(
        "RSEM transcripts",
        "RSEM 1.3",
        r"(.+)\.isoforms\.results",
        "",
        "",
        "give the folder of .genes.results",
    ),
)
"""In the order in which they are tried."""


def sample_file_of(path: Path) -> SampleFile | None:
    """Return what the name of a file says that it is."""
    name = path.name.removesuffix(".gz")
    return next((f for f in SAMPLE_FILES if not f.holds and re.fullmatch(f.pattern, name)), None)


def _is(form: SampleFile, path: Path) -> bool:
    """Say whether a file has a form: by its name, and by what it holds if the name does not tell."""
    if not form.holds:
        return sample_file_of(path) is form
    if re.fullmatch(form.pattern, path.name.removesuffix(".gz")) is None or path.suffix in BINARY:
        return False
    with opened(path) as file:
        try:
            return form.holds in file.read(ENDS) or (
                path.stat().st_size < MOST_BYTES and form.holds in file.read()[-ENDS:]
            )
        except (OSError, EOFError, zlib.error):
            return False


def find_sample_files(folder: Path) -> tuple[SampleFile, list[Path]] | None:
    """Return the tables of samples in a folder and in those inside it, of the first form that it has."""
    inside = [p for p in sorted(folder.iterdir()) if p.is_dir()]
    names = [p for f in (folder, *inside) for p in sorted(f.iterdir()) if p.is_file()][:MAX_FILES]
    for form in SAMPLE_FILES:
        found = [p for p in names if _is(form, p)]
        if found:
            return form, found
    return None


def read_sample_files(folder: Path) -> tuple[AnnData, list[str]]:
    """Join the tables of samples of a folder.

    Raises
    ------
    InputError
        There is none, they are of transcripts, or their genes differ.
    """
    found = find_sample_files(folder) if folder.is_dir() else None
    if found is None:
        raise InputError("expected a folder with one table of counts a sample; found none")
    form, files = found
    if form.way_out:
        raise InputError(f"expected counts of genes; found {form.name} ({form.tool}); {form.way_out}")
    tables = [_read_one(form, path) for path in files]
    genes = tables[0].index
    known = set(genes)
    for number, (path, table) in enumerate(zip(files, tables, strict=True)):
        if table.index.equals(genes):
            continue
        if genes.is_unique and table.index.is_unique and set(table.index) == known:
            tables[number] = table[genes]  # salmon writes genes in any order
        else:
            raise InputError(
                f"expected the same genes in every file; {printable(path.name, 60)} differs from "
                f"{printable(files[0].name, 60)}; quantify all samples with one annotation"
            )
    adata = AnnData(
        np.stack([table.to_numpy() for table in tables]),
        obs=pd.DataFrame(index=pd.Index([_sample(form, path) for path in files], dtype=object)),
        var=pd.DataFrame(_symbols(form, files[0]), index=pd.Index(genes, dtype=object)),
    )
    column = form.values or ("its last column" if form.gene else "column 2 (unstranded)")
    return adata, [f"{len(files)} files joined, one a sample ({form.name}: {column})"]


def _read_one(form: SampleFile, path: Path) -> pd.Series:
    lines = [line for line in decode(read_decompressed(path)).split("\n") if line and line[0] != "#"]
    rows = [line.split("\t") for line in lines]
    gene, values = 0, 1
    if form.gene:
        header, rows = rows[0], rows[1:]
        missing = [name for name in (form.gene, form.values) if name and name not in header]
        if missing:
            raise InputError(f"{printable(path.name, 60)}: expected a column {missing[0]} ({form.tool})")
        gene = header.index(form.gene)
        values = header.index(form.values) if form.values else len(header) - 1
    if not rows or min(map(len, rows)) <= max(gene, values):
        raise InputError(f"{printable(path.name, 60)}: expected rows of genes; the file may have been cut")
    numbers = pd.to_numeric(pd.Series([row[values] for row in rows]), errors="coerce").to_numpy(
        dtype=np.float64
    )
    if np.isnan(numbers).any():
        row = rows[int(np.flatnonzero(np.isnan(numbers))[0])]
        raise InputError(
            f"{printable(path.name, 60)}: expected numbers; gene {printable(row[gene], 40)!r} has "
            f"{printable(row[values], 40)!r}"
        )
    return pd.Series(numbers, index=[row[gene] for row in rows])


def _symbols(form: SampleFile, path: Path) -> dict[str, list[str]]:
    """Symbols of the genes of a file, as column ``symbol``, where its form has them."""
    lines = [line for line in decode(read_decompressed(path)).split("\n") if line and line[0] != "#"]
    header = lines[0].split("\t")
    if not form.symbol or form.symbol not in header:
        return {}
    at = header.index(form.symbol)
    return {"symbol": [line.split("\t")[at] for line in lines[1:]]}


def _sample(form: SampleFile, path: Path) -> str:
    match = re.fullmatch(form.pattern, path.name.removesuffix(".gz"))
    return (match[1] if match else "") or path.parent.name
