"""How the database engine is set up for each kind of URL."""

from __future__ import annotations

import re

import psycopg
import pytest
from sqlalchemy import create_engine

from registry import outage
from registry.extensions import engine_options

POSTGRES = "postgresql+psycopg://somebody@127.0.0.1:1/nothing"


def test_postgresql_gives_up_before_our_patience_does() -> None:
    """So that a slow statement is refused by the server, and only silence costs the connection."""
    options = engine_options(POSTGRES)
    assert options["pool_pre_ping"]
    assert options["connect_args"]["connect_timeout"] < outage.PATIENCE_SECONDS
    limits = {name: int(value) for name, value in re.findall(r"-c (\w+)=(\d+)", options["connect_args"]["options"])}
    assert limits["lock_timeout"] < limits["statement_timeout"] < 1000 * outage.PATIENCE_SECONDS


def test_sqlite_has_a_connection_for_every_thread_that_may_ask() -> None:
    """A connection there is a file handle; waiting for one would be the only reason to fail."""
    options = engine_options("sqlite:////tmp/registry.db")
    assert options["pool_size"] + options["max_overflow"] >= 160
    assert "connect_args" not in options


def test_after_a_refused_connection_others_are_refused_without_trying() -> None:
    """One attempt a second goes through."""
    engine = create_engine(POSTGRES, **engine_options(POSTGRES))
    outage.guard(engine)
    with pytest.raises(Exception, match="refused"):
        engine.connect()
    for _ in range(3):
        with pytest.raises(Exception, match="away a moment ago"):
            engine.connect()


def test_an_outage_lets_one_attempt_through_each_time_and_ends_with_the_first_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask."""
    monkeypatch.setattr(outage, "RETRY_SECONDS", 0.0)
    known = outage.Outage()
    known.require_turn()
    known.begin()
    known.require_turn()
    monkeypatch.setattr(outage, "RETRY_SECONDS", 60.0)
    known.begin()
    with pytest.raises(psycopg.OperationalError):
        known.require_turn()
    known.end()
    known.require_turn()
