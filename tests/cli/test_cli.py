"""The command line, end to end: what goes in, what comes out, and what is refused in one line."""

import gzip
import io
import json
import logging
import os
import pty
import random
import re
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import anndata
import jsonschema
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import scipy.sparse as sp
from click.testing import CliRunner

from poolproof import cli, dataset_info
from poolproof._names import GENE_COLUMNS, PAIR_COLUMNS

SCHEMA = json.loads((files("poolproof.verdict") / "verdict.schema.json").read_text(encoding="utf-8"))
COMMAND = [sys.executable, "-m", "poolproof.cli"]


TRIPLES = ["triple_genes.parquet", "triples.parquet"]
TABLES = ["distortion.parquet", "genes.parquet", "pairs.parquet", "population.parquet"]
WRITTEN = sorted(["figures", *TABLES, "report.html", *TRIPLES, "verdict.json"])
"""What an audit without levels leaves in its folder."""


def bulk(n=60, n_genes=6, seed=0):
    numbers = np.random.default_rng(seed)
    driver = numbers.gamma(4.0, size=n)
    values = np.stack([driver * (i + 1) + numbers.gamma(2.0, size=n) for i in range(n_genes)], axis=1)
    return pd.DataFrame(
        values.round(4),
        index=[f"sample_{i}" for i in range(n)],
        columns=[f"YAL{i:03}W" for i in range(n_genes)],
    )


def cells(n=300, n_genes=8, seed=0):
    numbers = np.random.default_rng(seed)
    rate = numbers.uniform(0.2, 2, n)
    expected = np.stack([rate * 12 if i % 2 else np.full(n, 10.0) for i in range(n_genes)], axis=1)
    counts = numbers.poisson(expected)
    barcodes = ["".join(numbers.choice(list("ACGT"), 12)) + "-1" for _ in range(n)]
    obs = pd.DataFrame(
        {
            "cell_type": np.where(np.arange(n) % 2, "T", "B"),
            "donor": [f"d{i % 8}" for i in range(n)],
            "age": numbers.uniform(20, 60, n),
        },
        index=barcodes,
    )
    var = pd.DataFrame(
        {"symbol": [f"Sym{i}" for i in range(n_genes)]}, index=[f"ENSG{i:011}" for i in range(n_genes)]
    )
    return anndata.AnnData(sp.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    bulk().to_csv(path)
    return path


@pytest.fixture
def h5ad(tmp_path):
    path = tmp_path / "cells.h5ad"
    cells().write_h5ad(path)
    return path


def verdict_of(folder):
    content = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(content)
    return content


BULK = ("--kind", "bulk", "--scale", "additive")


# --- what goes in ------------------------------------------------------------------------------------


@pytest.mark.drawn
def test_audit__h5ad(call, h5ad, tmp_path):
    done = call("audit", h5ad, "--within", "cell_type", "--out", tmp_path / "out")
    assert done.code == 0
    content = verdict_of(tmp_path / "out")
    assert content["data"]["name"] == "cells.h5ad"
    assert content["data"]["kind"] == "single-cell"
    assert content["linearity"]["test"] == "corrected"
    assert content["linearity"]["control"]["n_pairs"] > 0
    assert content["linearity"]["levels"].keys() == {"B", "T"}
    names = sorted([*WRITTEN, "levels.parquet", "pooling_curves.parquet"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert done.out.startswith(f"Verdict: {content['verdict']}\n")
    for reason in content["reasons"]:
        assert reason in done.out
    for warning in content["data"]["warnings"]:
        assert warning in done.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page or "data:image/svg+xml" in page


def write_folder_10x(path):
    path.mkdir()
    adata = cells()
    matrix = io.BytesIO()
    scipy.io.mmwrite(matrix, adata.X.T.astype(int), field="integer")
    (path / "matrix.mtx.gz").write_bytes(gzip.compress(matrix.getvalue()))
    rows = "".join(
        f"{g}\t{s}\tGene Expression\n" for g, s in zip(adata.var_names, adata.var["symbol"], strict=True)
    )
    (path / "features.tsv.gz").write_bytes(gzip.compress(rows.encode()))
    (path / "barcodes.tsv.gz").write_bytes(gzip.compress(("\n".join(adata.obs_names) + "\n").encode()))
    return path


def test_audit__every_form_of_the_same_table_gives_the_same_answer(call, table, tmp_path):
    frame = bulk()
    frame.T.to_csv(tmp_path / "turned.csv", index_label="gene_id")
    frame.to_csv(tmp_path / "packed.csv.gz")
    frame.to_csv(tmp_path / "tabs.tsv", sep="\t")
    frame.to_parquet(tmp_path / "frame.parquet")
    anndata.AnnData(frame).write_h5ad(tmp_path / "frame.h5ad")
    answers = []
    inputs = ["table.csv", "turned.csv", "packed.csv.gz", "tabs.tsv", "frame.parquet", "frame.h5ad"]
    for name in inputs:
        done = call("audit", tmp_path / name, *BULK, "--out", tmp_path / f"out-{name}")
        assert done.code == 0, done.err
        answers.append(verdict_of(tmp_path / f"out-{name}")["linearity"])
    assert all(answer == answers[0] for answer in answers[1:])


def test_audit__orientation_is_an_option(call, tmp_path):
    frame = bulk(20, 20)
    frame.index, frame.columns = [f"a{i}" for i in range(20)], [f"b{i}" for i in range(20)]
    frame.to_csv(tmp_path / "square.csv")
    for orientation, first in (("genes-in-columns", "b0"), ("genes-in-rows", "a0")):
        out = tmp_path / orientation
        call("audit", tmp_path / "square.csv", "--orientation", orientation, *BULK, "--out", out)
        assert pd.read_parquet(out / "genes.parquet")["gene"][0] == first


def test_audit__10x_folder(call, tmp_path):
    done = call("audit", write_folder_10x(tmp_path / "filtered"), "--out", tmp_path / "out")
    assert done.code == 0, done.err
    data = verdict_of(tmp_path / "out")["data"]
    assert (data["n_obs"], data["n_genes"], data["kind"], data["scale"]) == (300, 8, "single-cell", "counts")


def test_audit__samples_beside_a_packed_table(call, tmp_path):
    adata = cells(480)
    adata.obs["donor"] = [f"d{i // 2 % 8}" for i in range(480)]  # all eight in both types
    frame = pd.DataFrame(adata.X.toarray().astype(int), index=adata.obs_names, columns=adata.var_names)
    frame.T.to_csv(tmp_path / "counts.csv.gz")
    adata.obs.sample(frac=1, random_state=0).to_csv(tmp_path / "samples.csv")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    options = ("--within", "cell_type", "--replicate", "donor")
    for source in (("counts.csv.gz", "--samples", tmp_path / "samples.csv"), ("cells.h5ad",)):
        done = call(
            "audit", tmp_path / source[0], *source[1:], *options, "--out", tmp_path / f"o{len(source)}"
        )
        assert done.code == 0, done.err
    assert verdict_of(tmp_path / "o3")["linearity"] == verdict_of(tmp_path / "o1")["linearity"]
    assert any("480 of 480 samples found" in w for w in verdict_of(tmp_path / "o3")["data"]["warnings"])


def test_audit__embedded_data_set_with_its_settings(call, tmp_path, monkeypatch):
    small = cells()
    small.obs["total_count_per_cell"] = 1000.0
    small.obs["cell_line"] = small.obs["cell_type"]
    monkeypatch.setattr("poolproof.data.datasets.load_dataset", lambda name: small.copy())
    source = "dataset:sc_mixology_10x_3lines"
    assert call("audit", source, "--out", tmp_path / "out").code == 0
    content = verdict_of(tmp_path / "out")
    assert content["data"]["name"] == "sc_mixology_10x_3lines"
    for option, value in dataset_info("sc_mixology_10x_3lines").settings.items():
        assert content["settings"][option] == ([value] if option == "within" else value)
    assert any("total_count_per_cell" in warning for warning in content["data"]["warnings"])
    # What the user says goes before the settings of the data set.
    assert call("audit", source, "--within", "cell_type", "--out", tmp_path / "own").code == 0
    assert verdict_of(tmp_path / "own")["settings"]["within"] == ["cell_type"]


# --- what comes out ----------------------------------------------------------------------------------

ARROW = {
    "str": (pa.types.is_string, pa.types.is_large_string),
    "int32": (pa.types.is_int32,),
    "int64": (pa.types.is_int64,),
    "float64": (pa.types.is_float64,),
    "category": (pa.types.is_dictionary,),
}


@pytest.mark.parametrize("keep", ["associated", "all", "top:3"])
def test_files__columns_and_types_are_those_of_names(call, h5ad, tmp_path, keep):
    assert call("audit", h5ad, "--keep", keep, "--out", tmp_path / "out").code == 0
    for name, columns in (("pairs", PAIR_COLUMNS), ("genes", GENE_COLUMNS)):
        schema = pq.read_schema(tmp_path / "out" / f"{name}.parquet")
        assert schema.names == [column.name for column in columns]
        for column in columns:
            found = schema.field(column.name).type
            assert any(is_type(found) for is_type in ARROW[column.dtype]), (column.name, found)


def test_keep__all_streams_every_ordered_pair(call, h5ad, tmp_path):
    assert call("audit", h5ad, "--keep", "all", "--out", tmp_path / "all").code == 0
    assert call("audit", h5ad, "--out", tmp_path / "some").code == 0
    every = pd.read_parquet(tmp_path / "all" / "pairs.parquet")
    assert len(every) == 8 * 7
    assert not every.duplicated(["regulator", "target"]).any()
    assert (every["regulator"] != every["target"]).all()
    associated = every[every["call"] != "not_associated"]
    some = pd.read_parquet(tmp_path / "some" / "pairs.parquet")
    assert len(some) == verdict_of(tmp_path / "some")["linearity"]["n_kept"] > 0
    key = ["regulator", "target"]
    pd.testing.assert_frame_equal(
        associated.sort_values(key, ignore_index=True), some.sort_values(key, ignore_index=True), rtol=1e-12
    )
    one, other = (verdict_of(tmp_path / name)["linearity"] for name in ("all", "some"))
    assert one | {"n_kept": 0} == other | {"n_kept": 0}


def test_keep__all_is_written_part_by_part(call, tmp_path):
    bulk(30, 70).to_csv(tmp_path / "wide.csv")
    done = call("audit", tmp_path / "wide.csv", *BULK, "--keep", "all", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    written = pq.ParquetFile(tmp_path / "out" / "pairs.parquet")
    assert written.metadata.num_rows == 70 * 69
    assert written.num_row_groups > 1


def test_keep__all_without_any_association_has_every_pair(call, tmp_path):
    noise = pd.DataFrame(np.random.default_rng(0).gamma(2, size=(40, 4)), columns=list("ABCD"))
    noise.index = [f"sample_{i}" for i in range(40)]
    noise.to_csv(tmp_path / "noise.csv")
    for extra, n in (((), 12), (("--regulators", tmp_path / "tf.txt"), 3)):
        (tmp_path / "tf.txt").write_text("A\n")
        out = tmp_path / f"out{n}"
        done = call(
            "audit", tmp_path / "noise.csv", *BULK, "--keep", "all", *extra, "--out", out, "--min-r2", "0.99"
        )
        assert done.code == 0, done.err
        assert len(pd.read_parquet(out / "pairs.parquet")) == n


def test_keep__top_are_the_strongest(call, table, tmp_path):
    for keep in ("top:4", "associated"):
        assert call("audit", table, *BULK, "--keep", keep, "--out", tmp_path / keep).code == 0
    top, every = (pd.read_parquet(tmp_path / k / "pairs.parquet") for k in ("top:4", "associated"))
    pd.testing.assert_frame_equal(top, every.head(4))
    assert every["r2_spline"].is_monotonic_decreasing
    one, other = (verdict_of(tmp_path / k)["linearity"] for k in ("top:4", "associated"))
    assert one["n_kept"] == 4
    assert one["n_associated"] == other["n_associated"] == len(every)


def test_network__writes_equations_and_edges(call, table, tmp_path):
    edges = "regulator,target\nYAL000W,YAL001W\nYAL002W,YAL001W\nYAL000W,YAL003W\nYAL000W,absent\n"
    (tmp_path / "net.csv").write_text(edges)
    done = call("audit", table, *BULK, "--network", tmp_path / "net.csv", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    content = verdict_of(tmp_path / "out")
    assert content["linearity"]["directed"]
    assert content["linearity"]["n_pairs_tested"] == 3
    assert content["equations"]["n_children"] == 2
    equations = pd.read_parquet(tmp_path / "out" / "equations.parquet")
    assert equations["n_parents"].tolist() == [2, 1]
    assert len(pd.read_parquet(tmp_path / "out" / "edges.parquet")) == 3
    assert any("3 of 4 edges matched" in warning for warning in content["data"]["warnings"])
    # A new result without a network leaves nothing of this one.
    assert call("audit", table, *BULK, "--out", tmp_path / "out", "--force").code == 0
    assert not (tmp_path / "out" / "equations.parquet").exists()
    assert verdict_of(tmp_path / "out")["equations"] is None


def test_pairs_and_regulators__by_symbol(call, h5ad, tmp_path):
    (tmp_path / "tf.txt").write_text("Sym1\nSym3\nunknown\n")
    (tmp_path / "pairs.tsv").write_text("TF\ttarget\timportance\nSym1\tSym3\t2.5\n")
    symbols = ("--gene-column", "symbol")
    done = call("audit", h5ad, *symbols, "--regulators", tmp_path / "tf.txt", "--out", tmp_path / "a")
    assert done.code == 0, done.err
    content = verdict_of(tmp_path / "a")
    assert content["linearity"]["n_pairs_tested"] == 2 * 7
    assert any("2 of 3" in warning for warning in content["data"]["warnings"])
    assert call("audit", h5ad, *symbols, "--pairs", tmp_path / "pairs.tsv", "--out", tmp_path / "b").code == 0
    assert verdict_of(tmp_path / "b")["linearity"]["n_pairs_tested"] == 1


def test_json__is_all_of_standard_output(call, table, tmp_path):
    done = call("audit", table, *BULK, "--json", "--out", tmp_path / "out")
    assert json.loads(done.out) == verdict_of(tmp_path / "out")


@pytest.mark.parametrize("as_json", [False, True])
def test_quiet__says_nothing_but_the_result(call, table, tmp_path, as_json):
    done = call("audit", table, *BULK, "--quiet", *["--json"] * as_json, "--out", tmp_path / "out")
    assert done.err == ""
    assert done.out.startswith("{" if as_json else "Verdict: ")


def test_guesses__are_printed_with_the_option_that_overrides_them(call, table, tmp_path):
    done = call("audit", table, "--out", tmp_path / "out")
    for option in ("--orientation", "--kind", "--scale"):
        assert re.search(rf"note: .*guessed.*{option}", done.err), option
    assert "60 x 6" in done.err


def commands_below(command, path=()):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands_below(child, (*path, name))


ROOT_COMMAND = next(value for value in vars(cli).values() if getattr(value, "commands", {}).get("audit"))


@pytest.mark.parametrize(
    ("path", "command"),
    list(commands_below(ROOT_COMMAND)),
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_help__every_command_has_one_with_an_example(path, command):
    text = CliRunner().invoke(ROOT_COMMAND, [*path, "--help"]).output
    assert re.search(r"Examples?:\s+poolproof ", text)
    for option in command.params:
        if getattr(option, "opts", [""])[0].startswith("--") and not getattr(option, "hidden", False):
            assert option.help, f"{option.opts[0]} has no help"


def test_help__the_readme_names_every_option_of_audit():
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    for option in ROOT_COMMAND.commands["audit"].params:
        if option.opts[0].startswith("--") and not getattr(option, "hidden", False):
            assert re.search(rf"{option.opts[0]}\b", readme), option.opts[0]


def test_version(call):
    done = call("--version")
    assert done.code == 0
    assert "0.1.0" in done.out
    assert len(done.out.splitlines()) == 1


def test_version__with_what_matters(call):
    done = call("--version", "-v")
    assert done.code == 0
    for text in ("Python 3.", "numpy ", "anndata ", "scipy ", "threads"):
        assert text in done.out
    assert "is missing" not in done.out


def test_verbose__before_the_command_is_told_where_it_belongs(call):
    done = call("-v", "datasets", "list")
    assert done.code == 2
    assert "poolproof datasets -v" in done.err


# --- what is refused ---------------------------------------------------------------------------------


def cut_h5ad(path):
    cells().write_h5ad(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_text(path):
    frame = bulk().astype(object)
    frame.iloc[3, 2] = "high"
    frame.to_csv(path)


def with_infinity(path):
    frame = bulk()
    frame.iloc[3, 2] = np.inf
    frame.to_csv(path)


BAD_FILES = {
    "absent": ("x.csv", lambda path: None, ()),
    "empty": ("x.csv", lambda path: path.write_bytes(b""), ()),
    "empty h5ad": ("x.h5ad", lambda path: path.write_bytes(b""), ()),
    "cut h5ad": ("x.h5ad", cut_h5ad, ()),
    "cut gzip": ("x.csv.gz", lambda p: p.write_bytes(gzip.compress(bulk().to_csv().encode())[:500]), ()),
    "junk": ("x.csv", lambda path: path.write_bytes(random.Random(0).randbytes(3000)), ()),
    "junk h5ad": ("x.h5ad", lambda path: path.write_bytes(random.Random(0).randbytes(3000)), ()),
    "text in a cell": ("x.csv", with_text, ()),
    "infinite": ("x.csv", with_infinity, ()),
    "no counts": ("x.csv", lambda path: (bulk() - 5).to_csv(path), ("--scale", "counts")),
    "nine samples": ("x.csv", lambda path: bulk(9).to_csv(path), ()),
    "one gene": ("x.csv", lambda path: bulk(60, 1).to_csv(path), ()),
    "one gene varies": ("x.csv", lambda path: bulk(60, 2).assign(YAL001W=1.0).to_csv(path), ()),
    "empty folder": ("x", lambda path: path.mkdir(), ()),
}


def assert_refused(done, tmp_path, before):
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("poolproof: ")
    assert done.err.rstrip("\n").isprintable()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("deep", [False, True], ids=["", "deep"])
@pytest.mark.parametrize("case", BAD_FILES.values(), ids=BAD_FILES)
def test_refused__input_that_cannot_be_used(call, tmp_path, case, deep):
    name, make, options = case
    make(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "a" / "b" if deep else tmp_path / "out"
    assert_refused(call("audit", tmp_path / name, *options, "--out", out), tmp_path, before)


BAD_OPTIONS = {
    "fdr": ["--fdr", "2"],
    "fdr text": ["--fdr", "x"],
    "margin": ["--margin", "0"],
    "min r2": ["--min-r2", "1"],
    "max contradicting": ["--max-contradicting", "0.05"],
    "keep": ["--keep", "some"],
    "keep top": ["--keep", "top:"],
    "keep top 0": ["--keep", "top:0"],
    "keep superscript": ["--keep", "top:²"],
    "max rows": ["--max-rows", "0"],
    "memory": ["--memory", "lots"],
    "memory 0": ["--memory", "0"],
    "memory negative": ["--memory", "-1G"],
    "threads": ["--threads", "0"],
    "seed": ["--seed", "-1"],
    "kind": ["--kind", "cells"],
    "scale": ["--scale", "linear"],
    "orientation": ["--orientation", "up"],
    "test": ["--test", "best"],
    "within": ["--within", "nothing"],
    "within markup": ["--within", "\x1b[31m"],
    "replicate": ["--replicate", "nothing"],
    "covariates": ["--covariates", "cell_type,nothing"],
    "numeric covariate": ["--covariates", "age"],
    "layer": ["--layer", "nothing"],
    "raw": ["--layer", "raw"],
    "gene column": ["--gene-column", "nothing"],
    "size factors": ["--size-factors", "obs:nothing"],
    "size factors text": ["--size-factors", "nothing"],
    "size factors label": ["--size-factors", "obs:donor"],
    "log base": ["--scale", "log", "--log-base", "1", "--log-offset", "1"],
    "log base text": ["--log-base", "two"],
    "log of counts": ["--scale", "counts", "--log-base", "2"],
    "corrected on logs": ["--scale", "log", "--test", "corrected"],
    "corrected on values": ["--scale", "additive", "--test", "corrected"],
    "overdispersion": ["--overdispersion", "-1"],
    "regulators absent": ["--regulators", "absent.txt"],
    "regulators match nothing": ["--regulators", "{nothing}"],
    "regulators empty": ["--regulators", "{empty}"],
    "regulators folder": ["--regulators", "."],
    "pairs match nothing": ["--pairs", "{edges}"],
    "network match nothing": ["--network", "{edges}"],
    "pairs junk": ["--pairs", "{junk}"],
    "samples absent": ["--samples", "absent.csv"],
    "samples empty": ["--samples", "{empty}"],
    "samples of others": ["--samples", "{edges}"],
    "two lists": ["--pairs", "{real}", "--network", "{real}"],
    "unknown option": ["--nothing"],
    "unknown markup": ["--\x1b[31m"],
    "extra argument": ["another.csv"],
}


@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_refused__option_that_does_not_fit(call, h5ad, tmp_path, options):
    contents = {
        "empty": b"",
        "nothing": b"no\nsuch\ngenes\n",
        "edges": b"regulator,target\nno,such\n",
        "junk": random.Random(0).randbytes(500),
        "real": b"regulator,target\nENSG00000000001,ENSG00000000003\n",
    }
    paths = {name: tmp_path / f"{name}.csv" for name in contents}
    for name, content in contents.items():
        paths[name].write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    options = [option.format(**paths) if option.startswith("{") else option for option in options]
    assert_refused(call("audit", h5ad, *options, "--out", tmp_path / "out"), tmp_path, before)


@pytest.mark.parametrize(
    "arguments",
    [["audit"], ["audit", "x.csv"], ["nothing"], ["datasets", "info"], ["audit", "--out", "x"]],
    ids=str,
)
def test_refused__incomplete_command(call, arguments):
    done = call(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1


def test_refused__unknown_data_set(call, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert_refused(call("audit", "dataset:nothing", "--out", tmp_path / "out"), tmp_path, before)


def test_bug_of_ours__traceback_and_exit_1(table, tmp_path):
    script = (
        "import sys, poolproof.verdict.auditing, poolproof.cli\n"
        "poolproof.verdict.auditing.decide = lambda *a, **k: 1 / 0\n"
        f"sys.argv = ['poolproof', 'audit', {str(table)!r}, '--out', {str(tmp_path / 'out')!r}]\n"
        "poolproof.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


# --- the folder --------------------------------------------------------------------------------------


def test_folder__an_earlier_result_needs_force_and_foreign_files_stay(call, table, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert call("audit", table, *BULK, "--out", out).code == 0
    first = (out / "verdict.json").read_bytes()
    refused = call("audit", table, *BULK, "--seed", "5", "--out", out)
    assert refused.code == 2
    assert "--force" in refused.err
    assert (out / "verdict.json").read_bytes() == first
    assert call("audit", table, *BULK, "--seed", "5", "--force", "--out", out).code == 0
    assert verdict_of(out)["seed"] == 5
    assert (out / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in out.iterdir()) == sorted([*WRITTEN, "notes.txt"])
    # A run that is refused keeps the earlier result, even with --force.
    assert call("audit", table, "--within", "nothing", "--force", "--out", out).code == 2
    assert verdict_of(out)["seed"] == 5


# --- strange data that are audited -------------------------------------------------------------------

NAMES = [
    "<script>alert(1)</script>",
    "a\x1b[31mred",
    '=cmd|"/c calc"!A1',
    "x" * 300,
    "$\\frac{1}{0}$",
    "dup",
    "dup",
    "ok",
]


def strange():
    frame = bulk(60, len(NAMES))
    adata = anndata.AnnData(frame.to_numpy(), obs=pd.DataFrame(index=frame.index))
    adata.var_names = NAMES
    return adata


def test_strange__constant_genes_missing_values_and_names_are_audited_with_a_note(call, tmp_path):
    adata = strange()
    adata.X[:, 7] = 3.0
    adata.X[::9, 1] = np.nan
    adata.write_h5ad(tmp_path / "strange.h5ad")
    done = call("audit", tmp_path / "strange.h5ad", *BULK, "--keep", "all", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    warnings = " | ".join(verdict_of(tmp_path / "out")["data"]["warnings"])
    for words in ("constant", "missing", "unique", "markup"):
        assert words in warnings, words
    genes = pd.read_parquet(tmp_path / "out" / "genes.parquet")
    assert genes["gene"].tolist() == [*NAMES[:6], "dup-1", "ok"]
    assert genes["status"].tolist() == ["ok"] * 7 + ["constant"]
    pairs = pd.read_parquet(tmp_path / "out" / "pairs.parquet")
    assert len(pairs) == 8 * 7
    constant = pairs[(pairs["regulator"] == "ok") | (pairs["target"] == "ok")]
    assert (constant["status"] == "constant").all()
    assert constant["p_value"].isna().all()
    # A pair uses the samples that have both values; none is filled in.
    missing = (pairs["regulator"] == NAMES[1]) | (pairs["target"] == NAMES[1])
    tested = pairs["status"] == "ok"
    assert (pairs.loc[missing & tested, "n"] == 53).all()
    assert (pairs.loc[~missing & tested, "n"] == 60).all()


def on_a_terminal(arguments, folder):
    """Run with both outputs on a pseudo-terminal; everything that it got."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(os.fsencode, arguments)], stdin=side, stdout=side, stderr=side, cwd=folder
    )
    os.close(side)
    got = b""
    try:
        while part := os.read(main, 65536):
            got += part
    except OSError:  # what a terminal says at its end
        pass
    finally:
        os.close(main)
    return process.wait(), got.decode("utf-8", "surrogateescape")


def test_terminal__no_control_character_of_a_file_gets_there(tmp_path):
    name = "in\x1b[31m\x07\x9b31m\u202e\udcff.h5ad"
    adata = strange()
    adata.obs["type\x1b[35m"] = np.where(np.arange(60) % 2, "T\x1b[32mcell", "B\x9b32mcell")
    adata.var_names_make_unique()
    adata.write_h5ad(tmp_path / "plain.h5ad")
    os.rename(tmp_path / "plain.h5ad", tmp_path / name)
    for extra in ([], ["--json", "--force"]):
        arguments = ["audit", name, "--out", "out\x1b[33m", "--scale", "additive", *extra]
        code, shown = on_a_terminal([*arguments, "--within", "type\x1b[35m"], tmp_path)
        assert code == 0, shown
        # What the progress bar and line ends need: carriage return, line feed, erase to the end, up, tab.
        shown = re.sub(r"\r|\n|\x1b\[A|\x1b\[K", "", shown)
        bad = {c for c in shown if not c.isprintable()}
        assert not bad, shown


def test_law__threads_and_gene_order_change_no_file(call, tmp_path):
    adata = cells()
    order = np.random.default_rng(3).permutation(adata.n_vars)
    adata.write_h5ad(tmp_path / "first.h5ad")
    adata[:, order].copy().write_h5ad(tmp_path / "second.h5ad")
    results = []
    for name, threads in (("first", 1), ("first", 2), ("second", 2)):
        out = tmp_path / f"{name}{threads}"
        options = ("--threads", threads, "--within", "cell_type", "--out", out)
        assert call("audit", tmp_path / f"{name}.h5ad", *options).code == 0
        content = verdict_of(out)
        del content["created"], content["data"]["name"], content["settings"]["command"]
        results.append((content, pd.read_parquet(out / "pairs.parquet")))
    for content, pairs in results[1:]:
        assert rounded(content) == rounded(results[0][0])
        pd.testing.assert_frame_equal(pairs, results[0][1], rtol=1e-9)


def rounded(content):
    """Numbers to ten digits: sums over genes in another order round differently."""
    return json.loads(json.dumps(content), parse_float=lambda text: float(f"{float(text):.10g}"))


def test_fonts__that_matplotlib_misses_are_no_news(monkeypatch):
    logger = logging.getLogger("matplotlib.font_manager")
    before = logger.level
    monkeypatch.setattr(sys, "argv", ["poolproof", "datasets", "list"])
    try:
        cli.main()
        assert not logger.isEnabledFor(logging.WARNING)
    finally:
        logger.setLevel(before)


def test_main__leaves_the_handlers_of_signals_as_they_were(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["poolproof", "datasets", "list"])
    during = []
    monkeypatch.setattr(cli, "commands", lambda **_: during.append(signal.getsignal(signal.SIGTERM)))
    cli.main()
    assert during[0] is not before
    assert signal.getsignal(signal.SIGTERM) is before
