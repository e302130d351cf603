"""One executor as its worker sees it: a channel, a process, and the jobs it was given, in order."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import NamedTuple

from .. import kernel
from ..core.codec import UNREADABLE
from ..core.needs import Limits, Reach
from ..core.task import TaskSpec
from ..executor import wire
from .groups import Group
from .held import Held

READS_A_TURN = 128
# Parts of messages that hold several: about a millisecond, so that one executor's flood is not all there is.
PARTS_A_TURN = 512
LINGER_S = 0.1  # what an executor takes to end, where it has no hooks that say goodbye
MEMORY, PROCESSES = "out of memory", "more processes and threads than processes="


class ProtocolViolation(Exception):
    """An executor sent what it may not."""


class Kind(NamedTuple):
    """What tells one class of executors from another. Limits that were set cannot be raised again.

    generation: of the zygotes that it comes from. is_fresh: it runs one attempt. has_files: its jobs take or give some.
    """

    reach: Reach = Reach()
    limits: Limits = Limits()
    concurrency: int = 0  # 0: sync tasks, one at a time
    is_fresh: bool = False
    has_files: bool = False
    generation: int = 0

    @property
    def capacity(self) -> int:
        """Attempts at a time."""
        return self.concurrency or 1


def kind_for(spec: TaskSpec, generation: int = 0) -> Kind:
    """The class of executor that a task needs."""
    return Kind(spec.needs.reach, spec.limits, spec.concurrency, spec.is_untrusted, spec.has_files, generation)


class Executor:
    """A slot's process.

    `ours` is the worker's end of the socket; `theirs` is a second handle on the executor's end, through
    which jobs that it has not read yet are taken back. `given`: jobs by token, in the order in which they
    were sent, so that those it has not begun are the last ones.
    """

    def __init__(self, request: int, kind: Kind) -> None:
        self.request, self.kind = request, kind
        self.ours, self.theirs = wire.pair()
        self.ours.setblocking(False)
        self.last_words = kernel.scratch("last-words")
        self.process: kernel.Process | None = None  # until the zygote has forked it
        self.given: dict[int, Held] = {}
        self.unbegun = 0  # how many of them
        self.moved_at = 0.0  # when a job began last, or was given to it when it had none
        self.born_at = time.monotonic()
        self.weighed_at = 0.0
        self.begun = 0  # jobs so far
        self.is_alone = False  # what it has is suspect: it gets nothing else
        self.kill_reason: str | None = None  # why this worker killed it
        self.memory_at_birth = 0  # bytes, what it shares with its zygote included; only where it is watched
        self.group: Group | None = None  # in which the kernel keeps its limits, those of its helpers included
        self.scratch = ""  # its folder, where the kernel gives it none
        self.is_heard = False  # the main loop waits for what it says, and for its death
        self.has_hung_up = False
        self.is_dead = False
        self.is_retiring = False
        has_limit = kind.limits.memory is not None and (kind.reach.trusted or not kernel.LIMITS_MEMORY)
        self._needs_watching = has_limit or bool(kind.reach.programs)
        self.let_go_at: float | None = None  # when it was told to end, and had nothing left to run

    @property
    def pid(self) -> int:
        """-1 until the zygote has forked it."""
        return -1 if self.process is None else self.process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it can be given jobs."""
        return self.process is not None and not self.is_dead and not self.is_retiring and self.kill_reason is None

    @property
    def is_lingering(self) -> bool:
        """Whether it should have ended by now."""
        return self.let_go_at is not None and time.monotonic() > self.let_go_at + LINGER_S

    @property
    def is_spare(self) -> bool:
        """Whether it is kept for a job to come, and takes no slot until then."""
        is_idle = not self.given and not self.begun
        return self.kind.is_fresh and is_idle and not self.is_retiring and not self.is_dead

    @property
    def room(self) -> int:
        """How many jobs it could begin at once."""
        is_used = self.kind.is_fresh and self.begun
        return 0 if self.is_alone or is_used else max(0, self.kind.capacity - len(self.given))

    @property
    def is_watched(self) -> bool:
        """Whether nothing but the worker keeps its limits: the system's are for each process alone, if it has any."""
        return self._needs_watching and self.group is None

    @property
    def memory(self) -> int:
        """Bytes that it has taken since its birth."""
        return kernel.resident_bytes(self.pid) - self.memory_at_birth

    def running(self) -> list[Held]:
        """The jobs whose code runs now."""
        return [held for held in self.given.values() if held.started_at is not None]

    def give(self, held: Held) -> bool:
        """Put a job behind what it has; False when its socket is full."""
        claim = held.claim
        frame = wire.Run(
            claim.token,
            claim.id,
            claim.task,
            claim.queue,
            claim.attempt,
            claim.args,
            held.spec.timeout_s,
            claim.headers,
            claim.tags,
            claim.shape,
        )
        try:
            if held.files:
                self.ours.send_with(wire.encode(frame), held.files)
            else:
                self.ours.send(wire.encode(frame))
        except OSError:  # full, or dead, which is told elsewhere
            return False
        if not self.given:
            self.moved_at = time.monotonic()
        self.given[claim.token] = held
        self.unbegun += 1
        if held.is_suspect:
            self.is_alone = True
        return True

    def begin(self, held: Held, now: float) -> None:
        """An attempt has begun."""
        held.started_at = self.moved_at = now
        self.unbegun -= 1
        self.begun += 1

    def end(self, held: Held) -> None:
        """An attempt is over."""
        del self.given[held.claim.token]
        self.is_alone = False

    def read(self) -> list[tuple[wire.FromExecutor, int]]:
        """The frames that are there, boundedly many, each with the open file that came along, or -1.

        Raises ProtocolViolation for anything else.
        """
        frames: list[tuple[wire.FromExecutor, int]] = []
        parts, has_files, is_fresh = 0, self.kind.has_files, self.kind.is_fresh
        receive, decode = self.ours.recv, wire.from_executor.decode
        while (len(frames) < READS_A_TURN and parts < PARTS_A_TURN) or self.ours.is_ahead:
            try:
                data, descriptor = self._receive() if has_files else (receive(wire.MAX_FRAME), -1)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data, descriptor = b"", -1
            except OSError as error:
                raise ProtocolViolation(str(error)) from error
            if not data:
                self.has_hung_up = True
                break
            try:
                frame = decode(data)
            except UNREADABLE as error:
                for came in (descriptor, *(came for _, came in frames)):
                    if came >= 0:
                        os.close(came)
                raise ProtocolViolation(str(error)) from error
            frames.append((frame, descriptor))
            if is_fresh and isinstance(frame, wire.Ended):
                break  # nothing follows
            parts += len(frame.frames) if isinstance(frame, wire.Several) else 1
        return frames

    def _receive(self) -> tuple[bytes, int]:
        data, descriptors = self.ours.recv_with(wire.MAX_FRAME, 1)
        return data, descriptors[0] if descriptors else -1

    def take_back(self) -> list[Held]:
        """The jobs it has not read yet, in order; it will never see them.

        It may be reading meanwhile, so these need not be the last ones that it was given.
        """
        if not kernel.CAN_TAKE_BACK:
            return []
        back: list[Held] = []
        stops: list[bytes] = []
        while True:
            try:
                data = self.theirs.recv(wire.MAX_FRAME, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not data:
                break
            frame = wire.to_executor.decode(data)
            if isinstance(frame, wire.Stop):
                stops.append(data)
            elif (held := self.given.get(frame.token)) is not None and held.started_at is None:  # else it lies
                back.append(self.given.pop(frame.token))
        for stop in stops:
            self.ours.send(stop)
        self.unbegun -= len(back)
        return back

    def stop(self, held: Held) -> None:
        """Tell a running job to stop. The jobs ahead must have been taken back."""
        try:
            self.ours.send(wire.encode(wire.Stop(held.claim.token, held.stop_why, held.stop_reason)))
        except OSError:
            return  # the kill that follows needs no cooperation
        self.signal(signal.SIGUSR1)

    def kill(self, reason: str) -> None:
        """End it now."""
        if self.kill_reason is None:
            self.kill_reason = reason
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """A dead process is no error."""
        if self.process is not None and not self.is_dead:
            self.process.signal(number)

    def words(self) -> str:
        """What faulthandler wrote when it died, bounded."""
        return os.pread(self.last_words, 16_000, 0).decode(errors="replace")

    def close(self) -> None:
        """Give up the socket, which ends a living executor, and the descriptors."""
        self.ours.close()
        self.theirs.close()
        os.close(self.last_words)
        if self.process is not None:
            self.process.close()


def cause_of_death(executor: Executor, status: int | None) -> str:
    """A short text for the record: the signal's name, or the exit code."""
    if executor.kill_reason is not None:
        return executor.kill_reason
    if status is None:
        return "the process vanished"
    if executor.group is not None and executor.group.ran_out():
        return MEMORY
    if status == -signal.SIGKILL:
        return "SIGKILL (from outside; perhaps the kernel was out of memory)"
    if status == -signal.SIGSYS:
        return "SIGSYS (it made a system call that no task makes)"
    if status == -signal.SIGXCPU:
        return f"its processor time was over (cpu={executor.kind.limits.cpu_s:g} s)"
    if status < 0:
        return signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return f"exit code {status}"
