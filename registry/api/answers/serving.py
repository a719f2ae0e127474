"""Predictions, what is loaded, and how the service is.

Of models and versions only their names stand here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from registry.api.answers.fields import Health, Runtime, VersionNumber


class Prediction(TypedDict):
    """Outputs, and the version, method and runtime that made them."""

    prediction: Annotated[list[Any], Meta(description="One entry for each row, in order.")]
    model: str
    version: VersionNumber
    method: str
    runtime: Runtime
    cached: bool
    request_id: str
    classes: NotRequired[Annotated[list[Any], Meta(description="What the columns of an entry stand for, where they stand for something.")]]


class Walls(TypedDict):
    """Which walls stand around uploaded models."""

    sandbox: bool
    unpickler: bool
    object_check: bool
    golden_replay: bool
    seccomp: bool
    landlock: Annotated[int | bool | None, Meta(description="Landlock's version where it stands.")]
    uid: Annotated[int | bool | None, Meta(description="The user that workers become, where the host process is root.")]
    rlimits: bool
    failures: list[str]
    architecture: str
    filter_tested: bool
    filter_run_at_release: bool


class LoadedVersion(TypedDict):
    """A version in memory on this host."""

    model: str
    version: VersionNumber
    runtime: Runtime
    form: Annotated[str | None, Meta(description="What computes: the estimator or an equal form of it.")]
    state: Literal["loading", "ready"]
    pinned: bool
    bytes: int
    requests: int
    calls: Annotated[int, Meta(description="Calls of the model: fewer than requests where some were joined.")]
    waiting: int
    idle_seconds: float | None
    processes: int


class Serving(TypedDict):
    """What is loaded on this host."""

    host: str
    budget_bytes: Annotated[int, Meta(description="Memory that all workers may have.")]
    used_bytes: int
    walls: Walls | None
    extra_names: Annotated[list[str], Meta(description="Classes that the operator lets artifacts name besides the known ones.")]
    counts: Annotated[dict[str, int], Meta(description="Loads, admissions, refusals and ends of workers since the host process started.")]
    loaded: list[LoadedVersion]


class Loaded(TypedDict):
    """A version that is loaded now."""

    model: str
    version: VersionNumber
    loaded: Literal[True]


class Unloaded(TypedDict):
    """A version that isn't loaded any more."""

    model: str
    version: VersionNumber
    loaded: Literal[False]
    was_loaded: bool


class Pinned(TypedDict):
    """Whether a version stays loaded."""

    model: str
    version: VersionNumber
    pinned: bool


class Live(TypedDict):
    """The process answers."""

    status: Literal["up"]


class Parts(TypedDict):
    """How each part of the service is."""

    database: Health
    redis: Health
    cache: Health
    workers: Health
    sandbox: Health


class Ready(TypedDict):
    """How the service is, and each part of it."""

    status: Health
    parts: Parts
    walls: Walls | None
