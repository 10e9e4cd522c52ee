"""Where the time of an audit goes: wall and processor time of every phase, of one version or of several.

    python benchmarks/bench_phases.py cells.h5ad
    python benchmarks/bench_phases.py cells.h5ad --python now=.venv/bin/python before=/other/venv/bin/python

Runs ``poolproof audit INPUT`` with default options in a fresh process of each interpreter and reads the log
lines that ``-v`` prints; peak memory is that of the process.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

LINE = re.compile(r"^([^:\n]+): done after ([\d.]+) s \(([\d.]+) s of processor time\)", re.M)


def run(python: str, source: str, options: list[str]) -> tuple[pd.DataFrame, float]:
    """Phases with their times, the whole run last, and the peak of memory in GiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-m", "poolproof.cli", "audit", source, "--out", f"{folder}/audit", "-v", *options]
        environment = os.environ | {"POOLPROOF_CACHE": f"{folder}/cache"}
        if source.startswith("dataset:"):
            environment = dict(os.environ)
        began = time.perf_counter()
        with open(f"{folder}/said", "w+", encoding="utf-8") as said:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            said.seek(0)
            text = said.read()
    if status:
        sys.exit(f"{' '.join(command)} ended with {status}: {text.splitlines()[-1:]}")
    rows = [(name.strip(), float(taken), float(cpu)) for name, taken, cpu in LINE.findall(text)]
    rows.append(("whole run", wall, used.ru_utime + used.ru_stime))
    return pd.DataFrame(rows, columns=["phase", "wall", "cpu"]), used.ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source", metavar="INPUT", type=lambda of: of if ":" in of else str(Path(of).resolve())
    )
    parser.add_argument("--python", nargs="+", default=[f"this={sys.executable}"], metavar="NAME=PATH")
    parser.add_argument("--options", default="", help="more options of the audit, as one text")
    arguments = parser.parse_args()
    source = arguments.source if ":" in arguments.source else str(Path(arguments.source).resolve())
    tables = []
    for given in arguments.python:
        name, _, python = given.rpartition("=")
        table, peak = run(python, source, arguments.options.split())
        print(f"{name or python}: peak {peak:.2f} GiB", flush=True)
        tables.append(table.groupby("phase", sort=False).sum().add_prefix(f"{name} " if name else ""))
    print(pd.concat(tables, axis=1).round(1).to_string())


if __name__ == "__main__":
    main()
