"""A number of cells that varies: which numbers occur, and whether sums tell them (method 5)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import sympy

from ..models.laws import Law
from ..models.mechanisms import Equation, Mechanism
from ..models.support import Support, finite, interval

RARE = 1e-9
"""Numbers of cells outside these tails are left out of account."""
MAX_PAIRS = 5_000


@dataclass(frozen=True)
class CellNumbers:
    """How many cells pools hold; pools of none are not seen."""

    cells: int | Law

    @cached_property
    def law(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers that occur, and their probabilities given that there is a cell."""
        if isinstance(self.cells, int):
            return np.array([self.cells]), np.ones(1)
        if self.cells.atoms is not None:
            values = np.array([round(float(v)) for v, _ in self.cells.atoms])
            weights = np.array([p for _, p in self.cells.atoms])
        else:
            nodes, weights = self.cells.quadrature()
            values = np.rint(nodes).astype(int)
        kept = (values >= 1) & (weights > 0)
        return values[kept], weights[kept] / weights[kept].sum()

    @cached_property
    def occurring(self) -> tuple[int, ...]:
        """All numbers but for tails of 1e-9, increasing."""
        values, weights = self.law
        below = np.cumsum(weights)
        kept = (below > RARE) & (below - weights < 1 - RARE)
        if isinstance(self.cells, Law) and self.cells.atoms is not None:
            kept = np.ones(len(values), dtype=bool)
        return tuple(int(v) for v in np.unique(values[kept]))

    @cached_property
    def shown(self) -> tuple[int, ...]:
        """A few numbers that are common, at least two where the number varies."""
        values, weights = self.law
        if len(self.occurring) <= 5:
            return self.occurring
        at = np.searchsorted(np.cumsum(weights), [0.1, 0.5, 0.9])
        some = np.unique(values[np.minimum(at, len(values) - 1)])
        return tuple(int(v) for v in some) if len(some) > 1 else self.occurring

    @property
    def varies(self) -> bool:
        """Whether there are several."""
        return len(self.occurring) > 1

    @property
    def has_tails(self) -> bool:
        """Whether rare numbers are left out of account."""
        return isinstance(self.cells, Law) and self.cells.atoms is None

    @property
    def spread(self) -> float:
        """Variance over mean."""
        values, weights = self.law
        mean = float(values @ weights)
        return float((values - mean) ** 2 @ weights) / mean

    def pairs(self) -> list[tuple[int, int]] | None:
        """All pairs of numbers, or None where they are many."""
        n = len(self.occurring)
        return list(combinations(self.occurring, 2)) if n * (n - 1) // 2 <= MAX_PAIRS else None


def tells(support: Support, numbers: CellNumbers) -> bool:
    """Tell whether sums of values in a support are never the same for two numbers of cells.

    Examples
    --------
    >>> from poolproof.models import parse_law
    >>> two = CellNumbers(parse_law("discrete({2: 0.5, 3: 0.5})"))
    >>> tells(interval(1, 1.1), two), tells(interval(0, 1), two)
    (True, False)
    """
    ends = sorted((abs(support.low), abs(support.high)))
    if support.low * support.high > 0:
        steps = zip(numbers.occurring[:-1], numbers.occurring[1:], strict=True)
        if all(few * ends[1] < many * ends[0] for few, many in steps):
            return True
    lattice = _lattice(support)
    pairs = numbers.pairs()
    if lattice is None or pairs is None:
        return False
    start, step = lattice
    return all(not _whole((many - few) * start / step) for few, many in pairs)


def _lattice(support: Support) -> tuple[sympy.Expr, sympy.Expr] | None:
    """A value and a step of which all others differ by a multiple; None where there is no such step."""
    if support.kind == "integers":
        return sympy.Integer(0), sympy.Integer(1)
    if support.kind != "finite" or not all(v.is_Rational for v in support.values):
        return None
    start, *others = support.values
    step = sympy.Integer(0)
    for value in others:
        step = sympy.gcd(step, value - start)
    return start, step if step != 0 else start if start != 0 else sympy.Integer(1)


def _whole(value: sympy.Expr) -> bool:
    return bool(value.is_integer)


def own_part(
    mechanism: Mechanism, supports: Mapping[str, Support], given: Collection[str]
) -> tuple[Support, sympy.Expr, sympy.Expr] | None:
    """What a cell adds to a gene beyond multiples of the genes given: support, step and start of its lattice.

    None where that is not known. Step and start are 0 where values lie on no lattice.
    """
    zero = sympy.Integer(0)
    if not isinstance(mechanism, Equation) or not set(mechanism.parents) <= set(given):
        return None
    affine = mechanism.affine()
    if affine is None:
        return None
    _, scale, constant = affine
    if mechanism.noise is None or scale == 0:
        return finite([constant]), zero, constant
    noise = mechanism.noise.support
    if noise.kind == "finite":
        return finite([constant + scale * v for v in noise.values]), zero, constant
    ends = sorted(float(constant + scale * end) for end in (noise.low, noise.high))
    if noise.kind == "integers":
        return interval(*ends), abs(scale), constant
    return interval(*ends), zero, zero


def tell_number(
    genes: Collection[str],
    mechanisms: Mapping[str, Mechanism],
    supports: Mapping[str, Support],
    numbers: CellNumbers,
) -> bool:
    """Tell whether the sums of some genes surely tell the number of cells."""
    for gene in genes:
        if tells(supports[gene], numbers):
            return True
        own = own_part(mechanisms[gene], supports, genes)
        if own is None:
            continue
        support, step, start = own
        if tells(support, numbers):
            return True
        pairs = numbers.pairs()
        if step != 0 and pairs and all(not _whole((many - few) * start / step) for few, many in pairs):
            return True
    return False


def hidden_pairs(
    gene: str,
    mechanism: Mechanism,
    supports: Mapping[str, Support],
    given: Collection[str],
    pairs: list[tuple[int, int]],
) -> list[tuple[int, int]]:
    """Pairs of numbers of cells between which the sum of a gene surely leaves it open, given the others."""
    if not isinstance(mechanism, Equation):
        return pairs if mechanism.law in ("poisson", "gamma", "negative_binomial", "normal") else []
    affine = mechanism.affine()
    if affine is None or mechanism.noise is None or affine[1] == 0:
        return []
    noise = mechanism.noise.support
    if noise.kind == "interval" and (np.isinf(noise.low) or np.isinf(noise.high)):
        return pairs
    own = own_part(mechanism, supports, given)
    if own is None:
        return []
    support, step, start = own
    if noise.kind == "interval":
        return [p for p in pairs if _overlap(support, *p)]
    if noise.kind == "integers" and (np.isinf(noise.low) or np.isinf(noise.high)):
        return [(few, many) for few, many in pairs if _whole((many - few) * start / step)]
    return [p for p in pairs if support.kind == "finite" and _share_a_sum(support, *p)]


def _overlap(support: Support, few: int, many: int) -> bool:
    return max(few * support.low, many * support.low) < min(few * support.high, many * support.high)


def _share_a_sum(support: Support, few: int, many: int) -> bool:
    """Whether sums of few and of many values of a small set meet."""
    if len(support.values) > 12 or many > 200:
        return False
    reached: list[set[sympy.Expr]] = [{sympy.Integer(0)}]
    for _ in range(many):
        grown = {a + v for a in reached[-1] for v in support.values}
        if len(grown) > 2_000:
            return False
        reached.append(grown)
    return bool(reached[few] & reached[many])
