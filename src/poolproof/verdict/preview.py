"""What an audit would do, before it does it: how values are read, what is tested, how long that takes."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .. import _names as names
from .._checks import check_threads, printable
from .._docs import texts_of
from .._random import stream
from ..data.expression import Expression, ValueOptions, describe
from ..data.large import read_values
from ..data.matching import table_of
from ..pairs.analyst import Analyst, engine_of
from ..pairs.control import MAX_GENES as CONTROL_GENES
from ..pairs.control import MIN_PAIRS as CONTROL_PAIRS
from ..pairs.design import Design
from ..pairs.every_pair import MAX_ROWS, described_values, wide_design, with_its_note
from ..pairs.floor import MAX_GENES as FLOOR_GENES
from ..pairs.floor import N_COPIES
from ..pairs.keeping import BYTES_PER_PAIR
from ..pairs.outcome import Engine
from ..pairs.plan import as_list, choose_test, plan_design, plan_task
from ..pairs.quick_scores import repaid_by_loops
from ..pairs.screening import INCONCLUSIVE, Rule
from ..pairs.settings import MEMORY, EngineSettings
from .caveats import unused_donors, unused_labels

TRIPLE_SECONDS = 8.0
"""What the screen of triples takes at most, unless all are asked for."""
TRIED = (4, 36)
"""Regulators that are tried; what the larger number takes more is the time of those between."""
SHARE_OVER_PAIRS = 1.2
"""Time of the bend share of cells in a file over that of their pairs."""
LOOPS_TAKE = {"classical": 0.8, "robust": 0.6}
"""Time of compiled loops over that of numpy, 4,000 genes x 1,000 samples (`bench_versions.py`)."""
SHOWN_LEVELS = 12
BYTES_PER_KEPT = 300
"""Of a row of the table of pairs, while it is made, labelled and written."""


@dataclass(frozen=True, eq=False, repr=False)
class Preview:
    """What an audit would do."""

    summary: dict[str, Any]
    """``n_obs``, ``n_genes``, ``kind``, ``scale``, ``scale_tested``, ``test``, ``levels`` (samples of each),
    ``n_replicates``, ``n_regulators``, ``n_pairs``, ``labels`` (columns of obs that look like labels of cells
    and are not used), ``donors`` (columns that may name donors, where none is used), ``notes``, ``seconds``
    (of each phase, about) and ``bytes`` (memory at the peak)."""

    def __str__(self) -> str:
        s = self.summary
        rows = "cells" if s["kind"] == names.SINGLE_CELL else "samples"
        scale = (
            s["scale"] if s["scale"] == s["scale_tested"] else f"{s['scale']}, tested as {s['scale_tested']}"
        )
        lines = [
            f"{s['n_obs']:,} {rows} x {s['n_genes']:,} genes, {s['kind']}, {scale}",
            f"Test: {s['test']}, {s['n_pairs']:,} ordered pairs of {s['n_regulators']:,} regulators",
        ]
        levels = list(s["levels"].items())
        if len(levels) > 1:
            more = f" and {len(levels) - SHOWN_LEVELS} more" if len(levels) > SHOWN_LEVELS else ""
            shown = ", ".join(f"{printable(name, 40)} {n:,}" for name, n in levels[:SHOWN_LEVELS])
            lines.append(f"Levels: {shown}{more}")
        if s["n_replicates"]:
            lines.append(f"Replicates: {s['n_replicates']:,}")
        if s["labels"]:
            listed = ", ".join(printable(name, 40) for name in s["labels"])
            lines.append(f"Labels of {rows} that are not used: {listed} (--within)")
        if s["donors"]:
            listed = ", ".join(printable(name, 40) for name in s["donors"])
            lines.append(
                f"Columns that may name donors, whose {rows} are not independent: {listed} (--replicate)"
            )
        lines += [f"Note: {printable(text, 400)}" for text in s["notes"]]
        phases = ", ".join(f"{name} {duration(t)}" for name, t in s["seconds"].items())
        total = duration(sum(s["seconds"].values()))
        lines.append(f"Time: about {total} ({phases})")
        lines.append(f"Memory: about {s['bytes'] / 1e9:.1f} GB")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


@texts_of(describe)
def preview_audit(
    adata: AnnData | pd.DataFrame | Expression | str | PathLike[str],
    *,
    network: pd.DataFrame | Sequence[tuple[str, str]] | None = None,
    regulators: Sequence[str] | None = None,
    pairs: pd.DataFrame | Sequence[tuple[str, str]] | None = None,
    test: str = "auto",
    within: str | Sequence[str] | None = None,
    replicate: str | None = None,
    covariates: str | Sequence[str] = (),
    layer: str | None = None,
    kind: str = "auto",
    scale: str = "auto",
    log_base: float | str | None = None,
    log_offset: float | None = None,
    size_factors: str = "auto",
    gene_column: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    memory: float = MEMORY,
    obs: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    **others: Any,
) -> Preview:
    """Say what an audit would do, and find out on a few regulators how long it would take.

    Parameters
    ----------
    adata
        As for :func:`poolproof.audit`.
    network, regulators, pairs, test, within, replicate, covariates, seed, threads, memory, obs
        As for :func:`poolproof.audit`.
    layer, kind, scale, log_base, log_offset, size_factors, gene_column
        See :func:`poolproof.describe`.
    notes
        Warnings from reading the file.
    **others
        Further options of :func:`poolproof.audit`, which change neither time nor memory by much.

    Returns
    -------
    Preview

    Raises
    ------
    InputError
        What an audit would refuse.

    Notes
    -----
    The time of pairs is that of the regulators tried, times how many there are. That of the other phases is
    what they took on the data sets of the registry, by cells, genes and levels.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> data = pd.DataFrame(rng.gamma(2.0, size=(100, 50)), columns=[f"g{i}" for i in range(50)])
    >>> print(str(preview_audit(data, kind="bulk", scale="additive")).splitlines()[1])
    Test: robust, 2,450 ordered pairs of 50 regulators
    """
    read = ValueOptions(layer, kind, scale, log_base, log_offset, size_factors, gene_column)
    expression, obs = read_values(read, adata, obs, memory=memory, seed=seed)
    within, covariates = as_list(within), as_list(covariates)
    chosen = choose_test(expression, test)
    design = plan_design(expression, obs, chosen, within, replicate, covariates)
    wide, said = wide_design(expression, chosen, within, replicate, covariates)
    expression = with_its_note(expression, wide, chosen)
    every = design if wide is None else wide
    if network is not None:
        pairs = table_of(network, ("regulator", "target"), "edges")
    task = plan_task(expression, regulators, pairs)
    computing = EngineSettings(chosen, threads=check_threads(threads), memory=memory, seed=seed)
    n_genes = len(expression.genes)
    n_pairs = len(task.regulators) * (n_genes - 1) if task.pairs is None else len(task.pairs)
    labels = {"within": within, "covariates": covariates, "replicate": replicate}
    analyse = Analyst(expression, task, Rule(0.05, 0.1, 0.02), computing)
    start = time.perf_counter()
    engine = engine_of(expression, design, computing)
    bases = time.perf_counter() - start
    screened, associated = _tried(analyse, engine, n_pairs)
    if repaid_by_loops(engine, n_pairs):  # which the few regulators tried do not
        screened *= LOOPS_TAKE[chosen]
    n_levels = len(design.levels)
    seconds = {"bases": bases, "pairs": screened} | _typical(
        design,
        n_genes,
        len(task.regulators),
        chosen,
        screened,
        cells=expression.kind == names.SINGLE_CELL,
        threads=computing.threads,
    )
    if wide is not None:
        seconds |= _by_blocks(analyse, engine, design, wide, seconds)
    if task.directed:
        seconds.pop("floor")
    rows = min(MAX_ROWS, n_pairs, associated)
    return Preview(
        {
            "n_obs": expression.n_obs,
            "n_genes": n_genes,
            "kind": expression.kind,
            "scale": expression.scale,
            "scale_tested": expression.scale_tested,
            "test": chosen,
            "levels": {level.name: len(level.rows) for level in every.levels} if n_levels > 1 else {},
            "n_replicates": every.n_clusters,
            "n_regulators": len(task.regulators),
            "n_pairs": n_pairs,
            "labels": unused_labels(expression, obs, labels),
            "donors": unused_donors(expression, obs, labels),
            "notes": list(
                dict.fromkeys(
                    [
                        *notes,
                        *said,
                        *described_values(expression, wide),
                        *every.warnings,
                        *task.sentences,
                    ]
                )
            ),
            "seconds": seconds,
            "bytes": _peak() + min(BYTES_PER_PAIR * n_pairs, memory) + BYTES_PER_KEPT * rows,
        }
    )


def _tried(analyse: Analyst, engine: Engine, n_pairs: int) -> tuple[float, float]:
    """Seconds that all pairs would take, and how many would be associated, from some regulators."""
    ok = engine.regulator_status[analyse.task.regulators] == names.OK
    usable = analyse.task.regulators[ok]
    if len(usable) == 0:
        analyse.screen(engine, lambda done: None)  # says why there is nothing to test
    order = stream(analyse.settings.seed, "preview").permutation(np.sort(usable))

    def try_some(n: int) -> tuple[float, np.ndarray]:
        some = replace(analyse, task=replace(analyse.task, regulators=np.sort(order[:n]), pairs=None))
        start = time.perf_counter()
        calls = some.screen(engine, lambda done: None).calls
        return time.perf_counter() - start, calls

    few, more = (min(len(order), n) for n in TRIED)
    try_some(few)  # what is loaded and made once is no part of the time of a regulator
    first, _ = try_some(few)
    second, calls = try_some(more)
    each = max(second - first, 0.0) / max(more - few, 1)
    wanted = n_pairs / (len(analyse.task.regulators) * calls.shape[1])
    total = first + each * (len(order) - few) * min(wanted, 1.0)
    return total, float((calls >= INCONCLUSIVE).mean()) * n_pairs


def _by_blocks(
    analyse: Analyst, engine: Engine, drawn: Design, wide: Design, seconds: dict[str, float]
) -> dict[str, float]:
    """Seconds of what is done on all cells, from the cells drawn, read as if they lay in a file."""
    from ..data.blocks import Blocks
    from ..pairs.stream_engine import streamed_engine

    settings = replace(analyse.settings, agree_below=analyse.rule.margin)
    wanted, bound_from = analyse.task.regulators, analyse.rule.min_r2
    usable = np.sort(wanted[engine.regulator_status[wanted] == names.OK])
    some = np.sort(stream(settings.seed, "preview").permutation(usable)[: TRIED[1]])
    blocks = Blocks(sp.csr_matrix(analyse.expression.matrix))
    taken = []
    for mine in (some[:0], some):
        start = time.perf_counter()
        of = (blocks, analyse.expression, drawn, mine, settings)
        streamed_engine(*of, bound_from=bound_from, progress=lambda done: None)
        taken.append(time.perf_counter() - start)
    cells = sum(len(level.rows) for level in wide.levels) / sum(len(level.rows) for level in drawn.levels)
    each = max(taken[1] - taken[0], 0.0) / len(some)
    pairs = cells * (taken[0] + each * len(usable))
    found = {"pairs": seconds["pairs"] + pairs}
    if settings.test == "corrected":
        found["bend share"] = SHARE_OVER_PAIRS * pairs
    if "levels alone" in seconds:
        found["levels alone"] = pairs
    return found


def _typical(
    design: Design, n_genes: int, n_middle: int, test: str, pairs: float, *, cells: bool, threads: int
) -> dict[str, float]:
    """Seconds of the other phases, from what they took on data sets of the registry (`bench_phases.py`)."""
    n = sum(len(level.rows) for level in design.levels)
    in_floor = min(n_genes, FLOOR_GENES)
    copy = (0.2 + 4e-4 * n) * in_floor / FLOOR_GENES / threads
    found = {"bend share": 0.45 * pairs, "floor": (1 + N_COPIES) * copy}
    if len(design.levels) > 1:
        found["levels alone"] = 0.45 * pairs
    if test == "corrected":
        n_split = max(min(n_genes, CONTROL_GENES), CONTROL_PAIRS)
        found["control"] = 2.6e-6 * n * n_split / threads
        found["what is technical"] = 2 * copy
    found["triples"] = min(TRIPLE_SECONDS, 2 * pairs)
    found["distortion"] = 1.4e-9 * n * n_middle * n_genes / threads
    if cells:
        found["pooling curves"] = 1.0 + 5e-4 * n
    return found | {"tables and report": 8.0}


def _peak() -> float:
    """Bytes of memory that this process has taken at most."""
    kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(kept if sys.platform == "darwin" else 1024 * kept)


def duration(seconds: float) -> str:
    """A time in words, of two digits.

    Examples
    --------
    >>> duration(0.3), duration(4.2), duration(340), duration(8000)
    ('1 s', '4 s', '6 min', '2.2 h')
    """
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
