"""Plans: what is chosen, what is said, what is refused, what is written."""

import json
from importlib.resources import files

import jsonschema
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from browser import HOSTILE
from click.testing import CliRunner

import poolproof
from poolproof import InputError, plan_design
from poolproof.cli import commands
from poolproof.planning.costs import Prices, price_of, prices_of, units_for
from poolproof.planning.designs import Design, judge
from poolproof.planning.page import plan_page
from poolproof.planning.presets import list_presets, preset
from poolproof.planning.search import SIZES, Task, smallest, surface
from poolproof.planning.system import by_hand

SCHEMA = json.loads((files("poolproof.planning") / "plan.schema.json").read_text(encoding="utf-8"))
NUMBERS = {"r2": 0.1, "bend_share": 0.3, "molecules": 2.0, "depth": 4000.0}


@pytest.fixture(scope="module")
def plan():
    return plan_design(numbers=NUMBERS, goal="verdict", sizes=[1, 10, 50])


def test_plan__the_cheapest_design_reaches_the_power_and_a_smaller_one_does_not(plan):
    task = Task(by_hand(**NUMBERS), "verdict", 0.8, Prices())
    row = plan.table.query("part == 'frontier'").iloc[0]
    design = Design(row["n_units"], row["n_cells"], row["n_donors"], row["depth"])
    assert task.power_of(design) >= 0.8
    assert (
        row["n_units"] == 20
        or task.power_of(Design(0.9 * row["n_units"], row["n_cells"], 1, row["depth"])) < 0.8
    )
    costs = plan.table.query("part == 'frontier'")["cost"]
    assert costs.is_monotonic_increasing


def test_plan__same_money_costs_no_more(plan):
    money = plan.table.query("part == 'frontier'")["cost"].iloc[0]
    same = plan.table.query("part == 'same_money'")
    assert (same["cost"] <= money * 1.001).all()
    assert plan.summary["best"]["n_units"] == plan.table["n_units"].iloc[0]


def test_plan__says_it_in_one_sentence(plan):
    assert plan.sentence.endswith(".")
    assert "bend share to within" in plan.sentence
    assert "<strong>Plan</strong>" in plan._repr_html_()
    assert str(plan) == plan.sentence


def test_plan__fits_its_schema(plan, tmp_path):
    plan.save(tmp_path / "plan")
    kept = json.loads((tmp_path / "plan" / "plan.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(kept)
    assert len(pd.read_parquet(tmp_path / "plan" / "plan.parquet")) == len(plan.table)
    with pytest.raises(InputError, match="force=True"):
        plan.save(tmp_path / "plan")
    plan.save(tmp_path / "plan", force=True)


def test_plan__page_draws_and_keeps_text_as_text(plan):
    page = plan_page(plan.table, plan.summary)
    assert "Power over units and cells in each" in page
    hostile = plan.summary | {"unknown": HOSTILE, "source": HOSTILE[0]}
    text = plan_page(plan.table, hostile)
    assert "<script>" not in text
    assert 'onerror="' not in text


def test_plan__draws_its_surface(plan):
    ax = poolproof.plot.design_surface(plan)
    assert ax.get_xlabel().startswith("units")
    with pytest.raises(InputError, match="no design"):
        poolproof.plot.design_surface(plan.table.iloc[:0])


def test_plan__a_budget_that_is_too_small_says_so():
    found = plan_design(numbers=NUMBERS, goal="shape", budget=30, sizes=[1, 10])
    assert not found.summary["reached"]
    assert "No design within the limits" in found.sentence
    assert (found.table.query("part == 'same_money'")["cost"] <= 30).all()


def test_plan__depends_on_the_seed_alone():
    first, second = (plan_design(like="sc_mixology_10x_3lines", sizes=[1, 25]).table for _ in "ab")
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("name", list_presets())
def test_presets__are_systems_of_real_cells(name):
    system, error = preset(name)
    assert 0 < system.bend_share < 0.5
    assert 0 < error <= 1
    assert (system.line >= 0).all()
    assert (system.line + system.bend < 1).all()
    assert np.isfinite(judge(system, Design(3000, 1, 1, system.depth)).share_error)


def test_judge__structure_wants_units_and_shape_wants_single_cells():
    system = by_hand(r2=0.1, bend_share=0.3)
    cells, pools = (judge(system, Design(1000, k)) for k in (1, 50))
    assert cells.nonlinear_power > pools.nonlinear_power + 0.2
    assert cells.edges_power == pytest.approx(pools.edges_power, abs=0.1)
    assert cells.share_error < pools.share_error
    assert cells.distorted_power > pools.distorted_power


def test_judge__what_donors_share_is_seen_better_in_pools():
    system = by_hand(r2=0.02, between=0.3, r2_between=0.4, molecules=0.5, depth=2000.0)
    pools, cells = judge(system, Design(200, 100, 200, 2000.0)), judge(system, Design(200, 1, 40, 2000.0))
    assert pools.edges_power > cells.edges_power


def test_judge__more_samples_make_false_edges_certain():
    system = by_hand(distortion=0.05)
    found = [judge(system, Design(n, 50)).false_edges for n in (100, 1000, 10_000)]
    assert found[0] < found[1] < found[2]


def test_judge__says_where_a_law_may_fail():
    system = by_hand()
    assert "few donors" in "; ".join(judge(system, Design(400, 1, 4)).flags)
    assert "few donors" in "; ".join(judge(system, Design(400, 1, 8)).flags)
    assert "tails" in "; ".join(judge(by_hand(n22=40.0), Design(60, 1)).flags)
    assert judge(system, Design(4000, 1)).flags == ()


def test_smallest__and_surface_agree():
    task = Task(by_hand(r2=0.1), "edges", 0.8, Prices(), sizes=(1, 10))
    design = smallest(task, Design(20, 10))
    assert design is not None
    shown = surface(task, price_of(task.system, design, task.prices), 1)
    assert set(shown["n_cells"]) == {1, 10}
    assert shown["power"].max() <= 1
    assert smallest(Task(by_hand(r2=0.0), "edges", 0.8, Prices()), Design(20, 10)) is None


def test_prices__and_units():
    system = by_hand(molecules=1.0, depth=1000.0)
    prices = prices_of({"cells": 1.0, "reads": 1000.0, "donors": 50.0})
    assert price_of(system, Design(100, 1, 2, 1000.0), prices) == pytest.approx(2 * 50 + 100 * (1 + 1))
    assert units_for(system, 300.0, 1, 2, 1000.0, prices) == 100
    assert units_for(system, 50.0, 1, 2, 1000.0, prices) == 0
    assert SIZES[0] == 1


def cells(n=300, genes=40, mean=4.0, donors=0, seed=0):
    rng = np.random.default_rng(seed)
    factor = rng.gamma(2.0, 0.5, size=(n, 4))
    level = mean * (0.3 + factor[:, np.arange(genes) % 4] ** (1 + (np.arange(genes) % 3 == 0)))
    adata = AnnData(rng.poisson(level).astype(float))
    adata.var_names = [f"G{i}" for i in range(genes)]
    adata.obs_names = [f"c{i}" for i in range(n)]
    adata.uns["source"] = {"kind": "single-cell"}
    if donors:
        adata.obs["donor"] = [f"d{i % donors}" for i in range(n)]
    return adata


def test_plan__from_a_pilot_of_cells():
    found = plan_design(
        cells(600, donors=6),
        goal="edges",
        replicate="donor",
        donors=[8, 20],
        sizes=[1, 10],
        threads=1,
    )
    assert found.summary["pilot"]["n_cells"] == 600
    assert found.summary["pilot"]["n_donors"] == 6
    assert set(found.table.query("part == 'frontier'")["n_donors"]) <= {8, 20}
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(found.summary)))
    row = found.table.query("part == 'frontier'").iloc[0]
    assert row["power_low"] <= row["power"] <= row["power_high"]


def bad_pilots():
    logs = cells()
    logs.X = np.log1p(logs.X)
    bulk = cells(60)
    bulk.uns["source"] = {"kind": "bulk"}
    return {
        "logs": (logs, {}, "expected counts"),
        "few cells": (cells(20), {}, "at least 100 cells"),
        "bulk": (bulk, {}, "bulk alone"),
        "no donors": (cells(), {"donors": [8]}, "replicate"),
        "priced donors": (cells(), {"cost": "donors=5"}, "replicate"),
        "column": (cells(), {"replicate": "nobody"}, "nobody"),
        "empty counts": (cells(mean=0.01), {}, "expected"),
        "price": (cells(), {"cost": "cells=x"}, "cells"),
        "unknown price": (cells(), {"cost": "pigs=1"}, "pigs"),
        "goal": (cells(), {"goal": "fame"}, "goal"),
    }


@pytest.mark.parametrize("case", bad_pilots())
def test_plan__bad_pilots_get_one_line(case):
    pilot, options, said = bad_pilots()[case]
    with pytest.raises(InputError, match=said) as caught:
        plan_design(pilot, threads=1, **options)
    assert "\n" not in str(caught.value)


def test_plan__asks_for_one_of_pilot_preset_and_numbers():
    for options in ({}, {"like": "sc_kang_pbmc_8donors", "numbers": {"r2": 0.1}}):
        with pytest.raises(InputError, match="expected one of"):
            plan_design(**options)
    with pytest.raises(InputError, match="sc_kang"):
        plan_design(like="<b>")
    with pytest.raises(InputError, match="between 0 and 1"):
        plan_design(numbers={"r2": 3.0})
    with pytest.raises(InputError, match="numbers"):
        plan_design(numbers={"size": 3.0})


def test_plan_command__writes_a_plan_and_refuses_what_is_there(tmp_path):
    call = [
        "plan",
        "--numbers",
        "r2=0.1,bend_share=0.3",
        "--sizes",
        "1,10",
        "--out",
        str(tmp_path / "p"),
    ]
    run = CliRunner().invoke(commands, call)
    assert run.exit_code == 0, run.output
    assert (tmp_path / "p" / "plan.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "p" / "plan.json").read_text())["answer"] in run.output
    assert isinstance(CliRunner().invoke(commands, call).exception, InputError)
    run = CliRunner().invoke(commands, [*call, "--force", "--quiet", "--json"])
    assert json.loads(run.output)["goal"] == "verdict"


def test_plan_command__a_bad_pilot_leaves_no_folder(tmp_path):
    cells(20).write_h5ad(tmp_path / "few.h5ad")
    run = CliRunner().invoke(commands, ["plan", str(tmp_path / "few.h5ad"), "--out", str(tmp_path / "p")])
    assert "at least 100 cells" in str(run.exception)
    assert not (tmp_path / "p").exists()
