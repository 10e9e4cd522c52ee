#!/usr/bin/env bash
# Tool: SEACells 0.3.3 (palantir 1.4.5, scanpy 1.11.5, anndata 0.12.19, numpy 2.4.6).
# Guess: SEACells.core.summarize_by_soft_SEACell sums the raw counts of cells times their weights, as its text says, and
#   keeps the total number of molecules; summarize_by_SEACell is the same with weights of 0 and 1.
# Seen: the weighted sums are divided by the sum of the weights. With weights of 0 and 1 a metacell of three cells holds a
#   third of what summarize_by_SEACell gives, one of five cells a fifth. layers["raw"], where the text says they are,
#   does not exist; the divisor stands in obs["Pseudo-sizes"].
# Matters: two summaries by one package are on two scales, and depth no longer grows with size: tests that take counting
#   noise as that of sums, and size factors, are wrong by the number of cells.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'SEACells==0.3.3' 'palantir==1.4.5' 'scanpy==1.11.5' 'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3' 'pyranges==0.1.7'
cd "$folder"
venv/bin/python -W ignore - 2>errors <<'END' || { tail -3 errors >&2; exit 1; }
import anndata
import numpy as np
import scipy.sparse as sparse
from SEACells.core import summarize_by_SEACell, summarize_by_soft_SEACell

counts = np.random.default_rng(0).poisson(2, (8, 4)).astype(float)
cells = anndata.AnnData(sparse.csr_matrix(counts))
cells.layers["raw"] = cells.X.copy()
cells.obs["SEACell"] = ["A"] * 3 + ["B"] * 5
weights = np.array([[1.0] * 3 + [0.0] * 5, [0.0] * 3 + [1.0] * 5])
hard = summarize_by_SEACell(cells, SEACells_label="SEACell", summarize_layer="raw")
soft = summarize_by_soft_SEACell(cells, weights, celltype_label=None, summarize_layer="raw", minimum_weight=0.05)
sums, means = (np.asarray(m.X.todense()) if sparse.issparse(m.X) else np.asarray(m.X) for m in (hard, soft))
print("cells:", counts.sum(), "hard:", sums.sum(axis=1).tolist(), "soft:", means.sum(axis=1).round(3).tolist())
print("layers:", list(soft.layers), "obs:", soft.obs.to_dict("list"))
if sums.sum() != counts.sum():
    raise SystemExit("changed: the summary by label no longer keeps the total")
if not np.allclose(means * [[3], [5]], sums):
    raise SystemExit("changed: the soft summary is no longer the sum divided by the weights")
if "raw" in soft.layers:
    raise SystemExit("changed: layers['raw'] is there now")
print("as stated: the soft summary holds means, a third and a fifth of the sums")
END
