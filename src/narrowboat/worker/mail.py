"""What the main loop and the threads that talk to the backend say to each other: frozen requests and replies."""

from __future__ import annotations

import contextlib
import os
import queue
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from ..backends.base import ClaimRef, Extended, Step, StepReply, Want, WorkerInfo
from ..core.job import Claim
from ..core.task import Manifest

T = TypeVar("T")


class Mailbox:
    """Messages to the main loop, and the descriptor that wakes it."""

    def __init__(self) -> None:
        self._messages: deque[object] = deque()
        self.descriptor, self._waker = os.pipe()
        for end in (self.descriptor, self._waker):
            os.set_blocking(end, False)

    def post(self, message: object) -> None:
        """From any thread."""
        self._messages.append(message)
        with contextlib.suppress(BlockingIOError):  # full: it will wake
            os.write(self._waker, b"x")

    def take(self) -> list[object]:
        """All messages, by the main loop."""
        try:
            os.read(self.descriptor, 65536)
        except BlockingIOError:
            return []
        taken: list[object] = []
        while self._messages:
            taken.append(self._messages.popleft())
        return taken


class Requests(Generic[T]):
    """A queue that ends with the worker."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[T | None] = queue.SimpleQueue()

    def put(self, request: T | None) -> None:
        """Ask; None ends the thread."""
        self._queue.put(request)

    def get(self, timeout: float | None = None) -> T | None:
        """The next request. Raises queue.Empty after the timeout."""
        return self._queue.get(timeout=timeout)


class Stepped:
    """The courier's answer. spared: jobs whose failure was not charged, and how many seconds they wait.

    began: monotonic, when it was first sent.
    """

    def __init__(self, step: Step, reply: StepReply, spared: Mapping[str, float], began: float) -> None:
        self.step, self.reply, self.spared, self.began = step, reply, spared, began


class Listen:
    """A wish to be woken when one of these can be met."""

    def __init__(self, wants: Sequence[Want]) -> None:
        self.wants = wants


class Heard:
    """The listener's answer: whether there is work. It has looked, so that no is an answer, too.

    stepped: of the step that stood by, if the listener has made it.
    """

    def __init__(self, work: bool, stepped: Stepped | None = None) -> None:
        self.work, self.stepped = work, stepped


class Extend:
    """Renew the lease for these claims; `seq` is the last step whose reply was seen."""

    def __init__(self, seq: int, claims: tuple[ClaimRef, ...]) -> None:
        self.seq, self.claims = seq, claims


class Renewed:
    """The heartbeat's answer. asked_at: monotonic; the lease holds from no earlier than this."""

    def __init__(self, request: Extend, reply: Extended, asked_at: float) -> None:
        self.request, self.reply, self.asked_at = request, reply, asked_at


class CancelsAsked:
    """Someone asked to cancel jobs that this worker runs."""


class Rescued:
    """Claims taken over from workers that are gone."""

    def __init__(self, claims: list[Claim]) -> None:
        self.claims = claims


class CodeChanged:
    """Files of the app have changed."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths


class Publish:
    """Make this worker and its tasks known anew."""

    def __init__(self, info: WorkerInfo, manifest: Manifest) -> None:
        self.info, self.manifest = info, manifest


class Published:
    """That is done, as often as it was asked for."""


class Broken:
    """A thread ended by an error."""

    def __init__(self, thread: str, error: Exception) -> None:
        self.thread, self.error = thread, error
