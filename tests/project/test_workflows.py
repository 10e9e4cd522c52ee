"""The parts for other people's pipelines: an nf-core module, a Snakemake wrapper, recipes of containers."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers import missing

import poolproof

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "workflows" / "nf-core" / "modules" / "poolproof" / "audit"
WRAPPER = ROOT / "workflows" / "snakemake" / "wrappers" / "poolproof" / "audit"
CONTAINERS = ROOT / "containers"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def environment():
    """This installation's command first on the PATH, one thread."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return (
        os.environ | one | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    )


def shell(script, folder):
    """Run a script as Nextflow does; give what it prints."""
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


# --- the nf-core module ---------------------------------------------------------------------------------

PROCESS = (MODULE / "main.nf").read_text(encoding="utf-8")
VARIABLES = {
    "expression": "saureus.csv",
    "table": "--samples saureus_samples.csv",
    "edges": "",
    "args": re.search(r"ext.args = '(.+)'", (MODULE / "tests" / "nextflow.config").read_text())[1],
    "prefix": "test",
    "task.cpus": "1",
    "task.memory.toMega()": "2000",
}


def script_of(part):
    """Shell script of a part of the process, its variables filled in; an unknown one is an error."""
    script = re.search(rf'(?s)\n    {part}:.*?"""\n(.*?)"""', PROCESS)[1]
    return re.sub(r"\$\{(.+?)\}", lambda found: VARIABLES[found[1]], script).replace("\\\\", "\\")


def section(name, following):
    """Lines of a section of the process."""
    return re.search(rf"(?s)\n    {name}:\n(.*?)\n\n    {following}:", PROCESS)[1].splitlines()


def elements(line):
    """What the elements of a channel are called in meta.yml."""
    found = re.findall(r"(?:val|path|eval)(?:\(([^()]*(?:\([^()]*\))?)\)| (\w+))", line)
    return [re.sub(r"^(['\"])(.*)\1$", r"\2", inner or word) for inner, word in found]


def named(channel):
    """Names of the elements of a channel of meta.yml; a tuple is a list."""
    return [name for element in channel for name in element]


@pytest.fixture(scope="module")
def module_description():
    return read_yaml(MODULE / "meta.yml")


@pytest.mark.parametrize("part", ["script", "stub"])
def test_module__leaves_what_it_says(part, tmp_path):
    for file in (MODULE / "tests" / "data").iterdir():
        shutil.copy(file, tmp_path)
    shell(script_of(part), tmp_path)
    outputs = [elements(line)[1] for line in section("output", "when") if "prefix" in line]
    assert len(outputs) == 4
    for output in outputs:
        assert (tmp_path / output.replace("${prefix}", "test")).exists(), output
    verdict = json.loads((tmp_path / "test" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["verdict"] == "inconclusive"  # as the module's own test expects


def test_module__tells_the_version(tmp_path):
    line = next(line for line in section("output", "when") if "eval(" in line)
    assert shell(re.search(r'eval\("(.+?)"\)', line)[1], tmp_path).strip() == VERSION
    assert (
        'process.out.versions_poolproof[0][2] == "' + VERSION in (MODULE / "tests/main.nf.test").read_text()
    )


def test_module__description_has_the_channels_of_the_process(module_description):
    """As nf-core's linter compares them: order, elements, and the names that are emitted."""
    inputs = [channel if isinstance(channel, list) else [channel] for channel in module_description["input"]]
    assert [named(channel) for channel in inputs] == [elements(line) for line in section("input", "output")]
    outputs = {re.search(r"emit: (\w+)", line)[1]: elements(line) for line in section("output", "when")}
    told = {
        name: [part for channel in channels for part in named(channel)]
        for name, channels in module_description["output"].items()
    }
    assert told == outputs
    assert module_description["topics"]["versions"] == module_description["output"]["versions_poolproof"]


def test_module__description_is_as_nf_core_wants_it(module_description):
    assert module_description["name"] == "poolproof_audit"
    assert "process POOLPROOF_AUDIT {" in PROCESS
    assert len(set(module_description["keywords"])) >= 3
    tool = module_description["tools"][0]["poolproof"]
    assert tool["description"]
    assert isinstance(tool["licence"], list)
    assert tool["doi"] == "no DOI available" or tool["doi"].startswith("10.")
    outputs = [channel for channels in module_description["output"].values() for channel in channels]
    channels = [*module_description["input"], *outputs]
    parts = [part for channel in channels for part in (channel if isinstance(channel, list) else [channel])]
    for name, told in [item for part in parts for item in part.items()]:
        assert told["description"], name
        assert told["type"] in {"map", "file", "directory", "string", "eval"}, name
        assert ("pattern" in told) == (told["type"] in {"file", "directory"}), name
        assert "ontologies" in told or told["type"] != "file", name


def test_module__pins_this_version():
    wanted = read_yaml(MODULE / "environment.yml")
    assert "name" not in wanted
    assert wanted["dependencies"] == [f"conda-forge::poolproof={VERSION}"]
    assert f"'poolproof:{VERSION}'" in PROCESS
    assert f"'poolproof_{VERSION}.sif'" in PROCESS


# --- the Snakemake wrapper ------------------------------------------------------------------------------


def test_wrapper__runs_in_snakemake(tmp_path):
    program = shutil.which("snakemake")
    if program is None:
        missing("the program snakemake on the PATH (pip install snakemake, in an environment of its own)")
    shutil.copytree(WRAPPER, tmp_path / "audit")
    folder = tmp_path / "audit" / "test"
    command = [program, "--cores", "1", "--quiet", "all", "--", "audits/saureus"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    log = json.loads((folder / "logs" / "saureus.json").read_text(encoding="utf-8"))
    verdict = json.loads((folder / "audits" / "saureus" / "verdict.json").read_text(encoding="utf-8"))
    assert log == verdict
    assert verdict["settings"]["covariates"] == ["base-media"]
    assert (folder / "audits" / "saureus" / "report.html").is_file()


def test_wrapper__describes_itself():
    told = read_yaml(WRAPPER / "meta.yaml")
    assert {"name", "description", "url", "authors", "input", "output", "params"} <= told.keys()
    source = (WRAPPER / "wrapper.py").read_text(encoding="utf-8")
    files = re.findall(r'"(\w+)"', re.search(r"OPTIONAL_FILES = \((.+)\)", source)[1])
    assert ["expression", *files] == [next(iter(line)) for line in told["input"]]
    options = {name for option in poolproof.cli.commands.commands["audit"].params for name in option.opts}
    assert {f"--{name}" for name in files} <= options
    wanted = read_yaml(WRAPPER / "environment.yaml")
    assert wanted["channels"][-1] == "nodefaults"
    assert wanted["dependencies"] == [f"poolproof ={VERSION.rpartition('.')[0]}"]


# --- data, containers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [MODULE / "tests" / "data", WRAPPER / "test" / "data"])
def test_data__are_twelve_genes_of_an_embedded_set(folder):
    bulk = poolproof.load_dataset("bulk_saureus_imodulon")
    bulk = bulk[:, bulk.var["cog"] == "Nucleotide transport and metabolism"][:, :12]
    values = pd.read_csv(folder / "saureus.csv", index_col=0).T
    pd.testing.assert_frame_equal(values, bulk.to_df().round(4), check_dtype=False, check_names=False)
    samples = pd.read_csv(folder / "saureus_samples.csv", index_col=0)
    for column in samples:
        assert samples[column].tolist() == bulk.obs[column].astype(str).tolist()


def test_images__install_the_wheel_of_this_version_and_start_a_command():
    docker = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
    instructions = dict(re.findall(r"(?m)^([A-Z]+) (.+)$", re.sub(r"\s*\\\n\s*", " ", docker)))
    assert instructions["ARG"] == f"VERSION={VERSION}"
    assert instructions["COPY"] == "dist/poolproof-${VERSION}-py3-none-any.whl /tmp/"
    assert "!dist/poolproof-*.whl" in (CONTAINERS / "Dockerfile.dockerignore").read_text().splitlines()
    assert json.loads(instructions["CMD"]) == ["poolproof", "--help"]
    assert "ENTRYPOINT" not in instructions
    assert instructions["USER"] == re.search(r"--uid (\d+)", docker)[1] != "0"


def test_definition__has_the_same_parts_as_the_dockerfile():
    text = (CONTAINERS / "poolproof.def").read_text(encoding="utf-8")
    docker = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
    header, *parts = re.split(r"(?m)^%(\w+)\n", text)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    assert re.search(r"(?m)^From: (.+)$", header)[1] == re.search(r"(?m)^FROM (.+)$", docker)[1]
    wheel, inside = sections["files"].split()
    assert wheel == f"dist/poolproof-{VERSION}-py3-none-any.whl"
    assert inside in sections["post"]
    assert sections["runscript"].strip() == 'exec poolproof "$@"'
    for variable in re.findall(r"export (\w+=\S+)", sections["environment"]):
        assert variable in docker
    for part in ("post", "environment", "runscript", "test"):
        subprocess.run(["bash", "-n"], input=sections[part], text=True, check=True)


def test_images__have_the_names_that_pages_and_module_use():
    page = (ROOT / "docs" / "how-to" / "containers.md").read_text(encoding="utf-8")
    for name in (f"poolproof:{VERSION}", f"poolproof_{VERSION}.sif"):
        assert name in page
        assert name in PROCESS
    for file in ("Dockerfile", "poolproof.def"):
        first = (CONTAINERS / file).read_text(encoding="utf-8").splitlines()[1].removeprefix("#").strip()
        assert first in page, f"{file} and the page say different commands"
