"""The executors of a worker: who runs what, who is next, and what becomes of those that die."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..core.job import Progress
from ..core.outcome import Cancelled, Crashed, Outcome, Released
from ..executor import wire
from .distrust import believable, believable_progress
from .executors import Executor, ProtocolViolation, cause_of_death
from .held import Held
from .pace import Pace
from .settings import STOPPING_S

log = logging.getLogger("narrowboat.worker")
STUCK_BEHIND_S = 0.05  # a job this long in front of others is not short after all: they are taken back
FORK_AGAIN_S = 0.5  # after the system refused one
STATUS_WAIT_S = 1.0  # for a zygote to say how an executor died


class Events(Protocol):
    """What a pool tells the worker."""

    def began(self, held: Held) -> None:
        """An attempt has begun."""
        ...

    def ended(self, held: Held, outcome: Outcome) -> None:
        """An attempt, or a claim that never became one, is over."""
        ...

    def progressed(self, held: Held, progress: Progress) -> None:
        """A running job reported."""
        ...

    def logged(self, held: Held, line: str) -> None:
        """A running job wrote a line."""
        ...


class Pool:
    """`hand` holds claimed jobs that no executor has been given yet, oldest first."""

    def __init__(
        self,
        slots: int,
        events: Events,
        ask_for_fork: Callable[[Executor], bool],
        watch: Callable[[Executor], None],
        unwatch: Callable[[Executor], None],
    ) -> None:
        self.slots = slots
        self.hand: deque[Held] = deque()
        self.executors: list[Executor] = []
        self.pace = Pace()
        self.next_scan = float("inf")
        self.is_closing = False  # no new executors
        self._events, self._ask_for_fork, self._watch, self._unwatch = events, ask_for_fork, watch, unwatch
        self._requests = 0
        self._no_fork_before = 0.0
        self._statuses: dict[int, int] = {}  # deaths told by the zygote before the pidfd was seen
        self._dying: dict[int, float] = {}  # pid -> until when to wait for its status

    def busy(self) -> int:
        """Executors that have a job."""
        return sum(1 for executor in self.executors if executor.given)

    def held(self) -> list[Held]:
        """Every job here."""
        return [*self.hand, *(held for executor in self.executors for held in executor.given)]

    def spare_jobs(self) -> int:
        """Jobs behind the running ones: what executors can go on with before the next claim."""
        return len(self.hand) + sum(max(0, len(executor.given) - 1) for executor in self.executors)

    def take(self, jobs: list[Held]) -> None:
        """Newly claimed jobs."""
        self.hand.extend(jobs)

    def assign(self) -> None:
        """Give jobs in hand to idle executors, fork more for those that find none, and fill up with short ones."""
        if not self.hand:
            return
        ready = [executor for executor in self.executors if executor.is_ready]
        idle = [executor for executor in ready if not executor.given]
        starting = sum(1 for executor in self.executors if executor.pidfd < 0 and not executor.is_dead)
        left: deque[Held] = deque()
        waiting = 0  # jobs that starting executors will take
        while self.hand:
            held = self.hand.popleft()
            memory = held.spec.memory
            fitting = next((executor for executor in idle if executor.memory == memory), None)
            if fitting is not None and fitting.give(held):
                idle.remove(fitting)
                continue
            if fitting is None and waiting < starting:
                waiting += 1
                left.append(held)
                continue
            if fitting is None and not self.is_closing and self._make_room(idle) and self._fork(memory):
                starting += 1
                waiting += 1
                left.append(held)
                continue
            if not self._give_ahead(held, ready):
                left.append(held)
                left.extend(self.hand)
                self.hand.clear()
        self.hand = left

    def forked(self, request: int, pid: int, pidfd: int) -> None:
        """The zygote made an executor."""
        executor = next((e for e in self.executors if e.request == request), None)
        if executor is None:
            return
        executor.pid, executor.pidfd = pid, pidfd
        self._watch(executor)

    def fork_failed(self, request: int) -> None:
        """The zygote could not make one; the jobs in hand ask again in a while."""
        self._no_fork_before = time.monotonic() + FORK_AGAIN_S
        self.next_scan = min(self.next_scan, self._no_fork_before)
        for executor in [e for e in self.executors if e.request == request]:
            self._remove(executor)

    def forget_starting(self) -> None:
        """The zygote is gone, and with it the forks that it was asked for."""
        for executor in [e for e in self.executors if e.pidfd < 0]:
            self._remove(executor)

    def readable(self, executor: Executor) -> None:
        """Hear what an executor says; one that says what it may not is killed."""
        try:
            for frame in executor.read():
                self._hear(executor, frame)
        except ProtocolViolation as violation:
            log.error("executor %d broke the protocol and is killed: %s", executor.pid, violation)
            executor.kill("protocol violation")

    def died(self, executor: Executor) -> None:
        """Its pidfd says that it is dead; how it died may come later."""
        if executor.is_dead:
            return
        executor.is_dead = True
        self._unwatch(executor)
        while executor.kill_reason != "protocol violation":
            before = len(executor.given)
            self.readable(executor)
            if len(executor.given) == before:
                break
        self.hand.extendleft(reversed(executor.take_back()))
        if executor.pid in self._statuses:
            self.exited(executor.pid, self._statuses.pop(executor.pid))
        else:
            self._dying[executor.pid] = time.monotonic() + STATUS_WAIT_S
            self.next_scan = min(self.next_scan, self._dying[executor.pid])

    def exited(self, pid: int, status: int | None) -> None:
        """How an executor died: settle what it was running, keep what it had not begun."""
        executor = next((e for e in self.executors if e.pid == pid), None)
        if executor is None:
            return
        if not executor.is_dead:
            if status is not None:
                self._statuses[pid] = status
            return
        self._dying.pop(pid, None)
        running = executor.running
        if running is not None:
            executor.given.popleft()
            self._events.ended(running, self._outcome_of_death(executor, running, status))
        self.hand.extendleft(reversed(executor.given))
        executor.given.clear()
        self._remove(executor)

    def stop(self, held: Held, why: str, reason: str) -> None:
        """End a job that may be running: Stopping first, SIGKILL after STOPPING_S."""
        if held in self.hand:
            self.hand.remove(held)
            self._events.ended(held, Cancelled(reason) if why == "cancel" else Released(why))
            return
        executor = next((e for e in self.executors if held in e.given), None)
        if executor is None or executor.kill_at is not None:
            return
        self.hand.extendleft(reversed(executor.take_back()))
        if held in self.hand:
            self.stop(held, why, reason)
            return
        held.stop_reason = reason if why == "cancel" else None
        executor.kill_at = time.monotonic() + STOPPING_S
        self.next_scan = min(self.next_scan, executor.kill_at)
        executor.stop(why, reason)

    def take_back_all(self) -> None:
        """Bring every job that has not begun back into the hand."""
        for executor in self.executors:
            self.hand.extendleft(reversed(executor.take_back()))

    def kill_running(self, reason: str) -> None:
        """Kill every executor that has a job."""
        for executor in self.executors:
            if executor.given:
                executor.kill(reason)

    def scan(self, now: float) -> None:
        """Look at every executor: overdue ones are killed, jobs stuck behind a long one are taken back."""
        self.next_scan = float("inf")
        for executor in list(self.executors):
            running = executor.running
            if executor.is_dead or running is None or running.started_at is None:
                continue
            overdue_at = running.started_at + running.spec.timeout_s + STOPPING_S
            if executor.kill_at is not None and now >= executor.kill_at:
                executor.kill("cancelled" if running.stop_reason is not None else "shutdown")
            elif now >= overdue_at:
                executor.kill("timeout")
            self.next_scan = min(self.next_scan, overdue_at, executor.kill_at or overdue_at)
            if len(executor.given) > 1:
                stuck_at = running.started_at + STUCK_BEHIND_S
                if now >= stuck_at:
                    self.hand.extendleft(reversed(executor.take_back()))
                else:
                    self.next_scan = min(self.next_scan, stuck_at)
        for pid, until in list(self._dying.items()):
            if now >= until:
                self.exited(pid, None)
            else:
                self.next_scan = min(self.next_scan, until)

    def close(self) -> None:
        """Close every executor; the living end at once."""
        for executor in list(self.executors):
            if not executor.is_dead:
                self._unwatch(executor)
                executor.kill("shutdown")
            self._remove(executor)

    def _make_room(self, idle: list[Executor]) -> bool:
        """Whether one more executor may be started, if need be in place of an idle one of another class."""
        if time.monotonic() < self._no_fork_before:
            return False
        alive = sum(1 for executor in self.executors if not executor.is_dead and not executor.is_retiring)
        if alive < self.slots:
            return True
        if not idle:
            return False
        self._retire(idle.pop())
        return True

    def _fork(self, memory: int | None) -> bool:
        self._requests += 1
        executor = Executor(self._requests, memory)
        self.executors.append(executor)
        if self._ask_for_fork(executor):
            return True
        self._remove(executor)
        return False

    def _give_ahead(self, held: Held, ready: list[Executor]) -> bool:
        """Put a short job behind the shortest line, if it is worth it."""
        ahead = self.pace.ahead(held.claim.task)
        if ahead == 0:
            return False
        fitting = [e for e in ready if e.memory == held.spec.memory and e.kill_at is None and not e.is_retiring]
        shortest = min(fitting, key=lambda e: len(e.given), default=None)
        if shortest is None or len(shortest.given) > ahead:
            return False
        running = shortest.running
        if running is not None and running.started_at is not None:
            if time.monotonic() - running.started_at > STUCK_BEHIND_S:
                return False
            self.next_scan = min(self.next_scan, running.started_at + STUCK_BEHIND_S)
        return shortest.give(held)

    def _hear(self, executor: Executor, frame: wire.FromExecutor) -> None:
        if not executor.given or frame.id != executor.given[0].id:
            raise ProtocolViolation(f"a {type(frame).__name__} about a job that is not its own")
        held = executor.given[0]
        match frame:
            case wire.Started():
                self._begin(executor, held)
            case wire.Reported(_, progress):
                self._events.progressed(held, believable_progress(progress))
            case wire.Logged(_, line):
                self._events.logged(held, line[:1000])
            case wire.Ended(_, outcome, ran_s, following):
                if held.started_at is None:
                    raise ProtocolViolation("an outcome of a job that was not begun")
                outcome = believable(outcome)
                executor.given.popleft()
                executor.kill_at = None
                self.pace.note(held.claim.task, max(0.0, ran_s))
                if following is not None:
                    if not executor.given or executor.given[0].id != following:
                        raise ProtocolViolation("it began a job that is not its own")
                    self._begin(executor, executor.given[0])
                if isinstance(outcome, Crashed):  # its memory is not to be trusted any more
                    self._retire(executor)
                self._events.ended(held, outcome)

    def _begin(self, executor: Executor, held: Held) -> None:
        held.started_at = now = time.monotonic()
        overdue_at = now + held.spec.timeout_s + STOPPING_S
        soon = now + STUCK_BEHIND_S if len(executor.given) > 1 and self.pace.ahead(held.claim.task) else overdue_at
        self.next_scan = min(self.next_scan, soon, overdue_at)
        self._events.began(held)

    def _outcome_of_death(self, executor: Executor, running: Held, status: int | None) -> Outcome:
        cause = cause_of_death(executor, status)
        if cause == "cancelled":
            return Cancelled(running.stop_reason or "")
        if cause == "shutdown":
            return Released("shutdown")
        return Crashed(cause, executor.words())

    def _retire(self, executor: Executor) -> None:
        """Give it nothing more; it ends when it has read that its socket is closed."""
        self.hand.extendleft(reversed(executor.take_back()))
        executor.is_retiring = True
        executor.ours.shutdown(1)

    def _remove(self, executor: Executor) -> None:
        if executor in self.executors:
            self.executors.remove(executor)
            executor.close()
