"""Make the frozen p-values of tests of conditional independence, by causal-learn.

    python tests/reference/make_ci_reference.py

Needs causal-learn 0.1.4 and pandas, not poolproof. The tests need neither causal-learn nor this script.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from causallearn.utils.cit import CIT
from scipy import stats

HERE = Path(__file__).resolve().parent
SEED = 20240611


def normal(rng, n):
    """X <- Y -> Z, Gaussian."""
    y = rng.normal(size=n)
    return y + rng.normal(size=n), y + rng.normal(size=n), y


def bent(rng, n):
    """A fork with two bends and a skewed middle."""
    y = rng.gamma(2, 1, n)
    return np.tanh(y) + 0.3 * rng.normal(size=n), y**2 / 5 + 0.4 * rng.normal(size=n), y


def counts(rng, n):
    """A fork of counts: many ties."""
    y = rng.poisson(3, n)
    return rng.poisson(1 + y), rng.poisson(1 + y), y


def heavy(rng, n):
    """Heavy tails, and y a little dependent on x."""
    g = rng.standard_t(3, n)
    x = g + rng.standard_t(3, n)
    return x, g + 0.15 * x + rng.standard_t(3, n), g


def hidden(rng, n):
    """Dependent without correlation given the middle."""
    y, e = rng.normal(size=(2, n))
    return y + e, y + 0.7 * e**2 + rng.normal(size=n), y


def three(rng, n):
    """Three given variables that depend on each other."""
    g = rng.normal(size=(n, 3)) + 0.7 * rng.normal(size=(n, 1))
    return np.sin(g).sum(axis=1) + rng.normal(size=n), g.mean(axis=1) + rng.normal(size=n), g


def two_zeros(rng, n):
    """Two given variables, one of them zero in half of the samples."""
    g = np.stack([rng.normal(size=n), rng.gamma(2, 1, n) * (rng.random(n) < 0.5)], axis=1)
    return g.sum(axis=1) + rng.normal(size=n), g[:, 0] * 0.5 + g[:, 1] + rng.normal(size=n), g


def parabola(rng, n):
    """Nothing given; dependent without correlation."""
    x = rng.normal(size=n)
    return x, 0.4 * x**2 + rng.normal(size=n), np.empty((n, 0))


def unrelated(rng, n):
    """Nothing given; independent."""
    return rng.normal(size=n), rng.exponential(1, n), np.empty((n, 0))


SHAPES = (normal, bent, counts, heavy, hidden, three, two_zeros, parabola, unrelated)
SIZES = (60, 199, 200)
"""The widths change at 200 samples."""


def answers(data: np.ndarray) -> dict[str, float]:
    """P-values of x and y, the first two columns, given the others."""
    given = list(range(2, data.shape[1]))
    tests = {
        "fisher_z": CIT(data, "fisherz"),
        "kernel_empirical": CIT(data, "kci", est_width="empirical"),
        "kernel_median": CIT(data, "kci", est_width="median"),
    }
    return {name: test(0, 1, given) for name, test in tests.items()}


def main() -> None:
    rng = np.random.default_rng(SEED)
    samples, expected = [], []
    for shape in SHAPES:
        for n in SIZES:
            case = f"{shape.__name__}, {n}"
            data = np.column_stack(shape(rng, n)).round(4)
            names = ["x", "y", "given_1", "given_2", "given_3"][: data.shape[1]]
            samples.append(pd.DataFrame(data, columns=names).assign(case=case))
            # without given variables causal-learn takes the median width before it scales to variance 1
            expected.append({"case": case, **answers(stats.zscore(data, ddof=1))})
    columns = ["case", "x", "y", "given_1", "given_2", "given_3"]
    pd.concat(samples)[columns].to_csv(HERE / "ci_samples.csv", index=False)
    pd.DataFrame(expected).to_csv(HERE / "ci_expected.csv", index=False, float_format="%.17g")
    print(f"made with causal-learn {version('causal-learn')}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
