#!/usr/bin/env bash
# Tool: pgmpy 1.1.2 (numpy 2.4.6, pandas 3.1.1).
# Guess: a temporal order that is true (A before B before D) orients edges of PC and takes none away or adds any: of the
#   chain A -> B -> D it gives A -> B and B -> D.
# Seen: an edge A -> D comes in addition, with 5,000 samples. Genes later than the earlier of two ends are no longer tried
#   as the middle, so that A and D are never tested given B. Without the order the skeleton is right.
# Matters: knowledge of perturbation times or tiers, meant to help, joins every gene to all its descendants.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check 'pgmpy==1.1.2' 'numpy==2.4.6' 'pandas==3.1.1'
cd "$folder"
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 venv/bin/python -W error::UserWarning - 2>messages <<'END' || { tail -3 messages >&2; exit 1; }
import numpy as np
import pandas as pd
from pgmpy.causal_discovery import PC, ExpertKnowledge

rng = np.random.default_rng(0)
a = rng.normal(size=5000)
b = 0.8 * a + rng.normal(size=5000)
d = 0.8 * b + rng.normal(size=5000)
table = pd.DataFrame({"A": a, "B": b, "D": d})


def skeleton(knowledge):
    graph = PC(expert_knowledge=knowledge, show_progress=False, n_jobs=1).fit(table).causal_graph_
    return sorted({"".join(sorted(edge)) for edge in graph.edges()})


without = skeleton(None)
ordered = skeleton(ExpertKnowledge(temporal_order=[["A"], ["B"], ["D"]]))
print("edges without the order:", without, "with it:", ordered)
if without != ["AB", "BD"]:
    raise SystemExit("changed: without an order the skeleton of the chain is no longer found")
if ordered != ["AB", "AD", "BD"]:
    raise SystemExit("changed: a true order no longer adds an edge")
print("as stated: told the true order, PC joins the ends of the chain")
END
