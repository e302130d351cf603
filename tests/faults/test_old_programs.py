"""Programs of earlier versions go on, workers and web, while the database is brought up to date, and after."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from narrowboat import Task
from narrowboat.backends.postgres import Migration, schema
from narrowboat.backends.postgres.address import Address
from narrowboat.backends.sqlite.connection import SCHEMA_VERSION
from narrowboat.core.states import State
from tests.support.postgres_server import drop, new_schema, shared_server
from tests.support.processes import Host, running_worker, wait_for
from tests.support.programs import installed

from .conftest import brought_in

WEB = """
import select, sys
from ferry import app, cross

while not select.select([sys.stdin], [], [], 0.01)[0]:
    print(*(job.id for job in app.enqueue_many([cross.job() for _ in range(5)])), flush=True)
called_off = cross.using(run_after="1h").enqueue()
print(called_off.cancel().value, called_off.refresh().state.value, flush=True)
"""  # jobs until it is told that it is enough, and one that is called off before it is due
COUNT = """
CREATE TABLE {0}.ended (id text);
CREATE FUNCTION {0}.note_the_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {0}.ended SELECT id FROM {0}.job WHERE ord = NEW.ord;
    RETURN NULL;
END $$;
CREATE TRIGGER note_the_end AFTER INSERT ON {0}.done FOR EACH ROW EXECUTE FUNCTION {0}.note_the_end();
"""  # the database itself writes down every end of a job, whoever makes it
COUNT_IN_SQLITE = """
CREATE TABLE ended (id TEXT);
CREATE TRIGGER note_the_end AFTER UPDATE OF state ON job WHEN NEW.state IN ('succeeded', 'dead', 'cancelled') BEGIN
    INSERT INTO ended VALUES (NEW.id);
END;
"""


class Ferry(NamedTuple):
    """The app, and a program of another version that can run it, too."""

    folder: Path
    url: str
    old: Host
    module: ModuleType

    def first_job(self) -> str:
        """The id of a job that the old program enqueues, by which it makes the tables."""
        code = "import ferry; print(ferry.cross.enqueue().id)"
        words = [*self.old.python, "-c", code]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=True, **self.old.options())
        return done.stdout.strip()

    @contextlib.contextmanager
    def old_web(self) -> Generator[subprocess.Popen[str]]:
        """One that enqueues until its input ends."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        words = [*self.old.python, "-c", WEB]
        with subprocess.Popen(words, cwd=self.folder, **pipes, **self.old.options()) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, task: Task[[], str], count: int, written: list[str]) -> Counter[bool]:
        """So many jobs, which the new program enqueues; how many the old one has run, and the new one."""
        jobs = self.module.app.enqueue_many([task.job() for _ in range(count)])
        written.extend(job.id for job in jobs)
        return Counter(job.wait(60).result.startswith(self.old.path) for job in jobs)

    def goes_on(self, written: list[str], ends: Callable[[], Counter[str]], migrate: Callable[[], None]) -> None:
        """The old program works while another migrates, then beside a new web, and then beside a new worker, too.

        written: jobs so far. ends: how often each job has ended.
        """
        app, cross, tow = self.module.app, self.module.cross, self.module.tow
        options = ("ferry:app", self.url, self.folder, "-n", "2")
        with self.old_web() as old_web, running_worker(*options, host=self.old) as old_worker:
            wait_for("jobs of the old program", lambda: len(ends()) > 100)
            migrate()
            assert self.run(cross, 100, written) == {True: 100}
            with running_worker(*options):
                wait_for("both to have work", lambda: len(self.run(tow, 20, written)) == 2)
                output, _ = old_web.communicate("enough", 60)
                *lines, called_off = output.splitlines()
                written += " ".join(lines).split()
                assert (old_web.returncode, called_off) == (0, "cancelled cancelled")
                wait_for("every job to end", lambda: set(written) <= set(ends()), 60)
                assert old_worker.stop() == 0
        ended = ends()
        assert set(ended.values()) == {1}
        assert len(ended) == len(written) + 1, "and the one that was called off"
        for record in app.backend.get(written):
            assert (record.state, record.attempts, record.errors, record.crashes) == (State.SUCCEEDED, 1, 0, 0), record


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A URL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ferry' / 'ferry.db'}"
    else:
        server, name = shared_server(), new_schema()
        yield f"{server.url}&schema={name}"
        drop(server, [name])


@pytest.fixture
def ferry(version: int, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ferry]:
    old, folder = installed(version, tmp_path / "old"), tmp_path / "ferry"
    folder.mkdir()
    with brought_in("ferry", folder, monkeypatch, place) as module:
        yield Ferry(folder, place, old, module)


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize("version", range(1, schema.VERSION))
def test_an_old_program_goes_on_while_the_schema_is_migrated_and_after(version: int, ferry: Ferry) -> None:
    written, name = [ferry.first_job()], Address.of(ferry.url).schema
    with shared_server().connect() as connection:
        connection.execute(COUNT.format(name).encode())

        def ends() -> Counter[str]:
            return Counter(row[0] for row in connection.execute(f"SELECT id FROM {name}.ended".encode()))

        def migrate() -> None:
            assert Migration(ferry.url).run() == (version, schema.VERSION)

        ferry.goes_on(written, ends, migrate)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize("version", [3, 5])  # whose formats of the file are 5 and 6
def test_an_old_program_goes_on_while_a_new_one_upgrades_its_file_and_after(ferry: Ferry) -> None:
    written = [ferry.first_job()]
    with contextlib.closing(sqlite3.connect(ferry.folder / "ferry.db", timeout=10)) as connection:
        connection.executescript(COUNT_IN_SQLITE)

        def ends() -> Counter[str]:
            return Counter(row[0] for row in connection.execute("SELECT id FROM ended"))

        ferry.goes_on(written, ends, lambda: None)  # opening the file is enough
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
