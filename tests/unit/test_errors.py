"""The tree of errors: complete, distinct, and the same after it crossed a socket."""

from __future__ import annotations

import re

import msgspec
import pytest

from registry import errors
from registry.api.problems import STATUS
from registry.errors import Finding, ModelyardError, every_error, from_wire, to_wire

EVERY = every_error()


@pytest.mark.parametrize("cls", EVERY)
def test_an_error_is_the_same_after_it_crossed_a_socket(cls: type[ModelyardError]) -> None:
    """Keep class, texts, findings, members and times through msgpack."""
    sent = cls(
        "what happened",
        findings=[Finding("bad", "#/data/0", "age"), Finding("worse")],
        retry_after_seconds=2.5,
        members={"limit": 3},
        log_detail="for the log",
    )
    got = from_wire(msgspec.msgpack.decode(msgspec.msgpack.encode(to_wire(sent))))
    assert type(got) is cls
    assert (got.detail, got.findings, got.members) == (sent.detail, sent.findings, sent.members)
    assert (got.retry_after_seconds, got.log_detail, str(got)) == (2.5, "for the log", "what happened")


@pytest.mark.parametrize("cls", EVERY)
def test_an_error_without_a_detail_says_its_title(cls: type[ModelyardError]) -> None:
    """Fill in what a caller left out, and nothing else."""
    error = cls()
    assert (str(error), error.detail, error.findings, error.members) == (cls.title, cls.title, (), {})
    assert (error.retry_after_seconds, error.log_detail) == (None, None)


def test_an_unknown_slug_gives_the_root() -> None:
    """Take what a newer process sent as the least that is known of it."""
    got = from_wire({"error": "from-the-future", "detail": "what happened"})
    assert type(got) is ModelyardError
    assert got.detail == "what happened"


def test_every_error_has_a_status_and_every_status_an_error() -> None:
    """Keep table and tree equal."""
    assert set(STATUS) == set(EVERY)
    assert all(400 <= status < 600 for status in STATUS.values())


def test_slugs_and_titles_are_unique_and_well_formed() -> None:
    """Name each problem once."""
    assert len({cls.slug for cls in EVERY}) == len({cls.title for cls in EVERY}) == len(EVERY)
    for cls in EVERY:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.slug), cls
        assert not cls.title.endswith(".")


def test_every_class_says_its_own_slug_and_why_it_is_raised() -> None:
    """Let none inherit its parent's words."""
    for cls in EVERY[1:]:
        assert "slug" in vars(cls), cls
        assert "title" in vars(cls), cls
        assert vars(cls).get("__doc__"), cls


def test_the_tree_in_the_docstring_names_every_class_below_its_parent() -> None:
    """Read the drawing, and compare it with the classes."""
    assert errors.__doc__ is not None
    drawn: dict[str, str] = {}
    tree = re.sub(r",\n[\s│]+", ", ", errors.__doc__)  # a long branch goes on in the next line
    for line in re.findall(r"[├└]─ (.*)", tree):
        names = re.sub(r"\s+\(.*\)$", "", line)
        parent, _, children = names.rpartition(": ")
        if parent:
            drawn[parent] = "ModelyardError"
        drawn |= dict.fromkeys(children.split(", "), parent or "ModelyardError")
    assert drawn == {cls.__name__: cls.__mro__[1].__name__ for cls in EVERY[1:]}


def test_a_finding_shows_only_what_is_known() -> None:
    """Leave out members that aren't set."""
    assert Finding("bad").as_dict() == {"detail": "bad"}
    assert Finding("bad", "#/x", "age").as_dict() == {"detail": "bad", "pointer": "#/x", "column": "age"}
