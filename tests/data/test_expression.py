"""Describing values: kind, scale, logs undone, size factors, and what is refused."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import shared_data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from poolproof import InputError, describe, read
from poolproof.data.depth import mean_one, median_ratio
from poolproof.data.scale import measure, mentions_log, stated_options, undo_log

# file: kind, scale, size factors
REAL = {
    "bulk_ecoli_precise": ("bulk", "log", "none"),
    "bulk_geuvadis_lcl_eqtl": ("bulk", "additive", "none"),
    "bulk_gtex_blood_small": ("bulk", "additive", "none"),
    "bulk_islet_fadista": ("bulk", "counts", "median-ratio"),
    "bulk_mixology_pools": ("bulk", "counts", "median-ratio"),
    "bulk_pickrell_lcl_counts": ("bulk", "counts", "median-ratio"),
    "bulk_saureus_imodulon": ("bulk", "log", "none"),
    "bulk_yeast_segregants_eqtl": ("bulk", "log", "none"),
    "bulk_yeast_stress_gasch": ("bulk", "log", "none"),
    "sc_islet_xin": ("single-cell", "log", "none"),
    "sc_kang_pbmc_8donors": ("single-cell", "counts", "total"),
    "sc_kang_pbmc_ifnb": ("single-cell", "counts", "total"),
    "sc_mdc_lps_beeline": ("single-cell", "log", "none"),
    "sc_mixology_10x_3lines": ("single-cell", "counts", "total"),
    "sc_mixology_cells": ("single-cell", "counts", "total"),
    "sc_onek1k_pbmc_40donors": ("single-cell", "counts", "total"),
    "sc_papalexi_thp1_crispr": ("single-cell", "counts", "total"),
}
UMI = {"bulk_mixology_pools"} | {
    name for name, (kind, scale, _) in REAL.items() if (kind, scale) == ("single-cell", "counts")
}


def counts(n=40, g=30, mean=3.0, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 2.0, (n, 1))
    return rng.poisson(depth * rng.gamma(1.0, mean, (1, g))).astype(float)


def adata_of(matrix, **uns) -> ad.AnnData:
    n, g = matrix.shape
    made = ad.AnnData(
        matrix,
        obs=pd.DataFrame(index=[f"sample_{i}" for i in range(n)]),
        var=pd.DataFrame(index=[f"ENSG{i:011d}" for i in range(g)]),
    )
    made.uns.update(uns)
    return made


def refusal(*args, **options) -> str:
    with pytest.raises(InputError) as caught:
        describe(*args, **options)
    message = str(caught.value)
    assert message.isprintable()
    return message


def said(found) -> str:
    return "\n".join(found.warnings)


# --- real data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_describe__real_file(name):
    adata = read(shared_data(f"{name}.h5ad"))
    kind, scale, method = REAL[name]
    found = describe(adata)
    assert (found.kind, found.scale, found.settings["size_factors"]) == (kind, scale, method)
    assert found.umi_like == (name in UMI)
    assert found.scale_tested == scale  # a log is not undone without --log-base
    del adata.uns["source"]
    blind = describe(adata)
    assert blind.scale == scale
    if scale == "counts" and name != "bulk_mixology_pools":  # pools of cells: as shallow as cells
        assert blind.kind == kind
    if scale == "log":
        assert "--log-base" in said(blind)


@pytest.mark.parametrize("name", ["sc_kang_pbmc_ifnb", "sc_papalexi_thp1_crispr", "bulk_pickrell_lcl_counts"])
def test_describe__real_logs_and_linear_values_of_counts_told_apart(name):
    adata = read(shared_data(f"{name}.h5ad"))
    del adata.uns["source"]
    raw = adata.X.astype(float)
    depth = np.asarray(raw.sum(axis=1)).ravel()
    for target in (1.0, 1e4, 1e6):
        adata.X = sp.csr_matrix(sp.diags(target / depth) @ raw)
        assert describe(adata).scale == "additive"
        if target > 1:
            adata.X = adata.X.log1p()
            assert describe(adata).scale == "log"


@pytest.mark.parametrize("name", ["bulk_geuvadis_lcl_eqtl", "bulk_gtex_blood_small"])
def test_describe__real_linear_values_in_the_range_of_logs(name):
    adata = read(shared_data(f"{name}.h5ad"))
    del adata.uns["source"]
    adata.X = adata.X / adata.X.max() * 20
    assert describe(adata).scale == "additive"  # the skewness gives them away


def test_describe__real_log_undone_as_stated():
    adata = read(shared_data("bulk_ecoli_precise.h5ad"))
    assert "--log-base 2 --log-offset 1" in said(describe(adata))
    found = describe(adata, log_base=2, log_offset=1)
    assert (found.scale, found.scale_tested) == ("log", "additive")
    np.testing.assert_allclose(found.matrix, 2.0 ** adata.X.astype(float) - 1, rtol=1e-12, atol=1e-12)
    totals = found.matrix.sum(axis=1)
    np.testing.assert_allclose(np.median(totals), 1e6, rtol=0.1)  # TPM


# --- scale and kind --------------------------------------------------------------------------------


def test_describe__counts_dense_csr_csc_frame_agree():
    matrix = counts()
    made = [describe(adata_of(f(matrix))) for f in (np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array)]
    made.append(describe(adata_of(matrix).to_df()))
    for found in made:
        values = found.matrix.toarray() if sp.issparse(found.matrix) else found.matrix
        np.testing.assert_array_equal(values, matrix)
        assert values.dtype == np.float64
        np.testing.assert_allclose(found.size_factors, made[0].size_factors, rtol=1e-12)
        assert found.warnings == made[0].warnings
    assert [sp.issparse(found.matrix) for found in made] == [False, True, True, True, False]


def test_describe__prints_what_was_found_and_no_arrays():
    text = str(describe(adata_of(counts())))
    assert text.splitlines()[0] == "40 cells x 30 genes"
    assert "scale: counts, tested as counts" in text
    assert "kind guessed as single-cell" in text
    assert "array" not in text


def test_describe__does_not_change_the_callers_data():
    stored = sp.csr_matrix(counts())
    stored.data[0] = 0.0  # an explicit zero stays in the caller's matrix
    adata = adata_of(stored, log1p={"base": None})
    before = adata.copy()
    found = describe(adata, scale="log")
    found.matrix.data[:] = -1
    assert adata.X.nnz == before.X.nnz
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())
    assert list(adata.uns) == list(before.uns)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize(("true", "stated"), [(2.0, 10), (None, 2), (10.0, None), (None, 10)])
def test_describe__a_base_of_another_layer_gives_way_to_the_values(true, stated, form):
    of_cells = counts()
    normalised = of_cells / of_cells.sum(axis=1, keepdims=True) * 1e3
    log = np.log1p(normalised) / (np.log(true) if true else 1.0)
    found = describe(adata_of(form(log), log1p={"base": stated}))
    assert found.settings["log_base"] == pytest.approx(true or np.e)
    assert "the log of a layer overwrites that entry" in said(found)
    assert "overwrites" not in said(describe(adata_of(form(log), log1p={"base": true})))
    given = describe(adata_of(form(log), log1p={"base": stated}), log_base=3.0)
    assert given.settings["log_base"] == 3.0  # who says the base is believed


def test_describe__a_stated_base_stands_where_the_values_tell_nothing():
    log = np.log2(1 + np.random.default_rng(0).gamma(2.0, size=(40, 20)))
    found = describe(adata_of(log, log1p={"base": 10}))
    assert found.settings["log_base"] == 10.0
    assert "overwrites" not in said(found)


def test_describe__scanpy_log1p_goes_back_to_the_values():
    additive = counts() / 7
    for base in (None, 2.0):
        log = np.log1p(additive) / (np.log(base) if base else 1.0)
        for form in (np.asarray, sp.csr_matrix):
            found = describe(adata_of(form(log), log1p={"base": base}))
            values = found.matrix.toarray() if sp.issparse(found.matrix) else found.matrix
            assert (found.scale, found.scale_tested) == ("log", "additive")
            np.testing.assert_allclose(values, additive, rtol=1e-12)
            assert found.settings["log_offset"] == 1.0


@given(
    hnp.arrays(np.float64, (4, 3), elements=st.floats(0, 1e6)),
    st.sampled_from([2.0, np.e, 10.0]),
    st.sampled_from([0.01, 0.5, 1.0]),
)
def test_undo_log__law(values, base, offset):
    log = np.log(values + offset) / np.log(base)
    np.testing.assert_allclose(undo_log(log, base, offset), values, rtol=1e-9, atol=1e-9 * (1 + offset))
    sparse = undo_log(sp.csr_matrix(log), base, offset)
    np.testing.assert_allclose(
        sparse.toarray() if sp.issparse(sparse) else sparse, undo_log(log, base, offset)
    )


def test_describe__log_ratios_take_offset_0():
    log = np.random.default_rng(0).normal(0, 1.7, (20, 5))
    found = describe(pd.DataFrame(log), log_base="2", kind="bulk")
    assert found.scale_tested == "additive"
    assert found.settings["log_offset"] == 0.0
    np.testing.assert_allclose(found.matrix, 2.0**log)
    positive = describe(pd.DataFrame(np.abs(log) + 3), log_base=2)
    assert positive.scale_tested == "log"
    assert "--log-offset OFFSET" in said(positive)


def test_describe__scaled_values_cannot_be_undone():
    log = np.log1p(counts(100))
    scaled = pd.DataFrame((log - log.mean(axis=0)) / log.std(axis=0))
    found = describe(scaled, log_base="e", log_offset=1)
    assert found.scale_tested == "log"
    assert "scaled" in said(found)
    assert describe(scaled).scale == "log"
    kept = describe(scaled, scale="additive")
    assert kept.scale_tested == "additive"
    assert "scaling changes no call" in said(kept)


def test_describe__whole_numbers_that_are_no_counts():
    rng = np.random.default_rng(0)
    ratios = pd.DataFrame(np.round(rng.normal(0, 2, (30, 5))))
    assert describe(ratios).scale == "log"
    rounded = adata_of(
        np.round(rng.normal(8, 2, (30, 5))).clip(0), source={"values": "log2 intensity, rounded"}
    )
    assert describe(rounded).scale == "log"
    assert describe(adata_of(counts(), log1p={})).scale == "counts"  # a log is never whole throughout


def test_describe__claims_beyond_the_range_of_logs_are_not_believed():
    values = counts(mean=500.0) + 0.5
    assert "no log reaches" in said(describe(adata_of(values, log1p={})))
    assert describe(adata_of(values, source={"values": "log2(x)"})).scale == "additive"


def test_describe__layers_and_raw():
    made = adata_of(np.log1p(counts() / 3), log1p={})
    made.layers["counts"] = sp.csc_matrix(counts())
    made.layers["lognorm"] = made.X * 1.0
    made.raw = adata_of(counts())
    found = describe(made)
    assert "pass --layer counts" in said(found)
    assert "pass --layer raw" in said(found)
    for layer in ("counts", "raw"):
        taken = describe(made, layer=layer)
        assert (taken.scale, taken.settings["layer"]) == ("counts", layer)
    assert describe(made, layer="lognorm").scale == "log"
    assert "counts, lognorm, raw" in refusal(made, layer="count")
    made.X = None
    assert "counts, lognorm, raw" in refusal(made)


def test_describe__kind():
    cells = adata_of(counts())
    assert "pass --kind single-cell" in said(describe(cells))
    assert not describe(cells).kind_known
    assert describe(cells, kind="single-cell").kind_known
    deep = adata_of(counts(mean=50_000.0))
    assert describe(deep).kind == "bulk"
    assert not describe(deep).umi_like
    cells.uns["source"] = {"kind": "bulk"}
    assert describe(cells).kind == "bulk"
    assert describe(cells, kind="single-cell").kind == "single-cell"


def test_describe__hostile_uns_is_survived():
    for source in ("text", 3, {"kind": 5, "values": ["log"]}, {"values": "\x1b[31m log2(\n"}):
        made = adata_of(counts() / 3, source=source, log1p="x", poolproof_read={"warnings": ["a\x1bb"]})
        found = describe(made)
        assert all(sentence.isprintable() for sentence in found.warnings)
    assert "base" in refusal(adata_of(np.log1p(counts() / 3), log1p={"base": "x"}))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("log2(TPM+1)", True),
        ("linear scale (not log, not raw counts)", False),
        ("counts, not log-transformed", False),
        ("log-normalised expression", True),
        ("raw counts of log phase cells", False),
        ("ln(x + 1)", True),
        ("unlogged", False),
        ("catalogue", False),
    ],
)
def test_mentions_log(text, found):
    assert mentions_log(text) == found


def test_stated_options():
    assert stated_options("log1p of CP10K") == "--log-base e --log-offset 1"
    assert stated_options("log10(FPKM + 0.1)") == "--log-base 10 --log-offset 0.1"
    assert stated_options("raw") == ""


# --- size factors ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(hnp.arrays(np.float64, 12, elements=st.floats(0.1, 10)))
def test_median_ratio__scales_with_depth(depth):
    base = np.random.default_rng(1).gamma(2.0, 50.0, (1, 30)) + 1.0
    factors, n_genes = median_ratio(depth[:, None] * base)
    assert n_genes == 30
    np.testing.assert_allclose(mean_one(factors), depth / depth.mean(), rtol=1e-9)
    np.testing.assert_allclose(median_ratio(sp.csr_matrix(depth[:, None] * base))[0], factors, rtol=1e-9)


def test_median_ratio__one_gene_does_not_move_it():
    matrix = np.outer([1.0, 2.0, 4.0], np.arange(1.0, 21.0))
    moved = matrix.copy()
    moved[0, 0] = 1e6
    np.testing.assert_allclose(mean_one(median_ratio(moved)[0]), mean_one(median_ratio(matrix)[0]), rtol=0.02)


def test_describe__median_ratio_with_few_shared_genes():
    matrix = counts(12, 60, mean=40.0) + 1
    matrix[np.arange(60) % 12, np.arange(60)] = 0  # every gene is absent from one sample
    found = describe(adata_of(matrix), kind="bulk")
    assert found.settings["size_factors"] == "median-ratio"
    assert "only 0 genes are positive in every sample" in said(found)
    assert found.size_factors.mean() == pytest.approx(1.0)
    assert np.corrcoef(found.size_factors, matrix.sum(axis=1))[0, 1] > 0.5
    sparse = counts(12, 60, mean=0.05)
    sparse[:, 0] = np.arange(12)
    assert describe(adata_of(sparse), kind="bulk").settings["size_factors"] == "total"


def test_describe__library_size_from_obs():
    matrix = counts()
    made = adata_of(matrix)
    rows = matrix.sum(axis=1)
    made.obs["nCount_RNA"] = rows * 10
    found = describe(made)
    np.testing.assert_allclose(found.totals, rows * 10)
    np.testing.assert_allclose(found.size_factors, rows / rows.mean())
    assert "sums over" not in said(found)
    made.obs["total_counts"] = rows * 20
    made.obs.loc[made.obs_names[0], "total_counts"] = rows[0] - 1
    assert "'total_counts' is not used" in said(describe(made))
    made.obs = made.obs[["total_counts"]]
    np.testing.assert_allclose(describe(made).totals, rows)


def test_describe__poor_library_sizes_are_warned_of():
    matrix = counts()
    matrix[:, 0] = 500
    found = describe(adata_of(matrix))
    assert "sums over 30 genes only" in said(found)
    assert "one gene holds" in said(found)
    wide = describe(adata_of(counts(20, 2500)))
    assert "genes only" not in said(wide)


def test_describe__size_factors_named():
    made = adata_of(counts())
    made.obs["depth"] = np.arange(1.0, 41.0)
    found = describe(made, size_factors="obs:depth")
    assert found.totals_known
    np.testing.assert_allclose(found.size_factors, np.arange(1, 41) / 20.5)
    np.testing.assert_allclose(found.totals, made.X.sum(axis=1))
    assert describe(made, size_factors="none").size_factors is None
    assert "depth" in refusal(made, size_factors="obs:dept")
    made.obs.loc[made.obs_names[3], "depth"] = -1
    refusal(made, size_factors="obs:depth")
    refusal(made, size_factors="deseq")
    refusal(made, size_factors="obs:COLUMN")
    assert "logs" in refusal(adata_of(np.log1p(counts())), scale="log", size_factors="total")


def test_describe__sample_without_counts_is_kept():
    matrix = counts()
    matrix[5] = 0
    for kind in ("bulk", "single-cell"):
        found = describe(adata_of(sp.csr_matrix(matrix)), kind=kind)
        assert np.isnan(found.size_factors[5])
        assert np.isfinite(np.delete(found.size_factors, 5)).all()
        assert "1 samples have no counts" in said(found)


# --- names, missing values, refusals ---------------------------------------------------------------


def test_describe__symbols():
    made = adata_of(counts())
    made.var["symbol"] = [f"SYM{i}" for i in range(29)] + [np.nan]
    found = describe(made, gene_column="symbol")
    assert found.symbols[0] == "SYM0"
    assert found.symbols[29] == found.genes[29]
    made.var["symbol"] = made.var["symbol"].astype("category")
    np.testing.assert_array_equal(describe(made, gene_column="symbol").symbols, found.symbols)
    assert "symbol" in refusal(made, gene_column="symbols")


@pytest.mark.filterwarnings("ignore:.*names are not unique")
def test_describe__duplicates_constants_missing_markup():
    matrix = counts() / 3
    matrix[:, 3] = 1.0
    matrix[2, 4] = np.nan
    matrix[:, 7] = np.nan
    made = adata_of(matrix)
    made.var_names = ["a", "a", "<b>", *made.var_names[3:]]
    found = describe(made)
    assert found.genes[:3].tolist() == ["a", "a-1", "<b>"]
    assert "1 duplicated gene names" in said(found)
    assert "markup" in said(found)
    assert "2 of 30 genes are constant" in said(found)
    assert "41 values" in said(found)
    assert "in 2 genes are missing" in said(found)
    sparse = describe(adata_of(sp.csr_matrix(matrix)))
    assert "41 values" in said(sparse)
    assert "2 of 30 genes are constant" in said(sparse)


def test_describe__wrong_way_round():
    made = adata_of(counts())
    made.obs_names, made.var_names = [f"b{i:04d}" for i in range(40)], [f"GSM{i:06d}" for i in range(30)]
    assert "transpose" in refusal(made)
    made.var_names = [f"GSM{i:06d}" if i % 2 else f"zz!{i}" for i in range(30)]
    assert "transpose" in said(describe(made))


def test_describe__refusals():
    fine = counts()
    assert "at least 10 samples" in refusal(adata_of(fine[:9]))
    assert "at least 2 genes" in refusal(adata_of(np.outer(np.arange(12.0), [1, 0])))
    bad = fine.copy()
    bad[1, 2] = np.inf
    for form in (np.asarray, sp.csr_matrix):
        message = refusal(adata_of(form(bad)))
        assert "sample_1" in message
        assert "ENSG00000000002" in message
    bad[1, 2] = -1
    assert "negative" in refusal(adata_of(bad), scale="counts")
    bad[1, 2] = 0.5
    assert "are rounded" in said(describe(adata_of(bad), scale="counts"))
    normalised = fine / fine.sum(axis=1, keepdims=True) * 1e4
    assert "not whole" in refusal(adata_of(normalised), scale="counts")
    assert "complex" in refusal(adata_of(fine.astype(complex)))
    assert "column 'b'" in refusal(pd.DataFrame({"a": [1.0] * 12, "b": ["x"] * 12}))
    assert "DataFrame" in refusal(fine)
    assert "infinite" in refusal(adata_of(fine * 1000), log_base=10, log_offset=1)
    assert "scale='counts'" in refusal(adata_of(fine), scale="counts", log_base=2)
    for base in (0, 1, -2, "x", np.nan, np.inf):
        assert "log_base" in refusal(adata_of(fine), log_base=base)
    assert "log_offset" in refusal(adata_of(fine), log_base=2, log_offset=-1)
    assert "kind" in refusal(adata_of(fine), kind="pseudobulk")
    assert "scale" in refusal(adata_of(fine), scale="linear")
    assert "layer" in refusal(pd.DataFrame(fine), layer="counts")


def test_describe__all_missing_or_all_zero():
    assert "genes that vary" in refusal(adata_of(np.full((12, 3), np.nan)))
    assert "genes that vary" in refusal(adata_of(sp.csr_matrix((12, 3))))


def test_describe__bool_and_integers():
    flags = counts(mean=0.5) > 0
    found = describe(adata_of(flags))
    assert found.scale == "counts"
    assert "0 or 1" in said(found)
    assert describe(adata_of(counts().astype(np.uint8))).matrix.dtype == np.float64


def test_describe__backed_file(tmp_path):
    path = tmp_path / "a.h5ad"
    adata_of(sp.csr_matrix(counts())).write_h5ad(path)
    backed = ad.read_h5ad(path, backed="r")
    assert describe(backed).scale == "counts"
    backed.file.close()


@settings(deadline=None, max_examples=30)
@given(hnp.arrays(np.float64, (5, 4), elements=st.floats(-50, 50).map(lambda v: round(v, 2))))
def test_measure__dense_and_sparse_agree(values):
    values[0, 0] = 1.5
    a, b = measure(values), measure(sp.csr_matrix(values))
    for name in ("whole", "minimum", "maximum", "zero_share", "negative_share", "scaled", "centred_samples"):
        assert getattr(a, name) == pytest.approx(getattr(b, name))
    assert a.skewness == pytest.approx(b.skewness, abs=1e-9)


def test_read_warnings_reach_describe(tmp_path: Path):
    frame = pd.DataFrame(
        counts(12, 5), index=[f"s{i}" for i in range(12)], columns=[f"b{i:04d}" for i in range(5)]
    )
    frame.T.to_csv(tmp_path / "t.csv")
    assert "orientation guessed" in said(describe(read(tmp_path / "t.csv")))


def test_describe__takes_library_sizes_from_a_table_beside_a_data_frame():
    rng = np.random.default_rng(0)
    counts = pd.DataFrame(rng.poisson(2.0, (30, 4)), columns=list("ABCD"))
    obs = pd.DataFrame({"size": np.linspace(1.0, 3.0, 30)})
    found = describe(counts, scale="counts", size_factors="obs:size", obs=obs)
    np.testing.assert_allclose(found.size_factors, obs["size"] / obs["size"].mean())
    with pytest.raises(InputError, match=r"30 samples .* found 29 rows"):
        describe(counts, obs=obs.head(29))


def test_describe__takes_the_path_of_a_file(tmp_path):
    values = pd.DataFrame(counts(), columns=[f"GENE{i}" for i in range(30)])
    values.index = [f"cell{i}" for i in range(40)]
    values.to_csv(tmp_path / "cells.csv")
    found = describe(tmp_path / "cells.csv", kind="single-cell")
    assert found.matrix.shape == (40, 30)
    assert list(found.genes[:2]) == ["GENE0", "GENE1"]
    noted = read(tmp_path / "cells.csv").uns["poolproof_read"]["warnings"]
    assert noted
    assert set(noted) <= set(found.warnings)
    with pytest.raises(InputError, match="nowhere"):
        describe(str(tmp_path / "nowhere.csv"))


def test_describe__a_log_stated_of_whole_numbers_is_doubted():
    whole = np.minimum(counts(), 30)
    said = "as counts are and logs are not"
    stated = describe(adata_of(whole), kind="bulk", scale="log", log_base=2, log_offset=1)
    assert any(said in text for text in stated.warnings)
    real = describe(adata_of(np.log2(whole + 1)), kind="bulk", scale="log", log_base=2, log_offset=1)
    assert not any(said in text for text in real.warnings)
