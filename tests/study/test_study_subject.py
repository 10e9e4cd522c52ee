"""A data set as the study looks at it: which genes are chosen, and who belongs together."""

from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from study_toys import AUREUS, YEAST, bulk, counts, made, toy_subject

from poolproof import InputError, describe
from poolproof.study import subject as _study_subject
from poolproof.study.plan import Entry, study_names, study_settings
from poolproof.study.subject import CONSECUTIVE, Subject, by_name, complete, rank_genes, read_subject


def names_of(expression, positions):
    return list(expression.genes[positions])


def ranked(adata, n, levels=None, **options):
    expression = describe(adata, **options)
    levels = np.zeros(adata.n_obs, dtype=int) if levels is None else levels
    return names_of(expression, rank_genes(expression, levels, n))


def table(columns):
    values = np.array(list(columns.values())).T
    adata = made(values, {})
    adata.var_names = list(columns)
    return adata


# --- the choice, by hand ---------------------------------------------------------------------------------


def test_rank__of_twice_as_many_most_expressed_those_that_vary_most_for_their_mean():
    swing = np.tile([-1.0, 1.0], 10)
    adata = table(
        {
            "high": 100 + 10 * swing,  # variance over mean 1
            "higher": 200 + 30 * swing,  # 4.5
            "middle": 50 + 30 * swing,  # 18
            "low": 40 + 5 * swing,  # 0.625
            "lowest": 1 + swing,  # not among the four most expressed
        }
    )
    assert ranked(adata, 2, scale="additive") == ["middle", "higher"]
    assert ranked(adata, 4, scale="additive") == ["middle", "higher", "high", "lowest"]
    assert len(ranked(adata, 50, scale="additive")) == 5


def test_rank__constant_genes_are_never_chosen():
    swing = np.tile([-1.0, 1.0], 10)
    adata = table({"a": 9 + swing, "flat": np.full(20, 1e6), "b": 5 + swing, "none": np.zeros(20)})
    assert ranked(adata, 10, scale="additive") == ["b", "a"]


def test_rank__what_varies_only_between_levels_does_not_vary():
    swing = np.tile([-1.0, 1.0], 10)
    levels = np.repeat([0, 1], 10)
    adata = table(
        {"apart": 100 + 90 * (levels - 0.5), "inside": 100 + swing, "both": 100 + 2 * swing + levels}
    )
    assert ranked(adata, 3, levels, scale="additive") == ["both", "inside"]
    assert ranked(adata, 3, scale="additive")[0] == "apart"


def test_rank__missing_values_are_left_out_of_mean_and_variance():
    swing = np.tile([-1.0, 1.0], 10)
    gappy = 10 + 3 * swing
    gappy[:4] = np.nan
    adata = table({"gappy": gappy, "whole": 10 + 2 * swing, "more": 10 + 4 * swing})
    assert ranked(adata, 3, scale="additive") == ["more", "gappy", "whole"]
    expression = describe(adata, scale="additive")
    assert complete(expression, np.arange(3)).tolist() == [False, True, True]


def test_rank__signs_are_dropped_from_the_mean():
    swing = np.tile([-1.0, 1.0], 10)
    adata = table({"minus": -50 + 2 * swing, "plus": 20 + swing, "zero": swing})
    assert set(ranked(adata, 1, scale="additive")) == {"minus"}


def test_rank__counts_are_divided_by_depth_first():
    rng = np.random.default_rng(0)
    depth = np.tile([0.2, 1.8], 50)
    values = rng.poisson(np.outer(depth, [300.0, 300.0, 300.0]))
    values[:, 1] = 300 * depth  # in proportion to depth: hardly varies once that is taken out
    adata = made(values, {"size": depth})
    assert "gene001" not in ranked(adata, 3, scale="counts", size_factors="obs:size")
    assert "gene001" in ranked(adata, 3, scale="counts", size_factors="none")


# --- laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [bulk, counts])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rank__does_not_depend_on_the_order_of_genes(make, seed):
    adata = make(n=80, n_genes=300, seed=seed)
    adata.var_names = [f"G{i * 7919 % 300}" for i in range(300)]
    if make is bulk:
        adata.X[np.random.default_rng(seed).random(adata.shape) < 0.01] = np.nan
    levels = np.arange(80) % 3
    shuffled = adata[:, np.random.default_rng(seed).permutation(300)].copy()
    scale = "additive" if make is bulk else "counts"
    assert ranked(adata, 50, levels, scale=scale) == ranked(shuffled, 50, levels, scale=scale)


def test_rank__ties_stay_in_the_order_of_names():
    swing = np.tile([-1.0, 1.0], 10)
    adata = table(dict.fromkeys(("d", "b", "a", "c"), 10 + swing))
    assert ranked(adata, 1, scale="additive") == ["a"]
    assert ranked(adata[:, ::-1].copy(), 2, scale="additive") == ["a", "b"]


def test_rank__sparse_as_dense():
    adata = counts(n=100, n_genes=40, sparse=False)
    thin = adata.copy()
    thin.X = sp.csr_matrix(adata.X)
    assert ranked(adata, 12, scale="counts") == ranked(thin, 12, scale="counts")


# --- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [YEAST, AUREUS])
def test_read__at_most_so_many_genes_in_the_order_of_names(name):
    found = read_subject(Entry(name))
    most = study_settings()
    assert len(found.chosen.genes) <= most["max_genes"]
    assert len(found.few.genes) == most["few_genes"]
    for part in (found.chosen, found.few):
        assert list(part.genes) == sorted(part.genes)
    assert set(found.few.genes) <= set(found.chosen.genes) <= set(found.every.genes)
    assert not np.isnan(found.few.matrix).any()
    assert len(found.obs) == found.every.matrix.shape[0]


def read_made(monkeypatch, adata, *, unit=None, data_settings=None, samples=None):
    """Read a data set that is not in the registry."""
    data = SimpleNamespace(name="toy", settings=data_settings or {}, filter=samples or {})
    monkeypatch.setattr(_study_subject, "load_dataset", lambda name, path: adata)
    return read_subject(SimpleNamespace(name="toy", dataset=data, path=None, unit=unit))


def test_read__few_genes_have_no_missing_values_and_come_next_in_rank(monkeypatch, small):
    small |= {"max_genes": 6, "few_genes": 3}
    swing = np.tile([-1.0, 1.0], 10)
    columns = {f"g{i}": 100 + (20 - i) * swing for i in range(8)}
    columns["g1"][3] = np.nan
    found = read_made(monkeypatch, table(columns), data_settings={"scale": "additive"})
    assert list(found.chosen.genes) == ["g0", "g1", "g2", "g3", "g4", "g5"]
    assert list(found.few.genes) == ["g0", "g2", "g3"]


def test_read__samples_that_should_not_be_used_are_left_out_and_it_is_said(monkeypatch):
    adata = bulk(n=60, good=["yes"] * 40 + ["no"] * 20)
    found = read_made(monkeypatch, adata, data_settings={"scale": "additive"}, samples={"good": ("yes",)})
    assert found.every.matrix.shape[0] == len(found.obs) == 40
    assert any("20 of 60 samples left out" in note for note in found.notes)


def test_read__options_of_values_and_of_tests_part(monkeypatch):
    adata = bulk(n=60, kind=["a", "b"] * 30)
    found = read_made(monkeypatch, adata, data_settings={"scale": "additive", "within": "kind"})
    assert found.options == {"within": "kind"}
    assert found.within == ["kind"]
    assert found.every.scale == "additive"


def test_read__a_unit_that_the_samples_have_not_is_refused(monkeypatch):
    with pytest.raises(InputError, match="batsh"):
        read_made(monkeypatch, bulk(n=60), unit="batsh", data_settings={"scale": "additive"})


def test_read__the_file_is_not_changed(monkeypatch):
    adata = counts(n=100)
    before = adata.copy()
    read_made(monkeypatch, adata, data_settings={"scale": "counts"})
    assert (adata.X != before.X).nnz == 0
    pd.testing.assert_frame_equal(adata.obs, before.obs)


def test_every_unit_is_a_column_of_its_data_set():
    for name in study_names():
        entry = Entry(name)
        if entry.unit in (None, CONSECUTIVE) or entry.dataset.place == "user":
            continue
        from poolproof import fetch_dataset

        assert entry.unit in anndata.read_h5ad(fetch_dataset(name), backed="r").obs, name


# --- groups and labels -----------------------------------------------------------------------------------


def test_groups__whole_units_every_group_used_and_nearly_equal():
    donors = np.repeat([f"d{i}" for i in range(13)], 10)
    found = toy_subject(bulk(n=130, donor=donors), unit="donor", scale="additive")
    groups = found.groups(5, seed=1)
    of_donor = pd.Series(groups).groupby(donors).nunique()
    assert (of_donor == 1).all()
    sizes = np.bincount(groups) // 10
    assert len(sizes) == 5
    assert sizes.max() - sizes.min() <= 1
    assert (groups != found.groups(5, seed=2)).any()
    assert (groups == found.groups(5, seed=1)).all()


def test_groups__fewer_units_than_groups_give_a_group_each():
    donors = np.repeat(["a", "b", "c"], 20)
    groups = toy_subject(bulk(n=60, donor=donors), unit="donor", scale="additive").groups(10, 0)
    assert sorted(set(groups)) == [0, 1, 2]


def test_groups__neighbours_and_single_samples():
    near = toy_subject(bulk(n=25), unit=CONSECUTIVE, scale="additive").groups(10, 0)
    assert (np.diff(near) >= 0).all()
    assert set(np.bincount(near)) == {2, 3}
    single = toy_subject(bulk(n=25), scale="additive").groups(10, 0)
    assert set(np.bincount(single)) == {2, 3}
    assert (np.diff(single) < 0).any()


def test_labels__combinations_are_not_mixed_up():
    adata = bulk(n=40, one=["a", "ab"] * 20, two=["bc", "c"] * 20)  # joined without a mark both are "abc"
    labels = toy_subject(adata, scale="additive").labels(["one", "two"])
    assert len(set(labels)) == 2
    assert toy_subject(adata, scale="additive").labels([]).tolist() == [0] * 40


def test_by_name__is_an_order_of_the_given_genes():
    expression = describe(table({"b": np.arange(20.0), "a": np.arange(20.0) ** 2}), scale="additive")
    assert names_of(expression, by_name(expression, np.array([0, 1]))) == ["a", "b"]
    assert isinstance(toy_subject(bulk(), scale="additive"), Subject)


def test_read__few_of_many_samples_are_drawn_inside_levels_and_all_are_audited(small):
    small |= {"few_samples": 54}
    found = read_subject(Entry(AUREUS), seed=1)
    assert found.chosen.matrix.shape[0] == len(found.chosen_obs) == 108
    assert found.few.matrix.shape[0] == found.every.matrix.shape[0] == len(found.obs) == 54
    assert found.obs["reference"].value_counts().to_dict() == {
        name: n // 2 for name, n in found.chosen_obs["reference"].value_counts().items()
    }
    assert list(found.few.obs_names) == list(found.obs.index)
    whole = found.chosen_obs.index.get_indexer(found.obs.index)
    assert (np.diff(whole) > 0).all()
    genes = [list(found.chosen.genes).index(gene) for gene in found.few.genes]
    assert np.array_equal(found.few.matrix, found.chosen.matrix[np.ix_(whole, genes)])
    assert list(read_subject(Entry(AUREUS), seed=2).obs.index) != list(found.obs.index)
