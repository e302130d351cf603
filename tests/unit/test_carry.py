"""What a worker takes from an executor as the files of a result, and what kind of file something is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat import BadArguments, File
from narrowboat.core import codec, kinds
from narrowboat.core.file import FileRef, safe_name
from narrowboat.core.ids import new_job_id
from narrowboat.files.carry import Sent, named_in, take_out
from narrowboat.files.folder import FolderStore

JOB = new_job_id("shop.task")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "files")


@pytest.fixture
def opened() -> Iterator[list[int]]:
    """Descriptors that are closed afterwards."""
    opened: list[int] = []
    yield opened
    for descriptor in opened:
        os.close(descriptor)


def ref(key: str) -> FileRef:
    return FileRef(key=key, name="n", size=0, type="t", sha256="")


def test_a_file_is_read_from_its_start_whatever_the_sender_does_with_its_handle(
    store: FolderStore, tmp_path: Path, opened: list[int]
) -> None:
    (tmp_path / "made").write_bytes(b"content")
    opened.append(os.open(tmp_path / "made", os.O_RDWR))
    os.lseek(opened[0], 0, os.SEEK_END)
    result = take_out(store, JOB, 7, codec.encode([ref("carried:0")]), [Sent(opened[0], "a/b.txt")], b"{}")
    [kept] = named_in(result)
    with store.open(kept.key) as content:
        assert content.read() == b"content"
    assert (kept.name, kept.key.rpartition("/")[2]) == ("b.txt", "7-0")


@pytest.mark.parametrize("path", ["/dev/zero", "/", "pipe"])
def test_what_is_no_regular_file_is_refused(store: FolderStore, path: str, opened: list[int]) -> None:
    opened += os.pipe() if path == "pipe" else (os.open(path, os.O_RDONLY),)
    with pytest.raises(BadArguments, match="something that is not a file"):
        take_out(store, JOB, 7, codec.encode(ref("carried:0")), [Sent(opened[0], "x")], b"{}")


def test_a_file_that_the_kernel_makes_up_for_whoever_reads_it_is_empty(store: FolderStore, opened: list[int]) -> None:
    opened.append(os.open("/proc/self/environ", os.O_RDONLY))
    result = take_out(store, JOB, 7, codec.encode(ref("carried:0")), [Sent(opened[0], "x")], b"{}")
    assert named_in(result)[0].size == 0


@pytest.mark.parametrize("key", ["carried:1", "carried:-1", "carried:", "carried:0x0", "00/shop.task:x/0", ""])
def test_a_result_names_only_what_was_sent_or_came(store: FolderStore, key: str, opened: list[int]) -> None:
    opened.append(os.open(__file__, os.O_RDONLY))
    with pytest.raises(BadArguments, match="a file that is not its own"):
        take_out(store, JOB, 7, codec.encode({"deep": [ref(key)]}), [Sent(opened[0], "x")], b"{}")


def test_an_argument_that_comes_back_is_named_as_it_was(store: FolderStore) -> None:
    own = FileRef(key="k", name="mine", size=5, type="text/plain", sha256="00")
    claimed = FileRef(key="k", name="<script>", size=1, type="text/html", sha256="ff")
    assert named_in(take_out(store, JOB, 7, codec.encode(claimed), [], codec.encode({"photo": own}))) == [own]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0AVI ", kinds.UNKNOWN),
        (b"\0\0\0\x1cftypavif", "image/avif"),
        (b"%PDF-1.7", "application/pdf"),
        (b"<html><script>alert(1)</script>", "text/plain"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "text/plain"),
        ("grüß".encode() * 100, "text/plain"),
        ("grüß".encode()[:-1], kinds.UNKNOWN),
        (b"MZ\x90\0", kinds.UNKNOWN),
        (b"", kinds.UNKNOWN),
    ],
)
def test_a_file_is_what_its_first_bytes_say(head: bytes, kind: str) -> None:
    assert kinds.type_of(head[: kinds.HEAD]) == kind


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.png", "y.png"),
        ("..", "file"),
        ("a\r\nb\x1b[0m", "ab[0m"),
        ("", "file"),
    ],
)
def test_names_are_never_paths(given: str, shown: str) -> None:
    assert safe_name(given) == shown


def test_what_is_served_is_saved_and_not_run() -> None:
    page = File.found(FileRef(key="k", name='a"b;\r\n.html', size=9, type="text/plain", sha256=""))
    headers = page.headers(inline=True)
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%22b%3B.html"
    assert (headers["Content-Type"], headers["X-Content-Type-Options"]) == ("text/plain", "nosniff")
    assert "sandbox" in headers["Content-Security-Policy"] and headers["Content-Length"] == "9"
    picture = File.found(FileRef(key="k", name="a.png", size=9, type="image/png", sha256=""))
    assert picture.headers(inline=True)["Content-Disposition"].startswith("inline")
    assert picture.headers()["Content-Disposition"].startswith("attachment")
