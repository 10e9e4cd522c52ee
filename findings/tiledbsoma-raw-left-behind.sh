#!/usr/bin/env bash
# Tool: tiledbsoma 2.3.0 (anndata 0.12.19, numpy 2.4.6, pandas 2.3.3).
# Guess: tiledbsoma.io.to_anndata gives back what from_anndata was given, raw included.
# Seen: raw is stored (as a measurement called "raw") and left behind: the AnnData that comes back has raw None, without a
#   word. Layers are left behind too unless they are named, which the text says; no option is there for raw.
#   X, names and order agree.
# Matters: raw is where counts stand beside scaled or logged values; whoever pools the file that comes back pools logs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'tiledbsoma==2.3.0' 'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3' 'scipy==1.17.1'
cd "$folder"
venv/bin/python -W error::UserWarning - 2>messages <<'END' || { tail -3 messages >&2; exit 1; }
import inspect

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sparse
import tiledbsoma
import tiledbsoma.io

counts = sparse.csr_matrix(np.random.default_rng(0).poisson(2, (5, 3)).astype(np.float32))
cells = anndata.AnnData(
    counts, obs=pd.DataFrame(index=[f"c{i}" for i in (3, 1, 2, 0, 4)]), var=pd.DataFrame(index=["STAT1", "B2M", "IRF1"])
)
cells.raw = cells.copy()
cells.layers["counts"] = counts.copy()
cells.X = np.log1p(counts)
tiledbsoma.io.from_anndata("stored", cells, measurement_name="RNA")
with tiledbsoma.open("stored") as stored:
    measurements = sorted(stored.ms.keys())
    back = tiledbsoma.io.to_anndata(stored, measurement_name="RNA")
    named = tiledbsoma.io.to_anndata(stored, measurement_name="RNA", extra_X_layer_names=["counts"])
options = [name for name in inspect.signature(tiledbsoma.io.to_anndata).parameters if "raw" in name]
print("stored:", measurements, "raw back:", back.raw is not None, "layers:", list(back.layers), list(named.layers), options)
if not np.array_equal(back.X.toarray(), cells.X.toarray()) or list(back.obs_names) != list(cells.obs_names):
    raise SystemExit("changed: X or the names no longer come back")
if "raw" not in measurements or list(back.layers) or list(named.layers) != ["counts"]:
    raise SystemExit("changed: raw is no longer stored, or layers come back otherwise")
if back.raw is not None or named.raw is not None or options:
    raise SystemExit("changed: raw comes back now, or can be asked for")
print("as stated: raw is stored and does not come back")
END
