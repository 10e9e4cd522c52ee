"""Tiles of triples handed to compiled loops, where these are to be had; see `compiled`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, cast

import numpy as np

from .partial import SMALLEST_VARIANCE, Given, Smooth, Tile

COMPILED_FROM = 3e8
"""Triples from which on it is worth while: loops are compiled once, in a quarter of a minute."""


BAND = 64
"""Left ends of a tile on the diagonal that are taken at once: what lies below them is left out."""
FEW = 6
"""Columns whose products the compiled loops add at once."""


class Listed(NamedTuple):
    """Triples that are strong enough; arrays of one length."""

    code: np.ndarray
    left: np.ndarray
    """Place among the ends."""
    right: np.ndarray
    strength: np.ndarray


@cache
def screen_tile() -> Callable[..., int] | None:
    """The compiled loop, or None where numba is not installed."""
    if find_spec("numba") is None:
        return None
    found: Any = import_module(".compiled", __package__).screen_tile
    return found


class QuickTiles:
    """Counts triples of one middle gene after the other, in float32."""

    def __init__(self, screen: Callable[..., int], most: int) -> None:
        self._screen = screen
        self._places = np.empty((3, most), dtype=np.int64)
        self._strength = np.empty(most, dtype=np.float32)
        self._given: Given

    @staticmethod
    def fits(given: Given) -> bool:
        """Whether this middle gene can be done here: values in float32, independent samples."""
        smooth = isinstance(given.linear.spread, Smooth) and isinstance(given.spline.spread, Smooth)
        return smooth and given.inverse is None and given.linear.inverse.dtype == np.float32

    def start(self, given: Given) -> None:
        """Take the ends of a middle gene."""
        self._given = given
        models = given.linear, given.spline
        linear, spline = (cast("Smooth", of.spread).w for of in models)  # `fits` says so
        self._inverse = np.stack([of.inverse for of in models])
        parts = [*(of.coefficients for of in models), linear, spline]
        widths = [_columns_of(part.shape[1], i == 0) for i, part in enumerate(parts)]
        self._edges = np.cumsum([0, *widths])
        self._thin = np.zeros((len(linear), self._edges[-1]), dtype=np.float32)
        for low, part in zip(self._edges.tolist(), parts, strict=False):
            self._thin[:, low : low + part.shape[1]] = part
        self._ends = given.ends.astype(np.int64)

    def add(
        self,
        tile: Tile,
        *,
        margin: float,
        told: float,
        n_bins: int,
        lowest: int,
        least: np.ndarray,
        histogram: np.ndarray,
        evidence: np.ndarray,
    ) -> Listed:
        """Count a tile; see `compiled.screen_tile`."""
        given = self._given
        rows, columns = self._ends[tile.left], self._ends[tile.right]
        cross = given.cross
        if isinstance(cross, tuple):
            cross = tile.dot(*cross)
            rows, columns = np.arange(len(rows)), np.arange(len(columns))
        diagonal = tile.left == tile.right
        found = []
        for low in range(0, len(rows), BAND if diagonal else len(rows)):
            band = slice(low, low + BAND) if diagonal else slice(None)
            first = low if diagonal else 0
            n = self._screen(
                cross,
                rows[band],
                columns[first:],
                self._inverse,
                self._thin,
                self._edges,
                tile.left.start + low,
                tile.right.start + first,
                given.n,
                np.float32(SMALLEST_VARIANCE / given.n),
                np.float32(margin),
                np.float32(told),
                n_bins,
                lowest,
                least,
                histogram,
                evidence,
                self._places,
                self._strength,
            )
            found.append((self._places[:, :n].copy(), self._strength[:n].copy()))
        code, left, right = np.concatenate([places for places, _ in found], axis=1)
        return Listed(code, left, right, np.concatenate([strength for _, strength in found]))


def _columns_of(n: int, is_line: bool) -> int:
    """Columns, with empty ones, that the loops want in place of n."""
    return 1 if is_line and n == 1 else FEW * max(1, -(-n // FEW))
