"""Signals, as the main loop takes them: it is woken, and asks which came."""

from __future__ import annotations

import os
import signal
from collections import deque
from types import FrameType

ORDERS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGTSTP,
    signal.SIGCONT,
    signal.SIGUSR1,
)


class Signals:
    """`descriptor` is readable when something came."""

    def __init__(self) -> None:
        self._came: deque[int] = deque()
        self.descriptor, self._waker = os.pipe()
        for end in (self.descriptor, self._waker):
            os.set_blocking(end, False)

    def listen(self) -> None:
        """From now on, in the main thread."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in ORDERS:
            signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, _only_wake)

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether one that ends the worker waits to be taken."""
        return any(number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT) for number in self._came)

    def take(self) -> list[int]:
        """The orders that came, in order. Children may have died, too."""
        try:
            os.read(self.descriptor, 4096)
        except BlockingIOError:
            pass
        taken: list[int] = []
        while self._came:
            taken.append(self._came.popleft())
        return taken

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal, whose end a HUP then means."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _only_wake(number: int, frame: FrameType | None) -> None:
    """The descriptor has been written; there is nothing else to do."""
