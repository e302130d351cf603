"""A fleet of idle workers costs PostgreSQL next to nothing."""

from __future__ import annotations

import re
import select
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from narrowboat.backends.base import Backend, Retention, Want, WorkerInfo
from narrowboat.backends.urls import open_backend
from narrowboat.core.ids import new_job_id
from narrowboat.core.job import NewJob
from narrowboat.core.task import Manifest, TaskSpec
from narrowboat.worker.heartbeat import FEW, Heartbeat
from narrowboat.worker.link import Link
from narrowboat.worker.listener import Listener
from narrowboat.worker.mail import Extend, Heard, Listen, Mailbox
from tests.support.postgres_server import PostgresServer, require
from tests.support.processes import wait_for

WORKERS = 100
MOST_A_SECOND = 20
SECONDS = 20  # a whole number of the times that each of its questions comes again after


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    require()
    server = PostgresServer(
        {"fsync": "off", "max_connections": "450", "log_statement": "all", "log_min_messages": "warning"}
    )
    yield server
    server.remove()


class IdleWorker:
    """The threads of a worker that talk to the backend, asked for what its main loop asks while there is no work."""

    def __init__(self, number: int, url: str) -> None:
        self.backend: Backend = open_backend(url)
        info = WorkerInfo(id=f"w{number}", host="box", pid=number, queues={"default": 1}, slots=1)
        manifest = Manifest(app="fleet", tasks=(TaskSpec(name="fleet.nothing"),))
        self.backend.publish(info, manifest)
        self.mailbox = Mailbox()
        self.link = Link(self.backend, info, self.mailbox)
        self.link.manifest = manifest
        self.listener, self.heartbeat = Listener(self.link), Heartbeat(self.link, Retention())
        self.heard = threading.Event()
        self._thread = threading.Thread(target=self._run)
        for service in (self.listener, self.heartbeat, self._thread):
            service.start()

    def _run(self) -> None:
        wants = [Want("default", frozenset(["fleet.nothing"]), 1)]
        self.listener.requests.put(Listen(wants))
        next_extend = time.monotonic() + self.link.info.lease_s / 3
        while not self.link.is_closed.is_set():
            select.select([self.mailbox.descriptor], [], [], 0.5)
            for message in self.mailbox.take():
                if isinstance(message, Heard) and message.work:
                    self.heard.set()
                elif isinstance(message, Heard):
                    self.listener.requests.put(Listen(wants))
            if time.monotonic() >= next_extend:
                next_extend += self.link.info.lease_s / 3
                self.heartbeat.requests.put(Extend(0, ()))

    def close(self) -> None:
        self.link.is_closed.set()
        self.backend.close()
        for service in (self.listener, self.heartbeat):
            service.requests.put(None)

    def join(self) -> None:
        for thread in (self.listener, self.heartbeat, self._thread):
            thread.join(20)
            assert not thread.is_alive()


def queries_in(server: PostgresServer, seconds: float) -> int:
    """How many statements the server was sent in a while, by its own log."""
    log = server.folder / "log"
    begin = log.stat().st_size
    time.sleep(seconds)  # this is a rate: there is no condition to wait for
    with log.open("rb") as lines:
        lines.seek(begin)
        return len(re.findall(rb"LOG:  (?:statement|execute [^:]*):", lines.read()))


@pytest.mark.parametrize("listen", ["yes", "no"])
def test_a_hundred_idle_workers_make_few_queries_and_work_is_found_soon(
    server: PostgresServer, listen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{server.url}&schema=fleet_{listen}&listen={listen}"
    with ExitStack() as last, ExitStack() as stack:
        workers: list[IdleWorker] = []
        for number in range(WORKERS):
            workers.append(IdleWorker(number, url))
            stack.callback(workers[-1].close)  # all of them, before one is waited for
            last.callback(workers[-1].join)
        time.sleep(12)  # until every one has renewed its lease
        seen = lambda worker: worker.heartbeat._fleet >= 0.9 * WORKERS / FEW  # noqa: E731
        wait_for("all to have seen how many there are", lambda: all(map(seen, workers)), 60)
        a_second = queries_in(server, SECONDS) / SECONDS
        with server.connect() as connection:
            connections = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE state IS NOT NULL").fetchone()
        enqueuer = open_backend(url)
        began = time.monotonic()
        enqueuer.enqueue([NewJob(id=new_job_id("fleet.nothing"), task="fleet.nothing")])
        wait_for("a worker to hear of it", lambda: any(worker.heard.is_set() for worker in workers))
        took_s = time.monotonic() - began
        enqueuer.close()
    with capsys.disabled():
        print(
            f"\n{WORKERS} idle workers, listen={listen}: {a_second:.1f} queries a second, {connections[0]} sessions; "
            f"work was found after {took_s * 1000:.0f} ms"
        )
    assert a_second <= MOST_A_SECOND
    assert took_s < 5
