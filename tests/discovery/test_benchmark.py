import json
import warnings

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from helpers import needed

from poolproof import run_benchmark
from poolproof._checks import InputError
from poolproof._side_by_side import kept_folder
from poolproof.cli import commands
from poolproof.discovery import read_spec
from poolproof.discovery.summary import summarise

SMALL = {
    "name": "small",
    "tasks": [{"model": "fork-section4"}, {"random": 5, "mechanism": ["affine", "hill"]}],
    "pools": [{"cells": [1, 20]}, {"kind": "k-means", "cells": 5}],
    "methods": ["partial_correlation", "spline_pc"],
    "n_pools": 200,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark") / "out"
    return folder, run_benchmark(folder, SMALL, threads=1, write_pools=True)


def test_benchmark__files_and_rows(small):
    folder, found = small
    assert {path.name for path in folder.iterdir()} == {
        "parts", "pools", "benchmark.parquet", "tasks.parquet", "benchmark.json", "benchmark.html",
    }  # fmt: skip
    table = pd.read_parquet(folder / "benchmark.parquet")
    assert len(table) == len(found.table)
    assert set(table["method"]) >= {"partial_correlation", "spline_pc", "random_graph"}
    assert (table.loc[table["method"] == "spline_pc", "status"] == "ok").all()
    per_run = table[table["metric"] == "skeleton_f1"].groupby(["task", "pooling", "n_cells", "method"]).size()
    assert (per_run == 1).all()
    known = pd.read_parquet(folder / "tasks.parquet").set_index("task")
    assert known.loc["affine-5-0", "check_verdict"] != "not-recoverable"
    assert known.loc["affine-5-0", "share_forms_lost"] == 0
    assert known.loc["hill-5-0", "share_forms_lost"] > 0


def test_benchmark__a_second_run_uses_what_is_done_and_another_spec_does_not(small, monkeypatch):
    folder, found = small
    monkeypatch.setattr("poolproof.discovery.running._do", lambda unit: pytest.fail("done again"))
    again = run_benchmark(folder, SMALL, threads=1, write_pools=True)
    pd.testing.assert_frame_equal(again.table, found.table)
    with pytest.raises(pytest.fail.Exception):
        run_benchmark(folder, SMALL | {"n_pools": 201}, threads=1, write_pools=True)


def test_benchmark__two_processes_find_the_same(tmp_path):
    spec = SMALL | {"pools": [{"cells": [1, 20]}], "methods": ["partial_correlation"], "check": False}
    ours, theirs = (run_benchmark(tmp_path / str(n), spec, threads=n).table for n in (1, 2))
    columns = [c for c in ours if c != "seconds"]
    pd.testing.assert_frame_equal(ours[columns], theirs[columns])


@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_benchmark__workers_of_dask_find_the_same(tmp_path, monkeypatch):
    needed("distributed")
    monkeypatch.chdir(tmp_path)
    spec = SMALL | {"tasks": SMALL["tasks"][:1], "pools": [{"cells": 5}], "check": False}
    spec |= {"methods": ["partial_correlation"]}
    ours = run_benchmark("ours", spec, threads=1).table
    (tmp_path / "small.yaml").write_text(json.dumps(spec))
    options = ["benchmark", "small.yaml", "--out", "theirs", "--dask", "local:1", "--quiet"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = CliRunner().invoke(commands, options)
    assert done.exit_code == 0, done.output
    theirs = pd.read_parquet("theirs/benchmark.parquet")
    columns = [c for c in ours if c != "seconds"]
    pd.testing.assert_frame_equal(ours[columns], theirs[columns])


def test_benchmark__edges_made_elsewhere_are_scored(small, tmp_path):
    folder, _ = small
    pools = sorted(path for path in (folder / "pools").iterdir() if path.stem == "fork-section4.0.random.1")
    assert pd.read_csv(pools[0]).shape == (200, 3)
    edges = tmp_path / "edges"
    edges.mkdir()
    (edges / "fork-section4.0.random.1.mine.csv").write_text("regulator,target\nY,X\nY,Z\n", encoding="utf-8")
    (edges / "fork-section4.0.random.20.mine.csv").write_text("regulator,target\nY,Q\n", encoding="utf-8")
    spec = SMALL | {"tasks": [{"model": "fork-section4"}], "methods": ["correlation"], "check": False}
    table = run_benchmark(tmp_path / "out", spec, edges=edges, threads=1).table
    mine = table[table["method"] == "mine"].set_index(["n_cells", "metric"]).sort_index()
    assert mine.loc[(1, "skeleton_f1"), "value"] == 1.0
    assert mine.loc[(1, "orientation"), "value"] == 1.0
    failed = mine.loc[20]
    assert failed["status"].tolist() == ["failed"]
    assert "between the genes given; found 'Q'" in failed["reason"].iloc[0]


def test_benchmark__a_function_of_the_user_and_one_that_fails(tmp_path, monkeypatch):
    (tmp_path / "own_method.py").write_text(
        "import numpy as np\nfrom poolproof.discovery import Graph\n"
        "def nothing(values, names, *, seed=0):\n"
        "    return Graph(tuple(names), *np.zeros((2, len(names), len(names)), dtype=bool))\n"
        "def broken(values, names, *, seed=0):\n    raise ValueError('no <script>')\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    spec = {
        "tasks": [{"model": "fork-section4"}], "pools": [{"cells": [1, 5]}], "n_pools": 100, "check": False,
        "methods": ["own_method:nothing", "own_method:broken"],
    }  # fmt: skip
    table = run_benchmark(tmp_path / "out", spec, threads=1).table
    table = table.set_index(["method", "metric"]).sort_index()
    nothing = table.xs("own_method:nothing").loc[["n_edges"], "value"]
    assert (nothing == 0).all()
    failed = table.loc["own_method:broken"]
    assert set(failed["status"]) == {"failed"}
    assert "<script>" not in (tmp_path / "out" / "benchmark.html").read_text(encoding="utf-8")


def test_benchmark__what_changed_is_done_again_and_files_of_one_name_stay_apart(tmp_path, monkeypatch):
    import yaml

    from poolproof import example_model

    for folder, name in (("a", "fork-section4"), ("b", "affine-grn")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.yaml").write_text(example_model(name).to_yaml(), encoding="utf-8")
    method = tmp_path / "changing_method.py"
    text = "from poolproof.discovery import Graph\n"
    text += "def found(values, names, *, seed=0):\n    return Graph.of(names{})\n"
    method.write_text(text.format(""), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    models = [{"model": str(tmp_path / folder / "model.yaml")} for folder in "ab"]
    spec = {
        "tasks": models,
        "pools": [{"cells": 1}],
        "n_pools": 50,
        "check": False,
        "methods": ["changing_method:found"],
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")

    def edges():
        table = run_benchmark(tmp_path / "out", tmp_path / "spec.yaml", threads=1).table
        own = table[(table["method"] == "changing_method:found") & (table["metric"] == "n_edges")]
        return own.groupby("n_genes")["value"].first().to_dict()

    assert edges() == {3: 0, 6: 0}
    method.write_text(text.format(", directed=[(names[0], names[1])]"), encoding="utf-8")
    assert edges() == {3: 1, 6: 1}


def test_benchmark__a_folder_in_use_is_refused(tmp_path):
    with (
        kept_folder(tmp_path / "out", ("parts",), "benchmark"),
        pytest.raises(InputError, match="another benchmark"),
    ):
        run_benchmark(tmp_path / "out", SMALL, threads=1)
    assert not (tmp_path / "out").exists()  # it stayed empty


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tasks": []}, "needs tasks"),
        ({"task": 1}, "did you mean tasks"),
        ({"tasks": [{"modle": "x"}]}, "a task is one of"),
        ({"tasks": [{"model": "no-such-model"}]}, "a model of the gallery or a file"),
        ({"tasks": [{"random": 5, "mechanism": "hil"}]}, "mechanism must be one of"),
        ({"tasks": [{"model": "fork-section4"}] * 2}, "twice"),
        ({"pools": [{"kind": "metacells"}]}, "kind of pools must be"),
        ({"pools": [{"cells": 0}]}, "cells"),
        ({"methods": ["no_such_method"]}, "no_such_method"),
        ({"methods": ["nowhere:nothing"]}, "nowhere"),
        ({"n_pools": 3}, "n_pools"),
        ({"seeds": []}, "seeds"),
        ({"time_limit": 0}, "time_limit"),
    ],
)
def test_spec__refused_in_one_line_and_nothing_is_written(change, words, tmp_path):
    with pytest.raises(InputError, match=words) as caught:
        run_benchmark(tmp_path / "out", SMALL | change, threads=1)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_spec__default_and_quick_can_be_read():
    default, quick = read_spec("default"), read_spec("quick")
    assert len(default.tasks) >= 60
    assert {pooling.n_cells for pooling in default.pools} >= {1, 2, 5, 10, 20, 50, 100, 1000}
    assert len(quick.tasks) == 3


def test_command__refuses_a_folder_with_other_files(tmp_path):
    (tmp_path / "mine.txt").write_text("x", encoding="utf-8")
    refused = CliRunner().invoke(commands, ["benchmark", "quick", "--out", str(tmp_path)])
    assert "holds other files" in str(refused.exception)
    refused = CliRunner().invoke(
        commands, ["benchmark", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "new")]
    )
    assert isinstance(refused.exception, InputError)
    assert not (tmp_path / "new").exists()


def test_command__json(tmp_path):
    spec = tmp_path / "spec.yaml"
    lines = [
        "tasks: [{model: fork-section4}]",
        "pools: [{cells: [1, 20]}]",
        "methods: [correlation]",
        "n_pools: 100",
        "check: false",
    ]
    spec.write_text("\n".join(lines), encoding="utf-8")
    options = ["--out", str(tmp_path / "out"), "--threads", "1", "--json"]
    answer = CliRunner().invoke(commands, ["benchmark", str(spec), *options])
    assert answer.exit_code == 0
    content = json.loads(answer.stdout)
    assert content["metric"] == "skeleton_f1"
    assert content["n_cells"] == 20


# --- summary ---


def made_up(losses, shares):
    rows, tasks = [], []
    for i, (loss, share) in enumerate(zip(losses, shares, strict=True)):
        for k, value in ((1, 0.9), (20, 0.9 - loss)):
            rows.append({
                "task": f"t{i}", "source": "random", "mechanism": "hill", "n_genes": 5, "n_hidden": 0,
                "pooling": "random", "n_cells": k, "n_pools": 100, "seed": 0, "method": "pc", "status": "ok",
                "reason": "", "seconds": 0.1, "metric": "skeleton_f1", "value": value,
            })  # fmt: skip
        tasks.append({"task": f"t{i}", "seed": 0, "bend_share": share, "check_verdict": "partial"})
    return pd.DataFrame(rows), pd.DataFrame(tasks)


def test_summary__rank_correlation_by_hand_and_the_worst():
    table, tasks = made_up([0.1, 0.2, 0.3, 0.4, 0.0, 0.6], [0.1, 0.2, 0.3, 0.4, 0.9, 0.6])
    found = summarise(table, tasks, [], 0)
    (row,) = found["prediction"]
    ranks = pd.Series([2, 3, 4, 5, 1, 6]), pd.Series([1, 2, 3, 4, 6, 5])
    assert row["rho"] == pytest.approx(ranks[0].corr(ranks[1]))
    assert row["low"] <= row["rho"] <= row["high"]
    assert found["worst"][0]["task"] == "t4"
    (losses,) = found["losses"]
    assert losses["mean"] == pytest.approx(np.mean([0.1, 0.2, 0.3, 0.4, 0.0, 0.6]))
