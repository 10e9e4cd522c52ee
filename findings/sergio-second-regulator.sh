#!/usr/bin/env bash
# Tool: SERGIO, as sergio-scSim 1.9.3 on the package index (numpy 2.4.6, pandas 2.3.3, networkx 3.6.1).
# Guess: grn_from_v1 reads an interaction table of SERGIO's first version; a line with two regulators of gene 2 gives two
#   edges into gene 2, and the simulated table has the genes of the file.
# Seen: the first regulator acts on gene 2. The second acts on a new gene whose name is the printed form of an object, a row
#   more in the simulated table. No warning. (Hill coefficients of the file are left aside too, unless n=None: its text says
#   so.)
# Matters: in a benchmark every target has one regulator, the first of its line; all other true edges are absent from the
#   data, and methods look worse than they are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'sergio-scSim==1.9.3' 'numpy==2.4.6' 'pandas==2.3.3' 'networkx==3.6.1'
cd "$folder"
printf '2,2,0,1,3.0,-2.0,2,2\n3,1,2,1.5,2\n' > interactions.txt  # target, how many, regulators, strengths, Hill coefficients
OMP_NUM_THREADS=1 venv/bin/python -W error::UserWarning - <<'END'
import numpy as np
from SERGIO import sergio
from SERGIO.GRN import grn_from_v1
from SERGIO.MR import mrProfile

np.random.seed(0)
network = grn_from_v1("interactions.txt")
edges = [(edge.reg_[0].name_, edge.tar_.name_, edge.k_) for edge in network.attr_["interactions"].values()]
profile = mrProfile(MR_names=network.get_mrs(), n_types=2)
profile.build_rnd(range_dict={"L": [1, 2], "H": [3, 4]})
network.init(profile, update_half_resp=True)
simulation = sergio(network)
simulation.simulate(nCells=10, noise_s=1, safety_iter=20, scale_iter=2)
rows = [str(name) for name in simulation.getSimExpr().index]
into_two = [edge for edge in edges if edge[1] == "2"]
strangers = [name for name in rows if name not in {"0", "1", "2", "3"}]
print("into gene 2:", into_two, "rows that are no gene of the file:", strangers)
if ("0", "2", 3.0) not in into_two or ("2", "3", 1.5) not in edges:
    raise SystemExit("changed: the first regulators of a line are no longer read")
if len(into_two) != 1 or len(strangers) != 1:
    raise SystemExit("changed: the second regulator no longer goes to a gene of its own")
print("as stated: gene 1 regulates a gene that the file does not have")
END
