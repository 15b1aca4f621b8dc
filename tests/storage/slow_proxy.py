"""A TCP proxy in front of the S3 server that makes it slow or forgetful, and counts what is asked."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator


class Proxy:
    """Passes bytes through to a server on loopback.

    Args:
        port: The server's port.
        list_delay_s: How long each listing waits.
        swallow_commits: How many answers to conditional PUTs are lost: the server has done it, the client never hears.
    """

    def __init__(self, port: int, list_delay_s: float = 0.0, swallow_commits: int = 0) -> None:
        self._server = port
        self._delay = list_delay_s
        self._swallow = swallow_commits
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.requests: list[str] = []
        self.swallowed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def lists(self) -> int:
        """Listings so far."""
        return sum("list-type=2" in request for request in self.requests)

    def close(self) -> None:
        """Take no more connections."""
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server)) as server, contextlib.suppress(OSError):
            silent = threading.Event()
            threading.Thread(target=self._back, args=(server, client, silent), daemon=True).start()
            while data := client.recv(1 << 16):
                head = data.split(b"\r\n\r\n")[0].decode(errors="replace")
                if head.startswith(("GET ", "PUT ", "HEAD ", "DELETE ")):
                    self.requests.append(head.splitlines()[0])
                    if "list-type=2" in head:
                        time.sleep(self._delay)
                    if "if-none-match" in head.lower() and self._swallow:
                        self._swallow -= 1
                        silent.set()
                server.sendall(data)

    def _back(self, server: socket.socket, client: socket.socket, silent: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if silent.is_set() and not data.startswith(b"HTTP/1.1 100"):
                    self.swallowed += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)


@contextlib.contextmanager
def in_front_of(endpoint: str, list_delay_s: float = 0.0, swallow_commits: int = 0) -> Iterator[Proxy]:
    """A proxy for the length of a block."""
    proxy = Proxy(int(endpoint.rsplit(":", 1)[1]), list_delay_s, swallow_commits)
    try:
        yield proxy
    finally:
        proxy.close()
