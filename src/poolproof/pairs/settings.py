"""How the engines compute, whatever the data and the design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..basis import N_COLUMNS

MEMORY = 4e9
"""Bytes that pair arrays may take."""


@dataclass(frozen=True)
class EngineSettings:
    """What an engine needs to be told beside values and design."""

    test: str
    """``classical``, ``robust`` or ``corrected``."""
    overdispersion: float = 0.0
    """Squared coefficient of variation of technical noise in counts beyond sampling."""
    k: int = N_COLUMNS
    """Columns of a spline basis, the linear one included."""
    dtype: type = np.float32
    """Type of the screening products."""
    threads: int = 1
    memory: float = MEMORY
    """Bytes that pair arrays may take."""
    seed: int = 0
    """Seed of every random draw."""
    client: Any = None
    """Of a Dask cluster that reads cells which stay in their file; None: threads do."""
    agree_below: float = 0.0
    """Margin below which the robust bound of a count pair must lie too before it is called affine; 0: no
    such bound."""
    bound_p: float = 1.0
    """p-value of association above which a screen wants no bound of the share of a count pair."""

    @property
    def engine_memory(self) -> float:
        """Bytes of what an engine keeps of its genes; the rest is for pairs."""
        return self.memory / 8
