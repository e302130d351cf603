"""Files through a real worker: in, out, and gone afterwards."""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from narrowboat import BadArguments, ConfigError, File, FileMissing, FileTooLarge, FileTypeRefused, State
from narrowboat.files.folder import FolderStore
from narrowboat.files.store import SHARDS
from tests.support.processes import WorkerProcess, running_worker, wait_for

PNG = b"\x89PNG\r\n\x1a\n"
DARKROOM = """
import ctypes, hashlib, os, time
from pathlib import Path
from typing import Annotated

import msgspec
from narrowboat import Accept, App, File, Needs, Retry, progress

app = App("darkroom")
ONCE = Retry(attempts=1)


class Print(msgspec.Struct):
    label: str
    picture: File


@app.task(retry=ONCE, summary="{photo}")
def turn(photo: Annotated[File, Accept(types=["image/*", "text/plain"], size="3MB")], times: int = 1) -> File:
    Path("turned").write_bytes(photo.read()[::-1] * times)
    return File("turned", name="tur/ned.png")


@app.task(retry=ONCE)
def look(photo: File) -> list[str]:
    found = [str(photo.path), photo.name, str(photo.size), photo.type, photo.sha256, str(os.listdir("."))]
    try:
        photo.path.open("r+")
    except OSError as error:
        found.append(type(error).__name__)
    return found


@app.task(retry=ONCE)
def many(photos: list[File], extra: dict[str, File] | None = None) -> list[Print]:
    every = [*photos, *(extra or {}).values()]
    return [Print(photo.name, File.of(photo.read() + b"!", name=f"{n}.txt")) for n, photo in enumerate(every)]


@app.task(retry=ONCE, untrusted=False)
async def together(photo: File) -> File:
    Path(photo.name).write_bytes(photo.read())
    return File(photo.name)


@app.task(retry=ONCE)
def same(photo: File) -> File:
    return photo


@app.task(retry=Retry(attempts=3, crashes=3, delay=0))
def third_time(photo: File, job: str) -> str:
    from narrowboat import current_job
    if current_job().attempt < 3:
        os.kill(os.getpid(), 9)
    return photo.read().decode()


@app.task(retry=ONCE)
def steal(photo: File, key: str) -> File:
    theirs = File("x")
    theirs.ref = msgspec.structs.replace(photo.ref, key=key)
    return theirs


@app.task(retry=ONCE)
def give(photo: File, what: str) -> File:
    os.symlink("/etc/hostname", "link")
    os.mkdir("folder")
    return File(what)


@app.task(retry=ONCE)
def forget() -> str:
    return {"made": File.of(b"x")}


@app.task(retry=ONCE, scratch="1MB")
def too_small(photo: File) -> int:
    return photo.size


@app.task(retry=ONCE)
def speak(photo: File, what: str) -> File:
    # says to the worker what it may not
    import gc
    from narrowboat import current_job, kernel
    from narrowboat.executor import wire
    token = current_job().fence
    [channel] = [found for found in gc.get_objects() if isinstance(found, kernel.Channel)]
    with open("made", "w+") as made:
        if what == "too many":
            for _ in range(21):
                channel.send_with(wire.encode(wire.Carried(token, "x")), [made.fileno()])
        elif what == "another frame":
            channel.send_with(wire.encode(wire.Logged(token, "x")), [made.fileno()])
        elif what == "no file":
            channel.send(wire.encode(wire.Carried(token, "x")))
        elif what == "another job":
            channel.send_with(wire.encode(wire.Carried(token - 1, "x")), [made.fileno()])
    time.sleep(20)


@app.task(retry=ONCE)
def slow(photo: File, marker: str) -> str:
    progress(0, 1, "waiting")
    time.sleep(30)
"""


class Darkroom:
    """A project whose tasks work on files."""

    def __init__(self, folder: Path, module: ModuleType, worker: WorkerProcess) -> None:
        self.folder, self.module, self.worker = folder, module, worker
        self.store = FolderStore(folder / "darkroom.db-files")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def stored(self) -> list[Path]:
        """Every file in the store."""
        return sorted(path for path in Path(self.store.folder).rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def darkroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Darkroom]:
    folder = tmp_path_factory.mktemp("darkroom")
    (folder / "darkroom.py").write_text(DARKROOM)
    url = f"sqlite:///{folder}/darkroom.db"
    sys.path.insert(0, str(folder))
    before = os.environ.get("NARROWBOAT_URL")
    os.environ["NARROWBOAT_URL"] = url
    try:
        module = __import__("darkroom")
        with running_worker("darkroom:app", url, folder, "-n", "2") as worker:
            yield Darkroom(folder, module, worker)
        module.app.close()
    finally:
        sys.path.remove(str(folder))
        del sys.modules["darkroom"]
        os.environ.pop("NARROWBOAT_URL")
        if before is not None:
            os.environ["NARROWBOAT_URL"] = before


def test_a_file_goes_in_and_another_comes_out(darkroom: Darkroom) -> None:
    (darkroom.folder / "cat.png").write_bytes(PNG + b"cat")
    job = darkroom.turn.enqueue(File(darkroom.folder / "cat.png"), times=2).wait(30)
    result = job.result
    assert result.read() == (PNG + b"cat")[::-1] * 2
    assert (result.name, result.size, result.type) == ("ned.png", 22, "application/octet-stream")
    assert result.sha256 == hashlib.sha256(result.read()).hexdigest()
    assert job.record.summary == "cat.png"
    assert len(job.record.args) < 400, "the message carries a reference"
    with pytest.raises(ValueError, match="not on this disk"):
        _ = result.path


@pytest.mark.linux
def test_a_task_sees_a_read_only_copy_under_a_name_that_nobody_chose(darkroom: Darkroom) -> None:
    content = PNG + bytes(100)
    job = darkroom.look.enqueue(File.of(io.BytesIO(content), name="../../etc/cron.d/x.sh")).wait(30)
    path, name, size, kind, digest, listing, refused = job.result
    assert path.endswith("/0.png") and (name, size, kind) == ("x.sh", "108", "image/png")
    assert digest == hashlib.sha256(content).hexdigest()
    assert listing.startswith("['in-") and listing.count(",") == 0
    assert refused == "PermissionError"


def test_files_may_be_in_lists_and_objects(darkroom: Darkroom) -> None:
    photos = [File.of(f"photo {number}".encode(), name=f"{number}.txt") for number in range(15)]
    job = darkroom.many.enqueue(photos, extra={"last": File.of(b"last", name="last.txt")}).wait(30)
    found = [(made.label, made.picture.read(), made.picture.type) for made in job.result]
    assert found[3] == ("3.txt", b"photo 3!", "text/plain") and found[15] == ("last.txt", b"last!", "text/plain")
    assert len(found) == 16


def test_async_tasks_have_files_side_by_side(darkroom: Darkroom) -> None:
    jobs = [darkroom.together.enqueue(File.of(f"{n}".encode(), name=f"{n}.txt")) for n in range(20)]
    assert [job.wait(30).result.read() for job in jobs] == [f"{n}".encode() for n in range(20)]


def test_an_argument_may_be_the_result_and_a_result_an_argument(darkroom: Darkroom) -> None:
    first = darkroom.same.enqueue(File.of(b"same", name="a.txt")).wait(30).result
    second = darkroom.turn.enqueue(first).wait(30)
    assert (first.read(), second.result.read()) == (b"same", b"emas")


def test_the_files_are_there_again_for_the_next_attempt(darkroom: Darkroom) -> None:
    job = darkroom.third_time.enqueue(File.of(b"still here"), "x").wait(30)
    assert (job.state, job.result, job.record.crashes) == (State.SUCCEEDED, "still here", 2)


def test_a_file_that_its_parameter_does_not_take_is_refused_before_anything_is_written(darkroom: Darkroom) -> None:
    before = darkroom.stored()
    with pytest.raises(FileTypeRefused, match="the file a is application/octet-stream, and image/"):
        darkroom.turn.enqueue(File.of(b"\0\1", name="a"))
    with pytest.raises(FileTooLarge, match=r"larger than 2\.9 MiB"):
        darkroom.turn.enqueue(File.of(PNG + bytes(4_000_000), name="a"))
    with pytest.raises(BadArguments, match="more than 20 files in one job"):
        darkroom.many.enqueue([File.of(b"x")] * 21)
    assert darkroom.stored() == before


def test_a_result_cannot_name_a_file_of_another_job(darkroom: Darkroom) -> None:
    theirs = darkroom.same.enqueue(File.of(b"theirs")).wait(30).result
    job = darkroom.steal.enqueue(File.of(b"mine"), theirs.ref.key).wait(30)
    assert (job.state, job.record.reason) == (
        State.DEAD, "BadArguments: the result names a file that is not its own"
    )  # fmt: skip


@pytest.mark.parametrize("what", ["too many", "another frame", "no file", "another job"])
def test_an_executor_that_sends_files_as_it_may_not_is_killed(darkroom: Darkroom, what: str) -> None:
    job = darkroom.speak.enqueue(File.of(b"x"), what).wait(30)
    assert (job.state, job.record.reason) == (State.DEAD, "crashed: protocol violation")


@pytest.mark.parametrize("what", ["link", "folder", "nothing", pytest.param("/etc/passwd-", marks=pytest.mark.linux)])
def test_only_regular_files_are_carried_out(darkroom: Darkroom, what: str) -> None:
    job = darkroom.give.enqueue(File.of(b"x"), what).wait(30)
    assert job.state is State.DEAD
    assert job.record.history[-1].error.type in ("ValueError", "OSError", "FileNotFoundError")


def test_a_file_in_a_result_must_be_announced(darkroom: Darkroom) -> None:
    job = darkroom.forget.enqueue().wait(30)
    assert "say so in the annotation, such as -> File" in job.record.reason


@pytest.mark.linux
def test_files_that_do_not_fit_say_what_to_raise(darkroom: Darkroom) -> None:
    job = darkroom.too_small.enqueue(File.of(bytes(2_000_000))).wait(30)
    assert "raise scratch= of darkroom.too_small" in job.record.history[-1].error.traceback


def test_a_file_that_is_gone_ends_the_job_with_the_reason(darkroom: Darkroom) -> None:
    prepared = darkroom.same.job(File.of(b"x"))
    darkroom.store.remove(prepared.new.id)
    job = darkroom.app.enqueue(prepared).wait(30)
    assert job.state is State.DEAD and job.record.reason.startswith("FileMissing: ")
    assert job.record.errors == 1


def test_a_job_of_the_same_key_is_found_by_the_content_of_its_file(darkroom: Darkroom) -> None:
    keyed = darkroom.slow.using(key="arguments")
    first = keyed.enqueue(File.of(b"twice", name="a"), "m")
    wait_for("it to run", lambda: first.refresh().progress)
    before = darkroom.stored()
    second = keyed.enqueue(File.of(b"twice", name="b"), "m")
    assert (second.id, second.created) == (first.id, False)
    assert darkroom.stored() == before, "what was stored for it is removed"
    assert keyed.find(File.of(b"twice"), "m") == first
    assert keyed.find(File.of(b"another"), "m") is None
    first.cancel()
    first.wait(30)


def test_nothing_is_left_open_or_lying_about(darkroom: Darkroom) -> None:
    """After all of the above; a leak of the worker would grow with its jobs."""
    darkroom.turn.enqueue(File.of(PNG, name="a")).wait(30)
    left = ("/in-", "darkroom.db-files", "/scratch")

    def is_clear() -> bool:
        opened = descriptors(darkroom.worker.pid)
        return not any(word in name for name in opened for word in left)

    wait_for("executors to end, and all to be closed", is_clear)

    def is_tidy() -> bool:
        try:
            return not [*Path(tempfile.gettempdir()).glob("narrowboat-worker-*/scratch-*/**/in-*")]
        except FileNotFoundError:  # one is being removed
            return False

    wait_for("their folders to be gone", is_tidy)


def descriptors(pid: int) -> list[str]:
    """What a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except OSError:
            continue
    return found


def test_files_go_with_the_record_of_their_job(darkroom: Darkroom) -> None:
    job = darkroom.turn.enqueue(File.of(PNG, name="a")).wait(30)
    result, key = job.result, job.result.ref.key
    assert (Path(darkroom.store.folder) / key).exists()
    with closing(sqlite3.connect(darkroom.folder / "darkroom.db", timeout=30)) as connection, connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert tables
    darkroom.app.backend.purge(_nothing_kept(), limit=10_000)
    assert darkroom.app.backend.get([job.id]) == [None]
    from narrowboat.files.sweep import sweep

    gone = sum(
        sweep(darkroom.store, s, lambda ids: [j is not None for j in darkroom.app.backend.get(ids)], young_s=-60)
        for s in SHARDS
    )
    assert gone >= 1
    with pytest.raises(FileMissing):
        result.read()


def _nothing_kept() -> Any:
    from narrowboat.backends.base import Retention

    return Retention(keep_s=0.0, keep_max=0, dead_s=0.0, dead_max=0)


def test_files_and_async_or_trusted_tasks_must_say_whose_they_are() -> None:
    from narrowboat import App, Needs

    app = App("x")

    async def develop(photo: File) -> None: ...

    def trust(photo: File) -> None: ...

    with pytest.raises(ConfigError, match="a File from outside takes a fresh executor"):
        app.task(name="x.develop")(develop)
    with pytest.raises(ConfigError, match=r"a File from outside and Needs.trusted\(\) do not go together"):
        app.task(name="x.trust", needs=Needs.trusted())(trust)
    assert app.task(name="x.develop", untrusted=False)(develop).spec.is_untrusted is False
