"""Pixels are counted in the header of a picture, whoever made it, before anything is kept."""

from __future__ import annotations

import importlib.util
import io
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from PIL import Image

from narrowboat import Accept, App, ConfigError, File, FileTooLarge, FileTypeRefused, PictureTooLarge
from narrowboat.core.ids import new_job_id
from narrowboat.files.folder import FolderStore
from narrowboat.files.store import SHARDS, keep, key_for

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
MOST = Accept(types=["image/*"], pixels=10_000)


def picture(width: int, height: int, kind: str = "PNG", **options: Any) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (width, height), "seagreen").save(made, kind, **options)
    return made.getvalue()


def kept(tmp_path: Path, content: Any, accept: Accept = MOST) -> bytes:
    """What a store keeps of it, which is all or nothing."""
    store = FolderStore(Path(tempfile.mkdtemp(dir=tmp_path)))
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        ref = keep(store, key_for(new_job_id("shop.task"), "0"), stream, "a.png", accept)
    except Exception:
        assert [job for shard in SHARDS for job in store.jobs(shard)] == []
        raise
    with store.open(ref.key) as file:
        return file.read()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_is_taken_up_to_its_pixels(tmp_path: Path, kind: str) -> None:
    small, large = picture(100, 100, kind), picture(101, 100, kind)
    assert kept(tmp_path, small) == small
    with pytest.raises(
        PictureTooLarge, match=r"a\.png is 101 x 100, 10,100 pixels, and at most 10,000 pixels are taken"
    ):
        kept(tmp_path, large)


def test_a_bomb_is_refused_though_it_is_small(tmp_path: Path) -> None:
    header = struct.pack(">LLBBBBB", 1_000_000, 1_000_000, 1, 0, 0, 0, 0)
    chunk = struct.pack(">L", len(header)) + b"IHDR" + header + struct.pack(">L", zlib.crc32(b"IHDR" + header))
    with pytest.raises(FileTooLarge, match="1,000,000 megapixels, and at most 50 megapixels"):
        kept(tmp_path, b"\x89PNG\r\n\x1a\n" + chunk, Accept(pixels=50_000_000))


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        b"\xff\xd8\xff" + b"\0" * 100,
        b"GIF89a" + struct.pack("<HH", 40_000, 40_000) + b"\0" * 100,  # read as signed, it would be -25,536 twice
        b"GIF89a" + struct.pack("<HH", 0, 7) + b"\0" * 100,
        b"BM" + b"\0" * 16 + struct.pack("<ll", -5, 5) + b"\0" * 100,
        b"II*\0" + struct.pack("<L", 8) + struct.pack("<H", 60_000),
        b"RIFF\0\0\0\0WEBPVP9 " + b"\0" * 100,
        b"\0\0\0\x14ftypavif" + b"\0" * 100,
    ],
)
def test_a_picture_whose_header_does_not_tell_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FileTypeRefused, match="does not say how large the picture is"):
        kept(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff\xe0\0\x02" + b"\xff\xe0\0\x02" * 2_000_000,
        b"\xff\xd8\xff\xe0\0\x02" + b"\0" * 8_000_000,
        b"\0\0\0\x14ftypavif" + b"\0" * 8 + b"\0\0\0\x08free" * 1_000_000,
        b"II*\0" + struct.pack("<LH", 8, 65_535) + b"\0" * 8_000_000,
    ],
    ids=["segments", "no marker", "boxes", "entries"],
)
def test_a_header_that_goes_on_and_on_costs_little(tmp_path: Path, content: bytes) -> None:
    began = time.thread_time()
    with pytest.raises(FileTypeRefused):
        kept(tmp_path, content)
    assert time.thread_time() - began < 0.5


def test_a_header_that_comes_late_in_the_file_is_found(tmp_path: Path) -> None:
    photo = picture(100, 101, "JPEG")
    late = photo[:2] + (b"\xff\xe1\xff\xff" + b"x" * 65_533) * 40 + photo[2:]
    assert len(late) > 2 * 1024 * 1024
    with pytest.raises(PictureTooLarge):
        kept(tmp_path, late)
    assert kept(tmp_path, late, Accept(pixels=10_100)) == late


class Stream(io.RawIOBase):
    """One that is read once, as from a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(size)


def test_a_stream_that_is_read_once_is_judged_by_its_beginning(tmp_path: Path) -> None:
    small = picture(100, 100, "JPEG") + b"x" * 3_000_000
    assert kept(tmp_path, Stream(small)) == small
    with pytest.raises(PictureTooLarge):
        kept(tmp_path, Stream(picture(101, 100)))


def test_a_stream_that_was_read_before_is_taken_from_where_it_is(tmp_path: Path) -> None:
    small = picture(100, 100, "TIFF")
    stream = io.BytesIO(b"before" + small)
    stream.seek(6)
    assert kept(tmp_path, stream) == small


def test_what_is_no_picture_has_no_pixels(tmp_path: Path) -> None:
    for content in (b"", b"P6 100000 100000 255 ", b"<svg width='100000' height='100000'/>", b"%PDF-1.7"):
        assert kept(tmp_path, content, Accept(pixels=1)) == content


def test_a_picture_that_is_too_large_is_neither_kept_nor_queued() -> None:
    app = App("shop")

    @app.task(name="shop.turn")
    def turn(photos: Annotated[list[File], Accept(pixels=10_000)]) -> None:
        pass

    with app.testing() as jobs:
        with pytest.raises(PictureTooLarge):
            turn.enqueue([File.of(picture(9, 9)), File.of(picture(1000, 1000))])
        assert jobs.enqueued() == []
        assert [job for shard in SHARDS for job in jobs.files.jobs(shard)] == []


@pytest.mark.parametrize("pixels", [0, -1])
def test_a_limit_of_no_pixels_is_refused(pixels: int) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Accept(pixels=pixels)


def test_where_headers_cannot_be_read_a_limit_is_refused_when_it_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "imagesize" else find(name))
    app = App("shop")

    def turn(photo: Annotated[File, Accept(pixels=1)]) -> None:
        pass

    with pytest.raises(ConfigError, match=r"narrowboat\[web\]"):
        app.task(name="shop.turn")(turn)
