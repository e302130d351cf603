"""The frames between a worker, its zygote and its executors: one message of a SOCK_SEQPACKET socket each.

A worker reads these from processes that may be hostile: every frame is one of the types here, decoded
strictly, and at most MAX_FRAME bytes.
"""

from __future__ import annotations

import socket

import msgspec

from ..core.job import MAX_PAYLOAD, Progress
from ..core.outcome import Outcome
from ..core.task import TaskSpec

MAX_FRAME = MAX_PAYLOAD + 64 * 1024  # a result or arguments, an error, and their wrapping
TASKS_A_FRAME = 200


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Worker to executor: run this."""

    id: str
    task: str
    queue: str
    attempt: int
    token: int
    args: bytes
    timeout_s: float
    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Worker to executor, with SIGUSR1: raise Stopping in this job. why: "cancel" or "shutdown"."""

    id: str
    why: str
    reason: str = ""


class Started(msgspec.Struct, frozen=True, tag="started"):
    """Executor to worker: the attempt begins now."""

    id: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """Executor to worker: how it ended after how long, and the job that begins at this moment, if one was at hand."""

    id: str
    outcome: Outcome
    ran_s: float
    next: str | None = None


class Reported(msgspec.Struct, frozen=True, tag="progress"):
    """Executor to worker: progress of the running job."""

    id: str
    progress: Progress


class Logged(msgspec.Struct, frozen=True, tag="log"):
    """Executor to worker: one line that the running job wrote."""

    id: str
    line: str


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Worker to zygote, with two descriptors: the executor's end of its socket, and a file for its last words."""

    request: int
    memory: int | None = None


class Found(msgspec.Struct, frozen=True, tag="found"):
    """Zygote to worker: some of the app's tasks."""

    tasks: tuple[TaskSpec, ...]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Zygote to worker: the app is imported; all tasks were sent; forks can be asked for."""

    app: str
    url: str | None
    warnings: tuple[str, ...] = ()


class ImportFailed(msgspec.Struct, frozen=True, tag="import_failed"):
    """Zygote to worker: the app's own traceback, and what to do about it where that can be told."""

    traceback: str
    remedy: str = ""


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """Zygote to worker, with the executor's pidfd."""

    request: int
    pid: int


class ForkFailed(msgspec.Struct, frozen=True, tag="fork_failed"):
    """Zygote to worker: the system refused."""

    request: int
    error: str


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """Zygote to worker: an executor was reaped; `status` as os.waitstatus_to_exitcode gives it."""

    pid: int
    status: int


ToExecutor = Run | Stop
FromExecutor = Started | Ended | Reported | Logged
FromZygote = Found | Ready | ImportFailed | Forked | ForkFailed | Exited

encode = msgspec.msgpack.Encoder().encode
to_executor = msgspec.msgpack.Decoder(ToExecutor)
from_executor = msgspec.msgpack.Decoder(FromExecutor)
to_zygote = msgspec.msgpack.Decoder(Fork)
from_zygote = msgspec.msgpack.Decoder(FromZygote)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends that keep message boundaries, with room for one largest frame and many small."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_FRAME)
    return ends
