#!/usr/bin/env python3
"""Write one line per audit, as CSV: collect.py FOLDER ... > verdicts.csv."""

import csv
import json
import sys
from pathlib import Path

COLUMNS = (
    "name",
    "verdict",
    "kind",
    "n_obs",
    "n_associated",
    "share_contradicting",
    "low",
    "high",
    "detectable_share",
    "first_reason",
)


def row(folder):
    """What the table says of one audit."""
    result = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    linearity = result["linearity"]
    share = linearity["share_contradicting"]
    return (
        folder.name,
        result["verdict"],
        result["data"]["kind"],
        result["data"]["n_obs"],
        linearity["n_associated"],
        share["estimate"],
        share["low"],
        share["high"],
        linearity["detectable_share"],
        result["reasons"][0],
    )


table = csv.writer(sys.stdout, lineterminator="\n")
table.writerow(COLUMNS)
table.writerows(row(Path(folder)) for folder in sys.argv[1:])
