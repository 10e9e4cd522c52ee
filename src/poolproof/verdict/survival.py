"""What pooling leaves: the part of an audit about triples, pools of its own cells, and what survives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .. import _names as names
from .._checks import InputError, check_choice, check_share, check_threads
from .._parts import Parts
from ..basis import N_COLUMNS
from ..pairs.every_pair import Linearity
from ..pools.curves import PoolingCurves, pooling_curves
from ..triples.confirmation import confirm_triples
from ..triples.every_triple import Options, Triples, screen_associated

TRIPLES = ("auto", "all", "none")
CURVES = ("auto", "none")
AUTO_TRIPLES = 5e8
"""Triples that an audit screens unless all are asked for: about 15 seconds of one processor."""
AUTO_PRODUCTS = 5e10
"""The same for counts and replicates, where each triple takes a product as long as there are cells."""
N_FOLLOWED = 50
"""Triples, the most distorted ones, that pooling curves follow."""


@dataclass(frozen=True, eq=False)
class Survival:
    """What an audit says of pooling, beside the pairs."""

    triples: Triples | None
    confirmation: dict[str, Any] | None
    """A sample of the triples by standard tests."""
    curves: PoolingCurves | None
    notes: tuple[str, ...]
    """What was left out, and why."""

    def summary(self, linearity: Mapping[str, Any], kind: str) -> dict[str, Any]:
        """Entries of verdict.json: ``triples``, ``pooling`` and ``survives``."""
        triples = None
        if self.triples is not None:
            triples = self.triples.summary | {"confirmation": self.confirmation}
        return {
            "triples": triples,
            "pooling": None
            if self.curves is None
            else self.curves.summary | {"sentences": str(self.curves).splitlines()},
            "survives": survives(linearity, triples, kind),
        }


def check_how(triples: str, curves: str, triple_margin: float) -> None:
    """Check the options of this part.

    Raises
    ------
    InputError
        One of them is not as described at :func:`poolproof.audit`.
    """
    check_choice("triples", triples, TRIPLES)
    check_choice("curves", curves, CURVES)
    check_share("triple_margin", triple_margin)


def survival_of(
    result: Linearity,
    obs: pd.DataFrame,
    *,
    triples: str = "auto",
    triple_margin: float = 0.1,
    curves: str = "auto",
    threads: int | None = None,
    memory: float = 4e9,
    progress: bool = False,
    parts: Parts | None = None,
) -> Survival:
    """Screen triples, confirm some of them, and draw pooling curves.

    Parameters
    ----------
    result
        The tests of pairs: same values, design, levels and replicates.
    obs
        Table of samples.
    triples
        ``auto``: of so many middle genes, drawn by the seed, as 5e8 triples allow; ``all``; ``none``. Lists
        of pairs have no triples.
    triple_margin
        Partial correlations below it count as none.
    curves
        ``auto``: where the samples are single cells; ``none``.
    parts
        What an interrupted run left.
    """
    part = Parts() if parts is None else parts
    options = _options(result, triple_margin, check_threads(threads), memory, progress)
    screened = confirmation = drawn = None
    notes: list[str] = []
    if triples != "none" and result.associations is not None:
        associations = result.associations

        def screened_anew() -> Triples:
            most = None if triples == "all" else _affordable(result)
            middle = associations.regulators if result.summary["directed"] else None
            return screen_associated(
                result.expression, result.design, associations, middle, options, result.settings, most=most
            )

        screened = part("triples", screened_anew)
        found = screened
        confirmation = part("confirmed triples", lambda: confirm_triples(found, associations, options))
    elif triples == "all":
        notes.append("no triples screened: they need all pairs tested, not those of a list or network alone")
    if curves != "none" and result.expression.kind == "single-cell":
        try:
            drawn = part("pooling curves", lambda: _curves(result, obs, screened, threads, progress))
            notes += [text for text in drawn.warnings if text not in result.warnings]
            if result.settings["covariates"]:
                notes.append("pooling curves leave out the covariates: pools have no one value of them")
        except InputError as error:
            notes.append(f"no pooling curves: {error}")
    return Survival(screened, confirmation, drawn, tuple(notes))


def _options(result: Linearity, margin: float, threads: int, memory: float, progress: bool) -> Options:
    """Triples are tested as the pairs were."""
    settings = result.settings
    return Options(
        correction="poisson" if result.summary["test"] == "corrected" else "none",
        margin=margin,
        min_r2=settings["min_r2"],
        overdispersion=settings["overdispersion"] or 0.0,
        k=settings["k"] or N_COLUMNS,
        seed=result.seed,
        threads=threads,
        memory=memory,
        progress=progress,
    )


def _affordable(result: Linearity) -> float:
    """Triples that are screened unless all are asked for: fewer where each takes a product over samples."""
    if result.summary["test"] == "corrected" or result.design.n_clusters > 0:
        return AUTO_PRODUCTS / sum(len(level.rows) for level in result.design.levels)
    return AUTO_TRIPLES


def _curves(
    result: Linearity, obs: pd.DataFrame, screened: Triples | None, threads: int | None, progress: bool
) -> PoolingCurves:
    settings = result.settings
    followed = pd.DataFrame({"x": [], "y": [], "z": []})
    if screened is not None:
        table = screened.table
        followed = table.loc[table["call"] == names.DISTORTED, ["x", "y", "z"]].head(N_FOLLOWED)
    return pooling_curves(
        result.expression,
        obs=obs,
        within=settings["within"],
        replicate=settings["replicate"],
        pairs=_listed_pairs(result),
        triples=followed,
        test=settings["test"],
        fdr=settings["fdr"],
        margin=settings["margin"],
        min_r2=settings["min_r2"],
        seed=result.seed,
        threads=threads,
        progress=progress,
    )


def _listed_pairs(result: Linearity) -> pd.DataFrame | None:
    """The pairs of a list or a network, which the curves then follow."""
    if result.associations is not None:
        return None
    tested = result.table["status"] == names.OK
    return result.table.loc[tested, ["regulator", "target"]]


def survives(linearity: Mapping[str, Any], triples: Mapping[str, Any] | None, kind: str) -> dict[str, Any]:
    """Count what survives pooling, what is lost and what cannot be told; in numbers and sentences.

    Parameters
    ----------
    linearity, triples
        Entries of verdict.json.
    kind
        ``bulk`` or ``single-cell``: bulk samples are pools, of which less can be said.

    Examples
    --------
    >>> found = survives({"n_associated": 4, "n_affine": 1, "n_nonlinear": 1, "n_inconclusive": 2}, None,
    ...                  "single-cell")
    >>> found["n_pairs_affine"], found["n_triples_survive"]
    (1, None)
    >>> found["sentences"][0]
    '1 of 4 associated ordered pairs is affine by equivalence: pools show the line of their cells.'
    """
    cells = kind == "single-cell"
    sentences = _said_of_pairs(linearity, cells) if linearity["n_associated"] else []
    counts: dict[str, int | None] = dict.fromkeys(("survive", "lost", "undetermined"))
    if triples is not None and triples["n_screened"]:
        counts = {
            "survive": triples["n_kept"] + triples["n_dependent"] - triples["n_hidden"],
            "lost": triples["n_distorted"] + triples["n_hidden"],
            "undetermined": triples["n_undetermined"],
        }
        sentences += _said_of_triples(triples, cells)
    return {
        "n_pairs_affine": linearity["n_affine"],
        "n_pairs_nonlinear": linearity["n_nonlinear"],
        "n_pairs_inconclusive": linearity["n_inconclusive"],
        **{f"n_triples_{name}": value for name, value in counts.items()},
        "sentences": sentences,
    }


def _said_of_pairs(linearity: Mapping[str, Any], cells: bool) -> list[str]:
    affine = (
        "pools show the line of their cells."
        if cells
        else "nothing in these pools speaks against a line in their cells, and nothing proves it."
    )
    bent = (
        "the curve that pools show is not that of their cells."
        if cells
        else "affine cells would not bend, unless composition or differences between samples do it."
    )
    n_affine, n_bent = linearity["n_affine"], linearity["n_nonlinear"]
    return [
        f"{n_affine:,} of {linearity['n_associated']:,} associated ordered pairs {_are(n_affine)} affine by "
        f"equivalence: {affine}",
        f"{n_bent:,} {_are(n_bent)} non-linear: {bent}",
        f"Of {linearity['n_inconclusive']:,} neither can be told.",
    ]


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _said_of_triples(triples: Mapping[str, Any], cells: bool) -> list[str]:
    what = "pools" if cells else "further pooling"
    said = [
        f"Of {triples['n_screened']:,} triples, {what} would keep {triples['n_kept']:,} separations and "
        f"{triples['n_dependent'] - triples['n_hidden']:,} dependences, and would turn "
        f"{triples['n_distorted']:,} separations into false edges and hide {triples['n_hidden']:,} "
        f"dependences; {triples['n_undetermined']:,} cannot be told with these "
        f"{'cells' if cells else 'samples'}."
    ]
    if not cells:
        said.append(
            "Separations of bulk samples are those of the pools: whether their cells have them, "
            "bulk data cannot say."
        )
    return said
