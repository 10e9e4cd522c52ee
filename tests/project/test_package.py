"""The package as a whole: what importing it costs, where its names are, and what every public one owes."""

import ast
import inspect
import json
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import poolproof
from poolproof._moved import MOVED

ROOT = Path(__file__).resolve().parents[2]
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
        "drawing = {'write_report', 'write_model_page', 'collect', 'export_edges', 'read_audit'}\n"
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


def typed_names(package):
    """Names that the type checker sees in a face, and the modules they come from."""
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    return {a.name: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}


def test_lazy_names__agree_with_all_and_with_the_type_checker():
    typed = typed_names(poolproof)
    assert typed == poolproof._MODULE_OF
    assert sorted(typed) == sorted(poolproof.__all__)


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"cli"}))
def test_faces__give_every_name_that_they_list(room):
    face = import_module(f"poolproof.{room}")
    assert typed_names(face) == face._MODULE_OF
    assert dir(face) == sorted(face._MODULE_OF)
    for name, module in face._MODULE_OF.items():
        assert getattr(face, name) is getattr(import_module(f"poolproof.{room}.{module}"), name)


@pytest.mark.parametrize("room", ROOMS)
def test_faces__say_how_to_read_the_room(room):
    said = import_module(f"poolproof.{room}").__doc__
    modules = {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__", "__main__"}
    unnamed = {module for module in modules if f"``{module}``" not in said}
    assert not unnamed, "the docstring of a room names its modules in the order in which they are read"


DOCUMENTED = {
    "poolproof.pairs": ["Linearity", "linearity"],
    "poolproof.verdict": ["Audit"],
    "poolproof.triples": ["Triples", "screen_triples"],
    "poolproof.repooling": ["PoolingCurves"],
    "poolproof.pools": ["pool_cells"],
    "poolproof.report": ["write_report"],
    "poolproof.study": ["Study", "run_study"],
    "poolproof.citest": ["ci_test", "fisher_z_test", "kernel_test"],
    "poolproof.conditions": ["check"],
    "poolproof.mechanisms": ["parse_equation"],
    "poolproof.expression": ["Expression"],
    "poolproof.aggregation": ["Aggregation"],
    "poolproof.basis": ["spline_basis"],
    "poolproof.curves": ["fitted_curve"],
    "poolproof.equations": ["joint_equations"],
    "poolproof.plot": ["pair", "genes", "triple"],
    "poolproof.cli": ["main", "commands"],
}


@pytest.mark.parametrize("path", DOCUMENTED)
def test_documented_paths__can_be_imported(path):
    # In a process of its own: what other tests have imported must not help.
    script = f"from {path} import {', '.join(DOCUMENTED[path])}\nimport {path}\n{path}.{DOCUMENTED[path][0]}"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_former_names__are_the_same_modules():
    for name, now in MOVED.items():
        assert import_module(f"poolproof.{name}") is import_module(f"poolproof.{now}")
        assert getattr(poolproof, name) is import_module(f"poolproof.{now}")
        assert not list(PACKAGE.glob(f"{name}*")), "a former name must not hide a module"


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


def test_plot__shows_its_pictures_and_nothing_else():
    assert dir(poolproof.plot) == sorted(poolproof.plot.__all__)
    for name in poolproof.plot.__all__:
        assert inspect.isfunction(getattr(poolproof.plot, name))
