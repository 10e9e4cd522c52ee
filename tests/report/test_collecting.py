"""Many audits on one page: every audit once, links that work, differences between runs, hostile names."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import poolproof
from poolproof import InputError, cli, collect
from poolproof._names import COLLECTED_COLUMNS
from poolproof.report.collecting import FILES, multiqc_content


@pytest.fixture(scope="module")
def audits(tmp_path_factory):
    """Three audits: two of the same data, one of others whose name is hostile."""
    home = tmp_path_factory.mktemp("audits")
    random = np.random.default_rng(0)
    values = pd.DataFrame(random.gamma(2.0, size=(80, 6)), columns=list("ABCDEF"))
    read = {"kind": "bulk", "scale": "additive", "triples": "none"}
    for name, options in (
        ("strict", {"name": "six genes", "margin": 0.05}),
        ("usual", {"name": "six genes"}),
        ("other/deep", {"name": "<script>alert(1)</script>"}),
    ):
        poolproof.audit(values, **read, **options).save(home / name)
    return home


def run(*arguments):
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments])


def test_collect__finds_audits_at_any_depth_and_each_once(audits):
    found = collect([audits, audits / "usual"])
    assert list(found.table["audit"]) == ["other/deep", "strict", "usual"]
    assert list(found.table.columns) == [column.name for column in COLLECTED_COLUMNS]
    assert found.summary["n_audits"] == 3
    assert sum(found.summary["verdicts"].values()) == 3
    one = collect(audits / "usual")
    assert list(one.table["audit"]) == ["usual"]
    assert str(one) == "1 audit: 1 inconclusive"


def test_collect__says_what_the_audits_say(audits):
    row = collect(audits / "usual").table.iloc[0]
    verdict = json.loads((audits / "usual" / "verdict.json").read_text())
    assert row["verdict"] == verdict["verdict"]
    for name in ("bend_share", "low", "high"):
        assert row[name] == pytest.approx(verdict["population"][name])
    assert row["floor_of_same_genes"] == pytest.approx(verdict["floor"]["floor"])
    assert row["n_pairs"] == verdict["linearity"]["n_pairs_tested"]
    assert row["reason"] == verdict["reasons"][0]


def test_differences__between_runs_of_the_same_data_alone(audits):
    differences = collect(audits).summary["differences"]
    assert [(of["data"], of["setting"], of["values"]) for of in differences] == [
        ("six genes", "margin", ["0.05", "0.1"])
    ]
    assert "six genes: 2 runs differ in margin (0.05, 0.1)" in str(collect(audits))


def test_page__links_lead_to_the_reports_from_anywhere(audits, tmp_path):
    for name in ("usual", "strict"):
        poolproof.write_report(audits / name)
    collect(audits).save(tmp_path / "a" / "b")
    page = (tmp_path / "a" / "b" / "collected.html").read_text()
    links = re.findall(r'<th scope="row"><a href="([^"]+)"', page)
    assert len(links) == 2
    assert all((tmp_path / "a" / "b" / link).resolve().is_file() for link in links)
    for name in ("usual", "strict"):
        (audits / name / "report.html").unlink()


def test_page__hostile_names_are_text(audits, tmp_path):
    collect(audits).save(tmp_path)
    page = (tmp_path / "collected.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "script-src" in page
    mqc = (tmp_path / "poolproof_mqc.json").read_text()
    assert "<" not in mqc


def test_page__tells_verdicts_by_sign_and_word(audits, tmp_path):
    collect(audits).save(tmp_path)
    page = (tmp_path / "collected.html").read_text()
    assert page.count('<i class="light inconclusive" aria-hidden="true"></i>inconclusive') == 3


def test_save__files_and_no_second_time(audits, tmp_path):
    collect(audits).save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    with pytest.raises(InputError, match="force=True"):
        collect(audits).save(tmp_path / "out")
    collect(audits).save(tmp_path / "out", force=True)
    table = pd.read_parquet(tmp_path / "out" / "collected.parquet")
    pd.testing.assert_frame_equal(table, collect(audits).table)
    assert len(pd.read_csv(tmp_path / "out" / "collected.csv")) == 3


def test_multiqc__has_every_audit_and_no_missing_number(audits):
    content = multiqc_content(collect(audits).table.assign(bend_share=[0.1, np.nan, 0.2]))
    assert list(content["data"]) == ["other/deep", "strict", "usual"]
    assert "bend_share" not in content["data"]["strict"]
    assert set().union(*content["data"].values()) <= set(content["headers"])


@pytest.mark.parametrize("case", ["nothing", "a file", "an empty folder", "a broken verdict"])
def test_refused__in_one_line(audits, tmp_path, case):
    place = tmp_path / "in"
    if case == "a file":
        place.write_text("x")
    elif case != "nothing":
        place.mkdir()
    if case == "a broken verdict":
        shutil.copy(audits / "usual" / "genes.parquet", place / "verdict.json")
    with pytest.raises(InputError) as error:
        collect(place)
    assert "\n" not in str(error.value)
    done = run("collect", place, "--out", tmp_path / "out")
    assert done.exit_code != 0
    assert not (tmp_path / "out").exists()


def test_command__prints_the_sentences_or_json(audits, tmp_path):
    plain = run("collect", audits, "--out", tmp_path / "a")
    assert plain.exit_code == 0
    assert plain.stdout.splitlines()[0] == "3 audits: 3 inconclusive"
    told = json.loads(run("collect", audits, "--out", tmp_path / "b", "--json").stdout)
    assert [row["audit"] for row in told["audits"]] == ["other/deep", "strict", "usual"]


@pytest.mark.parametrize(
    ("words", "code"), [("contradicted", 0), ("inconclusive", 3), ("compatible,inconclusive", 3)]
)
def test_fail_on__exit_code_after_the_results_are_written(audits, tmp_path, words, code):
    assert run("collect", audits, "--out", tmp_path / "a", "--fail-on", words).exit_code == code
    assert (tmp_path / "a" / "collected.html").is_file()


def test_fail_on__of_an_audit(tmp_path):
    values = np.random.default_rng(0).gamma(2.0, size=(60, 5)).round(3)
    pd.DataFrame(values, columns=list("ABCDE")).to_csv(tmp_path / "t.csv")
    arguments = (
        "audit",
        tmp_path / "t.csv",
        "--kind",
        "bulk",
        "--orientation",
        "genes-in-columns",
        "--quiet",
    )
    assert run(*arguments, "--out", tmp_path / "a", "--fail-on", "inconclusive").exit_code == 3
    assert (tmp_path / "a" / "report.html").is_file()
    wrong = run(*arguments, "--out", tmp_path / "b", "--fail-on", "bad")
    assert wrong.exit_code == 2
    assert "contradicted, compatible, inconclusive" in wrong.output + str(wrong.exception)
