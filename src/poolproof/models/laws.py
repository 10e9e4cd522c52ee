"""Laws as they are written in a model file: ``gamma(2, 1)``, ``discrete({0: 0.7, 1: 0.3})``."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from math import fsum
from typing import Any

import numpy as np
import sympy

from .._checks import InputError, printable
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
from .syntax import LAW, Source, parse_source

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


__all__ = ["Law", "Support", "make_law", "parse_law"]

_MAX_PARAMETER = 1e50  # sixth cumulants stay finite


def parse_law(text: object, where: str = "law") -> Law:
    """Read a law.

    Parameters
    ----------
    text
        Such as ``"normal(0, 1)"`` or ``"gamma(shape=2, scale=1)"``; a mapping of values to
        probabilities is a discrete law; a single number is a constant.
    where
        Place for messages.

    Raises
    ------
    InputError
        No such law, or parameters that it cannot have.

    Notes
    -----
    normal(mean, sd), uniform(low, high), gamma(shape, scale), exponential(scale), laplace(loc, scale),
    lognormal(log_mean, log_sd), poisson(rate), bernoulli(p), discrete({value: p}), empirical([values]),
    constant(value). Scales are not rates: exponential(2) has mean 2.

    Examples
    --------
    >>> law = parse_law("gamma(2, 1)")
    >>> law.mean, law.variance, law.text
    (2.0, 2.0, 'gamma(2, 1)')
    >>> parse_law({0: 0.7, 1: 0.3}).text
    'discrete({0: 0.7, 1: 0.3})'
    """
    if isinstance(text, Mapping):
        return make_law("discrete", tuple(_pair(v, p, where) for v, p in text.items()), where=where)
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return make_law("constant", text, where=where)
    source = parse_source(text, where, LAW)
    tree = source.tree
    if not isinstance(tree, ast.Call):
        if isinstance(tree, (ast.Constant, ast.UnaryOp)):
            return make_law("constant", float(source.number(tree)), where=where)
        raise source.error(f"expected a law such as 'normal(0, 1)'; found {printable(source.text, 40)!r}")
    if not isinstance(tree.func, ast.Name):
        raise source.error("expected the name of a law before the brackets", tree)
    positional = [_argument(source, node) for node in tree.args]
    named: dict[str, Any] = {}
    for keyword in tree.keywords:
        if keyword.arg in named:
            raise source.error(f"{keyword.arg} is given twice", keyword)
        named[str(keyword.arg)] = _argument(source, keyword.value)
    return make_law(source.name(tree.func), *positional, where=where, **named)


def make_law(name: str, *parameters: Any, where: str = "law", **named: Any) -> Law:
    """Make a law from its name and its parameters.

    Raises
    ------
    InputError
        No such law, or parameters that it cannot have.

    Examples
    --------
    >>> make_law("normal", 0, 1).text
    'normal(0, 1)'
    """
    if name not in FAMILIES:
        near = get_close_matches(name.lower(), FAMILIES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"{where}: no law {printable(name, 40)!r}{hint} (known: {', '.join(FAMILIES)})")
    values = _matched(name, parameters, named, where)
    law = FAMILIES[name](*(_checked(name, value, where) for value in values))
    problem = law.problem()
    if problem:
        raise InputError(f"{where}: {name}: {problem}")
    return law


def _matched(name: str, parameters: tuple[Any, ...], named: Mapping[str, Any], where: str) -> list[Any]:
    """Parameters in order, each once."""
    known = [field.name.rstrip("_") for field in fields(FAMILIES[name])]  # type: ignore[arg-type]
    given = {**dict(zip(known, parameters, strict=False)), **named}
    twice = len(given) < len(parameters) + len(named)
    if twice or len(parameters) > len(known) or set(given) != set(known):
        found = ", ".join([f"{len(parameters)} without a name", *(printable(key, 20) for key in named)])
        raise InputError(f"{where}: expected {name}({', '.join(known)}); found parameters: {found}")
    return [given[key] for key in known]


def _checked(name: str, value: Any, where: str) -> Any:
    """A parameter as a float, or a tuple of floats or pairs."""
    if name not in ("discrete", "empirical"):
        if isinstance(value, (list, tuple, Mapping)):
            raise InputError(f"{where}: {name}: expected a number; found a list")
        return _number(value, where)
    items = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(items, (list, tuple)) or (name == "discrete" and not all(map(_is_pair, items))):
        way = "discrete({0: 0.5, 1: 0.5})" if name == "discrete" else "empirical([1, 2.5, 4])"
        raise InputError(f"{where}: expected {way}, pairs or values; found {printable(value, 40)}")
    if len(items) > MAX_ATOMS:
        raise InputError(f"{where}: {name}: {len(items):,} values; at most {MAX_ATOMS:,} are read")
    if name == "discrete":
        return tuple(_pair(v, p, where) for v, p in items)
    return tuple(_number(v, where) for v in items)


def _is_pair(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 2


def _pair(value: Any, probability: Any, where: str) -> tuple[float, float]:
    return _number(value, where), _number(probability, where)


def _number(value: Any, where: str) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= _MAX_PARAMETER:
        raise InputError(f"{where}: expected a finite number up to 1e50; found {printable(value, 40)!r}")
    return number + 0.0  # no negative zero


def _argument(source: Source, node: ast.expr) -> Any:
    """A number, a list of numbers, or pairs of numbers."""
    if isinstance(node, ast.List):
        return [float(source.number(item)) for item in node.elts]
    if isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            raise source.error("** inside braces is not allowed", node)
        keys = [float(source.number(key)) for key in node.keys if key is not None]
        return tuple(zip(keys, (float(source.number(item)) for item in node.values), strict=True))
    return float(source.number(node))
