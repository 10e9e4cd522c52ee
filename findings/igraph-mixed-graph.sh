#!/usr/bin/env bash
# Tool: igraph (Python) 1.0.0, networkx 3.6.1.
# Guess: a Pajek file with *Arcs and *Edges, as a CPDAG is written, is read as directed, with two arcs for each undirected edge.
# Seen: igraph makes the whole graph undirected: the arc A -> B loses its direction. networkx reads it as directed and
#   gives the undirected edge B -- C one direction, B -> C. Neither warns, and they disagree with each other. In GraphML
#   igraph drops directed="true" of an edge as silently (networkx refuses that file).
# Matters: in an equivalence class the directed edges are what can be told, the undirected ones what cannot; one reader
#   loses the former, the other invents the latter.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check 'igraph==1.0.0' 'networkx==3.6.1'
cd "$folder"
printf '*Vertices 3\n1 "A"\n2 "B"\n3 "C"\n*Arcs\n1 2 1\n*Edges\n2 3 1\n' > cpdag.net
cat > mixed.graphml <<'END'
<?xml version="1.0"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="undirected">
<node id="A"/><node id="B"/><node id="C"/>
<edge source="A" target="B" directed="true"/><edge source="B" target="C"/></graph></graphml>
END
venv/bin/python -W ignore - <<'END'
import igraph
import networkx

from_igraph = igraph.Graph.Read_Pajek("cpdag.net")
from_networkx = networkx.read_pajek("cpdag.net")
graphml = igraph.Graph.Read_GraphML("mixed.graphml")
edges = sorted((a, b) for a, b in from_networkx.edges())
print("igraph directed:", from_igraph.is_directed(), "networkx:", from_networkx.is_directed(), edges)
print("igraph, GraphML, directed:", graphml.is_directed(), graphml.get_edgelist())
if from_igraph.is_directed() or graphml.is_directed():
    raise SystemExit("changed: igraph keeps the direction of an edge of a mixed graph now")
if not from_networkx.is_directed() or edges != [("A", "B"), ("B", "C")]:
    raise SystemExit("changed: networkx no longer gives the undirected edge one direction")
print("as stated: igraph loses the arc's direction, networkx invents one")
END
