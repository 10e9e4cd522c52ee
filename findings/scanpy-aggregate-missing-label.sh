#!/usr/bin/env bash
# Tool: scanpy 1.11.5 (anndata 0.12.19, pandas 2.3.3, numpy 2.4.6).
# Guess: scanpy.get.aggregate over two columns leaves out a cell whose second label is missing, as pandas' groupby does.
# Seen: the cell is added to another group, that of the donor before it in the order of categories. Donor d2's cell
#   without a type is summed into donor d1's T cells: 1 + 4 = 5 instead of 1, while d2's own groups are right. Nothing is
#   said. (Where such a cell belongs to the first donor, or with one column alone, an error is raised.)
# Matters: a pseudobulk of one donor holds cells of another one, and donors are the independent units.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'scanpy==1.11.5' 'anndata==0.12.19' 'pandas==2.3.3' 'numpy==2.4.6'
cd "$folder"
venv/bin/python -W ignore - <<'END'
import anndata
import numpy as np
import pandas as pd
import scanpy

cells = anndata.AnnData(np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]], dtype=np.float32))
cells.obs["donor"] = pd.Categorical(["d1", "d1", "d2", "d2", "d2", "d1"])
cells.obs["type"] = pd.Categorical(["T", "B", "T", None, "B", "B"])
pools = scanpy.get.aggregate(cells, by=["donor", "type"], func="sum")
found = {name: float(value) for name, value in zip(pools.obs_names, pools.layers["sum"][:, 0])}
print("sums:", found)
if found != {"d1_B": 8.0, "d1_T": 5.0, "d2_B": 5.0, "d2_T": 3.0}:
    raise SystemExit("changed: the cell of d2 without a type no longer counts as a T cell of d1")
print("as stated: the cell of d2 (value 4) without a type counts as a T cell of d1")
END
