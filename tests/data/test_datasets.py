"""The registry of real data: complete, truthful of every file, and its files found, fetched and checked."""

import dataclasses
import gzip
import inspect
import re
import threading
import time
import tomllib
from fnmatch import fnmatch
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import shared_data

import poolproof
from poolproof import (
    InputError,
    dataset_info,
    fetch_dataset,
    list_datasets,
    list_networks,
    load_dataset,
    load_network,
    network_info,
    usable,
)
from poolproof.data import datasets
from poolproof.data import download as _download
from poolproof.data.datasets import usable_notes

EMBEDDED = ["bulk_saureus_imodulon", "sc_mixology_10x_3lines"]
OURS = [entry.name for entry in list_datasets() if entry.place != "user"]
NETWORKS = [entry.name for entry in list_networks()]
ENTRIES = {entry.name: entry for entry in (*list_datasets(), *list_networks())}
ISLETS = "bulk_islet_fadista"
ROOT = Path(__file__).resolve().parents[2]
PACKAGED = Path(datasets.__file__).parent / "embedded"
DATA = ROOT / "data"
SMALL = "network_mouse_mdc_chipseq"
"""The smallest file, for what is said of all."""
COPYLEFT = re.compile(r"GPL|SA 4\.0|academic|restrict|none")


def dense(adata):
    return adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)


@pytest.fixture(scope="module")
def opened():
    """Read each data set once for all that is compared with it."""
    known = {}

    def read(name):
        if name not in known:
            known[name] = load_dataset(name)
        return known[name]

    return read


@pytest.fixture(params=OURS)
def dataset(request):
    return dataset_info(request.param)


@pytest.fixture(params=EMBEDDED)
def embedded(request):
    return dataset_info(request.param)


@pytest.fixture(params=NETWORKS)
def network(request):
    return network_info(request.param)


@pytest.fixture(params=ENTRIES)
def entry(request):
    return ENTRIES[request.param]


# --- the registry -----------------------------------------------------------------------


def test_list__names_in_order():
    assert len(list_datasets()) == 17
    assert len(list_networks()) == 8
    for entries in (list_datasets(), list_networks()):
        assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert [entry.name for entry in list_datasets() if entry.place == "package"] == EMBEDDED
    assert [entry.name for entry in list_datasets() if entry.place == "user"] == [ISLETS]


def test_registry__every_field_is_filled(entry):
    may_be_empty = {"filter", "how_to_get", "networks", "permissive"}
    if entry.place == "user":
        may_be_empty |= {"size", "sha256"}
    for field in dataclasses.fields(entry):
        if field.name not in may_be_empty:
            assert getattr(entry, field.name), field.name
    values = [getattr(entry, field.name) for field in dataclasses.fields(entry)]
    text = [value for value in values if isinstance(value, str)]
    assert not [value for value in text if "\n" in value or value != value.strip()]


def test_registry__values_are_of_the_declared_type(entry):
    # YAML makes a boolean of NO and a number of 1.0: what looks like text is quoted there.
    types = {"str": str, "int": int, "bool": bool, "tuple[str, ...]": tuple}
    for field in dataclasses.fields(entry):
        if field.type in types:
            assert type(getattr(entry, field.name)) is types[field.type], field.name
    for values in getattr(entry, "filter", {}).values():
        assert all(isinstance(value, str) for value in values)


def test_registry__names_each_entry_once():
    text = (PACKAGED.parent / "datasets.yaml").read_text(encoding="utf-8")
    names = re.findall(r"(?m)^  (\w+):$", text)
    assert len(names) == len(set(names)) == len(ENTRIES)
    assert set(yaml.safe_load(text)) == {"datasets", "networks"}


def test_registry__describes_the_file(dataset, opened):
    adata = opened(dataset.name)
    assert adata.shape == (dataset.n_obs, dataset.n_genes)
    source = adata.uns["source"]
    assert source["kind"] == dataset.kind
    assert source["organism"].split(",")[0] in dataset.organism
    assert dataset.licence.split()[0].split("-")[0] in source["licence"]
    doi = re.search(r"doi:[^\s;]+", dataset.citation).group()
    assert doi in source["accession"] or "doi:" not in source["accession"]
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique
    missing = np.isnan(dense(adata)).mean()
    assert (round(missing, 3) == 0.029) if dataset.name == "bulk_yeast_stress_gasch" else missing == 0


def test_registry__scale_is_that_of_the_values(dataset, opened):
    values = dense(opened(dataset.name))
    whole = (values == np.round(values)).all() and values.min() >= 0
    assert whole == (dataset.scale == "counts")
    assert (np.nanmax(np.abs(values)) < 20) == (dataset.scale == "log")


def test_registry__settings_are_options_of_audit_and_columns_of_the_data(dataset, opened):
    adata = opened(dataset.name)
    options = {
        *inspect.signature(poolproof.audit).parameters,
        *inspect.signature(poolproof.linearity).parameters,
    }
    assert set(dataset.settings) <= options
    for option in ("within", "covariates", "replicate"):
        value = dataset.settings.get(option, ())
        for column in (value,) if isinstance(value, str) else value:
            assert column in adata.obs, column
            assert column in dataset.remarks or adata.obs[column].nunique() > 1
    assert dataset.settings.get("gene_column", "") in {"", *adata.var.columns}
    assert dataset.settings.get("scale", dataset.scale) == dataset.scale
    assert dataset.settings.get("kind", dataset.kind) == dataset.kind


def test_registry__describe_takes_the_settings(dataset, opened):
    of_values = ("kind", "scale", "log_base", "log_offset", "size_factors", "gene_column")
    settings = {option: value for option, value in dataset.settings.items() if option in of_values}
    found = poolproof.describe(usable(opened(dataset.name), dataset), **settings)
    assert (found.kind, found.scale) == (dataset.kind, dataset.scale)
    undone = dataset.scale != "log" or "log_base" in dataset.settings
    assert (found.scale_tested == "log") == (not undone)


def test_registry__cannot_be_changed_by_a_caller(dataset):
    with pytest.raises(TypeError):
        dataset.settings["within"] = "other"
    with pytest.raises(TypeError):
        dataset.filter["within"] = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "other"


def test_registry__networks_and_data_sets_name_each_other():
    for entry in list_datasets():
        for name in entry.networks:
            assert entry.name in network_info(name).datasets
            assert network_info(name).organism.split()[0] == entry.organism.split()[0]
    assert all(entry.datasets for entry in list_networks())


@pytest.mark.parametrize("name", ["sc_mixology", "bulk-saureus-imodulon", "\x1b[31m", "", None, 3])
def test_unknown_name__one_line_with_close_matches(name):
    for function in (load_dataset, dataset_info, network_info, load_network, fetch_dataset):
        with pytest.raises(InputError) as raised:
            function(name)
        message = str(raised.value)
        assert message.isprintable()
        assert any(known in message for known in ENTRIES)
    with pytest.raises(InputError) as raised:
        load_dataset("bulk-saureus-imodulon")
    assert "did you mean bulk_saureus_imodulon" in str(raised.value)


# --- files in the package and in the checkout --------------------------------------------------------


def test_files__checksum_and_size_are_those_of_the_registry(entry):
    if entry.place == "user":
        assert not (DATA / entry.file_name).exists()
        return
    path = (PACKAGED if entry.place == "package" else DATA) / entry.file_name
    assert path.stat().st_size == entry.size
    assert sha256(path.read_bytes()).hexdigest() == entry.sha256
    assert fetch_dataset(entry.name) == path


def test_files__no_other_file_and_none_twice():
    listed = {entry.file_name: entry.place for entry in ENTRIES.values()}
    for folder, place in ((PACKAGED, "package"), (DATA, "repository")):
        files = {path.name for path in folder.iterdir() if path.suffix in (".h5ad", ".gz", ".csv")}
        assert files == {name for name, where in listed.items() if where == place}
    assert sum(path.stat().st_size for path in PACKAGED.glob("*.h5ad")) < 3_000_000
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 60_000_000


def test_load__gives_a_fresh_copy(embedded):
    first = load_dataset(embedded.name)
    first.X = first.X * 0
    first.obs["mine"] = 1
    second = load_dataset(embedded.name)
    assert dense(second).any()
    assert "mine" not in second.obs


@pytest.mark.parametrize(
    "readme", [PACKAGED / "README.md", DATA / "README.md"], ids=["package", "repository"]
)
def test_readme__names_every_file_with_its_doi_origin_and_licence(readme):
    text = readme.read_text(encoding="utf-8")
    place = "package" if readme.parent == PACKAGED else "repository"
    entries = [entry for entry in ENTRIES.values() if entry.place == place]
    assert set(re.findall(r"(?m)^## `(\S+)`", text)) == {entry.file_name for entry in entries}
    for entry in entries:
        section = text.split(f"## `{entry.file_name}`")[1].split("\n## ")[0].split("\n# ")[0]
        section = " ".join(section.split())
        assert re.search(r"doi:[^\s;]+", entry.citation).group() in section
        assert f"**Licence**: {entry.licence}" in section
        assert entry.source.split(",")[0].split(" (")[0] in section
        assert "**Changed**: " in section
        if place == "package":
            for option, value in entry.settings.items():
                shown = f'"{value}"' if isinstance(value, str) else f"{value:g}"
                assert f"`{option}={shown}`" in section


def test_licences__texts_of_the_copyleft_ones_lie_beside_the_files():
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (DATA / "licences").glob("*.txt")}
    assert set(texts) == {"AGPL-3", "GPL-2", "GPL-3", "CC-BY-SA-4.0"}
    assert all(len(text) > 10_000 for text in texts.values())


def test_licences__only_permissive_ones_are_marked_so(entry):
    assert entry.permissive == (not COPYLEFT.search(entry.licence))
    assert entry.permissive or entry.place != "package"


def test_build__no_file_of_the_folder_data_is_packed():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    wheel, sdist = build["targets"]["wheel"], build["targets"]["sdist"]
    assert wheel["packages"] == ["src/poolproof"]
    assert not set(wheel) & {"include", "force-include", "only-include"}
    assert all(pattern.startswith("src/poolproof/") for pattern in wheel["artifacts"])
    packed = [path for path in DATA.iterdir() if path.suffix in (".h5ad", ".gz")]
    assert packed
    for path in packed:
        assert any(fnmatch(f"/data/{path.name}", pattern) for pattern in sdist["exclude"]), path.name
    assert not [
        path for path in PACKAGED.iterdir() if path.stem in ENTRIES and not ENTRIES[path.stem].permissive
    ]
    assert not [
        pattern for pattern in sdist["exclude"] if fnmatch("/src/poolproof/data/embedded/x.h5ad", pattern)
    ]


@pytest.mark.parametrize("name", [*OURS, *NETWORKS])
def test_content__is_that_of_the_original(name, opened):
    if name in NETWORKS:
        lines = shared_data(f"{name}.csv").read_bytes().splitlines(keepends=True)
        kept = b"".join(line for line in lines if b"MERLIN-P-TFA" not in line)
        assert gzip.decompress((DATA / f"{name}.csv.gz").read_bytes()) == kept
        return
    original, ours = anndata.read_h5ad(shared_data(f"{name}.h5ad")), opened(name)
    assert type(ours.X) is type(original.X)
    assert ours.X.dtype == original.X.dtype
    np.testing.assert_array_equal(dense(ours), dense(original))
    reference = ["reference"] if name == "bulk_saureus_imodulon" else []
    pd.testing.assert_frame_equal(ours.obs.drop(columns=reference), original.obs)
    pd.testing.assert_frame_equal(ours.var, original.var)
    if name in EMBEDDED:
        return
    assert set(ours.uns) == set(original.uns)
    assert ours.uns["source"] == original.uns["source"]
    assert set(ours.obsm) == set(original.obsm)
    for key in original.obsm:
        np.testing.assert_array_equal(np.asarray(ours.obsm[key]), np.asarray(original.obsm[key]))


# --- usable samples -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_left"),
    [("sc_mixology_cells", 1021), ("bulk_mixology_pools", 1714), ("bulk_gtex_blood_small", 389)],
)
def test_usable__leaves_out_what_the_filter_says(name, n_left, opened):
    adata, dataset = opened(name), dataset_info(name)
    kept = usable(adata, dataset)
    assert kept.n_obs == n_left
    assert not kept.is_view
    for column, values in dataset.filter.items():
        assert set(kept.obs[column]) <= set(values)
        gone = adata.obs_names.difference(kept.obs_names)
        assert not adata.obs.loc[gone, column].isin(values).any()
    if dataset.filter:
        record = kept.uns["poolproof_usable"]
        assert (record["n_before"], record["n_after"]) == (adata.n_obs, n_left)
        assert record["filter"] == {column: list(values) for column, values in dataset.filter.items()}
        assert usable_notes(kept) == [record["sentence"]]
        assert f"{adata.n_obs - n_left} of {adata.n_obs:,} samples left out" in record["sentence"]
    else:
        assert usable_notes(kept) == []
    assert "poolproof_usable" not in adata.uns


def test_usable__can_be_saved(opened, tmp_path):
    kept = usable(opened("sc_mixology_cells"), dataset_info("sc_mixology_cells"))[:20, :5].copy()
    kept.write_h5ad(tmp_path / "kept.h5ad")
    assert anndata.read_h5ad(tmp_path / "kept.h5ad").uns["poolproof_usable"]["n_after"] == 1021


def test_usable__refuses_data_without_the_column_or_without_samples(opened):
    dataset = dataset_info("sc_mixology_cells")
    adata = opened("sc_mixology_cells")[:30, :3].copy()
    with pytest.raises(InputError, match="demuxlet_cls"):
        usable(anndata.AnnData(adata.X), dataset)
    adata.obs["demuxlet_cls"] = "DBL"
    with pytest.raises(InputError, match="found none with demuxlet_cls SNG"):
        usable(adata, dataset)


# --- networks -----------------------------------------------------------------------


def test_network__rows_and_regulators_are_those_of_the_registry(network):
    rows = pd.read_csv(fetch_dataset(network.name))
    assert (len(rows), rows["source"].nunique()) == (network.n_edges, network.n_regulators)
    assert set(rows["sign"]) <= {-1, 0, 1}
    assert not rows["evidence"].str.contains("MERLIN-P-TFA").any()


def test_network__edges_match_a_data_set_that_it_goes_with(network, opened):
    from poolproof.data import match_edges

    edges = load_network(network.name)
    assert list(edges.columns[:2]) == ["regulator", "target"]
    assert not edges.duplicated(["regulator", "target"]).any()
    adata = opened(next(name for name in network.datasets if name in OURS))
    column = dataset_info(next(name for name in network.datasets if name in OURS)).settings.get("gene_column")
    symbols = adata.var[column].astype(str) if column else None
    assert len(match_edges(edges, adata.var_names, symbols).regulator_index) >= 20


def test_network__e_coli_regulators_match_by_their_genes(opened):
    from poolproof.data import match_edges

    adata = opened("bulk_ecoli_precise")
    found = match_edges(load_network("network_ecoli_regulon"), adata.var_names)
    assert 6_500 < len(found.regulator_index) <= 7_193


# --- a file of the user's -----------------------------------------------------------------------


def test_islets__are_refused_with_the_way_to_get_them():
    with pytest.raises(InputError) as raised:
        load_dataset(ISLETS)
    message = str(raised.value)
    for words in ("no licence", "fadista_77.rds", "meichendong/SCDC", "poolproof audit FILE", "path=FILE"):
        assert words in message
    with pytest.raises(InputError, match="no licence"):
        fetch_dataset(ISLETS)


def test_islets__are_read_from_a_path():
    path = shared_data(f"{ISLETS}.h5ad")
    assert load_dataset(ISLETS, path=path).shape == (77, 32581)
    with pytest.raises(InputError, match="expected 77 samples x 32,581 genes"):
        load_dataset(ISLETS, path=PACKAGED / "bulk_saureus_imodulon.h5ad")
    with pytest.raises(InputError, match="needs no path"):
        load_dataset("bulk_saureus_imodulon", path=path)


# --- damaged and missing files -----------------------------------------------------------------------


def test_damaged_file__of_the_package_is_refused(monkeypatch, tmp_path):
    name = EMBEDDED[0]
    content = bytearray((PACKAGED / f"{name}.h5ad").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / f"{name}.h5ad").write_bytes(content)
    monkeypatch.setattr(_download, "package_folder", lambda: tmp_path)
    with pytest.raises(InputError, match="install poolproof again") as raised:
        load_dataset(name)
    assert "\n" not in str(raised.value)
    (tmp_path / f"{name}.h5ad").unlink()
    with pytest.raises(InputError, match="no readable file"):
        load_dataset(name)


def test_damaged_file__of_the_checkout_is_refused(monkeypatch, tmp_path):
    (tmp_path / f"{SMALL}.csv.gz").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    monkeypatch.setattr(_download, "checkout_folder", lambda: tmp_path)
    with pytest.raises(InputError, match=f"git checkout data/{SMALL}"):
        load_network(SMALL)


def test_checkout_folder__is_that_of_this_source_tree(monkeypatch, tmp_path):
    assert _download.checkout_folder() == DATA
    installed = tmp_path / "site-packages" / "poolproof" / "data" / "download.py"
    (tmp_path / "data").mkdir()  # of another project
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.setattr(_download, "__file__", str(installed))
    assert _download.checkout_folder() is None


# --- the companion wheel, which .ci/run builds and installs -----------------------------


@pytest.fixture
def companion(away, monkeypatch, tmp_path):
    """An installed poolproof-data that has one network."""
    folder = tmp_path / "site-packages" / "poolproof_data_of_a_test"
    folder.mkdir(parents=True)
    for name in ("__init__.py", f"{SMALL}.csv.gz"):
        (folder / name).write_bytes((DATA / name).read_bytes())
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setattr(_download, "COMPANION", folder.name)
    return folder


def test_companion__its_files_are_found_and_checked(companion, away):
    entry = network_info(SMALL)
    assert _download.whereabouts(entry) == "in poolproof-data"
    assert fetch_dataset(SMALL) == companion / entry.file_name
    assert left_in(away) == []
    (companion / entry.file_name).write_bytes(b"of another version")
    refusal(SMALL, "install the poolproof-data of this version again")


def test_companion__what_it_has_not_is_fetched_or_refused(companion):
    other = "network_ecoli_regulon"
    assert _download.whereabouts(network_info(other)) == "to fetch"
    assert "poolproof-data" not in refusal(other, "POOLPROOF_DATA_URL")


def test_companion__holds_what_may_be_passed_on_without_restriction():
    project = tomllib.loads((DATA / "pyproject.toml").read_text(encoding="utf-8"))
    targets = project["tool"]["hatch"]["build"]["targets"]
    files = {path.name for path in DATA.iterdir() if path.suffix in (".h5ad", ".gz")}
    restricted = {e.file_name for e in ENTRIES.values() if re.search("restrict|academic", e.licence)}
    assert len(restricted) == 3
    for target in (targets["wheel"], targets["sdist"]):
        assert {pattern.removeprefix("/") for pattern in target["exclude"]} == restricted
        assert "artifacts" not in target, "these would come in again"
    packed = {name for name in files if any(fnmatch(f"/{name}", p) for p in targets["wheel"]["include"])}
    assert packed == files
    assert {"/README.md", "/licences/*.txt"} <= set(targets["wheel"]["include"])
    assert targets["wheel"]["sources"] == {"": _download.COMPANION}


# --- downloads -----------------------------------------------------------------------


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; counts requests, and cuts or withholds what it is told to."""

    def __init__(self, *arguments, server_state, **options):
        self.state = server_state
        super().__init__(*arguments, **options)

    def do_GET(self):
        self.state["paths"].append(self.path)
        if self.state.get("wait"):
            self.state["wait"].wait(timeout=20)
        if not self.state.get("cut"):
            super().do_GET()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def away(monkeypatch, tmp_path):
    """As after `pip install`: no checkout, no companion wheel, an empty cache, no address."""
    monkeypatch.setattr(_download, "checkout_folder", lambda: None)
    monkeypatch.setattr(_download, "COMPANION", "poolproof_data_not_installed")
    monkeypatch.setenv("POOLPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("POOLPROOF_DATA_URL", raising=False)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "*")
    return tmp_path / "cache"


@pytest.fixture
def server(away, monkeypatch, tmp_path):
    """A local web server with a copy of two files, its address in the environment."""
    folder = tmp_path / "served" / "data"
    folder.mkdir(parents=True)
    for name in (f"{SMALL}.csv.gz", "bulk_yeast_segregants_eqtl.h5ad"):
        (folder / name).write_bytes((DATA / name).read_bytes())
    state = {"paths": [], "folder": folder}
    handler = partial(Handler, directory=tmp_path / "served", server_state=state)
    web = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    state["address"] = f"http://127.0.0.1:{web.server_port}/data"
    state["stop"] = lambda: (web.shutdown(), web.server_close())
    monkeypatch.setenv("POOLPROOF_DATA_URL", state["address"])
    yield state
    state["stop"]()


def refusal(name, *words):
    """The one line of a refused download."""
    with pytest.raises(InputError) as raised:
        fetch_dataset(name)
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def left_in(folder):
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def test_download__into_the_cache_and_from_there_without_network(server, away, capfd):
    path = fetch_dataset(SMALL)
    assert path == away / f"{SMALL}.csv.gz"
    assert path.read_bytes() == (DATA / f"{SMALL}.csv.gz").read_bytes()
    assert path.stat().st_mode & 0o777 == 0o644
    assert left_in(away) == [path.name]
    assert len(load_network(SMALL)) == 756
    assert load_dataset("bulk_yeast_segregants_eqtl").shape == (112, 1143)
    assert server["paths"] == [f"/data/{SMALL}.csv.gz", "/data/bulk_yeast_segregants_eqtl.h5ad"]
    server["stop"]()
    assert fetch_dataset(SMALL) == path
    assert capfd.readouterr() == ("", "")


def test_download__shows_a_bar_only_on_request(server, capfd):
    fetch_dataset("bulk_yeast_segregants_eqtl", progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%" in err


def test_download__a_slash_at_the_end_of_the_address_is_fine(server, monkeypatch):
    monkeypatch.setenv("POOLPROOF_DATA_URL", server["address"] + "/")
    fetch_dataset(SMALL)
    assert server["paths"] == [f"/data/{SMALL}.csv.gz"]


@pytest.mark.parametrize("form", [str, lambda folder: folder.as_uri()], ids=["folder", "file-url"])
def test_download__from_a_folder(away, monkeypatch, tmp_path, form):
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / f"{SMALL}.csv.gz").write_bytes((DATA / f"{SMALL}.csv.gz").read_bytes())
    monkeypatch.setenv("POOLPROOF_DATA_URL", form(folder))
    assert fetch_dataset(SMALL) == away / f"{SMALL}.csv.gz"
    refusal("network_yeast", "cannot fetch", "No such file", "POOLPROOF_DATA_URL")


def test_download__a_wrong_file_is_not_kept(server, away):
    content = bytearray((server["folder"] / f"{SMALL}.csv.gz").read_bytes())
    content[100] ^= 1
    (server["folder"] / f"{SMALL}.csv.gz").write_bytes(content)
    refusal(SMALL, "should have sha256", "not kept", "POOLPROOF_DATA_URL")
    assert left_in(away) == []


def test_download__half_a_file_is_not_kept(server, away):
    server["cut"] = True
    refusal("bulk_yeast_segregants_eqtl", "cannot fetch", "broke half-way")
    assert left_in(away) == []
    server["cut"] = False
    assert fetch_dataset("bulk_yeast_segregants_eqtl").is_file()


def test_download__a_damaged_file_in_the_cache_is_replaced(server, away):
    away.mkdir()
    (away / f"{SMALL}.csv.gz").write_bytes(b"half")
    assert len(load_network(SMALL)) == 756
    server["stop"]()
    (away / f"{SMALL}.csv.gz").write_bytes(b"half")
    refusal(SMALL, "cannot fetch")


def test_download__what_the_server_has_not(server, away):
    refusal("network_yeast", "the server answered 404", "network_yeast.csv.gz", "POOLPROOF_CACHE")
    assert left_in(away) == []


def test_download__no_server(server, away):
    server["stop"]()
    refusal(SMALL, "no connection", server["address"], "put the file into the cache folder")
    assert left_in(away) == []


def test_download__a_server_that_says_nothing(server, away, monkeypatch):
    server["wait"] = threading.Event()
    monkeypatch.setattr(_download, "TIMEOUT", 0.3)
    try:
        refusal(SMALL, "cannot fetch", "stopped sending")
    finally:
        server["wait"].set()


@pytest.mark.parametrize("address", ["http://", "http://[", "ftp://nowhere/x", "\x1b[31m"])
def test_download__an_address_that_is_none(away, monkeypatch, address):
    monkeypatch.setenv("POOLPROOF_DATA_URL", address)
    assert refusal(SMALL, "cannot fetch").isprintable()


@pytest.mark.parametrize("unset", ["", None])
def test_download__without_an_address_says_what_to_set(away, monkeypatch, unset):
    monkeypatch.setattr(_download, "BASE_ADDRESS", "")
    if unset is not None:
        monkeypatch.setenv("POOLPROOF_DATA_URL", unset)
    refusal(SMALL, "set POOLPROOF_DATA_URL", f"put {SMALL}.csv.gz into {away}")
    # The way out that the line names.
    away.mkdir()
    (away / f"{SMALL}.csv.gz").write_bytes((DATA / f"{SMALL}.csv.gz").read_bytes())
    assert fetch_dataset(SMALL).parent == away


@pytest.mark.parametrize("unset", ["", None])
def test_download__the_address_of_the_project_is_used_where_none_is_set(server, monkeypatch, unset):
    monkeypatch.delenv("POOLPROOF_DATA_URL")
    if unset is not None:
        monkeypatch.setenv("POOLPROOF_DATA_URL", unset)
    monkeypatch.setattr(_download, "BASE_ADDRESS", server["address"])
    assert fetch_dataset(SMALL).is_file()


def test_download__a_cache_that_cannot_be_written_to(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POOLPROOF_CACHE", str(tmp_path / "file" / "cache"))
    refusal(SMALL, "cannot be written to", "set POOLPROOF_CACHE")
    assert server["paths"] == []


def test_download__a_cache_without_permission(server, away, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("Pooch could not create data cache folder")

    monkeypatch.setattr("pooch.core.make_local_storage", refuse)
    refusal(SMALL, "cannot be written to: permission denied", "set POOLPROOF_CACHE")


def test_cache__is_that_of_the_system_where_none_is_set(monkeypatch, tmp_path):
    monkeypatch.delenv("POOLPROOF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _download.cache_folder().name == "poolproof"


def test_download__at_the_same_time_is_safe(server, away):
    server["wait"] = threading.Event()
    found, wrong = [], []

    def fetch():
        try:
            found.append(fetch_dataset("bulk_yeast_segregants_eqtl"))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(server["paths"]) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(server["paths"]) == 4  # all four are under way before the first is answered
    server["wait"].set()
    for thread in threads:
        thread.join(timeout=30)
    assert wrong == []
    assert set(found) == {away / "bulk_yeast_segregants_eqtl.h5ad"}
    assert len(found) == 4
    assert left_in(away) == ["bulk_yeast_segregants_eqtl.h5ad"]


def test_whereabouts__tells_the_places(server, away, monkeypatch):
    entry = network_info(SMALL)
    assert _download.whereabouts(dataset_info(EMBEDDED[0])) == "embedded"
    assert _download.whereabouts(dataset_info(ISLETS)) == "your own"
    assert _download.whereabouts(entry) == "to fetch"
    fetch_dataset(SMALL)
    assert _download.whereabouts(entry) == "cached"
    (away / entry.file_name).write_bytes(b"half")
    assert _download.whereabouts(entry) == "to fetch"
    monkeypatch.setattr(_download, "checkout_folder", lambda: DATA)
    assert _download.whereabouts(entry) == "in checkout"


def test_copy__into_a_folder(tmp_path):
    out = tmp_path / "new" / "folder"
    path = fetch_dataset(SMALL, out=out)
    assert path == out / f"{SMALL}.csv.gz"
    assert path.read_bytes() == (DATA / path.name).read_bytes()
    before = path.stat().st_mtime_ns
    assert fetch_dataset(SMALL, out=out) == path
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="is another file"):
        fetch_dataset(SMALL, out=out)
    assert path.read_bytes() == b"mine"
    assert len(fetch_dataset(SMALL, out=out, force=True).read_bytes()) > 4
    assert left_in(out) == [path.name]
    with pytest.raises(InputError, match="name another folder"):
        fetch_dataset(SMALL, out=path / "below a file")


def test_pooch__tells_others_what_it_does_as_before(server):
    import pooch

    logger = pooch.get_logger()
    before = logger.level, list(logger.filters)
    fetch_dataset(SMALL)
    assert (logger.level, logger.filters) == before


# --- what is particular to a data set -----------------------------------------------------------------------


def test_mixology__panel_totals_are_not_the_library():
    adata = load_dataset("sc_mixology_10x_3lines")
    counts = dense(adata)
    np.testing.assert_array_equal(counts, np.round(counts))
    assert counts.min() == 0
    total = adata.obs["total_count_per_cell"]
    share = counts.sum(1) / total
    assert [round(100 * q, 1) for q in (share.min(), share.median(), share.max())] == [0.8, 1.6, 5.0]
    assert ((counts > 0).sum(1) <= adata.obs["number_of_genes"]).all()
    assert round(np.corrcoef(counts.sum(1), total)[0, 1], 2) == 0.46
    assert (total.min(), total.median(), total.max()) == (42862, 110063, 266880)
    assert adata.obs["cell_line"].value_counts().to_dict() == {"H2228": 312, "H1975": 310, "HCC827": 273}


def test_saureus__three_references_serve_eight_projects():
    adata = load_dataset("bulk_saureus_imodulon")
    assert adata.obs["reference"].value_counts().to_dict() == {
        "U01-Set000": 42,
        "U01-Set001": 40,
        "ICA-Set002": 26,
    }
    assert (adata.obs.groupby("project", observed=True)["reference"].nunique() == 1).all()
    # A reference condition has mean 0, gene by gene, in the project that gives the level its name.
    for level in adata.obs["reference"].cat.categories:
        own = adata[(adata.obs["project"] == level) & adata.obs_names.str.contains("_CAMHB_Control_")]
        by_strain = [own[own.obs["strain"] == strain].X for strain in own.obs["strain"].unique()]
        assert min(np.abs(np.asarray(values).mean(0)).max() for values in by_strain) < 1e-6


def test_saureus__repeated_lowest_values_agree_within_a_reference_only():
    adata = load_dataset("bulk_saureus_imodulon")
    floors = {}
    for project, rows in adata.obs.groupby("project", observed=True).indices.items():
        values = np.sort(np.asarray(adata.X)[rows], axis=0)
        floors[project] = np.where(values[0] == values[1], values[0], np.nan)
    reference = adata.obs.drop_duplicates("project").set_index("project")["reference"]
    for one in floors:
        for other in floors:
            both = ~np.isnan(floors[one]) & ~np.isnan(floors[other])
            agree = (floors[one] == floors[other])[both].mean()
            assert both.sum() > 100
            assert agree == 1 if reference[one] == reference[other] else agree < 0.6
