"""A worker from day to day: signals, recycling, health, logs."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from narrowboat import App
from narrowboat.backends.whereabouts import OLD_S, Health, Note
from narrowboat.core.states import State
from tests.support.processes import ROOT, is_alive, running_worker, wait_for

from .conftest import Harbour


def test_executors_are_replaced_after_so_many_jobs(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--max-jobs", "10"):
        jobs = harbour.app.enqueue_many([harbour.module.who.job() for _ in range(40)])
        pids = [job.wait(20).result for job in jobs]
    assert len(set(pids)) == 4
    assert max(pids.count(pid) for pid in set(pids)) == 10


def test_executors_are_replaced_when_they_are_old(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--max-age", "50ms"):
        pids = {harbour.module.who.enqueue(0.06).wait(30).result for _ in range(4)}
    assert len(pids) == 4


def test_executors_are_replaced_when_they_have_grown(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--max-memory", "60MB"):
        first = harbour.module.who.enqueue().wait(30).result
        assert harbour.module.leak.enqueue(1_000_000).wait(30).result == first
        wait_for("a new one", lambda: harbour.module.leak.enqueue(20_000_000).wait(30).result != first)


def test_async_executors_are_replaced_without_a_gap(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--max-jobs", "20"):
        jobs = harbour.app.enqueue_many([harbour.module.wait_async.job("-", seconds=0.05) for _ in range(100)])
        pids = [job.wait(20).result for job in jobs]
        assert all(job.record.crashes == job.record.errors == 0 for job in jobs)
    assert 2 <= len(set(pids)) <= 5


def worker_pids(harbour: Harbour) -> set[int]:
    """The live workers that the backend knows of."""
    return {worker.info.pid for worker in harbour.backend.workers()}


def test_a_worker_is_replaced_when_its_time_is_over_without_a_gap(harbour: Harbour) -> None:
    slow_s, go = 3.0, harbour.folder / "go"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--max-run-time", "1s") as keeper:
        first = worker_pids(harbour)
        assert first and keeper.pid not in first
        with (harbour.folder / "harbour.py").open("a") as code:
            code.write(f"\ntime.sleep({slow_s})\n")  # a successor takes its time, which no job is to wait for
        seen, waits = set(first), list[float]()
        jobs = []
        long = harbour.module.wait_for_file.enqueue(str(go))  # runs when its worker is to end: it is finished there
        wait_for("it to run", lambda: long.refresh().progress)

        def two_successions() -> bool:
            seen.update(worker_pids(harbour))
            if not go.exists() and "stopping" in keeper.output():
                go.touch()
            if long.refresh().is_finished:
                jobs.append(harbour.module.who.enqueue())
                record = jobs[-1].wait(30).record
                waits.append(record.started_at - record.enqueued_at)
            return len(seen) >= 3 and len(waits) >= 20

        wait_for("two successions", two_successions, 90)
        assert keeper.process.poll() is None
        for job in [long, *jobs]:
            record = job.refresh().record
            assert (record.state, record.errors, record.crashes) == (State.SUCCEEDED, 0, 0)
        print(f"{len(waits)} jobs, {len(seen)} workers one after another, longest wait {max(waits):.3f} s")
        assert max(waits) < slow_s - 0.5, "at no time was there nobody to take work: a start takes longer"
        assert keeper.stop() == 0
    assert harbour.backend.workers() == []
    assert not any(is_alive(pid) for pid in seen)


def test_a_kept_worker_ends_with_its_keeper_and_the_keeper_with_its_worker(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--max-run-time", "1h") as keeper:
        [pid] = worker_pids(harbour)
        job = harbour.module.who.enqueue(1.0)
        wait_for("it to run", lambda: job.refresh().record.started_at)
        keeper.kill()
        wait_for("the worker to drain and end", lambda: not is_alive(pid))
        assert job.refresh().state is State.SUCCEEDED
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--max-run-time", "1h") as keeper:
        [pid] = worker_pids(harbour)
        keeper.signal(signal.SIGUSR1)
        wait_for("a report", lambda: "consuming for" in keeper.output())
        os.kill(pid, signal.SIGKILL)
        assert keeper.process.wait(30) == 1


def test_a_successor_that_does_not_come_up_leaves_the_old_worker_at_work(tmp_path: Path) -> None:
    code = "from narrowboat import App\napp = App('shop')\n@app.task\ndef one() -> int:\n    return 1\n"
    (tmp_path / "shop.py").write_text(code)
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    shop = App("shop", url=url)
    with running_worker("shop:app", url, tmp_path, "-n", "1", "--max-run-time", "1s") as keeper:
        (tmp_path / "shop.py").write_text("broken =")
        wait_for("it to be said", lambda: "did not come up; the old one goes on" in keeper.output())
        assert shop.enqueue_by_name("shop.one").wait(30).result == 1
        (tmp_path / "shop.py").write_text(code.replace("return 1", "return 2"))
        wait_for("the next try", lambda: shop.enqueue_by_name("shop.one").wait(30).result == 2)
        assert keeper.stop() == 0
    shop.close()


def test_quit_hands_back_now(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", "--drain", "60s") as worker:
        job = harbour.module.wait_for_file.enqueue(str(harbour.folder / "never"))
        wait_for("it to run", lambda: job.refresh().progress)
        worker.signal(signal.SIGQUIT)
        assert worker.process.wait(30) == 0, "it does not wait for the end of the drain"
        record = job.refresh().record
        assert (record.state, record.crashes, record.errors) == (State.QUEUED, 0, 0)


def test_tstp_takes_no_new_work_until_cont(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        running = harbour.module.wait_for_file.enqueue(str(harbour.folder / "go"))
        wait_for("it to run", lambda: running.refresh().progress)
        worker.signal(signal.SIGTSTP)
        wait_for("it to be quiet", lambda: "no new work" in worker.output())
        waiting = harbour.module.who.enqueue()
        (harbour.folder / "go").touch()
        assert running.wait(30).state is State.SUCCEEDED
        assert waiting.refresh().state is State.QUEUED
        worker.signal(signal.SIGCONT)
        assert waiting.wait(30).state is State.SUCCEEDED


def test_usr1_says_what_runs(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "2") as worker:
        job = harbour.module.wait_for_file.enqueue(str(harbour.folder / "never"))
        wait_for("it to run", lambda: job.refresh().progress)
        worker.signal(signal.SIGUSR1)
        wait_for("the report", lambda: f"{job.id} attempt 1, for" in worker.output())
        assert "1 of 2 slots used" in worker.output()
        assert f"executor {worker.executors()[0]}" in worker.output()


def test_hup_on_a_terminal_means_the_end(harbour: Harbour) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["PYTHONPATH"] = str(ROOT / "src")
        os.execv(sys.executable, [sys.executable, "-m", "narrowboat.cli", "worker", "harbour:app"])
    said = b""

    def banner() -> bool:
        nonlocal said
        said += os.read(terminal, 65536)
        return b"drains for" in said

    wait_for("the banner", banner)
    assert b"Narrowboat" in said, "people get a banner, programs get JSON"
    os.kill(pid, signal.SIGHUP)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


def test_health_is_told_by_a_note_and_over_http(harbour: Harbour) -> None:
    health = [sys.executable, "-m", "narrowboat.cli", "health"]
    env = {**os.environ, "TMPDIR": str(harbour.folder)}
    assert subprocess.run(health, env=env, capture_output=True).returncode == 1
    with running_worker(
        "harbour:app", harbour.url, harbour.folder, "--health-port", "0", env={"TMPDIR": str(harbour.folder)}
    ) as worker:
        wait_for("a note", lambda: subprocess.run([*health, "--ready"], env=env).returncode == 0)
        done = subprocess.run([*health, "--json"], env=env, capture_output=True, text=True)
        assert json.loads(done.stdout)["pid"] == worker.pid
        [address] = re.findall(r"health: (http://[\d.]+:\d+)", worker.output())
        for path in ("/livez", "/readyz"):
            with urllib.request.urlopen(address + path, timeout=30) as answer:
                assert json.load(answer)["state"] == "consuming"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address + "/", timeout=30)
        worker.signal(signal.SIGTSTP)
        wait_for("it to be quiet", lambda: subprocess.run([*health, "--ready"], env=env).returncode == 1)
        assert subprocess.run(health, env=env).returncode == 0, "quiet, but alive"
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(address + "/readyz", timeout=30)
        assert worker.stop() == 0
    assert subprocess.run(health, env=env, capture_output=True).returncode == 1, "its note went with it"


def test_a_worker_has_left_its_note_before_its_banner_is_read(harbour: Harbour) -> None:
    unread, output = os.pipe()
    os.set_blocking(output, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(output, bytes(4096))
    os.set_blocking(output, True)
    env = with_ours() | {"TMPDIR": str(harbour.folder)}
    command = [sys.executable, "-m", "narrowboat.cli"]
    with subprocess.Popen([*command, "worker", "harbour:app"], env=env, stdout=output, stderr=output) as worker:
        try:
            wait_for("its note", lambda: subprocess.run([*command, "health"], env=env).returncode == 0)
            assert worker.poll() is None
        finally:
            worker.kill()
    os.close(unread)
    os.close(output)


def test_a_worker_whose_loop_stands_still_is_not_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    Note().write(Health(app="a", location="l", pid=os.getpid(), state="consuming", turned_at=time.time() - OLD_S - 1))
    done = subprocess.run([sys.executable, "-m", "narrowboat.cli", "health"], capture_output=True, text=True)
    assert (done.returncode, "stuck" in done.stdout) == (1, True)


HANGS = {
    "asleep": "time.sleep(60)",
    "within C": "collections.deque(itertools.repeat(0), maxlen=0)",  # and no thread has the interpreter
}


def with_ours() -> dict[str, str]:
    """The environment of now, in which Narrowboat is found."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def impatient(harbour: Harbour, hangs: str = "") -> list[str]:
    """How to start a worker whose loop may stand still for a second only. hangs: what it does where it has a job."""
    stuck = f"pool.Pool.assign = lambda self: {hangs} if self.hand else None\n" if hangs else ""
    script = harbour.folder / "impatient.py"
    script.write_text(
        "import collections, itertools, os, time\n"
        "from narrowboat.worker import worker, pool\n"
        "worker.TICK_S, worker.WATCHDOG_S = 0.1, 1.0\n"
        f"{stuck}"
        "from narrowboat.cli import main\n"
        "main()\n"
    )
    return [sys.executable, str(script), "worker", "harbour:app"]


@pytest.mark.parametrize("hangs", HANGS.values(), ids=HANGS.keys())
def test_a_worker_whose_main_loop_hangs_ends_itself(harbour: Harbour, hangs: str) -> None:
    harbour.module.who.enqueue()
    done = subprocess.run(
        impatient(harbour, hangs),
        env=with_ours(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "_turn" in done.stderr, "the stack says where it hung"


def test_a_worker_that_hangs_since_nobody_reads_what_it_says_ends_itself(harbour: Harbour) -> None:
    command = impatient(harbour, "os.write(2, b'x' * 1_000_000)")
    harbour.module.who.enqueue()
    with subprocess.Popen(command, env=with_ours(), stderr=subprocess.PIPE) as worker:
        try:
            assert worker.wait(60) == 1
        finally:
            worker.kill()


def test_a_worker_that_was_stopped_for_longer_than_its_loop_may_hang_goes_on(harbour: Harbour) -> None:
    with subprocess.Popen(impatient(harbour), env=with_ours()) as worker:
        try:
            assert harbour.module.who.enqueue().wait(20).state is State.SUCCEEDED
            worker.send_signal(signal.SIGSTOP)
            over = time.monotonic() + 2.0
            wait_for("twice as long", lambda: time.monotonic() > over)
            worker.send_signal(signal.SIGCONT)
            assert harbour.module.who.enqueue().wait(20).state is State.SUCCEEDED
            assert worker.poll() is None
        finally:
            worker.kill()


@pytest.mark.linux
def test_executors_go_first_when_memory_is_short(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        harbour.module.who.enqueue().wait(30)
        [executor] = worker.executors()
        assert int(Path(f"/proc/{executor}/oom_score_adj").read_text()) == 500
        assert int(Path(f"/proc/{worker.pid}/oom_score_adj").read_text()) < 500


@pytest.mark.linux
def test_executors_that_wake_do_not_interrupt_their_worker(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        harbour.module.who.enqueue().wait(30)
        [executor] = worker.executors()
        assert os.sched_getscheduler(executor) == os.SCHED_BATCH
        assert os.sched_getscheduler(worker.pid) == os.SCHED_OTHER


def test_log_lines_for_programs_name_job_task_queue_and_attempt(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        job = harbour.module.chatter.enqueue(1).wait(30)
        wait_for("its lines", lambda: worker.output().count(job.id) >= 2)
        assert worker.stop() == 0
        lines = [json.loads(line) for line in worker.output().splitlines()]
    about = [line for line in lines if line.get("job") == job.id]
    assert [line.get("outcome") for line in about] == [None, "succeeded"]
    for line in about:
        assert (line["task"], line["queue"], line["attempt"]) == ("harbour.chatter", "default", 1)
    assert "backend" in lines[0]


def test_hooks_run_in_order_around_jobs(harbour: Harbour) -> None:
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1") as worker:
        job = harbour.module.hooked.enqueue().wait(30)
        [pid] = worker.executors()
        worker.stop()
    wait_for("the executor to end", lambda: not is_alive(pid))
    lines = (harbour.folder / "hooks").read_text().splitlines()
    assert lines[0].startswith("start ")
    assert lines[1:4] == [f"before {job.id}", "inside", f"after {job.id}"]


def test_a_start_hook_that_fails_is_shown_and_charges_no_job(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import os\nfrom narrowboat import App, Needs\napp = App('shop')\nHERE = os.path.dirname(__file__)\n"
        "@app.executor_start\ndef connect():\n"
        "    if not os.path.exists(f'{HERE}/fine'): raise OSError('no pool today')\n"
        "@app.task(needs=Needs(read=[HERE]))\ndef work() -> int:\n    return 1\n"
    )
    tmp_path.chmod(0o755)
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with running_worker("shop:app", url, tmp_path, "-n", "1") as worker:
        enqueue = [sys.executable, "-m", "narrowboat.cli", "enqueue", "shop.work", "--url", url]
        job_id = subprocess.run(enqueue, capture_output=True, text=True, check=True).stdout.strip()
        wait_for("the error", lambda: "no pool today" in worker.output())
        (tmp_path / "fine").touch()
        show = [sys.executable, "-m", "narrowboat.cli", "job", job_id, "--json", "--url", url]

        def record() -> dict[str, object]:
            return json.loads(subprocess.run(show, capture_output=True, text=True, check=True).stdout)

        done = wait_for("its end", lambda: (r := record())["state"] == "succeeded" and r, 60)
        assert (done["crashes"], done["errors"]) == (0, 0)


def test_a_second_worker_on_the_machine_is_counted_apart(harbour: Harbour) -> None:
    with (
        running_worker("harbour:app", harbour.url, harbour.folder),
        running_worker("harbour:app", harbour.url, harbour.folder) as other,
    ):
        done = subprocess.run(
            [sys.executable, "-m", "narrowboat.cli", "health", "--pid", str(other.pid)], capture_output=True, text=True
        )
        assert (done.returncode, done.stdout.count("worker ")) == (0, 1)
