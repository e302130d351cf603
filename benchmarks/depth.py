"""Whether a backend stays fast when much waits: each verb with 1,000 jobs waiting, with 10,000, ... up to a million.

The backend alone is measured, without a worker process: a verb's median of several calls, in milliseconds. And whether
jobs of 200 tasks in one queue are claimed as fast as those of one.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from narrowboat.app.why import why
from narrowboat.backends.base import Backend, Filter, Retention, Step, Want, WorkerInfo
from narrowboat.backends.urls import open_backend
from narrowboat.core.controls import Controls
from narrowboat.core.decide import Settlement
from narrowboat.core.ids import new_job_id
from narrowboat.core.job import Claim, NewJob
from narrowboat.core.states import State
from narrowboat.core.task import Manifest, TaskSpec

from . import postgres_server, redis_server

SIZES = (1_000, 10_000, 100_000, 1_000_000)
TIMES = 15
TASKS = 200
MANY = 20_000  # jobs that are claimed, of one task and of TASKS
QUEUE = "default"
Row = Callable[..., None]
Fresh = Callable[[], str]  # the URL of a new, empty store
Figures = dict[str, float]


class Hand:
    """A worker as the backend sees one."""

    _numbers = count(1)

    def __init__(self, backend: Backend, tasks: Sequence[str], controls: Controls | None = None) -> None:
        self._backend, self._tasks, self._seq = backend, frozenset(tasks), 0
        self.id, self.has_more = f"depth-{next(self._numbers)}", False
        info = WorkerInfo(id=self.id, host="bench", pid=1, queues={QUEUE: 100}, slots=100, lease_s=3600)
        specs = tuple(TaskSpec(name=name, controls=controls or Controls()) for name in tasks)
        backend.publish(info, Manifest(app="depth", tasks=specs))

    def step(self, settled: Sequence[Settlement] = (), n: int = 0) -> tuple[Claim, ...]:
        """One round trip; what was claimed. Whether there is more is in `has_more`."""
        self._seq += 1
        wants = (Want(QUEUE, self._tasks, n),) if n else ()
        reply = self._backend.step(Step(worker=self.id, seq=self._seq, settled=tuple(settled), wants=wants))
        self.has_more = reply.more
        return reply.claimed

    def leave(self) -> None:
        """Go."""
        self._backend.leave(self.id)


def done(claims: Sequence[Claim]) -> list[Settlement]:
    """They have succeeded."""
    return [Settlement(id=c.id, token=c.token, to=State.SUCCEEDED, outcome="succeeded") for c in claims]


def fill(backend: Backend, n: int, tasks: Sequence[str]) -> list[str]:
    """Enqueue n jobs of these tasks in turn; the ids of the last thousand."""
    ids: list[str] = []
    for start in range(0, n, 1000):
        jobs = [
            NewJob(id=new_job_id(task), task=task, args=b'{"n":1}')
            for task in (tasks[i % len(tasks)] for i in range(start, min(n, start + 1000)))
        ]
        backend.enqueue(jobs)
        ids = [job.id for job in jobs]
    return ids


def compare(folder: Path, backends: Sequence[str], sizes: Sequence[int], row: Row) -> bool:
    """Each of these backends by itself."""
    with contextlib.ExitStack() as servers:
        for name in backends:
            fresh = FRESH[name](servers, folder)
            print(f"\n{name}")
            backend = open_backend(fresh())
            table(backend, sizes, row)
            backend.close()
            many_tasks(lambda fresh=fresh: open_backend(fresh()), row)
    return True


def _sqlite(_: contextlib.ExitStack, folder: Path) -> Fresh:
    numbers = count()
    return lambda: f"sqlite:///{folder}/depth{next(numbers)}.db"


def _redis(servers: contextlib.ExitStack, folder: Path) -> Fresh:
    url, _ = servers.enter_context(redis_server.private(folder))
    numbers = count()
    return lambda: f"{url}?namespace=depth-{next(numbers)}"


def _postgres(servers: contextlib.ExitStack, _: Path) -> Fresh:
    return servers.enter_context(postgres_server.private()).fresh


FRESH = {"sqlite": _sqlite, "redis": _redis, "postgres": _postgres}


def table(backend: Backend, sizes: Sequence[int], row: Row) -> bool:
    """Print a line for each verb with a column for each size, growing one store. True if all was as it should be."""
    found: list[Figures] = []
    there = 0
    fill(backend, 10, ["depth.rare"])  # these wait on
    for size in sizes:
        last = fill(backend, size - there, ["depth.task"])
        there = size
        found.append(verbs(backend, last))
        there -= 17 * TIMES  # settled or cancelled, and one more for each that was enqueued
    row("jobs waiting", "".join(f"{size:>12,}" for size in sizes), "")
    for name in found[0]:
        row(f"  {name}", "".join(f"{figures[name]:>9.2f} ms" for figures in found), "")
    return True


def verbs(backend: Backend, ids: Sequence[str]) -> Figures:
    """The median of each, in milliseconds. ids: of waiting jobs, of which some are cancelled."""
    hand = Hand(backend, ["depth.task"])
    newest = reversed(ids[:-1])  # the worker takes the oldest
    figures = {
        "enqueue one": timed(lambda: fill(backend, 1, ["depth.task"])),
        "claim one and settle it": timed(lambda: hand.step(done(hand.step(n=1)))),
        "claim 16 and settle them": timed(lambda: hand.step(done(hand.step(n=16)))),
        "queues": timed(backend.stats),
        "jobs, the newest 50": timed(lambda: backend.find(Filter(), limit=50)),
        "jobs of a state and task": timed(
            lambda: backend.find(Filter(states=frozenset({State.SUCCEEDED}), task="depth.task"), limit=50)
        ),
        "jobs of a rare task": timed(lambda: backend.find(Filter(task="depth.rare"), limit=50)),
        "why, of the last in line": timed(lambda: why(backend, ids[-1])),
        "cancel one": timed(lambda: backend.cancel([next(newest)])),
        "purge one that has ended": timed(lambda: backend.purge(Retention(keep_s=0.0), limit=1)),
    }
    hand.leave()
    return figures


def timed(call: Callable[[], object]) -> float:
    """Milliseconds; the median of TIMES calls."""
    took: list[float] = []
    for _ in range(TIMES):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def claims_per_s(backend: Backend, tasks: Sequence[str], n: int = MANY) -> float:
    """Jobs/s that one worker claims and settles, a hundred in each step."""
    fill(backend, n, tasks)
    hand = Hand(backend, tasks)
    rate = drained_per_s(hand, n)
    hand.leave()
    return rate


def drained_per_s(hand: Hand, n: int) -> float:
    """Jobs/s until there are no more; n of them."""
    began, claims, total = time.perf_counter(), hand.step(n=100), 0
    while claims or hand.has_more:
        total += len(claims)
        claims = hand.step(done(claims), n=100)
    rate = total / (time.perf_counter() - began)
    assert total == n, f"{total} of {n} jobs were claimed"
    return rate


def many_tasks(opened: Callable[[], Backend], row: Row) -> bool:
    """One task against TASKS, in fresh stores, three times in turn."""
    one: list[float] = []
    many: list[float] = []
    for _ in range(3):
        for names, rates in ((["depth.task"], one), ([f"depth.task{n}" for n in range(TASKS)], many)):
            backend = opened()
            rates.append(claims_per_s(backend, names))
            backend.close()
    ratio = statistics.median(many) / statistics.median(one)
    row("claimed and settled, 100 a step, 1 task", f"{statistics.median(one):,.0f} /s")
    row(f"  of {TASKS} tasks in the same queue", f"{statistics.median(many):,.0f} /s", f"{ratio:.2f} x, aim 0.80 x")
    return True
