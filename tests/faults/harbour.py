"""The app that the fault tests run; it is copied into the test's folder, and imported from there."""

import asyncio
import collections
import contextlib
import ctypes
import itertools
import logging
import os
import signal
import threading
import time
from pathlib import Path

from narrowboat import App, DeadJob, Needs, Retry, RunningJob, current_job, progress

app = App("harbour")
FOLDER = Path(__file__).parent
HERE = Needs(write=[FOLDER])

if os.access(FOLDER, os.W_OK):  # not when an executor imports it anew
    logging.getLogger("harbour.import").addHandler(logging.FileHandler(FOLDER / "import.log"))


def note(ledger: str, word: str) -> None:
    """One line in the ledger, whole even when many processes write."""
    job = current_job()
    with open(ledger, "ab", buffering=0) as file:
        file.write(f"{word} {job.id} {job.fence}\n".encode())


@app.task(retry=Retry(attempts=50, crashes=50, delay=0.01), needs=HERE)
def load(ledger: str, seconds: float) -> int:
    """Leaves a line when it begins and one when it ends."""
    note(ledger, "begin")
    time.sleep(seconds)
    note(ledger, "end")
    return 1


@app.task(retry=Retry(attempts=50, crashes=50, delay=0.01), needs=HERE)
def load_until(ledger: str, path: str) -> int:
    """As `load`; it ends when there is such a file, or one with the number of the attempt at the end of its name."""
    note(ledger, "begin")
    while not (os.path.exists(path) or os.path.exists(f"{path}{current_job().attempt}")):
        time.sleep(0.005)
    note(ledger, "end")
    return 1


@app.task(untrusted=True, retry=Retry(attempts=50, crashes=50, delay=0.01), needs=HERE)
def load_once(ledger: str) -> int:
    """As `load`, in an executor of its own: what is claimed ahead waits in the worker."""
    note(ledger, "begin")
    return 1


@app.task
def nothing() -> None:
    """Does nothing."""


@app.task(timeout=1, retry=Retry(attempts=1), needs=HERE)
def spin_in_c(marker: str) -> None:
    """Blocks every signal and never returns from C, holding the interpreter."""
    _spin(marker)


@app.task(retry=Retry(attempts=1), needs=HERE)
def spin_for_long(marker: str) -> None:
    """The same, and its timeout is far away."""
    _spin(marker)


def _spin(marker: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    Path(marker).write_text(str(os.getpid()))
    collections.deque(itertools.repeat(0), maxlen=0)


@app.task(timeout=1, retry=Retry(attempts=1), needs=HERE)
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


@app.task(memory="100MB", needs=HERE)
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


@app.task(needs=HERE)
def write_and_log(path: str) -> list[bool]:
    """Opens a file of its own, writes, and logs through a handler that was opened at import."""
    with open(path, "w") as file:
        file.write("mine")
        file.flush()
        for _ in range(100):
            logging.getLogger("harbour.import").warning("this must not end up in the task's file")
    log = os.stat(FOLDER / "import.log")
    opened = []
    for number in range(200):
        with contextlib.suppress(OSError):
            found = os.fstat(number)
            opened.append((found.st_dev, found.st_ino) == (log.st_dev, log.st_ino))
    return opened


@app.task
def environment() -> dict[str, str]:
    """What a task sees of the environment."""
    return dict(os.environ)


@app.task(retry=Retry(attempts=1), needs=Needs.trusted())
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
def forge() -> None:
    """Speaks to the worker about a job that is not its own."""
    import gc

    from narrowboat import kernel
    from narrowboat.core.outcome import Succeeded
    from narrowboat.executor import wire

    for channel in gc.get_objects():
        if isinstance(channel, kernel.Channel):
            for token in range(1, current_job().fence):
                channel.send(wire.encode(wire.Ended(token, Succeeded(b'"forged"'), 0.0)))
    time.sleep(30)


@app.task
def has_one_thread() -> int:
    """How many threads there are in an executor."""
    return threading.active_count()


@app.task(concurrency=50, retry=Retry(attempts=1), needs=HERE)
async def wait_async(path: str, seconds: float = 0.0) -> str:
    """Waits for a file among others, or for a time."""
    progress(0, 1, "waiting")
    print("waiting for", path)
    if seconds:
        await asyncio.sleep(seconds)
        return f"{os.getpid()}"
    while not os.path.exists(path):
        await asyncio.sleep(0.01)
    return f"{os.getpid()}"


@app.task(concurrency=50, timeout=1, retry=Retry(attempts=1), needs=HERE)
async def stubborn(marker: str) -> None:
    """Does not end when it is cancelled."""
    Path(marker).write_text(str(os.getpid()))
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            Path(marker + ".told").write_text("")


@app.task(concurrency=50, timeout=1, retry=Retry(attempts=1), needs=HERE)
async def too_slow(marker: str) -> None:
    """Ends when it is cancelled, and says which process it was."""
    try:
        await asyncio.sleep(60)
    finally:
        Path(marker).write_text(str(os.getpid()))


@app.task(concurrency=50, timeout=30, retry=Retry(attempts=3, crashes=1))
async def stand_still() -> None:
    """Stops the event loop for good."""
    collections.deque(itertools.repeat(0), maxlen=0)


@app.task(concurrency=50, timeout=4, retry=Retry(attempts=2, delay=0.01))
async def brief(seconds: float) -> str:
    """Takes little time, if the loop turns."""
    await asyncio.sleep(seconds)
    return "done"


@app.task(concurrency=50, retry=Retry(attempts=3, crashes=1), needs=HERE)
async def crash_async(path: str) -> None:
    """Waits until its neighbours are there, then kills the executor."""
    while not os.path.exists(path):
        await asyncio.sleep(0.005)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)


@app.task(queue="mail")
def mail(ledger: str, number: int) -> None:
    """One of many."""


@app.task(needs=Needs(enqueue=[mail], write=[FOLDER]), retry=Retry(attempts=50, crashes=50, delay=0.01))
def newsletter(ledger: str, readers: int, fail: str = "") -> int:
    """Enqueues a mail for each reader; `fail` names a file without which it fails at the end."""
    note(ledger, "begin")
    for start in range(0, readers, 500):
        app.enqueue_many([mail.job(ledger, number) for number in range(start, min(start + 500, readers))])
    if fail and not os.path.exists(fail):
        Path(fail).write_text("")
        raise RuntimeError("fails once, at the very end")
    return readers


@app.task(concurrency=10, needs=Needs(enqueue=["harbour.mail"]))
async def newsletter_async(ledger: str, readers: int) -> None:
    """The same, one by one, in a loop."""
    for number in range(readers):
        await mail.aenqueue(ledger, number)


@app.task(retry=Retry(attempts=1))
def undeclared(ledger: str) -> None:
    """Enqueues what it did not declare."""
    mail.enqueue(ledger, 1)


@app.on_dead(needs=HERE)
def tell(job: DeadJob) -> None:
    """Writes down who died."""
    with open(FOLDER / "told", "a") as file:
        file.write(f"{job.id} {job.attempts} {job.reason}\n")


@app.executor_start
def started() -> None:
    """Leaves a line for each executor."""
    with contextlib.suppress(OSError), open(FOLDER / "hooks", "a") as file:
        file.write(f"start {os.getpid()}\n")


@app.executor_stop
def stopped() -> None:
    """Leaves another at its end."""
    with contextlib.suppress(OSError), open(FOLDER / "hooks", "a") as file:
        file.write(f"stop {os.getpid()}\n")


@app.around_job
def outer(job: RunningJob):
    """Leaves lines around the jobs of one task."""
    if job.task == "harbour.hooked":
        with open(FOLDER / "hooks", "a") as file:
            file.write(f"before {job.id}\n")
    yield
    if job.task == "harbour.hooked":
        with open(FOLDER / "hooks", "a") as file:
            file.write(f"after {job.id}\n")


@app.task(needs=HERE)
def hooked() -> None:
    """Has hooks around it."""
    with open(FOLDER / "hooks", "a") as file:
        file.write("inside\n")


@app.task
def who(seconds: float = 0.0) -> int:
    """The process that runs it."""
    time.sleep(seconds)
    return os.getpid()


@app.task(untrusted=True, retry=Retry(attempts=1), needs=HERE)
def once(path: str = "") -> int:
    """The process that runs it, and no other job; it waits for a file, if one is named."""
    progress(0, 1, "waiting")
    while path and not os.path.exists(path):
        time.sleep(0.005)
    return os.getpid()


kept: list[bytearray] = []


@app.task
def leak(size: int) -> int:
    """Keeps memory for good."""
    kept.append(bytearray(os.urandom(1000) * (size // 1000)))
    time.sleep(1.0 if size > 10_000_000 else 0.0)
    return os.getpid()


@app.task(exclusive=True, retry=Retry(attempts=50, crashes=50, delay=0.01), needs=HERE)
def guard_alone(ledger: str, seconds: float) -> int:
    """As `guard`, and no two attempts of it overlap."""
    return _guard(ledger, seconds)


@app.task(retry=Retry(attempts=50, crashes=50, delay=0.01), needs=HERE)
def guard(ledger: str, seconds: float) -> int:
    """Says every 20 ms that it is there: with the job's id, its fence, and the time. A file may end it sooner."""
    return _guard(ledger, seconds)


def _guard(ledger: str, seconds: float) -> int:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not os.path.exists(f"{ledger}.enough"):
        note(ledger, f"{time.monotonic():.3f}")
        time.sleep(0.02)
    return 1
