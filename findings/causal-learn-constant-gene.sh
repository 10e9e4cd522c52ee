#!/usr/bin/env bash
# Tool: causal-learn 0.1.4.8 (numpy 2.2.6, scipy 1.13.1).
# Guess: pc with Fisher's z refuses a column that is constant, or leaves it without edges.
# Seen: the constant gene becomes a child of every other gene, also of those with which nothing in the data could connect
#   it: its p-values are NaN, NaN is not above alpha, so no edge is ever removed. (Two equal columns are refused.)
# Matters: many genes are constant within a cell type or a group of pools; each becomes a hub of the network.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'causal-learn==0.1.4.8' 'numpy==2.2.6' 'scipy==1.13.1' 'scikit-learn==1.9.1'
cd "$folder"
venv/bin/python -W ignore - <<'END'
import numpy as np
from causallearn.search.ConstraintBased.PC import pc

values = np.random.default_rng(1).normal(size=(300, 4))
values[:, 1] += 1.5 * values[:, 0]
values[:, 2] += 1.5 * values[:, 1]
values[:, 3] = 1.0


def arrows(data):
    graph = pc(data, show_progress=False).G.graph  # graph[i, j] == -1 and graph[j, i] == 1: i -> j
    last = data.shape[1] - 1
    return [i for i in range(last) if graph[i, last] == -1 and graph[last, i] == 1]


parents = arrows(values)
print("parents of the constant gene:", parents)
if parents != [0, 1, 2]:
    raise SystemExit("changed: the constant gene is no longer a child of all others")
print("as stated: the constant gene is a child of all three others")
END
