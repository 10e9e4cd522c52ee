#!/usr/bin/env bash
# Tool: causal-learn 0.1.4.8.
# Guess: BackgroundKnowledge().add_forbidden_by_pattern("IL2", "STAT5A") speaks of the genes IL2 and STAT5A: a pattern
#   without wildcards matches a whole name.
# Seen: it matches every name that starts so: IL21 and IL2RA are forbidden to cause STAT5A as well, while a name in front
#   (CIL2) does not match. add_required_by_pattern does the same.
# Matters: gene families share prefixes; prior knowledge on one gene silently fixes the edges of its relatives.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'causal-learn==0.1.4.8' 'numpy==2.2.6' 'scipy==1.13.1' 'scikit-learn==1.9.1'
cd "$folder"
venv/bin/python -W ignore - <<'END'
from causallearn.graph.GraphNode import GraphNode
from causallearn.utils.PCUtils.BackgroundKnowledge import BackgroundKnowledge

forbidden = BackgroundKnowledge().add_forbidden_by_pattern("IL2", "STAT5A")
required = BackgroundKnowledge().add_required_by_pattern("IL2", "STAT5A")
genes = ["IL2", "IL21", "IL2RA", "CIL2", "IL4"]
found = [g for g in genes if forbidden.is_forbidden(GraphNode(g), GraphNode("STAT5A"))]
needed = [g for g in genes if required.is_required(GraphNode(g), GraphNode("STAT5A"))]
print("forbidden:", found, "required:", needed)
if found != ["IL2", "IL21", "IL2RA"] or needed != found:
    raise SystemExit("changed: a pattern no longer matches just the names that start with it")
print("as stated: IL21 and IL2RA are meant too")
END
