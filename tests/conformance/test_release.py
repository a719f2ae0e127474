"""What is published: the client's wheel and source distribution, built, looked at, and installed where nothing else is.

The server is no part of it, and nothing of the server may be needed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

import modelyard
from tests.clean_environment import LOCKED, ROOT, CleanEnvironment, lay_packages
from tests.running import RunningService

BIN = Path(sys.executable).parent
CLIENT_LOCK = ROOT / "requirements" / "client.lock"
SENT_TO_THE_BUILDER = ("pyproject.toml", "MANIFEST.in", "CHANGELOG.md", "LICENSE", "README.md", "config.py", "modelyard", "registry")
CALLER = '''
from pathlib import Path
from modelyard import Client, Version, errors

def roll_back(yard: Client) -> int | None:
    """Use the client as a caller's typed code does."""
    try:
        version: Version = yard.publish(Path("model.joblib"), "churn", metrics={"auc": 0.9}, about={"git": True}, alias="production")
        names: list[str] = [model.name for model in yard.models(search="churn")]
        yard.point("churn", "production", version.version, reason=", ".join(names))
        return yard.rollback("churn").to_version
    except errors.SignatureMismatch as problem:
        first: errors.Finding = problem.errors[0]
        print(first.pointer, problem.retry_after_seconds)
        return None
'''
WRONG_CALLER = CALLER + "\nroll_back(Client()).upper()\nClient(url=7)\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both archives as `make release` does, from a copy of the tree, and return their folder."""
    source = tmp_path_factory.mktemp("source")
    for name in SENT_TO_THE_BUILDER:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, source / name)
    command = [BIN / "uv", "build", "--offline", "--no-build-isolation", "--python", sys.executable, "--out-dir", source / "dist"]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return source / "dist"


@pytest.fixture(scope="module")
def clean(built: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """Return an environment with the wheel and the packages that it needs, at their locked versions."""
    environment = CleanEnvironment(tmp_path_factory.mktemp("clean"))
    lay_packages(CLIENT_LOCK, environment.packages)
    environment.install(next(built.glob("*.whl")))
    return environment


def test_the_archives_hold_the_client_and_nothing_of_the_server(built: Path) -> None:
    """A wheel of the package alone, typed and licensed; a source distribution from which the same is built."""
    wheel = zipfile.ZipFile(next(built.glob("*.whl")))
    names = wheel.namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"modelyard", f"modelyard-{modelyard.__version__}.dist-info"}
    assert "modelyard/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert sorted(name for name in names if name.endswith(".py")) == sorted(
        path.relative_to(ROOT).as_posix() for path in (ROOT / "modelyard").rglob("*.py")
    )
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"modelyard", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO"} <= tops
    assert not tops & {"registry", "tests", "config.py", "migrations", "docs", "benchmarks"}


def test_a_package_index_can_show_what_the_archives_say(built: Path) -> None:
    """Twine's strict check: the description renders, and nothing is missing that an index shows."""
    result = subprocess.run(
        [BIN / "twine", "check", "--strict", *built.glob("modelyard*")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    wheel = zipfile.ZipFile(next(built.glob("*.whl")))
    told = message_from_string(wheel.read(f"modelyard-{modelyard.__version__}.dist-info/METADATA").decode())
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in told.get_all("Classifier", [])
    assert {line.split(",")[0] for line in told.get_all("Project-URL", [])} == {"Homepage", "Documentation", "Changelog"}
    assert "rollback" in str(told.get_payload())


def test_the_client_needs_no_more_than_it_names(clean: CleanEnvironment) -> None:
    """Every requirement is met by the locked packages, each of them is needed, and nothing of a server is there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {re.split(r"[<>=]", requirement)[0] for requirement in project["dependencies"]}
    listed = {line for line in (ROOT / "requirements" / "client.in").read_text(encoding="utf-8").split() if line.isalnum()}
    assert named == listed
    assert {"flask", "scikit-learn", "sqlalchemy", "joblib"}.isdisjoint(name for name, _ in LOCKED.findall(CLIENT_LOCK.read_text()))
    pip = subprocess.run([sys.executable, "-m", "pip", "--python", str(clean.python), "check"], capture_output=True, text=True, check=False)
    assert pip.returncode == 0, pip.stdout
    script = "import modelyard, pkgutil, importlib\nfor m in pkgutil.walk_packages(modelyard.__path__, 'modelyard.'):\n    if not m.name.endswith('__main__'): importlib.import_module(m.name)"
    imported = clean.run(clean.python, "-c", script)
    assert imported.returncode == 0, imported.stderr
    assert clean.run(clean.python, "-c", "import registry").returncode == 1


def test_the_installed_command_offers_what_a_client_can_do(clean: CleanEnvironment) -> None:
    """Its version, its commands, and none of the server's, which join where the server is installed."""
    version = clean.run(clean.bin / "modelyard", "--version")
    assert version.stdout.strip() == f"modelyard, version {modelyard.__version__}"
    offered = clean.run(clean.bin / "modelyard", "--help").stdout
    assert re.search(r"^\s+publish\b", offered, re.MULTILINE)
    assert not re.search(r"^\s+(serve|sweep|doctor)\b", offered, re.MULTILINE)
    unknown = clean.run(clean.bin / "modelyard", "serve")
    assert unknown.returncode == 2
    assert "serve" in unknown.stderr


def test_the_installed_client_talks_to_a_service(clean: CleanEnvironment, shared_service: RunningService) -> None:
    """From an environment without scikit-learn: a file goes up, an answer comes back, by Python and by command."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - only this test fits something

    from tests.running import dumped  # noqa: PLC0415 - as above

    served = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    (clean.home / "line.joblib").write_bytes(dumped(served))
    address = {"MODELYARD_URL": shared_service.url, "MODELYARD_KEY": shared_service.admin_key}
    script = (
        "from modelyard import Client\nwith Client() as yard:\n"
        "    v = yard.publish('line.joblib', 'released', example=[[1.0]], alias='production')\n"
        "    print(v.version, yard.predict('released', [[3.0]]).tolist())\n"
    )
    ran = clean.run(clean.python, "-c", script, **address)
    assert (ran.returncode, ran.stdout) == (0, f"1 {served.predict([[3.0]]).tolist()}\n"), ran.stderr
    shown = clean.run(clean.bin / "modelyard", "show", "released/1", "--json", **address)
    assert shown.returncode == 0, shown.stderr
    assert '"released"' in shown.stdout


def test_a_callers_types_are_checked_strictly(clean: CleanEnvironment) -> None:
    """The installed package types are found by mypy: right use passes, wrong use is told."""
    for name, text, status in (("right.py", CALLER, 0), ("wrong.py", WRONG_CALLER, 1)):
        (clean.home / name).write_text(text, encoding="utf-8")
        words = ["--strict", "--python-executable", str(clean.python), "--cache-dir", str(clean.home / "cache"), name]
        checked = clean.run(BIN / "mypy", *words)
        assert checked.returncode == status, checked.stdout + checked.stderr
    assert "right.py" not in checked.stdout
    assert checked.stdout.count("error: ") == 3


def test_the_version_stands_in_one_place(built: Path) -> None:
    """Both projects read it from the package; the changelog and the archives follow."""
    for project in (ROOT / "pyproject.toml", ROOT / "deploy" / "server" / "pyproject.toml"):
        told = tomllib.loads(project.read_text(encoding="utf-8"))
        assert told["project"]["dynamic"] == ["version"]
        assert told["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "modelyard.__version__"}
    released = re.findall(r"^## \[(\d.+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert released[0] == modelyard.__version__
    assert {path.name for path in built.iterdir()} >= {
        f"modelyard-{modelyard.__version__}-py3-none-any.whl",
        f"modelyard-{modelyard.__version__}.tar.gz",
    }
