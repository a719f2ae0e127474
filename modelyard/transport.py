"""One pool of connections to one service: sends, retries what may be sent twice, and turns problems into exceptions.

A request that may have been carried out is never sent again unless that is harmless: it only reads, or an Idempotency-Key goes
with it. Safe to use from many threads.
"""

from __future__ import annotations

import contextlib
import json
import platform
import random
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from modelyard import __version__
from modelyard.errors import ConfigurationError, ConnectionFailed, Problem, TimedOut, problem_of
from modelyard.profiles import Address

CONNECT_SECONDS = 10.0
#: The first pause before a request is sent again; each further one is twice as long, and a random part of it is waited.
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
#: A service that asks for more patience than this gets none: the caller hears of it at once.
LONGEST_RETRY_AFTER_SECONDS = 60.0
#: Refused before anything was done, so that sending again is harmless whatever it was.
REFUSED_UNTOUCHED = frozenset({"rate-limited", "too-many-uploads", "no-upload-slot", "server-busy"})
PASSING = frozenset({429, 502, 503})

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_SHOWN_CHARACTERS = 200


class Transport:
    """The connections to one address, with one key."""

    def __init__(self, address: Address, timeout_seconds: float, retries: int) -> None:
        """Connect to nothing yet. Raises ConfigurationError for an address that isn't one."""
        self.url = _checked_url(address.url)
        self._key = address.key
        self._retries = retries
        self._timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        plain = self.url.startswith("http://")
        self._http = httpx.Client(
            base_url=self.url,
            timeout=self._timeout,
            headers={"User-Agent": f"modelyard/{__version__} Python/{platform.python_version()}"},
            # without TLS, all certificates of the world need not be read
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send as `send` does, and return the JSON that came."""
        return self.send(method, path, **options).json()

    def send(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
        needs_key: bool = True,
        allowed: tuple[int, ...] = (),
        **body: Any,
    ) -> httpx.Response:
        """Return the answer, read whole. Raises Problem, ConnectionFailed, TimedOut, ConfigurationError without a key.

        `repeatable` says whether sending twice is harmless (by default for GET alone); a status among `allowed` isn't raised.
        """
        request = self._request(method, path, headers, timeout_seconds, needs_key=needs_key, **body)
        for pause in self._pauses():
            try:
                answer = self._http.send(request)
                if answer.status_code in allowed:
                    return answer
                raise_problem(answer)
            except httpx.TransportError as error:
                if pause is None or not self._may_try_again(error, repeatable=repeatable if repeatable is not None else method == "GET"):
                    raise self._unreachable(error) from error
                time.sleep(pause)
            except Problem as problem:
                wait = self._wait(problem, pause, repeatable=repeatable if repeatable is not None else method == "GET")
                if wait is None:
                    raise
                time.sleep(wait)
            else:
                return answer
            request = self._request(method, path, headers, timeout_seconds, needs_key=needs_key, **body)
        raise AssertionError("the last try returns or raises")

    @contextlib.contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Yield an answer to GET whose body hasn't been read. Raises what `send` does; the body's own errors are httpx's."""
        request = self._request("GET", path, headers, None, needs_key=True)
        try:
            answer = self._http.send(request, stream=True)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        try:
            if answer.is_error:
                answer.read()
            raise_problem(answer)
            yield answer
        finally:
            answer.close()

    def pauses(self) -> Iterator[float]:
        """Yield how long to wait before each further try."""
        return (pause for pause in self._pauses() if pause is not None)

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        timeout_seconds: float | None,
        *,
        needs_key: bool,
        **body: Any,
    ) -> httpx.Request:
        if needs_key and not self._key:
            raise ConfigurationError(
                f"There is no API key for {self.url}: set MODELYARD_KEY, hand over key=, or keep one in a profile ('modelyard login')."
            )
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        timeout = httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS) if timeout_seconds is not None else self._timeout
        try:
            return self._http.build_request(method, path, headers=sent, timeout=timeout, **body)
        except UnicodeEncodeError:
            raise ConfigurationError("The API key or a header holds characters that can't be sent.") from None

    def _pauses(self) -> Iterator[float | None]:
        """Yield for each try how long to wait after it, and None with the last."""
        for number in range(self._retries):
            longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**number)
            yield random.uniform(longest / 2, longest)  # noqa: S311 - spreads tries over time, no secret
        yield None

    def _may_try_again(self, error: httpx.TransportError, *, repeatable: bool) -> bool:
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
            return False  # the time was the caller's own bound
        return repeatable or isinstance(error, _NOTHING_SENT)

    def _wait(self, problem: Problem, pause: float | None, *, repeatable: bool) -> float | None:
        """Return how long to wait before the request is sent again, or None where it won't be."""
        if pause is None or problem.status not in PASSING or not (repeatable or problem.slug in REFUSED_UNTOUCHED):
            return None
        asked = problem.retry_after_seconds or 0.0
        return max(asked, pause) if asked <= LONGEST_RETRY_AFTER_SECONDS else None

    def _unreachable(self, error: httpx.TransportError) -> ConnectionFailed:
        if isinstance(error, httpx.TimeoutException):
            return TimedOut(f"{self.url} did not answer in time ({type(error).__name__}).")
        return ConnectionFailed(f"{self.url} can't be reached: {str(error) or type(error).__name__}")


def raise_problem(answer: httpx.Response) -> None:
    """Raise what an answer of 300 and above means."""
    if answer.is_success:
        return
    if answer.is_redirect:
        raise ConfigurationError(f"The service answers with a redirect to {answer.headers.get('Location')!r}; use that address.")
    body: Any = None
    if "json" in answer.headers.get("Content-Type", ""):
        with contextlib.suppress(ValueError):
            body = answer.json()
    if not isinstance(body, Mapping):
        body = {"title": answer.reason_phrase or "An error", "detail": answer.text[:_SHOWN_CHARACTERS].strip()}
    raise problem_of(answer.status_code, body, _retry_after_seconds(answer.headers.get("Retry-After")))


def compact(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object without the members that weren't given."""
    return {name: inner for name, inner in value.items() if inner is not None}


def json_body(value: Any) -> dict[str, Any]:
    """Return `value` as the body of a request. Raises ConfigurationError for what JSON doesn't have."""
    try:
        content = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"What was handed over can't be sent as JSON: {error}.") from None
    return {"content": content, "headers": {"Content-Type": "application/json"}}


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{url!r} isn't an address: {error}.") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.userinfo:
        raise ConfigurationError(f"The address must be like http://127.0.0.1:8000 or https://models.example.org, not {url!r}.")
    return url.rstrip("/")


def _retry_after_seconds(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which may be a number or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    with contextlib.suppress(ValueError):
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    return None
