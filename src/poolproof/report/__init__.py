"""Pages and pictures of results.

Here the two wings meet: it imports every room before it; study, discovery, planning and cli may import it.
Read ``plot`` (the public pictures; ``plan_picture`` that of a plan; ``drawing`` and ``plotted`` help),
``page`` (what every page shares: its policy, escaping, pictures inside), ``answer``, ``tables``,
``pictures`` and ``survival`` (parts of the audit's page), ``audit_page``, ``model_page`` with
``graph_picture``, ``collecting`` with ``audits_page`` (many audits), ``exporting`` and ``saved`` (an audit
read back). ``templates/`` holds the HTML, style and script of all pages, those of the study and of plans too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .audit_page import write_report as write_report
    from .model_page import write_model_page as write_model_page

_MODULE_OF = {
    "write_model_page": "model_page",
    "write_report": "audit_page",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
