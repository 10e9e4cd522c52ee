"""One design judged by the laws: what its units show of the cells, and what tests make of it (method 7c)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from .laws import bend_factor, effective_units, share_variance
from .powers import (
    Z_UPPER,
    Z_UPPER_COUNTS,
    affine_power,
    association_power,
    bend_power,
    column_kurtosis,
    columns_of,
    false_edges,
    fdr_cut,
    sample_kurtosis,
    triple_power,
    wald_power,
)
from .system import System

MIN_REPLICATES = 5
"""Donors from which they can be the unit of errors."""
FEW_REPLICATES = 12
"""Donors below which the law of their tests is rough."""
TAILS = 20.0
"""Units for each unit of kurtosis below which far values decide."""
STRONG_BEND = 0.15
"""Bend over what the line leaves from which the power of a bend depends on its form."""
N_QUANTILES = 160
"""Pairs by which a system is judged."""
SPLINE = 0.96
"""Part of the square of a nearly normal regulator that natural splines reproduce (.98 normal, .94 gamma of
shape 4): they are straight beyond their outer knots."""
SPLINE_BENDS = 4
"""Bends of a spline basis."""
EDGE_LEVEL = 0.01
"""Level at which false edges are expected: that of the skeleton of pooling curves (method 9)."""


@dataclass(frozen=True)
class Design:
    """How many units are measured, and how."""

    n_units: float
    """Pools; single cells where `n_cells` is 1."""
    n_cells: float = 1.0
    """Cells in a pool."""
    n_donors: float = 1.0
    """Donors that they come from, in equal parts."""
    depth: float = float("nan")
    """Molecules of a cell that are seen; NaN: not counted."""
    size_cv: float = 0.0
    """Coefficient of variation of the number of cells in a pool."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What the units of a design show, a share of the variance of y in them, shape ``(m,)``."""

    line: np.ndarray
    bend: np.ndarray
    of_line: np.ndarray
    """What part of the line of the cells is seen."""
    of_square: np.ndarray
    """What part of a squared correlation of levels counts show."""
    of_bend: np.ndarray
    n: np.ndarray
    """Independent units."""
    n_replicates: float
    """Donors by which errors are made; 0: units are independent."""
    kurtosis: np.ndarray
    noise: np.ndarray
    spread: np.ndarray
    resolved: np.ndarray
    """Regulators whose bends can be sized at all."""
    counted: bool

    @property
    def n_bends(self) -> int:
        """Columns of a bend: degrees 2 and 3 of counts, those of a spline else."""
        if self.n_replicates:
            return max(min(2 if self.counted else 4, int(self.n_replicates) // 3 - 1), 1)
        return 2 if self.counted else columns_of(float(self.n.min())) - 1


def seen(system: System, design: Design) -> Seen:
    """What units of a design show of a system.

    Single cells of several donors are compared inside donors; pools with what donors differ by, which they
    share: their number counts by :func:`~poolproof.planning.laws.effective_units`.
    """
    k = design.n_cells / (1 + design.size_cv**2)  # a mean over K cells has the variance of 1 / K on average
    deep = design.depth / system.depth if system.counted else 1.0
    noise_x, noise_y = (
        1 / (k * m * deep * cv2) if system.counted else np.zeros_like(m)
        for m, cv2 in ((system.molecules_x, system.cv2_x), (system.molecules_y, system.cv2_y))
    )
    inside = design.n_cells == 1 and design.n_donors > 1
    between_x, between_y = (
        0.0 * b if inside or design.n_donors <= 1 else b for b in (system.between_x, system.between_y)
    )
    var_x, var_y = between_x + 1 / k + noise_x, between_y + 1 / k + noise_y
    of_x, of_y = 1 / k / var_x, 1 / k / var_y
    covariance = np.sqrt(system.line) / k + np.sqrt(system.line_between * between_x * between_y)
    line = np.minimum(covariance**2 / (var_x * var_y), 0.98)
    factor = bend_factor(system.n22, k)
    factor = factor * (1 - system.higher + system.higher * factor)
    if not system.counted and k > 1:
        factor = factor * SPLINE
    bend = np.minimum(system.bend * factor * of_x**2 * of_y, 0.98 - line)
    n = np.full(len(line), float(design.n_units))
    if inside:
        n = n - design.n_donors
    elif design.n_donors > 1:
        n = effective_units(n, np.asarray(design.n_donors), between_x / var_x, between_y / var_y)
    replicates = design.n_donors if inside and design.n_donors >= MIN_REPLICATES else 0.0
    spread = 1 + (system.spread - 1) * 2 / (k + 1) * np.ones_like(line)
    return Seen(
        line=line,
        bend=bend,
        of_line=of_x,
        of_square=1 / ((1 + noise_x / (between_x + 1 / k)) * (1 + noise_y / (between_y + 1 / k))),
        of_bend=factor * of_x**2,
        n=np.maximum(n, 4.0),
        n_replicates=replicates,
        kurtosis=3 + 3 * np.maximum(system.n22 - 2, 0) / k * of_x**2,
        noise=spread + 8 * bend / np.maximum(1 - line, 0.02),
        spread=spread,
        resolved=_resolved(of_x, 2 + (system.n22 - 2) / k, n) if system.counted else np.ones(len(line), bool),
        counted=system.counted,
    )


def _resolved(reliable: np.ndarray, n22: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Whether the variance of x^2 beside its line exceeds twice its error; all, if none does.

    With counts as noisy as a normal law that error is about sqrt(24 / n) over the squared reliability.
    """
    found = n22 * reliable**2 * np.sqrt(n) > 2 * np.sqrt(24.0)
    return found if found.any() else np.ones_like(found)


def associated(of: Seen, cut: float) -> np.ndarray:
    """Power to find each pair associated at a p-value."""
    if of.n_replicates:
        ncp = of.n * of.line / np.maximum(1 - of.line, 0.02)
        return wald_power(ncp, of.n_replicates, cut / 2, 1, hotelling=True)
    if of.counted:
        root = np.sqrt(of.n * of.line / np.maximum(1 - of.line, 0.02))
        z = stats.norm.isf(cut / 4)
        return np.asarray(special.ndtr(root - z) + special.ndtr(-root - z))
    return association_power(of.line, of.bend, of.n, cut, noise=of.spread, kurtosis=of.kurtosis)


def listed(of: Seen, found: np.ndarray, min_r2: float) -> np.ndarray:
    """Probability that each pair is found and its r2, as estimated, is at least so large.

    r2 as estimated holds the noise of bends: of counts about one part in n of what is seen of each.
    """
    noise = of.n_bends / (of.n * of.of_square * of.of_line) if of.counted else 0.0
    least = np.maximum(min_r2 - of.bend - noise, 0.0) * of.of_square
    z, root = (np.sqrt(of.n * r2 / np.maximum(1 - r2, 0.02)) for r2 in (least, of.line))
    return np.minimum(found, special.ndtr(root - z) + special.ndtr(-root - z))


def bent(of: Seen, cut: float) -> np.ndarray:
    """Power to find the bend of each pair at a p-value."""
    ncp = of.n * of.bend / np.maximum((1 - of.line) * of.spread, 0.02)
    if of.n_replicates:
        return wald_power(ncp, of.n_replicates, cut, of.n_bends, hotelling=True)
    if of.counted:
        return wald_power(ncp, of.n, cut, of.n_bends, hotelling=False)
    return bend_power(of.line, of.bend, of.n, cut, noise=of.noise, kurtosis=of.kurtosis)


def straight(of: Seen, margin: float) -> np.ndarray:
    """Power to call each pair affine: in units of the cells, where the margin is meant.

    Counts have to pass two bounds (method 7.2): the corrected one along two bends, and the robust one of
    observed fractions, whose bends are enlarged by the reliability of x to the power -4 against the line.
    Noise beyond its mean lies along the bend of degree 2 and, by half, along the four of a spline.
    """
    # r and b are seen by these parts of the cells': the margin is moved instead
    moved = margin / (1 - margin) * of.of_bend / of.of_line
    z = float(stats.t.ppf(0.95, of.n_replicates - 1)) if of.n_replicates else Z_UPPER

    def below(odds: np.ndarray, n_bends: int, noise: np.ndarray, z: float) -> np.ndarray:
        share = odds / (1 + odds)
        return affine_power(
            of.line, of.bend, of.n, share, n_bends=n_bends, noise=noise, kurtosis=of.kurtosis, z=z
        )

    if not of.counted:
        return below(moved, of.n_bends, of.spread, z)
    corrected = below(moved, of.n_bends, of.spread, max(z, Z_UPPER_COUNTS))
    robust = below(moved * of.of_line**3, SPLINE_BENDS, 1 + (of.spread - 1) / 2, Z_UPPER)
    return np.minimum(corrected, robust)


@dataclass(frozen=True)
class Judged:
    """What a design would show."""

    edges_power: float
    """Mean power to find a pair associated, of the pairs that explain at least `min_r2` in cells."""
    n_edges: float
    """Associated pairs to expect: significant, and r2 at least `min_r2` as estimated."""
    shape_power: float
    """Mean probability that such a pair is called non-linear or affine."""
    nonlinear_power: float
    affine_power: float
    triples_power: float
    """Smaller of the two: a separation that pooling keeps is called kept; one that it distorts by twice the
    margin is called distorted."""
    kept_power: float
    distorted_power: float
    bend_share: float
    share_error: float
    """Standard error of the bend share of the cells."""
    verdict_power: float
    """Probability that the interval of the bend share leaves out the margin."""
    false_edges: float
    """Separated triples that linear partial correlations of these pools would take for edges at 1 %."""
    flags: tuple[str, ...]
    """Why a law may fail here."""

    def as_dict(self) -> dict[str, Any]:
        """Columns of a table of designs."""
        return asdict(self) | {"flags": "; ".join(self.flags)}


def judge(
    system: System, design: Design, *, fdr: float = 0.05, margin: float = 0.1, min_r2: float = 0.02
) -> Judged:
    """Judge one design.

    Parameters
    ----------
    system
        What pairs of the cells are like.
    design
        What would be measured.
    fdr, margin, min_r2
        As in :func:`poolproof.audit`.

    Examples
    --------
    >>> from poolproof.planning.system import by_hand
    >>> system = by_hand(r2=0.1, bend_share=0.2)
    >>> cells, pools = (judge(system, Design(500, k)) for k in (1, 50))
    >>> cells.shape_power > pools.shape_power, abs(cells.edges_power - pools.edges_power) < 0.1
    (True, True)
    """
    few = system.at_quantiles(N_QUANTILES)
    of = seen(few, design)
    real = few.line + few.bend >= min_r2
    found = associated(of, fdr_cut(lambda p: float(associated(of, p).mean()), fdr, system.n_pairs))
    nonlinear = bent(of, fdr_cut(lambda p: float(bent(of, p).mean()), fdr, system.n_pairs))
    affine = straight(of, margin)
    told = 1 - (1 - nonlinear) * (1 - affine)
    triples = _triples(few, of, design, margin, min_r2)
    share, error = few.bend_share, _share_error(system, few, of)
    distance = abs(share - margin)
    return Judged(
        edges_power=_mean(found, real),
        n_edges=float(listed(of, found, min_r2).mean() * system.n_pairs),
        shape_power=_mean(told * found, real),
        nonlinear_power=_mean(nonlinear * found, real),
        affine_power=_mean(affine * found, real),
        triples_power=min(triples),
        kept_power=triples[0],
        distorted_power=triples[1],
        bend_share=share,
        share_error=error,
        verdict_power=float(special.ndtr(distance / error - 1.96))
        if np.isfinite(error) and error > 0
        else 0.0,
        false_edges=float(np.median(false_edges(system.distortion, of.n, EDGE_LEVEL))),
        flags=flags(of, design),
    )


def _mean(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(values[chosen].mean()) if chosen.any() else 0.0


def _triples(few: System, of: Seen, design: Design, margin: float, min_r2: float) -> tuple[float, float]:
    """Power of the calls kept and distorted, for typical ends."""
    n = float(np.median(of.n))
    n = min(of.n_replicates * 4, n) if of.n_replicates else n
    noise = _noise_of_ends(few, of, min_r2) if of.counted else 1.0
    n22 = float(np.median(few.n22))
    left = 1 - float(bend_factor(np.asarray(n22), design.n_cells))  # distortion that a curve in pools keeps
    tails = column_kurtosis(2 + (n22 - 2) / design.n_cells)
    kept = triple_power(0.0, 0.0, n, margin, noise=noise)["kept"]
    of_distorted = triple_power(2 * margin * left, 2 * margin, n, margin, noise=noise, tails=tails)
    return float(kept), float(of_distorted["distorted"])


def _noise_of_ends(few: System, of: Seen, min_r2: float) -> float:
    """By how much counting enlarges the variance of the product of two residuals.

    Of an end, the middle gene explains L; the residual holds the noise of the end, and L times that of the
    middle: (1 - L + (1 / r - 1) + L (1 / r_y - 1)) / (1 - L), squared for two ends.
    """
    real = few.line + few.bend >= min_r2
    line = float(np.median(few.line[real])) if real.any() else 0.0
    middle = float(np.median(of.of_line))
    end = float(np.median(of.of_square / of.of_line))
    rest = max(1 - line, 0.05)
    return ((rest + (1 / max(end, 1e-3) - 1) + line * (1 / max(middle, 1e-3) - 1)) / rest) ** 2


def _share_error(system: System, few: System, of: Seen) -> float:
    """Standard error over samples and genes; the pairs of ``few`` stand for all."""
    variance = share_variance_over_samples(of, min(system.n_pairs, system.n_measured)) * system.dependence
    return float(np.sqrt(variance + system.genes_error**2))


def share_variance_over_samples(of: Seen, n_pairs: float) -> float:
    """Variance of the bend share of so many pairs with independent errors, these pairs standing for all."""
    chosen = of.resolved
    variance = share_variance(
        of.line[chosen],
        of.bend[chosen],
        float(np.median(of.n)),
        n_bends=1 if of.counted else of.n_bends,
        spread=of.spread[chosen],
        of_line=of.of_line[chosen],
        of_bend=of.of_bend[chosen],
    )
    return float(variance) * len(of.line) / n_pairs


def flags(of: Seen, design: Design) -> tuple[str, ...]:
    """Say where the laws are known to fail."""
    found = []
    n = float(np.median(of.n))
    if 1 < design.n_donors < MIN_REPLICATES and design.n_cells == 1:
        found.append("few donors: their cells are taken as independent, which they are not")
    elif design.n_donors > 1 and design.n_donors < FEW_REPLICATES:
        found.append("few donors: errors made from them are rough")
    if design.n_cells > 1 and 1 < design.n_donors < design.n_units:
        found.append("several pools of a donor: taken as independent they show more edges, and false ones")
    if float(np.median(of.bend / np.maximum(1 - of.line, 0.02))) > STRONG_BEND:
        found.append("strong bends: their power may be off by .5")
    if n < TAILS * float(np.median(sample_kurtosis(of.kurtosis, n))):
        found.append("few units for such tails: power may be off by .1 and more")
    if of.counted:
        found.append("counts: affine calls may be off by .1, errors by 40 %, distorted triples by .3")
    return tuple(found)
