"""What a key may not do isn't offered to it, and asking for it all the same, from a page of its own, changes nothing.

Which view needs which scope is read from the routes themselves, so that a new page is looked at without a word here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from registry.console import sign_in
from registry.console.blueprint import PAGES as MODULES
from tests.e2e.browsing import Browse, Console
from tests.e2e.shown_pages import PAGES
from tests.e2e.story import Story
from tests.running import RunningService

ROUTES = [(f"/console{path}", view, method) for module in MODULES for path, view, method in module.ROUTES]
SCOPES = {view.__name__: str(view.session_scope) for _, view, _ in ROUTES}
#: Everything that may be asked of the console.
KNOWN = Map(
    [Rule(path, endpoint=view.__name__, methods=[method]) for path, view, method in ROUTES]
    + [Rule("/console/sign-in", endpoint="sign-in"), Rule("/console/sign-out", endpoint="sign-out"), Rule("/console/assets/<path:file>", endpoint="asset")],
).bind("console")  # fmt: skip
OPEN_TO_ALL = {"sign-in", "sign-out", "asset"}
#: Elements that ask for something when they are used.
_OFFERS = """
() => [...document.querySelectorAll('a[href], form, [hx-get], [hx-post], [hx-put], [hx-patch], [hx-delete]')].flatMap((one) => {
  const found = ['get', 'post', 'put', 'patch', 'delete'].filter((name) => one.hasAttribute(`hx-${name}`)).map((name) => [name, one.getAttribute(`hx-${name}`)]);
  if (one.localName === 'a') found.push(['get', one.href]);
  if (one.localName === 'form' && one.hasAttribute('action')) found.push([one.getAttribute('method') || 'get', one.getAttribute('action')]);
  return found.map(([method, address]) => [method.toUpperCase(), new URL(address, location.href)])
    .filter(([, address]) => address.origin === location.origin && address.pathname.startsWith('/console')).map(([method, address]) => [method, address.pathname]);
})
"""
#: Keys that may do less than everything.
KEYS = {"reader": ["read"], "asker": ["read", "predict"], "publisher": ["read", "publish"]}


@pytest.fixture(scope="module")
def keys(service: RunningService) -> dict[str, str]:
    """Return a key for each set of scopes, and one that is bound to other models."""
    made = {name: service.make_key(*scopes) for name, scopes in KEYS.items()}
    return {**made, "bound": service.make_key("read", "predict", "publish", models=["iris*"])}


def pages_for(scopes: list[str]) -> list[str]:
    """Return the addresses of the pages that these scopes open."""
    return [shown.path for shown in PAGES if shown.signed_in and SCOPES[KNOWN.match(shown.path.partition("?")[0])[0]] in scopes]


def offered(console: Console, path: str) -> set[str]:
    """Return the views that a page offers a way to. AssertionError where it offers one that isn't there."""
    page = console.open(path)
    found = set()
    for method, address in page.evaluate(_OFFERS):
        try:
            found.add(KNOWN.match(address, method=method)[0])
        except HTTPException as error:
            raise AssertionError(f"{path} offers {method} {address}, which isn't there") from error
    return found - OPEN_TO_ALL


def forged(scopes: list[str], story: Story) -> Iterator[tuple[str, str]]:
    """Yield every request that these scopes don't open, method and address."""
    parts = {"name": "churn", "selector": "4", "key_id": story.ids["web shop"], "action": "revoke"}
    for rule in KNOWN.map.iter_rules():
        if rule.endpoint not in OPEN_TO_ALL and SCOPES[rule.endpoint] not in scopes:
            address = KNOWN.build(rule.endpoint, {name: parts[name] for name in rule.arguments})
            yield from ((method, address) for method in sorted(rule.methods or ()) if method in {"GET", "POST"})


def state(service: RunningService) -> list[object]:
    """Return what a forged request could have changed."""
    with service.client() as client:
        paths = ("/models?limit=200", "/models/churn", "/models/churn/versions", "/models/churn/aliases", "/keys?limit=200")
        return [client.get(path).json() for path in paths]


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_is_offered_nothing_that_it_may_not_do(browse: Browse, keys: dict[str, str], kind: str) -> None:
    """Neither a button nor a link on any page that it may see."""
    console = browse(keys[kind])
    for path in pages_for(KEYS[kind]):
        beyond = {view: SCOPES[view] for view in offered(console, path) if SCOPES[view] not in KEYS[kind]}
        assert beyond == {}, path


def test_the_admin_is_offered_what_the_others_lack(console: Console) -> None:
    """So the tests beside this one look at something."""
    found = set()
    for path in pages_for(["read", "predict", "publish", "admin"]):
        found |= offered(console, path)
    assert found >= {
        "upload",
        "keys",
        "events",
        "new_key",
        "key_dialog",
        "point_dialog",
        "roll_back_dialog",
        "edit_dialog",
        "try_version",
        "unpin_version",
    }


@pytest.mark.parametrize("kind", KEYS)
def test_a_forged_request_beyond_the_keys_scopes_is_refused(browse: Browse, story: Story, keys: dict[str, str], kind: str) -> None:
    """From a page of its own, with its own cookie and its own token: 403, each of them, and nothing has changed."""
    console = browse(keys[kind])
    console.expect("^403: ")
    console.open("/console/models")
    before = state(story.service)
    fields = {
        "alias": "production",
        "version": "1",
        "to": "1",
        "reason": "forged",
        "name": "forged",
        "once": "0123456789",
        "scopes": "admin",
    }
    answers = {f"{method} {path}": console.forge(method, path, fields) for method, path in forged(KEYS[kind], story)}
    assert answers
    assert {asked: status for asked, status in answers.items() if status != 403} == {}
    assert state(story.service) == before


def test_a_key_that_is_bound_to_other_models_is_told_of_none(browse: Browse, story: Story, keys: dict[str, str]) -> None:
    """Neither a page nor a request that it forges says that such a model is there: 404, and its own are all that is listed."""
    console = browse(keys["bound"])
    console.expect("^40[34]: ")
    page = console.open("/console/models")
    assert "iris" in page.locator("main").inner_text()
    assert "churn" not in page.locator("main").inner_text()
    assert "churn" not in console.open("/console/traffic").locator("main").inner_text()
    before = state(story.service)
    of_models = [(method, path) for method, path in forged([], story) if "/models/churn" in path]
    answers = {f"{method} {path}": console.forge(method, path, {"reason": "forged"}) for method, path in of_models}
    assert {asked: status for asked, status in answers.items() if status != 404} == {}
    assert state(story.service) == before


def test_a_request_without_the_token_of_its_page_is_refused(console: Console, story: Story) -> None:
    """Even the admin's, whichever it is; a token of another session is no better."""
    console.expect("^403: ")
    console.open("/console/models")
    before = state(story.service)
    script = """
    async ([path, token]) => (await fetch(path, { method: 'POST', redirect: 'manual', headers: token ? { 'X-CSRF-Token': token } : {},
      body: new URLSearchParams({ reason: 'forged' }) })).status
    """
    posts = [path for method, path in forged([], story) if method == "POST"]
    answers = {path: [console.page.evaluate(script, [path, token]) for token in ("", "0" * 64)] for path in posts}
    assert {path: statuses for path, statuses in answers.items() if statuses != [403, 403]} == {}
    assert state(story.service) == before


def test_a_key_without_read_can_not_sign_in(browse: Browse, story: Story) -> None:
    """The console shows what is there, and a key that only predicts may not see it."""
    console = browse(None)
    console.expect("^403: POST /console/sign-in$")
    page = console.open("/console/sign-in")
    page.get_by_label("API key").fill(story.keys["web shop"])
    page.get_by_role("button", name="Sign in").click()
    assert sign_in.MAY_NOT_READ in page.get_by_role("alert").inner_text()
