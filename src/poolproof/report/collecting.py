"""Many audits beside each other: what each of them says, and what differs between runs of the same data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from .. import _names as names
from .._checks import InputError, printable
from .._files import MARK, replace_file, to_json, write_parquet
from .._notebook import summary_html
from .audit_page import REPORT, read_verdict
from .audits_page import collect_page
from .page import text_of
from .tables import safe_csv

FILES = ("collected.html", "collected.parquet", "collected.csv", "collected.json", "poolproof_mqc.json")
MOST_AUDITS = 2_000
"""Audits on one page."""
NO_SETTINGS = ("command", "covariates_used")
"""Settings that say how an audit was called, not what it did."""


@dataclass(frozen=True, eq=False, repr=False)
class Collected:
    """What many audits say."""

    table: pd.DataFrame
    """One row an audit, in the order of their names: columns of ``collected.parquet``."""
    summary: dict[str, Any]
    """``n_audits``, ``verdicts`` (how many of each), ``differences`` (between runs of the same data, each
    with ``data``, ``audits``, ``setting`` and ``values``) and ``sentences``."""
    reports: tuple[Path | None, ...]
    """The page of each audit, where there is one."""

    def __str__(self) -> str:
        return "\n".join(self.summary["sentences"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        first, *others = self.summary["sentences"]
        return summary_html(first, others, self.table, [])

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write the page, the tables, and a file that MultiQC shows.

        Parameters
        ----------
        folder
            Where to; made if it is not there.
        force
            Whether to replace an earlier collection.

        Raises
        ------
        InputError
            The folder holds a collection and ``force`` is not set, or cannot be written to.
        """
        folder = Path(folder)
        check_free_folder(folder, force=force)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_parquet(self.table, folder / FILES[1])
        except OSError as error:
            raise InputError(
                f"--out {printable(folder, 400)} cannot be written: {error.strerror or error}; name another"
            ) from error
        links = [
            None if page is None else Path(os.path.relpath(page, folder.resolve())).as_posix()
            for page in self.reports
        ]
        replace_file(folder / FILES[2], safe_csv(self.table))
        replace_file(folder / FILES[3], to_json(self.summary) + "\n")
        replace_file(folder / FILES[4], to_json(multiqc_content(self.table)) + "\n")
        page = collect_page(self.table, self.summary, links)
        replace_file(folder / FILES[0], page)  # last, as the mark of completion
        return folder


def check_free_folder(folder: Path, *, force: bool) -> None:
    """Refuse a folder that holds a collection already.

    Raises
    ------
    InputError
        It does, and ``force`` is not set; or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {printable(folder, 400)} is a file; name a folder")
    present = [name for name in FILES if (folder / name).exists()]
    if present and not force:
        raise InputError(
            f"--out {printable(folder, 400)} holds an earlier collection ({present[0]}); name another "
            "folder, or pass --force"
        )


def collect(folders: str | Path | Sequence[str | Path]) -> Collected:
    """Put the verdicts of many audits side by side.

    Parameters
    ----------
    folders
        Folders of audits, or folders that hold some, at any depth.

    Returns
    -------
    Collected

    Raises
    ------
    InputError
        A folder holds no complete audit, or a file in it is not as an audit writes it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import poolproof
    >>> values = np.random.default_rng(0).gamma(2.0, size=(100, 5))
    >>> data = pd.DataFrame(values, columns=list("ABCDE"))
    >>> with tempfile.TemporaryDirectory() as place:
    ...     for margin in (0.1, 0.2):
    ...         done = poolproof.audit(data, kind="bulk", scale="additive", margin=margin, name="five genes")
    ...         _ = done.save(Path(place) / f"margin {margin}")
    ...     print(collect(place))
    2 audits: 2 inconclusive
    five genes: 2 runs differ in margin (0.1, 0.2)
    """
    found = audits_in([folders] if isinstance(folders, (str, Path)) else folders)
    verdicts = [read_verdict(folder) for folder in found]
    audit_names = _short_names(found)
    table = pd.DataFrame(
        [_row(name, verdict) for name, verdict in zip(audit_names, verdicts, strict=True)],
        columns=[column.name for column in names.COLLECTED_COLUMNS],
    )
    differences = differences_of(audit_names, verdicts)
    reports = tuple((of / REPORT).resolve() if (of / REPORT).is_file() else None for of in found)
    counts = {word: int((table["verdict"] == word).sum()) for word in names.VERDICTS}
    said = ", ".join(f"{n:,} {word}" for word, n in counts.items() if n)
    sentences = [f"{len(table):,} audit{'s' * (len(table) > 1)}: {said}"]
    sentences += _differences_said(differences)
    summary = {
        "n_audits": len(table),
        "verdicts": counts,
        "differences": differences,
        "sentences": sentences,
    }
    return Collected(table, summary, reports)


def audits_in(folders: Sequence[str | Path]) -> list[Path]:
    """Folders of complete audits, each once, in the order of their paths.

    Raises
    ------
    InputError
        One of the folders holds none, or all together hold more than `MOST_AUDITS`.
    """
    found: dict[Path, Path] = {}
    for given in map(Path, folders):
        if not given.is_dir():
            raise InputError(
                f"expected a folder of an audit; {printable(given, 400)} is not one; run poolproof audit"
            )
        inside = [given] if (given / MARK).is_file() else sorted(p.parent for p in given.rglob(MARK))
        if not inside:
            raise InputError(
                f"expected folders of complete audits; {printable(given, 400)} holds no {MARK}; run "
                "poolproof audit"
            )
        found |= {folder.resolve(): folder for folder in inside}
    if not found:
        raise InputError("expected at least one folder of an audit; found none")
    if len(found) > MOST_AUDITS:
        raise InputError(
            f"expected at most {MOST_AUDITS:,} audits; found {len(found):,}; collect fewer at once"
        )
    return sorted(found.values())


def _short_names(folders: Sequence[Path]) -> list[str]:
    """Paths without what they all begin with; one alone is its own name."""
    whole = [folder.resolve() for folder in folders]
    home = whole[0].parent if len(whole) == 1 else Path(os.path.commonpath(whole))
    return [text_of(path.relative_to(home).as_posix()) for path in whole]


def _row(name: str, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What the table says of one audit."""
    data, found, settings = verdict["data"], verdict["linearity"], verdict["settings"]
    share, floor = verdict.get("population") or {}, verdict.get("floor") or {}
    control = found.get("control") or {}
    return {
        "audit": name,
        "data": text_of(data["name"]),
        "verdict": verdict["verdict"],
        "kind": data["kind"],
        "test": found["test"],
        "n_obs": data["n_obs"],
        "n_genes": data["n_genes"],
        "n_pairs": found["n_pairs_tested"],
        "n_associated": found["n_associated"],
        "bend_share": share.get("bend_share"),
        "low": share.get("low"),
        "high": share.get("high"),
        "margin": found["margin"],
        "floor_of_same_genes": floor.get("floor"),
        "share_of_same_genes": floor.get("bend_share"),
        "share_nonlinear": found["share_nonlinear"],
        "share_affine": found["share_affine"],
        "control_bend_share": (control.get("bend_share") or {}).get("bend_share"),
        "within": ", ".join(map(text_of, settings.get("within") or [])),
        "replicate": text_of(settings.get("replicate") or ""),
        "version": text_of(verdict["tool"]["version"]),
        "created": text_of(verdict["created"]),
        "seed": verdict["seed"],
        "reason": text_of(verdict["reasons"][0]) if verdict["reasons"] else "",
    }


def differences_of(audits: Sequence[str], verdicts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What differs between audits of data with the same name: settings, size, version, verdict."""
    by_data: dict[str, list[int]] = {}
    for i, verdict in enumerate(verdicts):
        by_data.setdefault(text_of(verdict["data"]["name"]), []).append(i)
    found = []
    for data, places in by_data.items():
        if len(places) < 2 or not data:
            continue
        told = [_told(verdicts[i]) for i in places]
        for setting in told[0]:
            values = [of[setting] for of in told if setting in of]  # an older version may not have it
            if len(values) == len(told) and len(set(values)) > 1:
                found.append(
                    {
                        "data": data,
                        "audits": [audits[i] for i in places],
                        "setting": setting,
                        "values": [text_of(value) for value in values],
                    }
                )
    return found


def _told(verdict: Mapping[str, Any]) -> dict[str, str]:
    """What an audit was told, and what it found, as short texts."""
    settings = {
        text_of(name): json.dumps(value, ensure_ascii=False)
        for name, value in verdict["settings"].items()
        if name not in NO_SETTINGS
    }
    data = verdict["data"]
    return {
        "verdict": verdict["verdict"],
        "version": str(verdict["tool"]["version"]),
        "samples": str(data["n_obs"]),
        "genes": str(data["n_genes"]),
    } | settings


def _differences_said(differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each data set."""
    told: dict[str, list[str]] = {}
    n_runs = {of["data"]: len(of["values"]) for of in differences}
    for of in differences:
        values = ", ".join(dict.fromkeys(of["values"]))
        told.setdefault(of["data"], []).append(f"{of['setting']} ({values})")
    return [f"{data}: {n_runs[data]} runs differ in {', '.join(which)}" for data, which in told.items()]


def multiqc_content(table: pd.DataFrame) -> dict[str, Any]:
    """Custom content for MultiQC: a table with a row an audit.

    Notes
    -----
    Format: https://docs.seqera.io/multiqc/custom_content. Names go into HTML there as they are, so what
    HTML would read as markup is taken out.
    """
    shares = {"min": 0, "max": 1, "format": "{:,.3f}", "scale": "Oranges"}
    headers: dict[str, dict[str, Any]] = {
        "verdict": {
            "title": "Verdict",
            "description": "whether the data contradict affine relations",
            "scale": False,
            "cond_formatting_rules": {
                "warn": [{"s_eq": names.UNDECIDED}],
                "fail": [{"s_eq": names.CONTRADICTED}],
                "pass": [{"s_eq": names.COMPATIBLE}],
            },
        },
        "bend_share": {"title": "Bend share", "description": "of what genes explain in each other", **shares},
        "low": {"title": "Low", "description": "of the 95 % interval", **shares, "hidden": True},
        "high": {"title": "High", "description": "of the 95 % interval", **shares, "hidden": True},
        "floor_of_same_genes": {
            "title": "Affine floor",
            "description": "bend share that affine equations would show in the genes of the floor",
            **shares,
        },
        "n_obs": {"title": "Samples", "format": "{:,.0f}", "scale": "Greys"},
        "n_genes": {"title": "Genes", "format": "{:,.0f}", "scale": "Greys"},
        "kind": {"title": "Kind", "scale": False, "hidden": True},
    }
    rows = {
        _plain(row["audit"]): {
            name: _plain(row[name]) if isinstance(row[name], str) else row[name]
            for name in headers
            if not pd.isna(row[name])
        }
        for row in table.to_dict("records")
    }
    return {
        "id": "poolproof",
        "section_name": "poolproof",
        "description": "Whether causal relations among genes can be recovered from pooled expression data",
        "plot_type": "table",
        "pconfig": {"id": "poolproof_table", "title": "poolproof: verdicts", "col1_header": "Audit"},
        "headers": headers,
        "data": rows,
    }


def _plain(text: str) -> str:
    """Text without what HTML reads as markup."""
    for mark, instead in (("<", "("), (">", ")"), ("&", "+"), ('"', "'")):
        text = text.replace(mark, instead)
    return text
