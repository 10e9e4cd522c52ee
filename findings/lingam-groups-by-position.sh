#!/usr/bin/env bash
# Tool: lingam 1.13.0 (numpy 2.2.6, scikit-learn 1.9.1, scipy 1.13.1, pandas 2.3.3).
# Guess: MultiGroupDirectLiNGAM, given two data frames with the same columns in another order, matches them by name or
#   refuses them.
# Seen: columns are taken by position. Of two samples of STAT1 -> IRF1 -> GBP1, the second with its columns rotated, the
#   second gets GBP1 as a cause of both STAT1 and IRF1, and no warning. In the same order both groups give the chain.
# Matters: several donors or batches are what the method is for, and their files seldom agree in the order of genes; the
#   joint order of causes is then of mixed-up genes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'lingam==1.13.0' 'numpy==2.2.6' 'scikit-learn==1.9.1' 'scipy==1.13.1' 'pandas==2.3.3'
cd "$folder"
venv/bin/python -W ignore - <<'END'
import lingam
import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
genes = ["STAT1", "IRF1", "GBP1"]


def batch(n):
    values = rng.uniform(size=(n, 3))
    values[:, 1] += 2 * values[:, 0]
    values[:, 2] += 2 * values[:, 1]
    return pd.DataFrame(values, columns=genes)


def fitted(frames):
    model = lingam.MultiGroupDirectLiNGAM()
    model.fit(frames)
    return [
        {f"{frame.columns[j]} -> {frame.columns[i]}" for i, j in np.argwhere(np.abs(matrix) > 0.1)}
        for frame, matrix in zip(frames, model.adjacency_matrices_)
    ]


one, two = batch(500), batch(500)
edges = fitted([one, two])
mixed_edges = fitted([one, two[["GBP1", "STAT1", "IRF1"]]])
print("same order:", [sorted(part) for part in edges])
print("second rotated:", [sorted(part) for part in mixed_edges])
chain = {"STAT1 -> IRF1", "IRF1 -> GBP1"}
if edges != [chain, chain]:
    raise SystemExit("changed: columns in the same order no longer give the chain in both groups")
if not {"GBP1 -> STAT1", "GBP1 -> IRF1"} <= mixed_edges[1]:
    raise SystemExit("changed: rotated columns no longer turn the chain round")
print("as stated: columns in another order make the last gene a cause, and nothing is said")
END
