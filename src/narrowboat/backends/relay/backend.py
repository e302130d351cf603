"""The verbs that tell of work, and the wait that hears of it. Everything else goes straight to the store.

A notice is a hint. Whoever gets one looks into the store, and claims there what the store gives; so a notice that is
late, doubled or wrong does no harm. A lost one is made good for by a look: every wait begins with one and lasts no
longer than LOOK_S, and whoever finds more work by it than it can take tells the others again. So what waits and is due
in the store is the outbox, and these looks are what sweeps it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ...core.batch import BatchPart
from ...core.controls import Control
from ...core.errors import BackendUnavailable, UnsupportedByBackend
from ...core.ids import task_of
from ...core.job import Enqueued, NewJob
from ...core.message import UNREAD, WRONG, read_arguments, read_message, refused, task_named, unreadable
from ...core.queue import Queue
from ...core.states import WAITING, State
from ...core.task import Manifest, TaskSpec, unknown_task
from ..base import (
    NO_LIMITS,
    Backend,
    Change,
    QueueStats,
    Step,
    StepReply,
    Wakeup,
    Want,
    WorkerInfo,
)
from ..transport import Delivery, Notice, Transport
from . import notices
from .desk import MOST, Desk
from .reach import Reach
from .straight import Straight

LOOK_S = 5.0  # between two looks of a wait into the store
CANCELS_S = 0.5  # the same, for one who waits for work and cancels at once; workers do not
NO_COUNT = 1 << 53  # cancels: a wait that no count of them can end
DRAIN = 100  # notices of jobs that were claimed without one, after which a worker without a rest takes them away
DRAIN_S = 0.1
AWAY = "jobs are accepted all the same, and workers look for them until it is back"


class RelayBackend(Straight):
    """Jobs in a store, and the news of them by a transport. Raises what the store raises; the transport may be away."""

    def __init__(self, transport: Transport, store: Backend) -> None:
        super().__init__(store)
        self._transport = transport
        self._reach = Reach(transport.location)
        self._desks: defaultdict[str, Desk] = defaultdict(Desk)
        self._is_closed = False
        self.capabilities = msgspec.structs.replace(
            store.capabilities, name=f"{store.capabilities.name} through {transport.capabilities.name}"
        )
        self.location = f"{store.location} through {transport.location}"
        self.url, self.hidden = store.url, (*store.hidden, *transport.hidden)
        self.variables = (*store.variables, *transport.variables)

    @property
    def urls(self) -> tuple[str, ...]:
        """See Backend."""
        return (*self._store.urls, self._transport.url)

    # What makes work.

    def enqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any = None,
        limits: Mapping[str, Queue] = NO_LIMITS,
        now: float | None = None,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        """See Backend. A job that nobody could be told of is accepted all the same.

        into: nobody is told before the commit, and the commit is not ours: a look finds the jobs.
        """
        written = self._store.enqueue(jobs, into, limits, now, batches)
        if into is None:
            made = {answer.id for answer in written if answer.created}
            self._tell([notices.of_job(job) for job in jobs if job.id in made and _is_soon(job, now)])
        return written

    async def aenqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any,
        limits: Mapping[str, Queue] = NO_LIMITS,
        now: float | None = None,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        """See Backend, and `enqueue`."""
        return await self._store.aenqueue(jobs, into, limits, now, batches)

    def retry(self, ids: Sequence[str], change: Change | None = None, now: float | None = None) -> list[bool]:
        """See Backend."""
        answers = self._store.retry(ids, change, now)
        if change is None or change.delay_s < LOOK_S:
            self._tell_of_waiting([id_ for id_, is_back in zip(ids, answers, strict=True) if is_back])
        return answers

    def fire(self, key: str, due: float, job: NewJob | None, now: float | None = None) -> bool:
        """See Backend."""
        is_fired = self._store.fire(key, due, job, now)
        if is_fired and job is not None:
            self._tell([notices.of_job(job)])
        return is_fired

    def adjust(self, scope: str, control: Control | None) -> None:
        """See Backend."""
        self._store.adjust(scope, control)
        self._tell_of_all()

    def open(self, scope: str, now: float | None = None) -> bool:
        """See Backend."""
        was_shut = self._store.open(scope, now)
        self._tell_of_all(now)
        return was_shut

    def leave(self, worker: str, now: float | None = None) -> None:
        """See Backend."""
        queues = [queue for view in self._store.workers(now) if view.info.id == worker for queue in view.info.queues]
        self._store.leave(worker, now)
        desk = self._desks.pop(worker, None)
        if desk is not None and desk.held:
            self._reach.ask(lambda: self._transport.give_back(desk.taken()))
        self._tell(map(notices.of_queue, queues))

    # What a worker does.

    def publish(self, worker: WorkerInfo, manifest: Manifest, now: float | None = None) -> None:
        """See Backend. The worker is given the jobs of unreadable messages, too."""
        self._desks[worker.id].learn(manifest.by_name())
        manifest = msgspec.structs.replace(manifest, tasks=(*manifest.tasks, TaskSpec(name=UNREAD)))
        self._store.publish(worker, manifest, now)

    def step(self, step: Step, now: float | None = None) -> StepReply:
        """See Backend. What the worker was told of is accepted when it has claimed, or has found nothing to claim."""
        desk, wants = self._desks[step.worker], _with_unread(step.wants)
        reply = self._store.step(msgspec.structs.replace(step, wants=wants), now)
        if wants:
            desk.owed = max(0, desk.owed + len(reply.claimed) - self._accept_held(desk))
            if desk.has_looked and reply.more:
                self._tell(notices.of_queue(queue) for queue in {want.queue for want in wants})
            desk.has_looked = False
            if desk.owed >= DRAIN and not desk.is_waiting:
                self._drain(step.worker, desk, wants)
        self._tell_of_settled(step, reply, desk, now)
        return reply

    def wait(
        self, worker: str, wants: Sequence[Want], timeout_s: float, cancels: int = 0, now: float | None = None
    ) -> Wakeup:
        """See Backend. While the transport is away, it sleeps in the store."""
        if not wants:
            return self._store.wait(worker, wants, timeout_s, cancels, now)
        desk = self._desks[worker]
        desk.is_waiting = True
        try:
            return self._wait(worker, desk, _with_unread(wants), timeout_s, cancels, now)
        finally:
            desk.is_waiting = desk.is_roused = False

    def _wait(
        self, worker: str, desk: Desk, wants: tuple[Want, ...], timeout_s: float, cancels: int, now: float | None
    ) -> Wakeup:
        began = time.monotonic()
        longest_s = LOOK_S if cancels >= NO_COUNT else CANCELS_S
        channels, most = desk.channels(wants), max(1, min(MOST, sum(want.n for want in wants)))
        while True:
            passed_s = time.monotonic() - began
            moment = None if now is None else now + passed_s
            seen = self._store.wait(worker, wants, 0.0, cancels, moment)
            if seen.work:
                desk.has_looked = not desk.held
                return seen
            if self._accept_held(desk):  # it tells of nothing that can be claimed: those before were of old jobs
                most = min(MOST, 2 * most)
            left_s = timeout_s - passed_s
            if seen.cancels > cancels or left_s <= 0 or desk.is_roused or self._is_closed:
                return seen
            nap_s = min(left_s, longest_s, max(0.001, seen.again_s))
            found = self._receive(worker, channels, most, nap_s)
            if found is None:
                self._store.wait(worker, wants, nap_s, cancels, moment)
            if self._is_closed:
                return Wakeup(False, seen.cancels)
            if found:
                self._take_in(desk, found)

    def rouse(self, name: str) -> None:
        """See Backend."""
        desk = self._desks.get(name)
        if desk is not None:  # else it is a watcher, who sleeps in the store
            desk.is_roused = True
            self._transport.rouse(name)
        self._store.rouse(name)

    # What people see.

    def stats(self, now: float | None = None) -> list[QueueStats]:
        """See Backend."""
        found = self._store.stats(now)
        channels = {notices.channel_of(queue.queue): queue for queue in found}
        depths = self._reach.ask(lambda: self._transport.depths(list(channels))) or {}
        return [msgspec.structs.replace(queue, transport=depths.get(name)) for name, queue in channels.items()]

    def hindrance(self, queue: str) -> str:
        """See Backend."""
        self._reach.ask(lambda: self._transport.depths([notices.channel_of(queue)]))
        if not self._reach.is_away:
            return ""
        return f"{self._transport.location} is out of reach, so idle workers are not told, and look for it"

    def doubts(self) -> list[str]:
        """See Backend."""
        return [*self._store.doubts(), *(self._reach.ask(self._transport.doubts) or [])]

    def setup(self) -> list[tuple[str, str, str]]:
        """See Backend. A transport that is away has a row that says so."""
        told = self._reach.ask(self._transport.setup)
        return [*self._store.setup(), *([(self._transport.location, "AWAY", AWAY)] if told is None else told)]

    def close(self) -> None:
        """See Backend."""
        self._is_closed = True
        self._transport.close()
        self._store.close()

    # To tell.

    def _tell(self, told: Iterable[Notice]) -> None:
        batch = list(told)
        if batch:
            self._reach.ask(lambda: self._transport.publish(batch))

    def _tell_of_settled(self, step: Step, reply: StepReply, desk: Desk, now: float | None) -> None:
        """Of jobs that tasks have enqueued, of those that are back in line, and of gates that have room now."""
        settled = [end for end in step.settled if end.id not in reply.refused]
        self._tell(notices.of_job(job) for end in settled for job in end.enqueue if _is_soon(job, now))
        self._tell_of_waiting([end.id for end in settled if end.to in WAITING and end.delay_s < LOOK_S])
        self._tell(map(notices.of_queue, desk.freed(task_of(end.id) for end in settled)))

    def _tell_of_waiting(self, ids: Sequence[str]) -> None:
        """Of those among these jobs that wait."""
        if ids:
            found = self._store.watch(dict.fromkeys(ids, 0), 0.0)
            self._tell(notices.of_job(job) for job in found if job.state in WAITING)

    def _tell_of_all(self, now: float | None = None) -> None:
        """Of every queue in which jobs wait."""
        self._tell(notices.of_queue(queue.queue) for queue in self._store.stats(now) if queue.counts.get(State.QUEUED))

    # To hear.

    def _receive(self, worker: str, channels: Sequence[str], most: int, timeout_s: float) -> list[Delivery] | None:
        return self._reach.ask(lambda: self._transport.receive(worker, channels, most, timeout_s))

    def _accept(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self._reach.ask(lambda: self._transport.accept(deliveries))

    def _accept_held(self, desk: Desk) -> int:
        """How many there were."""
        held = desk.taken()
        self._accept(held)
        return len(held)

    def _drain(self, worker: str, desk: Desk, wants: Sequence[Want]) -> None:
        """Take away notices of jobs that were claimed without: a worker that never rests takes none otherwise."""
        found = self._receive(worker, desk.channels(wants), min(MOST, desk.owed), DRAIN_S) or []
        desk.owed = desk.owed - len(found) if len(found) >= DRAIN else 0
        self._take_in(desk, found)
        self._accept_held(desk)

    def _take_in(self, desk: Desk, deliveries: Sequence[Delivery]) -> None:
        """Hold notices; make jobs of what other programs have sent. Raises BackendUnavailable: that goes back, then."""
        foreign = [delivery for delivery in deliveries if not notices.is_ours(delivery.body)]
        desk.held.extend(delivery for delivery in deliveries if notices.is_ours(delivery.body))
        if not foreign:
            return
        try:
            specs = self._store.published(sorted(set(filter(None, map(_task_of, foreign)))))
            jobs = [_job_of(delivery, specs) for delivery in foreign]
            try:
                self._store.enqueue(jobs)
            except (UnsupportedByBackend, *WRONG):  # one that the store cannot keep, such as a NUL in a name
                for delivery, job in zip(foreign, jobs, strict=True):
                    self._enqueue_or_refuse(delivery, job)
        except BackendUnavailable:
            self._reach.ask(lambda: self._transport.give_back(foreign))
            raise
        self._accept(foreign)
        self._tell(notices.of_queue(job.queue) for job in jobs[1:] if _is_soon(job, None))

    def _enqueue_or_refuse(self, delivery: Delivery, job: NewJob) -> None:
        try:
            self._store.enqueue([job])
        except (UnsupportedByBackend, *WRONG) as error:
            place = f"in {delivery.channel}"
            self._store.enqueue([refused(*unreadable(delivery.body, UNREAD, job.queue, place, error))])


def _is_soon(job: NewJob, now: float | None) -> bool:
    """It is due before everyone has looked; who is told of it earlier learns when to look again."""
    if job.due is None:
        return job.delay_s < LOOK_S
    return job.due < (time.time() if now is None else now) + LOOK_S


def _with_unread(wants: Sequence[Want]) -> tuple[Want, ...]:
    """The same, and jobs of messages that name no task."""
    return tuple(msgspec.structs.replace(want, tasks=want.tasks | {UNREAD}) for want in wants)


def _task_of(delivery: Delivery) -> str | None:
    kind, _, name = delivery.channel.partition(":")
    return name if kind == "task" else task_named(delivery.body)


def _job_of(delivery: Delivery, specs: Mapping[str, TaskSpec]) -> NewJob:
    kind, _, name = delivery.channel.partition(":")
    if kind == "task":
        job, reason = read_arguments(delivery.body, name, specs.get(name) or unknown_task(name))
    else:
        job, reason = read_message(delivery.body, name, specs)
    return refused(job, reason) if reason else job
