"""A model written down: genes, equations, noises; read, checked, simulated.

The first room of the model's wing; it imports the hall alone, theory, report and cli may import it, and
no room of the data's wing. Read ``syntax`` and ``expressions`` (text becomes a tree, never run as code)
with ``algebra``, ``ranges`` and ``support`` (where values lie), ``families`` and ``laws`` (noises),
``argument_checks`` and ``mechanisms`` (equations and kernels), ``scm`` (the model), ``feedback`` (circles,
seen once), ``model_file`` over ``yaml_nodes`` (its file), ``sampler`` and ``simulate``. ``diagrams`` hold
functions of many inputs, ``imports/`` reads the formats of others, ``examples`` reads ``gallery/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .examples import example_model as example_model
    from .examples import list_models as list_models
    from .expressions import parse_expression as parse_expression
    from .imports import read_any as read_any
    from .laws import make_law as make_law
    from .laws import parse_law as parse_law
    from .mechanisms import Equation as Equation
    from .mechanisms import Kernel as Kernel
    from .mechanisms import parse_equation as parse_equation
    from .mechanisms import parse_kernel as parse_kernel
    from .model_file import Model as Model
    from .model_file import read_model as read_model
    from .scm import SCM as SCM
    from .scm import CellType as CellType
    from .simulate import simulate_pools as simulate_pools

_MODULE_OF = {
    "CellType": "scm",
    "Equation": "mechanisms",
    "Kernel": "mechanisms",
    "Model": "model_file",
    "SCM": "scm",
    "example_model": "examples",
    "list_models": "examples",
    "make_law": "laws",
    "parse_equation": "mechanisms",
    "parse_expression": "expressions",
    "parse_kernel": "mechanisms",
    "parse_law": "laws",
    "read_any": "imports",
    "read_model": "model_file",
    "simulate_pools": "simulate",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
