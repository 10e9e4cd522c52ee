#!/usr/bin/env bash
# Tool: mpbn 4.4 (colomoto-jupyter 0.9.3, boolean.py 5.0, clingo 5.8.3), beside pyboolnet 3.0.16.
# Guess: a signal X that stands in rules of a .bnet file but has none of its own is an input that keeps its value, as in
#   pyboolnet: "A, X" and "B, !X" have two fixed points, A without B and B without A.
# Seen: X is free anew in each rule. Four fixed points come back, A with B and neither among them, and X is in none of
#   them. From a start with X = 1 A may rest at 0, though X alone switches it on. With the line "X, X" there are two.
# Matters: networks written from a list of edges have no rule for their inputs; a fork then seems to leave its two genes
#   independent, which is the opposite of what it does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'mpbn==4.4' 'pyboolnet==3.0.16' 'colomoto-jupyter==0.9.3' 'boolean.py==5.0' 'clingo==5.8.3'
cd "$folder"
printf 'A, X\nB, !X\n' > fork.bnet
printf 'A, X\nB, !X\nX, X\n' > declared.bnet
venv/bin/python -W ignore - 2>errors <<'END' || { tail -3 errors >&2; exit 1; }
import mpbn
from pyboolnet.file_exchange import bnet2primes
from pyboolnet.trap_spaces import compute_steady_states


def genes(states):
    return sorted((state["A"], state["B"]) for state in states)


fork, declared = mpbn.load("fork.bnet"), mpbn.load("declared.bnet")
here, with_rule = genes(fork.fixedpoints()), genes(declared.fixedpoints())
from_start = genes(fork.attractors(reachable_from={"A": 0, "B": 0, "X": 1}))
peer = genes(compute_steady_states(bnet2primes(open("fork.bnet").read())))
print("(A, B) at rest: undeclared", here, "from X = 1", from_start, "with 'X, X'", with_rule, "pyboolnet", peer)
if with_rule != [(0, 1), (1, 0)] or peer != [(0, 1), (1, 0)]:
    raise SystemExit("changed: a declared input, or pyboolnet, no longer gives the two fixed points")
if here != [(0, 0), (0, 1), (1, 0), (1, 1)] or (0, 0) not in from_start:
    raise SystemExit("changed: an undeclared input is no longer free in each rule")
print("as stated: A and B rest together, though one needs X and the other its absence")
END
