"""Where answers are kept by default: the hottest in the web process, the others in Redis only where that pays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis

from registry.serving.predictions import PREFIX
from registry.serving.worth import FIRST_LOOKUPS, SAMPLED
from tests import misbehaving
from tests.running import RunningService, running
from tests.slow_models import sleeping

ROUNDS = 10 * SAMPLED


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service of one web process, with the settings as they come; its model answers in no time, but for TRIGGER."""
    settings = {"web_processes": "1", "extra_names": misbehaving.EXTRA_NAMES}
    with running(tmp_path_factory.mktemp("tiers") / "instance", measured=False, **settings) as started:
        started.publish("quick", sleeping(0.03))
        yield started


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Give the client of a key that may ask often."""
    with service.client(service.make_key("admin")) as made:
        yield made


def ask(client: httpx.Client, *row: float, control: str = "") -> httpx.Response:
    """Predict one row of four."""
    answer = client.post("/models/quick/1", json={"data": [row]}, headers={"Cache-Control": control} if control else {})
    assert answer.status_code == 200, answer.text
    return answer


def counted(client: httpx.Client) -> dict[tuple[str, str], float]:
    """Return the look-ups so far by result and tier."""
    found: dict[tuple[str, str], float] = {}
    for line in client.get("/metrics").text.splitlines():
        if line.startswith("modelyard_cache_total{"):
            labels, value = line.removeprefix("modelyard_cache_total{").split("} ")
            result, tier = (part.split("=")[1].strip('"') for part in sorted(labels.split(",")))
            found[result, tier] = float(value)
    return found


def grown(client: httpx.Client, before: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Return what was counted since."""
    return {kind: value - before.get(kind, 0) for kind, value in counted(client).items() if value != before.get(kind, 0)}


def kept(service: RunningService) -> int:
    """Return how many predictions Redis keeps."""
    with redis.Redis(unix_socket_path=str(service.instance / "run" / "cache.sock")) as cache:
        return len(cache.keys(PREFIX + b"*"))


def test_what_is_asked_again_comes_from_memory_with_redis_emptied(service: RunningService, client: httpx.Client) -> None:
    """And says that it was cached, as any other hit."""
    first = ask(client, 0.5, 2, 3, 4)
    with redis.Redis(unix_socket_path=str(service.instance / "run" / "cache.sock")) as cache:
        cache.flushall()
    before = counted(client)
    again = ask(client, 0.5, 2, 3, 4)
    assert (first.headers["X-Cache"], again.headers["X-Cache"]) == ("miss", "hit")
    body: dict[str, Any] = again.json()
    assert (body["cached"], body["runtime"], body["prediction"]) == (True, "exact", first.json()["prediction"])
    assert grown(client, before) == {("hit", "memory"): 1}
    assert ask(client, 0.5, 2, 3, 4, control="no-cache").headers["X-Cache"] == "bypass"


def test_a_quick_model_stops_asking_redis_and_a_sample_goes_on(service: RunningService, client: httpx.Client) -> None:
    """A look-up can't pay where nothing is asked twice; every answer is right all the same."""
    for number in range(FIRST_LOOKUPS):
        ask(client, number, 1, 1, 1)
    before, entries = counted(client), kept(service)
    for number in range(ROUNDS):
        answer = ask(client, number, 2, 2, 2)
        assert (answer.headers["X-Cache"], answer.json()["prediction"]) == ("miss", [number + 6.0])
    since = grown(client, before)
    asked = since.get(("miss", "redis"), 0)
    assert since[("miss", "memory")] + asked == ROUNDS
    assert 0 < asked < ROUNDS / 8
    assert kept(service) - entries == asked


def test_a_version_that_must_asks_redis_each_time(service: RunningService, client: httpx.Client) -> None:
    """`cache: true` decides, until it is `auto` again."""
    assert client.patch("/models/quick/1", json={"cache": True}).json()["cache"] is True
    before = counted(client)
    for number in range(5):
        ask(client, number, 3, 3, 3)
    assert grown(client, before) == {("miss", "redis"): 5}
    assert client.patch("/models/quick/1", json={"cache": "auto"}).json()["cache"] == "auto"
    assert client.get("/models/quick/1").json()["cache"] == "auto"


def test_many_rows_of_a_quick_model_are_not_kept(client: httpx.Client) -> None:
    """Once it is known that asking Redis doesn't pay: keying them costs more than computing them; every answer is right all the same."""
    for number in range(FIRST_LOOKUPS):
        ask(client, number, 4, 4, 4)
    before = counted(client)
    rows = [[float(number), 5.0, 5.0, 5.0] for number in range(400)]
    for _ in range(2):
        answer = client.post("/models/quick/1", json={"data": rows})
        assert (answer.headers["X-Cache"], answer.json()["prediction"]) == ("miss", [number + 15.0 for number in range(400)])
    assert grown(client, before) == {("miss", "none"): 2}
