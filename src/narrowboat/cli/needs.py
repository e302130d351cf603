"""narrowboat needs"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from ..core.needs import NeedsPolicy
from ..core.task import TaskSpec
from .common import say
from .layout import paragraph, table
from .settings import find_all

FILE = click.Path(path_type=Path)


@click.command("needs")
@click.argument("app", required=False)
@click.option("--write", "lock", type=FILE, help="Write them to a file, to be kept in the repository.")
@click.option("--check", type=FILE, help="End with status 1 if a task may touch or take more than such a file says.")
def command(app: str | None, lock: Path | None, check: Path | None) -> None:
    """Show what each task of APP may touch, for the review of a change.

    A task that declares nothing has no network, no secrets, no other programs, and no files but its own.
    """
    from ..core.errors import ConfigError, NarrowboatError
    from ..worker.survey import survey

    found = find_all({"app": app})
    if not found["app"].value:
        raise ConfigError("which app? give it as module:attribute, or set app in [tool.narrowboat] of pyproject.toml")
    tasks = survey(found["app"].value, found["executor_user"].value, only=()).manifest.tasks
    if lock is not None:
        lock.write_text(json.dumps(_as_data(tasks), indent=2) + "\n")
        say(f"{lock} is written; keep it in the repository, and let CI run `narrowboat needs --check {lock}`")
        return
    if check is not None:
        wider = _wider(tasks, _read(check))
        if wider:
            raise NarrowboatError(
                "\n".join([*wider, f"if that is meant, write it down: narrowboat needs --write {check}"])
            )
        say(f"no task may touch or take more than {check} says")
        return
    rows = [(task.name, _touches(task), _kept(task)) for task in sorted(tasks, key=lambda task: task.name)]
    table(rows, ("TASK", "MAY TOUCH", "EXECUTOR"))
    debts = [task.name for task in tasks if task.needs.reach.trusted]
    if debts:
        say("")
        paragraph(f"debt: {', '.join(debts)}: trusted with everything that the worker has but its backend")


def _touches(task: TaskSpec) -> str:
    parts = [task.needs.reach.in_words()] if task.needs.reach.in_words() else []
    parts += [f"enqueue {', '.join(task.needs.enqueue)}"] if task.needs.enqueue else []
    return "; ".join(parts) or "nothing"


def _kept(task: TaskSpec) -> str:
    memory = f", {task.limits.memory // 1_000_000} MB" if task.limits.memory else ""
    return ("fresh each time" if task.is_untrusted else "reused") + memory


def _as_data(tasks: tuple[TaskSpec, ...]) -> dict[str, Any]:
    named = {
        task.name: {**msgspec.to_builtins(task.needs), "untrusted": task.is_untrusted, "limits": _limits(task)}
        for task in tasks
    }
    return dict(sorted(named.items()))


def _limits(task: TaskSpec) -> dict[str, float | None]:
    """What an attempt may take, None for as much as there is."""
    return {**msgspec.structs.asdict(task.limits), "timeout_s": task.timeout_s}


def _read(path: Path) -> dict[str, Any]:
    from ..core.errors import ConfigError

    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there; write it first: narrowboat needs --write {path}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is no such file: {error}") from None


def _wider(tasks: tuple[TaskSpec, ...], before: dict[str, Any]) -> list[str]:
    """A line for each task that may touch or take more than it did."""
    lines: list[str] = []
    for task in tasks:
        known = before.get(task.name, {})
        more = _more(task.needs, msgspec.convert(known, NeedsPolicy, strict=False))
        if known.get("untrusted") and not task.is_untrusted:
            more.append("executors that other attempts used")
        if more:
            lines.append(f"{task.name} may now touch: {'; '.join(more)}")
        raised = _raised(_limits(task), known.get("limits", {}))
        if raised:
            lines.append(f"{task.name} may now take: {'; '.join(raised)}")
    return lines


def _more(new: NeedsPolicy, old: NeedsPolicy) -> list[str]:
    """Paths are compared as they are written, since one in an open folder may be a link to anywhere."""
    names = ("ports", "sockets", "secrets", "programs", "read", "write")
    more: list[str] = []
    if new.reach.trusted and not old.reach.trusted:
        more, names = [new.reach.in_words()], ()
    elif old.reach.trusted:
        names = ("secrets",)  # it lacks those of the worker's own services, whichever these are
    elif old.reach.network:
        names = names[1:]
    elif new.reach.network:
        more.append("network")
    pairs = [(name, getattr(new.reach, name), getattr(old.reach, name)) for name in names]
    for name, now, then in [*pairs, ("enqueue", new.enqueue, old.enqueue)]:
        added = [str(value) for value in now if value not in then]
        more += [f"{name} {', '.join(added)}"] if added else []
    return more


def _raised(new: dict[str, float | None], old: dict[str, float | None]) -> list[str]:
    """Limits that are higher than they were; those that the file does not know are passed over."""
    raised: list[str] = []
    for name, limit in new.items():
        before = old.get(name)
        if before is not None and (limit is None or limit > before):
            raised.append(f"{name} {'without a limit' if limit is None else f'{limit:,.12g} (it was {before:,.12g})'}")
    return raised
