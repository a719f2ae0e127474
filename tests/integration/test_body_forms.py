"""Every body form with every family of models gives the estimator's own answers over REST, bit for bit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from tests.fixture_models import CASES, Case
from tests.running import RunningService

FORMS = ("data", "instances", "inputs", "dataframe_split", "dataframe_records", "csv", "npy")
ROWS = 12


@dataclass(frozen=True, slots=True)
class Published:
    """A case, the version it became, and its held-out rows as JSON values."""

    case: Case
    version: dict[str, Any]
    held_out: Any
    rows: list[list[Any]]

    @property
    def names(self) -> list[str]:
        """Return the signature's column names."""
        return [column["name"] for column in self.version["signature"]["inputs"]]


@pytest.fixture(scope="module")
def service(shared_service: RunningService) -> RunningService:
    """Return a service that other modules use as well."""
    return shared_service


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Return a client whose answers never come from the cache."""
    with service.client() as made:
        made.headers["Cache-Control"] = "no-store"
        yield made


@pytest.fixture(scope="module", params=sorted(CASES))
def published(request: pytest.FixtureRequest, service: RunningService) -> Published:
    """Publish one case with an example, as its user would."""
    case = CASES[request.param]()
    held_out = case.held_out[:ROWS]
    rows = _rows(held_out)
    name = f"form-{request.param.replace('_', '-')}"
    example = (
        _records(held_out, rows) if isinstance(held_out, pd.DataFrame) else [row[0] if isinstance(held_out, list) else row for row in rows]
    )
    version = service.publish(name, case.estimator, {"input_example": example[:5]})
    assert (version["deterministic"], version["golden"]["rows"]) == (True, min(5, len(rows)))
    return Published(case, version, held_out, rows)


@pytest.mark.parametrize("form", FORMS)
def test_every_body_form_gives_the_estimators_own_answers(client: httpx.Client, published: Published, form: str) -> None:
    """Each method, asked with each form of body, answers exactly what the estimator answers to the same rows."""
    sent = _body(published, form)
    if sent is None:
        _assert_refused(client, published)
        return
    body, content_type, kept = sent
    held_out = published.held_out[kept] if isinstance(kept, slice) else published.held_out
    for method in published.version["methods"]:
        with threadpool_limits(1), np.errstate(divide="ignore"):
            expected = getattr(published.case.estimator, method)(held_out)
        answer = _ask(client, published, body, content_type, method)
        assert answer.status_code == 200, answer.text
        _assert_same(answer.json()["prediction"], expected)


def test_numbers_come_back_as_npy(client: httpx.Client, published: Published) -> None:
    """With Accept: application/x-npy an answer of one numeric array comes as that array; any other is refused with 406."""
    with threadpool_limits(1):
        expected = published.case.estimator.predict(published.held_out)
    rows = [row[0] for row in published.rows] if isinstance(published.held_out, list) else published.rows
    answer = client.post(_url(published), json={"data": rows}, headers={"Accept": "application/x-npy"})
    if np.asarray(expected).dtype.kind in "biuf":
        assert answer.headers["Content-Type"] == "application/x-npy"
        array = np.load(io.BytesIO(answer.content), allow_pickle=False)
        assert (array.dtype.kind, array.tobytes()) == (expected.dtype.kind, expected.tobytes())
    else:
        assert answer.status_code == 406
        assert answer.json()["type"].endswith("/not-acceptable")


def _assert_refused(client: httpx.Client, published: Published) -> None:
    """Check that an array of numbers, all that npy can carry, is refused where columns are texts or truth values."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, len(published.names))), allow_pickle=False)
    answer = client.post(_url(published), content=buffer.getvalue(), headers={"Content-Type": "application/x-npy"})
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (422, "signature-mismatch"), answer.text


def _url(published: Published) -> str:
    return f"/models/{published.version['model']}/{published.version['version']}"


def _ask(client: httpx.Client, published: Published, body: Any, content_type: str, method: str) -> httpx.Response:
    if content_type == "application/json":
        return client.post(_url(published), json={**body, "method": method})
    return client.post(_url(published), params={"method": method}, content=body, headers={"Content-Type": content_type})


def _assert_same(got: Any, expected: Any) -> None:
    if isinstance(expected, list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            _assert_same(one, other)
    elif expected.dtype.kind == "f":
        finite = np.isfinite(expected)  # JSON has only null for what isn't: a logarithm of 0
        assert [cell is None for cell in np.array(got, object).ravel()] == (~finite).ravel().tolist()
        assert np.array(got, expected.dtype)[finite].tobytes() == expected[finite].tobytes()
    else:
        assert got == expected.tolist()


def _body(published: Published, form: str) -> tuple[Any, str, slice | None] | None:
    """Return body, content type and which rows it has; None where the form can't say these values."""
    rows, names = published.rows, published.names
    texts = isinstance(published.held_out, list)
    json_type = "application/json"
    records = [dict(zip(names, row, strict=True)) for row in rows]
    match form:
        case "data":
            return {"data": [row[0] for row in rows] if texts else rows}, json_type, None
        case "instances":
            return {"instances": [row[0] for row in rows] if texts else records}, json_type, None
        case "inputs":
            return {"inputs": {name: [row[i] for row in rows] for i, name in enumerate(names)}}, json_type, None
        case "dataframe_split":
            backwards = [row[::-1] for row in rows]
            return {"dataframe_split": {"columns": names[::-1], "data": backwards}}, json_type, None
        case "dataframe_records":
            return {"dataframe_records": [dict(reversed(record.items())) for record in records]}, json_type, None
        case "csv":
            kept = slice(0, 2) if texts else None  # an empty cell means a missing value, not the empty text
            return _csv(names, rows[kept] if kept else rows), "text/csv", kept
        case _:
            return _npy(published, rows)


def _csv(names: list[str], rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([["" if cell is None else str(cell) for cell in row] for row in rows])
    return text.getvalue().encode()


def _npy(published: Published, rows: list[list[Any]]) -> tuple[bytes, str, None] | None:
    if any(column["type"] != "float64" for column in published.version["signature"]["inputs"]):
        return None
    buffer = io.BytesIO()
    np.save(buffer, np.array(rows, float))
    return buffer.getvalue(), "application/x-npy", None


def _rows(held_out: Any) -> list[list[Any]]:
    if isinstance(held_out, list):
        return [[text] for text in held_out]
    values = held_out.astype(object).to_numpy() if isinstance(held_out, pd.DataFrame) else held_out
    return [[None if pd.isna(cell) else cell for cell in row] for row in values.tolist()]


def _records(held_out: pd.DataFrame, rows: list[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(held_out.columns, row, strict=True)) for row in rows]
