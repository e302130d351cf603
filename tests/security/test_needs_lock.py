"""`narrowboat needs --check` sees each way in which a task comes to touch or take more, and no other change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.test_worker import cli

TRUSTED = "trusted: the worker's environment, network and files"
WIDER = [  # what a task declared, what it declares now, and what is said of it; None: the task is new
    ("", "needs=Needs(network=[587], secrets=['KEY'])", "touch: ports 587; secrets KEY"),
    ("needs=Needs(network=[587])", "needs=Needs(network=True)", "touch: network"),
    ("", "needs=Needs(sockets=['/run/a'])", "touch: sockets /run/a"),
    ("", "needs=Needs(programs=['/usr/bin/sort'])", "touch: programs /usr/bin/sort"),
    ("needs=Needs(read=['/a'])", "needs=Needs(read=['/a', '/b'])", "touch: read /b"),
    ("needs=Needs(read=['/a'])", "needs=Needs(read=['/a/link'])", "touch: read /a/link"),
    ("needs=Needs(read=['/a'])", "needs=Needs(write=['/a'])", "touch: write /a"),
    ("needs=Needs(network=True)", "needs=Needs(network=True, enqueue=['a.b'])", "touch: enqueue a.b"),
    ("", "needs=Needs.trusted(enqueue=['a.b'])", f"touch: {TRUSTED}; enqueue a.b"),
    ("needs=Needs.trusted()", "needs=Needs.trusted(enqueue=['a.b'])", "touch: enqueue a.b"),
    ("needs=Needs.trusted()", "needs=Needs.trusted(secrets=['KEY'])", "touch: secrets KEY"),
    ("needs=Needs.trusted()", "needs=Needs(secrets=['KEY'], network=True)", "touch: secrets KEY"),
    ("untrusted=True, memory='1GB'", "memory='1GB'", "touch: executors that other attempts used"),
    ("memory='100MB'", "memory='200MB'", "take: memory 200,000,000 (it was 100,000,000)"),
    ("memory='100MB', cpu=2", "", "take: memory without a limit; cpu_s without a limit"),
    ("scratch='1MB'", "scratch='1GB'", "take: scratch 1,000,000,000 (it was 1,000,000)"),
    ("processes=8, timeout=2.5", "processes=9, timeout=3", "take: processes 9 (it was 8); timeout_s 3 (it was 2.5)"),
    (None, "needs=Needs(network=True)", "touch: network"),
    (None, "needs=Needs.trusted()", f"touch: {TRUSTED}"),
]
NARROWER = [
    ("needs=Needs(network=True, read=['/a', '/b'])", "needs=Needs(network=[587], read=['/b'])"),
    ("needs=Needs(network=[25, 587], secrets=['KEY'], enqueue=['a.b'])", ""),
    ("needs=Needs.trusted(enqueue=['a.b'])", "needs=Needs(network=True, write=['/a'], enqueue=['a.b'])"),
    ("", "untrusted=True, memory='100MB', cpu=2, processes=8, scratch='1MB', timeout=2"),
    (None, "memory='1GB', untrusted=False"),
]
CHANGES = [*WIDER, *((before, after, "") for before, after in NARROWER)]


def declared(which: list[tuple[int, str | None]]) -> str:
    """An app with these tasks."""
    tasks = [
        f"@app.task(name='shop.n{number}', {text})\ndef n{number}(): pass\n"
        for number, text in which
        if text is not None
    ]
    return "".join(["from narrowboat import App, Needs\napp = App('shop')\n", *tasks])


def lines(folder: Path, after: list[tuple[int, str | None]]) -> tuple[int, list[str]]:
    """The status of the check, and what it says."""
    (folder / "shop.py").write_text(declared(after))
    done = cli(folder, "needs", "shop:app", "--check", "needs.lock")
    return done.returncode, (done.stderr or done.stdout).splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the lock of what was declared before."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(declared([(number, before) for number, (before, _, _) in enumerate(CHANGES)]))
    written = cli(folder, "needs", "shop:app", "--write", "needs.lock")
    assert written.returncode == 0, written.stderr
    return folder


def test_each_wider_need_is_said_and_nothing_else(folder: Path) -> None:
    status, said = lines(folder, [(number, after) for number, (_, after, _) in enumerate(CHANGES)])
    said[0] = said[0].removeprefix("narrowboat: ")
    expected = [f"shop.n{number} may now {words}" for number, (_, _, words) in enumerate(CHANGES) if words]
    assert status == 1
    assert sorted(said[:-1]) == sorted(expected)
    assert said[-1] == "if that is meant, write it down: narrowboat needs --write needs.lock"


def test_narrower_needs_and_new_tasks_without_any_pass(folder: Path) -> None:
    narrower = [(number, after) for number, (_, after, words) in enumerate(CHANGES) if not words]
    assert lines(folder, narrower) == (0, ["no task may touch or take more than needs.lock says"])
    assert len(narrower) == len(NARROWER)
