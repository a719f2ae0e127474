"""Values that stay good until what they are about changes."""

from __future__ import annotations

from registry.directory.memory import Memory


def test_a_value_counts_until_one_of_its_subjects_changes() -> None:
    """And is found as a stale one afterwards."""
    memory: Memory[str, str] = Memory()
    memory.remember("key", "old", 5)
    memory.note_change("another", 9)
    assert memory.find("key", "subject", "other subject") == "old"
    memory.note_change("other subject", 6)
    assert memory.find("key", "subject", "other subject") is None
    assert memory.find_stale("key") == "old"


def test_a_slow_query_cannot_bring_back_the_old() -> None:
    """Its value carries the generation from before it, and so is no good once the change is known."""
    memory: Memory[str, str] = Memory()
    memory.note_change("subject", 6)
    memory.remember("key", "old", 5)
    assert memory.find("key", "subject") is None
    memory.remember("key", "new", 6)
    memory.remember("key", "old", 5)
    assert memory.find("key", "subject") == "new"


def test_a_change_heard_of_late_hides_nothing_newer() -> None:
    """Changes may be noted in any order."""
    memory: Memory[str, str] = Memory()
    memory.note_change("subject", 8)
    memory.remember("key", "new", 8)
    memory.note_change("subject", 6)
    assert memory.find("key", "subject") == "new"


def test_no_more_than_its_capacity_is_kept() -> None:
    """The oldest go, and the newest stay."""
    memory: Memory[int, int] = Memory(capacity=100)
    for number in range(1000):
        memory.remember(number, number, 1)
    assert memory.find(999) == 999
    assert memory.find(0) is None
    assert sum(memory.find(number) is not None for number in range(1000)) <= 100


def test_forgotten_changes_still_hide_what_is_older() -> None:
    """Changes are bounded too; whatever is older than those forgotten doesn't count any more."""
    memory: Memory[str, str] = Memory(capacity=10)
    for number in range(11):
        memory.note_change(f"subject {number}", 100 + number)
    memory.remember("key", "old", 99)
    assert memory.find("key", "subject 0") is None
    memory.remember("key", "new", 110)
    assert memory.find("key", "subject 0") == "new"


def test_what_was_dropped_is_not_found_as_a_stale_one() -> None:
    """A deleted version must not be served because the database is away."""
    memory: Memory[str, str] = Memory()
    memory.remember("key", "value", 1)
    memory.drop("key")
    assert memory.find_stale("key") is None
