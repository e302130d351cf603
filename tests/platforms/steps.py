"""What is tried on more than one platform: the doctor, a worker with a few jobs, and the attacks."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
from pathlib import Path

from report import BIN, check, say, sh, until

NONE_INSIDE = r"^namespaces and a root of its own, Landlock \d+, seccomp: 0 work; "
OPEN_WITHOUT_NAMESPACES = (  # as docs/security.md says
    r"^Landlock \d+, seccomp: 4 work; these: "
    "see_whether_a_file_exists, execute_a_written_file, fill_the_scratch_folder, thread_bomb$"
)


def become(user: str, folder: str = "/srv/shop") -> str:
    """The words before a command of this user in a folder, with a database of its own."""
    words = f"cd {folder} && exec env NARROWBOAT_URL=sqlite:////srv/jobs-{user}/jobs.db"
    return words if user == "root" else f"{words} setpriv --reuid={user} --regid={user} --clear-groups"


def doctor(user: str, expected: str) -> None:
    """What holds, for a worker of this user."""
    text = sh(f"{become(user)} {BIN}/narrowboat doctor", 600)
    check(f"the doctor, as {user}", expected in text, "\n" + text)


def jobs(user: str) -> None:
    """A worker of this user, some jobs, and its end."""
    sh(f"mkdir /srv/jobs-{user} && chown {user} /srv/jobs-{user}")
    log = Path(f"/srv/worker-{user}.log")
    with log.open("w") as output:
        words = f"{become(user)} env SMTP_PASSWORD=tr0mb0ne {BIN}/narrowboat worker shop:app -n 2"
        worker = subprocess.Popen(words, shell=True, stdout=output, stderr=output, start_new_session=True)
    took = until(lambda: worker.poll() is not None or "drains for" in log.read_text(), 300)
    check(f"a worker of {user} starts", worker.poll() is None, f"{took:.0f} s")
    for task, arguments, expected in (
        ("version", "", '"first"'),
        ("sort", "count=20000", "succeeded"),
        ("use_the_secret", "", hashlib.sha256(b"tr0mb0ne").hexdigest()),
        ("look_for_the_secret", f"folder=/srv/jobs-{user}", "[]"),
        ("hoard", "", "out of memory"),
        ("hoard_together", "", "out of memory"),
        ("crash", "", "SIGSEGV"),
    ):
        done = sh(f"{become(user)} {BIN}/narrowboat enqueue shop.{task} {arguments} --wait 200s", 600)
        check(f"a job of {task}", expected in done, done)
    os.killpg(worker.pid, signal.SIGTERM)
    check("it ends well", worker.wait(120) == 0)
    say(log.read_text())


def attacks(user: str, *expected: str) -> None:
    """All of them, as this user: in the open, inside, and inside without namespaces.

    expected: lines that tell what works.
    """
    command = f"{become(user, '/srv/narrowboat')} env PYTHONPATH=src {BIN}/python -u -m tests.security.table --beside"
    done = sh(command, 3600)
    say(done)
    for line in expected:
        check(f"attacks of {user}", re.search(line, done, re.MULTILINE), line)
    check("each was run", "rows differ" in done)
