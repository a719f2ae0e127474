"""Models, versions and what uploading them answers.

Types alone: `representations.py` makes such values out of what the catalog keeps.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from registry.api.answers.fields import Cursor, KeyId, Labels, Moment, Runtime, Sha256, VersionNumber


class Model(TypedDict):
    """A model: a name that owns versions."""

    name: str
    description: str
    tags: Labels
    runtime: Annotated[Runtime, Meta(description="What new versions get.")]
    latest_version: Annotated[int | None, Meta(description="The highest version that is ready.")]
    version_count: Annotated[int, Meta(description="Versions that are ready.")]
    aliases: Annotated[dict[str, int], Meta(description="Where each alias points.")]
    created_at: Moment
    created_by: KeyId
    deleted_at: Moment | None


class ModelPage(TypedDict):
    """One page of models."""

    items: list[Model]
    next_cursor: Cursor


class Artifact(TypedDict):
    """The uploaded bytes."""

    sha256: Sha256
    size_bytes: int


class Column(TypedDict):
    """An input column; `missing` allows null, and one that isn't `required` may be left out."""

    name: str
    type: Literal["float64", "int64", "bool", "string"]
    required: bool
    missing: bool


class Output(TypedDict):
    """What a method answers for each row."""

    type: str
    shape: NotRequired[Annotated[list[int], Meta(description="Of a row's answer, where it isn't one value.")]]
    columns: NotRequired[Annotated[list[Any], Meta(description="What the answer's columns stand for, such as the classes.")]]
    multi: NotRequired[Annotated[Literal[True], Meta(description="The model has several targets, and answers for each by itself.")]]


class Signature(TypedDict):
    """Typed inputs and outputs; `container` is what the estimator is given."""

    container: Literal["array", "frame", "texts"]
    named: Annotated[bool, Meta(description="Whether the columns have names of their own.")]
    inputs: list[Column]
    outputs: Annotated[dict[str, Output], Meta(description="By method.")]


class Skew(TypedDict):
    """A library's version when the artifact was made, and the one it was published under."""

    recorded: str
    published_under: str


#: Where the golden rows came from. `from` is a word of Python, so that no class can have it as a field.
GoldenOrigin = TypedDict("GoldenOrigin", {"from": Literal["example", "seeded"]})


class Golden(GoldenOrigin):
    """Outputs recorded at admission, which are replayed at every load: of so many rows."""

    rows: int


class Version(TypedDict):
    """A version: immutable but for the words about it and the way it is served."""

    model: str
    version: VersionNumber
    status: Literal["ready", "deleted"]
    flavor: Annotated[str, Meta(description="How the artifact is loaded and called.")]
    estimator: str
    artifact: Artifact
    signature: Signature
    methods: list[str]
    environment: Annotated[dict[str, Any], Meta(description="Libraries it was published under; `recorded`: those it was made with.")]
    skew: Annotated[dict[str, Skew] | None, Meta(description="Libraries that it was made with in another version.")]
    golden: Annotated[Golden | None, Meta(description="Outputs recorded at admission, replayed at every load.")]
    deterministic: bool
    runtime: Runtime
    fast: Annotated[
        Literal["pending", "ready", "refused"] | None, Meta(description="How far the compiled form is, where one is asked for.")
    ]
    fast_report: Annotated[dict[str, Any] | None, Meta(description="How the compiled form was verified, or why there is none.")]
    accept_skew: bool
    batching: bool
    cache: Annotated[Literal["auto"] | bool, Meta(description="`auto` caches where that pays.")]
    pinned: bool
    description: str
    tags: Labels
    metrics: dict[str, float]
    parameters: dict[str, Any]
    source: Labels
    aliases: list[str]
    load_error: Annotated[str | None, Meta(description="Why it didn't load the last time.")]
    created_at: Moment
    created_by: KeyId
    deleted_at: Moment | None


class PublishedVersion(Version):
    """A version that was just published, with what its admission advises."""

    advice: Annotated[list[str], Meta(description="What the publisher could do better.")]


class VersionPage(TypedDict):
    """One page of versions."""

    items: list[Version]
    next_cursor: Cursor


class UploadLimits(TypedDict):
    """What an upload may have."""

    max_artifact_bytes: int
    max_manifest_bytes: int


class UploadAccepted(TypedDict):
    """An upload that nothing is known against."""

    accepted: Literal[True]
    model: str
    next_version: Annotated[int, Meta(description="The number that the next version gets, unless another upload is quicker.")]
    limits: UploadLimits
