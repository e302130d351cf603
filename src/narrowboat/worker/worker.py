"""The main loop: the one place where a worker's state changes."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable

from .. import kernel
from ..backends.base import Backend
from ..backends.urls import redacted, resolve_files
from ..backends.whereabouts import Health
from ..core.errors import NarrowboatError
from ..core.outcome import Released
from ..core.task import Manifest, TaskSpec
from ..files.urls import open_files
from .banner import banner, doubts, exposed, facts, gaps, sandbox_line
from .exchange import NOT_RENEWED, STUCK_STEP_S, Exchange
from .executors import Executor
from .exposure import exposures
from .groups import Groups, groups_here
from .health import Door, Pulse
from .identity import this_worker
from .ledger import Ledger
from .mail import (
    Broken,
    CancelsAsked,
    CodeChanged,
    Heard,
    Mailbox,
    Published,
    Renewed,
    Rescued,
    Stepped,
)
from .nursery import OFF, Grower, Nursery, confined, mode_here, order_for
from .pool import Pool
from .porter import Fetched, Kept, Porter
from .report import report
from .secrets import Secrets
from .settings import STOPPING_S, Settings
from .signals import Signals, has_terminal
from .supervisor import supervisor_here
from .tree import ImportFailed
from .watchdog import Watchdog
from .watching import Watcher
from .yard import Yard
from .zygote import Zygote

log = logging.getLogger("narrowboat.worker")
WATCHDOG_S = 60.0  # a main loop that does not turn for so long is stuck: dump every stack and exit
TICK_S = 5.0
BEAT_S = 5.0
IMPORT_S = 120.0
COLLECT_AFTER = 10_000  # objects more than before: jobs come by hundreds, and few of theirs are in cycles
SWITCH_S = 1e-4  # the courier gives up the interpreter for every row; it must not wait 5 ms to have it back
HAND_S = 2.0  # how long a claimed job waits for an executor
LAST_STEP_S = 5.0  # for handing back at the end


class Worker:
    """One worker process. `run` returns the exit status."""

    def __init__(
        self, settings: Settings, backend: Backend, origin: str = "", say: Callable[[str], None] | None = None
    ) -> None:
        self._settings, self._backend, self._origin, self._say = settings, backend, origin, say
        self._began_at = time.monotonic()
        self._supervisor = supervisor_here()
        self._has_terminal = has_terminal()
        self._selector = selectors.DefaultSelector()
        self._mailbox = Mailbox()
        self._lifeline_read, self._lifeline = kernel.lifeline()
        self._signals = Signals()
        self._stop_by: float | None = None  # draining since a signal; then the end of the drain
        self._is_quiet = False  # takes no new work, since TSTP
        self._info = this_worker(settings.slots, settings.lease_s)
        self._ledger = Ledger(self._info.id)
        store = open_files(*resolve_files(settings.files, backend))
        self._porter = Porter(store, backend, self._mailbox)
        self._pool = Pool(settings.slots, self._ledger, self, settings.wear, self._porter)
        self._exchange = Exchange(backend, self._info, settings, self._ledger, self._pool, self._mailbox)
        self._sandbox = mode_here(settings.sandbox)
        self._yard = Yard(settings.executor_user)
        hidden = (*backend.hidden, *Secrets().folders, *filter(None, [store.folder]))
        self._hidden = hidden
        order = order_for(self._sandbox, self._yard, settings.executor_user, hidden)
        is_off = self._sandbox == OFF
        self._groups = Groups(None, "off") if is_off else groups_here([os.getppid()] if settings.kept else [])
        secrets = Secrets(backend.urls, variables=(*backend.variables, *store.variables))
        grower = Grower(self._start_zygote, secrets, self._yard, order, self._sandbox, self._serves, self._groups)
        self._nursery = Nursery(grower, self._pool, self._selector, self._moved)
        self._is_set_up = False
        self._watchdog = Watchdog(WATCHDOG_S)
        self._next_beat = 0.0

    def run(self) -> int:
        """Work until told to stop. Raises ImportFailed, and BackendUnavailable when it cannot even begin."""
        sys.setswitchinterval(SWITCH_S)
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        kernel.adopt_orphans()
        kernel.keep_out_of_sight()
        self._signals.listen()
        self._add(self._signals.descriptor, self._obey)
        self._add(self._mailbox.descriptor, self._read_mail)
        if self._settings.reload:
            Watcher(self._settings.path[0], self._mailbox).start()
        manifest = self._first_manifest()
        if manifest is None:  # told to stop before it began
            return 0
        if manifest.url is not None:
            log.warning("the app's code names its backend (%s); this worker uses its own", redacted(manifest.url))
        self._pulse = Pulse(self._health())
        try:
            self._info = self._exchange.open(manifest)
            self._open_door()
            self._introduce(manifest)
            self._is_set_up = True
            if self._settings.kept is not None:
                self._tell_keeper(*self._settings.kept)
            self._supervisor.ready()
            self._loop()
            return 0
        finally:
            self._shut_down()
            self._pulse.end()

    def _open_door(self) -> None:
        settings = self._settings
        if settings.health_port is not None:
            door = Door(self._pulse, settings.health_host, settings.health_port)
            door.start()
            log.info("health: http://%s:%d/livez and /readyz", settings.health_host, door.port)

    def _tell_keeper(self, ready: int, lifeline: int) -> None:
        """That this worker takes work; and end when the keeper is gone."""

        def keeper_is_gone() -> None:
            log.error("its keeper is gone")
            self._selector.unregister(lifeline)
            self._stop(self._settings.drain_s)

        self._add(lifeline, keeper_is_gone)
        try:
            os.write(ready, b"x")
        except BrokenPipeError:
            pass  # it is gone already
        os.close(ready)

    def _introduce(self, manifest: Manifest) -> None:
        walls = self._nursery.walls()
        lines = facts(self._backend.location, self._origin, self._info, manifest, self._settings.drain_s)
        lines["sandbox"] = sandbox_line(self._sandbox, walls)
        self._pulse.beat(self._health(), time.monotonic())  # whoever has read that it is there finds its note
        if self._say is not None:
            self._say(banner(manifest.app, lines))
        else:
            log.info("app %s: %s", manifest.app, lines["worker"], extra={"facts": lines})
        warnings = [
            *doubts(self._info, manifest),
            *self._backend.doubts(),
            *exposed(manifest, self._hidden),
            *gaps(self._sandbox, walls),
        ]
        for doubt in warnings:
            log.warning("%s", doubt)
        threading.Thread(target=self._warn_of_exposures, args=(manifest,), name="exposures", daemon=True).start()

    def _warn_of_exposures(self, manifest: Manifest) -> None:
        """In a thread, since it may take a second."""
        served = [spec for spec in manifest.tasks if self._serves(spec)]
        for warning in exposures(served, self._backend.urls):
            log.warning("%s", warning)

    def _moved(self, manifest: Manifest) -> None:
        """The app was imported anew."""
        if self._is_set_up:
            self._exchange.move_on(manifest)

    def _health(self) -> Health:
        manifest = self._nursery.manifest
        state = "draining" if self._stop_by is not None else "quiet" if self._is_quiet else "consuming"
        if state == "consuming" and not self._nursery.is_ready:
            state = "waiting for its zygote"
        return Health(
            app=manifest.app if manifest else "",
            location=self._backend.location,
            pid=os.getpid(),
            worker=self._info.id,
            state=state,
            turned_at=time.time(),
            contact_at=self._exchange.contact_at,
            slots=self._settings.slots,
            running=sum(len(executor.given) - executor.unbegun for executor in self._pool.executors),
        )

    # The loop.

    def _loop(self) -> None:
        self._watchdog.start()
        while not self._is_over():
            now = time.monotonic()
            self._turn(now)
            self._watchdog.feed()
            self._supervisor.sign_of_life(now)
            for key, _ in self._selector.select(self._patience()):
                key.data()

    def _turn(self, now: float) -> None:
        """What time brings, and what the events of this turn have made possible."""
        if now >= self._next_beat:
            self._beat(now)
        if now >= self._pool.next_scan:
            self._pool.scan(now)
        if self._nursery.retry_at is not None and now >= self._nursery.retry_at:
            self._nursery.start()
        self._nursery.turn()
        if self._supervisor.is_reloading and not (self._nursery.is_reloading or self._exchange.unpublished):
            self._supervisor.ready()
        if self._stop_by is not None:
            self._drain(now)
        else:
            if not self._exchange.may_begin(now):
                self._release_unbegun(NOT_RENEWED)
            elif self._nursery.is_ready:
                if self._pool.hand and (wait_s := self._wait_s):  # the backend works while what it gave is handed out
                    self._exchange.turn(now, self._can_claim, wait_s)
                self._pool.assign()
            self._release_overdue(now)
        self._exchange.turn(now, self._can_claim, self._wait_s)

    def _beat(self, now: float) -> None:
        """Say how it is, and do not outlive a step that never returns: a worker that is up is consuming."""
        self._next_beat = now + BEAT_S
        health = self._health()
        self._pulse.beat(health, now)
        self._supervisor.status(health.in_words())
        self._groups.sweep()
        if self._nursery.manifest is not None and any(task.has_files for task in self._nursery.manifest.tasks):
            self._porter.sweep_if_due(now)
        if self._exchange.is_stuck(now):
            faulthandler.dump_traceback()
            raise NarrowboatError(f"a step has taken more than {STUCK_STEP_S:.0f} s without a word; exiting")

    def _patience(self) -> float:
        """How long to sleep at most."""
        times = [self._pool.next_scan, self._exchange.next_turn(), self._next_beat, self._supervisor.next_sign]
        if not self._exchange.is_carrying:
            due = self._ledger.due_at(self._wait_s)
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
            self._stop_by is not None
            and not self._exchange.is_carrying
            and self._ledger.is_empty
            and not self._pool.held()
        ) or (self._stop_by is not None and time.monotonic() > self._stop_by + LAST_STEP_S)

    @property
    def _can_claim(self) -> bool:
        return self._stop_by is None and not self._is_quiet and self._nursery.is_ready

    @property
    def _wait_s(self) -> float:
        """How long a settlement waits for company: 0 unless executors have work at hand for much longer."""
        return 0.0 if self._stop_by is not None else self._pool.company_s()

    # Mail from the threads.

    def _read_mail(self) -> None:
        for message in self._mailbox.take():
            match message:
                case Stepped():
                    self._exchange.stepped(message)
                    if self._stop_by is not None:
                        self._release_hand("not begun")
                case Heard():
                    self._exchange.heard(message)
                case Renewed():
                    self._exchange.renewed(message)
                case CancelsAsked():
                    self._ledger.must_ask = True
                case Published():
                    self._exchange.published()
                case Rescued():
                    self._exchange.rescued(message)
                case Fetched():
                    self._pool.fetched(message.held, message.descriptors, message.outcome)
                case Kept():
                    self._pool.kept(message.held, message.outcome)
                case CodeChanged():
                    log.info("changed: %s", ", ".join(message.paths[:5]))
                    self._nursery.reload()
                case Broken():
                    log.critical("the thread %s ended", message.thread, exc_info=message.error)
                    raise NarrowboatError(f"the thread {message.thread} ended") from message.error
                case _:
                    raise TypeError(message)

    # The end.

    def _drain(self, now: float) -> None:
        """Take nothing new, hand back what has not begun, and stop what does not finish in time."""
        assert self._stop_by is not None
        self._release_unbegun("not begun")
        if now >= self._stop_by:
            self._pool.kill_running()
        elif now >= self._stop_by - STOPPING_S:
            self._pool.stop_running("shutdown", "the worker is stopping")

    def _release_overdue(self, now: float) -> None:
        """Give back jobs that were claimed ahead, but whose turn here does not come soon after all."""
        hand = self._pool.hand
        while hand and now >= hand[0].claimed_at + HAND_S:
            self._ledger.ended(hand.popleft(), Released("it could not be begun soon"))

    def _release_unbegun(self, reason: str) -> None:
        self._pool.take_back_all()
        self._release_hand(reason)

    def _release_hand(self, reason: str) -> None:
        while self._pool.hand:
            self._ledger.ended(self._pool.hand.popleft(), Released(reason))

    def _shut_down(self) -> None:
        self._watchdog.end()
        self._exchange.close()
        self._pool.close()
        self._nursery.close()
        self._groups.close()
        self._yard.close()
        os.close(self._lifeline)
        try:
            self._backend.leave(self._info.id)
        except NarrowboatError as error:
            log.error("could not say goodbye to the backend; others rescue what is left: %s", error)
        self._backend.close()
        self._exchange.join()

    # Processes.

    def _first_manifest(self) -> Manifest | None:
        """Wait for the import; None when a signal came first. Raises ImportFailed."""
        give_up = time.monotonic() + IMPORT_S
        self._nursery.start()
        try:
            while self._nursery.manifest is None and not self._signals.is_asked_to_stop:
                self._wait_for_import()
                if time.monotonic() > give_up and not self._settings.reload:
                    raise ImportFailed(f"importing {self._settings.app} takes more than {IMPORT_S:.0f} s")
        except BaseException:
            self._nursery.close()
            self._yard.close()
            raise
        if self._signals.is_asked_to_stop:
            self._nursery.close()
            self._yard.close()
            return None
        return self._nursery.manifest

    def _wait_for_import(self) -> None:
        """One turn. With --reload, code that cannot be imported is shown, and a change waited for."""
        if self._nursery.retry_at is not None and time.monotonic() >= self._nursery.retry_at:
            self._nursery.start()
        try:
            for key, _ in self._selector.select(1.0):
                key.data()
            self._nursery.turn()
        except ImportFailed as error:
            if not self._settings.reload:
                raise
            log.error("%s cannot be imported; waiting for a change:\n%s", self._settings.app, error)
            self._nursery.close()

    def _start_zygote(self, environment: dict[str, str]) -> Zygote:
        settings = self._settings
        return Zygote(settings.app, settings.path, self._lifeline_read, environment, settings.reload)

    def _serves(self, spec: TaskSpec) -> bool:
        return not self._settings.queues or spec.queue in self._settings.queues

    # What the pool asks for.

    def ask_for(self, executor: Executor) -> bool:
        """Ask the zygote for a fork."""
        return self._nursery.ask_for(executor)

    def confine(self, executor: Executor) -> None:
        """Keep it within its limits before it sees a job."""
        kind = executor.kind
        if not kind.reach.trusted:
            name = f"-{executor.request}"
            executor.group = confined(self._groups, executor.pid, name, kind.limits)

    def watch(self, executor: Executor) -> None:
        """Hear what an executor says, and when it dies."""
        self._add(executor.ours.fileno(), lambda: self._pool.readable(executor))
        if executor.process is not None and executor.process.descriptor >= 0:
            self._add(executor.process.descriptor, lambda: self._pool.died(executor))

    def unwatch(self, executor: Executor) -> None:
        """It is dead, or of no more interest."""
        self._selector.unregister(executor.ours.fileno())
        if executor.process is not None and executor.process.descriptor >= 0:
            self._selector.unregister(executor.process.descriptor)

    def clear(self, executor: Executor) -> None:
        """Remove what it left."""
        self._yard.clear(executor.scratch)
        if executor.group is not None:
            self._groups.release(executor.group)

    def suspicious(self, cause: str) -> None:
        """An executor died as it would under attack."""
        self._nursery.retire(cause)

    def _add(self, descriptor: int, react: Callable[[], object]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, react)

    # Signals.

    def _obey(self) -> None:
        if not self._is_set_up and self._signals.is_asked_to_stop:
            return  # whoever waits for the import asks
        orders = self._signals.take()
        self._nursery.reap()
        for order in orders:
            match order:
                case signal.SIGTERM | signal.SIGINT:
                    self._stop(self._settings.drain_s)
                case signal.SIGQUIT:
                    self._stop(0.0)
                case signal.SIGHUP if self._has_terminal:
                    self._stop(self._settings.drain_s)
                case signal.SIGHUP:
                    log.info("HUP: importing the app anew, beside the code that runs")
                    self._supervisor.reloading()
                    self._nursery.reload()
                case signal.SIGTSTP:
                    log.info("TSTP: no new work from now on; CONT ends that")
                    self._is_quiet = True
                case signal.SIGCONT:
                    self._exchange.look_again()
                    self._is_quiet = False
                case _:
                    self._report()
        self._next_beat = 0.0

    def _stop(self, drain_s: float) -> None:
        """Drain; the second time, or with no time to drain, hand back now."""
        if self._stop_by is not None or drain_s == 0:
            self._stop_by = time.monotonic()
        else:
            log.info("stopping: what runs has %.0f s; a second signal hands it back now", drain_s)
            self._stop_by = time.monotonic() + drain_s
        self._supervisor.stopping(drain_s + LAST_STEP_S + TICK_S)
        self._pool.stop_growing()

    def _report(self) -> None:
        contact = "in contact" if self._exchange.contact_at is not None else "out of reach"
        log.warning("%s", report(self._pool, self._health().state, time.monotonic() - self._began_at, contact))
