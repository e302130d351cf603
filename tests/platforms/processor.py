"""Runs on a machine with another processor, as root: the attacks, the doctor, and a worker with a few jobs."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from pathlib import Path

from report import BIN, check, end, introduce, say, sh, until

WHERE = "NARROWBOAT_URL=sqlite:////srv/jobs/jobs.db"
AS_SHOP = f"cd /srv/shop && exec setpriv --reuid=shop --regid=shop --clear-groups env {WHERE}"


def narrowboat(words: str) -> str:
    """The command line as the app's user."""
    return sh(f"{AS_SHOP} {BIN}/narrowboat {words}", 600)


def stacks() -> None:
    for name in ("SC_MINSIGSTKSZ", "SC_THREAD_STACK_MIN"):
        say(f"{name} {os.sysconf(name)}")
    say(sh("grep -m1 Features /proc/cpuinfo"))


def doctor() -> None:
    for who, words in (
        ("root", f"cd /srv/shop && {BIN}/narrowboat doctor"),
        ("shop", f"{AS_SHOP} {BIN}/narrowboat doctor"),
    ):
        text = sh(words, 600)
        check(f"the doctor, as {who}", "all of it is enforced" in text, "\n" + text)


def jobs() -> None:
    sh("mkdir /srv/jobs && chown shop /srv/jobs")
    with open("/srv/worker.log", "w") as log:
        words = f"{AS_SHOP} SMTP_PASSWORD=tr0mb0ne {BIN}/narrowboat worker shop:app -n 2"
        worker = subprocess.Popen(words, shell=True, stdout=log, stderr=log, start_new_session=True)
    took = until(lambda: worker.poll() is not None or "drains for" in Path("/srv/worker.log").read_text(), 300)
    check("a worker starts", worker.poll() is None, f"{took:.0f} s")
    for task, arguments, expected in (
        ("version", "", '"first"'),
        ("sort", "count=20000", "succeeded"),
        ("use_the_secret", "", hashlib.sha256(b"tr0mb0ne").hexdigest()),
        ("look_for_the_secret", "folder=/srv/jobs", "[]"),
        ("hoard", "", "out of memory"),
        ("hoard_together", "", "out of memory"),
        ("crash", "", "SIGSEGV"),
    ):
        done = narrowboat(f"enqueue shop.{task} {arguments} --wait 200s")
        check(f"a job of {task}", expected in done, done)
    os.killpg(worker.pid, signal.SIGTERM)
    check("it ends well", worker.wait(120) == 0)
    say(Path("/srv/worker.log").read_text())


def attacks() -> None:
    command = f"PYTHONPATH=src {BIN}/python -m pytest -q -p no:cacheprovider -o timeout=3000"
    done = sh(f"cd /srv/narrowboat && {command} tests/security/test_attacks.py", 3600)
    check("tests/security/test_attacks.py", " failed" not in done and " passed" in done, "\n" + done[-6000:])


def main() -> None:
    introduce()
    for step in (stacks, doctor, jobs, attacks):
        say(f"== {step.__name__}")
        try:
            step()
        except Exception as error:  # noqa: BLE001  (the next one is tried)
            check(step.__name__, False, repr(error))
    end()


if __name__ == "__main__":
    main()
