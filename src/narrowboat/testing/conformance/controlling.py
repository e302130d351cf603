"""Controls: rates, limits and breakers hold for all workers together, lose nothing, and charge nothing."""

from __future__ import annotations

import time
from typing import Any

from msgspec.structs import replace

from ...backends.base import Gate, Retention
from ...core.controls import REMEMBERED_S, BreakerSpec, Controls, LimitSpec, Meter, RateSpec
from ...core.decide import Settlement
from ...core.job import Claim
from ...core.outcome import ErrorInfo
from ...core.states import State
from .bench import OTHER_TASK, TASK, Bench, BenchWorker, crashed, failed, released, snoozed, succeeded
from .sleepers import PROMPT_S

TWO_AT_A_TIME = Controls(limit=LimitSpec(key="db", most=2))
ONE_A_SECOND = Controls(rate=RateSpec(key="api", interval_s=1.0))
BURST = Controls(rate=RateSpec(key="api", interval_s=1.0, burst=3))
TENANT = "tenant:{tenant}"
SMTP = BreakerSpec(key="smtp", failures=3, within_s=60.0, retry_after_s=30.0)
BREAKER = Controls(breaker=SMTP)
SCOPE = "breaker:smtp"


def trip(bench: Bench, worker: BenchWorker, n: int = SMTP.failures) -> list[str]:
    """Let n jobs fail in a way that the breaker counts; their ids."""
    ids = bench.add_many(n)
    claims = worker.claim(n)
    worker.settle(*(down(claim) for claim in claims))
    return ids


def down(claim: Claim, **fields: Any) -> Settlement:
    """It failed since the service is down."""
    return failed(claim, trips=True, error=ErrorInfo(type="OSError", message="refused"), **fields)


def test_no_more_than_the_limit_run_at_a_time_over_all_workers(bench: Bench) -> None:
    bench.add_many(5)
    one, two = bench.worker(controls=TWO_AT_A_TIME), bench.worker(controls=TWO_AT_A_TIME)
    [first] = one.claim(1)
    [second] = two.claim(5)
    assert (one.claim(5), two.claim(5)) == ([], [])
    one.settle(succeeded(first))
    assert len(one.claim(5)) == 1
    two.settle(failed(second))
    assert len(two.claim(5)) == 1


def test_a_settlement_makes_room_for_the_claims_of_its_own_step(bench: Bench) -> None:
    bench.add_many(5)
    worker = bench.worker(controls=TWO_AT_A_TIME)
    claims = worker.claim(5)
    reply = worker.step([succeeded(claim) for claim in claims], wants=[worker.want(5)])
    assert len(reply.claimed) == 2
    assert not reply.more  # for now, nobody may have the fifth


def test_a_claim_that_ends_in_any_way_makes_room(bench: Bench) -> None:
    one_at_a_time = Controls(limit=LimitSpec(key="db", most=1))
    worker = bench.worker(controls=one_at_a_time)
    for end in (succeeded, failed, crashed, snoozed, released):
        bench.add()
        worker.settle(end(worker.claim_one()))  # type: ignore[operator]
    bench.add()
    claim = worker.claim_one()
    bench.backend.cancel([claim.id], now=bench.now)
    worker.settle(failed(claim))
    bench.later(31)
    assert len(worker.claim(5)) == 1  # one of those that were put off


def test_an_end_that_a_step_names_twice_makes_room_once(bench: Bench) -> None:
    bench.add_many(4)
    worker = bench.worker(controls=TWO_AT_A_TIME)
    one, _ = worker.claim(4)
    reply = worker.step([succeeded(one), succeeded(one)], wants=[worker.want(4)])
    assert (reply.refused, len(reply.claimed)) == ((one.id,), 1)


def test_what_a_lost_worker_held_makes_room_when_it_is_settled(bench: Bench) -> None:
    bench.add_many(3)
    lost, other = bench.worker(controls=TWO_AT_A_TIME), bench.worker(controls=TWO_AT_A_TIME)
    lost.claim(2)
    bench.later(20)
    other.extend()
    bench.later(15)
    assert other.claim(5) == []
    rescued = other.rescue()
    assert (len(rescued), other.claim(5)) == (2, [])  # they still run, as far as anybody knows
    reply = other.step([released(claim) for claim in rescued], wants=[other.want(5)])
    assert len(reply.claimed) == 2


def test_what_a_worker_gives_back_makes_room(bench: Bench) -> None:
    bench.add_many(3)
    leaving, forgetful, other = (bench.worker(controls=Controls(limit=LimitSpec(key="db", most=1))) for _ in range(3))
    leaving.claim_one()
    leaving.leave()
    forgetful.claim_one()
    assert other.claim() == []
    forgetful.extend()  # it never heard of the claim
    assert len(other.claim()) == 1


def test_tasks_share_a_limit_by_its_key_and_others_are_free(bench: Bench) -> None:
    both = (TASK, OTHER_TASK)
    bench.add_many(3)
    bench.add_many(3, OTHER_TASK)
    bench.add_many(3, "demo.free")
    worker = bench.worker(tasks=(*both, "demo.free"), controls=dict.fromkeys(both, TWO_AT_A_TIME))
    claims = worker.claim(9)
    assert sum(claim.task == "demo.free" for claim in claims) == 3
    assert len(claims) == 5


def test_each_value_of_a_key_has_a_limit_of_its_own(bench: Bench) -> None:
    per_tenant = Controls(limit=LimitSpec(key=TENANT, most=2), per=TENANT)
    for tenant in ("tenant:1", "tenant:2"):
        bench.add_many(5, lane_key=tenant)
    worker = bench.worker(controls=per_tenant)
    claims = worker.claim(9)
    keys = sorted(bench.job(claim.id).lane_key for claim in claims)
    assert keys == ["tenant:1", "tenant:1", "tenant:2", "tenant:2"]
    assert bench.backend.meters(["limit:tenant:1", "limit:tenant:3"])["limit:tenant:1"].running == 2


def test_a_key_with_many_jobs_does_not_starve_one_with_few(bench: Bench) -> None:
    per_tenant = Controls(limit=LimitSpec(key="db", most=1), rate=RateSpec(key=TENANT, interval_s=0.001), per=TENANT)
    bench.add_many(300, lane_key="tenant:large")
    few = bench.add_many(3, lane_key="tenant:small")
    worker = bench.worker(controls=per_tenant)
    order: list[str] = []
    for _ in range(8):
        bench.later(1)
        claim = worker.claim_one()
        order.append(claim.id)
        worker.settle(succeeded(claim))
    assert set(few) <= set(order)


def test_a_rate_lets_one_through_for_each_interval(bench: Bench) -> None:
    bench.add_many(10)
    worker = bench.worker(controls=ONE_A_SECOND)
    assert len(worker.claim(10)) == 1
    bench.later(0.9)
    assert worker.claim(10) == []
    bench.later(0.2)
    assert len(worker.claim(10)) == 1
    bench.later(50)  # what was not used is not saved up beyond the burst
    assert len(worker.claim(10)) == 1


def test_a_burst_goes_through_at_once_after_a_rest(bench: Bench) -> None:
    bench.add_many(20)
    worker = bench.worker(controls=BURST)
    taken: list[int] = []
    for pause_s in (0.0, 1.0, 0.5, 0.5, 2.0, 100.0):
        bench.later(pause_s)
        taken.append(len(worker.claim(10)))
    assert taken == [3, 1, 0, 1, 2, 3]


def test_workers_share_a_rate_and_its_end_is_no_work(bench: Bench) -> None:
    bench.add_many(10)
    one, two = bench.worker(controls=BURST), bench.worker(controls=BURST)
    assert (len(one.claim(2)), len(two.claim(2))) == (2, 1)
    reply = one.step(wants=[one.want(5)])
    assert (reply.claimed, reply.more) == ((), False)


def test_waiting_ends_when_a_rate_lets_the_next_one_through(bench: Bench) -> None:
    bench.add_many(2)
    worker = bench.worker(controls=ONE_A_SECOND)
    assert len(worker.claim(2)) == 1
    began = time.monotonic()
    assert worker.wait(timeout_s=10).work
    assert 0.9 <= time.monotonic() - began < PROMPT_S


def test_waiting_ends_when_a_limit_has_room_again(bench: Bench) -> None:
    bench.add_many(3)
    busy, idle = bench.worker(controls=TWO_AT_A_TIME), bench.worker(controls=TWO_AT_A_TIME)
    first, _ = busy.claim(2)
    assert bench.woken_by(lambda: busy.settle(succeeded(first)), lambda: idle.wait(timeout_s=10)).work
    assert len(idle.claim(5)) == 1


def test_a_job_that_goes_back_has_used_up_its_part_of_the_rate(bench: Bench) -> None:
    bench.add_many(2)
    worker = bench.worker(controls=ONE_A_SECOND)
    worker.settle(released(worker.claim_one()))
    assert worker.claim(2) == []


def test_slow_down_holds_everything_under_the_rate_uncharged_and_then_goes_on_without_a_burst(bench: Bench) -> None:
    bench.add_many(10)
    both = dict.fromkeys((TASK, OTHER_TASK), BURST)
    worker = bench.worker(tasks=(TASK, OTHER_TASK), controls=both)
    first, *others = worker.claim(3)
    worker.settle(snoozed(first, delay_s=20.0, slow_s=20.0), *map(succeeded, others))
    bench.add(OTHER_TASK)
    bench.later(19)
    assert worker.claim(10) == []
    bench.later(1.01)
    assert len(worker.claim(10)) == 1
    bench.later(0.5)
    assert worker.claim(10) == []
    bench.later(0.5)
    assert len(worker.claim(10)) == 1
    assert (bench.job(first.id).attempts, bench.job(first.id).snoozes) == (0, 1)


def test_slow_down_of_a_task_without_a_rate_holds_the_task(bench: Bench) -> None:
    bench.add_many(3)
    bench.add(OTHER_TASK)
    worker = bench.worker(tasks=(TASK, OTHER_TASK))
    claim = worker.claim_one(tasks=[TASK])
    worker.settle(snoozed(claim, delay_s=20.0, slow_s=20.0))
    assert [found.task for found in worker.claim(5)] == [OTHER_TASK]
    [gate] = bench.backend.gates(now=bench.now)
    assert (gate.scope, gate.kind, gate.until) == (f"task:{TASK}", "slow-down", bench.now + 20)
    bench.later(20.5)
    assert len(worker.claim(5)) == 3


def test_slow_down_does_not_open_what_a_person_has_paused(bench: Bench) -> None:
    bench.add_many(2)
    worker = bench.worker()
    claim = worker.claim_one()
    bench.backend.shut(Gate(scope=f"task:{TASK}", reason="mine"), now=bench.now)
    worker.settle(snoozed(claim, slow_s=20.0))
    assert [(gate.reason, gate.until) for gate in bench.backend.gates(now=bench.now)] == [("mine", None)]


def test_a_breaker_opens_after_so_many_failures_within_its_time(bench: Bench) -> None:
    worker = bench.worker(controls=BREAKER)
    trip(bench, worker, 2)
    bench.later(61)
    for claim in worker.claim(9):
        worker.settle(succeeded(claim))
    trip(bench, worker, 2)
    bench.add()
    assert len(worker.claim()) == 1
    trip(bench, worker, 1)
    bench.add()
    assert worker.claim(5) == []
    [gate] = bench.backend.gates(now=bench.now)
    assert (gate.scope, gate.kind, gate.until, gate.since) == (SCOPE, "breaker", bench.now + 30, bench.now)
    assert "refused" in gate.reason


def test_failures_of_other_kinds_do_not_open_it(bench: Bench) -> None:
    worker = bench.worker(controls=BREAKER)
    bench.add_many(9)
    worker.settle(*map(failed, worker.claim(9)))
    bench.add()
    assert len(worker.claim()) == 1


def test_an_open_breaker_holds_all_tasks_of_its_name_and_no_others(bench: Bench) -> None:
    tasks = (TASK, OTHER_TASK, "demo.free")
    worker = bench.worker(tasks=tasks, controls=dict.fromkeys(tasks[:2], BREAKER))
    trip(bench, worker)
    for task in tasks:
        bench.add(task)
    assert [claim.task for claim in worker.claim(9)] == ["demo.free"]


def test_one_job_at_a_time_tries_and_its_success_lets_all_go_on(bench: Bench) -> None:
    one, two = bench.worker(controls=BREAKER), bench.worker(controls=BREAKER)
    trip(bench, one)
    bench.add_many(5)
    bench.later(29)
    assert len(one.claim(5)) == 0
    bench.later(1)
    one.extend()
    two.extend()
    [probe] = one.claim(5)
    assert two.claim(5) == []
    one.settle(succeeded(probe))
    assert bench.backend.gates(now=bench.now) == []
    assert len(two.claim(9)) == 7


def test_a_probe_that_fails_is_not_charged_and_another_job_is_the_next(bench: Bench) -> None:
    worker = bench.worker(controls=BREAKER)
    ids = trip(bench, worker)
    assert [bench.job(job_id).errors for job_id in ids] == [1, 1, 1]
    bench.add_many(5)
    probes: list[str] = []
    for _ in range(3):
        bench.later(30)
        worker.extend()
        [probe] = worker.claim(9)
        probes.append(probe.id)
        worker.settle(down(probe, to=State.DEAD))  # its last attempt, had it been charged
        assert worker.claim(9) == []
    assert len(set(probes)) > 1
    for job_id in probes:
        job = bench.job(job_id)
        assert (job.state, job.snoozes, job.reason) == (State.SCHEDULED, probes.count(job_id), "")
        assert job.history[-1].error is not None


def test_nobody_is_told_of_an_end_that_is_none(bench: Bench) -> None:
    worker = bench.worker(tasks=(TASK, OTHER_TASK), controls={TASK: BREAKER})
    trip(bench, worker)
    bench.add()
    bench.later(30)
    told = bench.new(OTHER_TASK)
    worker.settle(down(worker.claim_one(), to=State.DEAD, enqueue=(told,)))
    assert bench.backend.get([told.id]) == [None]


def test_what_was_running_when_it_opened_is_not_charged(bench: Bench) -> None:
    worker = bench.worker(controls=BREAKER)
    bench.add_many(5)
    claims = worker.claim(5)
    worker.settle(*(down(claim) for claim in claims))
    charged = [bench.job(claim.id).errors for claim in claims]
    assert charged == [1, 1, 1, 0, 0]


def test_a_probe_that_ends_without_a_word_makes_way_for_the_next(bench: Bench) -> None:
    worker, other = bench.worker(controls=BREAKER), bench.worker(controls=BREAKER)
    trip(bench, worker)
    bench.add_many(5)
    bench.later(30)
    for end in (released, crashed, snoozed):
        worker.settle(end(worker.claim_one()))
    worker.claim_one()
    assert other.claim() == []
    worker.leave()
    assert len(other.claim(5)) == 1


def test_a_failure_of_another_kind_shows_that_the_service_is_back(bench: Bench) -> None:
    worker = bench.worker(controls=BREAKER)
    trip(bench, worker)
    bench.add_many(5)
    bench.later(30)
    worker.settle(failed(worker.claim_one()))
    assert len(worker.claim(9)) > 1


def test_a_person_opens_and_closes_a_breaker(bench: Bench) -> None:
    worker = bench.worker(controls=BREAKER)
    bench.add_many(2)
    bench.backend.shut(Gate(scope=SCOPE, reason="moving house"), now=bench.now)
    bench.later(1000)
    worker.publish()
    assert worker.claim() == []
    [gate] = bench.backend.gates(now=bench.now)
    assert (gate.reason, gate.until) == ("moving house", None)
    assert bench.backend.open(SCOPE, now=bench.now)
    assert not bench.backend.open(SCOPE, now=bench.now)
    assert len(worker.claim(5)) == 2
    words = [word for _, word in bench.backend.meters([SCOPE])[SCOPE].history]
    assert words == ["opened by hand", "closed"]


def test_a_persons_numbers_win_until_they_are_taken_back(bench: Bench) -> None:
    bench.add_many(9)
    worker = bench.worker(controls=TWO_AT_A_TIME)
    claims = worker.claim(9)
    bench.backend.adjust("limit:db", LimitSpec(key="db", most=4))
    claims += worker.claim(9)
    assert len(claims) == 4
    worker.publish()
    bench.backend.adjust("limit:db", None)
    worker.settle(*map(succeeded, claims[:2]))
    assert worker.claim(9) == []
    worker.settle(succeeded(claims[2]))
    assert len(worker.claim(9)) == 1


def test_the_newest_manifest_says_what_the_numbers_are(bench: Bench) -> None:
    bench.add_many(9)
    worker = bench.worker(controls=TWO_AT_A_TIME)
    claims = worker.claim(9)
    newer = bench.worker(controls=Controls(limit=LimitSpec(key="db", most=3)))
    claims += newer.claim(9)
    assert len(claims) == 3
    free = bench.worker()
    assert len(free.claim(9)) == 6
    worker.settle(*map(succeeded, claims[:2]))
    assert bench.backend.audit() == []


def test_jobs_go_through_all_gates_of_their_task(bench: Bench) -> None:
    bench.add_many(9)
    all_three = Controls(
        rate=RateSpec(key="api", interval_s=1.0, burst=3), limit=LimitSpec(key="db", most=2), breaker=SMTP
    )
    worker = bench.worker(controls=all_three)
    one, two = worker.claim(9)
    worker.settle(succeeded(one))
    [three] = worker.claim(9)
    worker.settle(succeeded(two), succeeded(three))
    assert worker.claim(9) == []  # the rate
    bench.later(1)
    claim = worker.claim_one()
    worker.settle(down(claim))
    bench.backend.shut(Gate(scope=SCOPE), now=bench.now)
    bench.later(5)
    assert worker.claim(9) == []


def test_a_waiting_job_under_a_shut_gate_is_cancelled_counted_and_found(bench: Bench) -> None:
    ids = bench.add_many(4)
    worker = bench.worker(controls=TWO_AT_A_TIME)
    claims = worker.claim(9)
    assert bench.backend.places(ids[2:], now=bench.now) == [0, 1]
    bench.backend.cancel([ids[2]], now=bench.now)
    [stats] = bench.backend.stats(now=bench.now)
    assert (stats.counts[State.QUEUED], stats.counts[State.RUNNING]) == (1, 2)
    bench.backend.cancel([ids[3]], now=bench.now)
    worker.settle(*map(succeeded, claims))
    assert worker.claim(9) == []
    late = bench.add()
    assert worker.claim_one().id == late
    assert bench.backend.audit() == []


def test_a_higher_priority_goes_first_when_a_gate_opens(bench: Bench) -> None:
    bench.add_many(4)
    worker = bench.worker(controls=TWO_AT_A_TIME)
    claims = worker.claim(9)
    urgent = bench.add(priority=5)
    worker.settle(*map(succeeded, claims))
    assert worker.claim(1)[0].id == urgent


def test_a_pause_and_a_control_both_hold(bench: Bench) -> None:
    bench.add_many(4)
    worker = bench.worker(controls=TWO_AT_A_TIME)
    claims = worker.claim(9)
    bench.backend.shut(Gate(scope="queue:default"), now=bench.now)
    worker.settle(*map(succeeded, claims))
    assert worker.claim(9) == []
    bench.backend.open("queue:default", now=bench.now)
    assert len(worker.claim(9)) == 2
    assert worker.claim(9) == []


def test_a_retried_job_stays_under_its_key(bench: Bench) -> None:
    per_tenant = Controls(limit=LimitSpec(key=TENANT, most=1), per=TENANT)
    worker = bench.worker(controls=per_tenant)
    first = bench.add(lane_key="tenant:1")
    worker.settle(failed(worker.claim_one(), to=State.DEAD))
    bench.backend.retry([first], now=bench.now)
    bench.add(lane_key="tenant:1")
    assert [claim.id for claim in worker.claim(5)] == [first]


def test_a_meter_is_forgotten_when_it_no_longer_matters(bench: Bench) -> None:
    per_tenant = Controls(rate=RateSpec(key=TENANT, interval_s=10.0), per=TENANT)
    worker = bench.worker(controls=per_tenant)
    bench.add(lane_key="tenant:1")
    worker.settle(succeeded(worker.claim_one()))
    bench.add(lane_key="tenant:1")
    bench.backend.purge(Retention(), now=bench.now)
    assert worker.claim() == []
    bench.later(11)
    bench.backend.purge(Retention(), now=bench.now)
    assert bench.backend.meters(["rate:tenant:1"])["rate:tenant:1"].full_at in (0.0, bench.now - 1)
    assert len(worker.claim()) == 1


def test_what_a_breaker_remembers_is_forgotten_when_it_has_long_been_closed(bench: Bench) -> None:
    per_tenant = Controls(breaker=replace(SMTP, key=TENANT), per=TENANT)
    worker = bench.worker(controls=per_tenant)
    closed, failing, still_open, adjusted = scopes = [f"breaker:tenant:{n}" for n in range(4)]
    for scope, n in ((closed, 3), (failing, 1), (still_open, 3), (adjusted, 1)):
        bench.add_many(n, lane_key=scope.removeprefix("breaker:"))
        worker.settle(*(down(claim, to=State.DEAD) for claim in worker.claim(n)))
    bench.backend.open(closed, now=bench.now)
    bench.backend.shut(Gate(scope=still_open), now=bench.now)
    bench.backend.adjust(adjusted, replace(SMTP, key=TENANT, failures=9))
    assert worker.claim() == []

    def remembered() -> list[str]:
        bench.backend.purge(Retention(), now=bench.now)
        return [scope for scope, meter in bench.backend.meters(scopes).items() if meter != Meter()]

    bench.later(REMEMBERED_S - 1)
    assert remembered() == scopes
    bench.later(2)
    assert remembered() == [still_open, adjusted]


def test_a_step_sent_again_goes_through_no_gate_twice(bench: Bench) -> None:
    bench.add_many(5)
    worker = bench.worker(controls=TWO_AT_A_TIME)
    one = worker.claim_one()
    assert [claim.token for claim in worker.step_again().claimed] == [one.token]
    assert len(worker.claim(5)) == 1


def test_an_override_of_a_breaker_counts_its_failures(bench: Bench) -> None:
    worker = bench.worker(controls=BREAKER)
    bench.backend.adjust(SCOPE, replace(SMTP, failures=1, retry_after_s=5.0))
    trip(bench, worker, 1)
    [gate] = bench.backend.gates(now=bench.now)
    assert gate.until == bench.now + 5
    bench.backend.adjust(SCOPE, None)
    bench.add()
    bench.later(5)
    worker.settle(down(worker.claim_one()))  # the probe
    [gate] = bench.backend.gates(now=bench.now)
    assert gate.until == bench.now + 30
