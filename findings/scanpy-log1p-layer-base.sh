#!/usr/bin/env bash
# Tool: scanpy 1.11.5 (anndata 0.12.19).
# Guess: scanpy.pp.log1p(adata, base=10, layer="copy") records its base for that layer; what uns["log1p"] says of X stays.
# Seen: uns["log1p"] has one slot. Taking the log of a layer overwrites the base of X (2 becomes 10), and creates the
#   entry although X itself is still counts. Tools that go back to amounts from it use the wrong base on X.
# Matters: poolproof reads uns["log1p"] as a statement about X, to undo the log: linearity is a question about amounts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'scanpy==1.11.5' 'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$folder"
venv/bin/python -W ignore - <<'END'
import anndata
import numpy as np
import scanpy

counts = np.random.default_rng(0).poisson(3, (5, 4)).astype(np.float32)
logged = anndata.AnnData(counts.copy(), layers={"copy": counts.copy()})
scanpy.pp.log1p(logged, base=2)
before = dict(logged.uns["log1p"])
scanpy.pp.log1p(logged, base=10, layer="copy")
after = dict(logged.uns["log1p"])
x_is_base_2 = np.allclose(logged.X, np.log2(1 + counts))

untouched = anndata.AnnData(counts.copy(), layers={"copy": counts.copy()})
scanpy.pp.log1p(untouched, layer="copy")
print("before:", before, "after:", after, "X counts, uns:", dict(untouched.uns))
if before != {"base": 2} or after != {"base": 10} or not x_is_base_2:
    raise SystemExit("changed: the log of a layer no longer overwrites the base of X")
if not np.array_equal(untouched.X, counts) or "log1p" not in untouched.uns:
    raise SystemExit("changed: the log of a layer no longer marks X, still counts, as logged")
print("as stated: X is log2, uns says base 10; X is counts, uns says logged")
END
