#!/usr/bin/env bash
# Tool: networkx 3.6.1 with numpy 2.4.6.
# Guess: a graph with a weight taken from a numpy array, written with write_gml or write_edgelist, can be read again.
# Seen: both write the number as code, `weight NP.FLOAT64(0.5)` and `np.float64(0.5)`, and say nothing; both readers of
#   networkx refuse the file later. A Python float next to it is written as 0.5. write_graphml is right.
# Matters: inferred networks take their weights from arrays; the file is found to be unreadable when the graph is gone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check 'networkx==3.6.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python -W ignore - <<'END'
import networkx
import numpy as np

importance = np.array([0.5])
graph = networkx.DiGraph()
graph.add_edge("STAT1", "IRF1", weight=importance[0])
refused = {}
for name, write, read in (
    ("gml", networkx.write_gml, networkx.read_gml),
    ("edgelist", networkx.write_edgelist, networkx.read_edgelist),
    ("graphml", networkx.write_graphml, networkx.read_graphml),
):
    write(graph, name)
    try:
        read(name)
        refused[name] = ""
    except (networkx.NetworkXError, TypeError) as error:
        refused[name] = str(error)[:70]
line = next(line.strip() for line in open("gml") if "weight" in line)
print("written:", line, "|", open("edgelist").read().strip(), "| refused:", refused)
if line != "weight NP.FLOAT64(0.5)" or "np.float64(0.5)" not in open("edgelist").read():
    raise SystemExit("changed: a numpy weight is no longer written as code")
if not refused["gml"] or not refused["edgelist"] or refused["graphml"]:
    raise SystemExit("changed: the formats that cannot be read back are no longer GML and edge lists")
print("as stated: GML and edge list are written and cannot be read back")
END
