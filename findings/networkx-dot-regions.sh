#!/usr/bin/env bash
# Tool: networkx 3.6.1 with pydot 4.0.1.
# Guess: networkx.nx_pydot.write_dot quotes a node called chr1:100-200, or refuses it, and read_dot gives it back.
# Seen: what follows the colon is written as a port, outside of the name (`chr1:"100-200" -> IRF1`): drawn, all regions of a
#   chromosome are one node. Read back, the edges start at nodes called `chr1:"100-200`, with half a pair of quotes, and a
#   node chr1 is new. Nothing is said. Other names that need quotes (HLA-A) come back right.
# Matters: networks of enhancers and genes name regions so; after the round trip no region matches a peak.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check 'networkx==3.6.1' 'pydot==4.0.1' 'pyparsing==3.3.3'
cd "$folder"
venv/bin/python -W ignore - <<'END'
import networkx

regions = ["chr1:100-200", "chr1:300-400"]
graph = networkx.DiGraph([(regions[0], "IRF1"), (regions[1], "IRF1"), ("HLA-A", "IRF1")])
networkx.nx_pydot.write_dot(graph, "regions.dot")
written = [line.strip() for line in open("regions.dot") if "->" in line]
read = networkx.nx_pydot.read_dot("regions.dot")
print("written:", written, "nodes read:", sorted(read), "edges:", sorted((a, b) for a, b, *_ in read.edges()))
if 'chr1:"100-200" -> IRF1;' not in written:
    raise SystemExit("changed: a region is no longer written as a node with a port")
if any(region in read for region in regions) or "chr1" not in read or "HLA-A" not in read:
    raise SystemExit("changed: the regions come back, or HLA-A does not")
print("as stated: the regions do not come back, a node chr1 does")
END
