"""A relay and the world beside it: what other programs send, and what people are told of the service."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter

from narrowboat.app.why import why
from narrowboat.backends.base import Filter
from narrowboat.core.job import JobSummary
from narrowboat.core.message import UNREAD
from narrowboat.core.states import FINAL, State
from tests.support.carriers import Carrier
from tests.support.processes import Host, running_worker, wait_for

from .conftest import Harbour

WHO = "harbour.load"
QUEUE, INBOX = "queue:default", f"task:{WHO}"


def says(quay: Harbour, host: Host, *words: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "narrowboat.cli", *words]
    done = subprocess.run(command, cwd=quay.folder, capture_output=True, text=True, timeout=60, **host.options())
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_what_other_programs_send_is_run_or_dead_with_its_reason(quay: Harbour, carrier: Carrier, host: Host) -> None:
    """As a message to a queue, and as bare arguments for a task; first wrong ones, before any worker is there."""
    ledger = quay.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)
    arguments = {"ledger": str(ledger), "seconds": 0}
    long = json.dumps({"ledger": "x" * 300_000}).encode()
    programs = carrier.programs()
    carrier.prepare([QUEUE, INBOX])
    for send in programs:
        send(QUEUE, json.dumps({"v": 2, "task": WHO, "args": arguments}).encode())
        send(INBOX, json.dumps(arguments)[:-1].encode())
        send(INBOX, long)
    with running_worker("harbour:app", carrier.url, quay.folder, "-n", "1", host=host) as worker:

        def ended(n: int) -> list[JobSummary]:
            jobs = [job for job in quay.backend.find(Filter()).jobs if job.task != "harbour.tell"]  # of the dead ones
            return jobs if len(jobs) == n and all(job.state in FINAL for job in jobs) else []

        dead = wait_for("what is wrong", lambda: ended(3 * len(programs)))
        for send in programs:
            send(QUEUE, json.dumps({"v": 1, "task": WHO, "args": arguments}).encode())
            send(INBOX, json.dumps(arguments).encode())
        states = Counter(job.state for job in wait_for("what is right", lambda: ended(5 * len(programs))))
        assert worker.stop() == 0
    assert states == {State.SUCCEEDED: 2 * len(programs), State.DEAD: 3 * len(programs)}
    assert ledger.read_text().count("end") == 2 * len(programs)
    reasons = Counter((job.task, *job.reason.split(": ")[1:3]) for job in dead)
    inbox = f"a message in the inbox of {WHO} cannot be read"
    expected = [
        (UNREAD, "a message in the queue default cannot be read", "v is 2"),
        (WHO, inbox, "as JSON"),
        (WHO, inbox, f"it has {len(long):,} bytes, the limit is 262,144"),
    ]
    assert reasons == dict.fromkeys(expected, len(programs))


def test_queues_agrees_with_the_services_own_tools(quay: Harbour, carrier: Carrier, host: Host) -> None:
    def ours(url: str) -> dict[str, int | None]:
        [shown] = map(json.loads, says(quay, host, "queues", "--json", "--url", url).splitlines())
        return shown["transport"]

    quay.app.enqueue_many([quay.module.nothing.job() for _ in range(3)])
    wait_for("all to be counted", lambda: carrier.counted(QUEUE) == (3, 0))
    assert ours(carrier.url)["waiting"] == 3
    with contextlib.closing(carrier.transport()) as other:
        held = len(other.receive("other", [QUEUE], 1, 10))
        assert held
        theirs = (3 - held, held)
        wait_for("some to be held", lambda: carrier.counted(QUEUE) == theirs)
        shown = wait_for("ours", lambda: (told := ours(carrier.informed))["held"] == held and told)
        assert (shown["waiting"], shown["held"]) == theirs
        head, row = says(quay, host, "queues", "--url", carrier.informed).splitlines()[1:]
        about = "" if shown["is_exact"] else "about "
        assert row[head.index("TRANSPORT") :].split("  ")[0] == f"{about}{theirs[0]} + {theirs[1]} held"


def test_doctor_says_what_is_doubtful_and_whether_the_service_is_there(
    quay: Harbour, carrier: Carrier, host: Host
) -> None:
    quay.module.nothing.enqueue()
    doubt = carrier.doubt()
    told = says(quay, host, "doctor", "--url", carrier.informed)
    assert f"\nwarning: {doubt}" in told
    assert quay.backend.setup()[0][1] in told
    assert "until it is back" not in told
    carrier.kill()
    told = says(quay, host, "doctor", "--url", carrier.informed)
    [row] = [line for line in told.splitlines() if "until it is back" in line]
    assert row.split()[1].lower() == "away"
    found = json.loads(says(quay, host, "doctor", "--json", "--url", carrier.informed))
    assert [how.lower() for _, how, what in found["backend"] if "until it is back" in what] == ["away"]


def test_config_and_queues_name_the_store(quay: Harbour, carrier: Carrier, host: Host) -> None:
    assert "harbour.db" in says(quay, host, "config", "--url", carrier.url)
    given = f"sqlite:///{quay.folder / 'given.db'}"
    assert given in says(quay, host, "config", "--url", carrier.url, "--store", given)
    quay.app.enqueue_many([quay.module.nothing.job()])
    assert "no queues yet" not in says(quay, host, "queues", "--url", carrier.url)
    assert "harbour.db" not in says(quay, host, "queues", "--url", carrier.url, "--store", given)


def test_why_says_that_the_service_is_away(quay: Harbour, carrier: Carrier, host: Host) -> None:
    go = quay.folder / "go"
    with running_worker("harbour:app", carrier.url, quay.folder, "-n", "1", host=host) as worker:
        before = quay.module.wait_for_file.enqueue(str(go))
        wait_for("the worker to be busy", lambda: before.refresh().progress)
        job = quay.module.nothing.enqueue()
        assert why(quay.backend, job.id).code == "in line"
        carrier.kill()
        reason = why(quay.backend, job.id)
        assert reason.code == "transport"
        assert reason.text.endswith("is out of reach, so idle workers are not told, and look for it")
        assert reason.text in says(quay, host, "why", job.id, "--url", carrier.url).replace("\n", " ")
        go.touch()
        assert job.wait(20).state is State.SUCCEEDED
        assert worker.stop() == 0
