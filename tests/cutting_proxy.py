"""A proxy that forwards bytes to a real service and breaks connections where a test says so."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class CuttingProxy:
    """Forwards each connection; `cuts` are used up by the requests that they are for, in order.

    A cut of ("POST /models/iris/versions", n) lets n bytes of the answer pass and then closes the connection, so that n = 0 loses
    the answer to a request that was carried out. `requests` collects the first line of each request that came, without the version.
    """

    def __init__(self, port: int) -> None:
        """Forward to `port` on this machine."""
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts: list[tuple[str, int]] = []
        self.silent = False
        self.requests: list[str] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Take no more connections, and wait for those that there are."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                left: list[int] = []
                server = socket.create_connection(("127.0.0.1", self._target))
                for forward in (self._forward_requests, self._forward_answers):
                    thread = threading.Thread(target=forward, args=(client, server, left), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _forward_requests(self, client: socket.socket, server: socket.socket, left: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                line = data.partition(b"\r\n")[0]
                if line.endswith(b" HTTP/1.1"):
                    request = line.removesuffix(b" HTTP/1.1").decode()
                    self.requests.append(request)
                    if self.cuts and self.cuts[0][0] == request:
                        left.append(self.cuts.pop(0)[1])
                server.sendall(data)
        _end(server)

    def _forward_answers(self, client: socket.socket, server: socket.socket, left: list[int]) -> None:
        with client, server, contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if self.silent:
                    continue
                if not left:
                    client.sendall(data)
                    continue
                client.sendall(data[: left[0]])
                left[0] -= min(left[0], len(data))
                if left[0] == 0:
                    break
            _end(client)
            _end(server)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def cutting_proxy(port: int) -> Iterator[CuttingProxy]:
    """Run a proxy for the length of a block."""
    proxy = CuttingProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
