"""Our loader against joblib's own, over every public estimator of scikit-learn, fitted on small data.

Equal means every bit of every answer. An estimator that is refused on purpose stands in `REFUSED` with its rule.
"""

from __future__ import annotations

import io
import pickle
import warnings
from typing import Any

import joblib
import pytest

from registry.flavors import unpickling
from registry.flavors.refusals import Refused
from registry.flavors.soundness import require_sound
from tests import every_estimator
from tests.bitwise import learned, same

pytestmark = pytest.mark.no_cover  # it would take half as long again, and unit tests measure the same code
BUDGET_BYTES = 64 * 2**20
LEAST_COVERED = 150
REFUSED: dict[str, str] = {}
HANDFUL = (
    "ColumnTransformer",
    "GaussianProcessRegressor-sum",
    "GradientBoostingClassifier-three",
    "HistGradientBoostingClassifier-people",
    "KNeighborsClassifier-kd_tree",
    "OneHotEncoder-objects",
    "Pipeline-mixed-columns-forest",
    "Pipeline-texts",
    "SVC-sparse",
)
COMPRESSIONS = ("zlib", "gzip", "bz2", "xz", "lzma", "lz4")
SERVED = [name for name in every_estimator.names() if name not in REFUSED]


def dumped(estimator: Any, compress: Any = 0, protocol: int | None = None) -> bytes:
    """Return an estimator's joblib file."""
    stream = io.BytesIO()
    joblib.dump(estimator, stream, compress=compress, protocol=protocol)
    return stream.getvalue()


def loaded(blob: bytes) -> Any:
    """Return what our loader makes of a file, once it is found sound."""
    unpickled = unpickling.load(io.BytesIO(blob), BUDGET_BYTES)
    require_sound(unpickled.created)
    return unpickled.value


def loaded_by_joblib(blob: bytes) -> Any:
    """Return what joblib makes of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return joblib.load(io.BytesIO(blob))


def require_equal(ours: Any, theirs: Any, rows: Any) -> None:
    """Hold two estimators to the same type, the same learned values and the same answers."""
    assert type(ours) is type(theirs)
    expected, found = learned(theirs), learned(ours)
    assert [name for name in expected if name not in found or not same(found[name], expected[name])] == []
    expected, found = every_estimator.answers(theirs, rows), every_estimator.answers(ours, rows)
    assert list(found) == list(expected)
    assert [(method, found[method], expected[method]) for method in expected if not same(found[method], expected[method])] == []


@pytest.mark.parametrize("name", SERVED)
def test_an_estimator_answers_as_it_does_after_joblib(name: str) -> None:
    """What our loader returns has the same type, learned values and answers, bit for bit."""
    fitted = every_estimator.fitted(name)
    blob = dumped(fitted.estimator)
    require_equal(loaded(blob), loaded_by_joblib(blob), fitted.rows)


def test_an_estimator_that_is_refused_is_refused_by_its_rule() -> None:
    """Each exception from the rule that every estimator loads is one on purpose."""
    for name, rule in REFUSED.items():
        with pytest.raises(Refused) as refused:
            loaded(dumped(every_estimator.fitted(name).estimator))
        assert refused.value.rule == rule, name


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", HANDFUL)
def test_every_protocol_gives_the_same_estimator(name: str, protocol: int) -> None:
    """A plain pickle and a joblib file of protocols 2 to 5 load alike."""
    fitted = every_estimator.fitted(name)
    expected = loaded_by_joblib(dumped(fitted.estimator))
    for blob in (pickle.dumps(fitted.estimator, protocol=protocol), dumped(fitted.estimator, protocol=protocol)):
        require_equal(loaded(blob), expected, fitted.rows)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("name", HANDFUL)
def test_every_compression_gives_the_same_estimator(name: str, compression: str) -> None:
    """A file in each compression that joblib writes loads as the plain one does."""
    fitted = every_estimator.fitted(name)
    require_equal(loaded(dumped(fitted.estimator, (compression, 3))), loaded_by_joblib(dumped(fitted.estimator)), fitted.rows)


def test_every_public_estimator_is_covered_or_listed_with_a_reason() -> None:
    """A class that a newer scikit-learn brings can't be left out in silence, and those listed really aren't covered."""
    covered = {name.split("-")[0] for name in SERVED}
    assert len(covered) >= LEAST_COVERED
    assert not covered & set(every_estimator.UNFITTED)
    assert covered | set(every_estimator.UNFITTED) == set(every_estimator.public_estimators())
    assert all(reason.endswith(".") for reason in every_estimator.UNFITTED.values())


@pytest.mark.parametrize("name", every_estimator.names())
def test_a_fit_shows_the_class_that_its_name_says(name: str) -> None:
    """Only so does the count of covered classes mean anything; and some method answers, where it has any."""
    fitted = every_estimator.fitted(name)
    assert fitted.name == name
    assert type(fitted.estimator).__name__ == name.split("-", maxsplit=1)[0]
    answers = every_estimator.answers(fitted.estimator, fitted.rows)
    assert not answers or any(not isinstance(answer, str) for answer in answers.values())
