"""The design: who is analysed with whom, what is projected out, and what has to be left out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolproof import InputError
from poolproof.pairs import make_design
from poolproof.pairs.design import MIN_SAMPLES


def table(n=60):
    return pd.DataFrame(
        {
            "type": np.where(np.arange(n) % 3 == 0, "B", "A"),
            "donor": [f"d{i % 5}" for i in range(n)],
            "sex": np.where(np.arange(n) % 2, "f", "m"),
            "age": np.random.default_rng(0).uniform(20, 60, n),
            "treated": np.arange(n) % 4 == 0,
        }
    )


def test_design__nothing_asked_is_one_level_with_the_constant():
    design = make_design(table())
    (level,) = design.levels
    assert level.name == ""
    assert level.rows.tolist() == list(range(60))
    np.testing.assert_allclose(level.covariates, np.full((60, 1), 60**-0.5))
    assert level.clusters is None
    assert level.n_clusters == design.n_clusters == 0
    assert not level.strata.any()
    assert design.warnings == design.numeric_covariates == ()


def test_within__levels_share_the_samples_out():
    obs = table()
    one = make_design(obs, within=["type"])
    assert [level.name for level in one.levels] == ["A", "B"]
    for level in one.levels:
        assert (obs["type"].iloc[level.rows] == level.name).all()
    both = make_design(obs, within=["type", "sex"])
    assert [level.name for level in both.levels] == ["A / f", "A / m", "B / f", "B / m"]
    assert sorted(np.concatenate([level.rows for level in both.levels])) == list(range(60))


def test_within__small_levels_are_left_out_with_a_warning():
    obs = table()
    obs.loc[obs.index[:9], "type"] = "rare"
    design = make_design(obs, within=["type"])
    assert [level.name for level in design.levels] == ["A", "B"]
    assert len(design.warnings) == 1
    assert "rare (9)" in design.warnings[0]
    obs.loc[obs.index[:10], "type"] = "rare"
    assert len(make_design(obs, within=["type"]).levels) == 3
    assert MIN_SAMPLES == 10


@pytest.mark.parametrize("columns", [{"within": ["type"]}, {"replicate": "donor"}, {"covariates": ["age"]}])
def test_missing_labels__samples_are_left_out_with_a_warning(columns):
    obs = table().astype({"type": object})
    (name,) = np.ravel(list(columns.values()))
    obs.loc[obs.index[[3, 8]], name] = np.nan
    design = make_design(obs, **columns)
    used = np.concatenate([level.rows for level in design.levels])
    assert sorted(used) == [i for i in range(60) if i not in (3, 8)]
    assert design.warnings == (f"2 samples left out: no value in {name}",)


def test_usable__says_who_may_be_used():
    usable = np.arange(60) >= 20
    (level,) = make_design(table(), usable=usable).levels
    assert level.rows.tolist() == list(range(20, 60))
    with pytest.raises(InputError, match="at least 10 usable samples are needed; found 9"):
        make_design(table(), usable=np.arange(60) < 9)


def test_covariates__span_what_they_should():
    obs = table()
    depth = np.random.default_rng(1).normal(size=60)
    design = make_design(obs, covariates=["sex", "age", "treated"], extra={"log depth": depth})
    assert design.numeric_covariates == ("age", "log depth")
    (level,) = design.levels
    q = level.covariates
    np.testing.assert_allclose(q.T @ q, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(q[:, 0], 60**-0.5)
    wanted = np.stack([obs["sex"] == "f", obs["age"], obs["treated"], depth], axis=1).astype(float)
    np.testing.assert_allclose(q @ (q.T @ wanted), wanted, atol=1e-10)


def test_covariates__repeated_constant_or_dependent_ones_add_nothing():
    obs = table().assign(same="x", age2=lambda t: 3 * t["age"] - 5, zero=0.0)
    q = make_design(obs, covariates=["age", "age2", "same", "zero", "sex"]).levels[0].covariates
    assert q.shape[1] == 3
    np.testing.assert_allclose(q.T @ q, np.eye(3), atol=1e-12)


@given(shift=st.floats(-1e6, 1e6), scale=st.floats(1e-6, 1e6))
@settings(max_examples=30, deadline=None)
def test_covariates__unit_and_origin_do_not_matter(shift, scale):
    obs = table()
    first = make_design(obs, covariates=["age"]).levels[0].covariates
    other = make_design(obs.assign(age=obs["age"] * scale + shift), covariates=["age"]).levels[0].covariates
    assert other.shape in {(60, 2), (60, 1)}
    if scale * 10 > abs(shift) * 1e-6:  # else the covariate is constant up to rounding
        np.testing.assert_allclose(first @ first.T, other @ other.T, atol=1e-5)


def test_replicate__rows_stand_together_and_are_projected_out():
    obs = table()
    (level,) = make_design(obs, replicate="donor", covariates=["sex"]).levels
    assert level.n_clusters == 5
    assert (np.diff(level.clusters) >= 0).all()
    for code, part in enumerate(level.cluster_slices()):
        assert obs["donor"].iloc[level.rows[part]].nunique() == 1
        assert (level.clusters[part] == code).all()
    donors = pd.get_dummies(obs["donor"].iloc[level.rows], dtype=float).to_numpy()
    q = level.covariates
    np.testing.assert_allclose(q @ (q.T @ donors), donors, atol=1e-10)


def test_replicate__has_one_code_in_all_levels():
    obs = table()
    obs.loc[(obs["type"] == "B") & (obs["donor"] == "d0"), "type"] = "A"
    design = make_design(obs, within=["type"], replicate="donor")
    assert design.n_clusters == 5
    for level in design.levels:
        assert [f"d{code}" for code in level.clusters] == obs["donor"].iloc[level.rows].tolist()
    assert 0 not in design.levels[1].clusters
    assert design.levels[1].cluster_slices()[0] == slice(0, 0)


def test_replicate__numbers_are_labels():
    obs = table().assign(donor=np.arange(60) % 5)
    assert make_design(obs, replicate="donor").n_clusters == 5


def test_strata__categorical_covariates_and_replicates_combine():
    obs = table(240)
    design = make_design(obs, covariates=["sex", "treated"], replicate="donor", categorical_only=True)
    (level,) = design.levels
    assert level.covariates.shape == (240, 1)
    own = obs.iloc[level.rows].groupby(level.strata)[["sex", "treated", "donor"]].nunique()
    assert (own == 1).all(axis=None)
    assert level.strata.max() + 1 == obs[["sex", "treated", "donor"]].drop_duplicates().shape[0]
    assert (np.diff(level.clusters) >= 0).all()


def test_strata__small_ones_are_left_out_with_a_warning():
    obs = table(240)
    obs.loc[obs.index[:19], "sex"] = "unknown"
    design = make_design(obs, covariates=["sex"], categorical_only=True, min_per_stratum=20)
    (level,) = design.levels
    assert len(level.rows) == 221
    assert set(level.strata) == {0, 1}
    assert "19 cells left out" in design.warnings[0]
    obs.loc[obs.index[19], "sex"] = "unknown"
    kept = make_design(obs, covariates=["sex"], categorical_only=True, min_per_stratum=20)
    assert len(kept.levels[0].rows) == 240
    assert kept.warnings == ()


def test_strata__numeric_covariates_are_refused():
    with pytest.raises(InputError, match=r"covariates age is numeric.*test='robust'"):
        make_design(table(), covariates=["age"], categorical_only=True)
    assert make_design(table(), covariates=["treated"], categorical_only=True).levels


@pytest.mark.parametrize(
    ("columns", "option"),
    [
        ({"within": ["typ"]}, "within"),
        ({"replicate": "Donor"}, "replicate"),
        ({"covariates": ["type", "nothing"]}, "covariates"),
    ],
)
def test_unknown_column__names_the_option_and_the_columns(columns, option):
    with pytest.raises(InputError, match=option) as raised:
        make_design(table(), **columns)
    assert "donor" in str(raised.value)
    assert str(raised.value).isprintable()


def test_labels__with_control_characters_are_shown_safely():
    obs = table()
    obs.loc[obs.index[:5], "type"] = "ev\x1b[31mil"
    assert all(text.isprintable() for text in make_design(obs, within=["type"]).warnings)
    with pytest.raises(InputError) as raised:
        make_design(table(20).assign(type=list("abcdefghijklmnopqr\x1b\x9b")), within=["type"])
    assert str(raised.value).isprintable()


def test_make_design__strata_are_numbered_in_the_order_of_the_rows() -> None:
    """Rows go by replicate, then by stratum; sums by stratum take blocks of rows, so numbers must rise."""
    obs = pd.DataFrame({"donor": [f"d{i % 4}" for i in range(80)], "chip": [f"c{i % 3}" for i in range(80)]})
    design = make_design(obs, replicate="donor", covariates=["chip"], categorical_only=True)
    strata = design.levels[0].strata
    assert (np.diff(strata) >= 0).all()
    assert len(np.unique(strata)) == 12
