"""Every page of the documentation, followed to the letter: its commands run, its output is what it shows.

A page's fenced ``sh`` and ``python`` blocks run in order in one empty folder; its python blocks share one
namespace. A ``text`` block after one of them is its output (standard output and standard error), where
``...`` stands for anything in a line, and a line of ``...`` for any number of lines. Comments in a page:
``<!-- not run: REASON -->`` before a block; ``<!-- needs: NAME -->`` anywhere, a program on the PATH or a
data file, which is put into the folder; ``<!-- file: PATH -->`` before a block that shows a file of the
page's ``examples``; ``<!-- save: PATH -->`` before a block that a reader saves under that name.
"""

import ast
import contextlib
import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import traceback
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from helpers import missing, shared_data

import poolproof
from poolproof.aggregation import _NAMED
from poolproof.cli import commands
from poolproof.models.expressions import FUNCTIONS, usage
from poolproof.models.laws import FAMILIES
from poolproof.models.mechanisms import KERNELS
from poolproof.models.model_file import GENE_KEYS, KEYS, TYPE_KEYS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "how-to" / "examples"


# --- the other process: `python test_docs_examples.py < blocks.json` ---------------------------------


def run_blocks(blocks):
    """Run (language, code) in order; return the outputs up to the first failure, and that failure."""
    namespace, outputs = {"__name__": "__main__"}, []
    for language, code in blocks:
        output, error = run_python(code, namespace) if language == "python" else run_shell(code)
        outputs.append(output)
        if error:
            return outputs, error
    return outputs, None


def run_python(code, namespace):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            exec(compile(code, "<page>", "exec"), namespace)
        except BaseException:
            return said.getvalue(), traceback.format_exc()
    return said.getvalue(), None


def run_shell(code):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.stdout, f"exit code {done.returncode}" if done.returncode else None


# --- pages -----------------------------------------------------------------------------------------


@dataclass
class Block:
    """A fenced block, the comment before it, and the output that the page shows for it."""

    language: str
    code: str
    line: int
    comment: str = ""
    shown: str | None = None

    @property
    def runs(self):
        is_code = self.language in ("sh", "python") or self.comment.startswith("save:")
        return is_code and not self.comment.startswith(("not run:", "file:"))

    @property
    def step(self):
        """Language and code of what is done with the block."""
        if not self.comment.startswith("save:"):
            return self.language, self.code
        return "python", f"open({self.comment[6:]!r}, 'w', encoding='utf-8').write({self.code!r})"


def read_blocks(path):
    """Fenced blocks of a page, each text block joined to the one before it."""
    blocks, comment, fence = [], "", None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if fence is not None:
            if line == "```":
                blocks.append(fence)
                fence, comment = None, ""
            else:
                fence.code += line + "\n"
        elif line.startswith("```"):
            fence = Block(line.removeprefix("```"), "", number, comment)
        elif found := re.fullmatch(r"<!-- ((?:not run|file|save): .+) -->", line):
            comment = found[1]
    assert fence is None, f"{path.name}: a block is not closed"
    for block, after in pairwise(blocks):
        if block.runs and after.language == "text":
            block.shown = after.code
    return blocks


def needs(path):
    """Programs and data files that a page says it needs."""
    return re.findall(r"(?m)^<!-- needs: (.+) -->$", path.read_text(encoding="utf-8"))


def bring(name, folder):
    """Put a data file into a folder, or make sure of a program; skip without it, under CI=true fail."""
    if name.endswith(".h5ad"):
        (folder / name).symlink_to(shared_data(name))
    elif shutil.which(name) is None:
        missing(f"the program {name} on the PATH")


def environment():
    """Return an environment with this installation's command first, one thread, and no window system."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return os.environ | one | {"PATH": path, "MPLBACKEND": "Agg", "COLUMNS": "100", "PYTHONHASHSEED": "0"}


def run(blocks, folder):
    """Run blocks in a folder, in a process of their own; return each block's output."""
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps([block.step for block in blocks]),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT / "tests")},
        check=True,
    )
    outputs, error = json.loads(done.stdout)
    if error:
        failed = blocks[len(outputs) - 1]
        pytest.fail(f"line {failed.line}:\n{failed.code}\n{outputs[-1]}\n{error}", pytrace=False)
    return outputs


# --- output ----------------------------------------------------------------------------------------


def first_difference(shown, found):
    """Say where an output differs from the text of the page; None where it does not."""
    shown, found = shown.split("\n"), found.split("\n")
    shown, found = ([line.rstrip() for line in lines] for lines in (shown, found))
    strip = lambda lines: "\n".join(lines).strip("\n").split("\n")  # noqa: E731
    return _differ(strip(shown), strip(found))


def _differ(shown, found):
    for i, line in enumerate(shown):
        if line.strip() == "...":
            rest = shown[i + 1 :]
            tails = [found[j:] for j in range(i, len(found) + 1)]
            results = [_differ(rest, tail) for tail in tails]
            return None if None in results else f"nothing fits after the ... before {rest[0]!r}"
        if i >= len(found):
            return f"the output ends before {line!r}"
        pattern = ".*".join(re.escape(part) for part in line.split("..."))
        if not re.fullmatch(pattern, found[i]):
            return f"the page shows\n  {line}\nthe output is\n  {found[i]}"
    return f"the page does not show {found[len(shown)]!r}" if len(found) > len(shown) else None


@pytest.mark.parametrize(
    ("shown", "found", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a\nb\n", "a\n", False),
        ("took ... s", "took 3.1 s", True),
        ("took ... s", "took 3.1 min", False),
        ("...\nb", "x\ny\nb", True),
        ("...\nb", "x\ny\nc", False),
        ("a\n...", "a\nb\nc", True),
        ("a\n...\nd", "a\nd", True),
        ("a.c", "abc", False),
    ],
)
def test_first_difference__dots_stand_for_anything(shown, found, same):
    assert (first_difference(shown, found) is None) is same


# --- the pages, run --------------------------------------------------------------------------------

PAGES = sorted(path for part in ("tutorials", "how-to") for path in (DOCS / part).glob("*.md"))


EXPLAINED = sorted((DOCS / "explanation").glob("*.md"))
RUNNABLE = [path for path in [*PAGES, *EXPLAINED] if any(block.runs for block in read_blocks(path))]


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_page__does_what_it_shows(path, tmp_path):
    for name in needs(path):
        bring(name, tmp_path)
    blocks = [block for block in read_blocks(path) if block.runs]
    if (EXAMPLES / path.stem).is_dir():
        shutil.copytree(EXAMPLES / path.stem, tmp_path, dirs_exist_ok=True)
    for block, output in zip(blocks, run(blocks, tmp_path), strict=True):
        if block.shown is not None:
            difference = first_difference(block.shown, output)
            assert difference is None, f"{path.name}, block at line {block.line}: {difference}\n\n{output}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page__shows_the_files_of_its_example(path):
    for block in read_blocks(path):
        if block.comment.startswith("file:"):
            file = EXAMPLES / path.stem / block.comment.removeprefix("file:").strip()
            assert block.code == file.read_text(encoding="utf-8"), f"line {block.line}: {file.name} differs"


def test_index__has_one_sentence_for_each_page():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w/-]+\.md)\)", index))
    assert linked == {str(path.relative_to(DOCS)) for path in DOCS.glob("*/*.md")}


# --- the verdict's sentences -----------------------------------------------------------------------


def source_of(module):
    """File of a module, which is not imported."""
    return Path(find_spec(module).origin)


def verdict_sentences():
    """Sentences that say why, and what a verdict does not say; ``…`` for what is filled in."""
    told = ("decide", "_bent", "_straight", "_blocked", "_nothing_explained", "_size")
    told += ("limits_of", "_left_out_of_equations", "_of_triples")
    files = [source_of(module) for module in ("poolproof.verdict.decision", "poolproof.verdict.caveats")]
    nodes = [node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name in told]
    assert len(functions) == len(told)
    texts = [text for function in functions for text in strings(function)]
    return [text for text in texts if len(text) > 30]


def strings(function):
    """Text of each string in a function, outermost ones only, without its docstring."""
    found, waiting = [], list(function.body[1:] if ast.get_docstring(function) else function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.JoinedStr):
            found.append("".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return found


def test_reading_the_verdict__explains_every_sentence():
    page = (DOCS / "how-to" / "reading-the-verdict.md").read_text(encoding="utf-8")
    quotes = re.findall(r"(?<=\n\n)> (.+)(?=\n\n)", page)
    fragments = [part.strip() for quote in quotes for part in quote.split("…") if len(part.strip()) > 15]
    sentences = verdict_sentences()
    assert len(sentences) > 15
    assert not [text for text in sentences if not any(part in text for part in fragments)], "not explained"
    assert not [part for part in fragments if not any(part in text for text in sentences)], "no longer said"


# --- the rules of check ------------------------------------------------------------------------------

JUDGES = (
    "poolproof.theory.affine_form",
    "poolproof.theory.alike",
    "poolproof.theory.axis",
    "poolproof.theory.circles",
    "poolproof.theory.coincidence",
    "poolproof.theory.forms",
    "poolproof.theory.one_edge",
    "poolproof.theory.separations",
    "poolproof.theory.pooled_model",
    "poolproof.theory.independence",
    "poolproof.theory.enumeration",
    "poolproof.theory.breaks",
    "poolproof.theory.conditions",
    "poolproof.theory.no_product",
    "poolproof.theory.pieces",
    "poolproof.theory.shared_bends",
    "poolproof.theory.small_bends",
    "poolproof.theory.listed_cells",
    "poolproof.theory.searched",
    "poolproof.theory.clock",
)
"""Modules whose rules ``check`` answers with."""
RULE_ARGUMENT = {"Form": 2, "Edge": 1, "TimeoutError": 0}
"""Place of the rule among the arguments."""
SAYS_RULES = (
    "_axis_words",
    "_rule_of",
    "rule_text",
    "bent_together",
    "ends_move_together",
    "bends_covary",
    "out_of_time",
)
"""Functions that add to a rule."""


def rules_in(tree):
    """Expressions of a module that become the rule of an answer."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            place = RULE_ARGUMENT.get(getattr(node.func, "id", ""), 99)
            yield from node.args[place : place + 1]
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "rule")
        elif isinstance(node, ast.Assign) and re.search(r"\b(rule|what)\W*$", ast.unparse(node.targets[0])):
            yield node.value.elts[-1] if isinstance(node.value, ast.Tuple) else node.value
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            if re.search("HOLDS|FAILS|UNDECIDED|True|False", ast.unparse(node.value.elts[0])):
                yield node.value.elts[-1]
        elif isinstance(node, ast.FunctionDef) and node.name in SAYS_RULES:
            yield from (part.value for part in ast.walk(node) if isinstance(part, ast.Return | ast.AugAssign))


def templates(node):
    """Texts that an expression may be, with ``…`` for what is filled in."""
    if isinstance(node, ast.IfExp):
        return templates(node.body) | templates(node.orelse)
    if isinstance(node, ast.JoinedStr):
        return {"".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)}
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def explained_rules():
    page = (DOCS / "explanation" / "rules-of-check.md").read_text(encoding="utf-8")
    return {rule.strip() for rule in re.findall(r"(?m)^> (.+)$", page)}


def fits(rule, template):
    return re.fullmatch(".*".join(map(re.escape, template.split("…"))), rule) is not None


def test_rules_of_check__explains_every_rule():
    sources = [source_of(module) for module in (*JUDGES, "poolproof.theory.text")]
    trees = [ast.parse(source.read_text(encoding="utf-8")) for source in sources]
    said = {text for tree in trees for rule in rules_in(tree) for text in templates(rule)}
    said, explained = ({rule.strip(" …") for rule in rules} - {""} for rules in (said, explained_rules()))
    assert len(said) > 50
    assert not said - explained, "not explained"
    assert not explained - said, "no longer said"


@pytest.mark.parametrize("name", ["and-gate", "poisson-chain", "cell-types", "random-cells", "log1p-sum"])
def test_rules_of_check__explains_what_a_model_is_told(name):
    found = poolproof.check(poolproof.example_model(name)).summary
    told = {row["rule"] for part in ("mechanisms", "separations") for row in found[part]}
    known = explained_rules()
    assert told
    assert not {rule for rule in told if not any(fits(rule, template) for template in known)}


# --- the model file ----------------------------------------------------------------------------------


def test_write_a_model__has_every_law_function_kernel_and_aggregation():
    page = (DOCS / "how-to" / "write-a-model.md").read_text(encoding="utf-8")
    kernels = {f"{name}({', '.join(kind.signature)})" for name, kind in KERNELS.items()}
    told = {*map(usage, FUNCTIONS), *kernels, *(f"{law}(" for law in FAMILIES), *KEYS, *GENE_KEYS, *TYPE_KEYS}
    assert not [text for text in told if f"`{text}" not in page]
    assert not [name for name in ("power(2)", *_NAMED) if not re.search(rf"`\W*{re.escape(name)}\W*`", page)]


# --- README ----------------------------------------------------------------------------------------

STAND_INS = """
import numpy as np
import pandas as pd

import poolproof

cells = poolproof.load_dataset("sc_mixology_10x_3lines")
cells = cells[:, cells.to_df().mean() >= 10].copy()
cells.var_names = ["STAT1", "IRF1", *cells.var_names[2:]]
cells.obs["cell_type"] = cells.obs["cell_line"].to_numpy()
cells.obs["donor"] = np.resize(list("abcdefgh"), cells.n_obs)
cells.layers["counts"] = cells.X.copy()
cells.write_h5ad("pbmc.h5ad")

bulk = poolproof.load_dataset("bulk_saureus_imodulon")
genes = bulk.to_df().iloc[:, 500:540]
(2**genes).to_csv("expression.csv.gz")
np.log2(2**genes + 1).to_csv("log_tpm.csv")
groups = {"tissue": bulk.obs["reference"], "batch": bulk.obs["project"], "study": bulk.obs["project"]}
pd.DataFrame(groups).to_csv("samples.csv")
names = genes.columns
pd.DataFrame({"regulator": names[:30], "target": names[10:]}).to_csv("regulon.csv", index=False)
"""
"""Small files under the names that README uses."""

README = read_blocks(ROOT / "README.md")
NOT_HERE = {
    "make demo": "tests/project/test_makefile.py runs make",
    "pip install": ".ci/run installs the package elsewhere",
    "poolproof datasets list\npoolproof audit dataset:": "as make demo",
}
README_EXAMPLES = [block for block in README if block.runs and not block.code.startswith(tuple(NOT_HERE))]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand_ins")
    run([Block("python", STAND_INS, 0)], folder)
    model = next(block for block in README if block.language == "yaml")
    (folder / "fork.yaml").write_text(model.code, encoding="utf-8")
    return folder


@pytest.mark.parametrize("block", README_EXAMPLES, ids=lambda block: f"line {block.line}")
def test_readme__example_runs(block, stand_ins, tmp_path, monkeypatch):
    folder = shutil.copytree(stand_ins, tmp_path / "here")
    if block.language == "python":
        run([block], folder)
    else:
        monkeypatch.chdir(folder)
        for command in poolproof_commands(block.code):
            commands.main(command, standalone_mode=False)
    if "audit" in block.code:
        assert (folder / "audit" / "report.html").is_file()
        assert json.loads((folder / "audit" / "verdict.json").read_text(encoding="utf-8"))["verdict"]


def poolproof_commands(code):
    """Arguments of each poolproof command of a block; run in this process, they start at once."""
    lines = code.replace("\\\n", " ").splitlines()
    words = [shlex.split(line.partition("&&")[0], comments=True) for line in lines]
    assert all(first == "poolproof" for first, *_ in words)
    return [rest for _, *rest in words]


# --- Nextflow, whose scripts are run without it ------------------------------------------------------


def nextflow_script(process, variables):
    """Shell script of a process of main.nf, with its variables filled in; an unknown one is an error."""
    text = (EXAMPLES / "nextflow" / "main.nf").read_text(encoding="utf-8")
    script = re.search(rf'process {process} {{.*?script:.*?"""\n(.*?)"""', text, re.S)[1]
    filled = re.sub(r"\$\{(.+?)\}", lambda found: variables[found[1]], script)
    return filled.replace("\\\\", "\\")


def test_nextflow__scripts_of_both_processes_run(tmp_path):
    example = EXAMPLES / "nextflow"
    rows = read_csv(example / "datasets.csv")
    row = next(row for row in rows if row["samples"])
    page = read_blocks(DOCS / "how-to" / "snakemake.md")
    run([next(block for block in page if block.language == "python" and block.runs)], tmp_path)
    assert all((tmp_path / name).is_file() for row in rows for name in (row["input"], row["samples"]) if name)
    variables = {
        "name": row["name"],
        "expression": row["input"],
        "table": f"--samples {row['samples']}",
        "options": row["options"],
        "task.cpus": "1",
        "task.memory.toMega()": "4096",
        "audits": row["name"],
    }
    audit, collect = (nextflow_script(process, variables) for process in ("AUDIT", "COLLECT"))
    run([Block("sh", audit, 0), Block("sh", collect, 0)], tmp_path)
    table = read_csv(tmp_path / "summary" / "collected.csv")
    verdict = json.loads((tmp_path / row["name"] / "verdict.json").read_text(encoding="utf-8"))
    assert [(line["audit"], line["verdict"]) for line in table] == [(row["name"], verdict["verdict"])]
    assert (tmp_path / row["name"] / "report.html").is_file()


def read_csv(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


if __name__ == "__main__":
    json.dump(run_blocks(json.load(sys.stdin)), sys.stdout)
