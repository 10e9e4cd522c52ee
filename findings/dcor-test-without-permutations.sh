#!/usr/bin/env bash
# Tool: dcor 0.7 (numpy 2.2.6, scipy 1.13.1, joblib 1.6.0).
# Guess: dcor.independence.distance_covariance_test(x, y), "a permutation test", permutes when called without options, and
#   gives a small p-value for a gene and its copy with a little noise.
# Seen: p is exactly 1. The argument num_resamples defaults to 0, the p-value is then (0 + 1) / (0 + 1). The partial test
#   and the test of equal distributions do the same, without a warning. With num_resamples=199 p is 0.005.
# Matters: used as the test of a skeleton search, or as a screen of pairs, every pair of genes is "independent" and the
#   network is empty, whatever the data.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv" install -qq --no-compile --disable-pip-version-check \
    'dcor==0.7' 'numpy==2.2.6' 'scipy==1.13.1' 'joblib==1.6.0'
cd "$folder"
venv/bin/python -W error - <<'END'
import numpy as np
from dcor.homogeneity import energy_test
from dcor.independence import distance_covariance_test, partial_distance_covariance_test

rng = np.random.default_rng(0)
gene, other = rng.normal(size=(2, 50))
copy = gene + 0.1 * rng.normal(size=50)
plain = {
    "pair": distance_covariance_test(gene, copy).pvalue,
    "given a third": partial_distance_covariance_test(gene, copy, other).pvalue,
    "two groups": energy_test(gene, copy + 5).pvalue,
}
permuted = distance_covariance_test(gene, copy, num_resamples=199, random_state=0).pvalue
print("p-values without options:", plain, "with 199 permutations:", permuted)
if permuted > 0.01:
    raise SystemExit("changed: 199 permutations no longer see the dependence")
if set(plain.values()) != {1.0}:
    raise SystemExit("changed: without options the p-values are no longer exactly 1")
print("as stated: p is 1 for a gene and its noisy copy")
END
