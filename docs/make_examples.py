"""Run the pages and put what their commands print now into their text blocks.

    python docs/make_examples.py                      all pages
    python docs/make_examples.py tutorials/bulk.md    one page

Lines that still fit stay as they are, ``...`` included; read the difference before it is committed. A page
whose programs or data are not there is left alone, and said so.
"""

from __future__ import annotations

import difflib
import re
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
TESTS = ROOT / "tests"


def renewed(shown: str, found: str) -> str:
    """The text of a block with the lines that no longer fit replaced by those of the output.

    A line of ``...`` stands for any number of lines: the parts between are looked for in order.

    Examples
    --------
    >>> renewed("took ... s\\n5 pairs\\n", "took 3 s\\n7 pairs\\n")
    'took ... s\\n7 pairs\\n'
    >>> renewed("...\\n5 pairs\\n", "one\\ntwo\\n7 pairs\\n")
    '...\\n7 pairs\\n'
    """
    output = [line.rstrip() for line in found.strip("\n").split("\n")]
    parts = [
        part.split("\n") if part else [] for part in re.split(r"(?m)^\s*\.\.\.\s*(?:\n|$)", shown.strip("\n"))
    ]
    parts = [[line for line in part if line or len(part) > 1] for part in parts]
    if len(parts) == 1:
        return "\n".join(_kept(parts[0], output)) + "\n"
    made: list[str] = []
    place = 0
    for i, part in enumerate(parts):
        part = part[:-1] if part and not part[-1] else part
        if i == 0:
            window = output[: len(part)]
        elif i == len(parts) - 1 and part:
            window = output[max(place, len(output) - len(part)) :]
        else:
            place = _best(part, output, place)
            window = output[place : place + len(part)]
        place += len(window)
        made += _kept(part, window)
        if i < len(parts) - 1:
            made.append("...")
    return "\n".join(made) + "\n"


def _best(part: list[str], output: list[str], start: int) -> int:
    """Where in the output the part fits best."""
    places = range(start, max(len(output) - len(part), start) + 1)
    likeness = [
        sum(difflib.SequenceMatcher(None, a, b).ratio() for a, b in zip(part, output[j:], strict=False))
        for j in places
    ]
    return start + likeness.index(max(likeness))


def _kept(shown: list[str], found: list[str]) -> list[str]:
    """Lines of the output, or those shown where they fit."""
    fits = lambda line, real: re.fullmatch(".*".join(map(re.escape, line.split("..."))), real)  # noqa: E731
    pairs = [(line, real) for line in shown for real in found if "..." in line and fits(line, real)]
    shorter = {real: line for line, real in pairs}
    return [shorter.get(real, real) for real in found]


def renew(page: Path, tools: dict[str, Any]) -> None:
    """Run a page and write it anew."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in tools["needs"](page):
            tools["bring"](name, place)
        blocks = [block for block in tools["read_blocks"](page) if block.runs]
        examples = tools["EXAMPLES"] / page.stem
        if examples.is_dir():
            tools["shutil"].copytree(examples, place, dirs_exist_ok=True)
        outputs = tools["run"](blocks, place)
    text = page.read_text(encoding="utf-8")
    for block, output in zip(blocks, outputs, strict=True):
        if block.shown is not None and tools["first_difference"](block.shown, output):
            old = f"```text\n{block.shown}```"
            text = text.replace(old, f"```text\n{renewed(block.shown, output)}```", 1)
    page.write_text(text, encoding="utf-8")


def main(names: list[str]) -> None:
    """Renew the pages named, or all."""
    sys.path[:0] = [str(TESTS), str(TESTS / "project")]
    tools = runpy.run_path(str(TESTS / "project" / "test_docs_examples.py"), run_name="pages")
    pages = [DOCS / name for name in names] or tools["RUNNABLE"]
    for page in pages:
        said = str(page.relative_to(DOCS))
        try:
            renew(page, tools)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            said += f": left alone: {error}"
        sys.stderr.write(said + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
