"""The same jobs through each transport, beside their store alone, and beside Celery and Dramatiq on the same RabbitMQ.

Each system has two worker processes or executors, and settings that run the job of a killed worker again. SQS is moto,
a stand-in in Python, so its figures say nothing of Amazon's.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import statistics
import subprocess
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tests.support import aws_server
from tests.support.aws_server import AwsServer
from tests.support.gearman_server import GearmanServer
from tests.support.rabbitmq_server import RabbitServer

from . import measure
from .peers import systems
from .peers.places import Place, Places
from .peers.session import Figures, Plan, Session
from .peers.system import Command, System

ROUNDS = 3
PLAN = Plan(seconds=1.0, samples=100)
T = TypeVar("T")
_numbers = itertools.count()


def ours(name: str, server: str) -> System:
    return replace(systems.NARROWBOAT_REDIS, name=name, server=server)


ON_RABBITMQ = "RabbitMQ and Redis"
RABBITMQ = ours(ON_RABBITMQ, "rabbitmq+redis")
OURS = (
    ours("SQLite", "sqlite"),
    ours("Gearman and SQLite", "gearman+sqlite"),
    ours("RabbitMQ and SQLite", "rabbitmq+sqlite"),
    ours("Redis", "redis"),
    ours("Gearman and Redis", "gearman+redis"),
    RABBITMQ,
    replace(ours("SQS (moto) and Redis", "sqs+redis"), rough=500),
)
PEERS = (
    replace(
        systems.CELERY_LATE,
        name="Celery",
        app="celery_rabbitmq_app",
        server="rabbitmq",
        short=Command(("-m", "celery", "-A", "{apps}.celery_rabbitmq_app", "worker", "-c", "{n}", "-l", "WARNING")),
        packages=("celery==5.7.*",),
    ),
    replace(
        systems.DRAMATIQ,
        name="Dramatiq",
        app="dramatiq_rabbitmq_app",
        server="rabbitmq",
        short=Command(("-m", "dramatiq", "{apps}.dramatiq_rabbitmq_app", "-p", "{n}", "-t", "8"), 8),
        packages=("dramatiq[rabbitmq]==2.2.*",),
    ),
)


def _median(name: str, rounds: Sequence[Figures]) -> float:
    return statistics.median(figures[name] for figures in rounds)


def _idle_ms(n: int, rounds: Sequence[Figures]) -> float:
    return measure.percentiles([ms for figures in rounds for ms in figures["idle_ms"]])[n]


COLUMNS: Mapping[str, Callable[[Sequence[Figures]], float]] = {
    "jobs/s": functools.partial(_median, "nothing"),
    "enqueue/s": functools.partial(_median, "enqueue_one"),
    "in bulk/s": functools.partial(_median, "enqueue_many"),
    "idle p50": functools.partial(_idle_ms, 0),
    "idle p99": functools.partial(_idle_ms, 1),
}


def compare(folder: Path) -> bool:
    """Print a table of medians; whether all could be measured."""
    rounds: dict[str, list[Figures]] = {system.name: [] for system in (*OURS, *PEERS)}
    failed: dict[str, str] = {}
    with Services(folder) as services:
        for number in range(ROUNDS):
            order = [*OURS, *PEERS]
            for system in (*order[number:], *order[:number]):  # who is first takes turns
                if system.name not in failed:
                    try:
                        rounds[system.name].append(_measured(system, services, folder))
                    except (RuntimeError, TimeoutError, OSError, subprocess.SubprocessError) as error:
                        failed[system.name] = str(error).strip()
        print(f"  {services.versions()}", flush=True)
    print(f"  {'':<24}{'jobs/s':>10}{'enqueue/s':>12}{'in bulk/s':>12}{'idle p50, ms':>14}{'p99':>10}")
    for system in (*OURS, *PEERS):
        if system.name in failed:
            print(f"  {system.name:<24}FAILED: {failed[system.name]}")
            continue
        jobs, one, many, p50, p99 = (find(rounds[system.name]) for find in COLUMNS.values())
        version = "" if system.is_ours else f"   {system.versions()}"
        print(
            f"  {system.name:<24}{jobs:>10,.0f}{one:>12,.0f}{many:>12,.0f}{p50:>14.1f}{p99:>10.1f}{version}", flush=True
        )
    _stand(rounds)
    return not failed


def _measured(system: System, services: Services, folder: Path) -> Figures:
    system.python()
    figures: Figures = {}
    with services.at(system.server) as place:
        Session(system, place, PLAN, folder, {}, figures).short(("throughput", "latency"))
    return figures


def _stand(rounds: dict[str, list[Figures]]) -> None:
    """Narrowboat beside the peer that is best, column by column: how many times better it is."""
    peers = [peer.name for peer in PEERS if rounds[peer.name]]
    if not peers or not rounds[ON_RABBITMQ]:
        return
    print("  through RabbitMQ, Narrowboat with Redis beside the best of the others (over 1: ahead)", flush=True)
    for what, find in COLUMNS.items():
        figures = {name: find(rounds[name]) for name in (ON_RABBITMQ, *peers)}
        is_time = what.startswith("idle")
        best = (min if is_time else max)(peers, key=lambda name: figures[name])
        ratio = figures[best] / figures[ON_RABBITMQ] if is_time else figures[ON_RABBITMQ] / figures[best]
        stand = "ahead" if ratio > 1 else "BEHIND"
        print(f"  {what:<24}{ratio:>9.1f} x {best:<10}{stand}", flush=True)


class Services(contextlib.ExitStack):
    """Servers, each started at first use, stopped with the run."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder, self._stores = folder, self.enter_context(Places(folder))

    @functools.cached_property
    def rabbitmq(self) -> RabbitServer:
        """A node, which writes to the same disk as the stores."""
        folder = self._folder / "rabbitmq"
        folder.mkdir()
        return self._stopped_by(RabbitServer(folder=folder), RabbitServer.remove)

    @functools.cached_property
    def gearman(self) -> GearmanServer:
        """gearmand."""
        return self._stopped_by(GearmanServer(self._folder), GearmanServer.stop)

    @functools.cached_property
    def sqs(self) -> AwsServer:
        """moto."""
        return self._stopped_by(AwsServer(), AwsServer.kill)

    def _stopped_by(self, server: T, stop: Callable[[T], None]) -> T:
        self.callback(stop, server)
        return server

    def versions(self) -> str:
        """Of the servers that deliver."""
        gearman = self.gearman.says("version").removeprefix("OK ")
        return f"RabbitMQ {self.rabbitmq.asked('overview')['rabbitmq_version']}, gearmand {gearman}"

    @contextlib.contextmanager
    def at(self, server: str) -> Generator[Place]:
        """A transport and a store, as "rabbitmq+redis", or one of them; the store is told by the environment."""
        transport, _, store = server.rpartition("+")
        if server == "rabbitmq":
            yield _Delivered(self._rabbit_host, None)
        elif not transport:
            yield self._stores.get(store)
        else:
            fresh = self._fresh(transport)
            before = dict(os.environ)
            os.environ.update(aws_server.ENVIRONMENT)
            try:
                yield _Delivered(fresh, self._stores.get(store))
            finally:
                os.environ.clear()
                os.environ.update(before)

    def _fresh(self, transport: str) -> Callable[[], str]:
        match transport:
            case "rabbitmq":
                return self.rabbitmq.apart
            case "gearman":
                return lambda: f"{self.gearman.url}?prefix=b{next(_numbers)}"
            case _:
                return self.sqs.sqs

    def _rabbit_host(self) -> str:
        """A virtual host of its own, since the peers' queues have names of their own."""
        name = f"b{next(_numbers)}"
        self.rabbitmq.asked(f"vhosts/{name}", "PUT")
        self.rabbitmq.asked(f"permissions/{name}/guest", "PUT", {"configure": ".*", "write": ".*", "read": ".*"})
        return f"{self.rabbitmq.url}/{name}"


class _Delivered:
    """A transport, and the store beside it, if there is one."""

    pid = None

    def __init__(self, place: Callable[[], str], store: Place | None) -> None:
        self._place, self._store = place, store

    def fresh(self) -> str:
        """The URL of the transport."""
        if self._store is not None:
            os.environ["NARROWBOAT_STORE"] = self._store.fresh()
        return self._place()

    def used(self) -> int:
        """Of the store."""
        return 0 if self._store is None else self._store.used()
