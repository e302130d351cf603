"""Files in a folder: the default, for one machine or a shared disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import BinaryIO

from ..core.errors import FileMissing, StoreUnavailable
from .store import FileStore, checked, shard_of


class FolderStore(FileStore):
    """Makes the folder when the first file comes; only its owner may look in. One that is there stays as it is."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).absolute()
        self.location, self.folder = str(self._path), os.path.realpath(path)

    def put(self, key: str, content: Iterable[bytes]) -> None:
        """See FileStore. Written under another name first, and on the disk before it counts."""
        path = self._path / checked(key)
        with self._said_plainly("write"):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}-{os.urandom(6).hex()}")
        try:
            with self._said_plainly("write"):
                file = unfinished.open("xb")
            with file:
                for chunk in content:
                    with self._said_plainly("write"):
                        file.write(chunk)
                with self._said_plainly("write"):
                    file.flush()
                    os.fsync(file.fileno())
            with self._said_plainly("write"):
                unfinished.replace(path)
                for folder in (path.parent, path.parent.parent, self._path):
                    _sync(folder)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # if this was to be its only file
            raise

    def open(self, key: str) -> BinaryIO:
        """See FileStore."""
        with self._said_plainly("read"):
            try:
                return (self._path / checked(key)).open("rb")
            except FileNotFoundError:
                raise FileMissing(f"{self.location} has no {key}: files go with the record of their job") from None

    def jobs(self, shard: str) -> list[tuple[str, float]]:
        """See FileStore."""
        now = time.time()
        with self._said_plainly("read"), contextlib.suppress(FileNotFoundError):
            with os.scandir(self._path / shard) as found:
                jobs = [entry for entry in found if entry.is_dir(follow_symlinks=False)]
            return [(job.name, now - job.stat().st_mtime) for job in jobs]
        return []

    def remove(self, job_id: str) -> None:
        """See FileStore."""
        with self._said_plainly("remove"), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._path / shard_of(job_id) / job_id)

    @contextlib.contextmanager
    def _said_plainly(self, what: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(f"the file store {self.location}: cannot {what}: {error.strerror}") from error


def _sync(folder: Path) -> None:
    """Have the names in it on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
