#!/usr/bin/env bash
# Tool: featureCounts 2.0.3 (subread, Debian 12, amd64).
# Guess: featureCounts -p counts each read pair once.
# Seen: -p only says that reads are paired; both mates are counted: five pairs in one gene give 10. Counting pairs needs
#   --countReadPairs as well (until 2.0.1 -p alone did it).
# Matters: nearly every count is even and its counting variance is twice its mean. Tests that take counting noise out as
#   Poisson take out half of it, and leave a bend that is not biology.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq 'subread=2.0.3+dfsg-1' 2>/dev/null ||
    { apt-get update -qq && apt-get download -qq 'subread=2.0.3+dfsg-1' 2>/dev/null; }
dpkg -x subread_*.deb unpacked
printf '1\tx\texon\t101\t500\t.\t+\t.\tgene_id "IRF1"; transcript_id "t1";\n' > genes.gtf
{
    printf '@HD\tVN:1.6\tSO:queryname\n@SQ\tSN:1\tLN:5000\n'
    bases=$(printf 'A%.0s' {1..50})
    quality=$(printf 'I%.0s' {1..50})
    for i in 1 2 3 4 5; do
        printf 'r%s\t99\t1\t%s\t60\t50M\t=\t%s\t200\t%s\t%s\n' "$i" $((110 + i)) $((260 + i)) "$bases" "$quality"
        printf 'r%s\t147\t1\t%s\t60\t50M\t=\t%s\t-200\t%s\t%s\n' "$i" $((260 + i)) $((110 + i)) "$bases" "$quality"
    done
} > pairs.sam
count() {
    unpacked/usr/bin/featureCounts "$@" -a genes.gtf -o counts.txt pairs.sam > log 2>&1 || { tail -3 log >&2; exit 1; }
    tail -n 1 counts.txt | cut -f 7
}
reads=$(count -p)
pairs=$(count -p --countReadPairs)
echo "five pairs: -p gives $reads, -p --countReadPairs gives $pairs"
[ "$pairs" = 5 ] || { echo "changed: --countReadPairs no longer gives 5" >&2; exit 1; }
[ "$reads" = 10 ] || { echo "changed: -p alone no longer counts each pair twice" >&2; exit 1; }
echo "as stated: -p alone counts each pair twice"
