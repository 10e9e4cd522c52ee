#!/usr/bin/env bash
# Tool: pybnesian 0.5.1 (pyarrow 26.0.1, numpy 2.4.6, pandas 2.3.3, scipy 1.16.3).
# Guess: LinearCorrelation tests the partial correlation of n samples given k genes by Student's t with n - 2 - k degrees
#   of freedom, as for pairs, where it takes n - 2.
# Seen: given genes it takes n - 4 - k, two fewer. With 20 samples and 8 genes given, and with 8 samples and 2 given, p is
#   that of the smaller number to all digits: 0.05 at the right number is 0.08 in the first, 0.19 in the second.
# Matters: with few donors its PC drops edges that the test would keep; with n = k + 4 it stops with an error where two
#   degrees of freedom are left.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'pybnesian==0.5.1' 'pyarrow==26.0.1' 'numpy==2.4.6' 'pandas==2.3.3' 'scipy==1.16.3'
cd "$folder"
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 venv/bin/python -W error::UserWarning - <<'END'
import numpy as np
import pandas as pd
from pybnesian import LinearCorrelation
from scipy import stats

rng = np.random.default_rng(0)


def degrees(n_samples, n_given):
    """Which number of degrees of freedom gives pybnesian's p-value of the partial correlation."""
    values = rng.normal(size=(n_samples, 2 + n_given))
    values[:, 1] += 0.5 * values[:, 0]
    names = [f"g{i}" for i in range(2 + n_given)]
    test = LinearCorrelation(pd.DataFrame(values, columns=names))
    p = test.pvalue("g0", "g1", names[2:]) if n_given else test.pvalue("g0", "g1")
    inverse = np.linalg.inv(np.corrcoef(values.T))
    r = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    of_t = {df: 2 * stats.t.sf(abs(r) * np.sqrt(df / (1 - r * r)), df) for df in range(1, n_samples)}
    return min(of_t, key=lambda df: abs(of_t[df] - p)), float(min(abs(value - p) for value in of_t.values()))


def told(n_samples, n_given):
    """What p = 0.05 becomes with two degrees of freedom fewer."""
    df = n_samples - 2 - n_given
    t = stats.t.isf(0.025, df)
    r = t / np.sqrt(df + t * t)
    return round(float(2 * stats.t.sf(r * np.sqrt((df - 2) / (1 - r * r)), df - 2)), 3)


found = {(n, k): degrees(n, k) for n, k in [(20, 0), (20, 1), (20, 8), (8, 2)]}
print("degrees of freedom found:", {case: df for case, (df, _) in found.items()}, "0.05 becomes", told(20, 8), told(8, 2))
if any(gap > 1e-9 for _, gap in found.values()) or found[20, 0][0] != 18:
    raise SystemExit("changed: p is no longer one of Student's t, or a pair no longer has n - 2 degrees of freedom")
if [found[case][0] for case in [(20, 1), (20, 8), (8, 2)]] != [15, 8, 2]:
    raise SystemExit("changed: given genes there are no longer two degrees of freedom too few")
print("as stated: two degrees of freedom are missing whenever something is given")
END
