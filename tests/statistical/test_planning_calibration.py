"""Laws of planning beside simulation: a few designs by default, all of the benchmark if full.

Bands fixed beforehand: a power within .05 of the law, a standard error within 15 %, each widened by 3.3
standard errors of the simulation (once in a thousand times). Designs that the tool flags are shown, not
judged. Where the law is known to be rougher (method 7c), the wider band stands here.
"""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.calibration

FULL = os.environ.get("POOLPROOF_CALIBRATION") == "full"
RUNS = 1000 if FULL else 100


def of_benchmarks(name):
    place = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, place)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = of_benchmarks("bench_planning")
CASES = (
    bench.CASES
    if FULL
    else [
        bench.Case("line", 150, 5),
        bench.Case("Hill", 400, 1),
        bench.Case("Hill", 400, 25),
        bench.Case("line", 400, 25, noise=4.0),
        bench.Case("Hill", 400, 5, noise=4.0),
        bench.Case("Hill", 1000, 1, 20.0),
        bench.Case("line", 500, 10, 20.0),
    ]
)
ROUGH = {"edge": 0.05, "bend": 0.05, "affine": 0.08}
"""Beyond the .05 that is promised: bent pairs are called affine a little more often than the law says."""
COUNTED = 0.1
"""Band of affine calls of counts."""


@pytest.mark.parametrize("case", CASES, ids=str)
def test_laws__agree_with_simulation(case):
    law, warned = bench.predict(case)
    found = bench.simulate(case, RUNS, seed=0)
    print({name: (round(law[name], 3), round(found[name], 3)) for name in law}, warned)
    if any(not said.startswith("counts") for said in warned):
        assert FULL, "no design of the short list is flagged"
        pytest.skip("; ".join(warned))
    for name, rough in ROUGH.items():
        if name == "affine" and case.counted:
            rough = COUNTED
        p = min(max(law[name], 1 / RUNS), 1 - 1 / RUNS)
        assert abs(law[name] - found[name]) < rough + 3.3 * np.sqrt(p * (1 - p) / RUNS), name
    sets = min(RUNS, bench.SETS)
    promised = 1.4 if case.counted else 1.15
    assert abs(np.log(law["error"] / found["error"])) < np.log(promised) + 3.3 / np.sqrt(2 * sets), "error"


triples = of_benchmarks("bench_plan_triples")


@pytest.mark.parametrize(
    "case",
    triples.CASES if FULL else [triples.Case(1000, 1), triples.Case(1000, 25), triples.Case(3000, 1, 40.0)],
    ids=str,
)
def test_laws_of_triples__agree_with_the_screen(case):
    runs = 1000 if FULL else 50
    for row in triples.rows(runs, cases=[case]):
        print(row)
        for name in ("kept", "distorted", "edges"):
            if f"{name}_law" not in row:
                continue
            # method 7c: of counts distorted triples are told less often than the law says, by up to .3
            rough = 0.3 if case.counted and name == "distorted" else 0.05
            p = min(max(float(row[f"{name}_law"]), 1 / runs), 1 - 1 / runs)
            off = abs(float(row[f"{name}_law"]) - float(row[f"{name}_runs"]))
            assert off < rough + 3.3 * np.sqrt(p * (1 - p) / runs), name


def test_pilot__of_a_third_says_what_the_whole_shows():
    import poolproof

    pilots = of_benchmarks("bench_pilots")
    cells = poolproof.load_dataset("sc_mixology_10x_3lines")
    table = pilots.trial(cells, ["cell_line"], 0, n_genes=100, whole=895).set_index("what")
    row = table.loc["associated pairs"]
    assert row["low"] < row["whole"] < row["high"]
