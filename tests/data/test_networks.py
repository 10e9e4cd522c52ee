import gzip

import anndata
import numpy as np
import pandas as pd
import pytest
from helpers import shared_data
from hypothesis import given
from hypothesis import strategies as st

from poolproof import InputError, read_edges, read_regulators
from poolproof.data import match_edges, match_genes

GRAPHML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="d0" for="node" attr.name="name" attr.type="string"/>
  <key id="d1" for="edge" attr.name="weight" attr.type="double"/>
  <graph edgedefault="{kind}">
    <node id="n0"><data key="d0">IRF1</data></node>
    <node id="n1"><data key="d0">STAT1</data></node>
    <node id="n2"/>
    <edge source="n0" target="n1"><data key="d1">2.5</data></edge>
    <edge source="n1" target="n2"/>
  </graph>
</graphml>
"""


def written(folder, content, name="file.txt"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    assert "expected" in message
    assert message.isprintable()
    return message


def pairs(edges):
    return list(zip(edges["regulator"], edges["target"], strict=True))


# --- regulators ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "A\nB\nC\n",
        "# a comment\n\nA\n  B  \r\n\r\nC # why\nA\n",
        "\ufeffregulator\nA\nB\nC",
        "symbol\nA\nB\nC\n",
        "rank\tTF\tscore\n1\tA\t.1\n2\tB\t.2\n3\tC\t.3\n",
        'A,x\n"B",y\nC,z\n',
        "source;weight\nA;1\nB;1\nC;2\n",
        b"\xff\xfe" + "A\nB\nC\n".encode("utf-16-le"),
    ],
)
def test_read_regulators__forms(tmp_path, content):
    assert read_regulators(written(tmp_path, content)) == ["A", "B", "C"]


def test_read_regulators__gz_whatever_its_name(tmp_path):
    assert read_regulators(written(tmp_path, gzip.compress(b"A\nB\n", mtime=0), "list.txt")) == ["A", "B"]


def test_read_regulators__names_that_tables_turn_into_missing_stay(tmp_path):
    assert read_regulators(written(tmp_path, "NA\nNO\n1\n")) == ["NA", "NO", "1"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n\n",
        "# only comments\n",
        "regulator\n",
        b"\x00\x01\x02",
        b"\xc3\x28",
        gzip.compress(b"A\n" * 99, mtime=0)[:-9],
    ],
)
def test_read_regulators__refused_in_one_line(tmp_path, content):
    with pytest.raises(InputError) as caught:
        read_regulators(written(tmp_path, content, "bad\x1b[31m.txt"))
    one_line(caught)


def test_read_regulators__absent_file(tmp_path):
    with pytest.raises(InputError, match="No such file") as caught:
        read_regulators(tmp_path / "absent.txt")
    one_line(caught)


# --- edges ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "regulator,target\nA,B\nC,B\n",
        "TF\ttarget\timportance\nA\tB\t3.5\nC\tB\t1\n",
        "from;to\nA;B\nC;B\n",
        "target_gene,source\nB,A\nB,C\n",
        "regulatoryGene targetGene weight\nA B .5\nC B .4\n",
        '"regulatoryGene","targetGene","weight"\n"1","A","B",.5\n"2","C","B",.4\n',
        "Gene1\tGene2\tEdgeWeight\nA\tB\t1\nC\tB\t1\n",
        ",TF,target,importance\n0,A,B,5\n1,C,B,4\n",
        "TF,target,importance\nA,B,5,\nC,B,4,\n",
        "A\tB\nC\tB\n",
        "A,B,0.5\nC,B,1e-3\n",
        "# made by hand\n\nA  B\nC  B\n",
        "\ufeffTF,target\r\nA,B\r\nC,B\r\n",
    ],
)
def test_read_edges__forms(tmp_path, content):
    for name, data in (("e.csv", content.encode()), ("e.csv.gz", gzip.compress(content.encode(), mtime=0))):
        edges = read_edges(written(tmp_path, data, name))
        assert pairs(edges) == [("A", "B"), ("C", "B")]
        assert edges.attrs["warnings"] == []
        assert "weight" not in edges or edges["weight"].dtype == float


def test_read_edges__other_columns_stay_as_text(tmp_path):
    edges = read_edges(written(tmp_path, "source,target,sign,importance,Weight,TF\nA,B,-1,2,7,C\n"))
    assert list(edges.columns) == ["source", "target", "sign", "importance", "weight", "regulator"]
    assert edges.iloc[0].tolist() == ["A", "B", "-1", "2", 7.0, "C"]


def test_read_edges__repeats_loops_and_blanks_are_counted(tmp_path):
    content = "TF,target,weight\nA,B,1\nA,A,9\nA,B,-3\nC,B,\n,B,1\nA,C,2\nA,B,2\n"
    edges = read_edges(written(tmp_path, content, "net.csv"))
    assert pairs(edges) == [("A", "B"), ("C", "B"), ("A", "C")]
    np.testing.assert_array_equal(edges["weight"], [-3.0, np.nan, 2.0])
    assert edges.attrs["warnings"] == [
        "net.csv: 1 edge without regulator or target dropped",
        "net.csv: 1 edge from a gene to itself dropped",
        "net.csv: 2 edges named again dropped; of each pair the row with the largest weight is kept",
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "TF,target\n",
        "TF,target\nA,A\n",
        "a,b,weight\nA,B,1\n",
        "TF,target,weight\nA,B,much\n",
        "A\n",
        "A,B\nA,B,C,D\n",
        'A,"B\n',
        "A,B\x00\n",
        b"\x89PNG\r\n\x1a\n\x00",
        "<graphml><graph>",
        "<?xml version='1.0'?><html></html>",
        gzip.compress(b"A,B\n" * 50, mtime=0)[:-5],
    ],
)
def test_read_edges__refused_in_one_line(tmp_path, content):
    with pytest.raises(InputError) as caught:
        read_edges(written(tmp_path, content))
    one_line(caught)


def test_read_edges__directed_graphml(tmp_path):
    edges = read_edges(written(tmp_path, GRAPHML.format(kind="directed"), "net.graphml"))
    assert pairs(edges) == [("IRF1", "STAT1"), ("STAT1", "n2")]
    np.testing.assert_array_equal(edges["weight"], [2.5, np.nan])


def test_read_edges__a_declared_default_is_the_weight_of_an_edge_without_one(tmp_path):
    key = '<key id="d1" for="edge" attr.name="weight" attr.type="double"'
    content = GRAPHML.format(kind="directed").replace(f"{key}/>", f"{key}><default>0.25</default></key>")
    edges = read_edges(written(tmp_path, content, "net.graphml"))
    assert edges["weight"].tolist() == [2.5, 0.25]


def test_read_edges__dot_puts_regions_together_that_pydot_took_apart(tmp_path):
    text = 'strict digraph {\nchr1:"100-200" -> IRF1;\nchr1:"300-400" -> "IRF1":"out" [w=1];\n}'
    edges = read_edges(written(tmp_path, text, "net.dot"))
    assert edges["regulator"].tolist() == ["chr1:100-200", "chr1:300-400"]
    assert edges["target"].tolist() == ["IRF1", "IRF1"]
    edges = read_edges(written(tmp_path, 'digraph { "chr1:1-2" -> A }', "quoted.dot"))
    assert edges["regulator"].tolist() == ["chr1:1-2"]


def test_read_edges__dot_names_are_never_cut(tmp_path):
    edges = read_edges(
        written(tmp_path, 'digraph {"HLA-A" -> B2M; TBX5:e -> "NKX2-5":n:w [len=-0.5]}', "net.dot")
    )
    assert pairs(edges) == [("HLA-A", "B2M"), ("TBX5", "NKX2-5")]
    with pytest.raises(InputError) as caught:
        read_edges(written(tmp_path, "digraph { HLA-A -> B2M }", "net.dot"))
    assert "HLA-A" in one_line(caught)
    clusters = "graph { subgraph cluster_1 { A -- B--C } D--A }"
    assert len(read_edges(written(tmp_path, clusters, "net.dot"))) == 6


def test_read_edges__undirected_graphml_gives_both_directions_and_says_so(tmp_path):
    edges = read_edges(
        written(tmp_path, gzip.compress(GRAPHML.format(kind="undirected").encode()), "n.graphml.gz")
    )
    assert set(pairs(edges)) == {("IRF1", "STAT1"), ("STAT1", "IRF1"), ("STAT1", "n2"), ("n2", "STAT1")}
    assert ["undirected" in sentence for sentence in edges.attrs["warnings"]] == [True]


@pytest.mark.parametrize("external", ["", ' SYSTEM "file:///etc/passwd"'])
def test_read_edges__document_types_are_refused(tmp_path, external):
    entities = f'<!DOCTYPE g{external} [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    content = GRAPHML.format(kind="directed").replace("IRF1", "&b;")
    content = content.replace("<graphml ", entities + "<graphml ")
    with pytest.raises(InputError, match="DOCTYPE") as caught:
        read_edges(written(tmp_path, content, "net.graphml"))
    one_line(caught)


def refusal(read, path):
    """The message of a refusal; empty if the file was read."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    return ""


@given(st.binary(max_size=200))
def test_read__junk_is_read_or_refused_in_one_line(tmp_path_factory, junk):
    path = written(tmp_path_factory.mktemp("junk"), junk)
    assert (refusal(read_edges, path) + refusal(read_regulators, path)).isprintable()


@given(st.integers(0, len(GRAPHML) - 1), st.characters(codec="utf-8"))
def test_read_edges__mutated_graphml_is_read_or_refused_in_one_line(tmp_path_factory, at, character):
    mutated = GRAPHML.format(kind="directed")
    mutated = mutated[:at] + character + mutated[at + 1 :]
    assert refusal(read_edges, written(tmp_path_factory.mktemp("graph"), mutated)).isprintable()


# --- matching ------------------------------------------------------------------------------------------

GENES = ["g1", "g2", "g3", "g4"]
SYMBOLS = ["Stat1", "Irf1", "Irf1", "g1"]


def test_match_genes__identifier_before_symbol_and_all_of_one_symbol():
    match = match_genes(["g1", "Irf1", "foo"], GENES, SYMBOLS)
    assert match.genes.tolist() == [0, 1, 2]
    assert match.names.tolist() == [0, 1, 1]
    assert match.sentence == "2 of 3 regulators matched (1 by identifier, 1 by symbol); not found: 'foo'"


def test_match_genes__case_is_ignored_only_where_nearly_nothing_matches():
    assert match_genes(["STAT1", "IRF1"], GENES, SYMBOLS).sentence.endswith("(by symbol ignoring case)")
    assert match_genes(["Stat1", "IRF1"], GENES, SYMBOLS).genes.tolist() == [0]


def test_match_genes__placeholders_are_no_symbols():
    with pytest.raises(InputError):
        match_genes(["NA"], ["g1", "g2"], ["NA", "NA"])
    assert match_genes(["nan"], ["g1", "g2"], ["nan", "x"]).genes.tolist() == [0]  # a gene of the fly


def test_match_genes__nothing_matches_shows_both_sides():
    with pytest.raises(InputError, match=r"g1, g2, g3 .*Stat1.*found a, b, c.*gene_column") as caught:
        match_genes(["a", "b", "c", "d"], GENES, SYMBOLS)
    one_line(caught)


def test_match_edges__sides_apart_loops_and_repeats_dropped():
    edges = pd.DataFrame({"regulator": ["IRF1", "STAT1", "foo"], "target": ["g2", "g4", "g1"]})
    match = match_edges(edges, GENES, SYMBOLS)
    assert match.regulator_index.tolist() == [2, 0]
    assert match.target_index.tolist() == [1, 3]
    assert match.edge_row_index.tolist() == [0, 1]
    assert match.sentence == (
        "2 of 3 edges matched (regulators by symbol ignoring case; targets by identifier); "
        "1 edge from a gene to itself dropped"
    )


def test_match_edges__second_name_used_where_the_first_fails():
    edges = pd.DataFrame(
        {
            "regulator": ["Zur", "Irf1"],
            "target": ["g2", "g4"],
            "source_gene_id": ["g1", "g3"],
            "sign": ["1", "0"],
        }
    )
    match = match_edges(edges, GENES, ["", "", "Irf1", ""])
    assert match.regulator_index.tolist() == [0, 2]
    assert "1 by symbol, 1 by source_gene_id" in match.sentence


@pytest.mark.parametrize(
    ("regulator", "target"), [("foo", "g1"), ("g1", "foo"), ("g1", "g1")], ids=["regulator", "target", "loop"]
)
def test_match_edges__refused(regulator, target):
    with pytest.raises(InputError):
        match_edges(pd.DataFrame({"regulator": [regulator], "target": [target]}), GENES)


def test_match_edges__one_end_each_is_no_edge():
    edges = pd.DataFrame({"regulator": ["g1", "foo"], "target": ["foo", "g1"]})
    with pytest.raises(InputError, match="both ends"):
        match_edges(edges, GENES)
    with pytest.raises(InputError, match="column target"):
        match_edges(edges[["regulator"]], GENES)


@given(st.permutations(range(4)))
def test_match_edges__gene_order_is_irrelevant(order):
    edges = pd.DataFrame({"regulator": ["Stat1", "Irf1"], "target": ["g3", "g4"]})
    genes, symbols = [GENES[i] for i in order], [SYMBOLS[i] for i in order]
    match = match_edges(edges, genes, symbols)
    named = {(genes[r], genes[t]) for r, t in zip(match.regulator_index, match.target_index, strict=True)}
    assert named == {("g1", "g3"), ("g2", "g4"), ("g3", "g4")}


# --- the networks and data sets beside the checkout ------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "data", "symbols", "n_edges", "n_matched"),
    [
        ("ecoli_regulon", "bulk_ecoli_precise", None, 7918, 7193),
        ("ecoli_regulon", "bulk_ecoli_precise", "gene_name", 7918, 7193),
        ("saureus_regprecise", "bulk_saureus_imodulon", None, 1236, 679),
        ("saureus_regprecise", "bulk_saureus_imodulon", "gene_name", 1236, 679),
        ("yeast", "bulk_yeast_stress_gasch", None, 23106, 6122),
        ("human_dorothea", "bulk_pickrell_lcl_counts", "Symbol", 29086, 17113),
        ("human_trrust", "bulk_pickrell_lcl_counts", "Symbol", 8403, None),
        ("mouse_dorothea", "sc_mdc_lps_beeline", None, 12895, None),
        ("mouse_trrust", "sc_mdc_lps_beeline", None, 6462, None),
        ("mouse_mdc_chipseq", "sc_mdc_lps_beeline", None, 756, 756),
    ],
)
def test_real_networks__match_their_data(network, data, symbols, n_edges, n_matched):
    edges = read_edges(shared_data(f"network_{network}.csv"))
    var = anndata.read_h5ad(shared_data(f"{data}.h5ad"), backed="r").var
    match = match_edges(edges, var.index, None if symbols is None else var[symbols])
    assert len(edges) == n_edges
    if n_matched is not None:  # as the folder's README counts them, loops by gene identifier included
        assert match.sentence.startswith(f"{n_matched:,} of {n_edges:,} edges matched")
    matched = edges.iloc[match.edge_row_index]
    assert (match.regulator_index != match.target_index).all()
    folded = pd.Index(var.index[match.target_index].str.casefold())
    assert network.startswith("human") or (folded == matched["target"].str.casefold()).all()


@pytest.mark.parametrize(
    ("network", "data", "symbols", "sentence"),
    [
        ("ecoli_regulon", "bulk_ecoli_precise", "gene_name", "191 of 236 regulators matched (by symbol)"),
        ("mouse_mdc_chipseq", "sc_mdc_lps_beeline", None, "20 of 20 regulators matched (by identifier)"),
    ],
)
def test_real_networks__regulators_match(network, data, symbols, sentence):
    names = read_regulators(shared_data(f"network_{network}.csv"))
    var = anndata.read_h5ad(shared_data(f"{data}.h5ad"), backed="r").var
    assert (
        match_genes(names, var.index, None if symbols is None else var[symbols]).sentence.split(";")[0]
        == sentence
    )


def test_read_edges__sign_0_is_unknown_among_signs_and_no_edge_among_ones(tmp_path):
    signed = read_edges(written(tmp_path, "source,target,sign\nA,B,-1\nA,C,0\nB,C,1\n"))
    assert len(signed) == 3
    unknown = read_edges(written(tmp_path, "source,target,sign\nA,B,0\nA,C,0\n"))
    assert len(unknown) == 2
    flags = read_edges(written(tmp_path, "source,target,sign\nA,B,1\nA,C,0\n"))
    assert flags[["regulator", "target"]].to_numpy().tolist() == [["A", "B"]]


def test_match_genes__names_that_are_not_found_are_told_and_escaped():
    names = ["A", *(f"\x1b{i}" for i in range(8))]
    told = match_genes(names, ["A", "B"], None).sentence
    assert told.startswith("1 of 9 regulators matched (by identifier); not found: ")
    assert told.endswith("and 3 more")
    assert "\x1b" not in told
