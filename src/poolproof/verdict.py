"""The audit: data in, verdict out (science 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from . import _names as names
from ._annotate import annotate
from ._arrays import dense_columns
from ._caveats import label_warnings, limits_of
from ._checks import InputError, check_share
from ._figures import figure_data
from ._files import FIGURES, result_folder, write_json, write_parquet
from ._notebook import summary_html
from .control import LARGEST_SIZE
from .equations import Equations, joint_equations
from .expression import describe
from .matching import match_edges
from .pairs import CHECKED, Linearity, check_options, linearity

MIN_ASSOCIATED = 100
"""Associated pairs that ``compatible`` needs."""
MIN_AFFINE = 0.5
"""Share of them that must be affine by equivalence."""


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """A verdict and everything behind it."""

    verdict: str
    """``contradicted``, ``compatible`` or ``inconclusive``."""
    reasons: tuple[str, ...]
    """Why, each sentence with its number."""
    limits: tuple[str, ...]
    """What the verdict does not say."""
    linearity: Linearity
    """The tests of pairs of genes."""
    equations: Equations | None
    """Joint tests of a network's equations, where one was given."""
    data: dict[str, Any]
    """The entry ``data`` of verdict.json."""
    settings: dict[str, Any]
    """All options, defaults filled in."""
    seed: int
    """Of every random draw."""
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """UTC, to the second."""

    @property
    def table(self) -> pd.DataFrame:
        """The pair table."""
        return self.linearity.table

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
            "linearity": self.linearity.summary
            | {"levels": {name: level.summary for name, level in self.linearity.levels.items()}},
            "equations": None if self.equations is None else self.equations.summary,
            "triples": None,
            "limits": list(self.limits),
        }

    def __str__(self) -> str:
        lines = [f"Verdict: {self.verdict}", *(f"  {r}" for r in self.reasons), str(self.linearity)]
        lines += [f"Limit: {text}" for text in self.limits]
        lines += [f"Note: {text}" for text in self.data["warnings"]]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        sentences = [*self.reasons, str(self.linearity)]
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
        >>> rng = np.random.default_rng(0)
        >>> adata = AnnData(rng.gamma(2.0, size=(50, 3)))
        >>> audit(adata, kind="bulk", scale="additive").to_anndata(adata).uns["poolproof_verdict"]
        'inconclusive'
        """
        slots = self.linearity._slots() | {"verdict": self.verdict, "summary": self.summary}
        return annotate(adata, self.table, self.linearity.genes, slots, copy=copy)

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write pairs, genes, levels, equations, the figures' data and, last, verdict.json into a folder.

        :func:`poolproof.write_report` makes the report from these files.

        Raises
        ------
        InputError
            The folder holds something, and ``force`` is not set.
        """
        with result_folder(folder, force=force) as place:
            write_result(self, place)
        return Path(folder)


def write_result(audit: Audit, place: Path, *, pairs_written: bool = False) -> None:
    """Write the files of an audit into a folder that is ready for them."""
    if not pairs_written:
        write_parquet(audit.linearity.table, place / "pairs.parquet")
    write_parquet(audit.linearity.genes, place / "genes.parquet")
    if audit.linearity.levels:
        parts = [part.table.assign(level=name) for name, part in audit.linearity.levels.items()]
        write_parquet(pd.concat(parts, ignore_index=True), place / "levels.parquet")
    if audit.equations is not None:
        write_parquet(audit.equations.table, place / "equations.parquet")
        write_parquet(audit.equations.edges, place / "edges.parquet")
    figures = place / FIGURES
    figures.mkdir(exist_ok=True)
    for name, table in figure_data(audit.linearity).items():
        write_parquet(table, figures / f"{name}.parquet")
    write_json(audit.summary, place / "verdict.json")


def audit(
    adata: AnnData | pd.DataFrame,
    *,
    network: pd.DataFrame | None = None,
    max_contradicting: float = 0.05,
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
    **options: Any,
) -> Audit:
    """Ask whether the data contradict affine relations among genes.

    Parameters
    ----------
    adata
        Samples or cells x genes.
    network
        Edges with the columns ``regulator`` and ``target``: only they are tested, and each child's
        equation jointly on all its parents.
    max_contradicting
        Largest share of associated pairs that may contradict the affine model.
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
    >>> rng = np.random.default_rng(0)
    >>> data = pd.DataFrame(rng.gamma(2.0, size=(100, 5)), columns=list("ABCDE"))
    >>> audit(data, kind="bulk", scale="additive").verdict
    'inconclusive'
    """
    check_share("max_contradicting", max_contradicting)
    check_options(**{name: options[name] for name in CHECKED & options.keys()})
    expression = describe(
        adata,
        layer=layer,
        kind=kind,
        scale=scale,
        log_base=log_base,
        log_offset=log_offset,
        size_factors=size_factors,
        gene_column=gene_column,
    )
    obs = adata.obs if isinstance(adata, AnnData) else obs
    if obs is None:
        obs = pd.DataFrame(index=expression.obs_names)
    if network is not None:
        if options.get("pairs") is not None or options.get("regulators") is not None:
            raise InputError("a network names its own pairs; leave out --pairs and --regulators")
        options = options | {"pairs": network}
    result = linearity(expression, obs=obs, seed=seed, **options)
    equations = None if network is None else _equations(result, network, options)
    verdict, reasons = decide(
        result.summary,
        kind=expression.kind,
        scale_tested=expression.scale_tested,
        max_contradicting=max_contradicting,
        control_passed=None if result.control is None else result.control.passed,
    )
    data = {
        "name": name,
        "kind": expression.kind,
        "n_obs": int(expression.matrix.shape[0]),
        "n_obs_tested": int(sum(len(level.rows) for level in result.design.levels)),
        "n_genes": int(expression.matrix.shape[1]),
        "n_genes_tested": int((result.genes["status"] == names.OK).sum()),
        "scale": expression.scale,
        "scale_tested": expression.scale_tested,
        "within": result.settings["within"],
        "replicate": result.settings["replicate"],
        "covariates": result.settings["covariates_used"],
        "warnings": list(dict.fromkeys([*notes, *result.warnings, *label_warnings(expression, obs, result)])),
    }
    settings = result.settings | {"max_contradicting": max_contradicting, "seed": seed, "command": command}
    limits = limits_of(expression, obs, result, equations)
    return Audit(verdict, tuple(reasons), tuple(limits), result, equations, data, settings, seed)


def decide(
    summary: Mapping[str, Any],
    *,
    kind: str,
    scale_tested: str,
    max_contradicting: float = 0.05,
    control_passed: bool | None = None,
) -> tuple[str, list[str]]:
    """Apply the rule of science 7 to the counts of an analysis.

    Parameters
    ----------
    summary
        The entry ``linearity`` of verdict.json.
    kind
        ``bulk`` or ``single-cell``: bulk can contradict, it cannot confirm.
    scale_tested
        ``log`` where a log could not be undone: nothing can be decided then.
    max_contradicting
        Largest share of associated pairs that may contradict.
    control_passed
        Whether the split-count control stayed inside its band; None if it was not run.

    Returns
    -------
    The verdict and its reasons.

    Examples
    --------
    >>> counts = {"n_associated": 0, "n_unordered": 0, "n_unordered_affine": 0, "directed": False,
    ...           "n_pairs_tested": 90, "detectable_share": None, "control": None,
    ...           "share_contradicting": {"estimate": None, "low": None, "high": None}}
    >>> decide(counts, kind="bulk", scale_tested="additive")[0]
    'inconclusive'
    """
    share, n = summary["share_contradicting"], summary["n_unordered"]
    reasons: list[str] = []
    verdict = names.UNDECIDED
    if summary["n_associated"] == 0:
        reasons.append(f"None of {summary['n_pairs_tested']:,} tested pairs is associated: nothing to judge.")
        return verdict, reasons
    if n == 0:
        reasons.append(
            f"{summary['n_associated']:,} ordered pairs are associated, but of none could both directions be "
            "tested: nothing to judge."
        )
        return verdict, [*reasons, *_power_sentence(summary)]
    what = (
        "associated pairs are non-linear"
        if summary["directed"]
        else ("associated unordered pairs are non-linear in both directions")
    )
    affine = summary["n_unordered_affine"] / n
    reasons.append(
        f"{share['estimate']:.1%} of {n:,} {what} (95 % interval {share['low']:.1%} to {share['high']:.1%}, "
        f"by leaving out genes; limit {max_contradicting:.0%})."
    )
    if share["low"] > max_contradicting:
        verdict = names.CONTRADICTED
    elif share["high"] < max_contradicting:
        reasons.append(
            f"{affine:.1%} of the associated pairs are affine by equivalence"
            f"{'' if summary['directed'] else ', in at least one direction'}."
        )
        if kind == "bulk":
            reasons.append(
                "Bulk samples can contradict affine cells but not confirm them: pooling straightens."
            )
        elif n < MIN_ASSOCIATED:
            reasons.append(
                f"Only {n:,} associated pairs; {MIN_ASSOCIATED} are needed to call data compatible."
            )
        elif affine < MIN_AFFINE:
            reasons.append(
                f"At least {MIN_AFFINE:.0%} must be affine by equivalence to call data compatible."
            )
        else:
            verdict = names.COMPATIBLE
    else:
        reasons.append(f"The interval includes the limit of {max_contradicting:.0%}.")
    if scale_tested == "log" and verdict != names.UNDECIDED:
        verdict = names.UNDECIDED
    if scale_tested == "log":
        reasons.append("The values are logs that were not undone: a bend may come from the log alone.")
    if control_passed is False:
        verdict = names.UNDECIDED
        control = summary["control"]
        reasons.append(
            f"The split-count control rejects {control['rejected']:.1%} of affine truths at "
            f"{control['level']:.0%} (at most {LARGEST_SIZE:.0%} is expected): the test cannot be trusted "
            "on these counts."
        )
    if verdict == names.UNDECIDED:
        reasons += _power_sentence(summary)
    return verdict, reasons


def _power_sentence(summary: Mapping[str, Any]) -> list[str]:
    if summary["detectable_share"] is None:
        return []
    return [
        f"With these samples a non-linear share of {summary['detectable_share']:.0%} would be found with "
        "power 0.8 in a typical associated pair; smaller bends would be missed."
    ]


def _equations(result: Linearity, network: pd.DataFrame, options: Mapping[str, Any]) -> Equations:
    """Test the equations of a network on depth-normalised values; levels and replicates as in pairs."""
    expression, design = result.expression, result.design
    matched = match_edges(network, expression.genes, expression.symbols)
    edges = np.stack([matched.regulator_index, matched.target_index], axis=1)
    genes, flat = np.unique(edges, return_inverse=True)
    values = dense_columns(expression.matrix, genes)
    if expression.size_factors is not None:
        values = values / expression.size_factors[:, None]
    rows = np.concatenate([level.rows for level in design.levels])
    levels = np.concatenate([np.full(len(level.rows), i) for i, level in enumerate(design.levels)])
    clusters = None
    if design.n_clusters:
        clusters = np.concatenate([level.clusters for level in design.levels if level.clusters is not None])
    s = result.settings
    return joint_equations(
        values[rows],
        flat.reshape(edges.shape),
        list(expression.genes[genes]),
        covariates=_covariate_columns(result),
        levels=levels if len(design.levels) > 1 else None,
        replicate=clusters,
        fdr=s["fdr"],
        margin=s["margin"],
        min_r2=s["min_r2"],
    )


def _covariate_columns(result: Linearity) -> np.ndarray | None:
    """Covariates of all levels side by side, each zero outside its level; None without any."""
    design = result.design
    if all(level.covariates.shape[1] == 1 and level.strata.max(initial=0) == 0 for level in design.levels):
        return None
    blocks = []
    for level in design.levels:
        strata = np.eye(level.strata.max() + 1)[level.strata][:, 1:]
        blocks.append(np.hstack([level.covariates[:, 1:], strata]))
    n = sum(len(level.rows) for level in design.levels)
    joined = np.zeros((n, sum(block.shape[1] for block in blocks)))
    row = column = 0
    for block in blocks:
        joined[row : row + len(block), column : column + block.shape[1]] = block
        row, column = row + len(block), column + block.shape[1]
    return joined
