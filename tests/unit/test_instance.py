"""The instance folder: secrets made once, one holder at a time, socket paths that fit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from config import Config
from registry.instance import Instance, InstanceLocked, write_private


def test_secrets_are_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    """The second start reads what the first made, and nobody else can."""
    first = Instance(Config(instance_path=tmp_path / "one")).secrets()
    again = Instance(Config(instance_path=tmp_path / "one")).secrets()
    assert first == again
    assert first.key_pepper != first.cache_secret
    for file in (tmp_path / "one").glob("*.secret"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_given_secrets_are_used_as_they_are(tmp_path: Path) -> None:
    """No file is made where the configuration brings the secrets."""
    secrets = Instance(Config(instance_path=tmp_path / "one", key_pepper="p", cache_secret="c")).secrets()
    assert (secrets.key_pepper, secrets.cache_secret) == (b"p", b"c")
    assert not list(tmp_path.rglob("*.secret"))


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    """The second holder is refused with the first one's process number."""
    instance = Instance(Config(instance_path=tmp_path))
    instance.prepare()
    held = instance.lock()
    with pytest.raises(InstanceLocked, match=str(os.getpid())):
        instance.lock()
    os.close(held)
    os.close(instance.lock())


def test_socket_paths_fit_however_long_the_folder_is(tmp_path: Path) -> None:
    """UNIX sockets allow 107 bytes; a long folder gets a short one of its own, always the same."""
    config = Config(instance_path=tmp_path / ("x" * 120))
    instance = Instance(config)
    assert len(os.fsencode(instance.sockets / "limits.sock")) < 107
    assert instance.sockets == Instance(config).sockets
    assert instance.sockets != Instance(Config(instance_path=tmp_path / ("y" * 120))).sockets


def test_a_private_file_is_never_overwritten(tmp_path: Path) -> None:
    """Two processes may make the same secret; the first one counts."""
    write_private(tmp_path / "secret", "first")
    write_private(tmp_path / "secret", "second")
    assert (tmp_path / "secret").read_text().strip() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_embedded_addresses_follow_from_the_folder(tmp_path: Path) -> None:
    """Without URLs: SQLite in the folder, sockets of two Valkeys; with them: those."""
    embedded = Instance(Config(instance_path=tmp_path))
    assert embedded.database_url == f"sqlite:///{tmp_path / 'modelyard.db'}"
    assert embedded.redis_url != embedded.cache_redis_url
    given = Instance(Config(instance_path=tmp_path, database_url="postgresql://u@h/d", redis_url="redis://h:1/0"))
    assert given.database_url == "postgresql+psycopg://u@h/d"
    assert given.redis_url == given.cache_redis_url == "redis://h:1/0"
