"""Where the values of a variable can lie: an interval, whole numbers, or a finite set."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, inf, isfinite
from typing import Literal

import numpy as np
import sympy

MAX_STATES = 20_000
"""Most states that are enumerated."""

_REACH = 4.0  # how far a grid goes towards an end at infinity


@dataclass(frozen=True)
class Support:
    """The values that a variable can take; closed, as supports are.

    ``open_low`` and ``open_high`` say that the end itself has probability zero, as for every continuous
    law: log(Y) is then defined for a gamma Y, though 0 closes its support.
    """

    kind: Literal["interval", "finite", "integers"]
    low: float
    high: float
    values: tuple[sympy.Expr, ...] = ()
    """The values of a finite support, exact and increasing; else empty."""
    open_low: bool = False
    open_high: bool = False

    def contains(self, x: float) -> bool:
        """Whether a value lies in the support, up to rounding for finite ones.

        Examples
        --------
        >>> interval(0, inf).contains(0), integers(0, inf).contains(0.5), finite([0, 1]).contains(1)
        (True, False, True)
        """
        if not self.low - 1e-12 <= x <= self.high + 1e-12:
            return False
        if self.kind == "integers":
            return float(x).is_integer()
        if self.kind == "finite":
            return bool(np.any(np.isclose(self.floats, x, rtol=1e-12, atol=1e-12)))
        return True

    @property
    def floats(self) -> np.ndarray:
        """The values of a finite support as floats, shape ``(n_values,)``."""
        return np.array([float(value) for value in self.values])

    @property
    def is_point(self) -> bool:
        """Whether it is one value."""
        return self.low == self.high

    def sample_grid(self, n: int, core: tuple[float, float] | None = None) -> np.ndarray:
        """Values inside the support, increasing, at most ``n`` (finite supports: all).

        Ends of probability zero are left out. An end at infinity is cut at ``core``, a pair of
        quantiles say, or 4 (whole numbers: n) away from the other end or from 0.

        Examples
        --------
        >>> interval(0, 1, open_low=True).sample_grid(4)
        array([0.25, 0.5 , 0.75, 1.  ])
        >>> integers(0, inf).sample_grid(3)
        array([0., 1., 2.])
        """
        if self.kind == "finite":
            return self.floats
        low, high = self._cut(core, _REACH if self.kind == "interval" else float(n - 1))
        if self.kind == "integers":
            low, high = ceil(low), floor(high)
            steps = min(n, high - low + 1)
            return np.unique(np.round(np.linspace(low, high, max(1, steps))))
        skip_low, skip_high = self.open_low and low == self.low, self.open_high and high == self.high
        inside: np.ndarray = np.linspace(low, high, n + skip_low + skip_high)
        return inside[int(skip_low) : len(inside) - int(skip_high)]

    def _cut(self, core: tuple[float, float] | None, reach: float) -> tuple[float, float]:
        low, high = self.low, self.high
        if core is not None:
            low, high = max(low, core[0]), min(high, core[1])
        if not isfinite(low):
            low = high - reach if isfinite(high) else -reach
        if not isfinite(high):
            high = low + reach if isfinite(self.low) else max(reach, low + reach)
        return low, high

    def union(self, other: Support) -> Support:
        """The smallest support of a known kind that holds both.

        Examples
        --------
        >>> finite([0, 1]).union(finite([3])).values
        (0, 1, 3)
        """
        if self.kind == other.kind == "finite":
            return finite({*self.values, *other.values})
        low, high = min(self.low, other.low), max(self.high, other.high)
        if self.is_whole and other.is_whole:
            return integers(low, high)
        ends = (self, other)
        return interval(
            low,
            high,
            open_low=all(one.open_low for one in ends if one.low == low),
            open_high=all(one.open_high for one in ends if one.high == high),
        )

    @property
    def is_whole(self) -> bool:
        """Whether all values are whole numbers."""
        return self.kind == "integers" or (
            self.kind == "finite" and all(value.is_integer for value in self.values)
        )

    def __str__(self) -> str:
        if self.kind == "finite":
            shown = [f"{float(value):g}" for value in self.values[:6]]
            return "{" + ", ".join(shown) + (", ...}" if len(self.values) > 6 else "}")
        whole = "whole numbers " if self.kind == "integers" else ""
        return f"{whole}{self.low:g} to {self.high:g}"


def interval(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> Support:
    """An interval; ends at infinity are open."""
    return Support("interval", float(low), float(high), (), open_low or low == -inf, open_high or high == inf)


def integers(low: float, high: float) -> Support:
    """All whole numbers from ``low`` to ``high``."""
    return Support("integers", float(low), float(high), (), low == -inf, high == inf)


def finite(values: object) -> Support:
    """A finite set of numbers, exact: floats are taken as the decimals that they print."""
    exact = {exact_number(value) for value in values}  # type: ignore[attr-defined]
    ordered = tuple(sorted(exact, key=float))
    return Support("finite", float(ordered[0]), float(ordered[-1]), ordered)


def exact_number(value: object) -> sympy.Expr:
    """A number as sympy knows it exactly: 0.1 becomes 1/10.

    Examples
    --------
    >>> exact_number(0.1), exact_number(2.0)
    (1/10, 2)
    """
    if isinstance(value, sympy.Expr):
        return value
    return sympy.Rational(repr(float(value)))  # type: ignore[arg-type]
