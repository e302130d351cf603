"""Between a store and an attempt: what its arguments name goes in, what its result names comes out."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import BinaryIO, NamedTuple, cast

from ..core import codec
from ..core.errors import BadArguments
from ..core.file import MOST_FILES, OUT, Accept, File, FileRef, refs_in, replaced
from .store import FileStore, keep, key_for


class Sent(NamedTuple):
    """A file that an attempt gave out, still open."""

    descriptor: int
    name: str


def named_in(args: bytes) -> list[FileRef]:
    """The files that arguments name. Raises BadArguments for what no store has made, or for too many."""
    try:
        found = list(refs_in(codec.decode(args)))
    except RecursionError:
        raise BadArguments("the arguments are nested too deeply") from None
    if len(found) > MOST_FILES:
        raise BadArguments(f"more than {MOST_FILES} files in one job")
    return found


def take_out(store: FileStore, job_id: str, token: int, result: bytes, sent: Sequence[Sent], args: bytes) -> bytes:
    """Keep the files that a result names, and name them as the store does.

    The result is an executor's word: it may name what was sent along, and what was among its own arguments; a name of
    anything else would be somebody else's file. Raises BadArguments for such, FileTooLarge, StoreUnavailable.
    """
    own = {ref.key: ref for ref in named_in(args)}
    most = Accept()

    def by(ref: FileRef) -> FileRef:
        if ref.key in own:
            return own[ref.key]
        number = ref.key.removeprefix(OUT)
        if not ref.key.startswith(OUT) or not number.isdecimal() or int(number[:4]) >= len(sent):
            raise BadArguments("the result names a file that is not its own")
        found = sent[int(number)]
        with _regular(found.descriptor) as content:
            return keep(store, key_for(job_id, f"{token}-{int(number)}"), content, found.name, most)

    made = codec.encode(replaced(codec.decode(result), by))
    codec.refuse_large(made, "the result")
    return made


def opener(store: FileStore) -> Callable[[File], None]:
    """For `bound_by`: files that are read are read from there."""

    def bind(file: File) -> None:
        ref = file.ref
        if ref is not None:
            file.opened_by(lambda: store.open(ref.key))

    return bind


def _regular(descriptor: int) -> BinaryIO:
    """For reading from its start, whatever the sender does with its own handle. Raises BadArguments."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise BadArguments("the result names something that is not a file")
    return cast(BinaryIO, _FromStart(descriptor, found.st_size))


class _FromStart:
    """Reads with offsets of its own, since the position is the sender's, too; and no more than the size at first, so
    that a file which the kernel makes up while it is read (/proc) is empty.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._at, self._end = descriptor, 0, size

    def __enter__(self) -> _FromStart:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, size: int) -> bytes:
        data = os.pread(self._descriptor, min(size, self._end - self._at), self._at)
        self._at += len(data)
        return data
