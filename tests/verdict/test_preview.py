"""What a preview says is what the audit then does."""

import numpy as np
import pandas as pd
import pytest

import poolproof
from poolproof import InputError, preview_audit
from poolproof.verdict.preview import duration


def counts(n=600, n_genes=40, seed=0):
    random = np.random.default_rng(seed)
    rate = random.gamma(3.0, size=(n, n_genes)) * (1 + random.gamma(2.0, size=(n, 1)))
    names = [f"g{i}" for i in range(n_genes)]
    obs = pd.DataFrame({"cell_type": np.where(np.arange(n) % 4, "T", "B"), "donor": np.arange(n) % 8})
    return pd.DataFrame(random.poisson(rate), columns=names).astype(float), obs.astype({"donor": str})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"within": "cell_type"},
        {"within": "cell_type", "replicate": "donor"},
        {"test": "robust"},
        {"regulators": ["g1", "g2"]},
        {"pairs": [("g1", "g2"), ("g3", "g1")]},
    ],
)
def test_preview__agrees_with_the_audit(options):
    values, obs = counts()
    options |= {"kind": "single-cell", "scale": "counts", "obs": obs}
    said = preview_audit(values, **options).summary
    done = poolproof.audit(values, **options, triples="none", curves="none").summary
    assert said["test"] == done["linearity"]["test"]
    assert said["n_pairs"] == done["linearity"]["n_pairs_tested"]
    assert sorted(said["levels"].values()) == (
        sorted(obs["cell_type"].value_counts()) if "within" in options else []
    )
    assert said["n_replicates"] == (8 if "replicate" in options else 0)
    assert set(said["notes"]) <= set(done["data"]["warnings"])
    assert ("levels alone" in said["seconds"]) == ("within" in options)
    assert ("floor" in said["seconds"]) == (not {"regulators", "pairs"} & set(options))
    assert all(seconds >= 0 for seconds in said["seconds"].values())
    assert said["bytes"] > 1e7


def test_preview__network_is_a_list_of_pairs():
    values, obs = counts()
    said = preview_audit(values, network=[("g1", "g2")], kind="single-cell", scale="counts", obs=obs).summary
    assert said["n_pairs"] == 1
    assert said["labels"] == ["cell_type"]
    assert said["donors"] == ["donor"]


def test_preview__refuses_what_an_audit_refuses():
    values, obs = counts()
    with pytest.raises(InputError, match="within"):
        preview_audit(values, within="nothing", obs=obs)
    with pytest.raises(InputError, match="corrected"):
        preview_audit(values + 0.5, test="corrected", kind="single-cell", scale="additive", obs=obs)
    with pytest.raises(InputError, match="at least 2 genes that vary"):
        preview_audit(values * 0 + 1, kind="bulk", scale="additive", obs=obs)


def test_preview__names_of_a_file_are_harmless():
    values, obs = counts()
    obs["cell_type"] = np.where(obs["cell_type"] == "T", "<script>alert(1)</script>", "\x1b[31mB")
    found = preview_audit(values, within="cell_type", kind="single-cell", scale="counts", obs=obs)
    assert "<script>" not in found._repr_html_()
    assert "\x1b" not in str(found)


def test_preview__more_pairs_take_longer():
    random = np.random.default_rng(0)
    small, large = (
        pd.DataFrame(random.gamma(2.0, size=(200, n)), columns=[f"g{i}" for i in range(n)])
        for n in (60, 1200)
    )
    read = {"kind": "bulk", "scale": "additive", "threads": 1}
    few, many = (sum(preview_audit(of, **read).summary["seconds"].values()) for of in (small, large))
    assert many > few


def test_duration__has_two_digits():
    assert [duration(t) for t in (0, 1.4, 99, 100, 5999, 6000)] == [
        "1 s",
        "1 s",
        "99 s",
        "2 min",
        "100 min",
        "1.7 h",
    ]


def test_files__are_read_by_audit_and_preview(tmp_path):
    values, _ = counts(n=80, n_genes=5)
    path = tmp_path / "table.csv"
    values.iloc[:30].T.to_csv(path)
    read = {"kind": "bulk", "scale": "additive"}
    done = poolproof.audit(str(path), **read, triples="none")
    assert done.data["name"] == "table.csv"
    assert any("orientation" in note for note in done.data["warnings"])
    pd.testing.assert_frame_equal(
        done.table, poolproof.audit(poolproof.read(path), **read, triples="none").table
    )
    assert preview_audit(path, **read).summary["n_obs"] == 30
