"""The process: a server on a loopback port."""

from __future__ import annotations

import gc
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .front import ConnectionDropped, Front, Received


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open, as AWS does: SDKs reuse them, and moto's own server closes each after one answer."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave in one write and at once; else the second waits for the caller's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    front: Front

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.command, path, query, headers, self.rfile.read(length))
        try:
            response = self.front.answer(received)
        except ConnectionDropped:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _handle  # the names are http.server's

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is http.server's)
        """Nothing: the request log tells more."""


class Server(ThreadingHTTPServer):
    """One thread for each connection; a caller who left is no error."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address) -> None:
        """Tells of everything but a caller who left."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def serve(port: int = 0) -> None:
    """Serves until it is ended; prints the port as its first line, since the system chose it."""
    Handler.front = Front()
    # A collection stops every answer, for a second where there are identities by the thousand: at a fast clock that is a
    # minute of AWS's. What lies in cycles is little, and the process ends with its tests.
    gc.disable()
    # Nor may a long list keep the others waiting: five milliseconds each, by default.
    sys.setswitchinterval(0.001)
    server = Server(("127.0.0.1", port), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
