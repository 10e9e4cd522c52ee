"""Every ordered pair of genes: is y bent over x? The tests, the calls, their table.

Imports the hall and data; triples, pools, verdict, report and study may import it. Read ``design``
(levels, replicates, covariates), ``batches`` (that multiply genes), ``score_kernels``,
``masked_kernels`` and ``masked_growth`` (missing values; ``masked_quick`` hands them to
``masked_compiled`` loops, ``incomplete`` to both), ``replicate_kernels``, ``count_kernels`` and
``count_estimates`` over ``count_rows``, ``count_bounds`` and ``count_replicates`` (the algebra),
``score_engine`` and ``count_engine`` (the two tests, with one interface: ``outcome``), ``screening`` over
``keeping`` and ``collection`` (all pairs in blocks),
``calls`` (from p-values to calls), ``table``, then ``settings``, ``plan``, ``typical``, ``analyst`` and
``every_pair``, which put it together. ``population`` says what all pairs say together:
``population_kernels`` and ``population_counts`` with ``kept_bends`` (the algebra), ``population_measures``
(one interface), ``population_pass`` (sums over all pairs), ``population_sets``, ``modules`` and
``intervals``; ``floor`` over ``floor_kernels`` and ``floor_counts``, what affine equations would show;
``sensitivity``, what moves the share. ``control`` splits counts in two, ``donors`` leaves replicates out,
``agreement`` asks the robust bound before a count pair is called affine, ``bursts`` (counts) and
``growing_noise`` (values) guard against bursty targets; ``line_law`` finds lines of few samples;
``stream_engine`` has the tests for cells that stay in a file: the corrected one over ``stream_together``,
``stream_products``, ``stream_agreement``, ``stream_genes``, ``stream_sums`` and ``stream_kernels``, the
robust one in ``stream_scores`` over ``stream_score_sums``, ``stream_second`` and ``stream_splines``, the
bend share of counts in ``stream_share`` over ``stream_share_influence``, ``stream_share_products`` and
``stream_share_terms``;
``stream_found`` is looked up by screens, and ``workers`` do the tasks.
``quick_scores`` hands large classical and robust screens to compiled loops where numba is installed:
``compiled_scores`` (from products to calls), ``compiled_bases`` (columns, and single pairs in float64),
``compiled_growth`` (the second test), over ``compiled``; ``quick_counts`` does so for counts without
replicates, with ``compiled_counts``, ``compiled_count_bounds`` and ``compiled_columns``.
``fitted``, ``figures`` and ``anndata_slots`` serve pictures and AnnData; ``needed`` says how many samples
more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .anndata_slots import annotate as annotate
    from .calls import bh_adjust as bh_adjust
    from .control import SplitControl as SplitControl
    from .control import split_control as split_control
    from .design import Design as Design
    from .design import make_design as make_design
    from .every_pair import Linearity as Linearity
    from .every_pair import linearity as linearity
    from .figures import figure_data as figure_data
    from .figures import pair_data as pair_data
    from .fitted import fitted_curve as fitted_curve
    from .population import Population as Population

_MODULE_OF = {
    "Design": "design",
    "Linearity": "every_pair",
    "Population": "population",
    "SplitControl": "control",
    "annotate": "anndata_slots",
    "bh_adjust": "calls",
    "figure_data": "figures",
    "fitted_curve": "fitted",
    "linearity": "every_pair",
    "make_design": "design",
    "pair_data": "figures",
    "split_control": "control",
}
__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
