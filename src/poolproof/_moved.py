"""Modules under their former names: ``poolproof.citest`` is ``poolproof.triples.citest``.

Until version 0.1 all modules lay in one folder. Those that the documentation named keep their names, as the
same module objects; new code imports from the rooms.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

PACKAGE = __package__

MOVED = {
    "calls": "pairs.calls",
    "citest": "triples.citest",
    "conditions": "theory.conditions",
    "confirmation": "triples.confirmation",
    "control": "pairs.control",
    "curves": "pairs.fitted",
    "datasets": "data.datasets",
    "decision": "verdict.decision",
    "design": "pairs.design",
    "equations": "verdict.equations",
    "examples": "models.examples",
    "expression": "data.expression",
    "io": "data.io",
    "matching": "data.matching",
    "mechanisms": "models.mechanisms",
    "model_page": "report.model_page",
    "network_claims": "verdict.network",
    "networks": "data.networks",
    "plot": "report.plot",
    "repooling": "pools.curves",
    "samples": "data.samples",
    "scm": "models.scm",
    "simulate": "models.simulate",
    "study_page": "study.page",
}
"""Former name of a module, and its place now."""


class FormerNames(MetaPathFinder, Loader):
    """Finds modules under their former names; asked last, so that a module of that name comes first."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a specification where the name is a former one of this package, else nothing."""
        package, _, name = fullname.partition(".")
        return spec_from_loader(fullname, self) if package == PACKAGE and name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave the creation to the machinery; :meth:`exec_module` puts the real module in its place."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module that has moved where the import machinery looks for the result."""
        name = module.__name__
        sys.modules[name] = import_module(f"{PACKAGE}.{MOVED[name.partition('.')[2]]}")


def install() -> None:
    """Let former names be imported; once, however often it is called."""
    if not any(isinstance(finder, FormerNames) for finder in sys.meta_path):
        sys.meta_path.append(FormerNames())
