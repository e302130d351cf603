"""The executors of a worker: who runs what, who is next, and what becomes of those that die."""

from __future__ import annotations

import logging
import signal
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Protocol

from .. import kernel
from ..core.codec import printable
from ..core.needs import Reach
from ..core.outcome import Cancelled, Crashed, Outcome, Released, Succeeded
from ..executor import wire
from .ahead import STUCK_BEHIND_S, Ahead
from .executors import Executor, Kind, ProtocolViolation, cause_of_death, kind_for
from .hearing import Events, Hearing
from .held import Held
from .pace import Pace
from .porter import close_all
from .room import More, spares, taken
from .scales import Scales
from .settings import STOPPING_S
from .spares import Spares
from .verdict import CANCEL, SHUTDOWN, TIMEOUT, kill_at, verdict
from .wear import Wear

log = logging.getLogger("narrowboat.worker")
TURN_S = 0.25  # for so long a class of executors may keep all slots while jobs of another wait
FORK_AGAIN_S = 0.5  # after the system refused one, or one died before its first job
CAME_UP_S = 1.0  # a spare that has lived so long had come up well
FRESH_S = 0.003  # about what it takes to fork and lock in an executor, which such an attempt costs besides
SUSPICIOUS = {signal.SIGSYS, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT}  # what exploits end in
LEAVE_S = 5.0  # for an executor that was told to end and has nothing left to run: its executor_stop hooks
STATUS_WAIT_S = 5.0  # for a zygote to say how an executor died: who died as under attack must not pass for another


class Forks(Protocol):
    """Who makes executors, and watches what they say."""

    def ask_for(self, executor: Executor) -> bool:
        """Ask for a fork; False when there is nobody to ask."""
        ...

    def confine(self, executor: Executor) -> None:
        """It is there: keep it within its limits before it sees a job."""
        ...

    def watch(self, executor: Executor) -> None:
        """Tell the pool when it speaks or dies."""
        ...

    def unwatch(self, executor: Executor) -> None:
        """It is dead, or of no more interest."""
        ...

    def clear(self, executor: Executor) -> None:
        """Remove what it left."""
        ...

    def suspicious(self, cause: str) -> None:
        """An executor died as it would under attack."""
        ...


class Porters(Protocol):
    """Who brings files to jobs, and takes them away."""

    def fetch(self, held: Held) -> None:
        """Open those of its arguments; `fetched` is called then."""
        ...

    def keep(self, held: Held, outcome: Succeeded) -> None:
        """Store those of its result; `kept` is called then."""
        ...


class Pool:
    """`hand` holds claimed jobs that no executor has been given yet, oldest first; `suspects` go before them.

    Those whose files are on their way are in `fetching` before, and in `keeping` when their attempt is over.
    """

    def __init__(
        self, slots: int, events: Events, forks: Forks, wear: Wear | None = None, porters: Porters | None = None
    ) -> None:
        self.slots = slots
        self.fetching: dict[int, Held] = {}
        self.keeping: dict[int, Held] = {}
        self.hand: deque[Held] = deque()
        self.suspects: deque[Held] = deque()
        self.executors: list[Executor] = []
        self.pace = Pace()
        self.next_scan = float("inf")
        self.is_closing = False  # no new executors
        self.generation = 0  # of the zygote that new executors come from
        self._events, self._forks, self._wear, self._porters = events, forks, wear or Wear(), porters
        self._hearing = Hearing(events, self._began, self._ended, self._keep)
        self._spares = Spares(slots)
        self._scales = Scales()
        self._may_place = False  # something has happened since, by which jobs that found no executor may find one
        self._requests = 0
        self._no_fork_before = 0.0
        self._stillborn = 0  # executors that died before their first job, in a row
        self._kinds: dict[str, Kind] = {}
        self._dying: dict[int, float] = {}  # pid -> until when to wait for its status

    # What there is.

    def used(self) -> float:
        """Slots that are taken. An executor that is about to end counts for what still runs in it."""
        return sum(taken(executor) for executor in self.executors if executor.given or executor.is_lingering)

    def held(self) -> list[Held]:
        """Every job here."""
        given = (held for executor in self.executors for held in executor.given.values())
        return [*self.fetching.values(), *self.hand, *self.suspects, *given, *self.keeping.values()]

    def in_hand(self) -> float:
        """The slots that the jobs in hand will take."""
        waiting = [*self.hand, *self.fetching.values()]
        return len(self.suspects) + sum(1 / held.spec.capacity for held in waiting)

    def spare_jobs(self) -> int:
        """Jobs that have not begun: what executors can go on with before the next claim."""
        return len(self.hand) + len(self.fetching) + sum(executor.unbegun for executor in self.executors)

    def company_s(self) -> float:
        """How long a settlement may wait for others, since executors have work meanwhile."""
        return self.pace.company_s(self.spare_jobs() / self.slots)

    def room(self, concurrency: int) -> int:
        """Jobs of such tasks that running executors could begin at once, beyond those in hand."""
        room = sum(e.room for e in self.executors if e.given and e.kind.concurrency == concurrency and e.is_ready)
        return max(0, room - sum(held.spec.concurrency == concurrency for held in self.hand))

    def can_yield(self) -> bool:
        """Whether an executor of async tasks would make room for a class that has none."""
        return not self.hand and any(e.given and e.kind.concurrency and e.is_ready for e in self.executors)

    # Giving jobs to executors.

    def take(self, jobs: list[Held]) -> None:
        """Newly claimed jobs."""
        self._may_place = True
        for held in jobs:
            if held.spec.takes_files and self._porters is not None:
                self.fetching[held.claim.token] = held
                self._porters.fetch(held)
            else:
                self.hand.append(held)

    def fetched(self, held: Held, descriptors: Sequence[int], outcome: Outcome | None) -> None:
        """The files of a job are there, or cannot be had."""
        held.files = descriptors
        if self.fetching.pop(held.claim.token, None) is None:
            held.drop_files()  # it was stopped meanwhile
        elif outcome is not None:
            self._events.ended(held, outcome)
        else:
            held.claimed_at = time.monotonic()  # it has not waited for an executor yet
            self.hand.append(held)
            self._may_place = True

    def kept(self, held: Held, outcome: Outcome) -> None:
        """The files of a result are stored, or could not be."""
        del self.keeping[held.claim.token]
        self._events.ended(held, outcome)

    def _keep(self, held: Held, outcome: Succeeded) -> None:
        if self._porters is None:
            self._events.ended(held, outcome)
            return
        self.keeping[held.claim.token] = held
        self._porters.keep(held, outcome)

    def assign(self) -> None:
        """Give jobs in hand to executors with room, fork more for those that find none, and fill up with short ones.

        Then see to it that there are spares for the next ones.
        """
        if self._may_place and (self.hand or self.suspects):
            self._may_place = False
            self._assign()
        self._restock()

    def _assign(self) -> None:
        coming: defaultdict[Kind, int] = defaultdict(int)  # room in executors that are being forked
        for executor in self.executors:
            if executor.process is None:
                coming[executor.kind] += executor.kind.capacity
        self._assign_suspects(coming)
        tasks = {held.claim.task for held in self.hand}
        left: deque[Held] = deque()
        busy: set[str] = set()  # no executor can begin one of its jobs at once
        ahead: dict[str, Ahead] = {}  # nor can one be forked
        hopeless: dict[str, Held] = {}  # nor may one wait in a line: none of its jobs is looked at again
        while self.hand and len(hopeless) < len(tasks):
            held = self.hand.popleft()
            task = held.claim.task
            if task not in ahead:
                kind = self._kind_of(held)
                if task not in busy:
                    if self._give(held, kind):
                        continue
                    busy.add(task)
                if coming[kind] > 0 or self._fork(kind, coming):
                    coming[kind] -= 1
                    left.append(held)
                    continue
                ahead[task] = self._ahead(kind, task)
            if task in hopeless or ahead[task].give(held) is None:
                hopeless.setdefault(task, held)
                left.append(held)
        for lines in ahead.values():
            self.next_scan = min(self.next_scan, lines.stuck_at)
        left.extend(self.hand)
        self.hand = left
        for held in hopeless.values():
            self._take_turns(held)

    def _assign_suspects(self, coming: defaultdict[Kind, int]) -> None:
        for _ in range(len(self.suspects)):
            held = self.suspects.popleft()
            kind = self._kind_of(held)
            empty = next((e for e in self.executors if e.kind == kind and not e.given and e.is_ready), None)
            if empty is not None and self._give_to(empty, held):
                continue
            if coming[kind] >= kind.capacity or self._fork(kind, coming):
                coming[kind] -= kind.capacity
            self.suspects.append(held)

    def _give(self, held: Held, kind: Kind) -> bool:
        """Give a job to an executor that begins it at once."""
        for executor in self.executors:
            if executor.kind == kind and executor.room and executor.is_ready and self._wear.allows(executor):
                return self._give_to(executor, held)
        return False

    def _give_to(self, executor: Executor, held: Held) -> bool:
        """Give it to this one, which takes a slot from now on if it was a spare."""
        if executor.is_spare and not self._make_room(More(executor.kind, others=1, spares=-1)):
            return False
        return executor.give(held)

    def _ahead(self, kind: Kind, task: str) -> Ahead:
        """The lines that short jobs of a task may join."""
        longest = 0 if kind.is_fresh else self.pace.ahead(task)
        return Ahead((e for e in self.executors if e.kind == kind), longest, self._wear)

    def _fork(self, kind: Kind, coming: defaultdict[Kind, int]) -> bool:
        """Ask for one more executor, if there is room for it."""
        if not self._can_fork:
            self._may_place = True  # in a while
            return False
        more = More(kind, others=0, spares=1) if kind.is_fresh else More(kind, others=1, spares=0)
        if not self._make_room(more) or not self._ask_for(kind):
            return False
        if kind.is_fresh:
            self.next_scan = min(self.next_scan, self._spares.asked(kind, time.monotonic()))
        coming[kind] += kind.capacity
        return True

    @property
    def _can_fork(self) -> bool:
        ending = sum(executor.let_go_at is not None and not executor.is_dead for executor in self.executors)
        return not self.is_closing and time.monotonic() >= self._no_fork_before and ending <= self.slots

    def _ask_for(self, kind: Kind) -> bool:
        self._requests += 1
        executor = Executor(self._requests, kind)
        self.executors.append(executor)
        if not self._forks.ask_for(executor):
            self._remove(executor)  # and the next turn asks again
            return False
        return True

    def _restock(self) -> None:
        """Fork the spares that are missing. They never cost another executor its place."""
        for kind in self._spares.missing(spares(self.executors)):
            if not self._can_fork or not self._ask_for(kind):
                return

    def _make_room(self, more: More) -> bool:
        """Whether there may be these, if need be in place of an idle one of another class."""
        if more.fits(self.executors, self.slots, self._spares.most):
            return True
        idle = more.victim(self.executors, self._spares.most)
        if idle is None:
            return False
        self._retire(idle)
        return True

    def _take_turns(self, held: Held) -> None:
        """Executors of async tasks need never be idle: one makes room when another class has waited long enough."""
        now, kind = time.monotonic(), self._kind_of(held)
        others = (e for e in self.executors if not e.is_dead and not e.is_spare)
        if any(e.kind == kind or (e.is_retiring and e.given) for e in others):
            return
        if now < held.claimed_at + TURN_S:
            self.next_scan = min(self.next_scan, held.claimed_at + TURN_S)
            return
        shared = [e for e in self.executors if e.is_ready and e.kind.concurrency and len(e.given) > 0]
        if shared:
            self._retire(min(shared, key=lambda e: len(e.given)))
            self.hand.remove(held)  # what came back from that executor must not be before it
            self.hand.appendleft(held)

    def _kind_of(self, held: Held) -> Kind:
        """One object for all jobs of a task, so that comparing is quick."""
        known = self._kinds.get(held.claim.task)
        if known is None or known.generation != self.generation:
            known = self._kinds[held.claim.task] = kind_for(held.spec, self.generation)
        return known

    # What the zygote and the kernel tell of executors.

    def forked(self, request: int, process: kernel.Process) -> None:
        """The zygote made an executor."""
        executor = next((e for e in self.executors if e.request == request), None)
        if executor is None:
            process.close()
            return
        executor.process = process
        self._may_place = True
        self._forks.confine(executor)
        if executor.is_watched:
            executor.memory_at_birth = kernel.resident_bytes(executor.pid)
        self._watch(executor)

    def _watch(self, executor: Executor) -> None:
        if not executor.is_heard:
            executor.is_heard = True
            self._forks.watch(executor)

    def _unwatch(self, executor: Executor) -> None:
        if executor.is_heard:
            executor.is_heard = False
            self._forks.unwatch(executor)

    def fork_failed(self, request: int) -> None:
        """The zygote could not make one; the jobs in hand ask again in a while."""
        self._wait_to_fork(FORK_AGAIN_S)
        for executor in [e for e in self.executors if e.request == request]:
            self._remove(executor)

    def forget_starting(self, generation: int, reach: Reach | None = None) -> None:
        """A zygote is gone, and with it the forks that it was asked for, and what it would have told of others."""
        for executor in list(self.executors):
            kind = executor.kind
            if kind.generation != generation or reach not in (None, kind.reach):
                continue
            if executor.process is None:
                self._remove(executor)
            elif not executor.is_dead:
                self._watch(executor)

    def move_on(self, generation: int) -> None:
        """From now on executors come from another zygote; those of the one before end when their jobs do."""
        self.generation = generation
        self._spares = Spares(self.slots)
        for executor in self.executors:
            if executor.kind.generation != generation and not executor.is_retiring and not executor.is_dead:
                self._retire(executor)

    def readable(self, executor: Executor) -> None:
        """There is something to hear, unless it was heard out in this very turn."""
        if not executor.is_dead:
            self._hear(executor)

    def _hear(self, executor: Executor) -> bool:
        """Hear what an executor says; one that says what it may not is killed. Whether it said anything."""
        frames: list[tuple[wire.FromExecutor, int]] = []
        heard = 0
        try:
            frames = executor.read()
            for frame, descriptor in frames:
                self._hearing.hear(executor, frame, descriptor)
                heard += 1
        except ProtocolViolation as violation:
            close_all([descriptor for _, descriptor in frames[heard:] if descriptor >= 0])
            log.error("executor %d broke the protocol and is killed: %s", executor.pid, violation)
            executor.kill("protocol violation")
            return False
        if executor.has_hung_up and not executor.is_dead:
            self.died(executor)
        return bool(frames)

    def died(self, executor: Executor) -> None:
        """It is dead; how it died may be told later."""
        if not executor.is_dead:
            self._hear_out(executor)
            self._dying[executor.pid] = time.monotonic() + STATUS_WAIT_S
            self.next_scan = min(self.next_scan, self._dying[executor.pid])

    def _hear_out(self, executor: Executor) -> None:
        """What a dead one has left in its socket: its last frames, and jobs that it has not read."""
        executor.is_dead = True
        self._unwatch(executor)
        if executor.given:
            while executor.kill_reason != "protocol violation" and self._hear(executor):
                pass
            self._take_back(executor)

    def exited(self, pid: int, status: int | None) -> None:
        """How an executor died: settle what it was running, keep what it had not begun."""
        executor = next((e for e in self.executors if e.pid == pid), None)
        if executor is None:
            return
        if not executor.is_dead:
            self._hear_out(executor)
        if status is None and executor.process is not None and executor.process.descriptor >= 0:
            executor.process.signal(signal.SIGKILL)  # it may only have hung up; a bare pid may be another's by now
        self._dying.pop(pid, None)
        if status != 0 or executor.given or not executor.is_retiring:
            self._settle(executor, status)
        self._remove(executor)

    def _settle(self, executor: Executor, status: int | None) -> None:
        """It did not end as it was told to, or not with nothing to run."""
        cause, words, running = cause_of_death(executor, status), executor.words(), executor.running()
        if not executor.begun and executor.kill_reason is None and not executor.is_retiring:
            self._died_early(executor, cause, words)
        is_signal = executor.kill_reason is None and status is not None and -status in SUSPICIOUS
        is_final = is_signal and (status == -signal.SIGSYS or executor.kind.is_fresh)
        if is_signal:
            self._forks.suspicious(f"an executor died of {cause}")
        outcomes = [(held, verdict(held, running, executor.kill_reason, cause, words, is_final)) for held in running]
        suspects = [held for held, outcome in outcomes if outcome is None]
        if suspects:
            log.error("an executor died (%s) with %d jobs in it; each is run again alone", cause, len(suspects))
        for held, outcome in outcomes:
            del executor.given[held.claim.token]
            if outcome is not None:
                self._events.ended(held, outcome)
            elif held.is_lost:
                self._events.ended(held, Released("lost"))
            else:
                held.begin_again()
                self.suspects.append(held)
        self.hand.extendleft(reversed(executor.given.values()))
        executor.given.clear()

    def _died_early(self, executor: Executor, cause: str, words: str) -> None:
        """It never began a job. Spares of its kind are forked again when one has."""
        self._spares.died(executor.kind)
        if executor.kind.is_fresh and time.monotonic() >= executor.born_at + CAME_UP_S:
            log.warning("a spare executor died (%s); no job was in it", cause)
            return
        self._stillborn += 1
        self._wait_to_fork(min(30.0, FORK_AGAIN_S * 2**self._stillborn))
        log.error("an executor died before its first job (%s): %s", cause, printable(words[-2000:]))

    def _began(self, executor: Executor, held: Held) -> None:
        self._stillborn = 0
        if executor.kind.is_fresh:
            self.next_scan = min(self.next_scan, self._spares.used(executor.kind, time.monotonic()))
        if executor.is_watched:
            self._scales.expect(time.monotonic())
            self.next_scan = min(self.next_scan, self._scales.next_at)
        at = executor.moved_at + (STUCK_BEHIND_S if executor.unbegun else held.spec.timeout_s + STOPPING_S)
        if at < self.next_scan:
            self.next_scan = at

    def _ended(self, executor: Executor, held: Held, outcome: Outcome, ran_s: float) -> None:
        kind = executor.kind
        if kernel.CAN_TAKE_BACK:  # else no task is ever short enough to be claimed ahead
            ran_s += FRESH_S if kind.is_fresh else 0.0
            self.pace.note(held.claim.task, ran_s / kind.capacity)
        self._may_place = True
        if kind.is_fresh:  # it ends by itself, and has nothing more to say
            executor.is_retiring = True
            self._unwatch(executor)
        if executor.is_retiring:
            self._let_go(executor)
        elif self._wear.is_worn(executor) or (
            isinstance(outcome, Crashed) and (not kind.concurrency or outcome.cause != TIMEOUT)
        ):
            self._retire(executor)

    # Stopping jobs and executors.

    def stop(self, held: Held, why: str, reason: str) -> None:
        """End a job that may be running ("cancel" or "shutdown"): Stopping first, SIGKILL after STOPPING_S."""
        if self.fetching.pop(held.claim.token, None) is not None:
            self._events.ended(held, Cancelled(reason) if why == "cancel" else Released(why))
            return
        for line in (self.hand, self.suspects):
            if held in line:
                line.remove(held)
                self._events.ended(held, Cancelled(reason) if why == "cancel" else Released(why))
                return
        executor = next((e for e in self.executors if held.claim.token in e.given), None)
        if executor is None or held.kill_at is not None:
            return
        self._take_back(executor)
        if held in self.hand:
            self.stop(held, why, reason)
            return
        held.stop_why, held.stop_reason = why, reason
        held.kill_at = time.monotonic() + STOPPING_S
        self.next_scan = min(self.next_scan, held.kill_at)
        executor.stop(held)

    def stop_running(self, why: str, reason: str) -> None:
        """The same for every job that an executor has begun."""
        for executor in list(self.executors):
            for held in list(executor.given.values()):
                self.stop(held, why, reason)

    def _take_back(self, executor: Executor) -> None:
        """Jobs that it has not read are in hand again, in front."""
        back = executor.take_back()
        if back:
            self._may_place = True
            self.hand.extendleft(reversed(back))

    def take_back_all(self) -> None:
        """Bring every job that has not begun back into the hand."""
        for executor in self.executors:
            self._take_back(executor)
        self.hand.extend([*self.suspects, *self.fetching.values()])
        self.suspects.clear()
        self.fetching.clear()

    def kill_running(self) -> None:
        """Kill every executor that has a job, for a shutdown."""
        for executor in self.executors:
            if executor.given:
                executor.kill(SHUTDOWN)

    def stop_growing(self) -> None:
        """No new executors from now on, and none without a job."""
        self.is_closing = True
        for executor in spares(self.executors):
            self._retire(executor)

    def scan(self, now: float) -> None:
        """Look at every executor: overdue ones are killed, jobs stuck behind long ones taken back, old spares ended."""
        self._may_place = True
        idle_kinds, self.next_scan = self._spares.idle_kinds(now)
        for executor in spares(self.executors) if idle_kinds else ():
            if executor.kind in idle_kinds:
                self._retire(executor)
        for executor in list(self.executors):
            if not executor.is_dead and executor.process is not None:
                self._scan(executor, now)
        self._scales.weigh(self.executors, now)
        self.next_scan = min(self.next_scan, self._scales.next_at)
        for pid, until in list(self._dying.items()):
            if now >= until:
                self.exited(pid, None)
            else:
                self.next_scan = min(self.next_scan, until)

    def _scan(self, executor: Executor, now: float) -> None:
        if executor.let_go_at is not None:
            if now < executor.let_go_at + LEAVE_S:
                self.next_scan = min(self.next_scan, executor.let_go_at + LEAVE_S)
            elif executor.kill_reason is None:
                log.warning("executor %d does not end and is killed", executor.pid)
                executor.kill("it did not end when it was told to")
                self._dying[executor.pid] = now + STATUS_WAIT_S
        for held in executor.running():
            until = kill_at(held)
            if until is not None and now >= until:
                executor.kill({"cancel": CANCEL, "shutdown": SHUTDOWN}.get(held.stop_why, TIMEOUT))
            elif until is not None:
                self.next_scan = min(self.next_scan, until)
        if executor.unbegun and executor.begun:
            stuck_at = executor.moved_at + STUCK_BEHIND_S
            if now >= stuck_at:
                self._take_back(executor)
            else:
                self.next_scan = min(self.next_scan, stuck_at)

    def close(self) -> None:
        """Close every executor; the living end at once."""
        for executor in list(self.executors):
            if not executor.is_dead and executor.process is not None:
                self._unwatch(executor)
                executor.kill(SHUTDOWN)
            self._remove(executor)

    def _retire(self, executor: Executor) -> None:
        """Give it nothing more; it ends when its jobs have, and it has read that its socket is closed."""
        self._take_back(executor)
        executor.is_retiring = True
        executor.ours.shutdown(1)
        self._let_go(executor)

    def _let_go(self, executor: Executor) -> None:
        """One that is retiring and has nothing left to run ends by itself, or else is killed soon."""
        if not executor.given and executor.let_go_at is None:
            executor.let_go_at = time.monotonic()
            self.next_scan = min(self.next_scan, executor.let_go_at + LEAVE_S)

    def _wait_to_fork(self, wait_s: float) -> None:
        self._no_fork_before = time.monotonic() + wait_s
        self.next_scan = min(self.next_scan, self._no_fork_before)

    def _remove(self, executor: Executor) -> None:
        self._may_place = True
        if executor in self.executors:
            self.executors.remove(executor)
            executor.close()
            self._forks.clear(executor)
