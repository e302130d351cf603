"""Files in S3 (moto, over HTTP) through a real worker: in and out of executors that have neither keys nor a network."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from narrowboat import File, State
from tests.support.aws_server import ENVIRONMENT, shared_aws
from tests.support.processes import running_worker

PNG = b"\x89PNG\r\n\x1a\n"
LARGE = PNG + bytes(range(256)) * 48_000  # 12 MB: it goes up in parts
BUCKET = "darkroom"
DARKROOM = """
import os, socket
from typing import Any

import msgspec
from narrowboat import App, File, Retry

app = App("s3room")
ONCE = Retry(attempts=1)


class Sheet(msgspec.Struct):
    label: str
    prints: list[File]


@app.task(retry=ONCE)
def turn(photos: list[File], cover: File) -> Sheet:
    prints = [File.of(photo.read()[::-1], name=f"turned-{photo.name}") for photo in (*photos, cover)]
    return Sheet(f"{len(prints)} of {sum(photo.size for photo in photos)}", prints)


@app.task(retry=ONCE)
def same(photo: File) -> File:
    return photo


@app.task(retry=ONCE)
def pry(photo: File, port: int) -> list[str]:
    found = sorted(name for name in os.environ if name.startswith("AWS") or name == "NARROWBOAT_FILES")
    for number in range(3, 1024):
        try:
            peer = socket.socket(fileno=os.dup(number)).getpeername()
        except OSError:
            continue
        if isinstance(peer, tuple):
            found.append(f"is connected to {peer}")
    try:
        with socket.socket() as client:
            client.connect(("127.0.0.1", port))
    except OSError as error:
        return [*found, type(error).__name__]
    return [*found, "connected"]
"""


class Darkroom:
    """A project whose files are in a bucket."""

    def __init__(self, module: ModuleType, prefix: str) -> None:
        self._module, self._prefix, self.bucket = module, prefix, shared_aws().client("s3")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def stored(self) -> dict[str, bytes]:
        """What Amazon's own client finds in the bucket, by key of the store."""
        found = self.bucket.list_objects_v2(Bucket=BUCKET, Prefix=f"{self._prefix}/").get("Contents", [])
        keys = [entry["Key"] for entry in found]
        return {
            key.removeprefix(f"{self._prefix}/"): self.bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            for key in keys
        }

    def lose(self, key: str) -> None:
        """As somebody with other tools would."""
        self.bucket.delete_object(Bucket=BUCKET, Key=f"{self._prefix}/{key}")


@pytest.fixture(scope="module")
def darkroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Darkroom]:
    folder = tmp_path_factory.mktemp("s3room")
    (folder / "s3room.py").write_text(DARKROOM)
    server, url = shared_aws(), f"sqlite:///{folder}/s3room.db"
    server.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    store = f"s3://{BUCKET}/{folder.name}?endpoint={server.url}&region=eu-west-1"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | {"NARROWBOAT_URL": url, "NARROWBOAT_FILES": store}).items():
            patch.setenv(name, value)
        patch.syspath_prepend(folder)
        module = __import__("s3room")
        try:
            with running_worker("s3room:app", url, folder, "-n", "2"):
                yield Darkroom(module, folder.name)
        finally:
            module.app.close()
            del sys.modules["s3room"]


def test_files_go_in_and_others_come_out(darkroom: Darkroom) -> None:
    contents = [PNG + b"cat", b"", LARGE]
    photos = [File.of(content, name=f"{n}.png") for n, content in enumerate(contents)]
    job = darkroom.turn.enqueue(photos, cover=File.of(b"cover", name="cover.txt")).wait(60)
    sheet = job.result
    turned = [content[::-1] for content in (*contents, b"cover")]
    assert sheet.label == f"4 of {sum(map(len, contents))}"
    assert [made.read() for made in sheet.prints] == turned
    assert [made.name for made in sheet.prints] == [
        f"turned-{name}" for name in ("0.png", "1.png", "2.png", "cover.txt")
    ]
    assert [made.sha256 for made in sheet.prints] == [hashlib.sha256(content).hexdigest() for content in turned]
    assert len(job.record.args) + len(job.record.result) < 4_000, "messages carry references"
    kept = {key: content for key, content in darkroom.stored().items() if job.id in key}
    assert sorted(kept.values()) == sorted([*contents, b"cover", *turned])


def test_a_result_is_the_argument_of_the_next(darkroom: Darkroom) -> None:
    first = darkroom.same.enqueue(File.of(b"same", name="a.txt")).wait(60).result
    [made] = darkroom.turn.enqueue([], cover=first).wait(60).result.prints
    assert (first.read(), made.read(), made.name) == (b"same", b"emas", "turned-a.txt")


@pytest.mark.linux
def test_the_executor_has_neither_the_keys_nor_a_way_to_the_store(darkroom: Darkroom) -> None:
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "NARROWBOAT_FILES"} <= set(os.environ), "the worker has them"
    assert darkroom.pry.enqueue(File.of(b"x"), shared_aws().port).wait(60).result == ["PermissionError"]


def test_a_file_that_is_gone_ends_the_job_with_the_reason(darkroom: Darkroom) -> None:
    prepared = darkroom.same.job(File.of(b"x"))
    [key] = [key for key in darkroom.stored() if prepared.new.id in key]
    darkroom.lose(key)
    job = darkroom.app.enqueue(prepared).wait(60)
    assert job.state is State.DEAD and job.record.reason.startswith("FileMissing: ")
    assert job.record.crashes == 0
