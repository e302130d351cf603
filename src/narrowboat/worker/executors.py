"""One executor as its worker sees it: a socket, a pidfd, and the jobs it was given, in order."""

from __future__ import annotations

import os
import signal
import socket
from collections import deque

import msgspec

from ..executor import wire
from .held import Held

READS_A_TURN = 128


class ProtocolViolation(Exception):
    """An executor sent what it may not."""


class Executor:
    """A slot's process.

    `ours` is the worker's end of the socket; `theirs` is a second handle on the executor's end, through
    which jobs that it has not read yet are taken back.
    """

    def __init__(self, request: int, memory: int | None) -> None:
        self.request, self.memory = request, memory
        self.ours, self.theirs = wire.pair()
        self.ours.setblocking(False)
        self.last_words = os.memfd_create("last-words", os.MFD_CLOEXEC)
        self.pid = -1  # until the zygote has forked it
        self.pidfd = -1
        self.given: deque[Held] = deque()  # the first one runs, or is about to
        self.kill_reason: str | None = None  # why this worker killed it
        self.kill_at: float | None = None  # when Stopping has had its time
        self.is_dead = False
        self.is_retiring = False

    @property
    def is_ready(self) -> bool:
        """Whether it can be given jobs."""
        return self.pidfd >= 0 and not self.is_dead and not self.is_retiring and self.kill_reason is None

    @property
    def running(self) -> Held | None:
        """The job whose code runs now."""
        return self.given[0] if self.given and self.given[0].started_at is not None else None

    def give(self, held: Held) -> bool:
        """Put a job behind what it has; False when its socket is full."""
        claim = held.claim
        frame = wire.Run(
            claim.id,
            claim.task,
            claim.queue,
            claim.attempt,
            claim.token,
            claim.args,
            held.spec.timeout_s,
            claim.headers,
            claim.tags,
        )
        try:
            self.ours.send(wire.encode(frame))
        except BlockingIOError:
            return False
        self.given.append(held)
        return True

    def read(self) -> list[wire.FromExecutor]:
        """The frames that are there, boundedly many. Raises ProtocolViolation for anything else."""
        frames: list[wire.FromExecutor] = []
        for _ in range(READS_A_TURN):
            try:
                data = self.ours.recv(wire.MAX_FRAME)
            except BlockingIOError:
                break
            except ConnectionResetError:
                break
            if not data:
                break
            try:
                frames.append(wire.from_executor.decode(data))
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise ProtocolViolation(str(error)) from error
        return frames

    def take_back(self) -> list[Held]:
        """The jobs it has not read yet, in order; it will never see them."""
        count = 0
        while True:
            try:
                data = self.theirs.recv(1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not data:
                break
            count += 1
        back = [self.given.pop() for _ in range(min(count, len(self.given)))]
        back.reverse()
        return back

    def stop(self, why: str, reason: str) -> None:
        """Ask for Stopping in the running job. The jobs ahead must have been taken back."""
        try:
            self.ours.send(wire.encode(wire.Stop(self.given[0].id, why, reason)))
        except BlockingIOError:
            return  # the kill that follows needs no cooperation
        self.signal(signal.SIGUSR1)

    def kill(self, reason: str) -> None:
        """End it now."""
        if self.kill_reason is None:
            self.kill_reason = reason
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal by pidfd; a dead process is no error."""
        if self.pidfd >= 0:
            try:
                signal.pidfd_send_signal(self.pidfd, number)
            except ProcessLookupError:
                pass

    def words(self) -> str:
        """What faulthandler wrote when it died, bounded."""
        return os.pread(self.last_words, 16_000, 0).decode(errors="replace")

    def close(self) -> None:
        """Give up the socket, which ends a living executor, and the descriptors."""
        self.ours.close()
        self.theirs.close()
        for descriptor in (self.pidfd, self.last_words):
            if descriptor >= 0:
                os.close(descriptor)
        self.pidfd = self.last_words = -1


def cause_of_death(executor: Executor, status: int | None) -> str:
    """A short text for the record: the signal's name, or the exit code."""
    if executor.kill_reason is not None:
        return executor.kill_reason
    if status is None:
        return "the process vanished"
    if status == -signal.SIGKILL:
        return "SIGKILL (from outside; perhaps the kernel was out of memory)"
    if status < 0:
        return signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return f"exit code {status}"
