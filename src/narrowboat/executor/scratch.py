"""The folder that attempts may write to. What one leaves there is gone before the next one begins."""

from __future__ import annotations

import os
import shutil
import tempfile


class Scratch:
    """One executor's. path: empty where it has none of its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._clean = 0
        if path:
            os.environ["TMPDIR"] = os.environ["HOME"] = path
            tempfile.tempdir = None
            self._clean = os.stat(path).st_mtime_ns

    def tidy(self) -> None:
        """Empty it, if anything was made, renamed or removed in it: each of these changes its time."""
        if not self.path or os.stat(self.path).st_mtime_ns == self._clean:
            return
        with os.scandir(self.path) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
        self._clean = os.stat(self.path).st_mtime_ns
