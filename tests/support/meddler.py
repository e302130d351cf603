"""An HTTP server in front of another, which answers in its place when it is told to."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Meddling = Callable[[str, dict[str, Any]], tuple[int, Any] | None]  # operation, parameters -> status, answer


class Meddler:
    """asked: how often each operation was. meddle: what to answer; None: what the server behind does."""

    def __init__(self, port: int) -> None:
        self.asked: Counter[str] = Counter()
        self.meddle: Meddling = lambda operation, parameters: None
        meddler = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
                meddler.asked[operation] += 1
                answer = meddler.meddle(operation, json.loads(body or b"{}"))
                status, content = _forwarded(port, self.path, body, dict(self.headers)) if answer is None else answer
                if not isinstance(content, bytes):
                    content = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # a client that has gone

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


def _forwarded(port: int, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def meddler(port: int) -> Generator[Meddler]:
    """One for as long as the block."""
    made = Meddler(port)
    try:
        yield made
    finally:
        made.close()


def refusal(code: str, status: int = 400) -> tuple[int, dict[str, str]]:
    """How SQS refuses a whole request."""
    return status, {"__type": f"com.amazonaws.sqs#{code}", "message": f"{code}, for a test"}
