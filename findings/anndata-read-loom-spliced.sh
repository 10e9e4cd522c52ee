#!/usr/bin/env bash
# Tool: anndata 0.12.19 with loompy 3.0.8 (numpy 2.4.6).
# Guess: anndata.io.read_loom puts the main matrix of a loom file into X and its layers into layers.
# Seen: X is the layer called "spliced" wherever a file has one (the argument X_name defaults to that word); the main
#   matrix becomes a layer called "matrix". Files of RNA velocity tools have such a layer: 35 counts become 24 in the example.
# Matters: an audit or a pseudobulk of X then uses spliced molecules only, and depth is too small, without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'anndata==0.12.19' 'loompy==3.0.8' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$folder"
venv/bin/python -W ignore - 2>errors <<'END' || { cat errors >&2; exit 1; }
import anndata
import loompy
import numpy as np

rng = np.random.default_rng(0)
spliced, unspliced = rng.poisson(2, (4, 3)), rng.poisson(1, (4, 3))
loompy.create(
    "velocity.loom",
    {"": spliced + unspliced, "spliced": spliced, "unspliced": unspliced},
    {"Gene": np.array(["IRF1", "STAT1", "GBP1", "B2M"])},
    {"CellID": np.array(["c1", "c2", "c3"])},
)
read = anndata.io.read_loom("velocity.loom")
total, of_x = (spliced + unspliced).sum(), read.X.sum()
print("counts in the main matrix:", total, "in X:", of_x, "layers:", sorted(read.layers))
if np.array_equal(read.X.toarray(), (spliced + unspliced).T):
    raise SystemExit("changed: X is the main matrix now")
if not np.array_equal(read.X.toarray(), spliced.T) or "matrix" not in read.layers:
    raise SystemExit("changed: X is neither the main matrix nor the spliced layer")
print("as stated: X is the spliced layer, the main matrix is a layer")
END
