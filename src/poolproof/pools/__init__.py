"""Pools made of real cells: their sums, and what they show as the number of cells grows.

Imports the hall, data, pairs and triples; verdict, report and study may import it. Read ``sums`` (cells
into pools) and ``cells`` (the public function around it) with ``marks`` (cells that are in none) and
``likeness`` (are the cells of a pool alike); then ``draws`` (which cells go into which
pool), ``measures``, ``meter`` and ``signed`` (what is measured in them), ``choice`` (of which pairs and
triples) and ``curves``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .cells import pool_cells as pool_cells
    from .curves import PoolingCurves as PoolingCurves
    from .curves import pooling_curves as pooling_curves
    from .likeness import Likeness as Likeness
    from .likeness import pool_likeness as pool_likeness

_MODULE_OF = {
    "Likeness": "likeness",
    "pool_likeness": "likeness",
    "PoolingCurves": "curves",
    "pool_cells": "cells",
    "pooling_curves": "curves",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
