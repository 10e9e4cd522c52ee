"""What all pairs say together: how bent the relations of genes are, as one share with its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._checks import printable
from .._random import stream
from .count_engine import CountTest
from .design import Design, n_independent
from .intervals import (
    Share,
    both_ends,
    number_or_none,
    pair_variance,
    share_of,
    unit_variance,
    variances,
)
from .modules import MAX_CLUSTERED, modules_of
from .outcome import Engine
from .population_measures import Measure, measure_of
from .population_pass import Counted, Sums, sum_pairs
from .population_sets import MAX_GENES, N_SPLITS, ChosenSums, chosen_sums
from .score_engine import ScoreTest
from .stream_share import StreamedShare

_COLUMNS = tuple(column.name for column in names.POPULATION_COLUMNS)
Z_ASSOCIATED = 3.0


@dataclass(frozen=True, eq=False, repr=False)
class Population:
    """The bend share of all tested pairs and of parts of them.

    Every pair counts, associated or not: nothing is selected, so nothing is biased by selection. A share is
    the sum of what bends explain over the sum of what bends and lines explain, in these samples.
    """

    table: pd.DataFrame
    """One row a set of pairs; columns as ``poolproof._names.POPULATION_COLUMNS``."""
    summary: dict[str, Any]
    """The entry ``population`` of verdict.json."""
    settings: dict[str, Any]
    """How it was measured: samples, modules, genes drawn for the chosen sets."""
    seed: int
    """Seed of the halves and of the genes drawn."""

    @property
    def sentence(self) -> str:
        """The share of all pairs in words."""
        s = self.summary
        pairs = f"{s['n_pairs']:,} {'given' if s['set'] == names.GIVEN_PAIRS else 'ordered'} pairs"
        if s["bend_share"] is None:
            return f"Bend share: nothing to say, {pairs} explain nothing beyond chance"
        return (
            f"Bend share {s['bend_share']:.1%} (95 % interval {s['low']:.1%} to {s['high']:.1%}): so much of "
            f"what genes explain in each other is bend, summed over {pairs}"
        )

    def __str__(self) -> str:
        return self.sentence

    __repr__ = __str__

    def _repr_html_(self) -> str:
        kept = ~self.table["set"].isin(["regulator", "target"])
        shown = self.table[kept].astype(object)
        cells = shown.apply(lambda column: column.map(_cell))
        cells.columns = [c.replace("_", " ") for c in cells.columns]
        return (
            f"<div><strong>Bend share</strong>\n<p>{escape(self.sentence)}</p>\n"
            f"{cells.to_html(index=False, border=0, escape=True)}\n"
            f"<p>Regulators and targets: <code>.table</code>, {len(self.table):,} rows.</p></div>"
        )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.3g}"
    return printable(value, 40)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which pairs are meant, and how genes hang together."""

    regulators: np.ndarray
    """Genes."""
    targets: np.ndarray
    """Genes."""
    wanted: Counted | None
    """Which pairs of them; None: all."""
    directed: bool
    """Their direction was given."""
    modules: np.ndarray
    """Module of every gene, shape ``(n_genes,)``."""

    def units(self) -> np.ndarray:
        """Unit of each regulator: itself where directions are given, else its module."""
        return np.arange(len(self.regulators)) if self.directed else self.modules[self.regulators]


def population_of(
    engine: Engine | StreamedShare,
    design: Design,
    genes: np.ndarray,
    regulators: np.ndarray,
    listed: np.ndarray | None,
    make_half: Callable[[Design, np.ndarray], Engine | StreamedShare],
    *,
    directed: bool,
    min_r2: float,
    dtype: type = np.float32,
    seed: int = 0,
    threads: int = 1,
    parts: bool = True,
    progress: Callable[[int], object] = lambda n: None,
) -> Population:
    """Measure the bend share of all pairs that an engine can test.

    Parameters
    ----------
    engine
        The test of the data.
    design
        Its design.
    genes
        Names, shape ``(n_genes,)``.
    regulators
        Genes that may be regulators.
    listed
        Ordered pairs, shape ``(n_pairs, 2)``, that alone are meant; None: all.
    make_half
        Makes the engine of a part of the samples and genes, for the sets that are chosen in one half.
    directed
        Whether directions were given (regulators, pairs, a network).
    min_r2
        Explained share from which genes count as tied to each other.
    dtype
        Of the matrix products; sums are float64.
    parts
        Whether the sets that are chosen in one half are measured too.
    """
    measure = _measure(engine, dtype)
    pairs = _pairs(engine, measure, genes, regulators, listed, directed, min_r2, seed)
    n_axis = n_independent(design)
    settings: dict[str, Any] = {
        "n_axis": n_axis,
        "axis": "replicates" if design.n_clusters else "samples",
        "n_modules": len(np.unique(pairs.modules[np.union1d(pairs.regulators, pairs.targets)])),
        "n_genes": len(np.union1d(pairs.regulators, pairs.targets)),
    }
    if len(pairs.regulators) == 0 or len(pairs.targets) == 0:
        return _labelled([("all", "", share_of(0, np.zeros(2), np.zeros(3), 0))], directed, settings, seed)
    of_pairs = pairs.regulators, pairs.targets, pairs.units(), pairs.modules[pairs.targets], pairs.wanted
    if isinstance(measure, StreamedShare):
        sums = measure.sum_pairs(*of_pairs, progress=progress)
    else:
        sums = sum_pairs(measure, *of_pairs, threads=threads, progress=progress)
    chosen = _chosen(design, genes, pairs, make_half, min_r2, dtype, seed, threads) if parts else None
    settings |= {"n_splits": 0, "n_genes_chosen": 0} if chosen is None else chosen[1]
    rows = [
        *_whole(sums, pairs, n_axis),
        *_levels(sums, pairs, design, n_axis),
        *([] if chosen is None else _chosen_rows(chosen[0], pairs, n_axis)),
        *_genes(sums, pairs, genes, n_axis),
    ]
    return _labelled(rows, directed, settings, seed)


Row = tuple[str, str, Share]


def _measure(engine: Engine | StreamedShare, dtype: type) -> Measure | StreamedShare:
    """Of cells in memory, or of those that are read block by block."""
    return engine if isinstance(engine, StreamedShare) else measure_of(engine, dtype)


def _pairs(
    engine: Engine | StreamedShare,
    measure: Measure | StreamedShare,
    genes: np.ndarray,
    regulators: np.ndarray,
    listed: np.ndarray | None,
    directed: bool,
    min_r2: float,
    seed: int,
) -> Pairs:
    """Choose the pairs and cluster the genes; genes in the order of their names, so theirs does not show."""
    rank = np.empty(len(genes), dtype=np.int64)
    rank[np.argsort(genes.astype(str), kind="stable")] = np.arange(len(genes))
    mine = np.unique(regulators)
    others = np.arange(len(genes))
    wanted: Counted | None = None
    if listed is not None:
        others = np.unique(listed[:, 1])
        codes = np.unique(listed[:, 0] * len(genes) + listed[:, 1])

        def wanted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return np.isin(x[:, None] * len(genes) + y, codes)

    mine = mine[measure.regulator_ok[mine]]
    others = others[measure.target_ok[others]]
    mine, others = (of[np.argsort(rank[of])] for of in (mine, others))
    every = np.union1d(mine, others)
    every = every[np.argsort(rank[every])]
    modules = np.zeros(len(genes), dtype=np.int64)
    if len(every):
        modules[every] = _modules(engine, every, min_r2, seed)
    return Pairs(mine, others, wanted, directed, modules)


def _modules(engine: Engine | StreamedShare, genes: np.ndarray, min_r2: float, seed: int) -> np.ndarray:
    least = max(np.sqrt(min_r2), Z_ASSOCIATED / np.sqrt(engine.n_samples))
    chosen = np.arange(len(genes))
    if len(genes) > MAX_CLUSTERED:
        chosen = np.sort(stream(seed, "population modules").choice(chosen, MAX_CLUSTERED, replace=False))
    if isinstance(engine, StreamedShare):
        return engine.modules(genes, float(least), chosen)
    standard, reliability = _standard(engine, genes)
    return modules_of(standard, reliability, float(least), chosen)


def _standard(engine: Engine, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centred values of unit norm inside levels, and the share of their variance that is not noise."""
    if isinstance(engine, CountTest):
        blocks = engine.target_blocks(genes, np.float32)
        values = np.concatenate([block.centred for block in blocks], axis=1)
        square = np.einsum("gn,gn->g", values, values).astype(np.float64)
        true = sum(w * block.variance for w, block in zip(engine.weight, blocks, strict=True))
        reliability = np.asarray(true * values.shape[1] / np.where(square > 0, square, np.inf))
        return values / np.sqrt(np.where(square > 0, square, 1.0))[:, None].astype(values.dtype), reliability
    if isinstance(engine, ScoreTest):
        return engine.targets.block(genes, np.float32), np.ones(len(genes))
    raise TypeError(f"no bend share of {type(engine).__name__}")


def _chosen(
    design: Design,
    genes: np.ndarray,
    pairs: Pairs,
    make_half: Callable[[Design, np.ndarray], Engine | StreamedShare],
    min_r2: float,
    dtype: type,
    seed: int,
    threads: int,
) -> tuple[ChosenSums, dict[str, int]] | None:
    """Sums over the sets that are chosen in one half of the samples and measured in the other."""
    regulators, targets = pairs.regulators, pairs.targets
    if not pairs.directed:
        regulators = targets = regulators[np.isin(regulators, targets)]
    draw = stream(seed, "population genes")
    kept = [
        of if len(of) <= MAX_GENES else of[np.sort(draw.choice(len(of), MAX_GENES, replace=False))]
        for of in ((regulators, targets) if pairs.directed else (regulators,))
    ]
    regulators, targets = kept[0], kept[-1]
    every = np.union1d(regulators, targets)
    if len(every) < 3:
        return None
    wanted = pairs.wanted
    inside = None if wanted is None else lambda x, y: wanted(every[x], every[y])

    def measure_half(half: Design) -> Measure | StreamedShare:
        return _measure(make_half(half, every), dtype)

    units = pairs.modules[regulators] if not pairs.directed else np.arange(len(regulators))
    found = chosen_sums(
        design,
        measure_half,
        (np.searchsorted(every, regulators), np.searchsorted(every, targets)),
        (units, pairs.modules[targets]),
        inside,
        directed=pairs.directed,
        min_r2=min_r2,
        seed=seed,
        threads=threads,
    )
    return None if found is None else (found, {"n_splits": N_SPLITS, "n_genes_chosen": len(every)})


def _over_genes(square: np.ndarray, directed: bool) -> tuple[float, float]:
    """Variance over genes from sums by unit of the regulator and module of the target, ``(2, U, K)``.

    Where directions are given, the larger of what leaving out regulators and modules of targets says.
    """
    total = square.sum(axis=(1, 2))
    if directed:
        return max(unit_variance(total, square.sum(axis=axis)) for axis in (1, 2))
    k = max(square.shape[1:])
    padded = np.zeros((2, k, k))
    padded[:, : square.shape[1], : square.shape[2]] = square
    return unit_variance(total, both_ends(padded))


def _whole(sums: Sums, pairs: Pairs, n_axis: int) -> list[Row]:
    square = sums.by_level.sum(axis=1)
    spread = variances(*sums.influence.sum(axis=1)) * _correction(sums.influence.shape[2], n_axis)
    name = names.GIVEN_PAIRS if pairs.directed else names.ALL_PAIRS
    over_genes = _over_genes(square, pairs.directed)
    return [(name, "", share_of(sums.n_pairs.sum(), square.sum(axis=(1, 2)), spread, n_axis, over_genes))]


def _correction(size: int, n: int) -> float:
    """D / (D - 1) for the units that there are, where codes of replicates have gaps."""
    return (n / max(n - 1, 1)) / (size / max(size - 1, 1))


def _levels(sums: Sums, pairs: Pairs, design: Design, n_axis: int) -> list[Row]:
    if len(design.levels) == 1:
        return []
    rows: list[Row] = []
    for i, level in enumerate(design.levels):
        square = sums.by_level[:, i]
        n_pairs = sums.n_pairs.sum() if np.any(square) else 0
        spread = variances(*sums.influence[:, i])
        over_genes = _over_genes(square, pairs.directed)
        share = share_of(n_pairs, square.sum(axis=(1, 2)), spread, n_axis, over_genes)
        rows.append(("level", level.name, share))
    return rows


def _chosen_rows(chosen: ChosenSums, pairs: Pairs, n_axis: int) -> list[Row]:
    rows: list[Row] = []
    for i, (kind, name) in enumerate(chosen.sets):
        square = chosen.sums[:, i]
        share = share_of(
            chosen.n_pairs[i],
            square.sum(axis=(1, 2)),
            variances(*chosen.influence[:, i]),
            n_axis,
            _over_genes(square, pairs.directed),
        )
        rows.append((kind, name, share))
    return rows


def _genes(sums: Sums, pairs: Pairs, genes: np.ndarray, n_axis: int) -> Iterator[Row]:
    """Every regulator over its targets, and every target over its regulators: single pairs as units."""
    parts = (
        ("regulator", pairs.regulators, sums.n_pairs, sums.by_regulator, sums.regulator_variance),
        ("target", pairs.targets, sums.n_pairs_by_target, sums.by_target, sums.target_variance),
    )
    for kind, of, n_pairs, powers, spread in parts:
        for i, gene in enumerate(of):
            over_pairs = pair_variance(powers[:2, i], powers[2:, i])
            share = share_of(n_pairs[i], powers[:2, i], spread[:, i], n_axis, over_pairs)
            yield kind, str(genes[gene]), share


def _labelled(rows: list[Row], directed: bool, settings: dict[str, Any], seed: int) -> Population:
    columns: dict[str, Any] = {
        "set": pd.Categorical([kind for kind, _, _ in rows], categories=list(names.POPULATION_SETS)),
        "name": np.array([name for _, name, _ in rows], dtype=object),
        "n_pairs": np.array([share.n_pairs for _, _, share in rows], dtype=np.int64),
    }
    for column in _COLUMNS[3:8]:
        columns[column] = np.array([getattr(share, column) for _, _, share in rows], dtype=np.float64)
    statuses = [share.status for _, _, share in rows]
    columns["status"] = pd.Categorical(statuses, categories=list(names.POPULATION_STATUSES))
    whole = rows[0][2]
    parts = [(kind, name, share) for kind, name, share in rows if kind not in ("regulator", "target")]
    summary = {
        "set": names.GIVEN_PAIRS if directed else names.ALL_PAIRS,
        **_entry(whole),
        "samples_error": number_or_none(whole.samples_error),
        **{key: settings[key] for key in ("axis", "n_axis", "n_modules")},
        "levels": {name: _entry(share) for kind, name, share in parts if kind == "level"},
        "strength": {name: _entry(share) for kind, name, share in parts if kind == "strength"},
        **{
            wanted: next((_entry(share) for kind, _, share in parts if kind == wanted), None)
            for wanted in ("better_direction", "direct", "direct_better_direction")
        },
    }
    return Population(pd.DataFrame(columns), summary, settings, seed)


def _entry(share: Share) -> dict[str, Any]:
    return {
        "n_pairs": share.n_pairs,
        **{column: number_or_none(getattr(share, column)) for column in _COLUMNS[3:8]},
        "status": share.status,
    }


def restricted(expression: Any, genes: np.ndarray) -> Any:
    """An expression with some of its genes; totals stay those over all genes."""
    return replace(
        expression,
        matrix=expression.matrix[:, genes],
        genes=expression.genes[genes],
        symbols=expression.symbols[genes],
    )
