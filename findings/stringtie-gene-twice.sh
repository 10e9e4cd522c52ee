#!/usr/bin/env bash
# Tool: StringTie 2.2.1 (htslib 1.16; Debian 12, amd64).
# Guess: stringtie -e -G genes.gtf -A genes.tab writes one row for each gene_id of the annotation.
# Seen: it writes one row a locus. A gene whose transcripts do not overlap has two rows with the same Gene ID, each with its
#   part of the expression: TPM 375,000 and 625,000 for the only gene expressed. Nothing marks them.
# Matters: a table keyed by gene keeps the last row, or names the second IRF1-1; the gene loses part of its expression, and
#   which part depends on the sample.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
packages=(stringtie=2.2.1+ds-2 libhts3=1.16+ds-3 libdeflate0=1.14-1 libhtscodecs2=1.3.0-4)
apt-get download -qq "${packages[@]}" 2>/dev/null || { apt-get update -qq && apt-get download -qq "${packages[@]}" 2>/dev/null; }
for package in *.deb; do dpkg -x "$package" unpacked; done
export LD_LIBRARY_PATH="$folder/unpacked/usr/lib/x86_64-linux-gnu"
row() { printf '1\tx\t%s\t%s\t%s\t.\t+\t.\tgene_id "%s"; transcript_id "%s";\n' "$@"; }
{
    row transcript 101 900 IRF1 t1; row exon 101 400 IRF1 t1; row exon 601 900 IRF1 t1
    row transcript 3101 3900 IRF1 t2; row exon 3101 3900 IRF1 t2
    row transcript 6001 6900 STAT1 t3; row exon 6001 6900 STAT1 t3
} > genes.gtf
{
    printf '@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:1\tLN:10000\n'
    bases=$(printf 'A%.0s' {1..50})
    quality=$(printf 'I%.0s' {1..50})
    for start in 110 150 200 250 300 340 620 700 800 $(seq 3110 30 3680); do
        printf 'r%s\t0\t1\t%s\t60\t50M\t*\t0\t0\t%s\t%s\tNH:i:1\tXS:A:+\n' "$start" "$start" "$bases" "$quality"
    done
} > reads.sam
unpacked/usr/bin/stringtie -e -G genes.gtf -A genes.tab -o out.gtf reads.sam > log 2>&1 || { tail -3 log >&2; exit 1; }
cut -f 1,9 genes.tab
[ "$(awk -F '\t' '$1 == "STAT1"' genes.tab | wc -l)" = 1 ] || { echo "changed: STAT1 no longer has one row" >&2; exit 1; }
[ "$(awk -F '\t' '$1 == "IRF1"' genes.tab | wc -l)" = 2 ] || { echo "changed: IRF1 no longer has two rows" >&2; exit 1; }
awk -F '\t' '$1 == "IRF1" && $9 < 700000 && $9 > 300000 {n++} END {exit n != 2}' genes.tab ||
    { echo "changed: the two rows no longer share the expression" >&2; exit 1; }
echo "as stated: one gene, two rows, each with a part of its TPM"
