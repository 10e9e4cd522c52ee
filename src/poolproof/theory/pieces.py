"""Sums that tell more than themselves: on which side of a gap cells lie, or all values (method 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement, pairwise, product
from math import comb, prod

import numpy as np
import sympy

from ..models.algebra import NOISE, gene_symbol
from ..models.mechanisms import Equation, Kernel, Mechanism
from ..models.ranges import range_of
from ..models.scm import SCM
from ..models.support import Support, finite
from .joint import Joint
from .normal_form import normal_mechanism
from .one_edge import PASS, Edge

MAX_SHAPES = 64
"""Combinations of finite noises that are looked at for the pieces of one gene."""
MAX_MIXTURES = 4_000


def pieces_of(joint: Joint, gene: str) -> list[Support]:
    """Intervals with gaps between them that hold all values of a gene; one where there are no gaps."""
    support = joint.supports[gene]
    if support.kind != "interval" or not joint.known:
        return [support]
    written = joint.written(gene)
    few = [v for v in sorted(written.free_symbols, key=str) if joint.bases[v].kind == "finite"]
    if not few or prod(len(joint.bases[v].values) for v in few) > MAX_SHAPES:
        return [support]
    parts = []
    for values in product(*(joint.bases[v].values for v in few)):
        one = written.xreplace(dict(zip(few, values, strict=True)))
        parts.append(range_of(one, {v: joint.bases[v] for v in one.free_symbols}))
    return _merged(parts)


def _merged(parts: Sequence[Support]) -> list[Support]:
    found: list[Support] = []
    for part in sorted(parts, key=lambda p: (p.low, p.high)):
        if found and part.low <= found[-1].high:
            found[-1] = found[-1].union(part)
        else:
            found.append(part)
    return [p if p.low < p.high else finite([p.low]) for p in found]


def told(pieces: Sequence[Support], n_cells: int) -> bool:
    """Tell whether the sum of some cells tells how many of them lie on each piece.

    Examples
    --------
    >>> from poolproof.models.support import interval
    >>> ends = [interval(0, 1), interval(10, 11)]
    >>> told(ends, 9), told(ends, 10)
    (True, False)
    """
    if not np.isfinite([end for p in pieces for end in (p.low, p.high)]).all():
        return False
    if comb(n_cells + len(pieces) - 1, n_cells) > MAX_MIXTURES:
        return False
    ends = np.array([(p.low, p.high) for p in pieces])
    sums = sorted(tuple(ends[list(some)].sum(axis=0)) for some in _mixtures(len(pieces), n_cells))
    return all(first[1] < second[0] for first, second in pairwise(sums))


def _mixtures(n_pieces: int, n_cells: int) -> list[tuple[int, ...]]:
    return list(combinations_with_replacement(range(n_pieces), n_cells))


def steps_between(mechanism: Mechanism, parent: str, joint: Joint, pieces: Sequence[Support]) -> bool:
    """Tell whether a mechanism is, on all pieces of a parent, the same multiple of it, but for constants."""
    known = {p: joint.supports[p] for p in mechanism.parents}
    parts = [normal_mechanism(mechanism, known | {parent: piece}) for piece in pieces]
    symbol = gene_symbol(parent)
    if isinstance(mechanism, Equation):
        formulas = [p.expression.sympy for p in parts if isinstance(p, Equation)]
        slope = sympy.diff(formulas[0], symbol)
        same = all((f - formulas[0]).expand().is_number for f in formulas)
        return len(formulas) == len(parts) and same and slope.is_number
    if all(not p.parents for p in parts):
        return True
    terms = [p.natural() if isinstance(p, Kernel) else None for p in parts]
    first = terms[0]
    if first is None or any(t is None or len(t) != len(first) for t in terms):
        return False
    return all(
        sympy.expand(a - b).is_number and sympy.diff(b, symbol).is_number
        for t in terms
        if t is not None
        for (_, a), (_, b) in zip(t, first, strict=True)
    )


def tells_cells(scm: SCM, gene: str, supports: Mapping[str, Support]) -> bool:
    """Tell whether any sum of a gene tells all values that are in it: exp of whole numbers.

    Powers of e with different rational exponents are independent over the rationals (Lindemann 1882).
    """
    mechanism = scm.mechanism(gene)
    if scm.cell_types or not isinstance(mechanism, Equation):
        return False
    expression = mechanism.expression.sympy
    symbols = expression.free_symbols
    powers = expression.atoms(sympy.exp)
    if len(symbols) != 1 or len(powers) != 1:
        return False
    (symbol,), (power,) = symbols, powers
    place = sympy.Dummy()
    outside = expression.xreplace({power: place})
    if symbol in outside.free_symbols or not sympy.diff(outside, place).is_Rational:
        return False
    support = mechanism.noise.support if symbol == NOISE and mechanism.noise else supports.get(symbol.name)
    slope = sympy.diff(power.args[0], symbol)
    rational = support is not None and (
        support.kind == "integers"
        or (support.kind == "finite" and all(v.is_Rational for v in support.values))
    )
    return bool(rational and slope.is_Rational and slope != 0 and power.args[0].subs(symbol, 0).is_Rational)


def edge_by_telling(mechanism: Mechanism, parent: str, joint: Joint, n_cells: int) -> Edge | None:
    """An edge that passes because the sum of the parent tells what matters of its cells."""
    if mechanism.parents == (parent,) and tells_cells(joint.scm, parent, joint.supports):
        return Edge(PASS, f"any sum of {parent} tells all of its cells")
    pieces = pieces_of(joint, parent)
    if len(pieces) > 1 and told(pieces, n_cells) and steps_between(mechanism, parent, joint, pieces):
        return Edge(
            PASS, f"sums of {n_cells} cells tell on which side of its gaps {parent} lies", any_cells=False
        )
    return None
