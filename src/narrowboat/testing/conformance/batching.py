"""Batches: each end is counted once, and the last one brings the final job, once, in the same step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backends.base import Change, Filter, Retention
from ...core.batch import ENDED, HEADER, Batch, BatchPart, blank, told
from ...core.errors import QueueFull
from ...core.job import Claim
from ...core.queue import Queue
from ...core.states import State
from .bench import OTHER_TASK, Bench, BenchWorker, cancelled, crashed, failed, released, requires, succeeded

ID = "01J9ZK0000000000000000BATCH"


def part_of(bench: Bench, id: str = ID, **fields: Any) -> BatchPart:
    """A batch with a final job."""
    return BatchPart(id=id, then=bench.new(OTHER_TASK, headers={HEADER: blank(id)}), **fields)


def write(bench: Bench, part: BatchPart, n: int, **fields: Any) -> list[str]:
    """n jobs of a batch, in one call."""
    jobs = [bench.new(batch=part.id, **fields) for _ in range(n)]
    bench.backend.enqueue(jobs, now=bench.now, batches=[part])
    return [job.id for job in jobs]


def read(bench: Bench, id: str = ID) -> Batch:
    """A batch that must be there."""
    [found] = bench.backend.batches([id])
    assert found is not None
    return found


def totals(bench: Bench, id: str = ID) -> tuple[int, int, int, int]:
    """(total, succeeded, dead, cancelled)."""
    batch = read(bench, id)
    return batch.total, batch.succeeded, batch.dead, batch.cancelled


def finals(bench: Bench, part: BatchPart) -> int:
    """How often its final job is there."""
    assert part.then is not None
    return len(bench.backend.find(Filter(task=OTHER_TASK), now=bench.now).jobs)


def dead(bench: Bench, worker: BenchWorker) -> None:
    """The next job ends dead."""
    worker.settle(failed(worker.claim_one(), to=State.DEAD))


def test_the_last_success_writes_the_final_job(bench: Bench) -> None:
    part = part_of(bench)
    ids = write(bench, part, 3)
    assert totals(bench) == (3, 0, 0, 0)
    assert [bench.job(id_).batch for id_ in ids] == [ID] * 3
    worker = bench.worker(tasks=("demo.send", OTHER_TASK))
    one, two, three = worker.claim(3)
    worker.settle(succeeded(one), succeeded(two))
    assert totals(bench) == (3, 2, 0, 0)
    assert finals(bench, part) == 0
    worker.settle(succeeded(three, result=b"3", logs=("done",)))
    assert totals(bench) == (3, 3, 0, 0)
    assert read(bench).finished_at == bench.now
    final = worker.claim_one()
    assert part.then is not None
    assert final.id == read(bench).then == part.then.id
    found = told(final.headers)
    assert found is not None
    assert (found.id, found.total, found.succeeded, found.dead, found.cancelled) == (ID, 3, 3, 0, 0)


def test_a_step_that_is_sent_again_counts_nothing_again(bench: Bench) -> None:
    part = part_of(bench)
    write(bench, part, 2)
    worker = bench.worker()
    one, two = worker.claim(2)
    worker.settle(succeeded(one))
    worker.step_again()
    assert totals(bench) == (2, 1, 0, 0)
    worker.settle(succeeded(two))
    worker.step_again()
    assert worker.settle(succeeded(two)) == (two.id,)
    assert totals(bench) == (2, 2, 0, 0)
    assert finals(bench, part) == 1


def test_a_dead_job_holds_the_batch_open_until_a_retry_succeeds(bench: Bench) -> None:
    part = part_of(bench)
    write(bench, part, 2)
    worker = bench.worker()
    dead(bench, worker)
    worker.settle(succeeded(worker.claim_one()))
    assert totals(bench) == (2, 1, 1, 0)
    assert read(bench).has_ended
    assert finals(bench, part) == 0
    [job] = bench.backend.find(Filter(batch=ID, states=frozenset({State.DEAD})), now=bench.now).jobs
    assert bench.backend.retry([job.id], now=bench.now) == [True]
    assert totals(bench) == (2, 1, 0, 0)
    worker.settle(succeeded(worker.claim_one()))
    assert totals(bench) == (2, 2, 0, 0)
    assert finals(bench, part) == 1


def test_a_batch_that_waits_for_ends_is_finished_whatever_they_are(bench: Bench) -> None:
    part = part_of(bench, when=ENDED)
    ids = write(bench, part, 4)
    worker = bench.worker(tasks=("demo.send", OTHER_TASK))
    bench.backend.cancel([ids[3]], now=bench.now)
    one, two, three = worker.claim(3)
    worker.settle(crashed(one, to=State.DEAD), cancelled(two))
    assert finals(bench, part) == 0
    worker.settle(succeeded(three))
    assert totals(bench) == (4, 1, 1, 2)
    found = told(worker.claim_one().headers)
    assert found is not None
    assert (found.succeeded, found.dead, found.cancelled) == (1, 1, 2)


def test_a_retry_after_the_end_writes_no_second_final_job(bench: Bench) -> None:
    part = part_of(bench, when=ENDED)
    [only] = write(bench, part, 1)
    worker = bench.worker()
    dead(bench, worker)
    finished_at = read(bench).finished_at
    assert finished_at is not None
    bench.later(5)
    bench.backend.retry([only], Change(delay_s=1.0), now=bench.now)
    assert totals(bench) == (1, 0, 0, 0)
    bench.later(2)
    worker.settle(succeeded(worker.claim_one()))
    assert totals(bench) == (1, 1, 0, 0)
    assert read(bench).finished_at == finished_at
    assert finals(bench, part) == 1


def test_attempts_that_are_not_the_last_are_no_ends(bench: Bench) -> None:
    part = part_of(bench)
    write(bench, part, 1)
    worker = bench.worker()
    worker.settle(failed(worker.claim_one()))
    bench.later(11)
    worker.settle(released(worker.claim_one()))
    assert totals(bench) == (1, 0, 0, 0)
    worker.settle(succeeded(worker.claim_one()))
    assert totals(bench) == (1, 1, 0, 0)
    assert finals(bench, part) == 1


def test_a_rescued_job_is_counted_once(bench: Bench) -> None:
    part = part_of(bench)
    write(bench, part, 1)
    lost, worker = bench.worker(), bench.worker()
    lost.start_one()
    [rescued] = worker.rescue(dead=[lost.id])
    assert totals(bench) == (1, 0, 0, 0)
    worker.settle(succeeded(rescued))
    assert totals(bench) == (1, 1, 0, 0)
    assert finals(bench, part) == 1


def test_a_started_job_is_counted_too(bench: Bench) -> None:
    part = part_of(bench)
    write(bench, part, 1)
    worker = bench.worker()
    worker.settle(succeeded(worker.start_one()))
    assert totals(bench) == (1, 1, 0, 0)
    assert finals(bench, part) == 1


def test_a_job_that_is_given_back_after_a_cancel_ends_its_batch(bench: Bench) -> None:
    part = part_of(bench, when=ENDED)
    ids = write(bench, part, 3)
    lost, worker = bench.worker(), bench.worker()
    one = worker.claim_one()
    worker.claim_one()
    lost.claim_one()
    bench.backend.cancel(ids, now=bench.now)
    worker.settle(released(one))
    assert totals(bench) == (3, 0, 0, 1)
    worker.extend()
    assert totals(bench) == (3, 0, 0, 2)
    lost.leave()
    assert totals(bench) == (3, 0, 0, 3)
    assert finals(bench, part) == 1


def test_the_final_job_waits_until_all_parts_are_written(bench: Bench) -> None:
    part = part_of(bench, is_last=False)
    write(bench, part, 2)
    worker = bench.worker()
    worker.settle(*(succeeded(claim) for claim in worker.claim(2)))
    assert not read(bench).is_sealed
    assert finals(bench, part) == 0
    write(bench, BatchPart(id=ID, then=part.then, is_last=True), 1)
    assert totals(bench) == (3, 2, 0, 0)
    worker.settle(succeeded(worker.claim_one()))
    assert finals(bench, part) == 1


def test_sealing_what_has_ended_writes_the_final_job(bench: Bench) -> None:
    part = part_of(bench, is_last=False)
    write(bench, part, 1)
    worker = bench.worker()
    worker.settle(succeeded(worker.claim_one()))
    last = BatchPart(id=ID, then=part.then)
    for _ in range(2):
        bench.backend.enqueue([], now=bench.now, batches=[last])
    assert finals(bench, part) == 1


def test_an_empty_batch_is_finished_at_once(bench: Bench) -> None:
    part = part_of(bench)
    write(bench, part, 0)
    assert totals(bench) == (0, 0, 0, 0)
    assert read(bench).finished_at == bench.now
    assert finals(bench, part) == 1


def test_what_was_not_written_is_not_counted(bench: Bench) -> None:
    holder = bench.add(key="k")
    part = part_of(bench)
    mine, again = bench.new(batch=ID), bench.new(batch=ID, key="k")
    answers = bench.backend.enqueue([mine, mine, again], now=bench.now, batches=[part])
    assert [(answer.id, answer.created) for answer in answers] == [(mine.id, True), (mine.id, False), (holder, False)]
    assert totals(bench) == (1, 0, 0, 0)
    bench.backend.enqueue([mine, again], now=bench.now, batches=[part])  # the reply was lost
    assert totals(bench) == (1, 0, 0, 0)


def test_a_batch_that_is_not_kept_leaves_nothing(bench: Bench) -> None:
    bench.add(key="k")
    unwritten = part_of(bench, "01J9ZK000000000000000000ONE", is_kept=False)
    write(bench, unwritten, 1, key="k")
    assert bench.backend.batches([unwritten.id]) == [None]
    assert finals(bench, unwritten) == 0
    worker = bench.worker()
    worker.settle(succeeded(worker.claim_one()))
    part = part_of(bench, is_kept=False)
    job = bench.new(batch=ID)
    bench.backend.enqueue([job], now=bench.now, batches=[part])
    worker.settle(succeeded(worker.claim_one()))
    for _ in range(2):
        assert bench.backend.batches([ID]) == [None]
        assert finals(bench, part) == 1
        bench.backend.enqueue([job], now=bench.now, batches=[part])  # the reply was lost


def test_past_a_limit_there_is_no_batch(bench: Bench) -> None:
    part = part_of(bench)
    jobs = [bench.new(batch=ID) for _ in range(3)]
    try:
        bench.backend.enqueue(jobs, limits={"default": Queue("default", waiting=2)}, now=bench.now, batches=[part])
    except QueueFull:
        assert bench.backend.batches([ID]) == [None]
        return
    raise AssertionError("it was not refused")


def test_a_final_job_may_wait_in_turn(bench: Bench) -> None:
    part = BatchPart(id=ID, then=bench.new(OTHER_TASK, delay_s=30.0, queue="reports"))
    write(bench, part, 1)
    worker = bench.worker()
    bench.later(5)
    worker.settle(succeeded(worker.claim_one()))
    assert part.then is not None
    final = bench.job(part.then.id)
    assert (final.state, final.due_at, final.queue) == (State.SCHEDULED, bench.now + 30.0, "reports")


def test_a_batch_without_a_final_job_counts_all_the_same(bench: Bench) -> None:
    write(bench, BatchPart(id=ID, summary="photos of May"), 1)
    worker = bench.worker()
    worker.settle(succeeded(worker.claim_one()))
    found = read(bench)
    assert (found.finished_at, found.then, found.summary) == (bench.now, "", "photos of May")


def test_the_jobs_of_a_batch_can_be_listed(bench: Bench) -> None:
    ids = write(bench, part_of(bench), 5)
    write(bench, part_of(bench, "01J9ZK00000000000000000MORE"), 2)
    bench.add()
    page = bench.backend.find(Filter(batch=ID), limit=3, now=bench.now)
    rest = bench.backend.find(Filter(batch=ID), after=page.next, limit=3, now=bench.now)
    assert [job.id for job in (*page.jobs, *rest.jobs)] == ids[::-1]
    assert rest.next is None
    assert [batch.id for batch in bench.backend.latest_batches(1)] == ["01J9ZK00000000000000000MORE"]
    assert bench.backend.batches(["unknown", ID])[0] is None


def test_records_of_jobs_may_go_before_their_batch(bench: Bench) -> None:
    part = part_of(bench)
    write(bench, part, 2)
    worker = bench.worker()
    worker.settle(succeeded(worker.claim_one()))
    bench.later(200)
    bench.backend.purge(Retention(keep_s=100), now=bench.now)
    assert totals(bench) == (2, 1, 0, 0)
    worker.settle(succeeded(worker.claim_one()))
    assert finals(bench, part) == 1
    bench.later(50)
    bench.backend.purge(Retention(keep_s=100), now=bench.now)
    assert read(bench).finished_at is not None
    bench.later(51)
    bench.backend.purge(Retention(keep_s=100), now=bench.now)
    assert bench.backend.batches([ID]) == [None]
    assert bench.backend.latest_batches() == []


def test_a_batch_that_is_held_open_stays_as_long_as_dead_jobs_do(bench: Bench) -> None:
    write(bench, part_of(bench), 1)
    write(bench, part_of(bench, "01J9ZK00000000000000000MORE"), 1)
    worker = bench.worker()
    dead(bench, worker)
    bench.later(500)
    bench.backend.purge(Retention(keep_s=100, dead_s=1000), now=bench.now)
    assert totals(bench) == (1, 0, 1, 0)
    bench.later(501)
    bench.backend.purge(Retention(keep_s=100, dead_s=1000), now=bench.now)
    assert bench.backend.batches([ID]) == [None]
    assert totals(bench, "01J9ZK00000000000000000MORE") == (1, 0, 0, 0)
    worker.settle(succeeded(worker.claim_one()))


@requires("is_shared")
def test_of_many_that_end_at_once_one_brings_the_final_job(bench: Bench) -> None:
    part = part_of(bench)
    write(bench, part, 24)
    workers = [bench.worker(backend=bench.reopen()) for _ in range(6)]
    claims = [worker.claim(4) for worker in workers]

    def settle_all(worker: BenchWorker, mine: Sequence[Claim]) -> None:
        for claim in mine:
            assert worker.settle(succeeded(claim)) == ()

    for race in [bench.meanwhile(lambda w=w, c=c: settle_all(w, c)) for w, c in zip(workers, claims, strict=True)]:
        race.result(timeout=60)
    assert totals(bench) == (24, 24, 0, 0)
    assert finals(bench, part) == 1


def test_a_final_job_wakes_a_worker(bench: Bench) -> None:
    write(bench, part_of(bench), 1)
    worker, other = bench.worker(), bench.worker(tasks=(OTHER_TASK,))
    claim = worker.claim_one()
    woken = bench.woken_by(lambda: worker.settle(succeeded(claim)), lambda: other.wait(timeout_s=10))
    assert woken.work


def test_a_final_job_that_a_cancel_brings_wakes_a_worker(bench: Bench) -> None:
    [waiting] = write(bench, part_of(bench, when=ENDED), 1)
    worker = bench.worker(tasks=(OTHER_TASK,))
    woken = bench.woken_by(lambda: bench.backend.cancel([waiting], now=bench.now), lambda: worker.wait(timeout_s=10))
    assert woken.work
