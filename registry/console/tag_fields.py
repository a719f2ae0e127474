"""Tags as fields of a form: a name and a value each, whatever characters stand in them.

Of a model and of a version alike. What a form shows is what it sends back: saving another field must never change a tag.
"""

from __future__ import annotations

from collections.abc import Mapping

from registry.errors import Finding, InvalidRequest

#: So many empty rows stand under the tags.
NEW_TAGS = 3
MOST_TAGS = 100


def tag_rows(tags: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the name and value of each row: the tags, and empty ones for new tags."""
    return [*tags.items(), *[("", "")] * min(NEW_TAGS, MOST_TAGS - len(tags))]


def read_tags(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a form: names in `tag-0` and so on, values in `value-0`. An empty name is no tag. Raises InvalidRequest."""
    tags: dict[str, str] = {}
    for number in range(MOST_TAGS):
        tag, value = fields.get(f"tag-{number}", ""), fields.get(f"value-{number}", "")
        if tag in tags or (value and not tag.strip()):
            detail = f"the tag {tag[:50]!r} stands twice" if tag else "a value without a name"
            raise InvalidRequest("Each tag needs a name of its own.", findings=[Finding(detail, f"#/tags/{number}")])
        if tag.strip():
            tags[tag] = value
    return tags
