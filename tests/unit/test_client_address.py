"""Where the client finds address and key, what it tells of errors, and that nothing tells the key."""

from __future__ import annotations

import datetime as dt
import pickle
from pathlib import Path

import pytest

import modelyard
from modelyard import Alias, ApiKey, Client, Event, Model, Move, Version, errors, git, profiles
from modelyard.errors import ConfigurationError, Problem, every_problem, problem_of
from modelyard.operating import model_path, moment_text, path_of
from modelyard.transport import _retry_after_seconds
from registry.errors import every_error

pytestmark = pytest.mark.unit

PROFILES = """
default = "work"
[profiles.work]
url = "https://models.example.org/yard/"
key = "my_work_key"
[profiles.home]
key = "my_home_key"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have an empty configuration folder, and nothing in the environment."""
    for name in ("MODELYARD_URL", "MODELYARD_KEY", "MODELYARD_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def test_an_address_comes_from_arguments_a_profile_the_environment_or_the_default_profile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order; without any it is a service on this machine."""
    assert profiles.read_address() == profiles.Address("http://127.0.0.1:8000", None)
    (folder / "modelyard.toml").write_text(PROFILES)
    assert profiles.read_address() == profiles.Address("https://models.example.org/yard/", "my_work_key")
    assert profiles.read_address(profile="home") == profiles.Address("http://127.0.0.1:8000", "my_home_key")
    monkeypatch.setenv("MODELYARD_PROFILE", "home")
    assert profiles.read_address().key == "my_home_key"
    monkeypatch.setenv("MODELYARD_URL", "http://other:1")
    monkeypatch.setenv("MODELYARD_KEY", "my_env_key")
    assert profiles.read_address() == profiles.Address("http://other:1", "my_env_key")
    assert profiles.read_address(profile="work").key == "my_work_key"
    assert profiles.read_address("http://third:1", "my_own_key") == profiles.Address("http://third:1", "my_own_key")


def test_the_key_of_a_profile_goes_to_no_other_address(folder: Path) -> None:
    """An address that was given by itself gets no key that was kept for another."""
    (folder / "modelyard.toml").write_text(PROFILES)
    assert profiles.read_address("http://elsewhere:1").key is None
    assert profiles.read_address("http://elsewhere:1", profile="work").key is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[profiles", "isn't valid TOML"),
        ('default = "gone"', "no profile 'gone'.*there are: none"),
        ('default = "x"\n[profiles.x]\nurl = 7', "must be texts"),
    ],
)
def test_a_profile_file_that_can_not_be_used_says_why(folder: Path, content: str, words: str) -> None:
    """And names the file."""
    (folder / "modelyard.toml").write_text(content)
    with pytest.raises(ConfigurationError, match=words):
        profiles.read_address()


@pytest.mark.parametrize("url", ["models.example.org", "ftp://x", "http://", "http://user:pass@x", "http://x?a=b"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    """Before a key is sent anywhere."""
    with pytest.raises(ConfigurationError):
        Client(url, "my_k")


def test_without_a_key_it_is_said_how_to_give_one() -> None:
    """At the first call that needs one."""
    with Client("http://127.0.0.1:9") as client, pytest.raises(ConfigurationError, match="MODELYARD_KEY"):
        client.me()


def test_nothing_shows_the_key() -> None:
    """Neither the client nor the address."""
    with Client("http://127.0.0.1:9", "my_secret") as client:
        assert "my_secret" not in repr(client) + repr(profiles.Address("http://x", "my_secret"))


@pytest.mark.parametrize(
    ("selector", "path"),
    [
        ("churn", "/models/churn/@production"),
        ("churn@canary", "/models/churn/@canary"),
        ("churn/7", "/models/churn/7"),
        ("churn/@latest", "/models/churn/@latest"),
        ("a b@x?y", "/models/a%20b/@x%3Fy"),
        ("a%2Fb/7", "/models/a%252Fb/7"),
    ],
)
def test_a_selector_becomes_a_path_and_never_another_one(selector: str, path: str) -> None:
    """What stands in it is quoted."""
    assert path_of(selector) == path


@pytest.mark.parametrize(
    "selector",
    [
        "",
        "/1",
        "..",
        "../1",
        "x/",
        "x/..",
        "x@",
        "@production",
        "x/@",
        "x/rollback",
        "x/1/pin",
        "x@a/b",
        "x@..",
        "a/../../keys",
        "x/1\n",
        "x/٣",
    ],
)
def test_a_selector_without_a_name_or_version_is_refused(selector: str) -> None:
    """With the forms that there are."""
    with pytest.raises(ConfigurationError, match="write churn@production"):
        path_of(selector)
    with pytest.raises(ConfigurationError):
        model_path("..")


def test_every_problem_of_the_service_has_its_class_under_the_same_name_and_parent() -> None:
    """So that what is documented once holds on both sides."""
    server = {cls.slug: cls for cls in every_error()}
    client = every_problem()
    assert client.keys() == server.keys()
    for slug, cls in client.items():
        if cls is not Problem:
            assert cls.__name__ == server[slug].__name__
            parent = server[slug].__mro__[1].__name__
            assert cls.__mro__[1].__name__ == ("Problem" if parent == "ModelyardError" else parent)


def test_a_problem_prints_what_to_fix_and_where() -> None:
    """Title, detail, pointers, what was found, the request; also after a trip to another process."""
    body = {
        "type": "https://modelyard.dev/problems/signature-mismatch",
        "title": "The input doesn't fit",
        "detail": "One value.",
        "request_id": "abc",
        "errors": [{"detail": "expected a number", "pointer": "#/data/3/1", "column": "age"}],
        "found": [{"rule": "name-not-allowed", "name": "os.system"}],
    }
    problem = pickle.loads(pickle.dumps(problem_of(422, body, 3.0)))
    assert isinstance(problem, errors.SignatureMismatch)
    assert str(problem).splitlines() == [
        "The input doesn't fit (422): One value.",
        "  #/data/3/1 (column age): expected a number",
        "  found rule name-not-allowed, name os.system",
        "  request abc",
    ]
    assert problem.retry_after_seconds == 3.0


@pytest.mark.parametrize(("status", "kind"), [(404, errors.NotFound), (429, errors.RateLimited), (503, errors.Unavailable), (418, Problem)])
def test_a_problem_type_of_a_newer_service_is_known_by_its_status(status: int, kind: type[Problem]) -> None:
    """What can be caught today can be caught tomorrow."""
    assert type(problem_of(status, {"type": "https://modelyard.dev/problems/brand-new"})) is kind


@pytest.mark.parametrize(("header", "seconds"), [(None, None), ("7", 7.0), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)])
def test_retry_after_is_read_as_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    """What can't be read is as if it weren't there."""
    assert _retry_after_seconds(header) == seconds


def test_every_name_of_the_package_is_there() -> None:
    """`__all__` holds what can be imported, and nothing else can."""
    assert all(getattr(modelyard, name) is not None for name in modelyard.__all__)
    with pytest.raises(AttributeError):
        modelyard.nothing  # noqa: B018 - the look is the test


@pytest.mark.parametrize("text", ["", "..", "a/b", "v2/aliases/canary", "a\nb"])
def test_no_name_becomes_another_path(text: str) -> None:
    """Neither that of a model, nor of an alias, nor of a key."""
    with Client("http://127.0.0.1:9", "my_k") as client:
        for call in (client.delete_model, client.revoke_key, lambda name: client.delete_alias("churn", name)):
            with pytest.raises(ConfigurationError):
                call(text)


@pytest.mark.parametrize("key", ["my_\nsecret", "my_s\u00e9cret"])
def test_a_key_that_can_not_be_sent_is_not_repeated(key: str) -> None:
    """What is around it is cut off; what is inside is refused, without showing it."""
    with pytest.raises(ConfigurationError) as refused:
        Client("http://127.0.0.1:9", key)
    assert "cret" not in str(refused.value)
    with Client("http://127.0.0.1:9", "my_secret\n", retries=0) as client, pytest.raises(errors.ConnectionFailed):
        client.me()
    with pytest.raises(ConfigurationError) as refused:
        Client("http://user:sekret@host")
    assert "sekret" not in str(refused.value)


def test_what_the_environment_asks_for_and_can_not_be_had_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of a kind that isn't known, a time that isn't one, no home."""
    with monkeypatch.context() as patch:
        patch.setenv("HTTP_PROXY", "ftp://x")
        with pytest.raises(ConfigurationError):
            Client("http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="above 0"):
        Client("http://127.0.0.1:9", timeout_seconds=-1)


def test_a_client_is_not_copied_to_another_process() -> None:
    """Its connections can't be."""
    with Client("http://127.0.0.1:9", "my_k") as client, pytest.raises(ConfigurationError, match="can't be pickled"):
        pickle.dumps(client)


@pytest.mark.parametrize(
    ("remote", "kept"),
    [
        ("https://oauth2:tok/en@gitlab.example/x", "https://gitlab.example/x"),
        ("https://user:p@ss/w0rd@host/a?private_token=abc#d", "https://host/a"),
        ("git@github.example:a/b.git", "git@github.example:a/b.git"),
        ("user:pw@host:x", "host:x"),
        ("/srv/x.git", "/srv/x.git"),
    ],
)
def test_the_address_of_a_remote_is_kept_without_whoever_may_push_there(remote: str, kept: str) -> None:
    """A token in it would be kept with the version, for everybody to read."""
    assert git.without_credentials(remote) == kept


def test_what_is_no_problem_document_is_told_as_far_as_it_goes() -> None:
    """A gateway's own words; lists that are none."""
    for body in ({"errors": True, "found": True}, {"errors": [7]}):
        assert problem_of(500, body).errors == ()
    for header in ("\u00b2", "-1"):
        assert _retry_after_seconds(header) is None


@pytest.mark.parametrize("raw", [{}, {"model": "iris"}, {"model": "iris", "artifact": 7}])
def test_an_answer_of_another_shape_is_told(raw: dict[str, object]) -> None:
    """Something that isn't Modelyard answers at the address."""
    for record in (Version, Model, Alias, Move, Event, ApiKey):
        with pytest.raises(errors.ConnectionFailed, match=f"no {record.__name__} is in its answer"):
            record.of(raw)


def test_a_time_outside_the_calendar_is_told() -> None:
    """Instead of an overflow."""
    with pytest.raises(ConfigurationError, match="outside the calendar"):
        moment_text(dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))))
