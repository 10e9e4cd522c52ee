"""Names of a package that are loaded on first use, so that importing it stays quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, module_of: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package
        Its ``__name__``.
    module_of
        For each name, the module inside the package that defines it; for a module itself, an empty text.

    Notes
    -----
    The protocol is that of PEP 562.

    Examples
    --------
    >>> get, names = lazy_names("poolproof.data", {"read_samples": "samples", "samples": ""})
    >>> get("read_samples").__module__, get("samples").__name__, names()
    ('poolproof.data.samples', 'poolproof.data.samples', ['read_samples', 'samples'])
    """

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{module_of[name] or name}")
        value = getattr(module, name) if module_of[name] else module
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(module_of)
