"""The prediction cache in Redis: keyed by content, signed, bounded, and passed by where it must be.

One web process, so that counts are exact, which remembers nothing itself; and versions that always ask Redis.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis

from registry import frames
from registry.serving.predictions import MAC_BYTES, PREFIX, RUNTIMES
from tests import misbehaving
from tests.processes import eventually
from tests.running import RunningService, running
from tests.slow_models import sleeping

TTL_SECONDS = 600
MOST_BYTES = 4096


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for the tests of this module."""
    with running(
        tmp_path_factory.mktemp("cache") / "instance",
        measured=False,
        web_processes="1",
        cache_ttl_seconds=str(TTL_SECONDS),
        cache_max_value_bytes=str(MOST_BYTES),
        cache_process_bytes="0",
        extra_names=misbehaving.EXTRA_NAMES,
    ) as started:
        artifact = sleeping(0.6)
        with started.client() as client:
            for name in ("sum", "sum", "other"):
                version = started.publish(name, artifact)["version"]
                assert client.patch(f"/models/{name}/{version}", json={"cache": True}).json()["cache"] is True
        yield started


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Give the admin's client."""
    with service.client() as made:
        yield made


@pytest.fixture
def cached(service: RunningService) -> Iterator[Any]:
    """Empty the cache, and give a client of it."""
    with redis.Redis(unix_socket_path=str(service.instance / "run" / "cache.sock")) as made:
        made.flushall()
        yield made


def ask(client: httpx.Client, path: str = "/models/sum/1", rows: int = 1, first: float = 1.5, control: str = "") -> httpx.Response:
    """Predict, and return the answer."""
    headers = {"Cache-Control": control} if control else {}
    answer = client.post(path, json={"data": [[first, 2.0, 3.0, float(row)] for row in range(rows)]}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def states(client: httpx.Client, count: int = 2, **options: Any) -> list[str]:
    """Return X-Cache of so many equal requests."""
    return [ask(client, **options).headers["X-Cache"] for _ in range(count)]


def metric(client: httpx.Client, name: str) -> float:
    """Return a figure of /metrics, 0 where it isn't there yet."""
    return sum(float(line.split()[-1]) for line in client.get("/metrics").text.splitlines() if line.startswith(name))


def loaded(client: httpx.Client, name: str) -> dict[str, Any]:
    """Return what GET /serving says of version 1."""
    rows = client.get("/serving").json()["loaded"]
    found: dict[str, Any] = next(row for row in rows if (row["model"], row["version"]) == (name, 1))
    return found


def test_the_same_bytes_share_their_answers_whatever_they_are_called(client: httpx.Client, cached: Any) -> None:
    """Hit in another version and another model of equal digest, and still say which version answers."""
    first = ask(client, "/models/sum/1")
    assert (first.headers["X-Cache"], first.json()["cached"]) == ("miss", False)
    for name, number in (("sum", 1), ("sum", 2), ("other", 1)):
        answer = ask(client, f"/models/{name}/{number}")
        assert (answer.headers["X-Cache"], answer.headers["X-Model-Version"]) == ("hit", str(number))
        body = answer.json()
        assert (body["cached"], body["model"], body["version"], body["prediction"]) == (True, name, number, first.json()["prediction"])


def test_equal_inputs_share_an_answer_whatever_form_they_come_in(client: httpx.Client, cached: Any) -> None:
    """Hit with integers for floats, and with rows under another name."""
    bodies: list[dict[str, Any]] = [
        {"data": [[1.0, 2.0, 3.0, 4.0]]},
        {"data": [[1, 2, 3, 4]]},
        {"data": [1, 2, 3, 4]},
        {"instances": [[1, 2, 3, 4]]},
    ]
    assert [client.post("/models/sum/1", json=body).headers["X-Cache"] for body in bodies] == ["miss", "hit", "hit", "hit"]


def test_a_flipped_bit_is_a_miss_that_is_counted_and_logged(service: RunningService, client: httpx.Client, cached: Any) -> None:
    """Believe nothing whose MAC is wrong, wherever the bit stood, and put the right answer in its place."""
    right = ask(client).json()["prediction"]
    (key,) = cached.keys(PREFIX + b"*")
    value = cached.get(key)
    assert isinstance(value, bytes)
    before = metric(client, "modelyard_cache_bad_macs_total")
    places = (0, MAC_BYTES - 1, MAC_BYTES, len(value) - 1)
    for place in places:
        flipped = bytearray(value)
        flipped[place] ^= 1
        cached.set(key, bytes(flipped))
        answer = ask(client)
        assert (answer.headers["X-Cache"], answer.json()["prediction"]) == ("miss", right)
        assert cached.get(key) == value
    for short in (b"", b"x", value[:MAC_BYTES]):
        cached.set(key, short)
        assert states(client) == ["miss", "hit"]
    assert metric(client, "modelyard_cache_bad_macs_total") - before == len(places) + 3
    service.wait_for_log("cached prediction has a wrong MAC; ignored", times=len(places) + 3)


def test_an_answer_put_under_another_key_is_a_miss(client: httpx.Client, cached: Any) -> None:
    """Sign the key with the value, so that true answers can't be swapped."""
    ask(client, first=1.5)
    (key,) = cached.keys(PREFIX + b"*")
    ask(client, first=2.5)
    (other,) = set(cached.keys(PREFIX + b"*")) - {key}
    cached.set(key, cached.get(other))
    answer = ask(client, first=1.5)
    assert (answer.headers["X-Cache"], answer.json()["prediction"]) == ("miss", [6.5])


def test_what_lies_in_redis_is_a_mac_and_our_own_encoding_and_ends_by_itself(service: RunningService, cached: Any) -> None:
    """Decode every value as frames do, and to the byte; no pickle, no other key, no entry without a time to live."""
    with service.client() as client:
        for number in range(5):
            ask(client, first=float(number), rows=number + 1)
    secret = (service.instance / "cache-secret.secret").read_text().strip().encode()
    keys = cached.keys("*")
    assert len(keys) == 5
    for key in keys:
        assert key.startswith(PREFIX)
        value = cached.get(key)
        assert isinstance(value, bytes)
        mac, packed = value[:MAC_BYTES], value[MAC_BYTES:]
        assert mac == hmac.digest(secret, key.removeprefix(PREFIX) + packed, hashlib.sha256)[:MAC_BYTES]
        runtime, outputs = packed[:1], packed[1:]
        assert RUNTIMES[runtime] == "exact"
        assert frames.encode_outputs(frames.decode_outputs(outputs)) == outputs
        assert TTL_SECONDS - 60 <= cached.ttl(key) <= TTL_SECONDS


def test_what_is_too_large_is_not_kept(client: httpx.Client, cached: Any) -> None:
    """Compute it each time, beside a smaller one that is kept."""
    assert states(client, rows=MOST_BYTES // 8) == ["miss", "miss"]
    assert cached.dbsize() == 0
    assert states(client, rows=MOST_BYTES // 8 - 16) == ["miss", "hit"]


def test_no_cache_computes_and_fills(client: httpx.Client, cached: Any) -> None:
    """Skip the look-up alone."""
    assert states(client, control="no-cache") == ["bypass", "bypass"]
    assert states(client, 1) == ["hit"]
    assert states(client, 1, control="max-age=0, No-Cache") == ["bypass"]


def test_no_store_computes_and_keeps_nothing(client: httpx.Client, cached: Any) -> None:
    """Skip look-up and filling."""
    assert states(client, control="no-store") == ["bypass", "bypass"]
    assert cached.dbsize() == 0
    assert states(client) == ["miss", "hit"]


def test_every_look_up_is_counted(client: httpx.Client, cached: Any) -> None:
    """Count each result apart."""
    results = (("hit", "redis"), ("miss", "redis"), ("bypass", "redis"), ("bypass", "none"))
    before = [metric(client, f'modelyard_cache_total{{result="{result}",tier="{tier}"}}') for result, tier in results]
    states(client, 4)
    states(client, 3, control="no-cache")
    states(client, 2, control="no-store")
    after = [metric(client, f'modelyard_cache_total{{result="{result}",tier="{tier}"}}') for result, tier in results]
    assert [late - early for late, early in zip(after, before, strict=True)] == [3, 1, 3, 2]


def test_a_model_that_answers_differently_each_time_is_never_cached(service: RunningService, client: httpx.Client, cached: Any) -> None:
    """Notice it at admission, and pass the cache by."""
    version = service.publish("dice", misbehaving.model("non_deterministic", always=True))
    assert version["deterministic"] is False
    answers = [ask(client, "/models/dice/1") for _ in range(3)]
    assert [answer.headers["X-Cache"] for answer in answers] == ["bypass"] * 3
    assert len({answer.json()["prediction"][0] for answer in answers}) == 3
    assert cached.dbsize() == 0


def test_a_version_may_be_served_without_the_cache(client: httpx.Client, cached: Any) -> None:
    """Obey `cache` of a version from the next request on, off and on again."""
    for wanted, expected in ((False, ["bypass", "bypass"]), (True, ["miss", "hit"])):
        assert client.patch("/models/sum/2", json={"cache": wanted}).status_code == 200
        assert states(client, path="/models/sum/2") == expected


def test_twenty_identical_requests_at_once_compute_once(service: RunningService, client: httpx.Client, cached: Any) -> None:
    """Share one computation among those that come while it is under way, and give each its own answer."""
    ask(client)
    before = loaded(client, "sum")

    def one(_: int) -> httpx.Response:
        with service.client() as own:
            return ask(own, first=misbehaving.TRIGGER)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))
    assert {answer.text.count('"prediction":[671.0]') for answer in answers} == {1}
    assert len({answer.json()["request_id"] for answer in answers}) == 20
    assert {answer.headers["X-Cache"] for answer in answers} <= {"miss", "hit"}
    eventually(lambda: loaded(client, "sum")["requests"] > before["requests"], what="the count")
    after = loaded(client, "sum")
    assert (after["requests"] - before["requests"], after["calls"] - before["calls"]) == (1, 1)
