"""Damaged files: whatever is in them, the command line ends with 0 or 2 and leaves nothing half-written.

Each case is a small valid input with one to three seeded changes. A worker process audits the cases one
after the other, so that a crash of a compiled reader or a hang is seen and named, and costs one restart.
"""

import contextlib
import functools
import gzip
import io
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

# The default run takes a share of the cases; POOLPROOF_FUZZ=8 takes eight times as many.
TIMES = float(os.environ.get("POOLPROOF_FUZZ", "1"))
BLOCKS = 2
"""Parts that each kind of input is split into, for parallel runs."""
TIME_LIMIT = 60.0
"""Seconds that one file may take, on a machine that does other things as well."""
N, GENES, CELLS = 14, 4, 80
"""Samples, genes and cells of the valid inputs: few, but enough to be tested."""


# --- the worker: audits what it is told, in one process ------------------------------------------------


def work(answers):
    """Read argument lists from standard input, audit, and answer with the exit code."""
    import faulthandler
    import resource

    import anndata  # noqa: F401  (what an audit needs is loaded before memory is bounded)

    import poolproof.report.audit_page
    from poolproof import cli
    from poolproof.data import containers as _containers
    from poolproof.pairs.analyst import Analyst

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    warnings.simplefilter("always")
    for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", hidden)  # as Python does for its users
    floor = Analyst._floor
    write_report, survives = poolproof.report.audit_page.write_report, _containers._survives
    _containers.PATIENCE = 5.0
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        arguments, with_report, trusted = json.loads(line)
        sys.argv = ["poolproof", *arguments]
        poolproof.report.audit_page.write_report = write_report if with_report else lambda folder: None
        Analyst._floor = floor if with_report else lambda self, engine: None
        # The HDF5 library wrote the file: that it can be read is known, and asking a process takes time.
        _containers._survives = (lambda path: True) if trusted else survives
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        print(code, file=answers, flush=True)


if __name__ == "__main__":
    work(os.fdopen(int(sys.argv[1]), "w"))
    sys.exit()


class Worker:
    """A process that runs the command line again and again, and is replaced when it dies or hangs."""

    def __init__(self, folder):
        self.folder, self.process = folder, None

    def start(self):
        self.out, self.err = ((self.folder / name).open("a", encoding="utf-8") for name in ("out", "err"))
        self.answers, there = os.pipe()
        settings = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS")}
        settings["MPLCONFIGDIR"] = str(self.folder)  # a list of fonts of its own
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(there)],
            stdin=subprocess.PIPE,
            stdout=self.out,
            stderr=self.err,
            pass_fds=[there],
            env=os.environ | settings | {"PYTHONIOENCODING": "utf-8:backslashreplace"},
            text=True,
        )
        os.close(there)
        assert self.answer() == "ready", self.said()

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            os.close(self.answers)
            self.out.close()
            self.err.close()
            self.process = None

    def answer(self):
        """The next line from the worker; None if it died or took too long."""
        if not select.select([self.answers], [], [], TIME_LIMIT)[0]:
            self.process.send_signal(signal.SIGABRT)  # faulthandler then says where it hung
            self.process.wait()
            return "hang"
        return os.read(self.answers, 100).decode().strip() or f"died ({self.process.wait()})"

    def said(self):
        texts = []
        for file in (self.out, self.err):
            texts.append(Path(file.name).read_text(encoding="utf-8"))
            os.truncate(file.fileno(), 0)
        return texts

    def run(self, arguments, with_report=False, trusted=False):
        """Exit code (or ``died``, ``hang``), standard output and standard error of one audit."""
        if self.process is None:
            self.start()
        self.process.stdin.write(json.dumps([list(map(str, arguments)), with_report, trusted]) + "\n")
        self.process.stdin.flush()
        code = self.answer()
        said = self.said()
        if not code.isdigit():
            self.stop()
        return code, *said


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    made = Worker(tmp_path_factory.mktemp("worker"))
    yield made
    made.stop()


# --- changes of bytes and of text ----------------------------------------------------------------------

HOSTILE = [
    *("", " ", "NA", "nan", "inf", "-inf", "1e400", "-1e400", "1e308", "1e-320", "-1", "-7.5", "0", "-0"),
    *(
        "9" * 400,
        "0x1F",
        "1_000",
        "1,5",
        "1e",
        "+-1",
        "True",
        "1+2j",
        "\u0665",
        "1\x00",
        "\x1b[31m",
        "\u202e",
    ),
    *(
        "\ud800",
        "\\",
        '"',
        "'",
        '"a',
        "a\tb",
        "a;b",
        "#",
        "=1+1",
        "<script>",
        "$x$",
        "None",
        "x" * 300,
        "é\x85",
    ),
]
WORDS = [
    "csr_matrix",
    "csc_matrix",
    "array",
    "string-array",
    "categorical",
    "dataframe",
    "dict",
    "0.3.0",
    "_index",
]
"""What AnnData writes to say what a group or an array is."""
EXTREMES = [0, 1, 2, 3, 14, 15, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]


def place(numbers, data, most=60):
    """A random stretch of a sequence."""
    start = numbers.randrange(len(data) + 1)
    return start, min(len(data), start + numbers.randrange(1, most))


def change_bytes(numbers, data):
    start, end = place(numbers, data)
    kind = numbers.randrange(9)
    if kind == 0:
        return data[:start]
    if kind == 1:
        return data[:start] + data[end:]
    if kind == 2:
        return data[:start] + numbers.randbytes(end - start) + data[start:]
    if kind == 3:
        return data[:end] + data[start:end] * numbers.choice([1, 1, 50]) + data[end:]
    if kind == 4:
        return data[:start] + numbers.choice([b"\0", b"\xff"]) * (end - start) + data[end:]
    if kind == 5:
        width = numbers.choice([1, 2, 4, 8])
        value = (numbers.choice(EXTREMES) % 256**width).to_bytes(width, "little")
        return data[:start] + value + data[start + width :]
    if kind == 6:
        return data + data[start:end]
    changed = bytearray(data)
    for _ in range(numbers.choice([1, 1, 2, 5, 20])):
        if changed:
            changed[numbers.randrange(len(changed))] ^= 1 << numbers.randrange(8)
    return bytes(changed)


def change_lines(numbers, text):
    lines = text.split("\n")
    i, j = numbers.randrange(len(lines)), numbers.randrange(len(lines))
    kind = numbers.randrange(8)
    if kind == 0:
        lines.insert(i, lines[j])
    elif kind == 1:
        del lines[i]
    elif kind == 2:
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 3:
        lines[i] = lines[i][: numbers.randrange(len(lines[i]) + 1)]
    elif kind == 4:
        lines.insert(i, numbers.choice(["", " ", "#", "# a,b", "\t\t", ",,,,", "x" * 100_000, "1," * 50_000]))
    elif kind == 5:
        lines[i] += numbers.choice([",", "\t", ",1", ' "', " 1"])
    elif kind == 6:
        lines = lines * numbers.choice([2, 3])
    else:
        lines = lines[:1] if numbers.random() < 0.3 else lines[i:]
    return "\n".join(lines)


def change_cells(numbers, text):
    separator = next((mark for mark in "\t,;" if mark in text), " ")
    rows = [line.split(separator) for line in text.split("\n")]
    kind = numbers.randrange(6)
    if kind == 0:  # one column of all rows
        j, value = numbers.randrange(len(rows[0])), numbers.choice(HOSTILE)
        for row in rows[numbers.randrange(2) :]:
            if j < len(row):
                row[j] = value
    elif kind == 1:  # the same name everywhere
        rows[0] = [rows[0][-1]] * len(rows[0])
    elif kind == 2:  # one column less, one more, or turned round
        rows = [numbers.choice([row[1:], row[:-1], row + row]) for row in rows] if rows[0] else rows
    elif kind == 3:
        rows = [list(column) for column in zip(*rows, strict=False)]
    else:
        for _ in range(numbers.choice([1, 1, 3, 20])):
            row = numbers.choice(rows)
            if row:
                row[numbers.randrange(len(row))] = numbers.choice([*HOSTILE, "7" * 100_000])
    return "\n".join(separator.join(row) for row in rows)


def change_marks(numbers, text):
    kind = numbers.randrange(5)
    if kind == 0:
        return text.replace(
            numbers.choice(",\t.\n"), numbers.choice([",", "\t", ";", " ", "|", ".", "", "\r"])
        )
    if kind == 1:
        return text.replace("\n", "\r\n") if numbers.random() < 0.5 else text.replace("\n", "\r")
    start, _ = place(numbers, text)
    if kind == 2:
        return (
            text[:start]
            + numbers.choice(['"', "'", '""', '"\n', "\0", "\x1a", "\v", "\f", "\u2028"])
            + text[start:]
        )
    if kind == 3:
        return numbers.choice(["\ufeff", "#", "sep=,\n", "\n\n", "\0", "<?xml"]) + text
    return text.upper() if numbers.random() < 0.3 else text.swapcase()


def encoded(numbers, text):
    encoding = numbers.choice(
        [*["utf-8"] * 40, "utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "cp037"]
    )
    return text.encode(encoding, "replace")


def change_text(numbers, text):
    """Bytes of a text table with a few changes."""
    for _ in range(numbers.choice([1, 1, 1, 2, 3])):
        text = numbers.choice([change_lines, change_cells, change_cells, change_marks])(numbers, text)
    data = encoded(numbers, text)
    return change_bytes(numbers, data) if numbers.random() < 0.2 else data


# --- the valid inputs ----------------------------------------------------------------------------------


@functools.cache
def bulk():
    """Samples by genes; numbers with a few digits."""
    import pandas as pd

    numbers = random.Random(1)
    rows = []
    for _ in range(N):
        driver = numbers.gammavariate(4, 1)
        rows.append([round(driver * (i + 1) + numbers.gammavariate(2, 1), 2) for i in range(GENES)])
    names = [f"sample_{i}" for i in range(N)]
    return pd.DataFrame(rows, index=names, columns=[f"YAL{i:03}W" for i in range(GENES)])


def cells(kind="csr"):
    """Counts of molecules with labels, as AnnData: sparse or dense, with a layer and raw."""
    import anndata
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp

    numbers = np.random.default_rng(1)
    rate = numbers.uniform(0.2, 2, CELLS)
    expected = np.stack([rate * 30 if i % 2 else np.full(CELLS, 20.0) for i in range(GENES)], axis=1)
    counts = numbers.poisson(expected).astype(np.float32)
    form = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}[kind]
    obs = pd.DataFrame(index=[f"cell_{i}" for i in range(CELLS)])
    obs["cell_type"] = pd.Categorical(["T", "B"] * (CELLS // 2))
    obs["donor"] = [f"d{i % 20}" for i in range(CELLS)]
    obs["age"] = np.arange(CELLS) / 2
    var = pd.DataFrame({"symbol": list("abcd")}, index=[f"YAL{i:03}W" for i in range(GENES)])
    adata = anndata.AnnData(form(counts), obs=obs, var=var, uns={"note": "x", "deep": {"a": np.arange(3)}})
    adata.layers["counts"] = form(counts)
    if kind == "csr":
        adata.raw = adata.copy()
    return adata


KEPT = tempfile.TemporaryDirectory()
"""Where valid files are kept that are copied for each case."""

OPTIONS = {
    "plain": (),
    "bulk": ("--kind", "bulk", "--scale", "additive"),
    "counts": ("--layer", "counts"),
    "within": ("--within", "cell_type"),
    "raw": ("--layer", "raw"),
    "covariates": ("--covariates", "cell_type", "--size-factors", "total"),
    "age": ("--covariates", "age", "--kind", "bulk", "--scale", "additive"),
    "logs": ("--kind", "bulk", "--log-base", "2", "--log-offset", "1"),
    "rows": ("--orientation", "genes-in-rows"),
}


class Kinds:
    """A method a kind of input: write case ``numbers`` into a folder; returns arguments of audit."""

    def csv(self, numbers, folder):
        text = bulk().to_csv() if numbers.random() < 0.7 else bulk().T.to_csv(index_label="gene_id")
        return self.table(numbers, folder, text, "x.csv"), numbers.choice(
            ["plain", "bulk", "bulk", "rows", "logs"]
        )

    def tsv(self, numbers, folder):
        text = bulk().astype(int).to_csv(sep="\t")
        if numbers.random() < 0.3:
            text = text.lstrip("\t")  # a header as R writes it
        name = numbers.choice(["x.tsv", "x.txt", "x.tsv.gz"])
        return self.table(numbers, folder, text, name), numbers.choice(["plain", "bulk"])

    def gct(self, numbers, folder):
        table = bulk().T
        rows = [
            f"{gene}\tna\t" + "\t".join(map(str, row))
            for gene, row in zip(table.index, table.to_numpy(), strict=True)
        ]
        head = f"#1.2\n{GENES}\t{N}\nNAME\tDescription\t" + "\t".join(table.columns)
        if numbers.random() < 0.4:
            head = head.replace("#1.2", "#1.3").replace(f"\t{N}\n", f"\t{N}\t1\t1\n")
            head += "\nage\t-\t" + "\t".join(map(str, range(N)))
        return self.table(numbers, folder, "\n".join([head, *rows]) + "\n", "x.gct"), "plain"

    def table(self, numbers, folder, text, name):
        data = change_text(numbers, text)
        if name.endswith(".gz"):
            data = gzip.compress(data, mtime=0)
            if numbers.random() < 0.4:
                data = change_bytes(numbers, data)
        (folder / name).write_bytes(data)
        return [folder / name]

    def samples(self, numbers, folder):
        bulk().to_csv(folder / "x.csv")
        text = cells().obs[:N].set_axis(bulk().index).to_csv(sep=numbers.choice([",", "\t"]))
        name = numbers.choice(["s.csv", "s.csv.gz"])
        [path] = self.table(numbers, folder, text, name)
        return [folder / "x.csv", "--samples", path], numbers.choice(
            ["plain", "bulk", "within", "covariates"]
        )

    def network(self, numbers, folder):
        bulk().to_csv(folder / "x.csv")
        genes = list(bulk().columns)
        edges = [(a, b, 0.5) for a in genes for b in genes if a != b]
        mark = numbers.choice([",", "\t", " "])
        option, head = numbers.choice(
            [
                ("--network", mark.join(("TF", "target", "importance"))),
                ("--pairs", mark.join(("regulator", "target", "weight"))),
                ("--network", ""),
                ("--regulators", "regulator"),
            ]
        )
        text = "\n".join([head, *(mark.join(map(str, edge)) for edge in edges)]).lstrip() + "\n"
        if option == "--regulators":
            text = "\n".join([head, *genes]) + "\n"
        elif numbers.random() < 0.3:
            text = self.graphml(edges)
        [path] = self.table(numbers, folder, text, numbers.choice(["n.csv", "n.csv.gz"]))
        return [folder / "x.csv", option, path], "bulk"

    def graphml(self, edges):
        import networkx as nx

        graph = nx.DiGraph()
        graph.add_weighted_edges_from(edges)
        file = io.BytesIO()
        nx.write_graphml(graph, file)
        return file.getvalue().decode()

    def folder_10x(self, numbers, folder):
        import scipy.io

        table = cells()
        matrix = io.BytesIO()
        scipy.io.mmwrite(matrix, table.X.T.astype(int), field=numbers.choice(["integer", "real"]))
        files = {
            "matrix.mtx": matrix.getvalue().decode(),
            "features.tsv": "".join(f"{gene}\t{gene}\tGene Expression\n" for gene in table.var_names),
            "barcodes.tsv": "\n".join(table.obs_names) + "\n",
        }
        changed = numbers.choice(["matrix.mtx"] * 4 + list(files)[1:])
        for name, text in files.items():
            data = text.encode()
            if name == changed:
                data = self.change_mtx(numbers, text) if "mtx" in name else change_text(numbers, text)
            packed = numbers.random() < 0.3
            if packed:
                data = gzip.compress(data, mtime=0)
                if name == changed and numbers.random() < 0.3:
                    data = change_bytes(numbers, data)
            (folder / (name + ".gz" * packed)).write_bytes(data)
        if numbers.random() < 0.1:
            next(folder.iterdir()).unlink()
        return [folder], "plain"

    def change_mtx(self, numbers, text):
        if numbers.random() < 0.5:
            return change_text(numbers, text)
        words = text.split(" ")
        for _ in range(numbers.choice([1, 2])):
            value = str(
                numbers.choice([*EXTREMES, -1, "nan", "1e400", "pattern", "array", "complex", "symmetric"])
            )
            words[numbers.randrange(len(words))] = value
        return " ".join(words).encode()

    def parquet(self, numbers, folder):
        import numpy as np
        import pandas as pd

        table = bulk().copy()
        column = table.columns[numbers.randrange(GENES)]
        odd = [
            pd.date_range("2020-01-01", periods=N),
            [[1.0, 2.0]] * N,
            [{"a": 1}] * N,
            [None] * N,
            [b"\xff"] * N,
            pd.Categorical(list("ab") * (N // 2)),
            [True, False] * (N // 2),
            [2**62] * N,
            np.full(N, np.inf),
            np.full(N, np.nan),
            pd.array([1, None] * (N // 2), dtype="Int64"),
            np.arange(N, dtype="float16"),
            pd.to_timedelta(np.arange(N), "s"),
            ["a", "1"] * (N // 2),
        ]
        if numbers.random() < 0.5:
            table[column] = numbers.choice(odd)
        if numbers.random() < 0.3:
            index = pd.MultiIndex.from_product([["a"], range(N)])
            table.index = numbers.choice(
                [
                    index,
                    pd.Index(range(N)),
                    pd.Index(["a"] * N),
                    pd.Index([None] * N),
                    pd.date_range("2020-01-01", periods=N),
                ]
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table.to_parquet(folder / "x.parquet", index=numbers.random() < 0.8)
        if numbers.random() < 0.75:
            change_file(numbers, folder / "x.parquet")
        return [folder / "x.parquet"], numbers.choice(["plain", "bulk"])

    def h5ad(self, numbers, folder):
        path = folder / "x.h5ad"
        shutil.copy(valid_h5ad(numbers.choice(["csr", "csc", "dense"]), numbers.choice([None, "gzip"])), path)
        self.change_hdf5(numbers, path)
        return [path], numbers.choice(["plain", "plain", "counts", "within", "raw", "rows", "covariates"])

    def h5_10x(self, numbers, folder):
        import h5py
        import numpy as np

        table = cells()
        path = folder / "x.h5"
        old = numbers.random() < 0.3
        with h5py.File(path, "w") as file:
            group = file.create_group("GRCh38" if old else "matrix")
            names = group if old else group.create_group("features")
            parts = {"data": table.X.data.astype(int), "indices": table.X.indices, "indptr": table.X.indptr}
            for name, value in (
                parts | {"shape": [GENES, CELLS], "barcodes": np.array(table.obs_names, "S")}
            ).items():
                group[name] = value
            names["genes" if old else "id"] = np.array(table.var_names, "S")
            names["gene_names" if old else "name"] = np.array(table.var_names, "S")
            if not old:
                names["feature_type"] = np.array(["Gene Expression"] * GENES, "S")
        self.change_hdf5(numbers, path)
        return [path], "plain"

    def change_hdf5(self, numbers, path):
        import h5py

        if numbers.random() < 0.4:
            change_file(numbers, path)
            return
        numbers.trusted = True
        with h5py.File(path, "r+") as file:
            for _ in range(numbers.choice([1, 1, 2, 4])):
                with contextlib.suppress(
                    KeyError, ValueError, TypeError, OSError, RuntimeError, OverflowError
                ):
                    change_item(numbers, file)

    def zarr(self, numbers, folder):
        path = folder / "x.zarr"
        shutil.copytree(valid_zarr(numbers.choice(["csr", "dense"]), numbers.choice([2, 3])), path)
        files = sorted(p for p in path.rglob("*") if p.is_file())
        about = [p for p in files if p.name.startswith((".z", "zarr.json"))]
        for _ in range(numbers.choice([1, 2, 4, 8])):
            target = numbers.choice(about if numbers.random() < 0.7 else files)
            if not target.is_file():
                continue
            kind = numbers.random()
            if kind < 0.15:
                target.unlink()
                if numbers.random() < 0.3:
                    target.symlink_to(numbers.choice([target, path, folder / "absent"]))
            elif kind < 0.6 and target in about:
                with contextlib.suppress(ValueError):
                    content = json.loads(target.read_text())
                    target.write_text(json.dumps(change_json(numbers, content)))
            else:
                change_file(numbers, target)
        return [path], numbers.choice(["plain", "plain", "counts", "within", "covariates"])


def change_file(numbers, path):
    data = path.read_bytes()
    for _ in range(numbers.choice([1, 1, 1, 2, 4])):
        data = change_bytes(numbers, data)
    path.write_bytes(data)


@functools.cache
def valid_h5ad(kind, compression):
    """Path of a valid file, made once."""
    path = Path(tempfile.mkdtemp(dir=KEPT.name), "x.h5ad")
    cells(kind).write_h5ad(path, compression=compression)
    return path


@functools.cache
def valid_zarr(kind, version):
    """Path of a valid folder of the older or the newer format, made once."""
    import anndata

    path = Path(tempfile.mkdtemp(dir=KEPT.name), "x.zarr")
    adata = cells(kind)
    adata.raw, adata.obs = None, adata.obs[["cell_type"]]  # files that are read cost time
    del adata.uns["deep"]
    before = anndata.settings.zarr_write_format
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        anndata.settings.zarr_write_format = version
        adata.write_zarr(path)
    anndata.settings.zarr_write_format = before
    return path


def change_json(numbers, content):
    """Change one value, somewhere inside."""
    if isinstance(content, dict) and content and numbers.random() < 0.9:
        key = numbers.choice(sorted(content))
        if numbers.random() < 0.15:
            return {k: v for k, v in content.items() if k != key}
        return content | {key: change_json(numbers, content[key])}
    if isinstance(content, list) and content and numbers.random() < 0.8:
        i = numbers.randrange(len(content))
        return [*content[:i], change_json(numbers, content[i]), *content[i + 1 :]]
    types = [
        "<f8",
        "<i4",
        "|O",
        "|S4",
        "<U3",
        "|b1",
        "<c16",
        "<M8[s]",
        "float16",
        "string",
        "complex64",
        "|V8",
    ]
    return numbers.choice(
        [None, -1, 0, 1, 2**31, 10**6, 10**12, 2**63, 1.5, "", "x", True, [], {}, [3], *WORDS, *types]
    )


def change_item(numbers, file):
    """Change one group, dataset, attribute or link of an HDF5 file."""
    import h5py
    import numpy as np

    items = []
    file.visititems(lambda name, item: items.append(name))
    if not items:
        return
    name = numbers.choice(sorted(items))
    item, parent = file[name], file[name].parent
    kind = numbers.randrange(10)
    if kind <= 1:  # attributes
        attributes = sorted(item.attrs)
        if attributes:
            chosen = numbers.choice(attributes)
            del item.attrs[chosen]
            if numbers.random() < 0.7:
                item.attrs[chosen] = numbers.choice(
                    [
                        *WORDS,
                        -1,
                        2**62,
                        1.5,
                        [2, 2],
                        [-1, 5],
                        [10**12] * 2,
                        ["a", "b"],
                        h5py.Empty("f4"),
                        np.nan,
                    ]
                )
    elif kind == 2:
        del file[name]
    elif kind == 3:  # links
        first = file[sorted(file)[0]]
        del file[name]
        file[name] = numbers.choice(
            [
                h5py.SoftLink("/nowhere"),
                h5py.SoftLink(f"/{name}"),
                h5py.SoftLink("/"),
                h5py.ExternalLink("absent.h5", "/X"),
                h5py.ExternalLink(file.filename, "/obs"),
                parent,
                file["/"],
                first,
            ]
        )
    elif kind == 4:  # a group where values were, or values where a group was
        del file[name]
        if isinstance(item, h5py.Dataset):
            file.create_group(name)
        else:
            file[name] = numbers.choice([1.0, "text", np.arange(3), h5py.Empty("f4")])
    elif kind == 5:
        file.move(
            name,
            numbers.choice(
                ["moved", f"{name}\x1b[31m", "é" * 100, "obs/x", "layers/\u202e", "mod", "matrix"]
            ),
        )
    elif isinstance(item, h5py.Dataset):
        change_dataset(numbers, file, name)


def change_dataset(numbers, file, name):
    """Replace the values of a dataset."""
    import h5py
    import numpy as np

    item = file[name]
    attributes, values, shape = dict(item.attrs), item[()], item.shape or ()
    size = max(1, int(np.prod(shape)))
    kind = numbers.randrange(8)
    if kind == 0 and item.dtype.kind in "iuf":  # one number
        flat = np.ravel(values).copy()
        flat[numbers.randrange(flat.size)] = numbers.choice([-1, 0, 99, 2**31 - 1, -(2**31)])
        if values.dtype.kind == "f":
            flat[numbers.randrange(flat.size)] = numbers.choice([np.nan, np.inf, -np.inf, 3e38, -5, 0.5])
        item[()] = flat.reshape(shape)
        return
    del file[name]
    if kind == 1:
        file[name] = np.ravel(values)[: numbers.choice([0, 1, size - 1])]
    elif kind == 2:
        file[name] = np.concatenate([np.ravel(values)] * 2)
    elif kind == 3:
        types = [
            "i1",
            "u1",
            "f2",
            "f8",
            "c16",
            "S3",
            "?",
            "u8",
            ">f8",
            "V4",
            h5py.string_dtype(),
            h5py.ref_dtype,
        ]
        file.create_dataset(
            name,
            shape,
            dtype=numbers.choice(
                [
                    *types,
                    [("a", "f4"), ("b", "i4")],
                    h5py.vlen_dtype("f4"),
                    h5py.enum_dtype({"a": 1}),
                    ("f4", (2,)),
                ]
            ),
        )
    elif kind == 4:  # a shape without end: nothing is stored
        huge = numbers.choice(
            [
                (10**12,),
                (10**6, 10**6),
                (2**40, 3),
                (CELLS, 2**33),
                (10**9, GENES),
                (0,),
                (0, GENES),
                (2, 3, 4),
                (CELLS, 1),
            ]
        )
        file.create_dataset(
            name,
            huge,
            dtype=item.dtype if item.dtype.kind in "iuf" else "f4",
            chunks=numbers.choice([None, True]) if 0 not in huge else None,
        )
    elif kind == 5:
        layout = h5py.VirtualLayout(shape=shape or (3,), dtype="f4")
        layout[:] = h5py.VirtualSource(numbers.choice(["absent.h5", "."]), "X", shape=shape or (3,))
        file.create_virtual_dataset(name, layout)
    elif kind == 6:
        words = [
            str(numbers.choice(HOSTILE)).replace("\x00", "").encode("utf-8", "replace") for _ in range(size)
        ]
        file[name] = np.array(words, dtype=object).reshape(shape) if shape else words[0]
    else:
        file[name] = numbers.choice([h5py.Empty("f4"), 1.0, "text", np.zeros((2, 2)), np.full(shape, 7)])
    if numbers.random() < 0.8:
        for key, value in attributes.items():
            file[name].attrs[key] = value


# --- the cases -----------------------------------------------------------------------------------------

CASES = {
    "csv": 300,
    "tsv": 290,
    "gct": 230,
    "samples": 180,
    "network": 290,
    "folder_10x": 260,
    "parquet": 150,
    "h5ad": 200,
    "h5_10x": 100,
    "zarr": 100,
}
"""Cases of each kind in the default run."""


def failure(code, out, err, target):
    """What is wrong with the end of an audit; empty if nothing is."""
    if code not in ("0", "2"):
        return f"ended with {code}"
    if code == "2":
        if out or err.count("\n") != 1 or not err.rstrip("\n").isprintable():
            return "is not refused in one line"
        return "left something behind" if list(target.parent.iterdir()) else ""
    if err:
        return "was audited with noise"
    if not out.startswith("Verdict: ") or [p.name for p in target.parent.iterdir()] != [target.name]:
        return "was audited without a result"
    return check_result(target)


def check_result(folder):
    import pyarrow.parquet as pq

    names = sorted(path.name for path in folder.iterdir())
    if not {"figures", "genes.parquet", "pairs.parquet", "verdict.json"} <= set(names):
        return f"left {names}"
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    if pq.read_metadata(folder / "pairs.parquet").num_rows != verdict["linearity"]["n_kept"]:
        return "left tables that do not fit together"
    return ""


def run_case(worker, kind, number, home):
    """Make one case and audit it; what is wrong, and the case's exit code."""
    numbers = random.Random(f"{kind}-{number}")
    numbers.trusted = False
    source, results = home / "in", home / "out"
    for folder in (source, results):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    arguments, options = getattr(Kinds(), kind)(numbers, source)
    target = results / "audit"
    command = ["audit", *arguments, *OPTIONS[options], "--quiet", "--threads", "1", "--out", target]
    code, out, err = worker.run(command, number % 160 == 0, numbers.trusted)
    wrong = failure(code, out, err, target)
    if not wrong:
        return "", code
    kept = home / f"{kind}-{number}"
    shutil.copytree(source, kept, symlinks=True, dirs_exist_ok=True)
    return (
        f"{kind} case {number} ({' '.join(map(str, command))}; kept in {kept}) {wrong}:\n{out}{err[-3000:]}",
        code,
    )


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("kind", CASES)
def test_fuzz__refused_in_one_line_or_audited_without_noise(kind, block, worker, tmp_path):
    n = int(CASES[kind] * TIMES)
    found, codes = [], []
    for number in range(block, n, BLOCKS):
        wrong, code = run_case(worker, kind, number, tmp_path)
        codes.append(code)
        if wrong:
            found.append(wrong)
    assert not found, f"{len(found)} of {n // BLOCKS} cases\n" + "\n".join(found[:10])
    # Changes so mild that nothing is refused, or so wild that nothing is read, would show little.
    assert 0.05 < codes.count("2") / len(codes) < 0.98


@pytest.mark.parametrize("everywhere", [False, True], ids=["once", "column"])
def test_fuzz__each_strange_cell(worker, tmp_path, everywhere):
    found = []
    for number, cell in enumerate(HOSTILE):
        table = bulk().astype(object)
        table.iloc[:: 1 if everywhere else N, 1] = cell.replace("\ud800", "?")
        table.to_csv(tmp_path / "x.csv")
        target = tmp_path / str(number) / "audit"
        target.parent.mkdir()
        command = [
            "audit",
            tmp_path / "x.csv",
            *OPTIONS["bulk"],
            "--quiet",
            "--threads",
            "1",
            "--out",
            target,
        ]
        end = worker.run(command)
        if wrong := failure(*end, target):
            found.append(f"{cell[:30]!r} {wrong}: {end[2][-500:]}")
    assert not found, "\n".join(found)


def test_fuzz__has_the_cases_promised():
    assert sum(CASES.values()) >= 2000
