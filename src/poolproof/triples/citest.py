"""Tests of conditional independence (method 8.5): Fisher z, spline GCM, kernel, zero deletion.

These are standard tests of a single statement, x independent of y given some variables. They confirm a sample
of what the screen of all triples says, and each has its own blind spot; see :func:`ci_test`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Protocol

import numpy as np
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from .._checks import InputError, check_choice
from .._names import CONSTANT, OK, TOO_FEW_SAMPLES
from .._random import stream
from ..basis import N_COLUMNS, conditioning_bases, standardise
from ..pairs.score_kernels import columns_for

MIN_SAMPLES = 30
"""Fewest samples of a test whose p-value holds for many samples: all but Fisher's z."""

MAX_KERNEL_SAMPLES = 1000
"""The kernel test works on n x n matrices; of more samples it draws so many."""

KERNEL_RIDGE = 1e-3
SPLINE_RIDGE = 1e-3
"""Beside columns of unit length: it only settles given variables that nearly determine each other."""

WIDTHS = ("empirical", "median")
ZEROS_IN = ("given", "all")

_RANK_TOLERANCE = 1e-6
_NOTHING = 1e-7
"""A variable of which the given ones leave a smaller share than this has nothing left to test."""


@dataclass(frozen=True)
class TestResult:
    """What a test of conditional independence found."""

    __test__: ClassVar[bool] = False  # its name would have pytest collect it

    statistic: float
    """Standard normal under independence (Fisher z, GCM; signed), or the kernel test's sum. NaN: no test."""
    p_value: float
    """Small where x and y depend on each other given the others. NaN: no test."""
    n: int
    """Samples used."""
    status: str
    """``ok``, or why there is no number: ``constant``, ``too_few_samples``."""


class CITest(Protocol):
    """What every entry of ``CI_TESTS`` is called with."""

    def __call__(
        self, x: np.ndarray, y: np.ndarray, given: np.ndarray | None = None, *, seed: int = 0
    ) -> TestResult:
        """Test whether x and y are independent given the others."""
        ...


def ci_test(
    name: str, x: np.ndarray, y: np.ndarray, given: np.ndarray | None = None, *, seed: int = 0
) -> TestResult:
    """Test whether x and y are independent given other variables, by the test of this name.

    Parameters
    ----------
    name
        A key of ``CI_TESTS``: ``fisher_z``, ``spline_gcm``, ``kernel``, or one of them after
        ``zero_deletion_``.
    x, y
        Values, shape ``(n,)``, finite, in any unit: all tests are free of scale and origin. Zero deletion
        needs the zeros where they are.
    given
        Variables conditioned on, shape ``(n, c)`` or ``(n,)``; None for no variable. Those that are constant
        are passed over.
    seed
        Source of the only random choice, which samples the kernel test takes of more than 1,000.

    Returns
    -------
    Statistic, p-value, samples used and status. What cannot be tested has NaN and a status: ``constant``
    where x or y is constant, or (Fisher z, GCM) nothing of it is left given the others; ``too_few_samples``.

    Raises
    ------
    InputError
        The name is unknown, the shapes do not fit, or a value is not finite.

    Notes
    -----
    The p-value of Fisher's z is right for jointly Gaussian variables: bends, and noise whose size varies,
    make it too small. The GCM allows both, and sees a dependence only where the residuals of x and y
    correlate. The kernel test sees other dependence too, and rejects too often where relations are steep and
    have little noise, or several variables are given. No test here is right where a given variable is
    measured with noise.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=300)
    >>> x, z = y**2 + rng.normal(size=(2, 300))            # independent given y
    >>> {name: round(ci_test(name, x, z, y).p_value, 3) for name in ("fisher_z", "spline_gcm", "kernel")}
    {'fisher_z': 0.0, 'spline_gcm': 0.353, 'kernel': 0.954}
    """
    return CI_TESTS[check_choice("the test of independence", name, CI_TESTS)](x, y, given, seed=seed)


# --- the tests ----------------------------------------------------------------------------------------------


def fisher_z_test(
    x: np.ndarray, y: np.ndarray, given: np.ndarray | None = None, *, seed: int = 0
) -> TestResult:
    """Test the partial correlation, for jointly Gaussian variables.

    Parameters
    ----------
    x, y, given, seed
        As for :func:`ci_test`; ``seed`` is not used.

    Returns
    -------
    As for :func:`ci_test`; the statistic has the sign of the partial correlation.

    Raises
    ------
    InputError
        The shapes do not fit, or a value is not finite.

    Notes
    -----
    artanh(r) sqrt(n - c - 3) is nearly standard normal for a partial correlation r given c variables that do
    not determine each other (Fisher 1924, *Metron* 3:329). It needs c + 4 samples.

    Examples
    --------
    >>> y = np.random.default_rng(0).normal(size=(3, 100))
    >>> fisher_z_test(y[0] + y[1], y[0] + y[2], y[0]).status
    'ok'
    """
    sample = _Sample.of(x, y, given)
    directions, _ = _directions(sample.given)
    freedom = sample.n - directions.shape[1] - 3
    if freedom < 1:
        return _no_result(sample.n, TOO_FEW_SAMPLES)
    rest_x, rest_y = (v - directions @ (directions.T @ v) for v in (sample.x, sample.y))
    if _vanishes(rest_x) or _vanishes(rest_y):
        return _no_result(sample.n, CONSTANT)
    r = rest_x @ rest_y / np.sqrt((rest_x @ rest_x) * (rest_y @ rest_y))
    below_one = 1 - np.finfo(float).eps
    return _normal_result(np.arctanh(np.clip(r, -below_one, below_one)) * np.sqrt(freedom), sample.n)


def spline_gcm_test(
    x: np.ndarray, y: np.ndarray, given: np.ndarray | None = None, *, seed: int = 0
) -> TestResult:
    """Test whether what splines in the given variables leave of x and of y is correlated.

    Parameters
    ----------
    x, y, given, seed
        As for :func:`ci_test`; ``seed`` is not used.

    Returns
    -------
    As for :func:`ci_test`; the statistic has the sign of the residual covariance.

    Raises
    ------
    InputError
        The shapes do not fit, or a value is not finite.

    Notes
    -----
    Generalised covariance measure (Shah & Peters 2020, *Annals of Statistics* 48:1514): with residuals e of x
    and f of y and products r = e f, sum(r) / sqrt(sum(r^2) - n mean(r)^2) is standard normal for many
    samples, however the size of the noise varies. As residuals are smaller than the noise, r^2 is divided by
    1 - h, h the leverage of the fit, as in the HC2 variance.

    Several given variables enter additively, one spline each, with a small ridge: a product of two of them
    that is in both x and y is taken for dependence. A spline has five columns; c given variables together
    have at most one column for every six samples, and at least two each. It needs 12 c samples, at least 30.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=300)
    >>> x, z = y**2 + rng.normal(size=(2, 300))            # independent given y
    >>> bool(spline_gcm_test(x, z, y).p_value > 0.05), bool(spline_gcm_test(x, z).p_value < 0.05)
    (True, True)
    """
    sample = _Sample.of(x, y, given)
    c = sample.given.shape[1]
    if sample.n < max(MIN_SAMPLES, 12 * c):
        return _no_result(sample.n, TOO_FEW_SAMPLES)
    bases, _ = conditioning_bases(sample.given, columns_for(sample.n // max(c, 1), N_COLUMNS))
    directions, lengths = _directions(bases.reshape(-1, sample.n).T)
    ridge = SPLINE_RIDGE if c > 1 else 0.0
    fit = directions * (lengths**2 / (lengths**2 + ridge))
    if any(_vanishes(v - directions @ (directions.T @ v)) for v in (sample.x, sample.y)):
        return _no_result(sample.n, CONSTANT)
    rest_x, rest_y = (v - fit @ (directions.T @ v) for v in (sample.x, sample.y))
    leverage = 1 / sample.n + np.einsum("ij,ij->i", fit, directions)
    product = rest_x * rest_y
    variance = (product**2 / np.maximum(1 - leverage, 1e-12)).sum() - product.sum() ** 2 / sample.n
    return _normal_result(product.sum() / np.sqrt(variance), sample.n)


def kernel_test(
    x: np.ndarray,
    y: np.ndarray,
    given: np.ndarray | None = None,
    *,
    widths: str = "empirical",
    seed: int = 0,
) -> TestResult:
    """Test independence by Gaussian kernels, for dependence of any shape.

    Parameters
    ----------
    x, y, given, seed
        As for :func:`ci_test`. The given variables join the kernel of x, so that x and y exchanged give
        another p-value.
    widths
        Of the kernels: ``empirical``, by rule from n; ``median``, from the median distance between samples.

    Returns
    -------
    As for :func:`ci_test`; the statistic is a sum that grows with dependence. 30 to 1,000 samples are used.

    Raises
    ------
    InputError
        The shapes do not fit, a value is not finite, or ``widths`` is unknown.

    Notes
    -----
    KCI of Zhang, Peters, Janzing & Schölkopf (2011, UAI). Variables have mean 0 and variance 1. With the
    centred kernel matrices A of (x, given / 2), B of y, C of the given variables and R = e (C + e I)^-1,
    e = 0.001, the statistic is tr(RAR RBR). Its null law is a gamma law with the mean tr(P) and twice the
    squared entries of P as variance, P = RAR * RBR entry by entry. Without given variables: tr(AB), mean
    tr(A) tr(B) / n, variance 2 |A|^2 |B|^2 / n^2.

    Widths s in exp(-d^2 / 2 s^2) and p-values are those of the package causal-learn, whose default are the
    empirical ones: s^2 = 1.2^2 c with c given variables below 200 samples, .7^2 c from there; without any .8
    and .5 (causal-learn has smaller ones from 1,200 samples on, more than are used here). The median ones
    are sqrt(2) times the median distance, wider: they take out less of what is given, and had less power.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, noise = rng.normal(size=(2, 200))
    >>> y = x**2 + noise                                   # dependent, and uncorrelated
    >>> bool(kernel_test(x, y).p_value < 0.001)
    True
    """
    check_choice("widths", widths, WIDTHS)
    sample = _Sample.of(x, y, given).at_most(MAX_KERNEL_SAMPLES, seed)
    n, c = sample.given.shape
    if n < MIN_SAMPLES:
        return _no_result(n, TOO_FEW_SAMPLES)
    if _vanishes(sample.x) or _vanishes(sample.y):
        return _no_result(n, CONSTANT)
    unit = np.sqrt(1 - 1 / n)  # the variances below have the divisor n - 1
    x, y, given = unit * sample.x[:, None], unit * sample.y[:, None], unit * sample.given
    if c == 0:
        width = None if widths == "median" else 0.8 if n < 200 else 0.5
        a, b = _centred_kernel(x, width), _centred_kernel(y, width)
        mean = np.trace(a) * np.trace(b) / n
        return _gamma_result((a * b).sum(), mean, 2 * (a**2).sum() * (b**2).sum() / n**2, n)
    width = None if widths == "median" else (1.2 if n < 200 else 0.7) * np.sqrt(c)
    residual = KERNEL_RIDGE * np.linalg.inv(_centred_kernel(given, width) + KERNEL_RIDGE * np.eye(n))
    a, b = (residual @ _centred_kernel(v, width) @ residual for v in (np.hstack([x, given / 2]), y))
    product = a * b
    return _gamma_result(product.sum(), np.trace(product), 2 * (product**2).sum(), n)


def zero_deletion_test(
    x: np.ndarray,
    y: np.ndarray,
    given: np.ndarray | None = None,
    *,
    test: str = "fisher_z",
    zeros_in: str = "given",
    seed: int = 0,
) -> TestResult:
    """Test independence in the samples whose given variables are not zero, for expression with dropout.

    Parameters
    ----------
    x, y, given, seed
        As for :func:`ci_test`; zeros are where nothing was measured or nothing was there.
    test
        The test of the samples that are left: ``fisher_z``, ``spline_gcm`` or ``kernel``.
    zeros_in
        Where a zero deletes the sample: ``given``, or ``all``, in x and y too.

    Returns
    -------
    As for :func:`ci_test`, ``n`` being the samples left; ``too_few_samples`` if they are fewer than 30.

    Raises
    ------
    InputError
        The shapes do not fit, a value is not finite, or ``test`` or ``zeros_in`` is unknown.

    Notes
    -----
    Dai and others (2024, ICLR, arXiv:2403.15500): if dropout sets a gene to zero with a probability that
    depends on this gene alone, independence given genes that are not zero is independence without
    dropout. Zeros of x and y need not go, and are worth their samples. Counting noise is no dropout: it also
    changes the values that are not zero, and deletion does not undo it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.gamma(5, 1, 400)
    >>> x, z = y + rng.normal(size=(2, 400))               # independent given y
    >>> seen = np.where(rng.random(400) < 0.3, 0, y)       # y drops out
    >>> bool(fisher_z_test(x, z, seen).p_value < 0.001)
    True
    >>> result = zero_deletion_test(x, z, seen)
    >>> bool(result.p_value > 0.05), result.n
    (True, 258)
    """
    check_choice("test", test, _ON_ALL_SAMPLES)
    check_choice("zeros_in", zeros_in, ZEROS_IN)
    x, y, given = _checked(x, y, given)
    concerned = given if zeros_in == "given" else np.column_stack([x, y, given])
    rows = (concerned != 0).all(axis=1)
    n = int(rows.sum())
    if n < MIN_SAMPLES:
        return _no_result(n, TOO_FEW_SAMPLES)
    return _ON_ALL_SAMPLES[test](x[rows], y[rows], given[rows], seed=seed)


_ON_ALL_SAMPLES: Mapping[str, CITest] = {
    "fisher_z": fisher_z_test,
    "spline_gcm": spline_gcm_test,
    "kernel": kernel_test,
}
CI_TESTS: Mapping[str, CITest] = {
    **_ON_ALL_SAMPLES,
    **{f"zero_deletion_{name}": partial(zero_deletion_test, test=name) for name in _ON_ALL_SAMPLES},
}
"""Every test by its name, all called as ``test(x, y, given, seed=0)``."""


# --- parts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Sample:
    """Checked values with mean 0 and variance 1. Constant ones are 0 in x and y, and left out of given."""

    x: np.ndarray
    y: np.ndarray
    given: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, given: np.ndarray | None) -> _Sample:
        columns = np.column_stack(_checked(x, y, given))
        if not len(columns):
            return cls(columns[:, 0], columns[:, 1], columns[:, 2:])
        largest = np.abs(columns).max(axis=0)
        standard, varies = standardise(columns / np.where(largest > 0, largest, 1.0))  # squares stay finite
        return cls(standard[:, 0], standard[:, 1], standard[:, 2:][:, varies[2:]])

    @property
    def n(self) -> int:
        return len(self.x)

    def at_most(self, limit: int, seed: int) -> _Sample:
        """So many of the samples, drawn without replacement."""
        if self.n <= limit:
            return self
        rows = np.sort(stream(seed, "ci_test").choice(self.n, limit, replace=False))
        return _Sample.of(self.x[rows], self.y[rows], self.given[rows])


def _checked(
    x: np.ndarray, y: np.ndarray, given: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the values as float64, given as ``(n, c)``."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(f"x and y must be vectors of one length; found shapes {x.shape} and {y.shape}")
    given = np.empty((len(x), 0)) if given is None else np.asarray(given, dtype=np.float64)
    given = given[:, None] if given.ndim == 1 else given
    if given.ndim != 2 or len(given) != len(x):
        raise InputError(
            f"given must have one row for each of the {len(x)} samples, and one column for each variable; "
            f"found shape {given.shape}"
        )
    for name, values in (("x", x), ("y", y), ("given", given)):
        if not np.isfinite(values).all():
            raise InputError(f"{name} must be finite; found NaN or infinity: leave these samples out")
    return x, y, given


def _directions(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal directions of the space of columns, shape ``(n, rank)``, and their singular values."""
    u, lengths, _ = np.linalg.svd(columns, full_matrices=False)
    keep = lengths > _RANK_TOLERANCE * lengths.max(initial=0.0)
    return u[:, keep], lengths[keep]


def _vanishes(rest: np.ndarray) -> bool:
    """Whether nothing is left of a variable that had variance 1."""
    return bool(rest @ rest <= _NOTHING**2 * len(rest))


def _centred_kernel(columns: np.ndarray, width: float | None) -> np.ndarray:
    """Gaussian kernel matrix with rows and columns of mean 0; by default the width is the median one."""
    squared = pdist(columns, "sqeuclidean")
    if width is None:
        width = np.sqrt(2) * np.median(np.sqrt(squared[squared > 0]))
    kernel = squareform(np.exp(-squared / (2 * width**2)))
    np.fill_diagonal(kernel, 1.0)
    means = kernel.mean(axis=0)
    return kernel - means - means[:, None] + means.mean()


def _normal_result(statistic: float, n: int) -> TestResult:
    return TestResult(float(statistic), float(2 * stats.norm.sf(abs(statistic))), n, OK)


def _gamma_result(statistic: float, mean: float, variance: float, n: int) -> TestResult:
    p_value = stats.gamma.sf(statistic, mean**2 / variance, scale=variance / mean)
    return TestResult(float(statistic), float(p_value), n, OK)


def _no_result(n: int, status: str) -> TestResult:
    return TestResult(float("nan"), float("nan"), n, status)
