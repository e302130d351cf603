"""Tasks with full control of their process, used against everybody else: an app, copied into a test's folder.

What a decoder with a hole would be made to do: native code by ctypes, raw frames on the socket to the worker.
"""

import array
import ctypes
import hashlib
import mmap
import os
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

from narrowboat import App, Needs, Retry, current_job, progress
from narrowboat.core.job import NewJob, Progress
from narrowboat.core.outcome import Cancelled, ErrorInfo, Failed, Succeeded
from narrowboat.executor import wire

app = App("pirate")
ONCE = Retry(attempts=1)
MB = 1024 * 1024
SIGNALS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "signals")
SLEEP = os.path.realpath("/usr/bin/sleep")
libc = ctypes.CDLL(None, use_errno=True)
left: list[str] = []


def sockets() -> Iterator[int]:
    """Every socket that this process has."""
    for number in range(1024):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                yield number
        except OSError:
            continue


def say(data: bytes) -> None:
    """Write to the worker as native code would."""
    for number in sockets():
        libc.write(number, data, ctypes.c_size_t(len(data)))


# Arguments that corrupt memory, as in CVE-2019-11037: a size that does not fit the data.


@app.task(untrusted=True, retry=Retry(attempts=5, delay=0))
def write_out_of_bounds(columns: int) -> str:
    """Fill a kernel of 3 columns as if it had as many as the caller says, until memory ends."""
    kernel = ctypes.create_string_buffer(3 * 8)
    for column in range(columns):
        ctypes.memset(ctypes.addressof(kernel) + column * 4096, 0x41, 4096)
    return "survived"


@app.task(untrusted=True, retry=Retry(attempts=5, delay=0))
def write_to_freed_memory() -> str:
    """Over the list of free blocks, so that the next block is wherever one likes."""
    libc.malloc.restype = ctypes.c_void_p
    size = 1000  # of the lists that are kept by size, one that nothing else in an interpreter uses meanwhile
    blocks = [libc.malloc(ctypes.c_size_t(size)) for _ in range(2)]
    for block in blocks:
        libc.free(ctypes.c_void_p(block))
    ctypes.memset(blocks[1], 0x41, size)
    for _ in range(2):
        ctypes.memset(libc.malloc(ctypes.c_size_t(size)), 0x41, size)
    return "survived"


@app.task(untrusted=True, retry=Retry(attempts=5, delay=0))
def call_nowhere() -> str:
    """Jump into data."""
    code = ctypes.create_string_buffer(b"\xcc" * 64)
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(code))()
    return "survived"


# Jobs of others.


@app.task(needs=Needs(read=[SIGNALS]))
def guard(treasure: str, until: str) -> str:
    """A neighbour with something to steal."""
    while not os.path.exists(until):
        time.sleep(0.005)
    return treasure[::-1]


@app.task(untrusted=True, retry=ONCE, needs=Needs(read=[SIGNALS]))
def lurk(mark: str, until: str) -> None:
    """Be there, to be looked into."""
    while not os.path.exists(until):
        time.sleep(0.005)


@app.task(untrusted=True, retry=ONCE)
def overhear() -> list[str]:
    """All that can be read from the sockets and other descriptors without waiting."""
    heard: list[str] = []
    for number in range(3, 1024):
        for read in (lambda n: socket.socket(fileno=os.dup(n)).recv(1 << 20, socket.MSG_DONTWAIT), _read):
            try:
                heard.append(read(number).decode(errors="replace"))
            except (OSError, ValueError):
                continue
    return heard


def _read(number: int) -> bytes:
    os.set_blocking(number, False)
    return os.pread(number, 1 << 20, 0) if stat.S_ISREG(os.fstat(number).st_mode) else os.read(number, 1 << 20)


# Outcomes of others.

FORGERIES = (
    "ended",
    "failed",
    "cancelled",
    "started",
    "several",
    "next",
    "asked",
    "zygote",
    "crowd",
    "garbage",
    "no text",
    "no json",
    "too long",
)


@app.task(untrusted=True, retry=ONCE)
def forge(how: str) -> None:
    """Say of every token near the own one what is for its owner to say."""
    own = current_job().fence
    for token in [*range(max(1, own - 200), own), *range(own + 1, own + 200)]:
        match how:
            case "ended":
                say(wire.encode(wire.Ended(token, Succeeded(b'"forged"'), 0.0)))
            case "failed":
                say(wire.encode(wire.Ended(token, Failed(ErrorInfo(type="Forged", message="forged")), 0.0)))
            case "cancelled":
                say(wire.encode(wire.Ended(token, Cancelled("forged"), 0.0)))
            case "started":
                say(wire.encode(wire.Started(token)))
            case "several":
                say(wire.encode(wire.Several((wire.Started(token), wire.Ended(token, Succeeded(b"1"), 0.0)))))
            case "next":
                say(wire.encode(wire.Ended(own, Succeeded(b'"own"'), 0.0, token)))
            case "asked":
                job = NewJob(id="pirate.guard:x", task="pirate.guard", queue="default", args=b"{}")
                say(wire.encode(wire.Asked(own, (job,))))
            case "zygote":
                say(wire.encode(wire.Exited(os.getppid(), 0)))
            case "crowd":
                say(wire.encode(wire.Several((wire.Reported(own, Progress(1, 2)),) * (wire.SEVERAL + 1))))
            case "no text":  # a frame whose name is no UTF-8
                say(b"\x92\xb3\xff\xfe\xfd\x00")
            case "no json":
                say(wire.encode(wire.Ended(own, Succeeded(b'["\xff\xfe"]'), 0.0)))
            case "garbage":
                say(os.urandom(100))
            case _:
                say(bytes(wire.MAX_FRAME + 1))
    time.sleep(30)


@app.task(untrusted=True, retry=ONCE)
def forge_its_own() -> None:
    """This is not stopped: what a job's result is, is for its executor to say. It is the end of that, though."""
    say(wire.encode(wire.Ended(current_job().fence, Succeeded(b'"forged"'), 0.0)))
    time.sleep(30)


@app.task(untrusted=True, retry=ONCE)
def send_descriptors() -> None:
    """Fill the worker's table of open files."""
    for number in sockets():
        with socket.socket(fileno=os.dup(number)) as line:
            for _ in range(2000):
                frame = wire.encode(wire.Logged(current_job().fence, "x"))
                line.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 0, 0, 0]))])


# The backend.


@app.task(untrusted=True, retry=ONCE)
def reach_the_backend(paths: list[str], inodes: list[list[int]]) -> list[str]:
    """Which of these files can be opened, linked, or are open already."""
    reached: list[str] = []
    for path in paths:
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_PATH):
            descriptor = libc.open(path.encode(), flags)
            if descriptor >= 0 and not flags & os.O_PATH:
                reached.append(f"open {path}")
        if libc.link(path.encode(), b"linked") == 0 or libc.rename(path.encode(), b"moved") == 0:
            reached.append(f"link {path}")
        for number in range(1024):  # relative to whatever is open
            if libc.openat(number, f"..{path}".encode(), os.O_RDONLY) >= 0:
                reached.append(f"openat {number} {path}")  # noqa: PERF401
    for number in range(1024):
        try:
            found = os.fstat(number)
        except OSError:
            continue
        if [found.st_dev, found.st_ino] in inodes and not _is_only_a_place(number):
            reached.append(f"descriptor {number}")
    return reached


def _is_only_a_place(number: int) -> bool:
    """O_PATH: neither read nor written through."""
    try:
        os.pread(number, 1, 0)
    except OSError:
        return True
    return False


# What stays.


@app.task(untrusted=True, retry=ONCE, needs=Needs(programs=[SLEEP]))
def leave(seconds: str) -> str:
    """Memory, a file, a thread that never ends, and programs in the background."""
    left.append("memory")
    for folder in (".", "/scratch", "/tmp", "/var/tmp", "/dev/shm", "/"):
        try:
            with open(f"{folder}/left-behind", "w") as file:
                file.write("x")
        except OSError:
            continue
    threading.Thread(target=_spin, daemon=True).start()
    for session in (False, True):
        try:
            subprocess.Popen([SLEEP, seconds], start_new_session=session)
        except OSError:
            continue
    return f"{len(left)} in memory"


def _spin() -> None:
    while True:
        pass


@app.task(untrusted=True, retry=ONCE, needs=Needs(programs=[SLEEP]))
def look() -> list[str]:
    """What an attempt before this one left; run with the same needs."""
    folders = (".", "/scratch", "/tmp", "/var/tmp", "/dev/shm", "/")
    files = [f"{folder}/left-behind" for folder in folders if os.path.exists(f"{folder}/left-behind")]
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    return [*left, *files, *threads]


@app.task(untrusted=True, retry=ONCE)
def stay() -> None:
    """End the attempt, but not the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    say(wire.encode(wire.Ended(current_job().fence, Succeeded(b'"left"'), 0.0)))
    while True:
        pass


@app.task(untrusted=True, retry=ONCE)
def hang_up() -> None:
    """Close the way to the worker as one does who is dead, and live on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    for number in sockets():
        libc.shutdown(number, socket.SHUT_RDWR)
    while True:
        pass


# Floods.

FLOODS = {
    "lines": "protocol violation",
    "long lines": "protocol violation",
    "jobs": "protocol violation",
    "progress": "timeout",
    "several": "timeout",
    "prints": "timeout",
}  # and what ends each


@app.task(untrusted=True, retry=ONCE, timeout=8)
def flood(how: str) -> None:
    """As fast as it can, for as long as it lives."""
    token = current_job().fence
    frames: dict[str, bytes] = {
        "lines": wire.encode(wire.Logged(token, "x")),
        "long lines": wire.encode(wire.Logged(token, "x" * (wire.MAX_FRAME - 100))),
        "progress": wire.encode(wire.Reported(token, Progress(1, 2, "x"))),
        "several": wire.encode(wire.Several((wire.Reported(token, Progress(1, 2, "x")),) * wire.SEVERAL)),
        "jobs": wire.encode(wire.Asked(token, ())),
    }
    if how == "prints":
        while True:
            print("x" * 100)
    [line] = sockets()
    while True:
        os.write(line, frames[how])


@app.task
def echo(value: int) -> int:
    """A neighbour that is in a hurry."""
    return value


# More of the processor, the memory and the disk than one slot's share.

THREADS = 64


@app.task(untrusted=True, retry=ONCE, timeout=180)
def be_busy() -> None:
    """An honest neighbour that works all the time, as the others are measured against."""
    progress(0, 1, "under way")
    while True:
        pass


@app.task(untrusted=True, retry=ONCE, timeout=180, memory="256MB")
def hog(how: str) -> None:
    """By many threads, which hold no lock of the interpreter: spin, write to memory and give it back, or sync files."""
    acts = {"spin_threads": _digest, "thrash_memory": _thrash, "sync_files": _sync}
    threading.stack_size(max(65_536, os.sysconf("SC_THREAD_STACK_MIN")))
    progress(0, 1, "under way")
    for _ in range(THREADS):
        try:
            threading.Thread(target=_for_ever, args=(acts[how],), daemon=True).start()
        except RuntimeError:
            break
    _for_ever(acts[how])


def _for_ever(act: Callable[[], None]) -> None:
    while True:
        try:
            act()
        except BaseException:  # noqa: BLE001  (it does not listen when it is told to stop)
            continue


def _digest() -> None:
    hashlib.sha256(bytes(MB)).digest()


def _thrash() -> None:
    size = 2 * MB
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for _ in range(50):
            ctypes.memset(start, 1, size)
            memory.madvise(mmap.MADV_DONTNEED)


def _sync() -> None:
    with open(f"synced-{threading.get_ident()}", "wb") as file:
        for _ in range(50):
            os.pwrite(file.fileno(), bytes(65_536), 0)
            os.fsync(file.fileno())


@app.task
def work() -> int:
    """A neighbour that needs some 20 ms of the processor."""
    return sum(hashlib.sha256(bytes(MB)).digest()[0] for _ in range(16))
