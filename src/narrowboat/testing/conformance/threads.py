"""One handle, many threads, which take turns far more often than they usually do."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from ...backends.base import Backend, Filter, Retention
from ...core.controls import Controls, LimitSpec, RateSpec
from ...core.errors import BackendUnavailable, QueueFull
from ...core.job import NewJob
from ...core.queue import Queue
from ...core.states import State
from .bench import Bench, BenchWorker, requires, succeeded


@contextmanager
def _quick_turns() -> Generator[None, None, None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@_quick_turns()
def test_eight_threads_claim_every_job_exactly_once(bench: Bench) -> None:
    ids = [job_id for key in ("a", "b", "c") for job_id in bench.add_many(100, lane_key=key)]
    workers = [bench.worker(f"w{n}") for n in range(8)]
    ready = threading.Barrier(8)

    def work(worker: BenchWorker) -> list[str]:
        ready.wait(60)
        claimed: list[str] = []
        claims = worker.claim(7)
        while claims:
            claimed += [claim.id for claim in claims]
            reply = worker.step([succeeded(claim) for claim in claims], wants=[worker.want(7)])
            assert reply.refused == ()
            claims = list(reply.claimed)
        return claimed

    futures = [bench.meanwhile(lambda worker=worker: work(worker)) for worker in workers]
    claimed = Counter(job_id for future in futures for job_id in future.result(timeout=60))
    assert claimed == Counter(ids)
    assert {bench.state(job_id) for job_id in ids[::37]} == {State.SUCCEEDED}


@_quick_turns()
def test_eight_threads_with_the_same_key_make_one_job(bench: Bench) -> None:
    for turn in range(5):
        jobs = [bench.new(key=f"k{turn}") for _ in range(8)]
        ready = threading.Barrier(8)

        def ask(job: NewJob, ready: threading.Barrier = ready) -> tuple[str, bool]:
            ready.wait(60)
            [answer] = bench.backend.enqueue([job], now=bench.now)
            return answer.id, answer.created

        futures = [bench.meanwhile(lambda job=job: ask(job)) for job in jobs]
        answers = [future.result(timeout=60) for future in futures]
        assert len({job_id for job_id, _ in answers}) == 1
        assert sum(created for _, created in answers) == 1


@_quick_turns()
def test_a_reader_never_sees_half_of_a_batch(bench: Bench) -> None:
    is_over = threading.Event()

    def read() -> set[int]:
        seen: set[int] = set()
        while not is_over.is_set():
            seen |= {entry.counts.get(State.QUEUED, 0) for entry in bench.backend.stats(now=bench.now)}
        return seen

    reader = bench.meanwhile(read)
    for _ in range(20):
        bench.add_many(25)
    is_over.set()
    assert {count % 25 for count in reader.result(timeout=60)} <= {0}


@_quick_turns()
def test_a_storm_of_verbs_leaves_a_clean_store(bench: Bench) -> None:
    workers = [bench.worker(f"w{n}") for n in range(3)]

    def produce() -> None:
        for n in range(40):
            bench.backend.enqueue([bench.new(key=f"k{n % 5}"), bench.new(priority=n % 3)], now=bench.now)

    def consume(worker: BenchWorker) -> None:
        for _ in range(40):
            worker.step([succeeded(claim) for claim in worker.claim(3)])
            worker.extend()

    def disturb() -> None:
        for _ in range(20):
            for entry in bench.backend.find(Filter(), limit=5, now=bench.now).jobs:
                bench.backend.cancel([entry.id], now=bench.now)
                bench.backend.retry([entry.id], now=bench.now)
            bench.backend.purge(Retention(keep_max=10), 5, now=bench.now)

    futures = [bench.meanwhile(lambda worker=worker: consume(worker)) for worker in workers]
    futures += [bench.meanwhile(produce), bench.meanwhile(disturb)]
    for future in futures:
        future.result(timeout=60)


@_quick_turns()
def test_threads_that_enqueue_at_once_fill_a_queue_and_no_more(bench: Bench) -> None:
    ready = threading.Barrier(8)

    def enqueue(n: int) -> tuple[int, int]:
        ready.wait(60)
        taken = free = 0
        for k in range(20):
            with suppress(QueueFull):
                jobs = [bench.new(lane_key=str(n)) for _ in range(1 + k % 2)]
                taken += len(bench.backend.enqueue(jobs, limits={"default": Queue("default", 50)}, now=bench.now))
            # Whoever is written together with one who is refused is not harmed.
            free += len(bench.backend.enqueue([bench.new(queue="free")], now=bench.now))
        return taken, free

    calls = [bench.meanwhile(lambda n=n: enqueue(n)) for n in range(8)]
    counts = [call.result(60) for call in calls]
    assert sum(taken for taken, _ in counts) == 50
    assert [free for _, free in counts] == [20] * 8
    waiting = {entry.queue: entry.counts.get(State.QUEUED) for entry in bench.backend.stats(now=bench.now)}
    assert waiting == {"default": 50, "free": 160}


@_quick_turns()
def test_eight_claimers_at_once_never_go_past_a_limit(bench: Bench) -> None:
    three = Controls(
        limit=LimitSpec(key="db", most=3), rate=RateSpec(key="{each}", interval_s=1e-6, burst=999), per="{each}"
    )
    ids = [job_id for key in ("a", "b", "c") for job_id in bench.add_many(40, lane_key=key)]
    workers = [bench.worker(f"w{n}", controls=three) for n in range(8)]
    ready, counting = threading.Barrier(8), threading.Lock()
    running = done = 0
    most: set[int] = set()

    def work(worker: BenchWorker) -> None:
        nonlocal running, done
        ready.wait(60)
        while done < len(ids):
            claims = worker.claim(2)
            with counting:
                running += len(claims)
                most.add(running)
            for claim in claims:
                with counting:  # before it is told: then another may have the place
                    running -= 1
                worker.settle(succeeded(claim))
                with counting:
                    done += 1

    for future in [bench.meanwhile(lambda worker=worker: work(worker)) for worker in workers]:
        future.result(timeout=60)
    assert max(most) in (2, 3)  # 2 if they happen never to meet
    assert {bench.state(job_id) for job_id in ids} == {State.SUCCEEDED}
    assert bench.backend.meters(["limit:db"])["limit:db"].running == 0


@_quick_turns()
def test_eight_claimers_at_once_share_a_rate_in_any_while(bench: Bench) -> None:
    bench.add_many(200, lane_key="a")
    bench.add_many(200, lane_key="b")
    burst = Controls(
        rate=RateSpec(key="api", interval_s=1.0, burst=5), limit=LimitSpec(key="{each}", most=999), per="{each}"
    )
    workers = [bench.worker(f"w{n}", controls=burst) for n in range(8)]
    ready = threading.Barrier(8)

    def work(worker: BenchWorker) -> int:
        ready.wait(60)
        taken, has_more = 0, True
        while has_more:  # others may just be going through the gate
            reply = worker.step(wants=[worker.want(2)])
            taken, has_more = taken + len(reply.claimed), reply.more
        return taken

    taken: list[int] = []
    for pause_s in (0.0, 0.5, 0.5, 3.0, 1.0, 60.0):
        bench.later(pause_s)
        futures = [bench.meanwhile(lambda worker=worker: work(worker)) for worker in workers]
        taken.append(sum(future.result(timeout=60) for future in futures))
    assert taken == [5, 0, 1, 3, 1, 5]


@requires("is_shared")
@_quick_turns()
def test_closing_under_calls_of_other_threads_leaves_each_with_an_answer_or_an_error(bench: Bench) -> None:
    for _ in range(10):
        backend = bench.reopen()
        busy, is_over = threading.Barrier(5), threading.Event()
        enqueued: list[str] = []

        def keep_calling(
            call: Callable[[], object], busy: threading.Barrier = busy, is_over: threading.Event = is_over
        ) -> str:
            call()
            busy.wait(60)
            try:
                while not is_over.is_set():
                    call()
            except BackendUnavailable as error:
                return str(error)
            return "closed"

        def enqueue(backend: Backend = backend, enqueued: list[str] = enqueued) -> None:
            enqueued += [made.id for made in backend.enqueue([bench.new()], now=bench.now)]

        worker = bench.worker("w1", backend=backend)
        calls = (enqueue, enqueue, backend.stats, lambda worker=worker: worker.wait(timeout_s=0.001))
        threads = [bench.meanwhile(lambda call=call, keep=keep_calling: keep(call)) for call in calls]
        busy.wait(60)
        backend.close()
        is_over.set()
        assert all("closed" in thread.result(timeout=60) for thread in threads)
        assert enqueued and None not in bench.backend.get(enqueued)
