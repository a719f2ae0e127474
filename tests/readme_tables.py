"""The tables of README.md that are made from the code. `python -m tests.readme_tables` writes them; a test compares them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from config import Bytes, Config, variable_name
from registry.api.auth import BY_SESSION
from registry.api.problems import STATUS
from registry.app import create_app
from registry.errors import every_error

README = Path(__file__).resolve().parent.parent / "README.md"
TABLE = re.compile(r"(<!-- (settings|problems|routes):[^\n]*-->\n)(.*?)(?=\n\n|\Z)", re.DOTALL)


def settings_table() -> str:
    """Return a row for each setting."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for item in fields(Config):
        star = "*" if item.metadata["secret"] else ""
        rows.append(f"| `{variable_name(item.name)}`{star} | {_shown(item.default)} | {item.metadata['meaning']} |")
    return "\n".join(rows)


def problems_table() -> str:
    """Return a row for each problem type."""
    rows = ["| slug | status | means |", "|---|---|---|"]
    rows += [
        f"| `{cls.slug}` | {STATUS[cls]} | {cls.title}. {cls.__doc__} |"
        for cls in sorted(every_error(), key=lambda cls: (STATUS[cls], cls.slug))
    ]
    return "\n".join(rows)


def routes_table(instance: Path) -> str:
    """Return a row for each route of the API; the console's are pages."""
    app = create_app(Config(instance_path=instance))
    rows = ["| route | needs | does |", "|---|---|---|"]
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, sorted(rule.methods or ()))):
        view: Any = app.view_functions[rule.endpoint]
        if view.required_scope == BY_SESSION:
            continue
        method = ", ".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        rows.append(f"| `{method} {path}` | {view.required_scope} | {view.__doc__.splitlines()[0]} |")
    return "\n".join(rows)


def with_tables(text: str, instance: Path) -> str:
    """Return the README with its tables made anew."""
    made = {"settings": settings_table(), "problems": problems_table(), "routes": routes_table(instance)}
    return TABLE.sub(lambda match: match[1] + made[match[2]], text)


def _shown(default: Any) -> str:
    if default is None or default in {"", ()}:
        return ""
    if isinstance(default, Bytes):
        return f"`{default}`" if default % 2**20 or not default else f"`{default >> 20}MiB`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return f"`{','.join(default)}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


if __name__ == "__main__":
    import tempfile

    README.write_text(with_tables(README.read_text(), Path(tempfile.mkdtemp())))
