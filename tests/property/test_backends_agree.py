"""Every backend does what the memory backend does: the same verbs, ids and times give the same answers.

The examples are the same in every run, and a failure is shown as it was found. To look for new ones, and for
the shortest story of a failure, set NARROWBOAT_HUNT to a number of examples; `--hypothesis-seed=N` replays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any
from unittest import TestCase

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import asdict, replace

from narrowboat.backends.base import (
    Backend,
    Change,
    ClaimRef,
    Filter,
    Gate,
    ProgressReport,
    Retention,
    Step,
    StepReply,
    Want,
    WorkerInfo,
)
from narrowboat.backends.memory import MemoryBackend
from narrowboat.core.controls import BreakerSpec, Control, Controls, LimitSpec, RateSpec
from narrowboat.core.decide import Settlement
from narrowboat.core.errors import BackendError, QueueFull
from narrowboat.core.job import Claim, Job, JobSummary, NewJob, Progress
from narrowboat.core.outcome import ErrorInfo
from narrowboat.core.queue import Queue
from narrowboat.core.states import State
from narrowboat.core.task import Manifest, TaskSpec
from tests.support import postgres_server
from tests.support.servers import quick_folder, shared_redis

TASKS, QUEUES, WORKERS, KEYS = ("t.a", "t.b"), ("q", "r"), ("w0", "w1", "w2"), ("k", "l")
SCOPES = ("queue:q", "queue:r", "task:t.a", "breaker:b")
ENDS = (
    (State.SUCCEEDED, "succeeded"),
    (State.SUCCEEDED, "succeeded"),
    (State.SCHEDULED, "failed"),
    (State.DEAD, "failed"),
    (State.SCHEDULED, "crashed"),
    (State.DEAD, "crashed"),
    (State.SCHEDULED, "snoozed"),
    (State.CANCELLED, "cancelled"),
    (State.QUEUED, "released"),
)
TRIPPING = (
    (State.SCHEDULED, "failed-trips"),
    (State.DEAD, "failed-trips"),
    (State.SCHEDULED, "crashed-trips"),
    (State.SCHEDULED, "snoozed-slow"),
)
EACH = "{each}"
RATE, RATE_OF_EACH = RateSpec(key="r", interval_s=1.0, burst=2), RateSpec(key=EACH, interval_s=2.5)
LIMIT, LIMIT_OF_EACH = LimitSpec(key="l", most=2), LimitSpec(key=EACH, most=1)
BREAKER = BreakerSpec(key="b", failures=2, within_s=20.0, retry_after_s=5.0)
CONTROLS = (
    Controls(),
    Controls(limit=LIMIT),
    Controls(rate=RATE),
    Controls(breaker=BREAKER),
    Controls(rate=RATE, limit=LIMIT_OF_EACH, per=EACH),
    Controls(rate=RATE_OF_EACH, breaker=BREAKER, per=EACH),
    Controls(rate=RATE, limit=LIMIT, breaker=BREAKER),
)
OVERRIDES = (
    ("limit:l", LimitSpec(key="l", most=4)),
    ("rate:r", RateSpec(key="r", interval_s=0.5, burst=5)),
    ("breaker:b", BreakerSpec(key="b", failures=1, within_s=1.0, retry_after_s=1.0)),
)
METERS = ("limit:l", "limit:", "limit:x", "rate:r", "rate:", "rate:x", "breaker:b")
HUNT = int(os.environ.get("NARROWBOAT_HUNT", "0"))

controls = st.sampled_from(CONTROLS)
workers = st.sampled_from(("w0", "w0", "w0", "w1", "w1", "w2"))  # so that one worker has a story
numbers = st.integers(0, 30)  # picks a job, or a claim, by its place in a list
few_numbers = st.lists(numbers, max_size=4)
new_jobs = st.fixed_dictionaries(
    {
        "task": st.sampled_from(TASKS),
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from((0, 0, 0, 1, -1)),
        "lane_key": st.sampled_from(("", "", "x")),
        "delay_s": st.sampled_from((0.0, 0.0, 0.0, 5.0, 20.0)),
        "key": st.sampled_from((None, None, *KEYS)),
        "key_for": st.sampled_from(("waiting", "active", 10.0)),
        "tags": st.sampled_from(((), ("x",), ("x", "y"))),
        "client": st.sampled_from(("", "", "ann", "bob")),
    }
)
wants = st.lists(
    st.tuples(st.sampled_from(QUEUES), st.sampled_from((TASKS, TASKS, TASKS[:1])), st.sampled_from((1, 2, 5, 40))),
    max_size=2,
)
some_end = st.sampled_from((*ENDS, *TRIPPING))
ends = st.lists(st.tuples(numbers, some_end, st.booleans()), max_size=4)
limits = st.sampled_from(
    (
        {},
        {},
        {"q": Queue("q", 6)},
        {"q": Queue("q", waiting_per_client=2), "r": Queue("r", 3, 1)},
        {"r": Queue("r", 20, 3)},
    )
)
dues = st.sampled_from((0.0, 0.0, 3.0))

Pair = tuple[Claim, Claim]


class BackendsAgree(RuleBasedStateMachine):
    """Every rule does one thing to both, and compares the answers; the invariants compare all that is shown.

    A backend is put to the test by a subclass that opens it, at the end of this file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.model: Backend = MemoryBackend()
        self.real: Backend = self.open_real()
        self.now = 1_000_000.0
        self.jobs: list[NewJob] = []
        self.seqs = dict.fromkeys(WORKERS, 0)
        self.last: dict[str, tuple[Step, Step, set[int]]] = {}  # with all tokens that the real one answered it with
        self.held: dict[str, list[Pair]] = {name: [] for name in WORKERS}  # as each worker believes
        self.stale: list[Pair] = []
        self.tokens = (0, 0)
        for name in WORKERS[:2]:
            self.publish(name)

    def open_real(self) -> Backend:
        """The other backend, on an empty store."""
        raise NotImplementedError

    def clear_up(self) -> None:
        """What there is to do when it is closed."""

    def teardown(self) -> None:
        self.model.close()
        self.real.close()
        self.clear_up()

    def both(self, verb: Callable[[Backend], Any]) -> tuple[Any, Any]:
        """What both answer, or the class of what both raise."""
        model, real = _answer(verb, self.model), _answer(verb, self.real)
        return model, real

    def agree(self, verb: Callable[[Backend], Any]) -> Any:
        """What both answer alike."""
        model, real = self.both(verb)
        assert real == model
        return model

    def some_ids(self, chosen: list[int]) -> list[str]:
        return [self.jobs[n % len(self.jobs)].id for n in chosen] if self.jobs else []

    def new(self, fields: dict[str, Any]) -> NewJob:
        # Neither rising nor falling, so that nothing can be ordered by id instead of by age.
        scrambled = (len(self.jobs) * 37 + 11) % 101
        job = NewJob(
            id=f"{fields['task']}:{scrambled:03}-{len(self.jobs)}", args=b'{"n":%d}' % len(self.jobs), **fields
        )
        self.jobs.append(job)
        return job

    @rule(fields=st.lists(new_jobs, min_size=1, max_size=5), again=few_numbers, limits=limits)
    def enqueue(self, fields: list[dict[str, Any]], again: list[int], limits: dict[str, Queue]) -> None:
        batch = [self.jobs[n % len(self.jobs)] for n in again] if self.jobs else []
        batch += [self.new(one) for one in fields]
        self.agree(lambda backend: backend.enqueue(batch, limits=limits, now=self.now))

    @rule(n=st.sampled_from((2, 10, 40)), keys=st.sampled_from((("", "x"), ("", ""))))
    def enqueue_many(self, n: int, keys: tuple[str, str]) -> None:
        lanes = [{"task": task, "queue": "q", "lane_key": key} for task in TASKS for key in keys]
        batch = [self.new(lanes[i % 3]) for i in range(n)]
        self.agree(lambda backend: backend.enqueue(batch, now=self.now))

    @rule(worker=workers, controls=st.tuples(controls, controls))
    def publish(self, worker: str, controls: tuple[Controls, Controls] = (Controls(), Controls())) -> None:
        info = WorkerInfo(id=worker, host="box", pid=1, queues={"q": 1, "r": 2}, slots=3, lease_s=30.0)
        manifest = Manifest(
            app="a", tasks=tuple(TaskSpec(name=name, controls=its) for name, its in zip(TASKS, controls, strict=True))
        )
        self.agree(lambda backend: backend.publish(info, manifest, now=self.now))

    @rule(
        worker=workers,
        wants=wants,
        ends=ends,
        starts=few_numbers,
        steps=few_numbers,
        carried=new_jobs,
        is_lost=st.booleans(),
    )
    def step(
        self,
        worker: str,
        wants: list[tuple[str, tuple[str, ...], int]],
        ends: list[tuple[int, tuple[State, str], bool]],
        starts: list[int],
        steps: list[int],
        carried: dict[str, Any],
        is_lost: bool,
    ) -> None:
        self.seqs[worker] += 1
        held = self.held[worker]
        chosen = [(held[n % len(held)], end, has_logs) for n, end, has_logs in ends if held]
        jobs = (self.new(carried),) if chosen and chosen[0][2] else ()
        ending = [pair for pair, _, _ in chosen]
        started = [held[n % len(held)] for n in starts if held]
        moved = [held[n % len(held)] for n in steps if held]

        def made(side: int) -> Step:
            return Step(
                worker=worker,
                seq=self.seqs[worker],
                settled=tuple(
                    _settlement(pair[side], *end, logs=has_logs, carried=jobs if n == 0 else ())
                    for n, (pair, end, has_logs) in enumerate(chosen)
                ),
                started=tuple(ClaimRef(pair[side].id, pair[side].token) for pair in started),
                progress=tuple(
                    ProgressReport(pair[side].id, pair[side].token, Progress(self.seqs[worker], 99)) for pair in moved
                ),
                wants=tuple(Want(queue, frozenset(tasks), n) for queue, tasks, n in wants),
            )

        model_step, real_step = made(0), made(1)
        model = _answer(lambda backend: backend.step(model_step, now=self.now), self.model)
        real = _answer(lambda backend: backend.step(real_step, now=self.now), self.real)
        pairs = self.compare_replies(model, real)
        if not isinstance(model, StepReply):
            return
        self.check_tokens_rise(pairs)
        self.last[worker] = (model_step, real_step, {pair[1].token for pair in pairs})
        self.stale += ending
        self.held[worker] = [pair for pair in held if pair not in ending]
        if not is_lost:
            self.held[worker] += pairs

    @rule(worker=workers, n=st.sampled_from((1, 3, 20)), is_twice=st.booleans())
    def claim(self, worker: str, n: int, is_twice: bool) -> None:
        self.step(worker, [(queue, TASKS, n) for queue in QUEUES], [], [], [], {}, False)
        if is_twice:
            self.step_again(worker)

    @rule(worker=workers)
    def lose_a_reply(self, worker: str) -> None:
        self.step(worker, [(queue, TASKS, 2) for queue in QUEUES], [], [], [], {}, True)
        self.extend(worker, [], 0)

    @precondition(lambda self: any(self.held.values()))
    @rule(worker=workers, end=some_end, has_logs=st.booleans(), is_started=st.booleans(), carried=new_jobs)
    def settle(
        self, worker: str, end: tuple[State, str], has_logs: bool, is_started: bool, carried: dict[str, Any]
    ) -> None:
        if is_started:
            self.step(worker, [], [], [0], [0], carried, False)
            self.later(0.5)
        self.step(worker, [("q", TASKS, 1)], [(0, end, has_logs)], [], [], carried, False)

    @precondition(lambda self: self.last)
    @rule(worker=workers)
    def step_again(self, worker: str) -> None:
        if worker not in self.last or self.last[worker][0].seq != self.seqs[worker]:
            return
        model_step, real_step, given = self.last[worker]
        model = _answer(lambda backend: backend.step(model_step, now=self.now), self.model)
        real = _answer(lambda backend: backend.step(real_step, now=self.now), self.real)
        if isinstance(real, StepReply):
            known = {view.info.id for view in self.model.workers()}
            assert worker in known
        # After the worker was forgotten and published again, the step is a new one to both.
        pairs = self.compare_replies(model, real, is_again=True)
        self.check_tokens_rise([pair for pair in pairs if pair[1].token not in given])
        given.update(pair[1].token for pair in pairs)

    @precondition(lambda self: self.stale)
    @rule(worker=workers, n=numbers, end=st.sampled_from(ENDS), carried=new_jobs)
    def settle_a_stale_claim(self, worker: str, n: int, end: tuple[State, str], carried: dict[str, Any]) -> None:
        pair = self.stale[-1 - n % len(self.stale)]
        self.seqs[worker] += 1
        jobs = (self.new(carried),)

        def made(side: int) -> Step:
            settled = (_settlement(pair[side], *end, logs=False, carried=jobs),)
            return Step(worker=worker, seq=self.seqs[worker], settled=settled)

        model = _answer(lambda backend: backend.step(made(0), now=self.now), self.model)
        real = _answer(lambda backend: backend.step(made(1), now=self.now), self.real)
        self.compare_replies(model, real)

    @rule(worker=workers, dropped=few_numbers, behind=st.sampled_from((0, 0, 1)))
    def extend(self, worker: str, dropped: list[int], behind: int) -> None:
        named = [pair for n, pair in enumerate(self.held[worker]) if n not in dropped]
        seq = max(0, self.seqs[worker] - behind)

        def refs(side: int) -> list[ClaimRef]:
            return [ClaimRef(pair[side].id, pair[side].token) for pair in named]

        model = _answer(lambda backend: backend.extend(worker, seq, refs(0), now=self.now), self.model)
        real = _answer(lambda backend: backend.extend(worker, seq, refs(1), now=self.now), self.real)
        if isinstance(model, type) or isinstance(real, type):
            assert real == model
            return
        assert sorted(real.lost) == sorted(model.lost)
        assert sorted(real.cancelled) == sorted(model.cancelled)
        lost = [pair for pair in named if pair[0].id in model.lost]
        self.stale += lost
        self.held[worker] = [pair for pair in self.held[worker] if pair not in lost]

    @rule(worker=workers, dead=st.lists(workers, max_size=2))
    def rescue(self, worker: str, dead: list[str]) -> None:
        model, real = self.both(lambda backend: backend.rescue(worker, dead))
        if isinstance(model, type) or isinstance(real, type):
            assert real == model
            return
        pairs = self.compare_claims(sorted(model, key=lambda claim: claim.id), sorted(real, key=lambda claim: claim.id))
        self.held[worker] += pairs

    @rule(worker=workers)
    def leave(self, worker: str) -> None:
        self.agree(lambda backend: backend.leave(worker, now=self.now))

    @rule(chosen=few_numbers, reason=st.sampled_from(("", "why")))
    def cancel(self, chosen: list[int], reason: str) -> None:
        ids = self.some_ids(chosen)
        self.agree(lambda backend: backend.cancel(ids, reason, now=self.now))

    @rule(
        chosen=st.lists(numbers, min_size=1, max_size=10),
        queue=st.sampled_from((None, None, *QUEUES)),
        priority=st.sampled_from((None, 2)),
        delay_s=dues,
    )
    def retry(self, chosen: list[int], queue: str | None, priority: int | None, delay_s: float) -> None:
        change = Change(queue=queue, priority=priority, delay_s=delay_s)
        ids = self.some_ids(chosen)
        self.agree(lambda backend: backend.retry(ids, change, now=self.now))

    @rule(scope=st.sampled_from(SCOPES), for_s=st.sampled_from((None, 4.0, 25.0)))
    def shut(self, scope: str, for_s: float | None) -> None:
        gate = Gate(scope=scope, reason="r", until=None if for_s is None else self.now + for_s)
        self.agree(lambda backend: backend.shut(gate, now=self.now))

    @rule(scope=st.sampled_from(SCOPES))
    def open(self, scope: str) -> None:
        self.agree(lambda backend: backend.open(scope, now=self.now))

    @rule(override=st.sampled_from(OVERRIDES), is_set=st.booleans())
    def adjust(self, override: tuple[str, Control], is_set: bool) -> None:
        scope, control = override
        self.agree(lambda backend: backend.adjust(scope, control if is_set else None))

    @rule(seconds=st.sampled_from((0.5, 1.0, 5.0, 11.0, 31.0)))
    def later(self, seconds: float) -> None:
        self.now += seconds

    @rule(keep_s=st.sampled_from((1.0, 12.0)), keep_max=st.sampled_from((0, 2, 100)))
    def purge(self, keep_s: float, keep_max: int) -> None:
        retention = Retention(keep_s=keep_s, keep_max=keep_max, dead_s=keep_s * 2, dead_max=keep_max)
        self.agree(lambda backend: backend.purge(retention, now=self.now))

    def compare_replies(self, model: Any, real: Any, is_again: bool = False) -> list[Pair]:
        if isinstance(model, type) or isinstance(real, type):
            assert real == model
            return []
        assert sorted(real.refused) == sorted(model.refused)
        if not is_again:  # which may answer with what was so then, or is so now
            assert sorted(real.cancelled) == sorted(model.cancelled)
            assert real.more == model.more
        return self.compare_claims(model.claimed, real.claimed)

    def compare_claims(self, model: Any, real: Any) -> list[Pair]:
        assert [replace(claim, token=0) for claim in real] == [replace(claim, token=0) for claim in model]
        return list(zip(model, real, strict=True))

    def check_tokens_rise(self, pairs: list[Pair]) -> None:
        for side in (0, 1):
            tokens = sorted(pair[side].token for pair in pairs)
            assert len(set(tokens)) == len(tokens)
        if pairs:
            lowest = tuple(min(pair[side].token for pair in pairs) for side in (0, 1))
            assert lowest[0] > self.tokens[0]
            assert lowest[1] > self.tokens[1]
            self.tokens = (max(pair[0].token for pair in pairs), max(pair[1].token for pair in pairs))

    @invariant()
    def both_stores_are_clean(self) -> None:
        assert self.model.audit() == []
        assert self.real.audit() == []

    @invariant()
    def every_job_looks_the_same(self) -> None:
        ids = [job.id for job in self.jobs]
        model, real = self.both(lambda backend: backend.get(ids, now=self.now))
        for one, other in zip(model, real, strict=True):
            a, b = self.plain(one), self.plain(other)
            assert {name: (a.get(name), b.get(name)) for name in a | b if a.get(name) != b.get(name)} == {}

    @invariant()
    def lists_and_numbers_are_the_same(self) -> None:
        self.agree(lambda backend: backend.gates(now=self.now))
        self.agree(self.meters_of)
        self.agree(lambda backend: [backend.find_key(task, key) for task in TASKS for key in KEYS])
        self.agree(lambda backend: sorted(backend.published()))
        self.agree(self.workers_of)
        self.agree(self.stats_of)
        self.agree(lambda backend: [job.id for job in backend.find(Filter(), limit=1000, now=self.now).jobs])
        self.agree(lambda backend: [job.id for job in backend.find(Filter(tag="x", queue="q"), now=self.now).jobs])
        self.agree(lambda backend: [backend.ended(queue, limit, now=self.now) for queue in QUEUES for limit in (3, 50)])

    @invariant()
    def places_in_line_are_the_same(self) -> None:
        # Only where no job that is due may or may not have taken its place yet.
        jobs = [job for job in self.model.get([job.id for job in self.jobs], now=self.now) if job is not None]
        if not any(_is_due(job, self.now) for job in jobs):
            ids = [job.id for job in jobs][:20]
            self.agree(lambda backend: backend.places(ids, now=self.now))
            self.agree(lambda backend: backend.places(ids, 2, now=self.now))

    def plain(self, job: Job | None) -> dict[str, Any]:
        """The fields of a job, without what each backend may number in its own way."""
        if job is None:
            return {}
        if _is_due(job, self.now):
            job = replace(job, state=State.QUEUED, due_at=None)
        return asdict(replace(job, revision=0))

    def meters_of(self, backend: Backend) -> dict[str, dict[str, Any]]:
        """A bucket that is full is like one that was never used: a purge may forget it, or not yet."""
        found = {scope: asdict(meter) for scope, meter in backend.meters(METERS).items()}
        return {scope: {**meter, "full_at": max(meter["full_at"], self.now)} for scope, meter in found.items()}

    def workers_of(self, backend: Backend) -> Any:
        views = backend.workers(now=self.now)
        return sorted((v.info.id, sorted(v.tasks), v.lease_until, v.running) for v in views)

    def stats_of(self, backend: Backend) -> Any:
        jobs: dict[str, JobSummary] = {job.id: job for job in backend.find(Filter(), limit=10_000, now=self.now).jobs}
        has_due = any(_is_due(job, self.now) for job in jobs.values())
        return [
            (
                entry.queue,
                _waiting_as_one(entry.counts),
                None if has_due else entry.oldest_waiting_s is None,
                entry.workers,
                None if has_due else entry.unknown_tasks,
                [gate.scope for gate in entry.gates if gate.scope.startswith("queue:")],
            )
            for entry in backend.stats(now=self.now)
        ]


def _answer(verb: Callable[[Backend], Any], backend: Backend) -> Any:
    try:
        return verb(backend)
    except BackendError as error:
        return type(error)
    except QueueFull as error:
        return str(error), vars(error)


def _settlement(claim: Claim, to: State, outcome: str, *, logs: bool, carried: tuple[NewJob, ...]) -> Settlement:
    outcome, _, more = outcome.partition("-")
    is_error = outcome in ("failed", "crashed")
    return Settlement(
        id=claim.id,
        token=claim.token,
        to=to,
        outcome=outcome,
        delay_s=3.0 if to is State.SCHEDULED else 0.0,
        result=b"[1]" if to is State.SUCCEEDED else b"",
        error=ErrorInfo(type="E", message="m") if is_error else None,
        reason="because" if to in (State.DEAD, State.CANCELLED) else "",
        logs=("a line",) if logs else (),
        enqueue=carried,
        trips=more == "trips",
        slow_s=3.0 if more == "slow" else 0.0,
    )


def _is_due(job: JobSummary, now: float) -> bool:
    return job.state is State.SCHEDULED and job.due_at is not None and job.due_at <= now


def _waiting_as_one(counts: dict[State, int]) -> dict[str, int]:
    """A job that is due counts as scheduled until a step looks; when exactly is a backend's own affair."""
    waiting = counts.get(State.SCHEDULED, 0) + counts.get(State.QUEUED, 0)
    others = {str(state): n for state, n in counts.items() if n and state not in (State.SCHEDULED, State.QUEUED)}
    return {"waiting": waiting, **others}


class SQLiteAgrees(BackendsAgree):
    """SQLite, in memory where there is a file system for it: a store that is thrown away need not wait for a disk."""

    def open_real(self) -> Backend:
        from narrowboat.backends.sqlite import SQLiteBackend

        self.folder = quick_folder("nb-agree-")
        return SQLiteBackend(self.folder / "nb.db")

    def clear_up(self) -> None:
        shutil.rmtree(self.folder)


class PostgresAgrees(BackendsAgree):
    """PostgreSQL, in one schema that is emptied after each example."""

    def open_real(self) -> Backend:
        from narrowboat.backends.urls import open_backend

        return open_backend(f"{postgres_server.shared_server().url}&schema=agree&listen=no")

    def clear_up(self) -> None:
        postgres_server.empty(postgres_server.shared_server(), "agree")


class RedisAgrees(BackendsAgree):
    """Redis, in one namespace that is emptied after each example."""

    def open_real(self) -> Backend:
        from narrowboat.backends.urls import open_backend

        return open_backend(shared_redis().url)

    def clear_up(self) -> None:
        assert shared_redis().says("FLUSHDB") == "+OK", "else the next example would find what this one has left"


def agreeing(machine: type[BackendsAgree], examples: int = 150) -> type[TestCase]:
    """A case that pytest collects."""
    case: type[TestCase] = machine.TestCase
    case.settings = settings(  # type: ignore[attr-defined]
        max_examples=HUNT or examples,
        stateful_step_count=30,
        derandomize=not HUNT,
        deadline=None,
        database=None,
        phases=[Phase.generate, *([Phase.shrink] if HUNT else [])],  # shrinking takes minutes
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    return case


TestSQLiteAgrees = agreeing(SQLiteAgrees)
TestPostgresAgrees = agreeing(PostgresAgrees, examples=80)
TestRedisAgrees = agreeing(RedisAgrees)
