"""How long the server takes for each page of the console with 10,000 models, and with 1,000 versions and 5,000 moves of one.

    .venv/bin/python benchmarks/console_pages.py [--models 10000] [--versions 1000] [--rounds 9] [--postgres]

A service of its own with one web process; its database is filled by bulk inserts, traffic and all. Each page is asked for as its
publisher's browser would; the median of the rounds in milliseconds stands beside the limit. Ends with status 1 where one is over it.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
from sqlalchemy import Connection, create_engine, insert, update

from registry import tables
from registry.traffic import pack_latency
from tests.outside import SHARED_SECRETS, own_postgres
from tests.running import RunningService, running

LIMIT_MS = 300
WIDE = "wide"
ALIASES = ("production", "staging", "canary", "shadow", "old")
#: So many models are asked all the time; as many as each process counts apart.
BUSY = 2000
COLUMNS, METRICS = 40, 12
SPANS = ((60, 120), (900, 104), (3600, 192), (86_400, 9))
NOW = datetime.now(UTC).replace(microsecond=0)


class Filling:
    """Rows in bulk, on one connection."""

    def __init__(self, connection: Connection, newest_move: int = 0) -> None:
        """Remember the connection, and which move is the newest."""
        self._connection = connection
        self._moves = newest_move

    def add(self, table: Any, rows: list[dict[str, Any]]) -> None:
        """Insert rows, ten thousand at once."""
        for start in range(0, len(rows), 10_000):
            self._connection.execute(insert(table), rows[start : start + 10_000])

    def models(self, ids: range) -> None:
        """Insert many models, each with two versions, three tags, and production at the second."""
        self.add(tables.RegisteredModel, [model_row(one, f"model-{one:05}", 2) for one in ids])
        tags = [("team", "team-{}"), ("stage", "live"), ("owner", "somebody-{}@example.org")]
        rows = [{"model_id": one, "name": name, "value": value.format(one % 50)} for one in ids for name, value in tags]
        self.add(tables.ModelTag, rows)
        self.add(tables.Version, [version_row(one, number) for one in ids for number in (1, 2)])
        self.moves([(one, "production", None, 2) for one in ids])

    def wide_model(self, number: int, name: str, versions: int, moves: int) -> None:
        """Insert a model of many versions whose aliases moved often."""
        self.add(tables.RegisteredModel, [model_row(number, name, versions)])
        self.add(tables.Version, [version_row(number, one) for one in range(1, versions + 1)])
        places: dict[str, int | None] = dict.fromkeys(ALIASES)
        told: list[tuple[int, str, int | None, int]] = []
        for one in range(moves):
            alias, target = ALIASES[one % len(ALIASES)], one % versions + 1
            told.append((number, alias, places[alias], target))
            places[alias] = target
        self.moves(told)

    def moves(self, told: list[tuple[int, str, int | None, int]]) -> None:
        """Insert moves, where they lead, and the stacks."""
        rows, ends, stacks = [], {}, []
        depths: dict[tuple[int, str], int] = {}
        for offset, (model_id, alias, before, after) in enumerate(told):
            self._moves += 1
            at = NOW - timedelta(minutes=len(told) - offset)
            where = {"model_id": model_id, "alias": alias, "at": at, "by": "bench", "reason": "it did better on the last month's data"}
            rows.append({**where, "id": self._moves, "kind": "point", "from_number": before, "to_number": after})
            end = {"model_id": model_id, "alias": alias, "number": after, "move_id": self._moves, "moved_at": at, "moved_by": "bench"}
            ends[model_id, alias] = end
            if before is not None:
                depth = depths[model_id, alias] = depths.get((model_id, alias), -1) + 1
                stacks.append({"model_id": model_id, "alias": alias, "depth": depth, "number": before})
        self.add(tables.Move, rows)
        self.add(tables.Alias, list(ends.values()))
        self.add(tables.StackEntry, stacks)

    def traffic(self, names: list[str]) -> None:
        """Insert what was asked of models, in every span that is kept."""
        latency = pack_latency(dict.fromkeys(range(20, 60), 3))
        counts = {"requests": 120, "errors": 3, "failures": 1, "hits": 40, "refusals": 0, "latency": latency, "writer": "", "kind": "model"}
        for span, steps in SPANS:
            last = int(NOW.timestamp()) // span * span
            ats = [datetime.fromtimestamp(last - span * step, UTC) for step in range(steps)]
            for start in range(0, len(names), 100):
                some = names[start : start + 100]
                self.add(tables.Traffic, [{**counts, "subject": name, "at": at, "span_seconds": span} for name in some for at in ats])


def model_row(number: int, name: str, versions: int) -> dict[str, Any]:
    """Return a model."""
    made = {"created_at": NOW - timedelta(minutes=number), "created_by": "bench", "last_number": versions, "runtime": "exact"}
    return {"id": number, "name": name, "description": f"What {name} predicts, from which data, and who asks for it. " * 3, **made}


def version_row(model_id: int, number: int) -> dict[str, Any]:
    """Return a version with forty columns and a dozen metrics."""
    inputs = [{"name": f"column number {one}", "type": "float64", "required": True, "missing": False} for one in range(COLUMNS)]
    return {
        "model_id": model_id, "number": number, "status": "ready", "flavor": "sklearn", "estimator": "sklearn.pipeline.Pipeline",
        "sha256": f"{number:064x}", "size_bytes": 123_456, "methods": ["predict", "predict_proba"], "golden_rows": 5, "golden_from": "example",
        "signature": {"container": "frame", "named": True, "inputs": inputs, "outputs": {"predict": {"type": "int64"}}},
        "environment": {"python": "3.11.9", "scikit-learn": "1.5.0", "numpy": "2.1.0"}, "deterministic": True, "runtime": "exact",
        "accept_skew": False, "batching": True, "cache": "auto", "pinned": False, "description": "Trained on the last month.",
        "metrics": {f"metric_{one}": round(0.5 + (number * 7 + one) % 97 / 200, 4) for one in range(METRICS)},
        "parameters": {f"step__parameter_{one}": one for one in range(50)}, "source": {"commit": "0" * 40, "repository": "example"},
        "created_at": NOW - timedelta(minutes=number), "created_by": "bench",
    }  # fmt: skip


def fill(url: str, models: int, versions: int) -> None:
    """Fill the database, and raise the generation so that nobody goes on with what it remembers."""
    engine = create_engine(url)
    with engine.begin() as connection:
        filling = Filling(connection)
        filling.models(range(1, models + 1))
        filling.wide_model(models + 1, WIDE, versions, 5 * versions)
        filling.traffic([WIDE, *(f"model-{one:05}" for one in range(1, min(models, BUSY) + 1))])
        connection.execute(update(tables.Generation).values(number=tables.Generation.number + 1))
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def pages(browser: httpx.Client, versions: int) -> dict[str, str]:
    """Return the pages to ask for by what they are; paths of later pages are taken from the links on the first."""
    wide = f"/console/models/{WIDE}"
    first = browser.get("/console").text
    of_model = browser.get(wide).text
    return {
        "models": "/console",
        "models, next page": next_link(first),
        "models, newest first": "/console?order=-created_at",
        "models, searched": "/console?search=9999",
        "models, nothing found": "/console?search=nothing+like+it",
        "models of a tag": "/console?tag=team:team-7",
        "model": wide,
        "model, older versions": next_link(of_model, "versions="),
        "model, older moves": next_link(of_model, "moves="),
        "model, all versions": f"{wide}?status=all",
        "dialog: point": f"{wide}/point?alias=production",
        "dialog: roll back": f"{wide}/rollback?alias=production",
        "dialog: edit": f"{wide}/edit",
        "version": f"{wide}/{versions}",
        "compare": f"{wide}/compare?a=1&b={versions}",
        "traffic": "/console/traffic",
        "keys": "/console/keys",
        "events": "/console/events",
        "upload": "/console/upload",
    }


def next_link(page: str, holding: str = "cursor=") -> str:
    """Return where the link to the next page leads."""
    links = re.findall(r'rel="next" href="([^"#]*)', page)
    return next(link for link in links if holding in link).replace("&amp;", "&")


def measure(browser: httpx.Client, path: str, rounds: int) -> tuple[float, int]:
    """Return the median milliseconds until a page is there, and its bytes."""
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        answer = browser.get(path)
        seconds.append(time.perf_counter() - began)
        answer.raise_for_status()
    return 1000 * statistics.median(seconds[1:]), len(answer.content)


def measured_pages(service: RunningService, database_url: str, models: int, versions: int, rounds: int) -> dict[str, tuple[float, int]]:
    """Fill a service's database and return the milliseconds and bytes of each page."""
    fill(database_url, models, versions)
    with httpx.Client(base_url=service.url, timeout=60) as browser:
        browser.post("/console/sign-in", data={"key": service.admin_key})
        return {name: measure(browser, path, rounds) for name, path in pages(browser, versions).items()}


def main() -> int:
    """Fill, ask, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--models", type=int, default=10_000)
    options.add_argument("--versions", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--postgres", action="store_true")
    given = options.parse_args()
    with ExitStack() as stack:
        instance = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="my-", dir="/tmp"))) / "instance"
        url, settings = f"sqlite:///{instance / 'modelyard.db'}", {}
        if given.postgres:
            url = stack.enter_context(own_postgres()).url.replace("postgresql://", "postgresql+psycopg://")
            settings = {"database_url": url, **SHARED_SECRETS}
        service = stack.enter_context(running(instance, measured=False, web_processes="1", log_level="warning", **settings))
        measured = measured_pages(service, url, given.models, given.versions, given.rounds)
    for name, (ms, size) in measured.items():
        print(f"{name:26}{ms:8.1f} ms   limit {LIMIT_MS} ms{size / 1024:9.0f} KiB{'   OVER' if ms > LIMIT_MS else ''}")
    return int(any(ms > LIMIT_MS for ms, _ in measured.values()))


if __name__ == "__main__":
    sys.exit(main())
