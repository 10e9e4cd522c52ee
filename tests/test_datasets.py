"""The embedded data sets: complete, unchanged, and described truthfully."""

import dataclasses
import inspect
import re
from hashlib import sha256
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from conftest import shared_data

import poolproof
from poolproof import InputError, dataset_info, datasets, list_datasets, load_dataset

NAMES = ["bulk_saureus_imodulon", "sc_mixology_10x_3lines"]
DATA = Path(datasets.__file__).parent / "data"


def dense(adata):
    return adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)


@pytest.fixture(scope="module", params=NAMES)
def dataset(request):
    return dataset_info(request.param)


def test_list__names_in_order():
    assert [entry.name for entry in list_datasets()] == NAMES


def test_registry__every_field_is_filled(dataset):
    for field in dataclasses.fields(dataset):
        assert getattr(dataset, field.name), field.name


def test_registry__describes_the_file(dataset):
    adata = load_dataset(dataset.name)
    assert adata.shape == (dataset.n_obs, dataset.n_genes)
    source = adata.uns["source"]
    assert source["kind"] == dataset.kind
    assert dataset.licence in source["licence"]
    assert re.search(r"doi:\S+", dataset.citation).group() in source["accession"]
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique
    assert np.isfinite(dense(adata)).all()


def test_registry__settings_are_options_of_audit_and_columns_of_the_data(dataset):
    obs = load_dataset(dataset.name).obs
    options = {
        *inspect.signature(poolproof.audit).parameters,
        *inspect.signature(poolproof.linearity).parameters,
    }
    assert set(dataset.settings) <= options
    assert dataset.settings["within"] in obs
    column = str(dataset.settings.get("size_factors", "")).removeprefix("obs:")
    assert not column or (obs[column] > 0).all()


def test_registry__cannot_be_changed_by_a_caller(dataset):
    with pytest.raises(TypeError):
        dataset.settings["within"] = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "other"


def test_load__gives_a_fresh_copy(dataset):
    first = load_dataset(dataset.name)
    first.X = first.X * 0
    first.obs["mine"] = 1
    second = load_dataset(dataset.name)
    assert dense(second).any()
    assert "mine" not in second.obs


def test_files__are_small_and_listed_with_their_checksum():
    files = sorted(DATA.glob("*.h5ad"))
    assert [path.stem for path in files] == NAMES
    assert sum(path.stat().st_size for path in files) < 3_000_000
    for path in files:
        assert sha256(path.read_bytes()).hexdigest() == dataset_info(path.stem).sha256


def test_readme__names_every_data_set_with_its_doi_and_licence(dataset):
    section = (DATA / "README.md").read_text(encoding="utf-8").split(f"## `{dataset.name}.h5ad`")[1]
    section = section.split("\n## ")[0]
    assert re.search(r"doi:\S+", dataset.citation).group() in section
    assert f"**Licence**: {dataset.licence}" in section
    for option, value in dataset.settings.items():
        shown = f'"{value}"' if isinstance(value, str) else f"{value:g}"
        assert f"`{option}={shown}`" in section


@pytest.mark.parametrize("name", ["sc_mixology", "bulk-saureus-imodulon", "\x1b[31m", ""])
def test_unknown_name__one_line_with_close_matches(name):
    with pytest.raises(InputError) as raised:
        load_dataset(name)
    message = str(raised.value)
    assert message.isprintable()
    assert any(known in message for known in NAMES)
    if "saureus" in name:
        assert "did you mean bulk_saureus_imodulon?" in message


def test_damaged_file__is_refused(monkeypatch, tmp_path):
    name = NAMES[0]
    (tmp_path / "data").mkdir()
    content = bytearray((DATA / f"{name}.h5ad").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "data" / f"{name}.h5ad").write_bytes(content)
    monkeypatch.setattr(datasets, "files", lambda package: tmp_path)
    with pytest.raises(InputError, match="install poolproof again") as raised:
        load_dataset(name)
    assert "\n" not in str(raised.value)


def test_missing_file__is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "files", lambda package: tmp_path)
    with pytest.raises(InputError, match="no readable file"):
        load_dataset(NAMES[0])


def test_values__are_those_of_the_original(dataset):
    original = anndata.read_h5ad(shared_data(f"{dataset.name}.h5ad"))
    ours = load_dataset(dataset.name)
    assert type(ours.X) is type(original.X)
    np.testing.assert_array_equal(dense(ours), dense(original))
    pd.testing.assert_frame_equal(ours.obs.drop(columns="reference", errors="ignore"), original.obs)
    pd.testing.assert_frame_equal(ours.var, original.var)


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
