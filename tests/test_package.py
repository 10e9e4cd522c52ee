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

FILES = [path for path in PACKAGE.rglob("*.py") if path.stem != "__init__"]
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
FUNCTIONS = [name for name in poolproof.__all__ if name.islower()]  # classes are in capitals


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
    assert not set(poolproof.__all__) & ({path.stem for path in FILES} | set(ROOMS))
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert path.stem not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


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
    for file in ("py.typed", "verdict/verdict.schema.json", "data/embedded/README.md", "data/datasets.yaml"):
        assert (PACKAGE / file).is_file()
