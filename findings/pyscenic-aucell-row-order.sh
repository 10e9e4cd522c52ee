#!/usr/bin/env bash
# Tool: pyscenic 0.12.1 (ctxcore 0.2.0, pandas 3.1.1, numpy 2.4.6, setuptools 65.5).
# Guess: pyscenic.aucell.aucell returns one row a cell in the order of its input, whatever num_workers is.
# Seen: with num_workers=1 rows come sorted by name (c0, c1, c10, c11, c2, ...), with num_workers=2 in the order of the input;
#   the scores of each name agree. What is taken with .values and put beside the cells depends on the number of workers.
# Matters: regulon activities end up on other cells; nothing in shape or range tells.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'pyscenic==0.12.1' 'ctxcore==0.2.0' 'pandas==3.1.1' 'numpy==2.4.6' 'setuptools==65.5.0'
cd "$folder"
cat > rows.py <<'END'
import numpy as np
import pandas as pd
from ctxcore.genesig import GeneSignature
from pyscenic.aucell import aucell


def main():
    counts = np.random.default_rng(0).poisson(0.5, (20, 300))
    cells = pd.DataFrame(counts, index=[f"c{i}" for i in range(20)], columns=[f"g{i}" for i in range(300)])
    regulons = [GeneSignature(name=f"r{k}", gene2weight={f"g{i}": 1.0 for i in range(20 * k, 20 * k + 20)}) for k in range(2)]
    one, two = (aucell(cells, regulons, seed=1, num_workers=n) for n in (1, 2))
    print("one worker:", list(one.index[:5]), "two workers:", list(two.index[:5]))
    if not np.allclose(one.loc[cells.index, "r0"], two.loc[cells.index, "r0"], atol=1e-6):
        raise SystemExit("changed: the scores of a cell differ between one and two workers")
    if list(two.index) != list(cells.index) or list(one.index) != sorted(cells.index):
        raise SystemExit("changed: the order of rows no longer depends on the number of workers")
    print("as stated: sorted names with one worker, the input's order with two")


if __name__ == "__main__":
    main()
END
venv/bin/python -W ignore rows.py 2>errors || { tail -3 errors >&2; exit 1; }
