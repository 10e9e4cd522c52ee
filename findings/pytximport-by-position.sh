#!/usr/bin/env bash
# Tool: pytximport 0.13.0 (anndata 0.12.19, xarray 2026.9.0, numpy 2.4.6, pandas 2.3.3).
# Guess: tximport of two salmon files with the same transcripts in another order matches them by name, or refuses them as
#   tximport of R does.
# Seen: rows are put together by position under the names of the first file. Two genes of one transcript each swap their
#   counts in the second sample: IRF1 has 10 and 400, where its two files say 10 and 100. No warning. (A file with another
#   number of rows is refused.)
# Matters: quantifications against two builds of an index, or sorted files, give genes whose values belong to others in
#   part of the samples; totals look right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'pytximport==0.13.0' 'anndata==0.12.19' 'xarray==2026.9.0' 'numpy==2.4.6' 'pandas==2.3.3'
cd "$folder"
mkdir one two sorted
head='Name\tLength\tEffectiveLength\tTPM\tNumReads\n'
printf "$head"'ENST1\t1000\t800\t238095\t10\nENST2\t1000\t800\t761905\t32\n' > one/quant.sf
printf "$head"'ENST2\t1000\t800\t800000\t400\nENST1\t1000\t800\t200000\t100\n' > two/quant.sf
printf "$head"'ENST1\t1000\t800\t200000\t100\nENST2\t1000\t800\t800000\t400\n' > sorted/quant.sf
venv/bin/python -W error::UserWarning - 2>messages <<'END' || { tail -3 messages >&2; exit 1; }
import pandas as pd
from pytximport import tximport

genes = pd.DataFrame({"transcript_id": ["ENST1", "ENST2"], "gene_id": ["IRF1", "STAT1"]})


def counts(*folders):
    read = tximport([f"{folder}/quant.sf" for folder in folders], "salmon", genes)
    return read.to_df().T.to_numpy().tolist(), list(read.var_names)


apart, names = counts("one", "two")
together, same_names = counts("one", "sorted")
print(names, "other order:", apart, "same order:", together)
if names != ["IRF1", "STAT1"] or names != same_names or together != [[10.0, 100.0], [32.0, 400.0]]:
    raise SystemExit("changed: files in the same order no longer give the counts of their rows")
if apart != [[10.0, 400.0], [32.0, 100.0]]:
    raise SystemExit("changed: files in another order are no longer joined by position")
print("as stated: the genes of the second sample have swapped their counts")
END
if grep -qi 'order\|match\|differ' messages; then
    echo "changed: something is said about the order: $(grep -i -m 1 'order\|match\|differ' messages)" >&2
    exit 1
fi
