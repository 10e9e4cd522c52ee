#!/usr/bin/env bash
# Tool: decoupler 2.2.0 (numpy 2.4.6, pandas 2.3.3, scipy 1.17.1).
# Guess: decoupler.mt.ora asks whether a set of genes is over-represented among the n_up highest genes of a sample, by
#   default the upper 5 %, as its text says; of random sets in noise at most 5 % are significant.
# Seen: the n_up LOWEST genes are left out and the other 95 % are taken as the hits. With the default background of 20,000
#   every random set is significant in every sample, after correction too (largest p below 1e-10). A set of the 20 highest
#   genes and one from the middle of the ranks get the same score.
# Matters: activities of regulators and pathways per pool or cell look certain, all of them, and do not say what is high.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'decoupler==2.2.0' 'anndata==0.12.19' 'numpy==2.4.6' 'pandas==2.3.3' 'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - 2>errors <<'END' || { tail -3 errors >&2; exit 1; }
import decoupler
import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
genes = [f"g{i:04d}" for i in range(2000)]
noise = pd.DataFrame(rng.normal(size=(10, 2000)), index=[f"s{i}" for i in range(10)], columns=genes)
sets = [(f"random{k}", gene) for k in range(30) for gene in rng.choice(genes, 20, replace=False)]
scores, adjusted = decoupler.mt.ora(noise, pd.DataFrame(sets, columns=["source", "target"]).assign(weight=1.0))

ranked = pd.DataFrame([np.arange(2000.0, 0, -1)] * 2, index=["s0", "s1"], columns=genes)
parts = {"highest": genes[:20], "middle": genes[1000:1020], "lowest": genes[-20:]}
rows = [(name, gene) for name, part in parts.items() for gene in part]
by_rank, _ = decoupler.mt.ora(ranked, pd.DataFrame(rows, columns=["source", "target"]).assign(weight=1.0), n_bg=2000)
by_rank = {name: float(by_rank.loc["s0", name]) for name in parts}
share, worst = float((adjusted.to_numpy() < 0.05).mean()), float(adjusted.to_numpy().max())
print("random sets below 5 %:", share, "largest adjusted p:", worst, "scores by rank:", by_rank)
if share != 1.0 or worst > 1e-10:
    raise SystemExit("changed: not every random set in noise is significant any more")
if by_rank["highest"] != by_rank["middle"] or by_rank["lowest"] >= by_rank["middle"]:
    raise SystemExit("changed: the highest genes no longer score as the middle ones do")
print("as stated: every random set is significant; the highest genes score as the middle ones")
END
