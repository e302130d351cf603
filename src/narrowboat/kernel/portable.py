"""What every Unix has. Made for macOS, where workers are for development: see MISSING."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

ADOPTS_ORPHANS = False
CAN_TAKE_BACK = False
DIES_BY_SIGNAL = False
LIMITS_MEMORY = False
HAS_WALLS = False  # Landlock, seccomp or namespaces, for executors
MISSING = (
    "this is not Linux: memory limits are kept by looking four times a second, jobs are not claimed ahead of "
    "executors, and new work is looked for 20 times a second; good for development"
)

_HEADER = struct.Struct("!IB")  # bytes of a message, and how many open files come along
_CHUNK = 256 * 1024
_MOST_DESCRIPTORS = 64  # that one look takes in
_PATIENCE_S = 5.0  # for the far end to take the rest of a message
_SIGNALS = (signal.SIGALRM, signal.SIGUSR1)  # their handlers raise, which must not tear a message apart


class Channel:
    """Messages over a SOCK_STREAM socket, each behind its length. `is_ahead`: one was read, but not yet given."""

    def __init__(self, fileno: int) -> None:
        self._socket = socket.socket(fileno=fileno)
        self._unread = bytearray()
        self._descriptors: deque[int] = deque()
        self._sending = threading.Lock()
        self._is_over = False

    def fileno(self) -> int:
        """As of a socket, and so are the methods below."""
        return self._socket.fileno()

    def close(self) -> None:
        """Also of files that came and were not asked for."""
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def shutdown(self, how: int) -> None:
        """No more in one direction."""
        self._socket.shutdown(how)

    def setblocking(self, flag: bool) -> None:
        """Whether recv waits."""
        self._socket.setblocking(flag)

    def set_inheritable(self, flag: bool) -> None:
        """Whether programs that this process becomes have it, too."""
        self._socket.set_inheritable(flag)

    @property
    def is_ahead(self) -> bool:
        """Whether recv has a message without asking the kernel."""
        return self._whole() is not None

    def send(self, data: bytes) -> int:
        """The whole message, or OSError and a channel that is broken."""
        return self._send(data, ())

    def make_room(self, limit: int) -> None:
        """Not here: it is taken as messages come."""

    def send_with(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Send a message and open files."""
        self._send(data, descriptors)

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """One message; empty at the end. Raises BlockingIOError, ConnectionResetError, OSError past `limit` bytes."""
        data, descriptors = self._receive(limit, flags)
        for descriptor in descriptors:
            os.close(descriptor)
        return data

    def recv_with(self, limit: int, most: int, flags: int = 0) -> tuple[bytes, list[int]]:
        """A message and the open files that came along, at most so many."""
        data, descriptors = self._receive(limit, flags)
        for descriptor in descriptors[most:]:
            os.close(descriptor)
        return data, descriptors[:most]

    def _receive(self, limit: int, flags: int) -> tuple[bytes, list[int]]:
        while (size := self._whole()) is None:
            if self._is_over:
                return b"", []
            self._fill(flags & socket.MSG_DONTWAIT)
            if len(self._unread) >= _HEADER.size and _HEADER.unpack_from(self._unread)[0] > limit:
                raise OSError(errno.EMSGSIZE, "a message is too large")
        data = bytes(self._unread[_HEADER.size : size])
        if flags & socket.MSG_PEEK:
            return data, []
        _, count = _HEADER.unpack_from(self._unread)
        del self._unread[:size]
        return data, [self._descriptors.popleft() for _ in range(min(count, len(self._descriptors)))]

    def _whole(self) -> int | None:
        """Bytes of the first message with its header, if all of it is here."""
        if len(self._unread) < _HEADER.size:
            return None
        size = _HEADER.size + _HEADER.unpack_from(self._unread)[0]
        return size if len(self._unread) >= size else None

    def _fill(self, flags: int) -> None:
        # Not socket.recv_fds, which takes flags and passes none of them on.
        data, ancillary, _, _ = self._socket.recvmsg(_CHUNK, socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4), flags)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._descriptors.extend(memoryview(content[: len(content) // 4 * 4]).cast("i"))
        self._unread += data
        self._is_over = not data

    def _send(self, data: bytes, descriptors: Sequence[int]) -> int:
        unsent = memoryview(_HEADER.pack(len(data), len(descriptors)) + data)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            with self._sending:
                sent = socket.send_fds(self._socket, [unsent], descriptors) if descriptors else self._try(unsent)
                until = time.monotonic() + _PATIENCE_S
                while sent < len(unsent):
                    self._until_writable(until)
                    sent += self._try(unsent[sent:])
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return len(data)

    def _try(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def _until_writable(self, until: float) -> None:
        _, ready, _ = select.select([], [self._socket], [], max(0.0, until - time.monotonic()))
        if not ready:
            self._socket.shutdown(socket.SHUT_RDWR)
            raise BrokenPipeError("the far end does not read")


def pair(room: int) -> tuple[Channel, Channel]:
    """Two connected ends, each with room for so many bytes."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
    one, other = ends
    return Channel(fileno=one.detach()), Channel(fileno=other.detach())


class Process:
    """Another process. It has no descriptor: that it is dead is told by the end of its channel."""

    descriptor = -1

    def __init__(self, pid: int, descriptor: int = -1) -> None:
        self.pid = pid

    def signal(self, number: int) -> None:
        """A dead process is no error."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, number)

    def close(self) -> None:
        """There is nothing to give up."""


def adopt_orphans() -> None:
    """Not here: a zygote stays until its executors have ended."""


def reap(spare: Collection[int] = (), may_leave: bool = True) -> tuple[int, int | None] | None:
    """Take in a dead child: its pid and exit code (minus a signal number), or None when there is none.

    What it left in its session is killed. With a `spare` child no other is looked for: zygotes are all that a
    worker has, and their channels tell.
    """
    if spare:
        return None
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    if pid == 0:
        return None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return pid, os.waitstatus_to_exitcode(status)


def lifeline() -> tuple[int, int]:
    """A pipe for `die_with`: the end of those who die, and the one that holds them alive."""
    return os.pipe()


def die_with(lifeline: int) -> None:
    """End this process when the last writer of a pipe is gone: by a thread, which waits while a task holds the
    interpreter. For that case the zygote kills its executors, too.
    """
    threading.Thread(target=_until_gone, args=(lifeline,), name="narrowboat-lifeline", daemon=True).start()


def _until_gone(lifeline: int) -> None:
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    os._exit(0)


def open_descriptors() -> list[int]:
    """The open files of this process, among them perhaps the one of the look itself."""
    return [int(name) for name in os.listdir("/dev/fd")]


def memory_now() -> tuple[int, int]:
    """Not here."""
    return 0, 0


def memory_limits(extra: int, before: tuple[int, int]) -> list[tuple[int, tuple[int, int]]]:
    """None here: the worker looks and kills."""
    return []


def keep_out_of_sight() -> None:
    """Not here."""


def offer_to_oom_killer() -> None:
    """Not here."""


def call_me(name: bytes) -> None:
    """Set the name that ps shows for this process, where that is as simple as this."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "wb") as comm:
        comm.write(name)


def take_large_pages() -> None:
    """Not here."""


def interrupt_nobody() -> None:
    """Not here."""


def scratch(name: str) -> int:
    """An open file without a place in any folder."""
    with tempfile.TemporaryFile(prefix=name) as file:
        return os.dup(file.fileno())


def resident_bytes(pid: int) -> int:
    """Memory of a process, shared pages included; 0 when it is gone."""
    return int(_ps(pid, "rss") or 0) * 1024


def taken(born: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """What these processes have by now: bytes of memory beyond those that each was born with, and one thread. Helpers
    are not counted here.
    """
    return {pid: (resident_bytes(pid) - before, 1) for pid, before in born.items()}


def boot() -> str:
    """Stands for this machine."""
    return f"{socket.gethostname()}/{uuid.getnode():x}"


def pid_namespace() -> int:
    """There is only one."""
    return 0


def started(pid: int) -> int | None:
    """1 while there is such a process, be it the same or a later one; None if there is none, or only its zombie.

    When it began can be had, but not reliably to the second, and a living worker must never look like another one.
    """
    state = _ps(pid, "stat")
    return None if not state or state.startswith("Z") else 1


def has_ended(pid: int, began: int | None = None) -> bool:
    """Whether there is certainly no such process any more."""
    now = started(pid)
    return now is None or (began is not None and now != began)


def watch_file(path: Path) -> int | None:
    """Not here: whoever waits looks again and again."""
    return None


def _ps(pid: int, column: str) -> str:
    command = ["ps", "-o", f"{column}=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.defpath, "LC_ALL": "C"})
    return done.stdout.strip()
