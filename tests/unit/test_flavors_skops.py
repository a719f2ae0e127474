"""skops files: all that skops can write of the fixture models loads and answers as before; hostile ones are refused."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import skops.io
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next import work
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from registry import flavors
from registry.errors import ArtifactRefused, NotAModel
from registry.flavors import skops_files, warming
from registry.flavors.npy_files import array_of
from registry.flavors.refusals import Refused
from registry.flavors.zip_files import names_in, open_archive, read_member
from tests.fixture_models import CASES, case_of, dump, rows_of
from tests.locked import attempt
from tests.other_formats import CLASSES, HOSTILE_SKOPS, ROWS, attributes, changed, linear, plain, skops_of, zip_of

BUDGET_BYTES = 1 << 30


def read(data: bytes) -> Any:
    """Return what a skops file holds, loaded as a worker does."""
    return skops_files.read(io.BytesIO(data), BUDGET_BYTES).value


def equal(one: Any, other: Any) -> bool:
    """Tell whether two answers are the same, bit for bit."""
    return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=np.asarray(one).dtype.kind == "f")


@pytest.mark.parametrize("name", CASES)
def test_a_fixture_model_answers_as_its_joblib_file_does(name: str) -> None:
    """Bit for bit, in every method; and its golden predictions are replayed."""
    case = case_of(name)
    data = skops_of(case.estimator)
    admission = flavors.admit(io.BytesIO(data), {"input_example": rows_of(case.held_out)[:5]}, BUDGET_BYTES)
    same = flavors.admit(io.BytesIO(dump(case.estimator)), {"input_example": rows_of(case.held_out)[:5]}, BUDGET_BYTES)
    assert admission.flavor == "skops"
    assert (admission.golden, admission.signature, admission.methods) == (same.golden, same.signature, same.methods)
    assert admission.golden is not None
    flavors.replay(flavors.open_flavor("skops").load(io.BytesIO(data), BUDGET_BYTES), admission.golden)
    assert equal(read(data).predict(case.held_out), case.estimator.predict(case.held_out))


@pytest.mark.filterwarnings("ignore")
def test_one_model_of_each_family_loads() -> None:
    """Those that the server warms up with; neighbours of every kind, forests, losses, kernels."""
    for model in warming._families():
        found = skops_files.read(io.BytesIO(skops_of(model)), BUDGET_BYTES)
        assert type(found.value) is type(model)
        assert found.recorded["scikit-learn"]
        assert any(one is found.value for one in found.created)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_is_read(compression: int) -> None:
    """That zip archives have."""
    model = linear()
    assert equal(read(skops_of(model, compression=compression)).coef_, model.coef_)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_a_model_fitted_on_sparse_rows_loads(form: str) -> None:
    """Its matrix is checked as those of pickles are."""
    rows = scipy.sparse.csr_matrix(np.abs(np.round(ROWS))).asformat(form)
    model = KNeighborsClassifier(algorithm="brute").fit(rows, CLASSES)
    assert equal(read(skops_of(model)).predict(rows), model.predict(rows))


def test_records_and_shared_arrays_are_read() -> None:
    """An iterative imputer keeps records; the same array twice is one afterwards."""
    holes = ROWS.copy()
    holes[::5, 1] = np.nan
    model = make_pipeline(IterativeImputer(max_iter=2, random_state=0), LogisticRegression()).fit(holes, CLASSES)
    model.twice_ = [model[1].coef_, model[1].coef_]
    loaded = read(skops_of(model))
    assert equal(loaded.predict(holes), model.predict(holes))
    assert loaded.twice_[0] is loaded.twice_[1]


def test_a_file_of_another_scikit_learn_says_so() -> None:
    """What it was made with is recorded."""
    data = changed(skops_of(linear()), lambda schema: attributes(schema).update(_sklearn_version=plain("1.8.0")))
    admission = flavors.admit(io.BytesIO(data), {}, BUDGET_BYTES)
    assert admission.environment["recorded"] == {"scikit-learn": "1.8.0"}
    assert admission.environment["skops"] == skops.__version__


def test_skops_itself_goes_on_as_before() -> None:
    """Its table of nodes is put back after each file, also after one that is refused."""
    model = linear()
    read(skops_of(model))
    with pytest.raises(Refused):
        read(HOSTILE_SKOPS["builtins.eval"][0]())
    assert equal(skops.io.loads(skops_of(model)).coef_, model.coef_)
    assert type(skops.io.loads(skops_of([b"bytes"]))[0]) is bytes


@pytest.mark.parametrize("kind", HOSTILE_SKOPS)
def test_a_hostile_file_is_refused(kind: str) -> None:
    """In a child, with what a data scientist can do about it."""
    make, words = HOSTILE_SKOPS[kind]
    data = make()

    def job() -> str:
        with pytest.raises(ArtifactRefused) as refused:
            flavors.admit(io.BytesIO(data), {}, BUDGET_BYTES)
        return f"{refused.value.members.get('found')} {refused.value.detail}"

    outcome = attempt(job, locked=False)
    assert words in outcome.text, outcome


def test_an_archive_without_a_schema_is_no_skops_file() -> None:
    """Its names tell, and a broken archive has none."""
    assert names_in(io.BytesIO(skops_of(linear()))) >= {"schema.json"}
    assert names_in(io.BytesIO(b"PK\x03\x04 broken")) == frozenset()
    assert names_in(io.BytesIO(b"")) == frozenset()


@pytest.mark.parametrize("cut", [1, 30, 200, 3000])
def test_an_archive_that_is_cut_off_is_damaged(cut: int) -> None:
    """Wherever it is cut."""
    with pytest.raises(NotAModel, match="damaged"):
        open_archive(io.BytesIO(skops_of(linear())[:-cut]), BUDGET_BYTES)


def test_a_member_whose_bytes_were_changed_is_damaged() -> None:
    """The archive's own checksum tells."""
    data = zip_of({"schema.json": json.dumps({"a": "b"}).encode()}).replace(b'"b"', b'"c"')
    archive = open_archive(io.BytesIO(data), BUDGET_BYTES)
    with pytest.raises(NotAModel, match="damaged"):
        read_member(archive, "schema.json")


def test_an_archive_over_the_budget_is_refused() -> None:
    """By what its directory announces."""
    with pytest.raises(Refused, match="larger than this server accepts"):
        open_archive(io.BytesIO(skops_of(linear())), 100)


@pytest.mark.parametrize("schema", [b"[]", b"{}", b"nonsense", b'{"__loader__": 1}', b'{"__loader__": "ListNode"}', b"\xff", b"null"])
def test_a_schema_that_is_none_is_refused(schema: bytes) -> None:
    """Whatever stands in its place."""
    with pytest.raises(ArtifactRefused):
        flavors.admit(io.BytesIO(zip_of({"schema.json": schema})), {}, BUDGET_BYTES)


def test_an_array_of_true_and_false_with_other_values_is_refused() -> None:
    """Compiled code counts on 0 and 1."""
    stream = io.BytesIO()
    np.save(stream, np.ones(3, bool))
    assert array_of(stream.getvalue()).tolist() == [True] * 3
    with pytest.raises(Refused, match="true and false"):
        array_of(stream.getvalue()[:-1] + b"\x80")


def test_what_a_sparse_matrix_unpacks_to_counts_against_the_budget() -> None:
    """It is an archive of its own inside the file."""
    model = linear()
    model.rows_ = scipy.sparse.csr_matrix(np.ones((1_000, 1_000)))
    data = skops_of(model)
    assert len(data) < 1 << 20
    with pytest.raises(Refused, match="larger than this server accepts"):
        skops_files.read(io.BytesIO(data), 4 << 20)
