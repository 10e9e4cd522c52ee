"""Plan an experiment: how many pools, of how many cells, read how deep; and take pools apart again.

Imports the hall, data, pairs, triples and report; the command line imports it, and nothing else does. Read
``laws`` (what pools leave of a pair) and ``powers`` (what tests see of it), ``system`` (pairs of genes as a
pilot, a data set or numbers give them), ``designs`` (one design judged by the laws), ``mixture`` (true
effects behind noisy ones), ``measured`` and ``donor_variance``, ``pilot`` (a system from the user's own
cells), ``pool_pilot`` (from pools of known size), ``prediction`` (what more cells like these will show),
``presets``, ``costs`` (what money buys), ``search`` (which designs), ``drawing`` (designs drawn from the
pilot and tested), ``words``, ``folder`` (how results are written), ``choosing`` (the public function) and
``page``; then ``cumulants`` and ``depooling``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .choosing import DesignPlan as DesignPlan
    from .choosing import plan_design as plan_design
    from .depooling import Depooled as Depooled
    from .depooling import depool as depool

_MODULE_OF = {
    "Depooled": "depooling",
    "DesignPlan": "choosing",
    "depool": "depooling",
    "plan_design": "choosing",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
