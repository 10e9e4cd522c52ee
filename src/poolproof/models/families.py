"""Exogenous laws: what a gene's own noise is drawn from.

One small class per family. All are frozen and hashable; the public way to make one is `parse_law`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from math import expm1, factorial, inf, isfinite
from typing import Any, ClassVar

import numpy as np
import sympy
from scipy import linalg, special

from .._checks import InputError
from .support import Support, integers, interval

MAX_ORDER = 6
MAX_RATE = 1e9  # of a Poisson law

Atoms = tuple[tuple[sympy.Expr, float], ...]

_BERNOULLI_NUMBERS = {2: 1 / 6, 4: -1 / 30, 6: 1 / 42}

# Cumulant n of exp(Z), Z normal(m, s), is mean^n (w - 1)^(n - 1) I_n(w) with w = exp(s^2). I_n counts
# labelled trees by their inversions; its coefficients, lowest power first:
_TREE_INVERSIONS: dict[int, tuple[int, ...]] = {
    1: (1,),
    2: (1,),
    3: (2, 1),
    4: (6, 6, 3, 1),
    5: (24, 36, 30, 20, 10, 4, 1),
    6: (120, 240, 270, 240, 180, 120, 70, 35, 15, 5, 1),
}


@dataclass(frozen=True)
class Law(ABC):
    """A law of one real variable."""

    name: ClassVar[str] = ""
    positive: ClassVar[tuple[str, ...]] = ()
    is_gaussian: ClassVar[bool] = False
    is_continuous: ClassVar[bool] = True

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The parameters, in the order in which they are written."""
        return tuple(getattr(self, field.name) for field in fields(self))

    @property
    def text(self) -> str:
        """The law as it is written in a model file."""
        return f"{self.name}({', '.join(map(number_text, self.parameters))})"

    def __str__(self) -> str:
        return self.text

    def problem(self) -> str | None:
        """What is wrong with the parameters, in words; None if they are fine."""
        low = [name for name in self.positive if not getattr(self, name) > 0]
        return f"{low[0]} must be above 0; found {getattr(self, low[0]):g}" if low else None

    @property
    def is_constant(self) -> bool:
        """Whether it is one value."""
        return self.support.is_point

    @property
    def atoms(self) -> Atoms | None:
        """Exact values, increasing, and their probabilities, if the law is finite; else None."""
        return None

    @property
    @abstractmethod
    def support(self) -> Support:
        """Where the values lie."""

    @property
    def mean(self) -> float:
        """Mean."""
        return self.cumulant(1)

    @property
    def variance(self) -> float:
        """Variance."""
        return self.cumulant(2)

    def cumulant(self, order: int) -> float:
        """Cumulant of an order from 1 to 6.

        Raises
        ------
        InputError
            Another order.
        """
        if order not in range(1, MAX_ORDER + 1):
            raise InputError(f"cumulants are known for orders 1 to {MAX_ORDER}; found {order}")
        return float(self._cumulant(order))

    @abstractmethod
    def _cumulant(self, order: int) -> float: ...

    @abstractmethod
    def log_cf(self, u: np.ndarray) -> np.ndarray | None:
        """Logarithm of E exp(iuX), complex, shape of ``u``; None where it has no closed form.

        The branch is 0 at u = 0 and continuous as far as the transform has no zero; beyond a zero of it
        (uniform, finite laws) the imaginary part is known up to multiples of 2 pi only.
        """

    @abstractmethod
    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Independent draws, float64, shape ``(size,)``."""

    @abstractmethod
    def quantile(self, q: np.ndarray) -> np.ndarray:
        """Quantiles at probabilities strictly between 0 and 1, shape of ``q``."""

    @abstractmethod
    def quadrature(self, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and weights: sum(weights * g(nodes)) is close to E g(X) for smooth g.

        About ``n`` nodes; exact for finite laws, which have one node per value.
        """


@dataclass(frozen=True)
class Normal(Law):
    """A normal law."""

    mean_: float
    sd: float
    name = "normal"
    positive = ("sd",)
    is_gaussian = True

    @property
    def support(self) -> Support:
        return interval(-inf, inf)

    def _cumulant(self, order: int) -> float:
        return {1: self.mean_, 2: self.sd**2}.get(order, 0.0)

    def log_cf(self, u: np.ndarray) -> np.ndarray:
        return 1j * u * self.mean_ - (self.sd * u) ** 2 / 2

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.normal(self.mean_, self.sd, size)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        return self.mean_ + self.sd * special.ndtri(q)

    def quadrature(self, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = _hermite(n)
        return self.mean_ + self.sd * nodes, weights


@dataclass(frozen=True)
class Uniform(Law):
    """A uniform law between two ends."""

    low: float
    high: float
    name = "uniform"

    def problem(self) -> str | None:
        if self.low < self.high:
            return None
        return f"low must be below high; found {self.low:g} and {self.high:g}; a fixed value is constant(...)"

    @property
    def support(self) -> Support:
        return interval(self.low, self.high, open_low=True, open_high=True)

    def _cumulant(self, order: int) -> float:
        if order == 1:
            return (self.low + self.high) / 2
        return _BERNOULLI_NUMBERS.get(order, 0.0) * (self.high - self.low) ** order / order

    def log_cf(self, u: np.ndarray) -> np.ndarray:
        half = (self.high - self.low) / 2
        wave = np.sinc(u * half / np.pi)
        return 1j * u * self._cumulant(1) + complex_log(wave)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.uniform(self.low, self.high, size)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        return self.low + (self.high - self.low) * q

    def quadrature(self, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = special.roots_legendre(n)
        return self.low + (self.high - self.low) * (nodes + 1) / 2, weights / 2


@dataclass(frozen=True)
class Gamma(Law):
    """A gamma law; its mean is shape times scale."""

    shape: float
    scale: float
    name = "gamma"
    positive = ("shape", "scale")

    @property
    def support(self) -> Support:
        return interval(0, inf, open_low=True)

    def _cumulant(self, order: int) -> float:
        return self.shape * factorial(order - 1) * self.scale**order

    def log_cf(self, u: np.ndarray) -> np.ndarray:
        return -self.shape * np.log1p(-1j * u * self.scale)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.gamma(self.shape, self.scale, size)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        return self.scale * special.gammaincinv(self.shape, q)

    def quadrature(self, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = _laguerre(n, self.shape)
        return self.scale * nodes, weights


@dataclass(frozen=True)
class Exponential(Law):
    """An exponential law with mean ``scale``."""

    scale: float
    name = "exponential"
    positive = ("scale",)

    @property
    def support(self) -> Support:
        return interval(0, inf, open_low=True)

    def _cumulant(self, order: int) -> float:
        return factorial(order - 1) * self.scale**order

    def log_cf(self, u: np.ndarray) -> np.ndarray:
        return -np.log1p(-1j * u * self.scale)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.exponential(self.scale, size)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        return -self.scale * np.log1p(-q)

    def quadrature(self, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = _laguerre(n, 1.0)
        return self.scale * nodes, weights


@dataclass(frozen=True)
class Laplace(Law):
    """A Laplace law: two exponential tails."""

    loc: float
    scale: float
    name = "laplace"
    positive = ("scale",)

    @property
    def support(self) -> Support:
        return interval(-inf, inf)

    def _cumulant(self, order: int) -> float:
        if order == 1:
            return self.loc
        return 0.0 if order % 2 else 2 * factorial(order - 1) * self.scale**order

    def log_cf(self, u: np.ndarray) -> np.ndarray:
        return 1j * u * self.loc - np.log1p((self.scale * u) ** 2)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.laplace(self.loc, self.scale, size)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        tail = np.log(2 * np.minimum(q, 1 - q))
        return self.loc + self.scale * np.where(q < 0.5, tail, -tail)

    def quadrature(self, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = _laguerre((n + 1) // 2, 1.0)
        both = np.concatenate([-nodes[::-1], nodes])
        return self.loc + self.scale * both, np.concatenate([weights[::-1], weights]) / 2


@dataclass(frozen=True)
class Lognormal(Law):
    """exp(Z), Z normal; the parameters are those of Z (natural logs)."""

    log_mean: float
    log_sd: float
    name = "lognormal"
    positive = ("log_sd",)

    def problem(self) -> str | None:
        if abs(self.log_mean) > 100 or self.log_sd > 10:
            return "log_mean must lie within -100 to 100 and log_sd below 10"
        return super().problem()

    @property
    def support(self) -> Support:
        return interval(0, inf, open_low=True)

    def _cumulant(self, order: int) -> float:
        with np.errstate(over="ignore"):
            excess = np.float64(expm1(self.log_sd**2))
            mean = np.exp(np.float64(self.log_mean + self.log_sd**2 / 2))
            trees = np.polynomial.polynomial.polyval(excess + 1, _TREE_INVERSIONS[order])
            return float(mean**order * excess ** (order - 1) * trees)

    def log_cf(self, u: np.ndarray) -> None:
        return None

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.lognormal(self.log_mean, self.log_sd, size)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        return np.exp(self.log_mean + self.log_sd * special.ndtri(q))

    def quadrature(self, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = _hermite(n)
        return np.exp(self.log_mean + self.log_sd * nodes), weights


@dataclass(frozen=True)
class Poisson(Law):
    """A Poisson law: counts."""

    rate: float
    name = "poisson"
    positive = ("rate",)
    is_continuous = False

    def problem(self) -> str | None:
        return f"rate must be at most {MAX_RATE:g}" if self.rate > MAX_RATE else super().problem()

    @property
    def support(self) -> Support:
        return integers(0, inf)

    def _cumulant(self, order: int) -> float:
        return self.rate

    def log_cf(self, u: np.ndarray) -> np.ndarray:
        return self.rate * np.expm1(1j * u)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.poisson(self.rate, size).astype(float)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        count = np.ceil(special.pdtrik(q, self.rate))  # the real number at which the cdf would be q
        below = np.maximum(count - 1, 0)
        return np.where(special.pdtr(below, self.rate) >= q, below, count)

    def quadrature(self, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """All counts but for tails of 1e-16."""
        reach = 40 + 9 * self.rate**0.5  # the upper tail is the longer one: below 1e-16 from here
        nodes = np.arange(max(0.0, np.floor(self.rate - reach)), np.ceil(self.rate + reach))
        weights = np.exp(special.xlogy(nodes, self.rate) - special.gammaln(nodes + 1) - self.rate)
        return nodes, weights / weights.sum()


def number_text(value: float) -> str:
    """A number as short as it can be read back.

    Examples
    --------
    >>> number_text(2.0), number_text(0.1), number_text(1e20)
    ('2', '0.1', '1e+20')
    """
    return repr(float(value)).removesuffix(".0") if isfinite(value) else str(value)


def complex_log(values: np.ndarray) -> np.ndarray:
    """Principal logarithm, -inf at 0."""
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(values, dtype=complex))


def _hermite(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss rule of the standard normal law."""
    return _gauss(np.zeros(n), np.sqrt(np.arange(1.0, n)))


def _laguerre(n: int, shape: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss rule of the gamma law with scale 1."""
    k = np.arange(n, dtype=float)
    return _gauss(2 * k + shape, np.sqrt(k[1:] * (k[1:] + shape - 1)))


def _gauss(diagonal: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights from the recurrence of the orthogonal polynomials (Golub and Welsch 1969)."""
    if len(diagonal) == 1:
        return diagonal, np.ones(1)
    nodes, vectors = linalg.eigh_tridiagonal(diagonal, beside)
    weights = vectors[0] ** 2
    return nodes, weights / weights.sum()
