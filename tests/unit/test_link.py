"""Questions over UNIX sockets: whether one was heard decides whether it may be asked again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry import frames
from registry.serving.link import Link, NoAnswerInTime, NotAnswered, NotHeard

QUESTION = frames.encode_frame({"ask": "x"})
ANSWER = frames.encode_frame({"ok": True}, b"body")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the other side listens."""
    return str(tmp_path / "other.sock")


@pytest.fixture
def link(path: str) -> Iterator[Link]:
    """Return a link to it."""
    made = Link(path)
    yield made
    made.close()


def other_side(path: str, behave: Callable[[socket.socket], None]) -> threading.Thread:
    """Listen, and behave towards the first connection."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()

    def run() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection:
                behave(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def answer_once(connection: socket.socket) -> None:
    """Read a question and answer it."""
    connection.recv(65536)
    connection.sendall(ANSWER)


def test_an_answer_comes_back_whole_however_it_is_cut(path: str, link: Link) -> None:
    """Also when its length arrives in pieces."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        for start in range(0, len(ANSWER), 3):
            connection.sendall(ANSWER[start : start + 3])

    thread = other_side(path, behave)
    header, body = link.ask(QUESTION, 5)
    thread.join(5)
    assert (header, bytes(body)) == ({"ok": True}, b"body")


def test_a_question_to_nobody_was_not_heard(path: str, link: Link) -> None:
    """Nothing listens there."""
    with pytest.raises(NotHeard):
        link.ask(QUESTION, 1)


def test_a_question_on_a_kept_connection_that_has_died_was_not_heard(path: str, link: Link) -> None:
    """The other side ended after an earlier answer."""
    thread = other_side(path, answer_once)
    link.ask(QUESTION, 5)
    thread.join(5)
    with pytest.raises(NotHeard):
        link.ask(QUESTION, 5)


def test_a_question_that_was_left_unread_was_not_heard(path: str, link: Link) -> None:
    """The other side ended with bytes of it in its socket."""
    thread = other_side(path, lambda connection: connection.recv(3) and None)
    with pytest.raises(NotHeard):
        link.ask(QUESTION, 5)
    thread.join(5)


def test_a_question_that_was_read_and_not_answered_may_have_done_something(path: str, link: Link) -> None:
    """The other side ended after it had read it whole."""
    thread = other_side(path, lambda connection: connection.recv(65536) and None)
    with pytest.raises(NotAnswered):
        link.ask(QUESTION, 5)
    thread.join(5)


def test_half_an_answer_is_none(path: str, link: Link) -> None:
    """The question was heard, so it must not be asked again."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(ANSWER[:7])

    thread = other_side(path, behave)
    with pytest.raises(NotAnswered):
        link.ask(QUESTION, 5)
    thread.join(5)


def test_silence_ends_with_the_time(path: str, link: Link) -> None:
    """And the connection isn't kept, since its answer would come to the next question."""
    release = threading.Event()
    thread = other_side(path, lambda _: release.wait(5) and None)
    with pytest.raises(NoAnswerInTime):
        link.ask(QUESTION, 0.05)
    assert not link._idle
    release.set()
    thread.join(5)


def test_a_question_too_large_for_the_sockets_buffer_goes_out_whole(path: str, link: Link) -> None:
    """Whether it is sent at once, in part, or in pieces."""
    sizes = [100, 32_000, 33_000, 3_000_000]
    heard: list[int] = []

    def behave(connection: socket.socket) -> None:
        for size in sizes:
            expected = len(frames.encode_frame({"ask": "x"}, b"q" * size))
            count = 0
            while count < expected:
                count += len(connection.recv(65536))
            heard.append(count - expected)
            connection.sendall(ANSWER)

    thread = other_side(path, behave)
    for size in sizes:
        assert link.ask(frames.encode_frame({"ask": "x"}, b"q" * size), 10)[0] == {"ok": True}
    thread.join(10)
    assert heard == [0, 0, 0, 0]


def test_a_question_that_meets_a_full_socket_waits_for_room(path: str, link: Link) -> None:
    """A frame that goes out in part is finished, not sent twice."""
    question = frames.encode_frame({"ask": "x"}, b"q" * 30_000)

    def behave(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        count = 0
        while count < len(question):
            count += len(connection.recv(1000))
        connection.sendall(ANSWER if count == len(question) else frames.encode_frame({"ok": False}))

    other_side(path, behave)
    assert link.ask(question, 10)[0] == {"ok": True}
