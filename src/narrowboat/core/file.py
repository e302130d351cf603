"""Files as arguments and results. The message carries a reference; the content goes through a file store."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec

from .errors import BadArguments, ConfigError, FileTypeRefused
from .units import size as bytes_of

MARK = "$file"
_QUOTED = f'"{MARK}"'.encode()
OUT = "carried:"  # with a number, instead of a key: in a result on its way out, a file that was sent along
MOST_FILES = 20  # in the arguments of a job, or in its result
MOST_BYTES = 100 * 1000**2  # of one file, unless the task says
SHOWN_HERE = ("image/png", "image/jpeg", "image/gif", "image/webp")  # what a browser shows without running anything


class FileRef(msgspec.Struct, frozen=True, kw_only=True):
    """What travels. key: where the store has it; type: found by looking at the content, whatever the name says."""

    key: str = msgspec.field(name=MARK)
    name: str
    size: int
    type: str
    sha256: str


class File:
    """A file on its way into a job, or out of one.

    `File("cat.jpg")` names one on this disk, `File.of(upload.file, name="cat.jpg")` is one from elsewhere. In a task
    `path` is where an argument was put, read-only; a returned `File("small.jpg")` is carried out. The result of a
    finished job has no path here: read it with `open()` or `read()`.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None) -> None:
        self._path: Path | None = Path(path)
        self._name = name or self._path.name
        self._content: bytes | BinaryIO | None = None
        self._opener: Callable[[], BinaryIO] | None = None
        self.ref: FileRef | None = None  # once it is in a store

    @classmethod
    def of(cls, content: bytes | BinaryIO, name: str = "file") -> File:
        """One from memory, or from a stream that is open for reading, to its end."""
        made = cls(name)
        made._path, made._content = None, content
        return made

    @classmethod
    def found(cls, ref: FileRef) -> File:
        """One that a store has; whoever reads it says how (`binder`)."""
        made = cls(ref.name)
        made._path, made.ref = None, ref
        bind = binder.get()
        if bind is not None:
            bind(made)
        return made

    def __repr__(self) -> str:
        return f"<File {self.name}>"

    @property
    def name(self) -> str:
        """What whoever made it called it, without folders. Never a place: only for people."""
        return safe_name(self._name)

    @property
    def path(self) -> Path:
        """Where it is on this disk. Raises ValueError for one that is not."""
        if self._path is None:
            raise ValueError(f"the file {self.name} is not on this disk; use its open() or read()")
        return self._path

    @property
    def is_here(self) -> bool:
        """Whether it has a path."""
        return self._path is not None

    @property
    def size(self) -> int | None:
        """Bytes, once it has been stored."""
        return self.ref.size if self.ref else None

    @property
    def type(self) -> str | None:
        """Its content type, found by looking at it, once it has been stored."""
        return self.ref.type if self.ref else None

    @property
    def sha256(self) -> str | None:
        """In hexadecimal, once it has been stored."""
        return self.ref.sha256 if self.ref else None

    def open(self) -> BinaryIO:
        """For reading, from the start. Raises FileMissing when its job's record is gone, StoreUnavailable, OSError."""
        if self._path is not None:
            return self._path.open("rb")
        if isinstance(self._content, bytes):
            return io.BytesIO(self._content)
        if self._content is not None:
            if self._content.seekable():
                self._content.seek(0)
            return self._content
        if self._opener is None:
            raise ValueError(f"the file {self.name} has no content here; read it from job.result")
        return self._opener()

    def read(self) -> bytes:
        """All of it."""
        with self.lent() as content:
            return content.read()

    @contextlib.contextmanager
    def lent(self) -> Generator[BinaryIO]:
        """Open it, and close it unless it is a stream of whoever made this."""
        content = self.open()
        try:
            yield content
        finally:
            if content is not self._content:
                content.close()

    def put_at(self, path: Path) -> None:
        """From now on it is there."""
        self._path = path

    def opened_by(self, opener: Callable[[], BinaryIO]) -> None:
        """From now on it is read so."""
        self._opener = opener

    def headers(self, *, inline: bool = False) -> dict[str, str]:
        """For an HTTP response with its content: it is saved, not run, whatever a stranger put into it.

        inline: pictures of the four common kinds may be shown on a page.
        """
        kind = self.type or "application/octet-stream"
        how = "inline" if inline and kind in SHOWN_HERE else "attachment"
        headers = {
            "Content-Type": kind,
            "Content-Disposition": f"{how}; filename*=UTF-8''{quote(self.name, safe='')}",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
        }
        return headers if self.size is None else headers | {"Content-Length": str(self.size)}


@dataclass(frozen=True, slots=True)
class Accept:
    """What a parameter takes: `photo: Annotated[File, Accept(types=["image/*"], size="25MB")]`.

    types: content types, or "image/*"; empty: all. size: bytes at most (default 100 MB).
    pixels: width times height of a picture at most, such as 50_000_000, by its header; other types have none
    (default: no limit; takes `narrowboat[web]`). Raises ConfigError.
    """

    types: Sequence[str] = ()
    size: int | str = MOST_BYTES
    pixels: int | None = None

    def __post_init__(self) -> None:
        if self.pixels is not None and self.pixels < 1:
            raise ConfigError(f"pixels={self.pixels}: give at least 1, or leave it out for no limit")

    @property
    def most(self) -> int:
        """Bytes at most."""
        return bytes_of(self.size)

    def check_type(self, kind: str, name: str) -> None:
        """Raises FileTypeRefused."""
        if self.types and not any(kind == known or _covers(known, kind) for known in self.types):
            raise FileTypeRefused(f"the file {name} is {kind}, and {' or '.join(self.types)} is asked for")


Put = Callable[[File, Accept], Any]  # what stands for a file in JSON
binder: ContextVar[Callable[[File], None] | None] = ContextVar("narrowboat_binder", default=None)


@contextlib.contextmanager
def bound_by(bind: Callable[[File], None]) -> Generator[None]:
    """Files that are read in this block are read in this way."""
    before = binder.set(bind)
    try:
        yield
    finally:
        binder.reset(before)


def by_content(file: File, accept: Accept) -> FileRef:
    """A Put that stores nothing: the same content, the same name."""
    import hashlib  # only here: see core/digest.py

    with file.lent() as content:
        digest = hashlib.file_digest(content, "sha256")  # pyright: ignore[reportArgumentType]
    return FileRef(key="", name=file.name, size=0, type="", sha256=digest.hexdigest())


def read_hook(kind: type, value: Any) -> Any:
    """For msgspec: a File from its JSON form."""
    if kind is not File:
        raise NotImplementedError(kind)
    try:
        return File.found(msgspec.convert(value, FileRef))
    except msgspec.ValidationError as error:
        raise ValueError(f"this is no file: {error}") from None


def refs_in(value: Any) -> Iterator[FileRef]:
    """The files in decoded JSON, in order. Raises BadArguments for what looks like one and is none."""
    if isinstance(value, dict):
        if MARK in value:
            try:
                yield msgspec.convert(value, FileRef)
            except msgspec.ValidationError as error:
                raise BadArguments(f"this is no file: {error}") from None
            return
        value = list(value.values())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, list):
        for part in value:  # pyright: ignore[reportUnknownVariableType]
            yield from refs_in(part)


def names_files(data: bytes) -> bool:
    """Whether JSON names any: in a text the marks of quotation would be escaped."""
    return _QUOTED in data


def replaced(value: Any, by: Callable[[FileRef], Any]) -> Any:
    """Decoded JSON with something else in the place of each file."""
    if isinstance(value, dict):
        if MARK in value:
            return by(next(refs_in(value)))
        return {name: replaced(part, by) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [replaced(part, by) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def safe_name(name: str) -> str:
    """A name for people: no folders, nothing unprintable, at most 100 characters."""
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(c for c in last if c.isprintable()).strip().strip(".")
    return shown[-100:] or "file"


def _covers(pattern: str, kind: str) -> bool:
    return pattern.endswith("/*") and kind.startswith(pattern[:-1])
