"""The steps of the study: each takes a data set and gives rows of study.parquet.

All but the audit look at few genes, and at few of very many cells. Each repeats the same analysis and changes
one thing; what the registry says of levels, replicates and covariates holds unless it is what is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._checks import InputError, printable
from .._random import stream
from ..data.datasets import fetch_dataset
from ..data.depth import METHODS, find_depth
from ..data.expression import Expression
from ..data.matching import match_edges
from ..pairs.every_pair import Linearity, linearity
from ..pools.meter import restrict
from .controls import AFFINE, HILL, PERMUTED, as_values, permuted, relations
from .plan import study_settings
from .subject import Subject, some_of

CIRCULAR = "is_evidence_inferred"
"""Column of a network that is 1 for edges with evidence from expression: to judge expression by them is
circular, whatever their other evidence."""
TRIES = 20


def edge_lists(
    subject: Subject, settings: Mapping[str, Any], seed: int
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Edges of each network of a data set that lie in it, and as many random pairs.

    Yields the network's name and two tables with the columns ``regulator`` and ``target``, identifiers of the
    data. A random pair has the regulator of one edge and the target of another, and is no edge in either
    direction: so both lists have the same regulators and the same targets.
    """
    genes, symbols = subject.every.genes.astype(str), subject.every.symbols.astype(str)
    testable = set(genes[varying(subject)])
    for network in subject.entry.dataset.networks:
        listed = read_network(network)
        ends = [
            pd.DataFrame({"regulator": genes[found.regulator_index], "target": genes[found.target_index]})
            for found in (match_edges(part, genes, symbols) for part in (listed, listed[~listed["circular"]]))
        ]
        every, edges = set(ends[0].itertuples(index=False, name=None)), ends[1]
        edges = edges[edges["regulator"].isin(testable) & edges["target"].isin(testable)]
        edges = edges.sort_values(["regulator", "target"], ignore_index=True)
        random = stream(seed, "study", subject.entry.name, network)
        if len(edges) > settings["max_edges"]:
            kept = np.sort(random.choice(len(edges), settings["max_edges"], replace=False))
            edges = edges.iloc[kept].reset_index(drop=True)
        if len(edges) < 10:
            continue
        yield network, edges, random_pairs(edges, every, settings["random_per_edge"], random)


def read_network(network: str) -> pd.DataFrame:
    """Pairs of a network: ``regulator``, ``target``, and whether any row of the pair rests on expression."""
    table = pd.read_csv(fetch_dataset(network), dtype=str, keep_default_na=False)
    table = table.rename(columns={"source": "regulator"})
    if "source_gene_id" in table:  # a regulator's name need not be that of its gene
        table["regulator"] = table["source_gene_id"].where(table["source_gene_id"] != "", table["regulator"])
    table["circular"] = table[CIRCULAR] != "0" if CIRCULAR in table else False
    table = table.groupby(["regulator", "target"], sort=False)["circular"].any().reset_index()
    return table[table["regulator"] != table["target"]].reset_index(drop=True)


def varying(subject: Subject) -> np.ndarray:
    """Genes without missing values that are seen in at least a tenth of the samples."""
    matrix = subject.every.matrix
    if hasattr(matrix, "getnnz"):
        return matrix.getnnz(axis=0) >= matrix.shape[0] / 10
    return (
        (~np.isnan(matrix).any(axis=0)) & ((matrix != 0).mean(axis=0) >= 0.1) & (np.ptp(matrix, axis=0) > 0)
    )


def random_pairs(
    edges: pd.DataFrame, known: set[tuple[str, str]], per_edge: int, random: np.random.Generator
) -> pd.DataFrame:
    """Pair the regulators of edges with the targets of others; none of them known, none twice.

    Each regulator has as many pairs as edges, or fewer where there are not so many.

    Examples
    --------
    >>> edges = pd.DataFrame({"regulator": ["A", "B"], "target": ["C", "D"]})
    >>> known = {("A", "C"), ("B", "D")}
    >>> random_pairs(edges, known, 1, np.random.default_rng(0)).to_numpy().tolist()
    [['A', 'D'], ['B', 'C']]
    """
    found: set[tuple[str, str]] = set()
    regulators, targets = (edges[end].to_numpy() for end in ("regulator", "target"))
    wanted = Counter({x: per_edge * n for x, n in Counter(regulators).items()})
    for _ in range(TRIES):
        for x, y in zip(regulators, random.permutation(targets), strict=True):
            if wanted[x] and x != y and (x, y) not in found and not {(x, y), (y, x)} & known:
                found.add((str(x), str(y)))
                wanted[x] -= 1
    return pd.DataFrame(sorted(found), columns=["regulator", "target"])


LEVEL = 0.05
"""Level of the single tests that controls count."""
CALLS = {
    names.NONLINEAR: "share_nonlinear",
    names.AFFINE: "share_affine",
    names.INCONCLUSIVE: "share_inconclusive",
}

Rows = Iterator[dict[str, Any]]


def analyse(
    subject: Subject, expression: Expression, rows: np.ndarray | None = None, **changes: Any
) -> Linearity:
    """Test the pairs of a data set as its audit does, on one thread, with their bend share and no extras."""
    settings = study_settings()
    options = {name: settings[name] for name in ("fdr", "margin", "min_r2")} | subject.options | changes
    obs = subject.obs
    if rows is not None:
        expression = restrict(expression, np.arange(len(expression.genes)), rows)
        obs = obs.iloc[rows]
    return linearity(expression, obs=obs, each_level=False, control=False, threads=1, **options)


def row_of(
    result: Linearity, setting: str, value: float = np.nan, repeat: int = 0, **more: float
) -> dict[str, Any]:
    """A row of the table, from an analysis."""
    summary = result.summary
    return {
        "setting": setting,
        "value": float(value),
        "repeat": repeat,
        "n_obs": sum(len(level.rows) for level in result.design.levels),
        "n_genes": len(result.expression.genes),
        "test": summary["test"],
        "n_tested": summary["n_pairs_tested"],
        **share_columns(None if result.population is None else result.population.summary),
        "n_associated": summary["n_associated"],
        **{name: summary[name] for name in names.SHARES[:3]},
        "share_contradicting": summary["share_contradicting"]["estimate"],
        **more,
    }


def share_columns(share: Mapping[str, Any] | None) -> dict[str, float | None]:
    """A bend share, as columns of the table; empty where nothing is explained."""
    columns = ("bend_share", "low", "high", "explained")
    return {name: None if share is None else share[name] for name in columns}


def tests(subject: Subject, seed: int) -> Rows:
    """The classical, the robust and, for counts of molecules, the corrected test."""
    for test in names.TESTS:
        if test != "corrected" or subject.few.umi_like:
            yield row_of(analyse(subject, subject.few, test=test, population=test != "classical"), test)


def scales(subject: Subject, seed: int) -> Rows:
    """Amounts against their logs, both by the robust test."""
    yield row_of(analyse(subject, subject.few, test="robust"), "additive")
    yield row_of(analyse(subject, logged(subject), test="robust"), "log")


def logged(subject: Subject) -> Expression:
    """Logs of the few genes: as distributed where they were logs, else log2 of one more than the amount.

    Raises
    ------
    InputError
        An amount is too small to have a log.
    """
    few, settings = subject.few, subject.few.settings
    logs = few.scale == "log"
    base = float(settings["log_base"]) if logs else 2.0
    offset = float(settings["log_offset"]) if logs else 1.0
    values = few.normalised(np.arange(len(few.genes))) + offset
    if logs:  # rounding can take a value that was a log just below 0
        values = np.maximum(values, np.finfo(np.float64).tiny ** 0.25)
    if (values <= 0).any():
        raise InputError(
            f"{(values <= 0).mean():.1%} of the values have no log: they are -{offset:g} or less"
        )
    return replace(as_values(few, np.log(values) / np.log(base)), scale_tested="log")


def labels(subject: Subject, seed: int) -> Rows:
    """With what the registry says of levels, replicates and covariates, and without."""
    nothing: dict[str, Any] = {"within": (), "replicate": None, "covariates": ()}
    used = [name for name in nothing if subject.options.get(name)]
    yield row_of(analyse(subject, subject.few), "as registered")
    for name in used:
        changed: dict[str, Any] = {name: nothing[name]}
        yield row_of(analyse(subject, subject.few, **changed), f"without {name}")
    if len(used) > 1:
        yield row_of(analyse(subject, subject.few, **nothing), "without any")


def bases(subject: Subject, seed: int) -> Rows:
    """The robust test with splines of other sizes."""
    for k in study_settings()["bases"]:
        yield row_of(analyse(subject, subject.few, test="robust", k=k), f"{k} columns", k)


def depths(subject: Subject, seed: int) -> Rows:
    """Normalisations, with the robust test; the corrected one takes counts as they are."""
    few = subject.few
    for method in METHODS:
        depth = find_depth(
            subject.every.matrix, subject.obs, method=method, kind=few.kind, scale=few.scale_tested
        )
        if depth.method == method:
            changed = replace(few, size_factors=depth.factors)
            yield row_of(analyse(subject, changed, test="robust"), method)


def pairs(subject: Subject, seed: int) -> Rows:
    """The few genes: by strength, by margin and by the smallest r2, read off one table where it tells."""
    settings = study_settings()
    result = analyse(subject, subject.few, min_r2=min(settings["min_r2s"]), population=False)
    base = row_of(result, "")
    table = result.table

    def counted(
        part: pd.DataFrame, setting: str, value: float, margin: float = settings["margin"]
    ) -> dict[str, Any]:
        calls = calls_at(part, margin, settings["fdr"])
        shares = {
            share: float(np.mean(calls == call)) if len(part) else None for call, share in CALLS.items()
        }
        return base | shares | {
            "setting": setting, "value": value, "n_associated": len(part), "share_contradicting": None,
        }  # fmt: skip

    associated = table[table["r2_spline"] >= settings["min_r2"]]
    yield counted(associated, "all", np.nan)
    edges = [*settings["strength"], np.inf]
    for low, high in pairwise(edges):
        inside = (associated["r2_spline"] >= low) & (associated["r2_spline"] < high)
        yield counted(associated[inside], "strength", low)
    for margin in settings["margins"]:
        if base["test"] == "corrected":  # whether the robust bound agrees depends on the margin
            found = analyse(subject, subject.few, margin=margin, population=False)
            yield row_of(found, "margin", margin) | {"share_contradicting": None}
        else:
            yield counted(associated, "margin", margin, margin)
    for least in settings["min_r2s"]:
        yield counted(table[table["r2_spline"] >= least], "min_r2", least)


def calls_at(table: pd.DataFrame, margin: float, fdr: float) -> np.ndarray:
    """Calls of associated pairs at another margin, from their bounds and q-values (method 7.2)."""
    affine = table["nonlinear_share_upper"].to_numpy() < margin
    bent = table["q_value"].to_numpy() <= fdr
    return np.where(affine, names.AFFINE, np.where(bent, names.NONLINEAR, names.INCONCLUSIVE))


def parts(subject: Subject, seed: int) -> Rows:
    """Some of the samples: how many it takes until calls are those of all samples."""
    settings = study_settings()
    whole = analyse(subject, subject.few)
    yield row_of(whole, "all samples", 1.0, share_settled=1.0, share_reversed=0.0)
    decided = decided_calls(whole)
    strata = subject.labels(subject.within)
    for part in settings["parts"]:
        for repeat in range(settings["repeats"]):
            random = stream(seed, "study", subject.entry.name, "part", part, repeat)
            try:
                found = analyse(subject, subject.few, rows=some_of(strata, part, random))
            except InputError:
                continue  # too few samples are left in every level
            yield row_of(found, "part", part, repeat, **agreement(decided, decided_calls(found)))


def decided_calls(result: Linearity) -> pd.Series:
    """Calls of the pairs that are called non-linear or affine, by regulator and target."""
    table = result.table
    decided = table[table["call"].isin([names.NONLINEAR, names.AFFINE])]
    return decided.set_index(["regulator", "target"])["call"].astype(str)


def agreement(whole: pd.Series, part: pd.Series) -> dict[str, float]:
    """Shares of the pairs decided with all samples that a part calls the same, and the opposite."""
    if whole.empty:
        return {"share_settled": np.nan, "share_reversed": np.nan}
    found = part.reindex(whole.index)
    same = float((found == whole).mean())
    return {"share_settled": same, "share_reversed": float(found.notna().mean()) - same}


def groups(subject: Subject, seed: int) -> Rows:
    """Each group of samples left out in turn: for the interval over samples."""
    group = subject.groups(study_settings()["groups"], seed)
    rows = []  # all or none: an error from some of the groups would be too small
    for left_out in range(group.max() + 1):
        found = analyse(subject, subject.few, rows=np.flatnonzero(group != left_out))
        rows.append(row_of(found, "left out", left_out, left_out))
    yield from rows


def controls(subject: Subject, seed: int) -> Rows:
    """Nothing, lines and Hill curves, made of the data set's own genes."""
    settings = study_settings()["controls"]
    nothing = analyse(subject, permuted(subject, seed), keep="all")
    yield row_of(nothing, PERMUTED, share_rejected=rejected(nothing.table))
    made = relations(subject, AFFINE, settings, seed)
    found = analyse(subject, made.expression, pairs=made.pairs)
    yield row_of(found, AFFINE, share_rejected=rejected(found.table))
    made = relations(subject, HILL, settings, seed)
    bent = made.true_share >= settings["bent"]
    if made.expression.scale_tested == "counts":
        bent &= made.mean >= settings["mean_found"]
    if bent.any():
        found = analyse(subject, made.expression, pairs=made.pairs[bent])
        yield row_of(found, HILL, share_rejected=rejected(found.table))


def rejected(table: pd.DataFrame) -> float:
    """Share of the tested pairs with a p-value of at most 5 %."""
    p_values = table["p_value"].dropna()
    return float((p_values <= LEVEL).mean()) if len(p_values) else np.nan


def edges(subject: Subject, seed: int) -> Rows:
    """Edges of the networks that go with the data, beside random pairs of the same genes."""
    for network, listed, random in edge_lists(subject, study_settings()["edges"], seed):
        every = pd.concat([listed, random], ignore_index=True)
        found = analyse(subject, subject.every, pairs=every, keep="all", population=False)
        tested = found.table[found.table["status"] == names.OK]
        calls = tested.set_index(["regulator", "target"])["call"].astype(str)
        base = row_of(found, "")
        for kind, part in (("edges", listed), ("random", random)):
            mine = calls.reindex(pd.MultiIndex.from_frame(part)).dropna()
            n = int((mine != names.NOT_ASSOCIATED).sum())
            shares = {share: float((mine == call).sum() / n) if n else None for call, share in CALLS.items()}
            together = analyse(subject, subject.every, pairs=part, keep="all").population
            shares |= share_columns(None if together is None else together.summary)
            yield base | shares | {
                "setting": f"{kind} of {network}", "n_tested": len(mine), "n_associated": n,
                "share_contradicting": None,
            }  # fmt: skip


STEPS: Mapping[str, Callable[[Subject, int], Rows]] = {
    step.__name__: step
    for step in (pairs, tests, scales, labels, bases, depths, parts, groups, controls, edges)
}
"""All but the audit, which also writes files."""


def rows_of_step(subject: Subject, step: str, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Do a step; what cannot be done is a note, and the rows before it stay."""
    rows: list[dict[str, Any]] = []
    try:
        rows.extend(STEPS[step](subject, seed))
    except InputError as error:
        return rows, [printable(error, 400)]
    return rows, []


def table_of_rows(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table with all columns of study.parquet, each of its dtype."""
    table = pd.DataFrame(rows, columns=[column.name for column in names.STUDY_COLUMNS])
    whole = {"repeat": 0, "n_obs": 0, "n_genes": 0, "n_tested": 0, "n_associated": 0}
    for column in names.STUDY_COLUMNS:
        if column.dtype == "str":
            table[column.name] = table[column.name].fillna("").astype(str)
        else:
            numbers = table[column.name].astype(np.float64).fillna(whole.get(column.name, np.nan))
            table[column.name] = np.asarray(numbers, dtype=column.dtype)
    return table
