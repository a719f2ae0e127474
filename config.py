"""Every setting of the server, its type and its default. The one place that reads the environment.

`Config.from_environ` casts each value by its field's type, collects every problem before it gives up, and warns about
`MODELYARD_` variables that it doesn't know. Nothing here touches the disk or the network.
"""

from __future__ import annotations

import difflib
import os
import re
import typing
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PREFIX = "MODELYARD_"
HIGHEST_PORT = 65535
MOST_EXTRA_NAMES = 64
LONGEST_EXTRA_NAME = 200
#: Variables of the client and of the processes that `modelyard serve` starts; known, though not settings.
NOT_SETTINGS = frozenset({"MODELYARD_URL", "MODELYARD_KEY", "MODELYARD_PROFILE"})

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_EXTRA_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
#: As SQLAlchemy takes it apart: a password may hold anything but an @, and a port is a number.
_DATABASE_URL = re.compile(
    r"sqlite://(?:/.*)?|postgres(?:ql(?:\+psycopg)?)?://(?:[^:/]*(?::[^@]*)?@)?(?:\[[^/?]+\]|[^:/?]*)(?::[0-9]*)?(?:[/?].*)?", re.ASCII
)
_KUBERNETES_SERVICE = re.compile(r"[a-z]+://\S+")


class ConfigError(ValueError):
    """Settings that can't be used; `problems` has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        """Keep one line per problem."""
        super().__init__("; ".join(problems))
        self.problems = problems


class ConfigWarning(UserWarning):
    """A setting that is probably a mistake."""


class Bytes(int):
    """A size in bytes; accepts suffixes such as `512MiB` or `2G` (powers of 1024)."""


def setting(default: Any, meaning: str, *, minimum: float | None = None, choices: tuple[str, ...] = (), secret: bool = False) -> Any:
    """Declare one setting: its default, one line of meaning, and what bounds it."""
    return field(default=default, metadata={"meaning": meaning, "minimum": minimum, "choices": choices, "secret": secret})


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The settings of one host, validated. Times are in seconds, sizes in bytes."""

    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(8000, "Port to listen on.", minimum=1)
    instance_path: Path = setting(Path("instance"), "Folder of everything the host keeps: embedded database, artifacts, secrets, sockets.")
    database_url: str = setting("", "SQLAlchemy URL of the registry; empty means SQLite in the instance folder.", secret=True)
    redis_url: str = setting(
        "", "Redis (7.0 or newer) or Valkey that must not evict (limits, announcements); empty means an embedded one.", secret=True
    )
    cache_redis_url: str = setting(
        "", "Redis or Valkey that may evict (prediction cache); empty means embedded, or `redis_url` where that is set.", secret=True
    )
    artifacts_path: Path | None = setting(
        None, "Folder of the artifacts; empty means `artifacts` in the instance folder. Hosts that share a database share it."
    )

    key_pepper: str = setting(
        "", "Secret under which API keys are hashed; made once on embedded defaults, required with a database URL.", secret=True
    )
    cache_secret: str = setting(
        "", "Secret that signs cached predictions; made once on embedded defaults, required with a database URL.", secret=True
    )

    web_processes: int = setting(0, "Granian web processes; 0 means one per core.", minimum=0)
    web_threads: int = setting(160, "Threads of each web process.", minimum=8)
    compute_slots: int = setting(16, "Requests of one web process that are parsed or encoded at once.", minimum=1)
    upload_slots: int = setting(16, "Uploads the host takes at once.", minimum=1)
    uploads_per_key: int = setting(4, "Uploads one key may have under way at once on a host.", minimum=1)
    upload_stall_seconds: float = setting(30.0, "An upload that sends nothing for so long is refused.", minimum=0.1)
    upload_min_bytes_per_second: int = setting(8192, "Lowest average rate of an upload, once it is older than the stall time.", minimum=0)
    trusted_proxies: int = setting(0, "Proxies in front whose X-Forwarded-For and -Proto are believed.", minimum=0)
    cors_origins: tuple[str, ...] = setting((), "Origins that browsers may call from, comma-separated; empty means none.")
    public_metrics: bool = setting(False, "Serve /metrics and /openapi.json without a key.")
    console: bool = setting(True, "Serve the console, pages for people, under /console.")
    console_session_seconds: int = setting(12 * 3600, "How long a browser stays signed in to the console.", minimum=60)

    max_artifact_bytes: Bytes = setting(Bytes(2 * 2**30), "Largest artifact.", minimum=1)
    max_body_bytes: Bytes = setting(Bytes(32 * 2**20), "Largest body of any other request.", minimum=1024)
    max_manifest_bytes: Bytes = setting(Bytes(4 * 2**20), "Largest manifest of an upload.", minimum=1024)
    max_rows: int = setting(100_000, "Most rows in one predict request.", minimum=1)
    min_free_bytes: Bytes = setting(Bytes(512 * 2**20), "Uploads are refused while the disk has less free space than this.", minimum=0)

    default_limits: tuple[str, ...] = setting(("6000/minute",), "Limits of a key that names none, comma-separated.")
    admin_limits: tuple[str, ...] = setting(("600000/minute",), "Limits of the first admin key.")
    failed_auth_limit: str = setting("60/minute", "Failed authentications allowed per address.")

    cache: bool = setting(True, "Use the prediction cache.")
    cache_ttl_seconds: int = setting(3600, "How long a prediction stays cached.", minimum=1)
    cache_max_value_bytes: Bytes = setting(Bytes(2**20), "Largest prediction that is cached.", minimum=1)
    cache_process_bytes: Bytes = setting(
        Bytes(16 * 2**20), "Memory of each web process for the predictions that are asked for most; 0 means none.", minimum=0
    )
    cache_memory_bytes: Bytes = setting(Bytes(256 * 2**20), "Memory of the embedded cache.", minimum=2**20)

    extra_names: tuple[str, ...] = setting(
        (),
        "Classes of installed packages that artifacts may also name, as `package.module:Class`, comma-separated: "
        "their code runs when an artifact names them.",
    )
    sandbox: str = setting("on", "`off` runs models without walls: for development only.", choices=("on", "off"))
    worker_uid: int = setting(65534, "User id that workers drop to when the host process is root.", minimum=1)
    worker_memory_bytes: Bytes = setting(
        Bytes(0), "Most memory of one worker above the fork server's; 0 means the whole budget.", minimum=0
    )
    memory_budget_bytes: Bytes = setting(Bytes(0), "Memory of all workers together; 0 means half of the machine or cgroup.", minimum=0)
    load_timeout_seconds: float = setting(120.0, "Longest load or admission.", minimum=0.1)
    load_wait_seconds: float = setting(30.0, "Longest that a request waits for a load.", minimum=0.0)
    prediction_timeout_seconds: float = setting(30.0, "Longest computation of a prediction.", minimum=0.05)
    max_waiting_per_version: int = setting(100, "Most requests of one web process that wait for one version.", minimum=1)
    idle_seconds: float = setting(900.0, "A worker unused for so long is ended; 0 means never.", minimum=0.0)
    drain_seconds: float = setting(20.0, "Longest wait for requests under way when the host stops.", minimum=0.0)

    stale_ok_seconds: float = setting(300.0, "How long known predictions go on while the database is away.", minimum=0.0)
    switch_deadline_seconds: float = setting(
        5.0, "How long another host may go on with an alias's old target while it loads the new one.", minimum=0.0
    )
    poll_seconds: float = setting(1.0, "How often changes by other hosts are asked for.", minimum=0.05)
    sweep_grace_seconds: float = setting(86_400.0, "Age at which `sweep` takes an unreferenced artifact.", minimum=0.0)
    deleted_keep_seconds: float = setting(30 * 86_400.0, "Age at which `sweep` removes what was deleted.", minimum=0.0)
    log_level: str = setting("info", "Least severe log line written.", choices=("debug", "info", "warning", "error"))

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read `MODELYARD_*` variables, or files named by `MODELYARD_*_FILE` for secrets. Raises ConfigError with every problem."""
        environ = os.environ if environ is None else environ
        problems: list[str] = []
        types = typing.get_type_hints(cls)
        values: dict[str, Any] = {}
        for item in fields(cls):
            text = _text_of(item, environ, problems)
            if text is None:
                continue
            try:
                values[item.name] = _cast(item, types[item.name], text)
            except ValueError as error:
                shown = "" if item.metadata["secret"] else f" (got {text!r})"
                problems.append(f"{variable_name(item.name)}: {error}{shown}")
        _warn_about_unknown(environ)
        if not problems:
            config = cls(**values)
            problems = config._contradictions()
        if problems:
            raise ConfigError(problems)
        return config

    @property
    def embedded_database(self) -> bool:
        """Tell whether the registry is the SQLite file in the instance folder."""
        return not self.database_url

    @property
    def embedded_redis(self) -> bool:
        """Tell whether `serve` starts its own Valkey."""
        return not self.redis_url

    @property
    def artifacts_folder(self) -> Path:
        """Return the absolute folder of the artifact store."""
        return (self.artifacts_path or self.instance_path / "artifacts").absolute()

    @property
    def run_folder(self) -> Path:
        """Return the absolute folder of sockets, locks and the shared word; emptied at each start."""
        return (self.instance_path / "run").absolute()

    def _contradictions(self) -> list[str]:
        problems = []
        if self.database_url and not self.key_pepper:
            problems.append("MODELYARD_KEY_PEPPER: must be given where MODELYARD_DATABASE_URL is, so that every host shares it")
        if self.database_url and not self.cache_secret:
            problems.append("MODELYARD_CACHE_SECRET: must be given where MODELYARD_DATABASE_URL is, so that every host shares it")
        return problems


def variable_name(setting_name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + setting_name.upper()


def _text_of(item: Any, environ: Mapping[str, str], problems: list[str]) -> str | None:
    name = variable_name(item.name)
    text = environ.get(name)
    file = environ.get(f"{name}_FILE")
    if item.metadata["secret"] and file:
        if text:
            problems.append(f"{name}: give it or {name}_FILE, not both")
        try:
            secret = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}_FILE: can't be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}")
            return None
        if not secret:
            problems.append(f"{name}_FILE: {file} is empty")
        return secret or None
    if not text:
        return None
    if item.name in {"port", "host"} and _KUBERNETES_SERVICE.fullmatch(text):
        warnings.warn(f"{name}={text} comes from a Kubernetes service called modelyard and is ignored", ConfigWarning, stacklevel=3)
        return None
    return text


def _cast(item: Any, kind: Any, text: str) -> Any:
    value = _parse(kind, text)
    minimum, choices = item.metadata["minimum"], item.metadata["choices"]
    if choices and value not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}")
    if minimum is not None and value < minimum:
        raise ValueError(f"must be at least {minimum:g}")
    if item.name == "port" and value > HIGHEST_PORT:
        raise ValueError(f"must be at most {HIGHEST_PORT}")
    if item.name == "extra_names":
        _require_extra_names(value)
    if item.name in {"redis_url", "cache_redis_url"} and not _is_redis_url(value):
        raise ValueError("must be a URL such as redis://host:6379/0, rediss://host:6379/0 or unix:///run/valkey.sock")
    if item.name == "database_url" and _DATABASE_URL.fullmatch(value) is None:
        raise ValueError("must be a URL such as postgresql://user@host/name or sqlite:////srv/registry.db")
    return value


def _is_redis_url(text: str) -> bool:
    """Tell whether the driver could read it. What is wrong with one is never told, since a password may stand in it."""
    try:
        parsed = urlsplit(text)
        return text.startswith(("redis://", "rediss://", "unix://")) and (parsed.port is None or parsed.port > 0)
    except ValueError:
        return False


def _require_extra_names(names: tuple[str, ...]) -> None:
    """Raise ValueError naming the first that isn't `package.module:Class`, or stands there twice."""
    for index, name in enumerate(names):
        if _EXTRA_NAME.fullmatch(name) is None or len(name) > LONGEST_EXTRA_NAME:
            raise ValueError(f"{name!r} must be a class as package.module:Class, in ASCII, such as mypackage.transform:Winsorizer")
        if name in names[:index]:
            raise ValueError(f"{name!r} stands there twice")
    if len(names) > MOST_EXTRA_NAMES:
        raise ValueError(f"must be at most {MOST_EXTRA_NAMES} names")


def _parse(kind: Any, text: str) -> Any:
    if kind is str:
        return text
    if kind is bool:
        return _parse_bool(text)
    if kind is Bytes:
        return _parse_bytes(text)
    if kind is int:
        if re.fullmatch(r"[0-9]+", text, re.ASCII) is None:
            raise ValueError("must be a whole number")
        return int(text)
    if kind is float:
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII) is None:
            raise ValueError("must be a number such as 2.5")
        return float(text)
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return Path(text)


def _parse_bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("must be true or false")


def _parse_bytes(text: str) -> Bytes:
    match = re.fullmatch(r"([0-9]+)\s*([A-Za-z]*)", text, re.ASCII)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError("must be a size such as 512MiB or 2GiB")
    return Bytes(int(match[1]) * _UNITS[match[2].lower()])


def _warn_about_unknown(environ: Mapping[str, str]) -> None:
    known = {variable_name(item.name) for item in fields(Config)}
    known |= {f"{variable_name(item.name)}_FILE" for item in fields(Config) if item.metadata["secret"]}
    for name in environ:
        if not name.startswith(PREFIX) or name in known or name in NOT_SETTINGS:
            continue
        if re.match(r"MODELYARD_(PORT_|SERVICE_)", name):  # injected by Kubernetes
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        warnings.warn(f"{name} is not a setting of Modelyard and is ignored{hint}", ConfigWarning, stacklevel=3)


def child_environment(**extra: str) -> dict[str, str]:
    """Return this process's environment with `extra`, for a child that reads its own Config."""
    return {**os.environ, **extra}


def forget_settings() -> None:
    """Remove the settings, secrets among them, from this process's environment, once they were read."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
