"""What goes to the backend, and what comes from it: steps, leases, wake-ups, cancels, rescued jobs."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

import msgspec

from ..backends.base import Backend, ClaimRef, Want, WorkerInfo
from ..core.job import Claim
from ..core.message import refusal
from ..core.outcome import Crashed, ErrorInfo, Failed, Released
from ..core.task import Manifest, TaskSpec, unknown_task
from .appetite import Appetite
from .courier import Courier
from .heartbeat import Heartbeat
from .held import Held
from .ledger import Ledger
from .link import Link
from .listener import Listener
from .mail import Extend, Heard, Listen, Mailbox, Publish, Renewed, Rescued, Stepped
from .pool import Pool
from .scheduler import Scheduler
from .settings import STOPPING_S, Settings

log = logging.getLogger("narrowboat.worker")
JOIN_S = 1.0  # a thread that the backend does not let go is given up: the end of the worker must not hang on it
STUCK_STEP_S = 120.0  # a step that neither returns nor fails for so long, while other calls are answered, never will
NOT_RENEWED = "the lease of its worker is not renewed yet"
ALONE_S = STOPPING_S + 1.0  # before the end of the lease: to tell an exclusive attempt, to kill it, and a second over


class Exchange:
    """The main loop's side of the threads that talk to the backend. Never waits."""

    def __init__(
        self, backend: Backend, info: WorkerInfo, settings: Settings, ledger: Ledger, pool: Pool, mailbox: Mailbox
    ) -> None:
        self._backend, self._settings, self._ledger, self._pool = backend, settings, ledger, pool
        self._link = Link(backend, info, mailbox)
        self._courier, self._listener = Courier(self._link), Listener(self._link)
        self._standby = self._listener.standby
        self._heartbeat = Heartbeat(self._link, settings.retention)
        self._scheduler = Scheduler(self._link)
        self._services = (self._courier, self._listener, self._heartbeat, self._scheduler)
        self._appetite = Appetite({}, {}, pool, ledger.shyness)
        self._specs: Mapping[str, TaskSpec] = {}
        self._is_hungry = True  # there may be work in the backend
        self._is_listening = False
        self._listened: set[tuple[str, frozenset[str]]] = set()
        self.unpublished = 0  # moves to other code that the backend does not know of yet
        self._is_carrying = False
        self._carrying_since = 0.0
        self._offered: set[Want] = set()  # what the step asks for that stands by, if any does
        self.next_extend = time.monotonic() + settings.lease_s / 3
        self._next_appetite: float | None = None  # when other tasks may be asked for
        self._exclusive: frozenset[str] = frozenset()  # tasks
        self._lease_until = math.inf  # from then on others may take over what we hold
        self._regained_at = -math.inf  # when a lease that was over was last renewed
        self._alone_at = math.inf  # when exclusive jobs must be stopped, unless the lease is renewed before

    @property
    def contact_at(self) -> float | None:
        """When the backend last answered, in seconds since 1970; None while it does not."""
        return self._link.contact.latest

    def open(self, manifest: Manifest) -> WorkerInfo:
        """Publish this worker, and begin. Raises BackendUnavailable."""
        info = self._learn(manifest)
        self._link.info, self._link.manifest = info, manifest
        self._holds_from(time.monotonic())
        self._backend.publish(info, manifest)
        self._link.contact.made()
        for service in self._services:
            service.start()
        return info

    def move_on(self, manifest: Manifest) -> None:
        """The app was imported anew: its tasks may be others now. What waits here is run as the new code says."""
        info = self._learn(manifest)
        for held in [*self._pool.fetching.values(), *self._pool.hand, *self._pool.suspects]:
            held.spec = self._spec(held.claim)
        self.unpublished += 1
        self._courier.requests.put(Publish(info, manifest))
        self._is_hungry = True

    def published(self) -> None:
        """The backend knows of the new code. Its schedules may be others."""
        self.unpublished -= 1
        self._scheduler.requests.put(True)

    def close(self) -> None:
        """Ask the threads to end; see `join`."""
        self._ledger.close()
        self._link.is_closed.set()
        for service in self._services:
            service.requests.put(None)

    def join(self) -> None:
        """Wait a little for the threads, once the backend is closed: Python would end while they are within sqlite3 or
        psycopg, which then come back to an interpreter that is no more.
        """
        until = time.monotonic() + JOIN_S
        for service in self._services:
            if service.is_alive():
                service.join(max(0.0, until - time.monotonic()))

    def next_turn(self) -> float:
        """When `turn` has something to do though nothing happens."""
        times = [self.next_extend, self._next_appetite or self.next_extend]
        if self._exclusive:
            times.append(self._alone_at)
        return min(times)

    @property
    def _sure_until(self) -> float:
        """When the lease ends, less the time to stop what must not run elsewhere as well."""
        return self._lease_until - min(ALONE_S, self._settings.lease_s / 2)

    def may_begin(self, now: float) -> bool:
        """Whether what is held here is ours. When the lease is over, others may have taken it over."""
        return now < self._lease_until

    @property
    def is_carrying(self) -> bool:
        """Whether a step is under way: the courier has it, or the listener has taken the one that stood by."""
        return self._is_carrying or (bool(self._offered) and not self._standby)

    def is_stuck(self, now: float) -> bool:
        """Whether a step is stuck. One that an outage keeps is not, though another thread may be back before it."""
        since = self._carrying_since if self._is_carrying else self._standby.taken_at
        return self.is_carrying and min(now - since, self._link.contact.lasted_s()) > STUCK_STEP_S

    def turn(self, now: float, can_claim: bool, wait_s: float) -> None:
        """Send what is due; ask for work, or for being woken when there is some.

        wait_s: how long a settlement may wait; executors have work for longer.
        """
        if self._exclusive and now >= self._alone_at:
            self._alone_at = now + STOPPING_S  # look again for what was on its way
            self._stop_exclusive()
        if now >= self.next_extend:
            self._extend(now)
        if self._next_appetite is not None and now >= self._next_appetite:
            self._is_hungry = True
        self._next_appetite = self._ledger.shyness.next_change(now)
        if not self.is_carrying:
            self._step_if_due(now, can_claim, wait_s)
        if not can_claim:
            self._take_back()
        elif not self._is_hungry and not self.is_carrying:
            self._listen()

    def look_again(self) -> None:
        """There may be work that nobody told of."""
        self._is_hungry = True

    # What the threads answer.

    def stepped(self, stepped: Stepped) -> None:
        """A step was made: take what it claimed, stop what was cancelled."""
        step, reply = stepped.step, stepped.reply
        self._is_carrying = False
        self._offered = set()
        self._ledger.stepped(step, stepped.spared)
        for job_id in reply.refused:
            log.warning("%s: its outcome was refused, another worker had taken the job over", job_id)
        if step.wants:
            self._is_hungry = reply.more
        now = time.monotonic()
        claimed = [Held(claim, self._spec(claim), now) for claim in reply.claimed]
        is_ours = self.may_begin(now) and stepped.began >= self._regained_at
        is_sure = is_ours and now < self._sure_until
        self._pool.take(
            [held for held in claimed if not self._refuse(held, is_sure if held.spec.is_exclusive else is_ours)]
        )
        self._cancel(reply.cancelled)

    def _refuse(self, held: Held, is_ours: bool) -> bool:
        """Give up a job that shows a message which cannot be read; give back one whose claim was on its way, through
        an outage or while this process was stopped, when the lease ended: others may have taken it over.
        """
        if not is_ours:
            self._ledger.ended(held, Released(NOT_RENEWED))
            return True
        reason = refusal(held.claim.args)
        if reason is None:
            return False
        self._ledger.ended(held, Failed(ErrorInfo(type="BadMessage", message=reason), retry=False))
        return True

    def heard(self, heard: Heard) -> None:
        """The listener has looked, or was woken, and has perhaps claimed what there was."""
        self._is_listening = False
        if heard.stepped is not None:
            self.stepped(heard.stepped)
        elif heard.work:
            self._is_hungry = True

    def renewed(self, renewed: Renewed) -> None:
        """Stop what another worker has taken over; only the very claims that were named count, not later ones."""
        self._holds_from(renewed.asked_at)
        lost = set(renewed.reply.lost)
        named = {claim.token for claim in renewed.request.claims if claim.id in lost}
        for held in self._pool.held():
            if held.claim.token in named:
                log.warning("%s: the lease was over and another worker took it; the attempt is stopped", held.id)
                held.is_lost = True
                self._pool.stop(held, "shutdown", "lost")
        self._cancel(renewed.reply.cancelled)

    def rescued(self, rescued: Rescued) -> None:
        """Jobs of a worker that is gone: a crash for those that had begun, nothing for the rest."""
        for claim in rescued.claims:
            held = Held(claim, self._spec(claim), time.monotonic())
            lost = Crashed(f"lost worker {claim.lost_worker}")
            self._ledger.ended(held, lost if claim.started else Released(f"worker {claim.lost_worker} is gone"))
        self._is_hungry = True

    def _holds_from(self, asked_at: float) -> None:
        now = time.monotonic()
        self._is_hungry = self._is_hungry or now >= self._sure_until  # for exclusive jobs again
        if now >= self._lease_until:
            self._regained_at = now
        self._lease_until = asked_at + self._settings.lease_s
        self._alone_at = self._standby.until = self._sure_until

    def _stop_exclusive(self) -> None:
        """The lease cannot be renewed, and is nearly over: what must not run twice at a time ends now."""
        for held in self._pool.held():
            if held.spec.is_exclusive and not held.stop_why:
                log.warning(
                    "%s: out of reach of the backend; it is exclusive, and is stopped before it may run elsewhere",
                    held.id,
                )
                self._pool.stop(held, "shutdown", "its worker is out of reach of the backend")

    # What is asked of them.

    def _step_if_due(self, now: float, can_claim: bool, wait_s: float) -> None:
        due = self._ledger.due_at(wait_s)
        is_due = due is not None and due <= now
        wants_more = self._is_hungry and can_claim
        if not is_due and not (wants_more and not wait_s):
            return
        wants, most, room = self._wants(now) if can_claim else ([], 0, 0.0)
        if (not is_due and not wants) or not self._take_back():
            return
        self._is_carrying, self._carrying_since = True, now
        self._courier.requests.put(self._ledger.next_step(wants, most, room))

    def _wants(self, now: float) -> tuple[list[Want], int, float]:
        """See Appetite. What would be given back, or stopped at once, is not asked for before the lease is renewed."""
        if not self.may_begin(now):
            return [], 0, 0.0
        return self._appetite.wants(frozenset() if now < self._sure_until else self._exclusive)

    def _listen(self) -> None:
        """Sleep until there is work, with a step at hand that claims it."""
        wants, most, room = self._wants(time.monotonic())
        wanted = {(want.queue, want.tasks) for want in wants}
        if self._is_listening:
            if not wanted <= self._listened:  # it listens for less than could be begun by now
                self._listened = wanted
                self._backend.rouse(self._link.info.id)
        elif wants:
            self._is_listening, self._listened = True, wanted
            self._listener.requests.put(Listen(wants))
        if self._offered != set(wants) and self._take_back() and wants:
            self._offered = set(wants)
            self._standby.offer(self._ledger.ready_step(wants, most, room))

    def _take_back(self) -> bool:
        """Whether no step stands by now; else the listener has begun it."""
        if self._offered and not self._standby.take_back():
            return False
        self._offered = set()
        return True

    def _extend(self, now: float) -> None:
        self.next_extend = now + self._settings.lease_s / 3
        ours = [held for held in self._pool.held() if not held.is_lost]
        claims = [ClaimRef(held.id, held.claim.token) for held in (*ours, *self._ledger.unsettled.values())]
        self._heartbeat.requests.put(Extend(self._ledger.acknowledged, tuple(claims)))

    def _cancel(self, ids: tuple[str, ...]) -> None:
        asked = set(ids)
        if asked:
            for held in self._pool.held():
                if held.id in asked and not held.stop_why:
                    self._pool.stop(held, "cancel", "")

    def _learn(self, manifest: Manifest) -> WorkerInfo:
        self._specs = manifest.by_name()
        self._exclusive = frozenset(name for name, spec in self._specs.items() if spec.is_exclusive)
        self._ledger.on_dead = [self._specs[name] for name in manifest.on_dead]
        queues = self._settings.queues or dict.fromkeys(sorted({task.queue for task in manifest.tasks}))
        self._appetite.learn(self._specs, queues)
        slots = {name: self._settings.slots if own is None else own for name, own in queues.items()}
        return msgspec.structs.replace(self._link.info, queues=slots)

    def _spec(self, claim: Claim) -> TaskSpec:
        return self._specs.get(claim.task) or unknown_task(claim.task)
