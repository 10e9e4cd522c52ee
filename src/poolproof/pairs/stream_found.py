"""Numbers of all pairs of cells that were read block by block, looked up by a screen."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .outcome import Either, NullLaw, Outcome, StudentLaw

NUMBERS = ("r2_linear", "gain", "share_upper", "statistic", "bend", "association", "detectable")
"""What is kept of every pair, beside whether it is tested; both tests as -ln p."""


@dataclass(frozen=True, eq=False)
class StreamBlock:
    """Regulators of a block; their pairs are known already."""

    regulators: np.ndarray

    def take(self, chosen: np.ndarray) -> StreamBlock:
        """Some of them."""
        return StreamBlock(self.regulators[chosen])

    def astype(self, dtype: type) -> StreamBlock:
        """The same: numbers stay in float64."""
        return self


class Found:
    """Numbers of all pairs of the regulators tested, in memory or in a temporary file."""

    def __init__(self, n_genes: int, regulators: np.ndarray, memory: float) -> None:
        self._place = np.full(n_genes, -1)
        self._place[regulators] = np.arange(len(regulators))
        shape = (len(NUMBERS) + 1, len(regulators), n_genes)
        if 8 * np.prod(shape, dtype=float) <= memory:
            self._values = np.zeros(shape)
        else:
            with tempfile.TemporaryFile(prefix="poolproof-") as file:  # the mapping keeps it alive
                self._values = np.memmap(file, dtype=np.float64, mode="w+", shape=shape)

    def put(self, rows: slice, values: np.ndarray) -> None:
        """Numbers of some regulators with all targets, shape ``(8, R, m)``."""
        self._values[:, rows] = values

    def get(self, name: str, regulators: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """One number of some pairs, shape ``(R, m)``."""
        which = (*NUMBERS, "tested").index(name)
        return np.asarray(self._values[which][np.ix_(self._place[regulators], targets)])

    def outcome(self, features: StreamBlock, genes: np.ndarray, n: int) -> Outcome:
        """The pairs of a block with some targets."""
        of = {name: self.get(name, features.regulators, genes) for name in (*NUMBERS, "tested")}
        return Outcome(
            r2_linear=of["r2_linear"],
            gain=of["gain"],
            share_upper=of["share_upper"],
            bend=NullLaw(of["bend"], None),
            association=NullLaw(of["association"], None),
            statistic=of["statistic"],
            n=np.array([[n]]),
            tested=of["tested"] > 0,
            doubt=np.zeros(of["gain"].shape, dtype=bool),
        )


class LooksUp:
    """An engine whose pairs are all in ``found`` before a screen asks for them."""

    found: Found
    n_genes: int
    n: int

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "found"}

    def features(self, regulators: np.ndarray) -> Any:
        """A block of regulators."""
        return StreamBlock(np.asarray(regulators))

    def outcome(
        self,
        features: Any,
        targets: np.ndarray | slice,
        dtype: type,
        *,
        exact: bool,
        bound_from: float = 0.0,
        again: np.ndarray | None = None,
    ) -> Outcome:
        """Look up pairs."""
        return self.found.outcome(features, np.arange(self.n_genes)[targets], self.n)

    def detectable(self, features: Any, targets: np.ndarray) -> np.ndarray:
        """See :class:`~poolproof.pairs.outcome.Engine`."""
        return self.found.get("detectable", features.regulators, np.arange(self.n_genes)[targets])


def row_by_row(law: NullLaw | StudentLaw | Either) -> np.ndarray:
    """-ln p, ``(R, m)``, one regulator at a time: how a tail is computed depends on what a block holds."""
    n_rows = len(law.laws[0].value if isinstance(law, Either) else law.value)
    return np.concatenate([_row(law, slice(r, r + 1)).minus_log_p() for r in range(n_rows)])


def _row(law: Any, at: slice) -> NullLaw | StudentLaw | Either:
    if isinstance(law, Either):
        return Either(tuple(_row(of, at) for of in law.laws))  # type: ignore[arg-type]
    shape = law.value.shape
    parts = {name: None if of is None else np.broadcast_to(of, shape)[at] for name, of in vars(law).items()}
    return type(law)(**parts)


def groups_of(sizes: np.ndarray, most: float, n_workers: int) -> list[slice]:
    """Runs of regulators of these sizes, together at most so large, as many for each worker.

    Examples
    --------
    >>> groups_of(np.full(10, 1.0), 4, 2)
    [slice(0, 2, None), slice(2, 5, None), slice(5, 7, None), slice(7, 10, None)]
    """
    ends = np.cumsum(sizes)
    if len(ends) == 0:
        return []
    room = max(most - sizes.max(), sizes.max())  # a run may pass its end by one
    n_groups = int(np.ceil(ends[-1] / max(room, 1.0)))
    n_groups = max(1, -(-n_groups // n_workers) * n_workers)
    edges = np.searchsorted(ends, ends[-1] / n_groups * np.arange(n_groups + 1) * (1 + 1e-12))
    edges[-1] = len(sizes)
    edges = np.unique(edges)
    return [slice(int(low), int(high)) for low, high in pairwise(edges)]
