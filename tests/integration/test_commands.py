"""The operator's commands, each in a process of its own, beside a running service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

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
    ("command", "said"),
    [
        (("keys", "revoke", "nosuchkey123"), "key"),
        (("keys", "create", "x", "--limit", "often"), "600/minute"),
        (("keys", "create", "x", "--model", "Bad Name"), "pattern"),
        (("keys", "create", "x", "--scope", "root"), "root"),
        (("nonsense",), "nonsense"),
    ],
)
def test_a_command_that_fails_says_why_without_a_traceback(service: RunningService, command: tuple[str, ...], said: str) -> None:
    """One sentence, and an exit status."""
    done = service.run(*command)
    assert done.returncode != 0
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
    assert "this version wants" in succeed(service, "db", "check")
    elsewhere = {"MODELYARD_INSTANCE_PATH": str(tmp_path / "new")}
    assert service.run("db", "check", **elsewhere).returncode == 1
    assert service.run("db", "upgrade", **elsewhere).returncode == 0
    assert service.run("db", "check", **elsewhere).returncode == 0


def test_verify_names_every_version_that_would_not_serve(service: RunningService) -> None:
    """Digests without --load, loads and golden predictions with it; exit status 1 where one is wrong."""
    assert "2 of 2 artifacts are whole." in succeed(service, "verify")
    assert "2 of 2 versions load and replay equal here." in succeed(service, "verify", "--load")
    service.publish("differs", differing())
    done = service.run("verify", "--load")
    assert done.returncode == 1
    assert "3 of 3 artifacts are whole." in done.stdout
    assert "differs/1: would not serve here: The golden predictions differ" in done.stdout
    assert "2 of 3 versions load" in done.stdout


def test_sweep_removes_what_no_version_needs_and_says_so_before(service: RunningService) -> None:
    """A dry run removes nothing; a kept artifact stays."""
    orphan = "ab" * 32
    path = service.instance / "artifacts" / orphan[:2] / orphan[2:4] / orphan
    path.parent.mkdir(parents=True)
    path.write_bytes(b"orphan")
    assert orphan in succeed(service, "sweep", "--dry-run", "--grace-seconds", "0")
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
        assert "removing swept/1" in done.stdout
        eventually(lambda: client.post("/models/swept/1/restore", json={}).status_code == 404)


def test_doctor_finds_a_healthy_host_healthy(service: RunningService) -> None:
    """One line per part, and exit status 0."""
    lines = succeed(service, "doctor").splitlines()
    assert {line.split()[1] for line in lines} >= {"database:", "store:", "sandbox:", "clock:"}
    assert {line.split()[0] for line in lines} == {"ok"}


def test_doctor_says_what_to_do(service: RunningService) -> None:
    """Exit status 1, and the setting that is at fault."""
    done = service.run("doctor", MODELYARD_SANDBOX="off", MODELYARD_MIN_FREE_BYTES=str(2**62), MODELYARD_REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) >= 3
    assert any("MODELYARD_SANDBOX" in line for line in failed)


def test_the_command_tells_its_version_and_its_commands(service: RunningService) -> None:
    """`--version` and `--help` work without a registry."""
    assert "modelyard" in succeed(service, "--version")
    helped = succeed(service, "--help")
    assert all(name in helped for name in ("serve", "db", "keys", "sweep", "verify", "doctor"))
