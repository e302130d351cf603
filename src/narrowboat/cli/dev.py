"""narrowboat dev"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading

import click

from ..core import colour
from .common import store_given, url_option
from .settings import find_all, setting_options

COLOURS = {"worker": "cyan", "web": "magenta"}
HINT = 'no web server was named; it can run here, too: narrowboat dev --web "uvicorn shop:web --reload"'


@click.command("dev")
@click.argument("app", required=False)
@click.option("--web", metavar="COMMAND", help="Your web server, run beside the worker.")
@setting_options("queues", "slots")
@url_option
def command(app: str | None, web: str | None, queues: str | None, slots: str | None, url: str | None) -> None:
    """Run a worker for APP that moves over to new code as files change, and your web server, in one terminal.

    Both get the same backend. Ctrl-C ends both; when one ends by itself, so does the other.
    """
    from ..backends.urls import is_transport, redacted, resolve, resolve_store
    from ..core.errors import ConfigError

    target = app or find_all()["app"].value
    if not target:
        raise ConfigError("which app? give it as module:attribute, or set app in [tool.narrowboat] of pyproject.toml")
    where, origin = resolve(url)
    click.echo(f"backend {redacted(where)} ({origin})")
    store = resolve_store(store_given())[0]
    if is_transport(where):
        click.echo(f"jobs are kept in {redacted(store)}")
    click.echo("narrowboat queues, jobs and why show what goes on, in another terminal")
    if web is None:
        click.echo(HINT)
    worker = [sys.executable, "-m", "narrowboat.cli", "worker", target, "--reload"]
    for flag, value in (("--queues", queues), ("--slots", slots), ("--url", url), ("--store", store_given())):
        worker += [flag, value] if value is not None else []
    commands = {"worker": [*worker, "--log-format", "human", "--drain", "5s"]}
    if web is not None:
        commands["web"] = shlex.split(web)
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if colour.is_wanted(sys.stdout.isatty(), os.environ):
        env["FORCE_COLOR"] = "1"  # they write to a pipe, and it is read by a person
    sys.exit(_run(commands, {"worker": env, "web": {**env, "NARROWBOAT_URL": where, "NARROWBOAT_STORE": store}}))


def _run(commands: dict[str, list[str]], envs: dict[str, dict[str, str]]) -> int:
    """Run them until the first ends or Ctrl-C; 0 unless one ended by itself with another status."""
    children: dict[str, subprocess.Popen[str]] = {}
    over = threading.Event()
    readers: list[threading.Thread] = []

    def end(number: int, frame: object) -> None:
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        for name, line in commands.items():
            try:
                child = subprocess.Popen(
                    line, env=envs[name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                    stdin=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise click.ClickException(f"{name} cannot be started: {error}") from None
            children[name] = child
            readers.append(threading.Thread(target=_show, args=(name, child, over), daemon=True))
            readers[-1].start()
        over.wait()
        failed = [(name, child.poll()) for name, child in children.items() if child.poll()]
    finally:
        for child in children.values():
            if child.poll() is None:
                child.terminate()
        for child in children.values():
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for reader in readers:
            reader.join(5)
    for name, status in failed:
        click.echo(f"{name} ended with status {status}", err=True)
    return 1 if failed else 0


def _show(name: str, child: subprocess.Popen[str], over: threading.Event) -> None:
    """Each line with the name of who wrote it, until it has ended."""
    prefix = click.style(f"{name:<6} |", fg=COLOURS[name])
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            click.echo(f"{prefix} {line.rstrip()}")
    child.wait()
    over.set()
