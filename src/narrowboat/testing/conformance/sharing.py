"""Two handles on one store, as two processes have them."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from ...backends.base import Backend, Filter, Gate
from ...core.errors import QueueFull
from ...core.job import JobSummary
from ...core.queue import Queue
from ...core.states import State
from .bench import Bench, released, requires, succeeded


@requires("is_shared")
def test_a_second_handle_sees_the_same_jobs(bench: Bench) -> None:
    job_id = bench.add(args=b'{"n":1}')
    other = bench.reopen()
    assert other.get([job_id], now=bench.now) == [bench.job(job_id)]
    worker = bench.worker("w2", backend=other)
    claim = worker.claim_one()
    assert bench.worker("w1").claim() == []
    worker.settle(succeeded(claim, result=b"5"))
    assert bench.job(job_id).result == b"5"


@requires("is_shared")
def test_an_enqueue_through_one_handle_wakes_a_wait_on_another(bench: Bench) -> None:
    worker = bench.worker(backend=bench.reopen())
    assert bench.woken_by(bench.add, worker.wait).work


@requires("is_shared")
def test_a_release_through_one_handle_wakes_a_wait_on_another(bench: Bench) -> None:
    bench.add()
    holder = bench.worker("w1")
    claim = holder.claim_one()
    worker = bench.worker("w2", backend=bench.reopen())
    assert bench.woken_by(lambda: holder.settle(released(claim)), worker.wait).work


@requires("is_shared")
def test_a_cancel_through_one_handle_wakes_the_worker_on_another(bench: Bench) -> None:
    job_id = bench.add()
    worker = bench.worker(backend=bench.reopen())
    worker.claim_one()
    wakeup = bench.woken_by(lambda: bench.backend.cancel([job_id], now=bench.now), worker.wait)
    assert wakeup.cancels == 1


@requires("is_shared")
def test_a_change_through_one_handle_wakes_a_watch_on_another(bench: Bench) -> None:
    job_id = bench.add()
    other, revision = bench.reopen(), bench.job(job_id).revision

    def watch() -> list[JobSummary]:
        return other.watch({job_id: revision}, 30.0, now=bench.now)

    [seen] = bench.woken_by(lambda: bench.backend.cancel([job_id], now=bench.now), watch)
    assert seen.state is State.CANCELLED


@requires("is_shared")
def test_a_gate_shut_through_one_handle_shuts_for_all(bench: Bench) -> None:
    bench.add()
    worker = bench.worker(backend=bench.reopen())
    bench.backend.shut(Gate(scope="queue:default"), now=bench.now)
    assert worker.claim() == []
    bench.backend.open("queue:default", now=bench.now)
    assert len(worker.claim()) == 1


@requires("is_shared")
def test_tokens_rise_across_handles_and_reopening(bench: Bench) -> None:
    tokens: list[int] = []
    for n in range(4):
        bench.add()
        tokens.append(bench.worker(f"w{n}", backend=bench.reopen()).claim_one().token)
    assert tokens == sorted(set(tokens))


@requires("is_shared")
def test_closing_one_handle_leaves_the_others(bench: Bench) -> None:
    other = bench.reopen()
    job_id = bench.add()
    other.close()
    assert bench.worker().claim_one().id == job_id


@requires("is_shared")
def test_handles_that_enqueue_at_once_fill_a_queue_and_no_more(bench: Bench) -> None:
    limits = {"default": Queue("default", 30, waiting_per_client=20)}

    def enqueue(backend: Backend, client: str) -> int:
        taken = 0
        for _ in range(25):
            with suppress(QueueFull):
                taken += len(backend.enqueue([bench.new(client=client)], limits=limits, now=bench.now))
        return taken

    calls = [bench.meanwhile(lambda name=name: enqueue(bench.reopen(), name)) for name in ("ann", "bob", "ann")]
    assert sum(call.result(60) for call in calls) == 30
    clients = Counter(job.client for job in bench.backend.find(Filter(), now=bench.now).jobs)
    assert max(clients.values()) <= 20
