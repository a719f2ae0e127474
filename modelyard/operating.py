"""What operators do through the client: what is loaded, who holds a key, what happened.

The base of `Client`, apart from it so that the journey of a model can be read in one file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

from modelyard.errors import ConfigurationError, ConnectionFailed
from modelyard.records import ApiKey, Event
from modelyard.transport import Transport, compact, json_body, read_object

T = TypeVar("T")

PRODUCTION = "production"
PAGE = 200


class Operating:
    """The calls of an operator."""

    def __init__(self, transport: Transport) -> None:
        """Call through `transport`."""
        self._transport = transport

    def ready(self) -> dict[str, Any]:
        """Return what is up, degraded or down, also when the service says that it can't serve. Needs no key."""
        answer = self._transport.send("GET", "/health/ready", needs_key=False, allowed=(HTTPStatus.SERVICE_UNAVAILABLE,))
        report: dict[str, Any] = read_object(answer)
        return report

    def me(self) -> ApiKey:
        """Return the key in use: its scopes, its limits and what is left of them."""
        return ApiKey.of(self._transport.json("GET", "/me"))

    def serving(self) -> dict[str, Any]:
        """Return the loaded versions that the key may see, with their memory, and the budget of the host."""
        report: dict[str, Any] = self._transport.json("GET", "/serving")
        return report

    def load(self, selector: str) -> None:
        """Load a version now instead of with its first request; what failed before is tried again. Raises ModelUnloadable."""
        self._transport.json("POST", f"{path_of(selector)}/load", repeatable=True)

    def unload(self, selector: str) -> bool:
        """Let a version's process end; False where none was loaded. The next request loads it again."""
        return bool(self._transport.json("POST", f"{path_of(selector)}/unload", repeatable=True)["was_loaded"])

    def pin(self, selector: str) -> None:
        """Load a version and keep it loaded on every host."""
        self._transport.send("PUT", f"{path_of(selector)}/pin", repeatable=True)

    def unpin(self, selector: str) -> None:
        """Let a version be unloaded again."""
        self._transport.send("DELETE", f"{path_of(selector)}/pin", repeatable=True)

    def events(
        self, *, model: str | None = None, actor: str | None = None, kind: str | None = None, since: datetime | str | None = None
    ) -> Iterator[Event]:
        """Yield the audit trail, newest first; `since` is a time, as text in RFC 3339. Needs the scope admin."""
        moment = moment_text(since)
        return self._listed("/events", Event.of, model=model, actor=actor, kind=kind, since=moment)

    def keys(self) -> Iterator[ApiKey]:
        """Yield all keys, newest first, without their secrets. Needs the scope admin."""
        return self._listed("/keys", ApiKey.of)

    def key(self, key_id: str) -> ApiKey:
        """Return a key by its id. Raises KeyNotFound."""
        return ApiKey.of(self._transport.json("GET", _key_path(key_id)))

    def create_key(
        self,
        name: str,
        scopes: Sequence[str] = ("read", "predict"),
        *,
        models: Sequence[str] = (),
        limits: Sequence[str] = (),
        expires_at: datetime | None = None,
    ) -> ApiKey:
        """Make a key and return it; its `key` is the text, which is told this once. Needs the scope admin.

        `scopes` are of read, predict, publish and admin, `models` names or patterns such as `iris*` (none means all), `limits` such as
        `600/minute` (none means the service's default).
        """
        asked = {
            "name": name,
            "scopes": list(scopes),
            "models": list(models),
            "limits": list(limits),
            "expires_at": moment_text(expires_at),
        }
        return ApiKey.of(self._transport.json("POST", "/keys", **json_body(compact(asked))))

    def change_key(self, key_id: str, **changes: Any) -> ApiKey:
        """Change a key's `name`, `scopes`, `models`, `limits` or `expires_at` (None takes it away)."""
        asked = {name: moment_text(value) if isinstance(value, datetime) else value for name, value in changes.items()}
        return ApiKey.of(self._transport.json("PATCH", _key_path(key_id), **json_body(asked)))

    def rotate_key(self, key_id: str, *, overlap_seconds: int = 0) -> ApiKey:
        """Make a new key with the same grants and return it with its text; the old one ends after the overlap."""
        return ApiKey.of(self._transport.json("POST", f"{_key_path(key_id)}/rotate", **json_body({"overlap_seconds": overlap_seconds})))

    def revoke_key(self, key_id: str) -> ApiKey:
        """End a key: at once on its host, within a second elsewhere."""
        return ApiKey.of(self._transport.json("DELETE", _key_path(key_id), repeatable=True))

    def _listed(self, path: str, read: Callable[[Mapping[str, Any]], T], **filters: Any) -> Iterator[T]:
        """Yield every item of a list, page by page, as it is asked for."""
        cursor: str | None = None
        while True:
            page = self._transport.json("GET", path, params=compact({**filters, "limit": PAGE, "cursor": cursor}))
            if not isinstance(page.get("items"), list):
                raise ConnectionFailed(f"What answers at {self._transport.url} isn't Modelyard: no list is in its answer.")
            yield from map(read, page["items"])
            cursor = page.get("next_cursor")
            if cursor is None:
                return


def split_selector(selector: str) -> tuple[str, str]:
    """Return the model's name and what stands after it: a number, or an alias with its `@`. Raises ConfigurationError.

    `churn@production`, `churn/7` and `churn`, which means `churn@production`.
    """
    name, slash, rest = selector.partition("/")
    if not slash:
        name, at, alias = selector.partition("@")
        rest = f"@{alias}" if at else f"@{PRODUCTION}"
    numbered, by_alias = rest.isascii() and rest.isdigit(), rest.startswith("@") and _fits(rest[1:])
    if not _fits(name) or not (numbered or by_alias):
        raise ConfigurationError(f"{selector!r} names no version; write churn@production, churn/7, or churn for its production.")
    return name, rest


def path_of(selector: str) -> str:
    """Return the path of a version. Raises ConfigurationError."""
    name, rest = split_selector(selector)
    return f"{model_path(name)}/{quote(rest, safe='@')}"


def model_path(name: str) -> str:
    """Return the path of a model. Raises ConfigurationError for a name that would be another path."""
    return f"/models/{_part(name, 'a model')}"


def alias_path(name: str, alias: str) -> str:
    """Return the path of an alias. Raises ConfigurationError for one that would be another path."""
    return f"{model_path(name)}/aliases/{_part(alias, 'an alias')}"


def _key_path(key_id: str) -> str:
    return f"/keys/{_part(key_id, 'a key')}"


def _part(text: str, what: str) -> str:
    """Return one part of a path, quoted. What is wrong with it otherwise is the service's to say."""
    if not _fits(text):
        raise ConfigurationError(f"{text!r} can't be the name of {what}.")
    return quote(text, safe="")


def _fits(text: str) -> bool:
    """Tell whether a text stays one part of a path: empty, dots alone or with a slash in it, it would name something else."""
    return bool(text.strip(".")) and "/" not in text and text.isprintable()


def moment_text(at: datetime | str | None) -> str | None:
    """Return a time as it is sent; one without an offset is a time of this machine's. Raises ConfigurationError at the ends of the calendar."""
    try:
        return at.astimezone().isoformat() if isinstance(at, datetime) else at
    except (OverflowError, ValueError, OSError):
        raise ConfigurationError("A time lies outside the calendar.") from None
