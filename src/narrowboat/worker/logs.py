"""The worker's log: for people on a terminal, one JSON object a line for everything else."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from ..core import codec, colour

FIELDS = ("job", "task", "queue", "attempt", "outcome", "ran_s", "worker")  # what `extra=` may add to a line
FORMATS = ("auto", "human", "json")
COLOURS = {logging.INFO: "32", logging.WARNING: "33", logging.ERROR: "31"}  # green, yellow, red


class JsonLines(logging.Formatter):
    """time (RFC 3339), level, logger, message, and FIELDS where they are known."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in (*FIELDS, "facts"):
            value = getattr(record, name, None)
            if isinstance(value, dict):
                line |= value
            elif value is not None:
                line[name] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return codec.encode(line).decode()


class ForPeople(logging.Formatter):
    """time, level and message; in colours, or not."""

    def __init__(self, is_coloured: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
        self._is_coloured = is_coloured

    def format(self, record: logging.LogRecord) -> str:
        """One line, and those of a traceback."""
        line = super().format(record)
        if not self._is_coloured:
            return line
        clock, level, rest = line[:8], line[9:16], line[17:]
        return f"\x1b[2m{clock}\x1b[0m \x1b[{COLOURS.get(record.levelno, '2')}m{level}\x1b[0m {rest}"


def start(format: str, verbose: bool, stream: TextIO | None = None) -> bool:
    """Send the log to a stream (stderr); returns whether it is for people."""
    out: TextIO = sys.stderr if stream is None else stream
    is_human = format == "human" or (format == "auto" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(ForPeople(colour.is_wanted(out.isatty(), os.environ)) if is_human else JsonLines())
    root = logging.getLogger("narrowboat")
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    return is_human
