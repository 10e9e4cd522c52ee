#!/usr/bin/env bash
# Tool: scVelo 0.3.4 (scanpy 1.11.5, anndata 0.12.19, numpy 2.4.6, pandas 2.3.3).
# Guess: scvelo.utils.merge joins counts and velocyto's layers of two samples cell by cell; cells of two samples that have
#   one barcode (s1:...x and s2:...x, and ...-1_s1 and ...-1_s2) stay apart.
# Seen: where names of the two files differ, both are cut to the first 12 letters of the barcode, samples are dropped, and
#   repeats are numbered in the order of each file. With the samples in another order in the loom file, a cell of s1 has
#   the spliced counts of s2. No warning; all cells are there, under names of 12 letters.
# Matters: two samples of some thousand cells share a few of the millions of barcodes; the layers spliced and unspliced of
#   these cells then belong to another cell than X, and velocity and regulation are fitted to both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'scvelo==0.3.4' 'scanpy==1.11.5' 'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$folder"
NUMBA_DISABLE_JIT=1 venv/bin/python -W error::UserWarning -W ignore::DeprecationWarning - 2>messages <<'END' || { tail -3 messages >&2; exit 1; }
import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import scvelo

genes = pd.DataFrame(index=["IRF1", "STAT1"])
barcodes = ["AAACCTGAGAAACCAT", "CGTTAGATCCGATTGG", "GGACATTCACTTGGCA"]  # the second is in both samples
cells = [("s1", barcodes[0]), ("s1", barcodes[1]), ("s2", barcodes[1]), ("s2", barcodes[2])]
depth = {cell: 10.0 * (i + 1) for i, cell in enumerate(cells)}


def data(order, name):
    values = sp.csr_matrix(np.array([[depth[cell], 1.0] for cell in order]))
    obs = pd.DataFrame({"from": [cell[0] for cell in order]}, index=[name(*cell) for cell in order])
    return ad.AnnData(values, obs, genes.copy())


def merged(loom_order):
    loom = data(loom_order, lambda sample, barcode: f"{sample}:{barcode}x")
    loom.layers["spliced"] = loom.X.copy()
    loom.obs = loom.obs[[]]
    both = scvelo.utils.merge(data(cells, lambda sample, barcode: f"{barcode}-1_{sample}"), loom)
    x, spliced = both.X.toarray()[:, 0], both.layers["spliced"].toarray()[:, 0]
    return x.tolist(), spliced.tolist(), [len(name.split("-")[0]) for name in both.obs_names]


same_order = merged(cells)
other_order = merged([cells[2], cells[3], cells[0], cells[1]])
print("counts and spliced counts, same order:", same_order[:2], "other order:", other_order[:2], "letters:", other_order[2])
if same_order[0] != same_order[1] or other_order[0] != [10.0, 20.0, 30.0, 40.0]:
    raise SystemExit("changed: the same order of samples no longer gives every cell its own counts")
if other_order[1] != [10.0, 30.0, 20.0, 40.0] or set(other_order[2]) != {12}:
    raise SystemExit("changed: cells of one barcode are no longer matched by the order of the files")
print("as stated: the cell of s1 has the spliced counts of the cell of s2")
END
if grep -qi 'duplicat\|unique\|barcode' messages; then
    echo "changed: something is said: $(grep -i -m 1 'duplicat\|unique\|barcode' messages)" >&2
    exit 1
fi
