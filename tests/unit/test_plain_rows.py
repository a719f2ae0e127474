"""Typed inputs as rows that a caller could have written."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from registry import frames
from registry.signature import Column, Signature
from registry.signature.plain_rows import plain_rows

pytestmark = pytest.mark.unit

MIXED = (Column("a", "float64", missing=True), Column("b", "int64"), Column("c", "bool"), Column("d", "string", missing=True))


def test_rows_of_every_kind_are_read_to_the_same_inputs_again() -> None:
    """A table, a matrix and texts; what is missing becomes null, as does what JSON has no number for."""
    table = frames.Table(("a", "b", "c", "d"), (np.array([0.1, math.nan]), np.array([2**60, 1]), np.array([True, False]), ["é", None]))
    rows = plain_rows(table)
    assert rows == [[0.1, 2**60, True, "é"], [None, 1, False, None]]
    body = json.dumps({"instances": rows}).encode()
    again = Signature("frame", True, MIXED, {"predict": {}}).validate(body, "application/json", max_rows=9).inputs
    assert frames.encode_inputs(again) == frames.encode_inputs(table)
    assert plain_rows(frames.Matrix(np.array([[1.0, math.inf], [-0.5, 2.0]]))) == [[1.0, None], [-0.5, 2.0]]
    assert plain_rows(frames.Texts(["a", "b", "c"]), 2) == [["a"], ["b"]]
    assert plain_rows(frames.Matrix(np.ones((2, 1), dtype=bool)), 1) == [[True]]
