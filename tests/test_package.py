"""The package as a whole: what importing it costs, who imports whom, and what every public name owes."""

import ast
import inspect
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import poolproof

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "poolproof"

# A module imports only from modules before it. A new module gets its place here.
ORDER = (
    "_names",
    "_checks",
    "_random",
    "_arrays",
    "_files",
    "_scale",
    "_depth",
    "_containers",
    "_formats",
    "_tenx",
    "io",
    "expression",
    "samples",
    "matching",
    "networks",
    "_registry",
    "_download",
    "datasets",
    "design",
    "basis",
    "calls",
    "_outcome",
    "_regression",
    "_score_test",
    "_counts",
    "_count_test",
    "control",
    "_screen",
    "_rows",
    "_tally",
    "_plan",
    "_analysis",
    "_triple_choice",
    "_partial",
    "_triple_score",
    "_triple_counts",
    "_triple_screen",
    "_triple_table",
    "_annotate",
    "_notebook",
    "curves",
    "pairs",
    "triples",
    "_figures",
    "_triple_figures",
    "_additive",
    "equations",
    "citest",
    "confirmation",
    "_grouping",
    "aggregation",
    "_pooling",
    "pools",
    "_pool_draws",
    "_pool_measures",
    "_pool_meter",
    "_pool_choice",
    "repooling",
    "_claims",
    "_given_sets",
    "_network_nodes",
    "_edge_status",
    "network_claims",
    "_caveats",
    "_survival",
    "decision",
    "verdict",
    "_plotted",
    "_drawing",
    "plot",
    "_page",
    "_page_table",
    "_report_tables",
    "_report_pictures",
    "_report_survival",
    "report",
    "_study_plan",
    "_study_subject",
    "_study_controls",
    "_study_edges",
    "_study_steps",
    "_study_findings",
    "_study_summary",
    "_study_pictures",
    "study_page",
    "study",
    "_syntax",
    "_support",
    "_families",
    "_finite_laws",
    "_laws",
    "_algebra",
    "_expressions",
    "_ranges",
    "mechanisms",
    "scm",
    "_yaml",
    "_model_file",
    "_blocks",
    "simulate",
    "_axis",
    "_coincidence",
    "_witness",
    "_one_edge",
    "_affine_form",
    "_special_forms",
    "_functional_form",
    "_separations",
    "_limits",
    "_enumeration",
    "_break_test",
    "_check_text",
    "_pooled_model",
    "_independence",
    "_model_verdict",
    "conditions",
    "examples",
    "_graph_picture",
    "model_page",
    "_cli_options",
    "cli_datasets",
    "cli_models",
    "cli_pools",
    "cli_study",
    "cli",
)
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
FUNCTIONS = [name for name in poolproof.__all__ if name.islower()]  # classes are in capitals


def imported_modules(path: Path) -> set[str]:
    """Names of the sibling modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                found |= {module.split(".")[0]} if module else {alias.name for alias in node.names}
            elif module == "poolproof":
                found |= {alias.name for alias in node.names}
            elif module.startswith("poolproof."):
                found.add(module.split(".")[1])
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {parts[1] for parts in names if parts[0] == "poolproof" and len(parts) > 1}
    return found & set(MODULES)


def test_order__names_every_module_once():
    assert len(set(ORDER)) == len(ORDER)
    assert sorted(ORDER) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_order__imports_only_from_above(module):
    allowed = set(ORDER[: ORDER.index(module)])
    assert imported_modules(PACKAGE / f"{module}.py") <= allowed


def test_imported_modules__sees_every_form(tmp_path):
    path = tmp_path / "sample.py"
    path.write_text(
        "import numpy, poolproof._names\n"
        "from poolproof.datasets import x\n"
        "def late():\n    from . import _checks\n    from ._random import stream\n",
        encoding="utf-8",
    )
    assert imported_modules(path) == {"_names", "datasets", "_checks", "_random"}


def test_import__pulls_in_no_heavy_package():
    script = "import json, sys, poolproof; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "poolproof" in loaded
    assert not loaded & {"matplotlib", "statsmodels", "causallearn", "pandas", "anndata", "scipy", "numpy"}


def test_public_names__none_loads_plots_or_reference_packages():
    script = (
        "import json, sys, poolproof\n"
        "drawing = {'write_report', 'write_model_page'}\n"
        "for name in set(poolproof.__all__) - drawing: getattr(poolproof, name)\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout)) & {"matplotlib", "statsmodels", "causallearn"}


def test_version__equals_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert poolproof.__version__ == project["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{project['version']}]" in changelog


def test_unknown_name__is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = poolproof.nonsense
    assert set(poolproof.__all__) < set(dir(poolproof))


def test_lazy_names__agree_with_all_and_with_the_type_checker():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    typed = {a.name: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert typed == poolproof._MODULE_OF
    assert sorted(typed) == sorted(poolproof.__all__)


def test_public_names__none_is_a_module():
    # `import poolproof.read` would replace the function of that name by the module.
    assert not set(poolproof.__all__) & set(MODULES)
    for module in MODULES:
        tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
        assert module not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions__have_a_docstring_with_an_example(name):
    text = inspect.getdoc(getattr(poolproof, name)) or ""
    assert "Examples\n--------" in text
    assert ">>> " in text.split("Examples\n--------")[1]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions__are_where_the_table_says(name):
    function = getattr(poolproof, name)
    assert inspect.isfunction(function)
    assert function.__module__ == f"poolproof.{poolproof._MODULE_OF[name]}"


def test_files__the_package_data_are_not_ignored():
    # hatchling leaves out of the wheel what .gitignore matches: no pattern may reach into src/.
    patterns = (ROOT / ".gitignore").read_text(encoding="utf-8").split("\n")
    loose = [p for p in patterns if p and not p.startswith(("/", "#"))]
    assert loose == ["__pycache__/", "*.egg-info/", ".DS_Store"]
    assert not any(p.startswith("/src") for p in patterns)
    for file in ("py.typed", "verdict.schema.json", "data/README.md"):
        assert (PACKAGE / file).is_file()
