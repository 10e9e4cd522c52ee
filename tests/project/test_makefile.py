"""The Makefile finds a Python that works, or says in one line what to install."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import missing

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "rm", "mkdir", "touch", "chmod", "cat")
ORDER = ("python3.13", "python3.12", "python3.11", "python3")

# A stand-in for an interpreter. The Makefile's own check runs in a real one, whose version or
# ensurepip is tampered with; `-m venv` makes a stand-in environment that notes what it was asked.
STAND_IN = """#!/bin/sh
if [ "$1" = -c ]; then
    exec "{real}" -c 'import sys
{tamper}
exec(sys.argv[1])' "$2"
fi
echo "{name} $*" >> calls
mkdir -p .venv/bin
printf '#!/bin/sh\\necho "venv $*" >> calls\\n' > .venv/bin/python
chmod +x .venv/bin/python
"""
GOOD = "sys.version_info = (3, 11, 0)"
OLD = "sys.version_info = (3, 10, 14)"
NO_ENSUREPIP = 'sys.version_info = (3, 12, 0); sys.modules["ensurepip"] = None'  # no ' : sh quotes it
BROKEN_SHIM = "#!/bin/sh\necho 'shim: command not found' >&2\nexit 127\n"


@pytest.fixture
def make(tmp_path):
    """Run make in a folder with a space in its name, with no program on PATH but those given."""
    program = shutil.which("make")
    if program is None:
        missing("make")
    folder = tmp_path / "a checkout"
    programs = tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool))

    def run(*arguments, env=(), **stand_ins):
        for name, kind in stand_ins.items():
            path = programs / name.replace("_", ".")
            text = kind if kind == BROKEN_SHIM else None
            path.write_text(text or STAND_IN.format(real=sys.executable, tamper=kind, name=path.name))
            path.chmod(0o755)
        done = subprocess.run(
            [program, *arguments],
            cwd=folder,
            env={"PATH": str(programs), **dict(env)},
            capture_output=True,
            text=True,
        )
        calls = folder / "calls"
        return done, calls.read_text().splitlines() if calls.exists() else []

    run.folder, run.programs = folder, programs
    return run


def refusal(done):
    """The one line that the Makefile itself wrote; make adds its own `*** Error` line."""
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "***" not in line]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("stand_ins", "chosen"),
    [
        ({"python3_13": GOOD, "python3_12": GOOD}, "python3.13"),
        ({"python3_13": BROKEN_SHIM, "python3_12": NO_ENSUREPIP, "python3_11": GOOD}, "python3.11"),
        ({"python3_13": BROKEN_SHIM, "python3": GOOD}, "python3"),
        ({"python3_12": OLD, "python3": GOOD}, "python3"),
    ],
)
def test_make__takes_the_first_python_that_works(make, stand_ins, chosen):
    done, calls = make(".venv/installed", **stand_ins)
    assert done.returncode == 0, done.stderr
    assert calls[0] == f"{chosen} -m venv .venv"
    assert calls[1].endswith("-e .")
    assert "shim" not in done.stderr
    assert (make.folder / ".venv" / "installed").exists()


@pytest.mark.parametrize(
    "stand_ins",
    [
        {},
        {"python3": OLD},
        {"python3_12": NO_ENSUREPIP, "python3": OLD},
        {
            "python3_13": BROKEN_SHIM,
            "python3_12": BROKEN_SHIM,
            "python3_11": BROKEN_SHIM,
            "python3": BROKEN_SHIM,
        },
    ],
)
@pytest.mark.parametrize("target", ["demo", "test", "lint", "docs"])
def test_make__says_what_to_install(make, stand_ins, target):
    done, calls = make(target, **stand_ins)
    line = refusal(done)
    assert line.startswith("poolproof: no usable Python found: install Python 3.11 or newer")
    assert "python3-venv" in line
    assert "make PYTHON=" in line
    assert calls == []
    assert not (make.folder / ".venv").exists()


def test_make__python_can_be_chosen(make):
    done, calls = make("PYTHON=python3.11", ".venv/installed", python3_13=GOOD, python3_11=GOOD)
    assert done.returncode == 0, done.stderr
    assert calls[0] == "python3.11 -m venv .venv"


def test_make__chosen_python_may_have_a_space_in_its_path(make):
    place = make.folder / "my tools"
    place.mkdir()
    path = place / "python"
    path.write_text(STAND_IN.format(real=sys.executable, tamper=GOOD, name="chosen"))
    path.chmod(0o755)
    done, calls = make(f"PYTHON={path}", ".venv/installed")
    assert done.returncode == 0, done.stderr
    assert calls[0] == "chosen -m venv .venv"


def test_make__chosen_python_that_does_not_work_is_not_replaced(make):
    done, calls = make("PYTHON=python3.10", "demo", python3_13=GOOD, python3_10=OLD)
    assert refusal(done).startswith("poolproof: PYTHON=python3.10 is not usable: install Python 3.11")
    assert calls == []


def test_make__python_in_the_environment_is_not_taken_for_a_choice(make):
    done, calls = make(".venv/installed", env={"PYTHON": "python3.10"}, python3=GOOD, python3_10=OLD)
    assert done.returncode == 0, done.stderr
    assert calls[0] == "python3 -m venv .venv"


def test_make__second_run_installs_nothing(make):
    make(".venv/installed-test", python3=GOOD)
    done, calls = make(".venv/installed-test")
    assert done.returncode == 0, done.stderr
    assert len(calls) == 2
    assert calls[1].endswith("-e .[test]")


def test_make__changed_pyproject_installs_again(make):
    make(".venv/installed-test", python3=GOOD)
    later = (make.folder / ".venv" / "installed-test").stat().st_mtime + 5
    os.utime(make.folder / "pyproject.toml", (later, later))
    _, calls = make(".venv/installed-test")
    assert [call.split()[0] for call in calls] == ["python3", "venv", "venv"]


def test_make__failed_venv_leaves_nothing_behind(make):
    broken = "#!/bin/sh\n[ \"$1\" = -c ] && exit 0\nmkdir -p .venv/bin; echo 'no space left' >&2; exit 1\n"
    path = make.programs / "python3"
    path.write_text(broken)
    path.chmod(0o755)
    done, _ = make("demo")
    assert done.returncode != 0
    assert not (make.folder / ".venv").exists()


def test_make__demo_audits_both_embedded_data_sets(make):
    done, _ = make("-n", "demo")
    assert done.returncode == 0, done.stderr
    audits = [line.strip() for line in done.stdout.splitlines() if "poolproof audit" in line]
    assert audits == [
        ".venv/bin/poolproof audit dataset:sc_mixology_10x_3lines --out demo-report --force",
        ".venv/bin/poolproof audit dataset:bulk_saureus_imodulon --out demo-report-bulk --force",
    ]
    assert f"{make.folder}/demo-report-bulk" in done.stdout
