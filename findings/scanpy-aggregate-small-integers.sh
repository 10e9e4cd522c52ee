#!/usr/bin/env bash
# Tool: scanpy 1.11.5 (anndata 0.12.19, numpy 2.4.6, scipy 1.17.1).
# Guess: scanpy.get.aggregate computes in floats, so that a matrix of counts stored as uint8 or int16 gives the same
#   means, medians and variances as the same counts stored as int32.
# Seen: sums and means are right, but squares are taken in the stored type and wrap: the variance of every gene comes
#   out as exactly 0. The median of a sparse uint8 matrix with an even number of cells wraps as well: 4.5 for 132.5.
#   Neither warns. From int32 on all is right.
# Matters: overdispersion per pool from compactly stored counts reads as "no noise at all".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'scanpy==1.11.5' 'anndata==0.12.19' 'numpy==2.4.6' 'scipy==1.17.1' 'pandas==2.3.3'
cd "$folder"
venv/bin/python -W ignore - <<'END'
import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sparse
import scanpy

counts = np.random.default_rng(0).integers(0, 250, (300, 2))
counts[:, 1] = np.repeat([10, 127, 138, 240], [50, 100, 100, 50])  # median 132.5


def per_pool(matrix, what):
    cells = anndata.AnnData(matrix)
    cells.obs["pool"] = pd.Categorical(["a"] * len(counts))
    return scanpy.get.aggregate(cells, by="pool", func=what).layers[what][0]


variance = {t.__name__: per_pool(counts.astype(t), "var") for t in (np.uint8, np.int16, np.int32)}
median = {t.__name__: per_pool(sparse.csr_matrix(counts.astype(t)), "median")[1] for t in (np.uint8, np.int32)}
print("variances:", variance, "medians of the second gene:", median)
if not np.allclose(variance["int32"], counts.var(axis=0, ddof=1)) or median["int32"] != 132.5:
    raise SystemExit("changed: int32 counts no longer give the right variance and median")
if np.any(variance["uint8"]) or np.any(variance["int16"]):
    raise SystemExit("changed: the variance of uint8 or int16 counts is no longer 0")
if median["uint8"] != 4.5:
    raise SystemExit("changed: the median of sparse uint8 counts no longer wraps")
print("as stated: variance 0 for uint8 and int16, median 4.5 for 132.5")
END
