"""The operator's commands, each in a process of its own, beside a running service."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from config import Config
from modelyard.cli import main
from modelyard.cli.exits import Exit
from registry.cli import doctor, neighbours, opening, serve
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
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "modelyard.db").touch()
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
    """Digests without --load, loads and golden predictions with it; exit status 1 where one is wrong.

    Versions may share their bytes, which are read once; what is damaged and so doesn't load either stands once.
    """
    assert "2 of 2 versions load and replay equal here." in succeed(service, "verify", "--load")
    service.publish("differs", differing())
    (sha256,) = {service.publish("shared", sleeping(0.001))["artifact"]["sha256"] for _ in range(2)}
    path = service.instance / "artifacts" / sha256[:2] / sha256[2:4] / sha256
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    done = service.run("verify", "--load", "--json")
    path.write_bytes(content)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    wrong = {(each["model"], each["version"]): each["detail"] for each in told["wrong"]}
    assert len(told.pop("wrong")) == 3
    assert told == {"artifacts": 4, "whole": 3, "loaded": 5}
    assert wrong["shared", 1] == wrong["shared", 2] == f"the bytes are missing or changed ({sha256})"
    assert wrong["differs", 1].startswith("would not serve here: The golden predictions differ")


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
    assert f"no registry at {tmp_path / 'new' / 'modelyard.db'} yet" in found["database"].text
    assert "MODELYARD_INSTANCE_PATH" in found["database"].advice
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


def here(words: list[str], instance: Path, **settings: str) -> Result:
    """Run one of the server's commands in this process, whose log stays as it is, on an instance folder of its own."""
    empty: dict[str, str | None] = {"MODELYARD_URL": None, "MODELYARD_PROFILE": None, "MODELYARD_INSTANCE_PATH": str(instance)}
    given = {f"MODELYARD_{name.upper()}": value for name, value in settings.items()}
    with pytest.MonkeyPatch.context() as patched:
        for module in (opening, serve):
            patched.setattr(module, "configure_logging", lambda _: None)
        return CliRunner().invoke(main.main, words, env={**empty, **given})


@pytest.mark.parametrize("words", [["keys", "create", "x"], ["keys", "list"], ["sweep"], ["verify"], ["db", "check"]], ids="-".join)
def test_a_command_in_the_wrong_folder_makes_no_registry_there(words: list[str], tmp_path: Path) -> None:
    """It says where it looked, and which settings lead elsewhere."""
    done = here(words, tmp_path / "new")
    assert (done.exit_code, f"no registry at {tmp_path / 'new' / 'modelyard.db'}; run it where" in done.output) == (Exit.USAGE, True)
    assert "MODELYARD_DATABASE_URL" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_can_not_be_used_is_told_without_a_traceback(tmp_path: Path) -> None:
    """A damaged file, one that can't be opened, a folder that can't be made, a path that can't be looked at; `doctor` says it, too."""
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "modelyard.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    (tmp_path / "folder" / "modelyard.db").mkdir(parents=True)
    (tmp_path / "file").touch()
    for words, instance, code, said in (
        (["keys", "list"], "damaged", Exit.WRONG, "file is not a database"),
        (["db", "check"], "damaged", Exit.WRONG, "file is not a database"),
        (["db", "upgrade"], "damaged", Exit.WRONG, "file is not a database"),
        (["keys", "list"], "folder", Exit.LATER, "unable to open database file"),
        (["db", "check"], "folder", Exit.LATER, "unable to open database file"),
        (["db", "upgrade"], "file/below", Exit.WRONG, f"{tmp_path}/file/below can't be used: Not a directory"),
        (["serve"], "file/below", Exit.WRONG, f"{tmp_path}/file/below can't be used (Not a directory)"),
        (["verify"], "long" * 100, Exit.WRONG, "File name too long"),
    ):
        done = here(words, tmp_path / instance)
        assert (done.exit_code, said in done.output) == (code, True), (words, done.output, done.exception)
    opened = looked_at(instance_path=str(tmp_path / "folder"))["database"]
    assert (opened.ok, "SQLITE_CANTOPEN" in opened.text, "restore" in opened.advice) == (False, True, False)
    unseen = looked_at(instance_path=str(tmp_path / ("long" * 100)))["database"]
    assert (unseen.ok, "File name too long" in unseen.text) == (False, True)
    assert not doctor._folder("store", tmp_path / ("long" * 100), 0, "").ok


@pytest.mark.parametrize(
    ("name", "advice"), [("SQLITE_BUSY", "another process"), ("SQLITE_NOTADB", "restore"), ("SQLITE_READONLY", "may read and write")]
)
def test_only_a_damaged_database_is_to_be_restored(name: str, advice: str, tmp_path: Path) -> None:
    """One that is held or not permitted has nothing wrong with it."""
    told = neighbours._database_advice(tmp_path / "modelyard.db", name)
    assert (advice in told, "restore" in told) == (True, name == "SQLITE_NOTADB")


def test_doctor_and_db_check_agree_on_a_file_without_tables(tmp_path: Path) -> None:
    """Neither finds it well, and doctor says what to do."""
    (tmp_path / "modelyard.db").touch()
    assert here(["db", "check"], tmp_path).exit_code == Exit.WRONG
    found = looked_at(instance_path=str(tmp_path))["migrations"]
    assert (found.ok, "modelyard db upgrade" in found.advice) == (False, True)


def test_a_mount_for_reading_is_told_as_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not as a folder of somebody else, though nobody may write there either."""
    room = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*room[:8], room.f_flag | os.ST_RDONLY, room.f_namemax)))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "mounted read-only" in doctor._folder("disk", tmp_path, 0, "").text


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("redis_url", "nonsense"),
        ("cache_redis_url", "http://u:hunter2@x"),
        ("redis_url", "redis://u:hunter2@x:port/0"),
        ("database_url", "nonsense"),
        ("database_url", "mysql://u:hunter2@x/y"),
        ("database_url", "postgresql://u:hunter2@x:port/y"),
        ("database_url", "postgresql+asyncpg://u:hunter2@x/y"),
    ],
)
def test_an_address_that_no_driver_reads_ends_every_command_alike(setting: str, value: str, tmp_path: Path) -> None:
    """With one line and exit status 2, and never with the password."""
    secrets = {"key_pepper": "p" * 32, "cache_secret": "s" * 32}
    for words in (["doctor"], ["serve"], ["keys", "list"]):
        done = here(words, tmp_path / "new", **{setting: value}, **secrets)
        assert (done.exit_code, f"MODELYARD_{setting.upper()}: must be a URL such as" in done.output) == (Exit.USAGE, True)
        assert "hunter2" not in done.output


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("redis_url", "rediss://:p%40ss@h:6380/1?socket_timeout=1"),
        ("redis_url", "unix:///run/valkey.sock?db=1"),
        ("redis_url", "redis://[::1]:6379/0"),
        ("database_url", "postgresql:///name?host=/run/postgresql"),
        ("database_url", "postgresql+psycopg://u:p/w:o?d@[::1]:5432/name"),
        ("database_url", "postgres://u@h/name?sslmode=require"),
        ("database_url", "sqlite:////srv/registry.db"),
    ],
)
def test_addresses_that_the_drivers_read_are_taken(setting: str, value: str) -> None:
    """Sockets, IPv6, options, and a password with signs in it."""
    given = {f"MODELYARD_{name}": text for name, text in (("KEY_PEPPER", "p"), ("CACHE_SECRET", "s"), (setting.upper(), value))}
    assert getattr(Config.from_environ(given), setting) == value


def test_local_keys_are_bound_as_those_over_rest(migrated_sqlite: Path, tmp_path: Path) -> None:
    """Name, models and limits; what REST would refuse isn't made."""
    shutil.copy(migrated_sqlite, tmp_path / "modelyard.db")
    for words in (["x" * 201], [""], ["x", *["--limit", "1/minute"] * 11], ["x", *["--model", "m"] * 101]):
        done = here(["keys", "create", *words], tmp_path)
        assert (done.exit_code, "A key" in done.output) == (Exit.USAGE, True), done.output
    assert "There are no keys." in here(["keys", "list"], tmp_path).output


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
