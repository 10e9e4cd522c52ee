"""Partial correlations of pools, each with the sign that its triple has in single cells (method 9).

A sign taken from the cells that are in the pools leans to what these cells show by chance: a triple whose
partial correlation is 0 would seem to have one above 0. So signs come from one half of the cells and pools
from the other, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .draws import BETWEEN, Drawing, Plan
from .meter import PARTIAL_LINEAR, PARTIAL_SPLINE, Meter, median


@dataclass(frozen=True, eq=False)
class SignedPartials:
    """What is measured of triples in one regime."""

    meter: Meter
    halves: tuple[Plan, ...]
    """Plans of the two halves of the cells; empty: pools are those of a drawing, signs those of all cells."""
    linear: tuple[np.ndarray, ...]
    """Partial correlations given a line in the single cells of each half, or of all, ``(n_triples,)``."""
    seed: int

    @classmethod
    def of(cls, meter: Meter, plan: Plan, seed: int) -> SignedPartials:
        """Look at the single cells of a regime."""
        halves = () if plan.regime == BETWEEN else plan.halves(seed)
        rows = [np.concatenate(half.strata.cells) for half in halves] or [meter.rows]
        linear = tuple(meter.partials_of_cells(part, plan.regime)[0] for part in rows)
        return cls(meter, halves, linear, seed)

    def measure(self, drawing: Drawing) -> dict[str, float]:
        """Medians over triples, in pools of the same size as a drawing's."""
        if not len(self.meter.triples):
            return {PARTIAL_LINEAR: float("nan"), PARTIAL_SPLINE: float("nan")}
        if self.halves:
            drawings = [half.draw(drawing.n_cells, drawing.repeat, self.seed) for half in self.halves]
        else:
            drawings = [drawing]
        found = [self.meter.partials(self.meter.pool(of), of.labels, of.regime) for of in drawings]
        linear, spline = (self._signed([of[i] for of in found]) for i in range(2))
        return {PARTIAL_LINEAR: median(linear), PARTIAL_SPLINE: median(spline)}

    def prediction(self) -> float:
        """What many pools show: partial correlations given a line, signs from the other half of the cells."""
        return median(self._signed(list(self.linear)))

    def _signed(self, values: list[np.ndarray]) -> np.ndarray:
        """Mean over halves of values with the signs of the other half."""
        return np.mean([np.sign(of) * v for of, v in zip(self.linear[::-1], values, strict=True)], axis=0)
