"""The verdict: the rule by hand, what is said beside it, and verdict.json against its schema."""

import json
from importlib.resources import files

import anndata
import jsonschema
import numpy as np
import pandas as pd
import pytest

import poolproof
from poolproof import InputError
from poolproof._names import GENE_COLUMNS, PAIR_COLUMNS

SCHEMA = json.loads((files("poolproof.verdict") / "verdict.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


# --- data with a known answer ------------------------------------------------------------------------


def bulk(n=300, n_genes=12, seed=0, bent=False):
    """Genes that follow one driver, as lines or as steep curves, with independent noise."""
    random = np.random.default_rng(seed)
    driver = random.uniform(0, 10, n)
    columns = {"G00": driver}
    for i in range(1, n_genes):
        middle = random.uniform(3, 7)
        curve = 50 * np.abs(driver - middle) + 1 if bent else 5 * driver + 10 * i
        columns[f"G{i:02}"] = curve + random.normal(0, 3, n)
    return pd.DataFrame(columns, index=[f"s{i}" for i in range(n)])


def cells(n=800, n_genes=12, seed=0, mean=30, bent=False):
    """Counts of cells whose genes are affine (or symmetric, bent) functions of one hidden rate."""
    random = np.random.default_rng(seed)
    rate = random.uniform(0, 2, n)
    shape = (lambda a: 0.1 + (rate - 1) ** 2 * a) if bent else (lambda a: a + rate)
    expected = np.stack([mean * shape(0.5 + i / n_genes) for i in range(n_genes)], axis=1)
    filler = np.full((n, 20), 40.0)
    counts = random.poisson(np.hstack([expected, filler])).astype(float)
    names = [f"G{i:02}" for i in range(n_genes)] + [f"F{i:02}" for i in range(20)]
    obs = pd.DataFrame(
        {
            "cell_type": np.where(random.random(n) < 0.5, "A", "B"),
            "donor": [f"d{i % 12}" for i in range(n)],
            "batch": np.where(random.random(n) < 0.5, "x", "y"),
            "age": random.uniform(20, 60, n),
        },
        index=[f"cell_{i}" for i in range(n)],
    )
    return anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=names))


@pytest.fixture(scope="module")
def straight_cells():
    return cells()


def test_audit__bent_bulk_is_contradicted():
    data = bulk(bent=True)
    result = poolproof.audit(data, kind="bulk", scale="additive", regulators=["G00"])
    assert result.verdict == "contradicted"
    assert result.linearity.population.summary["low"] > 0.1
    # Without a direction these are twelve genes of one module: too few to say anything of a population.
    undirected = poolproof.audit(data, kind="bulk", scale="additive")
    assert undirected.verdict == "inconclusive"
    assert "includes the margin" in undirected.reasons[1]


def test_audit__straight_bulk_is_never_compatible():
    data = bulk(n=1000, n_genes=160)
    result = poolproof.audit(data, kind="bulk", scale="additive")
    summary = result.linearity.summary
    assert summary["n_unordered"] >= 100
    assert summary["n_unordered_affine"] >= 0.9 * summary["n_unordered"]
    assert result.verdict == "inconclusive"
    assert poolproof.audit(data, kind="single-cell", scale="additive").verdict == "compatible"


def test_audit__pairs_of_few_genes_are_too_little_for_compatible():
    # 190 straight pairs of 20 genes: at most 10 of them share no gene, and 0 of 10 rules out no 5 %.
    result = poolproof.audit(bulk(n=1000, n_genes=20), kind="single-cell", scale="additive")
    assert result.linearity.summary["n_unordered"] == 190
    assert result.verdict == "inconclusive"


def test_audit__a_log_is_never_decided():
    data = np.log2(bulk(bent=True) + 100)
    given = {"regulators": ["G00"]}
    undone = poolproof.audit(data, kind="bulk", scale="log", log_base=2, log_offset=100, **given)
    assert undone.verdict == "contradicted"
    assert undone.data["scale_tested"] == "additive"
    as_it_is = poolproof.audit(data, kind="bulk", scale="log", **given)
    assert as_it_is.data["scale_tested"] == "log"
    assert as_it_is.verdict == "inconclusive"
    assert any("logs that were not undone" in reason for reason in as_it_is.reasons)
    assert any("log scale" in limit for limit in as_it_is.limits)


def test_audit__a_failing_control_takes_the_verdict_back(straight_cells, monkeypatch):
    monkeypatch.setattr(poolproof.pairs.control.SplitControl, "passed", property(lambda self: False))
    result = poolproof.audit(cells(bent=True), size_factors="none", min_r2=0.01, kind="single-cell")
    assert result.linearity.control is not None
    assert result.verdict == "inconclusive"
    assert any("split-count control" in reason for reason in result.reasons)


# --- verdict.json against its schema -----------------------------------------------------------------

EDGES = pd.DataFrame({"regulator": ["G00", "G00", "G01", "G02"], "target": ["G03", "G04", "G03", "G05"]})
RUNS = {
    "bulk": (bulk, {"kind": "bulk", "scale": "additive"}),
    "bulk, nothing associated": (lambda: bulk(12, 3), {"kind": "bulk", "scale": "additive", "min_r2": 0.999}),
    "log without base": (lambda: np.log2(bulk() + 1), {"kind": "bulk", "scale": "log"}),
    "log with base": (lambda: np.log2(bulk() + 1), {"kind": "bulk", "log_base": 2, "log_offset": 1}),
    "classical": (bulk, {"kind": "bulk", "scale": "additive", "test": "classical"}),
    "missing values": (lambda: bulk().mask(bulk() < 3), {"kind": "bulk", "scale": "additive"}),
    "cells": (cells, {}),
    "cells within": (cells, {"within": "cell_type"}),
    "cells within two": (cells, {"within": ["cell_type", "batch"]}),
    "cells by donor": (cells, {"within": "cell_type", "replicate": "donor"}),
    "cells, strata": (cells, {"covariates": "batch"}),
    "cells, robust": (cells, {"test": "robust", "covariates": ["batch", "age"], "replicate": "donor"}),
    "too few replicates": (cells, {"replicate": "cell_type"}),
    "too few counts": (lambda: cells(300, mean=0.3), {}),
    "regulators": (cells, {"regulators": ["G00", "G01"]}),
    "pairs": (bulk, {"kind": "bulk", "scale": "additive", "pairs": EDGES}),
    "network": (bulk, {"kind": "bulk", "scale": "additive", "network": EDGES}),
    "network of cells": (cells, {"network": EDGES, "within": "cell_type", "replicate": "donor"}),
    "keep all": (bulk, {"kind": "bulk", "scale": "additive", "keep": "all"}),
    "keep top": (bulk, {"kind": "bulk", "scale": "additive", "keep": "top:5"}),
    "known depth": (cells, {"overdispersion": 0.05, "gene_column": None, "seed": 7}),
}


def audit_of(run):
    make, options = RUNS[run]
    return poolproof.audit(make(), name=run, **options)


@pytest.fixture(scope="module", params=RUNS)
def run(request):
    try:
        return request.param, audit_of(request.param)
    except InputError as error:
        return request.param, error


UNTESTABLE = {"too few counts", "too few replicates"}  # may be refused, in one line


def test_summary__fits_the_schema(run, tmp_path):
    name, result = run
    if isinstance(result, InputError):
        assert name in UNTESTABLE
        assert str(result).isprintable()
        return
    result.save(tmp_path / "out")
    content = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    VALIDATOR.validate(content)
    assert content["data"]["name"] == name
    assert content["settings"]["seed"] == content["seed"]


def test_summary__counts_agree_with_the_tables(run):
    name, result = run
    if isinstance(result, InputError):
        return
    s, table, genes = result.linearity.summary, result.linearity.table, result.linearity.genes
    called = table["call"].value_counts()
    n_parts = s["n_nonlinear"] + s["n_affine"] + s["n_inconclusive"]
    assert n_parts == s["n_associated"]
    assert s["n_associated"] <= s["n_pairs_tested"]
    if name != "keep top":
        for call in ("nonlinear", "affine", "inconclusive"):
            assert called[call] == s[f"n_{call}"]
    if s["n_associated"]:
        assert s["share_nonlinear"] + s["share_affine"] + s["share_inconclusive"] == pytest.approx(1)
    for call in ("", "nonlinear_", "affine_", "inconclusive_"):
        total = s["n_associated"] if not call else s[f"n_{call[:-1]}"]
        assert genes[f"n_{call}as_regulator"].sum() == genes[f"n_{call}as_target"].sum() == total
    share = s["share_contradicting"]
    if s["n_unordered"]:
        assert 0 <= share["low"] <= share["estimate"] <= share["high"] <= 1
        assert genes["n_contradicting"].sum() / 2 == pytest.approx(share["estimate"] * s["n_unordered"])


def test_tables__columns_are_those_of_names(run):
    _, result = run
    if isinstance(result, InputError):
        return
    for table, columns in (
        (result.linearity.table, PAIR_COLUMNS),
        (result.linearity.genes, GENE_COLUMNS),
    ):
        assert table.columns.tolist() == [column.name for column in columns]
        for column in columns:
            if column.dtype == "str":
                assert all(type(value) is str for value in table[column.name])
            else:
                assert str(table[column.name].dtype) == column.dtype, column.name


def test_schema__is_strict():
    VALIDATOR.check_schema(SCHEMA)
    good = json.loads(json.dumps(audit_of("cells within").summary))
    VALIDATOR.validate(good)

    def broken(change):
        content = json.loads(json.dumps(good))
        change(content)
        return not VALIDATOR.is_valid(content)

    assert broken(lambda c: c.update(extra=1))
    assert broken(lambda c: c["data"].update(extra=1))
    assert broken(lambda c: c["linearity"].update(extra=1))
    assert broken(lambda c: c["linearity"]["levels"]["A"].update(extra=1))
    assert broken(lambda c: c["linearity"]["levels"]["A"].pop("control"))
    assert broken(lambda c: c["linearity"]["control"].update(passed=True))
    assert broken(lambda c: c["linearity"].update(share_nonlinear=1.2))
    assert broken(lambda c: c["linearity"]["share_contradicting"].pop("low"))
    assert broken(lambda c: c.update(verdict="maybe"))
    assert broken(lambda c: c.update(reasons=[]))
    assert broken(lambda c: c["data"].update(kind="pool"))
    assert not broken(lambda c: c["settings"].update(extra=1))
    for key in good:
        assert broken(lambda c, key=key: c.pop(key)), key
    for part in ("data", "linearity"):
        for key in good[part]:
            assert broken(lambda c, part=part, key=key: c[part].pop(key)), key


# --- what is said beside the verdict -----------------------------------------------------------------


def test_limits__what_fits_the_data_is_said(straight_cells):
    counts = poolproof.audit(straight_cells, within="cell_type")
    assert any("common cause" in limit for limit in counts.limits)
    assert any("fractions of a cell's molecules" in limit for limit in counts.limits)
    assert not any("pools" in limit for limit in counts.limits)
    assert not any("directions given" in limit for limit in counts.limits)
    pooled = poolproof.audit(bulk(), kind="bulk", scale="additive", regulators=["G00"])
    assert any("These are pools" in limit for limit in pooled.limits)
    assert any("Measurement error" in limit for limit in pooled.limits)
    assert any("directions given" in limit for limit in pooled.limits)
    network = poolproof.audit(straight_cells, network=EDGES)
    assert any("joint equations" in limit for limit in network.limits)


def test_labels__unused_ones_are_warned_about(straight_cells):
    unused = poolproof.audit(straight_cells, regulators=["G00"])
    assert any("cell_type" in warning and "--within" in warning for warning in unused.data["warnings"])
    assert any("cell_type" in limit for limit in unused.limits)
    for options in ({"within": "cell_type"}, {"covariates": "cell_type"}):
        used = poolproof.audit(straight_cells, regulators=["G00"], **options)
        assert not any("cell_type" in text for text in (*used.data["warnings"], *used.limits))


def test_labels__bulk_and_numbers_are_not_taken_for_labels():
    adata = anndata.AnnData(bulk(60, 4))
    adata.obs["condition"] = ["a", "b"] * 30
    said = poolproof.audit(adata, kind="bulk", scale="additive").data["warnings"]
    assert not any("condition" in warning for warning in said)
    adata.obs["line_number"] = np.arange(60)
    del adata.obs["condition"]
    said = poolproof.audit(adata, kind="single-cell", scale="additive").data["warnings"]
    assert not any("line_number" in warning for warning in said)


def test_audit__text_of_the_result_has_all_parts(straight_cells):
    result = poolproof.audit(straight_cells, regulators=["G00"], name="mine")
    text = str(result)
    for part in (result.verdict, *result.reasons, *result.limits, *result.data["warnings"]):
        assert part in text
    assert repr(result) == text
    assert repr(result.linearity) == str(result.linearity)


def test_audit__settings_are_complete_and_plain(straight_cells):
    result = poolproof.audit(straight_cells, within="cell_type", seed=3)
    json.dumps(result.settings)
    for option in (
        "within",
        "replicate",
        "covariates",
        "test",
        "fdr",
        "margin",
        "min_r2",
        "keep",
        "max_rows",
    ):
        assert option in result.settings
    assert result.settings["seed"] == result.seed == 3
    assert "max_contradicting" not in result.settings


def test_audit__leaves_the_data_as_they_are(straight_cells):
    before = straight_cells.copy()
    poolproof.audit(straight_cells, within="cell_type", regulators=["G00"])
    np.testing.assert_array_equal(before.X, straight_cells.X)
    pd.testing.assert_frame_equal(before.obs, straight_cells.obs)
    pd.testing.assert_frame_equal(before.var, straight_cells.var)
    assert set(before.uns) == set(straight_cells.uns)


@pytest.mark.parametrize(
    "options",
    [
        {"max_contradicting": 0.05},
        {"fdr": 1.5},
        {"margin": -1},
        {"min_r2": "x"},
        {"keep": "top:0"},
        {"keep": "some"},
        {"max_rows": 0},
        {"test": "t"},
        {"network": EDGES, "regulators": ["G00"]},
        {"pairs": EDGES, "regulators": ["G00"]},
        {"regulators": ["nothing"]},
        {"regulators": []},
        {"regulators": 5},
        {"regulators": "G00"},
        {"pairs": []},
        {"pairs": "G00"},
        {"pairs": [("G00",)]},
        {"network": []},
        {"network": [("G00", "G01", "G02")]},
        {"within": "nothing"},
        {"replicate": "nothing"},
        {"covariates": "nothing"},
        {"covariates": "age", "test": "corrected"},
        {"size_factors": "obs:nothing"},
        {"layer": "nothing"},
    ],
    ids=str,
)
def test_audit__an_option_that_does_not_fit_is_refused_in_one_line(straight_cells, options):
    with pytest.raises(InputError) as raised:
        poolproof.audit(straight_cells, **options)
    assert str(raised.value).isprintable()


# --- laws --------------------------------------------------------------------------------------------


def told(result):
    """Verdict.json without its date, levels' order and numbers that rounding may touch left as they are."""
    content = json.loads(json.dumps(result.summary))
    del content["created"]
    return content


@pytest.mark.parametrize("name", ["cells within", "network of cells", "bulk"])
def test_law__threads_and_gene_order_change_nothing(name):
    make, options = RUNS[name]
    data = make()
    order = np.random.default_rng(1).permutation(data.shape[1])
    shuffled = data[:, order].copy() if isinstance(data, anndata.AnnData) else data.iloc[:, order]
    first = poolproof.audit(data, threads=1, **options)
    for other in (
        poolproof.audit(data, threads=2, **options),
        poolproof.audit(data, threads=2, memory=2e6, **options),
        poolproof.audit(shuffled, threads=2, **options),
    ):
        assert_close(told(first), told(other))
        columns = ["regulator", "target", "call"]
        pd.testing.assert_frame_equal(first.table[columns], other.table[columns])


def assert_close(first, other, where="verdict.json"):
    """Equal, numbers to twelve digits: sums over genes in another order round differently."""
    if isinstance(first, dict):
        assert first.keys() == other.keys(), where
        for key in first:
            assert_close(first[key], other[key], f"{where}/{key}")
    elif isinstance(first, float):
        assert other == pytest.approx(first, rel=1e-12, abs=1e-15), where
    else:
        assert first == other, where


def test_audit__a_misspelt_argument_is_told_by_the_function_that_was_called():
    with pytest.raises(TypeError, match=r"audit\(\) got an unexpected .* 'witihn'; did you mean 'within'\?"):
        poolproof.audit(pd.DataFrame(np.eye(3)), witihn="cell_type")


def test_audit__a_layer_of_a_file_without_layers():
    with pytest.raises(InputError, match="it has: no layers: leave it out, and X is read"):
        poolproof.audit(anndata.AnnData(np.eye(3)), layer="counts")
