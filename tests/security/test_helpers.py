"""What holds for an executor holds for the programs that it starts, too: limits on all of them together, and an end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat import App
from narrowboat.core.job import Job
from tests.support.processes import is_alive, running_worker, wait_for

from .ground import USER, everyones_python
from .hosts import machine

pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif(not os.path.exists("/usr/bin/perl"), reason="needs perl as a program that takes memory"),
]

SHOP = r"""
import os, subprocess, time
from narrowboat import App, Needs, Retry, progress

app = App("shop")
ONCE = Retry(attempts=1)
PERL = Needs(programs=["/usr/bin/perl"])

def take(mb):
    return subprocess.Popen(["/usr/bin/perl", "-e", f'$| = 1; my $x = "x" x ({mb} << 20); print "taken\\n"; sleep 60'],
                            stdout=subprocess.PIPE)

@app.task(needs=PERL, memory="100MB", retry=ONCE, timeout=60)
def many(helpers: int, mb: int, seconds: float) -> str:
    started = [take(mb) for _ in range(helpers)]
    for helper in started:
        helper.stdout.readline()
    progress(1, 1, " ".join(str(helper.pid) for helper in started))
    time.sleep(seconds)
    for helper in started:
        helper.kill()
        helper.wait()
    return "unharmed"

@app.task(needs=PERL, memory="100MB", retry=ONCE)
def use_much_and_start_many() -> str:
    mine = bytearray(os.urandom(1024)) * (80 << 10)
    for _ in range(60):
        subprocess.run(["/usr/bin/perl", "-e", "1"], check=True)
    return "unharmed"

@app.task(needs=PERL, processes=10, retry=ONCE)
def fork_many() -> int:
    fork = 'for (1..40) { last if !defined(my $p = fork); if (!$p) { sleep 60; exit } $n++ }'
    code = f'$| = 1; my $n; {fork} print "$n\\n"; sleep 60'
    number = int(subprocess.Popen(["/usr/bin/perl", "-e", code], stdout=subprocess.PIPE).stdout.readline())
    time.sleep(1 if number <= 10 else 30)  # the worker looks now and then
    return number

@app.task(needs=PERL, retry=ONCE)
def leave() -> list[int]:
    return [os.getpid(), subprocess.Popen(["/usr/bin/perl", "-e", "sleep 600"]).pid]

@app.task(needs=PERL, retry=ONCE)
def leave_an_orphan() -> list[int]:
    code = 'if (my $p = fork) { print "$p"; exit } close STDOUT; sleep 600'
    return [os.getpid(), int(subprocess.run(["/usr/bin/perl", "-e", code], stdout=subprocess.PIPE, check=True).stdout)]

@app.task(needs=PERL, retry=ONCE, concurrency=10)
async def leave_async() -> list[int]:
    return [os.getpid(), subprocess.Popen(["/usr/bin/perl", "-e", "sleep 600"]).pid]

@app.task(needs=PERL, retry=ONCE)
def leave_none() -> list[int]:
    subprocess.run(["/usr/bin/perl", "-e", "1"], check=True)
    return [os.getpid(), 0]
"""


class Shop:
    """A worker whose tasks start programs."""

    def __init__(self, folder: Path, url: str, pid: int) -> None:
        self.app, self.pid = App("shop", url=url), pid

    def run(self, task: str, *args: object) -> Job:
        """The record of a job that has ended."""
        return self.app.enqueue_by_name(f"shop.{task}", *args).wait(70).record

    def helpers(self) -> list[int]:
        """Perl's processes below the worker, as this side sees them."""
        return [pid for pid in below(self.pid) if comm(pid) == "perl" and is_alive(pid)]


def below(pid: int) -> list[int]:
    """Every descendant of a process."""
    parents = {int(path.name): parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    found = {pid}
    while more := {child for child, above in parents.items() if above in found} - found:
        found |= more
    return sorted(found - {pid})


def parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.fixture(scope="module", params=["namespaces", "no namespaces", "no namespaces, an ordinary user"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    user = USER if "user" in request.param else None
    if user is not None and (os.geteuid() != 0 or not everyones_python()):
        pytest.skip("only root can be somebody else, with an interpreter that everyone can run")
    with (
        machine(SHOP, user=user, restricted="no" in request.param.split()) as there,
        running_worker("shop:app", there.url, there.folder, "-n", "2", host=there.host) as worker,
    ):
        shop = Shop(there.folder, there.url, worker.pid)
        yield shop
        shop.app.close()


def test_helpers_within_the_limit_together_are_let_be(shop: Shop) -> None:
    assert shop.run("many", 2, 20, 1.0).result == b'"unharmed"'


def test_helpers_over_the_limit_together_end_the_attempt_and_are_gone(shop: Shop) -> None:
    assert shop.run("many", 6, 30, 30.0).reason == "crashed: out of memory"
    wait_for("the helpers to be gone", lambda: not shop.helpers())


def test_a_helper_that_is_just_being_started_does_not_count_its_executor_twice(shop: Shop) -> None:
    assert shop.run("use_much_and_start_many").result == b'"unharmed"'


def test_helpers_count_as_processes(shop: Shop) -> None:
    record = shop.run("fork_many")
    if record.result:
        assert int(record.result) <= 10
    else:
        assert record.reason == "crashed: more processes and threads than processes="
    wait_for("the helpers to be gone", lambda: not shop.helpers())


@pytest.mark.parametrize("task", ["leave", "leave_an_orphan", "leave_async"])
def test_a_helper_ends_with_its_attempt(shop: Shop, task: str) -> None:
    first = shop.run(task).result
    wait_for("the helper to be gone", lambda: not shop.helpers())
    assert shop.run(task).result != first, "the executor that it was left in is not used again"


def test_an_executor_whose_helpers_have_ended_is_used_again(shop: Shop) -> None:
    assert shop.run("leave_none").result == shop.run("leave_none").result


OLD = """
import subprocess
from narrowboat import App, Needs, Retry
from narrowboat.sandbox import landlock

real, app = landlock.version, App("shop")
landlock.version = lambda: min(5, real())

@app.task(needs=Needs(programs=["/usr/bin/perl"]), retry=Retry(attempts=1))
def stop_it() -> int:
    helper = subprocess.Popen(["/usr/bin/perl", "-e", "sleep 60"])
    helper.kill()
    return helper.wait()
"""


@pytest.mark.parametrize("has_namespaces", [True, False])
def test_a_landlock_that_does_not_know_signals(has_namespaces: bool) -> None:
    """Helpers can be killed where a pid namespace keeps signals inside, and nobody where nothing does."""
    with (
        machine(OLD, restricted=not has_namespaces) as there,
        running_worker("shop:app", there.url, there.folder, "-n", "1", host=there.host) as worker,
    ):
        app = App("shop", url=there.url)
        record, said = app.enqueue_by_name("shop.stop_it").wait(30).record, worker.output()
        app.close()
    if has_namespaces:
        assert record.result == b"-9"
        assert "signals (executors with the same needs can be signalled)" in said
    else:
        assert record.reason.startswith("PermissionError")
        assert "signals (" not in said
