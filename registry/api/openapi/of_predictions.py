"""Predictions: the five forms of a JSON body, CSV and npy, and what may go wrong on the way to an answer.

Of any model: what one model takes is said by its signature, which no document of all can hold.
"""

from __future__ import annotations

from typing import Any

from registry import errors
from registry.api import answers
from registry.api.openapi import examples
from registry.api.openapi.description import BINARY, CSV, JSON, NPY, Answer, Media, Operation
from registry.api.openapi.examples import COLUMNS, RECORD, ROW
from registry.api.openapi.headers import LIMITS
from registry.api.openapi.of_models import FIND_READY, LOAD
from registry.api.openapi.shapes import reference

SCALAR: dict[str, Any] = {"type": ["number", "string", "boolean", "null"], "description": "A value; null where the column may miss one."}
ROW_SCHEMA: dict[str, Any] = {"type": "array", "items": reference("Scalar"), "description": "A value for each column, in order."}
RECORD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": reference("Scalar"),
    "description": "A value for each column, by name.",
}
_ROWS = {"type": "array", "minItems": 1, "items": reference("Row")}
_RECORDS = {"type": "array", "minItems": 1, "items": reference("Record")}
_SPLIT = {
    "type": "object", "required": ["columns", "data"], "additionalProperties": False,
    "properties": {
        "columns": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "data": _ROWS,
        "index": {"description": "As pandas writes it; means nothing."},
    },
}  # fmt: skip
_ANY_ROW = {"anyOf": [reference("Scalar"), reference("Row"), reference("Record")]}
_COLUMNS = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "array", "items": reference("Scalar")}}
#: Each form's field, what it holds, and in words.
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "data": ("Rows, or one bare row; for a model of one text column a list of texts.", {"type": "array", "minItems": 1, "items": _ANY_ROW}),
    "instances": ("Records, rows, or texts.", {"type": "array", "minItems": 1, "items": _ANY_ROW}),
    "inputs": ("Columns.", _COLUMNS),
    "dataframe_split": ("A data frame as `to_dict('split')` writes it.", _SPLIT),
    "dataframe_records": ("A data frame as `to_dict('records')` writes it.", _RECORDS),
}


def _form(field: str) -> dict[str, Any]:
    words, schema = FORMS[field]
    return {
        "type": "object", "title": field, "required": [field], "additionalProperties": False,
        "properties": {
            field: schema | {"description": words},
            "method": {"type": "string", "default": "predict", "description": "One of the version's methods."},
            "params": {"type": "object", "maxProperties": 0, "description": "Parameters of the method; none takes any."},
        },
    }  # fmt: skip


#: The components that the bodies are made of.
SCHEMAS: dict[str, Any] = {
    "Scalar": SCALAR,
    "Row": ROW_SCHEMA,
    "Record": RECORD_SCHEMA,
    "PredictRequest": {"description": "Exactly one of five forms.", "oneOf": [_form(field) for field in FORMS]},
}
_BODIES = {
    "data": {"data": [ROW]},
    "one-row": {"data": ROW},
    "instances": {"instances": [RECORD]},
    "inputs": {"inputs": {name: [value] for name, value in RECORD.items()}},
    "dataframe_split": {"dataframe_split": {"columns": COLUMNS, "data": [ROW]}},
    "dataframe_records": {"dataframe_records": [RECORD]},
    "probabilities": {"data": [ROW], "method": "predict_proba"},
}
_CSV = ",".join(COLUMNS) + "\n" + ",".join(map(str, ROW)) + "\n"


def _npy(value: str) -> Media:
    return Media(BINARY, {"npy": {"summary": "What `numpy.save` writes; in base64 here, since JSON has no bytes.", "value": value}})


_ANSWER = Answer(
    200,
    "The prediction, as JSON or, where Accept asks for it, as npy.",
    {
        JSON: Media(answers.Prediction, {"predict": examples.PREDICTION, "predict_proba": examples.PROBABILITIES}),
        NPY: _npy(examples.NPY_ANSWER),
    },
    ("X-Cache", "X-Model-Version", "Server-Timing", *LIMITS),
)
_PREDICT = Operation(
    "predictions",
    (_ANSWER,),
    (
        *FIND_READY, *LOAD, errors.SignatureMismatch, errors.TooManyRows, errors.MethodNotAvailable, errors.NotAcceptable, errors.PredictionFailed,
        errors.PredictionTimeout, errors.VersionBusy,
    ),
    parameters=("method", "Cache-Control"),
    content={JSON: Media(reference("PredictRequest"), _BODIES), CSV: Media({"type": "string"}, {"csv": _CSV}), NPY: _npy(examples.NPY_ROW)},
    counted=True,
    note="Values that don't fit the version's signature are listed with a JSON pointer each, up to 20.",
)  # fmt: skip

OPERATIONS: dict[str, Operation] = {"predict": _PREDICT, "predict_production": _PREDICT}
