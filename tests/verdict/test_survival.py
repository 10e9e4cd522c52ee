"""The part of an audit about pooling: which triples, which curves, and what survives in words."""

import numpy as np
import pandas as pd
import pytest

import poolproof
from poolproof import InputError
from poolproof._random import stream
from poolproof.verdict import survival as _survival
from poolproof.verdict import survives

CELLS = {"kind": "single-cell", "scale": "additive"}


@pytest.fixture(scope="module")
def cells():
    rng = stream(0, "cells")
    factors = rng.gamma(2.0, size=(2500, 2))
    values = factors @ rng.gamma(1.0, size=(2, 9)) + rng.gamma(1.0, size=(2500, 9))
    return pd.DataFrame(values, columns=[f"g{i}" for i in range(9)])


def audit(data, **options):
    return poolproof.audit(data, **(CELLS | {"curves": "none"} | options))


def test_triples__auto_draws_as_many_middle_genes_as_its_budget(cells, monkeypatch):
    every = audit(cells, triples="all")
    n_triples = every.triples.summary["n_screened"]
    assert every.triples.summary["n_middle"] == 9
    assert not any("--triples all" in limit for limit in every.limits)
    monkeypatch.setattr(_survival, "AUTO_TRIPLES", n_triples / 3)
    some = audit(cells)
    assert 1 <= some.triples.summary["n_middle"] <= 4
    assert some.triples.summary["n_screened"] <= n_triples / 3
    (limit,) = [limit for limit in some.limits if "--triples all" in limit]
    assert f"for {some.triples.summary['n_middle']} of 9 middle genes" in limit
    screened = some.triples.genes.query("n_screened > 0")["gene"]
    backwards = audit(cells[cells.columns[::-1]]).triples.genes.query("n_screened > 0")["gene"]
    assert set(screened) == set(backwards)


def test_triples__none_and_lists_of_pairs_have_none(cells):
    for options in ({"triples": "none"}, {"pairs": [("g0", "g1"), ("g1", "g2")]}):
        found = audit(cells, **options)
        assert found.triples is None
        assert found.summary["triples"] is None
        assert found.summary["survives"]["n_triples_survive"] is None


def test_triples__asked_for_beside_a_list_of_pairs_are_said_to_be_missing(cells):
    pairs = [("g0", "g1"), ("g1", "g2")]
    warned = audit(cells, pairs=pairs, triples="all").data["warnings"]
    (said,) = [note for note in warned if "triples" in note]
    assert said.startswith("no triples screened: they need all pairs tested")
    assert not [note for note in audit(cells, pairs=pairs).data["warnings"] if "triples" in note]


@pytest.mark.parametrize(("kind", "words"), [("single-cell", "in cells"), ("bulk", "in these samples")])
def test_triples__bulk_samples_are_no_cells(cells, kind, words):
    text = str(audit(cells, kind=kind).triples)
    assert f" separated {words}, of which " in text
    assert ("cells" in text) == (kind == "single-cell")


def test_triples__margin_is_the_one_asked_for(cells):
    strict, loose = (audit(cells, triple_margin=margin).triples.summary for margin in (0.02, 0.6))
    assert (strict["margin"], loose["margin"]) == (0.02, 0.6)
    assert strict["n_separated"] < loose["n_separated"]


def test_curves__of_cells_alone(cells):
    found = audit(cells, curves="auto")
    assert set(found.curves.table["regime"]) == {"mixed"}
    assert found.summary["pooling"]["sentences"]
    assert audit(cells, kind="bulk", curves="auto").curves is None
    assert audit(cells).summary["pooling"] is None


def test_curves__too_few_cells_are_a_note_not_an_error(cells):
    found = audit(cells.head(60), curves="auto")
    assert found.curves is None
    assert any(note.startswith("no pooling curves: ") for note in found.data["warnings"])


@pytest.mark.parametrize(
    "option", [{"triples": "some"}, {"curves": "all"}, {"triple_margin": 0.0}, {"triple_margin": "x"}]
)
def test_options__bad_ones_are_refused_before_any_work(option):
    with pytest.raises(InputError) as refused:
        audit(pd.DataFrame(), **option)
    assert next(iter(option)).replace("_", "-") in str(refused.value).replace("_", "-")


def test_survives__counts_and_words():
    linearity = {"n_associated": 10, "n_affine": 1, "n_nonlinear": 2, "n_inconclusive": 7}
    triples = dict.fromkeys(("n_screened", "n_dependent", "n_hidden", "n_kept", "n_distorted"), 0)
    triples |= {"n_screened": 100, "n_dependent": 40, "n_hidden": 5, "n_kept": 20, "n_distorted": 10}
    triples["n_undetermined"] = 30
    found = survives(linearity, triples, "single-cell")
    assert {name: found[name] for name in found if name.startswith("n_triples")} == {
        "n_triples_survive": 55,
        "n_triples_lost": 15,
        "n_triples_undetermined": 30,
    }
    assert (
        "Of 100 triples, pools would keep 20 separations and 35 dependences, and would turn 10 separations "
        "into false edges and hide 5 dependences; 30 cannot be told with these cells."
    ) in found["sentences"]
    bulk = " ".join(survives(linearity, triples, "bulk")["sentences"])
    assert "nothing proves it" in bulk
    assert "bulk data cannot say" in bulk
    assert "pools show the line of their cells" not in bulk
    nothing = survives(dict.fromkeys(linearity, 0), None, "bulk")
    assert nothing["sentences"] == []
    assert np.all([nothing[f"n_pairs_{call}"] == 0 for call in ("affine", "nonlinear", "inconclusive")])
