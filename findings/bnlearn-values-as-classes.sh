#!/usr/bin/env bash
# Tool: bnlearn (Python) 1.1.0 (pgmpy 1.1.2, numpy 2.4.6, pandas 3.1.1).
# Guess: structure_learning.fit(methodtype="pc") and independence_test, which both say that they see continuous data, use a
#   test for continuous data, or refuse.
# Seen: both take the chi-squared test by default, with each value a class of its own: 300 samples are 300 classes. PC
#   gives no edge between genes that correlate with 0.9, and independence_test(..., prune=True) takes out the edge that hill
#   climbing, which does use a Gaussian score, has found. The words "for continuous data" refer to the score.
# Matters: on normalised or logged expression PC finds an empty network, and pruning empties a right one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'bnlearn==1.1.0' 'pgmpy==1.1.2' 'numpy==2.4.6' 'pandas==3.1.1'
cd "$folder"
venv/bin/python -W ignore - 2>messages <<'END' || { tail -3 messages >&2; exit 1; }
import bnlearn
import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
stat1 = rng.normal(size=300)
genes = pd.DataFrame({"STAT1": stat1, "IRF1": stat1 + 0.5 * rng.normal(size=300), "B2M": rng.normal(size=300)})
by_pc = bnlearn.structure_learning.fit(genes, methodtype="pc")["model_edges"]
climbed = bnlearn.structure_learning.fit(genes, methodtype="hc")
before = [tuple(sorted(edge)) for edge in climbed["model_edges"]]
pruned = bnlearn.independence_test(climbed, genes, prune=True)["model_edges"]
print("correlation:", round(float(genes.corr().loc["STAT1", "IRF1"]), 2), "pc:", by_pc, "hc:", before, "pruned:", pruned)
if before != [("IRF1", "STAT1")]:
    raise SystemExit("changed: hill climbing no longer finds the one edge")
if len(by_pc) or len(pruned):
    raise SystemExit("changed: pc finds an edge, or pruning leaves it")
print("as stated: pc finds nothing, pruning takes out the right edge")
END
