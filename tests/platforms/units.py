"""Runs under systemd, as root: the unit of the docs, and what it does with a worker."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report import BIN, check, end, follow, introduce, say, sh, until

from narrowboat import App, JobHandle
from narrowboat.core.states import State

UNIT = Path("/etc/systemd/system/narrowboat.service")
TEXT = UNIT.read_text()
URL = "sqlite:////var/lib/shop/jobs.db"
shop = App("shop", url=URL)
OPTIONS = (  # of systemd's, each added to the unit alone: what is left of the sandbox
    "RestrictNamespaces=yes", "SystemCallFilter=@system-service", "ProtectControlGroups=yes", "PrivateUsers=yes",
    "ProtectProc=invisible", "ProcSubset=pid", "MemoryDenyWriteExecute=yes", "PrivateNetwork=yes", "Delegate=no",
    "DynamicUser=yes",
)  # fmt: skip


@contextmanager
def as_shop() -> Iterator[None]:
    """What is done to the database, so that its files stay those of the app's user."""
    user = pwd.getpwnam("shop")
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def enqueue(task: str, *arguments: Any) -> JobHandle[Any]:
    """A job of the app."""
    with as_shop():
        return shop.enqueue_by_name(f"shop.{task}", *arguments)


def record(job: JobHandle[Any]) -> Any:
    """How it is."""
    with as_shop():
        return job.refresh().record


def is_state(job: JobHandle[Any], state: str) -> bool:
    """Whether it is there now."""
    return record(job).state.value == state


def outcome(task: str, *arguments: Any) -> str:
    """How a job ends: its result, or why it is dead."""
    job = enqueue(task, *arguments)
    with as_shop():
        job.wait(200)
        return repr(job.result) if job.state is State.SUCCEEDED else f"{job.state.value}: {job.record.reason}"


def show(*names: str, unit: str = "narrowboat") -> dict[str, str]:
    """What systemd says of a unit."""
    text = sh(f"systemctl show {unit} {' '.join(f'-p {name}' for name in names)}")
    return dict(line.split("=", 1) for line in text.splitlines())


def main_pid() -> int:
    return int(show("MainPID")["MainPID"])


def log() -> str:
    return sh("journalctl -u narrowboat -o cat --no-pager")


def start() -> None:
    began = time.monotonic()
    said = sh("systemctl start narrowboat")
    state = show("ActiveState", "StatusText", "MainPID", "User")
    check("started, and then it is ready", state["ActiveState"] == "active", f"{time.monotonic() - began:.1f} s {said}")
    until(lambda: "consuming" in show("StatusText")["StatusText"])
    check("it says how it is", "consuming" in show("StatusText")["StatusText"], show("StatusText")["StatusText"])
    say(sh("systemctl status narrowboat --no-pager -n 0"))
    say(log())
    say(sh("dmesg | grep type=1326 | tail -3"))
    if state["ActiveState"] != "active":
        sh("systemctl stop narrowboat")
        for line in re.findall(
            r"^(?:Restrict|Protect|Private|Capab|Lock|NoNew|SystemCall|UMask).*\n", TEXT, re.MULTILINE
        ):
            UNIT.write_text(TEXT.replace(line, ""))
            sh("systemctl daemon-reload")
            say(f"without {line.strip()}: {sh('systemctl start narrowboat && echo it starts')[:40]}")
            sh("systemctl stop narrowboat")
        end()


def jobs() -> None:
    check("a job", outcome("version") == "'first'")
    seen = outcome("use_the_secret")
    check("a secret from a credential", hashlib.sha256(b"tr0mb0ne").hexdigest() in seen, seen)
    seen = outcome("look_for_the_secret", "/run/credentials/narrowboat.service")
    check("which no other task sees", seen == "[]", seen)
    seen = outcome("crash")
    check("a crash", "SIGSEGV" in seen, seen)


def groups() -> None:
    neighbour = enqueue("nap", 180)  # longer than all that follows takes on an emulated processor
    until(lambda: record(neighbour).started_at)
    tree = sh("systemd-cgls --no-pager -u narrowboat.service")
    check("each executor in a cgroup of its own", "executor-" in tree, "\n" + tree)
    seen = outcome("hoard")
    check("a limit of one process", "out of memory" in seen, seen)
    seen = outcome("hoard_together")
    check("a limit of all together", "out of memory" in seen, seen)
    say(sh("dmesg | grep -E 'oom-kill|Memory cgroup out|oom.group' | tail -6"))
    check("while a neighbour runs", is_state(neighbour, "running"))
    until(lambda: is_state(neighbour, "succeeded"), 300)
    check("which is left alone", record(neighbour).crashes == 0 and is_state(neighbour, "succeeded"))
    state = show("ActiveState", "Result", "NRestarts")
    check("and the service, too", state["ActiveState"] == "active" and state["NRestarts"] == "0", state)


def restart() -> None:
    jobs = [enqueue("nap", 4) for _ in range(9)]
    until(lambda: record(jobs[0]).started_at)
    before, began = main_pid(), time.monotonic()
    sh("systemctl restart narrowboat")
    took = time.monotonic() - began
    until(lambda: all(is_state(job, "succeeded") for job in jobs), 120)
    counts = {(record(job).state.value, record(job).errors, record(job).crashes) for job in jobs}
    check("a restart loses and charges nothing", counts == {("succeeded", 0, 0)}, counts)
    check("in good order", show("Result")["Result"] == "success" and main_pid() != before, f"{took:.1f} s")
    long = enqueue("nap", 200)
    until(lambda: record(long).started_at)
    began = time.monotonic()
    sh("systemctl stop narrowboat")
    took = time.monotonic() - began
    last = record(long)
    check("a long job is handed back when the drain ends", last.state.value == "queued", f"after {took:.1f} s")
    check("uncharged", last.errors == last.crashes == 0)
    check("nothing is left running", not sh("pgrep -u shop"), sh("pgrep -u shop") or "no process")
    check("that is a success for systemd", show("Result")["Result"] == "success", show("ActiveState", "Result"))
    with as_shop():
        long.cancel()
    sh("systemctl start narrowboat")


def kill() -> None:
    worker, job = main_pid(), enqueue("nap", 20)
    until(lambda: record(job).started_at)
    os.kill(worker, signal.SIGKILL)
    took = until(lambda: is_state(job, "succeeded"), 180)
    check("after kill -9 another worker does the job", took < 180, f"{took:.1f} s, {record(job).crashes} crash")
    check("which systemd has started", show("NRestarts")["NRestarts"] == "1", show("NRestarts"))


def reload() -> None:
    source = Path("/srv/shop/shop.py")
    old = source.read_text()
    before = main_pid()
    source.write_text(old.replace('return "first"', 'return "second"'))
    began = time.monotonic()
    sh("systemctl reload narrowboat")
    took = time.monotonic() - began
    check("reload comes back with the new code in use", outcome("version") == "'second'", f"{took:.1f} s")
    check("without a restart", main_pid() == before, before)
    source.write_text("broken = = code\n")
    said = sh("systemctl reload narrowboat")
    check("code that cannot be imported changes nothing", outcome("version") == "'second'", said)
    took = until(lambda: "the old code stays" in log())
    check("and the journal says why", took < 60, f"{took:.1f} s later")
    source.write_text(old)
    sh("systemctl reload narrowboat")


def watchdog() -> None:
    os.makedirs("/run/systemd/system/narrowboat.service.d", exist_ok=True)
    dropin = Path("/run/systemd/system/narrowboat.service.d/watchdog.conf")
    dropin.write_text("[Service]\nWatchdogSec=4\nTimeoutAbortSec=5\n")  # what is stopped does not hear SIGABRT
    sh("systemctl daemon-reload && systemctl restart narrowboat")
    before = main_pid()
    time.sleep(10)  # for a watchdog of 4 s to have bitten, if it does
    check("a worker that is well is left alone", main_pid() == before, before)
    os.kill(before, signal.SIGSTOP)
    took = until(lambda: main_pid() not in (0, before) and show("ActiveState")["ActiveState"] == "active", 300)
    check("one that stands still is replaced", took < 300, f"{took:.1f} s; {show('Result', 'NRestarts')}")
    dropin.unlink()
    sh("systemctl daemon-reload && systemctl restart narrowboat")


def kept() -> None:
    dropin = Path("/run/systemd/system/narrowboat.service.d/kept.conf")
    command = f"{BIN}/narrowboat worker shop:app --max-run-time 8s"
    dropin.write_text(f"[Service]\nWatchdogSec=4\nExecStart=\nExecStart={command}\n")
    sh("systemctl daemon-reload && systemctl restart narrowboat")
    keeper = main_pid()
    workers = set[str]()

    def three() -> bool:
        workers.update(sh(f"pgrep -P {keeper} -f narrowboat.cli").split())
        return len(workers) >= 3

    until(three, 600)
    check("a keeper stays, and its workers take turns", main_pid() == keeper and len(workers) >= 3, sorted(workers))
    check("and run jobs", outcome("version") == "'first'")
    began = time.monotonic()
    sh("systemctl stop narrowboat")
    check("and ends", show("Result")["Result"] == "success", f"{time.monotonic() - began:.1f} s")
    dropin.unlink()
    sh("systemctl daemon-reload")


def hidden() -> None:
    """Two workers that cannot see each other in /proc must not take each other for dead."""
    text = TEXT.replace("User=shop", "User=shop\nProtectProc=invisible")
    for name in ("one", "two"):
        Path(f"/etc/systemd/system/{name}.service").write_text(text)
    sh("systemctl daemon-reload; systemctl start one two")
    jobs = [enqueue("nap", 30) for _ in range(6)]
    until(lambda: all(is_state(job, "succeeded") for job in jobs), 180)
    seen = [(record(job).state.value, record(job).crashes, len(record(job).history)) for job in jobs]
    say(sh("journalctl -u one -u two -o cat --no-pager | grep -c succeeded"))
    check(
        "workers hidden from each other leave each other's jobs alone",
        all(one[:2] == ("succeeded", 0) for one in seen),
        seen,
    )
    sh("systemctl stop one two; cd /etc/systemd/system; rm one.service two.service; systemctl daemon-reload")


def options() -> None:
    """What each option of systemd's takes away, by the doctor in a unit with it."""
    for option in ("", *OPTIONS):
        text = re.sub(r"^ExecStart=.*", f"ExecStart={BIN}/narrowboat doctor shop:app", TEXT, flags=re.MULTILINE)
        text = re.sub(r"^(Type|Restart|WatchdogSec|ExecReload)=.*\n", "", text, flags=re.MULTILINE)
        name = option.partition("=")[0]
        if name in ("RestrictNamespaces", "SystemCallFilter", "Delegate"):
            text = re.sub(rf"^{name}=.*\n", "", text, flags=re.MULTILINE)
        if name == "DynamicUser":
            text = text.replace("User=shop\n", "")
        extra = f"Type=oneshot\nStandardOutput=file:/run/doctor\nStandardError=file:/run/doctor\n{option}\n"
        text = text.replace("[Service]\n", f"[Service]\n{extra}")
        Path("/run/doctor").write_text("")
        Path("/etc/systemd/system/doctor.service").write_text(text)
        sh("systemctl daemon-reload; systemctl start doctor")
        found = Path("/run/doctor").read_text()
        lines = [
            line for line in found.splitlines() if re.search("layers:|no cgroup|no namesp|partial|missing|Error", line)
        ]
        say(f"---- {option or 'as it is'}\n" + "\n".join(lines or [found, sh("journalctl -u doctor -n 5 -o cat")]))
        if not option:
            check("all of it is enforced", "all of it is enforced" in found)
            say(found)


def main() -> None:
    introduce()
    steps = (start, jobs, groups, restart, kill, reload, watchdog, kept, hidden, options)
    wanted = Path(__file__).with_name("wanted").read_text().split()
    follow(*((step,) for step in steps if not wanted or step.__name__ in wanted))
    say(sh("systemd-analyze security narrowboat --no-pager | tail -1"))
    end()


if __name__ == "__main__":
    main()
