"""What an audit says: equations of a network, its claims, the verdict with its reasons and limits.

The last room of the data's wing: it imports the hall, data, pairs, triples and pools; report, study and cli
import it. Read ``decision`` (the rule, one page), ``shape_kernels``, ``shape_search`` and ``shape`` (what
it needs beside pairs), ``advice`` and ``caveats`` (what it does not say), then ``equation_kernels`` and
``equations``, ``claims``, ``given_sets``, ``edges`` and ``network`` (what a network claims) with
``tested_network``, ``survival``, ``interrupted`` (an audit goes on where another stopped), ``auditing``,
which runs it all, and ``preview``, which says before what it would do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .auditing import Audit as Audit
    from .auditing import audit as audit
    from .decision import decide as decide
    from .equations import Equations as Equations
    from .equations import equation_test as equation_test
    from .equations import joint_equations as joint_equations
    from .network import NetworkClaims as NetworkClaims
    from .network import judge_network as judge_network
    from .survival import Survival as Survival
    from .survival import survives as survives

_MODULE_OF = {
    "Audit": "auditing",
    "Equations": "equations",
    "NetworkClaims": "network",
    "Survival": "survival",
    "audit": "auditing",
    "decide": "decision",
    "equation_test": "equations",
    "joint_equations": "equations",
    "judge_network": "network",
    "survives": "survival",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
