"""The worker's log: for people on a terminal, one JSON object a line for everything else."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from ..core import codec

FIELDS = ("job", "task", "queue", "attempt", "outcome", "ran_s", "worker")  # what `extra=` may add to a line
FORMATS = ("auto", "human", "json")


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


def start(format: str, verbose: bool, stream: TextIO | None = None) -> bool:
    """Send the log to a stream (stderr); returns whether it is for people."""
    out: TextIO = sys.stderr if stream is None else stream
    is_human = format == "human" or (format == "auto" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S") if is_human else JsonLines()
    )
    root = logging.getLogger("narrowboat")
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    return is_human
