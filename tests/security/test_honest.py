"""What honest tasks do works behind the walls, unchanged; what cannot be is refused in clear words."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat import App
from tests.support.processes import ROOT, running_worker

from . import docker, honest

pytestmark = pytest.mark.linux


@pytest.fixture(scope="module", params=[False, True], ids=["default", "no namespaces"])
def worker(request: pytest.FixtureRequest) -> Iterator[App]:
    home = Path(tempfile.mkdtemp(prefix="nb-honest-", dir="/var/tmp"))
    home.chmod(0o755)
    shutil.copy(honest.__file__, home / "honest.py")
    app = App("honest", url=f"sqlite:///{home / 'honest.db'}")
    through = [sys.executable, docker.__file__] if request.param else []
    try:
        with running_worker("honest:app", f"sqlite:///{home / 'honest.db'}", home, "-n", "2", through=through):
            yield app
    finally:
        app.close()
        shutil.rmtree(home)


def test_there_are_enough_workloads_and_the_docs_say_how_many() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    assert len(honest.WORKLOADS) >= 20
    assert f"holds {len(honest.WORKLOADS)} ordinary workloads" in text


@pytest.mark.parametrize("name", honest.WORKLOADS)
def test_it_works_behind_the_walls(worker: App, name: str, request: pytest.FixtureRequest) -> None:
    if name == "letters" and not Path(honest.DEJAVU).exists() and os.environ.get("CI") != "true":
        pytest.skip("the font DejaVu is not installed (Debian: apt install fonts-dejavu-core)")
    record = worker.enqueue_by_name(f"honest.{name}").wait(60).record
    if name == "locks_of_multiprocessing" and "no namespaces" in request.node.callspec.id:
        assert f"task honest.{name} used multiprocessing" in record.reason + record.history[-1].error.message
        return
    assert record.state == "succeeded", record.history[-1]
    assert json.loads(record.result) == honest.WORKLOADS[name]


@pytest.mark.parametrize("name", honest.PROCESSES)
def test_other_processes_are_refused_in_clear_words(worker: App, name: str) -> None:
    [attempt] = worker.enqueue_by_name(f"honest.{name}").wait(60).record.history
    said = f"task honest.{name} used multiprocessing, which an executor, being one process, has no use for: "
    assert attempt.error.message.startswith(said + "take threads (concurrent.futures.ThreadPoolExecutor) or")
