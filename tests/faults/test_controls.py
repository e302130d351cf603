"""Services that fail or cannot keep up, with real workers, SMTP and HTTP: every job ends, once, in its time."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from narrowboat import App
from narrowboat.core.states import State
from tests.support.processes import running_worker, wait_for
from tests.support.servers import free_port

from .conftest import brought_in

SLOTS = 4
PER_S, WORKERS = 20, 4
HOLDS = 80  # as the burst of `call`: what comes at once after all have stood still, was saved up here meanwhile
RETRY_AFTER_S = 1.0
UNDER_WAY = 2 * WORKERS  # each may run one job, and have claimed the next
KNOWN_S = 0.4  # by then, what was claimed before an answer was known has been asked


@pytest.fixture
def size(url: str) -> int:
    """How much of it: as much as there is to show on Redis, a quarter elsewhere, to save time."""
    return 4 if url.startswith("redis") else 1


@pytest.fixture
def room(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with brought_in("mailroom", tmp_path, monkeypatch, url) as module:
        yield module


class MailServer:
    """A real one, which can be killed and started again on its port."""

    def __init__(self, ledger: Path) -> None:
        self.port, self._ledger = free_port(), ledger
        self._process: subprocess.Popen[bytes] | None = None

    def letters(self) -> Counter[str]:
        return Counter(self._ledger.read_text().splitlines()) if self._ledger.exists() else Counter()

    def start(self) -> None:
        script = Path(__file__).with_name("mail_server.py")
        self._process = subprocess.Popen([sys.executable, script, str(self.port), self._ledger])
        wait_for("the mail server", self._answers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            return connection.recv(3) == b"220"
        return False


def jobs_by_state(app: App, ids: list[str]) -> Counter[str]:
    found = [job for start in range(0, len(ids), 500) for job in app.backend.get(ids[start : start + 500])]
    return Counter(str(job.state) for job in found if job is not None)


def test_mails_wait_while_the_mail_server_is_down_and_none_wastes_an_attempt(
    room: ModuleType, url: str, tmp_path: Path, size: int
) -> None:
    n_mails = 500 * size
    server, app = MailServer(tmp_path / "letters"), room.app
    server.start()
    half = n_mails // 2
    ids = [handle.id for handle in app.enqueue_many([room.mail.job(n, server.port) for n in range(half)])]

    def breaker() -> Any:
        return app.backend.meters(["breaker:smtp"])["breaker:smtp"]

    def probes() -> int:
        return sum(what == "probe failed" for _, what in breaker().history)

    try:
        with running_worker("mailroom:app", url, tmp_path, "-n", str(SLOTS)):
            wait_for("the first letters", lambda: len(server.letters()) > n_mails / 5, 60)
            server.kill()  # with half of the letters still to come, however many of the others are left
            more = app.enqueue_many([room.mail.job(n, server.port) for n in range(half, n_mails)])
            ids += [handle.id for handle in more]
            wait_for("the breaker to open, and two tries in vain", lambda: probes() >= 2, 30)
            [held] = [gate for gate in app.backend.gates() if gate.kind == "breaker"]
            assert "refused" in held.reason or "closed" in held.reason or "reset" in held.reason
            server.start()
            wait_for("every mail", lambda: jobs_by_state(app, ids) == {"succeeded": n_mails}, 120)
    finally:
        server.kill()
    records = [job for start in range(0, n_mails, 500) for job in app.backend.get(ids[start : start + 500])]
    openings = sum(what == "opened" for _, what in breaker().history)
    charged, spared = sum(job.errors for job in records), sum(job.snoozes for job in records)
    letters = server.letters()
    doubles = letters.total() - n_mails
    print(
        f"{openings} openings, {probes()} probes in vain, {charged} charged, {spared} spared, {doubles} letters twice"
    )
    assert set(letters) == {str(n) for n in range(n_mails)}
    assert openings >= 1
    assert charged <= room.FAILURES * openings + room.FAILURES - 1
    assert probes() <= spared <= probes() + 2 * SLOTS * openings, "each executor ran one, and had the next before it"
    assert all((job.crashes, job.attempts) == (0, job.errors + 1) for job in records), "one success each, uncharged"
    assert doubles <= SLOTS, "only where a reply was lost after DATA, which was once, and from each executor"
    tries = {str(n): 1 + job.errors + job.snoozes for n, job in enumerate(records)}
    assert all(n <= tries[letter] for letter, n in letters.items()), "and no job has succeeded twice"


class Api(ThreadingHTTPServer):
    """Takes PER_S requests a second from a bucket, with as many in it at first, and answers the others with 429."""

    daemon_threads = True

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.refused: list[float] = []
        self._tokens, self._at, self._lock = float(PER_S), time.monotonic(), threading.Lock()
        super().__init__(("127.0.0.1", 0), Answer)

    def take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if not self.taken and not self.refused:
                self._at = now  # nothing is saved up before the first comes
            self._tokens, self._at = min(float(HOLDS), self._tokens + (now - self._at) * PER_S), now
            is_taken = self._tokens >= 1
            self._tokens -= is_taken
            (self.taken if is_taken else self.refused).append(now)
            return is_taken


class Answer(BaseHTTPRequestHandler):
    server: Api  # type: ignore[assignment]

    def do_GET(self) -> None:
        is_taken, body = self.server.take(), self.path[1:].encode()
        self.send_response(200 if is_taken else 429)
        if not is_taken:
            self.send_header("Retry-After", f"{RETRY_AFTER_S:.0f}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving() -> Iterator[Api]:
    api = Api()
    threading.Thread(target=api.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield api
    finally:
        api.shutdown()
        api.server_close()


@contextlib.contextmanager
def four_workers(url: str, tmp_path: Path) -> Iterator[Api]:
    """A service, and the workers that ask it."""
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(serving())
        for _ in range(WORKERS):
            stack.enter_context(running_worker("mailroom:app", url, tmp_path, "-n", "1"))
        yield api


def assert_uncharged(app: App, ids: list[str]) -> None:
    records = [job for start in range(0, len(ids), 500) for job in app.backend.get(ids[start : start + 500])]
    assert all(job is not None and job.state is State.SUCCEEDED and job.errors == 0 for job in records)


def early_ones(api: Api, refused: float) -> int:
    """How many came after the answer was known everywhere, and before its time: as one may that has stood still."""
    return sum(refused + KNOWN_S < at < refused + RETRY_AFTER_S for at in api.taken + api.refused)


def test_four_workers_ask_a_service_no_faster_than_it_can_answer(
    room: ModuleType, url: str, tmp_path: Path, size: int
) -> None:
    app, n_calls = room.app, 80 + 30 * size
    with four_workers(url, tmp_path) as api:
        ids = [handle.id for handle in app.enqueue_many([room.call.job(n, api.server_port) for n in range(n_calls)])]
        wait_for("every call", lambda: jobs_by_state(app, ids) == {"succeeded": n_calls}, 60)
    # The ideal is what is left after what is in its bucket at first, at its rate.
    took, ideal = api.taken[-1] - api.taken[0], (n_calls - PER_S) / PER_S
    print(f"{took:.2f} s, ideal {ideal:.2f} s; refused {len(api.refused)}")
    assert 1 <= len(api.refused) <= UNDER_WAY
    calm = api.refused[0] + RETRY_AFTER_S
    assert max(api.refused) < calm, "it was asked too often again"
    assert early_ones(api, api.refused[0]) <= UNDER_WAY, "asked before its time"
    # One that was under way may have stood still until now, and comes besides.
    later = [at for at in api.taken if at >= calm]
    early = [(n, at - calm) for n, at in enumerate(later) if at < calm + (n - UNDER_WAY) / PER_S - 0.01]
    assert early == [], "from the time that the service named on, never ahead of its rate"
    assert took <= (ideal + RETRY_AFTER_S) * 1.1, "that second was the service's own wish"
    assert size == 1 or took <= ideal * 1.15, "and of many calls it is no large part"
    assert_uncharged(app, ids)


def test_a_task_without_a_rate_asks_again_only_after_the_time_that_the_service_names(
    room: ModuleType, url: str, tmp_path: Path
) -> None:
    app, n_calls = room.app, 80
    with four_workers(url, tmp_path) as api:
        ids = [handle.id for handle in app.enqueue_many([room.ask.job(n, api.server_port) for n in range(n_calls)])]
        wait_for("every call", lambda: jobs_by_state(app, ids) == {"succeeded": n_calls}, 60)
    waves, until = 0, 0.0
    for refused in sorted(api.refused):
        if refused < until:
            continue
        waves, until = waves + 1, refused + RETRY_AFTER_S
        assert early_ones(api, refused) <= UNDER_WAY, "asked after the answer was known everywhere, and before its time"
    print(f"{waves} waves; refused {len(api.refused)}")
    assert 1 <= waves <= n_calls / PER_S, "a wave takes at least what the service can answer in the time it names"
    assert_uncharged(app, ids)


def test_a_limit_holds_while_workers_are_killed(room: ModuleType, url: str, tmp_path: Path) -> None:
    app, folder = room.app, tmp_path / "press"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    ids = [handle.id for handle in app.enqueue_many([room.press.job(str(folder), 0.02) for _ in range(150)])]

    def done() -> int:
        return jobs_by_state(app, ids)["succeeded"]

    def running() -> int:
        return app.backend.meters(["limit:press"])["limit:press"].running

    with running_worker("mailroom:app", url, tmp_path, "-n", "3"):
        for so_far in (20, 50, 80):
            with running_worker("mailroom:app", url, tmp_path, "-n", "3") as victim:
                wait_for("some jobs", lambda n=so_far: done() >= n, 60)
                assert running() <= 2
                victim.process.kill()
                victim.process.wait(10)
        wait_for("every job", lambda: done() == len(ids), 60)
    assert running() == 0


OUT_OF_ORDER = """
import asyncio
from narrowboat import App, Breaker, Retry

app = App("outage")
begun, failed = asyncio.Barrier(2), asyncio.Event()


@app.task(retry=Retry(attempts=1), breaker=Breaker("api", failures=1, retry_after="5m", on=OSError))
async def call(is_first: bool) -> None:
    async with asyncio.timeout(30):
        await begun.wait()
        if is_first:
            failed.set()
        await failed.wait()
    raise ConnectionError("the api is down")
"""


def test_the_log_tells_a_failure_that_the_breaker_holds_from_one_that_is_charged(url: str, tmp_path: Path) -> None:
    (tmp_path / "outage.py").write_text(OUT_OF_ORDER)
    with running_worker("outage:app", url, tmp_path, "-n", "1") as worker, contextlib.closing(App("x", url=url)) as app:
        first, second = (app.enqueue_by_name("outage.call", is_first) for is_first in (True, False))
        wait_for("both to fail", lambda: first.refresh().is_finished and second.refresh().record.snoozes == 1)
        line = f"{second.id} attempt 1 held by its breaker, not charged; again in"
        wait_for("the line", lambda: line in worker.output())
        assert f"{first.id} is dead after attempt 1 failed: ConnectionError: the api is down" in worker.output()
        assert f"{second.id} is dead" not in worker.output()
