"""What stands among the genes and is none: counters of reads, antibodies, guides, columns of a gene table.

One table, used wherever values become an expression matrix. What is left out is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._checks import InputError, printable


@dataclass(frozen=True)
class NotGene:
    """Names of rows or columns that are no genes."""

    pattern: str
    """Regular expression that the whole name must match."""
    what: str
    """What they are, in the plural."""
    tool: str
    """Who writes them, with the version that was looked at."""


NOT_GENES = (
    NotGene(
        r"__(no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)",
        "counters of reads",
        "HTSeq 2.1 (htseq-count)",
    ),
    NotGene(r"N_(unmapped|multimapping|noFeature|ambiguous)", "counters of reads", "STAR 2.7 (quantMode)"),
    NotGene(r"Assigned|Unassigned_\w+", "counters of reads", "subread 2.0 (featureCounts, summary)"),
    NotGene(r"no_feature|too_low_aQual|not_aligned|alignment_not_unique", "counters of reads", "HTSeq 0"),
    NotGene(r"unmapped|unassigned|\*", "counters of reads", "CITE-seq-Count, samtools idxstats"),
    NotGene(r"__\w+", "counters of reads", "HTSeq 2.1 and pipelines"),
    NotGene(r"Unnamed: ?\d+(\.\d+)?", "columns without a name", "pandas 2.3 (to_csv with its index)"),
    NotGene(
        r"Geneid|Chr|Start|End|Strand|Length|Entrez_Gene_Id|EntrezGeneID|entrezgene_id|effective_length",
        "columns of a table of genes",
        "subread 2.0 (featureCounts), cBioPortal",
    ),
    NotGene(
        r"nCount_\w+|nFeature_\w+|n_genes_by_counts|total_counts(_\w+)?|pct_counts_\w+|percent[._](mt|mito\w*)"
        r"|orig[._]ident|seurat_clusters|leiden|louvain",
        "columns of a table of cells",
        "Seurat, scanpy",
    ),
    NotGene(
        r".*[_.-]Total(Seq)?[_-]?[ABCD](\b.*)?|(adt|hto|prot(ein)?|antibody|ab)[_:-].+|(.*[_-])?hash(tag|ing)"
        r"[-_ ]?\d+([-_.].*)?|HTO[-_]?\d+([-_.].*)?",
        "antibodies",
        "Cell Ranger and CITE-seq-Count with TotalSeq panels",
    ),
    NotGene(r"ERCC[-_]\d{5}", "spike-in controls", "ERCC RNA Spike-In Mix"),
    NotGene(
        r"SIRV\d{3,}|SIRVome.*|(gSpikein|spikein)[_-].+", "spike-in controls", "Lexogen SIRV set, CEL-Seq"
    ),
    NotGene(r"(POS|NEG)_[A-H](\([\d.]+\))?", "spike-in controls", "NanoString nCounter (RCC)"),
    NotGene(
        r"(NegControl(Probe|Codeword)|UnassignedCodeword|DeprecatedCodeword|antisense|BLANK|Blank|NegPrb|SystemControl)"
        r"[-_]?.*",
        "control probes",
        "Xenium, MERSCOPE, CosMx",
    ),
    NotGene(r"(sg|g)RNA[-_:].+|sg[A-Z0-9]+[-_]g?\d+|NTC[-_]\d+", "guides", "Cell Ranger (CRISPR)"),
)

_ANY = re.compile("|".join(f"(?:{entry.pattern})" for entry in NOT_GENES))

TYPE_COLUMNS = ("feature_types", "feature_type", "featuretype", "feature type", "modality")
"""Columns of ``var`` that say what a feature is: Cell Ranger, scanpy 1.11, mudata 0.3."""
GENE_TYPES = ("gene expression", "gex", "rna", "gene")

GENOME_PREFIX = re.compile(
    r"(GRCh3[78]|GRCm3[89]|hg19|hg38|mm9|mm10|mm39|Rnor_6(?:\.0)?|rn[67]|GRCz11|BDGP6|human|mouse)[_-]+", re.I
)
"""What Cell Ranger puts before the names of genes of a reference of two genomes (barnyard)."""
ENSEMBL = re.compile(r"(ENS[A-Z]{0,6})G\d{11}")
SECOND_GENOME = 0.1
"""Share of the genes from which a second genome is a second species, not a virus or a transgene."""


def leave_out(genes: Iterable[str], var: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Return which features are genes, shape ``(n_features,)``, and sentences about the others.

    Parameters
    ----------
    genes
        Names of the features.
    var
        Table of them; a column of feature types or of genomes is looked at.

    Raises
    ------
    InputError
        No gene is left, or the genes are those of two genomes.

    Examples
    --------
    >>> keep, said = leave_out(["MYC", "__no_feature"], pd.DataFrame(index=["MYC", "__no_feature"]))
    >>> keep
    array([ True, False])
    >>> said
    ["1 features left out, counters of reads (HTSeq 2.1 (htseq-count)): '__no_feature'"]
    """
    names = [str(name) for name in genes]
    keep, said = _by_type(var, len(names))
    suspects = [i for i, name in enumerate(names) if _ANY.fullmatch(name)]
    for entry in NOT_GENES:
        pattern = re.compile(entry.pattern)
        found = [i for i in suspects if keep[i] and pattern.fullmatch(names[i])]
        if found:
            keep[found] = False
            listed = ", ".join(repr(printable(names[i], 30)) for i in found[:3])
            said.append(
                f"{len(found)} features left out, {entry.what} ({entry.tool}): {listed}"
                f"{', ...' if len(found) > 3 else ''}"
            )
    if len(names) and not keep.any():
        raise InputError("expected genes; found only features that are none, such as counters or antibodies")
    _refuse_two_genomes([name for name, is_gene in zip(names, keep, strict=True) if is_gene], var[keep])
    return keep, said


def _by_type(var: pd.DataFrame, n: int) -> tuple[np.ndarray, list[str]]:
    """Which features are of the type gene expression, where a column says of what type each is."""
    by_name = {str(column).lower(): column for column in var.columns}
    column = next((by_name[name] for name in TYPE_COLUMNS if name in by_name), None)
    if column is None:
        return np.ones(n, dtype=bool), []
    types = var[column].astype(str)
    keep = types.str.strip().str.lower().isin(GENE_TYPES).to_numpy()
    if not keep.any():
        known = types.str.lower().str.contains("capture|peaks|antibody|custom|atac|adt|hto").all()
        if known:
            raise InputError(
                "expected features of type Gene Expression; found none; audit a gene expression matrix"
            )
        return np.ones(n, dtype=bool), []
    if keep.all():
        return keep, []
    others = Counter(types[~keep])
    listed = ", ".join(f"{count} {printable(kind, 30)}" for kind, count in others.most_common(4))
    return keep, [f"{int((~keep).sum())} features that are not gene expression were left out ({listed})"]


def _refuse_two_genomes(names: list[str], var: pd.DataFrame) -> None:
    """Refuse genes of two species: their cells are of one or the other, and all pairs bend."""
    column = next((c for c in var.columns if str(c).lower() in ("genome", "species", "organism")), None)
    for labels in (
        [] if column is None else [str(g) for g in var[column]],
        [match[1] for name in names if (match := GENOME_PREFIX.match(name))],
        [match[1] for name in names if (match := ENSEMBL.match(name))],
    ):
        counts = Counter(label for label in labels if label.strip() and label not in ("nan", "NA"))
        common = counts.most_common(2)
        if len(common) == 2 and common[1][1] >= SECOND_GENOME * len(names):
            listed = ", ".join(f"{printable(genome, 30)} ({count} genes)" for genome, count in common)
            raise InputError(
                f"expected genes of one genome; found {len(counts)}: {listed}; keep the genes of one genome, "
                "and the cells of that species"
            )
