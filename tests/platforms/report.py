"""What a trial prints, and the commands that it is made of. Standard library only: it runs on the machine itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

BIN = "/srv/shop/.venv/bin"
failed: list[str] = []


def say(text: str) -> None:
    """On the console."""
    print(text.replace("\n", "\r\n"), end="\r\n", flush=True)


def check(what: str, is_so: object, seen: object = "") -> None:
    """One claim, and what was seen."""
    say(f"{'ok  ' if is_so else 'FAIL'} {what}: {seen if seen != '' else is_so}")
    if not is_so:
        failed.append(what)


def sh(command: str, timeout_s: float = 300) -> str:
    """What a shell command prints, errors included."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=timeout_s)
    return (done.stdout + done.stderr).strip()


def until(condition: Callable[[], object], timeout_s: float = 60) -> float:
    """How many seconds it took to become true; infinite if it did not."""
    began = time.monotonic()
    while time.monotonic() < began + timeout_s:
        if condition():
            return time.monotonic() - began
        time.sleep(0.05)  # between two looks
    return float("inf")


def introduce() -> None:
    """The machine, and what was installed on it; and the app's user is made."""
    sh("useradd --system --home-dir /srv/shop shop")
    say(sh(f"{BIN}/narrowboat version"))
    say(sh("uname -srm; cat /etc/debian_version; python3 --version"))


def follow(*steps: tuple[Callable[..., object], *tuple[str, ...]]) -> None:
    """Functions and their arguments, one after the other; when one ends early, the next is tried all the same."""
    for step, *arguments in steps:
        say(f"== {' '.join([step.__name__, *arguments])}")
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001
            check(step.__name__, False, repr(error))


def end() -> None:
    """The last line, which whoever booted the machine waits for."""
    say(f"{len(failed)} failed: {failed}" if failed else "the trial went well")
    sys.exit(bool(failed))
