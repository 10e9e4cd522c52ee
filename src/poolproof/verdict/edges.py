"""What pooling leaves of one edge: the rule, and a sentence for each outcome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._names import (
    AFFINE,
    CANNOT_TELL,
    DISTORTED_EDGE,
    INCONCLUSIVE,
    NONLINEAR,
    NOT_ASSOCIATED,
    NOT_CONTRADICTED,
    NOT_SEEN,
    OK,
    SURVIVES,
)

UNTESTED = 1
"""Place of the rule whose sentence depends on the status of the pair."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of each edge; arrays of shape ``(n_edges,)``."""

    call: np.ndarray
    """Call of the pair, empty where it has none."""
    pair_status: np.ndarray
    """Status of the pair, empty where it is not in the table of pairs."""
    several: np.ndarray
    """Whether the child has other parents."""
    bent_beside: np.ndarray
    """Whether a bend was found beside them, and the child's equation is not affine by equivalence."""
    tested_beside: np.ndarray
    """Whether the bend could be tested beside them."""
    straight_child: np.ndarray
    """Whether the child's equation is affine by equivalence."""
    n_distorted: np.ndarray
    """Distorted separations that the edge carries."""

    @classmethod
    def of(
        cls,
        pair_table: pd.DataFrame,
        edges: pd.DataFrame,
        children: pd.DataFrame | None,
        n_distorted: np.ndarray,
        fdr: float,
    ) -> Evidence:
        """Collect it from the tables of pairs, edges and children."""
        key = pd.MultiIndex.from_frame(edges[["regulator", "target"]].astype(str))
        pairs = pair_table.set_index(["regulator", "target"])[["call", "status"]].astype(object).reindex(key)
        straight = np.zeros(len(edges), dtype=bool)
        if children is not None:
            affine = children.loc[children["call"] == AFFINE, "target"]
            straight = edges["target"].isin(set(affine)).to_numpy()
        bent = edges["joint_q_value"].to_numpy() <= fdr
        return cls(
            call=pairs["call"].fillna("").to_numpy(dtype=object),
            pair_status=pairs["status"].fillna("").to_numpy(dtype=object),
            several=edges["target"].map(edges["target"].value_counts()).to_numpy() > 1,
            bent_beside=bent & ~straight,
            tested_beside=np.isfinite(edges["joint_q_value"].to_numpy()),
            straight_child=straight,
            n_distorted=n_distorted,
        )


def edge_status(of: Evidence, *, kind: str, log: bool, corrected: bool) -> tuple[np.ndarray, np.ndarray]:
    """Status and reason of each edge, by the first rule that fits; see `judge_network`.

    Parameters
    ----------
    kind
        ``bulk``: an affine look does not reach the cells.
    log
        Whether the values are logs that were not undone.
    corrected
        Whether pairs were tested with the sampling noise removed; the equations were not.
    """
    everything = np.ones(len(of.call), dtype=bool)
    beside = of.several & of.bent_beside
    bulk = kind == "bulk"
    told = np.isin(of.call, (NONLINEAR, AFFINE, INCONCLUSIVE, NOT_ASSOCIATED)) & (of.pair_status == OK)
    rules: list[tuple[np.ndarray, str, str]] = [
        (everything & log, CANNOT_TELL, "The values are logs that were not undone."),
        (~told, CANNOT_TELL, ""),
    ]
    if corrected:
        rules.append(
            (
                beside & (of.call == AFFINE),
                CANNOT_TELL,
                "Affine as a pair; bent beside the other parents, by a test that keeps sampling noise.",
            )
        )
        beside = beside & False
    line = (
        "affine cells do that only if composition or batches do"
        if bulk
        else "a line in pools is not this curve"
    )
    rules += [
        (
            (of.call == NONLINEAR) & of.several & of.straight_child & (not corrected),
            CANNOT_TELL,
            "Bent as a pair, but the equation on all parents is affine by equivalence: the bend may be "
            "that of another parent.",
        ),
        (
            (of.call == NONLINEAR) & beside,
            DISTORTED_EDGE,
            f"Non-linear as a pair and beside the other parents; {line}.",
        ),
        (of.call == NONLINEAR, DISTORTED_EDGE, f"Non-linear as a pair; {line}."),
        (beside, DISTORTED_EDGE, f"Bent beside the other parents; {line}."),
        (of.call == NOT_ASSOCIATED, NOT_SEEN, "Regulator and target are not associated in these data."),
        (
            of.call == INCONCLUSIVE,
            CANNOT_TELL,
            "Associated, but these samples do not tell bent from straight.",
        ),
        (
            of.n_distorted > 0,
            CANNOT_TELL,
            "Affine as a pair, but a separation that this edge carries is distorted.",
        ),
        (
            of.several & ~of.tested_beside & ~of.straight_child,
            CANNOT_TELL,
            "Affine as a pair; its bend could not be tested beside the other parents.",
        ),
        (
            everything,
            NOT_CONTRADICTED if bulk else SURVIVES,
            "Affine by equivalence among these samples; they are pools, so the cells may still be bent."
            if bulk
            else "Affine by equivalence: pools of such cells obey the same line.",
        ),
    ]
    first = np.argmax(np.stack([rule for rule, _, _ in rules]), axis=0)
    status = np.array([word for _, word, _ in rules], dtype=object)[first]
    reason = np.array([sentence for _, _, sentence in rules], dtype=object)[first]
    for row in np.flatnonzero(first == UNTESTED):
        why = str(of.pair_status[row]).replace("_", " ") or "it is not in the table of pairs"
        reason[row] = f"The pair has no test: {why}."
    return status, reason
