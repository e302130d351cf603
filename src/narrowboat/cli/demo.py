"""narrowboat demo"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

JOBS = 60
WORK_S = 0.1
LIMIT_S = 60.0


@click.command("demo")
def command() -> None:
    """Enqueue 60 jobs, kill -9 the worker half way, start another, and count: nothing is lost."""
    with tempfile.TemporaryDirectory(prefix="narrowboat-demo-") as name:
        sys.exit(0 if _play(Path(name)) else 1)


def _play(folder: Path) -> bool:
    from ..backends.urls import open_backend
    from .demo_app import app, work

    url = f"sqlite:///{folder / 'demo.db'}"
    app._backend = backend = open_backend(url)  # pyright: ignore[reportPrivateUsage]
    jobs = app.enqueue_many([work.job(WORK_S) for _ in range(JOBS)])
    click.echo(f"{JOBS} jobs written to {folder / 'demo.db'}")
    began = time.monotonic()
    first = _worker(url, folder)
    second: subprocess.Popen[bytes] | None = None
    try:
        while True:
            records = [record for record in backend.get([job.id for job in jobs]) if record]
            done = sum(record.is_finished for record in records)
            _bar(done, second is not None)
            if second is None and done >= JOBS // 2:
                first.kill()
                first.wait()
                click.echo(f"\n{done} done: killed worker {first.pid} with SIGKILL, and started another")
                second = _worker(url, folder)
            if done == JOBS or time.monotonic() > began + LIMIT_S:
                break
            if (second or first).poll() is not None:
                raise click.ClickException("the worker ended:\n" + (folder / "worker.log").read_text())
            time.sleep(0.05)
    finally:
        for process in filter(None, (first, second)):
            process.terminate()
            process.wait()
        app.close()
    again = sum(record.crashes for record in records)
    click.echo(
        f"\n{sum(record.state == 'succeeded' for record in records)} of {JOBS} succeeded in "
        f"{time.monotonic() - began:.1f} s; {again} were running when the worker died, and were run again"
    )
    return done == JOBS


def _worker(url: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "narrowboat.cli", "worker", "narrowboat.cli.demo_app:app", "--url", url, "-n", "4"]
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _bar(done: int, is_second: bool) -> None:
    if sys.stdout.isatty():
        width = 40
        full = width * done // JOBS
        label = "second worker" if is_second else "first worker"
        click.echo(f"\r  {'#' * full}{'.' * (width - full)} {done}/{JOBS} {label}  ", nl=False)
