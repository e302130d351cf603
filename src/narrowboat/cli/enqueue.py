"""narrowboat enqueue"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..core import codec
from ..core.errors import NarrowboatError
from ..core.file import File
from .common import backend_of, json_option, say, say_json, url_option


def _tasks(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """For completion in a shell: the tasks that workers have published."""
    try:
        backend = backend_of(context.params.get("url"))
        names = backend.published()
        backend.close()
    except NarrowboatError:
        return []
    return sorted(name for name in names if name.startswith(incomplete))


@click.command("enqueue")
@click.argument("task", shell_complete=_tasks)
@click.argument("arguments", nargs=-1)
@click.option("-q", "--queue", help="Queue; needed only for a task that no worker has published.")
@click.option("--wait", metavar="TIME", help="Wait for the end, at most so long, and print the result.")
@url_option
@json_option
def command(
    task: str, arguments: tuple[str, ...], queue: str | None, wait: str | None, url: str | None, as_json: bool
) -> None:
    """Enqueue a job of TASK (its full name) and print the job's id.

    ARGUMENTS are name=value, where value is JSON or else plain text, and @path a file: photo=@cat.jpg width=200
    """
    from ..app import App

    app = App("cli", url=url)
    job = app.enqueue_by_name(task, queue=queue, **dict(_pair(text) for text in arguments))
    if wait is None:
        say_json({"id": job.id}) if as_json else say(job.id)
        return
    job.wait(wait)
    if as_json:
        say_json(job.record)
    else:
        say(f"{job.id} {job.state}")
        say(codec.encode(job.result).decode())


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text!r}: write arguments as name=value")
    if value.startswith("@"):
        if not Path(value[1:]).is_file():
            raise click.UsageError(f"{text!r}: there is no file {value[1:]}")
        return name, File(value[1:])
    try:
        return name, codec.decode(value.encode())
    except codec.UNREADABLE:
        return name, value
