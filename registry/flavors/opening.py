"""What the flavors beside joblib's share: how a failure to open a file becomes a refusal, and how a loaded model is judged.

Must never let a foreign exception's text out: it goes to the log alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec

from registry.errors import ArtifactRefused, ModelyardError, NotAModel
from registry.flavors.admission import _NO_ROWS, _NOT_DETERMINISTIC, _outputs, _record, _tried
from registry.flavors.contract import Admission
from registry.flavors.declaring import Draft
from registry.flavors.failures import describe, refusal_of_load
from registry.flavors.golden import encode_golden, find_difference
from registry.flavors.sklearn import LoadedEstimator


def refusal_of_open(error: BaseException) -> ArtifactRefused:
    """Return why an artifact that raised `error` while it was opened is refused."""
    if isinstance(error, ArtifactRefused):
        return error
    return refusal_of_load(error)


@contextmanager
def own_words() -> Iterator[None]:
    """Turn whatever a loaded model's attributes raise into NotAModel; our own errors pass."""
    try:
        yield
    except ModelyardError:
        raise
    except Exception as error:
        raise NotAModel("The model's attributes aren't those of a fitted estimator.", log_detail=describe(error)) from error


def judge(loaded: LoadedEstimator, draft: Draft, flavor: str, environment: dict[str, Any]) -> Admission:
    """Return what is learned of a loaded model. Raises NotAModel, UnsafeArtifact, SignatureMismatch, and what can't travel raises."""
    admission = _judged(loaded, draft, flavor, environment)
    msgspec.msgpack.encode(admission.as_dict())
    return admission


def _judged(loaded: LoadedEstimator, draft: Draft, flavor: str, environment: dict[str, Any]) -> Admission:
    draft = _tried(loaded, draft)
    first, again = _record(loaded, draft), _record(loaded, draft)
    deterministic = bool(first) and all(m in again and find_difference(first[m], again[m]) is None for m in first)
    golden = encode_golden(draft.rows, first) if deterministic and draft.rows is not None else None
    outputs = _outputs(loaded.estimator, first)
    return Admission(
        flavor=flavor,
        estimator=loaded.estimator_name,
        signature=replace(draft.signature, outputs=outputs).as_dict(),
        methods=tuple(outputs),
        environment=environment,
        golden=golden,
        golden_rows=draft.rows.rows if golden is not None and draft.rows is not None else 0,
        golden_from=draft.rows_from if golden is not None else None,
        deterministic=deterministic,
        findings=() if deterministic else (_NOT_DETERMINISTIC if first else _NO_ROWS,),
    )
