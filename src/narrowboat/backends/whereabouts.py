"""Notes that live workers leave on this machine, so that an app which enqueues into another place is warned.

Two processes started in different folders resolve the default URL to two files, and jobs would wait for
ever without an error. A worker leaves "app -> location" in a folder of its user; whoever enqueues looks once.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from ..core import codec


def announce(app: str, location: str) -> Path | None:
    """Leave a note for this process; returns the file to delete at the end, None where it cannot be left."""
    try:
        folder = _folder()
        folder.mkdir(mode=0o700, exist_ok=True)
        note = folder / f"{os.getpid()}.json"
        note.write_bytes(codec.encode({"app": app, "location": location}))
    except OSError:
        return None
    return note


def elsewhere(app: str, location: str) -> list[str]:
    """Where live workers of `app` look for jobs, if none of them looks in `location`."""
    places: set[str] = set()
    with contextlib.suppress(OSError):
        for note in _folder().iterdir():
            if not _is_alive(note):
                with contextlib.suppress(OSError):
                    note.unlink()
                continue
            with contextlib.suppress(OSError, ValueError, KeyError):
                found = codec.decode(note.read_bytes())
                if found["app"] == app:
                    places.add(found["location"])
    return [] if location in places else sorted(places)


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"narrowboat-{os.getuid()}"


def _is_alive(note: Path) -> bool:
    try:
        os.kill(int(note.stem), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True
