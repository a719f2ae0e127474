"""The repository as it is handed on: image, compose file, lock files, and what they claim.

Nothing here needs a network or a container engine.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml

import modelyard
import registry
from config import Config, variable_name
from deploy import make_secrets

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
EXTRAS = ("skops", "onnx", "lz4", "fast")
REQUIREMENTS = {kind: ROOT / f"requirements/{kind}.in" for kind in ("client", "server", "dev", "e2e", *EXTRAS, "docs")}
LOCKS = {
    "server": ROOT / "requirements.lock",
    **{kind: ROOT / f"requirements/{kind}.lock" for kind in ("client", "dev", "e2e", *EXTRAS, "docs")},
}
LONG_RUNNING = {"modelyard", "database", "limits", "cache", "nginx"}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the virtual environment in the repository."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def tracked_files() -> list[Path]:
    """Return the files that the repository holds, or would hold if all were added."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed.returncode != 0:
        pytest.skip("not a git checkout: which files belong to it can't be told")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def direct(kind: str) -> list[str]:
    """Return the direct dependencies of a list, as they are written there."""
    lines = [line.partition("#")[0].strip() for line in REQUIREMENTS[kind].read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("-")]


def locked(kind: str) -> dict[str, str]:
    """Return the pinned version of each package of a lock file."""
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)", LOCKS[kind].read_text(encoding="utf-8"), re.MULTILINE))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Return the compose file as Compose reads it."""
    loaded: dict[str, Any] = ruamel.yaml.YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with what follows them, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_dockerfile_passes_hadolint() -> None:
    """No known mistake of Dockerfiles stands in it."""
    result = run(BIN / "hadolint", "--failure-threshold", "info", "Dockerfile")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_compose_file_keeps_to_the_specification() -> None:
    """No key is misspelt or in the wrong place."""
    result = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_image_runs_as_nobody_in_particular(dockerfile: list[tuple[str, str]]) -> None:
    """The last stage names an unprivileged user by number, before its entry point."""
    last_stage = dockerfile[max(number for number, (name, _) in enumerate(dockerfile) if name == "FROM") :]
    users = [value for name, value in last_stage if name == "USER"]
    assert users == ["10001:10001"]
    assert [name for name, _ in last_stage if name in {"USER", "ENTRYPOINT"}] == ["USER", "ENTRYPOINT"]


def test_the_image_installs_what_is_locked_and_nothing_else(dockerfile: list[tuple[str, str]]) -> None:
    """Each installation either checks hashes or takes no dependencies."""
    installs = [
        part
        for name, value in dockerfile
        if name == "RUN"
        for part in value.split("&&")
        if re.search(r"\binstall\b .*(-r|-e|--editable)", part)
    ]
    assert len(installs) == 3  # the server, the extras that were asked for, this repository
    assert all("--require-hashes" in part or "--no-deps --no-build-isolation" in part for part in installs)
    assert not any(word in value for name, value in dockerfile if name == "RUN" for word in ("apt-get", "curl", "wget"))


def test_all_that_the_image_copies_is_there_and_sent_to_the_builder(dockerfile: list[tuple[str, str]]) -> None:
    """A file that .dockerignore holds back would fail only in a real build."""
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    copied = {source for name, value in dockerfile if name == "COPY" and "--from" not in value for source in value.split()[:-1]}
    assert copied == sent
    assert [source for source in sorted(copied) if not (ROOT / source).exists()] == []


def test_neither_image_nor_compose_file_switches_the_sandbox_off() -> None:
    """What is published has its walls."""
    assert "SANDBOX" not in (ROOT / "Dockerfile").read_text(encoding="utf-8") + (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def test_every_container_is_hardened(compose: dict[str, Any]) -> None:
    """Read-only root, no capability, no new privilege: for each of them, without exception."""
    assert set(compose["services"]) == LONG_RUNNING | {"secrets"}
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name


def test_every_lasting_container_is_watched_and_waits_for_what_it_needs(compose: dict[str, Any]) -> None:
    """`docker compose up` is all: the order is in the file. The image brings the service's own check."""
    services = compose["services"]
    assert {name for name in LONG_RUNNING if "healthcheck" not in services[name]} == {"modelyard"}
    assert any(line.startswith("HEALTHCHECK") for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines())
    conditions = {name: value["condition"] for name, value in services["modelyard"]["depends_on"].items()}
    assert conditions == {"secrets": "service_completed_successfully"} | dict.fromkeys(["database", "limits", "cache"], "service_healthy")
    assert services["nginx"]["depends_on"]["modelyard"]["condition"] == "service_healthy"


def test_limit_counters_can_not_be_evicted_and_predictions_can(compose: dict[str, Any]) -> None:
    """The service's Redis for limits is the one without eviction."""
    policies = {}
    for name in ("limits", "cache"):
        command = compose["services"][name]["command"]
        assert "--maxmemory" in command
        policies[name] = command[command.index("--maxmemory-policy") + 1]
    assert policies == {"limits": "noeviction", "cache": "allkeys-lfu"}
    environment = compose["services"]["modelyard"]["environment"]
    assert "//limits:" in environment["MODELYARD_REDIS_URL"]
    assert "//cache:" in environment["MODELYARD_CACHE_REDIS_URL"]


def test_only_nginx_can_be_reached_from_outside(compose: dict[str, Any]) -> None:
    """Database and Valkey are on a network without a way out."""
    services = compose["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["nginx"]
    assert compose["networks"]["back"]["internal"] is True
    assert all(services[name]["networks"] == ["back"] for name in ("database", "limits", "cache"))


def test_compose_gives_settings_that_exist_and_no_secret_in_plain(compose: dict[str, Any], tmp_path: Path) -> None:
    """The service's own reading of these variables finds nothing missing, unknown or contradictory."""
    environment = dict(compose["services"]["modelyard"]["environment"])
    for item in Config.__dataclass_fields__.values():
        if item.metadata["secret"] and not item.name.endswith("redis_url"):
            assert variable_name(item.name) not in environment
    for name in [name for name in environment if name.endswith("_FILE")]:
        environment[name] = str(tmp_path / Path(environment[name]).name)
    (tmp_path / "other").mkdir()
    make_secrets.main(tmp_path, tmp_path / "other")
    config = Config.from_environ(environment)
    assert config.trusted_proxies == 1
    assert not config.embedded_database
    assert not config.embedded_redis


def test_secrets_are_made_once_private_and_consistent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second start changes nothing; the URL holds the database's own password; nothing is printed."""
    service, database = tmp_path / "service", tmp_path / "database"
    service.mkdir()
    database.mkdir()
    make_secrets.main(service, database)
    made = {path.name: path.read_text(encoding="ascii") for path in [*service.iterdir(), *database.iterdir()]}
    make_secrets.main(service, database)
    assert {path.name: path.read_text(encoding="ascii") for path in [*service.iterdir(), *database.iterdir()]} == made
    assert set(made) == {"database_url", "key_pepper", "cache_secret", "password"}
    assert f":{made['password']}@database:5432/" in made["database_url"]
    assert len({made["password"], made["key_pepper"], made["cache_secret"]}) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in service.iterdir()} == {0o400}
    assert not any(value in capsys.readouterr().out for value in made.values())


def test_nginx_buffers_uploads_and_names_the_caller(compose: dict[str, Any]) -> None:
    """Slow clients are nginx's business, and the address that limits go by is one the caller can't choose."""
    text = (ROOT / "deploy/nginx.conf").read_text(encoding="utf-8")
    for directive in (
        "proxy_request_buffering on;",
        "client_body_timeout 30s;",
        "proxy_next_upstream off;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "server modelyard:8000 ",
        "listen 8080;",
    ):
        assert directive in text, directive
    largest = re.search(r"client_max_body_size (\d+)m;", text)
    assert largest is not None
    assert int(largest[1]) * 2**20 > Config().max_artifact_bytes + Config().max_manifest_bytes
    assert compose["services"]["nginx"]["ports"] == ["127.0.0.1:8000:8080"]
    assert "./deploy/nginx.conf:/etc/nginx/nginx.conf:ro" in compose["services"]["nginx"]["volumes"]


@pytest.mark.parametrize("kind", REQUIREMENTS)
def test_every_direct_dependency_is_locked_and_has_a_reason(kind: str) -> None:
    """The page of reasons lists what the requirements list, in the same words, and nothing else."""
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    section = page.split("\n## ")[1 + list(REQUIREMENTS).index(kind)]
    reasons = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE))
    assert sorted(reasons) == sorted(direct(kind))
    assert all(len(reason.split()) >= 2 and reason.endswith(".") for reason in reasons.values())
    assert [name for name in direct(kind) if name.partition("[")[0] not in locked(kind)] == []


@pytest.mark.parametrize("kind", REQUIREMENTS)
def test_every_locked_package_has_hashes(kind: str) -> None:
    """An install that can't check what it got does not start."""
    text = LOCKS[kind].read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9-]+(?:\[[a-z,]+\])?==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked(kind))
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("kind", ["client", "server", "e2e", *EXTRAS, "docs"])
def test_every_lock_agrees_with_that_of_the_tests(kind: str) -> None:
    """What stands in both has one version, so that tests run with what is served."""
    served, dev = locked(kind), locked("dev")
    assert {name: (served[name], dev[name]) for name in served.keys() & dev.keys() if served[name] != dev[name]} == {}


def test_the_extras_of_the_project_are_those_that_are_locked() -> None:
    """`pyproject.toml` offers what `make serve EXTRAS=` installs."""
    project = tomllib.loads((ROOT / "deploy" / "server" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["optional-dependencies"] == {extra: direct(extra) for extra in EXTRAS}


def test_an_extra_that_does_not_exist_is_refused_with_those_that_do() -> None:
    """Before anything is installed."""
    result = run("make", "--dry-run", "serve", "EXTRAS=skops oonx")
    assert result.returncode != 0
    assert "There is no extra 'oonx'; there are: skops onnx lz4 fast" in result.stderr


def test_extras_are_installed_from_their_locks_each_once() -> None:
    """With spaces or commas between them."""
    for extras in ("skops onnx", "skops,onnx"):
        planned = run("make", "--dry-run", "--always-make", "serve", f"EXTRAS={extras}").stdout
        assert [planned.count(f"--require-hashes -r requirements/{extra}.lock") for extra in EXTRAS] == [1, 1, 0, 0]


def test_no_file_names_a_package_registry_or_a_folder_of_one_machine() -> None:
    """Where packages come from is the business of the machine that installs them."""
    address = re.compile(
        r"(https?|file)://[^\s\"')]*(pypi|pythonhosted|npmjs|/simple\b)|(?<![\w-])--(extra-index-url|index-url|find-links)[ =]",
        re.IGNORECASE,
    )
    local = re.compile(r"(?<![\w.-])/(root|home/\w+|Users/\w+)/")
    found = []
    for path in tracked_files():
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if address.search(line) or local.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_the_version_is_the_same_wherever_it_stands(compose: dict[str, Any]) -> None:
    """Code, metadata, changelog and compose file speak of one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(r"^## \[(.+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert versions[1] == modelyard.__version__ == registry.__version__
    assert compose["services"]["modelyard"]["image"] == f"modelyard:{modelyard.__version__}"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").split()[:2] == ["Apache", "License"]
    assert project["license"] == "Apache-2.0"


def test_make_lists_every_command_with_a_line_of_help() -> None:
    """`make` alone shows what can be done."""
    listed = dict(re.findall(r"^  make (\S+) +(\S.+)$", run("make").stdout, re.MULTILINE))
    assert set(listed) == {
        "help",
        "serve",
        "demo",
        "test",
        "coverage",
        "check",
        "fmt",
        "lock",
        "clean",
        "fuzz",
        "bench",
        "bench-all",
        "release",
        "docs",
        "e2e",
        "screenshots",
    }


def test_what_must_run_alone_stands_where_it_is_looked_for() -> None:
    """`make test` looks for it among the integration tests, and would pass over it elsewhere."""
    assert r"-m alone $$(grep -rl --include='*.py' 'mark\.alone' tests/integration)" in (ROOT / "Makefile").read_text(encoding="utf-8")
    marked = {
        path.parent.name for path in (ROOT / "tests").rglob("test_*.py") if "pytest.mark." + "alone" in path.read_text(encoding="utf-8")
    }
    assert marked == {"integration"}


def test_a_python_that_is_too_old_is_refused_in_one_line(tmp_path: Path) -> None:
    """Instead of a failure deep in an installation."""
    old = tmp_path / "python3"
    old.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'import sys; sys.exit(1)'\n", encoding="utf-8")
    old.chmod(0o755)
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("requirements.lock", "pyproject.toml", "deploy/server/pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    result = subprocess.run(["make", "serve", f"PYTHON={old}"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    said = [line for line in result.stderr.splitlines() if not line.startswith("make")]
    assert said == [f"Modelyard needs Python 3.11 or newer and '{old}' is not; try: make PYTHON=/path/to/python3.11 serve"]
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("script", [".ci/run"])
def test_scripts_are_executable_and_well_formed(script: str) -> None:
    """A script that bash can't read fails before it does half of its work."""
    assert os.access(ROOT / script, os.X_OK)
    assert run("bash", "-n", script).returncode == 0
