"""Messages with open descriptors, over the one socket between the host process and the fork server.

Each message is one SEQPACKET datagram of msgpack with up to four descriptors; nothing else travels here.
"""

from __future__ import annotations

import socket
from typing import Any

import msgspec

MAX_MESSAGE_BYTES = 64 * 1024
MAX_DESCRIPTORS = 4


def send_message(sock: socket.socket, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
    """Send `message` with `descriptors`, which stay open here. Raises OSError when the other side is gone."""
    socket.send_fds(sock, [msgspec.msgpack.encode(message)], descriptors or [])


def receive_message(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message and its descriptors, or None when the other side is gone."""
    data, descriptors, _, _ = socket.recv_fds(sock, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    message: dict[str, Any] = msgspec.msgpack.decode(data)
    return message, descriptors
