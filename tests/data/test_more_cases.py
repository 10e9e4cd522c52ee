"""Further files that real tools wrote (``cases/make_more_tool_files.py`` has the versions), kind by kind.

Where the same numbers stand in a plain table, whole runs must give the same calls.
"""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from click.testing import CliRunner
from test_cases import TOOLS, dense, note, pairs_of, refusal, said, same_calls, tool

import poolproof
from poolproof import cli
from poolproof.data import describe, read, read_edges, read_samples


def plain(name, **options):
    """The values of a file as pandas reads them, samples in rows: nothing of the readers tested here."""
    return pd.read_csv(TOOLS / name, index_col=0, **options).T


# --- 1. pools are no cells ---------------------------------------------------------------------------------


def test_pools__of_scuttle_are_known_by_its_table_of_samples():
    adata = tool("scuttle_sums.csv")
    read_samples(TOOLS / "scuttle_samples.csv", adata)
    found = describe(adata)
    assert (found.kind, found.kind_known, found.umi_like) == ("bulk", True, False)
    assert "'ncells' marks pools" in said(found)


def test_pools__metacells_hold_means_in_x_and_sums_in_a_layer():
    found = describe(tool("metacells.h5ad"))
    assert "weighted geometric means of fractions" in said(found)
    assert "pass --layer total_umis" in said(found)
    sums = describe(tool("metacells.h5ad"), layer="total_umis")
    assert sums.scale == "counts"
    assert "geometric" not in said(sums)


# --- 2. marks against the values, and X that is not what it seems --------------------------------------


def test_velocity__x_of_a_converted_loom_is_spliced_alone():
    found = describe(tool("velocity.h5ad"))
    assert "X holds spliced molecules alone" in said(found)
    assert "pass --layer matrix" in said(found)
    assert found.kind_known  # velocyto's names: run:BARCODEx
    whole = tool("velocity.loom")
    assert "spliced molecules alone" not in said(describe(whole))
    np.testing.assert_array_equal(dense(whole.X), dense(tool("velocity.h5ad").layers["matrix"]))


def test_velocity__layers_of_moments_change_nothing_in_x():
    adata = tool("velocity.h5ad")
    adata.X = adata.layers["matrix"].copy()
    assert "spliced molecules alone" not in said(describe(adata))
    del adata.layers["matrix"]
    adata.X = adata.layers["spliced"].copy()
    assert "read_loom(..., X_name='')" in said(describe(adata))


def test_counts__of_both_mates_are_said_and_others_are_not():
    found = describe(tool("featurecounts_pairs.txt"))
    assert "all counts are multiples of 2" in said(found)
    assert "--countReadPairs" in said(found)
    for name in ("featurecounts.txt", "star", "r_write_csv.csv", "starsolo"):
        assert "countReadPairs" not in said(describe(tool(name)))


def test_counts__of_cut_cells_are_said():
    assert "1,980 barcodes stand there again" in note(tool("bustools_unsorted"))
    assert "run bustools sort first" in note(tool("bustools_unsorted"))
    assert "stand there again" not in note(tool("kb"))


# --- 3. estimated counts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rsem", "salmon", "tximport_counts.csv", "rsem_matrix.txt"])
def test_estimated__of_every_quantifier_are_rounded_with_size_factors(name):
    found = describe(tool(name))
    assert (found.scale, found.settings["size_factors"]) == ("counts", "median-ratio")
    assert "are rounded to whole numbers" in said(found)
    genes = sorted(found.genes)
    counted = describe(tool("star"))
    reads = pd.DataFrame(counted.matrix, columns=counted.genes)[genes].to_numpy()
    estimated = pd.DataFrame(found.matrix, columns=found.genes)[genes].to_numpy()
    alone = [i for i, gene in enumerate(genes) if int(gene[-11:]) > 10]  # no read of these fits another gene
    np.testing.assert_array_equal(estimated[:, alone], reads[:, alone])
    assert (estimated[:, :10] >= reads[:, :10] - 2).all()


def test_estimated__rsem_matrix_and_folder_give_the_same_calls():
    one, other = tool("rsem"), tool("rsem_matrix.txt")
    other.obs_names = [name.removesuffix(".genes.results") for name in other.obs_names]
    same_calls(pairs_of(one), pairs_of(other))


def test_estimated__length_scaled_tpm_are_said_and_taken_on_request():
    guessed = describe(tool("tximport_length_scaled.txt"))
    assert guessed.scale == "additive"
    assert "samples differ in depth" in said(guessed)
    assert "pass --scale counts" in said(guessed)
    stated = describe(tool("tximport_length_scaled.txt"), scale="counts")
    assert (stated.scale, stated.settings["size_factors"]) == ("counts", "median-ratio")
    np.testing.assert_array_equal(stated.matrix, np.rint(plain("tximport_length_scaled.txt", sep="\t")))


@pytest.mark.parametrize("made", ["cpm", "log"])
def test_estimated__normalised_values_are_not_called_counts(made):
    counts = plain("r_write_csv.csv")
    shares = counts.div(counts.sum(axis=1), axis=0) * 1e6
    values = shares if made == "cpm" else np.log2(shares + 1)
    assert "samples differ in depth" not in said(describe(values))
    refusal(lambda: describe(values, scale="counts"), "is not whole")


# --- 4. what is no gene ------------------------------------------------------------------------------------


def test_genes__of_edger_and_deseq2_tables_are_annotated_by_their_other_columns():
    table = plain("r_write_csv.csv")
    for name in ("edger_counts_with_genes.csv", "deseq2_results_with_counts.csv"):
        adata = tool(name)
        pd.testing.assert_frame_equal(adata.to_df(), table.astype(float), check_names=False)
    assert list(describe(tool("edger_counts_with_genes.csv")).symbols[:2]) == ["SYM1", "SYM2"]
    same_calls(pairs_of(tool("deseq2_results_with_counts.csv")), pairs_of(tool("r_write_csv.csv")))


@pytest.mark.parametrize("name", ["deseq2_results.csv"])
def test_genes__results_of_a_test_are_no_expression(name):
    refusal(lambda: tool(name), "what a test says of genes (baseMean, log2FoldChange", "that were tested")


@pytest.mark.parametrize("name", ["star", "htseq"])
def test_genes__counters_of_folders_are_left_out(name):
    assert tool(name).shape == (12, 30)
    assert "features left out, counters of reads" in note(tool(name))


def test_genes__identifiers_are_no_sample_and_no_gene():
    refusal(lambda: describe(tool("scanpy_read_csv_entrez.h5ad")), "'gene' holds identifiers", "read_csv")
    refusal(lambda: describe(tool("scanpy_read_csv_entrez.h5ad").T.copy()), "genes are in rows", "transpose")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ERCC-00130", "spike-in"),
        ("SIRV101", "spike-in"),
        ("POS_A(128)", "spike-in"),
        ("NEG_H(0)", "spike-in"),
        ("NegControlProbe_00042", "control probes"),
        ("BLANK_0001", "control probes"),
        ("UnassignedCodeword_0002", "control probes"),
    ],
)
def test_genes__controls_are_left_out(name, what):
    counts = plain("r_write_csv.csv").astype(float)
    counts[name] = np.arange(len(counts)) * 100.0
    found = describe(counts)
    assert name not in found.genes
    assert what in said(found)
    assert len(found.genes) == counts.shape[1] - 1


def test_genes__that_only_sound_like_controls_stay():
    names = ["ERCC1", "ERCC6L", "SIRPA", "POSTN", "NEGR1", "BLNK", "STAT1"]
    counts = plain("r_write_csv.csv").iloc[:, : len(names)].set_axis(names, axis=1)
    assert list(describe(counts).genes) == names


# --- 5. orientation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["r_write_csv.csv", "r_transposed.csv", "r_write_table.txt", "r_write_csv2.csv"]
)
def test_orientation__of_what_r_writes(name):
    pd.testing.assert_frame_equal(
        tool(name).to_df(), plain("r_write_csv.csv").astype(float), check_names=False
    )


@pytest.mark.parametrize("name", ["kb", "starsolo"])
def test_orientation__of_matrices_of_cells(name):
    adata = tool(name)
    assert adata.shape == (60, 30)
    assert adata.var_names[0] == "ENSG00000000001"
    assert adata.var["symbol"].iloc[0] == "SYM1"
    assert describe(adata).kind_known


def test_orientation__kb_and_starsolo_count_the_same_molecules_of_genes_with_their_own_sequence():
    one, other = (tool(name).to_df() for name in ("kb", "starsolo"))
    alone = [gene for gene in one.columns if int(gene[-11:]) > 10]
    difference = one.loc[other.index, alone].to_numpy() - other[alone].to_numpy()
    assert np.mean(difference != 0) < 0.01


# --- 6. labels and numbers -------------------------------------------------------------------------------


def test_numbers__big_marks_of_r():
    adata = tool("r_big_mark.csv")
    np.testing.assert_array_equal(adata.to_df(), plain("r_write_csv.csv"))
    assert "thousands separators" in note(adata)


def test_numbers__na_of_r_is_missing_and_no_gene_is_constant():
    result = pairs_of(tool("r_missing.csv"))
    assert (result.genes["status"] == "ok").all()
    assert "30 values" in "\n".join(result.warnings)


def test_labels__a_batch_of_deseq2_is_a_label_and_its_size_factors_a_quantity():
    adata = tool("r_write_csv.csv")
    read_samples(TOOLS / "deseq2_samples.csv", adata)
    result = pairs_of(adata, covariates="batch")
    assert "'batch' taken as a label: 4 whole numbers" in "\n".join(result.warnings)
    result = pairs_of(adata, covariates="sizeFactor")
    assert "taken as a label" not in "\n".join(result.warnings)


# --- 7. networks -------------------------------------------------------------------------------------------


def edges_of(tmp_path, text, name="net.csv"):
    (tmp_path / name).write_text(text)
    edges = read_edges(tmp_path / name)
    return sorted(zip(edges["regulator"], edges["target"], strict=True)), edges


def test_networks__of_grnboost2():
    edges = read_edges(TOOLS / "grnboost2.tsv")
    assert set(edges["regulator"]) == {"STAT1", "MYC"}
    assert (edges["weight"] > 0).all()
    assert edges.set_index(["regulator", "target"])["weight"].loc["STAT1"].nlargest(3).index[-1] in (
        "IRF1",
        "GBP1",
        "MYC",
    )


LINES = [("MYC", "MAX"), ("STAT1", "IRF1")]
BOTH = sorted(LINES + [(b, a) for a, b in LINES])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            ",source,target,coef_mean,p,-logp\n0,STAT1,IRF1,.05,1e-9,9\n1,STAT1,GBP1,0,1,0\n2,MYC,MAX,-1,0,9\n",
            LINES,
        ),
        ('"from","to","strength","direction"\nSTAT1,IRF1,.9,.8\nMYC,MAX,.5,1\nMAX,GBP1,0,0\n', LINES),
        ("Regulator\tTarget\tMI\tpvalue\nSTAT1\tIRF1\t.5\t0\nMYC\tMAX\t.4\t0\n", LINES),
        (
            "fromNode\ttoNode\tweight\tdirection\nSTAT1\tIRF1\t.3\tundirected\nMYC\tMAX\t.2\tundirected\n",
            BOTH,
        ),
        ("ENTITYA\tTYPEA\tENTITYB\tTYPEB\tEFFECT\nSTAT1\tx\tIRF1\tx\tup\nMYC\tx\tMAX\tx\tdown\n", LINES),
        ("TG,TF,coef\nIRF1,STAT1,.1\nMAX,MYC,.2\nGBP1,MYC,0\n", LINES),
        ("[STAT1][MYC][IRF1|STAT1][MAX|MYC]\n", LINES),
        (
            "source\ttarget\tis_directed\nSTAT1\tIRF1\t1\nMYC\tMAX\t0\n",
            [*LINES[:1], ("MAX", "MYC"), LINES[1]],
        ),
    ],
    ids=["CellOracle", "bnlearn", "ARACNe-AP", "Cytoscape", "SIGNOR", "scGRNom", "model string", "OmniPath"],
)
def test_networks__as_tools_write_them(tmp_path, text, expected):
    assert edges_of(tmp_path, text)[0] == sorted(expected)


def test_networks__second_names_turn_with_their_edge(tmp_path):
    text = "source\ttarget\tsource_genesymbol\ttarget_genesymbol\tis_directed\nP1\tP2\tMYC\tMAX\tFalse\n"
    edges = edges_of(tmp_path, text)[1]
    assert edges["source_genesymbol"].tolist() == ["MYC", "MAX"]
    assert edges["regulator"].tolist() == ["P1", "P2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("protein1 protein2 combined_score\n9606.A 9606.B 155\n", "interactions of proteins"),
        ("#node1\tnode2\tnode1_string_id\tscore\nSTAT1\tIRF1\tx\t.9\n", "interactions of proteins"),
        ("dag {\nSTAT1 -> IRF1\n}\n", "dagitty"),
        ('*Vertices 2\n1 "STAT1"\n2 "IRF1"\n*Arcs\n1 2 1\n', "Pajek"),
    ],
)
def test_networks__others_are_named(tmp_path, text, words):
    refusal(lambda: edges_of(tmp_path, text), words)


# --- 8. nothing testable -----------------------------------------------------------------------------------


def test_nothing__downsampled_cells_have_too_few_counts():
    refusal(lambda: pairs_of(tool("scanpy_downsampled.h5ad")), "at least 20 counts")


# --- 9. formats --------------------------------------------------------------------------------------------


def test_formats__folders_give_the_calls_of_the_plain_table():
    files = sorted((TOOLS / "star").iterdir())
    columns = [pd.read_csv(file, sep="\t", header=None, index_col=0)[1].iloc[4:] for file in files]
    table = pd.DataFrame(columns, index=[file.name[:3] for file in files])
    for name in ("star", "htseq", "featurecounts"):
        adata = tool(name)
        assert list(adata.obs_names) == [f"s{i:02d}" for i in range(12)]
        np.testing.assert_array_equal(adata.X, table.to_numpy())
        same_calls(pairs_of(adata), pairs_of(table, kind="bulk"))


def test_formats__genes_in_another_order_are_the_same_genes(tmp_path):
    for i, file in enumerate(sorted((TOOLS / "rsem").iterdir())):
        head, *rows = file.read_text().splitlines()
        (tmp_path / file.name).write_text("\n".join([head, *(rows if i % 2 else rows[::-1])]) + "\n")
    one, other = read(tmp_path), tool("rsem")
    pd.testing.assert_frame_equal(one.to_df()[other.var_names], other.to_df())


def test_formats__long_tables_of_umi_tools_are_spread():
    long, wide = tool("umi_tools_long.tsv"), tool("umi_tools_wide.tsv")
    assert long.uns["poolproof_read"]["format"] == "long-table"
    pd.testing.assert_frame_equal(
        long.to_df().sort_index(axis=0).sort_index(axis=1),
        wide.to_df().sort_index(axis=0).sort_index(axis=1),
        check_names=False,
    )


def test_formats__a_long_table_that_names_a_gene_twice_is_refused(tmp_path):
    (tmp_path / "c.tsv").write_text("gene\tcell\tcount\nA\tx\t1\nA\tx\t2\n")
    refusal(lambda: read(tmp_path / "c.tsv"), "'A' of 'x' stands there twice")


def test_formats__other_long_tables_are_named(tmp_path):
    rows = [f"ENSG{g:011d}\tSYM{g}\t{t}\t{g}.5" for g in range(20) for t in ("liver", "brain", "skin")]
    (tmp_path / "t.tsv").write_text("\n".join(["Gene\tGene name\tTissue\tnTPM", *rows]) + "\n")
    refusal(lambda: read(tmp_path / "t.tsv"), "a long table", "pivot")


def test_formats__gct_of_cmappy_with_na_side_by_side():
    adata = tool("cmappy.gct")
    assert adata.shape == (20, 14)
    assert np.isnan(adata.X).sum() == 5
    assert list(adata.obs["cell_id"][:2]) == ["MCF7", "A549"]


def atlas(tmp_path, cell):
    head = "# Expression Atlas\n# Query: x\nGene ID\tGene Name\tbrain\tliver\tlung\n"
    rows = [f"ENSG{g:011d}\tSYM{g}\t{cell(g)}\t{cell(g + 1)}\t{cell(g + 2)}\n" for g in range(30)]
    (tmp_path / "E-MTAB-1-tpms.tsv").write_text(head + "".join(rows))
    return tmp_path / "E-MTAB-1-tpms.tsv"


def test_formats__expression_atlas_is_read_with_its_symbols(tmp_path):
    adata = read(atlas(tmp_path, lambda g: g / 2))
    assert adata.shape == (3, 30)
    assert list(adata.obs_names) == ["brain", "liver", "lung"]
    counts = np.random.default_rng(0).gamma(3.0, size=(20, 30))
    both = AnnData(counts, var=adata.var)
    assert describe(both).symbols[0] == "SYM0"


def test_formats__expression_atlas_with_quartiles_is_named(tmp_path):
    path = atlas(tmp_path, lambda g: ",".join(str(g + i / 2) for i in range(5)))
    refusal(lambda: read(path), "several numbers in one cell", "Expression Atlas", "raw counts")


def test_formats__matrix_of_the_single_cell_atlas_and_of_parse(tmp_path):
    counts = np.random.default_rng(0).poisson(2.0, (15, 9))
    rows, columns = np.nonzero(counts)
    head = "%%MatrixMarket matrix coordinate integer general\n"
    values = [counts[r, c] for r, c in zip(rows, columns, strict=True)]
    cells = [f"{r + 1} {c + 1} {v}\n" for r, c, v in zip(rows, columns, values, strict=True)]
    genes = [f"{c + 1} {r + 1} {v}\n" for r, c, v in zip(rows, columns, values, strict=True)]
    one, other = tmp_path / "atlas", tmp_path / "parse"
    one.mkdir()
    other.mkdir()
    name = "E-MTAB-1.aggregated_filtered_counts.mtx"
    (one / name).write_text(f"{head}9 15 {len(values)}\n" + "".join(genes))
    (one / f"{name}_rows").write_text("".join(f"ENSG{i:011d}\tENSG{i:011d}\n" for i in range(9)))
    (one / f"{name}_cols").write_text("".join(f"RUN-{'ACGT' * 3}{i}\n" for i in range(15)))
    (other / "count_matrix.mtx").write_text(f"{head}15 9 {len(values)}\n" + "".join(cells))
    (other / "all_genes.csv").write_text(
        "gene_id,gene_name,genome\n" + "".join(f"ENSG{i:011d},SYM{i},hg38\n" for i in range(9))
    )
    (other / "cell_metadata.csv").write_text(
        "bc_wells,sample\n" + "".join(f"01_01_{i:02d},s\n" for i in range(15))
    )
    for folder in (one, other):
        np.testing.assert_array_equal(dense(read(folder).X), counts)
    assert read(other).var["symbol"].iloc[0] == "SYM0"
    assert describe(read(other)).kind_known


def test_formats__a_line_of_units_below_the_header_is_no_gene(tmp_path):
    table = plain("r_write_csv.csv").T
    lines = table.rename_axis("Hybridization REF").to_csv(sep="\t").splitlines()
    units = "\t".join(["gene_id", *["raw_count"] * table.shape[1]])
    (tmp_path / "firehose.txt").write_text("\n".join([lines[0], units, *lines[1:]]) + "\n")
    adata = read(tmp_path / "firehose.txt")
    np.testing.assert_array_equal(adata.X, table.T.to_numpy())
    assert "raw_count" in note(adata)


def test_formats__rows_in_classes_are_named_by_the_next_column(tmp_path):
    table = plain("r_write_csv.csv").T.iloc[:40]
    table.insert(0, "Name", [f"SYM{i}" for i in range(40)])
    table.insert(0, "Code Class", ["Endogenous"] * 36 + ["Housekeeping"] * 4)
    table.to_csv(tmp_path / "nanostring.csv", index=False)
    assert list(read(tmp_path / "nanostring.csv").var_names[:2]) == ["SYM0", "SYM1"]


def test_formats__a_number_of_cells_is_no_gene(tmp_path):
    table = plain("r_write_csv.csv").iloc[:, :10]
    table.index = pd.Index(np.arange(16) * 7919 + 13, name="Cell_Index")
    (tmp_path / "bd.csv").write_text("## BD Targeted\n" + table.to_csv())
    adata = read(tmp_path / "bd.csv")
    assert adata.shape == (16, 10)
    assert adata.obs_names[1] == "7932"


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (("data/expression", "meta/genes/symbol"), "ARCHS4"),
        (("0/DATA/0/matrix",), "GCTX"),
        (("assays/RNA", "meta.data/x"), "h5Seurat"),
        (("barcode_idx", "feature_idx", "count"), "filtered_feature_bc_matrix"),
    ],
)
def test_formats__other_hdf5_is_refused_by_name(tmp_path, groups, words):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        for group in groups:
            file[group] = np.arange(3)
    refusal(lambda: read(tmp_path / "x.h5"), words, "which is not read")


def test_audit__nothing_testable_is_refused_with_the_reason_and_leaves_nothing(tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(
        cli.commands, ["audit", str(TOOLS / "scanpy_downsampled.h5ad"), "--out", str(out)]
    )
    assert isinstance(done.exception, poolproof.InputError)
    assert "at least 20 counts" in str(done.exception)
    assert not out.exists()


def untestable(tmp_path, what):
    """A table of which no pair can be tested, and the options that make it so."""
    rng = np.random.default_rng(0)
    names = [f"sample{i}" for i in range(24)]
    table = pd.DataFrame(rng.gamma(4.0, size=(24, 6)), names, [f"GENE{i}" for i in range(6)])
    samples = pd.DataFrame({"level": [f"l{i // 4}" for i in range(24)], "donor": ["d0", "d1"] * 12}, names)
    samples.rename_axis("sample").to_csv(tmp_path / "samples.csv")
    if what == "apart":  # no two genes have enough samples in common
        table = table.iloc[:, :2]
        table.iloc[:16, 0], table.iloc[8:, 1] = np.nan, np.nan
    table.to_csv(tmp_path / "table.csv")
    options = {"levels": ["--within", "level"], "donors": ["--replicate", "donor"], "apart": []}[what]
    return [str(tmp_path / "table.csv"), "--samples", str(tmp_path / "samples.csv"), *options]


@pytest.mark.parametrize(
    ("what", "reason", "way_out"),
    [
        ("levels", "at least 10 usable samples are needed in one level; found 4", "check --within"),
        ("donors", "found 6 too_few_replicates", "use more replicates"),
        ("apart", "expected pairs that can be tested; found none", "give more samples"),
    ],
)
def test_audit__with_0_testable_pairs_is_refused(tmp_path, monkeypatch, capsys, what, reason, way_out):
    out = tmp_path / "out"
    arguments = ["poolproof", "audit", *untestable(tmp_path, what), "--quiet", "--out", str(out)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said_to_user = capsys.readouterr().err
    assert ended.value.code == 2
    assert said_to_user.count("\n") == 1
    assert reason in said_to_user
    assert way_out in said_to_user
    assert not out.exists()
