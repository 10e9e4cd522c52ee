#!/usr/bin/env bash
# Tool: memento (memento-de 0.1.3; anndata 0.12.19, numpy 2.4.6, pandas 2.3.3, scipy 1.16.3).
# Guess: memento's correlations, freed of sampling noise and depth, are 0 on average for genes that vary on their own, with
#   the settings of its text, however unequal the depths of the cells are.
# Seen: 0.16 on average where depths spread as in a usual sample (0.5 on the log scale): setup_memento shrinks size factors
#   half-way to their median (shrinkage=0.5), and half the depth is left in each gene. With shrinkage=0 and all genes
#   for the size factors it is 0, as plain shares of counts have it. Settings are not explained in its text.
# Matters: correlation networks of memento have a positive floor that grows with the spread of depths; a difference between
#   two groups of cells may be one of their depths.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'memento-de==0.1.3' 'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3' 'scipy==1.16.3'
cd "$folder"
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 venv/bin/python -W ignore - 2>errors <<'END' || { tail -3 errors >&2; exit 1; }
from itertools import combinations

import anndata as ad
import memento
import numpy as np
import pandas as pd
import scipy.sparse as sp

rng = np.random.default_rng(0)
n_cells, n_genes, some = 1000, 800, 30


def correlations(spread, **settings):
    """Of the first genes: memento's, and those of shares of counts."""
    own = rng.gamma(4, 1 / 4, (n_cells, n_genes)) * (rng.gamma(1, 2, n_genes) + 0.3)
    counts = rng.poisson(rng.lognormal(0, spread, n_cells)[:, None] * own)
    cells = pd.DataFrame({"group": "one", "q": 0.1}, index=[f"cell{i}" for i in range(n_cells)])
    data = ad.AnnData(sp.csr_matrix(counts.astype(float)), cells, pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]))
    memento.setup_memento(data, q_column="q", **settings)
    memento.create_groups(data, label_columns=["group"])
    memento.compute_1d_moments(data)
    memento.compute_2d_moments(data, list(combinations(data.var_names[:some], 2)))
    shares = (counts / counts.sum(axis=1, keepdims=True))[:, :some]
    plain = np.corrcoef(shares.T)[np.triu_indices(some, 1)].mean()
    return float(memento.get_2d_moments(data)[0]["sg^one"].mean()), float(plain)


equal, _ = correlations(0.0)
usual, shares = correlations(0.5)
bare, _ = correlations(0.5, shrinkage=0.0, trim_percent=1.0)
print(f"mean correlation: equal depths {equal:.3f}, unequal {usual:.3f}, unshrunken {bare:.3f}, shares of counts {shares:.3f}")
if max(abs(equal), abs(bare), abs(shares)) > 0.03:
    raise SystemExit("changed: equal depths, unshrunken size factors or plain shares no longer give 0")
if usual < 0.1:
    raise SystemExit("changed: the default settings no longer leave half the depth")
print("as stated: genes that vary on their own are correlated where depths are unequal")
END
