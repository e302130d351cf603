"""The command line as a user meets it: real processes in an empty folder."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from narrowboat.backends.sqlite import SQLiteBackend
from narrowboat.backends.urls import open_backend
from narrowboat.cli import COMMANDS
from narrowboat.core.controls import BreakerSpec, Controls, LimitSpec, RateSpec
from narrowboat.core.ids import new_job_id
from narrowboat.core.job import NewJob
from narrowboat.core.outcome import ErrorInfo
from narrowboat.core.schedule import Schedule
from narrowboat.core.states import State
from narrowboat.testing.conformance.bench import Bench, failed, snoozed
from tests.support.processes import WorkerProcess, is_alive, named_below, running_worker, wait_for

SHOP = '''
import logging, time
from pathlib import Path
from narrowboat import App, Needs, Retry, progress

app = App("shop")
HERE = Path(__file__).parent

@app.task
def add(a: int, b: int = 1) -> int:
    """Adds."""
    return a + b

@app.task(retry=Retry(attempts=2, delay=0), tags=["risky"], summary="order {order}")
def fail(order: int) -> None:
    logging.getLogger("shop").warning("about to fail")
    raise ValueError("broken \\x1b[31mred")

@app.task(queue="slow", needs=Needs(read=[HERE]))
def slow(path: str) -> str:
    progress(1, 4, "first quarter")
    while not (HERE / path).exists():
        time.sleep(0.005)
    return "there"
'''


class Shell:
    """Runs narrowboat in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o755)  # executors of a worker that is root have a user of their own
        self.url = f"sqlite:///{folder / 'narrowboat.db'}"

    def run(self, *words: str, status: int = 0) -> str:
        """What a command prints (both streams). Fails when it ends otherwise than with `status`."""
        command = [sys.executable, "-m", "narrowboat.cli", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def json(self, *words: str) -> list[dict[str, Any]]:
        """The objects that a command prints with --json."""
        return [json.loads(line) for line in self.run(*words, "--json").splitlines()]

    def enqueue(self, *words: str) -> str:
        """The id of a new job."""
        [found] = self.json("enqueue", *words)
        return str(found["id"])

    def state(self, job_id: str) -> str:
        [found] = self.json("job", job_id)
        return str(found["state"])

    def worker(self, *options: str) -> Any:
        return running_worker("shop:app", self.url, self.folder, "-n", "2", *options)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "shop.py").write_text(SHOP)
    return Shell(tmp_path)


@pytest.fixture
def served(shell: Shell) -> Generator[WorkerProcess]:
    with shell.worker() as worker:
        yield worker


def processor_time(call: Callable[[], object]) -> float:
    """What the processes use that a call starts and awaits, in seconds, the best of 5; unlike the clock's, it does not
    grow with what else the machine does."""
    times: list[float] = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        call()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def test_help_lists_every_command_and_is_quick(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    said = shell.run("--help")
    assert all(f"  {name} " in said for name in COMMANDS)
    used = processor_time(lambda: shell.run("--help"))
    least = processor_time(lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    with capsys.disabled():
        print(f"\nnarrowboat --help: {used * 1000:.0f} ms of processor time, Python alone {least * 1000:.0f} ms")
    assert used < max(0.3, 15 * least), "aimed at: 0.15 s; a slow processor is slow with Python alone, too"


def test_help_loads_no_command_and_no_backend() -> None:
    code = (
        "import sys\nfrom narrowboat.cli import cli\ntry:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in sys.modules if 'worker' in m or 'backends' in m or 'sqlite' in m], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_a_misspelt_command_or_setting_ends_with_2(shell: Shell) -> None:
    assert "No such command 'jbos'; did you mean jobs?" in shell.run("jbos", status=2)
    assert "is not a duration" in shell.run("worker", "shop:app", "--drain", "soon", status=2)
    assert "not know" in shell.run("jobs", "--url", "oracle://x", status=2)
    assert "1 or more" in shell.run("worker", "shop:app", "-q", "slow=0", status=2)
    assert "lives inside one process" in shell.run("worker", "shop:app", "--url", "memory://", status=2)


def test_a_backend_out_of_reach_ends_with_3(shell: Shell) -> None:
    assert "does not exist" in shell.run("jobs", "--url", "sqlite:////nowhere/at/all.db", status=3)
    assert "go to the project's folder" in shell.run("queues", status=3)
    assert not (shell.folder / "narrowboat.db").exists(), "looking makes no file"


def test_what_is_not_there_ends_with_4(shell: Shell) -> None:
    unknown = "shop.add:01M84DV5TCF1RXYBB2A2J0ZYNB"
    SQLiteBackend(shell.folder / "narrowboat.db").close()
    for command in ("job", "why", "retry", "cancel"):
        shell.run(command, unknown, status=4)
        assert "is not a job id" in shell.run(command, "nonsense", status=4)
    assert "no worker has published a task" in shell.run("enqueue", "shop.add", "a=1", status=4)


def test_the_banner_says_what_the_worker_listens_to(shell: Shell, served: WorkerProcess) -> None:
    said = served.output()
    for text in (
        str(shell.folder / "narrowboat.db"),
        "default, slow",
        "shop.add, shop.fail, shop.slow",
        "sandbox",
        "slots",
    ):
        assert text in said


def test_enqueue_takes_json_and_text_and_waits(shell: Shell, served: WorkerProcess) -> None:
    assert shell.run("enqueue", "shop.add", "a=1", "b=41", "--wait", "20s").splitlines()[-1] == "42"
    assert "takes no c" in shell.run("enqueue", "shop.add", "a=1", "c=2", status=1)
    assert "did you mean shop.add" in shell.run("enqueue", "shop.ad", "a=1", status=4)
    assert "write arguments as name=value" in shell.run("enqueue", "shop.add", "1", status=2)
    assert "dead" in shell.run("enqueue", "shop.add", "a=one", "--wait", "20s", status=1)


def test_a_failed_job_is_shown_with_its_attempts_and_cannot_steer_the_terminal(
    shell: Shell, served: WorkerProcess
) -> None:
    job_id = shell.enqueue("shop.fail", "order=7")
    wait_for("its death", lambda: shell.state(job_id) == "dead")
    said = shell.run("job", job_id)
    assert said.count("ValueError") >= 3
    assert "attempt 2 failed" in said
    assert "| WARNING shop: about to fail" in said
    wait_for("the worker to say so", lambda: "is dead after attempt 2" in served.output())
    for text in (said, shell.run("jobs"), shell.run("why", job_id), served.output()):
        assert "\x1b" not in text
        assert "\\x1b[31mred" in text
    [whole] = shell.json("job", job_id)
    assert [attempt["outcome"] for attempt in whole["history"]] == ["failed", "failed"]
    assert whole["args"] == {"order": 7}
    assert "is queued again" in shell.run("retry", job_id)
    wait_for("its second death", lambda: len(shell.json("job", job_id)[0]["history"]) == 4)


def test_jobs_are_filtered_and_paged(shell: Shell) -> None:
    with shell.worker() as worker:
        assert worker.stop() == 0  # leaves behind what it has published
    ids = [shell.enqueue("shop.add", f"a={n}") for n in range(5)] + [shell.enqueue("shop.slow", "path=x")]
    assert [job["id"] for job in shell.json("jobs")] == ids[::-1]
    assert [job["id"] for job in shell.json("jobs", "-q", "slow")] == ids[-1:]
    assert len(shell.json("jobs", "--task", "shop.add", "--state", "queued")) == 5
    assert shell.run("jobs", "--state", "dead") == "no jobs match\n"
    first = shell.run("jobs", "--limit", "4")
    cursor = first.splitlines()[-1].removeprefix("more: --after ")
    assert [job["id"] for job in shell.json("jobs", "--limit", "4", "--after", cursor)] == ids[1::-1]
    said = shell.run("queues")
    assert "no worker consumes it; no worker knows shop.add" in said


def test_config_says_where_each_value_comes_from(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell.folder / "pyproject.toml").write_text(
        '[tool.narrowboat]\napp = "shop:app"\nslots = 3\nqueues = ["default", "slow=1"]\ndrain = "5s"\n'
    )
    monkeypatch.setenv("NARROWBOAT_DRAIN", "7s")
    found = {setting["name"]: (setting["value"], setting["origin"]) for setting in shell.json("config")}
    assert found["url"] == (shell.url, "default")
    assert found["app"] == ("shop:app", "pyproject.toml")
    assert found["queues"] == ("default,slow=1", "pyproject.toml")
    assert found["drain"] == (7.0, "environment, NARROWBOAT_DRAIN")
    assert found["lease"] == (30.0, "default")
    said = shell.run("config")
    assert any(line.split() == ["slots", "3", "pyproject.toml", "NARROWBOAT_SLOTS"] for line in said.splitlines())
    with running_worker("shop:app", shell.url, shell.folder, "--slots", "1") as worker:
        facts = json.loads(worker.output().splitlines()[0])
        assert "drains for 7 s" in facts["worker"] and facts["queues"] == "default, slow"
        assert facts["slots"] == "1", "a flag wins"


def test_a_setting_that_cannot_be_is_named_with_its_place(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    project = shell.folder / "pyproject.toml"
    project.write_text("[tool.narrowboat]\nslotz = 3\n")
    assert "[tool.narrowboat] has no slotz: did you mean slots?" in shell.run("config", status=2)
    project.write_text('[tool.narrowboat]\nlease = "soon"\n')
    assert "[tool.narrowboat] lease = 'soon'" in shell.run("worker", "shop:app", status=2)
    project.write_text("[tool.narrowboat\n")
    assert "pyproject.toml cannot be read" in shell.run("config", status=2)
    project.write_text("")
    monkeypatch.setenv("NARROWBOAT_SLOTS", "many")
    assert "NARROWBOAT_SLOTS = 'many': give a whole number" in shell.run("worker", "shop:app", status=2)
    monkeypatch.delenv("NARROWBOAT_SLOTS")
    said = shell.run("worker", "shop:app", "--slot", "2", status=2)
    assert "Did you mean" in said and "'--slots'" in said
    assert "which app?" in shell.run("worker", status=2)


def test_a_queue_that_no_task_goes_to_is_pointed_out(shell: Shell) -> None:
    with shell.worker("-q", "default,slwo") as worker:
        said = "no task of the app goes to the queue slwo: did you mean slow?"
        wait_for("the warning", lambda: said in worker.output())


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell: Shell, name: str) -> None:
    script = shell.run("completion", name)
    assert f"_NARROWBOAT_COMPLETE={name}_complete" in script


def complete(shell: Shell, line: str) -> list[str]:
    """What bash would offer for the last word of a line."""
    words = line.split(" ")
    code = (
        f'eval "$(narrowboat completion bash)"; COMP_WORDS=({" ".join(word or chr(34) * 2 for word in words)}); '
        f"COMP_CWORD={len(words) - 1}; _narrowboat_completion narrowboat; echo ${{COMPREPLY[@]}}"
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", code], cwd=shell.folder, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash_completes_commands_options_and_tasks(shell: Shell, served: WorkerProcess) -> None:
    assert complete(shell, "narrowboat que") == ["queues"]
    assert complete(shell, "narrowboat worker --max-m") == ["--max-memory"]
    assert complete(shell, "narrowboat enqueue shop.") == ["shop.add", "shop.fail", "shop.slow"]
    assert complete(shell, "narrowboat completion ") == ["bash", "zsh", "fish"]


def test_dev_runs_worker_and_web_together_and_shows_both(shell: Shell) -> None:
    log = shell.folder / "dev.log"
    web = (
        f"{sys.executable} -u -c \"import os, time; print('web uses', os.environ['NARROWBOAT_URL']); time.sleep(300)\""
    )
    with log.open("wb") as output:
        dev = subprocess.Popen(
            [sys.executable, "-m", "narrowboat.cli", "dev", "shop:app", "--web", web],
            cwd=shell.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(
            "both", lambda: "drains for" in log.read_text() and f"web    | web uses {shell.url}" in log.read_text()
        )
        shell.run("enqueue", "shop.add", "a=1", "--wait", "20s")
        (shell.folder / "shop.py").write_text(SHOP.replace("return a + b", "return a * 100"))
        wait_for("the new code", lambda: "moved over to the new code: 3 tasks" in log.read_text())
        assert shell.run("enqueue", "shop.add", "a=1", "--wait", "20s").splitlines()[-1] == "100"
        (shell.folder / "shop.py").write_text("def broken(")
        wait_for("the error", lambda: "the old code stays" in log.read_text())
        assert shell.run("enqueue", "shop.add", "a=2", "--wait", "20s").splitlines()[-1] == "200"
        workers = named_below(dev.pid, "nb-zygote")
        dev.send_signal(signal.SIGINT)
        assert dev.wait(20) == 0
        assert workers and not any(is_alive(pid) for pid in workers)
    finally:
        dev.kill()
        dev.wait()


def test_dev_ends_when_one_of_both_does(shell: Shell) -> None:
    failing = f"{sys.executable} -c 'raise SystemExit(3)'"
    assert "web ended with status 3" in shell.run("dev", "shop:app", "--web", failing, status=1)
    assert "web cannot be started" in shell.run("dev", "shop:app", "--web", "/no/such/program", status=1)
    assert "which app?" in shell.run("dev", status=2)


def test_a_pause_ends_by_itself_and_is_refused_in_words_when_it_makes_no_sense(shell: Shell) -> None:
    job_id = shell.enqueue("shop.add", "-q", "default", "a=1")
    assert re.search(
        r"task shop.add is paused until \d\d:\d\d.* \(in 2 h\)\nno worker has published a task shop.add yet",
        shell.run("pause", "--task", "shop.add", "--until", "2h"),
    )
    with shell.worker():
        assert re.search(r"task shop.add is paused until \d\d:\d\d.* \(in 2 h\)", shell.run("why", job_id))
        shell.run("pause", "--task", "shop.add", "--until", "1s")  # in place of the first
        wait_for("the job to end", lambda: shell.state(job_id) == "succeeded")
    assert "is over already" in shell.run("pause", "default", "--until", "2020-01-01", status=2)
    assert "name one queue, one task or one breaker" in shell.run("pause", status=2)
    assert "name one queue, one task or one breaker" in shell.run("resume", "default", "--task", "shop.add", status=2)
    assert "is the name right?" in shell.run("pause", "defualt")


def test_why_always_has_an_answer(shell: Shell) -> None:
    with shell.worker() as worker:
        assert worker.stop() == 0
    job_id = shell.enqueue("shop.add", "a=1")
    assert "no worker is running" in shell.run("why", job_id)
    said = shell.run("pause", "default", "--reason", "stock taking")
    assert said == "queue default is paused until it is resumed: stock taking\n1 job waiting there\n"
    with shell.worker():
        assert "queue default is paused: stock taking" in shell.run("why", job_id)
        assert "paused: stock taking" in shell.run("queues")
        unknown = shell.enqueue("shop.gone", "-q", "default", "a=1")
        assert "queue default is resumed" in shell.run("resume", "default")
        assert shell.run("resume", "default") == "queue default was not paused\n"
        wait_for("the job to end", lambda: shell.state(job_id) == "succeeded")
        assert "it has succeeded" in shell.run("why", job_id)
        assert "no live worker knows the task shop.gone: none ever did" in shell.run("why", unknown)
        elsewhere = shell.enqueue("shop.add", "-q", "empty", "a=1")
        assert "no live worker that knows its task consumes the queue empty" in shell.run("why", elsewhere)
        running = [shell.enqueue("shop.slow", "path=go") for _ in range(2)]
        wait_for("both slots to be busy", lambda: {shell.state(job) for job in running} == {"running"})
        behind = shell.enqueue("shop.slow", "path=go")
        assert "it waits in line: it is next of its task" in shell.run("why", behind)
        assert "it is running" in shell.run("why", running[0])
        wait_for("its progress", lambda: "first quarter" in shell.run("job", running[0]))
        (shell.folder / "go").touch()
        wait_for("the last to end", lambda: shell.state(behind) == "succeeded")


def test_cancel_of_waiting_running_and_finished_jobs(shell: Shell) -> None:
    with shell.worker():
        running = shell.enqueue("shop.slow", "path=never")
        wait_for("it to run", lambda: shell.state(running) == "running")
        assert "has been asked to stop it" in shell.run("cancel", running, "--reason", "enough")
        wait_for("its end", lambda: shell.state(running) == "cancelled")
        assert "cancelled: enough" in shell.run("job", running)
        done = shell.enqueue("shop.add", "a=1")
        wait_for("its success", lambda: shell.state(done) == "succeeded")
        assert "had already ended: succeeded" in shell.run("cancel", done)
    waiting = shell.enqueue("shop.add", "a=1")
    assert "is cancelled" in shell.run("cancel", waiting)


def test_what_a_task_raised_cannot_steer_the_terminal_through_an_error(shell: Shell, served: WorkerProcess) -> None:
    said = shell.run("enqueue", "shop.fail", "order=7", "--wait", "20s", status=1)
    assert "\x1b" not in said
    assert "\\x1b[31mred" in said


def test_a_password_is_not_printed(shell: Shell) -> None:
    said = shell.run("jobs", "--url", "redis://me:hunter2@localhost", status=2)
    assert "hunter2" not in said
    assert "***" in said


def test_a_wait_that_is_over_leaves_the_job_alone(shell: Shell) -> None:
    said = shell.run("enqueue", "shop.add", "a=1", "-q", "default", "--wait", "50ms", status=1)
    assert "is still queued after 50 ms; it goes on" in said
    assert len(shell.json("jobs")) == 1


def test_what_is_long_is_shortened_unless_asked_for(shell: Shell) -> None:
    job_id = shell.enqueue("shop.greet", "-q", "default", f"name={'x' * 5000}")
    assert "--full shows all" in shell.run("job", job_id)
    assert "x" * 5000 in shell.run("job", job_id, "--full")


def test_why_a_job_is_scheduled_or_cancelled(shell: Shell) -> None:
    backend = SQLiteBackend(shell.folder / "narrowboat.db")
    later = NewJob(id=new_job_id("shop.add"), task="shop.add", delay_s=3600)
    backend.enqueue([later])
    backend.close()
    assert shell.run("why", later.id).startswith("scheduled: it is due in ")
    shell.run("cancel", later.id, "--reason", "no need")
    assert shell.run("why", later.id) == "cancelled: it was cancelled: no need\n"


def test_a_reader_that_has_seen_enough_is_no_error(shell: Shell) -> None:
    backend = SQLiteBackend(shell.folder / "narrowboat.db")
    backend.enqueue([NewJob(id=new_job_id("shop.add"), task="shop.add", summary="x" * 200) for _ in range(1000)])
    backend.close()
    command = [sys.executable, "-m", "narrowboat.cli", "jobs", "--json", "--limit", "1000"]
    with subprocess.Popen(command, cwd=shell.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


def test_the_demo_counts_and_ends_well(shell: Shell) -> None:
    said = shell.run("demo")
    assert "60 of 60 succeeded" in said
    assert "SIGKILL" in said


def test_version(shell: Shell) -> None:
    [found] = shell.json("version")
    assert set(found) == {"narrowboat", "python", "sqlite"}


def test_dead_jobs_that_match_are_counted_first_and_then_queued_again_with_other_arguments(shell: Shell) -> None:
    ids = [shell.enqueue("shop.add", "-q", "default", "a=1", f"b={n}") for n in range(3)]
    kept = shell.enqueue("shop.add", "-q", "default", "a=5")
    with contextlib.closing(open_backend(shell.url)) as backend, Bench(lambda: backend) as bench:
        bench.now = time.time()
        worker = bench.worker(tasks=("shop.add",))
        claims = {claim.id: claim for claim in worker.claim(4)}
        worker.settle(
            *(failed(claims[job_id], to=State.DEAD, reason="TimeoutError: no answer") for job_id in ids),
            failed(claims[kept], to=State.DEAD, reason="ValueError: wrong"),
        )
        worker.leave()
    assert "no jobs match" in shell.run("retry", "--dead", "--task", "shop.ad")
    counted = shell.run("retry", "--dead", "--task", "shop.add", "--error", "Timeout*")
    assert re.search(r"3\s+shop\.add\s+dead\s+TimeoutError\n3 jobs; say --yes to queue them again", counted)
    assert shell.state(ids[0]) == "dead"
    unheard = shell.enqueue("shop.gone", "-q", "default", "a=1")
    shell.run("cancel", unheard)
    for which in ([unheard], ["--cancelled", "--yes"]):
        assert "no worker has published this task" in shell.run("retry", *which, "--set", "a=2", status=1)
    assert shell.state(unheard) == "cancelled"
    with shell.worker():  # which publishes what shop.add takes
        assert "takes no c" in shell.run("retry", "--dead", "--error", "Timeout*", "--set", "c=1", "--yes", status=1)
        refused = shell.run("retry", "--dead", "--error", "Timeout*", "--set", "a=many", "--yes", status=1)
        assert "shop.add: a is a whole number, not a text" in refused
        assert {shell.state(job_id) for job_id in ids} == {"dead"}
        done = shell.run("retry", "--dead", "--error", "Timeout*", "--set", "a=40", "--yes")
        assert "3 jobs of 3 queued again" in done
        for n, job_id in enumerate(ids):
            wait_for("the job to end", lambda job_id=job_id: shell.state(job_id) == "succeeded")
            shown = shell.run("job", job_id)
            assert f"{40 + n}" in shown
            assert "attempt 1 failed" in shown, "the history stays"
    assert shell.state(kept) == "dead"
    assert "or say --dead" in shell.run("retry", status=2)
    assert "write NAME=JSON" in shell.run("retry", kept, "--set", "a", status=2)


def test_queues_and_why_tell_what_holds_a_job(shell: Shell) -> None:
    specs = {
        "shop.mail": Controls(breaker=BreakerSpec(key="smtp", failures=1, within_s=60, retry_after_s=3600)),
        "shop.call": Controls(rate=RateSpec(key="api", interval_s=3600)),
        "shop.print": Controls(limit=LimitSpec(key="press", most=1)),
        "shop.ask": Controls(rate=RateSpec(key="slow", interval_s=0.1)),
        "shop.poll": Controls(),
    }
    refused = ErrorInfo(type="ConnectionError", message="refused", traceback="")
    with contextlib.closing(open_backend(shell.url)) as backend, Bench(lambda: backend) as bench:
        bench.now = time.time()
        worker = bench.worker(tasks=tuple(specs), controls=specs, lease_s=3600)
        ids = {task: bench.add_many(2, task) for task in specs}
        assert "smtp" not in shell.run("queues"), "nothing holds anything yet"
        claims = {task: worker.claim_one(tasks=[task]) for task in specs}
        worker.settle(
            failed(claims["shop.mail"], trips=True, error=refused),
            snoozed(claims["shop.ask"], delay_s=3600.0, slow_s=3600.0),
            snoozed(claims["shop.poll"], delay_s=3600.0, slow_s=3600.0),
        )
        said, [queue] = shell.run("queues"), shell.json("queues")
        for note in (
            r"breaker smtp: open, one job tries .*: ConnectionError: refused",
            r"rate api: the next in \d+ min",
            r"limit press: 1 of 1 running",
            r"rate slow: slowed down, the next in \d+ min",
            r"task shop\.poll held until .*: a service asked to slow down",
        ):
            assert re.search(note, said), (note, said)
        assert {(gate["scope"], gate["kind"]) for gate in queue["gates"]} == {
            ("breaker:smtp", "breaker"),
            ("rate:api", "rate"),
            ("limit:press", "limit"),
            ("rate:slow", "slow-down"),
            ("task:shop.poll", "slow-down"),
        }
        for task, code, words in (
            (
                "shop.mail",
                "breaker",
                "the breaker smtp holds it (opens after 1 failure within 60 s, tries after 60 min)",
            ),
            ("shop.call", "rate", "the rate api holds it (1/h): the next in "),
            ("shop.print", "limit", "the limit press holds it (1 at a time): 1 of 1 running"),
            ("shop.ask", "rate", "the rate slow holds it (10/s): slowed down, the next in "),
            ("shop.poll", "slow down", "task shop.poll is held until "),
        ):
            waiting = next(job_id for job_id in ids[task] if job_id != claims[task].id)
            [found] = shell.json("why", waiting)
            assert found["code"] == code
            assert found["text"].startswith(words), found["text"]
        shell.run("pause", "--task", "shop.print", "--reason", "no paper")
        shell.run("resume", "--breaker", "smtp")
        said = shell.run("queues")
        assert "task shop.print paused: no paper" in said
        assert "smtp" not in said


CLOCK = """
from narrowboat import App

app = App("clock")

@app.task(schedule="{minute} * * * *", timezone="Europe/London")
def tick() -> str:
    return "tock"
"""


def test_a_schedule_is_paused_resumed_and_run_by_hand(shell: Shell) -> None:
    minute = (time.localtime().tm_min + 30) % 60  # no time comes by itself while this runs
    (shell.folder / "clock.py").write_text(CLOCK.format(minute=minute))
    key = Schedule(f"{minute} * * * *", timezone="Europe/London").spec("clock.tick").key
    with contextlib.closing(open_backend(shell.url)) as backend:
        assert backend.fire(key, time.time() - 7 * 3600, None)  # so that there is one to make up for
        backend.pause_schedule(key, True)

        def worker() -> Any:
            return running_worker("clock:app", shell.url, shell.folder, "-n", "1")

        with worker():
            wait_for("the missed time to pass", lambda: backend.schedules([key])[key].last > time.time() - 3700)
            [shown] = shell.json("schedules")
            assert (shown["name"], shown["is_paused"]) == ("clock.tick", True)
            assert re.search(r"clock\.tick .* paused +At", shell.run("schedules", "clock.tick"))
            assert shell.json("jobs") == [], "a paused schedule makes no job"
            job_id = shell.run("schedules", "clock.tick", "--run").strip()
            wait_for("it to run", lambda: shell.state(job_id) == "succeeded")
            said = shell.run("schedules", "clock.tick")
            assert re.search(rf"^{job_id}  succeeded  .* ago$", said, re.MULTILINE), said
            assert shell.run("schedules", "clock.tick", "--resume") == "schedule clock.tick is resumed\n"
            assert not shell.json("schedules")[0]["is_paused"]
            assert shell.run("schedules", "clock.tick", "--pause") == "schedule clock.tick is paused\n"
            assert "there are: clock.tick" in shell.run("schedules", "clock.tock", "--run", status=2)
            assert "say one of" in shell.run("schedules", "clock.tick", "--run", "--pause", status=2)
            assert [job["id"] for job in shell.json("jobs")] == [job_id]


def test_a_retry_of_many_shows_how_far_it_is_apart_from_what_it_says(shell: Shell) -> None:
    with contextlib.closing(open_backend(shell.url)) as backend, Bench(lambda: backend) as bench:
        bench.now = time.time()
        bench.add_many(201, "shop.add")
        worker = bench.worker(tasks=("shop.add",))
        worker.settle(*(failed(claim, to=State.DEAD, reason="ValueError: no") for claim in worker.claim(201)))
    command = [sys.executable, "-m", "narrowboat.cli", "retry", "--dead", "--yes"]
    with (shell.folder / "said").open("wb") as output:
        terminal, side = pty.openpty()
        done = subprocess.run(command, cwd=shell.folder, stdout=output, stderr=side, timeout=120)
        os.close(side)
    bar = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert done.returncode == 0
    assert "100%" in bar
    said = (shell.folder / "said").read_text()
    assert "201 jobs of 201 queued again" in said and "%" not in said
    assert {job["state"] for job in shell.json("jobs", "--limit", "300")} == {"queued"}
