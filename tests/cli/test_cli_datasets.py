"""The commands about real data sets: list, info, fetch; and dataset:NAME as the input of an audit."""

import json

import pytest
from helpers import one_line

from poolproof import dataset_info, list_datasets, list_networks, load_dataset
from poolproof.data import download as _download

SMALL = "network_mouse_mdc_chipseq"
KEYS = ["name", "kind", "title", "n_obs", "n_genes", "n_edges", "n_regulators"]
KEYS += ["scale", "licence", "source", "size", "file"]


def test_list__one_line_each_with_kind_extent_licence_and_place(call):
    done = call("datasets", "list")
    lines = done.out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        entry.name for entry in (*list_datasets(), *list_networks())
    ]
    shown = dict(line.split(": ", 1) for line in lines)
    assert shown["bulk_saureus_imodulon"] == "bulk, 108 x 2,820, MIT, 1.5 MB, embedded"
    assert shown["bulk_islet_fadista"] == "bulk, 77 x 32,581, none stated, your own"
    assert (
        shown["network_yeast"] == "network, 12,889 edges of 153 regulators, BSD-3-Clause, 0.1 MB, in checkout"
    )
    assert done.err == ""


def test_list__as_json_every_entry_has_the_same_keys(call):
    rows = json.loads(call("datasets", "list", "--json").out)
    assert len(rows) == 25
    for row in rows:
        assert list(row) == KEYS
        assert (row["n_edges"] is None) == (row["kind"] != "network") == (row["n_obs"] is not None)


def test_list__tells_what_is_to_fetch(call, monkeypatch, tmp_path):
    monkeypatch.setattr(_download, "checkout_folder", lambda: None)
    monkeypatch.setenv("POOLPROOF_CACHE", str(tmp_path))
    places = [row["file"] for row in json.loads(call("datasets", "list", "--json").out)]
    assert {place: places.count(place) for place in set(places)} == {
        "embedded": 2,
        "your own": 1,
        "to fetch": 22,
    }


@pytest.mark.parametrize("name", ["sc_mixology_cells", "network_yeast", "bulk_islet_fadista"])
def test_info__tells_every_field(call, name):
    shown = call("datasets", "info", name).out
    told = json.loads(call("datasets", "info", name, "--json").out)
    assert told["name"] == name
    for key in ("title", "licence", "source", "citation", "remarks"):
        assert f"{key}: {told[key]}" in shown
    assert "mappingproxy" not in shown
    if name == "sc_mixology_cells":
        assert told["filter"] == {"demuxlet_cls": ["SNG"]}
        assert told["settings"]["within"] == ["cell_line", "dataset"]
        assert "networks: network_human_dorothea, network_human_trrust" in shown
    one_line(call("datasets", "info", name + "x"), f"did you mean {name}")


def test_fetch__prints_paths(call, tmp_path):
    done = call("datasets", "fetch", SMALL, "bulk_yeast_segregants_eqtl", "--out", tmp_path)
    assert done.out.splitlines() == [
        str(tmp_path / f"{SMALL}.csv.gz"),
        str(tmp_path / "bulk_yeast_segregants_eqtl.h5ad"),
    ]
    assert all(path.stat().st_size > 1000 for path in tmp_path.iterdir())
    assert json.loads(call("datasets", "fetch", SMALL, "--json").out) == {
        SMALL: str(_download.checkout_folder() / f"{SMALL}.csv.gz")
    }


def test_fetch__all_leaves_out_what_is_not_ours(call, tmp_path):
    paths = json.loads(call("datasets", "fetch", "--all", "--json").out)
    assert len(paths) == 24
    assert "bulk_islet_fadista" not in paths


def test_fetch__refusals(call, tmp_path):
    one_line(call("datasets", "fetch"), "names of data sets or --all", "neither")
    one_line(call("datasets", "fetch", SMALL, "--all"), "both")
    one_line(call("datasets", "fetch", "bulk_islet_fadista"), "no licence")
    one_line(call("datasets", "fetch", SMALL, "nothing", "--out", tmp_path), "did you mean")
    assert not list(tmp_path.iterdir())  # nothing was fetched before the wrong name was seen
    (tmp_path / f"{SMALL}.csv.gz").write_text("mine")
    one_line(call("datasets", "fetch", SMALL, "--out", tmp_path), "--force")
    assert call("datasets", "fetch", SMALL, "--out", tmp_path, "--force").code == 0


def verdict_of(folder):
    return json.loads((folder / "verdict.json").read_text(encoding="utf-8"))


def test_audit__of_a_data_set_leaves_out_what_its_filter_says(call, monkeypatch, tmp_path):
    # All cells, a few genes: the filter and the settings are those of the whole.
    adata = load_dataset("sc_mixology_cells")
    few = adata[:, adata.X.sum(0).A1.argsort()[-12:]].copy()
    monkeypatch.setattr("poolproof.data.datasets.load_dataset", lambda name: few.copy())
    done = call(
        "audit",
        "dataset:sc_mixology_cells",
        "--curves",
        "none",
        "--triples",
        "none",
        "--out",
        tmp_path / "out",
    )
    assert done.code == 0, done.err
    found = verdict_of(tmp_path / "out")
    assert found["data"]["name"] == "sc_mixology_cells"
    assert found["data"]["n_obs"] == 1021
    assert "387 of 1,408 samples left out: not demuxlet_cls SNG" in found["data"]["warnings"]
    for option, value in dataset_info("sc_mixology_cells").settings.items():
        assert found["settings"][option] == (list(value) if isinstance(value, tuple) else value)


def test_audit__of_logs_with_covariates(call, monkeypatch, tmp_path):
    few = load_dataset("bulk_ecoli_precise")[:, :12].copy()
    monkeypatch.setattr("poolproof.data.datasets.load_dataset", lambda name: few.copy())
    done = call("audit", "dataset:bulk_ecoli_precise", "--triples", "none", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    found = verdict_of(tmp_path / "out")
    assert found["settings"]["covariates"] == ["study"]
    assert found["data"]["scale_tested"] == "additive"


def test_audit__of_the_islets_says_how_to_get_them(call, tmp_path):
    one_line(
        call("audit", "dataset:bulk_islet_fadista", "--out", tmp_path / "out"),
        "no licence",
        "poolproof audit FILE",
    )
    assert not (tmp_path / "out").exists()


def test_audit__of_a_network_is_refused(call, tmp_path):
    one_line(call("audit", "dataset:network_yeast", "--out", tmp_path / "out"), "name of a data set")
