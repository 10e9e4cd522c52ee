"""What money buys: prices of donors, cells, pools and reads, and the designs of one price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from .._checks import InputError, printable
from .designs import Design
from .laws import library_of, reads_for
from .system import System

MILLION = 1e6


@dataclass(frozen=True)
class Prices:
    """Prices in any one currency. The defaults are round figures of 2025, in dollars: give your own."""

    donors: float = 100.0
    """Of recruiting and handling one donor."""
    cells: float = 0.2
    """Of one cell that is read singly, its barcode and library included."""
    pools: float = 20.0
    """Of the library of one pool."""
    pooled_cells: float = 0.01
    """Of one cell that is sorted into a pool."""
    reads: float = 3.0
    """Of a million reads."""


def prices_of(cost: Mapping[str, float] | str | None) -> Prices:
    """Prices from a mapping or from text such as ``cells=0.3,pools=15``.

    Raises
    ------
    InputError
        A name is not known, or a price is no number of at least 0.

    Examples
    --------
    >>> prices_of("cells=0.3, donors=0").cells
    0.3
    """
    if cost is None:
        return Prices()
    known = [f.name for f in fields(Prices)]
    if isinstance(cost, str):
        parts = [part.partition("=") for part in cost.split(",") if part.strip()]
        cost = {name.strip(): value.strip() for name, _, value in parts}  # type: ignore[misc]
    found: dict[str, float] = {}
    for name, value in cost.items():
        if name not in known:
            raise InputError(
                f"--cost: expected prices of {', '.join(known)}; found {printable(name or '(nothing)', 40)!r}"
            )
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = np.nan
        if not (np.isfinite(number) and number >= 0):
            raise InputError(
                f"--cost {name}: expected a number of at least 0; found {printable(value, 40)!r}"
            )
        found[name] = number
    return Prices(**(asdict(Prices()) | found))


def library(system: System) -> float:
    """Molecules in the library of a cell; infinite where sequencing was not saturated."""
    if not system.counted or system.saturation <= 0:
        return float("inf")
    return library_of(system.depth, system.saturation)


def reads_of(system: System, depth: float) -> float:
    """Reads of a cell that show so many molecules; infinite beyond its library."""
    if not system.counted:
        return 0.0
    whole = library(system)
    return depth if np.isinf(whole) else float(reads_for(np.asarray(depth), np.asarray(whole)))


def unit_price(system: System, n_cells: float, depth: float, prices: Prices) -> float:
    """Price of one more unit: a single cell, or a pool."""
    own = prices.cells if n_cells == 1 else prices.pools + n_cells * prices.pooled_cells
    return own + n_cells * reads_of(system, depth) / MILLION * prices.reads


def price_of(system: System, design: Design, prices: Prices) -> float:
    """Price of a design.

    Examples
    --------
    >>> from poolproof.planning.system import by_hand
    >>> system = by_hand(molecules=1.0, depth=5000.0)
    >>> price_of(system, Design(1000, 1, 4, 5000.0), Prices())
    615.0
    """
    return design.n_donors * prices.donors + design.n_units * unit_price(
        system, design.n_cells, design.depth, prices
    )


def units_for(
    system: System, money: float, n_cells: float, n_donors: float, depth: float, prices: Prices
) -> int:
    """Units that the money buys beside the donors."""
    rest = money - n_donors * prices.donors
    price = unit_price(system, n_cells, depth, prices)
    if rest <= 0 or not np.isfinite(price):
        return 0
    return int(min(rest / price, 1e9)) if price > 0 else int(1e9)


def depth_for(
    system: System, money: float, n_units: float, n_cells: float, n_donors: float, prices: Prices
) -> float:
    """Molecules of a cell that can be read with what is left beside donors and units; NaN: nothing."""
    if not system.counted:
        left = money - n_donors * prices.donors - n_units * unit_price(system, n_cells, 0.0, prices)
        return float("nan") if left < 0 else 0.0
    left = money - n_donors * prices.donors - n_units * unit_price(system, n_cells, 0.0, prices)
    if left <= 0:
        return float("nan")
    reads = left / max(prices.reads, 1e-12) * MILLION / (n_units * n_cells)
    whole = library(system)
    return reads if np.isinf(whole) else float(whole * -np.expm1(-reads / whole))
