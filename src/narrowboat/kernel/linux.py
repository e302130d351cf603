"""Linux: the few calls to the kernel that Python has no name for, and what /proc tells."""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

ADOPTS_ORPHANS = True  # executors that outlive their zygote become children of the worker
CAN_TAKE_BACK = True  # a second handle on a channel's far end sees whole messages
DIES_BY_SIGNAL = True  # `die_with` needs no thread, and works while a task holds the interpreter
LIMITS_MEMORY = True
HAS_WALLS = True  # Landlock, seccomp or namespaces, for executors
MISSING = ""  # for people: what this system cannot do

_PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 4, 15, 36
_F_SETSIG = 10
_CLOSED_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)  # an enum's | is a call of Python
_FORKED_ONLY = 0x40  # PF_FORKNOEXEC in the flags of /proc/PID/stat
_SETTLED_S = 0.2
_LARGE, _FULL, _MADV_COLLAPSE = 2 * 1024 * 1024, 0.6, 25
_IN_MODIFY, _IN_NONBLOCK, _IN_CLOEXEC = 0x2, os.O_NONBLOCK, os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class Channel(socket.socket):
    """A SOCK_SEQPACKET socket: what is sent is received as one message. `is_ahead`: one was read, but not yet given."""

    is_ahead = False
    # Where messages come in, of all channels: as large as the largest, and no page of it used before its time.
    _room: ClassVar = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def __init__(self, fileno: int) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno)  # else the kernel is asked for each of these

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """One message, by one thread of a process. socket's own takes memory for `limit` bytes each time."""
        room = self._room
        if len(room) < limit:
            room = self._room_for(limit)
        return room[: self.recv_into(room, limit, flags)]

    def _room_for(self, limit: int) -> mmap.mmap:
        if len(Channel._room) < limit:
            self.make_room(limit)
        return Channel._room

    def make_room(self, limit: int) -> None:
        """For messages of so many bytes; done before it is needed, forks of this process need not do it."""
        Channel._room = mmap.mmap(-1, limit, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def send_with(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Send a message and open files."""
        content = struct.pack(f"{len(descriptors)}i", *descriptors)
        self.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, content)])

    def recv_with(self, limit: int, most: int, flags: int = 0) -> tuple[bytes, list[int]]:
        """A message and the open files that came along."""
        room = memoryview(self._room_for(limit))[:limit]
        # Not socket.recv_fds, which takes flags and passes none of them on.
        size, ancillary, _, _ = self.recvmsg_into([room], socket.CMSG_SPACE(most * 4), flags | _CLOSED_ON_EXEC)
        return bytes(room[:size]), descriptors_in(ancillary)


def descriptors_in(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    """The open files that came with a message."""
    return [
        descriptor
        for level, kind, content in ancillary
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS
        for descriptor in memoryview(content[: len(content) // 4 * 4]).cast("i")
    ]


def pair(room: int) -> tuple[Channel, Channel]:
    """Two connected ends, each with room for so many bytes."""
    ends = _socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # socket's own makes two objects more
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
    one, other = ends
    return Channel(fileno=one.detach()), Channel(fileno=other.detach())


class Process:
    """Another process. descriptor: readable when it is dead."""

    def __init__(self, pid: int, descriptor: int = -1) -> None:
        self.pid = pid
        self.descriptor = os.pidfd_open(pid) if descriptor < 0 else descriptor

    def signal(self, number: int) -> None:
        """A dead process is no error."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def close(self) -> None:
        """Give up the descriptor."""
        os.close(self.descriptor)


def adopt_orphans() -> None:
    """Make orphans below this process its children, so that executors outlive their zygote in good order."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def reap(spare: Collection[int] = (), may_leave: bool = True) -> tuple[int, int | None] | None:
    """Take in a dead child: its pid and exit code (minus a signal number), or None when there is none.

    What it left in its session is killed first: while the zombie is there, its number cannot have become
    another process group. may_leave: False where children can have left nothing. A child in `spare` is only named.
    """
    try:
        if not may_leave:
            pid, status = os.waitpid(-1, os.WNOHANG)
            return (pid, os.waitstatus_to_exitcode(status)) if pid else None
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if found is None:
        return None
    pid = found.si_pid
    if pid in spare:
        return pid, None
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    _, status = os.waitpid(pid, 0)
    return pid, os.waitstatus_to_exitcode(status)


def lifeline() -> tuple[int, int]:
    """A pipe for `die_with`: the end of those who die, and the one that holds them alive.

    Everybody may open it again to read, as executors must that have a user of their own, and nobody to write.
    """
    reader, writer = os.pipe()
    os.fchmod(reader, 0o444)
    return reader, writer


def die_with(lifeline: int) -> None:
    """Have the kernel kill this process when the last writer of a pipe is gone.

    The worker holds the only write end. Unlike PR_SET_PDEATHSIG this does not depend on who the parent is,
    and unlike a thread that reads it works while the task holds the interpreter. The signal belongs to an
    open file, and forks share those, so each process opens the pipe again for itself.
    """
    mine = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.dup2(mine, lifeline, inheritable=False)
    os.close(mine)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    try:
        gone = os.read(lifeline, 1) == b""
    except BlockingIOError:
        gone = False
    if gone:
        os._exit(0)


def open_descriptors() -> list[int]:
    """The open files of this process, among them perhaps the one of the look itself."""
    return [int(name) for name in os.listdir("/proc/self/fd")]


def memory_now() -> tuple[int, int]:
    """Bytes of this process: of data, and of address space."""
    with open("/proc/self/statm") as statm:
        fields = statm.read().split()
    page = resource.getpagesize()
    return int(fields[5]) * page, int(fields[0]) * page


def memory_limits(extra: int, before: tuple[int, int]) -> list[tuple[int, tuple[int, int]]]:
    """For setrlimit: `extra` bytes of private memory beyond what a process had, as `memory_now` said.

    RLIMIT_DATA is close to what people mean; RLIMIT_AS also catches shared anonymous memory, but counts
    reserved address space, so it is set wide.
    """
    data = before[0] + extra
    space = before[1] + 2 * extra + 512 * 1024 * 1024
    return [(resource.RLIMIT_DATA, (data, data)), (resource.RLIMIT_AS, (space, space))]


def keep_out_of_sight() -> None:
    """Other processes of this user are not to look into this one."""
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def offer_to_oom_killer() -> None:
    """When the machine runs out of memory, an executor goes before the worker does: that costs one attempt."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")


call_me: Callable[[bytes], object] = partial(_libc.prctl, _PR_SET_NAME)
"""Set the name that ps and top show for this process (15 characters)."""


def take_large_pages() -> None:
    """Put this process's memory into pages of 2 MiB where they will mostly be in use: see executor/pages.py.

    A favour, which Linux does from 6.1 on.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, rights, *_, inode, name = [*line.split(maxsplit=5), ""][:6]
        if rights != "rw-p" or inode != "0" or name.startswith("[stack"):
            continue
        start, end = (int(number, 16) for number in place.split("-"))
        for large in range(-(-start // _LARGE) * _LARGE, end - _LARGE + 1, _LARGE):
            are_used = (ctypes.c_ubyte * (_LARGE // resource.getpagesize()))()
            _libc.mincore(ctypes.c_void_p(large), ctypes.c_size_t(_LARGE), are_used)
            if sum(are_used) >= len(are_used) * _FULL:
                _libc.madvise(ctypes.c_void_p(large), ctypes.c_size_t(_LARGE), _MADV_COLLAPSE)


def interrupt_nobody() -> None:
    """When this process wakes, it waits for a turn, rather than take the processor from one who works (sched(7)).

    Else a worker that hands out jobs is interrupted by its own executors, for each job again.
    """
    with contextlib.suppress(OSError):  # it may be forbidden, and is only a favour
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def scratch(name: str) -> int:
    """An open file without a place in any folder."""
    return os.memfd_create(name, os.MFD_CLOEXEC)


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in no file, shared pages included; 0 when it is gone.

    Unlike what it shares with no other, anybody may ask for this, also of a process that nobody may look into.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def taken(born: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """What the sessions of these leaders have by now: bytes of memory beyond those that each was born with; threads.

    Costs a look at every process of the machine. Forks of a leader share what it was born with. One that was made a
    moment ago, and has not become a program yet, shows all memory of the one that it came from, and is left out.
    """
    found: dict[int, tuple[int, int]] = dict.fromkeys(born, (0, 0))
    youngest = (time.clock_gettime(time.CLOCK_BOOTTIME) - _SETTLED_S) * os.sysconf("SC_CLK_TCK")
    for name in os.listdir("/proc"):
        fields = _stat(name) if name.isdigit() else []
        leader = int(fields[3]) if fields else 0
        if leader not in found:
            continue
        pid, is_fork = int(name), bool(int(fields[6]) & _FORKED_ONLY)
        if is_fork and pid != leader and int(fields[19]) > youngest:
            continue
        memory, threads = found[leader]
        memory += max(0, resident_bytes(pid) - (born[leader] if is_fork else 0))
        found[leader] = memory, threads + int(fields[17])
    return found


def boot() -> str:
    """Stands for this run of this machine; empty when it cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> int:
    """Pids mean the same only within one of these."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def started(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None if there is none, or only its zombie."""
    fields = _stat(str(pid))
    return None if not fields or fields[0] in "ZX" else int(fields[19])


def has_ended(pid: int, began: int | None = None) -> bool:
    """Whether there is certainly no such process any more, or it is a later one than that which `started` told of.

    What /proc does not show may live: with hidepid (systemd: ProtectProc=) it hides the processes of other users, and
    those that nobody may look into, which workers are.
    """
    fields = _stat(str(pid))
    if fields:
        return fields[0] in "ZX" or (began is not None and int(fields[19]) != began)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def watch_file(path: Path) -> int | None:
    """A descriptor that becomes readable when the file is written to; None where that cannot be had."""
    descriptor: int = _libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK)
    if descriptor < 0:
        return None
    if _libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(descriptor)
        return None
    return descriptor


def _stat(pid: str) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read().decode(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
