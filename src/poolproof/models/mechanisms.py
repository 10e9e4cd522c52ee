"""How a gene's value follows from its parents': an equation with a noise, or a kernel (a law given them)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import ClassVar

import numpy as np
import sympy
from scipy import special

from .._checks import InputError
from .algebra import NOISE, NOISE_NAME, affine_parts, gene_symbol
from .argument_checks import checked, meets, worst
from .expressions import MORE, Formula, Guard, Need, parse_call, parse_expression
from .laws import Law, parse_law
from .ranges import range_of
from .support import Support, finite, integers, interval

Values = Mapping[str, np.ndarray]
Affine = tuple[dict[str, sympy.Expr], sympy.Expr, sympy.Expr]
Terms = tuple[tuple[str, sympy.Expr], ...]

_MAX_FINITE = 1_000  # largest binomial whose values are listed
_MAX_POISSON = 1e15  # what the generator takes


@dataclass(frozen=True)
class Equation:
    """A structural equation X = f(parents, N), N drawn from the gene's own noise law."""

    expression: Formula
    noise: Law | None
    """None where N does not occur."""

    @cached_property
    def parents(self) -> tuple[str, ...]:
        """Genes that the value depends on, in alphabetical order."""
        return tuple(sorted(self.expression.names - {NOISE_NAME}))

    @property
    def text(self) -> str:
        """The equation as written."""
        return self.expression.text

    @property
    def guards(self) -> tuple[Guard, ...]:
        """Where it is defined."""
        return self.expression.guards

    @property
    def is_noise(self) -> bool:
        """Whether the value is the noise itself."""
        return bool(self.expression.sympy == NOISE)

    def value(self, values: Values, noise: np.ndarray | float) -> np.ndarray:
        """Values for given parents and noises, shape ``(n,)``; may be NaN or infinite."""
        return self.expression.evaluate({**values, NOISE_NAME: np.asarray(noise)})

    def sample(self, values: Values, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draws for given parents, each of shape ``(size,)``.

        Raises
        ------
        InputError
            A value is not a finite number.
        """
        noise = self.noise.sample(rng, size) if self.noise else np.nan
        return checked(np.broadcast_to(self.value(values, noise), (size,)), self.text)

    def support(self, parent_supports: Mapping[str, Support]) -> Support:
        """Where values lie, for parents anywhere in their supports."""
        return range_of(self.expression.sympy, self.symbol_supports(parent_supports))

    def symbol_supports(self, parent_supports: Mapping[str, Support]) -> dict[sympy.Symbol, Support]:
        """Supports by symbol, that of N among them."""
        known = {gene_symbol(name): parent_supports[name] for name in self.parents}
        return {**known, NOISE: self.noise.support} if self.noise else known

    def affine(self) -> Affine | None:
        """Exact coefficients of the parents, that of N, and the constant; None if it is not affine.

        Examples
        --------
        >>> parse_equation("1 + 0.5*Y + 2*N", "normal(0, 1)", ["Y"]).affine()
        ({'Y': 1/2}, 2, 1)
        """
        found = affine_parts(self.expression.sympy)
        if found is None:
            return None
        coefficients, constant = found
        noise = coefficients.pop(NOISE_NAME, sympy.Integer(0))
        return coefficients, noise, constant


def parse_equation(
    text: object, noise: object, names: Iterable[str], where: str = "gene", *, spare_noise: bool = False
) -> Equation:
    """Read an equation and its noise.

    Parameters
    ----------
    text
        The formula; None stands for N, the noise itself.
    noise
        The law of N as text, mapping, number or `Law`; None if N does not occur.
    names
        Genes that may occur.
    where
        Place for messages.
    spare_noise
        Drop a noise that the formula does not use, in place of refusing it.

    Raises
    ------
    InputError
        The formula or the law cannot be read, or one asks for N and the other gives none.

    Examples
    --------
    >>> parse_equation("tanh(Y) + N", "normal(0, 1)", ["Y"]).parents
    ('Y',)
    """
    at = f"{where}.equation"
    expression = parse_expression("N" if text is None else text, names, at)
    law = noise if noise is None or isinstance(noise, Law) else parse_law(noise, f"{where}.noise")
    if NOISE_NAME in expression.names and law is None:
        raise InputError(f'{at}: N stands in it, but no noise is given; add noise: "normal(0, 1)"')
    if NOISE_NAME not in expression.names and law is not None:
        if not spare_noise:
            raise InputError(f"{where}.noise: the equation does not use N; write + N, or leave the noise out")
        law = None
    return Equation(expression, law)


@dataclass(frozen=True)
class Kernel(ABC):
    """A law given the parents: its parameters are formulas in them, and no noise is named."""

    arguments: tuple[Formula, ...]
    law: ClassVar[str] = ""
    signature: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[Need, ...]] = ()

    @cached_property
    def parents(self) -> tuple[str, ...]:
        """Genes that the law depends on, in alphabetical order."""
        return tuple(sorted(frozenset().union(*(argument.names for argument in self.arguments))))

    @property
    def text(self) -> str:
        """The kernel as written in a model file."""
        return f"{self.law}({', '.join(argument.text for argument in self.arguments)})"

    @property
    def guards(self) -> tuple[Guard, ...]:
        """Where the formulas are defined, and what values the law can take as parameters."""
        inner = [guard for argument in self.arguments for guard in argument.guards]
        own = [
            Guard(argument.sympy, need, self.text)
            for argument, need in zip(self.arguments, self.needs, strict=True)
        ]
        return (*inner, *own)

    @property
    def formulas(self) -> tuple[sympy.Expr, ...]:
        """The parameters as sympy expressions."""
        return tuple(argument.sympy for argument in self.arguments)

    def sample(self, values: Values, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draws for given parents, each of shape ``(size,)``.

        Raises
        ------
        InputError
            A parameter is one that the law cannot have.
        """
        parameters = self._evaluate(values, size)
        return checked(self._draw(rng, *parameters), self.text)

    def _evaluate(self, values: Values, size: int) -> list[np.ndarray]:
        found = []
        for argument, need, name in zip(self.arguments, self.needs, self.signature, strict=True):
            one = checked(np.broadcast_to(argument.evaluate(values), (size,)), argument.text)
            if not meets(one, need):
                raise InputError(
                    f"{self.text}: {name} takes values that this law cannot have, such as {worst(one):g}"
                )
            found.append(np.clip(one, 0, 1) if need == "probability" else one)
        return found

    def cumulants(self, values: Values, order: int = 4) -> np.ndarray:
        """Cumulants given the parents, orders 1 to ``order`` <= 4, shape ``(order, n)``."""
        return np.stack(self._cumulants(*self._parameters(values))[:order])

    def log_cf(self, values: Values, u: np.ndarray) -> np.ndarray:
        """Logarithm of E[exp(iuX) | parents], complex, shape ``(n, n_u)``; 0 at u = 0."""
        columns = [one[:, None] for one in self._parameters(values)]
        return np.asarray(self._log_cf(np.atleast_1d(u)[None, :], *columns))

    def _parameters(self, values: Values) -> list[np.ndarray]:
        """Parameters given the parents, each of shape ``(n,)``; n is 1 if no values are given."""
        shape = np.broadcast_shapes((1,), *(np.shape(one) for one in values.values()))
        return [np.broadcast_to(argument.evaluate(values), shape) for argument in self.arguments]

    def natural(self) -> Terms | None:
        """Functions a_k(parents) with log E[exp(iuX) | parents] = sum of a_k(parents) psi_k(u).

        With linearly independent psi_k, the log characteristic function is affine in the parents where
        all a_k are. None where the arguments leave no such form: ``bernoulli(Y)``, ``binomial(5, Y)``.

        Examples
        --------
        >>> parse_kernel("gamma(1 + Y, 2)", ["Y"]).natural()
        (('shape', Y + 1),)
        >>> parse_kernel("gamma(2, 1 + Y)", ["Y"]).natural() is None
        True
        """
        return self._natural(*self.formulas) if self.parents else ()

    def support(self, parent_supports: Mapping[str, Support]) -> Support:
        """Where values lie, for parents anywhere in their supports."""
        known = self.symbol_supports(parent_supports)
        return self._support(*(range_of(formula, known) for formula in self.formulas))

    def symbol_supports(self, parent_supports: Mapping[str, Support]) -> dict[sympy.Symbol, Support]:
        """Supports by symbol."""
        return {gene_symbol(name): parent_supports[name] for name in self.parents}

    @abstractmethod
    def _draw(self, rng: np.random.Generator, *p: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _cumulants(self, *p: np.ndarray) -> tuple[np.ndarray, ...]: ...

    @abstractmethod
    def _log_cf(self, u: np.ndarray, *p: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _natural(self, *p: sympy.Expr) -> Terms | None: ...

    @abstractmethod
    def _support(self, *p: Support) -> Support: ...


class PoissonKernel(Kernel):
    """Counts with a rate in the parents."""

    law, signature, needs = "poisson", ("rate",), ("nonnegative",)

    def _draw(self, rng: np.random.Generator, *p: np.ndarray) -> np.ndarray:
        return rng.poisson(np.minimum(_floor(p[0]), _MAX_POISSON)).astype(float)

    def _cumulants(self, *p: np.ndarray) -> tuple[np.ndarray, ...]:
        return (p[0],) * 4

    def _log_cf(self, u: np.ndarray, *p: np.ndarray) -> np.ndarray:
        return p[0] * np.expm1(1j * u)

    def _natural(self, *p: sympy.Expr) -> Terms:
        return (("rate", p[0]),)

    def _support(self, *p: Support) -> Support:
        return finite([0]) if p[0].high == 0 else integers(0, inf)


class BinomialKernel(Kernel):
    """Successes among n trials."""

    law, signature, needs = "binomial", ("n", "p"), ("count", "probability")

    def _draw(self, rng: np.random.Generator, *p: np.ndarray) -> np.ndarray:
        return rng.binomial(np.rint(np.minimum(p[0], _MAX_POISSON)).astype(np.int64), p[1]).astype(float)

    def _cumulants(self, *p: np.ndarray) -> tuple[np.ndarray, ...]:
        n, share = p
        spread = share * (1 - share)
        return n * share, n * spread, n * spread * (1 - 2 * share), n * spread * (1 - 6 * spread)

    def _log_cf(self, u: np.ndarray, *p: np.ndarray) -> np.ndarray:
        return p[0] * _log_coin(u, p[1])

    def _natural(self, *p: sympy.Expr) -> Terms | None:
        return None if p[1].free_symbols else (("n", p[0]),)

    def _support(self, *p: Support) -> Support:
        highest = p[0].high
        return finite(range(round(highest) + 1)) if highest <= _MAX_FINITE else integers(0, highest)


class GammaKernel(Kernel):
    """A gamma law; its mean is shape times scale."""

    law, signature, needs = "gamma", ("shape", "scale"), ("nonnegative", "positive")

    def _draw(self, rng: np.random.Generator, *p: np.ndarray) -> np.ndarray:
        return rng.gamma(_floor(p[0]), p[1])

    def _cumulants(self, *p: np.ndarray) -> tuple[np.ndarray, ...]:
        shape, scale = p
        return shape * scale, shape * scale**2, 2 * shape * scale**3, 6 * shape * scale**4

    def _log_cf(self, u: np.ndarray, *p: np.ndarray) -> np.ndarray:
        return -p[0] * np.log1p(-1j * u * p[1])

    def _natural(self, *p: sympy.Expr) -> Terms | None:
        return None if p[1].free_symbols else (("shape", p[0]),)

    def _support(self, *p: Support) -> Support:
        return interval(0, inf, open_low=p[0].low > 0 or p[0].open_low)


class NegativeBinomialKernel(Kernel):
    """Counts with variance mean + mean^2 / size."""

    law, signature = "negative_binomial", ("mean", "size")
    needs = ("nonnegative", "positive")

    def _draw(self, rng: np.random.Generator, *p: np.ndarray) -> np.ndarray:
        mean, size = p
        return rng.poisson(np.minimum(rng.gamma(size, _floor(mean) / size), _MAX_POISSON)).astype(float)

    def _cumulants(self, *p: np.ndarray) -> tuple[np.ndarray, ...]:
        mean, size = p
        q = mean / size  # a Poisson number of clusters, each logarithmic
        spread = mean * (1 + q)
        return mean, spread, spread * (1 + 2 * q), spread * (1 + 6 * q * (1 + q))

    def _log_cf(self, u: np.ndarray, *p: np.ndarray) -> np.ndarray:
        mean, size = p
        return -size * np.log1p(-(mean / size) * np.expm1(1j * u))

    def _natural(self, *p: sympy.Expr) -> Terms | None:
        ratio = sympy.cancel(p[1] / p[0]) if p[0] != 0 else p[1]
        return None if ratio.free_symbols else (("mean", p[0]),)

    def _support(self, *p: Support) -> Support:
        return finite([0]) if p[0].high == 0 else integers(0, inf)


class NormalKernel(Kernel):
    """A normal law."""

    law, signature, needs = "normal", ("mean", "sd"), ("real", "nonnegative")

    def _draw(self, rng: np.random.Generator, *p: np.ndarray) -> np.ndarray:
        return rng.normal(p[0], _floor(p[1]))

    def _cumulants(self, *p: np.ndarray) -> tuple[np.ndarray, ...]:
        none = np.zeros_like(p[0])
        return p[0], p[1] ** 2, none, none

    def _log_cf(self, u: np.ndarray, *p: np.ndarray) -> np.ndarray:
        return 1j * u * p[0] - (u * p[1]) ** 2 / 2

    def _natural(self, *p: sympy.Expr) -> Terms:
        return ("mean", p[0]), ("variance", p[1] ** 2)

    def _support(self, *p: Support) -> Support:
        return p[0] if p[1].high == 0 else interval(-inf, inf)


class BernoulliKernel(Kernel):
    """1 with a probability in the parents, else 0."""

    law, signature, needs = "bernoulli", ("p",), ("probability",)

    def _draw(self, rng: np.random.Generator, *p: np.ndarray) -> np.ndarray:
        return (rng.random(p[0].shape) < p[0]).astype(float)

    def _cumulants(self, *p: np.ndarray) -> tuple[np.ndarray, ...]:
        share = p[0]
        spread = share * (1 - share)
        return share, spread, spread * (1 - 2 * share), spread * (1 - 6 * spread)

    def _log_cf(self, u: np.ndarray, *p: np.ndarray) -> np.ndarray:
        return _log_coin(u, p[0])

    def _natural(self, *p: sympy.Expr) -> Terms | None:
        return None

    def _support(self, *p: Support) -> Support:
        return finite([0] if p[0].high == 0 else [1] if p[0].low == 1 else [0, 1])


class CategoricalKernel(Kernel):
    """Whole numbers from 0 up: the probabilities of 1, 2 and so on, 0 having what they leave."""

    law, signature = "categorical", ("p1", MORE)

    @property
    def guards(self) -> tuple[Guard, ...]:
        """Where the formulas are defined and give probabilities that sum to at most 1."""
        inner = [guard for argument in self.arguments for guard in argument.guards]
        shares = [*self.formulas, self._rest]
        return (*inner, *(Guard(share, "probability", self.text) for share in shares))

    @property
    def _rest(self) -> sympy.Expr:
        return 1 - sympy.Add(*self.formulas)

    def _evaluate(self, values: Values, size: int) -> list[np.ndarray]:
        shares = [np.broadcast_to(argument.evaluate(values), (size,)) for argument in self.arguments]
        for share in (*shares, 1 - np.sum(shares, axis=0)):
            if not meets(checked(share, self.text), "probability"):
                raise InputError(f"{self.text}: its probabilities can be {worst(share):g}; expected 0 to 1")
        return [np.clip(share, 0, 1) for share in shares]

    def _draw(self, rng: np.random.Generator, *p: np.ndarray) -> np.ndarray:
        left = rng.random(p[0].shape)
        above = np.cumsum(p[::-1], axis=0)  # the last category comes first
        return (left < above).sum(axis=0).astype(float)

    def _cumulants(self, *p: np.ndarray) -> tuple[np.ndarray, ...]:
        raw = [sum(k**order * share for k, share in enumerate(p, start=1)) for order in range(1, 5)]
        m1, m2, m3, m4 = map(np.asarray, raw)
        variance = m2 - m1**2
        third = m3 - 3 * m2 * m1 + 2 * m1**3
        fourth = m4 - 4 * m3 * m1 + 6 * m2 * m1**2 - 3 * m1**4 - 3 * variance**2
        return m1, variance, third, fourth

    def _log_cf(self, u: np.ndarray, *p: np.ndarray) -> np.ndarray:
        moved = [np.asarray(share) * np.expm1(1j * k * u) for k, share in enumerate(p, start=1)]
        return np.asarray(special.log1p(np.sum(moved, axis=0)))

    def _natural(self, *p: sympy.Expr) -> Terms | None:
        return None

    def _support(self, *p: Support) -> Support:
        possible = [k for k, share in enumerate(p, start=1) if share.high > 0]
        surely = sum(share.low for share in p) >= 1
        return finite(possible if surely else [0, *possible])


KERNELS: dict[str, type[Kernel]] = {
    kind.law: kind
    for kind in (
        PoissonKernel,
        BinomialKernel,
        GammaKernel,
        NegativeBinomialKernel,
        NormalKernel,
        BernoulliKernel,
        CategoricalKernel,
    )
}

Mechanism = Equation | Kernel


def parse_kernel(text: object, names: Iterable[str], where: str = "kernel") -> Kernel:
    """Read a kernel: poisson(rate), binomial(n, p), gamma(shape, scale), negative_binomial(mean, size),
    normal(mean, sd), bernoulli(p) or categorical(p1, ...), each parameter a formula in the parents.

    Raises
    ------
    InputError
        It is no such call.

    Examples
    --------
    >>> kernel = parse_kernel("poisson(1 + 2*Y)", ["Y"])
    >>> kernel.cumulants({"Y": np.array([0.0, 1.0])}, 1)
    array([[1., 3.]])
    """
    signatures = {name: kind.signature for name, kind in KERNELS.items()}
    name, arguments = parse_call(text, names, where, signatures)
    return KERNELS[name](arguments)


def _floor(values: np.ndarray) -> np.ndarray:
    """Take off what rounding leaves below 0."""
    return np.maximum(values, 0.0)


def _log_coin(u: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Logarithm of 1 - p + p exp(iu), on the branch that is continuous from u = 0."""
    small, large = np.minimum(p, 0.5), np.maximum(p, 0.5)
    with np.errstate(divide="ignore"):
        below = special.log1p(small * np.expm1(1j * u))
        above = 1j * u + special.log1p((1 - large) * np.expm1(-1j * u))
    return np.where(p <= 0.5, below, above)
