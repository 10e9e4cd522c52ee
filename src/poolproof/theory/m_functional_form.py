"""Does the functional form of a mechanism survive pooling (FFC, science 2)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..models.mechanisms import Equation, Kernel
from .affine_form import HOLDS, UNIFORM, Cores, Form, Pooling, Supports, algebraic_form
from .forms import composition_form, kernel_form, searched_form, types_differ
from .one_edge import Family


def judge_form(
    gene: str,
    mechanisms: Mapping[str, Equation | Kernel],
    family: Family,
    supports: Supports,
    cores: Cores,
    pooling: Pooling,
    *,
    all_genes: Sequence[str],
) -> Form:
    """Judge one gene.

    Parameters
    ----------
    gene
        Its name.
    mechanisms
        One for each cell type.
    family
        What the one-edge criterion says, for kernels.
    supports, cores
        Of all genes: where values may lie, and where most of them do.
    pooling
        The aggregation and the numbers of cells.
    all_genes
        Names, which compositions depend on.
    """
    mechanism = next(iter(mechanisms.values()))
    if not mechanism.parents:
        return Form(HOLDS, UNIFORM, "no parents")
    if len({m.text for m in mechanisms.values()}) > 1:
        return types_differ(mechanisms, supports, cores, pooling)
    if pooling.largest == 1 and pooling.linear.kind != "composition":
        return Form(HOLDS, UNIFORM, "pools of one cell")
    if isinstance(mechanism, Kernel):
        return kernel_form(mechanism, family, supports, cores, pooling)
    kind = pooling.linear.kind
    if kind == "composition":
        return composition_form(gene, mechanism, supports, cores, pooling, all_genes)
    if kind == "other":
        return searched_form(mechanism, supports, cores, pooling)
    return algebraic_form(mechanism, supports, cores, pooling)
