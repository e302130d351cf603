"""Get, find, places, ended and stats."""

from __future__ import annotations

from typing import Any

from ...backends.base import Filter, Gate
from ...core.job import Ended, JobSummary
from ...core.states import State
from .bench import OTHER_TASK, TASK, Bench, cancelled, failed, succeeded


def _found(bench: Bench, limit: int = 50, **filter: Any) -> list[str]:
    return [job.id for job in bench.backend.find(Filter(**filter), limit=limit, now=bench.now).jobs]


def test_jobs_are_given_in_the_order_they_were_asked_for(bench: Bench) -> None:
    one, two = bench.add_many(2)
    ghost = bench.new().id
    jobs = bench.backend.get([two, ghost, one, two], now=bench.now)
    assert [job and job.id for job in jobs] == [two, None, one, two]
    assert bench.backend.get([], now=bench.now) == []


def test_find_shows_the_newest_first(bench: Bench) -> None:
    ids = [*bench.add_many(3), bench.add(OTHER_TASK, priority=50), bench.add(delay_s=5)]
    assert _found(bench) == ids[::-1]


def test_find_filters_by_state_task_queue_and_tag(bench: Bench) -> None:
    dead = bench.ended(State.DEAD, queue="mail", tags=("x",))
    drawn = bench.add(OTHER_TASK, tags=("x", "y"))
    mail = bench.add(queue="mail")
    later = bench.add(delay_s=60)
    assert _found(bench, task=OTHER_TASK) == [drawn]
    assert _found(bench, queue="mail") == [mail, dead]
    assert _found(bench, tag="x") == [drawn, dead]
    assert _found(bench, states=frozenset({State.DEAD, State.SCHEDULED})) == [later, dead]
    assert _found(bench, states=frozenset({State.QUEUED}), queue="mail", task=TASK) == [mail]
    assert _found(bench, states=frozenset()) == []
    assert _found(bench, tag="nobody's") == []


def test_find_reaches_what_stands_behind_many_others(bench: Bench) -> None:
    old = {bench.ended(state): state for state in (State.SUCCEEDED, State.DEAD, State.CANCELLED)}
    old |= dict.fromkeys([bench.add(delay_s=9e9), bench.add(delay_s=9e9, tags=("t",))], State.SCHEDULED)
    bench.add()
    claimed = bench.worker().claim_one().id
    old[claimed] = State.RUNNING
    lines = [bench.add(priority=priority) for priority in (0, 7, -7, 7)] + [bench.add(lane_key="k", tags=("t",))]
    mail = bench.add(queue="mail")
    old |= dict.fromkeys([*lines, mail], State.QUEUED)
    bench.add_many(1200, OTHER_TASK)
    several = [{State.DEAD, State.QUEUED}, {State.RUNNING, State.SCHEDULED}, set(State)]
    for states in [*({state} for state in State), *several]:
        expected = [job_id for job_id, state in old.items() if state in states][::-1]
        assert _found(bench, states=frozenset(states), task=TASK) == expected
    assert _found(bench, queue="mail") == [mail]
    assert _found(bench, task=TASK, tag="t") == [lines[-1], list(old)[4]]
    assert _found(bench, states=frozenset({State.DEAD})) == [list(old)[1]]
    pages = [bench.backend.find(Filter(task=TASK), limit=5, now=bench.now)]
    while pages[-1].next:
        pages.append(bench.backend.find(Filter(task=TASK), pages[-1].next, limit=5, now=bench.now))
    assert [[job.id for job in page.jobs] for page in pages] == [list(old)[::-1][n : n + 5] for n in (0, 5, 10)]


def test_find_looks_into_every_line(bench: Bench) -> None:
    jobs = [bench.new(lane_key=str(n)) for n in range(1100)]
    bench.backend.enqueue(jobs, now=bench.now)
    ids = [job.id for job in jobs]
    assert _found(bench, 2000, states=frozenset({State.QUEUED})) == ids[::-1]
    assert _found(bench, 2000, task=TASK) == ids[::-1]


def test_pages_show_each_job_once(bench: Bench) -> None:
    ids = bench.add_many(7)
    for size, sizes in ((3, [3, 3, 1]), (7, [7]), (6, [6, 1])):
        pages: list[list[str]] = []
        after: str | None = None
        for _ in ids:
            page = bench.backend.find(Filter(), after, size, now=bench.now)
            pages.append([job.id for job in page.jobs])
            after = page.next
            if after is None:
                break
        assert [len(page) for page in pages] == sizes
        assert [job_id for page in pages for job_id in page] == ids[::-1]


def test_pages_hold_still_while_jobs_come_in(bench: Bench) -> None:
    ids = bench.add_many(4)
    first = bench.backend.find(Filter(), limit=2, now=bench.now)
    bench.add_many(3)
    second = bench.backend.find(Filter(), first.next, limit=2, now=bench.now)
    assert [job.id for job in second.jobs] == [ids[1], ids[0]]


def test_find_never_loads_arguments(bench: Bench) -> None:
    bench.add(args=b'{"n":1}')
    [found] = bench.backend.find(Filter(), now=bench.now).jobs
    assert type(found) is JobSummary


def test_a_page_of_nothing_is_the_last(bench: Bench) -> None:
    page = bench.backend.find(Filter(), now=bench.now)
    assert (page.jobs, page.next) == ((), None)


def test_place_counts_the_jobs_before_it_in_its_lane(bench: Bench) -> None:
    first, second = bench.add_many(2)
    bench.add(OTHER_TASK)
    bench.add(lane_key="other")
    urgent, low = bench.add(priority=5), bench.add(priority=-5)
    assert bench.backend.places([urgent, first, second, low], now=bench.now) == [0, 1, 2, 3]
    worker = bench.worker()
    worker.claim_one()
    assert bench.backend.places([urgent, first, second, low], now=bench.now) == [None, 0, 1, 2]


def test_only_queued_jobs_have_a_place(bench: Bench) -> None:
    ids = [bench.add(delay_s=5), bench.ended(State.DEAD, queue="q"), bench.new().id]
    assert bench.backend.places(ids, now=bench.now) == [None, None, None]
    assert bench.backend.places([], now=bench.now) == []


def test_places_of_many_lanes_come_in_the_order_they_were_asked_for(bench: Bench) -> None:
    ids = [bench.add(lane_key=key) for key in "abbaab"]
    ghost = bench.new().id
    assert bench.backend.places([*ids[::-1], ghost, ids[1]], now=bench.now) == [2, 2, 1, 1, 0, 0, None, 0]


def test_places_are_counted_no_further_than_is_asked_for(bench: Bench) -> None:
    ids = bench.add_many(5)
    assert bench.backend.places(ids, most=3, now=bench.now) == [0, 1, 2, 3, 3]
    assert bench.backend.places(ids, most=0, now=bench.now) == [0] * 5


def test_what_ended_is_told_newest_first(bench: Bench) -> None:
    ended: list[Ended] = []
    worker = bench.worker(tasks=(TASK, OTHER_TASK))
    for to, task, ran_s in ((State.SUCCEEDED, TASK, 2), (State.DEAD, OTHER_TASK, 3), (State.CANCELLED, TASK, 4)):
        bench.add(task)
        claim = worker.start_one()
        started_at = bench.now
        bench.later(ran_s)
        ends = {State.SUCCEEDED: succeeded, State.DEAD: failed, State.CANCELLED: cancelled}
        worker.settle(ends[to](claim, to=to))
        ended.append(Ended(task=task, started_at=started_at, finished_at=bench.now, state=to))
    bench.ended(State.SUCCEEDED, queue="mail")
    assert bench.backend.ended("default", now=bench.now) == ended[::-1]
    assert bench.backend.ended("default", 2, now=bench.now) == ended[:0:-1]
    assert len(bench.backend.ended("mail", now=bench.now)) == 1
    assert bench.backend.ended("other", now=bench.now) == []


def test_what_did_not_begin_has_not_ended(bench: Bench) -> None:
    bench.ended(State.CANCELLED)
    bench.add(delay_s=5)
    worker = bench.worker()
    bench.add()
    worker.start_one()
    assert bench.backend.ended("default", now=bench.now) == []


def test_jobs_that_end_together_are_told_in_the_order_of_their_age(bench: Bench) -> None:
    bench.add_many(3)
    worker = bench.worker()
    claims = worker.claim(3)
    worker.settle(*(succeeded(claim, started_ago_s=float(n)) for n, claim in enumerate(claims)))
    assert [bench.now - (end.started_at or 0) for end in bench.backend.ended("default", now=bench.now)] == [2, 1, 0]


def test_stats_count_the_jobs_of_each_queue(bench: Bench) -> None:
    worker = bench.worker(queues=("default", "idle"))
    bench.add_many(3)
    bench.later(7)
    worker.claim_one()
    bench.add(delay_s=60)
    bench.ended(State.SUCCEEDED, queue="mail")
    bench.ended(State.DEAD, queue="mail")
    stats = {entry.queue: entry for entry in bench.backend.stats(now=bench.now)}
    assert list(stats) == ["default", "idle", "mail"]
    counts = {queue: {s: n for s, n in entry.counts.items() if n} for queue, entry in stats.items()}
    assert counts == {
        "default": {State.QUEUED: 2, State.RUNNING: 1, State.SCHEDULED: 1},
        "idle": {},
        "mail": {State.SUCCEEDED: 1, State.DEAD: 1},
    }
    assert [entry.oldest_waiting_s for entry in stats.values()] == [7, None, None]
    assert [entry.workers for entry in stats.values()] == [1, 1, 0]


def test_stats_name_tasks_that_no_live_worker_knows(bench: Bench) -> None:
    bench.worker()
    bench.add_many(2)
    bench.add(OTHER_TASK)
    [stats] = bench.backend.stats(now=bench.now)
    assert stats.unknown_tasks == (OTHER_TASK,)
    bench.later(31)
    [stats] = bench.backend.stats(now=bench.now)
    assert (set(stats.unknown_tasks), stats.workers) == ({TASK, OTHER_TASK}, 0)


def test_a_task_is_unknown_only_while_jobs_of_it_wait(bench: Bench) -> None:
    job_id = bench.add(OTHER_TASK)
    bench.backend.cancel([job_id], now=bench.now)
    assert [entry.unknown_tasks for entry in bench.backend.stats(now=bench.now)] == [()]


def test_stats_show_the_gates_of_a_queue(bench: Bench) -> None:
    bench.backend.shut(Gate(scope="queue:mail", reason="down"), now=bench.now)
    bench.backend.shut(Gate(scope="queue:short", until=bench.now + 5), now=bench.now)
    stats = {entry.queue: entry for entry in bench.backend.stats(now=bench.now)}
    assert [gate.reason for gate in stats["mail"].gates] == ["down"]
    assert len(stats["short"].gates) == 1
    bench.later(6)
    assert [entry.queue for entry in bench.backend.stats(now=bench.now) if entry.gates] == ["mail"]


def test_what_a_failure_leaves_is_found_in_summaries(bench: Bench) -> None:
    job_id = bench.add(summary="a page", tags=("t",), key="k")
    worker = bench.worker()
    worker.settle(failed(worker.claim_one(), to=State.DEAD, reason="why"))
    [found] = bench.backend.find(Filter(), now=bench.now).jobs
    job = bench.job(job_id)
    shown = {name: getattr(job, name) for name in JobSummary.__struct_fields__}
    assert found == JobSummary(**shown)


def test_an_empty_store_has_nothing_to_show(bench: Bench) -> None:
    backend = bench.backend
    assert (backend.stats(now=bench.now), backend.workers(now=bench.now), backend.gates(now=bench.now)) == ([], [], [])
    assert (backend.published(), backend.audit()) == ({}, [])
    assert backend.location
