"""The study: the data sets of the registry, audited and compared step by step.

Imports the data's wing and report; only cli imports it. Read ``plan`` (what is done to which data set;
``study.yaml`` has the settings), ``subject`` (a data set as the steps see it), ``controls`` and ``steps``
(what each step computes), ``running`` (steps in parallel, resumed after a stop), ``summary`` and
``findings`` (what it all says) and ``page``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .running import Study as Study
    from .running import run_study as run_study

_MODULE_OF = {
    "Study": "running",
    "run_study": "running",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
