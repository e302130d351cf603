"""What a task may touch beyond its arguments: nothing, unless it says so."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from .errors import ConfigError
from .ids import is_task_name

MAX_PORT = 65_535


class Named(Protocol):
    """A task, as far as its name goes."""

    @property
    def name(self) -> str:
        """Its full name."""
        ...


class Needs(msgspec.Struct, frozen=True):
    """What a task may touch.

    network: True for every host and port, or a list of TCP ports, such as [587]; names resolve with either.
    sockets: local sockets that it may connect to, or folders with such, by absolute path.
    secrets: environment variables of the worker that it gets, by name.
    programs: other programs that it may run, by absolute path.
    read, write: files and folders beyond the Python installation and the app's code, by absolute path.
    enqueue: tasks of which it may enqueue jobs while it runs, or their full names.
    """

    network: bool | Sequence[int] = False
    sockets: Sequence[str | os.PathLike[str]] = ()
    secrets: Sequence[str] = ()
    programs: Sequence[str | os.PathLike[str]] = ()
    read: Sequence[str | os.PathLike[str]] = ()
    write: Sequence[str | os.PathLike[str]] = ()
    enqueue: Sequence[str | Named] = ()
    is_trusted: bool = False

    @classmethod
    def trusted(cls, *, secrets: Sequence[str] = (), enqueue: Sequence[str | Named] = ()) -> Needs:
        """What tasks of other systems have: the worker's environment, network and files, but not its backend.

        For code that moves over; `narrowboat needs` lists it as debt. secrets: variables that it is to have although
        the worker's own services find their credentials there, such as AWS_ACCESS_KEY_ID beside `sqs://`.
        """
        return cls(secrets=secrets, enqueue=enqueue, is_trusted=True)

    def policy(self, task: str) -> NeedsPolicy:
        """The part that is published. Raises ConfigError for what cannot be meant."""
        where = f"task {task}: Needs"
        ports = () if isinstance(self.network, bool) else tuple(sorted(set(_ports(self.network, where))))
        reach = Reach(
            network=self.network is True,
            ports=ports,
            sockets=_paths(self.sockets, f"{where}(sockets=...)"),
            secrets=_secrets(self.secrets, f"{where}(secrets=...)"),
            programs=_paths(self.programs, f"{where}(programs=...)"),
            read=_paths(self.read, f"{where}(read=...)"),
            write=_paths(self.write, f"{where}(write=...)"),
            trusted=self.is_trusted,
        )
        if self.is_trusted and reach != Reach(trusted=True, secrets=reach.secrets):
            raise ConfigError(f"{where}.trusted() has everything already; leave out what else it names")
        return NeedsPolicy(reach=reach, enqueue=tuple(_names(self.enqueue, f"{where}(enqueue=...)")))


class Reach(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What executors of a task can touch, as plain data: tasks with the same reach share executors.

    network: every host and port; ports: TCP ports instead. Paths are absolute. All of it is sorted.
    """

    network: bool = False
    ports: tuple[int, ...] = ()
    sockets: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    trusted: bool = False

    @property
    def has_network(self) -> bool:
        """Whether any host can be reached."""
        return self.network or bool(self.ports)

    def in_words(self) -> str:
        """For people, in one line; empty for nothing."""
        parts = ["trusted: the worker's environment, network and files"] if self.trusted else []
        parts += ["network"] if self.network else []
        parts += [f"network {', '.join(map(str, self.ports))}"] if self.ports else []
        for name in ("sockets", "secrets", "programs", "read", "write"):
            values: tuple[str, ...] = getattr(self, name)
            parts += [f"{name} {', '.join(values)}"] if values else []
        return "; ".join(parts)


class NeedsPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The needs of a task as plain data, for the worker."""

    reach: Reach = Reach()
    enqueue: tuple[str, ...] = ()  # names of tasks


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much an executor may take.

    memory: bytes of its own, None: no limit. cpu_s: seconds of processor time for an attempt, None: no limit.
    processes: threads and helper processes at a time. scratch: bytes of files in its scratch folder.
    """

    memory: int | None = None
    cpu_s: float | None = None
    processes: int = 64
    scratch: int = 256 * 1024 * 1024


def _names(tasks: Iterable[str | Named], where: str) -> Iterable[str]:
    if isinstance(tasks, str):
        raise ConfigError(f"{where} takes a list, such as [{tasks!r}]")
    for task in tasks:
        name = task if isinstance(task, str) else task.name
        if not is_task_name(name):
            raise ConfigError(f"{where}: {name!r} is not the name of a task; write module.function")
        yield name


def _ports(ports: object, where: str) -> Iterable[int]:
    if not isinstance(ports, Sequence) or isinstance(ports, str):
        raise ConfigError(f"{where}(network=...) takes True or a list of TCP ports, such as [587]")
    for port in ports:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(port, int) or isinstance(port, bool) or not 0 < port <= MAX_PORT:
            raise ConfigError(f"{where}(network=...): {port!r} is not a port; give 1 to {MAX_PORT}")
        yield port


def _paths(paths: Sequence[str | os.PathLike[str]], where: str) -> tuple[str, ...]:
    if isinstance(paths, str | os.PathLike):
        raise ConfigError(f"{where} takes a list, such as [{os.fspath(paths)!r}]")
    found: set[str] = set()
    for given in paths:
        path = os.fspath(given)
        if not path.startswith("/"):
            raise ConfigError(f"{where}: {path!r} is not an absolute path")
        found.add(os.path.normpath(path))
    return tuple(sorted(found))


def _secrets(names: Sequence[str], where: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ConfigError(f"{where} takes a list, such as [{names!r}]")
    for name in names:
        if not name or not name.replace("_", "a").isalnum() or name.startswith("NARROWBOAT_"):
            raise ConfigError(f"{where}: {name!r} cannot be the name of a secret; name an environment variable")
    return tuple(sorted(set(names)))
