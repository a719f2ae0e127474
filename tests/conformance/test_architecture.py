"""The shape of the code: which module may import which, what modules are called, how long things are.

Import-linter's contracts stand in pyproject.toml; what it can't say is read here from the syntax trees.
"""

from __future__ import annotations

import ast
import functools
import os
import shutil
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER = sorted((ROOT / "registry").rglob("*.py"))
CLIENT = sorted((ROOT / "modelyard").rglob("*.py"))
MODULES = [*SERVER, *CLIENT]
BANNED_NAMES = {"models", "utils", "helpers", "common", "base", "misc", "services", "manager", "handlers"}
MAY_COMMIT = ("registry/flows/", "registry/api/", "registry/cli")
DEFINES_COMMIT = "registry/extensions.py"
LAZY_BY_DESIGN = {"registry/__init__.py", "modelyard/__init__.py"}
READS_THE_ENVIRONMENT = "modelyard/profiles.py"
OPTIONAL_EXTRA = "optional extra"
MODEL_LIBRARIES = ("joblib", "sklearn", "scipy", "pandas", "onnxruntime")
WEB_LIBRARIES = ("flask", "sqlalchemy", "redis", "pydantic", "config")

LONGEST_MODULE = 550
LONGEST_FUNCTION = 80
MOST_FUNCTIONS = 40
MEDIAN_FUNCTION = 11


def relative(path: Path) -> str:
    """Return a path as it stands in messages."""
    return path.relative_to(ROOT).as_posix()


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    with tokenize.open(path) as file:
        return ast.parse(file.read(), str(path))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method of a module."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def run_import_linter(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts on the code in `folder`."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


def test_imports_point_one_way() -> None:
    """Every contract of pyproject.toml is kept, and every module has its place in a layer."""
    result = run_import_linter(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("naming.py", "import sqlalchemy", "SQL stands in the catalog"),
        ("directory.py", "import joblib", "Model libraries stand in the flavors alone"),
        ("directory.py", "from registry.host import pool", "Only the command line starts the host process"),
        ("serving/__init__.py", "from registry import flavors", "Only fork server and worker reach the flavors"),
        ("host/page.py", "import redis", "Host process, fork server and workers know no web"),
        ("errors.py", "import flask", "Only what speaks HTTP or needs"),
        ("catalog/__init__.py", "from registry.flows import change", "The web side points one way"),
        ("frames.py", "from registry.host import page", "The host side points one way"),
        ("stray.py", "import json", "The web side points one way"),
        ("modelyard/git.py", "import registry.naming", "The client knows nothing of the server"),
        ("modelyard/inputs.py", "import pandas", "The client knows nothing of the server"),
        ("flows/predict.py", "from modelyard import client", "Of the client, the server knows"),
    ],
)
def test_an_import_that_points_the_wrong_way_is_found(module: str, line: str, contract: str, tmp_path: Path) -> None:
    """Each contract can fail: a module with one forbidden line more, or without a layer, breaks it."""
    for package in ("registry", "modelyard"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.py", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module if module.startswith("modelyard/") else tmp_path / "registry" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = run_import_linter(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [said for said in result.stdout.splitlines() if " BROKEN" in said]
    assert any(said.startswith(contract) for said in broken), result.stdout


def test_no_module_is_named_for_a_pattern_instead_of_a_noun() -> None:
    """A helper without a noun belongs to its only caller."""
    names = {relative(path): {path.stem, path.parent.name} for path in MODULES} | {"config.py": {"config"}}
    assert [path for path, parts in names.items() if parts & BANNED_NAMES] == []


def test_every_module_says_why_it_exists() -> None:
    """One sentence says what, the next why or what it must never do."""
    lines = {relative(path): [line for line in (ast.get_docstring(tree_of(path)) or "").splitlines() if line.strip()] for path in MODULES}
    assert [path for path, docstring in lines.items() if len(docstring) < 2] == []


def test_the_environment_is_read_by_the_configuration_alone() -> None:
    """Settings have one place, so no module reads a variable of its own; one may set what a library reads."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    found = []
    for path in MODULES:
        if relative(path) == READS_THE_ENVIRONMENT:
            continue
        nodes = list(ast.walk(tree_of(path)))
        stored = {id(node.value) for node in nodes if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)}
        for node in nodes:
            attribute = (
                isinstance(node, ast.Attribute)
                and node.attr in names
                and isinstance(node.value, ast.Name)
                and node.value.id == "os"
                and id(node) not in stored
            )
            imported = isinstance(node, ast.ImportFrom) and node.module == "os" and names & {alias.name for alias in node.names}
            if attribute or imported:
                found.append(f"{relative(path)}:{node.lineno}")
    assert found == []


def test_configuration_knows_nothing_of_the_registry() -> None:
    """Everything may import it, so it may import nothing of ours."""
    imported = {alias.name for node in ast.walk(tree_of(ROOT / "config.py")) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree_of(ROOT / "config.py")) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_no_function_imports_but_an_optional_extra() -> None:
    """What a module needs stands at its top; a locked worker could not import later."""
    found = set()
    for path in MODULES:
        if relative(path) in LAZY_BY_DESIGN:
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        for function in functions_of(path):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom) and OPTIONAL_EXTRA not in lines[node.lineno - 1]:
                    found.add(f"{relative(path)}:{node.lineno}")
    assert found == set()


def test_only_flows_views_and_commands_commit() -> None:
    """An operation commits once, where it is read top to bottom; the catalog never does."""
    found = []
    for path in MODULES:
        if relative(path).startswith(MAY_COMMIT) or relative(path) == DEFINES_COMMIT:
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called == "commit":
                    found.append(f"{relative(path)}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("registry.cli.granian_main", MODEL_LIBRARIES),
        ("registry.cli.serve", (*MODEL_LIBRARIES, "flask", "sqlalchemy", "alembic", "redis", "pydantic", "httpx", "tqdm")),
        ("registry.host.forkserver", WEB_LIBRARIES),
        ("modelyard.cli.main", (*MODEL_LIBRARIES, *WEB_LIBRARIES, "httpx", "numpy", "rich", "tqdm")),
    ],
)
def test_a_process_loads_none_of_another_ones_libraries(module: str, foreign: tuple[str, ...]) -> None:
    """Web and host process never load what unpickles, the host process nothing of the web; the fork server never loads what knows secrets."""
    script = f"import sys, {module}; print(*sorted(set(sys.modules) & set({foreign!r})))"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_modules_and_functions_stay_small(capsys: pytest.CaptureFixture[str]) -> None:
    """The sizes of the best-liked code: a median function of at most 11 lines, almost none over 40."""
    modules = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    functions = {
        f"{relative(path)}: {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in MODULES
        for node in functions_of(path)
    }
    long = {name: lines for name, lines in functions.items() if lines > MOST_FUNCTIONS}
    with capsys.disabled():
        print(f"\n{len(modules)} modules, {sum(modules.values())} lines; median function {statistics.median(functions.values()):g} lines")
        for name, lines in sorted(modules.items(), key=lambda item: -item[1])[:5]:
            print(f"  {lines:4} {name}")
        for name, lines in sorted(long.items(), key=lambda item: -item[1]):
            print(f"  {lines:4} {name}()")
    assert max(modules.values()) <= LONGEST_MODULE
    assert max(functions.values()) <= LONGEST_FUNCTION
    assert statistics.median(functions.values()) <= MEDIAN_FUNCTION
    assert len(long) <= len(functions) / 100, f"more than one function in a hundred is over {MOST_FUNCTIONS} lines"
