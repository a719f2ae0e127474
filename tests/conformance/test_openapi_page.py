"""The page that shows the API asks for a key, loads nothing from elsewhere, and tells who has no key nothing."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from config import Config
from registry.api.docs import OWN_FILES, PAGE_POLICY, SWAGGER_FILES
from registry.app import create_app
from tests.running import RunningService

FILES = ("page.js", "page.css", *SWAGGER_FILES)


def test_the_page_is_open_and_shows_nothing_but_a_prompt(shared_service: RunningService) -> None:
    """It is the same for everybody; the document behind it is not."""
    page = httpx.get(f"{shared_service.url}/docs")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    with shared_service.client() as client:
        assert client.get("/docs").text == page.text
    assert 'data-asks="yes"' in page.text
    assert 'type="password"' in page.text
    assert "/models" not in page.text
    assert httpx.get(f"{shared_service.url}/openapi.json").status_code == 401


def test_nothing_may_run_or_load_but_what_the_service_serves(shared_service: RunningService) -> None:
    """The policy names no inline code, and the page has none; each file that it names is there, with its type."""
    page = httpx.get(f"{shared_service.url}/docs")
    assert page.headers["Content-Security-Policy"] == PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY
    assert "http" not in PAGE_POLICY
    assert re.search(r"<script(?! src=)|<style| style=| on[a-z]+=", page.text) is None
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert set(named) == {f"/docs/{name}" for name in FILES} | {"data:,"}
    for name in FILES:
        file = httpx.get(f"{shared_service.url}/docs/{name}")
        kind = "text/css" if name.endswith("css") else "text/javascript"
        assert (file.status_code, file.headers["Content-Type"], file.headers["X-Content-Type-Options"]) == (
            200,
            f"{kind}; charset=utf-8",
            "nosniff",
        )
        assert len(file.content) > 200


@pytest.mark.parametrize(
    "name", ["page.html", "..", "%2e%2e%2fdocs.py", "..%2f..%2fapp.py", "swagger-ui-bundle.js.map", "PAGE.JS", "page.js%00"]
)
def test_no_other_file_is_sent(shared_service: RunningService, name: str) -> None:
    """Names stand in a table, and lead nowhere else."""
    assert httpx.get(f"{shared_service.url}/docs/{name}").status_code in {400, 404}


@pytest.mark.parametrize("file", sorted(OWN_FILES.iterdir()), ids=lambda file: file.name)
def test_our_own_files_name_no_other_place_and_keep_no_key(file: Path) -> None:
    """No address, and no storage in which a key would outlive the page."""
    text = file.read_text(encoding="utf-8")
    assert re.search(r"https?:|//[a-z]+\.|localStorage|sessionStorage|document\.cookie|innerHTML", text) is None


def test_where_the_document_is_public_the_page_asks_for_nothing(tmp_path: Path) -> None:
    """By configuration, as the document."""
    app = create_app(Config(instance_path=tmp_path, public_metrics=True))
    page = app.test_client().get("/docs")
    assert 'data-asks="no"' in page.text
    assert 'data-asks="yes"' not in page.text
    document = app.test_client().get("/openapi.json").json
    assert document["paths"]["/openapi.json"]["get"]["security"] == []
    assert app.test_client().get("/openapi.json").data == app.test_client().get("/openapi.json").data
