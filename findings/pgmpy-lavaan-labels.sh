#!/usr/bin/env bash
# Tool: pgmpy 1.1.2.
# Guess: DAG.from_lavaan reads a regression with a labelled or fixed coefficient, `y ~ b1*x`, as the edge x -> y.
# Seen: such a term is dropped without a word, and with it the edge; in `y ~ x1 + b*x2` even x1 is lost, since the whole
#   line goes. Names with a dot (`y ~ x.1`) give an empty graph as well. Plain lines are read.
# Matters: labels are everyday lavaan. What is left is a graph with fewer edges, so with separations that the model never claimed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check 'pgmpy==1.1.2' 'numpy==2.4.6' 'pandas==3.1.1'
cd "$folder"
venv/bin/python -W ignore - <<'END'
from pgmpy.base import DAG


def edges(text):
    return sorted(DAG.from_lavaan(text).edges())


plain = edges("IRF1 ~ STAT1 + JAK1\nGBP1 ~ IRF1")
labelled = edges("IRF1 ~ a*STAT1 + JAK1\nGBP1 ~ IRF1")
dotted = edges("IRF1 ~ STAT.1")
print("plain:", plain, "labelled:", labelled, "dotted:", dotted)
if plain != [("IRF1", "GBP1"), ("JAK1", "IRF1"), ("STAT1", "IRF1")]:
    raise SystemExit("changed: plain lines are no longer read right")
if labelled != [("IRF1", "GBP1")] or dotted:
    raise SystemExit("changed: lines with labels or dotted names are no longer dropped")
print("as stated: the line with a label is dropped, 1 of 3 edges is left")
END
