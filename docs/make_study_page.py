"""Put what ``poolproof study`` found into the page that tells of it: pictures, table and sentences.

``poolproof study --out study`` and then ``python docs/make_study_page.py study`` copies the pictures and the
summary beside the page, and writes every marked part of the page from the summary. With ``--check`` nothing
is written: exit code 1 and one line if a part of the page is not what the summary beside it says.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "explanation" / "figures"
SUMMARY = FIGURES / "study.json"
PAGE = HERE / "explanation" / "is-regulation-affine.md"
COMMAND = "python docs/make_study_page.py"
UNBROKEN = "\N{NO-BREAK SPACE}"
KEPT = ("tool", "created", "seed", "settings", "datasets", "controls", "findings", "left_out")
"""Parts of study.json that the page speaks of; the time that each data set took is left out."""


def main(arguments: Sequence[str]) -> int:
    """Write the page, or say that it is stale; return the exit code."""
    old = PAGE.read_text(encoding="utf-8")
    if "--check" in arguments:
        stale = page_text(old, json.loads(SUMMARY.read_text(encoding="utf-8"))) != old
        if stale:
            sys.stderr.write(f"the numbers of {PAGE.name} are stale: run {COMMAND} STUDY\n")
        return int(stale)
    (study,) = map(Path, arguments)
    summary = json.loads((study / "study.json").read_text(encoding="utf-8"))
    summary = {name: summary[name] for name in KEPT}
    for row in summary["datasets"]:
        del row["notes"]
    for old_picture in FIGURES.glob("study_*.svg"):
        old_picture.unlink()
    for picture in (study / "figures").glob("study_*.svg"):
        shutil.copy(picture, FIGURES / picture.name)
    SUMMARY.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page_text(old, summary), encoding="utf-8")
    return 0


def page_text(page: str, summary: Mapping[str, Any]) -> str:
    """Page with every marked part written anew: ``<!-- study: NAME -->`` to ``<!-- end -->``."""

    def part(match: re.Match[str]) -> str:
        name = match[2]
        text = TABLES[name](summary) if name in TABLES else fill(summary["findings"].get(name, ""))
        return f"{match[1]}\n{text}\n\n{match[3]}"

    return re.sub(r"(<!-- study: (\w+) -->\n).*?(<!-- end -->)", part, page, flags=re.DOTALL)


def fill(text: str, width: int = 110) -> str:
    """Wrap a sentence; a number keeps its percent sign."""
    whole = text.replace(" %", "\0%")
    return textwrap.fill(whole, width, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def datasets_table(summary: Mapping[str, Any]) -> str:
    """The data sets with their shares and intervals."""
    head = ["data set", "kind", "samples", "bend share", "affine floor", "split counts", "verdict"]
    rows = []
    for row in summary["datasets"]:
        found = [interval(row["bend_share"]), floor(row["floor"]), percent(row["control_share"]["estimate"])]
        rows.append([label_of(row), row["group"], f"{row['n_obs']:,}", *found, row["verdict"]])
    return table(head, rows)


def parts_table(summary: Mapping[str, Any]) -> str:
    """The bend share of parts of the pairs."""
    head = ["data set", "all pairs", "less bent direction", "direct pairs", "direct, less bent direction"]
    parts = ("better_direction", "direct", "direct_better_direction")
    rows = [
        [label_of(row), interval(row["bend_share"]), *(interval(row["bend_parts"][part]) for part in parts)]
        for row in summary["datasets"]
    ]
    return table(head, rows)


def levels_table(summary: Mapping[str, Any]) -> str:
    """The bend share inside levels."""
    rows = [
        [label_of(row), level.replace("|", "/"), interval(share)]
        for row in summary["datasets"]
        for level, share in row["bend_levels"].items()
        if len(row["bend_levels"]) > 1
    ]
    return table(["data set", "level", "bend share"], rows)


def calls_table(summary: Mapping[str, Any]) -> str:
    """The calls of single pairs."""
    head = ["data set", "associated", "non-linear", "affine", "non-linear both ways"]
    rows = []
    for row in summary["datasets"]:
        shares = [interval(row[f"share_{name}"]) for name in ("nonlinear", "affine", "contradicting")]
        rows.append([label_of(row), f"{row['n_associated']:,}", *shares])
    return table(head, rows)


def verdicts_table(summary: Mapping[str, Any]) -> str:
    """What a user reads: the verdict and its last reason; the first is the bend share."""
    rows = [[label_of(row), row["verdict"], row["reasons"][-1]] for row in summary["datasets"]]
    return table(["data set", "verdict", "the sentence that decides"], rows)


def label_of(row: Mapping[str, Any]) -> str:
    """Name of a data set, unbroken."""
    return str(row["label"]).replace(" ", UNBROKEN)


def floor(found: Mapping[str, float | None]) -> str:
    """What affine equations make, of what, and the excess that chance allows."""
    if found["floor"] is None:
        return "–"
    words = (
        f"{percent(found['floor'])} of {percent(found['bend_share'])},",
        f"chance {percent(found['limit'])}",
    )
    return " ".join(word.replace(" ", UNBROKEN) for word in words)


def controls_table(summary: Mapping[str, Any]) -> str:
    """What each control found in each data set."""
    head = [
        "data set",
        "permuted: associated",
        "affine: rejected at 5 %, called non-linear, bend share",
        "Hill: found, bend share",
    ]
    rows = []
    for dataset in summary["datasets"]:
        mine = {row["control"]: row for row in summary["controls"] if row["dataset"] == dataset["name"]}
        found = [say(mine[name]) if name in mine else "–" for name, say in CONTROLS.items()]
        rows.append([label_of(dataset), *found])
    return table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def percent(share: float | None) -> str:
    """A share, with one decimal below 10 %."""
    return "–" if share is None else f"{100 * share:z.{0 if abs(share) >= 0.0995 else 1}f} %"


def interval(share: Mapping[str, float | None]) -> str:
    """A share with its interval in per cent, each of both unbroken."""
    if share["estimate"] is None:
        return "–"
    low, high = (percent(share[end]).removesuffix(" %") for end in ("low", "high"))
    return " ".join(
        part.replace(" ", UNBROKEN) for part in (percent(share["estimate"]), f"({low} to {high})")
    )


def _outside(row: Mapping[str, Any]) -> str:
    return {True: "", False: " **outside**", None: " (not asked)"}[row["inside"]]


CONTROLS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "permuted": lambda row: f"{row['n_associated']:,} of {row['n_tested']:,}{_outside(row)}",
    "affine": lambda row: (
        ", ".join(percent(row[of]) for of in ("share_rejected", "share_nonlinear", "bend_share"))
        + _outside(row)
    ),
    "hill": lambda row: (
        f"{percent(row['share_found'])} of {row['n_tested']}, {percent(row['bend_share'])}{_outside(row)}"
    ),
}
TABLES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "datasets": datasets_table,
    "parts_table": parts_table,
    "levels_table": levels_table,
    "calls_table": calls_table,
    "verdicts_table": verdicts_table,
    "controls_table": controls_table,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
