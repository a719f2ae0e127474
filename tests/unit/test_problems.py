"""Every error as a problem: its status, its members, and what it never shows."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flask import Flask, g
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.exc import OperationalError

from registry.api import problems
from registry.errors import Finding, InvalidRequest, ModelyardError, every_error


@pytest.fixture
def app() -> Iterator[Flask]:
    """Return an application that knows nothing but its problems, inside of a request."""
    made = Flask("problems")
    problems.register(made)
    with made.test_request_context("/models/iris", method="POST"):
        g.request_id = "request-1"
        yield made


@pytest.mark.parametrize("cls", every_error(), ids=lambda cls: cls.__name__)
def test_each_error_is_a_problem_with_a_status_of_its_own(app: Flask, cls: type[ModelyardError]) -> None:
    """Type, title, status, detail, instance, request id; Retry-After wherever waiting helps."""
    response = problems.answer(cls("what happened", log_detail="secret", members={"extra": 1}, findings=[Finding("bad", "#/data/0")]))
    body = json.loads(response.get_data())
    assert response.status_code == problems.STATUS[cls] == body["status"]
    assert body == {
        "type": f"https://modelyard.dev/problems/{cls.slug}", "title": cls.title, "status": response.status_code, "detail": "what happened",
        "instance": "/models/iris", "request_id": "request-1", "extra": 1, "errors": [{"detail": "bad", "pointer": "#/data/0"}],
    }  # fmt: skip
    assert response.mimetype == "application/problem+json"
    assert ("Retry-After" in response.headers) == (response.status_code in {429, 503})


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1.0, "1"), (1.1, "2"), (59.5, "60")])
def test_retry_after_is_whole_seconds_and_never_zero(app: Flask, seconds: float, header: str) -> None:
    """Rounded up, so that who waits so long isn't refused again."""
    assert problems.answer(ModelyardError(retry_after_seconds=seconds)).headers["Retry-After"] == header


def test_at_most_20_findings_are_shown(app: Flask) -> None:
    """A thousand bad values don't make an answer of a thousand lines."""
    body = problems.answer(InvalidRequest(findings=[Finding(str(number)) for number in range(50)])).get_data()
    assert len(json.loads(body)["errors"]) == 20


def test_what_a_library_says_reaches_no_body(app: Flask) -> None:
    """An unexpected exception and a driver's error show nothing of their text, and say where it is."""
    app.config["PROPAGATE_EXCEPTIONS"] = False
    for error, status in ((RuntimeError("a secret"), 500), (OperationalError("SELECT a secret", {}, Exception("a secret")), 503)):
        response = app.make_response(app.handle_user_exception(error))
        assert response.status_code == status
        assert b"secret" not in response.get_data()
        assert json.loads(response.get_data())["request_id"] == "request-1"


def test_findings_of_pydantic_become_pointers_without_the_input() -> None:
    """Names are escaped as RFC 6901 says, unknown fields are named, values never are."""

    class Body(BaseModel):
        model_config = ConfigDict(extra="forbid")
        tags: dict[str, int]

    with pytest.raises(ValidationError) as found:
        Body.model_validate({"tags": {"a/b~c": "hidden value"}, "colour": "hidden value"})
    with pytest.raises(InvalidRequest) as raised:
        problems.refuse_invalid(found.value)
    shown = {finding.pointer: finding.detail for finding in raised.value.findings}
    assert shown["#/colour"] == "unknown field 'colour'"
    assert "#/tags/a~1b~0c" in shown
    assert "hidden" not in str(shown)
