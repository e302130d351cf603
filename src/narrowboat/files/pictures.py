"""How many pixels a picture has, by its header: a few bytes can unpack to gigabytes, and that shows beforehand."""

from __future__ import annotations

import importlib.util
import io
from typing import BinaryIO

from ..core.errors import ConfigError, FileTypeRefused, PictureTooLarge

MOST_READS = 10_000  # a header takes a few hundred; one made by an enemy, a hundred million, byte by byte
MOST_BYTES = 256 * 1024


def require(task: str) -> None:
    """Raises ConfigError where headers cannot be read."""
    if importlib.util.find_spec("imagesize") is None:
        raise ConfigError(f"task {task}: Accept(pixels=...) takes imagesize; pip install narrowboat[web]")


def check(content: BinaryIO, first: bytes, name: str, kind: str, most: int) -> None:
    """Raises PictureTooLarge, and FileTypeRefused for a header that cannot be read.

    content: read as far as `first`, and left so. One that cannot be read again must have its header there.
    """
    if _is_seekable(content):
        at = content.tell()
        width, height = _measured(_Header(content, at - len(first)))
        content.seek(at)
    else:
        width, height = _measured(_Header(io.BytesIO(first)))
    if width <= 0 or height <= 0:  # where parsing fails, and where numbers are signed that should not be
        raise FileTypeRefused(f"the file {name} is {kind}, but its header does not say how large the picture is")
    if width * height > most:
        size = f"{width:,} x {height:,}, {_mega(width * height)}"
        raise PictureTooLarge(f"the picture {name} is {size}, and at most {_mega(most)} are taken")


class _Header:
    """A file as the reader of headers sees it: from `start` on, for so many reads and no more."""

    def __init__(self, content: BinaryIO, start: int = 0) -> None:
        self._content, self._start = content, start
        self._reads, self._bytes = MOST_READS, MOST_BYTES

    def read(self, size: int = -1) -> bytes:
        self._reads -= 1
        self._bytes -= size
        if size < 0 or self._reads < 0 or self._bytes < 0:
            raise ValueError("this is more than a header")
        return self._content.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._content.seek(offset + self._start if whence == 0 else offset, whence) - self._start


def _measured(header: _Header) -> tuple[int, int]:
    """Width and height; -1 where they cannot be found. Never give it a name: it would open that, also over HTTP."""
    import imagesize  # pyright: ignore[reportMissingTypeStubs]

    return imagesize.get(header, exif_rotation=False)  # pyright: ignore[reportUnknownMemberType]


def _is_seekable(content: BinaryIO) -> bool:
    return hasattr(content, "seekable") and content.seekable()


def _mega(pixels: int) -> str:
    return f"{pixels / 1e6:,.0f} megapixels" if pixels >= 1e6 else f"{pixels:,} pixels"
