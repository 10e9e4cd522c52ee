"""The part of the report where a gene is followed through pairs and triples, in a browser."""

import pandas as pd
import pytest
from browser import HOSTILE, Browser, find_chromium
from test_audit_page import WORD, hostile_audit, save

from poolproof.report.audit_page import write_report

CALLS = ["nonlinear", "affine", "inconclusive"]
PANEL = "document.querySelector('.panel')"
TEXT = f"{PANEL}.innerText"
FRAME = "[...document.querySelectorAll('.explore input[type=number]')]"
SEARCH = (
    "(i => { i.value = %s; i.dispatchEvent(new Event('change')); })(document.querySelector('.explore input'))"
)
PAINTED = """(canvas => {
  const seen = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return seen.some(value => value);
})(document.querySelector('.explore canvas'))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(find_chromium(), tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = save(hostile_audit(), tmp_path_factory.mktemp("hostile"))
    write_report(place)
    return place


@pytest.fixture(scope="module")
def pairs(folder):
    table = pd.read_parquet(folder / "pairs.parquet")
    return table[table["call"].isin(CALLS)]


@pytest.fixture
def page(browser, folder):
    browser.open(folder / "report.html")
    yield browser
    assert browser.complaints() == []
    assert browser.run("typeof window.pwned") == "undefined"


def test_nothing_is_drawn_before_the_part_is_opened(browser, folder, pairs):
    browser.open(folder / "report.html", unfold=False)
    assert browser.run("document.querySelectorAll('.explore *').length") == 0
    browser.run("document.querySelector('#explore summary').click(), new Promise(d => setTimeout(d, 200))")
    assert browser.run(PAINTED)
    assert browser.run(TEXT).startswith(f"All: {len(pairs)} pairs listed: ")


@pytest.mark.parametrize("name", [WORD, HOSTILE[0], HOSTILE[4], HOSTILE[9]])
def test_a_gene_and_its_pairs(page, pairs, name):
    page.run(SEARCH % repr(name))
    told = page.run(TEXT)
    assert told.startswith(name)
    mine = pairs[(pairs["regulator"] == name) | (pairs["target"] == name)]
    assert f"{len(mine)} pairs listed" in told
    for role, title in (("regulator", "Its targets"), ("target", "Its regulators")):
        n = int((mine[role] == name).sum())
        rows = f"[...{PANEL}.querySelectorAll('h4')].find(h => h.textContent === '{title}')"
        if n:
            more = f"{rows}.nextElementSibling.nextElementSibling"
            page.run(f"{more} && {more}.tagName === 'BUTTON' && {more}.click()")
            assert page.run(f"{rows}.nextElementSibling.children.length") == n
    assert set(page.run("[...document.querySelectorAll('.explore .panel *')].map(e => e.tagName)")) <= {
        *("H3", "H4", "P", "UL", "LI", "BUTTON", "BDI", "SPAN")
    }


def test_triples_of_a_gene_are_those_of_the_file(page, folder):
    triples = pd.read_parquet(folder / "triples.parquet")
    n = int(triples[["x", "y", "z"]].eq(WORD).any(axis=1).sum())
    page.run(SEARCH % repr(WORD))
    assert n > 0
    found = (
        f"[...{PANEL}.querySelectorAll('h4')].find(h => h.textContent === 'Its triples').nextElementSibling"
    )
    page.run(f"{found}.nextElementSibling && {found}.nextElementSibling.click()")
    assert page.run(f"{found}.children.length") == n


def test_a_name_that_is_not_there_is_said(page):
    page.run(SEARCH % "'no such gene'")
    assert "No listed gene" in page.run("document.querySelector('.picked').textContent")
    page.run(SEARCH % repr(WORD))
    assert page.run("document.querySelector('.picked').textContent") == ""


def test_other_genes_are_followed_and_remembered(page):
    page.run(SEARCH % repr(WORD))
    page.run(f"{PANEL}.querySelector('.followed .chip').click()")
    other = page.run(f"{PANEL}.querySelector('h3').textContent")
    assert other != WORD
    assert page.run("document.querySelector('.trail').textContent") == f"Followed: {WORD} \u203a {other}"
    page.run(
        "[...document.querySelectorAll('.explore button')].find(b => b.textContent === 'Show all').click()"
    )
    assert page.run("document.querySelector('.trail')") is None


def test_a_frame_by_its_limits_holds_what_the_table_has_there(page, pairs):
    page.run(f"{FRAME}[0].value = 40, {FRAME}[3].value = 50, {FRAME}[0].dispatchEvent(new Event('change'))")
    inside = pairs[(pairs["r2_spline"] >= 0.4) & (pairs["nonlinear_share"] <= 0.5)]
    assert 0 < len(inside) < len(pairs)
    assert page.run(TEXT).startswith(f"In the frame: {len(inside)} pairs listed: ")


def test_a_frame_is_drawn_with_the_mouse(page, pairs):
    page.run("document.querySelector('.explore canvas').scrollIntoView({block: 'center'})")
    at = "document.querySelector('.explore canvas').getBoundingClientRect()"
    left, top, right, bottom = page.run(f"(r => [r.left, r.top, r.right, r.bottom])({at})")
    places = [(left + 1, top + 1), ((left + right) / 2, (top + bottom) / 2), (right - 1, bottom - 1)]
    for kind, (x, y) in zip(("mousePressed", "mouseMoved", "mouseReleased"), places, strict=True):
        page("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
    sized = pairs.dropna(subset=["r2_spline", "nonlinear_share"])
    assert page.run(TEXT).startswith(f"In the frame: {len(sized)} pairs listed: ")
    assert all(value != "" for value in page.run(f"{FRAME}.map(i => i.value)"))


def test_by_keyboard_from_mark_to_mark_to_gene(page, pairs):
    page.run("document.querySelector('.explore canvas').focus()")
    page.press("ArrowRight")
    first = page.run("document.querySelector('.picked').textContent")
    page.press("ArrowRight")
    assert page.run("document.querySelector('.picked').textContent") not in ("", first)
    regulator, target = page.run("[...document.querySelectorAll('.picked .chip')].map(b => b.textContent)")
    assert ((pairs["regulator"] == regulator) & (pairs["target"] == target)).any()
    page.press("Enter", text="\r")
    assert page.run(f"{PANEL}.querySelector('h3').textContent") == regulator


@pytest.mark.parametrize("width", [1440, 390])
def test_it_fits_the_screen(browser, folder, width):
    browser.open(folder / "report.html", width=width)
    browser.run(SEARCH % repr(WORD))
    beyond = (
        "[...document.querySelectorAll('.explore *')].filter(e => e.getBoundingClientRect().right > "
        "document.documentElement.clientWidth + 1).length"
    )
    assert browser.run(beyond) == 0
    assert browser.run("document.querySelector('.explore canvas').getBoundingClientRect().width") > 250
