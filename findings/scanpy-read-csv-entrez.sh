#!/usr/bin/env bash
# Tool: scanpy 1.11.5 (anndata 0.12.19).
# Guess: scanpy.read_csv takes a first column under the header "gene" as names, whatever they look like.
# Seen: names that are numbers (Entrez gene ids) are taken as values: the table of 2 genes x 2 samples comes out as
#   2 x 3, rows are called "0" and "1", a third variable called "gene" holds 7157 and 672. Symbols in the same place
#   are taken as names. With an empty header cell it is the same. float32 also turns 16777217 into 16777216.
# Matters: gene ids enter a count matrix as counts, mostly the largest of the row: totals and size factors follow them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'scanpy==1.11.5' 'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$folder"
printf 'gene,s1,s2\n7157,5,6\n672,7,16777217\n' > entrez.csv
printf 'gene,s1,s2\nTP53,5,6\nBRCA1,7,8\n' > symbols.csv
venv/bin/python -W ignore - <<'END'
import scanpy

entrez, symbols = scanpy.read_csv("entrez.csv"), scanpy.read_csv("symbols.csv")
print("Entrez ids:", list(entrez.obs_names), list(entrez.var_names), entrez.X.tolist())
print("symbols:", list(symbols.obs_names), list(symbols.var_names), symbols.X.tolist())
if list(symbols.obs_names) != ["TP53", "BRCA1"]:
    raise SystemExit("changed: symbols in the first column are no longer names")
if list(entrez.var_names) != ["gene", "s1", "s2"] or entrez.X[0, 0] != 7157:
    raise SystemExit("changed: Entrez ids in the first column are no longer values")
if entrez.X[1, 2] != 16777216:
    raise SystemExit("changed: 16777217 is no longer rounded")
print("as stated: the ids are a variable called gene")
END
