#!/usr/bin/env bash
# Tool: bnlearn (Python) 1.1.0 (pgmpy 1.1.2, numpy 2.4.6, pandas 3.1.1).
# Guess: adjmat2vec turns a matrix of weights into the list of its edges: all entries that are not 0, or by min_weight those
#   that are large, whatever their sign.
# Seen: the sign counts: an edge must be >= min_weight, which is 1. Of 0.5, 1.7, -2 and -0.4 only 1.7 is left. With a
#   min_weight below -2 the repressors are there, and so is every pair without an edge, with weight 0: no setting gives
#   the four edges.
# Matters: repression is half of regulation, and coefficients are mostly below 1; the list goes on as the network.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'bnlearn==1.1.0' 'pgmpy==1.1.2' 'numpy==2.4.6' 'pandas==3.1.1'
cd "$folder"
venv/bin/python -W ignore - 2>messages <<'END' || { tail -3 messages >&2; exit 1; }
import bnlearn

sources, targets = ["STAT1", "STAT1", "BCL6", "BCL6"], ["IRF1", "GBP1", "PRDM1", "IRF4"]
matrix = bnlearn.vec2adjmat(sources, targets, weights=[0.5, 1.7, -2.0, -0.4])
by_default, with_all = (
    {(row.source, row.target): float(row.weight) for row in bnlearn.adjmat2vec(matrix, **options).itertuples()}
    for options in ({}, {"min_weight": -3})
)
print("by default:", by_default, "with min_weight -3:", len(with_all), "of which 0:", sum(w == 0 for w in with_all.values()))
if int((matrix.to_numpy() != 0).sum()) != 4:
    raise SystemExit("changed: the matrix no longer holds the four weights")
if by_default != {("STAT1", "GBP1"): 1.7}:
    raise SystemExit("changed: other edges than the one of weight 1.7 are left")
if len(with_all) != 30 or sum(w == 0 for w in with_all.values()) != 26:
    raise SystemExit("changed: a negative min_weight no longer gives all pairs")
print("as stated: one edge of four, or all pairs of genes")
END
