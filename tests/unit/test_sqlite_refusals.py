"""What can be wrong with a SQLite file: a clear error in a bounded time, and nothing half written."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from narrowboat import App, BackendUnavailable, ConfigError
from narrowboat.backends.sqlite import SQLiteBackend
from narrowboat.backends.sqlite.connection import MOST_IDLE
from narrowboat.backends.urls import open_backend
from narrowboat.backends.whereabouts import Health, Note, elsewhere
from narrowboat.core.errors import SchemaTooNew
from narrowboat.core.job import NewJob
from tests.support.processes import wait_for

NOBODY = 65534


def jobs(count: int = 1, size: int = 2) -> list[NewJob]:
    args = b'"' + b"x" * (size - 2) + b'"'
    return [NewJob(id=f"t:{time.monotonic_ns()}-{n}", task="t", args=args) for n in range(count)]


def count_jobs(path: Path) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM job").fetchone()
    connection.close()
    return count


def as_nobody(action: Callable[[], object]) -> str:
    """Run in a child that has no rights, and return the text of the error that it met."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "no error"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            action()
        except BackendUnavailable as error:
            said = str(error)
        except BaseException as error:  # noqa: BLE001
            said = f"unexpected: {error!r}"
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


def reachable(folder: Path) -> Path:
    """Let others pass through the folders above."""
    for parent in [folder, *folder.parents][:-2]:
        parent.chmod(parent.stat().st_mode | 0o055)
    return folder


def test_a_file_or_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder = reachable(tmp_path)
    path = folder / "jobs.db"
    SQLiteBackend(path).close()
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    for target in (path, folder / "new.db"):
        said = as_nobody(lambda target=target: SQLiteBackend(target).enqueue(jobs()))
        assert str(target) in said
        assert "write access" in said
    folder.chmod(0o755)
    assert count_jobs(path) == 0


def test_a_full_disk_loses_nothing_and_passes(tmp_path: Path) -> None:
    backend = SQLiteBackend(tmp_path / "jobs.db")
    backend.enqueue(jobs(5))
    limit = "PRAGMA max_page_count"
    connection = backend._writer.write(lambda c: c)  # pyright: ignore[reportPrivateUsage]
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"{limit} = {pages + 2}")
    with pytest.raises(BackendUnavailable, match="disk is full, nothing was written"):
        backend.enqueue(jobs(50, size=20_000))
    assert backend.audit() == []
    assert count_jobs(tmp_path / "jobs.db") == 5
    connection.execute(f"{limit} = 1000000")
    backend.enqueue(jobs(50, size=20_000))
    assert count_jobs(tmp_path / "jobs.db") == 55
    backend.close()


def test_a_database_that_another_program_keeps_locked(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    backend = SQLiteBackend(path, timeout_s=0.3)
    shell = sqlite3.connect(path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(BackendUnavailable, match="another program keeps the database locked"):
        backend.enqueue(jobs())
    assert time.monotonic() - began < 4.5, "it waits for as long as it was told, not for the usual 5 s"
    shell.execute("COMMIT")
    backend.enqueue(jobs())
    assert count_jobs(path) == 1
    shell.close()
    backend.close()


def test_a_writer_that_stands_still_with_the_lock_is_waited_for_boundedly(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    backend = SQLiteBackend(path, timeout_s=1.0)
    with (tmp_path / "jobs.db-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused: list[BaseException] = []

        def enqueue() -> None:
            try:
                backend.enqueue(jobs())
            except BaseException as error:  # noqa: BLE001
                refused.append(error)

        threads = [threading.Thread(target=enqueue) for _ in range(20)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began < 15, "they wait together, not one after the other"
        assert len(refused) == 20
        assert all(
            isinstance(error, BackendUnavailable) and "locked by other processes for 1 s" in str(error)
            for error in refused
        )
    backend.enqueue(jobs())
    assert count_jobs(path) == 1
    backend.close()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    SQLiteBackend(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(SchemaTooNew, match="update Narrowboat"):
        SQLiteBackend(path)


def test_a_database_of_another_application_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.commit()
    connection.close()
    with pytest.raises(ConfigError, match="another application"):
        SQLiteBackend(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("just some notes, long enough to be looked at as if they were the header of a database file" * 20)
    with pytest.raises(BackendUnavailable, match="not a sound SQLite database"):
        SQLiteBackend(path)
    assert path.read_text().startswith("just some notes")


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("sqlite:///{folder}/missing/jobs.db", BackendUnavailable, "folder .*missing does not exist"),
        ("sqlite:///{folder}/jobs.db?durability=maybe", ConfigError, "durability is full or normal"),
        ("sqlite:///{folder}/jobs.db?speed=fast", ConfigError, "no setting 'speed'"),
        ("sqlite://jobs.db", ConfigError, "names no file"),
        ("sqlite:///", ConfigError, "names no file"),
    ],
)
def test_urls_that_cannot_be(tmp_path: Path, url: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_backend(url.format(folder=tmp_path))


def test_a_backend_goes_on_in_parent_and_child_after_a_fork(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    backend = SQLiteBackend(path)
    backend.enqueue(jobs(3))
    pid = os.fork()
    if pid == 0:
        try:
            backend.enqueue(jobs(4))
            os._exit(0 if backend.stats()[0].counts["queued"] >= 7 else 1)  # type: ignore[index]
        finally:
            os._exit(2)
    backend.enqueue(jobs(5))
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert count_jobs(path) == 12
    assert backend.audit() == []
    backend.close()


def test_one_bad_operation_of_a_group_harms_no_other(tmp_path: Path) -> None:
    backend = SQLiteBackend(tmp_path / "jobs.db", timeout_s=60.0)
    writer = backend._writer  # pyright: ignore[reportPrivateUsage]
    inside, go_on = threading.Event(), threading.Event()
    outcomes: dict[str, object] = {}

    def hold(connection: sqlite3.Connection) -> None:
        inside.set()
        go_on.wait(60)

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO gate (scope, kind, reason, since) VALUES ('queue:x', 'pause', '', 0)")
        raise ValueError("on purpose")

    def run(name: str, operation: Callable[[sqlite3.Connection], object]) -> None:
        try:
            outcomes[name] = writer.write(operation)
        except ValueError as error:
            outcomes[name] = str(error)

    threads = [threading.Thread(target=run, args=("hold", hold))]
    threads[0].start()
    assert inside.wait(30)
    threads += [
        threading.Thread(target=run, args=("bad", fail)),
        threading.Thread(target=lambda: backend.enqueue(jobs(2))),
    ]
    for thread in threads[1:]:
        thread.start()
    wait_for("both to wait", lambda: len(writer._waiting) == 2)  # pyright: ignore[reportPrivateUsage]
    go_on.set()
    for thread in threads:
        thread.join()
    assert outcomes["bad"] == "on purpose"
    assert backend.gates() == []
    assert count_jobs(tmp_path / "jobs.db") == 2
    backend.close()


def test_two_processes_on_two_files_are_warned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    Note().write(Health(app="shop", location="/srv/worker/narrowboat.db", pid=os.getpid()))
    [note] = (tmp_path / f"narrowboat-{os.getuid()}").iterdir()
    assert elsewhere("shop", "/srv/worker/narrowboat.db") == []
    assert elsewhere("another", "/srv/web/narrowboat.db") == []
    app = App("shop", url=f"sqlite:///{tmp_path / 'web.db'}")
    with pytest.warns(RuntimeWarning, match=r"look for them in /srv/worker/narrowboat\.db"):
        assert app.backend
    app.close()
    note.rename(note.with_name(f"{2**22 + 1}.json"))  # a worker that is dead
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert app.backend
    app.close()


def test_threads_without_end_do_not_leave_connections_behind(tmp_path: Path) -> None:
    backend = SQLiteBackend(tmp_path / "jobs.db")
    before = len(os.listdir("/dev/fd"))
    for _ in range(60):
        thread = threading.Thread(target=lambda: backend.get(["t:1"]))
        thread.start()
        thread.join()
    assert len(os.listdir("/dev/fd")) <= before + 6  # files of two connections at most
    barrier = threading.Barrier(40)

    def read_together() -> None:
        with backend._reading():  # pyright: ignore[reportPrivateUsage]
            barrier.wait(60)

    threads = [threading.Thread(target=read_together) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(backend._connections._open) <= MOST_IDLE + 1  # pyright: ignore[reportPrivateUsage]
    assert backend.get(["t:1"]) == [None]
    backend.close()
    assert backend._connections._open == set()  # pyright: ignore[reportPrivateUsage]
