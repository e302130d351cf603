"""Huey, measured the same way, in a process of its own for each durability."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

from . import measure

ROOT = Path(__file__).resolve().parents[1]
JOBS = 4000


@contextlib.contextmanager
def consumer(kind: str, log: Path) -> Generator[subprocess.Popen[bytes]]:
    """Huey's own consumer with two workers, at its shortest polling delay."""
    command = [str(Path(sys.executable).with_name("huey_consumer")), "benchmarks.huey_app.huey"]
    options = ["-w", "2", "-k", kind, "-d", "0.01", "-m", "0.01", "-b", "1.0"]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *options], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        measure.until(lambda: "The following commands are available" in log.read_text() or process.poll() is not None)
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
            process.wait()


def main(folder: Path) -> dict[str, float | str]:
    """All of Huey's figures for one durability."""
    from . import huey_app

    found: dict[str, float | str] = {}
    began = time.perf_counter()
    for _ in range(JOBS):
        huey_app.nothing()
    found["enqueue"] = JOBS / (time.perf_counter() - began)
    for kind in ("process", "thread"):
        while huey_app.huey.pending_count() < JOBS:
            huey_app.nothing()
        began = time.perf_counter()
        with consumer(kind, folder / f"huey-{kind}.log"):
            start = JOBS - huey_app.huey.pending_count()
            began = time.perf_counter()
            measure.until(lambda: huey_app.huey.pending_count() == 0)
            found[kind] = (JOBS - start) / (time.perf_counter() - began)
    with consumer("process", folder / "huey-latency.log") as process:
        waits: list[float] = []
        for _ in range(200):
            before = time.time()
            waits.append((huey_app.when()(blocking=True, backoff=1.0, max_delay=0.01) - before) * 1000)
            time.sleep(0.01)
        found["p50_ms"], found["p99_ms"] = measure.percentiles(waits)
        found["pss_mib"] = measure.pss_mib(measure.tree(process.pid))
        found["idle_percent"] = measure.idle_share(process.pid, 10)
    return found


def run(folder: Path, fsync: bool) -> dict[str, float]:
    """The same, in a fresh process with its own file."""
    file = folder / f"huey-{'full' if fsync else 'normal'}.db"
    env = {**os.environ, "HUEY_FILE": str(file), "HUEY_FSYNC": "1" if fsync else "0"}
    command = [sys.executable, "-m", "benchmarks.peer", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True, timeout=600)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
