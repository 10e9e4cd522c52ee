"""What pooling leaves of a model: its forms and its independences, each with a proof or a counterexample.

The second room of the model's wing: it imports the hall and models; report and cli may import it. Read
``conditions`` (the answer and how it is put together), then ``normal_form`` and ``joint`` (what is judged),
``forms`` with ``affine_form``, ``axis``, ``searched``, ``listed_cells``, ``coincidence`` over
``solver_output``, ``numbers``, ``pieces`` and ``witness`` (functional form), ``conditional_law``,
``one_edge``, ``separations``, ``independence``, ``enumeration``, ``shared_bends``, ``small_bends``,
``no_product``, ``moments``, ``pooled_model`` and ``breaks`` (conditional independence), ``by_diagram``
(both, for many inputs), ``alike`` (both, for cells that are alike), ``circles`` (both, for linear
feedback), ``clock`` (the limit of time), and ``text`` (the answer in words).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .conditions import Check as Check
    from .conditions import check as check
    from .separations import Separation as Separation
    from .separations import d_separations as d_separations
    from .text import check_text as check_text

_MODULE_OF = {
    "Check": "conditions",
    "Separation": "separations",
    "check": "conditions",
    "check_text": "text",
    "d_separations": "separations",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
