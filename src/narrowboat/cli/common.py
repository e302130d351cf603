"""What the commands share: the backend option, and output for people and for programs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from ..backends.base import Backend
from ..backends.urls import open_backend, resolve
from ..core import codec, colour
from ..core.errors import UnknownJob
from ..core.ids import task_of
from ..core.units import in_words

F = TypeVar("F", bound=Callable[..., Any])
_STORE = "narrowboat.store"


def _keep_store(context: click.Context, _: click.Parameter, value: str | None) -> None:
    context.meta[_STORE] = value


def url_option(command: F) -> F:
    """--url, which the command is called with, and --store, see `store_given`."""
    url = click.option(
        "--url",
        metavar="URL",
        help="Backend; default: NARROWBOAT_URL, pyproject.toml, else the project's narrowboat.db.",
    )
    store = click.option(
        "--store",
        metavar="URL",
        expose_value=False,
        callback=_keep_store,
        help="What keeps the jobs, where --url only delivers (amqp, sqs, gearman); default: as for --url.",
    )
    return url(store(command))


def store_given() -> str | None:
    """The value of --store."""
    context = click.get_current_context(silent=True)  # none where a shell asks for completions
    return None if context is None else context.meta.get(_STORE)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


def backend_of(url: str | None) -> Backend:
    """Open the backend that the option, the environment or the project names.

    Where nothing is there yet, it or its verbs raise BackendUnavailable: to look must not make an empty file or table.
    """
    backend = open_backend(resolve(url)[0], store_given(), make=False)
    context = click.get_current_context(silent=True)  # none where a shell asks for completions
    if context is not None:
        context.call_on_close(backend.close)
    return backend


def say(text: str) -> None:
    """A line for people; what came from a task cannot steer the terminal."""
    write(codec.printable(text))


def say_json(value: Any) -> None:
    """A line for programs. Arguments and results, which are JSON bytes, are shown as the JSON they are."""
    write(codec.encode(_readable(value)))


def write(line: str | bytes) -> None:
    """Print, in colours where they are wanted. Ends with status 0 when the reader, such as `head`, has seen enough;
    click would end with 1."""
    try:
        click.echo(line, color=colour.is_wanted(sys.stdout.isatty(), os.environ))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(0)


def ago(moment: float | None) -> str:
    """ "3 min ago", or "-" for never."""
    return "-" if moment is None else f"{in_words(max(0.0, time.time() - moment))} ago"


def checked_id(job_id: str) -> str:
    """The id itself, if it can be one. Raises UnknownJob."""
    if task_of(job_id) is None:
        raise UnknownJob(f"{job_id!r} is not a job id; one looks like studio.images.thumbnail:01J9ZK...")
    return job_id


def _readable(value: Any) -> Any:
    plain = msgspec.to_builtins(value, builtin_types=(bytes,))
    if isinstance(plain, dict):
        return {str(key): _json_inside(inner) for key, inner in plain.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return plain


def _json_inside(value: Any) -> Any:
    if isinstance(value, bytes):
        return codec.decode(value) if value else None
    return value
