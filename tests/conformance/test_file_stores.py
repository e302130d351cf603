"""What every file store must do, on a folder and on S3 (moto, over HTTP)."""

from __future__ import annotations

import hashlib
import io
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from narrowboat.core.errors import (
    BadArguments,
    ConfigError,
    FileMissing,
    FileTooLarge,
    FileTypeRefused,
    StoreUnavailable,
)
from narrowboat.core.file import Accept
from narrowboat.core.ids import new_job_id
from narrowboat.files.folder import FolderStore
from narrowboat.files.store import FileStore, keep, key_for, shard_of
from narrowboat.files.sweep import sweep
from narrowboat.files.urls import open_files
from tests.support.aws_server import shared_aws

PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)


@pytest.fixture(scope="session")
def s3() -> str:
    """The address of an S3 server with a bucket."""
    server = shared_aws()
    request = urllib.request.Request(f"{server.url}/boxes", method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    return server.url


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "files")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    address = request.getfixturevalue("s3")
    return open_files(f"s3://boxes/{tmp_path.name}?endpoint={address}&region=us-east-1", "")


def put(store: FileStore, content: bytes, job_id: str = "", accept: Accept | None = None, name: str = "a.png") -> str:
    """The key of a new file."""
    key = key_for(job_id or new_job_id("shop.task"), "0")
    return keep(store, key, io.BytesIO(content), name, accept or Accept()).key


def test_a_file_comes_back_as_it_was_and_is_known_by_its_content(store: FileStore) -> None:
    content = PNG + bytes(range(256)) * 10_000
    job_id = new_job_id("shop.task")
    ref = keep(store, key_for(job_id, "0"), io.BytesIO(content), "../../cat.exe", Accept())
    with store.open(ref.key) as file:
        assert file.read() == content
        assert file.fileno() > 2  # it can be passed on
    assert (ref.name, ref.size, ref.type) == ("cat.exe", len(content), "image/png")
    assert ref.sha256 == hashlib.sha256(content).hexdigest()


def test_an_empty_file_is_a_file(store: FileStore) -> None:
    with store.open(put(store, b"")) as file:
        assert file.read() == b""


def test_what_is_not_there_is_missing(store: FileStore) -> None:
    with pytest.raises(FileMissing, match="the record of their job"):
        store.open(key_for(new_job_id("shop.task"), "0"))


def test_a_file_that_is_refused_or_breaks_off_leaves_nothing(store: FileStore) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise OSError("the upload broke off")
            return super().read(size)

    job_id = new_job_id("shop.task")
    key = key_for(job_id, "0")
    with pytest.raises(FileTooLarge, match=r"the file a\.png is larger than 1000 B"):
        keep(store, key, io.BytesIO(PNG), "a.png", Accept(size="1kB"))
    with pytest.raises(FileTypeRefused, match=r"is image/png, and image/jpeg or application/\* is asked for"):
        keep(store, key, io.BytesIO(PNG), "a.png", Accept(types=["image/jpeg", "application/*"]))
    with pytest.raises(OSError, match="broke off"):
        keep(store, key, Broken(PNG), "a.png", Accept())
    with pytest.raises(FileMissing):
        store.open(key)
    assert store.jobs(shard_of(job_id)) == []


@pytest.mark.parametrize(
    "change", [lambda k: f"../{k}", lambda k: f"{k}/../x", lambda k: "00" + k[2:] + "%", lambda k: ""]
)
def test_a_key_that_no_store_has_made_is_refused(store: FileStore, change: Callable[[str], str]) -> None:
    with pytest.raises(BadArguments, match="is not a file of this store"):
        store.open(change(put(store, PNG)))


def test_files_of_a_job_are_removed_together(store: FileStore) -> None:
    job_id, other = new_job_id("shop.task"), put(store, PNG)
    keys = [keep(store, key_for(job_id, place), io.BytesIO(PNG), "a", Accept()).key for place in ("0", "1", "77-0")]
    [(found, age)] = [(job, age) for job, age in store.jobs(shard_of(job_id)) if job == job_id]
    assert found == job_id and -5 < age < 60
    store.remove(job_id)
    store.remove(job_id)
    for key in keys:
        with pytest.raises(FileMissing):
            store.open(key)
    store.open(other).close()


def test_a_sweep_removes_what_has_no_record_and_is_not_young(store: FileStore) -> None:
    kept, orphan = new_job_id("shop.task"), new_job_id("shop.task")
    while shard_of(orphan) != shard_of(kept):
        orphan = new_job_id("shop.task")
    key, gone = put(store, PNG, kept), put(store, PNG, orphan)
    assert sweep(store, shard_of(kept), lambda ids: [job == kept for job in ids]) == 0, "it may be about to be written"
    assert sweep(store, shard_of(kept), lambda ids: [job == kept for job in ids], young_s=-60) == 1
    store.open(key).close()
    with pytest.raises(FileMissing):
        store.open(gone)


def test_only_its_owner_may_look_into_a_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "files")
    put(store, PNG)
    assert (tmp_path / "files").stat().st_mode & 0o077 == 0


def test_a_store_out_of_reach_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files").write_text("not a folder")
    with pytest.raises(StoreUnavailable, match=r"files: cannot write: (File exists|Not a directory)"):
        put(FolderStore(tmp_path / "files"), PNG)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(StoreUnavailable, match="s3://nobody: cannot read"):
        store = open_files("s3://nobody?endpoint=http://127.0.0.1:9&region=us-east-1", "")
        store.open(key_for(new_job_id("shop.task"), "0"))


@pytest.mark.parametrize("url", ["ftp://x/y", "files", "file://host/x", "s3://", "s3://box?regoin=x"])
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"file:///srv/files|s3://bucket/prefix"):
        open_files(url, "")
