"""The port to what keeps files, and what every store has in common: how files are named, measured and known."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ..core import kinds
from ..core.digest import sha256
from ..core.errors import BadArguments, FileTooLarge
from ..core.file import Accept, FileRef, safe_name
from ..core.ids import task_of
from ..core.units import bytes_in_words
from . import pictures

CHUNK = 1024 * 1024
SHARDS = tuple(f"{number:02x}" for number in range(256))
_PLACE = re.compile(r"[a-z0-9-]{1,60}")


class FileStore(ABC):
    """Keeps files by key, which is "<shard>/<job id>/<place>": those of one job are found, and removed, together.

    location: for people, passwords removed. folder: a path that tasks must not see, if there is one.
    variables: of the environment, with credentials for it; tasks must not get them.
    """

    location: str
    folder: str = ""
    variables: tuple[str, ...] = ()

    @abstractmethod
    def put(self, key: str, content: Iterable[bytes]) -> None:
        """Keep it, durably; whole or not at all, also when `content` raises. Raises StoreUnavailable."""

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """For reading; a file with a descriptor. Raises FileMissing, StoreUnavailable."""

    @abstractmethod
    def jobs(self, shard: str) -> list[tuple[str, float]]:
        """Ids of jobs with files in one of the SHARDS, and the age in seconds of the newest.

        Raises StoreUnavailable.
        """

    @abstractmethod
    def remove(self, job_id: str) -> None:
        """Remove all files of a job, also when there are none. Raises StoreUnavailable."""


def shard_of(job_id: str) -> str:
    """Spreads jobs, so that a look at some of them is short."""
    return sha256(job_id.encode())[:2]


def key_for(job_id: str, place: str) -> str:
    """The key of one file."""
    return f"{shard_of(job_id)}/{job_id}/{place}"


def checked(key: str) -> str:
    """The key itself. Raises BadArguments for what no store has made: it may come from a message."""
    shard, _, rest = key.partition("/")
    job_id, _, place = rest.partition("/")
    if task_of(job_id) is None or "/" in job_id or shard != shard_of(job_id) or not _PLACE.fullmatch(place):
        raise BadArguments(f"{key[:200]!r} is not a file of this store")
    return key


def keep(store: FileStore, key: str, content: BinaryIO, name: str, accept: Accept) -> FileRef:
    """Read a file to its end into the store, and say what it is.

    Raises FileTooLarge, FileTypeRefused, PictureTooLarge (nothing is kept then), StoreUnavailable, and OSError from
    reading.
    """
    measured = _Measured(content, safe_name(name), accept)
    store.put(key, measured.chunks())
    return FileRef(
        key=key, name=measured.name, size=measured.size, type=measured.type, sha256=measured.digest.hexdigest()
    )


class _Measured:
    """A file on its way: hashed, counted and looked at as it passes."""

    def __init__(self, content: BinaryIO, name: str, accept: Accept) -> None:
        import hashlib  # only here: see core/digest.py

        self._content, self.name, self._accept = content, name, accept
        self.digest, self.size, self.type = hashlib.sha256(), 0, kinds.type_of(b"")

    def chunks(self) -> Iterator[bytes]:
        most = self._accept.most
        is_first = True
        while (chunk := self._content.read(CHUNK)) or is_first:
            if is_first:
                self.type = kinds.type_of(chunk[: kinds.HEAD])
                self._accept.check_type(self.type, self.name)
                if self._accept.pixels is not None and self.type.startswith("image/"):
                    pictures.check(self._content, chunk, self.name, self.type, self._accept.pixels)
                is_first = False
            self.size += len(chunk)
            if self.size > most:
                raise FileTooLarge(f"the file {self.name} is larger than {bytes_in_words(most)}")
            self.digest.update(chunk)
            if chunk:
                yield chunk
