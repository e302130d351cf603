"""What a task prints and logs, as bounded lines that travel to the worker."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable

MAX_LINES = 200
MAX_LINE = 1_000  # characters
MAX_BYTES = 32_768


class Lines:
    """Counts the lines of one attempt and sends on those within the bounds."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._lines = self._size = 0

    def add(self, text: str) -> None:
        """Send each line of a text; past the bounds, say so once and drop the rest."""
        for line in text.splitlines():
            if self._lines > MAX_LINES:
                return
            line = line[:MAX_LINE]
            self._lines += 1
            self._size += len(line)
            if self._lines > MAX_LINES or self._size > MAX_BYTES:
                self._lines = MAX_LINES + 1
                line = "(further lines of this attempt were dropped)"
            self._send(line)


class Printed:
    """Makes lines of the pieces that one attempt prints."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._rest = write, ""

    def write(self, text: str) -> None:
        """Pass on whole lines; keep the rest until its end comes, or until it is long."""
        self._rest += text
        if "\n" in self._rest or len(self._rest) > MAX_LINE:
            whole, _, self._rest = self._rest.rpartition("\n")
            if not whole:
                whole, self._rest = self._rest, ""
            self._write(whole)

    def finish(self) -> None:
        """Pass on what has no line end yet."""
        if self._rest:
            self._write(self._rest)
            self._rest = ""


class Output:
    """All that one attempt says."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self.lines = Lines(send)
        self.printed = Printed(self.lines.add)


class Stream(io.TextIOBase):
    """Takes the place of sys.stdout and sys.stderr."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Pass a piece on."""
        self._write(text)
        return len(text)


class LogHandler(logging.Handler):
    """Passes log records on as lines."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """One record, as one or more lines."""
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001  (a broken record must not end the task; logging's own rule)
            self.handleError(record)
