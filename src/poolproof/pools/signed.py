"""Partial correlations of pools, each with the sign that its triple has in single cells (method 9).

A sign taken from the cells that are in the pools leans to what these cells show by chance: a triple whose
partial correlation is 0 would seem to have one above 0. So signs come from one half of the cells and pools
from the other, and the other way round. Between replicates, and where half the cells have no room for 20
pools in each stratum, both come from all cells; there pools are few beside the cells that give the signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .draws import BETWEEN, MIN_PER_STRATUM, Drawing, Plan
from .meter import PARTIAL_LINEAR, PARTIAL_SPLINE, Meter, median


@dataclass(frozen=True, eq=False)
class SignedPartials:
    """What is measured of triples in one regime."""

    meter: Meter
    regime: str
    halves: tuple[Plan, ...]
    """Plans of the two halves of the cells; empty between replicates."""
    linear: tuple[np.ndarray, ...]
    """Partial correlations given a line in the single cells of each half, ``(n_triples,)``."""
    seed: int

    @classmethod
    def of(cls, meter: Meter, plan: Plan, seed: int) -> SignedPartials:
        """Look at the single cells of a regime."""
        halves = () if plan.regime == BETWEEN else plan.halves(seed)
        rows = [np.concatenate(half.strata.cells) for half in halves]
        linear = tuple(meter.partials_of_cells(part, plan.regime)[0] for part in rows)
        return cls(meter, plan.regime, halves, linear, seed)

    def measure(self, drawing: Drawing) -> dict[str, float]:
        """Medians over triples, in pools of the same size as a drawing's."""
        if not len(self.meter.triples):
            return {PARTIAL_LINEAR: float("nan"), PARTIAL_SPLINE: float("nan")}
        drawings: Sequence[Drawing] = [drawing]
        cells: Sequence[np.ndarray]
        if self.halves and all(_has_room(half, drawing.n_cells) for half in self.halves):
            drawings = [half.draw(drawing.n_cells, drawing.repeat, self.seed) for half in self.halves]
            cells = self.linear[::-1]
        else:
            cells = [self._whole]
        found = [self.meter.partials(self.meter.pool(of), of.labels, of.regime) for of in drawings]
        linear, spline = (_signed(cells, [of[i] for of in found]) for i in range(2))
        return {PARTIAL_LINEAR: median(linear), PARTIAL_SPLINE: median(spline)}

    def prediction(self) -> float:
        """What many pools show: partial correlations given a line, signs from the other half of the cells."""
        return median(_signed(self.linear[::-1], list(self.linear)))

    @cached_property
    def _whole(self) -> np.ndarray:
        """Partial correlations given a line in all cells."""
        return self.meter.partials_of_cells(self.meter.rows, self.regime)[0]


def _has_room(half: Plan, n_cells: int) -> bool:
    """Whether pools of so many cells are enough to be tested, in every stratum of half the cells."""
    return bool((half.strata.sizes // n_cells >= MIN_PER_STRATUM).all())


def _signed(cells: Sequence[np.ndarray], pools: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over parts of what pools show, with the signs of other cells."""
    return np.asarray(np.mean([np.sign(of) * v for of, v in zip(cells, pools, strict=True)], axis=0))
