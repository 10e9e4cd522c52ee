"""What a report of a fault should name: versions of poolproof, of Python, of libraries, and the machine."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def told_versions() -> list[str]:
    """Lines: poolproof first, then Python, the machine, every dependency, and libraries of linear algebra.

    Examples
    --------
    >>> told_versions()[0] == f"poolproof, version {version('poolproof')}"
    True
    """
    lines = [f"poolproof, version {version('poolproof')}", f"Python {platform.python_version()}"]
    lines.append(f"{platform.system()} {platform.machine()}")
    lines += [f"{name} {_version(name)}" for name in _dependencies()]
    return lines + _linear_algebra()


def _dependencies() -> list[str]:
    """Names of what poolproof needs, without extras."""
    needed = [text for text in requires("poolproof") or [] if "extra ==" not in text]
    return sorted({match[0] for text in needed if (match := _NAME.match(text))}, key=str.lower)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is missing"


def _linear_algebra() -> list[str]:
    """Libraries of linear algebra that numpy and scipy bring, and the processor they were made for."""
    import scipy.linalg  # noqa: F401  # it brings a library of its own
    from threadpoolctl import threadpool_info

    found = (
        f"{of['internal_api']} {of['version']}, {of.get('architecture', 'unknown')}, "
        f"{of['num_threads']} threads"
        for of in threadpool_info()
    )
    return list(dict.fromkeys(found))
