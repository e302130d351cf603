"""The folder that attempts may write to. What one leaves there is gone before the next one begins."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.file import FileRef
from ..core.kinds import ending

CHUNK = 1024 * 1024
TICK_NS = 20_000_000  # the clock of files stands still for up to 10 ms in kernels before 6.13


class Scratch:
    """One executor's. path: empty where it has none of its own."""

    _clean = 0  # its time when nothing of an attempt was in it; 0 where that cannot be told from a later one

    def __init__(self, path: str) -> None:
        self.path = path

    def take_as_tidy(self) -> None:
        """What is in it by now stays."""
        if self.path:
            changed = os.stat(self.path).st_ctime_ns
            self._clean = changed if time.time_ns() - changed > TICK_NS else 0

    def be_home(self) -> None:
        """Make it the place for temporary files of this process and of its forks."""
        if self.path:
            os.environ["TMPDIR"] = os.environ["HOME"] = self.path
            known: Any = sys.modules.get("tempfile")
            if known is not None:
                known.tempdir = None

    def put(self, token: int, descriptors: Sequence[int], refs: Sequence[FileRef]) -> dict[str, Path]:
        """Copies of an attempt's files, read-only: their places by key. Raises OSError when they do not fit.

        Only what they are decides how they are called there; the names that people gave them never become paths.
        """
        folder = Path(self.path or _temporary()) / f"in-{token}"
        folder.mkdir(0o700, exist_ok=True)
        placed: dict[str, Path] = {}
        for number, (descriptor, ref) in enumerate(zip(descriptors, refs, strict=True)):
            path = folder / f"{number}{ending(ref.type)}"
            with open(descriptor, "rb", closefd=False) as content, open(path, "xb", opener=_read_only) as copy:
                while chunk := content.read(CHUNK):
                    copy.write(chunk)
            placed[ref.key] = path
        return placed

    def drop(self, token: int) -> None:
        """Remove the files of one attempt, if it has any, though others go on."""
        folder = f"{self.path}/in-{token}"
        if self.path and os.path.isdir(folder):
            _remove(folder, ignore_errors=True)

    def tidy(self) -> bool:
        """Empty it, if anything was made, renamed or removed in it: each changes a time of it that nobody can set.

        Whether it is empty now. Not if a folder in it was shut, which this process can no longer open.
        """
        if not self.path:
            return True
        try:
            if os.stat(self.path).st_ctime_ns == self._clean:
                return True
            with os.scandir(self.path) as entries:
                for entry in list(entries):
                    if entry.is_dir(follow_symlinks=False):
                        _remove(entry.path)
                    else:
                        os.unlink(entry.path)
            self.take_as_tidy()
        except OSError:
            return False
        return True


# tempfile and shutil bring three compression libraries, which most executors can do without.


def _temporary() -> str:
    import tempfile

    return tempfile.gettempdir()


def _remove(folder: str, ignore_errors: bool = False) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=ignore_errors)


def _read_only(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o400)
