"""Which way round a table is: whether its rows are genes or samples, by what their names look like."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from .._checks import printable
from .tables import GENE_NOTES, GENE_WORDS, SAMPLE_NOTES, SAMPLE_WORDS, Table, header_word

GENES_IN_ROWS, GENES_IN_COLUMNS = ORIENTATIONS = ("genes-in-rows", "genes-in-columns")

_GENE = re.compile(
    r"ENS[A-Z]{0,6}[GT]\d{11}(\.\d+)?([_|].+)?|b\d{4}|Y[A-P][LR]\d{3}[WC](-[A-Z])?|FBgn\d{7}|WBGene\d{8}"
    r"|AT[1-5MC]G\d{5}|[NX][MR]_\d+(\.\d+)?|\d+_(at|st)|\d+_[sx]_at"
    r"|[A-Z][A-Za-z0-9]{1,8}_(?:[A-Z]{1,2}_?)?\d{4,6}"
    r"|[A-Za-z0-9.@-]+ \((\d+|ENSG\d{11}|nan)\)|[A-Za-z0-9.?-]+\|\d+|(hsa|mmu|rno)-(m[iI][rR]|let)-.+"
)
"""Identifiers of data bases; ``TP53 (7157)`` is DepMap's, ``TP53|7157`` Firehose's."""
_TISSUES = (
    "AUTONOMIC_GANGLIA|BILIARY_TRACT|BLOOD|BONE|BREAST|CENTRAL_NERVOUS_SYSTEM|CERVIX|ENDOMETRIUM|FIBROBLAST"
    "|HAEMATOPOIETIC_AND_LYMPHOID_TISSUE|KIDNEY|LARGE_INTESTINE|LIVER|LUNG|OESOPHAGUS|OVARY|PANCREAS|PLEURA"
    "|PROSTATE|SALIVARY_GLAND|SKIN|SMALL_INTESTINE|SOFT_TISSUE|STOMACH|THYROID|UPPER_AERODIGESTIVE_TRACT"
    "|URINARY_TRACT"
)
_SAMPLE = re.compile(
    r"(sample|cell|barcode|donor|patient|subject|individual|person|array|well|pool|replicate|control|case|treated"
    r"|treatment|mock|tumou?r|normal|plate|lane|spot|segregant|strain)s?([\W_\d].{0,40})?"
    r"|(rep|ctrl|wt|ko|bulk|sc|run|[SPDCX])[\W_].{0,40}|[SPDCX]\d{1,4}"
    r"|[ACGT]{8,}([-_.:].{1,24})?|.{0,24}[-_.:#][ACGT]{10,}x?([-_.:].{1,12})?"
    r"|[SED]R[RXS]\d{5,}|GSM\d{4,}|SAM[NED]A?\d+|TCGA-.+|GTEX-.+|(NA|HG)\d{5}|ACH-\d{6}|SIDM\d{5}"
    r"|.+\.(bam|sam|cram|fastq|fq)(\.gz)?|E\d+_\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    rf"|[A-Z0-9]+_({_TISSUES})",
    re.IGNORECASE,
)
"""Samples and cells; ``MCF7_BREAST`` is CCLE's, ``ACH-000001`` DepMap's, ``E10_250`` BEELINE's."""
_SYMBOL = re.compile(
    r"[A-Z][A-Z0-9]{1,7}[A-Z0-9-]{0,6}|[A-Z][a-z0-9]{2,9}|[a-z]{3}[A-Z]|(gene|g)[_-]?\d+|GENE_?[A-Z0-9]+"
)
KNOWN_WEIGHT = 3.0
"""What names that other files of the run hold count for; names of a data base count 1."""


def gene_score(names: Iterable[str], limit: int = 2000) -> float:
    """Say how much names look like genes (1), like samples (-1), or like neither (0).

    Identifiers of a data base count 1; what merely could be a gene symbol counts 0.4.

    Examples
    --------
    >>> gene_score(["ENSG00000000003", "b0002"]), gene_score(["GSM12345", "AAACATACATTTCC-1"])
    (1.0, -1.0)
    """
    chosen = list(names)
    chosen = chosen[:: max(1, len(chosen) // limit)]
    if not chosen:
        return 0.0
    score = 0.0
    for name in chosen:
        if _SAMPLE.fullmatch(name):
            score -= 1.0
        elif _GENE.fullmatch(name):
            score += 1.0
        elif _SYMBOL.fullmatch(name):
            score += 0.4
    return score / len(chosen)


def guess_orientation(
    table: Table, known_genes: Collection[str] = (), known_samples: Collection[str] = ()
) -> tuple[str, str]:
    """Return the likelier orientation of a table and the sentence that reports the guess.

    ``known_genes`` are names in a network or list of regulators, ``known_samples`` those in a table of
    samples: what other files of the run call genes and samples decides before what the names look like.
    """
    corner = header_word(table.corner)
    described = {header_word(str(label)) for label in table.row_notes.columns}
    rows, columns = gene_score(table.row_names), gene_score(table.column_names)
    by_header = float(corner in GENE_WORDS) - 0.3 * float(
        corner in SAMPLE_WORDS
    )  # Xena heads symbols "sample"
    by_files = _share(table.row_names, known_genes) - _share(table.column_names, known_genes)
    by_files += _share(table.column_names, known_samples) - _share(table.row_names, known_samples)
    by_notes = 0.5 * (bool(described & GENE_NOTES) - bool(described & SAMPLE_NOTES))
    score = rows - columns + by_header + by_notes + KNOWN_WEIGHT * by_files
    n_rows, n_columns = table.values.shape
    if by_files and abs(score) >= 0.2:
        found = GENES_IN_ROWS if score > 0 else GENES_IN_COLUMNS
        reason = "the other files of this run name them so"
    elif abs(score) >= 0.2:
        found = GENES_IN_ROWS if score > 0 else GENES_IN_COLUMNS
        reason = (
            f"the names look so: header {printable(table.corner, 20)!r}, first row "
            f"{printable(table.row_names[0], 24)!r}, first column {printable(table.column_names[0], 24)!r}"
        )
    else:
        found = GENES_IN_ROWS if n_rows >= n_columns else GENES_IN_COLUMNS
        reason = f"the names do not tell, and there are {n_rows} rows and {n_columns} columns"
    other = ORIENTATIONS[1 - ORIENTATIONS.index(found)]
    return found, f"orientation guessed as {found} ({reason}); pass --orientation {other} if that is wrong"


def _share(names: Collection[str], known: Collection[str]) -> float:
    """Share of the known names that are among these, without case; 0 if none are known."""
    if not known:
        return 0.0
    given = {str(name).casefold() for name in names}
    return sum(str(name).casefold() in given for name in known) / len(known)
