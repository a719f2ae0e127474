"""What stands in the console's templates, scripts and vendored files: nothing that the policy would stop or that a value could break out of."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest

from registry.console import assets

CONSOLE = Path(assets.__file__).parent
TEMPLATES = sorted(CONSOLE.rglob("*.html"))
SCRIPTS = sorted((CONSOLE / "assets").glob("*.js"))
STYLES = sorted((CONSOLE / "assets").glob("*.css"))
VENDOR = CONSOLE / "assets" / "vendor"


def _name(path: Path) -> str:
    return path.name


def test_there_are_templates_and_files_of_our_own() -> None:
    """Else the tests below would prove nothing."""
    assert len(TEMPLATES) > 10
    assert SCRIPTS
    assert STYLES


@pytest.mark.parametrize("path", TEMPLATES, ids=_name)
def test_a_template_escapes_everything_and_holds_no_style_or_script(path: Path) -> None:
    """No `safe`, no raw block, no inline style, handler or script, no value outside of quotes, and nothing of another place."""
    text = path.read_text(encoding="utf-8")
    assert re.search(r"\|\s*safe\b|autoescape|Markup|\{%-?\s*raw|\|\s*tojson", text) is None
    assert re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=|\shx-on|javascript:", text, re.IGNORECASE) is None
    for script in re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL):
        assert script == ""
    assert all(re.search(r"""\ssrc="\{\{ asset\('""", tag) for tag in re.findall(r"<script[^>]*>", text))
    assert re.search(r"<[a-z][^<>]*\s[\w:-]+=\{\{", text) is None
    assert re.search(r"""(?:src|href|action)="(?:https?:)?//""", text) is None


@pytest.mark.parametrize("path", sorted(CONSOLE.rglob("*.py")), ids=_name)
def test_no_module_of_the_console_marks_a_text_as_safe(path: Path) -> None:
    """Nor makes a template of a text."""
    assert re.search(r"Markup|render_template_string|from_string|autoescape", path.read_text(encoding="utf-8")) is None


@pytest.mark.parametrize("path", [*SCRIPTS, *STYLES], ids=_name)
def test_our_own_files_name_no_other_place_and_keep_no_key(path: Path) -> None:
    """No address to load from or send to, no eval, and no storage in which a key would outlive its page."""
    text = path.read_text(encoding="utf-8")
    assert re.search(r"https?:|@import|url\(|localStorage|sessionStorage|indexedDB|\beval\(|new Function|document\.write", text) is None


@pytest.mark.parametrize("path", SCRIPTS, ids=_name)
def test_a_script_makes_pages_of_nothing_but_the_services_own_answers(path: Path) -> None:
    """`innerHTML` takes what a template made, and never a text from anywhere else."""
    text = path.read_text(encoding="utf-8")
    assert "insertAdjacentHTML" not in text
    assert set(re.findall(r"\.(?:inner|outer)HTML\s*\+?=\s*(.*)", text)) <= {"responseText;"}


def test_vendored_files_are_those_that_are_written_down() -> None:
    """Each with its version, its licence beside it, and the digest of what its project published."""
    rows = re.findall(
        r"^\| `([^`]+)` \| (.+?) \| ([0-9.]+) \| \w+, `([^`]+)` \| `([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.MULTILINE
    )
    assert {row[0]: row[4] for row in rows} == {
        path.name: sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir() if path.suffix in assets.TYPES
    }
    assert {row[3] for row in rows} == {path.name for path in VENDOR.glob("*.LICENSE")}
