"""The pages of the problem types, `docs/problems/`: one for each, held together with the code that answers them.

Every `type` that the service sends is the address of one of these pages.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from config import Config, variable_name
from docs.made import problems
from modelyard.cli.main import COMMANDS, joined
from modelyard.errors import every_problem
from registry.api.openapi import problems as described
from registry.api.problems import STATUS, TYPE_PREFIX

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "problems"
SECTIONS = ["When it happens", "What to do", "Does a retry help?", "Example"]
BY_SLUG = problems.by_slug()
SLUGS = sorted(BY_SLUG)
#: Of the OpenAPI document: what each type's answers may hold.
SCHEMAS = json.loads(json.dumps(described.schemas()).replace("#/components/schemas/", "#/$defs/"))


def text_of(slug: str) -> str:
    """Return a page as it is written."""
    return (FOLDER / f"{slug}.md").read_text(encoding="utf-8")


def example_of(slug: str) -> dict[str, Any]:
    """Return the example of a page."""
    block = re.search(r"## Example\n\n```json\n(.*?)```", text_of(slug), re.DOTALL)
    assert block is not None
    example: dict[str, Any] = json.loads(block[1])
    return example


def test_every_problem_type_has_a_page_and_every_page_a_type() -> None:
    """Nothing else lies in the folder but the list of all."""
    assert sorted(page.stem for page in FOLDER.iterdir() if page.name != "index.md") == SLUGS


@pytest.mark.parametrize("slug", SLUGS)
def test_a_page_is_called_as_its_type_and_has_every_section(slug: str) -> None:
    """Title, facts, meaning, and the four sections in their order; what to do is told to callers and to operators."""
    text = text_of(slug)
    assert text.startswith(f"# {BY_SLUG[slug].title}\n\n<!-- made: problem -->\n\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    for section in re.split(r"^## .+$", text, flags=re.MULTILINE):
        assert section.strip(), slug
    todo = text.split("## What to do\n")[1].split("\n## ")[0]
    assert re.search(r"^\*\*If you (call the service|publish):\*\* ", todo, re.MULTILINE)
    assert re.search(r"^\*\*If you run it:\*\* ", todo, re.MULTILINE)


def test_the_schemas_of_the_problem_types_are_schemas() -> None:
    """All of them at once, since to ask this again for each example would take longer than everything else here."""
    jsonschema.Draft202012Validator.check_schema({"$defs": SCHEMAS})


@pytest.mark.parametrize("slug", SLUGS)
def test_the_example_is_an_answer_of_its_type(slug: str) -> None:
    """Members that every problem has, with the type's own status and title, in the order in which they are sent."""
    example = example_of(slug)
    assert list(example)[:6] == ["type", "title", "status", "detail", "instance", "request_id"]
    assert (example["type"], example["title"], example["status"]) == (TYPE_PREFIX + slug, BY_SLUG[slug].title, STATUS[BY_SLUG[slug]])
    assert example["detail"]
    assert example["instance"].startswith("/")
    if BY_SLUG[slug] not in described.PARENTS:
        of_the_type = {"$ref": f"#/$defs/{BY_SLUG[slug].__name__}", "$defs": SCHEMAS}
        jsonschema.Draft202012Validator(of_the_type).validate(example)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_facts_of_a_page_are_those_of_the_code(slug: str) -> None:
    """Address, status and the client's class."""
    made = problems.facts(f"problems/{slug}")
    assert f"`{TYPE_PREFIX}{slug}`" in made
    assert re.search(rf"^: {STATUS[BY_SLUG[slug]]} \w", made, re.MULTILINE)
    assert f"`modelyard.errors.{every_problem()[slug].__name__}`" in made


def test_the_pages_name_settings_and_commands_that_exist() -> None:
    """What was renamed is found here, and not by who follows the advice."""
    text = "\n".join(map(text_of, SLUGS))
    settings = {variable_name(item.name) for item in fields(Config)} | {"MODELYARD_KEY", "MODELYARD_URL", "MODELYARD_PROFILE"}
    assert set(re.findall(r"MODELYARD_[A-Z_]+", text)) <= settings
    named = set(re.findall(r"`modelyard ([a-z]+)", text))
    assert named
    assert named <= COMMANDS.keys() | joined().names
