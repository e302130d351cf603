"""The frames between a worker, its zygote and its executors: one message of a channel each.

A worker reads these from processes that may be hostile: every frame is one of the types here, decoded
strictly, and at most MAX_FRAME bytes.
"""

from __future__ import annotations

import msgspec

from .. import kernel
from ..core.job import MAX_PAYLOAD, NewJob, Progress
from ..core.needs import Limits, Reach
from ..core.outcome import Outcome
from ..core.task import TaskSpec
from ..kernel import Channel
from ..sandbox.findings import Finding, Questions
from ..sandbox.walls import Layers, Order

MAX_FRAME = MAX_PAYLOAD + 64 * 1024  # a result or arguments, an error, and their wrapping
TASKS_A_FRAME = 200
SEVERAL = 64  # small frames in one message, at most


class Run(msgspec.Struct, frozen=True, tag="run", array_like=True, gc=False):
    """Worker to executor: run this. `token` names the attempt in everything that follows."""

    token: int
    id: str
    task: str
    queue: str
    attempt: int
    args: bytes
    timeout_s: float
    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    shape: str = ""


class Stop(msgspec.Struct, frozen=True, tag="stop", array_like=True):
    """Worker to executor, with SIGUSR1: stop this attempt. why: "cancel" or "shutdown"."""

    token: int
    why: str
    reason: str = ""


class Started(msgspec.Struct, frozen=True, tag="started", array_like=True, gc=False):
    """Executor to worker: the attempt begins now."""

    token: int


class Ended(msgspec.Struct, frozen=True, tag="ended", array_like=True, gc=False):
    """Executor to worker: how it ended, after how long, and which attempt begins at this moment, if any."""

    token: int
    outcome: Outcome
    ran_s: float
    next: int | None = None


class Reported(msgspec.Struct, frozen=True, tag="progress", array_like=True, gc=False):
    """Executor to worker: progress of a running attempt."""

    token: int
    progress: Progress


class Logged(msgspec.Struct, frozen=True, tag="log", array_like=True, gc=False):
    """Executor to worker: one line that a running attempt wrote."""

    token: int
    line: str


class Told(msgspec.Struct, frozen=True, tag="told", array_like=True):
    """Executor to worker: this attempt was cancelled in the event loop, which therefore turns."""

    token: int


class Asked(msgspec.Struct, frozen=True, tag="asked", array_like=True):
    """Executor to worker: jobs to be enqueued if this attempt succeeds."""

    token: int
    jobs: tuple[NewJob, ...]


class Carried(msgspec.Struct, frozen=True, tag="carried", array_like=True):
    """Executor to worker, with a descriptor: a file that the result will name by its number among these."""

    token: int
    name: str


class Several(msgspec.Struct, frozen=True, tag="several", array_like=True):
    """Executor to worker: small frames in one message, in order."""

    frames: tuple[Started | Ended | Reported | Logged | Told, ...]


class Branch(msgspec.Struct, frozen=True, tag="branch"):
    """Worker to zygote, with a descriptor: fork a zygote for executors of this reach, whose control that is."""

    request: int
    reach: Reach
    order: Order


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Worker to zygote, with two descriptors: the executor's end of its socket, and a file for its last words.

    concurrency: attempts at a time; 0 for an executor of sync tasks. scratch: its folder, where the sandbox makes none.
    is_fresh: it runs one attempt. has_files: jobs come with open files, and results go with them. is_probe: it runs
    none, but is asked Questions, and answers with what it could do.
    """

    request: int
    limits: Limits = Limits()
    concurrency: int = 0
    scratch: str = ""
    is_fresh: bool = False
    has_files: bool = False
    is_probe: bool = False


class Found(msgspec.Struct, frozen=True, tag="found"):
    """Zygote to worker: some of the app's tasks."""

    tasks: tuple[TaskSpec, ...]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Zygote to worker: the app is imported; all tasks were sent; forks can be asked for."""

    app: str
    url: str | None
    warnings: tuple[str, ...] = ()
    on_dead: tuple[str, ...] = ()


class ImportFailed(msgspec.Struct, frozen=True, tag="import_failed"):
    """Zygote to worker: the app's own traceback, and what to do about it where that can be told."""

    traceback: str
    remedy: str = ""


class Branched(msgspec.Struct, frozen=True, tag="branched"):
    """The new zygote to the worker: its walls stand, forks can be asked for."""

    layers: Layers


class BranchFailed(msgspec.Struct, frozen=True, tag="branch_failed"):
    """The new zygote to the worker: what its executors need cannot be had; it ends."""

    error: str


class Probed(msgspec.Struct, frozen=True, tag="probed"):
    """Executor to worker, instead of any job: what it could do behind its walls."""

    findings: tuple[Finding, ...]


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """Zygote to worker, with the pidfd of the executor or the new zygote."""

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
Small = Started | Ended | Reported | Logged | Told
FromExecutor = Small | Asked | Carried | Several
ToZygote = Branch | Fork
FromZygote = Found | Ready | ImportFailed | Branched | BranchFailed | Forked | ForkFailed | Exited

encode = msgspec.msgpack.Encoder().encode
to_executor = msgspec.msgpack.Decoder(ToExecutor)
from_executor = msgspec.msgpack.Decoder(FromExecutor)
to_probe = msgspec.msgpack.Decoder(Questions)
from_probe = msgspec.msgpack.Decoder(Probed)
to_zygote = msgspec.msgpack.Decoder(ToZygote)
from_zygote = msgspec.msgpack.Decoder(FromZygote)


def pair() -> tuple[Channel, Channel]:
    """Two connected ends, with room for one largest frame and many small."""
    return kernel.pair(2 * MAX_FRAME)
