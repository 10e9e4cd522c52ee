"""Reading: each format by hand, what is guessed, and bad files, which must end in one line."""

import gzip
import json
import logging
import random
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from helpers import shared_data
from hypothesis import given
from hypothesis import strategies as st

from poolproof import InputError, read
from poolproof.data import containers as _containers
from poolproof.data.io import unique_names
from poolproof.data.orientation import gene_score

GENES = ["ENSG00000000003", "ENSG00000000419", "ENSG00000000457"]
CELLS = ["AAACATACATTTCC-1", "AAACATACCAGAAA-1", "AAACATACGTTGAC-1", "AAACATACTTGACT-1"]
COUNTS = np.array([[5, 0, 2], [0, 7, 1], [3, 0, 0], [0, 0, 9]], dtype=np.int32)  # cells x genes


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def dense(adata):
    return adata.X.toarray() if sp.issparse(adata.X) else np.asarray(adata.X)


def said(adata) -> str:
    return "\n".join(adata.uns["poolproof_read"]["warnings"])


def refusal(path, **options) -> str:
    with pytest.raises(InputError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def make_adata(matrix) -> ad.AnnData:
    return ad.AnnData(matrix, obs=pd.DataFrame(index=CELLS), var=pd.DataFrame(index=GENES))


def write_10x(folder: Path, *, version: int = 3, matrix=None, prefix: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    genes = [f"{g}\tSYM{i}" + ("\tGene Expression" if version == 3 else "") for i, g in enumerate(GENES)]
    matrix = sp.coo_matrix(COUNTS.T) if matrix is None else matrix
    scipy.io.mmwrite(folder / f"{prefix}matrix.mtx", matrix)
    names = f"{prefix}{'features' if version == 3 else 'genes'}.tsv"
    write(folder / names, "\n".join(genes) + "\n")
    write(folder / f"{prefix}barcodes.tsv", "\n".join(CELLS) + "\n")
    if version == 3:
        for path in list(folder.iterdir()):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    return folder


# --- AnnData files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array])
@pytest.mark.parametrize("store", ["h5ad", "zarr"])
def test_read__dense_csr_csc_agree(tmp_path, form, store):
    path = tmp_path / f"data.{store}"
    made = make_adata(form(COUNTS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's own, about the version of zarr that it writes
        getattr(made, f"write_{store}")(path)
    adata = read(path)
    np.testing.assert_array_equal(dense(adata), COUNTS)
    assert adata.obs_names.tolist() == CELLS
    assert sp.issparse(adata.X) == (form is not np.asarray)
    if sp.issparse(adata.X):
        assert adata.X.format == "csr"
    assert adata.uns["poolproof_read"] == {
        "path": path.name, "format": store, "orientation": "genes-in-columns", "warnings": [],
    }  # fmt: skip


def test_read__layers_and_raw_kept_and_csr(tmp_path):
    made = make_adata(np.log1p(COUNTS.astype(float)))
    made.layers["counts"] = sp.csc_matrix(COUNTS)
    made.raw = make_adata(sp.csr_matrix(COUNTS))
    made.write_h5ad(tmp_path / "a.h5ad")
    adata = read(tmp_path / "a.h5ad")
    assert adata.layers["counts"].format == "csr"
    np.testing.assert_array_equal(adata.raw.X.toarray(), COUNTS)


def test_read__result_can_be_written_again(tmp_path):
    path = write(tmp_path / "t.csv", "gene,s1,s2\nENSG00000000003,1,2\nENSG00000000003,3,4\n")
    adata = read(path)
    adata.write_h5ad(tmp_path / "again.h5ad")
    assert read(tmp_path / "again.h5ad").shape == (2, 2)


def test_read__transposed_anndata_on_request(tmp_path):
    make_adata(COUNTS).T.write_h5ad(tmp_path / "t.h5ad")
    np.testing.assert_array_equal(read(tmp_path / "t.h5ad", orientation="genes-in-rows").X, COUNTS)


def test_read__bad_anndata_refused(tmp_path):
    bad = make_adata(COUNTS.astype(float))
    bad.X[1, 2] = np.inf
    bad.write_h5ad(tmp_path / "inf.h5ad")
    message = refusal(tmp_path / "inf.h5ad")
    assert CELLS[1] in message
    assert GENES[2] in message
    make_adata(COUNTS.astype(complex)).write_h5ad(tmp_path / "complex.h5ad")
    assert "complex" in refusal(tmp_path / "complex.h5ad")
    make_adata(COUNTS)[:0].write_h5ad(tmp_path / "none.h5ad")
    assert "0 x 3" in refusal(tmp_path / "none.h5ad")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["spectra"] = [1, 2]
    assert "spectra" in refusal(tmp_path / "other.h5")


def test_read__sparse_index_out_of_bounds_refused(tmp_path):
    path = tmp_path / "a.h5ad"
    make_adata(sp.csr_matrix(COUNTS)).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["X/indices"][0] = 1_000_000
    refusal(path)


# --- text ------------------------------------------------------------------------------------------

ROWS_ARE_GENES = "gene_id{d}s1{d}s2\nENSG00000000003{d}5{d}0\nENSG00000000419{d}1{d}7.5\n"


@pytest.mark.parametrize("delimiter", [",", "\t", ";", " "])
@pytest.mark.parametrize(
    "change", [str, lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, lambda t: t[:-1]]
)
def test_read__delimiters_line_ends_marks(tmp_path, delimiter, change):
    adata = read(write(tmp_path / "t.txt", change(ROWS_ARE_GENES.format(d=delimiter))))
    np.testing.assert_array_equal(adata.X, [[5, 1], [0, 7.5]])
    assert adata.obs_names.tolist() == ["s1", "s2"]
    assert adata.var_names.tolist() == GENES[:2]
    assert "--orientation genes-in-columns" in said(adata)


def test_read__gzip_utf16_and_old_encodings(tmp_path):
    text = ROWS_ARE_GENES.format(d="\t").replace("s1", "sämple")
    (tmp_path / "t.tsv.gz").write_bytes(gzip.compress(text.encode()))
    write(tmp_path / "u.tsv", text, "utf-16")
    write(tmp_path / "l.tsv", text, "latin-1")
    for name in ("t.tsv.gz", "u.tsv", "l.tsv"):
        assert read(tmp_path / name).obs_names[0] == "sämple"


def test_read__r_header_and_quotes(tmp_path):
    path = write(tmp_path / "r.csv", '"GSM1001","GSM1002"\n"TP53",1,2\n"a, quoted ""gene""",3,NA\n')
    adata = read(path)
    assert adata.obs_names.tolist() == ["GSM1001", "GSM1002"]
    assert adata.var_names.tolist() == ["TP53", 'a, quoted "gene"']
    assert np.isnan(adata.X[1, 1])


def test_read__delimiter_at_line_ends_is_not_an_r_header(tmp_path):
    adata = read(write(tmp_path / "t.csv", "gene,s1,s2\nTP53,1,2,\nMYC,3,4,\n"))
    assert adata.obs_names.tolist() == ["s1", "s2"]
    np.testing.assert_array_equal(adata.X, [[1, 3], [2, 4]])


def test_read__missing_values_and_names_that_look_missing(tmp_path):
    adata = read(write(tmp_path / "t.csv", "gene,s1,s2\nNA,NA,2\nnan,NaN,1\nMYC,,4\n"))
    assert adata.var_names.tolist() == ["NA", "nan", "MYC"]
    assert np.isnan(adata.X[0]).all()
    np.testing.assert_array_equal(adata.X[1], [2, 1, 4])


def test_read__feature_counts(tmp_path):
    text = (
        "# Program:featureCounts v2.0; Command:\"featureCounts\" \"-a\" \"x.gtf\"\n"
        "Geneid\tChr\tStart\tEnd\tStrand\tLength\ta.bam\tb.bam\n"
        "ENSG00000000003\tX;X\t1;9\t5;12\t-;-\t9\t3\t4\nENSG00000000419\t20\t7\t8\t+\t2\t0\t11\n"
    )  # fmt: skip
    adata = read(write(tmp_path / "counts.txt", text))
    np.testing.assert_array_equal(adata.X, [[3, 0], [4, 11]])
    assert list(adata.var.columns) == ["Chr", "Start", "End", "Strand", "Length"]
    assert "annotation" in said(adata)


def test_read__genes_in_columns_with_sample_annotation(tmp_path):
    text = "sample,condition,age,TP53,MYC\nS1,ctrl,33,1,2\nS2,treated,41,3,4\nS3,treated,28,5,6\n"
    adata = read(write(tmp_path / "t.csv", text))
    assert adata.var_names.tolist() == ["TP53", "MYC"]
    assert adata.obs["condition"].tolist() == ["ctrl", "treated", "treated"]
    assert adata.uns["poolproof_read"]["orientation"] == "genes-in-columns"


def test_read__no_names_and_empty_rows(tmp_path):
    adata = read(write(tmp_path / "t.csv", "TP53,MYC\n1,2\n3,4\n5,6\n"), orientation="genes-in-columns")
    np.testing.assert_array_equal(adata.X, [[1, 2], [3, 4], [5, 6]])
    assert "numbered" in said(adata)
    adata = read(write(tmp_path / "u.csv", "gene,s1,s2\nTP53,1,2\nMYC,1,3\n,,\n,,\n"))
    assert adata.n_vars == 2
    assert "2 empty rows" in said(adata)


def test_read__orientation_by_names_then_size(tmp_path):
    wide = pd.DataFrame(COUNTS, index=[f"patient{i}" for i in range(4)], columns=["b0001", "b0002", "b0003"])
    wide.to_csv(tmp_path / "w.csv")
    wide.T.to_csv(tmp_path / "t.csv")
    for name, found in (("w.csv", "genes-in-columns"), ("t.csv", "genes-in-rows")):
        adata = read(tmp_path / name)
        assert adata.uns["poolproof_read"]["orientation"] == found
        np.testing.assert_array_equal(adata.X, COUNTS)
    plain = pd.DataFrame(np.ones((9, 2)), index=[f"x{i}!" for i in range(9)], columns=["y?", "z?"])
    plain.to_csv(tmp_path / "p.csv")
    assert "9 rows and 2 columns" in said(read(tmp_path / "p.csv"))
    assert read(tmp_path / "p.csv", orientation="genes-in-columns").shape == (9, 2)


def test_read__duplicates_and_markup(tmp_path):
    text = "gene,s1,s1,<script>alert(1)</script>\nMYC,1,2,3\nMYC,3,4,5\nA\x1b[31mB,5,6,7\n"
    adata = read(write(tmp_path / "t.csv", text))
    assert adata.var_names.tolist() == ["MYC", "MYC-1", "A\x1b[31mB"]
    assert adata.obs_names.tolist() == ["s1", "s1-1", "<script>alert(1)</script>"]
    assert "1 duplicated gene names" in said(adata)
    assert "1 gene names contain markup" in said(adata)
    assert "1 sample names contain markup" in said(adata)
    assert "\x1b" not in said(adata)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("\n\n", ["empty"]),
        ("just words\n", []),
        ("gene,s1,s2\n", ["one line"]),
        ("gene,s1,s2\nTP53,1,2\nMYC,low,2\n", ["'MYC'", "'s1'", "'low'"]),
        ("gene,s1,s2\nTP53,1,2\nMYC,inf,2\n", ["'MYC'", "'s1'", "infinite"]),
        ("gene;s1;s2\nTP53;1,5;2,5\nMYC;3,5;2\n", ["decimals"]),
        ("gene,s1,s2\nTP53,1,2\nMYC,3\n", ["3 fields", "row 2"]),
        ("gene,s1,s2\nTP53,1,2\nMYC,3,4,5\n", ["3 fields"]),
        ("gene,a,b\nTP53,x,y\nMYC,z,w\n", ["numbers"]),
        ("0.5,0.25,0.125\n1.5,2.5,3.5\n4.5,5.5,6.5\n", ["header"]),
        ("gene,s1,s2\nTP53,1,2\nMYC,\x1b[31m,2\n", ["\\x1b"]),
        ('gene,s1,s2\n"TP53,1,2\nMYC,1,2\n', []),
        ("gene,s1\nTP53,1\x00\n", ["binary"]),
        ("gene,s1,s2\nTP53,True,1\nMYC,False,0\nJUN,True,1\nFOS,1,1\n", ["'TP53'", "'True'"]),
    ],
)  # fmt: skip
def test_read__bad_text_is_one_line(tmp_path, text, words):
    message = refusal(write(tmp_path / "t.csv", text))
    assert message.isprintable()
    for word in words:
        assert word in message


# --- other tables ----------------------------------------------------------------------------------


def test_read__gct(tmp_path):
    text = "#1.2\n2\t3\nName\tDescription\ta\tb\tc\nG1\tfirst\t1\t2\t3\nG2\tna\t4\t\t6\n"
    adata = read(write(tmp_path / "t.gct", text))
    assert adata.shape == (3, 2)
    assert np.isnan(adata.X[1, 1])
    assert adata.var["Description"].iloc[0] == "first"
    text = "#1.3\n2\t2\t1\t1\nid\tsymbol\ta\tb\ntissue\tna\tliver\tlung\nG1\tTP53\t1\t2\nG2\tMYC\t3\t4\n"
    (tmp_path / "t.gct.gz").write_bytes(gzip.compress(text.encode()))
    adata = read(tmp_path / "t.gct.gz")
    np.testing.assert_array_equal(adata.X, [[1, 3], [2, 4]])
    assert adata.obs["tissue"].tolist() == ["liver", "lung"]
    assert adata.var["symbol"].tolist() == ["TP53", "MYC"]
    assert "3 rows" in refusal(write(tmp_path / "cut.gct", text.replace("2\t2\t1\t1", "3\t2\t1\t1")))


def test_read__gct_marks_of_missing_values(tmp_path):
    text = (
        "#1.2\n2\t4\nName\tDescription\ta\tb\tc\td\nNA\t-666\tna\tna\t-666\t1\nG2\tna\t4\t-66.6\t-666.0\tna\n"
    )
    adata = read(write(tmp_path / "t.gct", text))
    np.testing.assert_array_equal(adata.X.T, [[np.nan, np.nan, np.nan, 1], [4, -66.6, np.nan, np.nan]])
    assert adata.var_names.tolist() == ["NA", "G2"]
    assert adata.var["Description"].tolist() == ["-666", "na"]
    assert adata.uns["poolproof_read"]["warnings"][0].startswith("2 values are -666")


def test_read__parquet(tmp_path):
    frame = pd.DataFrame(COUNTS, index=CELLS, columns=GENES)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.T.reset_index(names="gene_id").to_parquet(tmp_path / "b.parquet")
    for name in ("a.parquet", "b.parquet"):
        adata = read(tmp_path / name)
        np.testing.assert_array_equal(adata.X, COUNTS)
        assert adata.obs_names.tolist() == CELLS


# --- 10x -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("prefix", ["", "GSM1_"])
def test_read__10x_folder(tmp_path, version, prefix):
    adata = read(write_10x(tmp_path / "f", version=version, prefix=prefix))
    assert adata.X.format == "csr"
    np.testing.assert_array_equal(dense(adata), COUNTS)
    assert adata.var["symbol"].tolist() == ["SYM0", "SYM1", "SYM2"]
    assert adata.obs_names.tolist() == CELLS


def test_read__10x_features_that_are_not_genes(tmp_path):
    folder = write_10x(tmp_path / "f")
    text = gzip.decompress((folder / "features.tsv.gz").read_bytes()).decode()
    text = text.replace("SYM1\tGene Expression", "SYM1\tAntibody Capture")
    (folder / "features.tsv.gz").write_bytes(gzip.compress(text.encode()))
    adata = read(folder)
    np.testing.assert_array_equal(dense(adata), COUNTS[:, [0, 2]])
    assert "1 features" in said(adata)


def write_10x_h5(path: Path, version: int) -> Path:
    matrix = sp.csr_matrix(COUNTS)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if version == 3 else "GRCh38")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = [3, 4]
        group["barcodes"] = np.array(CELLS, dtype="S")
        ids, names = np.array(GENES, dtype="S"), np.array(["A", "B", "C"], dtype="S")
        if version == 3:
            group["features/id"], group["features/name"] = ids, names
            group["features/feature_type"] = np.array(["Gene Expression"] * 3, dtype="S")
        else:
            group["genes"], group["gene_names"] = ids, names
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_read__10x_h5(tmp_path, version):
    adata = read(write_10x_h5(tmp_path / "a.h5", version))
    np.testing.assert_array_equal(dense(adata), COUNTS)
    assert adata.var["symbol"].tolist() == ["A", "B", "C"]
    assert adata.uns["poolproof_read"]["format"] == "10x-h5"


# --- containers that lead readers astray ----------------------------------------------------------------


def h5ad(folder):
    path = folder / "a.h5ad"
    make_adata(COUNTS).write_h5ad(path)
    return path


def link_outside(file):
    file["obs/x"] = h5py.ExternalLink("other.h5", "/X")


def values_of_another_file(file):
    layout = h5py.VirtualLayout(shape=COUNTS.shape, dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "X", shape=COUNTS.shape)
    del file["X"]
    file.create_virtual_dataset("X", layout)


def raw_values_of_another_file(file):
    del file["X"]
    file.create_dataset("X", COUNTS.shape, dtype="f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def circle(file):
    file["uns/again"] = file["uns"]


def circle_by_name(file):
    file["uns/again"] = h5py.SoftLink("/")


def many_ways(file):
    below = file.create_group("uns/0")
    for i in range(1, 40):  # each group is there twice in the one above: 2^40 ways down
        group = file.create_group(f"far{i}")
        below["a"], below["b"] = group, group
        below = group


def endless_shape(file):
    del file["X"]
    file.create_dataset("X", (10**10, 3), dtype="f4")


def many_chunks(file):
    del file["X"]
    file.create_dataset("X", (10**6, 3), dtype="f4", chunks=(1, 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (link_outside, "another file"),
        (values_of_another_file, "another file"),
        (raw_values_of_another_file, "another file"),
        (circle, "contain itself"),
        (circle_by_name, "contain itself"),
        (many_ways, "contain itself"),
        (endless_shape, "too few"),
        (many_chunks, "too few"),
    ],
)
def test_read__hdf5_that_leads_astray_refused(tmp_path, monkeypatch, change, words):
    monkeypatch.setattr(_containers, "MAX_ITEMS", 5_000)
    path = h5ad(tmp_path)
    with h5py.File(path, "r+") as file:
        change(file)
    assert words in refusal(path)


def test_read__hdf5_link_inside_the_file(tmp_path):
    path = h5ad(tmp_path)
    with h5py.File(path, "r+") as file:
        file["layers/counts"] = h5py.SoftLink("/X")
    np.testing.assert_array_equal(read(path).layers["counts"], COUNTS)


def test_read__zarr_that_claims_too_much_refused(tmp_path):
    path = tmp_path / "a.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_adata(COUNTS).write_zarr(path)
    for about in [*path.glob("X/zarr.json"), *path.glob("X/.zarray")]:
        content = json.loads(about.read_text())
        about.write_text(json.dumps(content | {"shape": [10**9, 3]}))
    for summary in [*path.glob("zarr.json"), *path.glob(".zmetadata")]:
        content = json.loads(summary.read_text())
        content.pop("consolidated_metadata", None)
        summary.write_text(json.dumps(content))
        if summary.name == ".zmetadata":
            summary.unlink()
    assert "too few" in refusal(path)


def test_read__zarr_leaves_no_noise_of_its_tasks(tmp_path, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_adata(COUNTS).write_zarr(tmp_path / "a.zarr")
    read(tmp_path / "a.zarr")
    for where in ("zarr/core/group.py", "mine.py"):
        said = "Task exception was never retrieved\nfuture: <Task coro=<f() done, defined at %s:1>>"
        logging.getLogger("asyncio").error(said, where)
    assert [record.args for record in caplog.records] == [("mine.py",)]


@pytest.mark.parametrize("end", ["hang", "crash", "not started", "error"])
def test_read__hdf5_on_which_the_library_hangs_or_crashes(tmp_path, monkeypatch, end):
    path = h5ad(tmp_path)

    def run(command, **options):
        assert command[-1] == str(path)
        if end == "hang":
            raise subprocess.TimeoutExpired(command, options["timeout"])
        if end == "not started":
            raise FileNotFoundError(command[0])
        return subprocess.CompletedProcess(command, -signal.SIGSEGV if end == "crash" else 1)

    monkeypatch.setattr(subprocess, "run", run)
    if end in ("hang", "crash"):
        assert "HDF5 library" in refusal(path)
    else:  # nothing is known; the reader may say more
        assert read(path).shape == COUNTS.shape


def test_look_through__reads_what_the_library_does_not_check(tmp_path):
    path = h5ad(tmp_path)
    with h5py.File(path, "r+") as file:
        file["obs"].attrs["text"] = ["a", "b"]
        file["broken"] = h5py.SoftLink("/nowhere")
    command = [sys.executable, "-m", "poolproof.data.containers", str(path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    path.write_bytes(path.read_bytes()[:500])
    assert subprocess.run(command, capture_output=True, check=False).returncode > 0
    assert "hangs" not in refusal(path)


def test_read__sparse_values_in_half_precision(tmp_path):
    path = write_10x_h5(tmp_path / "a.h5", 3)
    with h5py.File(path, "r+") as file:
        values = file["matrix/data"][()].astype(np.float16)
        del file["matrix/data"]
        file["matrix/data"] = values
    adata = read(path)
    assert adata.X.dtype == np.float64
    np.testing.assert_array_equal(dense(adata), COUNTS)


@pytest.mark.parametrize(
    "line",
    [
        "1 1.5 7",
        "1 1 2.7",
        "1 1 1e400",
        "1 1",
        "1 1 2 3",
        "0 1 1",
        "1 0 1",
        "9 1 1",
        "1 9 1",
        "1 a\tb 2",
        "x",
        "1 1 NA",
    ],
)
@pytest.mark.parametrize("place", [3, 5, 8])
def test_read__10x_each_line_is_three_numbers(tmp_path, line, place):
    folder = write_10x(tmp_path / "m", version=2)
    text = "%%MatrixMarket matrix coordinate integer general\n%\n3 4 6\n" + "1 1 2\n" * 6
    (folder / "matrix.mtx").write_text(text)
    assert read(folder).X.sum() == 12
    lines = text.split("\n")
    lines[place] = line
    (folder / "matrix.mtx").write_text("\n".join(lines))
    assert refusal(folder)


@pytest.mark.parametrize("kind", ["pattern general", "real symmetric", "complex general", ""])
def test_read__10x_kinds_of_matrix(tmp_path, kind):
    folder = write_10x(tmp_path / "m", version=2)
    (folder / "matrix.mtx").write_text(f"%%MatrixMarket matrix coordinate {kind}\n3 4 1\n1 1 1\n")
    assert "integer or real" in refusal(folder)


def test_read__10x_head_that_claims_too_much(tmp_path, monkeypatch):
    folder = write_10x(tmp_path / "m")
    path = next(folder.glob("*matrix.mtx*"))
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = text.decode().split("\n")
    head = next(i for i, line in enumerate(lines) if not line.startswith("%"))
    lines[head] = f"{2**31 - 1} {2**31 - 1} 8"
    text = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    monkeypatch.setattr(pd, "read_csv", lambda *_, **__: pytest.fail("read before the check"))
    assert "2147483647" in refusal(folder)


def test_read__10x_parts_missing_or_not_matching(tmp_path):
    folder = write_10x(tmp_path / "f", version=2)
    write(folder / "barcodes.tsv", CELLS[0] + "\n")
    assert "3 x 4" in refusal(folder)
    (folder / "barcodes.tsv").unlink()
    assert "barcodes.tsv" in refusal(folder)


# --- refusals --------------------------------------------------------------------------------------


def test_read__missing_file_suggests_names(tmp_path):
    write(tmp_path / "counts.csv", "x")
    assert "counts.csv" in refusal(tmp_path / "count.csv")
    refusal(tmp_path / "nothing" / "here.csv")
    refusal("a\x00b.csv")
    refusal("x" * 5000)


def test_read__empty_folder_and_unread_formats(tmp_path):
    (tmp_path / "d").mkdir()
    assert "nothing" in refusal(tmp_path / "d")
    assert "csv" in refusal(write(tmp_path / "t.xlsx", "PK\x03\x04"))
    assert "from R" in refusal(write(tmp_path / "t.rds", "xx"))
    assert "empty" in refusal(write(tmp_path / "t.h5ad", ""))
    assert "HDF5" in refusal(write(tmp_path / "t.h5ad", "junk"))
    assert "format" in refusal(tmp_path / "d", format="xml")


def refused(path: Path) -> bool:
    try:
        read(path)
    except InputError as error:
        return str(error).isprintable()
    return False


def sources(folder: Path) -> list[Path]:
    make_adata(sp.csr_matrix(COUNTS)).write_h5ad(folder / "s.h5ad")
    make_adata(COUNTS).write_h5ad(folder / "d.h5ad", compression="gzip")
    frame = pd.DataFrame(COUNTS, index=CELLS, columns=GENES)
    frame.to_parquet(folder / "p.parquet")
    frame.to_csv(folder / "t.csv")
    frame.T.to_csv(folder / "t.tsv.gz", sep="\t")
    write(folder / "t.gct", "#1.2\n2\t2\nName\tDescription\ta\tb\nG1\tx\t1\t2\nG2\ty\t3\t4\n")
    write_10x_h5(folder / "x.h5", 3)
    write_10x(folder / "m3")
    return sorted(p for p in folder.iterdir() if p.is_file()) + sorted((folder / "m3").iterdir())


def test_read__cut_and_mutated_files_end_in_input_error(tmp_path):
    """Only `InputError` comes out of 8 formats, cut at 8 places and mutated 25 times each.

    HDF5 files are cut, not mutated: the HDF5 library itself crashes on some broken metadata.
    """
    (tmp_path / "good").mkdir()
    chance = random.Random(0)
    n_refused = n = 0
    for source in sources(tmp_path / "good"):
        data = source.read_bytes()
        cuts = [data[: len(data) * i // 8] for i in range(8)]
        for _ in range(0 if source.suffix in (".h5", ".h5ad") else 25):
            mutated = bytearray(data)
            for _ in range(chance.choice([1, 3, 20])):
                mutated[chance.randrange(len(data))] = chance.randrange(256)
            cuts.append(bytes(mutated))
        for content in cuts:
            if source.parent.name == "m3":
                folder = tmp_path / "bad"
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(source.parent, folder)
                path, target = folder, folder / source.name
            else:
                path = target = tmp_path / source.name
            target.write_bytes(content)
            n += 1
            n_refused += refused(path)
    assert n_refused > 0.3 * n


# --- names -----------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["a", "b", "a-1", "a-1-1", "a-2", ""])))
def test_unique_names__law(names):
    made, n_changed = unique_names(names)
    assert len(set(made)) == len(names)
    assert sum(a != b for a, b in zip(made, names, strict=True)) == n_changed
    assert set(names) <= set(made)


def test_gene_score__real_names():
    for name in ("bulk_ecoli_precise", "bulk_saureus_imodulon", "sc_kang_pbmc_8donors"):
        adata = read(shared_data(f"{name}.h5ad"))
        assert gene_score(adata.var_names) >= 0.9
        assert gene_score(adata.obs_names) <= 0.05


REAL = (
    "bulk_ecoli_precise",
    "bulk_gtex_blood_small",
    "bulk_saureus_imodulon",
    "bulk_yeast_segregants_eqtl",
    "sc_islet_xin",
    "sc_mdc_lps_beeline",
    "sc_mixology_10x_3lines",
)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("way", ["genes-in-rows", "genes-in-columns"])
def test_read__orientation_of_real_tables(tmp_path, name, way):
    adata = read(shared_data(f"{name}.h5ad"))[:60, :50]
    frame = adata.to_df()
    (frame.T if way == "genes-in-rows" else frame).to_csv(tmp_path / "t.csv")
    again = read(tmp_path / "t.csv")
    assert again.uns["poolproof_read"]["orientation"] == way
    np.testing.assert_array_equal(again.X.astype(np.float32), frame.to_numpy())
