"""An audit that goes on where an earlier one of the same data was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd

from .._checks import PoolproofError
from .._parts import Parts
from ..data.download import cache_folder
from ..data.expression import Expression

NO_MATTER = frozenset({"threads", "memory", "client", "progress", "announce", "sink"})
"""Options on which no result depends."""


def parts_of(expression: Expression, obs: pd.DataFrame, options: Mapping[str, Any]) -> Parts:
    """The kept parts of an audit of these values and options; none where a file is not known again."""
    every = expression.all_cells
    inputs: list[Any] = [
        expression.matrix,
        expression.genes,
        expression.symbols,
        expression.totals,
        expression.size_factors,
        (expression.kind, expression.kind_known, expression.scale_tested, expression.copies),
        expression.settings,
        obs,
        {name: value for name, value in options.items() if name not in NO_MATTER},
    ]
    if every is not None:
        stamp = every.blocks.stamp()
        if stamp is None:
            return Parts()
        inputs += [stamp, every.obs, every.whole.totals, every.whole.size_factors]
    return Parts.of(cache_folder() / "interrupted", inputs)


@contextmanager
def removed_if_refused(parts: Parts) -> Iterator[None]:
    """Remove the parts where data or options turn out not to be usable: another run needs others."""
    try:
        yield
    except PoolproofError:
        parts.remove()
        raise


def announced(
    parts: Parts, announce: Callable[[Sequence[str]], object] | None
) -> Callable[[Sequence[str]], object] | None:
    """The function that says what was guessed; it says what is taken from an interrupted audit too."""
    left = parts.names()
    if announce is None or not left:
        return announce
    sentence = (
        f"goes on from an interrupted audit of the same data and options: {', '.join(left)} "
        f"{'are' if len(left) > 1 else 'is'} not computed again; --no-resume computes everything"
    )

    def say(warnings: Sequence[str]) -> None:
        announce([*warnings, sentence])

    return say
