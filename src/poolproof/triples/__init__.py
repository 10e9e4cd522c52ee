"""Every triple of genes: what does pooling do to the independence of x and z given y?

Imports the hall, data and pairs; pools, verdict, report and study may import it. Read ``choice`` (which
middle genes), ``partial`` (downdates of covariances), ``score_conditioner`` over ``score_products`` and
``count_conditioner`` (their two sources), ``screening`` (all triples in tiles; ``quick_screen`` hands
them to ``compiled`` loops), ``table``, then ``every_triple``; ``figures`` for the report. ``citest`` has
the slower tests of others, ``confirmation`` runs them on listed triples. What pooling does over every
triple: ``gram`` (sums over all pairs of ends), ``folds``, ``score_gram``, for counts ``count_parts``,
``count_residuals`` and ``count_gram``, then ``distortion``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .citest import CITest as CITest
    from .citest import TestResult as TestResult
    from .citest import ci_test as ci_test
    from .citest import fisher_z_test as fisher_z_test
    from .citest import kernel_test as kernel_test
    from .citest import spline_gcm_test as spline_gcm_test
    from .citest import zero_deletion_test as zero_deletion_test
    from .confirmation import confirm_triples as confirm_triples
    from .distortion import Distortion as Distortion
    from .distortion import pooling_distortion as pooling_distortion
    from .every_triple import Triples as Triples
    from .every_triple import screen_triples as screen_triples
    from .figures import triple_data as triple_data
    from .figures import triple_figure_data as triple_figure_data

_MODULE_OF = {
    "CITest": "citest",
    "Distortion": "distortion",
    "TestResult": "citest",
    "Triples": "every_triple",
    "ci_test": "citest",
    "confirm_triples": "confirmation",
    "fisher_z_test": "citest",
    "kernel_test": "citest",
    "pooling_distortion": "distortion",
    "screen_triples": "every_triple",
    "spline_gcm_test": "citest",
    "triple_data": "figures",
    "triple_figure_data": "figures",
    "zero_deletion_test": "citest",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
