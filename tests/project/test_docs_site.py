"""The site of ``make docs``: its sidebar has every page, and the links of every page lead somewhere."""

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LANDING = DOCS / "index.md"
THIS = Path(__file__).resolve()
SETTINGS = runpy.run_path(str(DOCS / "conf.py"))
PAGES = sorted(path for pattern in SETTINGS["include_patterns"] for path in ROOT.glob(pattern))


def short(path):
    return str(path.relative_to(ROOT))


# --- the sidebar ----------------------------------------------------------------------------------------


def sidebar():
    """Pages of each toctree of the landing page, by caption."""
    pages = {}
    for tree in re.findall(r"(?ms)^```\{toctree\}\n(.*?)^```", LANDING.read_text(encoding="utf-8")):
        options, entries = tree.split("\n\n")
        caption = re.search(r":caption: (.+)", options)[1]
        targets = [re.sub(r".*<(.+)>", r"\1", entry) for entry in entries.split("\n") if entry]
        pages[caption] = [(ROOT if to[0] == "/" else DOCS) / f"{to.lstrip('/')}.md" for to in targets]
    return pages


def test_sidebar__has_every_page_once():
    listed = [path for pages in sidebar().values() for path in pages]
    assert sorted(listed) == [path for path in PAGES if path != LANDING], "change docs/index.md"


def test_sidebar__has_the_kinds_and_the_order_of_the_list_of_pages():
    parts = re.split(r"(?m)^\*\*(.+?)\*\*", (DOCS / "README.md").read_text(encoding="utf-8"))
    kinds = dict(zip(parts[1::2], parts[2::2], strict=True))
    listed = {kind: [DOCS / link for link in links_of(text)] for kind, text in kinds.items()}
    shown = sidebar()
    assert [*shown] == [*listed, "Project"]
    assert {kind: shown[kind] for kind in listed} == listed, "docs/index.md and docs/README.md differ"


def test_landing_page__its_commands_are_those_of_readme():
    """Those of README are run, by other tests or by .ci/run."""
    shown, readme = map(commands_of, (LANDING, ROOT / "README.md"))
    assert shown
    assert shown <= readme


def commands_of(path):
    """Lines of the sh blocks of a page, without comments."""
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", path.read_text(encoding="utf-8"))
    return {line.partition("#")[0].strip() for block in blocks for line in block.splitlines()}


# --- the method -----------------------------------------------------------------------------------------

METHOD = DOCS / "explanation" / "method.md"
NUMBER = r"\d+[a-z]?(?:\.\d+)?"


def cited_sections(text):
    """Sections that a text cites: "method 6.3", "method 4, 5", "method 6 and 7", "method 1 to 5"."""
    lists = re.findall(rf"(?i)\bmethod\s+({NUMBER}(?:(?:,| and| to)\s+{NUMBER})*)", text)
    return {number for found in lists for number in re.findall(NUMBER, found)}


def test_cited_sections__are_found_in_any_form():
    text = "method 6.3: a line (Method\n 7a), method 1 to 5; method 8.1, 8.10 and 9, this method. methods 3"
    assert cited_sections(text) == {"6.3", "7a", "1", "5", "8.1", "8.10", "9"}


def test_method__has_every_section_that_is_cited():
    """By the code, its pages and its tests; a section that moves takes its citations along."""
    sections = set(re.findall(rf"(?m)^#{{2,3}} ({NUMBER})\.? ", METHOD.read_text(encoding="utf-8")))
    folders = [ROOT / "src", ROOT / "tests", DOCS]
    paths = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".j2", ".md")]
    cited = {short(path): cited_sections(path.read_text(encoding="utf-8")) for path in paths if path != THIS}
    assert len([path for path in cited if cited[path] and path.startswith("src")]) > 30
    assert not {path: unknown for path in cited if (unknown := cited[path] - sections)}, "no such section"


# --- links ----------------------------------------------------------------------------------------------


def without_code(text):
    return re.sub(r"(?ms)^ *(```|~~~).*?^ *\1", "", text)


def anchors_of(path):
    """Anchors that GitHub gives the headings of a page."""
    text = without_code(path.read_text(encoding="utf-8"))
    seen, anchors = {}, set()
    for heading in re.findall(r"(?m)^#{1,6} (.+)$", text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = seen[anchor] = seen.get(anchor, -1) + 1
        anchors.add(f"{anchor}-{number}" if number else anchor)
    return anchors


def links_of(text):
    """Targets of the links and pictures of a page."""
    text = re.sub(r"(?<!\[)`[^`\n]+`(?!\])", "", without_code(text))
    return re.findall(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", text)


def broken_links(path):
    """What is wrong with a page's links; a folder is no target, since the site has no page for it."""
    for link in links_of(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        place = (path.parent / target).resolve() if target else path
        if not place.is_file() or not place.is_relative_to(ROOT):
            yield f"{link}: no such file"
        elif anchor and place.suffix == ".md" and anchor not in anchors_of(place):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("path", PAGES, ids=short)
def test_links__lead_somewhere(path):
    assert list(broken_links(path)) == []


def test_links__broken_ones_are_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, `with` code\n## Twice\n## Twice\n[1](#a-heading-with-code) [`2`](page.md#twice-1)\n"
        "[3](gone.md) [4](#twice-2)\n![5](gone.svg) [6](https://example.org/gone)\n```\n[7](gone)\n```\n"
        "`[8](gone)` [9](.)\n",
        encoding="utf-8",
    )
    assert list(broken_links(page)) == [
        "gone.md: no such file",
        "#twice-2: no such heading",
        "gone.svg: no such file",
        ".: no such file",
    ]


# --- notebooks, which `make docs` runs ---------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((DOCS / "notebooks").glob("*.md")), ids=lambda path: path.stem)
def test_notebooks__every_picture_is_told_in_words(path):
    cells = re.findall(r"(?ms)^```\{code-cell\} python\n(.*?)^```", path.read_text(encoding="utf-8"))
    assert cells
    for cell in cells:
        draws = ".figure" in cell.replace(".figure_format", "") or "subplots(" in cell
        assert draws == ("alt:" in cell), cell
