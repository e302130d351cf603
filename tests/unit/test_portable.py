"""The portable part of the kernel floor, tried on whatever system this is."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import pytest

from narrowboat.kernel import portable

ROOM = 64 * 1024
LIMIT = 8 * 1024 * 1024
Pair = tuple[portable.Channel, portable.Channel]


@pytest.fixture
def ends() -> Generator[Pair]:
    one, other = portable.pair(ROOM)
    yield one, other
    one.close()
    other.close()


def test_messages_keep_their_bounds_and_their_order(ends: Pair) -> None:
    one, other = ends
    messages = [b"", b"x", b"y" * 1000, bytes(range(256))]
    for message in messages[1:]:
        one.send(message)
    assert other.recv(LIMIT, socket.MSG_PEEK) == b"x"
    assert other.is_ahead
    assert [other.recv(LIMIT) for _ in range(3)] == messages[1:]
    assert not other.is_ahead
    with pytest.raises(BlockingIOError):
        other.recv(LIMIT, socket.MSG_DONTWAIT)
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(LIMIT)
    one.shutdown(socket.SHUT_WR)
    assert other.recv(LIMIT) == b"" == other.recv(LIMIT)


def test_a_message_larger_than_the_socket_arrives_whole_also_from_a_sender_that_does_not_wait(ends: Pair) -> None:
    one, other = ends
    one.setblocking(False)
    large = os.urandom(4 * 1024 * 1024)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(other.recv(LIMIT)))
    reader.start()
    one.send(large)
    reader.join(10)
    assert received == [large]


def test_many_threads_do_not_mix_their_messages(ends: Pair) -> None:
    one, other = ends
    senders = [threading.Thread(target=lambda n=n: [one.send(bytes([n]) * 3000) for _ in range(50)]) for n in range(4)]
    for sender in senders:
        sender.start()
    got = [other.recv(LIMIT) for _ in range(200)]
    for sender in senders:
        sender.join(10)
    assert all(len(message) == 3000 and len(set(message)) == 1 for message in got)


def test_a_handler_that_raises_does_not_tear_a_message(ends: Pair) -> None:
    one, other = ends

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise InterruptedError("stopped")

    before = signal.signal(signal.SIGALRM, interrupt)
    sender = threading.get_ident()
    received: list[bytes] = []

    def read() -> None:
        select.select([other], [], [], 30)  # its beginning is there, and there is no room for the rest
        signal.pthread_kill(sender, signal.SIGALRM)
        received.append(other.recv(LIMIT))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with pytest.raises(InterruptedError):  # after the message, not within it
            one.send(b"z" * 1_000_000)
            time.sleep(10)
    finally:
        signal.signal(signal.SIGALRM, before)
        reader.join(10)
    assert received == [b"z" * 1_000_000]


def test_open_files_come_along(ends: Pair, tmp_path: Path) -> None:
    one, other = ends
    (tmp_path / "a").write_text("hello")
    descriptor = os.open(tmp_path / "a", os.O_RDONLY)
    one.send(b"without")
    one.send_with(b"with", [descriptor, descriptor])
    os.close(descriptor)
    assert other.recv_with(LIMIT, 0) == (b"without", [])
    data, passed = other.recv_with(LIMIT, 2)
    assert data == b"with" and len(passed) == 2
    assert os.read(passed[0], 100) == b"hello"
    for number in passed:
        os.close(number)


def test_what_is_too_large_is_refused_before_it_is_read(ends: Pair) -> None:
    one, other = ends
    os.write(one.fileno(), struct.pack("!I", LIMIT + 1) + b"junk")
    with pytest.raises(OSError, match="too large"):
        other.recv(LIMIT)


def test_a_far_end_that_does_not_read_is_given_up(ends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = ends
    monkeypatch.setattr(portable, "_PATIENCE_S", 0.1)
    one.setblocking(False)
    with pytest.raises(BrokenPipeError, match="does not read"):
        one.send(b"z" * 10_000_000)


def test_the_end_of_a_pipe_ends_a_process(tmp_path: Path) -> None:
    lifeline, writer = os.pipe()
    code = (
        "import sys, time\n"
        "from narrowboat.kernel import portable\n"
        "portable.die_with(int(sys.argv[1]))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(lifeline)], pass_fds=[lifeline], stdout=subprocess.PIPE)
    os.close(lifeline)
    assert child.stdout is not None and child.stdout.readline() == b"up\n"
    assert child.poll() is None
    os.close(writer)
    assert child.wait(10) == 0
    child.stdout.close()


def test_a_dead_child_is_taken_in_with_what_it_left() -> None:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)
        os._exit(7)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert portable.reap({1}) is None
    assert portable.reap() == (pid, 7)
    assert portable.reap() is None


def test_processes_are_looked_at_with_ps() -> None:
    assert portable.resident_bytes(os.getpid()) > 1_000_000
    assert portable.started(os.getpid()) == 1
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert portable.started(child.pid) is None, "a zombie is no process"
    child.wait()
    assert portable.started(child.pid) is None
    assert portable.resident_bytes(child.pid) == 0
    portable.Process(child.pid).signal(signal.SIGTERM)  # no error


def test_a_scratch_file_has_no_name() -> None:
    descriptor = portable.scratch("words")
    os.write(descriptor, b"hello")
    assert os.pread(descriptor, 10, 0) == b"hello"
    assert os.fstat(descriptor).st_nlink == 0
    assert descriptor in portable.open_descriptors()
    assert select.select([descriptor], [], [], 0)[0] == [descriptor]
    os.close(descriptor)
