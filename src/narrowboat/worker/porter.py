"""Carries files between the store and attempts, in threads of its own: the main loop never waits for a disk."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import random
import threading
from collections.abc import Callable, Sequence

from ..backends.base import Backend
from ..core.errors import BackendUnavailable, BadArguments, FileMissing, PayloadTooLarge, StoreUnavailable
from ..core.outcome import ErrorInfo, Failed, Outcome, Snoozed, Succeeded
from ..files.carry import named_in, take_out
from ..files.store import SHARDS, FileStore
from ..files.sweep import sweep
from .held import NOTHING, Held
from .mail import Broken, Mailbox

log = logging.getLogger("narrowboat.worker")
PORTERS = 4
AGAIN_S = 5.0  # a store that is out of reach is no fault of the job
SWEEP_EVERY_S = 15.0  # one shard each time, so all of them in about an hour


class Fetched:
    """The files of a job, open; or what becomes of it without them."""

    def __init__(self, held: Held, descriptors: Sequence[int], outcome: Outcome | None = None) -> None:
        self.held, self.descriptors, self.outcome = held, descriptors, outcome


class Kept:
    """The outcome of an attempt whose files are in the store."""

    def __init__(self, held: Held, outcome: Outcome) -> None:
        self.held, self.outcome = held, outcome


class Porter:
    """Starts its threads with the first errand. They are daemons: a store that hangs does not keep a worker alive."""

    def __init__(self, store: FileStore, backend: Backend, mailbox: Mailbox) -> None:
        self._store, self._backend, self._mailbox = store, backend, mailbox
        self._errands: queue.SimpleQueue[Callable[[], object | None]] = queue.SimpleQueue()
        self._has_begun = False
        self._next_sweep = 0.0
        self._shard = random.randrange(len(SHARDS))

    def fetch(self, held: Held) -> None:
        """Open the files that its arguments name; answered by a Fetched."""
        self._send(lambda: self._fetch(held))

    def keep(self, held: Held, outcome: Succeeded) -> None:
        """Store the files that its result names; answered by a Kept."""
        self._send(lambda: self._keep(held, outcome))

    def sweep_if_due(self, now: float) -> None:
        """Remove files of jobs without a record, a part of them at a time."""
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_EVERY_S
            self._shard = (self._shard + 1) % len(SHARDS)
            shard = SHARDS[self._shard]
            self._send(lambda: self._sweep(shard))

    def _send(self, errand: Callable[[], object | None]) -> None:
        if not self._has_begun:
            self._has_begun = True
            for number in range(PORTERS):
                threading.Thread(target=self._serve, name=f"narrowboat-porter-{number}", daemon=True).start()
        self._errands.put(errand)

    def _serve(self) -> None:
        while True:
            try:
                answer = self._errands.get()()
            except Exception as error:  # noqa: BLE001  (re-raised in the main loop)
                answer = Broken(threading.current_thread().name, error)
            if answer is not None:
                self._mailbox.post(answer)

    def _fetch(self, held: Held) -> Fetched:
        descriptors: list[int] = []
        try:
            for ref in named_in(held.claim.args):
                with self._store.open(ref.key) as file:
                    descriptors.append(os.dup(file.fileno()))
            return Fetched(held, descriptors)
        except (BadArguments, FileMissing) as error:
            outcome: Outcome = Failed(_told(error), retry=False)
        except (StoreUnavailable, OSError) as error:
            log.error("%s: its files cannot be had; tried again in %.0f s: %s", held.id, AGAIN_S, error)
            outcome = Snoozed(AGAIN_S)
        close_all(descriptors)
        return Fetched(held, (), outcome)

    def _keep(self, held: Held, outcome: Succeeded) -> Kept:
        try:
            sent = (held.said or NOTHING).sent
            result = take_out(self._store, held.id, held.claim.token, outcome.result, sent, held.claim.args)
            return Kept(held, Succeeded(result))
        except (BadArguments, PayloadTooLarge, RecursionError) as error:
            return Kept(held, Failed(_told(error), retry=False))
        except (StoreUnavailable, OSError) as error:
            return Kept(held, Failed(_told(error)))

    def _sweep(self, shard: str) -> None:
        with contextlib.suppress(BackendUnavailable, StoreUnavailable):
            gone = sweep(self._store, shard, lambda ids: [job is not None for job in self._backend.get(ids)])
            if gone:
                log.info("removed the files of %d jobs whose records are gone", gone)


def close_all(descriptors: Sequence[int]) -> None:
    """Give them up."""
    for descriptor in descriptors:
        os.close(descriptor)


def _told(error: BaseException) -> ErrorInfo:
    return ErrorInfo(type=type(error).__name__, message=str(error)).bounded()
