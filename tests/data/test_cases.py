"""Files as the field's tools write them, each with what is right for it.

``cases/`` holds synthetic files, one or more for each kind of fault; ``cases/tools/`` what real tools wrote
(``cases/make_tool_files.py`` has the versions and makes them anew). Where a file has a plain twin, both must
give the same calls.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import poolproof
from poolproof._checks import InputError
from poolproof.data import describe, read, read_edges, read_samples
from poolproof.data.estimated import multiples_in_rows

CASES = Path(__file__).resolve().parent / "cases"
TOOLS = CASES / "tools"
QUICK = {"each_level": False, "control": False, "threads": 1}


def case(name, **options):
    return read(CASES / name, **options)


def tool(name, **options):
    return read(TOOLS / name, **options)


def pairs_of(data, **options):
    return poolproof.linearity(data, **QUICK, **options)


def said(found) -> str:
    return "\n".join(found.warnings)


def note(adata) -> str:
    return "\n".join(adata.uns["poolproof_read"]["warnings"])


def refusal(work, *words):
    with pytest.raises(InputError) as caught:
        work()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def same_calls(one, other):
    """The tables of two runs, but for the order of rows of equal strength."""
    columns = ["regulator", "target", "call"]
    tables = [r.table[columns].sort_values(columns).reset_index(drop=True).astype(str) for r in (one, other)]
    pd.testing.assert_frame_equal(*tables)


# --- 1. pools are no cells ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        CASES / "c04_metacells_sums.h5ad",
        CASES / "dc.h5ad",
        CASES / "pools_of_25_bent_cells.h5ad",
        TOOLS / "scanpy_aggregate.h5ad",
        TOOLS / "decoupler_pseudobulk.h5ad",
        TOOLS / "metacells.h5ad",
        TOOLS / "seacells.h5ad",
    ],
    ids=lambda path: path.stem,
)
def test_pools__are_bulk_by_their_marks(path):
    found = describe(read(path))
    assert (found.kind, found.kind_known, found.umi_like) == ("bulk", True, False)
    assert "pass --kind single-cell if that is wrong" in said(found)


def test_pools__metacells_are_never_compatible():
    result = poolproof.audit(case("c04_metacells_sums.h5ad"), triples="none", curves="none", **{"threads": 1})
    assert result.data["kind"] == "bulk"
    assert result.verdict != "compatible"


def test_pools__without_marks_are_never_compatible():
    cells = case("c04_metacells_sums.h5ad").to_df()
    cells.index = [f"row{i}" for i in range(len(cells))]
    result = poolproof.audit(cells, triples="none", curves="none", threads=1)
    assert result.verdict != "compatible"


def test_pools__of_mixed_sizes_are_said():
    adata = case("dc.h5ad")
    adata.obs["psbulk_cells"] = np.linspace(2, 90, adata.n_obs)
    assert "pools hold 2 to 90 cells" in said(describe(adata))


def test_kind__the_same_counts_without_zeros_are_bulk():
    found = describe(case("expr40.tsv"))
    assert (found.kind, found.kind_known, found.matrix.shape) == ("bulk", False, (69, 40))


def test_kind__barcodes_mark_cells_and_numbers_alone_do_not():
    adata = tool("scanpy_log1p.h5ad")
    adata.X = adata.layers["counts"]
    assert describe(adata).kind_known
    adata.obs_names = [str(i) for i in range(adata.n_obs)]
    found = describe(adata)
    assert (found.kind, found.kind_known) == ("single-cell", False)
    assert "verdict cannot be compatible" in said(found)


def test_kind__many_rows_of_mostly_zeros_are_cells_on_any_scale():
    random = np.random.default_rng(0)
    values = np.log1p(random.poisson(0.3, (1200, 20)) * 1.7)
    assert describe(pd.DataFrame(values)).kind == "single-cell"
    assert describe(pd.DataFrame(values[:300])).kind == "bulk"


def test_kind__a_spot_is_no_cell():
    adata = tool("scanpy_log1p.h5ad")
    adata.uns["spatial"] = {"library": {}}
    assert describe(adata).kind == "bulk"
    adata.obs["cell_area"] = 1.0  # segmented cells have their own place
    assert describe(adata).kind == "single-cell"


# --- 2. marks against the values ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [CASES / "c02_regress_out.h5ad", TOOLS / "scanpy_regress_out.h5ad", TOOLS / "scanpy_scaled_clipped.h5ad"],
    ids=lambda path: path.stem,
)
def test_log1p__what_was_scaled_or_regressed_is_not_undone(path):
    found = describe(read(path))
    assert found.scale_tested == "log"
    assert "can only be inconclusive" in said(found) or "cannot be undone" in said(found)


def test_log1p__a_corrected_log_is_not_undone_where_it_is_negative():
    found = describe(tool("scanpy_combat.h5ad"))
    assert found.scale_tested == "log"
    assert "layer 'counts' holds counts: pass --layer counts" in said(found)


def test_log1p__counts_and_their_log_are_both_understood():
    adata = tool("scanpy_log1p.h5ad")
    found = describe(adata)
    assert (found.scale, found.scale_tested) == ("log", "additive")
    totals = dense(found.matrix).sum(axis=1)
    np.testing.assert_allclose(totals[totals > 0], 1e4, rtol=1e-3)


def test_log1p__a_stale_mark_on_normalised_counts_is_not_believed():
    adata = case("c27_stale_log1p_mark.h5ad")
    assert multiples_in_rows(adata.X.astype(np.float64))
    assert describe(adata).scale == "additive"
    same_calls(pairs_of(adata, kind="bulk"), pairs_of(adata, kind="bulk", scale="additive"))


def test_log_offset__that_makes_amounts_negative_is_refused():
    adata = case("c02_regress_out.h5ad")
    refusal(lambda: describe(adata, log_base="e", log_offset=1), "log_offset 0", "amount of")


def test_library_size__of_other_values_is_not_used():
    adata = tool("scanpy_log1p.h5ad")
    adata.X = adata.layers["counts"]
    right = np.asarray(adata.X.sum(axis=1)).ravel() + 1.0
    adata.obs["total_counts"] = right
    assert "taken from obs column 'total_counts'" in said(describe(adata))
    adata.obs["total_counts"] = np.sort(right)[np.random.default_rng(0).permutation(len(right))] * 50
    assert "does not go with the sums" in said(describe(adata))


# --- 3. estimated counts -----------------------------------------------------------------------------------


def test_estimated__rsem_gives_the_calls_of_whole_counts():
    found = describe(case("rsem_matrix.txt.gz"))
    assert (found.scale, found.settings["size_factors"]) == ("counts", "median-ratio")
    estimated = pairs_of(case("rsem_matrix.txt.gz")).summary["n_associated"]
    whole = pairs_of(case("counts_same_samples.tsv.gz")).summary["n_associated"]
    assert whole == 5597
    assert abs(estimated - whole) <= 5


def test_estimated__rsem_with_deep_and_shallow_samples_gets_size_factors():
    result = pairs_of(case("c03_rsem_expected_counts.tsv.gz"))
    assert result.settings["size_factors"] == "median-ratio"
    assert "totals of samples differ 17" in "\n".join(result.warnings)
    amounts = pairs_of(case("c03_rsem_expected_counts.tsv.gz"), scale="additive", size_factors="median-ratio")
    shares = [found.summary["share_contradicting"]["estimate"] for found in (result, amounts)]
    assert abs(shares[0] - shares[1]) < 0.005  # the same within rounding: as wide as the case's own range
    assert 0.072 < shares[1] < 0.077


def test_estimated__starsolo_em_gives_the_answer_of_whole_counts():
    em, whole = (pairs_of(case(name)).summary for name in ("starsolo_em", "starsolo_int"))
    assert em["test"] == whole["test"] == "corrected"
    assert abs(em["n_associated"] - whole["n_associated"]) < 0.01 * whole["n_associated"]
    shares = [found["share_contradicting"]["estimate"] for found in (em, whole)]
    assert abs(shares[0] - shares[1]) < 0.03


def test_estimated__featurecounts_fractions_are_rounded():
    found = describe(tool("featurecounts_fraction.txt"))
    assert found.scale == "counts"
    assert "are rounded to whole numbers; pass --scale additive" in said(found)
    assert describe(tool("featurecounts_fraction.txt"), scale="counts").scale == "counts"
    assert describe(tool("featurecounts_fraction.txt"), scale="additive").scale == "additive"


def test_estimated__logs_and_roots_of_counts_are_none():
    counts = np.random.default_rng(0).poisson(2.0, (60, 30)).astype(float)
    shares = counts / counts.sum(axis=1, keepdims=True)
    for values in (np.log2(counts + 1), np.sqrt(counts * 3), shares * 1e4):
        assert describe(pd.DataFrame(values)).scale != "counts"


# --- 4. what is no gene ------------------------------------------------------------------------------------


def test_genes__antibodies_in_an_h5ad_are_left_out():
    result = pairs_of(case("c07_citeseq_gex_and_adt.h5ad"))
    assert (len(result.genes), result.summary["n_associated"]) == (200, 469)


@pytest.mark.parametrize(
    ("name", "n", "associated"),
    [("c08_htseq_counts.tsv.gz", 150, 8206), ("htseq_with_header.tsv.gz", 150, 5597)],
)
def test_genes__counters_of_htseq_are_left_out(name, n, associated):
    adata = case(name)
    assert adata.n_vars == n
    assert "5 features left out" in note(adata)
    assert pairs_of(adata).summary["n_associated"] == associated


def test_genes__the_same_counters_in_memory_are_left_out():
    plain = case("counts_same_samples.tsv.gz").to_df()
    plain["__no_feature"] = 9e6
    plain["N_unmapped"] = np.arange(len(plain)) * 1e5
    assert pairs_of(plain).summary["n_associated"] == 5597


def test_genes__two_genomes_are_refused():
    refusal(
        lambda: case("c18_barnyard_10x.h5"), "GRCh38 (20 genes)", "mm10 (20 genes)", "keep the genes of one"
    )
    adata = tool("scanpy_log1p.h5ad")
    adata.var_names = [f"{'hg19' if i % 2 else 'mm10'}_GENE{i}" for i in range(adata.n_vars)]
    refusal(lambda: describe(adata), "one genome")


def test_genes__totalseq_columns_beside_genes_change_nothing():
    both, plain = tool("rna_and_prot.csv"), tool("plain_60_cells.csv")
    assert "3 features left out, antibodies" in note(both)
    same_calls(pairs_of(both, kind="bulk"), pairs_of(plain, kind="bulk"))


def test_genes__featurecounts_columns_are_annotation():
    adata = tool("featurecounts.txt")
    assert adata.shape == (12, 30)
    assert list(adata.obs_names[:2]) == ["sample0.bam", "sample1.bam"]


def test_genes__entrez_ids_and_counters_of_rows_are_no_values(tmp_path):
    table = case("c10_expr.csv").to_df()
    genes = table.T.rename_axis("Hugo_Symbol").reset_index()
    genes.insert(1, "Entrez_Gene_Id", [7157 + i for i in range(len(genes))])
    genes["Length"] = 1000 + np.arange(len(genes))
    genes.to_csv(tmp_path / "cbioportal.csv")  # with pandas' index in front
    adata = read(tmp_path / "cbioportal.csv")
    assert list(adata.var_names) == list(table.columns)
    np.testing.assert_array_equal(adata.X, table.to_numpy())


# --- 5. orientation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "gene"),
    [
        ("c20_xena_ccle.tsv", (40, 30), "TP53"),
        ("depmap_old_40genes.csv", (62, 40), "SYM0 (1000)"),
        ("c28_entrezgene_id.csv", (200, 42), "49211"),
        ("htseq_default_12bam.txt", (12, 42), "G01"),
        ("kb_counts", (30, 43), "G01"),
        ("starsolo_em", (895, 150), "ENSG00000258949"),
    ],
)
def test_orientation__of_cases(name, shape, gene):
    adata = case(name)
    assert adata.shape == shape
    assert adata.var_names[0] == gene


def test_orientation__htseq_count_of_many_files_has_no_header():
    adata = tool("htseq_count_12_bams.txt")
    assert adata.shape == (12, 30)
    plain = tool("featurecounts.txt")  # the same reads, counted by the same rule
    np.testing.assert_array_equal(adata.X, plain.X)


def test_orientation__beeline_by_the_genes_of_its_network(tmp_path):
    table = pd.DataFrame(np.arange(5.0 * 300).reshape(5, 300), index=list("vwxyz"))
    table.columns = [f"t{i}" for i in range(300)]
    table.to_csv(tmp_path / "ExpressionData.csv")
    adata = read(tmp_path / "ExpressionData.csv", known_genes=["v", "w", "x"])
    assert adata.shape == (300, 5)
    assert "the other files of this run" in note(adata)
    assert read(tmp_path / "ExpressionData.csv", known_samples=["t1", "t2"]).shape == (300, 5)


def test_orientation__numbers_as_sample_names_stay_a_header(tmp_path):
    table = pd.DataFrame(np.ones((20, 12), dtype=int), index=[f"GENE{i}" for i in range(20)])
    table.columns = range(101, 113)
    table.rename_axis("gene_id").to_csv(tmp_path / "t.csv")
    assert list(read(tmp_path / "t.csv").obs_names) == [str(i) for i in range(101, 113)]


def test_alevin_fry__spliced_and_ambiguous_are_added(tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (15, 12))
    header = "%%MatrixMarket matrix coordinate real general\n"
    rows, columns = np.nonzero(counts)
    lines = [f"{r + 1}\t{c + 1}\t{counts[r, c]}" for r, c in zip(rows, columns, strict=True)]
    (tmp_path / "quants_mat.mtx").write_text(f"{header}15 12 {len(lines)}\n" + "\n".join(lines) + "\n")
    genes = [f"G{i}" for i in range(4)]
    names = [*genes, *(f"{g}-U" for g in genes), *(f"{g}-A" for g in genes)]
    (tmp_path / "quants_mat_cols.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "quants_mat_rows.txt").write_text("\n".join(f"ACGTACGTAC{i:02d}" for i in range(15)) + "\n")
    adata = read(tmp_path)
    assert adata.uns["poolproof_read"]["format"] == "alevin-fry"
    np.testing.assert_array_equal(dense(adata.X), counts[:, :4] + counts[:, 8:])


# --- 6. labels, numbers, copies ----------------------------------------------------------------------------


def test_labels__a_batch_of_whole_numbers_is_a_label():
    adata = case("c09_batches_expr.csv")
    read_samples(CASES / "c09_batches_samples.csv", adata)
    result = pairs_of(adata, covariates="batch")
    assert result.summary["n_associated"] == 0
    assert "quantity:batch" in "\n".join(result.warnings)
    assert pairs_of(adata, covariates="quantity:batch").summary["n_associated"] > 1000
    adata.obs["batch"] = [f"b{b}" for b in adata.obs["batch"]]
    assert pairs_of(adata, covariates="batch").summary["n_associated"] == 0


def test_labels__words_for_missing_blanks_and_case():
    adata = case("c10_expr.csv")
    types = np.array(["B cell", " B cell", "b cell", "nan"] * 50)
    adata.obs["type"] = types
    result = pairs_of(adata, within="type")
    assert [level.name for level in result.design.levels] == ["B cell"]
    assert len(result.design.levels[0].rows) == 150
    warnings = "\n".join(result.warnings)
    for words in ("blanks around 50 labels", "50 entries such as 'nan'", "differ in case only"):
        assert words in warnings


def test_copies__of_samples_are_left_out_and_said():
    adata = case("c14_exact_copies.csv.gz")
    result = pairs_of(adata)
    assert "168 of 192 samples are exact copies" in "\n".join(result.warnings)
    assert result.summary["n_associated"] == 0
    assert sum(len(level.rows) for level in result.design.levels) == 24
    same_calls(result, pairs_of(adata[~adata.to_df().duplicated()].copy()))


def test_copies__cells_with_few_counts_are_equal_by_chance():
    counts = np.random.default_rng(0).poisson(0.5, (300, 6)).astype(float)
    assert describe(pd.DataFrame(counts)).copies == ()


def test_numbers__thousands_separators():
    adata = case("c29_thousands.csv")
    assert adata.to_df().loc["sample_5", "STAT1"] == 7999
    assert "thousands separators" in note(adata)


def test_numbers__decimal_commas_are_refused_still(tmp_path):
    lines = ["gene," + ",".join(f"s{i}" for i in range(12))]
    lines += [f"G{g}," + ",".join(f'"{g},{i}5"' for i in range(12)) for g in range(3)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    refusal(lambda: read(tmp_path / "t.csv"), "decimals with a point")


def test_numbers__minus_9999_is_missing():
    table = case("c10_expr.csv").to_df()
    table.iloc[3, 2] = -9999
    found = describe(table)
    assert np.isnan(found.matrix[3, 2])
    assert "1 values of -9999 were taken as missing" in said(found)


def test_numbers__one_missing_count_does_not_make_a_gene_constant():
    result = pairs_of(case("c26_counts_one_NA_per_gene.csv"))
    assert result.summary["test"] == "corrected"
    assert (result.genes["status"] == "ok").all()
    robust = pairs_of(case("c26_counts_one_NA_per_gene.csv"), test="robust")
    assert (robust.genes["status"] == "ok").all()


# --- 7. networks -------------------------------------------------------------------------------------------

NETWORKS = CASES / "c10_networks"
LINES = {("STAT1", "IRF1"), ("MYC", "MAX")}
TRUTH = LINES | {("STAT1", "GBP1"), ("STAT1", "GBP2"), ("MYC", "CCND1")}


def edges_in(path):
    edges = read_edges(path)
    return set(zip(edges["regulator"], edges["target"], strict=True))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gene_tf_header.csv", TRUTH),
        ("zero_weights.csv", LINES),
        ("genie_r.csv", {("STAT1", "IRF1"), ("STAT1", "GBP1")}),
        ("na_weights.csv", {("STAT1", "IRF1"), ("STAT1", "GBP1")}),
        ("hdr_semicolon.csv", {("STAT1", "IRF1"), ("STAT1", "GBP1")}),
        ("edgelist.txt", {("STAT1", "IRF1"), ("STAT1", "GBP1")}),
        ("edgelist2.txt", {("STAT1", "IRF1"), ("STAT1", "GBP1")}),
        ("net.dot", {("STAT1", "IRF1"), ("STAT1", "GBP1")}),
        ("net.sif", {("STAT1", "IRF1"), ("STAT1", "GBP1")}),
        ("trrust.tsv", LINES),
        ("causallearn.txt", {("STAT1", "IRF1"), ("STAT1", "GBP1"), ("GBP1", "STAT1")}),
        ("gephi_undirected.csv", TRUTH | {(b, a) for a, b in TRUTH}),
        (
            "cpdag.csv",
            {
                ("MYC", "MAX"),
                ("STAT1", "GBP2"),
                ("STAT1", "IRF1"),
                ("IRF1", "STAT1"),
                ("GBP1", "STAT1"),
                ("STAT1", "GBP1"),
            },
        ),
    ],
)
def test_networks__are_read(name, expected):
    assert edges_in(NETWORKS / name) == expected


@pytest.mark.parametrize(
    ("name", "word"), [("adjacency.csv", "adjacency matrix"), ("net.json", "JSON"), ("reg.gmt", "GMT")]
)
def test_networks__others_are_refused_by_name(name, word):
    refusal(lambda: read_edges(NETWORKS / name), word)


def test_networks__the_header_gene_tf_gives_the_verdict_of_the_plain_one():
    data = case("c10_expr.csv")
    found = pairs_of(data, pairs=read_edges(NETWORKS / "gene_tf_header.csv"))
    calls = {(x, y): call for x, y, call in found.table[["regulator", "target", "call"]].to_numpy()}
    assert {pair for pair, call in calls.items() if call == "affine"} == LINES
    same_calls(found, pairs_of(data, pairs=sorted(TRUTH)))


@pytest.mark.parametrize("name", ["DREAM5_NetworkInference_GoldStandard.tsv", "nx_label.graphml"])
def test_networks__dream5_and_class_labels(name):
    edges = read_edges(CASES / name)
    assert len(edges) == 51
    assert edges["regulator"].str.fullmatch(r"SYM\d+").all()


@pytest.mark.parametrize(
    "name",
    [
        "networkx_class_label.graphml",
        "networkx.gexf",
        "networkx.gml",
        "networkx_edgelist.txt",
        "igraph.graphml",
        "igraph.gml",
        "igraph.dot",
        "pgmpy.bif",
    ],
)
def test_networks__of_real_tools(name):
    assert edges_in(TOOLS / name) == {("STAT1", "IRF1"), ("STAT1", "GBP1"), ("MYC", "MAX")}


def test_networks__causal_learn_prints_an_undirected_edge():
    assert edges_in(TOOLS / "causallearn_graph.txt") == {
        ("STAT1", "IRF1"),
        ("STAT1", "GBP1"),
        ("MYC", "MAX"),
        ("MAX", "MYC"),
    }


@pytest.mark.parametrize("flag", ["sign", "is_edge"])
def test_networks__sign_0_and_is_edge_false_are_none(tmp_path, flag):
    values = ("1", "0") if flag == "sign" else ("True", "False")
    (tmp_path / "n.csv").write_text(f"source,target,{flag}\nA,B,{values[0]}\nA,C,{values[1]}\n")
    assert edges_in(tmp_path / "n.csv") == {("A", "B")}


def test_networks__half_a_header_is_no_edge(tmp_path):
    (tmp_path / "n.csv").write_text("regulator,what\nA,B\nA,C\n")
    refusal(lambda: read_edges(tmp_path / "n.csv"), "names the regulator", "name the columns")
    (tmp_path / "n.tsv").write_text("STAT1\tTF\nMYC\tMAX\n")  # the gene of transferrin is called TF
    assert edges_in(tmp_path / "n.tsv") == {("STAT1", "TF"), ("MYC", "MAX")}


# --- 8. nothing testable -----------------------------------------------------------------------------------


def test_nothing__few_counts_a_cell_are_the_reason_given():
    refusal(
        lambda: pairs_of(case("c15_low_plex_totals_below_20.h5ad")), "at least 20 counts", "found 0 of 800"
    )


def test_nothing__few_bulk_samples_get_a_test_made_for_them():
    result = pairs_of(case("htseq_default_12bam.txt"))
    assert (result.expression.kind, result.summary["test"]) == ("bulk", "robust")
    assert result.summary["n_pairs_tested"] > 0


# --- 9. formats --------------------------------------------------------------------------------------------


def test_formats__a_header_longer_than_csv_reads():
    assert case("c33_wide_header.csv.gz").shape == (12, 6200)


def test_formats__gct_with_na_in_neighbouring_cells():
    adata = case("cmap13b.gct")
    assert adata.shape == (14, 30)
    assert np.isnan(adata.X).sum() > 0


def test_formats__loom():
    adata = case("loompy.loom")
    assert adata.shape == (20, 40)
    assert list(adata.layers) == ["spliced"]
    plain = tool("plain_60_cells.csv")
    for name in ("loompy_3.loom", "anndata.loom"):
        found = tool(name)
        assert list(found.obs_names) == list(plain.obs_names)
        np.testing.assert_array_equal(dense(found.X), plain.X)


def test_formats__mudata_by_modality():
    plain = tool("plain_60_cells.csv")
    found = tool("mudata.h5mu")
    np.testing.assert_array_equal(dense(found.X), plain.X)
    assert "--modality takes prot" in note(found)
    assert tool("mudata.h5mu", modality="prot").n_vars == 3
    refusal(lambda: tool("mudata.h5mu", modality="atac"), "prot, rna", "modality NAME")


def test_formats__geo_series_matrix(tmp_path):
    table = case("c10_expr.csv").to_df().T
    names = [f"GSM{100000 + i}" for i in range(table.shape[1])]
    lines = ['!Series_title\t"made"', "!Sample_title\t" + "\t".join(f'"t{i}"' for i in range(len(names)))]
    lines += ["!Sample_characteristics_ch1\t" + "\t".join(f'"sex: {"fm"[i % 2]}"' for i in range(len(names)))]
    lines += ["!series_matrix_table_begin", '"ID_REF"\t' + "\t".join(f'"{n}"' for n in names)]
    lines += [
        f'"{gene}"\t' + "\t".join(map(str, row))
        for gene, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    lines += ["!series_matrix_table_end"]
    (tmp_path / "GSE1_series_matrix.txt").write_text("\n".join(lines) + "\n")
    adata = read(tmp_path / "GSE1_series_matrix.txt")
    assert adata.shape == (200, 7)
    assert adata.obs["sex"].tolist()[:2] == ["f", "m"]
    np.testing.assert_array_equal(adata.X, table.to_numpy().T)


@pytest.mark.parametrize(
    ("name", "head", "row"),
    [
        (
            "s{}.genes.results",
            "gene_id\ttranscript_id(s)\tlength\teffective_length\texpected_count\tTPM\tFPKM",
            4,
        ),
        (
            "{}.rna_seq.augmented_star_gene_counts.tsv",
            "# gene-model: GENCODE v36\ngene_id\tgene_name\tgene_type\tunstranded\tstranded_first",
            3,
        ),
        ("s{}ReadsPerGene.out.tab", "N_unmapped\t9\t9\t9", 1),
    ],
    ids=["RSEM", "GDC", "STAR"],
)
def test_formats__folders_of_sample_files_are_joined(tmp_path, name, head, row):
    counts = np.random.default_rng(0).poisson(50, (12, 9))
    for s in range(12):
        width = head.split("\n")[-1].count("\t") + 1
        lines = [head]
        for g in range(9):
            cells = [f"ENSG{g:011d}"] + ["1"] * (width - 1)
            cells[row] = str(counts[s, g])
            lines.append("\t".join(cells))
        (tmp_path / name.format(f"{s:02d}")).write_text("\n".join(lines) + "\n")
    adata = read(tmp_path)
    assert adata.shape == (12, 9)
    np.testing.assert_array_equal(adata.X, counts)
    refusal(lambda: read(next(tmp_path.iterdir())), "found one", "give the folder")


def test_formats__kallisto_bustools_has_symbols_and_all_values():
    adata = case("kb_counts")
    assert adata.uns["poolproof_read"]["format"] == "kallisto-bustools"
    assert adata.var["symbol"].iloc[0] == "Sym1"
    assert adata.X.nnz == 1169
