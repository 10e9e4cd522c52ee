"""What a pilot says, of cells or of pools: a system, how sure it is, and how much was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .system import System


@dataclass(frozen=True, eq=False)
class Measured:
    """A system measured from a pilot."""

    system: System
    n_cells: int
    """Cells measured."""
    n_units: int
    """Units that carry the information: cells, or pools."""
    n_donors: int
    """Donors among them; 0: not known."""
    genes: np.ndarray
    """Names of the genes whose pairs were measured."""
    error_factor: float
    """Relative standard error of the bends of all pairs."""
    line_error: float
    """Relative standard error of what the lines of all pairs explain."""
