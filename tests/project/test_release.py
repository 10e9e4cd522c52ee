"""What goes to package indexes and registries agrees with the package."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from helpers import needed

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {"matplotlib": "matplotlib-base"}  # without a window system
RECIPE = ROOT / "recipe" / "recipe.yaml"
RELEASE = ROOT / ".github" / "workflows" / "release.yml"


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_recipe__wants_what_the_package_wants():
    recipe = read_yaml(RECIPE)
    assert recipe["context"]["version"] == PROJECT["version"]
    assert f">={recipe['context']['python_min']}" == PROJECT["requires-python"]
    wanted = [re.fullmatch(r"([\w-]+)(>=.+)", line).groups() for line in PROJECT["dependencies"]]
    wanted = [f"{CONDA_NAMES.get(name, name)} {bound}" for name, bound in wanted]
    assert recipe["requirements"]["run"] == ["python >=${{ python_min }}", *wanted]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    assert {line.replace(" ", "") for line in recipe["requirements"]["host"]} >= set(build["requires"])
    scripts = [line.replace(" ", "") for line in recipe["build"]["python"]["entry_points"]]
    assert scripts == [f"{name}={of}" for name, of in PROJECT["scripts"].items()]
    assert recipe["about"]["summary"] == PROJECT["description"]
    assert recipe["about"]["license"] == PROJECT["license"]
    assert (ROOT / recipe["about"]["license_file"]).is_file()


def test_recipe__is_understood_by_rattler_build():
    rattler_build = needed("rattler_build")
    (variant,) = rattler_build.Stage0Recipe.from_yaml(RECIPE.read_text(encoding="utf-8")).render()
    assert f"poolproof={PROJECT['version']}" in f"{variant}".replace("', version='", "=")


def test_recipe__its_commands_run(tmp_path):
    from test_workflows import shell

    for line in next(test["script"] for test in read_yaml(RECIPE)["tests"] if "script" in test):
        assert shell(line, tmp_path)


def test_scverse__has_what_its_registry_asks_for():
    """Required fields and vocabularies of scverse/ecosystem-packages, schema 2.0 (August 2026)."""
    told = read_yaml(ROOT / "recipe" / "scverse" / "meta.yaml")
    required = {"name", "description", "project_home", "documentation_home", "license", "tags"}
    assert {*required, "primary_category", "language", "category", "install"} <= told.keys()
    assert (told["name"], told["license"]) == (PROJECT["name"], PROJECT["license"])
    assert told["category"] == "ecosystem"
    assert 1 <= len(told["tags"]) == len(set(told["tags"])) <= 10
    assert re.fullmatch(".*::.*", told["install"]["conda"])
    assert "pytest" in told["test_command"]


def test_release__builds_on_a_tag_and_publishes_without_a_token():
    workflow = read_yaml(RELEASE)
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` as a boolean
    jobs = workflow["jobs"]
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert workflow["permissions"] == {}
    assert "secrets" not in RELEASE.read_text(encoding="utf-8")
    for job in jobs.values():
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            if "run" in step:
                assert "${{" not in step["run"], "a tag's name must not become code"
                subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)


def run_check(tag, folder):
    """Run the workflow's check of the tag on a copy."""
    step = read_yaml(RELEASE)["jobs"]["build"]["steps"][2]
    return subprocess.run(
        ["bash", "-e", "-c", step["run"]], cwd=folder, env={"TAG": tag, "PATH": os.environ["PATH"]}
    ).returncode


def test_release__refuses_another_tag_and_placeholders(tmp_path):
    for name in ("pyproject.toml", "CHANGELOG.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in ("recipe", "workflows"):
        (tmp_path / name).mkdir()
    version = PROJECT["version"]
    assert run_check(f"v{version}", tmp_path) == 0
    assert run_check("v99.0.0", tmp_path) == 1
    (tmp_path / "recipe" / "recipe.yaml").write_bytes(RECIPE.read_bytes())
    assert run_check(f"v{version}", tmp_path) == 1


def test_checklist__names_the_files_that_have_the_version():
    text = (ROOT / "RELEASING.md").read_text(encoding="utf-8")
    for path in ("pyproject.toml", "src/poolproof/__init__.py", "CITATION.cff", "containers/", "workflows/"):
        assert f"`{path}`" in text
    bibtex = re.search(r"(?s)```bibtex\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"))[1]
    assert f"version = {{{PROJECT['version']}}}" in bibtex


@pytest.mark.parametrize("where", ["recipe", "workflows", "src", "docs", "containers"])
def test_placeholders__are_where_the_release_looks_for_them(where):
    found = [
        path.relative_to(ROOT)
        for path in (ROOT / where).rglob("*")
        if path.is_file()
        and path.suffix in {".yaml", ".yml", ".md", ".py", ".nf", ""}
        and "_build" not in path.parts
        if re.search(
            r"example\.org/poolproof|EXAMPLE-ACCOUNT", path.read_text(encoding="utf-8", errors="ignore")
        )
    ]
    assert not found or where in ("recipe", "workflows")
