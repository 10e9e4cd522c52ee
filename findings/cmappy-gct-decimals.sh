#!/usr/bin/env bash
# Tool: cmapPy 4.0.1 (pandas 2.3.3, numpy 2.4.6).
# Guess: a GCT table written and read again by cmapPy holds the same numbers.
# Seen: four digits after the point are written: 0.000012 comes back as 0 and 0.00016 as 0.0002; values are float32. And a
#   value -666 in the body of a file is read as missing, though cmapPy itself writes -666.0 so that it is read as a number.
# Matters: fractions, TPM near 0 and p-values turn into zeros and ties: zeros look like drop-out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check 'cmapPy==4.0.1' 'pandas==2.3.3' 'numpy==2.4.6'
cd "$folder"
printf '#1.3\n1\t2\t0\t0\nid\ts1\ts2\nIRF1\t-666\t2.5\n' > mark.gct
venv/bin/python -W ignore - 2>errors <<'END' || { tail -3 errors >&2; exit 1; }
import numpy as np
import pandas as pd
from cmapPy.pandasGEXpress.GCToo import GCToo
from cmapPy.pandasGEXpress.parse import parse
from cmapPy.pandasGEXpress.write_gct import write

values = pd.DataFrame([[0.000012, 0.00016, 12.5]], index=["IRF1"], columns=["s1", "s2", "s3"])
values.index.name, values.columns.name = "rid", "cid"
write(GCToo(values), "fractions.gct")
back = parse("fractions.gct").data_df.loc["IRF1", ["s1", "s2", "s3"]].to_numpy()
mark = parse("mark.gct").data_df.loc["IRF1", ["s1", "s2"]].to_numpy()
print("written:", values.iloc[0].tolist(), "read:", back.tolist(), "-666 read as:", mark[0])
if back[0] != 0 or not np.isclose(back[1], 0.0002) or back[2] != 12.5:
    raise SystemExit("changed: values are no longer cut to four decimals")
if not np.isnan(mark[0]) or mark[1] != 2.5:
    raise SystemExit("changed: -666 is no longer read as missing")
print("as stated: four decimals survive, -666 is missing")
END
