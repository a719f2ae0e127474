"""The operator's commands, each in a process of its own, beside a running service."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from config import Config
from modelyard.cli.exits import Exit
from registry.cli.finding import Finding
from registry.cli.neighbours import Neighbours
from registry.instance import Instance
from tests.misbehaving import EXTRA_NAMES, model
from tests.processes import eventually
from tests.running import RunningService, running
from tests.slow_models import differing, sleeping

GOOD = {"data": [[1.0, 2.0, 3.0, 4.0]]}
KEY = re.compile(r"my_([0-9A-Za-z]{12})_[0-9A-Za-z]+")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service with two published models."""
    with running(tmp_path_factory.mktemp("commands") / "instance", web_processes="1", extra_names=EXTRA_NAMES) as started:
        started.publish("sum", model("raises"))
        started.publish("other", sleeping(0))
        yield started


def succeed(service: RunningService, *command: str) -> str:
    """Run a command that must succeed, without a word on standard error, and return what it printed."""
    done = service.run(*command)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def ask(service: RunningService, *command: str) -> Any:
    """Run a command with --json that must succeed, and return its document."""
    return json.loads(succeed(service, *command, "--json"))


def status(service: RunningService, key: str) -> int:
    """Return what a prediction with this key is answered."""
    return httpx.post(f"{service.url}/models/sum/1", json=GOOD, headers={"Authorization": f"Bearer {key}"}, timeout=30).status_code


def test_a_key_that_is_made_on_the_command_line_works_at_once(service: RunningService) -> None:
    """With the scopes, models and limits that were asked for."""
    key = succeed(service, "keys", "create", "notebook", "--scope", "predict", "--model", "su*", "--limit", "100/minute").strip()
    assert KEY.fullmatch(key)
    assert status(service, key) == 200
    answer = httpx.post(f"{service.url}/models/other/1", json=GOOD, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    assert answer.status_code == 404, "a model outside the pattern can't be seen"
    listed = succeed(service, "keys", "list")
    assert key not in listed
    (line,) = [line for line in listed.splitlines() if KEY.fullmatch(key)[1] in line]  # type: ignore[index]
    assert line.split() == [KEY.fullmatch(key)[1], "notebook", "predict", "su*", "100/minute", "valid"]  # type: ignore[index]
    assert ask(service, "keys", "show", line.split()[0]) in ask(service, "keys", "list")


def test_a_key_that_is_revoked_on_the_command_line_stops_at_once(service: RunningService) -> None:
    """The very next request of the running service is refused."""
    key = succeed(service, "keys", "create", "short-lived", "--scope", "predict").strip()
    assert status(service, key) == 200
    key_id = KEY.fullmatch(key)[1]  # type: ignore[index]
    assert succeed(service, "keys", "revoke", key_id) == f"Revoked {key_id}.\n"
    assert status(service, key) == 401
    assert "revoked" in next(line for line in succeed(service, "keys", "list").splitlines() if key_id in line)


def test_a_key_that_is_rotated_goes_on_for_the_overlap(service: RunningService) -> None:
    """With an overlap both work, without one the old key ends."""
    first = succeed(service, "keys", "create", "rotated", "--scope", "predict").strip()
    second = succeed(service, "keys", "rotate", KEY.fullmatch(first)[1], "--overlap-seconds", "600").strip()  # type: ignore[index]
    assert [status(service, key) for key in (first, second)] == [200, 200]
    third = succeed(service, "keys", "rotate", KEY.fullmatch(second)[1]).strip()  # type: ignore[index]
    assert [status(service, key) for key in (second, third)] == [401, 200]


@pytest.mark.parametrize(
    ("command", "said", "code"),
    [
        (("keys", "revoke", "nosuchkey123"), "There is no key nosuchkey123.", Exit.NOT_FOUND),
        (("keys", "create", "x", "--limit", "often"), "600/minute", Exit.USAGE),
        (("keys", "create", "x", "--model", "Bad Name"), "pattern", Exit.REFUSED),
        (("keys", "create", "x", "--scope", "root"), "root", Exit.USAGE),
        (("nonsense",), "nonsense", Exit.USAGE),
    ],
)
def test_a_command_that_fails_says_why_without_a_traceback(
    service: RunningService, command: tuple[str, ...], said: str, code: Exit
) -> None:
    """A few lines, and the exit code that a call over REST would have."""
    done = service.run(*command)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert said in done.stderr


def test_settings_that_cannot_be_used_are_all_named(service: RunningService) -> None:
    """Every problem at once, exit status 2."""
    done = service.run("db", "check", MODELYARD_PORT="none", MODELYARD_SANDBOX="maybe")
    assert done.returncode == 2
    assert "MODELYARD_PORT" in done.stderr
    assert "MODELYARD_SANDBOX" in done.stderr


def test_the_database_is_checked_and_upgraded(service: RunningService, tmp_path: Path) -> None:
    """A running service's is current; a new one is not until it was upgraded."""
    assert len(set(ask(service, "db", "check").values())) == 1
    elsewhere = {"MODELYARD_INSTANCE_PATH": str(tmp_path / "new")}
    done = service.run("db", "check", **elsewhere)
    assert (done.returncode, done.stdout.startswith("The database is at nothing; this version wants ")) == (1, True)
    done = service.run("keys", "list", **elsewhere)
    assert (done.returncode, "run 'modelyard db upgrade'" in done.stderr) == (1, True)
    assert service.run("db", "upgrade", **elsewhere).returncode == 0
    assert service.run("db", "check", **elsewhere).returncode == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "new" / "modelyard.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999_newer'")
    done = service.run("db", "upgrade", **elsewhere)
    assert (done.returncode, "run the newer version" in done.stderr) == (1, True)


def test_verify_names_every_version_that_would_not_serve(service: RunningService) -> None:
    """Digests without --load, loads and golden predictions with it; exit status 1 where one is wrong."""
    assert "2 of 2 versions load and replay equal here." in succeed(service, "verify", "--load")
    service.publish("differs", differing())
    done = service.run("verify", "--load", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    (wrong,) = told.pop("wrong")
    assert told == {"artifacts": 3, "whole": 3, "loaded": 3}
    assert (wrong["model"], wrong["version"]) == ("differs", 1)
    assert wrong["detail"].startswith("would not serve here: The golden predictions differ")


def test_sweep_removes_what_no_version_needs_and_says_so_before(service: RunningService) -> None:
    """A dry run removes nothing; a kept artifact stays."""
    orphan = "ab" * 32
    path = service.instance / "artifacts" / orphan[:2] / orphan[2:4] / orphan
    path.parent.mkdir(parents=True)
    path.write_bytes(b"orphan")
    assert orphan in ask(service, "sweep", "--dry-run", "--grace-seconds", "0")["removed"]
    assert path.exists()
    succeed(service, "sweep")
    assert path.exists(), "younger than the grace period"
    assert orphan in succeed(service, "sweep", "--grace-seconds", "0")
    assert not path.exists()
    with service.client() as client:
        assert client.get("/models/sum/1/artifact").status_code == 200


def test_sweep_removes_versions_that_were_deleted_long_ago(service: RunningService) -> None:
    """They can't be restored any more; until then they can."""
    service.publish("swept", model("exits"))
    with service.client() as client:
        assert client.delete("/models/swept/1").status_code == 200
        assert "swept/1" not in succeed(service, "sweep")
        done = service.run("sweep", "--grace-seconds", "0", MODELYARD_DELETED_KEEP_SECONDS="0")
        assert "removed swept/1" in done.stdout
        eventually(lambda: client.post("/models/swept/1/restore", json={}).status_code == 404)


def test_doctor_finds_a_healthy_host_healthy(service: RunningService) -> None:
    """One line per part, and exit status 0."""
    lines = succeed(service, "doctor").splitlines()
    parts = ["system", "database", "migrations", "redis", "cache", "clock", "store", "disk", "sandbox"]
    assert [line.split()[1].rstrip(":") for line in lines][: len(parts)] == parts
    assert {line.split()[0] for line in lines} == {"ok"}
    assert any(line.startswith("ok    redis: embedded") and line.endswith("answers") for line in lines)


def test_doctor_says_what_to_do(service: RunningService) -> None:
    """Exit status 1, and the setting that is at fault; for programs the advice stands apart."""
    wrong = {"MODELYARD_SANDBOX": "off", "MODELYARD_MIN_FREE_BYTES": str(2**62), "MODELYARD_REDIS_URL": "redis://127.0.0.1:1/0"}
    done = service.run("doctor", "--json", **wrong)
    found = {finding["part"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 1
    assert [part for part, finding in found.items() if not finding["ok"]] == ["redis", "cache", "store", "sandbox"]
    assert "MODELYARD_REDIS_URL" in found["redis"]["advice"]
    assert "MODELYARD_SANDBOX" in found["sandbox"]["advice"]
    assert "modelyard sweep" in found["store"]["advice"]


def looked_at(**settings: str) -> dict[str, Finding]:
    """Return what the doctor finds beside the machine, by part, in this process."""
    config = Config.from_environ({f"MODELYARD_{name.upper()}": value for name, value in settings.items()})
    return {finding.part: finding for finding in Neighbours(config, Instance(config)).findings()}


def test_doctor_changes_nothing_where_nothing_is_yet(tmp_path: Path) -> None:
    """On a new host it says what the first start will make."""
    found = looked_at(instance_path=str(tmp_path / "new"))
    assert [finding for finding in found.values() if not finding.ok] == []
    assert "isn't there yet" in found["database"].text
    assert not (tmp_path / "new").exists()


def test_doctor_tells_a_damaged_database_and_one_of_another_version(migrated_sqlite: Path, tmp_path: Path) -> None:
    """With what to do about each: restore, upgrade, or run what is newer."""
    file = tmp_path / "modelyard.db"
    shutil.copy(migrated_sqlite, file)
    for revision, advice in (("0000_older", "modelyard db upgrade"), ("9999_newer", "run the newer version")):
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        assert advice in looked_at(instance_path=str(tmp_path))["migrations"].advice
    for leftover in tmp_path.glob("modelyard.db*"):
        leftover.unlink()
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    found = looked_at(instance_path=str(tmp_path))["database"]
    assert (found.ok, "restore" in found.advice) == (False, True)


def test_doctor_compares_its_clock_with_the_database_s(postgres_database_url: str, tmp_path: Path) -> None:
    """And names the server without its password."""
    found = looked_at(instance_path=str(tmp_path), database_url=postgres_database_url, key_pepper="p" * 32, cache_secret="s" * 32)
    assert re.search(r"0\.\d s from the database", found["clock"].text)
    assert found["database"].text.startswith("PostgreSQL ")
    assert found["migrations"].ok


def test_the_command_tells_its_version_and_its_commands(service: RunningService) -> None:
    """`--version` and `--help` work without a registry."""
    assert "modelyard" in succeed(service, "--version")
    helped = succeed(service, "--help")
    assert all(name in helped for name in ("serve", "db", "keys", "sweep", "verify", "doctor"))
