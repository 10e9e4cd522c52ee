#!/usr/bin/env bash
# Tool: igraph (Python) 1.0.0 (numpy 2.2.6).
# Guess: igraph.Graph.Adjacency of a matrix of edge weights makes one edge wherever an entry is not zero.
# Seen: entries are counts of edges, cut to whole numbers: 0.5 gives no edge, 1.7 gives one, 2 gives two parallel edges,
#   0.9 and 0.3 give none. No warning. (A negative entry is refused.)
# Matters: weights of inferred networks lie mostly below 1 (LiNGAM coefficients, NOTEARS, correlations): most of the
#   graph vanishes on the way into igraph, and strong edges are doubled.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check 'igraph==1.0.0' 'numpy==2.2.6'
cd "$folder"
venv/bin/python - <<'END'
import igraph
import numpy as np

weights = np.array([[0, 0.5, 1.7, 0], [0, 0, 2.0, 0.9], [0, 0, 0, 0.3], [0, 0, 0, 0]])
edges = igraph.Graph.Adjacency(weights).get_edgelist()
print("not zero:", np.argwhere(weights).tolist(), "edges:", edges)
if edges != [(0, 2), (1, 2), (1, 2)]:
    raise SystemExit("changed: fractional entries of an adjacency matrix are no longer cut to whole numbers")
print("as stated: of 5 entries 2 are edges, one of them twice")
END
