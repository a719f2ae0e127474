"""Which versions of libraries a model may have been made with: the same minor always, another with golden predictions, another major not."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
import sklearn

from registry import flavors
from registry.errors import ModelUnloadable, VersionSkew
from registry.flavors import skew
from tests.fixture_models import case_of, dump

MAJOR, MINOR = (int(part) for part in sklearn.__version__.split(".")[:2])
OTHER_PATCH, OTHER_MINOR, OTHER_MAJOR = f"{MAJOR}.{MINOR}.99", f"{MAJOR}.{MINOR - 1}.0", f"{MAJOR - 1}.24.2"
NUMPY_MAJOR = np.__version__.split(".")[0]


@pytest.mark.parametrize(
    ("recorded", "golden", "accepted", "served"),
    [
        ({}, False, False, True),
        ({"scikit-learn": sklearn.__version__, "numpy": NUMPY_MAJOR}, False, False, True),
        ({"scikit-learn": OTHER_PATCH}, False, False, True),
        ({"scikit-learn": OTHER_MINOR}, True, False, True),
        ({"scikit-learn": OTHER_MINOR}, False, True, True),
        ({"scikit-learn": OTHER_MINOR}, False, False, False),
        ({"scikit-learn": OTHER_MAJOR}, True, True, False),
        ({"scikit-learn": f"{MAJOR + 1}.0.0"}, True, True, False),
        ({"scikit-learn": "unreadable"}, True, True, False),
        ({"numpy": "1"}, True, False, False),
        ({"numpy": "1"}, True, True, True),
        ({"scikit-learn": OTHER_MINOR, "numpy": "1"}, True, True, True),
        ({"onnx": "1.0"}, False, False, True),
    ],
)
def test_a_model_serves_where_its_versions_allow_it(recorded: dict[str, str], golden: bool, accepted: bool, served: bool) -> None:
    """The same at admission and at every load, and the refusal says what to do."""
    if served:
        skew.require_admissible(recorded, golden=golden, accepted=accepted)
        skew.require_servable(recorded, golden=golden, accepted=accepted)
        return
    with pytest.raises(VersionSkew) as refused:
        skew.require_admissible(recorded, golden=golden, accepted=accepted)
    with pytest.raises(ModelUnloadable) as unloadable:
        skew.require_servable(recorded, golden=golden, accepted=accepted)
    assert refused.value.detail == unloadable.value.detail
    assert re.search(r"Fit and dump it with|accept_skew", refused.value.detail)
    assert refused.value.members["recorded"] == recorded


def made_with(version: str, estimator: Any) -> bytes:
    """Return the file of an estimator that says it was made with another scikit-learn, of a version of any length."""
    text = sklearn.__version__.encode()
    return dump(estimator).replace(bytes([len(text)]) + text, bytes([len(version)]) + version.encode())


def test_an_upload_of_another_minor_is_admitted_and_says_so() -> None:
    """It has golden predictions, which are replayed at every load."""
    admission = flavors.admit(io.BytesIO(made_with(OTHER_MINOR, case_of("iris").estimator)), {})
    assert admission.environment["recorded"] == {"scikit-learn": OTHER_MINOR}
    assert admission.golden is not None


def test_an_upload_of_another_patch_needs_no_golden_predictions() -> None:
    """But the version says what it was made with."""
    assert flavors.admit(io.BytesIO(made_with(OTHER_PATCH, case_of("iris").estimator)), {}).environment["recorded"] == {
        "scikit-learn": OTHER_PATCH
    }


def test_an_upload_of_another_major_is_refused() -> None:
    """Whatever its publisher accepts."""
    with pytest.raises(VersionSkew, match="another major version"):
        flavors.admit(io.BytesIO(made_with(OTHER_MAJOR, case_of("iris").estimator)), {"accept_skew": True})
