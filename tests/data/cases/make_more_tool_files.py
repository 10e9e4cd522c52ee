"""Write further files of ``tools/`` with the tools themselves; run by hand, not by the tests.

Reads of thirty genes, of which ten share half of their sequence in pairs, go through quantifiers; counts go
through R and Python packages. Versions: STAR 2.7.10b, salmon 1.10.1, kallisto 0.48.0 and 0.52.0, RSEM 1.3.3
with Bowtie 2.5.0, subread 2.0.3, bustools 0.42.0, kb-python 0.30.2, HTSeq 2.1.2, umi_tools 1.1.6; R 4.2.2,
tximport 1.26.1, edgeR 3.40.2, DESeq2 1.38.3, scuttle 1.8.4; scanpy 1.11.5, anndata 0.12.19, loompy 3.0.8,
cmapPy 4.0.1, arboreto 0.1.6.

    python make_more_tool_files.py [FOLDER OF umi_tools]
"""

import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")
OUT = Path(__file__).resolve().parent / "tools"
BIN = Path(sys.executable).parent
BASES = np.array(list("ACGT"))
GENES = [f"ENSG{g:011d}" for g in range(1, 31)]
SAMPLES = [f"s{i:02d}" for i in range(12)]
LENGTH, GAP, READ = 600, 200, 80


def run(command, **options):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True, **options).stdout


def sequence(rng, n):
    return "".join(rng.choice(BASES, n))


def fastq(file, name, bases):
    file.write(f"@{name}\n{bases}\n+\n{'I' * len(bases)}\n")


def references(rng):
    """A chromosome of thirty genes with its annotation; returns their sequences."""
    genes = [sequence(rng, LENGTH) for _ in GENES]
    for g in range(0, 10, 2):
        genes[g + 1] = genes[g][: LENGTH // 2] + genes[g + 1][LENGTH // 2 :]
    chromosome, lines = sequence(rng, GAP), []
    for name, g, bases in zip(GENES, range(1, 31), genes, strict=True):
        start = len(chromosome) + 1
        chromosome += bases + sequence(rng, GAP)
        entry = f'gene_id "{name}"; transcript_id "ENST{g:011d}"; gene_name "SYM{g}";'
        lines += [
            f"chr1\tmade\t{kind}\t{start}\t{start + LENGTH - 1}\t.\t+\t.\t{entry}"
            for kind in ("transcript", "exon")
        ]
    Path("genome.fa").write_text(f">chr1\n{chromosome}\n")
    Path("genes.gtf").write_text("\n".join(lines) + "\n")
    texts = [f">ENST{g:011d}\n{bases}\n" for g, bases in enumerate(genes, 1)]
    Path("transcripts.fa").write_text("".join(texts))
    table = [f"ENST{g:011d}\t{name}\tSYM{g}\n" for g, name in enumerate(GENES, 1)]
    Path("t2g.tsv").write_text("".join(table))
    return genes


def bulk_reads(rng, genes):
    mean = rng.gamma(1.5, 40, 30)
    for sample in SAMPLES:
        counts = rng.poisson(mean * rng.lognormal(0, 0.8) * rng.lognormal(0, 0.4, 30))
        with open(f"{sample}.fq", "w") as file, open(f"{sample}_2.fq", "w") as mates:
            for g, n in enumerate(counts):
                for i, place in enumerate(rng.integers(0, LENGTH - 2 * READ, n)):
                    fastq(file, f"{g}_{i}", genes[g][place : place + READ])
                    mate = genes[g][place + READ : place + 2 * READ]
                    fastq(mates, f"{g}_{i}", mate[::-1].translate(str.maketrans("ACGT", "TGCA")))


def quantify():
    run("mkdir star; STAR --runMode genomeGenerate --genomeDir star --genomeFastaFiles genome.fa "
        "--sjdbGTFfile genes.gtf --genomeSAindexNbases 5 --sjdbOverhang 79")  # fmt: skip
    run("salmon index -t transcripts.fa -i salmon.index -k 21; kallisto index -i kallisto.index -k 21 "
        "transcripts.fa; rsem-prepare-reference --gtf genes.gtf --bowtie2 genome.fa rsem")  # fmt: skip
    for tool in ("star", "rsem", "htseq", "featurecounts", *(f"salmon/{s}" for s in SAMPLES)):
        (OUT / tool).mkdir(parents=True, exist_ok=True)
    for s in SAMPLES:
        run(f"STAR --genomeDir star --readFilesIn {s}.fq --quantMode GeneCounts --outFileNamePrefix {s}. "
            f"--outSAMtype BAM Unsorted; cp {s}.ReadsPerGene.out.tab {OUT}/star")  # fmt: skip
        run(f"salmon quant -p 1 -i salmon.index -l A -r {s}.fq -g genes.gtf -o salmon_{s}; "
            f"cp salmon_{s}/quant.genes.sf {OUT}/salmon/{s}")  # fmt: skip
        run(f"kallisto quant -i kallisto.index --single -l 80 -s 1 -o kallisto_{s} {s}.fq")
        run(f"rsem-calculate-expression --bowtie2 {s}.fq rsem {s}; cp {s}.genes.results {OUT}/rsem")
        run(f"{BIN}/htseq-count -q -s no {s}.Aligned.out.bam genes.gtf > {OUT}/htseq/{s}.counts.txt")
        run(f"featureCounts -a genes.gtf -o {s}.txt {s}.Aligned.out.bam; cp {s}.txt {OUT}/featurecounts")
        run(f"STAR --genomeDir star --readFilesIn {s}.fq {s}_2.fq --outFileNamePrefix pair_{s}. "
            "--outSAMtype BAM Unsorted")  # fmt: skip
    run(
        f"rsem-generate-data-matrix {' '.join(f'{s}.genes.results' for s in SAMPLES)} > {OUT}/rsem_matrix.txt"
    )
    bams = " ".join(f"pair_{s}.Aligned.out.bam" for s in SAMPLES)
    run(f"featureCounts -p -a genes.gtf -o featurecounts_pairs.txt {bams}; cp featurecounts_pairs.txt {OUT}")


def cell_reads(rng, genes):
    """Sixty cells, counted by STARsolo and by kb; the same records unsorted, counted by bustools."""
    barcodes = [sequence(rng, 16) for _ in range(60)]
    Path("whitelist.txt").write_text("\n".join(barcodes) + "\n")
    n = 0
    with open("c1.fq", "w") as ones, open("c2.fq", "w") as twos:
        for barcode in barcodes:
            for g, k in enumerate(rng.poisson(rng.gamma(2, 1.5, 30) * rng.lognormal(0, 0.3))):
                for place in rng.integers(0, LENGTH - READ, k):
                    fastq(ones, f"c{n}", barcode + sequence(rng, 12))
                    fastq(twos, f"c{n}", genes[g][place : place + READ])
                    n += 1
    run(
        "STAR --genomeDir star --readFilesIn c2.fq c1.fq --soloType CB_UMI_Simple --soloMultiMappers EM "
        "--soloCBwhitelist whitelist.txt --soloUMIlen 12 --outFileNamePrefix solo. --outSAMtype None"
    )
    shutil.copytree("solo.Solo.out/Gene/raw", OUT / "starsolo", dirs_exist_ok=True)
    kallisto = next(BIN.parent.glob("lib/*/site-packages/kb_python/bins/linux/kallisto/kallisto"))
    run(f"{kallisto} index -i kb.index -k 21 transcripts.fa")
    run(f"{BIN}/kb count -t 1 -i kb.index -g t2g.tsv -x 10XV3 -w whitelist.txt -o kb c1.fq c2.fq")
    shutil.copytree("kb/counts_unfiltered", OUT / "kb", dirs_exist_ok=True)
    (OUT / "bustools_unsorted").mkdir(exist_ok=True)
    run("cut -f1 t2g.tsv > transcripts.txt; awk '{print NR-1 \"\\t\" NR-1}' transcripts.txt > classes.ec")
    rows = [f"{barcodes[i % 20]}\t{sequence(rng, 12)}\t{rng.integers(30)}\t1\n" for i in range(2000)]
    Path("records.txt").write_text("".join(rows))
    run(f"cut -f1,2 t2g.tsv > g.tsv; bustools fromtext -o unsorted.bus records.txt; bustools count -o "
        f"{OUT}/bustools_unsorted/cells_x_genes -g g.tsv -e classes.ec -t transcripts.txt --genecounts "
        "unsorted.bus")  # fmt: skip


def long_counts(rng, umi_tools):
    import pysam

    head = {"HD": {"VN": "1.0", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 40000}]}
    reads = []
    for _ in range(40):
        barcode = sequence(rng, 12)
        for g, k in enumerate(rng.poisson(rng.gamma(2, 1.5, 15))):
            reads += [(g, barcode, sequence(rng, 10)) for _ in range(k)]
    with pysam.AlignmentFile("umi.bam", "wb", header=head) as file:
        for i, (g, barcode, umi) in enumerate(sorted(reads)):
            read = pysam.AlignedSegment()
            read.query_name, read.query_sequence, read.cigar = f"r{i}_{barcode}_{umi}", "A" * 30, [(0, 30)]
            read.flag, read.reference_id, read.reference_start, read.mapping_quality = (
                0,
                0,
                100 + 1000 * g,
                60,
            )
            read.query_qualities = pysam.qualitystring_to_array("I" * 30)
            read.set_tag("XT", GENES[g])
            file.write(read)
    pysam.index("umi.bam")
    count = f"{umi_tools}/umi_tools count --per-gene --gene-tag=XT --per-cell -I umi.bam -L log"
    run(f"{count} -S {OUT}/umi_tools_long.tsv")
    run(f"{count} --wide-format-cell-counts -S {OUT}/umi_tools_wide.tsv")


def in_r():
    run(f"Rscript {OUT.parent}/make_tool_files.R {OUT}")


def in_python(rng):
    import anndata
    import loompy
    import scanpy as sc
    from cmapPy.pandasGEXpress import GCToo, write_gct

    spliced, unspliced = rng.poisson(3, (20, 60)), rng.poisson(1, (20, 60))
    layers = {"": spliced + unspliced, "spliced": spliced, "unspliced": unspliced}
    names = (
        {"Gene": np.array(GENES[:20])},
        {"CellID": np.array([f"run:{sequence(rng, 16)}x" for _ in range(60)])},
    )
    loompy.create("velocity.loom", layers, *names)
    shutil.copy("velocity.loom", OUT / "velocity.loom")
    anndata.io.read_loom("velocity.loom").write_h5ad(OUT / "velocity.h5ad", compression="gzip")
    counts = pd.read_csv(OUT / "r_write_csv.csv", index_col=0)
    counts.index = pd.Index(range(7000, 7000 + len(counts)), name="gene")
    counts.to_csv("entrez.csv")
    sc.read_csv("entrez.csv").T.write_h5ad(OUT / "scanpy_read_csv_entrez.h5ad", compression="gzip")
    few = sc.read_h5ad(OUT / "scanpy_log1p.h5ad")
    few.X = few.layers.pop("counts")
    del few.uns["log1p"]
    sc.pp.downsample_counts(few, counts_per_cell=15, random_state=0)
    few.write_h5ad(OUT / "scanpy_downsampled.h5ad", compression="gzip")
    values = pd.DataFrame(
        rng.normal(8, 2, (14, 20)), [f"{i}_at" for i in range(14)], [f"c{i}" for i in range(20)]
    )
    values.iloc[2, 3:6], values.iloc[5, 18:] = np.nan, np.nan
    rows = pd.DataFrame({"pr_gene_symbol": [f"SYM{i}" for i in range(14)]}, index=values.index)
    columns = pd.DataFrame({"cell_id": ["MCF7", "A549"] * 10}, index=values.columns)
    gct = GCToo.GCToo(values, row_metadata_df=rows, col_metadata_df=columns)
    write_gct.write(gct, str(OUT / "cmappy.gct"), data_null="na", filler_null="na")


def in_arboreto(rng):
    """GRNBoost2's own learner, gene by gene, without its cluster."""
    from arboreto.core import SGBM_KWARGS, infer_partial_network, to_tf_matrix

    values = rng.gamma(4, 1, (80, 6))
    values[:, 2:4] += values[:, :1]
    names = ["STAT1", "MYC", "IRF1", "GBP1", "MAX", "CCND1"]
    tfs, tf_names = to_tf_matrix(values, names, names[:2])
    parts = [
        infer_partial_network(
            "GBM", dict(SGBM_KWARGS, n_estimators=20), tfs, tf_names, name, values[:, j], seed=1
        )
        for j, name in enumerate(names)
    ]
    pd.concat(parts).sort_values("importance", ascending=False).to_csv(
        OUT / "grnboost2.tsv", sep="\t", index=False
    )


if __name__ == "__main__":
    seeded = np.random.default_rng(11)
    with tempfile.TemporaryDirectory() as folder:
        import os

        os.chdir(folder)
        made = references(seeded)
        bulk_reads(seeded, made)
        quantify()
        cell_reads(seeded, made)
        if len(sys.argv) > 1:
            long_counts(seeded, sys.argv[1])
        in_r()
        in_python(seeded)
        in_arboreto(seeded)
