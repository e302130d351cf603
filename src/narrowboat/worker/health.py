"""How this worker is: in its note for `narrowboat health`, and on a port for those that ask over HTTP."""

from __future__ import annotations

import http.server
import threading
import time

import msgspec

from ..backends.whereabouts import EVERY_S, Health, Note


class Pulse:
    """Written by the main loop, read by the HTTP server."""

    def __init__(self, first: Health) -> None:
        self.health = first
        self._note = Note()
        self._next = 0.0

    def beat(self, health: Health, now: float) -> None:
        """The main loop has come round; the note is rewritten every EVERY_S, and when the state changes."""
        has_changed = health.state != self.health.state
        self.health = health
        if has_changed or now >= self._next:
            self._next = now + EVERY_S
            self._note.write(health)

    def end(self) -> None:
        """Take the note away."""
        self._note.remove()


class Door(threading.Thread):
    """/livez and /readyz: 200 or 503, with the health as JSON."""

    def __init__(self, pulse: Pulse, host: str, port: int) -> None:
        super().__init__(name="narrowboat-health", daemon=True)

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                health = pulse.health
                checks = {"/livez": health.is_alive, "/readyz": health.is_ready}
                check = checks.get(self.path)
                body = msgspec.json.encode(health)
                self.send_response(404 if check is None else 200 if check(time.time()) else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads that."""

        class Server(http.server.ThreadingHTTPServer):
            allow_reuse_port = True  # a worker and its successor answer on the same port for a while

        self._server = Server((host, port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port

    def run(self) -> None:
        """Serve until the process ends."""
        self._server.serve_forever(poll_interval=3600)
