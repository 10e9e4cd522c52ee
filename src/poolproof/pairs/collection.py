"""Numbers of pairs that may come into the table, gathered while a screen has them at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np

from .calls import N_CODES, code_of

Columns = dict[str, np.ndarray]

TESTED, STRONG = 1, 2
"""Bits of what is known of a pair: both tests exist; r2_spline >= min_r2."""
SPARE = 1.25
"""Candidates that are kept, over the rows of the table; and room for them, over those kept."""
INCONCLUSIVE = 2
"""The least call of an associated pair."""


@dataclass(frozen=True, eq=False)
class Collected:
    """Numbers of associated pairs, and from which strength on all of them are there."""

    columns: Columns
    """Those of the table; place in the screen (``row``, ``column``); code of ``strength``. Empty: no pair."""
    border: int
    """Code of the strength from which on no pair is missing; 0: all are there."""


class Collection:
    """Numbers of candidates for the table, gathered while blocks are at hand: the strongest that fit."""

    def __init__(self, fdr: float, limit: int, most: float) -> None:
        self.floor = code_of(np.array(-np.log(fdr)))
        self._wanted = int(SPARE * limit)
        self._most = most
        self.given_up = limit == 0
        self.finish: Callable[[Columns], Columns] = dict
        """Makes the numbers of the table from raw ones."""
        self._parts: list[Columns] = []
        self._n = 0
        self.border = 0
        self._lock = Lock()

    def wants(self, state: np.ndarray, association: np.ndarray, strength: np.ndarray) -> np.ndarray:
        """Which pairs may come into the table; codes of association and strength, any one shape."""
        if self.given_up:
            return np.zeros(state.shape, dtype=bool)
        wanted = (state & (TESTED | STRONG) == (TESTED | STRONG)) & (association >= self.floor)
        return wanted & (strength >= self.border) if self.border else wanted

    def add(self, part: Columns) -> None:
        """Add settled pairs: ``row``, ``column``, ``strength`` (a code) and what the table shows.

        In place of the latter, they may have ``raw`` numbers, see `finish`.
        """
        if self.given_up or len(part["row"]) == 0:
            return
        with self._lock:
            self._parts.append(part)
            self._n += len(part["row"])
            if self._n > self._most >= SPARE * self._wanted:
                self._prune()
            if self._n > self._most:  # too little memory, or too many of one strength
                self.given_up, self._parts, self.border = True, [], N_CODES

    def _prune(self) -> None:
        """Leave out the weakest, but for more than the table may have.

        In the end that depends on all candidates, not on which came first: see `associated`.
        """
        counts = np.zeros(N_CODES, dtype=np.int64)
        for part in self._parts:
            counts += np.bincount(part["strength"], minlength=N_CODES)
        at_least = np.cumsum(counts[::-1])[::-1]
        self.border = max(int(np.flatnonzero(at_least >= self._wanted)[-1]), self.border)
        for i, part in enumerate(self._parts):
            strong = part["strength"] >= self.border
            self._parts[i] = {name: values[strong] for name, values in part.items()}
        self._n = sum(len(part["row"]) for part in self._parts)

    def associated(self, regulators: np.ndarray, targets: np.ndarray, calls: np.ndarray) -> Collected:
        """Keep what was called associated."""
        if self.border and not self.given_up:
            self._prune()
        parts = []
        for part in self._parts:
            call = calls[part["row"], part["column"]]
            kept = np.flatnonzero(call >= INCONCLUSIVE)
            chosen = {name: values[kept] for name, values in part.items()}
            parts.append((self.finish(chosen) if "raw" in chosen else chosen) | {"call": call[kept]})
        self._parts = []
        if not parts:
            return Collected({}, self.border)
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        row, column = columns["row"], columns["column"]
        return Collected(columns | {"regulator": regulators[row], "target": targets[column]}, self.border)
