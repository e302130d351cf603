"""The app that the fault tests run; it is copied into the test's folder, and imported from there."""

import collections
import ctypes
import itertools
import logging
import os
import signal
import threading
import time
from pathlib import Path

from narrowboat import App, Retry, current_job, progress

app = App("harbour")

logging.getLogger("harbour.import").addHandler(logging.FileHandler("import.log"))


def note(ledger: str, word: str) -> None:
    """One line in the ledger, whole even when many processes write."""
    job = current_job()
    with open(ledger, "ab", buffering=0) as file:
        file.write(f"{word} {job.id} {job.fence}\n".encode())


@app.task(retry=Retry(attempts=50, crashes=50, delay=0.01))
def load(ledger: str, seconds: float) -> int:
    """Leaves a line when it begins and one when it ends."""
    note(ledger, "begin")
    time.sleep(seconds)
    note(ledger, "end")
    return 1


@app.task
def nothing() -> None:
    """Does nothing."""


@app.task(timeout=1, retry=Retry(attempts=1))
def spin_in_c(marker: str) -> None:
    """Blocks every signal and never returns from C, holding the interpreter."""
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    Path(marker).write_text(str(os.getpid()))
    collections.deque(itertools.repeat(0), maxlen=0)


@app.task(timeout=1, retry=Retry(attempts=1))
def tidy_up(marker: str) -> None:
    """Uses the second that Stopping gives."""
    try:
        time.sleep(60)
    finally:
        Path(marker).write_text("tidied")


@app.task(memory="100MB", retry=Retry(attempts=1))
def eat_memory() -> None:
    """Takes all it can."""
    eaten = []
    while True:
        eaten.append(bytearray(1_000_000))


@app.task(memory="100MB")
def wait_for_file(path: str) -> str:
    """A neighbour: goes on until a file appears."""
    progress(0, 1, "waiting")
    while not os.path.exists(path):
        time.sleep(0.005)
    return "unharmed"


@app.task(retry=Retry(attempts=1))
def die_by_signal(number: int) -> None:
    """Kills itself."""
    os.kill(os.getpid(), number)
    time.sleep(10)


@app.task(retry=Retry(attempts=1))
def segfault() -> None:
    """Reads address 0."""
    ctypes.string_at(0)


@app.task(retry=Retry(attempts=1))
def exit_at_once(status: int) -> None:
    """Leaves without a word."""
    os._exit(status)


@app.task(retry=Retry(attempts=5, crashes=2, delay=0.01))
def poison() -> None:
    """Crashes every time."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)


@app.task
def write_and_log(path: str) -> list[str]:
    """Opens a file of its own, writes, and logs through a handler that was opened at import."""
    with open(path, "w") as file:
        file.write("mine")
        file.flush()
        for _ in range(100):
            logging.getLogger("harbour.import").warning("this must not end up in the task's file")
    descriptors = []
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass
    return descriptors


@app.task
def environment() -> dict[str, str]:
    """What a task sees of the environment."""
    return dict(os.environ)


@app.task(retry=Retry(attempts=1))
def leave_helpers(marker: str) -> None:
    """Starts a process in the background, then dies."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)
    Path(marker).write_text(str(pid))
    os._exit(1)


@app.task(retry=Retry(attempts=1))
def chatter(lines: int) -> None:
    """Writes more than is kept."""
    log = logging.getLogger("harbour.chatter")
    for number in range(lines):
        log.info("line %d", number)


@app.task(retry=Retry(attempts=1))
def forge(other_id: str) -> None:
    """Speaks to the worker about a job that is not its own."""
    import gc
    import socket

    from narrowboat.core.outcome import Succeeded
    from narrowboat.executor import wire

    for channel in gc.get_objects():
        if isinstance(channel, socket.socket):
            channel.send(wire.encode(wire.Ended(other_id, Succeeded(b'"forged"'), 0.0)))
    time.sleep(30)


@app.task
def has_one_thread() -> int:
    """How many threads there are in an executor."""
    return threading.active_count()
