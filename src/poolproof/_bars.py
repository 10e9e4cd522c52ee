"""The bar of a long run: a notebook's own where it can be drawn, else a line of text."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # It warns where a notebook has no ipywidgets; a line of text says as much.
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm

__all__ = ["tqdm"]
