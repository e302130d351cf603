"""Notes that live workers leave on this machine: for an app that enqueues into another place, and for health.

Two processes started in different folders resolve the default URL to two files, and jobs would wait for
ever without an error. A worker leaves a note in a folder of its user; whoever enqueues looks once. The note
is rewritten every few seconds, so `narrowboat health` needs nothing else to tell how a worker is.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec

from ..core.units import many

EVERY_S = 5.0
OLD_S = 20.0  # a note that was not rewritten for so long is of a worker that is stuck


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker is. Times are seconds since 1970."""

    app: str
    location: str
    pid: int
    worker: str = ""
    state: str = "starting"  # or "consuming", "quiet" (takes no new work), "draining"
    turned_at: float = 0.0  # when its main loop last came round
    contact_at: float | None = None  # when the backend last answered; None while it does not
    slots: int = 0
    running: int = 0

    def is_alive(self, now: float) -> bool:
        """Its main loop turns."""
        return now - self.turned_at < OLD_S

    def is_ready(self, now: float) -> bool:
        """It takes work: alive, in contact, and not asked to stop."""
        return self.is_alive(now) and self.state == "consuming" and self.contact_at is not None

    def in_words(self) -> str:
        """In one line."""
        contact = "in contact" if self.contact_at is not None else "out of reach"
        return f"{self.state}, {many(self.running, 'job')} running, backend {contact} ({self.location})"


class Note:
    """This process's own note."""

    def __init__(self) -> None:
        self._path: Path | None = None
        with contextlib.suppress(OSError):
            folder = _folder()
            folder.mkdir(mode=0o700, exist_ok=True)
            self._path = folder / f"{os.getpid()}.json"

    def write(self, health: Health) -> None:
        """Replace it; where it cannot be written, nothing is."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                unfinished = self._path.with_suffix(".new")
                unfinished.write_bytes(msgspec.json.encode(health))
                unfinished.replace(self._path)

    def remove(self) -> None:
        """At the end; legal twice."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def workers_here() -> list[Health]:
    """What the live workers of this user on this machine say of themselves."""
    found: list[Health] = []
    with contextlib.suppress(OSError):
        for note in sorted(_folder().iterdir()):
            if not _is_alive(note):
                with contextlib.suppress(OSError):
                    note.unlink()
            elif note.suffix == ".json":
                with contextlib.suppress(OSError, msgspec.MsgspecError):
                    found.append(msgspec.json.decode(note.read_bytes(), type=Health))
    return found


def elsewhere(app: str, location: str) -> list[str]:
    """Where live workers of `app` look for jobs, if none of them looks in `location`."""
    places = {worker.location for worker in workers_here() if worker.app == app}
    return [] if location in places else sorted(places)


def now() -> float:
    """For comparing with what notes say."""
    return time.time()


def _folder() -> Path:
    import tempfile

    return Path(tempfile.gettempdir()) / f"narrowboat-{os.getuid()}"


def _is_alive(note: Path) -> bool:
    try:
        os.kill(int(note.stem), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True
