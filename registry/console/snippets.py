"""One predict request as somebody else could send it: by curl, from Python, from JavaScript.

Pure. Whatever a column is called and whatever a value holds, what is written runs as it stands and sends just that; the key is
only ever a variable's name.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, replace
from pprint import pformat
from typing import Any
from urllib.parse import quote, urlencode

JSON, CSV = "application/json", "text/csv"
#: A longer body isn't written into a command.
MAX_BODY_CHARACTERS = 32_000

#: What the client has a method of its own for.
_METHODS = ("predict", "predict_proba")
_WIDTH = 100
_SIMPLE = re.compile(r"[\w./:@ -]*", re.ASCII)
#: What JavaScript would read as something else out of JSON that stands in a program: its prototype, however it is spelt, and more digits
#: than it keeps.
_NOT_LITERAL = re.compile(r'"__proto__"|\\u00[4-7]|\d{16}')


@dataclass(frozen=True, slots=True)
class Call:
    """A request to one version: its body as text, and the rows in it as plain values where it is JSON of rows alone."""

    base_url: str
    model: str
    number: int
    method: str
    content_type: str
    body: str
    rows: list[Any] | None = None

    @property
    def selector(self) -> str:
        """Return how the client names the version."""
        return f"{self.model}/{self.number}"

    @property
    def url(self) -> str:
        """Return the address; only a body that isn't JSON has its method there."""
        query = f"?{urlencode({'method': self.method})}" if self.content_type != JSON and self.method != "predict" else ""
        return f"{self.base_url}/models/{quote(self.model)}/{self.number}{query}"


def call_of_rows(base_url: str, model: str, number: int, method: str, rows: list[Any]) -> Call:
    """Return the call that sends rows or records as JSON."""
    body = {"instances": rows} if method == "predict" else {"instances": rows, "method": method}
    return Call(base_url, model, number, method, JSON, json.dumps(body, ensure_ascii=False), rows)


def _printable(text: str) -> str:
    """Return JSON in which nothing but line breaks is invisible or turns the reading direction: a publisher's names stand in what others copy and run."""
    return "".join(one if one.isprintable() or one in "\n\r\t" else json.dumps(one)[1:-1] for one in text)


def snippets(call: Call) -> dict[str, str]:
    """Return the call in each language, by its name; none where the body is too long to be written into a command."""
    if len(call.body) > MAX_BODY_CHARACTERS:
        return {}
    if call.content_type == JSON:
        call = replace(call, body=_printable(call.body))
    return {"curl": _curl(call), "Python": _python(call), "JavaScript": _javascript(call)}


def _curl(call: Call) -> str:
    header = shlex.quote(f"Content-Type: {call.content_type}")
    return (
        f'curl -X POST {shlex.quote(call.url)} \\\n  -H "Authorization: Bearer $MODELYARD_KEY" \\\n  -H {header} \\\n'
        f"  --data-raw {shlex.quote(call.body)}\n"
    )


def _python(call: Call) -> str:
    lines = ["import os", "", "from modelyard import Client", ""]
    lines.append(f'yard = Client({_quoted(call.base_url)}, os.environ["MODELYARD_KEY"])')
    selector, method = _quoted(call.selector), f", {_quoted(call.method)}"
    if call.rows is None:
        kind = _quoted(call.content_type) + ("" if call.content_type == JSON else method)
        lines += [f"body = {pformat(call.body, width=_WIDTH)}"]
        lines += [f"print(yard.send({selector}, body.encode(), {kind}).content.decode())"]
    else:
        own = call.method in _METHODS
        lines += [f"rows = {pformat(call.rows, width=_WIDTH, sort_dicts=False)}"]
        lines += [f"print(yard.{call.method if own else 'predict'}({selector}, rows{'' if own else method}))"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a text as Python writes it, in double quotes where that is as simple."""
    return f'"{text}"' if _SIMPLE.fullmatch(text) else repr(text)


def _javascript(call: Call) -> str:
    literal = call.content_type == JSON and _NOT_LITERAL.search(call.body) is None
    body = f"JSON.stringify({call.body.strip()})" if literal else json.dumps(call.body)
    return (
        f"const response = await fetch({json.dumps(call.url)}, {{\n"
        '  method: "POST",\n'
        "  headers: {\n"
        "    Authorization: `Bearer ${process.env.MODELYARD_KEY}`,\n"
        f'    "Content-Type": {json.dumps(call.content_type)},\n'
        "  },\n"
        f"  body: {body},\n"
        "});\n"
        "console.log(await response.json());\n"
    )
