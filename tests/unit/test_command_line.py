"""The command line's own promises: what help says is true, exit codes mean one thing, and other people's words are harmless."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import click
import numpy as np
import pytest
from click.testing import CliRunner

from modelyard import errors
from modelyard.cli import events, key_commands, main, moves, outputs, printing, tables
from modelyard.cli.connecting import complete_alias
from modelyard.cli.events import moment
from modelyard.cli.exits import MEANINGS, Exit, of_error, of_status
from modelyard.cli.failing import ADVICE, report
from modelyard.cli.login import write_profile
from modelyard.cli.main import SECTIONS
from modelyard.client import Client
from modelyard.profiles import read_address
from modelyard.records import Prediction
from registry.api.problems import STATUS
from registry.cli.neighbours import clock
from tests.running import ROOT
from tests.shell import ESCAPE

#: These print no data: one becomes the service, one shows a journey, one prints a script.
WITHOUT_DATA = {"serve", "demo", "completion"}


def leaves() -> Iterator[tuple[list[str], click.Command]]:
    """Yield every command under the words that call it, the client's `keys` beside the server's."""
    group = main.main
    context = click.Context(group)
    found = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
    for name, command in [*found, ("keys", key_commands.api_keys)]:
        if isinstance(command, click.Group):
            yield from (([name, inner], leaf) for inner, leaf in command.commands.items())
        elif command is not None:
            yield [name], command


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the path of the profile file, in a home without one."""
    for name in ("URL", "KEY", "PROFILE"):
        monkeypatch.delenv(f"MODELYARD_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "modelyard.toml"


def test_the_help_of_the_group_says_what_each_command_says_of_itself() -> None:
    """It is told without importing a command, so both places must agree."""
    context = click.Context(main.main)
    told = {name: summary for section in SECTIONS.values() for name, summary in section.items()}
    assert sorted(told) == main.main.list_commands(context)
    for name, summary in told.items():
        command = main.main.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(200) == summary, name
    assert key_commands.api_keys.get_short_help_str(200) == told["keys"]
    helped = CliRunner().invoke(main.main, ["--help"]).output
    assert all(f"  {name} " in helped for name in told)
    assert all(re.search(rf"^  {code.value} +{re.escape(meaning[:30])}", helped, re.MULTILINE) for code, meaning in MEANINGS.items())


def test_the_example_of_each_command_can_be_typed() -> None:
    """It stands on one line at the end of the help, calls that command, and gives it options and arguments that it has."""
    for words, command in leaves():
        *_, last = inspect.cleandoc(command.help or "").splitlines()
        assert last.startswith("Example: "), words
        assert len(last) <= 76, f"{last} would be broken in a terminal of 80 columns"
        typed = [word for word in shlex.split(last.removeprefix("Example: ")) if not re.match(r"MODELYARD_\w+=", word)]
        assert typed[: len(words) + 1] == ["modelyard", *words]
        options, rest, _ = command.make_parser(click.Context(command)).parse_args(typed[len(words) + 1 :])
        assert rest == []
        needed = [parameter.name for parameter in command.params if parameter.required]
        assert [name for name in needed if name is None or options.get(name) is None] == [], words


def test_every_command_that_prints_data_prints_it_as_json() -> None:
    """And no command takes a key as an option, which others could see."""
    for words, command in leaves():
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--json" in options) != (words[0] in WITHOUT_DATA), words
        assert "--key" not in options


def test_the_server_s_keys_and_those_over_rest_take_the_same_options() -> None:
    """Whoever knows one of them knows the other."""
    context = click.Context(main.main)
    server = main.main.get_command(context, "keys")
    assert isinstance(server, click.Group)
    assert server is not key_commands.api_keys
    assert server.commands.keys() == key_commands.api_keys.commands.keys()
    for name, command in server.commands.items():
        other = key_commands.api_keys.commands[name]
        assert [(p.name, p.opts) for p in command.params] == [(p.name, p.opts) for p in other.params]
        assert command.epilog == other.epilog


@pytest.mark.parametrize(
    ("given", "environment", "is_server"),
    [
        ([], {}, True),
        (["--url", "http://127.0.0.1:1"], {}, False),
        (["--profile", "x"], {}, False),
        ([], {"MODELYARD_URL": "http://127.0.0.1:1"}, False),
        ([], {"MODELYARD_PROFILE": "x"}, False),
    ],
)
def test_keys_go_over_rest_once_a_service_is_named(given: list[str], environment: dict[str, str], is_server: bool, profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """By an option or a variable; else the server's own are taken."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with main.main.make_context("modelyard", [*given, "keys", "list"]) as context:
        assert (main.main.get_command(context, "keys") is not key_commands.api_keys) == is_server


def test_each_status_of_the_service_has_the_exit_code_that_is_documented() -> None:
    """One table; what isn't in it is the service's failure or the caller's."""
    expected = {
        400: 7, 401: 5, 403: 5, 404: 4, 405: 7, 406: 7, 408: 3, 409: 6, 410: 4, 412: 6, 413: 7, 415: 7, 416: 7, 422: 7, 429: 3,
        500: 1, 503: 3, 504: 3, 507: 3,
    }  # fmt: skip
    assert {status: of_status(status).value for status in sorted(set(STATUS.values()))} == expected
    assert of_error(errors.ConnectionFailed("")) == of_error(errors.TimedOut("")) == Exit.LATER
    assert of_error(errors.ConfigurationError("")) == Exit.USAGE
    assert of_error(errors.DownloadDamaged("")) == Exit.WRONG


def test_advice_names_commands_that_exist() -> None:
    """Each `modelyard …` in it, with the subcommand and the options of one."""
    known = {" ".join(words): command for words, command in leaves()}
    for advice in ADVICE.values():
        for quoted in re.findall(r"'modelyard ([^']+)'", advice):
            words = quoted.split()
            name = " ".join(words[:2]) if words[0] in {"keys", "db"} else words[0]
            options = {option for parameter in known[name].params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= options, quoted


def test_an_error_is_told_in_a_few_lines_or_as_its_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Title, detail, pointers, request id, and what to do; words of others do no harm in it."""
    body = {"type": "https://modelyard.dev/problems/signature-mismatch", "title": "It doesn't fit", "status": 422, "detail": "\x1b[31mx", "request_id": "r1", "errors": [{"detail": "a number", "pointer": "#/data/0/1", "column": "age"}]}  # fmt: skip
    problem = errors.problem_of(422, body)
    assert report(problem, as_json=False) == Exit.REFUSED
    assert capsys.readouterr().err.splitlines() == [
        r"Error: It doesn't fit (422): \x1b[31mx", "  #/data/0/1 (column age): a number", "  request r1",
        "'modelyard show MODEL/VERSION' shows the columns and types that are expected.",
    ]  # fmt: skip
    assert report(problem, as_json=True) == Exit.REFUSED
    assert json.loads(capsys.readouterr().err) == body
    report(errors.problem_of(429, {"title": "Too many requests"}, 2.5), as_json=False)
    assert capsys.readouterr().err.splitlines()[-1] == "Try again in 3 s."
    assert report(click.UsageError("bad"), as_json=True) == Exit.USAGE
    assert json.loads(capsys.readouterr().err)["detail"] == "bad"
    report(errors.TimedOut("late"), as_json=True)
    assert json.loads(capsys.readouterr().err)["title"] == "No answer in time"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "x", "--search", "y"], "--search is for models"),
        (["list", "--status", "ready"], "--status is for the versions"),
        (["publish", __file__, "x", "--metric", "auc=good"], "isn't a number"),
        (["publish", "missing.joblib", "x"], "missing.joblib"),
        (["predict", "x", __file__, "--as", "table", "--output", "o.csv"], "A table is for a terminal"),
        (["point", "x", "production", "first"], "first"),
        (["--profile", "a b", "login"], "A profile's name"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_sent(words: list[str], said: str, profiles: Path) -> None:
    """With exit code 2."""
    done = CliRunner().invoke(main.main, words, env={"MODELYARD_URL": "http://127.0.0.1:9", "MODELYARD_KEY": "k"})
    assert (done.exit_code, said in done.output) == (Exit.USAGE, True), done.output


def test_control_characters_are_written_out_and_letters_of_all_languages_are_not() -> None:
    """Of a terminal's escapes, of turned writing and of lines; in JSON they are escaped in ASCII."""
    assert printing.plain("a\x1b[0m\r\n\x7f\x9b\u202e\u2066\ud800") == r"a\x1b[0m\r\n\x7f\x9b\u202e\u2066\ud800"
    letters = "Zürich 東京 नमस्ते 👩‍💻 [bold]"
    assert printing.plain(letters) == letters
    assert printing.document({"a": "\x7f\x9bü"}) == '{\n  "a": "\\u007f\\u009b\\u00fc"\n}'


def test_columns_without_room_are_left_out_from_the_right() -> None:
    """Three always stay; empty ones take no room, and long texts are folded rather than given all of it."""
    names = ["a", "empty", "b", "c", "d"]
    row = ["1", "", "x" * 100, "y" * 10, "z" * 10]
    assert tables._fitting(names, [row], 200) == ([0, 2, 3, 4], [])
    assert tables._fitting(names, [row], 60) == ([0, 2, 3], ["d"])
    assert tables._fitting(names, [row], 10) == ([0, 2, 3], ["d"])


def test_a_profile_is_set_and_everything_else_stays_as_it_was_written(profiles: Path) -> None:
    """Comments and other profiles too; the first one becomes the default, and a text in TOML is quoted as it must be."""
    write_profile("work", "https://models.example.org", 'k"1')
    assert read_address().key == 'k"1'
    profiles.write_text(f'# mine\n{profiles.read_text()}\n# the other\n[profiles.home]\nurl = "http://h"\nkey = "k2"\n')
    write_profile("work", "https://new.example.org", "k3")
    assert read_address(profile="work").url == "https://new.example.org"
    assert read_address(profile="home").key == "k2"
    assert profiles.read_text().startswith('# mine\ndefault = "work"\n')
    assert profiles.read_text().count("[profiles.work]") == 1
    assert profiles.stat().st_mode & 0o777 == 0o600


def test_a_profile_file_that_is_written_in_another_way_is_left_alone(profiles: Path) -> None:
    """It says what to write by hand."""
    text = 'profiles = {work = {url = "http://a", key = "k"}}\n'
    profiles.write_text(text)
    with pytest.raises(errors.ConfigurationError, match=r"\[profiles.work\] by hand"):
        write_profile("work", "http://b", "k2")
    assert profiles.read_text() == text


def test_a_time_may_be_told_by_how_long_ago_it_was() -> None:
    """Or as RFC 3339 writes it; without an offset it is in UTC."""
    assert moment("2026-05-01T08:00Z") == moment("2026-05-01T08:00") == moment("2026-05-01T10:00+02:00")
    assert (moment("0s") - moment("2h")).total_seconds() == pytest.approx(7200, abs=5)
    with pytest.raises(click.BadParameter, match="how long ago"):
        moment("yesterday")


@pytest.mark.parametrize(
    ("ahead", "ok", "said"),
    [
        ({}, True, "no other clock"),
        ({"the database": 0.2, "Redis": -4.0}, True, "0.2 s from the database, 4.0 s from Redis"),
        ({"the database": -7.0, "Redis": 0.1}, False, "the database is 7.0 s behind"),
        ({"the database": 61.0, "Redis": 60.0}, False, "the database is 61.0 s ahead and Redis is 60.0 s ahead"),
    ],
)
def test_the_clock_is_judged_by_those_of_the_database_and_redis(ahead: dict[str, float], ok: bool, said: str) -> None:
    """Seconds apart are a finding, and it says whose."""
    found = clock(ahead)
    assert (found.ok, said in found.text, bool(found.advice)) == (ok, True, not ok)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--limit", "9" * 40], "--limit"),
        (["keys", "create", "x", "--days", "9" * 12], "--days"),
        (["keys", "rotate", "x", "--overlap-seconds", "2592001"], "--overlap-seconds"),
        (["events", "--since", "999999d"], "how long ago"),
        (["events", "--since", "0001-01-01T00:00+14:00"], "how long ago"),
    ],
)
def test_a_number_that_no_calendar_and_no_list_holds_is_a_wrong_call(words: list[str], said: str, profiles: Path) -> None:
    """Not a traceback."""
    done = CliRunner().invoke(main.main, words, env={"MODELYARD_URL": "http://127.0.0.1:9", "MODELYARD_KEY": "k"})
    assert (done.exit_code, said in done.output) == (Exit.USAGE, True), done.output


def test_json_counts_where_an_option_is_wrong(profiles: Path) -> None:
    """Whatever stands in front of it, in groups of commands as well; where it is no option, it is none."""
    for words in (["list", "--nonsense", "--json"], ["--url", "http://x", "keys", "list", "--nonsense", "--json"], ["nonsense", "--json"]):
        done = CliRunner().invoke(main.main, words)
        assert (done.exit_code, done.stdout) == (Exit.USAGE, "")
        assert "onsense" in json.loads(done.stderr)["detail"]
    assert CliRunner().invoke(main.main, ["history", "--alias", "--json", "a b/"], env={"MODELYARD_KEY": "k"}).stderr.startswith("Error: ")


def test_aliases_are_completed_in_bash_and_after_their_model() -> None:
    """Bash takes MODEL@ALIAS for one word; `point MODEL` and --alias know the model's."""
    assert CliRunner().invoke(main.main, ["completion", "bash"]).output.splitlines()[-1] == "COMP_WORDBREAKS=${COMP_WORDBREAKS//@}"
    assert "WORDBREAKS" not in CliRunner().invoke(main.main, ["completion", "zsh"]).output
    for command, name in ((moves.point, "alias"), (moves.rollback, "alias"), (moves.history, "alias")):
        (parameter,) = [parameter for parameter in command.params if parameter.name == name]
        assert parameter._custom_shell_complete is complete_alias
        assert parameter.shell_complete(click.Context(command), "p") == []


@pytest.mark.parametrize("text", ["profiles = 5\n", "[profiles]\nwork = 5\n", "[profiles.work]\nurl = 5\n", "profiles = [1]\n"])
def test_a_profile_file_of_another_shape_is_told_at_login(text: str, profiles: Path) -> None:
    """Before a key is asked for; nothing is written."""
    profiles.write_text(text)
    done = CliRunner().invoke(main.main, ["--profile", "work", "login", "http://127.0.0.1:9"], input="k\n")
    assert (done.exit_code, "[profiles.work] with url and key" in done.output) == (Exit.USAGE, True), done.output
    assert profiles.read_text() == text


def test_a_pipe_is_not_published(tmp_path: Path, profiles: Path) -> None:
    """It could be read once alone, and its end isn't known before."""
    os.mkfifo(tmp_path / "pipe")
    done = CliRunner().invoke(main.main, ["publish", str(tmp_path / "pipe"), "x"], env={"MODELYARD_URL": "http://x", "MODELYARD_KEY": "k"})
    assert (done.exit_code, "no regular file" in done.output) == (Exit.USAGE, True), done.output


def test_streams_that_are_closed_or_full_are_no_traceback(tmp_path: Path) -> None:
    """Closed ones are as good as /dev/null; a full one is told."""
    script = f"{sys.executable} -m modelyard.cli --help >/dev/full; echo $?; {sys.executable} -m modelyard.cli predict x <&- >&- 2>{tmp_path}/said; echo $?"
    variables = {"MODELYARD_URL": "http://127.0.0.1:9", "MODELYARD_KEY": "k"}
    done = subprocess.run(["bash", "-c", script], env={**os.environ, **variables}, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2", "2"]
    assert done.stderr == "Error: Standard output can't be written: no space is left.\n"
    assert (tmp_path / "said").read_text() == "Error: standard input is empty; a CSV begins with the columns' names.\n"


class Trail(BaseHTTPRequestHandler):
    """A service that has one event, is away twice, has another, and then knows the key no more."""

    answers: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        """Answer the next."""
        status = self.answers.pop(0) if self.answers else 401
        event = dict.fromkeys(("model", "version", "alias", "key_id", "from", "to", "detail"))
        event |= {"id": 5 - len(self.answers), "at": "2026-05-01T08:00:00Z", "actor": "a", "kind": "key.created", "reason": f"left {len(self.answers)}"}  # fmt: skip
        body = {"items": [event], "next_cursor": None} if status == 200 else {"type": "x/y", "title": "Away"}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Foreign(BaseHTTPRequestHandler):
    """A service of somebody else, which answers everything in JSON."""

    def do_GET(self) -> None:
        """Answer what nobody asked for."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"hello": "world"}')

    def do_POST(self) -> None:
        """Answer the same."""
        self.do_GET()


def test_events_are_followed_through_a_time_without_the_service(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once, not for each try; what can't pass ends it."""
    monkeypatch.setattr(events, "POLL_SECONDS", 0)
    monkeypatch.setattr(Trail, "answers", [200, 503, 503, 200, 401])
    with HTTPServer(("127.0.0.1", 0), Trail) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            client = Client(f"http://127.0.0.1:{server.server_port}", "my_key", retries=0)
            with client, pytest.raises(errors.Unauthenticated):
                events._follow(client, 1, as_json=False, since=None)
        finally:
            server.shutdown()
    told = capsys.readouterr()
    assert [line.split()[-1] for line in told.out.splitlines()] == ["4", "1"]
    assert told.err == "Away (503) It is asked again until it answers.\n"


def test_another_service_at_the_address_is_told(profiles: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By what asks it for predictions, and for what is loaded; exit code 3, no traceback."""
    monkeypatch.setattr(Foreign, "log_message", lambda *_: None)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with HTTPServer(("127.0.0.1", 0), Foreign) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            for words in (["serving"], ["predict", "x", str(tmp_path / "rows.csv")]):
                known = {"MODELYARD_URL": f"http://127.0.0.1:{server.server_port}", "MODELYARD_KEY": "my_key"}
                done = CliRunner().invoke(main.main, words, env=known)
                assert (done.exit_code, "isn't Modelyard" in done.output) == (Exit.LATER, True), (done.output, done.exception)
        finally:
            server.shutdown()


def test_labels_of_others_are_harmless_as_names_of_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal and in a pipe; a class called # and two that look alike keep their columns."""
    classes: list[Any] = ["\x1b]0;owned\x07", "#", 1, "1"]
    answer = Prediction(np.array([[0.1, 0.2, 0.3, 0.4]]), "m", 1, "predict_proba", "exact", cached=False, classes=classes, request_ids=())
    for terminal in (False, True):
        monkeypatch.setattr(tables, "is_terminal", lambda terminal=terminal: terminal)
        monkeypatch.setenv("COLUMNS", "100")
        outputs.write_table([answer])
        shown = ESCAPE.sub("", capsys.readouterr().out)
        header, row = shown.splitlines()[0], shown.splitlines()[-1]
        assert header.lower().split() == ["#", r"\x1b]0;owned\x07", "#", "1", "1"]
        assert row.split() == ["0", "0.1", "0.2", "0.3", "0.4"]
        assert "\x1b]" not in shown
