"""What a larger study of the same kind will show: its error of the bend share and its associated pairs."""

from __future__ import annotations

import numpy as np
from scipy import stats

from .._random import stream
from .designs import Design, seen, share_variance_over_samples
from .mixture import draw_effects, share_beyond
from .pilot import DOUBT, Pilot
from .powers import fdr_cut

Z80 = 1.2816


def reach_of(pilot: Pilot, n: float) -> float:
    """Relative half-width of the 80 % interval for a study of n cells."""
    return Z80 * DOUBT * (1 + max(np.log2(n / pilot.n_cells), 0.0) / 2)


def predict_share_error(pilot: Pilot, n: float) -> tuple[float, float, float]:
    """Standard error of the bend share of the same genes in n cells: estimate, and its 80 % interval.

    The part over samples falls by the law (a / n + b / n^2), the part over genes is g + h / n. NaN where the
    pairs of the pilot explain nothing beyond chance.
    """
    error = pilot.share["samples_error"]
    if error is None:
        return float("nan"), float("nan"), float("nan")
    system = pilot.system
    now, then = (
        share_variance_over_samples(seen(system, Design(size, depth=system.depth)), len(pilot.z))
        for size in (float(pilot.n_cells), n)
    )
    g, h = pilot.genes_variance
    estimate = float(np.sqrt(error**2 * then / now + g + h / n))
    reach = np.exp(reach_of(pilot, n))
    return estimate, estimate / float(reach), estimate * float(reach)


def _cut_of(p: float) -> float:
    """Z of a line from which the association, line or bends, has this p-value."""
    return float(stats.norm.isf(p / 4))


def predict_associated(
    pilot: Pilot, n: float, *, fdr: float = 0.05, min_r2: float = 0.02, draws: int = 4, seed: int = 0
) -> tuple[float, float, float]:
    """Associated pairs of the same genes in n cells: estimate, and its 80 % interval.

    Effects are drawn from what the pilot leaves possible, and the larger study's noise on top; a pair counts
    where its z passes the cut at the false-discovery rate and its r2, as estimated, the smallest that counts.
    """
    ratio = n / pilot.n_cells
    scales, weights = pilot.effects
    tested = pilot.tested_with(ratio)
    tested[pilot.at] = False  # those of the pilot are tested anyhow
    new = pilot.reliable[tested]
    n_pairs = len(pilot.z) + len(new)

    def rejected(p: float) -> float:
        return share_beyond(scales, weights, ratio, _cut_of(p))

    cut = _cut_of(fdr_cut(rejected, fdr, n_pairs))
    reliable = np.concatenate([pilot.reliable[pilot.at], new])
    # what r2 holds beside the effect is noise of bends, and falls with the samples
    beside = np.maximum(pilot.r2 - pilot.z**2 / (pilot.n_cells * pilot.reliable[pilot.at]), 0.0)
    rng = stream(seed, "predicted pairs")
    counts = []
    for _ in range(draws):
        theta = draw_effects(pilot.z, scales, weights, rng)
        explained = theta**2 / (pilot.n_cells * pilot.reliable[pilot.at])
        like = rng.integers(len(theta), size=len(new))
        every = np.concatenate([explained, explained[like]])
        noise = np.concatenate([beside, beside[like]]) / ratio
        z = np.abs(np.sqrt(every * n * reliable) + rng.normal(size=n_pairs))
        r2 = z**2 / (n * reliable) + noise
        counts.append(float(((z > cut) & (r2 >= min_r2)).sum()))
    estimate = float(np.mean(counts))
    reach = float(np.exp(reach_of(pilot, n)))
    chance = float(Z80 * np.sqrt(max(estimate, 1.0)))
    return estimate, max(estimate / reach - chance, 0.0), estimate * reach + chance
