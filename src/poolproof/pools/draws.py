"""Which cells go into which pools of a pooling curve: regimes, sizes, strata, draws (method 9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from .._random import stream
from .sums import Members

WITHIN, MIXED, BETWEEN = REGIMES = ("within", "mixed", "between")
LADDER = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
MIN_POOLS = 100
"""Pools below which tests of pairs find little (method 6.2), and skewness has an error of a quarter."""
MAX_POOLS = 300
LARGE = 50
"""More pools than that many of this size are not drawn: small pools are needed for no curve."""
MIN_PER_STRATUM = 20
"""What the corrected test asks of a stratum; taking means off costs a twentieth of the variance at most."""
MIN_REPLICATES = 10
MIN_CELLS = 10
"""Pseudobulk of fewer cells is left out."""


@dataclass(frozen=True, eq=False)
class Strata:
    """Cells in strata, whatever order they came in."""

    names: tuple[str, ...]
    """Names of the strata, in sorted order."""
    labels: pd.DataFrame
    """Labels of each stratum, one row a stratum, in the columns that were asked for; as text."""
    cells: tuple[np.ndarray, ...]
    """Rows of the data in each stratum, sorted by the names of the cells."""

    @property
    def sizes(self) -> np.ndarray:
        """Cells of each stratum."""
        return np.array([len(cells) for cells in self.cells], dtype=np.int64)

    def take(self, chosen: np.ndarray) -> Strata:
        """Some of the strata."""
        return Strata(
            tuple(self.names[i] for i in chosen),
            self.labels.iloc[chosen].reset_index(drop=True),
            tuple(self.cells[i] for i in chosen),
        )


@dataclass(frozen=True, eq=False)
class Drawing:
    """Pools of one regime and one size, drawn once."""

    regime: str
    n_cells: int
    """Cells in each pool; where they differ, their median."""
    repeat: int
    """Which drawing, from 1; 0: the single cells that others are compared with."""
    members: Members
    groups: np.ndarray
    """Code of the group inside which pools are compared, shape ``(n_pools,)``, 0 .. n_groups - 1."""
    labels: pd.DataFrame
    """Labels of the pools, one row a pool."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The pools of one regime: the same number from the same strata at every size."""

    regime: str
    sizes: tuple[int, ...]
    """Cells in a pool, rising, 1 first."""
    strata: Strata
    pools: np.ndarray
    """Pools from each stratum, shape ``(n_strata,)``."""
    groups: np.ndarray
    """Group of each stratum inside which pools are compared, shape ``(n_strata,)``."""

    def drawings(self, repeats: int, seed: int) -> Iterator[Drawing]:
        """Draw pools of each size ``repeats`` times; between: also, once, all cells of each replicate."""
        for size in self.sizes:
            for repeat in range(1, repeats + 1):
                yield self.draw(size, repeat, seed)
        if self.regime == BETWEEN:
            yield self._pseudobulk()

    def draw(self, size: int, repeat: int, seed: int) -> Drawing:
        """Draw pools of ``size`` cells, each cell in one pool at most.

        A draw depends on the seed, regime, stratum, size and repeat, and on the names of the stratum's cells.
        """
        drawn = []
        pools = np.minimum(self.pools, self.strata.sizes // size)  # halves may hold fewer
        for name, cells, n in zip(self.strata.names, self.strata.cells, pools, strict=True):
            shuffled = stream(seed, "pooling_curves", self.regime, name, size, repeat).permutation(cells)
            drawn.append(shuffled[: n * size])
        of = np.repeat(np.arange(len(pools)), pools)
        members = Members((), np.concatenate(drawn), np.full(len(of), size))
        labels = self.strata.labels.iloc[of].reset_index(drop=True)
        return Drawing(self.regime, size, repeat, members, self.groups[of], labels)

    def halves(self, seed: int) -> tuple[Plan, Plan]:
        """The same plan for two halves of the cells of each stratum.

        Where a half has no room for all pools of a size, there are as many as it holds.
        """
        shuffled = [
            stream(seed, "pooling_curves halves", self.regime, name).permutation(cells)
            for name, cells in zip(self.strata.names, self.strata.cells, strict=True)
        ]
        first, second = (
            replace(self, strata=replace(self.strata, cells=tuple(cells[start::2] for cells in shuffled)))
            for start in (0, 1)
        )
        return first, second

    def _pseudobulk(self) -> Drawing:
        """One pool of all cells of each stratum."""
        n_cells = self.strata.sizes
        members = Members((), np.concatenate(self.strata.cells), n_cells)
        return Drawing(self.regime, int(np.median(n_cells)), 1, members, self.groups, self.strata.labels)


def make_strata(
    obs: pd.DataFrame, columns: Sequence[str], cell_names: np.ndarray, usable: np.ndarray
) -> Strata:
    """Put the usable cells into strata: one for each combination of labels that occurs.

    Parameters
    ----------
    obs
        One row a cell; no label of a usable cell is missing.
    columns
        Of ``obs``; none: one stratum.
    cell_names
        Unique, shape ``(n_cells,)``.
    usable
        Rows that are used.

    Examples
    --------
    >>> obs = pd.DataFrame({"donor": ["b", "a", "b"]})
    >>> found = make_strata(obs, ["donor"], np.array(["z", "y", "x"]), np.arange(3))
    >>> found.names, [cells.tolist() for cells in found.cells]
    (('a', 'b'), [[1], [2, 0]])
    """
    rows = usable[np.argsort(cell_names[usable].astype(str), kind="stable")]
    labels = obs[list(columns)].iloc[rows].astype(str)
    joined = labels.agg(" / ".join, axis=1).to_numpy(dtype=str) if columns else np.full(len(rows), "")
    names, first, code = np.unique(joined, return_index=True, return_inverse=True)
    cells = tuple(rows[code == i] for i in range(len(names)))
    return Strata(tuple(map(str, names)), labels.iloc[first].reset_index(drop=True), cells)


def default_pools(n_cells: int) -> int:
    """Pools of each size: as many as 50 cells each leave room for, but 100 to 300.

    Examples
    --------
    >>> default_pools(895), default_pools(7811), default_pools(100_000)
    (100, 156, 300)
    """
    return int(np.clip(n_cells // LARGE, MIN_POOLS, MAX_POOLS))


def plan_pools(strata: Strata, regime: str, sizes: Sequence[int], n_pools: int) -> Plan:
    """Choose the sizes that there is room for, the strata that give them, and pools from each stratum.

    The same strata give the same number of pools at every size, or the curve would show their change. As
    many strata as possible, larger ones first, each with at least 20 pools; among them, pools are shared
    out as evenly as their cells allow.

    Returns
    -------
    Plan; without sizes where not even the smallest has room.

    Examples
    --------
    >>> strata = make_strata(pd.DataFrame(index=range(500)), [], np.arange(500), np.arange(500))
    >>> plan_pools(strata, "mixed", (1, 2, 5, 10), 100).sizes
    (1, 2, 5)
    """
    for n in range(len(sizes), 0, -1):
        chosen, pools = _strata_with_room(strata.sizes, strata.sizes // sizes[n - 1], n_pools)
        if len(chosen):
            return Plan(regime, tuple(sizes[:n]), strata.take(chosen), pools, np.arange(len(chosen)))
    nothing = np.zeros(0, dtype=int)
    return Plan(regime, (), strata.take(nothing), nothing, nothing)


def _strata_with_room(n_cells: np.ndarray, room: np.ndarray, n_pools: int) -> tuple[np.ndarray, np.ndarray]:
    """Strata to draw from, in their order, and pools of each; none where there is no room.

    Examples
    --------
    >>> _strata_with_room(np.array([90, 30, 500]), np.array([45, 15, 250]), 100)
    (array([0, 2]), array([45, 55]))
    """
    nothing = np.zeros(0, dtype=int)
    by_size = np.argsort(-n_cells, kind="stable")
    chosen = by_size[room[by_size] >= MIN_PER_STRATUM][: n_pools // MIN_PER_STRATUM]
    if room[chosen].sum() < n_pools:
        return nothing, nothing
    pools = np.zeros(len(room), dtype=int)
    left = n_pools
    for done, stratum in enumerate(chosen[np.argsort(room[chosen], kind="stable")]):
        pools[stratum] = min(room[stratum], left // (len(chosen) - done))
        left -= pools[stratum]
    chosen = np.sort(chosen)
    return chosen, pools[chosen]


def plan_replicates(strata: Strata, within: Sequence[str], sizes: Sequence[int]) -> Plan | None:
    """Take one pool from each stratum, and compare inside the levels of ``within``.

    Sizes that every stratum has cells for are drawn, below the median of all cells, which come last.

    Returns
    -------
    None where no level has `MIN_REPLICATES` strata of at least `MIN_CELLS` cells.
    """
    large = strata.take(np.flatnonzero(strata.sizes >= MIN_CELLS))
    level = pd.Series("", large.labels.index)
    if within:
        level = large.labels[list(within)].agg("\x1f".join, axis=1)
    enough = level.map(level.value_counts()).to_numpy() >= MIN_REPLICATES
    if not enough.any():
        return None
    kept = large.take(np.flatnonzero(enough))
    drawn = tuple(k for k in sizes if k <= kept.sizes.min() and k < np.median(kept.sizes))
    groups = pd.factorize(level[enough], sort=True)[0]
    return Plan(BETWEEN, drawn, kept, np.ones(len(groups), dtype=int), groups)
