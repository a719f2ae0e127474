"""A version's signature, and the one door through which a predict body becomes values.

Immutable and small: thousands are kept in memory by every web process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from registry import frames
from registry.errors import MethodNotAvailable, UnsupportedMediaType
from registry.signature.columns import Column
from registry.signature.csv_body import read_csv
from registry.signature.fast import FastDecoder, decoder_for
from registry.signature.grid import grid_of_any, grid_of_columns, read_grid
from registry.signature.json_body import read_json, to_inputs
from registry.signature.matrices import DEFAULT_METHOD
from registry.signature.npy_body import read_npy

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
KINDS = (JSON, CSV, NPY)
CONTAINERS = ("array", "frame", "texts")


class Request(msgspec.Struct, frozen=True):
    """A predict request that fits the signature: typed inputs, a method that the version has, and its parameters."""

    inputs: frames.Inputs
    method: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signature:
    """Typed inputs and outputs. `container` is what the estimator is given: array, frame or texts."""

    container: str
    named: bool
    columns: tuple[Column, ...]
    outputs: Mapping[str, Mapping[str, Any]]
    _fast: list[FastDecoder | None] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Signature:
        """Return the signature that `as_dict` gave; trusts its values."""
        columns = tuple(Column(one["name"], one["type"], one.get("required", True), one.get("missing", False)) for one in values["inputs"])
        return cls(values["container"], values["named"], columns, MappingProxyType(dict(values.get("outputs") or {})))

    def as_dict(self) -> dict[str, Any]:
        """Return the signature as it is kept on the version."""
        return {
            "container": self.container,
            "named": self.named,
            "inputs": [column.as_dict() for column in self.columns],
            "outputs": {method: dict(output) for method, output in self.outputs.items()},
        }

    def validate(self, body: bytes, content_type: str, *, max_rows: int, method: str = DEFAULT_METHOD) -> Request:
        """Return the typed request of one body; `method` is what a CSV or npy body asks for, as they can't say it.

        Raises UnsupportedMediaType, MalformedBody, InvalidRequest, TooManyRows, SignatureMismatch, MethodNotAvailable.
        """
        kind = content_type if content_type in KINDS else media_type(content_type)
        if kind == JSON:
            inputs, method = self._read_json(body, max_rows)
        elif kind == CSV:
            inputs = read_csv(body, self.container, self.columns, max_rows)
        else:
            inputs = read_npy(body, self.container, self.columns, max_rows)
        if method not in self.outputs:
            raise MethodNotAvailable(
                f"The version has no method {method[:64]!r}; it has {', '.join(self.outputs)}.", members={"methods": list(self.outputs)}
            )
        return Request(inputs, method, {})

    def classes(self, method: str) -> list[Any] | None:
        """Return what the columns of a method's answer stand for, or None where they stand for nothing."""
        return self.outputs.get(method, {}).get("columns")

    def read_example(self, example: Any) -> frames.Inputs:
        """Return the inputs of a manifest's `input_example`. Raises SignatureMismatch with pointers under `#/input_example`."""
        at = ("input_example",)
        rows = len(example) if isinstance(example, list) else 0
        if isinstance(example, dict):
            grid = grid_of_columns(example, self.columns, at, 2**31)
        else:
            grid = grid_of_any(example, self.columns, at, rows, bare=True)
        return to_inputs(read_grid(grid, self.columns), self.container, self.columns)

    def _read_json(self, body: bytes, max_rows: int) -> tuple[frames.Inputs, str]:
        if not self._fast:
            self._fast.append(decoder_for(self.container, self.columns))
        fast = self._fast[0]
        parsed = fast.read(body, max_rows) if fast is not None else None
        return parsed if parsed is not None else read_json(body, self.container, self.columns, max_rows)


def media_type(content_type: str) -> str:
    """Return JSON, CSV or NPY. Raises UnsupportedMediaType for others, and for a charset that isn't UTF-8."""
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind not in KINDS:
        raise UnsupportedMediaType(
            f"Send {JSON}, {CSV} or {NPY}." if kind else f"The Content-Type is missing; send {JSON}, {CSV} or {NPY}."
        )
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            raise UnsupportedMediaType("The charset must be utf-8.")
    return kind
