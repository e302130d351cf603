"""Ends a worker whose main loop stands still, and shows where it stood.

A process that was stopped (SIGSTOP, the freezer of a container, a machine that pauses) has not stood still, though time
has passed. So no clock is asked: a thread counts its own short sleeps. Where something holds the interpreter no thread
runs, and what counts is processor time.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading

STDERR = 2
SLEEPS = 60  # in the time that a loop may stand still


class Watchdog(threading.Thread):
    """To be fed by the main loop whenever it comes round. patience_s: for how long it may not."""

    def __init__(self, patience_s: float) -> None:
        super().__init__(name="narrowboat-watchdog", daemon=True)
        self._patience_s = patience_s
        self._is_fed = False
        self._has_ended = threading.Event()

    def start(self) -> None:
        """From here on the loop is to turn."""
        faulthandler.register(signal.SIGPROF, chain=True)  # after the stacks comes what the signal does: the end
        signal.setitimer(signal.ITIMER_PROF, self._patience_s)
        super().start()

    def feed(self) -> None:
        """The loop has come round."""
        self._is_fed = True

    def run(self) -> None:
        """Until it is to end, or the process is."""
        hungry = 0
        while not self._has_ended.wait(self._patience_s / SLEEPS):
            if self._is_fed:
                self._is_fed, hungry = False, 0
                signal.setitimer(signal.ITIMER_PROF, self._patience_s)
            else:
                hungry += 1
            if hungry >= SLEEPS:
                os.set_blocking(STDERR, False)  # that nobody reads it may be why the loop stands still
                faulthandler.dump_traceback(STDERR)
                os.set_blocking(STDERR, True)  # it may be a terminal, which others go on using
                os._exit(1)
        signal.setitimer(signal.ITIMER_PROF, 0)

    def end(self) -> None:
        """The loop turns no more; legal before the start."""
        self._has_ended.set()
