"""What a flavor is: how artifacts of one kind are admitted, loaded and called.

Used by locked workers alone. An implementation must need no file, import, thread or log while it works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Protocol

from registry import frames


@dataclass(frozen=True, slots=True)
class Admission:
    """What was learned of an artifact when it was admitted; `findings` is advice for its publisher, a sentence each."""

    flavor: str
    estimator: str
    signature: dict[str, Any]
    methods: tuple[str, ...]
    environment: dict[str, Any]
    golden: bytes | None
    golden_rows: int
    golden_from: str | None
    deterministic: bool
    findings: tuple[str, ...] = ()
    diagram: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values that msgpack can carry."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Traits:
    """What tells a model from anything else: a class's name, `object`, `class` or `container`; None where it isn't known."""

    type: str
    kind: str = "object"
    has_fit: bool | None = None
    has_predict: bool | None = None
    fitted: bool | None = None


class Loaded(Protocol):
    """One loaded model, ready to be called."""

    @property
    def estimator_name(self) -> str:
        """Return the public path of the model's class."""

    @property
    def recorded(self) -> Mapping[str, str]:
        """Return the versions of libraries that the artifact says it was made with."""

    @property
    def form(self) -> str:
        """Return in which form it computes: `estimator`, `direct` or `compiled`."""

    def runtime_of(self, method: str) -> str:
        """Return what computes `method` here: `exact` or `fast`."""

    def call(self, method: str, inputs: frames.Inputs, params: dict[str, Any]) -> frames.Outputs:
        """Return what `method` answers, one row for each row of `inputs`. Raises PredictionFailed, MethodNotAvailable."""


@dataclass(frozen=True, slots=True)
class Flavor:
    """How artifacts of one kind are handled; `name` is kept on a version.

    `load(stream, budget_bytes)` loads an artifact that was admitted before and raises ModelUnloadable. `admit(stream, manifest,
    budget_bytes)` judges an upload and raises ArtifactRefused's subclasses and SignatureMismatch. Either may unpack to `budget_bytes`.
    """

    name: str
    load: Callable[[BinaryIO, int], Loaded]
    admit: Callable[[BinaryIO, dict[str, Any], int], Admission]
