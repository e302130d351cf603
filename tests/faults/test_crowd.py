"""One hundred web threads and four workers on one SQLite file."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from narrowboat.core.states import State
from tests.support.processes import running_worker, wait_for

from .conftest import Harbour

THREADS, EACH = 100, 20


def test_a_hundred_web_threads_and_four_workers_share_one_file(
    harbour: Harbour, capsys: pytest.CaptureFixture[str]
) -> None:
    waits_s: list[float] = []
    errors: list[BaseException] = []
    gate = threading.Barrier(THREADS)

    def serve_requests() -> None:
        gate.wait()
        for _ in range(EACH):
            began = time.perf_counter()
            try:
                harbour.module.nothing.enqueue()
            except BaseException as error:  # noqa: BLE001
                errors.append(error)
            waits_s.append(time.perf_counter() - began)

    def succeeded() -> int:
        return sum(queue.counts.get(State.SUCCEEDED, 0) for queue in harbour.backend.stats())

    with ExitStack() as workers:
        for _ in range(4):
            workers.enter_context(running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1"))
        threads = [threading.Thread(target=serve_requests) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        wait_for("every job to succeed", lambda: succeeded() == THREADS * EACH, 60)
    waits_s.sort()
    p50, p99 = waits_s[len(waits_s) // 2], waits_s[int(len(waits_s) * 0.99)]
    with capsys.disabled():
        print(
            f"\n{THREADS} threads, 4 workers, {len(waits_s)} enqueues: "
            f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, longest {waits_s[-1] * 1000:.0f} ms"
        )
    # Each waits for its turn, which on a slow machine comes late; but nobody is passed over again and again.
    assert waits_s[-1] < max(4.0, 20 * p50)
    assert p99 < max(0.5, 10 * p50)  # aimed at: 0.1; a shared machine is given room
