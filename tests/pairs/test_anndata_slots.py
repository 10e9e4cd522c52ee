"""Results in an AnnData and in a notebook: what is written where, round trips, and hostile names."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import poolproof
from poolproof import InputError

HOSTILE = ["<script>alert(1)</script>", "$x$", "[/b]", "=1+1", "a\u202eb", "G" * 300]


@pytest.fixture(scope="module")
def adata():
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, size=(300, 1))
    values = np.hstack([x, x + 0.3 * rng.normal(size=x.shape), np.tanh(x), rng.normal(size=x.shape)])
    found = anndata.AnnData(values, layers={"doubled": 2 * values})
    found.var_names = ["X", "line", "bent", "alone"]
    found.var["known"] = [1, 2, 3, 4]
    return found


@pytest.fixture(scope="module")
def result(adata):
    return poolproof.audit(adata, kind="bulk", scale="additive")


def test_to_anndata__matrices_hold_the_pair_table(adata, result):
    marked = result.to_anndata(adata)
    codes = list(marked.uns["poolproof_call_codes"])
    table = result.table
    assert len(table) > 4
    for row in table.itertuples():
        at = marked.var_names.get_loc(row.regulator), marked.var_names.get_loc(row.target)
        assert codes[marked.varp["poolproof_call"][at]] == row.call
        for name in ("r2_linear", "r2_spline", "nonlinear_share", "nonlinear_share_upper"):
            assert marked.varp[f"poolproof_{name}"][at] == pytest.approx(getattr(row, name), rel=1e-6)
    for name in ("call", "r2_spline"):
        matrix = marked.varp[f"poolproof_{name}"]
        assert sp.issparse(matrix)
        assert matrix.nnz == len(table)


def test_to_anndata__var_and_uns(adata, result):
    marked = result.to_anndata(adata)
    genes = result.linearity.genes.set_index("gene")
    assert marked.var["poolproof_n_as_target"].tolist() == genes["n_as_target"].tolist()
    assert marked.var["poolproof_status"].tolist() == ["ok"] * 4
    assert marked.var["known"].tolist() == [1, 2, 3, 4]
    assert marked.uns["poolproof_verdict"] == result.verdict
    assert json.loads(marked.uns["poolproof_summary"])["reasons"] == list(result.reasons)
    assert json.loads(marked.uns["poolproof_settings"])["margin"] == 0.1


def test_to_anndata__round_trip_through_h5ad(adata, result, tmp_path):
    marked = result.to_anndata(adata)
    marked.write_h5ad(tmp_path / "marked.h5ad")
    again = anndata.read_h5ad(tmp_path / "marked.h5ad")
    assert sorted(again.uns) == sorted(marked.uns)
    assert list(again.uns["poolproof_call_codes"]) == list(marked.uns["poolproof_call_codes"])
    assert again.uns["poolproof_verdict"] == result.verdict
    assert sorted(again.varp) == sorted(marked.varp)
    for name, matrix in marked.varp.items():
        assert sp.issparse(again.varp[name])
        np.testing.assert_array_equal(again.varp[name].toarray(), matrix.toarray())
    pd.testing.assert_frame_equal(again.var, marked.var, check_dtype=False, check_categorical=False)


def test_to_anndata__changes_the_callers_data_only_on_request(adata, result):
    mine = adata.copy()
    result.to_anndata(mine)
    assert (list(mine.varp), list(mine.uns), list(mine.var.columns)) == ([], [], ["known"])
    assert result.to_anndata(mine, copy=False) is mine
    assert "poolproof_call" in mine.varp


def test_to_anndata__a_second_result_replaces_the_first(adata, result):
    marked = result.to_anndata(adata)
    marked.varp["other"] = np.eye(4)
    again = poolproof.linearity(adata, kind="bulk", scale="additive").to_anndata(marked, copy=False)
    assert "poolproof_verdict" not in again.uns
    assert "other" in again.varp
    assert "poolproof_call" in again.varp


def test_to_anndata__genes_in_another_order_and_number(adata, result):
    part = adata[:, ["bent", "X"]].copy()
    part = anndata.concat(
        [part, anndata.AnnData(np.ones((300, 1)), part.obs, pd.DataFrame(index=["new"]))], axis=1
    )
    marked = result.to_anndata(part)
    full = result.to_anndata(adata)
    assert marked.varp["poolproof_r2_spline"][1, 0] == full.varp["poolproof_r2_spline"][0, 2]
    assert marked.varp["poolproof_r2_spline"].nnz == 2
    assert marked.uns["poolproof_n_pairs_left_out"] == len(result.table) - 2
    assert marked.var["poolproof_status"].tolist() == ["ok", "ok", "not_audited"]
    assert marked.var["poolproof_n_as_target"].tolist()[2] == 0


def test_to_anndata__only_associated_pairs_have_entries(adata):
    found = poolproof.linearity(adata, kind="bulk", scale="additive", keep="all")
    marked = found.to_anndata(adata)
    assert (
        marked.varp["poolproof_call"].nnz
        == (found.table["call"] != "not_associated").sum()
        < len(found.table)
    )


def test_to_anndata__repeated_gene_names_go_by_place(adata):
    twice = adata.copy()
    twice.var_names = ["X", "X", "bent", "alone"]
    with pytest.warns(UserWarning, match="not unique"):
        twice = twice.copy()
    found = poolproof.linearity(twice, kind="bulk", scale="additive")
    with pytest.warns(UserWarning, match="not unique"):
        marked = found.to_anndata(twice)
    calls = marked.varp["poolproof_call"].toarray()
    assert min(calls[0, 1], calls[1, 0]) > 0 == calls[0, 0]


def test_to_anndata__refuses_strangers_and_views(adata, result):
    stranger = adata.copy()
    stranger.var_names = ["p", "q", "r", "s"]
    with pytest.raises(InputError, match=r"such as X.*pass the AnnData that was audited"):
        result.to_anndata(stranger)
    with pytest.raises(InputError, match="view"):
        result.to_anndata(adata[:, :2], copy=False)
    assert "poolproof_call" in result.to_anndata(adata[:, :2]).varp


def test_notebook__shows_verdict_reasons_and_pairs(result):
    html = result._repr_html_()
    assert f"Verdict: {result.verdict}" in html
    assert all(reason.replace("'", "&#x27;") in html for reason in result.reasons)
    assert html.count("<tr") == min(8, len(result.table)) + 1
    assert "<summary>Limits and notes</summary>" in html


def test_notebook__hostile_names_are_text():
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, size=(200, 1))
    data = pd.DataFrame(x + 0.1 * rng.normal(size=(200, len(HOSTILE))), columns=HOSTILE)
    html = poolproof.linearity(data, kind="bulk", scale="additive")._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "\u202e" not in html
    assert "G" * 41 not in html


def test_notebook__without_pairs_says_so():
    rng = np.random.default_rng(1)
    data = pd.DataFrame(rng.normal(size=(60, 3)), columns=["A", "B", "C"])
    html = poolproof.linearity(data, kind="bulk", scale="additive", regulators=["A"])._repr_html_()
    assert "none associated" in html
    assert "<table" not in html
