"""One pool of connections to one service: sends, retries what may be sent twice, and turns problems into exceptions.

A request that may have been carried out is never sent again unless that is harmless: it only reads, or an Idempotency-Key goes
with it. Safe to use from many threads.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
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

_KEY = re.compile(r"[\x21-\x7e]+", re.ASCII)
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_SHOWN_CHARACTERS = 200


class Transport:
    """The connections to one address, with one key."""

    def __init__(self, address: Address, timeout_seconds: float, retries: int) -> None:
        """Connect to nothing yet. Raises ConfigurationError for an address that isn't one."""
        if timeout_seconds <= 0:
            raise ConfigurationError("timeout_seconds must be above 0.")
        self.url = _checked_url(address.url)
        self._key = address.key.strip() if address.key else None
        if self._key and _KEY.fullmatch(self._key) is None:
            raise ConfigurationError("The API key holds characters that no key has, such as a line break in the middle.")
        self._retries = retries
        self._timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        self._http = self._connected()
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse to be copied or sent elsewhere: connections can't be. Raises ConfigurationError."""
        raise ConfigurationError("A client can't be pickled or copied; make one where it is used.")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send as `send` does, and return the JSON object that came. Raises ConnectionFailed where something else answered."""
        return read_object(self.send(method, path, **options))

    def _connected(self) -> httpx.Client:
        try:
            return httpx.Client(
                base_url=self.url,
                timeout=self._timeout,
                headers={"User-Agent": f"modelyard/{__version__} Python/{platform.python_version()}"},
                # without TLS, all certificates of the world need not be read
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self.url.startswith("http://") else True,
                limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
            )
        except (ImportError, ValueError, OSError) as error:  # a proxy or a certificate file that the environment names
            raise ConfigurationError(f"No connection can be made as the environment asks for it: {error}") from error

    def _own_http(self) -> httpx.Client:
        """Return the connections of this process: a forked child must not read the answers to its parent's requests."""
        if self._process != os.getpid():
            self._http, self._process = self._connected(), os.getpid()
        return self._http

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
        harmless = repeatable if repeatable is not None else method == "GET"
        keyed = "Idempotency-Key" in (headers or {})
        request = self._request(method, path, headers, timeout_seconds, needs_key=needs_key, **body)
        for pause in self._pauses():
            try:
                answer = self._own_http().send(request)
                if answer.status_code in allowed:
                    return answer
                raise_problem(answer)
            except (httpx.TransportError, httpx.DecodingError) as error:
                if pause is None or not _may_try_again(error, repeatable=harmless):
                    raise self._unreachable(error) from error
                time.sleep(pause)
            except Problem as problem:
                wait = self.wait(problem, pause, repeatable=harmless, keyed=keyed)
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
            answer = self._own_http().send(request, stream=True)
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
        if any(_KEY.fullmatch(value.replace(" ", "")) is None for value in sent.values()):
            raise ConfigurationError("A header holds characters that can't be sent.")
        return self._own_http().build_request(method, path, headers=sent, timeout=timeout, **body)

    def _pauses(self) -> Iterator[float | None]:
        """Yield for each try how long to wait after it, and None with the last."""
        for number in range(self._retries):
            longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**number)
            yield random.uniform(longest / 2, longest)  # noqa: S311 - spreads tries over time, no secret
        yield None

    def wait(self, problem: Problem, pause: float | None, *, repeatable: bool, keyed: bool = False) -> float | None:
        """Return how long to wait before the request is sent again, or None where it won't be.

        A gateway's 504 passes for what carries an Idempotency-Key; a prediction that took too long would again.
        """
        passing = problem.status in PASSING or (keyed and problem.status == HTTPStatus.GATEWAY_TIMEOUT)
        if pause is None or not passing or not (repeatable or problem.slug in REFUSED_UNTOUCHED):
            return None
        asked = problem.retry_after_seconds or 0.0
        return max(asked, pause) if asked <= LONGEST_RETRY_AFTER_SECONDS else None

    def _unreachable(self, error: httpx.RequestError) -> ConnectionFailed:
        if isinstance(error, httpx.LocalProtocolError):
            return ConnectionFailed(f"What was handed over can't be sent to {self.url} as HTTP.")  # its text may quote a header
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return ConnectionFailed(
                f"{self.url} has a certificate that isn't trusted here; SSL_CERT_FILE may name the one that signed it. {error}"
            )
        if isinstance(error, httpx.TimeoutException):
            return TimedOut(f"{self.url} did not answer in time ({type(error).__name__}).")
        return ConnectionFailed(f"{self.url} can't be reached: {str(error) or type(error).__name__}")


def _may_try_again(error: httpx.RequestError, *, repeatable: bool) -> bool:
    """Tell whether another try may help and does no harm. A time that ran out was the caller's own bound."""
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.LocalProtocolError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return False
    return repeatable or isinstance(error, _NOTHING_SENT)


def read_object(answer: httpx.Response) -> Any:
    """Return the JSON object of an answer. Raises ConnectionFailed where it holds none."""
    with contextlib.suppress(ValueError):
        body = answer.json()
        if isinstance(body, dict):
            return body
    raise ConnectionFailed(f"What answers at {answer.request.url.copy_with(query=None)} isn't Modelyard: no JSON object came.")


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
    if not isinstance(body, Mapping) or "type" not in body:
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
        raise ConfigurationError(f"The address can't be read: {error}.") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.userinfo:
        told = "" if "@" in url else f", not {url!r}"  # a password may stand in it
        raise ConfigurationError(f"The address must be like http://127.0.0.1:8000 or https://models.example.org{told}.")
    return url.rstrip("/")


def _retry_after_seconds(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which may be a number or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header)
    with contextlib.suppress(ValueError):
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    return None
