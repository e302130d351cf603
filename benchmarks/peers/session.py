"""One system in one round: an empty server, its workers, and all that is measured on them, one after the other."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import measure
from . import ledger
from .places import Place
from .system import System
from .worker import Producer, Workers, producing, running

WORKERS = 2
MOST = 60_000  # jobs in one go
SETTLED_S = 0.5  # from the last job's end until its system has put it away
MOST_SAMPLES = 500

Figures = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How much is measured. seconds: about how long each run of jobs should take; samples: of enqueue to start."""

    rounds: int = 3
    seconds: float = 1.5
    samples: int = 100
    fleets: tuple[int, ...] = (2, 16, 64)
    idle_s: float = 5.0
    killed_s: float = 150.0


class Session:
    """The measures that share an empty server and one start of the workers.

    figures: takes what is found, as it is found. rates: jobs/s seen so far, by task, to choose how many to measure.
    """

    def __init__(
        self, system: System, place: Place, plan: Plan, folder: Path, rates: dict[str, float], figures: Figures
    ) -> None:
        self.figures, self._rates = figures, rates
        self._system, self._place, self._plan = system, place, plan
        self._log = folder / f"{system.name}.log"
        self._next = 0

    def short(self, steps: Collection[str]) -> None:
        """Jobs that use the processor, if anything: `throughput`, `latency`, `half`, `busy`. Raises RuntimeError."""
        url = self._empty()
        with producing(self._system, url, "short", self._log) as producer:
            waiting = self._enqueue(producer) if "throughput" in steps else range(0)
            with running(self._system, url, "short", WORKERS, self._log) as workers:
                if waiting:
                    self._nothing(workers, waiting)
                else:
                    self._warm_up(producer, workers)
                if "latency" in steps:
                    self._latency(producer, workers)
                if "half" in steps:
                    self._half(producer, workers)
                if "busy" in steps:
                    self._busy(producer, workers)
        ledger.verify(range(self._next))

    def waiting(self, workers: int = WORKERS, count: int | None = None) -> None:
        """Jobs that wait for 100 ms, as many at a time as the system can have. Raises RuntimeError.

        Unless their number is given, the first ones, with which the workers fill up, are outside the clock where there
        are enough others: some systems have claimed all of those before they begin one.
        """
        url, rate = self._empty(), self._rates.get("wait", self._system.rough_waiting)
        with producing(self._system, url, "waiting", self._log) as producer:
            numbers = self._numbers(count or self._many(2 * rate, 20))
            filling = workers * self._system.waiting.at_once
            filling = 0 if count or len(numbers) < 2 * filling else filling
            producer.ask(60, do="many", task="wait", first=numbers.start, count=len(numbers))
            with running(self._system, url, "waiting", workers, self._log) as at_work:
                self._run("wait", at_work, numbers, rate, skipped=filling)
        ledger.verify(range(self._next))

    def _empty(self) -> str:
        url = self._place.fresh()
        self._system.make_ready(url)
        ledger.clear()
        return url

    def _enqueue(self, producer: Producer) -> range:
        rate = self._rates.get("nothing", self._system.rough)
        before = self._place.used()
        singly = self._numbers(min(2_000, self._many(rate / 4, 200)))
        took = producer.ask(60, do="one", task="nothing", first=singly.start, count=len(singly))
        self.figures["enqueue_one"] = len(singly) / took["seconds"]
        bulk = self._numbers(self._many(rate, 400))
        took = producer.ask(120, do="many", task="nothing", first=bulk.start, count=len(bulk))
        self.figures["enqueue_many"] = len(bulk) / took["seconds"]
        self._before, total = before, len(singly) + len(bulk)
        self.figures["waiting_bytes"] = (self._place.used() - before) / total
        return range(singly.start, bulk.stop)

    def _nothing(self, workers: Workers, numbers: range) -> None:
        self._run("nothing", workers, numbers, self._system.rough, skipped=len(numbers) // 10)
        time.sleep(SETTLED_S)
        self.figures["finished_bytes"] = (self._place.used() - self._before) / len(numbers)

    def _warm_up(self, producer: Producer, workers: Workers) -> None:
        numbers = self._numbers(10 * WORKERS)
        producer.ask(60, do="many", task="nothing", first=numbers.start, count=len(numbers))
        ledger.until(numbers.stop, workers.is_alive, 60)
        time.sleep(SETTLED_S)

    def _latency(self, producer: Producer, workers: Workers) -> None:
        first, limit_s = self._next, 2 + self._plan.samples * 0.03
        sent = producer.ask(
            limit_s + 60, do="idle", task="nothing", first=first, count=self._plan.samples, limit_s=limit_s
        )["sent"]
        self.figures["idle_ms"] = self._waits(sent, workers)

    def _half(self, producer: Producer, workers: Workers) -> None:
        rate, seconds = self._rates.get("nothing", self._system.rough) / 2, self._plan.seconds
        answer = producer.ask(seconds + 60, do="steady", task="nothing", first=self._next, rate=rate, seconds=seconds)
        self.figures["half_rate"] = len(answer["sent"]) / answer["seconds"]
        self.figures["half_ms"] = self._waits(answer["sent"], workers)

    def _busy(self, producer: Producer, workers: Workers) -> None:
        rate = min(200.0 * WORKERS, self._rates.get("nothing", self._system.rough))
        numbers = self._numbers(self._many(rate, 20))
        producer.ask(60, do="many", task="busy", first=numbers.start, count=len(numbers))
        self._run("busy", workers, numbers, rate, skipped=len(numbers) // 10)

    def _run(self, task: str, workers: Workers, numbers: range, rate: float, skipped: int) -> None:
        """From the end of the first `skipped` jobs, when all workers are up, to the end of the last one."""
        limit_s = 60 + 5 * len(numbers) / rate
        ledger.until(numbers.start + max(1, skipped), workers.is_alive, limit_s)
        began, cpu, of_server = ledger.count(), workers.cpu_s(), self._server_cpu_s()
        ledger.until(numbers.stop, workers.is_alive, limit_s)
        counted = max(1, numbers.stop - began)
        self.figures[f"{task}_cpu_ms"] = 1000 * (workers.cpu_s() - cpu) / counted
        self.figures[f"{task}_server_ms"] = 1000 * (self._server_cpu_s() - of_server) / counted
        found = ledger.records(numbers)
        start = found[skipped - 1].ended if skipped else min(record.began for record in found)
        self.figures[task] = self._rates[task] = (len(found) - skipped) / (found[-1].ended - start)
        self.figures[f"{task}_peak"] = ledger.peak(found)

    def _waits(self, sent: list[float], workers: Workers) -> list[float]:
        numbers = self._numbers(len(sent))
        ledger.until(numbers.stop, workers.is_alive, 90)
        took = sorted(1000 * (record.began - sent[record.number - numbers.start]) for record in ledger.records(numbers))
        return [round(ms, 3) for ms in took[:: 1 + len(took) // MOST_SAMPLES]]

    def _server_cpu_s(self) -> float:
        return measure.tree_cpu_s(self._place.pid) if self._place.pid else 0.0

    def _numbers(self, count: int) -> range:
        self._next += count
        return range(self._next - count, self._next)

    def _many(self, rate: float, least: int) -> int:
        return int(min(MOST, max(least, rate * self._plan.seconds)))
