#!/usr/bin/env bash
# Tool: CorALS 0.1.7 (numpy 1.26.4, pandas 2.3.3, scipy 1.13.1).
# Guess: cor_topk returns the k strongest correlations between two genes; with k=0.001, as in its quick start, the strongest
#   thousandth of them.
# Seen: each gene's correlation with itself is among them, and each pair stands there twice, so k=0.001 of 1,000 genes gives
#   1,000 entries, all of them a gene with itself. The strongest pair, r = 0.99, is absent. With k=1002 it is there.
# Matters: a network of the top thousandth of some thousand genes is made of loops, wholly or for the most part; p-values
#   and their correction are computed for the loops too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'corals==0.1.7' 'numpy==1.26.4' 'pandas==2.3.3' 'scipy==1.13.1'
cd "$folder"
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 venv/bin/python -W error::UserWarning - <<'END'
import numpy as np
import pandas as pd
from corals.correlation.topk.default import cor_topk

rng = np.random.default_rng(0)
values = rng.normal(size=(50, 1000))
values[:, 1] = values[:, 0] + 0.1 * rng.normal(size=50)
genes = pd.DataFrame(values, columns=[f"g{i}" for i in range(1000)])


def pairs(k):
    found, (rows, columns) = cor_topk(genes, k=k)
    loops = int(np.sum(rows == columns))
    return len(found), loops, sorted((int(a), int(b)) for a, b in zip(rows, columns) if a != b)


share, more = pairs(0.001), pairs(1002)
print("entries, loops, pairs: k=0.001", share, "k=1002", more)
if more != (1002, 1000, [(0, 1), (1, 0)]):
    raise SystemExit("changed: past the loops the strongest pair is no longer found, both ways round")
if share != (1000, 1000, []):
    raise SystemExit("changed: the top thousandth of 1,000 genes is no longer made of loops")
print("as stated: every entry is a gene with itself")
END
