"""What each install brings, which names users import, and what is said in one line when something is missing."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import hatchling.build
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dataset.extras import CORE as CORE_LIBRARIES
from dataset.extras import EXTRAS, LIBRARIES

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGES = ("crawler", "dataset", "features", "model", "flows")
PINS = {"fastapi", "sqlalchemy"}  # declared for their versions, which Prefect needs; nothing here imports them
PUBLIC = ROOT / "flows" / "public" / "douban_keyframes"


def _imports(path: Path) -> Iterable[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def third_party(package: str) -> set[str]:
    """Return the top-level names that a package imports from other projects."""
    found = {name for path in (ROOT / package).rglob("*.py") for name in _imports(path)}
    return found - set(sys.stdlib_module_names) - {*PACKAGES, "douban_keyframes"}


def declared(requirements: Iterable[str]) -> set[str]:
    """Return the distributions of requirements; an extra of this project stands for what it brings."""
    names = set()
    for requirement in map(Requirement, requirements):
        if requirement.name == PROJECT["name"]:
            for extra in requirement.extras:
                names |= declared(PROJECT["optional-dependencies"][extra])
        else:
            names.add(canonicalize_name(requirement.name))
    return names


CORE = declared(PROJECT["dependencies"])


def distributions(modules: Iterable[str]) -> dict[str, set[str]]:
    """Return the distributions that hold each module; one that is not installed is what its extra brings."""
    known = packages_distributions()
    return {
        module: {canonicalize_name(name) for name in known[module]}
        if module in known or module not in LIBRARIES
        else declared(PROJECT["optional-dependencies"][LIBRARIES[module]])
        for module in modules
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_imports_is_declared_in_the_core_or_its_extra(package):
    extra = declared(PROJECT["optional-dependencies"][EXTRAS[package][0]]) if package in EXTRAS else set()
    imported = distributions(third_party(package) - set(LIBRARIES))
    undeclared = {m for m, names in imported.items() if not names & (CORE | extra)}
    assert not undeclared


@pytest.mark.parametrize("package", EXTRAS)
def test_the_libraries_that_an_extra_is_recognised_by_are_those_that_its_package_imports(package):
    beyond_core = {m for m, names in distributions(third_party(package) - set(LIBRARIES)).items() if not names & CORE}
    assert set(EXTRAS[package][1]) == beyond_core


def test_the_libraries_that_a_plain_install_is_recognised_by_are_those_that_dataset_imports():
    assert set(CORE_LIBRARIES) == third_party("dataset") - LIBRARIES.keys()


def _locked(path: str) -> set[tuple[str, str]]:
    """Return name and version of each library that a lock file names."""
    return set(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / path).read_text("utf-8"), re.MULTILINE))


def test_the_lock_file_with_hashes_has_the_versions_of_the_other_one_and_lacks_only_torchs_libraries():
    plain, hashed = _locked("requirements.lock"), _locked("requirements-hashes.lock")
    needed = declared(PROJECT["optional-dependencies"]["all"]) | CORE
    assert hashed <= plain
    assert needed - {canonicalize_name(name) for name, _ in hashed} == {"torch", "torchvision"}
    text = (ROOT / "requirements-hashes.lock").read_text("utf-8")
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\w)", text))


@pytest.mark.parametrize(("library", "extra"), LIBRARIES.items())
def test_a_library_of_one_feature_is_what_its_extra_brings(library, extra):
    pytest.importorskip(library)
    (names,) = distributions([library]).values()
    assert names <= declared(PROJECT["optional-dependencies"][extra])
    assert not names & CORE


def test_nothing_is_declared_that_nothing_imports():
    for library in LIBRARIES:
        pytest.importorskip(library)
    imported = set().union(*distributions(set().union(*map(third_party, PACKAGES))).values())
    extras = [f"{PROJECT['name']}[{extra}]" for extra in ("crawl", "train", "flows", *LIBRARIES.values())]
    assert declared([*PROJECT["dependencies"], *extras]) - imported == PINS


def test_reading_or_training_needs_neither_scrapy_nor_prefect():
    training = CORE | declared(PROJECT["optional-dependencies"]["train"])
    assert not training & {"scrapy", "prefect", "distributed", "fastapi", "sqlalchemy"}
    assert "torch" not in CORE


def run(code: str, cwd: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code in a folder, which comes first on Python's path as it does for a script there."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [cwd, *path, ROOT / "flows" / "public", ROOT]))}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


MISSING = "import sys; sys.modules[{library!r}] = None\n"
PROGRAM = "sys.argv = ['douban-keyframes', *{arguments!r}]\nfrom douban_keyframes.__main__ import main; main()"


@pytest.mark.parametrize("package", EXTRAS)
def test_a_missing_extra_is_one_line_that_names_it(package, tmp_path):
    extra, libraries = EXTRAS[package]
    hidden = MISSING.format(library=libraries[-1])
    told = f"{package} needs {libraries[-1]}: install the extra '{extra}' with pip install 'douban-keyframes[{extra}]'"
    command = run(hidden + PROGRAM.format(arguments=[package, "--help"]), tmp_path)
    assert (command.returncode, command.stdout, command.stderr) == (1, "", f"{told}\n")
    imported = run(f"{hidden}try:\n    import {package}\nexcept ImportError as error:\n    print(error)", tmp_path)
    assert imported.stdout == f"{told}\n"


def run_module(module: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m module --help` in a folder, which comes first on Python's path."""
    return subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [cwd, ROOT]))},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ["dataset", "model.train"])
@pytest.mark.parametrize("library", ["cyclopts", "polars"])
def test_a_library_of_a_plain_install_that_is_missing_is_one_line_that_names_it(library, module, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(MISSING.format(library=library))
    done = run_module(module, tmp_path)
    told = f"dataset needs {library}: install it with pip install douban-keyframes\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)
    imported = run(f"try:\n    import {module}\nexcept ImportError as error:\n    print(error)", tmp_path)
    assert imported.stdout == told


def test_the_public_package_loads_a_library_only_when_a_name_is_used(tmp_path):
    done = run(
        "import sys, douban_keyframes\n"
        "print({'polars', 'torch', 'scrapy', 'prefect'} & {*sys.modules})\n"
        "douban_keyframes.open_snapshot\n"
        "print({'polars', 'torch', 'scrapy', 'prefect'} & {*sys.modules})\n",
        tmp_path,
    )
    assert done.stdout.splitlines() == ["set()", "{'polars'}"], done.stderr


def test_every_public_name_can_be_imported_and_has_its_type(tmp_path):
    done = run("from douban_keyframes import *\nimport douban_keyframes as d; print(*d.__all__)", tmp_path)
    assert done.returncode == 0, done.stderr
    typed = [
        alias.asname
        for node in ast.walk(ast.parse((PUBLIC / "__init__.py").read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    ]
    assert sorted(typed) == done.stdout.split()


def test_a_mistyped_public_name_is_refused_with_the_right_one(tmp_path):
    done = run("import douban_keyframes\ndouban_keyframes.open_snapshots", tmp_path)
    assert "has no attribute 'open_snapshots'. Did you mean: 'open_snapshot'?" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_of_the_users_that_hides_one_of_ours_is_refused_in_one_line(package, tmp_path):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    done = run("try:\n    import douban_keyframes\nexcept ImportError as error:\n    print(error)", tmp_path)
    told = f"{tmp_path / package / '__init__.py'} hides the package '{package}' of douban-keyframes"
    assert done.stdout.startswith(told), done.stderr
    assert done.stdout.count("\n") == 1
    assert "rename yours" in done.stdout


@pytest.mark.parametrize("own", ["dataset.py", "dataset/__init__.py"])
@pytest.mark.parametrize("module", ["crawler", "features", "model", "model.train", "flows", "flows.demo"])
def test_a_dataset_of_the_users_is_refused_in_one_line_by_every_command(module, own, tmp_path):
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).touch()
    done = run_module(module, tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"another 'dataset' hides what {module.partition('.')[0]} needs" in done.stderr
    assert "rename it" in done.stderr


def test_a_folder_without_python_modules_hides_nothing(tmp_path):
    (tmp_path / "model").mkdir()
    assert run("from douban_keyframes import open_snapshot", tmp_path).returncode == 0


def test_the_built_wheel_has_the_public_package_at_its_top(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    wheel = tmp_path / hatchling.build.build_wheel(str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    assert not (tmp_path / "site" / "flows" / "public").exists()
    done = run(
        "import douban_keyframes; print(douban_keyframes.__file__, douban_keyframes.open_snapshot.__module__)",
        tmp_path,
        tmp_path / "site",
    )
    place = tmp_path / "site" / "douban_keyframes" / "__init__.py"
    assert done.stdout.split() == [str(place), "dataset.snapshots.snapshot"], done.stderr


def test_an_editable_install_finds_the_public_package_in_place(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / hatchling.build.build_editable(str(tmp_path))) as archive:
        path = next(name for name in archive.namelist() if name.endswith(".pth"))
        folders = archive.read(path).decode().split("\n")
        assert not [name for name in archive.namelist() if name.endswith(".py")]
    assert set(filter(None, folders)) == {str(ROOT), str(ROOT / "flows" / "public")}


def test_the_program_lists_the_packages_and_runs_their_commands(tmp_path):
    program = "import sys; " + PROGRAM
    listed = run(program.format(arguments=["--help"]), tmp_path)
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == list(PACKAGES)
    unknown = run(program.format(arguments=["models"]), tmp_path)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "usage: douban-keyframes <package>" in unknown.stderr
    versions = [
        run(program.format(arguments=line), tmp_path).stdout for line in (["--version"], ["dataset", "--version"])
    ]
    assert versions[0] == versions[1] != ""
    done = run(program.format(arguments=["dataset", "list", "--root", "empty"]), tmp_path)
    same = subprocess.run(
        [sys.executable, "-m", "dataset", "list", "--root", tmp_path / "empty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (same.returncode, same.stdout.replace(f"{tmp_path}/", ""))


def test_the_citations_name_the_version():
    cff, readme = ((ROOT / name).read_text("utf-8") for name in ("CITATION.cff", "README.md"))
    assert f"\nversion: {PROJECT['version']}\n" in cff
    assert f"version = {{{PROJECT['version']}}}" in readme
