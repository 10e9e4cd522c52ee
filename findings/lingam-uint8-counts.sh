#!/usr/bin/env bash
# Tool: lingam 1.13.0 (numpy 2.2.6, scikit-learn 1.9.1, scipy 1.13.1).
# Guess: DirectLiNGAM gives the same graph for whole numbers from 0 to 255 stored as uint8 as for the same numbers as floats.
# Seen: another graph. As floats the chain x0 -> x1 -> x2 is found (coefficients 1.06 and 1.00). As uint8 x1 comes last,
#   a child of x0 and x2: means and residuals are taken in the stored type and wrap. No warning. ICALiNGAM gives the right
#   graph in both types, and so does DirectLiNGAM for int64.
# Matters: counts of molecules are often stored as uint8; the order of causes depends on how they are stored.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'lingam==1.13.0' 'numpy==2.2.6' 'scikit-learn==1.9.1' 'scipy==1.13.1'
cd "$folder"
venv/bin/python -W ignore - <<'END'
import lingam
import numpy as np

values = np.random.default_rng(1).uniform(size=(1000, 3))
values[:, 1] += values[:, 0]
values[:, 2] += values[:, 1]
counts = np.round(values * 60)
assert counts.min() >= 0 and counts.max() <= 255


def edges(kind):
    model = lingam.DirectLiNGAM()
    model.fit(counts.astype(kind))
    found = np.round(model.adjacency_matrix_, 2)
    return {f"x{j} -> x{i}": float(found[i, j]) for i, j in np.argwhere(found)}


float_edges, integer_edges, byte_edges = (edges(kind) for kind in (float, np.int64, np.uint8))
print("float:", float_edges, "int64:", integer_edges, "uint8:", byte_edges)
if set(float_edges) != {"x0 -> x1", "x1 -> x2"} or integer_edges != float_edges:
    raise SystemExit("changed: floats or int64 no longer give the chain")
if set(byte_edges) == set(float_edges):
    raise SystemExit("changed: uint8 gives the graph of the floats now")
print("as stated: another graph for uint8")
END
