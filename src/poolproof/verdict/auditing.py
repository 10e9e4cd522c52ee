"""The audit: data in, verdict out (method 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from importlib.metadata import version
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .. import _names as names
from .._checks import InputError, printable
from .._docs import texts_of
from .._files import FIGURES, result_folder, write_json, write_parquet
from .._notebook import summary_html
from .._parts import Parts
from .._phases import phase
from ..data.expression import Expression, ValueOptions, describe
from ..data.large import read_values
from ..data.matching import table_of
from ..data.suspicions import suspicions_of
from ..pairs.anndata_slots import annotate
from ..pairs.every_pair import CHECKED, Linearity, check_options, linearity
from ..pairs.figures import figure_data
from ..pairs.plan import pair_thresholds
from ..pairs.settings import MEMORY
from ..pools.curves import PoolingCurves
from ..pools.likeness import Likeness, pool_likeness
from ..triples.every_triple import Triples, write_triples
from ..triples.figures import triple_figure_data
from .advice import next_steps
from .caveats import label_warnings, limits_of, unused_labels
from .decision import Evidence, decide
from .equations import Equations
from .interrupted import announced, parts_of, removed_if_refused
from .network import NetworkClaims
from .shape import Shape, shape_of
from .survival import Survival, check_how, survival_of
from .tested_network import claims_of, equations_of

NO_LIMIT = (
    "is no option any more; leave it out: a verdict rests on the bend share and its margin (--margin), not "
    "on a share of calls"
)
"""Of the earlier limit on calls."""
OPTIONS = {*signature(linearity).parameters, "max_contradicting"}
"""What :func:`audit` passes on."""


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """A verdict and everything behind it."""

    verdict: str
    """``contradicted``, ``compatible`` or ``inconclusive``."""
    reasons: tuple[str, ...]
    """Why, each sentence with its number: how bent, then what decides."""
    next_steps: tuple[str, ...]
    """What would settle the verdict, or follows from it; what should be done first at the front."""
    limits: tuple[str, ...]
    """What the verdict does not say."""
    linearity: Linearity
    """The tests of pairs of genes."""
    shape: Shape | None
    """Tests of products and of spreads, where the bend share of cells lies below the margin."""
    equations: Equations | None
    """Joint tests of a network's equations, where one was given."""
    data: dict[str, Any]
    """The entry ``data`` of verdict.json."""
    survival: Survival
    """Triples, pools of the data's own cells, and what survives pooling."""
    claims: NetworkClaims | None
    """What a network claims, judged, where one was given."""
    assignment: Likeness | None
    """How alike the cells of given pools (metacells) are, where there are any."""
    settings: dict[str, Any]
    """All options, defaults filled in."""
    seed: int
    """Seed of every random draw."""
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """UTC, to the second."""
    parts: Parts = field(default_factory=Parts)
    """What an interrupted run of the same audit would go on from, until the result is saved."""

    @property
    def table(self) -> pd.DataFrame:
        """The pair table."""
        return self.linearity.table

    @property
    def triples(self) -> Triples | None:
        """The screen of triples, if there was one."""
        return self.survival.triples

    @property
    def curves(self) -> PoolingCurves | None:
        """Pooling curves, if they were drawn."""
        return self.survival.curves

    @property
    def summary(self) -> dict[str, Any]:
        """The content of verdict.json."""
        return {
            "schema_version": names.SCHEMA_VERSION,
            "tool": {"name": "poolproof", "version": version("poolproof")},
            "created": self.created,
            "seed": self.seed,
            "settings": self.settings,
            "data": self.data,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "next_steps": list(self.next_steps),
            "linearity": self.linearity.summary
            | {"levels": {name: level.summary for name, level in self.linearity.levels.items()}},
            "population": None if self.linearity.population is None else self.linearity.population.summary,
            "floor": None if self.linearity.floor is None else self.linearity.floor.as_dict(),
            "sensitivity": None
            if self.linearity.sensitivity is None
            else self.linearity.sensitivity.as_list(),
            "shape": None if self.shape is None else self.shape.as_dict(),
            "equations": None if self.equations is None else self.equations.summary,
            "network": None if self.claims is None else self.claims.summary,
            "assignment": None if self.assignment is None else self.assignment.summary,
            **self.survival.summary(self.linearity.summary, self.data["kind"]),
            "limits": list(self.limits),
        }

    def __str__(self) -> str:
        lines = [f"Verdict: {self.verdict}", *(f"  {r}" for r in self.reasons)]
        lines += [f"Next: {step}" for step in self.next_steps] + self.findings()
        lines += [f"Limit: {text}" for text in self.limits]
        lines += [f"Note: {text}" for text in self.data["warnings"]]
        return "\n".join(lines)

    __repr__ = __str__

    def findings(self) -> list[str]:
        """One sentence each for pairs, network, triples, pooling curves and given pools, if there are any."""
        parts = (self.linearity, self.claims, self.triples, self.curves, self.assignment)
        return [str(of) for of in parts if of is not None]

    def _repr_html_(self) -> str:
        sentences = [*self.reasons, *(f"Next: {step}" for step in self.next_steps), *self.findings()]
        more = [*self.limits, *self.data["warnings"]]
        return summary_html(f"Verdict: {self.verdict}", sentences, self.table, more)

    def to_anndata(self, adata: AnnData, *, copy: bool = True) -> AnnData:
        """Write the verdict and the pairs into an AnnData.

        The slots are those of :meth:`poolproof.pairs.Linearity.to_anndata`; ``uns`` has two more:
        ``poolproof_verdict`` (one word) and ``poolproof_summary`` (the content of verdict.json, as JSON).

        Parameters
        ----------
        adata
            With the genes that were audited, or a part of them.
        copy
            Whether to leave ``adata`` unchanged and return a copy of it.

        Raises
        ------
        InputError
            ``adata`` has none of the genes, or is a view and ``copy`` is false.

        Examples
        --------
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> adata = AnnData(rng.gamma(2.0, size=(50, 3)))
        >>> audit(adata, kind="bulk", scale="additive").to_anndata(adata).uns["poolproof_verdict"]
        'inconclusive'
        """
        slots = self.linearity._slots() | {"verdict": self.verdict, "summary": self.summary}
        return annotate(adata, self.table, self.linearity.genes, slots, copy=copy)

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write all tables, the figures' data and, last, verdict.json into a folder.

        :func:`poolproof.write_report` makes the report from these files.

        Raises
        ------
        InputError
            The folder holds something, and ``force`` is not set.
        """
        with result_folder(folder, force=force) as place:
            write_result(self, place)
        self.parts.remove()
        return Path(folder)


def write_result(audit: Audit, place: Path, *, pairs_written: bool = False) -> None:
    """Write the files of an audit into a folder that is ready for them."""
    settings = audit.linearity.settings
    thresholds = pair_thresholds(settings["fdr"], settings["margin"], settings["min_r2"])
    if not pairs_written:
        write_parquet(audit.linearity.table, place / "pairs.parquet", thresholds)
    write_parquet(audit.linearity.genes, place / "genes.parquet")
    if audit.linearity.levels:
        parts = [part.table.assign(level=name) for name, part in audit.linearity.levels.items()]
        write_parquet(pd.concat(parts, ignore_index=True), place / "levels.parquet", thresholds)
    if audit.linearity.population is not None:
        write_parquet(audit.linearity.population.table, place / "population.parquet")
    if audit.equations is not None:
        write_parquet(audit.equations.table, place / "equations.parquet")
        write_parquet(_edges(audit.equations, audit.claims), place / "edges.parquet")
    if audit.claims is not None:
        write_parquet(audit.claims.separations, place / "separations.parquet")
    if audit.triples is not None:
        write_triples(audit.triples, place)
    if audit.assignment is not None:
        write_parquet(audit.assignment.table, place / "assignment.parquet")
    if audit.curves is not None:
        write_parquet(audit.curves.table, place / "pooling_curves.parquet")
    figures = place / FIGURES
    figures.mkdir(exist_ok=True)
    tables = figure_data(audit.linearity)
    if audit.triples is not None:
        tables |= triple_figure_data(audit.triples)
    for name, table in tables.items():
        write_parquet(table, figures / f"{name}.parquet")
    write_json(audit.summary, place / "verdict.json")


def _mean_counts(result: Linearity) -> np.ndarray | None:
    """Mean counts of the genes tested; None where values are no counts."""
    if result.expression.scale_tested != "counts":
        return None
    matrix, tested = result.expression.matrix, (result.genes["status"] == names.OK).to_numpy()
    return np.asarray(matrix.mean(axis=0)).ravel()[tested]


def _edges(equations: Equations, claims: NetworkClaims | None) -> pd.DataFrame:
    """The edges of a network: beside the other parents, and what pooling leaves of them."""
    if claims is None:
        return equations.edges
    return pd.concat([equations.edges, claims.edges.drop(columns=["regulator", "target"])], axis=1)


@texts_of(describe)
def audit(
    adata: AnnData | pd.DataFrame | Expression | str | PathLike[str],
    *,
    network: pd.DataFrame | Sequence[tuple[str, str]] | None = None,
    triples: str = "auto",
    triple_margin: float = 0.1,
    curves: str = "auto",
    assignment: str | None = None,
    name: str = "",
    layer: str | None = None,
    kind: str = "auto",
    scale: str = "auto",
    log_base: float | str | None = None,
    log_offset: float | None = None,
    size_factors: str = "auto",
    gene_column: str | None = None,
    seed: int = 0,
    notes: tuple[str, ...] = (),
    command: str | None = None,
    obs: pd.DataFrame | None = None,
    resume: bool = False,
    **options: Any,
) -> Audit:
    """Ask whether the data contradict affine relations among genes.

    Parameters
    ----------
    adata
        Samples or cells x genes: AnnData, DataFrame, an :class:`~poolproof.data.expression.Expression`, or
        the path of a file that :func:`poolproof.read` reads.
    network
        Edges, a table with the columns ``regulator`` and ``target`` or a list of tuples: only they are
        tested, and each child's equation jointly on all its parents.
    triples
        ``auto``: of as many middle genes, drawn by the seed, as 5e8 triples allow (fewer for counts and with
        replicates); ``all``; ``none``. Lists of pairs and networks have no screen of triples.
    triple_margin
        Partial correlations below it count as none.
    curves
        ``auto``: pooling curves where the samples are single cells; ``none``.
    assignment
        Column of obs that names the pool (metacell) of each cell: tested for being random, and else for what
        the cells of a pool are alike in.
    name
        Of the data, for the verdict.
    layer, kind, scale, log_base, log_offset, size_factors, gene_column
        See :func:`poolproof.describe`.
    seed
        Of every random draw.
    notes
        Warnings from reading the file, to be kept with the verdict.
    command
        The command line that asked for the audit, for the report.
    obs
        Table of samples, where ``adata`` is a DataFrame.
    resume
        Whether to keep finished parts in the cache until the result is saved, and to go on from those that an
        interrupted audit of the same values with the same options left there.
    **options
        Passed on to :func:`poolproof.linearity`: ``test``, ``within``, ``replicate``, ``covariates``,
        ``regulators``, ``pairs``, ``fdr``, ``margin``, ``min_r2``, ``keep``, ``threads``, ...

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        The data or an option cannot be used; the message says what was expected and found.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> data = pd.DataFrame(rng.gamma(2.0, size=(100, 5)), columns=list("ABCDE"))
    >>> audit(data, kind="bulk", scale="additive").verdict
    'inconclusive'
    """
    for name in options.keys() - OPTIONS:
        near = "".join(f"; did you mean {other!r}?" for other in get_close_matches(name, OPTIONS, n=1))
        raise TypeError(f"audit() got an unexpected keyword argument {name!r}{near}")
    if "max_contradicting" in options:
        raise InputError(f"max_contradicting {NO_LIMIT}")
    if not options.get("control", True):
        raise InputError("control=False is for linearity; an audit of counts rests on its control")
    check_how(triples, curves, triple_margin)
    check_options(**{name: options[name] for name in CHECKED & options.keys()})
    if isinstance(adata, (str, PathLike)):
        name = name or printable(Path(adata).name, 255)
    asked = ValueOptions(layer, kind, scale, log_base, log_offset, size_factors, gene_column)
    memory, by_blocks = options.get("memory", MEMORY), options.get("client") is not None
    expression, obs = read_values(asked, adata, obs, memory=memory, seed=seed, by_blocks=by_blocks)
    if network is not None:
        if options.get("pairs") is not None or options.get("regulators") is not None:
            raise InputError("a network names its own pairs; leave out --pairs and --regulators")
        network = table_of(network, ("regulator", "target"), "edges")
        options = options | {"pairs": network}
    likeness = None if assignment is None else pool_likeness(expression, obs, assignment, seed=seed)
    options = {"floor": True} | options
    how: dict[str, Any] = {"triples": triples, "triple_margin": triple_margin, "curves": curves}
    parts = parts_of(expression, obs, options | how | {"seed": seed}) if resume else Parts()
    options["announce"] = announced(parts, options.get("announce"))
    with removed_if_refused(parts):
        result = linearity(expression, obs=obs, seed=seed, parts=parts, **options)
        progress = bool(options.get("progress", False))
        parts = parts.knowing(expression=result.expression, design=result.design)
        equations = claims = None
        if network is not None:
            with phase("equations and claims of the network", show=progress):
                tested = equations = parts("equations", lambda: equations_of(result, network))
                claims = parts("claims", lambda: claims_of(result, network, tested, triple_margin, options))
        survival = survival_of(
            result,
            obs,
            **how,
            threads=options.get("threads"),
            memory=memory,
            progress=progress,
            parts=parts,
        )
        shape = None
        if _may_be_compatible(result):
            with phase("products and spreads", show=progress):
                shape = parts("products and spreads", lambda: shape_of(result))
    evidence = Evidence(
        result.summary,
        None if result.population is None else result.population.summary,
        None if result.floor is None else result.floor.as_dict(),
        None if shape is None else shape.as_dict(),
        kind=expression.kind,
        kind_known=expression.kind_known,
        scale_tested=expression.scale_tested,
        margin=result.settings["margin"],
        control_passed=None if result.control is None else result.control.passed,
    )
    verdict, reasons = decide(evidence)
    steps = next_steps(
        evidence,
        verdict,
        pd.DataFrame() if result.population is None else result.population.table,
        unused_labels=unused_labels(expression, obs, result.settings),
        within=result.settings["within"],
        untested=_untested(result),
        counts_elsewhere=expression.counts_elsewhere,
        n_affine=result.summary["n_affine"],
        mean_counts=_mean_counts(result),
    )
    data = {
        "name": name,
        "kind": expression.kind,
        "n_obs": expression.n_obs,
        "n_obs_tested": sum(len(level.rows) for level in (result.all_cells or result.design).levels),
        "n_genes": int(expression.matrix.shape[1]),
        "n_genes_tested": int((result.genes["status"] == names.OK).sum()),
        "scale": expression.scale,
        "scale_tested": expression.scale_tested,
        "within": result.settings["within"],
        "replicate": result.settings["replicate"],
        "covariates": result.settings["covariates_used"],
        "warnings": list(
            dict.fromkeys(
                [
                    *notes,
                    *result.warnings,
                    *label_warnings(expression, obs, result),
                    *_suspicions(expression, result),
                    *(() if claims is None else claims.warnings),
                    *survival.notes,
                ]
            )
        ),
    }
    settings = result.settings | {
        "triples": triples,
        "triple_margin": triple_margin,
        "curves": curves,
        "assignment": assignment,
        "n_network_edges": None if network is None else len(network),
        "seed": seed,
        "command": command,
    }
    limits = limits_of(expression, obs, result, equations, survival.triples)
    return Audit(
        verdict=verdict,
        reasons=tuple(reasons),
        next_steps=tuple(steps),
        limits=tuple(limits),
        linearity=result,
        shape=shape,
        equations=equations,
        data=data,
        survival=survival,
        claims=claims,
        assignment=likeness,
        settings=settings,
        seed=seed,
        parts=parts,
    )


def _may_be_compatible(result: Linearity) -> bool:
    """Whether nothing is left in the way but products and spreads, which take their time to test."""
    high = None if result.population is None else result.population.summary["high"]
    cells = result.expression.kind == names.SINGLE_CELL
    return cells and high is not None and high < result.settings["margin"]


def _untested(result: Linearity) -> dict[str, int] | None:
    """Why listed pairs have no test, most frequent first; None where all pairs were tested."""
    if result.associations is not None:
        return None
    status = result.table["status"].astype(str)
    return {str(reason): int(n) for reason, n in status[status != names.OK].value_counts().items()}


def _suspicions(expression: Expression, result: Linearity) -> list[str]:
    """What no control can see; of counts only where the corrected test takes them for molecules."""
    scale = expression.scale_tested
    if scale == "counts" and result.summary["test"] != "corrected":
        return []
    return suspicions_of(expression.matrix, expression.genes, scale, expression.totals)
