"""Exogenous laws with finitely many values, and the table of all laws."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from typing import Any

import numpy as np
import sympy

from .families import (
    Atoms,
    Exponential,
    Gamma,
    Laplace,
    Law,
    Lognormal,
    Normal,
    Poisson,
    Uniform,
    complex_log,
    number_text,
)
from .support import Support, exact_number, finite

MAX_ATOMS = 10_000


@dataclass(frozen=True)
class Finite(Law):
    """What laws with finitely many values share; they give `atoms`."""

    is_continuous = False

    @property
    @abstractmethod
    def atoms(self) -> Atoms: ...

    def quadrature(self, n: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """The values and their probabilities."""
        return self._table

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        values, weights = zip(*self.atoms, strict=True)
        table = np.array([float(value) for value in values]), np.array(weights)
        for column in table:
            column.flags.writeable = False
        return table

    @property
    def support(self) -> Support:
        return finite([value for value, _ in self.atoms])

    def _cumulant(self, order: int) -> float:
        values, weights = self.quadrature()
        mean = fsum(values * weights)
        if order == 1:
            return mean
        m = {k: fsum(weights * (values - mean) ** k) for k in range(2, order + 1)}
        if order < 4:
            return m[order]
        if order == 4:
            return m[4] - 3 * m[2] ** 2
        if order == 5:
            return m[5] - 10 * m[3] * m[2]
        return m[6] - 15 * m[4] * m[2] - 10 * m[3] ** 2 + 30 * m[2] ** 3

    def log_cf(self, u: np.ndarray) -> np.ndarray:
        values, weights = self.quadrature()
        top = values[np.argmax(weights)]  # a value with probability above 1/2 keeps the rest off zero
        waves = np.exp(1j * np.multiply.outer(np.asarray(u, dtype=float), values - top))
        return 1j * np.asarray(u) * top + complex_log(waves @ weights)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return self.quantile(rng.random(size))

    def quantile(self, q: np.ndarray) -> np.ndarray:
        values, weights = self.quadrature()
        steps = np.cumsum(weights)[:-1]
        return values[np.searchsorted(steps, q, side="left")]


@dataclass(frozen=True)
class Bernoulli(Finite):
    """1 with probability ``p``, else 0."""

    p: float
    name = "bernoulli"

    def problem(self) -> str | None:
        return None if 0 <= self.p <= 1 else f"p must lie within 0 to 1; found {self.p:g}"

    @property
    def atoms(self) -> Atoms:
        both = ((sympy.Integer(0), 1 - self.p), (sympy.Integer(1), self.p))
        return tuple(atom for atom in both if atom[1] > 0)


@dataclass(frozen=True)
class Discrete(Finite):
    """Finitely many values with their probabilities, given as pairs (value, probability)."""

    pairs: tuple[tuple[float, float], ...]
    name = "discrete"

    @property
    def parameters(self) -> tuple[Any, ...]:
        return self.pairs

    @property
    def text(self) -> str:
        return f"discrete({{{', '.join(f'{number_text(v)}: {number_text(p)}' for v, p in self.pairs)}}})"

    def problem(self) -> str | None:
        values, weights = [v for v, _ in self.pairs], [p for _, p in self.pairs]
        if not values:
            return "expected at least one value: discrete({0: 0.5, 1: 0.5})"
        if len(set(values)) < len(values):
            return "a value occurs twice"
        if min(weights) < 0 or abs(fsum(weights) - 1) > 1e-9:
            return f"probabilities must be at least 0 and sum to 1; they sum to {fsum(weights):g}"
        return None

    @property
    def atoms(self) -> Atoms:
        total = fsum(p for _, p in self.pairs)
        return tuple((exact_number(v), p / total) for v, p in sorted(self.pairs) if p > 0)


@dataclass(frozen=True)
class Empirical(Finite):
    """Measured values, equally likely."""

    measured: tuple[float, ...]
    name = "empirical"

    @property
    def parameters(self) -> tuple[Any, ...]:
        return self.measured

    @property
    def text(self) -> str:
        return f"empirical([{', '.join(map(number_text, self.measured))}])"

    def problem(self) -> str | None:
        return None if self.measured else "expected at least one value: empirical([1, 2.5, 4])"

    @property
    def atoms(self) -> Atoms:
        values, counts = np.unique(np.array(self.measured), return_counts=True)
        share = counts / counts.sum()
        return tuple((exact_number(v), float(p)) for v, p in zip(values, share, strict=True))


@dataclass(frozen=True)
class Constant(Finite):
    """One value."""

    value: float
    name = "constant"

    @property
    def atoms(self) -> Atoms:
        return ((exact_number(self.value), 1.0),)


FAMILIES: dict[str, Callable[..., Law]] = {
    family.name: family
    for family in (
        Normal,
        Uniform,
        Gamma,
        Exponential,
        Laplace,
        Lognormal,
        Poisson,
        Bernoulli,
        Discrete,
        Empirical,
        Constant,
    )
}
