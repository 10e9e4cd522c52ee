#!/usr/bin/env bash
# Tool: bustools 0.42.0 (Debian 12, amd64).
# Guess: bustools count refuses a BUS file that is not sorted by barcode, or sorts it.
# Seen: it exits with 0 and writes a new row each time the barcode changes: six records of two cells become six cells, each
#   barcode three times. The same file sorted first gives two cells.
# Matters: cells fall to pieces of one or two molecules; with names made unique they pass for many shallow cells.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq 'bustools=0.42.0+dfsg-1' 2>/dev/null ||
    { apt-get update -qq && apt-get download -qq 'bustools=0.42.0+dfsg-1' 2>/dev/null; }
dpkg -x bustools_*.deb unpacked
bustools=unpacked/usr/bin/bustools
printf 't1\tg1\nt2\tg2\n' > genes.tsv
printf 't1\nt2\n' > transcripts.txt
printf '0\t0\n1\t1\n' > classes.ec
for umi in AAAAAAAAAA CCCCAAAAAA GGGGAAAAAA; do
    printf 'ACGTACGTACGTACGT\t%s\t0\t1\nTTTTACGTACGTACGT\t%s\t1\t1\n' "$umi" "$umi"
done > records.txt
"$bustools" fromtext -o unsorted.bus records.txt 2>/dev/null
"$bustools" sort -o sorted.bus unsorted.bus 2>/dev/null
for kind in unsorted sorted; do
    mkdir "$kind"
    "$bustools" count -o "$kind/cells" -g genes.tsv -e classes.ec -t transcripts.txt --genecounts "$kind.bus" 2>/dev/null ||
        { echo "changed: bustools count fails on the $kind file" >&2; exit 1; }
    echo "$kind: $(wc -l < "$kind/cells.barcodes.txt") cells, $(sort -u "$kind/cells.barcodes.txt" | wc -l) barcodes"
done
[ "$(wc -l < sorted/cells.barcodes.txt)" = 2 ] || { echo "changed: the sorted file no longer gives two cells" >&2; exit 1; }
[ "$(wc -l < unsorted/cells.barcodes.txt)" = 6 ] || { echo "changed: the unsorted file no longer gives six cells" >&2; exit 1; }
echo "as stated: two cells become six"
