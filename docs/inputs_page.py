"""The page of what is read: one table for each table of the code; ``make_reference.py`` writes it.

A version behind the name of a tool says that the tool was run in it, for a test or a finding. Where none
stands, its form is known from public documentation or code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from poolproof.data import (
    copies,
    depth,
    edge_words,
    estimated,
    labels,
    loom,
    marks,
    network_formats,
    not_genes,
    sample_files,
    tables,
    tenx,
)
from poolproof.data import io as reading
from poolproof.data.containers import OTHER_HDF5
from poolproof.data.long_tables import LONG_TABLES

INTRO = """\
What poolproof reads, what it makes of what tools leave in their files, and what it refuses. Every table below
is a table of the code. A version behind the name of a tool says that the tool itself was run in that version,
for a test or a finding; where none stands, the form is known from public documentation or code.

What is guessed, left out, rounded or renamed is said in a note, with the option that overrides it; what is
refused, in one line with the way out. Input may come through a pipe:
`poolproof audit -` reads standard input.
"""

FORMS = {
    "h5ad": ("AnnData in HDF5", "content"),
    "h5mu": ("MuData; one modality, `--modality NAME`", "content"),
    "zarr": ("AnnData as a zarr folder", "content"),
    "loom": ("loom; every layer is kept", "content"),
    "text": ("a csv, tsv or txt table, either way round, also gzip", "anything else"),
    "gct": ("GCT 1.2 and 1.3", "first line"),
    "series-matrix": ("the table of a GEO series matrix, with what it says of samples", "name or first line"),
    "parquet": ("a parquet table", "content"),
    "10x": ("a folder of matrix, features and barcodes", "names of files"),
    "10x-h5": ("the HDF5 of Cell Ranger 2 or 3", "content"),
    "kallisto-bustools": ("a folder of `kb count` or `bustools count`", "names of files"),
    "alevin-fry": ("a folder of alevin-fry; spliced and ambiguous counts are added", "names of files"),
    "parse": ("a folder of split-pipe", "names of files"),
    "long-table": ("one line for each gene of each cell", "header"),
    "sample-files": ("a folder with one table a sample", "names of files"),
}
"""What each of the forms of ``read`` is, and how it is recognised."""

ESTIMATED = [
    (
        f"at least {estimated.WHOLE_SHARE:.0%} of the values that are not 0 are whole",
        "rounded, size factors as for counts",
    ),
    (
        f"largest value at least {estimated.DEEP:,.0f}, at least {estimated.MIN_GENES} genes, and logs of "
        f"median ratios spread by more than {estimated.FACTOR_SPREAD:g}",
        "the same",
    ),
    (
        f"over 30 % zeros, largest value over {estimated.NO_LOG:g}, and rows are no multiples of one value",
        "the same",
    ),
    (
        f"logs of median ratios spread by more than {estimated.NOTED_SPREAD:g} "
        f"(under {estimated.MIN_GENES} genes: {estimated.NOTED_SPREAD_FEW:g})",
        "read as amounts, with a note that names `--scale counts` and `--size-factors`",
    ),
]

TRAPS = [
    (
        "metacells 0.9: X of `collect_metacells`",
        "weighted geometric means of fractions",
        "`--layer total_umis`",
    ),
    ("anndata 0.12: `read_loom`", "X is the layer `spliced`", "`--layer matrix`"),
    (
        "subread 2.0: `featureCounts -p`",
        "both mates of a pair are counted",
        "count pairs, or `--test robust`",
    ),
    ("bustools 0.42: `count` on an unsorted file", "barcodes stand there again", "`bustools sort` first"),
    ("scanpy 1.11: `read_csv` of names that are numbers", "identifiers among the values", "refused"),
    ("scanpy 1.11: `log1p` of a layer", "`uns['log1p']` has the base of another matrix", "the values decide"),
    ("cmapPy 4.0: `write_gct`", "-666 and `na` for missing values", "taken as missing"),
    ("HTSeq 2.1: counters in its h5ad", "they pass for genes", "left out"),
]
"""Well-formed values that are not what they seem: ``traps`` and the findings."""

Table = Callable[[Sequence[str], list[list[str]]], str]


def inputs_page(
    notice: str, table: Table, join: Callable[[Sequence[str]], str], fill: Callable[[str], str]
) -> str:
    """Page of all that is read; ``fill`` wraps prose."""
    parts = [*_expression(table), *_meaning(table), *_networks(table)]
    wrapped = [part if part[0] in "|#" else fill(part) for part in parts]
    introduction = [fill(paragraph) for paragraph in INTRO.split("\n\n")]
    return join([notice, "# What is read", *introduction, *wrapped])


def _expression(table: Table) -> Iterator[str]:
    yield "## Expression: forms"
    yield table(["form", "what it is", "recognised by"], [[f"`{n}`", *FORMS[n]] for n in reading.FORMATS])
    yield "### Folders of a matrix of cells"
    rows = [
        [of.tool, _code(of.matrix), _names(of.features), _names(of.barcodes), f"`{of.format}`"]
        for of in tenx.LAYOUTS
    ]
    yield table(["tool", "matrix", "genes", "cells", "form"], rows)
    yield "Names may end in `.gz`; `{}` is the beginning that the names share."
    yield "### Folders with one table a sample"
    rows = [
        [of.tool, of.name, _code(of.pattern), _values(of), of.way_out or "joined"]
        for of in sample_files.SAMPLE_FILES
    ]
    yield table(["tool", "what", "names of files", "columns of genes and values", "read"], rows)
    yield "### Long tables"
    rows = [[of.tool, f"`{of.gene}`", f"`{of.cell}`", f"`{of.value}`"] for of in LONG_TABLES]
    yield table(["tool", "gene", "cell", "value"], rows)
    yield "Other long tables are refused: spread them first."
    yield "### Refused by name"
    rows = [[of.name, of.tool, _names(of.holds), of.way_out] for of in OTHER_HDF5]
    rows += [
        [f"a `{suffix}` file", "", "its name", way_out]
        for suffix, way_out in sorted(reading._WAYS_OUT.items())
    ]
    yield table(["what", "tool", "recognised by", "way out"], rows)
    yield "### Tables"
    rows = [
        ["names of genes", _listed(tables.GENE_WORDS)],
        ["names of samples", _listed(tables.SAMPLE_WORDS)],
        ["about genes, wherever they stand", _listed(tables.GENE_TABLE)],
        ["about genes, before the values", _listed(tables.GENE_NOTES - tables.GENE_WORDS)],
        ["about samples, before the values", _listed(tables.SAMPLE_NOTES - tables.SAMPLE_WORDS)],
        ["what a test says of genes; two or more of them", _listed(tables.GENE_STATISTICS)],
        ["numbers of rows, left out", _listed(word for word in tables.COUNTER_WORDS if word)],
        ["missing values", _listed(word for word in tables.MISSING_WORDS if word)],
    ]
    yield table(["what a column holds", "headers and words, in small letters with `_`"], rows)
    yield (
        "Which way round a table is, is decided by names that the other files of the run hold (a network, "
        "`--samples`), then by what names look like, then by its shape; `--orientation` overrides it. Names "
        "are known of Ensembl, RefSeq, FlyBase, WormBase, TAIR, E. coli, yeast, Affymetrix, miRBase, DepMap "
        "(`TP53 (7157)`) and Firehose (`TP53|7157`), and of barcodes, GEO, SRA, TCGA, GTEx, DepMap, CCLE and "
        f"BEELINE. Numbers {_listed(f'{v:g}' for v in copies.SENTINELS)} are missing where nothing else is "
        "as small."
    )


def _meaning(table: Table) -> Iterator[str]:
    yield "## What rows are: pools or cells"
    yield (
        "In this order, marks of pools before marks of cells; `--kind` overrides it. Without a mark the kind "
        "is a guess: no zeros, or few rows, is bulk; a guess of cells is never `compatible`."
    )
    rows = [
        [mark.place, _code(mark.pattern), _kind(mark), mark.tool, mark.source]
        for mark in (*marks.MARKS, marks.GROUPS)
    ]
    yield table(["where", "name", "rows are", "tool", "source"], rows)
    yield (
        f"In a loom file genes are named by the first of {_listed(loom.GENE_NAMES)}, cells by the first of "
        f"{_listed(loom.CELL_NAMES)}."
    )
    yield "## Features that are no genes"
    rows = [[of.what, _code(of.pattern), of.tool] for of in not_genes.NOT_GENES]
    yield table(["what", "name", "tool"], rows)
    yield (
        f"Left out with a note. Where a column of features is {_listed(not_genes.TYPE_COLUMNS)}, those "
        f"of the types {_listed(not_genes.GENE_TYPES)} are kept. Genes of two genomes are refused where the "
        f"second has {not_genes.SECOND_GENOME:.0%} or more of them."
    )
    yield "## Counts that are not whole"
    yield table(["sign", "what is done"], [list(row) for row in ESTIMATED])
    yield (
        "Library sizes are taken from the first of these columns that fits the counts: "
        f"{_listed(depth.LIBRARY_COLUMNS)}."
    )
    yield "## Known traps"
    yield table(["tool", "what it does", "what helps"], [list(row) for row in TRAPS])
    yield "## Labels of samples"
    yield (
        f"Missing: {_listed(word for word in sorted(labels.MISSING_LABELS) if word)}. Whole numbers of at "
        f"most {labels.MOST_LEVELS} values, each of {labels.LEAST_OFTEN} samples on average, are labels; "
        "`--covariates quantity:age` and `label:batch` say otherwise. Exact copies of samples are left out "
        "of the tests."
    )


def _networks(table: Table) -> Iterator[str]:
    yield "## Networks: forms"
    rows = [
        [of.name, of.tool, "read" if of.read else f"refused: {of.way_out}"]
        for of in network_formats.NETWORK_FORMATS
    ]
    rows += [["GraphML, GEXF", "networkx 3.6, igraph 1.0", "read"]]
    rows += [["a table of edges with or without a header", "tools below", "read"]]
    yield table(["form", "tool", ""], rows)
    yield "### Columns of a table of edges"
    rows = [
        ["regulator", _listed(edge_words.REGULATOR_NAMES)],
        ["regulator, beside a target", _listed(edge_words.SECOND_REGULATOR_NAMES)],
        ["target", _listed(edge_words.TARGET_NAMES)],
        ["target, beside a regulator", _listed(edge_words.SECOND_TARGET_NAMES)],
        ["weight; 0 is no edge", _listed(edge_words.WEIGHT_NAMES)],
        ["share of networks; 0 is no edge", _listed(edge_words.BOOTSTRAP) + " together"],
        ["0 or false is no edge", _listed(edge_words.FLAGS)],
        ["0 beside -1, or alone, is an unknown sign", _listed(edge_words.SIGNS)],
        ["0 or false is no direction", _listed(edge_words.DIRECTED)],
        ["type of edge", _listed(edge_words.TYPES)],
    ]
    yield table(["what", "names, without case, blanks, dots, dashes and underscores"], rows)
    yield "### Types of edges"
    rows = [[_names(of.words), of.meaning, of.tool] for of in edge_words.EDGE_TYPES]
    yield table(["word", "meaning", "tool"], rows)


def _values(of: sample_files.SampleFile) -> str:
    if not of.gene:
        return "first and second, no header"
    return f"`{of.gene}`, {f'`{of.values}`' if of.values else 'the last'}"


def _kind(mark: marks.Mark) -> str:
    what = "pools" if mark.kind == marks.BULK else "cells"
    return f"{what}, if over 1" if mark.counts_cells else what


def _code(pattern: str) -> str:
    return f"`{pattern}`" if pattern else "labels of `obs`, joined"


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _listed(words: object) -> str:
    names = sorted(words) if isinstance(words, (set, frozenset)) else list(words)  # type: ignore[call-overload]
    return ", ".join(f"`{re.sub('`', '', str(word))}`" for word in names)
