"""Whatever the bytes are, validation gives a request or one of our own errors, and good rows come through unchanged."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import frames
from registry.errors import ModelyardError
from registry.signature import Request, Signature


def _signature(container: str, *types: str) -> Signature:
    inputs = [{"name": f"c{i}", "type": t.rstrip("?"), "missing": "?" in t} for i, t in enumerate(types)]
    return Signature.from_dict({"container": container, "named": False, "inputs": inputs, "outputs": {"predict": {}}})


SIGNATURES = [
    _signature("array", "float64", "float64"),
    _signature("array", "int64"),
    _signature("frame", "float64?", "string?", "bool", "int64"),
    _signature("texts", "string"),
]
TYPES = ["application/json", "text/csv", "application/x-npy"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from(
    ["data", "instances", "inputs", "dataframe_split", "dataframe_records", "method", "params", "columns", "index", "c0", "c1", "c2", "c3"]
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=20)
FORMS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=2)


def validate(sig: Signature, body: bytes, content_type: str) -> Request | None:
    """Return the request, or None where one of our errors came."""
    try:
        request = sig.validate(body, content_type, max_rows=50)
    except ModelyardError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert len(refused.findings) <= 20
        assert refused.detail
        return None
    assert frames.encode_inputs(frames.decode_inputs(frames.encode_inputs(request.inputs))) == frames.encode_inputs(request.inputs)
    return request


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200), content_type=st.sampled_from(TYPES) | st.text(max_size=20), index=st.integers(0, 3))
def test_arbitrary_bytes_raise_nothing_foreign(body: bytes, content_type: str, index: int) -> None:
    """Any bytes, any content type."""
    validate(SIGNATURES[index], body, content_type)


@settings(max_examples=600, deadline=None)
@given(value=FORMS | VALUES, index=st.integers(0, 3), ascii_only=st.booleans())
def test_arbitrary_json_raises_nothing_foreign(value: Any, index: int, ascii_only: bool) -> None:
    """Any JSON, also what only Python takes for JSON."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    validate(SIGNATURES[index], body, "application/json")


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet='c0123,.\n"e-+ na', max_size=60), index=st.integers(0, 3))
def test_arbitrary_csv_raises_nothing_foreign(text: str, index: int) -> None:
    """Any text that looks a little like CSV."""
    validate(SIGNATURES[index], f"c0,c1\n{text}".encode(), "text/csv")


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 200), place=st.integers(0, 143), byte=st.integers(0, 255), index=st.integers(0, 3))
def test_mutated_npy_raises_nothing_foreign(cut: int, place: int, byte: int, index: int) -> None:
    """Any byte changed, and the end cut off anywhere."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }".ljust(117) + b"\n"
    body = bytearray(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + np.ones(2).tobytes())
    body[place] = byte
    validate(SIGNATURES[index], bytes(body[:cut] if cut < len(body) else body), "application/x-npy")


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1, max_size=5))
def test_finite_numbers_come_through_bit_for_bit(rows: list[tuple[float, float]]) -> None:
    """What JSON writes of a double is that double again, on the fast path, by column and by the slow path."""
    bodies: list[dict[str, Any]] = [
        {"data": rows},
        {"inputs": {"c0": [row[0] for row in rows], "c1": [row[1] for row in rows]}},
        {"dataframe_split": {"columns": ["c1", "c0"], "data": [row[::-1] for row in rows]}},
    ]
    for body in bodies:
        request = validate(SIGNATURES[0], json.dumps(body).encode(), "application/json")
        assert request is not None
        assert isinstance(request.inputs, frames.Matrix)
        assert request.inputs.array.tobytes() == np.array(rows).tobytes()


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=30), min_size=1, max_size=5))
def test_texts_come_through_unchanged(texts: list[str]) -> None:
    """Any text without lone surrogates."""
    request = validate(SIGNATURES[3], json.dumps({"data": texts}).encode(), "application/json")
    assert request is not None
    assert request.inputs == frames.Texts(texts)


@pytest.mark.parametrize("index", range(4))
def test_equal_rows_give_equal_bytes_in_every_form(index: int) -> None:
    """The prediction cache is keyed by the inputs' bytes, so a form may not change them."""
    row: Any = [[1.5, 2.0], [3], [None, None, True, 4], ["x: y"]][index]
    names = [f"c{i}" for i in range(len(row))]
    bodies: list[dict[str, Any]] = [
        {"data": [row]},
        {"instances": [dict(zip(names, row, strict=True))]},
        {"inputs": {name: [value] for name, value in zip(names, row, strict=True)}},
        {"dataframe_split": {"columns": names[::-1], "data": [row[::-1]]}},
    ]
    requests = [validate(SIGNATURES[index], json.dumps(body).encode(), "application/json") for body in bodies]
    assert len({frames.encode_inputs(request.inputs) for request in requests if request}) == 1
    assert all(requests)
