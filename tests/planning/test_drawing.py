"""Designs drawn from the cells of a pilot: who is drawn, what is measured, where the law is flagged."""

from dataclasses import replace

import numpy as np
import pytest
from test_pool_pilot import GENES, cells

from poolproof import plan_design
from poolproof.data.expression import describe
from poolproof.planning.costs import Prices
from poolproof.planning.designs import Design
from poolproof.planning.drawing import (
    LAW,
    MEASURED,
    draw_units,
    measure_drawn,
    pooled,
    reach_of,
    with_draws,
)
from poolproof.planning.pilot import measure_pilot
from poolproof.planning.search import Task


def reached(n=2400, donors=0, **options):
    adata = cells(n, donors=donors, **options)
    expression = describe(adata)
    replicate = "donor" if donors else None
    pilot = measure_pilot(expression, adata.obs, within=[], replicate=replicate, genes=GENES)
    return reach_of(expression, adata.obs, pilot, [], replicate), Task(pilot.system, "edges", 0.8, Prices())


@pytest.fixture(scope="module")
def plain():
    return reached()


@pytest.fixture(scope="module")
def of_donors():
    return reached(donors=6)


def depth(reach):
    return reach.pilot.system.depth


def test_draw_units__takes_no_cell_twice_and_refuses_what_is_not_there(plain):
    reach, _ = plain
    units = draw_units(reach, Design(200, 10, 1, depth(reach)), np.random.default_rng(0))
    assert units.shape == (200, 10)
    assert len(np.unique(units)) == 2000
    for design in (Design(300, 10), Design(100, 10, 8), Design(39, 1), Design(100, 1, 1, 2 * depth(reach))):
        assert not reach.has(design)
    with pytest.raises(ValueError, match="does not reach"):
        draw_units(reach, Design(300, 10, 1, depth(reach)), np.random.default_rng(0))


def test_draw_units__keeps_donors_apart_and_equal(of_donors):
    reach, _ = of_donors
    units = draw_units(reach, Design(300, 1, 5, depth(reach)), np.random.default_rng(0))
    labels = reach.obs["donor"].to_numpy()[units[:, 0]]
    assert sorted(np.unique(labels, return_counts=True)[1]) == [60] * 5
    pools = draw_units(reach, Design(60, 10, 1, depth(reach)), np.random.default_rng(0))
    labels = reach.obs["donor"].to_numpy()[pools]
    assert (labels == labels[:, :1]).all()
    assert not reach.has(Design(60, 10, 6, depth(reach)))  # several pools of a donor: left to the law


def test_pooled__sums_counts_and_thins_them(plain):
    reach, _ = plain
    rng = np.random.default_rng(0)
    units = draw_units(reach, Design(100, 5, 1, depth(reach)), rng)
    whole = pooled(reach, units, 1.0, rng)
    by_hand = np.asarray(reach.expression.matrix)[units].sum(axis=1)
    np.testing.assert_array_equal(whole.matrix, by_hand)
    np.testing.assert_allclose(whole.totals, np.asarray(reach.expression.totals)[units].sum(axis=1))
    half = pooled(reach, units, 0.5, rng)
    assert half.matrix.sum() == pytest.approx(0.5 * by_hand.sum(), rel=0.02)
    assert half.totals.sum() == pytest.approx(0.5 * whole.totals.sum(), rel=0.01)
    assert (half.matrix <= whole.matrix).all()


@pytest.mark.parametrize("k", [1, 10])
def test_measure_drawn__agrees_with_the_law_where_it_holds(plain, k):
    reach, task = plain
    design = reach.largest(k)
    drawn, law = measure_drawn(reach, task, design, seed=0), task.judge(design)
    assert drawn.n_edges == pytest.approx(law.n_edges, rel=0.4)
    assert drawn == measure_drawn(reach, task, design, seed=0)


def test_plan__says_what_was_measured_and_what_is_law():
    options = {"goal": "edges", "sizes": [1, 10], "threads": 1}
    found = plan_design(cells(2400), **options)
    rows = found.table[found.table["part"].isin(["frontier", "same_money"])]
    assert set(rows["basis"]) <= {MEASURED, LAW}
    assert MEASURED in set(rows["basis"])
    measured = rows[rows["basis"] == MEASURED].iloc[0]
    assert measured["n_edges"] != measured["n_edges_law"]
    of_law = rows[rows["basis"] == LAW]
    np.testing.assert_array_equal(of_law["n_edges"], of_law["n_edges_law"])
    assert [check["n_cells"] for check in found.summary["checks"]] == [1, 10]
    assert found.summary["checks"][1]["n_units"] == 240


def test_plan__without_a_pilot_all_is_law():
    found = plan_design(numbers={"r2": 0.1}, sizes=[1, 10])
    assert set(found.table["basis"]) == {LAW, ""}
    assert found.summary["checks"] == []


def test_with_draws__flags_a_law_that_is_wrong(plain):
    reach, task = plain
    system = replace(task.system, line=task.system.line / 30)
    wrong = replace(task, system=system)
    table = plan_design(numbers={"r2": 0.1}, sizes=[1]).table.head(1)
    table = table.assign(n_units=10**6, n_cells=1, depth=depth(reach))
    flagged, checks = with_draws(table, wrong, reach, ("frontier",), 0)
    assert "times the associated pairs" in flagged["flags"].iloc[0]
    assert checks[0]["n_edges"] > 1.5 * checks[0]["n_edges_law"]
    right, _ = with_draws(table, task, reach, ("frontier",), 0)
    assert "cells drawn from the pilot" not in right["flags"].iloc[0]
