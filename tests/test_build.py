"""The build: what is missing is named, modes keep apart, metadata needs no compiler."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import mexcfast

ROOT = Path(__file__).parents[1]

#: Runs setup.py without building anything; `ns` is then its namespace.
LOAD = """
import runpy, sys, setuptools
setuptools.setup = lambda **kwargs: None
ns = runpy.run_path({path!r})
"""

PROBE = LOAD + """
from setuptools import Distribution
command = ns["BuildExt"](Distribution({{"name": "probe"}}))

def check(self):
    ns["need"](self.compiler, {header!r}, {libraries!r}, "some-dev", "some-devel", "brew it",
               "get it")

ns["BuildExt"].build_extensions = check
command.extensions = [setuptools.Extension("probe", ["probe.c"])]
command.ensure_finalized()
command.extensions = [setuptools.Extension("probe", ["probe.c"])]
command.run()
print("all there")
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    values = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          timeout=300, env=values | environment)


def probe(header: str, library: str | None, **environment: str) -> subprocess.CompletedProcess[str]:
    code = PROBE.format(path=str(ROOT / "setup.py"), header=header,
                        libraries=[library] if library else [])
    return run(code, **environment)


def test_what_is_there_is_found():
    done = probe("openssl/sha.h", "crypto")
    assert done.returncode == 0, done.stderr
    assert "all there" in done.stdout


@pytest.mark.parametrize(("header", "library"), [
    ("no/such/header.h", None),
    ("stdio.h", "no_such_library"),
])
def test_a_missing_header_or_library_names_the_package(header, library):
    done = probe(header, library)
    assert done.returncode != 0
    assert f"<{header}> did not compile and link here" in done.stderr
    assert "apt-get install some-dev" in done.stderr
    assert "dnf install some-devel" in done.stderr
    assert "fatal error" not in done.stderr      # the compiler's own words are kept away


def test_a_missing_compiler_names_the_package():
    done = probe("stdio.h", None, CC="/no/such/compiler", LDSHARED="/no/such/compiler")
    assert done.returncode != 0
    assert "apt-get install some-dev" in done.stderr


def test_missing_python_headers_name_the_package(tmp_path):
    code = LOAD.format(path=str(ROOT / "setup.py")) + (
        f"from pathlib import Path\nns['need_python_h'](Path({str(tmp_path)!r}))\n")
    done = run(code)
    assert done.returncode != 0
    assert "Python.h is missing" in done.stderr
    assert "apt-get install python3-dev" in done.stderr


def test_an_unknown_mode_is_refused():
    done = run(LOAD.format(path=str(ROOT / "setup.py")), MEXCFAST_BUILD="fast")
    assert done.returncode != 0
    assert "'fast'; allowed: release, debug, sanitize, coverage" in done.stderr


def test_modes_do_not_share_objects():
    bases = set()
    for mode in ("release", "debug", "sanitize", "coverage"):
        code = ("import runpy, setuptools\nkept = {}\n"
                "setuptools.setup = lambda **kwargs: kept.update(kwargs)\n"
                f"runpy.run_path({str(ROOT / 'setup.py')!r})\n"
                "print(kept['options']['build']['build_base'])")
        bases.add(run(code, MEXCFAST_BUILD=mode).stdout.strip())
    assert len(bases) == 4


def test_setup_imports_nothing_that_python_dropped():
    tree = ast.parse((ROOT / "setup.py").read_text())
    for node in tree.body + [inner for outer in ast.walk(tree)
                             if isinstance(outer, ast.FunctionDef) for inner in outer.body]:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            assert "distutils" not in ast.unparse(node)


def test_metadata_needs_no_compiler(tmp_path):
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "mexcfast", tmp_path / "mexcfast",
                    ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    done = subprocess.run([sys.executable, "setup.py", "-q", "egg_info"], cwd=tmp_path,
                          env={"PATH": "", "CC": "/no/such/compiler"}, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_pins_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = {name for name in project["build-system"]["requires"] if "==" in name}
    assert "picows==2.3.1" in pinned
    assert {name for name in pinned if name.startswith("Cython")} <= set(
        project["project"]["optional-dependencies"]["test"])


def test_the_version_is_one_number():
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", number)
    assert mexcfast.__version__ == number
    assert version("mexcfast") == number
    newest = re.search(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None and newest[1] == number
    assert newest[2] == "unreleased" or re.fullmatch(r"20\d\d-\d\d-\d\d", newest[2])


# ---------------------------------------------------------------------------------------------
# wheels.yml

WORKFLOW = ROOT / ".github" / "workflows" / "wheels.yml"


def test_the_workflow_is_one_file_under_two_names():
    link = ROOT / "wheels.yml"
    assert link.is_symlink()
    assert link.resolve() == WORKFLOW.resolve()


def test_the_workflow_builds_what_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    minors = [int(text.rpartition(".")[2]) for text in project["project"]["classifiers"]
              if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", text)]
    first, limit = map(int, re.fullmatch(
        r">=3\.(\d+),<3\.(\d+)", project["project"]["requires-python"]).groups())
    assert minors == list(range(first, limit))
    wanted = {f"cp3{minor}-*" for minor in minors}
    assert set(project["tool"]["cibuildwheel"]["build"].split()) == wanted

    matrix = yaml.safe_load(WORKFLOW.read_text())["jobs"]["wheels"]["strategy"]["matrix"]
    assert set(matrix["python"]) == wanted
    assert {row["platform"]: row["runner"] for row in matrix["include"]} == {
        "manylinux_x86_64": "ubuntu-24.04", "musllinux_x86_64": "ubuntu-24.04",
        "manylinux_aarch64": "ubuntu-24.04-arm", "musllinux_aarch64": "ubuntu-24.04-arm",
        "macosx_arm64": "macos-14", "macosx_x86_64": "macos-15-intel", "win_amd64": "windows-2022"}
    # what nobody has run is no reason to hold back what was: docs/platforms.md
    assert [row["platform"] for row in matrix["include"] if row.get("trial")] == ["win_amd64"]
    assert {row["platform"] for row in matrix["include"]} == set(matrix["platform"])


def test_wheels_are_built_from_the_archive_and_published_last():
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    assert jobs["wheels"]["needs"] == "sdist"
    assert not any("actions/checkout@" in step.get("uses", "") for step in jobs["wheels"]["steps"])
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    assert jobs["publish"]["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert jobs["publish"]["permissions"] == {"id-token": "write", "attestations": "write"}
    assert all(job["permissions"] == {"contents": "read"}
               for name, job in jobs.items() if name != "publish")


def test_every_action_is_pinned_by_commit():
    uses = re.findall(r"uses: (\S+) # (v[\d.]+)\n", WORKFLOW.read_text())
    assert len(uses) == WORKFLOW.read_text().count("uses:") >= 9
    for action, _ in uses:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action


@pytest.mark.parametrize("platform", ["linux", "macos", "windows"])
def test_cibuildwheel_accepts_the_configuration(platform):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cibuildwheel", "--print-build-identifiers", "--platform",
         platform, "--archs", "all", str(ROOT)], capture_output=True, text=True, timeout=300,
        env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"})
    assert done.returncode == 0, done.stderr
    matrix = yaml.safe_load(WORKFLOW.read_text())["jobs"]["wheels"]["strategy"]["matrix"]
    offered = set(done.stdout.split())
    for python in matrix["python"]:
        for name in matrix["platform"]:
            if name.startswith({"macos": "macos", "windows": "win", "linux": ("many", "musl")}[
                    platform]):
                assert python.replace("*", name) in offered
