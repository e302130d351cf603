"""The walls around executors: what is made ready once, in the zygote, and what each executor does to itself.

Each layer that the host has is used; each that it lacks is noted, with the reason. Nothing here decides whether that is
enough: the worker does, by what a probe in a locked executor finds (probe.py).
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import select
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from .. import kernel
from ..core.needs import Limits, Reach
from . import landlock, root, seccomp, system
from .places import Place, places

Step = tuple[str, Callable[[], object]]
"""A call that an executor makes on its way, prepared before it is forked; and the layer that it belongs to."""

NAMESPACES = system.NEW_MOUNTS | system.NEW_IPC | system.NEW_PIDS
MOST_FILES = 1024
_WRITE = os.O_WRONLY | os.O_CLOEXEC
RIGHTS = {
    "read": landlock.READ,
    "list": 8,  # the names in it
    "write": landlock.WRITE,
    "run": landlock.RUN,
    "device": landlock.READ | landlock.WRITE,
    "socket": landlock.READ | landlock.WRITE,
}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker asks for. folder: an empty one for mounts; user: to run as, where the worker is root.

    hidden: real paths that no executor is to see, whatever else it sees.
    """

    is_on: bool = True
    folder: str = ""
    user: int | None = None
    hidden: tuple[str, ...] = ()


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """What the host has. Each text is empty where the layer is used, else it says why not."""

    namespaces: str = ""
    landlock: int = 0  # version
    seccomp: str = ""
    user: str = ""  # why executors of a worker that is root are root, too

    def in_words(self) -> str:
        """For people, in one line."""
        names = ["namespaces and a root of its own"] if not self.namespaces else []
        names += [f"Landlock {self.landlock}"] if self.landlock else []
        names += ["seccomp"] if not self.seccomp else []
        return ", ".join(names) or "nothing but a process of its own"


class _Memory(NamedTuple):
    data: int
    space: int


class Walls:
    """For executors of one reach. `raise_up` in the zygote, once; the steps of `locking_in` in each executor.

    layers: what is used. init: pid of the first process of the namespace, or 0.
    """

    def __init__(self, reach: Reach, order: Order) -> None:
        self.reach, self._order = reach, order
        self.is_on = order.is_on and not reach.trusted
        self.layers = Layers(namespaces="off", seccomp="off")
        self.descriptors: list[int] = []  # that executors are not to keep
        self.has_root = False
        self.init = 0
        self._places: list[landlock.Place] = []
        self._ruleset = -1  # where it is one for all executors
        self._program = b""
        self._uid, self._gid = os.getuid(), os.getgid()

    @property
    def can_fork(self) -> bool:
        """Whether an executor behind them may start processes."""
        return not self._program or bool(self.reach.programs)

    def raise_up(self, lifeline: int) -> None:
        """Make all ready that executors share. Raises FileNotFoundError for needs that are not there, OSError."""
        self._memory = _Memory(*kernel.memory_now())
        if not self.is_on:
            return
        is_root, hindrance = os.geteuid() == 0, ""
        if is_root and self._order.user is not None:
            self._uid = self._gid = self._order.user
        seen = places(self.reach, self._order.hidden)
        missing = _first_error(lambda: self._enter(seen))
        if not missing:
            self._enter(seen, lifeline)
            self.has_root = True
        elif is_root:
            hindrance = _first_error(lambda: self._read_as_user(seen))
            if not hindrance:
                self._become_user()
        version = landlock.version()
        seen += [Place("/", "list"), Place(root.SCRATCHES, "write")] if self.has_root else []
        self._places = [self._place(place) for place in seen if os.path.exists(place.path)] if version else []
        if self._places and self.has_root:
            self._ruleset = self._ruleset_for_all(version)
        self.descriptors += [place.descriptor for place in self._places]
        calls = seccomp.Calls(
            network=self.reach.has_network,
            sockets=bool(self.reach.sockets),
            only_connects=bool(self.reach.ports) and not self.reach.network,
            programs=bool(self.reach.programs),
            wide_signals=version >= 6 or self.has_root,
        )
        no_filter = ""
        try:
            self._program = seccomp.build(calls)
        except seccomp.UnknownProcessor as error:
            no_filter = str(error)
        self._limit_all()
        _warm_up()
        system.give_up_privileges()
        system.set_dumpable(False)
        self.layers = Layers(namespaces=missing, landlock=version, seccomp=no_filter, user=hindrance)

    def showing(self) -> list[Step]:
        """Until it locks itself in, let an executor see its own part of /proc."""
        return [("lifeline", partial(system.prctl, *system.SHOWN))] if self.is_on else []

    def locking_in(self, limits: Limits, scratch: str) -> list[Step]:
        """How an executor gives up everything that its task did not ask for, for good, step by step.

        A step raises OSError when a layer that the zygote has found does not hold: the executor must end.
        """
        steps = self._own_namespace(limits) if self.has_root else []
        steps += [("limits", partial(resource.setrlimit, *limit)) for limit in self._limits(limits)]
        if not self.is_on:
            return steps
        steps += [
            ("not dumpable", partial(system.prctl, *system.HIDDEN)),
            ("no capabilities", partial(system.capset, *system.NO_CAPABILITIES)),
        ]
        if self._ruleset >= 0:
            steps.append(("Landlock", landlock.restricting(self._ruleset)))
        elif self.layers.landlock:
            steps.append(("Landlock", partial(self._restrict, scratch)))
        if self._program:
            steps.append(("seccomp", system.Filter(self._program, seccomp.pids_in(self._program)).load))
        return steps

    def scratch(self, folder: str) -> str:
        """Where the scratch folder of an executor is that was given this one."""
        return root.SCRATCH if self.has_root else folder

    def _ruleset_for_all(self, version: int) -> int:
        """One for all executors. Landlock sees a mount as what is below the folder above it, so that their own scratch
        folders, which are not there yet, are in it, too.
        """
        made = landlock.ruleset(self._places, None if self.reach.network else self.reach.ports, version)
        for place in self._places:
            os.close(place.descriptor)
        self._places = []
        self.descriptors.append(made)
        return made

    def _restrict(self, scratch: str) -> None:
        own = landlock.place(scratch, landlock.WRITE)
        ports = None if self.reach.network else self.reach.ports
        made = landlock.ruleset([*self._places, own], ports, self.layers.landlock)
        os.close(own.descriptor)
        landlock.restricting(made)()
        os.close(made)

    def _own_namespace(self, limits: Limits) -> list[Step]:
        """A user and mount namespace of an executor: its own count of processes, its own scratch folder."""
        layer = "namespaces"
        return [
            (layer, partial(system.prctl, *system.SHOWN)),  # or the files of the map would not be ours
            (layer, partial(system.unshare, system.NEW_USER | system.NEW_MOUNTS)),
            *((layer, step) for step in _mapping(self._uid, self._gid, self._proc)),
            (layer, root.mounting_scratch(limits.scratch)),
        ]

    def _limit_all(self) -> None:
        """What no executor may have more of; they inherit it."""
        for what, most in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, MOST_FILES),
            (resource.RLIMIT_MEMLOCK, 65_536),
            (resource.RLIMIT_MSGQUEUE, 0),
            (resource.RLIMIT_NICE, 0),
            (resource.RLIMIT_RTPRIO, 0),
        ):
            resource.setrlimit(*_lowered(what, most))

    def _limits(self, limits: Limits) -> Generator[tuple[int, tuple[int, int]]]:
        if limits.memory is not None:
            yield from kernel.memory_limits(limits.memory, self._memory)
        if self.is_on:
            yield _lowered(resource.RLIMIT_FSIZE, limits.scratch)
        if self.has_root:  # counts per user namespace there; elsewhere, all processes of the user would count
            yield _lowered(resource.RLIMIT_NPROC, limits.processes + 1)

    def _enter(self, seen: Sequence[Place], lifeline: int = -1) -> None:
        """New namespaces and a root of its own. With a lifeline, also the first process of the new pid namespace."""
        is_root = os.geteuid() == 0
        network = 0 if self.reach.has_network or self.reach.sockets else system.NEW_NETWORK
        proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
        uid, gid = self._uid, self._gid
        if not is_root:
            system.set_dumpable(True)
            system.unshare(system.NEW_USER | NAMESPACES | network)
            _map_user(uid, gid, proc)
        else:
            system.unshare(NAMESPACES | network)
        if lifeline >= 0:
            self.init = start_init(lifeline, self._become_user if is_root else None)
        root.build(self._order.folder, seen, uid, gid)
        if is_root:
            self._become_user()
            system.set_dumpable(True)
            system.unshare(system.NEW_USER)  # so that executors can have their own below it
            _map_user(uid, gid, proc)
        self._proc = proc
        self.descriptors.append(proc)
        if lifeline < 0:  # a trial: the last thing that executors do must work, too
            for _, step in self._own_namespace(Limits()):
                step()

    def _read_as_user(self, seen: Sequence[Place]) -> None:
        self._become_user()
        for place in seen:
            if place.how == "read" and not os.access(place.path, os.R_OK):
                raise PermissionError(f"user {self._uid} cannot read {place.path}")

    def _become_user(self) -> None:
        if self._order.user is not None:
            os.setgroups([])
            os.setresgid(self._gid, self._gid, self._gid)
            os.setresuid(self._uid, self._uid, self._uid)

    def _place(self, place: Place) -> landlock.Place:
        return landlock.place(place.path, RIGHTS[place.how])


def limit_processor(seconds: float, is_final: bool) -> None:
    """From now on so many seconds of processor time, rounded up, for this process; SIGXCPU ends it then.

    is_final: it cannot be raised again.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or soft <= hard:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, soft + 1 if is_final else hard))


def start_init(lifeline: int, become_user: Callable[[], None] | None) -> int:
    """The first process of a new pid namespace: takes in orphans, and when it ends the kernel kills all others there.

    It ends with the worker (the other end of the lifeline), or when the zygote and its executors have ended, which hold
    the other end of a pipe. The kernel lets no signal from within reach it.
    """
    last, held = os.pipe()
    settled, told = os.pipe()
    pid = os.fork()
    if pid > 0:
        os.close(last)
        os.close(told)
        os.read(settled, 1)  # who is still root cannot be signalled, and a probe would take that for safety
        os.close(settled)
        return pid
    try:
        os.close(held)
        os.setsid()  # or it would be killed with what the zygote leaves in its group
        kernel.call_me(b"nb-init")
        if become_user is not None:
            become_user()
        os.write(told, b"x")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans need nobody to wait for them
        _keep_only({last, lifeline})
        select.select([last, lifeline], [], [])
    finally:
        os._exit(0)


def _keep_only(kept: Iterable[int]) -> None:
    low = 0
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _map_user(uid: int, gid: int, proc: int) -> None:
    """In the new user namespace of a zygote, which those of its executors follow in that nobody may change groups."""
    _write(proc, "self/setgroups", b"deny")
    for step in _mapping(uid, gid, proc):
        step()


def _mapping(uid: int, gid: int, proc: int) -> list[Callable[[], object]]:
    """The user keeps its own number in the new namespace, and is the only one there."""
    maps = (("self/uid_map", f"{uid} {uid} 1"), ("self/gid_map", f"{gid} {gid} 1"))
    return [partial(_write, proc, path, text.encode()) for path, text in maps]


def _write(folder: int, path: str, content: bytes) -> None:
    descriptor = os.open(path, _WRITE, dir_fd=folder)
    os.write(descriptor, content)
    os.close(descriptor)


def _lowered(what: int, most: int) -> tuple[int, tuple[int, int]]:
    """A limit, both the soft and the hard one, that is not above what there is."""
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    return what, (most, most)


def _first_error(trial: Callable[[], object]) -> str:
    """What a trial in a process of its own runs into; empty when it works."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            trial()
        except BaseException as error:  # noqa: BLE001  (told to the parent)
            os.write(writer, str(error)[:500].encode() or b"failed")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        text = told.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"{signal.Signals(-code).name}: a call is not allowed here" if code < 0 else text


def _warm_up() -> None:
    """One ctypes callback: later ones take its page, so that executors need no writable and executable memory."""
    import ctypes

    with contextlib.suppress(Exception):
        sys.modules[__name__].__dict__["_callback"] = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)
