"""Writers at once, on either database."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from flask import Flask
from sqlalchemy import select

from registry import catalog, tables
from registry.extensions import db
from tests.catalog_data import new_version, point, publish, target, write


def test_two_hundred_publishes_over_eight_threads_give_one_to_two_hundred(catalog_app: Flask) -> None:
    """Without a gap or a double, though each thread had read before it wrote, and the generation counts each."""

    def add(_: int) -> int:
        with catalog_app.app_context():
            catalog.find_latest("iris")
            with write():
                return catalog.add_version(new_version()).number

    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(add, range(200)))
    assert sorted(numbers) == list(range(1, 201))
    assert catalog.generation() == 200
    assert catalog.get_model("iris").version_count == 200
    assert len({change.generation for change in catalog.changes_since(0)}) == 200


def test_moves_at_once_leave_a_stack_that_agrees_with_the_history(catalog_app: Flask) -> None:
    """Each move begins where the one before it ended."""
    publish(count=8)

    def move(number: int) -> None:
        with catalog_app.app_context():
            for round_ in range(5):
                point(1 + (number + round_) % 8)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(move, range(4)))
    moves = list(reversed(catalog.list_moves("iris", "production", limit=100).items))
    assert [move.from_version for move in moves] == [None, *(move.to_version for move in moves[:-1])]
    assert moves[-1].to_version == target()
    stack = db.session.scalars(select(tables.StackEntry.number).order_by(tables.StackEntry.depth)).all()
    assert stack == [move.to_version for move in moves[:-1]]


def test_a_write_waits_for_the_one_before_it_and_sees_what_that_did(catalog_app: Flask) -> None:
    """So that whoever saw a generation saw every change up to it."""
    waiting = threading.Event()

    def second() -> tuple[int, int]:
        with catalog_app.app_context():
            assert catalog.find_latest("iris") is None
            waiting.set()
            with write() as generation:
                return generation, catalog.add_version(new_version()).number

    with ThreadPoolExecutor(1) as thread:
        catalog.begin_write("tester", "here")
        catalog.add_version(new_version())
        other = thread.submit(second)
        waiting.wait(10)
        time.sleep(0.2)
        assert not other.done()
        db.session.commit()
        assert other.result(10) == (2, 2)


def test_readers_never_wait_for_a_writer(catalog_app: Flask) -> None:
    """They see what was committed before."""
    publish()

    def read() -> int:
        with catalog_app.app_context():
            catalog.list_events(limit=1)
            return catalog.get_model("iris").version_count

    with ThreadPoolExecutor(1) as thread:
        catalog.begin_write("tester", "here")
        catalog.add_version(new_version())
        assert thread.submit(read).result(5) == 1
        db.session.commit()
        assert thread.submit(read).result(5) == 2
