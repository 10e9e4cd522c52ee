"""The pictures of the README and of the tutorials show what the data say now."""

import json
import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
FIGURES = DOCS / "figures"
PAGES = [DOCS.parent / "README.md", *sorted((DOCS / "tutorials").glob("*.md"))]


def test_pictures__each_is_shown_and_told_in_words():
    shown = {}
    for page in PAGES:
        for words, target in re.findall(r"(?s)!\[([^\]]+)\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            shown[(page.parent / target).resolve()] = words
    assert set(shown) == set(FIGURES.glob("*.svg"))
    assert all(len(words) > 60 for words in shown.values())


@pytest.mark.parametrize("name", ["pairs_of_cells", "medium_of_bulk"])
def test_pictures__say_what_the_data_say(name):
    draw = runpy.run_path(str(DOCS / "make_pictures.py"))[name]
    facts = json.loads((FIGURES / "pictures.json").read_text(encoding="utf-8"))
    assert draw()[1] == facts[name.partition("_")[0]], "run python docs/make_pictures.py"
