"""Causal discovery and network inference under pooling: methods, tasks with truth, metrics, one run over all.

An optional room (``poolproof[discovery]``): it imports the rooms of both wings, and only report and cli may
import it. Read ``graph`` (what a method finds), ``libraries`` (of others: on use, seeded, silent),
``methods`` (one file each; PC by splines over ``spline_tests`` and ``orientation``), ``preflight`` (what
may go in), ``in_process`` (one run), ``worker`` over ``child`` (how long it may take) and ``finding``
(``discover``). Then ``spec`` (what a benchmark runs), ``tasks`` over ``random_models`` (systems with
truth), ``interventions`` (measured data), ``pooled`` (how cells become pools), ``metrics``, ``prediction``
(what check and audit said before), ``running`` (tasks x pools x methods x seeds), ``summary`` and ``page``;
``in_audit`` does it for a user's cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .finding import discover as discover
    from .graph import Graph as Graph
    from .in_audit import Discovered as Discovered
    from .in_audit import discover_in_pools as discover_in_pools
    from .interventions import intervention_task as intervention_task
    from .methods import METHODS as METHODS
    from .methods import Method as Method
    from .methods import find_method as find_method
    from .methods import list_methods as list_methods
    from .metrics import graph_metrics as graph_metrics
    from .metrics import weight_metrics as weight_metrics
    from .pooled import Pooling as Pooling
    from .pooled import draw_pools as draw_pools
    from .preflight import prepare as prepare
    from .random_models import random_model as random_model
    from .running import Benchmark as Benchmark
    from .running import run_benchmark as run_benchmark
    from .spec import Spec as Spec
    from .spec import read_spec as read_spec
    from .tasks import Task as Task
    from .tasks import model_task as model_task
    from .tasks import random_task as random_task
    from .worker import Outcome as Outcome
    from .worker import Worker as Worker

_MODULE_OF = {
    "METHODS": "methods",
    "Benchmark": "running",
    "Discovered": "in_audit",
    "Graph": "graph",
    "Method": "methods",
    "Outcome": "worker",
    "Pooling": "pooled",
    "Spec": "spec",
    "Task": "tasks",
    "Worker": "worker",
    "discover": "finding",
    "discover_in_pools": "in_audit",
    "draw_pools": "pooled",
    "find_method": "methods",
    "graph_metrics": "metrics",
    "intervention_task": "interventions",
    "list_methods": "methods",
    "model_task": "tasks",
    "prepare": "preflight",
    "random_model": "random_models",
    "random_task": "tasks",
    "read_spec": "spec",
    "run_benchmark": "running",
    "weight_metrics": "metrics",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
