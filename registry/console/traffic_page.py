"""The page Traffic: how much was asked and how fast it was answered, by model, version and key, and what is in memory.

Shows a key what its patterns let it see and nothing that sums up more: with patterns there is no series of everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Response, request, url_for

from registry import catalog
from registry.api import versions
from registry.api.auth import caller
from registry.api.bodies import SelectorPath
from registry.catalog import TrafficOf, TrafficPoint, TrafficSum
from registry.console.page import page
from registry.console.session import signed_in
from registry.errors import Finding, Forbidden, InvalidName, InvalidRequest, ModelyardError, NotFound
from registry.extensions import reading
from registry.keys import may_see
from registry.traffic import ALL, KEY, MODEL, OTHERS, VERSION
from registry.wiring import services

#: The times that the page shows, and what a step of each is called.
WINDOWS = {"hour": "a minute", "day": "in 15 minutes", "week": "an hour"}
KINDS = {MODEL: "Models", VERSION: "Versions", KEY: "Keys"}
MOST_SHOWN = 20
MOST_SUBJECT_CHARACTERS = 80
#: So many versions have pieces and rows of their own in the picture of the memory.
MOST_LOADED = 40
COLOURS = 6
#: The picture's width, and that of a piece which would be too small to see.
BAR_WIDTH, LEAST_WIDTH = 1000, 6.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for."""

    window: str
    kind: str
    subject: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the memory's picture: a loaded version, or what has no row (None). `colour` counts from 1; 0 is grey."""

    row: dict[str, Any] | None
    bytes: int
    colour: int
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What is in memory on this host, largest first."""

    host: str
    used_bytes: int
    budget_bytes: int
    pieces: list[Piece]


@signed_in("read")
def traffic() -> Response:
    """Show what was asked in the last hour, day or week."""
    asked = _asked()
    since, until, step_seconds = catalog.traffic_window(asked.window, datetime.now(UTC))
    with reading():
        most = catalog.top_traffic(asked.kind, since=since, limit=MOST_SHOWN, patterns=_patterns())
        kind, subject = _charted(asked, most)
        points = catalog.list_traffic(kind, subject, since=since, until=until, step_seconds=step_seconds) if kind else []
        whole = catalog.traffic_of(kind, [subject], since=since)[subject] if kind else TrafficSum(0, 0, 0, 0, 0, None, None)
        opens = _page_of(kind, subject)
    return page(
        "traffic_page.html",
        asked=asked,
        charted=(kind, subject),
        opens=opens,
        windows=WINDOWS,
        kinds=[(name, text) for name, text in KINDS.items() if name != KEY or _may_see_keys()],
        names=_names(asked.kind, [subject, *(of.subject for of in most)]),
        most=most,
        whole=whole,
        points=points,
        columns=_columns(points),
        memory=_memory(),
    )


@signed_in("read")
def traffic_memory() -> Response:
    """Show only what is in memory, for the page to update itself."""
    return page("traffic_memory.html", memory=_memory())


def _asked() -> Asked:
    """Return what the address asks for. Raises InvalidRequest, and Forbidden or ModelNotFound for what the key mustn't see."""
    asked = Asked(request.args.get("window", "hour"), request.args.get("kind", MODEL), request.args.get("subject", ""))
    findings = []
    if asked.window not in WINDOWS:
        findings.append(Finding(f"must be one of {', '.join(WINDOWS)}", "#/window"))
    if asked.kind not in KINDS:
        findings.append(Finding(f"must be one of {', '.join(KINDS)}", "#/kind"))
    if len(asked.subject) > MOST_SUBJECT_CHARACTERS:
        findings.append(Finding("is too long", "#/subject"))
    if findings:
        raise InvalidRequest("The address asks for traffic that isn't kept.", findings=findings)
    if asked.kind == KEY:
        caller().require("admin")
        if not _may_see_keys():
            raise Forbidden("Traffic by key is only for keys that may see every model.")
    elif asked.subject:
        caller().require_sees(asked.subject.partition("/")[0])
    return asked


def _may_see_keys() -> bool:
    return "admin" in caller().scopes and not _patterns()


def _patterns() -> tuple[str, ...]:
    return caller().key.models


def _charted(asked: Asked, most: list[TrafficOf]) -> tuple[str, str]:
    """Return whose series is drawn: what was chosen, else everything, else what was asked most; no kind where there is nothing."""
    if asked.subject:
        return asked.kind, asked.subject
    if not _patterns():
        return ALL, OTHERS
    return (asked.kind, most[0].subject) if most else ("", "")


def _page_of(kind: str, subject: str) -> str | None:
    """Return the address of the page of a model or version, or None where it is neither, or isn't there any more."""
    name, _, selector = subject.partition("/")
    try:
        if kind == MODEL:
            return url_for("console.model", name=catalog.get_model(name).name)
        if kind == VERSION:
            found = versions.find(SelectorPath(name=name, selector=selector))
            return url_for("console.version", name=found.model, selector=found.number)
    except (NotFound, InvalidName):
        pass
    return None


def _names(kind: str, subjects: list[str]) -> dict[str, str]:
    """Return what subjects are called: the name of a key beside its id, and else themselves."""
    if kind != KEY:
        return {subject: subject for subject in subjects}
    found = {subject: services().directory.find_key(subject) for subject in subjects if subject}
    return {subject: f"{key.name} ({subject})" if key is not None else subject for subject, key in found.items()} | {OTHERS: OTHERS}


def _columns(points: list[TrafficPoint]) -> dict[str, list[Any]]:
    """Return points as the charts want them: a list for each series; moments in seconds of the epoch, durations in milliseconds."""
    sums = [point.sum for point in points]
    return {
        "at": [int(point.at.timestamp()) for point in points],
        **{name: [getattr(one, name) for one in sums] for name in ("requests", "errors", "failures", "hits", "refusals")},
        "p50": [_milliseconds(one.p50_seconds) for one in sums],
        "p99": [_milliseconds(one.p99_seconds) for one in sums],
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{1000 * seconds:.3g}")


def _memory() -> Memory | None:
    """Return what is in memory on this host; None while the host process doesn't answer."""
    try:
        report = services().workers.report()
    except ModelyardError:
        return None
    seen = sorted((row for row in report["loaded"] if may_see(_patterns(), row["model"])), key=lambda row: -row["bytes"])[:MOST_LOADED]
    used = int(report["used_bytes"])
    parts = [(row, int(row["bytes"])) for row in seen]
    others = used - sum(size for _, size in parts)
    scale = BAR_WIDTH / max(1, used, int(report["budget_bytes"]))
    pieces, start = [], 0.0
    for number, (row, size) in enumerate([*parts, *([(None, others)] if others > 0 else [])]):
        colour = 0 if row is None else 1 + number % COLOURS
        width = round(max(size * scale, LEAST_WIDTH), 2)
        pieces.append(Piece(row, size, colour, round(start, 2), width))
        start += width
    return Memory(services().host, used, int(report["budget_bytes"]), pieces)


ROUTES = (("/traffic", traffic, "GET"), ("/traffic/memory", traffic_memory, "GET"))
