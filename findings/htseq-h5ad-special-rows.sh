#!/usr/bin/env bash
# Tool: HTSeq 2.1.2 (pysam 0.24.1, anndata 0.12.19, numpy 2.2.6).
# Guess: htseq-count writes an h5ad of samples x genes, and what it counts besides genes goes into obs or uns.
# Seen: __no_feature, __ambiguous, __too_low_aQual, __not_aligned and __alignment_not_unique are five more variables, in no
#   way marked. In a real sample they hold a tenth to half of all reads.
# Matters: they enter totals and size factors, and are tested as genes: they follow depth, so they are associated with
#   nearly everything.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'HTSeq==2.1.2' 'pysam==0.24.1' 'anndata==0.12.19' 'scipy==1.17.1' 'numpy==2.2.6' 'pandas==2.3.3'
cd "$folder"
printf '1\tx\texon\t101\t500\t.\t+\t.\tgene_id "IRF1";\n1\tx\texon\t401\t900\t.\t+\t.\tgene_id "STAT1";\n' > genes.gtf
{
    printf '@HD\tVN:1.6\tSO:queryname\n@SQ\tSN:1\tLN:5000\n'
    bases=$(printf 'A%.0s' {1..50})
    quality=$(printf 'I%.0s' {1..50})
    for start in 110 120 430 2000 2001 2002; do
        printf 'r%s\t0\t1\t%s\t60\t50M\t*\t0\t0\t%s\t%s\tNH:i:1\n' "$start" "$start" "$bases" "$quality"
    done
} > one.sam
cp one.sam two.sam
venv/bin/htseq-count -q -s no -c counts.h5ad one.sam two.sam genes.gtf
venv/bin/python -W ignore - <<'END'
import anndata

counts = anndata.read_h5ad("counts.h5ad")
first = {name: float(value) for name, value in zip(counts.var_names, counts.X[0])}
print(counts.shape, first, "columns of var:", list(counts.var))
if first.get("IRF1") != 2 or first.get("STAT1") != 0:
    raise SystemExit("changed: the genes are no longer counted as stated")
if first.get("__no_feature") != 3 or first.get("__ambiguous") != 1 or len(first) != 7 or counts.var.shape[1]:
    raise SystemExit("changed: the special counters are no longer plain variables")
print("as stated: five special counters among seven variables")
END
