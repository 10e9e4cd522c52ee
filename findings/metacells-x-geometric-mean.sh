#!/usr/bin/env bash
# Tool: metacells 0.9.5 (anndata 0.12.19, numpy 2.4.6).
# Guess: after metacells.pl.collect_metacells, X holds each metacell's sum of molecules, or that sum divided by its total.
# Seen: X holds a weighted geometric mean over cells of each gene's fraction, made to sum to 1. Two genes with the same 500
#   molecules in a metacell of 100 cells, one in every cell (5 each), one in a tenth of the cells (50 each), come out as
#   0.078 and 0.001, a ratio of 76. The sums stand in layers["total_umis"].
# Matters: the geometric mean is no linear map of cells, so theory about sums does not speak of X; and genes that come in
#   bursts are pulled down. Analyse layer total_umis.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'metacells==0.9.5' 'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3' 'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - 2>errors <<'END' || { tail -3 errors >&2; exit 1; }
import anndata
import metacells
import numpy as np
import scipy.sparse as sparse

counts = np.random.default_rng(0).poisson(2, (400, 50)).astype(np.float32)
counts[:, 0] = 5
counts[:, 1] = np.where(np.arange(400) % 10 == 0, 50, 0)
cells = anndata.AnnData(sparse.csr_matrix(counts))
cells.obs_names = [f"c{i}" for i in range(400)]
cells.var_names = [f"g{i}" for i in range(50)]
cells.obs["metacell"] = np.repeat(np.arange(4), 100).astype("int32")
metacells.ut.set_name(cells, "cells")
pooled = metacells.pl.collect_metacells(cells, random_seed=1)
fractions = pooled.X.toarray() if sparse.issparse(pooled.X) else np.asarray(pooled.X)
sums = np.asarray(pooled.layers["total_umis"])
ratio = fractions[:, 0] / fractions[:, 1]
print("sums:", sums[0, :2].tolist(), "X:", fractions[0, :2].round(4).tolist(), "ratios:", ratio.round(1).tolist())
if not np.all(sums[:, :2] == 500) or not np.allclose(fractions.sum(axis=1), 1, atol=1e-4):
    raise SystemExit("changed: total_umis no longer holds sums, or X no longer sums to 1")
if ratio.min() < 20:
    raise SystemExit("changed: X of two genes with equal sums is no longer far apart")
print("as stated: equal sums, X more than 20 times apart")
END
