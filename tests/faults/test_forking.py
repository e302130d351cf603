"""What the standard library does in forks is left out where it is of no use, and done wherever it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from narrowboat import App
from tests.support.processes import running_worker

THREADS = """
import os, sys
if not {is_usual}:
    import narrowboat.executor.forking as forking
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
if {is_given_back}:
    forking.as_usual()
pid = os.fork()
if pid == 0:
    os._exit(len(threading.enumerate()))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize(("is_usual", "is_given_back", "seen"), [(True, False, 1), (False, False, 2), (False, True, 1)])
def test_a_fork_takes_its_threads_for_alive_only_where_nothing_is_done_after_it(
    is_usual: bool, is_given_back: bool, seen: int
) -> None:
    code = THREADS.format(is_usual=is_usual, is_given_back=is_given_back)
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert int(done.stdout) == seen


SHOP = """
import os, random, threading
from narrowboat import App
app = App("shop")
seen = []
os.register_at_fork(after_in_child=lambda: seen.append(os.getpid()))
{more}

@app.task
def threads() -> int:
    return len(threading.enumerate())

@app.task(untrusted=True)
def number() -> float:
    return random.random()

@app.task
def own_hooks() -> bool:
    return os.getpid() in seen

@app.task
def fork() -> int:
    "How many threads a fork of this executor, which has two, sees."
    go_on = threading.Event()
    threading.Thread(target=go_on.wait).start()
    pid = os.fork()
    if pid == 0:
        os._exit(len(threading.enumerate()))
    go_on.set()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def results(folder: Path, more: str, names: list[str], *options: str) -> list[object]:
    """Of these tasks, one after the other."""
    (folder / "shop.py").write_text(SHOP.format(more=more))
    url = f"sqlite:///{folder / 'shop.db'}"
    app = App("shop", url=url)
    with running_worker("shop:app", url, folder, "-n", "1", *options):
        found = [app.enqueue_by_name(f"shop.{name}").wait(20).result for name in names]
    app.close()
    return found


def test_executors_differ_in_what_is_random_and_do_what_the_app_has_registered(tmp_path: Path) -> None:
    first, second, ran = results(tmp_path, "", ["number", "number", "own_hooks"])
    assert first != second
    assert ran is True


def test_a_thread_that_the_import_started_is_not_among_those_of_an_executor(tmp_path: Path) -> None:
    more = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    assert results(tmp_path, more, ["threads"]) == [1]


def test_a_fork_of_the_tasks_own_has_one_thread(tmp_path: Path) -> None:
    assert results(tmp_path, "", ["fork"], "--sandbox", "off") == [1]
