"""Will a causal graph learned from pooled expression survive the pooling?

The names listed in ``__all__`` are the public interface. They are loaded on first use, so that
``import poolproof`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ._lazy import lazy_names
from ._moved import MOVED, install

if TYPE_CHECKING:
    from ._checks import InputError, PoolproofError
    from .data.datasets import (
        dataset_info,
        fetch_dataset,
        list_datasets,
        list_networks,
        load_dataset,
        load_network,
        network_info,
        usable,
    )
    from .data.expression import describe
    from .data.io import read
    from .data.networks import read_edges, read_regulators
    from .discovery.finding import discover
    from .discovery.methods import list_methods
    from .discovery.running import run_benchmark
    from .models.examples import example_model, list_models
    from .models.model_file import read_model
    from .models.scm import SCM
    from .models.simulate import simulate_pools
    from .pairs.every_pair import linearity
    from .planning.choosing import plan_design
    from .planning.depooling import depool
    from .pools.cells import pool_cells
    from .pools.curves import pooling_curves
    from .report.audit_page import write_report
    from .report.collecting import collect
    from .report.exporting import export_edges
    from .report.model_page import write_model_page
    from .report.saved import read_audit
    from .study.running import run_study
    from .theory.conditions import check
    from .triples.every_triple import screen_triples
    from .verdict.auditing import audit
    from .verdict.preview import preview_audit

    __version__: str

__all__ = [
    "SCM",
    "InputError",
    "PoolproofError",
    "audit",
    "check",
    "collect",
    "dataset_info",
    "depool",
    "describe",
    "discover",
    "example_model",
    "export_edges",
    "fetch_dataset",
    "linearity",
    "list_datasets",
    "list_methods",
    "list_models",
    "list_networks",
    "load_dataset",
    "load_network",
    "network_info",
    "plan_design",
    "pool_cells",
    "pooling_curves",
    "preview_audit",
    "read",
    "read_audit",
    "read_edges",
    "read_model",
    "read_regulators",
    "run_benchmark",
    "run_study",
    "screen_triples",
    "simulate_pools",
    "usable",
    "write_model_page",
    "write_report",
]

_MODULE_OF = {
    "InputError": "_checks",
    "PoolproofError": "_checks",
    "SCM": "models.scm",
    "audit": "verdict.auditing",
    "check": "theory.conditions",
    "collect": "report.collecting",
    "dataset_info": "data.datasets",
    "depool": "planning.depooling",
    "describe": "data.expression",
    "discover": "discovery.finding",
    "example_model": "models.examples",
    "export_edges": "report.exporting",
    "fetch_dataset": "data.datasets",
    "linearity": "pairs.every_pair",
    "list_datasets": "data.datasets",
    "list_methods": "discovery.methods",
    "list_models": "models.examples",
    "list_networks": "data.datasets",
    "load_dataset": "data.datasets",
    "load_network": "data.datasets",
    "network_info": "data.datasets",
    "plan_design": "planning.choosing",
    "pool_cells": "pools.cells",
    "pooling_curves": "pools.curves",
    "preview_audit": "verdict.preview",
    "read": "data.io",
    "read_audit": "report.saved",
    "read_edges": "data.networks",
    "read_model": "models.model_file",
    "read_regulators": "data.networks",
    "run_benchmark": "discovery.running",
    "run_study": "study.running",
    "screen_triples": "triples.every_triple",
    "simulate_pools": "models.simulate",
    "usable": "data.datasets",
    "write_model_page": "report.model_page",
    "write_report": "report.audit_page",
}


_ROOMS = (
    "data",
    "pairs",
    "triples",
    "pools",
    "verdict",
    "models",
    "theory",
    "report",
    "study",
    "discovery",
    "planning",
    "cli",
)
_of_all, _ = lazy_names(__name__, _MODULE_OF | dict.fromkeys(_ROOMS, ""))
install()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("poolproof")
    return import_module(f".{name}", __name__) if name in MOVED else _of_all(name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
