"""The main loop: the one place where a worker's state changes."""

from __future__ import annotations

import faulthandler
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from ..backends.base import Backend, ClaimRef
from ..backends.urls import redacted
from ..backends.whereabouts import announce
from ..core.errors import NarrowboatError
from ..core.job import Claim, Progress
from ..core.outcome import Crashed, Outcome, Released
from ..core.task import Manifest, TaskSpec, unknown_task
from ..executor import linux
from .appetite import Appetite
from .banner import banner
from .courier import Courier
from .executors import Executor
from .heartbeat import Heartbeat
from .held import Held
from .identity import this_worker
from .journal import Journal
from .ledger import Ledger
from .link import Link
from .listener import Listener
from .mail import Broken, CancelsAsked, Extend, Heard, Listen, Mailbox, Renewed, Rescued, Stepped
from .nursery import ImportFailed, Nursery
from .pool import Pool
from .settings import STOPPING_S, Settings
from .zygote import Zygote

log = logging.getLogger("narrowboat.worker")
WATCHDOG_S = 60.0  # a main loop that does not turn for so long is stuck: dump every stack and exit
TICK_S = 5.0
IMPORT_S = 120.0
SWITCH_S = 1e-4  # the courier gives up the interpreter for every row; it must not wait 5 ms to have it back
HAND_S = 2.0  # how long a claimed job waits for an executor
LAST_STEP_S = 5.0  # for handing back at the end


class Worker:
    """One worker process. `run` returns the exit status."""

    def __init__(
        self, settings: Settings, backend: Backend, origin: str = "", say: Callable[[str], None] = log.info
    ) -> None:
        self._settings, self._backend, self._origin, self._say = settings, backend, origin, say
        self._selector = selectors.DefaultSelector()
        self._mailbox = Mailbox()
        self._journal = Journal()
        self._lifeline_read, self._lifeline = os.pipe2(os.O_CLOEXEC)
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._signals = 0
        self._stop_by: float | None = None  # draining since a signal; then the end of the drain
        self._is_hungry = True  # there may be work in the backend
        self._is_carrying = self._is_listening = False
        self._specs: dict[str, TaskSpec] = {}
        self._pool = Pool(
            settings.slots, self, lambda executor: self._nursery.ask_for(executor), self._watch, self._unwatch
        )
        self._nursery = Nursery(self._start_zygote, self._pool, self._selector)
        self._is_set_up = False
        self._next_watchdog = 0.0

    def run(self) -> int:
        """Work until told to stop. Raises ImportFailed, and BackendUnavailable when it cannot even begin."""
        sys.setswitchinterval(SWITCH_S)
        linux.become_subreaper()
        self._listen_to_signals()
        self._add(self._mailbox.descriptor, self._read_mail)
        manifest = self._first_manifest()
        if manifest is None:  # told to stop before it began
            return 0
        self._set_up(manifest)
        if manifest.url is not None:
            log.warning("the app's code names its backend (%s); this worker uses its own", redacted(manifest.url))
        note = announce(manifest.app, self._backend.location)
        try:
            self._backend.publish(self._info, manifest)
            self._say(banner(self._backend.location, self._origin, self._info, manifest, self._settings.drain_s))
            for service in self._services:
                service.start()
            self._loop()
            return 0
        finally:
            self._shut_down()
            if note is not None:
                note.unlink(missing_ok=True)

    def _set_up(self, manifest: Manifest) -> None:
        """Everything that depends on which tasks there are."""
        settings = self._settings
        queues = settings.queues or dict.fromkeys(sorted({task.queue for task in manifest.tasks}))
        slots = {name: settings.slots if own is None else own for name, own in queues.items()}
        self._specs = {task.name: task for task in manifest.tasks}
        self._info = this_worker(slots, settings.slots, settings.lease_s)
        self._ledger = Ledger(self._info.id)
        self._appetite = Appetite(queues, frozenset(self._specs), self._pool)
        self._link = Link(self._backend, self._info, self._mailbox)
        self._link.manifest = manifest
        self._courier, self._listener = Courier(self._link), Listener(self._link)
        self._heartbeat = Heartbeat(self._link, settings.retention)
        self._services = (self._courier, self._listener, self._heartbeat)
        self._next_extend = time.monotonic() + settings.lease_s / 3
        self._is_set_up = True

    # What the pool tells.

    def began(self, held: Held) -> None:
        """An attempt has begun."""
        self._ledger.begin(held)

    def progressed(self, held: Held, progress: Progress) -> None:
        """A running job reported."""
        self._ledger.report(held, progress)

    def logged(self, held: Held, line: str) -> None:
        """A running job wrote a line."""
        if len(held.logs) <= 200:
            held.logs.append(line)
            self._journal.line(held, line)

    def ended(self, held: Held, outcome: Outcome) -> None:
        """A claim is over."""
        if held.is_lost:
            return
        settlement = self._ledger.settle(held, outcome)
        ran_s = 0.0 if held.started_at is None else time.monotonic() - held.started_at
        self._journal.settled(held, settlement, ran_s)

    # The loop.

    def _loop(self) -> None:
        while not self._is_over():
            now = time.monotonic()
            self._feed_watchdog(now)
            self._turn(now)
            for key, _ in self._selector.select(self._patience()):
                key.data()
        faulthandler.cancel_dump_traceback_later()

    def _feed_watchdog(self, now: float) -> None:
        """At most once a second, since each call starts a thread."""
        if now >= self._next_watchdog:
            self._next_watchdog = now + 1.0
            faulthandler.dump_traceback_later(WATCHDOG_S, exit=True)

    def _turn(self, now: float) -> None:
        """What time brings, and what the events of this turn have made possible."""
        if now >= self._pool.next_scan:
            self._pool.scan(now)
        if self._nursery.retry_at is not None and now >= self._nursery.retry_at:
            self._nursery.start()
        if now >= self._next_extend:
            self._extend(now)
        if self._stop_by is not None:
            self._drain(now)
        else:
            if self._nursery.is_ready:
                self._pool.assign()
            self._release_overdue(now)
        self._step_if_due(now)
        self._listen_if_idle()

    def _patience(self) -> float:
        """How long to sleep at most."""
        times = [self._pool.next_scan, self._next_extend]
        if not self._is_carrying:
            due = self._ledger.due_at(self._can_batch())
            if due is not None:
                times.append(due)
        if self._nursery.retry_at is not None:
            times.append(self._nursery.retry_at)
        now = time.monotonic()
        if self._stop_by is not None:
            turns = (self._stop_by - STOPPING_S, self._stop_by, self._stop_by + LAST_STEP_S)
            times.append(next((turn for turn in turns if turn > now), now + 0.01))
        elif self._pool.hand:
            times.append(self._pool.hand[0].claimed_at + HAND_S)
        return min(TICK_S, max(0.0, min(times) - now))

    def _is_over(self) -> bool:
        return (
            self._stop_by is not None and not self._is_carrying and self._ledger.is_empty and not self._pool.held()
        ) or (self._stop_by is not None and time.monotonic() > self._stop_by + LAST_STEP_S)

    def _can_batch(self) -> bool:
        return self._stop_by is None and self._pool.spare_jobs() > self._pool.slots * 8

    def _step_if_due(self, now: float) -> None:
        if self._is_carrying:
            return
        due = self._ledger.due_at(self._can_batch())
        is_due = due is not None and due <= now
        wants_more = self._is_hungry and self._stop_by is None and self._nursery.is_ready
        if not is_due and not (wants_more and not self._can_batch()):
            return
        wants, most = self._appetite.wants() if self._stop_by is None and self._nursery.is_ready else ([], 0)
        if not is_due and not wants:
            return
        self._is_carrying = True
        self._courier.requests.put(self._ledger.next_step(wants, most))

    def _listen_if_idle(self) -> None:
        if (
            self._is_hungry
            or self._is_listening
            or self._is_carrying
            or self._stop_by is not None
            or not self._nursery.is_ready
        ):
            return
        wants, _ = self._appetite.wants()
        if wants:
            self._is_listening = True
            self._listener.requests.put(Listen(wants))

    # Mail from the threads.

    def _read_mail(self) -> None:
        for message in self._mailbox.take():
            match message:
                case Stepped():
                    self._stepped(message)
                case Heard():
                    self._is_listening = False
                    self._is_hungry = self._is_hungry or message.work
                case Renewed():
                    self._renewed(message)
                case CancelsAsked():
                    self._ledger.must_ask = True
                case Rescued():
                    self._rescued(message.claims)
                case Broken():
                    log.critical("the thread %s ended", message.thread, exc_info=message.error)
                    raise NarrowboatError(f"the thread {message.thread} ended") from message.error
                case _:
                    raise TypeError(message)

    def _stepped(self, stepped: Stepped) -> None:
        self._is_carrying = False
        step, reply = stepped.step, stepped.reply
        self._ledger.stepped(step)
        for job_id in reply.refused:
            log.warning("%s: its outcome was refused, another worker had taken the job over", job_id)
        if step.wants:
            self._is_hungry = reply.more
        now = time.monotonic()
        claimed = [Held(claim, self._spec(claim), now) for claim in reply.claimed]
        self._pool.take(claimed)
        if self._stop_by is not None:
            self._release_hand("not begun")
        self._cancel(reply.cancelled)

    def _renewed(self, renewed: Renewed) -> None:
        """Stop what another worker has taken over; only the very claims that were named count, not later ones."""
        lost = set(renewed.reply.lost)
        named = {claim.token for claim in renewed.request.claims if claim.id in lost}
        for held in self._pool.held():
            if held.claim.token in named:
                log.warning("%s: the lease was over and another worker took it; the attempt is stopped", held.id)
                held.is_lost = True
                self._pool.stop(held, "shutdown", "lost")
        self._cancel(renewed.reply.cancelled)

    def _cancel(self, ids: tuple[str, ...]) -> None:
        if not ids:
            return
        asked = set(ids)
        for held in self._pool.held():
            if held.id in asked and held.stop_reason is None:
                self._pool.stop(held, "cancel", "")

    def _rescued(self, claims: list[Claim]) -> None:
        """Jobs of a worker that is gone: a crash for those that had begun, nothing for the rest."""
        for claim in claims:
            held = Held(claim, self._spec(claim), time.monotonic())
            lost = Crashed(f"lost worker {claim.lost_worker}")
            self.ended(held, lost if claim.started else Released(f"worker {claim.lost_worker} is gone"))
        self._is_hungry = True

    def _spec(self, claim: Claim) -> TaskSpec:
        return self._specs.get(claim.task) or unknown_task(claim.task)

    def _extend(self, now: float) -> None:
        self._next_extend = now + self._settings.lease_s / 3
        claims = [ClaimRef(held.id, held.claim.token) for held in self._pool.held() if not held.is_lost]
        claims += self._ledger.unsettled.values()
        self._heartbeat.requests.put(Extend(self._ledger.acknowledged, tuple(claims)))

    # The end.

    def _drain(self, now: float) -> None:
        """Take nothing new, hand back what has not begun, and stop what does not finish in time."""
        assert self._stop_by is not None
        self._pool.take_back_all()
        self._release_hand("not begun")
        if now >= self._stop_by:
            self._pool.kill_running("shutdown")
        elif now >= self._stop_by - STOPPING_S:
            for executor in list(self._pool.executors):
                if executor.given:
                    self._pool.stop(executor.given[0], "shutdown", "the worker is stopping")

    def _release_overdue(self, now: float) -> None:
        """Give back jobs that were claimed ahead, but whose turn here does not come soon after all."""
        hand = self._pool.hand
        while hand and now >= hand[0].claimed_at + HAND_S:
            self.ended(hand.popleft(), Released("it could not be begun soon"))

    def _release_hand(self, reason: str) -> None:
        while self._pool.hand:
            self.ended(self._pool.hand.popleft(), Released(reason))

    def _shut_down(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._link.is_closed.set()
        for service in self._services:
            service.requests.put(None)
        self._pool.close()
        self._nursery.close()
        os.close(self._lifeline)
        try:
            self._backend.leave(self._info.id)
        except NarrowboatError as error:
            log.error("could not say goodbye to the backend; others rescue what is left: %s", error)
        self._backend.close()

    # Processes.

    def _first_manifest(self) -> Manifest | None:
        """Wait for the import; None when a signal came first. Raises ImportFailed."""
        give_up = time.monotonic() + IMPORT_S
        self._nursery.start()
        try:
            while self._nursery.manifest is None and not self._signals:
                for key, _ in self._selector.select(1.0):
                    key.data()
                if time.monotonic() > give_up:
                    raise ImportFailed(f"importing {self._settings.app} takes more than {IMPORT_S:.0f} s")
        except BaseException:
            self._nursery.close()
            raise
        if self._signals:
            self._nursery.close()
            return None
        return self._nursery.manifest

    def _start_zygote(self) -> Zygote:
        return Zygote(self._settings.app, self._settings.path, self._lifeline_read)

    def _watch(self, executor: Executor) -> None:
        self._add(executor.ours.fileno(), lambda: self._pool.readable(executor))
        self._add(executor.pidfd, lambda: self._pool.died(executor))

    def _unwatch(self, executor: Executor) -> None:
        if executor.pidfd >= 0:
            self._selector.unregister(executor.ours.fileno())
            self._selector.unregister(executor.pidfd)

    def _add(self, descriptor: int, react: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, react)

    # Signals.

    def _listen_to_signals(self) -> None:
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._add(self._wake, self._read_signals)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop_signal)
        signal.signal(signal.SIGCHLD, _only_wake)

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _read_signals(self) -> None:
        os.read(self._wake, 4096)
        if not self._is_set_up:
            return
        self._nursery.reap()
        if self._signals == 1 and self._stop_by is None:
            log.info("stopping: what runs has %.0f s; a second signal hands it back now", self._settings.drain_s)
            self._stop_by = time.monotonic() + self._settings.drain_s
            self._pool.is_closing = True
        elif self._signals > 1:
            self._stop_by = time.monotonic()


def _only_wake(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor has been written; there is nothing else to do."""
