#!/usr/bin/env bash
# Tool: loompy 3.0.8 (numpy 2.4.6).
# Guess: loompy.combine of two files whose genes are the same but stand in another order matches them by name or refuses.
# Seen: without the argument key, rows are put side by side by position and the names of the first file are kept:
#   gene a gets the values 1, 1 from the first file and 30, 30, those of gene c, from the second. No warning.
#   With key="Gene" the rows are matched.
# Matters: batches joined this way hold scrambled genes; every association across batches is then spurious.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check 'loompy==3.0.8' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$folder"
venv/bin/python -W ignore - 2>errors <<'END' || { cat errors >&2; exit 1; }
import loompy
import numpy as np

one = np.array([[1, 1], [2, 2], [3, 3]])
loompy.create("one.loom", one, {"Gene": np.array(["a", "b", "c"])}, {"CellID": np.array(["c1", "c2"])})
loompy.create("two.loom", one[::-1] * 10, {"Gene": np.array(["c", "b", "a"])}, {"CellID": np.array(["c3", "c4"])})


def joined(name, **options):
    loompy.combine(["one.loom", "two.loom"], name, **options)
    with loompy.connect(name) as file:
        return {str(gene): row.astype(int).tolist() for gene, row in zip(file.ra.Gene, file[:, :])}


plain, keyed = joined("plain.loom"), joined("keyed.loom", key="Gene")
print("without key:", plain, "with key:", keyed)
if keyed != {"a": [1, 1, 10, 10], "b": [2, 2, 20, 20], "c": [3, 3, 30, 30]}:
    raise SystemExit("changed: with key the genes are no longer matched by name")
if plain != {"a": [1, 1, 30, 30], "b": [2, 2, 20, 20], "c": [3, 3, 10, 10]}:
    raise SystemExit("changed: without key the rows are no longer joined by position")
print("as stated: without key gene a holds the values of gene c")
END
