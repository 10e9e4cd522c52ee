"""A system from pools of known size: what their cells are like, by depooling (method 7c)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from .._arrays import dense_columns
from .._checks import InputError
from .._random import stream
from ..data.expression import Expression
from .cumulants import BlockSums, CellCumulants, block_sums, cell_cumulants, jackknife
from .depooling import (
    MIN_MEAN,
    MIN_POOLS,
    OK,
    blocks_of,
    expected_of,
    share_of_cells,
    share_sentence,
    sizes_of,
    strata_of,
)
from .designs import Design, seen, share_variance_over_samples
from .donor_variance import DonorVariance, donor_means, no_donors, variance_of_donors
from .measured import Measured
from .mixture import draw_effects, fit_effects
from .pilot import MIN_GENES, check_counted, doubts_of, drawn_genes
from .system import System, split_explained

MIN_IN_LEVEL = 10
"""Pools of one level and donor from which they have shares of their own."""
CLEAR_VARIANCE = 2.0
"""Errors that the variance of a gene's cells has to exceed."""
OVER_GENES = 0.02
"""Error of the bend share over genes that is taken where it cannot be told: .00 to .05 in data sets."""
DOUBT = 0.5
"""Standard deviation of the logarithm of what lines explain over what the cells themselves say: sums of real
cells gave 1.2 to 1.6 times as much (method 7c)."""
NEED_SHAPE = ("shape", "verdict")
"""Goals that cannot be planned for without the bend share of the cells."""


def measure_pools(
    expression: Expression,
    obs: pd.DataFrame,
    cells_per_pool: int | str,
    *,
    goal: str,
    within: list[str],
    replicate: str | None,
    saturation: float | None = None,
    seed: int = 0,
) -> Measured:
    """Measure a pilot of pools.

    Parameters
    ----------
    expression
        Sums of the counts of cells.
    obs
        One row a pool.
    cells_per_pool
        Cells in each pool: a number, or a column of obs.
    goal
        What is planned for: shape and verdict need the bend share of the cells.
    within
        Columns whose levels are taken apart each by its own shares.
    replicate
        Column with the donor; None: not known.
    saturation
        Of the sequencing; None: not known.
    seed
        Of genes and blocks.

    Raises
    ------
    InputError
        Values are no counts, sizes are missing, pools are too few, hardly a gene varies beyond the noise of
        counting, or the goal needs a bend share that so many pools do not have.
    """
    check_counted(expression)
    pools, n_testable = _clear_genes(
        expression, _kept(expression, obs, cells_per_pool, within, replicate), seed
    )
    n = len(pools.total)
    sums = pools.sums(seed)
    share = share_of_cells(sums)
    if goal in NEED_SHAPE and share["status"] != OK:
        said = share_sentence(share, n)
        raise InputError(
            f"--goal {goal}: {said[0].lower()}{said[1:]}; plan --goal edges, or give a pilot of cells"
        )
    facts = _facts(sums, pools)
    x, y = np.nonzero(~np.eye(len(pools.genes), dtype=bool))
    line = _lines(pools, cell_cumulants(sums), seed)[x, y]
    donors = _donors(pools, facts["inside"], replicate)
    bend_share = min(max(share["bend_share"] or 0.0, 0.0), 0.9)
    of_line, of_bend = split_explained(np.minimum(line / (1 - bend_share), 0.9), bend_share)
    n22 = np.clip(np.where(np.isfinite(share["n22"]), share["n22"], 2.0), 0.5, 50.0)
    system = System(
        line=of_line,
        bend=of_bend,
        molecules_x=facts["mean"][x],
        molecules_y=facts["mean"][y],
        cv2_x=facts["cv2"][x],
        cv2_y=facts["cv2"][y],
        n22=n22[x],
        between_x=donors.between[x],
        between_y=donors.between[y],
        line_between=donors.line_of(len(x), seed),
        n_pairs=float(n_testable * (n_testable - 1)),
        depth=float(pools.total.sum() / pools.n_cells.sum()),
        saturation=0.0 if saturation is None else saturation,
        n_measured=float(len(x)),
        genes_error=OVER_GENES,
        distortion=float("nan"),
        unknown=tuple(_unknown(share, donors, saturation, n)),
        source=f"a pilot of {n:,} pools of {pools.n_cells.mean():.3g} cells",
    )
    error = share["standard_error"] if share["status"] == OK else None
    if error is None:
        system = replace(system, dependence=float("nan"))  # nothing is known of the share's error
    else:
        of = seen(system, Design(n, float(pools.n_cells.mean()), depth=system.depth))
        law = share_variance_over_samples(of, len(x))
        system = replace(system, dependence=float(np.clip(error**2 / law, 0.1, 1e4)))
    return Measured(
        system=system,
        n_cells=int(pools.n_cells.sum()),
        n_units=n,
        n_donors=donors.n,
        genes=expression.genes[pools.genes],
        error_factor=1.0 if error is None else float(min(error / max(bend_share, 0.02), 1.0)),
        line_error=float(min(np.hypot(share["whole_error"], DOUBT), 1.0)),
    )


@dataclass(frozen=True, eq=False)
class Pools:
    """The pools of a pilot that can be used."""

    rows: np.ndarray
    """Their places, shape ``(n,)``."""
    genes: np.ndarray
    """Genes, shape ``(G,)``."""
    values: np.ndarray
    """Counts, shape ``(n, G)``."""
    total: np.ndarray
    """Of all genes, shape ``(n,)``."""
    n_cells: np.ndarray
    """Cells in each, shape ``(n,)``."""
    strata: np.ndarray
    """Code of level and donor, shape ``(n,)``."""
    level: np.ndarray
    """Code of the level of ``within``, shape ``(n,)``."""
    donor: np.ndarray
    """Code of the donor, shape ``(n,)``."""

    @property
    def expected(self) -> np.ndarray:
        """Share of each gene in its level times the total, shape ``(n, G)``."""
        return expected_of(self.values, self.total, self.strata)

    def sums(self, seed: int) -> BlockSums:
        """Sums of products over blocks of pools."""
        blocks = blocks_of(len(self.total), seed)
        return block_sums(self.values, self.expected, self.n_cells, blocks, counted=True)


def _kept(
    expression: Expression,
    obs: pd.DataFrame,
    cells_per_pool: int | str,
    within: list[str],
    replicate: str | None,
) -> Pools:
    """Pools in levels that are large enough, without genes as yet."""
    n_cells = sizes_of(obs, cells_per_pool)
    donor = strata_of(obs, [replicate] if replicate else [], "--replicate")
    level = strata_of(obs, within, "--within")
    strata = np.where((donor < 0) | (level < 0), -1, level * (donor.max(initial=0) + 1) + donor)
    total = np.asarray(expression.totals, dtype=np.float64)
    _, code, size = np.unique(strata, return_inverse=True, return_counts=True)
    rows = np.flatnonzero((strata >= 0) & (size[code] >= MIN_IN_LEVEL) & (total > 0))
    if len(rows) < MIN_POOLS:
        raise InputError(
            f"expected at least {MIN_POOLS} pools, {MIN_IN_LEVEL} in each level of --within and --replicate; "
            f"found {len(rows):,}; give more pools, or a pilot of cells"
        )
    nothing = np.zeros((len(rows), 0))
    return Pools(
        rows, np.arange(0), nothing, total[rows], n_cells[rows], strata[rows], level[rows], donor[rows]
    )


def _clear_genes(expression: Expression, pools: Pools, seed: int) -> tuple[Pools, int]:
    """The pools with genes whose cells vary clearly beyond counting, and about how many genes do so."""
    mean = np.asarray(expression.matrix.mean(axis=0)).ravel()
    testable = np.flatnonzero(mean >= MIN_MEAN)
    genes = drawn_genes(expression.genes, testable, seed)
    drawn = replace(
        pools, genes=genes, values=dense_columns(expression.matrix, genes).astype(np.float64)[pools.rows]
    )
    sums = drawn.sums(seed)
    left = [np.arange(len(sums.n)) != b for b in range(len(sums.n))]
    error = jackknife(np.array([np.diag(cell_cumulants(sums, keep).covariance) for keep in left]))
    clear = np.diag(cell_cumulants(sums).covariance) > CLEAR_VARIANCE * np.maximum(error, 1e-12)
    if clear.sum() < MIN_GENES:
        raise InputError(
            f"expected at least {MIN_GENES} genes whose cells vary beyond the noise of counting; found "
            f"{int(clear.sum())} of {len(genes)} in {len(pools.rows):,} pools; give more or deeper pools, or "
            "a pilot of cells"
        )
    n_testable = round(len(testable) * float(clear.mean()))
    return replace(drawn, genes=genes[clear], values=drawn.values[:, clear]), n_testable


def _facts(sums: BlockSums, pools: Pools) -> dict[str, np.ndarray]:
    """Mean count and squared CV of the cells of every gene, and the variance of their fractions."""
    cells, levels = pools.n_cells.sum(), np.unique(pools.strata)
    mean = pools.values.sum(axis=0) / cells
    typical = pools.total.sum() / cells
    member = (pools.strata == levels[:, None]).astype(float)
    of_level = (member @ pools.total) / (member @ pools.n_cells)
    rest = pools.total - pools.n_cells * of_level[np.searchsorted(levels, pools.strata)]
    # depth varies over cells by what pools' totals vary by; D weighs a cell by the square of its depth
    of_depth = min(float((rest**2).sum() / cells) / typical**2, 1.0)
    cv2 = np.diag(cell_cumulants(sums).covariance) / (mean**2 * (1 + of_depth))
    fraction = pools.values.sum(axis=0) / pools.total.sum()
    return {
        "mean": np.maximum(mean, 1e-6),
        "cv2": np.maximum(cv2, 0.01),
        "inside": cv2 * fraction**2,
    }


def _lines(pools: Pools, moments: CellCumulants, seed: int) -> np.ndarray:
    """Share that lines explain in cells, drawn from what the pools leave possible, shape ``(G, G)``.

    The error of a covariance comes from the pools themselves: with S = D_x D_y of a pool of K cells,
    sum (S - K k_xy)^2 over the square of all cells. Tests of single cells see less of a line than its share
    where far cells of both genes coincide: Var S of cells is k_xxyy + v_x v_y + k_xy^2, v with the noise of
    counting, and S of a pool has K k_xxyy + K^2 (v_x v_y + k_xy^2). The median of k_xxyy / (v_x v_y) over
    pairs is used, since that of one pair is mostly noise and tests look at what a line leaves.
    """
    covariance = moments.covariance
    deviation, n_cells = pools.values - pools.expected, pools.n_cells
    square = deviation**2
    product = (deviation * n_cells[:, None]).T @ deviation
    error2 = square.T @ square - 2 * covariance * product + covariance**2 * (n_cells**2).sum()
    error = np.sqrt(np.maximum(error2, 1e-300)) / n_cells.sum()
    variance = np.diag(covariance)
    up = np.triu_indices(len(variance), 1)
    t = covariance[up] / error[up]
    df = len(deviation) - 1
    z = (8 * df + 1) / (8 * df + 3) * np.sqrt(df * np.log1p(t * t / df))  # normal for t (Wallace 1959)
    theta = draw_effects(z, *fit_effects(z), stream(seed, "pilot effects"))
    noisy = np.outer(moments.observed, moments.observed)[up]
    r2 = covariance[up] ** 2 / noisy
    typical = float((n_cells**2).mean() / n_cells.mean())
    tails = error2[up] / (len(deviation) * typical * n_cells.mean() * noisy) - 1 - r2
    loss = 1 + r2 + max(typical * float(np.median(tails)), 0.0)
    line = np.zeros_like(covariance)
    line[up] = (theta * error[up]) ** 2 / (variance[up[0]] * variance[up[1]]) / loss
    return np.minimum(line + line.T, 0.9)


def _donors(pools: Pools, inside: np.ndarray, replicate: str | None) -> DonorVariance:
    """Variance between donors, from the means of their pools of one level, lest composition count."""
    if replicate is None:
        return no_donors(len(pools.genes))
    chosen = pools.level == np.bincount(pools.level).argmax()
    codes = np.unique(pools.donor[chosen], return_inverse=True)[1]
    fraction = pools.values[chosen] / pools.total[chosen, None]
    mean, spread, sizes = donor_means(fraction, codes, MIN_IN_LEVEL)
    return variance_of_donors(mean, spread / (sizes[:, None] - 1), inside, int(codes.max()) + 1)


def _unknown(share: dict[str, Any], donors: DonorVariance, saturation: float | None, n: int) -> list[str]:
    """What pools could not tell."""
    found = []
    if share["status"] != OK:
        found.append(f"{share_sentence(share, n)}; bends were taken as none.")
    else:
        found.append(
            "The bend share from pools is that of degree 2 and weighs cells by their depth: audits of cells "
            "show up to twice as much."
        )
    found.append(
        f"How the bend share varies over genes cannot be told from pools: {OVER_GENES:g} was taken; nor can "
        "what pooling adds to partial correlations, and so the false edges."
    )
    return found + doubts_of(donors, saturation)
