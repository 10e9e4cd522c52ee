"""The page of a model: complete, hostile names as text, nothing loaded, a graph that can be read."""

import base64
import copy
import hashlib
import json
import re
from itertools import pairwise
from urllib.parse import unquote

import networkx as nx
import numpy as np
import pytest
from browser import BREAK_IN, HOSTILE, Browser, Page, find_chromium
from helpers import quickly
from model_toys import FORK, LONG, renamed

from poolproof import InputError, write_model_page
from poolproof.report.graph_picture import MAX_PER_LAYER, NODE_HEIGHT, _crossings, arrange, draw_graph, layers
from poolproof.report.model_page import edge_status, render
from poolproof.report.page import svg_of
from poolproof.report.tables import MAX_JSON
from poolproof.theory.text import QUANTIFIERS, VERDICTS

GENES = {"Y": [], "Z": ["Y"], "X": ["Y"], "K": ["Y"]}
TEXTS = {"Y": "gamma(2, 1)", "Z": "Y/5 + N", "X": "Y**2 + N", "K": "poisson(Y)"}


def page_of(summary=FORK, genes=GENES, mechanisms=TEXTS, source="name: fork\ngenes: {}", types=()):
    return render(
        summary,
        genes=genes,
        mechanisms=mechanisms,
        pooling="adds the cells of a pool",
        cell_types=types,
        source=source,
    )


def hostile_page():
    """The check by hand, every name in it hostile, and one gene with each hostile name more."""
    names = dict(zip(("Y", "Z", "X", "K", "fork"), HOSTILE, strict=False))
    summary = renamed(FORK, names)
    more = [n for n in HOSTILE if n not in names.values()]
    summary["mechanisms"] += [
        {
            "gene": n,
            "parents": [HOSTILE[0]],
            "ffc": "undecided",
            "quantifier": "law",
            "rule": n,
            "witness": None,
        }
        for n in more
    ]
    genes = {names[g]: [names[p] for p in parents] for g, parents in GENES.items()}
    genes |= {n: [HOSTILE[0]] for n in more}
    return page_of(summary, genes, {n: f"{n} + N" for n in genes}, source="\n".join(HOSTILE))


def random_graph(n_genes, n_edges, seed=0):
    """Edges from earlier to later genes."""
    random = np.random.default_rng(seed)
    graph = nx.DiGraph()
    graph.add_nodes_from(f"GENE{i}" for i in range(n_genes))
    while graph.number_of_edges() < n_edges:
        a, b = sorted(random.choice(n_genes, 2, replace=False))
        if b - a < 15:
            graph.add_edge(f"GENE{a}", f"GENE{b}")
    return graph


def large_page(n_genes=48, n_edges=80):
    graph = random_graph(n_genes, n_edges)
    genes = {g: list(graph.predecessors(g)) for g in graph}
    answers = ("holds", "fails", "undecided")
    mechanisms = [
        {
            "gene": g,
            "parents": parents,
            "ffc": answers[i % 3],
            "quantifier": "law",
            "rule": "affine",
            "witness": FORK["mechanisms"][2]["witness"] if i % 3 == 1 else None,
        }
        for i, (g, parents) in enumerate(genes.items())
    ]
    pairs = [(a, b) for a in genes for b in genes if a < b and not graph.has_edge(a, b)]
    separations = [
        FORK["separations"][i % 3] | {"x": a, "y": b, "given": genes[b]} for i, (a, b) in enumerate(pairs)
    ]
    surviving = [[p, g] for i, (g, parents) in enumerate(genes.items()) if i % 3 == 0 for p in parents]
    summary = FORK | {
        "mechanisms": mechanisms,
        "separations": separations,
        "surviving_edges": surviving,
    }
    return page_of(summary, genes, dict.fromkeys(genes, "a*b + N"))


@pytest.fixture(scope="module")
def text():
    return page_of()


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def tables(page):
    return [json.loads(c) for a, c in page.all("script") if a.get("type") == "application/json"]


def words(text):
    """Text of a page without its markup."""
    return " ".join(re.sub(r"<[^>]*>", " ", text.split("</style>")[1]).split())


# --- what it says ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", VERDICTS)
def test_page__says_every_verdict_in_a_sentence(verdict):
    text = page_of(FORK | {"verdict": verdict})
    assert f'<div class="verdict {verdict}">' in text
    assert VERDICTS[verdict] in words(text)


def test_page__shows_reasons_counts_and_how_to_read_it(text):
    said = words(text)
    assert FORK["reasons"][0] in said
    assert "2 of 4 mechanisms keep their form ; 2 do not , 0 undecided" in said
    assert "2 of 3 conditional independences hold in pools ; 1 fail , 0 undecided" in said
    assert "1 of 3 edges survive" in said
    assert "A pool holds 20 cells; pooling adds the cells of a pool." in said
    assert "1 separation tested in 2,000 simulated pools" in said
    assert all(meaning in said for meaning in QUANTIFIERS.values())
    assert "name: fork genes: {}" in said
    assert "n_pools 2000" in said


def test_page__random_number_of_cells_and_types():
    said = words(page_of(FORK | {"cells": "poisson(20)"}, types=("T", "other")))
    assert "A pool holds poisson(20) cells of 2 types; pooling" in said


def test_page__tables_hold_every_row_fails_first(page):
    mechanisms, separations = tables(page)
    assert [row[3] for row in mechanisms["rows"]] == ["fails", "fails", "holds", "holds"]
    names = mechanisms["genes"]
    assert [names[i] for i in mechanisms["rows"][0][:3]] == ["X", "Y", "Y**2 + N"]
    assert [row[3] for row in separations["rows"]] == ["fails", "holds", "holds"]
    assert [row[6] for row in separations["rows"]] == [-0.507, 0.0, None]
    assert separations["rows"][2][7].endswith("under some other law it breaks")


def test_page__rows_stand_in_the_page_without_javascript(page):
    bodies = [c for a, c in page.all("td") if "fails" in (a.get("class") or "")]
    assert bodies.count("fails") == 2 + 1 + 2  # mechanisms; a separation in pools; for all laws
    assert page.all("noscript") == []


def test_page__witnesses_are_small_tables_that_mark_the_difference(page, text):
    assert [c.strip() for _, c in page.all("caption")].count("Pool A") == 2
    differing = [c for a, c in page.all("td") if a.get("class") == "number differs"]
    assert differing == ["5", "3", "4", "8", "16", "2", "2", "2"]
    assert "18 more cells, the same in both, complete the pools." in words(text)


def test_page__lost_dependences_only_where_there_are_some(text):
    assert "a common target" in text
    assert 'id="lost"' not in page_of(FORK | {"lost_dependences": []})


def test_page__without_separations_or_witnesses():
    bare = copy.deepcopy(FORK) | {"separations": [], "monte_carlo": None}
    for mechanism in bare["mechanisms"]:
        mechanism["witness"] = None
    text = page_of(bare)
    assert "The graph has none" in text
    assert 'id="witnesses"' not in text
    assert len(tables(Page(text))) == 1


def test_page__with_too_much_for_one_table_says_what_is_left_out():
    many = FORK | {"separations": [FORK["separations"][0] | {"rule": f"{i} {LONG}"} for i in range(5000)]}
    text = page_of(many)
    content = tables(Page(text))[1]
    assert 1000 < len(content["rows"]) < 5000
    assert f"the first {len(content['rows']):,} of 5,000 are here" in words(text)
    assert len(json.dumps(content)) < 1.3 * MAX_JSON
    assert len(text) < 5e6


def test_edge_status__of_every_kind():
    forms = [{"gene": "Z", "ffc": "holds"}, {"gene": "X", "ffc": "fails"}, {"gene": "K", "ffc": "undecided"}]
    edges = [("Y", "Z"), ("Y", "X"), ("Z", "X"), ("Y", "K")]
    found = edge_status({"surviving_edges": [["Y", "Z"], ["Z", "X"]], "mechanisms": forms}, edges)
    assert list(found.values()) == ["survives", "lost", "survives", "undecided"]


# --- hostile names --------------------------------------------------------------------------------------


def test_page__hostile_names_are_text():
    text = hostile_page()
    page = Page(text)
    scripts = [a for a, _ in page.all("script") if a.get("type") != "application/json"]
    assert len(scripts) == 1
    assert {a.get("src", "")[:19] for a, _ in page.all("img")} == {"data:image/svg+xml,"}
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert all(c.isprintable() or c == "\n" for c in text)
    shown = {c for _, c in page.all("bdi")} | {name for t in tables(page) for name in t["genes"]}
    for name in (HOSTILE[0], HOSTILE[2], HOSTILE[4], LONG, "abc\\u202edcba\\u202c", "\\x1b[31mred"):
        assert name in shown
    picture = unquote(page.all("img")[0][0]["src"].partition(",")[2])
    assert "<script" not in picture


def test_page__policy_allows_its_own_style_and_script_only(page, text):
    (policy,) = [a["content"] for a, _ in page.all("meta") if "http-equiv" in a]
    contents = [c for _, c in page.all("style")]
    contents += [c for a, c in page.all("script") if a.get("type") != "application/json"]
    assert len(contents) == 2
    for content in contents:
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for address in ("http:", "https:", "url(", "@import"):
        assert address not in text


# --- the graph ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "graph",
    [random_graph(70, 110), random_graph(6, 8), random_graph(30, 0), nx.DiGraph([("A", "B")]), nx.DiGraph()],
    ids=["70 genes", "6 genes", "no edges", "one edge", "empty"],
)
def test_arrange__nothing_overlaps_and_edges_lead_down(graph):
    widths = {g: 0.2 + 0.08 * len(g) for g in graph}
    layout = quickly(10, lambda: arrange(graph, widths))
    at = layout.place
    assert set(at) == set(graph)
    for a in graph:
        x, y = at[a]
        assert x - widths[a] / 2 >= 0
        assert x + widths[a] / 2 <= layout.size[0]
        assert NODE_HEIGHT / 2 <= y <= layout.size[1] - NODE_HEIGHT / 2
        for b in graph:
            if b > a and at[b][1] == y:
                assert abs(at[b][0] - x) >= (widths[a] + widths[b]) / 2
    assert set(layout.routes) == set(graph.edges)
    for (a, b), points in layout.routes.items():
        assert (points[0], points[-1]) == (at[a], at[b])
        assert all(lower[1] > upper[1] for upper, lower in pairwise(points))


def test_arrange__an_edge_passes_no_gene():
    graph = random_graph(50, 80)
    widths = dict.fromkeys(graph, 0.6)
    layout = arrange(graph, widths)
    genes = list(layout.place.values())
    for points in layout.routes.values():
        for x, y in points[1:-1]:
            assert not any(gy == y and abs(gx - x) < 0.3 for gx, gy in genes)


def test_layers__are_few_and_not_crowded():
    star = nx.DiGraph([("hub", f"target{i}") for i in range(50)])
    found = layers(star)
    sizes = np.bincount(list(found.values()))
    assert sizes.max() <= MAX_PER_LAYER
    assert len(sizes) == 1 + 5  # 50 targets in rows of 12


def test_arrange__undoes_crossings():
    ladder = nx.DiGraph()
    ladder.add_nodes_from("ABCDEFGHI")  # the order in which each row starts: every edge crosses another
    ladder.add_edges_from([("A", "F"), ("B", "E"), ("C", "D"), ("F", "G"), ("E", "H"), ("D", "I")])
    layout = arrange(ladder, dict.fromkeys(ladder, 0.4))
    lanes = [[layout.place[g][0] for g in chain] for chain in ("AFG", "BEH", "CDI")]
    assert all(max(lane) - min(lane) < 1e-6 for lane in lanes)
    spots = nx.DiGraph([(("A",), ("F",)), (("B",), ("E",))])
    assert _crossings(spots, [[("A",), ("B",)], [("E",), ("F",)]]) == 1
    assert _crossings(spots, [[("A",), ("B",)], [("F",), ("E",)]]) == 0


def test_draw_graph__survival_is_shown_by_colour_and_by_dashes():
    edges = {("Y", "X"): "survives", ("Y", "Z"): "lost", ("Y", "K"): "undecided"}
    ax = draw_graph(nx.DiGraph(list(edges)), edges)
    lines = [(p.get_edgecolor(), p.get_linestyle()) for p in ax.patches if p.get_fill() is False]
    assert len({c for c, _ in lines}) == len({str(s) for _, s in lines}) == 3
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "survives pooling",
        "its form is lost",
        "undecided",
    ]
    assert {t.get_text() for t in ax.texts} == {"Y", "X", "Z", "K"}


def test_draw_graph__names_are_no_formulas():
    names = [*HOSTILE]
    graph = nx.DiGraph([(names[0], n) for n in names[1:]])
    ax = draw_graph(graph, dict.fromkeys(graph.edges, "lost"))
    assert not any(t.get_parse_math() for t in ax.texts)
    assert max(len(t.get_text()) for t in ax.texts) <= 18
    assert svg_of(ax)["src"].startswith("data:image/svg+xml")


# --- in a browser ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(find_chromium(), tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, text):
    place = tmp_path_factory.mktemp("pages")
    (place / "fork.html").write_text(text, encoding="utf-8")
    (place / "hostile.html").write_text(hostile_page(), encoding="utf-8")
    (place / "large.html").write_text(large_page(), encoding="utf-8")
    return place


ROWS = (
    "[...document.querySelectorAll('#{}-table tbody tr')]"
    ".map(r => [...r.cells].map(c => c.textContent.trim()))"
)


@pytest.mark.parametrize("name", ["fork", "hostile", "large"])
@pytest.mark.parametrize("width", [1440, 390])
def test_browser__no_complaint_no_request_and_no_sideways_scroll(browser, folder, name, width):
    path = folder / f"{name}.html"
    browser.open(path, width=width)
    browser.run("Promise.all([...document.images].map(i => i.decode()))")
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
    assert browser.run("typeof window.pwned") == "undefined"
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_browser__policy_stops_a_script_that_got_in(browser, folder):
    browser.open(folder / "hostile.html")
    browser.run(BREAK_IN)
    assert browser.run("typeof window.pwned") == "undefined"


def test_browser__script_shows_the_rows_that_stand_in_the_page(browser, folder, page, text):
    browser.open(folder / "fork.html")
    for name, content in zip(("mechanisms", "separations"), tables(page), strict=True):
        bare = re.search(rf'id="{name}-table".*?<tbody>(.*?)</tbody>', text, re.S)[1]
        rows = [re.findall(r"<td.*?>(.*?)</td>", row, re.S) for row in bare.split("</tr>")[:-1]]
        plain = [[re.sub(r"<.*?>", "", cell).strip() for cell in row] for row in rows]
        assert browser.run(ROWS.format(name)) == plain
        assert len(plain) == len(content["rows"])


def test_browser__separations_are_searched_and_filtered(browser, folder):
    browser.open(folder / "large.html")
    status = "document.querySelector('#separations-table [role=status]').textContent"
    everything = int(browser.run(status).split("of ")[1].split()[0].replace(",", ""))
    browser.run(
        "(s => { s.value = 'fails'; s.dispatchEvent(new Event('change')); })"
        "(document.querySelector('#separations-table select'))"
    )
    assert browser.run(status).endswith(f"of {(everything + 1) // 3} rows")
    browser.run(
        "(i => { i.value = 'GENE47'; i.dispatchEvent(new Event('input')); })"
        "(document.querySelector('#separations-table input'))"
    )
    rows = browser.run(ROWS.format("separations"))
    assert len(rows) > 0
    assert all(any("GENE47" in cell for cell in row[:3]) and row[3] == "fails" for row in rows)


def test_browser__verdicts_are_told_apart_without_colour(browser, folder):
    marks = {}
    for name in ("fork", "large"):
        browser.open(folder / f"{name}.html")
        marks |= browser.run(
            "Object.fromEntries([...document.querySelectorAll('#mechanisms-table td.word')]"
            ".map(c => [c.textContent, getComputedStyle(c, '::after').content]))"
        )
    assert len({marks[word] for word in ("holds", "fails", "undecided")} - {"none"}) == 3


# --- written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "missing/page.html"])
def test_write_model_page__refuses_a_place_that_is_no_file(tmp_path, name):
    with pytest.raises(InputError, match="a file in a folder that exists"):
        write_model_page(None, tmp_path / name)
