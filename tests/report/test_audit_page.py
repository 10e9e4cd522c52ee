"""The report: from files alone, hostile names as text, nothing loaded, usable in a browser."""

import base64
import csv
import hashlib
import json
import re
import shutil
import stat
import time
import warnings
from collections import Counter
from importlib.resources import files
from itertools import pairwise
from urllib.request import urlopen

import jsonschema
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from browser import BREAK_IN, HOSTILE, LONG, Browser, Page, find_chromium
from matplotlib.figure import Figure

from poolproof import InputError, audit, screen_triples, write_report
from poolproof import _names as names
from poolproof._files import write_json, write_parquet
from poolproof.pairs.figures import FIGURES
from poolproof.report import plot
from poolproof.report.audit_page import (
    MAX_PAIRS,
    VERDICTS,
    _prose,
    _strong_first,
    _strongest,
    _with_pairs,
    render,
)
from poolproof.report.page import svg_of
from poolproof.report.pictures import pictures_of, triple_gallery
from poolproof.report.survival import CARDS, N_EXAMPLES, N_IN_CSV, TITLES, told_first
from poolproof.report.tables import MAX_JSON, STATIC_ROWS, safe_csv
from poolproof.triples import triple_figure_data
from poolproof.triples.figures import SEPARATED, TRIPLE_FIGURES
from poolproof.verdict import survives
from poolproof.verdict.auditing import write_result

WORD = "jabberwocky"


def hostile_data():
    """Values and labels in which every name is hostile, with levels, bends and lines."""
    random = np.random.default_rng(5)
    x = random.gamma(2.0, size=400)
    values = {}
    for i, name in enumerate(HOSTILE):
        form = (x, np.exp(0.5 * x), random.gamma(2.0, size=400))[i % 3]
        values[name] = 10 + form + random.normal(0, 0.3, 400)
    values[WORD] = 5 + 2 * x + random.normal(0, 0.1, 400)
    data = pd.DataFrame(values, index=[f"s{i}" for i in range(400)])
    obs = pd.DataFrame({"<b>type</b>": np.where(np.arange(400) < 250, "<i>A</i>", "=B")}, index=data.index)
    return data, obs


def hostile_audit(*, network=True):
    """An audit of those, with a network."""
    data, obs = hostile_data()
    edges = pd.DataFrame(
        [(a, b) for a in [*HOSTILE[:8], WORD] for b in [*HOSTILE, WORD] if a != b],
        columns=["regulator", "target"],
    )
    return audit(
        data,
        obs=obs,
        name="<script>data</script>\u202e.csv",
        kind="bulk",
        scale="additive",
        within="<b>type</b>",
        network=edges if network else None,
        notes=("a note with <b>markup</b> and \x1b[31mcolour",),
    )


def hostile_triples():
    """A screen in which every name is hostile, with triples of every call."""
    random = np.random.default_rng(6)
    y = random.gamma(2.0, size=900)
    forms = (y, np.tanh(y), y**2 / 5, 0.5 * y, -y)
    values = {
        name: 9 + forms[i % 5] + random.normal(0, 0.1 + 0.05 * i, 900)
        for i, name in enumerate([*HOSTILE[:9], WORD])
    }
    data = pd.DataFrame(values, index=[f"s{i}" for i in range(900)])
    obs = pd.DataFrame({"<b>type</b>": np.where(np.arange(900) < 500, "<i>A</i>", "=B")}, index=data.index)
    within = list(obs.columns)
    return screen_triples(data, obs=obs, within=within, kind="bulk", scale="additive", threads=1)


def save(result, folder):
    """Write the files of an audit and of its figures, and no report.

    An audit of a network screens no triples, one of bulk draws no curves, and this network claims nothing:
    those are added, so that the page has all its parts.
    """
    folder.mkdir(exist_ok=True)
    write_result(result, folder)
    triples = hostile_triples()
    write_parquet(triples.table, folder / "triples.parquet")
    write_parquet(triples.genes, folder / "triple_genes.parquet")
    claims = triples.table.drop(columns="y").assign(given=triples.table["y"] + ";" + WORD, relation="fork")
    write_parquet(claims.assign(n_given=2), folder / "separations.parquet")
    write_parquet(hostile_curves(), folder / "pooling_curves.parquet")
    for name, table in triple_figure_data(triples).items():
        write_parquet(table, folder / "figures" / f"{name}.parquet")
    more = {"command": "poolproof audit '<script>' --out \x1b[31m"}
    more["triples"] = triples.summary | {"confirmation": confirmation()}
    more["pooling"] = pooling()
    more["survives"] = survives(result.linearity.summary, more["triples"], "bulk")
    write_json(result.summary | more, folder / "verdict.json")
    return folder


def hostile_curves():
    """Pooling curves of every measure in three regimes, and of a measure and a regime with hostile names."""
    random = np.random.default_rng(1)
    rows = []
    for measure in (*plot.MEASURES, "<b>more</b>"):
        for regime in ("within", "mixed", "<i>else</i>"):
            for n_cells in (1, 2, 5, 10, 20, 50, 100):
                expected = n_cells**-0.5 if regime == "within" else np.nan
                for repeat in range(3):
                    value = n_cells**-0.5 + random.normal(0, 0.02)
                    value = np.nan if n_cells == 5 and measure == "skewness" else value
                    rows.append((regime, n_cells, repeat, 100, measure, value, expected))
    return pd.DataFrame(rows, columns=[column.name for column in names.CURVE_COLUMNS])


def pooling():
    """The entry of verdict.json: no means, one hostile sentence."""
    numbers = {"test": "robust", "correction": None, "repeats": 3, "n_genes": 5, "n_skeleton_genes": 5}
    return numbers | {"n_triples": 0, "curves": [], "sentences": ["a <b>sentence</b> of curves"]}


def confirmation():
    """The entry of verdict.json."""
    counts = {
        "n": 400,
        "n_separated": 20,
        "rejected_separated": 3,
        "n_dependent": 17,
        "rejected_dependent": 16,
    }
    tests = [{"test": test, "n_cells": 1, "level": 0.05} | counts for test in ("fisher_z", "kernel")]
    return {"n_drawn": 400, "tests": tests}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of the hostile audit, with its report."""
    place = save(hostile_audit(), tmp_path_factory.mktemp("hostile"))
    write_report(place)
    return place


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def tables(page):
    return [json.loads(c) for a, c in page.all("script") if a.get("type") == "application/json"]


OPTIONAL = (
    "equations.parquet",
    "edges.parquet",
    "separations.parquet",
    "triples.parquet",
    "triple_genes.parquet",
    "pooling_curves.parquet",
)


# --- made from files -------------------------------------------------------------------------------


def test_write_report__reads_result_files_only(folder, tmp_path, text):
    kept = ["verdict.json", "pairs.parquet", "genes.parquet", *OPTIONAL]
    kept += [f"figures/{name}.parquet" for name in (*FIGURES, *TRIPLE_FIGURES)]
    (tmp_path / "figures").mkdir()
    for name in kept:
        shutil.copy(folder / name, tmp_path / name)
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    assert path.read_text(encoding="utf-8") == text


def test_write_report__replaces_and_leaves_nothing_beside(folder, tmp_path):
    place = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("figures"))
    (place / "report.html").write_text("old")
    before = sorted(p.name for p in place.iterdir())
    path = write_report(place)
    assert sorted(p.name for p in place.iterdir()) == before
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    (place / "fresh").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((place / "fresh").stat().st_mode)


def test_write_report__without_figures_or_network(folder, tmp_path):
    for name in ("verdict.json", "pairs.parquet", "genes.parquet"):
        shutil.copy(folder / name, tmp_path / name)
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert not page.all("img")
    assert len(tables(page)) == 1
    assert {a.get("id") for a, _ in page.all("section")} == {
        "verdict",
        "survives",
        "data",
        "triples",
        *("levels", "explore", "pairs", "made"),
    }


@pytest.mark.parametrize("missing", ["verdict.json", "pairs.parquet", "genes.parquet"])
@pytest.mark.parametrize("junk", [None, b"", b"junk"])
def test_write_report__refuses_a_broken_folder(folder, tmp_path, missing, junk):
    for name in {"verdict.json", "pairs.parquet", "genes.parquet"} - {missing}:
        shutil.copy(folder / name, tmp_path / name)
    if junk is not None:
        (tmp_path / missing).write_bytes(junk)
    with pytest.raises(InputError, match=missing.replace(".", r"\.")):
        write_report(tmp_path)
    assert not [p for p in tmp_path.iterdir() if "report" in p.name]


@pytest.mark.parametrize(
    "change", [{"schema_version": 3}, {"verdict": "<b>"}, {"verdict": "compatible"}, {"data": {}}]
)
def test_write_report__refuses_another_schema(folder, tmp_path, change):
    place = shutil.copytree(folder, tmp_path / "copy")
    verdict = json.loads((place / "verdict.json").read_text(encoding="utf-8"))
    write_json(verdict | change, place / "verdict.json")  # bulk is never compatible
    with pytest.raises(InputError, match="schema version 1 or 2"):
        write_report(place)


def test_write_report__reads_what_earlier_versions_wrote(folder, tmp_path):
    place = shutil.copytree(folder, tmp_path / "copy")
    verdict = json.loads((place / "verdict.json").read_text(encoding="utf-8"))
    del verdict["population"]
    (place / "population.parquet").unlink()
    write_json(verdict | {"schema_version": 1}, place / "verdict.json")
    assert write_report(place).is_file()


# --- what it says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("verdict", "kind"), VERDICTS)
def test_report__says_the_verdict_its_reasons_and_limits(folder, verdict, kind):
    content = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    content |= {"verdict": verdict, "reasons": ["because of 5 < 6"], "limits": ["not this & that"]}
    content["data"]["kind"] = kind
    pairs, genes = (pd.read_parquet(folder / f"{name}.parquet") for name in ("pairs", "genes"))
    page = Page(render(content, pairs, genes, {}, n_pairs=len(pairs)))
    said = " ".join(page.content)
    assert verdict.capitalize() in said
    for sentence in (VERDICTS[verdict, kind], "because of 5 < 6", "not this & that"):
        assert sentence in said


def test_verdicts__cover_what_an_audit_can_say():
    possible = {(verdict, kind) for verdict in names.VERDICTS for kind in names.KINDS}
    assert set(VERDICTS) == possible - {("compatible", "bulk")}  # bulk cannot confirm


def test_report__shows_counts_data_and_command(page, folder):
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    said = " ".join(" ".join(page.content).split())
    for number in ("n_associated", "n_pairs_tested", "n_nonlinear", "n_affine", "n_inconclusive"):
        assert f"{verdict['linearity'][number]:,}" in said
    for word in ("bulk", "additive", "400 samples", "a note with <b>markup</b> and \\x1b[31mcolour"):
        assert word in said
    assert any("poolproof audit '<script>' --out \\x1b[31m" in code for _, code in page.all("code"))


def test_report__has_a_picture_a_sentence_and_data_for_each_figure(page, folder):
    figures = page.all("figure")
    gallery = pd.read_parquet(folder / "figures" / "gallery.parquet")
    triples = pd.read_parquet(folder / "figures" / "triple_gallery.parquet")
    assert len(triples) >= 2
    n_pictures = 7 + 2 + len(plot.MEASURES) + 1  # of pairs, of all triples, of curves
    assert len(figures) == n_pictures + len(gallery) + 3 * len(triples)
    images = [a for a, _ in page.all("img")]
    assert len(images) == len(figures)
    assert all(a["src"].startswith("data:image/svg+xml,") for a in images)
    assert len({a["alt"] for a in images}) == len(images)
    assert all(re.search(r"[1-9]", a["alt"]) for a in images)  # the finding, not the kind of picture
    downloads = [a for a, _ in page.all("a") if "download" in a]
    cards = [a for a in downloads if re.match("(survives|lost|unknown)_(pair|triple)s", a["download"])]
    assert len(cards) >= 4
    n_downloads = n_pictures + 2 * len(gallery) + 3 * len(triples) + 1 + len(cards)  # 1: the levels
    assert len({a["download"] for a in downloads}) == len(downloads) == n_downloads
    assert len({a["aria-label"] for a in downloads}) == len(downloads)
    by_name = {a["download"]: decoded(a["href"]) for a in downloads}
    rows = list(csv.DictReader(by_name["calls_by_strength.csv"].splitlines()))
    table = pd.read_parquet(folder / "figures" / "calls_by_strength.parquet")
    assert [int(row["n_pairs"]) for row in rows] == table["n_pairs"].tolist()


def decoded(address):
    with urlopen(address) as opened:
        return opened.read().decode()


def test_report__tables_hold_what_the_files_hold(page, folder):
    pairs = pd.read_parquet(folder / "pairs.parquet")
    edges = pd.read_parquet(folder / "edges.parquet")
    triples, middle, shown_edges, separations, equations, shown_pairs = tables(page)
    for shown, name in ((triples, "triples"), (separations, "separations")):
        assert len(shown["rows"]) == len(pd.read_parquet(folder / f"{name}.parquet")) > 0
    middles = pd.read_parquet(folder / "triple_genes.parquet").query("n_screened > 0")
    assert len(middle["rows"]) == len(middles) > 0
    assert len(shown_edges["rows"]) == len(edges)
    assert len(equations["rows"]) == len(pd.read_parquet(folder / "equations.parquet"))
    assert len(shown_pairs["rows"]) == len(pairs)
    heads = [column["name"] for column in shown_edges["columns"]]
    both = edges.merge(pairs, on=["regulator", "target"]).sort_values("r2_spline", ascending=False)
    both = both[both["call"] != "not_associated"]
    rows = [dict(zip(heads, row, strict=True)) for row in shown_edges["rows"][: len(both)]]
    assert [row["call"] for row in rows] == both["call"].tolist()
    for name in ("r2_spline", "q_value", "joint_q_value"):
        assert [row[name] for row in rows] == pytest.approx(both[name].tolist(), rel=1e-3)


def test_report__edges_are_called_beside_the_other_parents(tmp_path):
    many_pairs(4, n_genes=2)[0].to_parquet(tmp_path / "pairs.parquet")
    edges = pd.DataFrame({"regulator": ["0", "0", "1"], "target": ["0", "1", "0"]})
    edges["joint_q_value"] = [0.05, 0.06, np.nan]
    found = _with_pairs(edges, tmp_path / "pairs.parquet", fdr=0.05)
    assert found["joint_call"].tolist() == ["bent", "no_bend_found", ""]
    assert found["r2_spline"].notna().all()


def test_report__edges_not_associated_come_after_the_others(folder):
    edges = pd.DataFrame({"call": ["not_associated", "affine", None, "nonlinear"]})
    edges["r2_spline"] = [0.99, 0.2, np.nan, 0.4]
    assert _strong_first(edges)["call"].tolist() == ["nonlinear", "affine", "not_associated", None]


def test_report__estimates_at_their_ceiling_come_last_for_counts(tmp_path):
    pairs, _ = many_pairs(30)
    pairs.loc[3, "r2_spline"] = 1.0
    pairs.loc[28:, "call"] = "not_associated"
    pairs.to_parquet(tmp_path / "pairs.parquet", row_group_size=7)
    order = _strongest(tmp_path / "pairs.parquet", 29, 5, ceiling_last=True)[0]["r2_spline"].tolist()
    assert order[0] == pairs["r2_spline"][27]
    assert order.index(1.0) == 27  # after the other associated pairs
    every, _ = _strongest(tmp_path / "pairs.parquet", 29, 5, ceiling_last=False)
    assert every["r2_spline"].iloc[0] == 1.0


def test_report__cards_list_pairs_that_the_table_has_no_room_for(folder, tmp_path):
    pairs, genes = many_pairs(12_000)
    pairs["call"] = "inconclusive"
    weakest = pairs["r2_spline"].nsmallest(7).index
    pairs.loc[weakest, "call"] = "affine"
    shutil.copy(folder / "verdict.json", tmp_path)
    pairs.to_parquet(tmp_path / "pairs.parquet", row_group_size=1000)
    genes.to_parquet(tmp_path / "genes.parquet")
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    saved = {a["download"]: decoded(a["href"]) for a, _ in page.all("a") if "download" in a}
    rows = list(csv.DictReader(saved["survives_pairs.csv"].splitlines()))
    assert [row["regulator"] for row in rows] == pairs.loc[weakest[::-1], "regulator"].tolist()
    assert saved["unknown_pairs.csv"].count("\n") == 1 + N_IN_CSV


def test_report__levels_are_a_table_with_its_data(page, folder):
    levels = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))["linearity"]["levels"]
    (address,) = [a["href"] for a, _ in page.all("a") if a.get("download") == "levels.csv"]
    rows = list(csv.DictReader(decoded(address).splitlines()))
    assert [row["level"] for row in rows] == ["<i>A</i>", "'=B"]
    for row, level in zip(rows, levels.values(), strict=True):
        assert int(row["n_associated"]) == level["n_associated"]
        assert float(row["contradicting_high"]) == pytest.approx(
            level["share_contradicting"]["high"], rel=1e-4
        )


def test_report__rows_without_javascript_are_those_of_the_tables(page):
    shown = [c for a, c in page.all("td") if "data-label" in a and "wide" not in a["class"]]
    assert len(shown) > 400
    shown_rows = (min(len(table["rows"]), STATIC_ROWS) for table in tables(page))
    triples, middle, edges, separations, equations, pairs = shown_rows
    names_shown = sum(a["class"].startswith("gene") for a, _ in page.all("td"))
    assert names_shown == 3 * triples + middle + 2 * edges + 3 * separations + equations + 2 * pairs
    captions = [c for _, c in page.all("caption")]
    assert captions == [
        "Bend shares with 95 % intervals",
        "Standard tests of a sample of triples",
        "Listed triples",
        "Triples by middle gene",
        "Results by level",
        "Edges of the network",
        "Separations that the network claims",
        "Equations of the network",
        "Strongest pairs",
    ]
    assert all(a.get("scope") in ("col", "row", "colgroup") for a, _ in page.all("th"))


def test_report__headings_are_in_order_and_parts_are_named(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.all("html")[0][0]["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("header", "nav", "main", "footer", "title")] == [1] * 5
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    named = [a["aria-labelledby"] for a, _ in page.all("section")]
    linked = [a["href"][1:] for a, _ in page.all("a") if a["href"].startswith("#")]
    assert set(named) | set(linked) <= set(ids)


def test_report__options_in_sentences_stay_whole_and_names_stay_text():
    assert _prose("pass --size-factors obs:X, 95 % <b>") == (
        "pass <code>--size-factors</code> obs:X, 95\u00a0% &lt;b&gt;"
    )
    assert _prose("a--b <--script>") == "a--b &lt;<code>--script</code>&gt;"


def many_pairs(n, name=str, n_genes=200):
    """A table of n associated pairs, weakest first, and its genes."""
    genes = [name(i) for i in range(n_genes)]
    pairs = pd.DataFrame({"regulator": [genes[i // n_genes % n_genes] for i in range(n)]})
    pairs["target"] = [genes[i % n_genes] for i in range(n)]
    for column in names.PAIR_COLUMNS[2:11]:
        pairs[column.name] = np.linspace(0.1, 0.9, n)
    pairs["n"] = 100
    pairs["call"] = pd.Categorical(["affine"] * n, categories=names.PAIR_CALLS)
    pairs["status"] = pd.Categorical(["ok"] * n, categories=names.PAIR_STATUSES)
    return pairs, pd.DataFrame({"gene": genes, "symbol": genes})


def test_report__shows_the_strongest_pairs_of_many(folder, tmp_path):
    pairs, genes = many_pairs(12_000)
    pairs.loc[11_000:, "call"] = "not_associated"  # strong by chance: they come last
    shutil.copy(folder / "verdict.json", tmp_path)
    pairs.to_parquet(tmp_path / "pairs.parquet", row_group_size=1000)
    genes.to_parquet(tmp_path / "genes.parquet")
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "The 5,000 strongest of 12,000 pairs" in " ".join(" ".join(page.content).split())
    (content,) = tables(page)
    strength = [row[3] for row in content["rows"]]
    assert len(strength) == MAX_PAIRS
    assert strength[0] == pytest.approx(pairs["r2_spline"][10_999], rel=1e-3)
    assert strength == sorted(strength, reverse=True)


def test_report__long_names_cost_rows_not_megabytes(folder):
    pairs, genes = many_pairs(MAX_PAIRS, name=lambda i: f"{i:04d}" + "é" * 20_000, n_genes=1000)
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    text = render(verdict, pairs, genes, {}, n_pairs=len(pairs))
    (content,) = tables(Page(text))
    assert 0 < len(content["rows"]) < MAX_PAIRS
    assert len(json.dumps(content, ensure_ascii=False)) < 1.1 * MAX_JSON


# --- what survives, triples, curves ----------------------------------------------------------------


def parts(page):
    """Text of each section, by id, its scripts and downloads left out."""
    found, now = {}, None
    for (tag, attrs), content in zip(page.elements, page.content, strict=True):
        now = attrs.get("id") if tag == "section" else now
        if now and tag not in ("script", "style"):
            found.setdefault(now, []).append(content)
    return {name: " ".join(" ".join(of).split()) for name, of in found.items()}


def content_of(folder):
    """Arguments of `render`, and the verdict apart."""
    tables = {
        "children": "equations",
        "edges": "edges",
        "separations": "separations",
        "triples": "triples",
        "triple_genes": "triple_genes",
        "curves": "pooling_curves",
    }
    figures = {
        name: pd.read_parquet(folder / "figures" / f"{name}.parquet") for name in (*FIGURES, *TRIPLE_FIGURES)
    }
    content = {
        "pairs": pd.read_parquet(folder / "pairs.parquet"),
        "genes": pd.read_parquet(folder / "genes.parquet"),
        "figures": figures,
        **{name: pd.read_parquet(folder / f"{file}.parquet") for name, file in tables.items()},
    }
    edges, path, fdr = content["edges"], folder / "pairs.parquet", 0.05
    content["edges"] = _with_pairs(edges, path, fdr)
    content["n_pairs"] = len(content["pairs"])
    return json.loads((folder / "verdict.json").read_text(encoding="utf-8")), content


def test_report__parts_stand_in_the_order_of_reading(page):
    ids = [a["id"] for a, _ in page.all("section")]
    assert ids == [
        *("verdict", "survives", "data", "pictures", "gallery", "triples", "curves", "levels", "network"),
        *("explore", "pairs", "made"),
    ]
    linked = [a["href"] for a, _ in page.all("a") if a["href"].startswith("#")]
    assert {f"#{name}" for name in ("survives", "triples", "curves", "network")} <= set(linked)


def test_report__what_survives_has_counts_examples_and_rows(page, folder):
    counts = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))["survives"]
    said = parts(page)["survives"]
    assert counts["n_pairs_affine"] > 0
    for name in ("n_pairs_affine", "n_pairs_nonlinear", "n_pairs_inconclusive"):
        assert f"{counts[name]:,} pair" in said
    for name in ("n_triples_survive", "n_triples_lost", "n_triples_undetermined"):
        assert f"{counts[name]:,} triple" in said
    for sentence in counts["sentences"]:
        assert sentence in said.replace("\u00a0", " ")
    saved = {a["download"]: decoded(a["href"]) for a, _ in page.all("a") if "download" in a}
    for file, call, of in (
        ("survives_pairs.csv", ["affine"], "pairs"),
        ("lost_pairs.csv", ["nonlinear"], "pairs"),
        ("lost_triples.csv", ["distorted", "hidden"], "triples"),
        ("survives_triples.csv", ["kept", "dependent"], "triples"),
    ):
        rows = list(csv.DictReader(saved[file].splitlines()))
        table = pd.read_parquet(folder / f"{of}.parquet")
        assert len(rows) == min(table["call"].isin(call).sum(), N_IN_CSV) > 0
        assert {row["call"] for row in rows} <= set(call)
    lists = [a["aria-label"] for a, _ in page.all("ul") if a.get("class") == "examples"]
    assert "Lost: strongest triples" in lists
    assert len(set(lists)) == len(lists)


@pytest.mark.parametrize("kind", names.KINDS)
def test_report__bulk_shows_distortion_and_proves_no_cell(folder, kind):
    verdict, content = content_of(folder)
    verdict["data"]["kind"] = kind
    verdict["verdict"] = "inconclusive"
    content["figures"] = {name: of for name, of in content["figures"].items() if "triple_gallery" in name}
    text = parts(Page(render(verdict, **content)))
    bulk = kind == "bulk"
    assert ("Not contradicted" in text["survives"]) == bulk
    assert ("These samples are pools already" in text["survives"]) == bulk
    assert ("bulk cannot say" in text["survives"]) == bulk
    assert ("a pool shows the line of its cells" in text["survives"]) != bulk
    assert ("it cannot prove" in text["triples"]) == bulk
    assert ("in pools of 10" in text["triples"]) != bulk
    for part in ("survives", "triples"):  # whoever reads bulk is told nothing of cells, nor of pools of them
        assert ("as these samples have it" in text[part]) == bulk
        assert ("as pools of many cells show it" in text[part]) != bulk
    assert ("single cells" in text["triples"]) != bulk
    assert {of for of in TITLES if of[1] == kind} == {(card[0], kind) for card in CARDS}


def test_report__triples_have_their_shares_intervals_and_tests(page, folder):
    found = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))["triples"]
    said = parts(page)["triples"]
    assert found["n_separated"] > 0
    assert found["n_distorted"] > 0
    for name in ("share_distorted", "share_hidden", "share_undetermined"):
        assert f"{found[name]:.1%}" in said
    for name in ("share_distorted_low", "share_hidden_high"):
        assert f"{found[name]:.1%}" in said.replace("\u00a0", " ")
    for name in ("n_separated", "n_dependent", "n_screened"):
        assert f"{found[name]:,}" in said
    assert "Kernel test – 400 3 of 20 16 of 17" in said


def test_report__table_of_triples_holds_the_file(page, folder):
    content, middle, *_ = tables(page)
    heads = [column["name"] for column in content["columns"]]
    table = pd.read_parquet(folder / "triples.parquet")
    rows = [dict(zip(heads, row, strict=True)) for row in content["rows"]]
    assert [row["call"] for row in rows] == table["call"].tolist()
    for name in ("partial_linear", "partial_spline", "q_value"):
        assert [row[name] for row in rows] == pytest.approx(table[name].tolist(), rel=1e-3)
    assert content["words"]["distorted"] == "distorted (false edge)"
    changed = [row[3 + 1] + row[3 + 3] for row in middle["rows"]]  # distorted and hidden
    assert changed == sorted(changed, reverse=True)


def test_report__histogram_of_distortion_saves_separated_triples(page, folder):
    saved = {a["download"]: decoded(a["href"]) for a, _ in page.all("a") if "download" in a}
    rows = list(csv.DictReader(saved["triple_distortion.csv"].splitlines()))
    found = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))["triples"]
    assert {row["call"] for row in rows} <= set(SEPARATED)
    assert sum(int(row["n"]) for row in rows) == found["n_separated"]
    rows = list(csv.DictReader(saved["triple_histogram.csv"].splitlines()))
    assert sum(int(row["n"]) for row in rows) == found["n_screened"]


def test_report__curves_have_a_picture_for_each_measure(page, folder):
    saved = {a["download"]: decoded(a["href"]) for a, _ in page.all("a") if "download" in a}
    table = pd.read_parquet(folder / "pooling_curves.parquet")
    for measure in (*plot.MEASURES, "<b>more</b>"):
        rows = list(csv.DictReader(saved[f"pooling_{measure}.csv"].splitlines()))
        known = table[(table["measure"] == measure) & table["value"].notna()]
        assert [float(row["value"]) for row in rows] == pytest.approx(known["value"].tolist(), rel=1e-5)
    said = parts(page)["curves"]
    assert "<i>else</i>" in said
    assert "a <b>sentence</b> of curves" in said


def test_report__edges_say_what_pooling_leaves_of_them(page, folder):
    edges = pd.read_parquet(folder / "edges.parquet")
    *_, shown, _, _, _ = tables(page)
    heads = [column["name"] for column in shown["columns"]]
    assert {"name": "pool_status", "label": "Under pooling", "kind": "word"} in shown["columns"]
    statuses = Counter(row[heads.index("pool_status")] for row in shown["rows"])
    assert statuses == Counter(edges["pool_status"].astype(str))
    said = parts(page)["network"].replace("\u00a0", " ")
    for status, reason in set(zip(edges["pool_status"], edges["pool_reason"], strict=True)):
        assert status.replace("_", " ") in said
        assert reason in said


def test_report__verdict_with_all_parts_fits_the_schema(folder):
    schema = json.loads((files("poolproof.verdict") / "verdict.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    verdict["settings"]["command"] = verdict.pop("command")
    validator.validate(verdict)

    def broken(change):
        content = json.loads(json.dumps(verdict))
        change(content)
        return not validator.is_valid(content)

    for part in ("triples", "pooling", "survives", "network"):
        for key in verdict[part]:
            assert broken(lambda c, part=part, key=key: c[part].pop(key)), (part, key)
        assert broken(lambda c, part=part: c[part].update(extra=1))
        assert broken(lambda c, part=part: c.pop(part))
        assert broken(lambda c, part=part: c.update({part: None})) == (part == "survives")
    assert broken(lambda c: c["triples"].update(share_distorted=1.2))
    assert not broken(lambda c: c["triples"].update(share_distorted=None))
    assert not broken(lambda c: c["triples"].update(confirmation=None))
    assert broken(lambda c: c["triples"]["confirmation"]["tests"][0].pop("level"))
    assert broken(lambda c: c["network"]["separations"].pop("n_kept"))
    point = {"regime": "mixed", "n_cells": 1, "n_pools": 100} | dict.fromkeys(plot.MEASURES)
    assert not broken(lambda c: c["pooling"]["curves"].append(point))
    assert broken(lambda c: c["pooling"]["curves"].append(point | {"regime": "other"}))


def test_report__separations_tell_the_most_important_first():
    calls = ["kept", "undetermined", "hidden", "distorted", "distorted", "dependent"]
    table = pd.DataFrame({"call": pd.Categorical(calls, categories=names.TRIPLE_CALLS)})
    table["partial_linear"] = [0.1, 0.9, 0.0, 0.3, -0.5, 0.6]
    table["partial_spline"] = 0.0
    found = told_first(table)
    assert found["call"].tolist() == ["distorted", "distorted", "hidden", "dependent", "kept", "undetermined"]
    assert found["partial_linear"].tolist()[:2] == [-0.5, 0.3]
    assert list(found.columns) == list(table.columns)


@pytest.mark.parametrize("file", OPTIONAL)
def test_write_report__each_new_file_may_be_absent(folder, tmp_path, file):
    place = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("figures", file))
    page = Page(write_report(place).read_text(encoding="utf-8"))
    assert {"verdict", "survives", "triples", "pairs"} <= {a["id"] for a, _ in page.all("section")}
    fewer = {
        "pooling_curves.parquet": 0,
        "edges.parquet": 3,
    }  # no table; without edges no part on the network
    assert len(tables(page)) == 6 - fewer.get(file, 1)


@pytest.mark.parametrize("absent", TRIPLE_FIGURES)
def test_write_report__each_figure_of_triples_may_be_absent(folder, absent):
    figures = {
        name: pd.read_parquet(folder / "figures" / f"{name}.parquet")
        for name in TRIPLE_FIGURES
        if name != absent
    }
    pictures = pictures_of(figures)
    assert (pictures["triple_histogram"] is None) == (absent == "triple_histogram")
    assert (pictures["triple_distortion"] is None) == (absent == "triple_histogram")
    if absent != "triple_histogram":
        assert triple_gallery(figures) == []


def test_write_report__an_older_audit_has_none_of_the_new_parts(folder, tmp_path):
    for name in ("verdict.json", "pairs.parquet", "genes.parquet", "equations.parquet", "edges.parquet"):
        shutil.copy(folder / name, tmp_path / name)
    edges = pd.read_parquet(tmp_path / "edges.parquet")
    edges[[column.name for column in names.EDGE_COLUMNS]].to_parquet(tmp_path / "edges.parquet")
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    for key in ("network", "pooling", "survives"):
        verdict.pop(key)
    write_json(verdict | {"triples": None}, tmp_path / "verdict.json")
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    ids = [a["id"] for a, _ in page.all("section")]
    assert ids == ["verdict", "data", "levels", "network", "explore", "pairs", "made"]
    edges = tables(page)[0]
    assert "pool_status" not in [column["name"] for column in edges["columns"]]


def test_report__nothing_screened_is_said(folder):
    verdict, content = content_of(folder)
    none = dict.fromkeys(name for name in verdict["triples"] if name.startswith("share_"))
    counts = {name: 0 for name in verdict["triples"] if name.startswith("n_")}
    verdict["triples"] |= none | counts | {"confirmation": None}
    for name in ("survive", "lost", "undetermined"):
        verdict["survives"][f"n_triples_{name}"] = 0
    content["figures"] = {name: content["figures"][name].head(0) for name in TRIPLE_FIGURES}
    content |= {"triples": content["triples"].head(0)}
    content["triple_genes"] = content["triple_genes"].assign(n_screened=0)
    page = Page(render(verdict, **content | {"curves": None}))
    said = parts(page)["triples"]
    assert "No triples were screened" in said
    assert "0 triples." in parts(page)["survives"]
    assert "Listed triples" not in said
    assert not [a for a, _ in page.all("a") if "triple" in a.get("download", "")]


def test_report__estimates_beyond_one_are_no_examples(folder):
    verdict, content = content_of(folder)
    table = content["triples"]
    lost = table.index[table["call"] == "distorted"]
    table.loc[lost, "partial_linear"] = 1.7
    table.loc[lost[0], "partial_linear"] = 0.77
    page = Page(render(verdict, **content | {"figures": {}, "curves": None}))
    saved = {a["download"]: decoded(a["href"]) for a, _ in page.all("a") if "download" in a}
    rows = list(csv.DictReader(saved["lost_triples.csv"].splitlines()))
    assert [float(row["partial_linear"]) for row in rows if row["call"] == "distorted"] == [0.77]
    assert "line 0.77" in parts(page)["survives"]
    assert N_EXAMPLES < N_IN_CSV


# --- hostile names, and the policy -----------------------------------------------------------------


def test_report__hostile_names_make_no_element_and_no_attribute(page, text):
    tags = {tag for tag, _ in page.elements}
    known = "html head meta title style body a header h1 nav main section div p em i ul li b span svg "
    known += (
        "rect line circle text h2 h3 pre code dl dt dd bdi figure img figcaption table thead tbody tr th "
    )
    known += "td caption script noscript details summary footer h4"
    assert tags <= set(known.split())
    attributes = {name for _, attrs in page.elements for name in attrs}
    assert not {name for name in attributes if name.startswith("on") or name == "style"}
    assert "\x1b" not in text
    assert "\u202e" not in text
    for a, _ in page.all("a"):
        assert re.match(r"(#[a-z]|data:text/csv;charset=utf-8;base64,)", a["href"])


def test_report__hostile_names_are_shown_as_text(page):
    *_, content = tables(page)
    escaped = {
        name.replace("\u202e", "\\u202e").replace("\u202c", "\\u202c").replace("\x1b", "\\x1b")
        for name in HOSTILE
    }
    assert {name.replace("\t", "\\t") for name in escaped} | {WORD} >= set(content["genes"])
    assert len(set(content["genes"]) - {WORD}) >= 8
    titles = {c for _, c in page.all("bdi")}
    assert "<script>data</script>\\u202e.csv" in titles
    assert "<b>type</b>" in titles
    assert "<i>A</i>" in titles
    assert all(a.get("title", c) == c for a, c in page.all("bdi"))


def test_report__pictures_hold_no_script(page):
    for a, _ in page.all("img"):
        picture = decoded(a["src"])
        assert "<script" not in picture
        assert "onerror" not in picture


def test_report__a_name_that_the_font_lacks_makes_no_warning_and_leaves_no_trace():
    ax = Figure().subplots()
    ax.set_title(HOSTILE[-1])
    filters, settings = list(warnings.filters), dict(mpl.rcParams)
    assert svg_of(ax)["src"].startswith("data:image/svg+xml,")
    assert warnings.filters == filters
    assert dict(mpl.rcParams) == settings


def test_report__policy_allows_its_own_style_and_script_only(page):
    (policy,) = [a["content"] for a, _ in page.all("meta") if "http-equiv" in a]
    styles = [c for _, c in page.all("style")]
    scripts = [c for a, c in page.all("script") if a.get("type") != "application/json"]
    assert len(styles) == len(scripts) == 1
    for content in (*styles, *scripts):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    position = [tag for tag, _ in page.elements].index
    assert position("meta") < position("style")


def test_report__is_one_small_file_that_names_no_address(text):
    assert len(text.encode()) < 5e6
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_safe_csv__no_cell_is_a_formula():
    table = pd.DataFrame({"gene": [*HOSTILE, None, "a,b"], "r2": [-1.5] * (len(HOSTILE) + 2)})
    rows = list(csv.reader(safe_csv(table).splitlines()))
    assert rows[0] == ["gene", "r2"]
    for name, (cell, number) in zip(table["gene"], rows[1:], strict=True):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert cell.removeprefix("'") == (name or "")
        assert float(number) == -1.5  # a number stays one


def test_report__downloads_hold_no_formula(page):
    cells = [
        cell
        for a, _ in page.all("a")
        if "download" in a
        for row in csv.reader(decoded(a["href"]).splitlines())
        for cell in row
    ]
    assert any(cell.startswith("'=") for cell in cells)
    for cell in cells:
        assert not cell.startswith(("=", "+", "@")), cell
        assert not cell.startswith("-") or float(cell) < 0


# --- in a browser ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(find_chromium(), tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


ROWS = (
    "[...document.querySelectorAll('#pairs-table tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
)
SEARCH = (
    "(text => { const input = document.querySelector('#pairs-table input'); input.value = text;"
    "input.dispatchEvent(new Event('input')); })("
)
STATUS = "document.querySelector('#pairs-table [role=status]').textContent"


FIRST_PAINT = """
new Promise(done => {
  const look = () => {
    const [found] = performance.getEntriesByName("first-contentful-paint");
    if (found) done(found.startTime); else setTimeout(look, 20);
  };
  look();
})
"""


def test_browser__no_complaint_no_request_no_foreign_script(browser, folder):
    browser.open(folder / "report.html")
    assert browser.run("document.querySelectorAll('#pairs-table tbody tr').length") > 5
    browser.run("Promise.all([...document.images].map(i => i.decode()))")  # rejects a broken picture
    assert browser.complaints() == []
    assert browser.requests() == [(folder / "report.html").as_uri()]
    assert browser.run("typeof window.pwned") == "undefined"


def test_browser__first_paint_within_a_second(browser, folder):
    paints = []
    for _ in range(3):
        browser.open(folder / "report.html")
        paints.append(browser.run(FIRST_PAINT))
    size = (folder / "report.html").stat().st_size
    print(f"first paint after {min(paints):.0f} to {max(paints):.0f} ms, {size / 1e6:.2f} MB")
    assert min(paints) < 1000


def test_browser__policy_stops_a_script_that_got_in(browser, folder):
    browser.open(folder / "report.html")
    browser.run(BREAK_IN)
    assert browser.run("typeof window.pwned") == "undefined"
    said = [event["params"].get("entry", {}).get("text", "") for event in browser.complaints()]
    assert any("Content Security Policy" in text for text in said)


def test_browser__without_the_policy_that_script_would_have_run(browser, text, tmp_path):
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", text), encoding="utf-8")
    browser.open(bare)
    assert browser.run("typeof window.pwned") == "undefined"  # escaping alone holds
    browser.run(BREAK_IN)
    assert browser.run("window.pwned") == 1


def test_browser__every_table_shows_hostile_names_as_text(browser, folder):
    browser.open(folder / "report.html")
    shown = set()
    for _ in range(40):
        shown |= set(browser.run("[...document.querySelectorAll('td bdi, th bdi')].map(b => b.textContent)"))
        left = "[...document.querySelectorAll('.pages button:last-child[aria-disabled=false]')]"
        if not browser.run(f"{left}.map(b => b.click()).length"):
            break
    for name in (HOSTILE[0], HOSTILE[2], HOSTILE[4], HOSTILE[9], "<i>A</i>", "abc\\u202edcba\\u202c"):
        assert name in shown
    inside = "[...document.querySelectorAll('table:not(.forest) *')].map(e => e.tagName)"
    known = {"CAPTION", "THEAD", "TBODY", "TR", "TH", "TD", "BDI", "BUTTON"}
    assert set(browser.run(inside)) == known
    assert browser.run("typeof window.pwned") == "undefined"
    assert browser.complaints() == []


def test_browser__names_are_text_and_cut_by_the_style(browser, folder):
    browser.open(folder / "report.html")
    browser.run(f"{SEARCH}'{LONG[:40]}')")
    rows = browser.run(ROWS)
    assert rows
    assert all(LONG in row[:2] for row in rows)
    widths = browser.run("[...document.querySelectorAll('#pairs-table td bdi')].map(b => b.offsetWidth)")
    assert max(widths) < 400
    assert LONG in browser.run("[...document.querySelectorAll('#pairs-table td bdi')].map(b => b.title)")


def test_browser__table_searches_filters_sorts_and_leafs(browser, folder):
    pairs = pd.read_parquet(folder / "pairs.parquet")
    browser.open(folder / "report.html")
    all_rows = browser.run(ROWS)
    assert len(all_rows) == 25
    assert browser.run(STATUS) == f"1 to 25 of {len(pairs)} rows"
    press = "[...document.querySelectorAll('#pairs-table button')].find(b => b.textContent === '{}').click()"
    browser.run(press.format("Next"))
    assert browser.run(ROWS)[0] != all_rows[0]
    browser.run(f"{SEARCH}'{WORD.upper()}')")
    expected = ((pairs["regulator"] == WORD) | (pairs["target"] == WORD)).sum()
    assert browser.run(STATUS).endswith(f"of {expected} rows")
    assert all(WORD in row[:2] for row in browser.run(ROWS))
    browser.run(f"{SEARCH}'no such gene')")
    assert browser.run(STATUS) == "0 rows"
    browser.run(f"{SEARCH}'')")
    browser.run(
        "(s => { s.value = 'affine'; s.dispatchEvent(new Event('change')); })"
        "(document.querySelector('#pairs-table select'))"
    )
    assert browser.run(STATUS).endswith(f"{(pairs['call'] == 'affine').sum()} rows")
    assert {row[2] for row in browser.run(ROWS)} == {"affine"}
    head = "document.querySelectorAll('#pairs-table th')[4]"
    for direction, order in (("descending", -1), ("ascending", 1)):
        browser.run(f"{head}.querySelector('button').click()")
        assert browser.run(f"{head}.ariaSort") == direction
        shown = [order * float(row[4]) for row in browser.run(ROWS)]
        assert shown == sorted(shown)
    assert browser.complaints() == []


def test_browser__edges_filter_and_save_as_safe_csv(browser, folder, tmp_path):
    browser("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    edges = pd.read_parquet(folder / "edges.parquet")
    browser.open(folder / "report.html")
    browser.run(
        "[...document.querySelectorAll('#edges-table button')].find(b => /CSV/.test(b.textContent)).click()"
    )
    path = wait_for(tmp_path / "edges-table.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == len(edges)
    assert {"regulator", "target", "call", "status", "joint_q_value", "joint_status"} <= rows[0].keys()
    for row in rows:
        for of in ("regulator", "target"):
            assert not row[of].startswith(("=", "+", "-", "@", "\t"))
    assert any(row["target"] == "'" + '=HYPERLINK("x")' for row in rows)
    filtered = (
        "(s => { s.value = 'nonlinear'; s.dispatchEvent(new Event('change')); })"
        "([...document.querySelectorAll('#edges-table label')]"
        ".find(l => /Call/.test(l.textContent)).lastChild),"
        "document.querySelector('#edges-table [role=status]').textContent"
    )
    bent = [row for row in rows if row["call"] == "nonlinear"]
    assert browser.run(filtered).endswith(f"{len(bent)} rows")
    path.unlink()
    browser.run(
        "(input => { input.value = '=hyper'; input.dispatchEvent(new Event('input')); })"
        "(document.querySelector('#edges-table input')),"
        "[...document.querySelectorAll('#edges-table button')].find(b => /CSV/.test(b.textContent)).click()"
    )
    wait_for(path)
    saved = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert saved == [row for row in bent if "'" + '=HYPERLINK("x")' in (row["regulator"], row["target"])]
    assert saved
    assert browser.complaints() == []


def test_browser__data_of_a_figure_downloads(browser, folder, tmp_path):
    browser("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.open(folder / "report.html")
    browser.run("document.querySelector('a[download=\"zeros.csv\"]').click()")
    assert wait_for(tmp_path / "zeros.csv").read_text(encoding="utf-8").startswith("low,high,n_genes\n")
    assert browser.complaints() == []


def wait_for(path, seconds=60):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, sorted(path.parent.iterdir())
        time.sleep(0.05)
    return path


@pytest.mark.parametrize("width", [320, 390, 720, 1440])  # 720: a screen of 1440 at 200 %
def test_browser__no_sideways_scrolling(browser, folder, width):
    browser.open(folder / "report.html", width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    too_wide = (
        "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth"
        " + 1 && !e.closest('.scroll') && !e.closest('.skip')).map(e => e.outerHTML)"
    )
    assert browser.run(too_wide) == []
    if width < 600:  # there a table is a list of cards, and scrolls no more than the page
        boxes = "[...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)"
        assert max(browser.run(boxes)) <= 0
        label = "getComputedStyle(document.querySelector('#pairs-table td.number'), '::before').content"
        assert browser.run(label) != "none"
        browser.run(f"{SEARCH}'{WORD}')")
        names_cut = "[...document.querySelectorAll('#pairs-table bdi')].map(b => [b.textContent, "
        names_cut += "b.scrollWidth > b.clientWidth || b.scrollHeight > b.clientHeight + 1])"
        cut = dict(browser.run(names_cut))
        assert not any(cut[name] for name in cut if len(name) < 60)


def test_browser__tables_and_pictures_are_known_to_readers_on_a_phone(browser, folder):
    browser.open(folder / "report.html", width=390)
    nodes = browser("Accessibility.getFullAXTree")["nodes"]
    roles = Counter(node.get("role", {}).get("value") for node in nodes if not node["ignored"])
    assert roles["table"] == 9
    assert roles["row"] >= 8 * 3
    assert roles["columnheader"] >= 30
    assert roles["cell"] + roles["gridcell"] > 100
    for role in ("image", "button", "link", "combobox", "searchbox", "region", "navigation"):
        named = [n["name"]["value"] for n in nodes if n.get("role", {}).get("value") == role]
        assert named
        assert all(named), role


@pytest.mark.parametrize(("width", "height"), [(1440, 6_000), (390, 9_000)])
def test_browser__the_answer_comes_first_and_the_rest_is_folded(browser, folder, width, height):
    browser.open(folder / "report.html", width=width, unfold=False)
    assert browser.run("document.querySelectorAll('details.fold[open]').length") == 0
    words = browser.run("document.body.innerText.split(/\\s+/).length")
    tall = browser.run("document.documentElement.scrollHeight")
    print(f"{words} words and {tall} px at first sight, {width} px wide")
    assert words <= 1_200
    assert tall <= height
    top = browser.run("document.querySelector('.forest .main').getBoundingClientRect().top")
    assert top < 1_200, "the picture of the answer is seen without much scrolling"


def test_browser__a_link_opens_the_part_that_it_leads_to(browser, folder):
    browser.open(folder / "report.html", unfold=False)
    browser.run("document.querySelector('nav a[href=\"#pairs\"]').click()")
    opened = "[...document.querySelectorAll('details.fold[open]')].map(fold => fold.parentElement.id)"
    assert browser.run(f"new Promise(done => setTimeout(() => done({opened}), 100))") == ["pairs"]


def test_browser__printed_page_is_not_shrunk(browser, folder):
    browser("Emulation.setEmulatedMedia", media="print")
    try:
        browser.open(folder / "report.html", width=688)  # A4 less its margins
        assert browser.run("document.documentElement.scrollWidth") <= 688
        wide = "[...document.querySelectorAll('.scroll table')].map(e => e.getBoundingClientRect().width)"
        assert max(browser.run(wide)) <= 689
    finally:
        browser("Emulation.setEmulatedMedia", media="")


CONTRAST = """
(() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => parse(c).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor, [, , , alpha = 1] = parse(colour);
      if (alpha > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.body.querySelectorAll("*")]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.getClientRects().length)
    .map(e => {
      const ink = getComputedStyle(e)[e instanceof SVGElement ? "fill" : "color"];
      const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 80)];
    }).sort((x, y) => x[0] - y[0]);
})()
"""


@pytest.mark.parametrize("width", [390, 1440])
def test_browser__text_has_contrast(browser, folder, width):
    browser.open(folder / "report.html", width=width)
    browser.run("document.querySelector('details').open = true")
    found = browser.run(CONTRAST)
    print(f"lowest contrast {found[0][0]:.2f} of {len(found)} pieces of text")
    assert len(found) > 100
    assert found[0][0] >= 4.5, found[:3]


FOCUS = """
(() => {
  const e = document.activeElement, style = getComputedStyle(e), [box] = e.getClientRects();
  if (e === document.body) return null;
  e.dataset.reached = "yes";
  return [style.outlineStyle, parseFloat(style.outlineWidth), box.width > 0 && box.right > 0, e.outerHTML];
})()
"""
CAN_FOCUS = "a[href], button, input, select, summary, [tabindex='0']"


def test_browser__all_is_reached_by_tab_and_the_focus_is_seen(browser, folder):
    browser.open(folder / "report.html")
    seen = []
    for _ in range(400):
        browser.press("Tab")
        found = browser.run(FOCUS)
        if found is None:
            break
        seen.append(found)
    assert "Skip to the verdict" in seen[0][3]
    for style, width, visible, element in seen:
        assert style != "none", element
        assert width >= 1, element
        assert visible, element
    missed = f'[...document.querySelectorAll("{CAN_FOCUS}")].filter(e => !e.dataset.reached)'
    assert browser.run(f"{missed}.map(e => e.outerHTML.slice(0, 90))") == []
    print(f"{len(seen)} stops of the Tab key")


def test_browser__works_by_keyboard(browser, folder):
    browser.open(folder / "report.html")
    browser.run("document.querySelectorAll('#pairs-table th button')[3].focus()")
    browser.press("Enter", text="\r")
    assert browser.run("document.querySelectorAll('#pairs-table th')[3].ariaSort") == "descending"
    assert browser.run(STATUS).endswith(", sorted by r² of the curve, falling")
    last = "Math.ceil(JSON.parse(document.querySelector('#pairs-table script').textContent).rows.length / 25)"
    n_pages = browser.run(last)
    browser.run("document.querySelector('#pairs-table .pages button:last-child').focus()")
    for _ in range(n_pages + 1):
        browser.press("Enter", text="\r")
    assert browser.run("document.activeElement.textContent") == "Next"  # not lost on the last page
    assert browser.run("document.activeElement.ariaDisabled") == "true"
    assert browser.run(STATUS).startswith(f"{25 * (n_pages - 1) + 1} to ")


def test_browser__prints(browser, folder):
    browser.open(folder / "report.html")
    printed = base64.b64decode(browser("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF")
    n_pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    print(f"{n_pages} printed pages")
    assert 2 <= n_pages <= 18


def test_browser__works_without_scripts(browser, folder):
    browser("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(folder / "report.html", unfold=False)
    finally:
        browser("Emulation.setScriptExecutionDisabled", value=False)
    browser.run("document.querySelectorAll('details.fold').forEach(fold => { fold.open = true })")
    assert browser.run("document.querySelector('noscript').innerText").startswith("Without JavaScript")
    assert browser.run("document.querySelectorAll('.controls, .pages').length") == 0
    rows = browser.run(ROWS)
    assert len(rows) == STATIC_ROWS
    heads = browser.run("[...document.querySelectorAll('#pairs-table th')].map(h => h.textContent)")
    assert heads[:3] == ["Regulator", "Target", "Call"]
    browser.open(folder / "report.html")
    assert [[cell.strip() for cell in row] for row in rows] == browser.run(ROWS)  # as the script shows them
    assert browser.complaints() == []
