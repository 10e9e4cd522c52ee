"""A system from a pilot: what the user's own cells say of pairs, cells, donors and counting (method 7c)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import special

from .. import _names as names
from .._arrays import dense_columns
from .._checks import InputError, check_column, printable
from .._random import stream
from ..data.expression import Expression
from ..pairs.analyst import engine_of
from ..pairs.count_engine import CountTest
from ..pairs.count_kernels import MIN_HIGH, MIN_SEEN, MIN_TOGETHER, count_terms
from ..pairs.design import Design as Levels
from ..pairs.design import part_of
from ..pairs.outcome import Either
from ..pairs.plan import plan_design as levels_of
from ..pairs.population import population_of, restricted
from ..pairs.settings import EngineSettings
from ..triples.distortion import distortion_of
from .designs import Design, seen, share_variance_over_samples
from .donor_variance import MIN_DONORS, DonorVariance, donor_means, no_donors, variance_of_donors
from .laws import reliability
from .measured import Measured
from .mixture import draw_effects, fit_effects
from .system import System, split_explained

MIN_CELLS = 100
"""Cells that a pilot needs: below, hardly a moment of counts has a standard error."""
MAX_GENES = 100
"""Genes whose pairs are measured, drawn by the seed: they stand for all that can be tested."""
MAX_CELLS = 4000
"""Cells that are measured, drawn by the seed in equal parts of all levels."""
DOUBT = 0.25
"""Standard deviation of the logarithm of a prediction over its truth at the size of the pilot; it grows by
half of itself with every doubling. Chosen on thirds of real cells (method 7c)."""
MIN_GENES = 10
MIN_CELLS_OF_DONOR = 20
"""Cells of a donor from which it has a mean."""


@dataclass(frozen=True, eq=False)
class Pilot(Measured):
    """What a pilot of cells says."""

    z: np.ndarray
    """Line of every measured pair over its standard error, shape ``(m,)``."""
    effects: tuple[np.ndarray, np.ndarray]
    """Law of the true effects: see :func:`~poolproof.planning.mixture.fit_effects`."""
    share: dict[str, Any]
    """Bend share with its parts: entry of verdict.json."""
    genes_variance: tuple[float, float]
    """g and h: the variance of the share over genes is g + h / n."""
    r2: np.ndarray
    """What x explains of y, as the test estimates it, shape ``(m,)``."""
    reliable: np.ndarray
    """Product of the reliabilities of both genes, all pairs, shape ``(G, G)``."""
    at: tuple[np.ndarray, np.ndarray]
    """Regulator and target of every measured pair, each ``(m,)``."""
    enough: np.ndarray
    """By level and gene: cells with 3 counts, cells with 1, V1 over its error, cells; ``(levels, 4, G)``."""

    def tested_with(self, ratio: float) -> np.ndarray:
        """Pairs that have counts enough in so many times the cells (method 6.5), shape ``(G, G)``."""
        high, seen, clear, n = self.enough.transpose(1, 0, 2)
        x = (high * ratio >= MIN_HIGH) & (clear * np.sqrt(ratio) > 2)
        y = seen * ratio >= MIN_SEEN
        together = high[:, :, None] * seen[:, None] / n[:, :1, None] * ratio >= MIN_TOGETHER
        found = (x[:, :, None] & y[:, None] & together).any(axis=0)
        return np.asarray(found & ~np.eye(found.shape[0], dtype=bool))


def check_pilot(expression: Expression) -> None:
    """Refuse values from which cells cannot be planned.

    Raises
    ------
    InputError
        Logs, bulk, too few cells: what was expected, found, and the way out.
    """
    n_cells = len(expression.obs_names)
    if expression.kind != names.SINGLE_CELL:
        raise InputError(
            f"expected single cells, or pools of known size; found {n_cells:,} bulk samples: from bulk "
            "alone neither the size of pools nor their depth can be planned; give a pilot of cells, "
            "--cells-per-pool, or --like a data set"
        )
    check_counted(expression)
    if n_cells < MIN_CELLS:
        raise InputError(
            f"expected a pilot of at least {MIN_CELLS} cells; found {n_cells:,}; give more, or plan "
            "--like a data set"
        )


def check_counted(expression: Expression) -> None:
    """Refuse values that are no counts."""
    if expression.scale != "counts":
        where = expression.counts_elsewhere
        way = f"--layer {printable(where[0], 40)}" if where else "the layer of counts (--layer)"
        raise InputError(
            f"expected counts of molecules; found values on the {expression.scale} scale: the noise of "
            f"counting cannot be told from them; give {way}"
        )


def measure_pilot(
    expression: Expression,
    obs: pd.DataFrame,
    *,
    within: list[str],
    replicate: str | None,
    saturation: float | None = None,
    min_r2: float = 0.02,
    genes: Sequence[str] | None = None,
    max_cells: int = MAX_CELLS,
    seed: int = 0,
    threads: int = 1,
) -> Pilot:
    """Measure a pilot.

    Parameters
    ----------
    expression
        Counts of cells.
    obs
        One row a cell.
    within
        Columns whose levels are looked at inside: cell type, batch.
    replicate
        Column with the donor; None: not known.
    saturation
        Of the sequencing; None: not known.
    min_r2
        Explained share from which genes count as tied.
    genes
        Names of genes whose pairs are measured; None: drawn by the seed.
    max_cells
        Cells that are measured at most, drawn by the seed.
    """
    check_pilot(expression)
    for option, columns in (("--within", within), ("--replicate", [replicate] if replicate else [])):
        for column in columns:
            check_column(obs.columns.astype(str), column, where="the table of cells (obs)", option=option)
    covariates = [replicate] if replicate is not None else []
    levels = levels_of(expression, obs, "corrected", within, None, covariates)
    levels = _fewer(levels, seed, max_cells)
    settings = EngineSettings("corrected", threads=threads, seed=seed)
    testable = _testable(expression, levels, settings)
    drawn = drawn_genes(expression.genes, testable, seed)
    if genes is not None:
        drawn = np.flatnonzero(np.isin(expression.genes, np.asarray(genes)))
    small = restricted(expression, drawn)
    engine = cast(CountTest, engine_of(small, levels, settings))
    facts = _facts(small, engine)
    n = engine.n_samples
    x, y = (at.ravel() for at in np.indices((len(drawn), len(drawn))))
    found = associations_of(engine)
    kept = found.tested.ravel() & (x != y)
    x, y = x[kept], y[kept]
    if len(x) < MIN_GENES * (MIN_GENES - 1):
        raise InputError(
            f"expected at least {MIN_GENES} genes with counts enough to be tested in pairs; found fewer "
            f"({n:,} cells of {float(np.median(small.totals)):,.0f} molecules); give deeper or more cells"
        )
    z = np.abs(special.ndtri_exp(-found.line.ravel()[kept] - np.log(2)))
    effects = fit_effects(z)
    theta = draw_effects(z, *effects, stream(seed, "pilot effects"))
    reliable = reliability(facts["mean"], facts["cv2"])
    of_lines = theta**2 / (n * reliable[x] * reliable[y])
    share = share_of_pairs(small, levels, settings, min_r2, seed)
    genes_variance = _over_genes(small, levels, settings, min_r2, seed, share)
    bend_share = min(max(share["bend_share"] or 0.0, 0.0), 0.9)
    line, bend = split_explained(np.minimum(of_lines / (1 - bend_share), 0.9), bend_share)
    donors = _donors(small, obs, replicate, levels)
    unknown = _unknown(share, donors, saturation)
    n_testable = len(testable)
    system = System(
        line=line,
        bend=bend,
        molecules_x=facts["mean"][x],
        molecules_y=facts["mean"][y],
        cv2_x=facts["cv2"][x],
        cv2_y=facts["cv2"][y],
        n22=facts["n22"][x],
        between_x=donors.between[x],
        between_y=donors.between[y],
        line_between=donors.line_of(len(x), seed),
        n_pairs=float(n_testable * (n_testable - 1)),
        depth=float(np.median(np.concatenate([d.total for d in engine.depth]))),
        saturation=0.0 if saturation is None else saturation,
        n_measured=float(len(x)),
        genes_error=float(np.sqrt(genes_variance[0])),
        distortion=_distortion(small, levels, seed, threads),
        unknown=tuple(unknown),
        source=f"a pilot of {n:,} cells",
    )
    system = replace(system, dependence=_dependence(system, share, n, len(x)))
    error = float(min((share["samples_error"] or 0.0) / max(bend_share, 0.02), 1.0))
    return Pilot(
        system=system,
        n_cells=n,
        n_units=n,
        n_donors=donors.n,
        genes=small.genes,
        z=z,
        effects=effects,
        share=share,
        error_factor=error,
        line_error=error,
        genes_variance=genes_variance,
        r2=np.minimum(found.r2.ravel()[kept], 1.0),
        reliable=reliable[:, None] * reliable,
        at=(x, y),
        enough=facts["enough"],
    )


def _fewer(levels: Levels, seed: int, max_cells: int) -> Levels:
    """At most ``max_cells`` cells, of every level the same part."""
    n = sum(len(level.rows) for level in levels.levels)
    if n <= max_cells:
        return levels
    kept = []
    for level in levels.levels:
        size = len(level.rows)
        wanted = max(int(size * max_cells / n), min(size, 20))
        chosen = np.zeros(size, dtype=bool)
        chosen[stream(seed, "pilot cells", level.name).choice(size, wanted, replace=False)] = True
        strata = np.bincount(level.strata[chosen], minlength=level.strata.max() + 1)
        chosen &= strata[level.strata] >= 20  # smaller strata have no moments of their own
        if chosen.sum() >= 20:
            kept.append(part_of(level, chosen))
    return replace(levels, levels=tuple(kept))


def drawn_genes(names_of: np.ndarray, testable: np.ndarray, seed: int) -> np.ndarray:
    """At most `MAX_GENES` genes, drawn by the seed, whatever their order."""
    if len(testable) <= MAX_GENES:
        return testable
    order = testable[np.argsort(names_of[testable].astype(str), kind="stable")]
    return np.sort(stream(seed, "pilot genes").choice(order, MAX_GENES, replace=False))


def _testable(expression: Expression, levels: Levels, settings: EngineSettings) -> np.ndarray:
    """Genes with counts enough at this depth and number of cells."""
    engine = engine_of(expression, levels, settings)
    return np.flatnonzero((engine.regulator_status == names.OK) & (engine.target_status == names.OK))


def _facts(small: Expression, engine: CountTest) -> dict[str, np.ndarray]:
    """Mean count, squared CV of levels and n22 of every gene, over the levels of the design."""
    genes = np.arange(len(small.genes))
    parts = []
    enough = []
    for level, depth in zip(engine.levels, engine.depth, strict=True):
        x = engine.counts_of(genes, level)
        terms = count_terms(x, depth, level)
        error = np.sqrt(terms.own[2].var(axis=1) / x.shape[1])
        clear = terms.own_mean[2] / np.where(error > 0, error, np.inf)
        enough.append(np.stack([terms.n_high, (x >= 1).sum(axis=1), clear, np.full(len(x), x.shape[1])]))
        parts.append((x.mean(axis=1), np.maximum(terms.own_mean[2], 0), np.maximum(terms.own_mean[3], 0)))
    weight = np.array(engine.weight)
    mean, variance, second = (
        np.average([part[i] for part in parts], axis=0, weights=weight) for i in range(3)
    )
    cv2 = np.maximum(variance, 0.01)
    with np.errstate(divide="ignore", invalid="ignore"):
        n22 = np.where(variance > 0, second / variance**2, 2.0)
    return {
        "mean": np.maximum(mean, 1e-6),
        "cv2": cv2,
        "n22": np.clip(n22, 0.5, 50.0),
        "enough": np.array(enough),
    }


@dataclass(frozen=True, eq=False)
class Associations:
    """All pairs of genes, each array of shape ``(G, G)``."""

    association: np.ndarray
    """-ln p of the association, by line or bends."""
    line: np.ndarray
    """-ln p of the line."""
    r2: np.ndarray
    """What x explains of y, as estimated."""
    tested: np.ndarray


def associations_of(engine: CountTest) -> Associations:
    """Test all pairs."""
    every = np.arange(engine.n_genes)
    parts: list[tuple[np.ndarray, ...]] = []
    for low in range(0, len(every), 32):
        found = engine.outcome(engine.features(every[low : low + 32]), slice(None), np.float32, exact=False)
        either = cast(Either, found.association)
        parts.append(
            (
                either.minus_log_p(),
                either.laws[1].minus_log_p(),
                found.r2_spline.astype(np.float64),
                np.broadcast_to(found.tested, found.gain.shape),
            )
        )
    return Associations(*(np.concatenate(of) for of in zip(*parts, strict=True)))


def share_of_pairs(
    small: Expression, levels: Levels, settings: EngineSettings, min_r2: float, seed: int
) -> dict[str, Any]:
    """Bend share of all pairs of these genes."""
    every = np.arange(len(small.genes))
    engine = engine_of(small, levels, settings)

    def half(of: Levels, genes: np.ndarray) -> CountTest:
        raise AssertionError("no sets are chosen here")

    found = population_of(
        engine,
        levels,
        small.genes,
        every,
        None,
        half,
        directed=False,
        min_r2=min_r2,
        seed=seed,
        threads=settings.threads,
        parts=False,
    )
    return found.summary


def _over_genes(
    small: Expression,
    levels: Levels,
    settings: EngineSettings,
    min_r2: float,
    seed: int,
    whole: dict[str, Any],
) -> tuple[float, float]:
    """Constant and 1 / n part of the variance over genes, from the whole and its two halves."""

    def of_genes(share: dict[str, Any]) -> float:
        return max((share["standard_error"] or 0.0) ** 2 - (share["samples_error"] or 0.0) ** 2, 0.0)

    n, now = whole["n_axis"], of_genes(whole)
    halves = [share_of_pairs(small, half, settings, min_r2, seed) for half in _halves(levels, seed)]
    known = [of_genes(share) for share in halves if share["standard_error"] is not None]
    if not known:
        return now / 2, now / 2 * n
    h = min(max((float(np.mean(known)) - now) * n, 0.0), now * n)
    return max(now - h / n, 0.0), h


def _halves(levels: Levels, seed: int) -> list[Levels]:
    """The cells of every level cut into two halves."""
    halves: list[list[Any]] = [[], []]
    for level in levels.levels:
        first = np.zeros(len(level.rows), dtype=bool)
        order = stream(seed, "pilot halves", level.name).permutation(len(level.rows))
        first[order[::2]] = True
        for chosen, of in ((first, halves[0]), (~first, halves[1])):
            sizes = np.bincount(level.strata[chosen], minlength=level.strata.max() + 1)
            keep = chosen & (sizes[level.strata] >= 10)
            if keep.sum() >= 20:
                of.append(part_of(level, keep))
    return [replace(levels, levels=tuple(of)) for of in halves if of]


def _donors(small: Expression, obs: pd.DataFrame, replicate: str | None, levels: Levels) -> DonorVariance:
    """Variance of genes between donors over that inside them, and what lines explain between donors."""
    if replicate is None:
        return no_donors(len(small.genes))
    level = max(levels.levels, key=lambda of: len(of.rows))  # of one cell type, lest composition count
    labels = obs[replicate].to_numpy()[level.rows].astype(str)
    total = np.asarray(small.totals, dtype=float)[level.rows]
    fraction = dense_columns(small.matrix, np.arange(len(small.genes)))[level.rows] / total[:, None]
    codes = np.unique(labels, return_inverse=True)[1]
    mean, spread, sizes = donor_means(fraction, codes, MIN_CELLS_OF_DONOR)
    counting = fraction.mean(axis=0) * (1 / total).mean()
    inside = np.maximum(spread.mean(axis=0) - counting if len(mean) else counting, 0.05 * counting)
    return variance_of_donors(mean, spread / (sizes[:, None] - 1), inside, int(codes.max()) + 1)


def _dependence(system: System, share: dict[str, Any], n: int, n_pairs: int) -> float:
    """Measured variance of the share over samples, over that of the law for independent pairs."""
    if share["samples_error"] is None:
        return 1.0
    law = share_variance_over_samples(seen(system, Design(n, depth=system.depth)), n_pairs)
    return float(np.clip(share["samples_error"] ** 2 / law, 0.1, 1e4))


def _distortion(small: Expression, levels: Levels, seed: int, threads: int) -> float:
    """Root mean square of what pooling adds to partial correlations; NaN where it cannot be told."""
    try:
        found = distortion_of(small, levels, correction="poisson", seed=seed, threads=threads)
    except InputError:
        return float("nan")
    estimate = found.summary["rms_distortion"]["estimate"]
    return float("nan") if estimate is None else float(estimate)


def _unknown(share: dict[str, Any], donors: DonorVariance, saturation: float | None) -> list[str]:
    """What the pilot could not tell."""
    found = []
    if share["bend_share"] is None:
        found.append("The pairs of this pilot explain nothing beyond chance: bends were taken as none.")
    return found + doubts_of(donors, saturation)


def doubts_of(donors: DonorVariance, saturation: float | None) -> list[str]:
    """What is not known of donors and of sequencing."""
    found = []
    if donors.n == 0:
        found.append("No donors were named (--replicate): cells are planned as of one donor.")
    elif donors.n < MIN_DONORS:
        found.append(
            f"{donors.n} donors are too few to tell how donors differ: differences were taken as none."
        )
    if saturation is None:
        found.append(
            "The saturation of the sequencing is not known (--saturation): every read was taken to show a "
            "new molecule."
        )
    return found
