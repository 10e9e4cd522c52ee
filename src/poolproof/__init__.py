"""Will a causal graph learned from pooled expression survive the pooling?

The names listed in ``__all__`` are the public interface. They are loaded on first use, so that
``import poolproof`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._checks import InputError, PoolproofError
    from .datasets import dataset_info, list_datasets, load_dataset
    from .expression import describe
    from .io import read
    from .networks import read_edges, read_regulators
    from .pairs import linearity
    from .report import write_report
    from .verdict import audit

    __version__: str

__all__ = [
    "InputError",
    "PoolproofError",
    "audit",
    "dataset_info",
    "describe",
    "linearity",
    "list_datasets",
    "load_dataset",
    "read",
    "read_edges",
    "read_regulators",
    "write_report",
]

_MODULE_OF = {
    "InputError": "_checks",
    "PoolproofError": "_checks",
    "audit": "verdict",
    "dataset_info": "datasets",
    "describe": "expression",
    "linearity": "pairs",
    "list_datasets": "datasets",
    "load_dataset": "datasets",
    "read": "io",
    "read_edges": "networks",
    "read_regulators": "networks",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    value: Any
    if name == "__version__":
        value = version("poolproof")
    elif name == "plot":
        value = import_module(".plot", __name__)
    elif name in _MODULE_OF:
        value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
