#!/usr/bin/env bash
# Tool: gcastle 1.0.4 (numpy 2.2.6, pandas 2.3.3).
# Guess: castle.metrics.MetricsDAG gives a structural Hamming distance of 1 where the truth has A -> B and the estimate
#   A -- B (both entries 1), as the methods of the package that return CPDAGs write it.
# Seen: the distance is 0, and the true positive rate is 1.5. A reversed edge gives 1. An estimate without any
#   direction is thus as good as the truth.
# Matters: a benchmark of methods under pooling that takes this SHD cannot see that directions were lost.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check 'gcastle==1.0.4' 'numpy==2.2.6' 'pandas==2.3.3'
cd "$folder"
venv/bin/python -W ignore - 2>errors <<'END' || { tail -3 errors >&2; exit 1; }
import numpy as np
from castle.metrics import MetricsDAG


def graph(*edges):
    matrix = np.zeros((3, 3), dtype=int)
    for source, target in edges:
        matrix[source, target] = 1
    return matrix


truth = graph((0, 1), (1, 2))
estimates = {"same": truth, "reversed": graph((1, 0), (1, 2)), "undirected": graph((0, 1), (1, 0), (1, 2))}
found = {name: MetricsDAG(estimate, truth).metrics for name, estimate in estimates.items()}
shown = {name: (int(values["shd"]), float(values["tpr"])) for name, values in found.items()}
print("SHD and true positive rate:", shown)
if shown["same"] != (0, 1.0) or shown["reversed"][0] != 1:
    raise SystemExit("changed: the same graph no longer has distance 0, or a reversed edge 1")
if shown["undirected"] != (0, 1.5):
    raise SystemExit("changed: an undirected edge no longer has distance 0 and a rate of 1.5")
print("as stated: distance 0 and a rate of 1.5 for the undirected edge")
END
