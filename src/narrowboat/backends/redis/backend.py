"""The verbs of the port: each is a script of its own, or a few calls of one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, TypeVar

import msgspec
from redis import exceptions as errors

from ...core import codec
from ...core.batch import Batch, BatchPart
from ...core.controls import Control, Meter
from ...core.job import Claim, Ended, Enqueued, Job, JobSummary, NewJob
from ...core.queue import ENDS, Over, Queue, full
from ...core.schedule import ScheduleState
from ...core.states import State
from ...core.task import Manifest, TaskSpec
from ..base import (
    NO_LIMITS,
    PLACES,
    Backend,
    Capabilities,
    Change,
    ClaimRef,
    Extended,
    Filter,
    Gate,
    Page,
    QueueStats,
    Retention,
    Step,
    StepReply,
    Wakeup,
    Want,
    WorkerInfo,
    WorkerView,
    no_part_of_it,
    open_breakers,
)
from . import words
from .address import Address
from .asleep import LONGEST_S, Sleep, Sleepers, hear, subscribed, until_rung
from .connection import Connections
from .health import doubts, explained, refuse_newer, refuse_unfit, setup_of
from .inbox import collect
from .line import Word
from .rows import SUMMARY, batch_of, claims_of, ended_of, job_of, rescued, state_of, summary_of
from .scripts import script

T = TypeVar("T")
PART = 200  # jobs that one script writes, cancels or looks up: others have their turn in between
READ = 50  # whole jobs in one reply
DELETE = 250  # records that one script deletes
LOOK = 1000  # records that one script looks at
PASSED_OVER = 1000  # jobs cancelled before they began, which may stand in front of those that ended
INBOX_S = 0.8  # after which somebody has looked into the inboxes
NO_COUNT = 1 << 53  # cancels: a wait that no count of them can end

_info = msgspec.json.Decoder(WorkerInfo).decode
_spec = msgspec.json.Decoder(TaskSpec).decode
_gate = msgspec.json.Decoder(Gate).decode
_meter = msgspec.msgpack.Decoder(Meter).decode


class RedisBackend(Backend):
    """Jobs in a Redis server, under the keys of a namespace. Raises BackendUnavailable, ConfigError.

    timeout_s: how long a call may wait for the server.
    """

    capabilities = Capabilities(name="Redis")

    def __init__(self, address: Address, *, timeout_s: float = 5.0) -> None:
        self.location, self.url = address.location, address.url
        self.hidden = (address.socket,) if address.socket else ()
        self._prefix = address.prefix
        self._connections, self._sleepers = Connections(address, timeout_s), Sleepers()
        self._run = self._connections.run
        try:
            setup = setup_of(self._connections)
            if setup is not None:
                refuse_unfit(setup, self.location)
            refuse_newer(self._connections)
        except BaseException:
            self.close()
            raise

    def enqueue(
        self,
        jobs: Sequence[NewJob],
        into: Any = None,
        limits: Mapping[str, Queue] = NO_LIMITS,
        now: float | None = None,
        batches: Sequence[BatchPart] = (),
    ) -> list[Enqueued]:
        """See Backend. All that one call writes is one script, and so all or none."""
        if into is not None:
            raise no_part_of_it("Redis")
        if not jobs and not batches:
            return []
        flat: list[Word] = []
        for job in jobs:
            flat += words.of_job(job)
        answers = self._run(
            script("enqueue"), _at(now), *words.of_limits(jobs, limits), *words.of_batches(batches), len(jobs), *flat
        )
        if answers and answers[0] == b"full":
            raise self._full(answers, limits, now)
        return [
            Enqueued(there.decode(), False) if there else Enqueued(job.id, True)
            for job, there in zip(jobs, answers, strict=True)
        ]

    def _full(self, answer: list[Any], limits: Mapping[str, Queue], now: float | None) -> Exception:
        _, queue, client, waiting, own, asked = answer
        over = Over(limits[queue.decode()], client.decode(), waiting, own, asked)
        return full(over, self.ended(over.queue.name, ENDS), self._clock() if now is None else now)

    def batches(self, ids: Sequence[str]) -> list[Batch | None]:
        """See Backend."""
        found: list[Batch | None] = []
        for part in _parts(ids, LOOK):
            found += (batch_of(id_, row) for id_, row in zip(part, self._run(script("batches"), *part), strict=True))
        return found

    def latest_batches(self, limit: int = 50) -> list[Batch]:
        """See Backend."""
        ids = _texts(self._connections.call("ZRANGE", f"{self._prefix}batches", 0, limit - 1, "REV"))
        return [batch for batch in self.batches(ids) if batch is not None]

    def step(self, step: Step, now: float | None = None) -> StepReply:
        """See Backend."""
        reply = self._run(script("step"), *words.of_step(step, _at(now)))
        if not reply:
            return StepReply()
        refused, groups, cancelled, more = reply
        return StepReply(
            refused=_texts(refused), claimed=claims_of(groups), cancelled=_texts(cancelled), more=more == 1
        )

    def extend(self, worker: str, seq: int, claims: Sequence[ClaimRef], now: float | None = None) -> Extended:
        """See Backend."""
        lost: list[int]
        lost, cancelled = self._run(script("extend"), _at(now), worker, seq, *map(words.of_claim, claims))
        return Extended(lost=tuple(claims[n].id for n in lost), cancelled=_texts(cancelled))

    def rescue(self, worker: str, dead: Sequence[str], limit: int = 100) -> list[Claim]:
        """See Backend."""
        return [rescued(row) for row in self._run(script("rescue"), worker, limit, *dead)]

    def wait(
        self, worker: str, wants: Sequence[Want], timeout_s: float, cancels: int = 0, now: float | None = None
    ) -> Wakeup:
        """See Backend."""
        ahead_s, until = 0.0 if now is None else now - time.time(), time.monotonic() + timeout_s
        wishes = [word for want in wants for word in (want.queue, want.n, words.of_tasks(want))]
        of_work = [f"{self._prefix}bell:{want.queue}:{task}" for want in wants if want.n > 0 for task in want.tasks]
        bells = [*of_work, f"{self._prefix}bell"]
        if cancels < NO_COUNT:
            bells.append(f"{self._prefix}bell-of:{worker}")
        with self._sleepers.sleep(worker if wants else "") as sleep:
            while True:
                moment = None if now is None else time.time() + ahead_s
                work, asked, again, inboxes = self._run(script("look"), _at(moment), worker, *wishes)
                if inboxes:
                    collect(self._connections, _texts(inboxes), _at(moment))
                    continue
                left_s, again_s = until - time.monotonic(), inf
                if again:
                    again_s = max(0.0, float(again) - (self._clock() if moment is None else moment))
                if work or asked > cancels or left_s <= 0 or sleep.is_up:
                    return Wakeup(work == 1, asked, again_s)
                left_s = min(left_s, again_s)
                if not wants:  # the wait of a heartbeat, which every worker has, be it idle or full
                    left_s = min(left_s, INBOX_S)
                rung = until_rung(self._connections, bells, left_s, sleep)
                if self._sleepers.is_closed:
                    return Wakeup(False, asked)
                if rung in of_work and cancels >= NO_COUNT:  # one is rung for one sleeper, who need not look
                    return Wakeup(True, asked)

    def rouse(self, name: str) -> None:
        """See Backend."""
        self._sleepers.rouse(name)

    def watch(
        self, revisions: Mapping[str, int], timeout_s: float, now: float | None = None, watcher: str = ""
    ) -> list[JobSummary]:
        """See Backend."""
        until = time.monotonic() + timeout_s
        with self._sleepers.sleep(watcher) as sleep:
            found = self._changed(revisions)
            if timeout_s <= 0:
                return found
            names = {id_.encode() for id_ in revisions}
            while not found and not sleep.is_up and time.monotonic() < until:
                with contextlib.suppress(errors.RedisError):  # the look that follows says what is wrong
                    found = self._hear(revisions, names, until, sleep)
            return found

    def _hear(self, revisions: Mapping[str, int], names: set[bytes], until: float, sleep: Sleep) -> list[JobSummary]:
        """What changes while one subscription lasts."""
        with subscribed(self._connections, f"{self._prefix}changed") as line:
            found = self._changed(revisions)  # what changed before the subscription began
            while not found and not sleep.is_up and (left_s := until - time.monotonic()) > 0:
                heard = hear(line, min(left_s, LONGEST_S), sleep)
                if self._sleepers.is_closed:
                    break
                if heard is None or not heard.isdisjoint(names):
                    found = self._changed(revisions)
            return found

    def _changed(self, revisions: Mapping[str, int]) -> list[JobSummary]:
        found: list[JobSummary] = []
        for part in _parts(list(revisions.items()), LOOK):
            flat = [word for pair in part for word in pair]
            found += (summary_of(*row) for row in self._run(script("watch"), len(SUMMARY), *SUMMARY, *flat))
        return found

    def get(self, ids: Sequence[str], now: float | None = None) -> list[Job | None]:
        """See Backend."""
        found: list[Job | None] = []
        for part in _parts(ids, READ):
            found += (job_of(id_, *row) for id_, row in zip(part, self._run(script("get"), *part), strict=True))
        return found

    def find(self, filter: Filter, after: str | None = None, limit: int = 50, now: float | None = None) -> Page:
        """See Backend."""
        states = ["any"] if filter.states is None else [state.value for state in filter.states]
        criteria = (filter.queue or "", filter.task or "", filter.tag or "", filter.batch or "", *states)
        below: str | int = "+inf" if after is None else after if after.isdigit() else 0
        found: list[Any] = []
        while states and below != 0 and len(found) <= limit:
            rows, below = self._run(
                script("find"), len(SUMMARY), *SUMMARY, below, limit + 1 - len(found), LOOK, *criteria
            )
            found += rows
        jobs = tuple(summary_of(id_, values) for id_, values, _ in found[:limit])
        return Page(jobs=jobs, next=str(found[limit - 1][2]) if len(found) > limit else None)

    def find_key(self, task: str, key: str) -> str | None:
        """See Backend."""
        found = self._connections.call("HGET", f"{self._prefix}keys", f"{task}:{key}")
        return None if found is None else found.decode()

    def places(self, ids: Sequence[str], most: int = PLACES, now: float | None = None) -> list[int | None]:
        """See Backend."""
        found: list[int | None] = []
        for part in _parts(ids, LOOK):
            found += self._run(script("places"), *part)
        return [None if place is None else min(place, most) for place in found]

    def ended(self, queue: str, limit: int = 100, now: float | None = None) -> list[Ended]:
        """See Backend."""
        rows: list[Any] = self._run(script("ended"), queue, limit, limit + PASSED_OVER)
        rows.sort(key=lambda row: (float(row[3]), int(row[5])), reverse=True)
        return [ended_of(row) for row in rows[:limit]]

    def cancel(self, ids: Sequence[str], reason: str = "", now: float | None = None) -> list[State | None]:
        """See Backend."""
        found: list[bytes | None] = []
        for part in _parts(ids, PART):
            found += self._run(script("cancel"), _at(now), reason, *part)
        return [None if name is None else state_of(name) for name in found]

    def retry(self, ids: Sequence[str], change: Change | None = None, now: float | None = None) -> list[bool]:
        """See Backend."""
        change = change or Change()
        found: list[int] = []
        for part in _parts(ids, PART):
            found += self._run(script("retry"), _at(now), repr(change.delay_s), words.of_change(change), *part)
        return [answer == 1 for answer in found]

    def gates(self, now: float | None = None) -> list[Gate]:
        """See Backend."""
        flat, moment = self._connections.call("HGETALL", f"{self._prefix}gates"), self._clock() if now is None else now
        gates = sorted(map(_gate, flat[1::2]), key=lambda gate: gate.scope)
        pauses = [gate for gate in gates if gate.until is None or moment < gate.until]
        breakers = _texts(self._connections.call("SMEMBERS", f"{self._prefix}breakers"))
        return pauses + open_breakers(self.meters(breakers))

    def meters(self, scopes: Sequence[str]) -> dict[str, Meter]:
        """See Backend."""
        if not scopes:
            return {}
        found = self._connections.call("HMGET", f"{self._prefix}meters", *scopes)
        return {scope: _meter(packed) if packed else Meter() for scope, packed in zip(scopes, found, strict=True)}

    def adjust(self, scope: str, control: Control | None) -> None:
        """See Backend."""
        self._run(script("adjust"), scope, words.of_controls(control))

    def schedules(self, keys: Sequence[str]) -> dict[str, ScheduleState]:
        """See Backend."""
        if not keys:
            return {}
        last = self._connections.call("HMGET", f"{self._prefix}schedules", *keys)
        paused = self._connections.call("HMGET", f"{self._prefix}paused-schedules", *keys)
        return {
            key: ScheduleState(last=float(at or 0), is_paused=is_paused is not None)
            for key, at, is_paused in zip(keys, last, paused, strict=True)
        }

    def fire(self, key: str, due: float, job: NewJob | None, now: float | None = None) -> bool:
        """See Backend."""
        return self._run(script("fire"), _at(now), key, repr(due), *([] if job is None else words.of_job(job))) == 1

    def pause_schedule(self, key: str, is_paused: bool) -> None:
        """See Backend."""
        name = f"{self._prefix}paused-schedules"
        if is_paused:
            self._connections.call("HSET", name, key, 1)
        else:
            self._connections.call("HDEL", name, key)

    def shut(self, gate: Gate, now: float | None = None) -> None:
        """See Backend."""
        if gate.scope.startswith("breaker:"):
            until = "" if gate.until is None else repr(gate.until)
            self._run(script("trip"), _at(now), gate.scope, until, gate.reason)
            return
        since = gate.since or (self._clock() if now is None else now)
        self._run(script("shut"), gate.scope, codec.encode(msgspec.structs.replace(gate, since=since)))

    def open(self, scope: str, now: float | None = None) -> bool:
        """See Backend."""
        verb = "close" if scope.startswith("breaker:") else "open"
        return self._run(script(verb), _at(now), scope) == 1

    def publish(self, worker: WorkerInfo, manifest: Manifest, now: float | None = None) -> None:
        """See Backend."""
        specs = [
            word
            for name, task in manifest.by_name().items()
            for word in (name, codec.encode(task), words.of_controls(task.controls))
        ]
        self._run(script("publish"), _at(now), worker.id, codec.encode(worker), repr(worker.lease_s), *specs)

    def leave(self, worker: str, now: float | None = None) -> None:
        """See Backend."""
        self._run(script("leave"), _at(now), worker)

    def workers(self, now: float | None = None) -> list[WorkerView]:
        """See Backend."""
        return [
            WorkerView(
                info=_info(info),
                tasks=tuple(tasks.decode().split("\n")) if tasks else (),
                seen_at=float(seen_at),
                lease_until=float(lease_until),
                running=running,
            )
            for _, lease_until, info, tasks, seen_at, running in self._run(script("workers"))
        ]

    def published(self, names: Sequence[str] | None = None) -> dict[str, TaskSpec]:
        """See Backend."""
        if names is not None and not names:
            return {}
        key = f"{self._prefix}specs"
        if names is None:
            flat = self._connections.call("HGETALL", key)
            return {name.decode(): _spec(spec) for name, spec in zip(flat[::2], flat[1::2], strict=True)}
        found = zip(names, self._connections.call("HMGET", key, *names), strict=True)
        return {name: _spec(spec) for name, spec in found if spec is not None}

    def stats(self, now: float | None = None) -> list[QueueStats]:
        """See Backend."""
        moment = self._clock() if now is None else now
        flat, waiting = self._run(script("stats"))
        counts: dict[str, dict[State, int]] = {}
        for field, n in zip(flat[::2], flat[1::2], strict=True):
            state, _, queue = field.partition(b":")
            counts.setdefault(queue.decode(), {})[state_of(state)] = int(n)
        oldest = {queue.decode(): float(since) for queue, since, _ in waiting if since is not None}
        tasks = {queue.decode(): set(_texts(names)) for queue, _, names in waiting}
        live = [worker for worker in self.workers() if worker.lease_until >= moment]
        known = {task for worker in live for task in worker.tasks}
        shut = [gate for gate in self.gates(moment) if gate.scope.startswith("queue:")]
        names = {*counts, *(name for worker in live for name in worker.info.queues)}
        names |= {gate.scope.removeprefix("queue:") for gate in shut}
        return [
            QueueStats(
                queue=name,
                counts=counts.get(name, {}),
                oldest_waiting_s=max(0.0, moment - oldest[name]) if name in oldest else None,
                workers=sum(name in worker.info.queues for worker in live),
                gates=tuple(gate for gate in shut if gate.scope == f"queue:{name}"),
                unknown_tasks=tuple(sorted(tasks.get(name, set()) - known)),
            )
            for name in sorted(names)
        ]

    def purge(self, retention: Retention, limit: int = 1000, now: float | None = None) -> int:
        """See Backend."""
        rules = (("done", retention.keep_s, retention.keep_max), ("dead", retention.dead_s, retention.dead_max))
        fields = self._connections.call("HKEYS", f"{self._prefix}counts")
        gone = 0
        for queue in sorted({field.partition(b":")[2] for field in fields}):
            for kind, keep_s, keep_max in rules:
                while gone < limit:
                    most = min(DELETE, limit - gone)
                    n = self._run(script("purge"), _at(now), kind, queue, repr(keep_s), keep_max, most)
                    gone += n
                    if n < most:
                        break
        self._forget(now)
        at = 0
        while at >= 0:
            at = self._run(script("purge_batches"), at, LOOK, _at(now), repr(retention.keep_s), repr(retention.dead_s))
        return gone

    def _forget(self, now: float | None) -> None:
        """The gates that have nothing to remember."""
        cursor = b"0"
        while (cursor := self._run(script("forget"), _at(now), cursor)) != b"0":
            pass

    def audit(self) -> list[str]:
        """See Backend. Some thousand jobs at a time, so that a server which is at work can be looked at."""
        found: list[bytes] = []
        above: int | str = "-inf"
        while above != 0:
            sentences, above = self._run(script("audit"), above, 2 * LOOK)
            found += sentences
        return sorted(set(_texts(found)))

    def doubts(self) -> list[str]:
        """See Backend."""
        return doubts(setup_of(self._connections))

    def setup(self) -> list[tuple[str, str, str]]:
        """See Backend."""
        return explained(setup_of(self._connections))

    def close(self) -> None:
        """See Backend."""
        self._sleepers.close()
        self._connections.close()

    def _clock(self) -> float:
        seconds, microseconds = self._connections.call("TIME")
        return int(seconds) + int(microseconds) / 1e6


def _at(now: float | None) -> str:
    return "" if now is None else repr(now)


def _texts(names: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(name.decode() for name in names)


def _parts(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
