"""The same call as curl, from Python and from JavaScript: each runs as it stands and sends just what the form would, whatever is in it."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.console.snippets import CSV, JSON, MAX_BODY_CHARACTERS, Call, call_of_rows, snippets

ROOT = Path(__file__).resolve().parents[2]
KEY = "my_key"
NASTY = [
    {"it's \"quoted\" $HOME `id` $(id) !x \\": "'; rm -rf / #", "@file": "@/etc/passwd", "</pre><script>": "a\\b\nc\td\r\u2028\u007f"},
    {"__proto__": 1.5, "constructor": None, "é 💐": True, "": 2**53 + 1, "%s{x}${y}": "${process.exit(1)}", "\x00\x1b": ""},
]  # fmt: skip


class _Listening(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, self.headers["Authorization"], self.headers["Content-Type"], body))  # type: ignore[attr-defined]
        answer = (
            b'{"prediction": [1, 2], "model": "m", "version": 3, "method": "x", "runtime": "exact", "cached": false, "request_id": "r"}'
        )
        self.send_response(200)
        headers = {"Content-Type": JSON, "X-Model-Version": "3", "X-Cache": "miss", "X-Request-Id": "r", "Content-Length": str(len(answer))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def listener() -> Iterator[Any]:
    """Listen as a service would, and keep what came."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Listening)
    server.heard = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _calls(base_url: str) -> list[Call]:
    csv = '@a,"b ""c"""\n1,\'x\'\n'
    return [
        call_of_rows(base_url, "iris", 3, "predict", [[1.5, None, True, "x"]]),
        call_of_rows(base_url, "iris", 3, "transform", NASTY),
        Call(base_url, "iris", 3, "predict_proba", CSV, csv),
        Call(base_url, "iris", 3, "predict", JSON, '{"inputs": {"a\'b": [1]},\n "method": "predict"}'),
    ]


def _rows_of(body: dict[str, Any]) -> Any:
    return next(body[form] for form in ("data", "instances", "inputs") if form in body)


def _run(command: list[str], listener: Any, text: str) -> Any:
    environment = {"PATH": os.environ["PATH"], "MODELYARD_KEY": KEY, "PYTHONPATH": str(ROOT), "HOME": "/nowhere"}
    done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return listener.heard.pop()


@pytest.mark.parametrize(
    ("language", "command"),
    [("curl", ["bash", "-su"]), ("Python", [sys.executable, "-"]), ("JavaScript", ["node", "--input-type=module", "-"])],
)
def test_what_is_written_sends_what_was_meant(listener: Any, language: str, command: list[str]) -> None:
    """Rows of every kind of value, names that quote and expand, CSV that looks like a file's name, a whole body over two lines."""
    if shutil.which(command[0]) is None or (language == "curl" and shutil.which("curl") is None):
        pytest.skip(f"{language} isn't installed here")
    for call in _calls(f"http://127.0.0.1:{listener.server_port}"):
        path, key, content_type, body = _run(command, listener, snippets(call)[language])
        assert (key, content_type) == (f"Bearer {KEY}", call.content_type)
        assert path == "/models/iris/3" + ("?method=predict_proba" if call.content_type == CSV else "")
        if call.content_type == CSV:
            assert body.decode() == call.body
        else:
            sent, meant = json.loads(body), json.loads(call.body)
            assert _rows_of(sent) == _rows_of(meant)
            assert sent.get("method", "predict") == call.method


def test_no_key_stands_in_a_call_and_a_huge_body_is_not_written() -> None:
    """The variable's name alone; an address that a Host header made up stays one word."""
    call = call_of_rows("http://x'$(id)`", "iris", 3, "predict", [[1]])
    texts = snippets(call)
    assert all("MODELYARD_KEY" in text and "my_" not in text for text in texts.values())
    assert texts["curl"].startswith("curl -X POST 'http://x'\"'\"'$(id)`/models/iris/3' ")
    assert snippets(call_of_rows("http://x", "iris", 3, "predict", [["x" * MAX_BODY_CHARACTERS]])) == {}


def test_nothing_invisible_stands_in_a_call() -> None:
    """No character that turns the reading direction, ends a terminal's paste or breaks a line: names come from who published."""
    names = ["\u202eevil\u2066", "\x1b[201~\n", "\x9b201~", "\u2028", "\ufeff", "é 💐"]
    call = call_of_rows("http://x", "iris", 3, "predict", [dict.fromkeys(names, 1)])
    assert all(line.isprintable() for text in snippets(call).values() for line in text.split("\n"))
    body = snippets(call)["curl"].partition("--data-raw ")[2].strip().strip("'")
    assert list(json.loads(body)["instances"][0]) == names
    assert "é 💐" in body


def test_a_prototype_that_is_spelt_out_is_sent_as_text() -> None:
    """JSON reads `__proto__` as a name, a JavaScript literal as something else, escaped or not."""
    call = Call("http://x", "iris", 3, "predict", JSON, '{"instances": [{"\\u005f_proto__": 1}]}')
    assert "JSON.stringify" not in snippets(call)["JavaScript"]
