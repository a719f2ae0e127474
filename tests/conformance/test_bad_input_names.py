"""What can't be a name is refused as such, sent on a raw socket so that no client repairs it first."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.raw_http import ask, exchange, request_bytes
from tests.running import RunningService

BAD_NAMES = {
    "dots": "..",
    "dots_inside": "a..b",
    "encoded_dots": "%2e%2e",
    "nul": "a%00b",
    "crlf": "a%0d%0aX-Injected:%201",
    "newline_at_the_end": "iris%0a",
    "300_characters": "a" * 300,
    "65_characters": "a" * 65,
    "capital": "Iris",
    "space": "i%20ris",
    "leading_dash": "-iris",
    "cyrillic_i": quote("\u0456ris"),
    "fullwidth_i": quote("\uff49ris"),
    "dotless_i": quote("\u0131ris"),
    "zero_width_space": quote("iri\u200bs"),
    "arabic_digit": quote("iris\u0663"),
    "invalid_utf8": "iris%ff",
    "percent_alone": "iris%",
    "half_a_surrogate": "%ed%a0%80",
}
BAD_SELECTORS = {
    "zero": "0",
    "negative": "-1",
    "leading_zero": "01",
    "plus": "+1",
    "fraction": "1.0",
    "exponent": "1e3",
    "above_31_bits": "2147483648",
    "300_digits": "9" * 300,
    "arabic_digits": quote("\u0661\u0662"),
    "superscript": quote("\u00b2"),
    "underscore": "1_000",
    "empty_alias": "@",
    "capital_alias": "@Production",
    "two_ats": "@@production",
    "alias_with_dot": "@a.b",
    "alias_with_nul": "@a%00",
    "alias_with_crlf": "@a%0d%0a",
    "alias_of_300": "@" + "a" * 300,
    "cyrillic_alias": "@" + quote("\u0440roduction"),
    "dots": "..",
}


@pytest.fixture(scope="module")
def service(shared_service: RunningService) -> RunningService:
    """One service, which takes none of the names that are tried here."""
    return shared_service


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("POST", "/1"), ("POST", "/versions"), ("PUT", "/aliases/production"), ("DELETE", "")]
)
def test_what_cannot_be_a_models_name_is_refused_on_every_route(service: RunningService, name: str, method: str, rest: str) -> None:
    """Reading, predicting, publishing, pointing and deleting all refuse the name with 400 before anything else."""
    body = b'{"version": 1}' if method == "PUT" else b""
    answer = ask(service, method, f"/models/{name}{rest}", body, Content_Type="application/json")
    assert (answer.status, answer.slug) == (400, "invalid-name")
    assert "x-injected" not in answer.headers


@pytest.mark.parametrize("selector", BAD_SELECTORS.values(), ids=BAD_SELECTORS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_cannot_be_a_selector_is_refused(service: RunningService, selector: str, method: str) -> None:
    """Neither a read nor a prediction takes what is neither a plain number nor an alias."""
    answer = ask(service, method, f"/models/iris/{selector}", b"{}", Content_Type="application/json")
    assert (answer.status, answer.slug) == (400, "invalid-name")


@pytest.mark.parametrize("alias", ["latest", "Production", "a" * 65, "a%00", "a.b", "-a", "1", quote("\u0440")])
def test_an_alias_that_cannot_be_set_is_refused(service: RunningService, alias: str) -> None:
    """`latest` is reserved, and the others aren't names of aliases."""
    answer = ask(service, "PUT", f"/models/iris/aliases/{alias}", b'{"version": 1}', Content_Type="application/json")
    assert (answer.status, answer.slug) == (400, "invalid-name")


@pytest.mark.parametrize(
    "path", ["/models/a%2fb/1", "/models/..%2f..%2fetc%2fpasswd", "/models/iris%2f1%2f2%2f3%2f4", "/%2e%2e/%2e%2e/etc", "/models//1"]
)
def test_an_encoded_slash_never_becomes_part_of_a_name(service: RunningService, path: str) -> None:
    """It separates parts of a path as a plain one does, and nothing is served there."""
    answer = ask(service, "GET", path)
    assert answer.slug in {"page-not-found", "model-not-found", "invalid-name"}


@pytest.mark.parametrize(
    "path", ["/keys/a%00b", "/models?search=%00", "/events?actor=%00", "/models?tag=a:%00", "/models?cursor=%00", "/nowhere%00"]
)
def test_nul_in_a_path_or_query_never_reaches_the_database(service: RunningService, path: str) -> None:
    """PostgreSQL can't take it, so it is refused everywhere."""
    answer = ask(service, "GET", path)
    assert answer.slug in {"invalid-name", "invalid-request"}


def test_a_query_parameter_that_stands_twice_is_refused(service: RunningService) -> None:
    """Which of the two counts would depend on who reads it."""
    answer = ask(service, "GET", "/models?limit=1&limit=1000")
    assert (answer.status, answer.slug) == (422, "invalid-request")
    assert b"#/limit" in answer.body


@pytest.mark.parametrize("header", ["a\r\nX-Injected: 1", "short", "a" * 65, "with space", 'quote"', "\u00e9" * 10])
def test_a_request_id_that_is_not_well_formed_is_replaced(service: RunningService, header: str) -> None:
    """A line break, odd characters or another length never come back in a header."""
    answer = exchange(service, request_bytes("GET", "/models", service.admin_key, {"X-Request-Id": header}))
    assert answer.status == 200
    assert answer.headers["x-request-id"] != header
    assert "x-injected" not in answer.headers


def test_what_is_not_http_gets_400_and_the_service_goes_on(service: RunningService) -> None:
    """Raw bytes above ASCII in the request line, a bad header, an endless header: none reaches the application."""
    for data in (
        b"GET /models/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        b"\x16\x03\x01" + b"\0" * 200,
    ):
        assert exchange(service, data).status in {0, 400}
    assert ask(service, "GET", "/models").status == 200
