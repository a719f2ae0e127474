"""The console's pages Models and Model, and moving aliases on them, against a running service."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sklearn.linear_model import LinearRegression

from tests.console_browsing import ConsoleClient, signed_in_client
from tests.running import RunningService, dumped

MARKUP = "<script>alert(1)</script> & \"quotes\" 'n' {{ 7 * 7 }} שלום \u202e x"
NAMES = [f"cm-{number}" for number in range(3)]


@pytest.fixture(scope="module")
def service(shared_service: RunningService) -> RunningService:
    """Return a service with three models: three versions of the first, its words and those of its version full of markup."""
    artifact = dumped(LinearRegression().fit([[0.0, 0.0], [1.0, 2.0]], [0.0, 1.0]))
    narrow = dumped(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))
    for number in range(2):
        shared_service.publish(NAMES[0], artifact, {"metrics": {"r2": 0.5 + number / 10, "<b>mse</b>": 2.0}})
    shared_service.publish(NAMES[0], narrow, {"metrics": {"r2": 0.9}})
    for name in NAMES[1:]:
        shared_service.publish(name, artifact)
    with shared_service.client() as client:
        changed = client.patch(f"/models/{NAMES[0]}", json={"description": MARKUP, "tags": {"cm-team": "botany", "<i>": "</td>"}})
        assert changed.status_code == 200
    return shared_service


@pytest.fixture(scope="module")
def browsers(service: RunningService) -> Iterator[dict[str, ConsoleClient]]:
    """Return browsers signed in as an admin, a reader, and a publisher of the first model alone."""
    with ExitStack() as stack:
        keys = {"admin": None, "reader": service.make_key("read"), "bound": service.make_key("read", "publish", models=["cm-0*"])}
        yield {who: stack.enter_context(signed_in_client(service, key)) for who, key in keys.items()}


def listed(page: str) -> list[str]:
    """Return the names of a listing's models, in order."""
    return re.findall(r'<a href="/console/models/([^/"]+)">', page)


def field(page: str, name: str) -> str:
    """Return the value of a hidden field. AssertionError without it."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])


def dialog(browser: ConsoleClient, kind: str, alias: str = "production", **query: str) -> dict[str, str]:
    """Open a dialog and return the fields that it would send."""
    page = browser.get(f"/console/models/{NAMES[0]}/{kind}", part=True, params={"alias": alias, **query})
    assert page.status_code == 200, page.text
    return {name: field(page.text, name) for name in ("alias", "etag", "once")}


def test_models_are_found_by_text_and_by_tag_and_paged_by_cursor(browsers: dict[str, ConsoleClient]) -> None:
    """Search, tag, order and cursor go together; what means nothing is refused in HTML."""
    admin = browsers["admin"]
    page = admin.get("/console/models", params={"search": "cm-"})
    assert listed(page.text) == NAMES
    assert "3 of 3 models" in page.text
    assert listed(admin.get("/console", params={"search": "cm-", "order": "-name"}).text) == NAMES[::-1]
    assert listed(admin.get("/console", params={"tag": "cm-team:botany", "search": ""}).text) == NAMES[:1]
    assert "No model fits." in admin.get("/console", params={"search": "cm-nothing", "tag": "a:b"}).text
    for wrong in ({"order": "size"}, {"cursor": "x"}, {"tag": "plain"}, {"search": "x" * 201}):
        refused = admin.get("/console", params=wrong)
        assert (refused.status_code, refused.headers["Content-Type"]) == (422, "text/html; charset=utf-8")


def test_a_key_of_some_models_sees_no_others(browsers: dict[str, ConsoleClient]) -> None:
    """Listing and count keep to the key's patterns, and another model's page isn't there for it."""
    page = browsers["bound"].get("/console")
    assert listed(page.text) == NAMES[:1]
    assert "1 of 1 model" in page.text
    for path in (NAMES[1], f"{NAMES[1]}/point", f"{NAMES[1]}/edit"):
        assert browsers["bound"].get(f"/console/models/{path}").status_code == 404
    moved = browsers["bound"].post(f"/console/models/{NAMES[1]}/point", alias="production", once="x", version="1", reason="why")
    assert moved.status_code == 404


def test_an_admin_of_some_models_learns_no_name_of_a_key_that_it_does_not_see(service: RunningService) -> None:
    """As over the API, where it would not find that key; its id stands in every version that it made."""
    with signed_in_client(service, service.make_key("admin", name="bound admin", models=["cm-0*"])) as browser:
        page = browser.get(f"/console/models/{NAMES[0]}").text
    assert "bound admin" in page
    with service.client() as client:
        maker = client.get(f"/models/{NAMES[0]}/1").json()["created_by"]
    assert f"<code>{maker}</code>" in page


def test_markup_in_words_tags_and_metrics_is_shown_as_text(browsers: dict[str, ConsoleClient]) -> None:
    """Nothing that a publisher wrote becomes an element or an attribute, on the page, in the listing or in a dialog."""
    for path in ("/console?search=cm-0", f"/console/models/{NAMES[0]}", f"/console/models/{NAMES[0]}/edit"):
        page = browsers["admin"].get(path).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;quotes&#34;" in page
        for raw in ("<script>alert", "<b>mse", "<i>", ">49"):
            assert raw not in page
    assert "&lt;b&gt;mse&lt;/b&gt;" in browsers["admin"].get(f"/console/models/{NAMES[0]}").text


def test_what_a_key_may_not_do_is_neither_offered_nor_done(browsers: dict[str, ConsoleClient]) -> None:
    """A reader sees no button that changes anything, and its forged requests get 403; so does a publisher's without the token."""
    page = browsers["reader"].get(f"/console/models/{NAMES[0]}").text
    assert "dialog-body" in page
    assert 'hx-get="/console/models/cm-0/' not in page
    for action in ("point", "rollback", "delete-alias", "edit"):
        path = f"/console/models/{NAMES[0]}/{action}"
        assert browsers["reader"].get(path).status_code == 403
        assert browsers["reader"].post(path, alias="production", once="x", version="1", reason="why").status_code == 403
        assert browsers["admin"].post(path, headers={"X-CSRF-Token": "0" * 64}, alias="production", once="x").status_code == 403


def test_an_alias_is_pointed_and_rolled_back_with_a_reason(browsers: dict[str, ConsoleClient]) -> None:
    """Each move answers with the page that shows it and its reason; a repeated one moves nothing; a stale one is told so, with 412."""
    admin, page = browsers["admin"], f"/console/models/{NAMES[0]}"
    made = admin.post(f"{page}/point", alias="production", etag="", once="first", version="1", reason="to begin with")
    assert made.status_code == 200, made.text
    assert made.headers["HX-Trigger"] == '{"done": {"text": "@production points at version 1 now."}}'
    assert "nothing to roll back to" in made.text
    assert admin.post(f"{page}/point", alias="production", etag="", once="again", version="2", reason="x").status_code == 412

    seen = dialog(admin, "point")
    shown = admin.get(f"{page}/point", part=True, params={"alias": "production", "version": "3"}).text
    assert "Callers would notice" in shown
    assert "golden predictions are replayed" in shown or "is loaded here already" in shown
    assert admin.post(f"{page}/point", **seen, version="2", reason="  ").status_code == 422
    assert admin.post(f"{page}/point", **seen, version="two", reason="why").status_code == 422
    moved = admin.post(f"{page}/point", **seen, version="2", reason=MARKUP)
    assert "@production → 2" in moved.text
    assert admin.post(f"{page}/point", **seen, version="2", reason=MARKUP).status_code == 200
    stale = admin.post(f"{page}/point", **{**seen, "once": "other"}, version="3", reason="unseen")
    assert stale.status_code == 412
    assert "points at version 2 now" in stale.text
    assert "Look again" in stale.text

    back = admin.post(f"{page}/rollback", **dialog(admin, "rollback"), reason="false alarms")
    assert back.headers["HX-Trigger"] == '{"done": {"text": "@production is back at version 1."}}'
    reasons = re.findall(r'<td class="reason" dir="auto">(.*?)</td>', back.text)
    assert [html.unescape(reason) for reason in reasons] == ["false alarms", MARKUP, "to begin with"]
    assert browsers["reader"].get(page).text.count('class="node') == 3
    assert admin.get(f"{page}/rollback", part=True, params={"alias": "production"}).status_code == 409

    gone = admin.post(f"{page}/delete-alias", **dialog(admin, "delete-alias"), reason="over")
    assert "No alias points into this model" in gone.text
    assert admin.get(f"{page}/point", part=True, params={"alias": "production"}).status_code == 404


def test_a_rollback_past_a_deleted_version_says_which_it_passes(service: RunningService, browsers: dict[str, ConsoleClient]) -> None:
    """The dialog names the deleted version and the next one back, and the move goes there."""
    admin, page = browsers["admin"], f"/console/models/{NAMES[0]}"
    with service.client() as client:
        for number in (1, 3, 2):
            assert client.put(f"/models/{NAMES[0]}/aliases/passing", json={"version": number}).status_code == 200
        assert client.delete(f"/models/{NAMES[0]}/3").status_code == 200
    shown = admin.get(f"{page}/rollback", part=True, params={"alias": "passing"}).text
    assert "Version 3, where it pointed before, was deleted" in shown
    back = admin.post(f"{page}/rollback", **dialog(admin, "rollback", "passing"), to=field(shown, "to"), reason="past it")
    assert "@passing → 1" in back.text
    assert '<span class="badge bad">deleted</span></th>' in admin.get(page, params={"status": "deleted"}).text
    with service.client() as client:
        assert client.post(f"/models/{NAMES[0]}/3/restore").status_code == 200


def test_what_is_said_about_a_model_is_changed_in_a_dialog(service: RunningService, browsers: dict[str, ConsoleClient]) -> None:
    """The words are kept as they were typed; what the API would refuse is refused with the same words."""
    bound, page = browsers["bound"], f"/console/models/{NAMES[0]}"
    words = {"description": "a\r\nb", "tag-0": "cm-team", "value-0": "x", "tag-1": "", "value-1": "", "runtime": "exact"}
    assert bound.post(f"{page}/edit", **words).status_code == 200
    kept = bound.get(f"{page}/edit").text
    assert ">\na\nb</textarea>" in kept
    assert 'value="cm-team"' in kept
    for wrong in ({"runtime": "slow"}, {"tag-1": "cm-team", "value-1": "y"}, {"value-1": "nameless"}, {"description": "d" * 20_001}):
        assert bound.post(f"{page}/edit", **{**words, **wrong}).status_code == 422
    key = bound.post(f"{page}/edit", **{**words, "description": f"ask with {service.admin_key}"})
    assert (key.status_code, service.admin_key in key.text) == (422, False)
