"""The page of the study: whole, inert, readable without pictures; what comes from files stays text."""

import base64
import copy
import html.parser
import io
import re

import numpy as np
import pandas as pd
import pytest
from study_toys import quick_study, row

from poolproof.pairs.population_sets import STRENGTH_NAMES
from poolproof.study import page as pictures
from poolproof.study.findings import PARTS, findings_of
from poolproof.study.page import PICTURES, drawn_pictures, render_study, write_study_page
from poolproof.study.steps import table_of_rows
from poolproof.study.summary import controls_of

EVIL = "<script>alert('1')</script>$x_1$ & \"q\"\u202e"
HOLLOW = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta"}


class Reader(html.parser.HTMLParser):
    """Elements with their attributes, text, and whether every element is closed."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.open = [], [], []
        self.feed(page)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in HOLLOW:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A small study of one data set, and a second one with hostile names and every kind of row."""
    study = quick_study(tmp_path_factory.mktemp("study"))
    summary, table = copy.deepcopy(study.summary), study.table
    (first,) = summary["datasets"]
    evil = first | {
        "name": "evil", "label": EVIL, "group": "single-cell", "title": EVIL, "assay": EVIL, "citation": EVIL,
        "licence": EVIL, "within": [EVIL], "replicate": EVIL, "covariates": [EVIL], "notes": [EVIL],
        "share_distorted": None,
    }  # fmt: skip
    mine = table[~((table["step"] == "pairs") & (table["setting"] == "strength"))]
    single = {"dataset": "evil", "group": "single-cell", "share_nonlinear": 0.2, "bend_share": 0.3}
    more = [
        *mine[mine["step"] != "groups"].assign(dataset="evil", group="single-cell").to_dict("records"),
        *(row("labels", setting, **single) for setting in ("as registered", "without within")),
        *(row("tests", setting, **single) for setting in ("robust", "corrected")),
        *(row("edges", f"{of} of net", n_tested=50, n_associated=20, **single) for of in ("edges", "random")),
        *(row("pooling", f"{of} {share}", value=n, measurement=0.1 / n, **single)
          for of in ("within", "mixed") for n in (1, 2, 5) for share in ("share_nonlinear", "share_affine")),
        *(row("population", of, "evil", "single-cell", bend_share=0.1 + i / 20, low=0.0, high=0.5)
          for i, of in enumerate((*PARTS, *(f"strength {name}" for name in STRENGTH_NAMES)))),
        *(row("population", f"strength {name}", first["name"], bend_share=0.2, low=0.0, high=0.5)
          for name in STRENGTH_NAMES),
        *(row("population", of, first["name"], bend_share=0.2, low=0.0, high=0.5) for of in PARTS),
        *(row("pairs", "strength", name, group, value=low, n_associated=20, share_nonlinear=low)
          for name, group in ((first["name"], "bulk"), ("evil", "single-cell")) for low in (0.02, 0.2, 0.5)),
    ]  # fmt: skip
    every = pd.concat([mine, table_of_rows(more)], ignore_index=True)
    summary["datasets"] = [first, evil]
    summary["controls"] = controls_of(every, {first["name"]: 112, "evil": 112})
    summary["findings"] = findings_of(summary["datasets"], summary["controls"], every)
    summary["notes"] = [EVIL]
    summary["left_out"] = {EVIL: EVIL}
    return summary, every


@pytest.fixture(scope="module")
def drawn(studied):
    summary, table = studied
    return drawn_pictures(table, summary["datasets"], summary["findings"])


@pytest.fixture(scope="module")
def page(studied, drawn):
    return render_study(studied[0], drawn)


def test_page__is_whole(page, studied):
    found = Reader(page)
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in found.all("a"):
        target = link["href"]
        assert target.startswith(("#", "data:text/csv", "audits/")), target
        if target.startswith("#"):
            assert target[1:] in ids
    assert [link["href"] for link in found.all("a") if link["href"].startswith("audits/")] == [
        f"audits/{entry['name']}/report.html" for entry in studied[0]["datasets"]
    ]
    assert page.rstrip().endswith("</html>")


def test_page__runs_nothing_and_loads_nothing(page):
    found = Reader(page)
    assert not found.all("script")
    assert not found.all("link")
    for _, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on")]
    (policy,) = [meta["content"] for meta in found.all("meta") if "http-equiv" in meta]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for image in found.all("img"):
        assert image["src"].startswith("data:image/")
    assert not re.search(r"(src|href)=\"(https?:)?//", page)


def test_page__what_comes_from_files_stays_text(page):
    found = Reader(page)
    text = "".join(found.text)
    shown = EVIL.replace("\u202e", "\\u202e")
    assert text.count(shown) > 8
    assert "\u202e" not in page
    assert "<script>alert" not in page
    assert "None" not in text
    assert "nan" not in text.split()


def test_page__every_picture_has_words_a_size_and_its_numbers(page, drawn):
    found = Reader(page)
    images = found.all("img")
    assert len(images) == len(drawn)
    assert {picture.name for picture in drawn} == {"share", "calls", *PICTURES}
    for image in images:
        assert len(image["alt"]) > 40
        assert int(image["width"]) > 100
        assert int(image["height"]) > 100
    names = [link["download"] for link in found.all("a") if "download" in link]
    for picture in drawn:
        assert f"{picture.file}.csv" in names or picture.name in ("share", "calls")
    for link in found.all("a"):
        if "download" not in link:
            continue
        content = base64.b64decode(link["href"].partition("base64,")[2]).decode()
        table = pd.read_csv(io.StringIO(content))
        assert len(table), link["download"]
        assert not re.search(r"^[=+@]", content, re.MULTILINE)
        assert link["aria-label"]


def test_page__numbers_of_the_table_of_datasets(page, studied):
    text = " ".join("".join(Reader(page).text).split())
    first = studied[0]["datasets"][0]
    for share in ("bend_share", "share_nonlinear", "share_affine"):
        found = first[share]
        shown = f"{found['estimate']:.1%} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"
        assert shown in text, shown
    floor = first["floor"]
    assert f"{floor['floor']:.1%} (of {floor['bend_share']:.1%}; {floor['limit']:.1%} by chance)" in text


def test_page__all_sentences_are_on_it(page, studied):
    text = " ".join("".join(Reader(page).text).split())
    assert set(studied[0]["findings"]) == {"share", "floor", "calls", "controls", *PICTURES}
    for sentence in studied[0]["findings"].values():
        assert " ".join(sentence.split()) in text


def test_findings__of_one_data_set_take_no_median(studied):
    summary, table = studied
    name = summary["datasets"][0]["name"]
    both = findings_of(summary["datasets"], [], table)
    alone = findings_of(summary["datasets"][:1], [], table[table["dataset"] == name])
    assert sum("median" in text for text in both.values()) > 10
    assert not [text for text in alone.values() if re.search(r"medians?\b(?!-| ratio)", text)]
    assert not [text for text in alone.values() if "  " in text or " ," in text or " :" in text]
    share = f"{100 * summary['datasets'][0]['bend_share']['estimate']:.1f} %"
    assert f"bend is in 1 bulk data set {share}. Its interval " in alone["share"]


def test_page__csv_of_a_picture_is_what_was_drawn(drawn, studied):
    table = studied[1]
    for picture in drawn:
        if picture.name == "margin":
            mine = table[(table["step"] == "pairs") & (table["setting"] == "margin")]
            assert set(picture.data["y"].round(9)) <= set(mine["share_affine"].round(9))
    lines = [picture for picture in drawn if picture.name == "strength"]
    assert {picture.side for picture in lines} == {"bulk and pools", "single cells"}


def test_pooling__between_donors_is_left_out_and_the_ways_of_drawing_stand_apart(drawn):
    rows = [
        row("pooling", f"{s} share_nonlinear", d, "single-cell", value=1, measurement=0.1)
        for s, d in (("within", "a"), ("mixed", "a"), ("between", "a"), ("mixed", "b"))
    ]
    found = PICTURES["pooling"].rows(table_of_rows(rows))
    assert found[["dataset", "setting"]].to_numpy().tolist() == [
        ["a", "within share_nonlinear"], ["a", "mixed share_nonlinear"], ["b", "mixed share_nonlinear"],
    ]  # fmt: skip
    pictures = {picture.side: picture.data for picture in drawn if picture.name == "pooling"}
    assert set(pictures) == {"inside donors and types", "from all cells"}
    for side, regime in (("inside donors and types", "within"), ("from all cells", "mixed")):
        assert set(pictures[side]["setting"]) == {f"{regime} share_nonlinear"}


def test_page__of_nothing_associated_or_of_pools_alone(studied):
    summary, table = copy.deepcopy(studied[0]), studied[1]
    nothing = {"estimate": None, "low": None, "high": None}
    summary["datasets"] = [
        summary["datasets"][0] | {"n_associated": 0, **{f"share_{kind}": nothing for kind in (
            "nonlinear", "affine", "inconclusive", "contradicting")}, "bend_share": nothing}
    ]  # fmt: skip
    summary |= {"controls": [], "findings": {}}
    empty = table_of_rows([])
    text = "".join(Reader(render_study(summary, drawn_pictures(empty, summary["datasets"], {}))).text)
    assert "In no data set genes explain enough of each other" in text
    assert "No control was run" in text
    summary["datasets"] = [studied[0]["datasets"][0] | {"group": "pools of cell lines"}]
    mine = table[table["dataset"] != "evil"].assign(group="pools of cell lines")
    summary["findings"] = findings_of(summary["datasets"], [], mine)
    drawn = drawn_pictures(mine, summary["datasets"], summary["findings"])
    page = render_study(summary, drawn)
    assert len(Reader(page).all("img")) == len(drawn) >= 1
    assert "nothing to judge" not in page


def test_write__page_and_pictures_and_none_of_an_earlier_run(studied, drawn, tmp_path, monkeypatch):
    monkeypatch.setattr("poolproof.study.page.drawing_of", lambda ax: "<svg/>")
    monkeypatch.setattr("poolproof.study.page.drawn_pictures", lambda *_: drawn[:2])
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "study_old.svg").write_text("old")
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    path = write_study_page(tmp_path, *studied)
    assert path == tmp_path / "study.html"
    assert sorted(one.name for one in (tmp_path / "figures").iterdir()) == sorted(
        ["mine.svg", *(f"{picture.file}.svg" for picture in drawn[:2])]
    )
    assert Reader(path.read_text(encoding="utf-8")).all("img")


def test_share__intervals_floors_and_controls_stand_at_their_numbers(studied):
    first = studied[0]["datasets"][0]
    known = first | {
        "bend_share": {"estimate": 0.3, "low": 0.2, "high": 0.45},
        "floor": {"bend_share": 0.3, "floor": 0.25, "excess": 0.05, "limit": 0.02, "evidence": True},
        "control_share": {"estimate": None, "low": None, "high": None},
    }
    lines = {line.get_label(): line.get_xdata() for line in pictures.draw_shares([known]).get_lines()}
    assert list(lines["bend share"]) == [0.3]
    assert list(lines["made by affine equations"]) == [0.25]
    assert np.isnan(lines["counts split in two"]).all()
    assert list(lines["margin 10%"]) == [0.1, 0.1]
    assert [0.2, 0.45] in [list(line) for line in lines.values()]


def test_calls__bars_of_a_data_set_add_up_to_one(drawn):
    (ax,) = [picture.ax for picture in drawn if picture.name == "calls"]
    ends = {}
    for bar in ax.patches:
        y = round(bar.get_y(), 6)
        ends[y] = max(ends.get(y, 0.0), bar.get_x() + bar.get_width())
    assert len(ends) == 2
    assert np.allclose(list(ends.values()), 1.0)
    assert pictures.draw_calls is not None
