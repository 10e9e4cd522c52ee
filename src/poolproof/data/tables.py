"""From parsed cells to a table: which columns are names, which describe rows, which are values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .._checks import InputError, printable

INDEX_LIKE = re.compile(
    r"gene|symbol|name|probe|feature|transcript|sample|cell|index|^ids?$|_id$", re.IGNORECASE
)
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
SEVERAL = re.compile(r"-?[\d.]+(e-?\d+)?(,-?[\d.]+(e-?\d+)?){2,}")
QUARTILES = (
    "there are several numbers in one cell (smallest, quartiles and largest, as the Expression Atlas gives "
    "them of replicates): take its raw counts"
)
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
    modelid model_id cell_line cellline tumor_sample_barcode cell_index cell_barcode bc_wells spot_id
    library_id sequencingid sequencing_id"""
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
GENE_STATISTICS = _words(
    """basemean log2foldchange lfcse pvalue padj svalue logfc logcpm fdr pval qval p_val p_val_adj avg_log2fc
    avg_logfc aveexpr p_value adj_p_val p_adj adj_p_value qvalue q_value log2fc log2_fold_change fold_change
    foldchange logfoldchanges pvals pvals_adj"""
)
"""Headers of what a test says of genes: DESeq2, edgeR, limma, Seurat, scanpy. No sample is called so."""
WITH_STATISTICS = _words("stat lr f t b scores pct_1 pct_2 cluster gene row_names")
"""Headers that are such only beside one of those."""
OF_CONTRASTS = re.compile(r".+_(p_value|log2foldchange|t_statistic)")
"""Expression Atlas: ``g1_g2.p-value``."""
LONG = 0.5
"""Share of different entries up to which names in a long table are repeated."""
MOST_CLASSES = 0.2
"""Share of different entries up to which a first column of text holds classes of rows, not their names."""
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
    frame, units = _without_units(frame)
    if units:
        warnings.append(f"the second line names no row ({units}) and was left out")
    frame, labels, numbered = _without_counter(frame, labels)
    if numbered:
        warnings.append("the first column numbers the rows and was left out")
    frame, labels, classes = _names_first(frame, labels)
    if classes:
        warnings.append(f"column {classes!r} puts rows into classes: rows are named by {labels[0]!r}")
    row_names = _row_names(frame.iloc[:, 0], labels[0], named or numbered)
    start, corner = (0, "") if row_names is None else (1, labels[0])
    if row_names is None:
        row_names = [str(i + 1) for i in range(len(frame))]
        warnings.append("no column of row names was found: rows are numbered")
    columns = [frame.iloc[:, j] for j in range(frame.shape[1])]
    notes, kept = _notes_and_values(columns, labels, start)
    _refuse_long(columns, labels, start, notes, kept)
    columns, separated = _without_thousands(columns, kept)
    if separated:
        warnings.append(
            f"commas in {separated} columns were taken as thousands separators (1,234 as 1234); where "
            "they are decimal commas, write decimals with a point"
        )
    values = np.empty((len(frame), len(kept)))
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


def _without_units(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Leave out a first row whose cells all hold one word above numbers, as Firehose writes it."""
    if (
        len(frame) < 3
        or frame.shape[1] < 3
        or any(pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes[1:])
    ):
        return frame, ""
    words = {str(cell) for cell in frame.iloc[0, 1:]}
    word = words.pop()
    below = frame.iloc[1:, 1:]
    if words or word in MISSING_WORDS or _text_share(frame.iloc[:1, 1]) < 1.0:
        return frame, ""
    numbers = below.apply(pd.to_numeric, errors="coerce")
    if (numbers.isna() & ~below.isin(MISSING_WORDS) & below.notna()).to_numpy().any():
        return frame, ""
    return pd.concat([frame.iloc[1:, :1], numbers], axis=1).reset_index(drop=True), printable(word, 30)


def _names_first(frame: pd.DataFrame, labels: list[str]) -> tuple[pd.DataFrame, list[str], str]:
    """Put the first column that names each row before one of classes (``Endogenous``, ``Housekeeping``)."""
    first = frame.iloc[:, 0]
    if frame.shape[1] < 3 or first.nunique() > MOST_CLASSES * len(first) or _text_share(first) < 1.0:
        return frame, labels, ""
    for j in range(1, min(4, frame.shape[1] - 1)):
        names = frame.iloc[:, j]
        if _text_share(names) == 1.0 and names.notna().all() and names.is_unique:
            order = [j, *(i for i in range(frame.shape[1]) if i != j)]
            return frame.iloc[:, order], [labels[i] for i in order], printable(labels[0], 30)
    return frame, labels, ""


def _without_counter(frame: pd.DataFrame, labels: list[str]) -> tuple[pd.DataFrame, list[str], bool]:
    """Leave out a first column that only numbers the rows, as pandas writes its index, before their names."""
    if frame.shape[1] > 1 and _numbers_rows(frame.iloc[:, 0], labels[0]):
        names = frame.iloc[:, 1]
        if _text_share(names) == 1.0 and names.is_unique:
            return frame.iloc[:, 1:], labels[1:], True
    return frame, labels, False


def _row_names(first: pd.Series, label: str, named: bool) -> list[str] | None:
    """Names of the rows from the first column; None where it holds values."""
    word = header_word(label)
    if named or word in INDEX_WORDS or word in ("", "unnamed:_0") or _is_text(first):
        return ["" if pd.isna(name) else str(name) for name in first]
    return None


def _notes_and_values(columns: list[pd.Series], labels: list[str], start: int) -> tuple[list[int], list[int]]:
    """Positions of the columns that describe rows and of those with values; the rest says nothing."""
    idle = {
        j
        for j in range(start, len(columns))
        if (not labels[j] and columns[j].isna().all()) or _numbers_rows(columns[j], labels[j])
    }
    notes = [j for j in _note_columns(columns, labels, start) if j not in idle]
    kept = [j for j in range(start, len(columns)) if j not in idle and j not in set(notes)]
    if not kept and (statistics := sorted(_statistics(labels))):
        listed = ", ".join(printable(labels[j], 30) for j in statistics[:4])
        raise InputError(
            f"expected values of samples; found what a test says of genes ({listed}); give the counts or "
            "amounts that were tested"
        )
    if not kept:
        cells = [str(cell) for j in notes for cell in columns[j].head(20)]
        comma = any(re.fullmatch(DECIMAL_COMMA, cell) for cell in cells)
        way_out = "write decimals with a point" if comma else "check the delimiter and the file"
        way_out = QUARTILES if any(re.fullmatch(SEVERAL, cell) for cell in cells) else way_out
        raise InputError(f"expected columns of numbers; found none; {way_out}")
    return notes, kept


def _refuse_long(
    columns: list[pd.Series], labels: list[str], start: int, notes: list[int], kept: list[int]
) -> None:
    """Refuse one line for each gene of each sample: few numbers beside two columns of repeated names."""
    texts = [columns[j] for j in ([0] if start else []) + notes if _text_share(columns[j]) == 1.0]
    repeated = sum(text.nunique() <= LONG * len(text) for text in texts)
    if repeated >= 2 and len(kept) <= 3 and len(columns[0]) >= 20:
        listed = ", ".join(printable(label, 30) for label in labels[:6])
        raise InputError(
            f"expected one row a gene or a sample; found a long table, one line a value ({listed}); spread "
            "it first (pandas: table.pivot; R: tidyr::pivot_wider)"
        )


def _without_thousands(columns: list[pd.Series], kept: list[int]) -> tuple[list[pd.Series], int]:
    """Values without the commas that separate thousands, and how many columns had them."""
    separated = {j for j in kept if _has_thousands(columns[j])}
    if not separated or not _are_thousands([columns[j] for j in kept if not _is_numeric(columns[j])]):
        return columns, 0
    plain = [
        column.astype(str).str.replace(",", "", regex=False) if j in separated else column
        for j, column in enumerate(columns)
    ]
    return plain, len(separated)


def _note_columns(columns: list[pd.Series], labels: list[str], start: int) -> list[int]:
    """Return the columns that describe rows: the leading block, and any column of nothing but text."""
    notes = []
    leading = True
    statistics = _statistics(labels)
    for j in range(start, len(columns)):
        word = header_word(labels[j])
        known = leading and (word in GENE_NOTES or word in SAMPLE_NOTES)
        if known or word in GENE_TABLE or j in statistics or _share_of_words(columns[j]) == 1.0:
            notes.append(j)
        else:
            leading = False
    return notes


def _statistics(labels: list[str]) -> set[int]:
    """Positions of the columns that a test of genes wrote, such as ``log2FoldChange``."""
    words = [header_word(label) for label in labels]
    surely = {j for j, word in enumerate(words) if word in GENE_STATISTICS or OF_CONTRASTS.fullmatch(word)}
    if len(surely) < 2:
        return set()
    return surely | {j for j, word in enumerate(words) if word in WITH_STATISTICS}


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
            if re.fullmatch(SEVERAL, cell):
                comma = f"; {QUARTILES}"
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
