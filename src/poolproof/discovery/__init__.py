"""Causal discovery and network inference under pooling: methods, tasks with truth, metrics, one run over all.

An optional room (``poolproof[discovery]``): it imports the rooms of both wings, and only report and cli may
import it. Read ``graph`` (what a method finds), ``libraries`` (of others: on use, seeded, silent),
``methods`` (one file each; PC by splines over ``spline_tests`` and ``orientation``), ``preflight`` (what may
go in), ``in_process`` (one run), ``worker`` over ``child`` (how long it may take) and ``finding``
(``discover``). Then ``tasks`` (systems with truth), ``pooled`` (how cells become pools), ``metrics``,
``running`` (tasks x pools x methods x seeds), ``prediction`` (what check and audit said before), ``page``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .finding import discover as discover
    from .graph import Graph as Graph
    from .methods import METHODS as METHODS
    from .methods import Method as Method
    from .methods import find_method as find_method
    from .methods import list_methods as list_methods
    from .preflight import prepare as prepare
    from .worker import Outcome as Outcome
    from .worker import Worker as Worker

_MODULE_OF = {
    "METHODS": "methods",
    "Graph": "graph",
    "Method": "methods",
    "Outcome": "worker",
    "Worker": "worker",
    "discover": "finding",
    "find_method": "methods",
    "list_methods": "methods",
    "prepare": "preflight",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
