"""Jobs that do nothing, each in a process of its own: Narrowboat's untrusted tasks beside RQ, on two cores.

Both fork, and what a fork costs grows with what was imported before it. So like is put beside like: an app that imports
nothing on either, and one on either that has Pillow and all of its formats.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from . import boat, lean_app, measure, redis_server, sandbox_app
from .peers import ledger
from .peers.system import Command
from .peers.systems import RQ
from .peers.worker import producing, running

APPS = {"lean": lean_app, "Pillow": sandbox_app}
_PILLOW = Command(tuple(word.replace("rq_app", "rq_pillow_app") for word in RQ.short.words))
PEERS = {"lean": RQ, "Pillow": replace(RQ, app="rq_pillow_app", short=_PILLOW, packages=(*RQ.packages, "pillow"))}
WARM = 20  # jobs before the clock starts, so that all that runs is up


def narrowboat_rate(folder: Path, kind: str, count: int, slots: int, sandbox: str) -> float:
    """Jobs/s through SQLite, each commit on the disk."""
    module = APPS[kind]
    with boat.database(folder, "full", module.app) as url:
        module.app.enqueue_many([module.nothing_fresh.job() for _ in range(count)])
        with boat.worker(url, slots, f"{module.__name__}:app", "--sandbox", sandbox):
            return _rate(lambda: boat.unfinished(module.app), count)


def rq_rate(folder: Path, kind: str, count: int, workers: int) -> float:
    """Jobs/s of so many of RQ's workers; the last jobs, which are taken but not done, count as done."""
    ledger.clear()
    peer, log = PEERS[kind], folder / "rq.log"
    with redis_server.private(Path(tempfile.mkdtemp(dir=folder))) as server:
        with producing(peer, server.url, "short", log) as producer:
            producer.ask(60, do="many", task="nothing", first=0, count=count)
        with running(peer, server.url, "short", workers, log):
            return _rate(lambda: server.length("rq:queue:default"), count)


def _rate(waiting: Callable[[], int], count: int) -> float:
    measure.until(lambda: waiting() <= count - WARM)
    began, left = time.perf_counter(), waiting()
    measure.until(lambda: waiting() == 0)
    return left / (time.perf_counter() - began)
