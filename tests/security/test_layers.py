"""Each layer by itself, all others off: what it is for does not work behind it, or the kernel says that it holds."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pty
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import layers, zygotes
from narrowboat import App, kernel
from narrowboat.core.needs import Limits, Reach
from narrowboat.executor import child
from narrowboat.sandbox import landlock, root, system, walls
from narrowboat.sandbox.places import Place
from narrowboat.sandbox.walls import Order, Walls
from tests.support.memory import holds
from tests.support.processes import running_worker, wait_for

from . import table
from .alone import become, outcome
from .attacks import ATTACKS
from .ground import EXECUTOR_USER, MB, USER, ground_for, run_attacks
from .hosts import machine
from .marks import NEEDS_PYTHON, TAKES_TURNS
from .test_attacks import BEYOND_A_USER

pytestmark = TAKES_TURNS
NAMES = [name for group in ATTACKS.values() for name in group]

# What each is for. It may stop more than that; what else stops these is off.
STOPS = {
    "namespaces": {
        "read_a_file_of_the_worker", "see_whether_a_file_exists", "read_the_database", "open_by_handle",
        "read_the_scratch_of_another", "write_into_the_scratch_of_another",
        "write_outside", "change_the_mode_of_a_file", "write_into_the_app", "read_the_environment_of_the_worker",
        "see_the_processes_of_the_machine", "trace_the_worker", "take_a_descriptor_of_the_worker",
        "connect_to_a_local_port", "send_a_datagram", "connect_to_a_unix_socket", "connect_to_an_abstract_socket",
        "run_a_shell", "signal_the_worker", "slow_the_worker_down", "execute_a_written_file",
        "fill_the_scratch_folder", "fill_shared_memory",
    },
    "landlock": {
        "read_a_file_of_the_worker", "read_through_a_symbolic_link", "read_through_a_hard_link", "read_by_climbing_up",
        "list_a_folder_of_the_worker", "read_the_database", "read_the_scratch_of_another",
        "write_into_the_scratch_of_another", "write_outside", "empty_a_file", "append_to_a_file",
        "remove_a_file", "rename_a_file", "make_a_folder", "write_into_the_app", "run_a_shell", "run_an_own_file",
        "run_from_memory", "connect_to_a_local_port", "listen_on_a_port", "connect_to_an_abstract_socket",
        "signal_the_worker", "signal_by_pidfd", "signal_another", "open_the_memory_of_the_worker",
        "open_the_memory_of_another", "trace_the_worker",
    },
    "seccomp": {
        "open_by_handle", "empty_a_file", "change_the_mode_of_a_file", "change_the_time_of_a_file",
        "read_memory_with_process_vm_readv", "trace_the_worker", "take_a_descriptor_of_the_worker",
        "read_a_key_of_the_session", "use_shared_memory_of_system_v", "connect_to_a_local_port", "send_a_datagram",
        "connect_to_a_unix_socket", "send_from_a_pair_to_a_path", "ask_the_kernel_by_netlink", "run_a_shell",
        "run_from_memory", "fork", "signal_the_worker", "signal_another", "signal_everybody",
        "have_the_kernel_signal_the_worker", "slow_the_worker_down", "make_a_user_namespace", "use_io_uring",
        "load_a_bpf_program", "use_userfaultfd", "watch_with_perf", "make_memory_writable_and_executable",
        "make_written_memory_executable", "change_the_personality", "take_a_memory_file", "leave_the_session",
        "leave_the_process_group",
    },
    "limits": {
        "take_heap", "take_private_pages", "take_shared_pages", "take_address_space", "raise_the_limits",
        "open_many_files", "write_a_large_file",
    },
}  # fmt: skip


def refused(only: list[str], user: int) -> set[str]:
    with ground_for(user) as ground:
        results, _ = run_attacks(NAMES, ground, user=user, walls=True, only=only)
    broken = {name: text for name, text in results.items() if text.startswith("error")}
    assert not broken, broken
    return {name for name, text in results.items() if not text or text.startswith("killed")}


@NEEDS_PYTHON
@pytest.mark.parametrize("user", [0, USER], ids=["root", "user"])
def test_without_any_layer_everything_works(user: int) -> None:
    assert refused([], user) <= (BEYOND_A_USER if user else set())


@NEEDS_PYTHON
@pytest.mark.parametrize("user", [0, USER], ids=["root", "user"])
@pytest.mark.parametrize("layer", STOPS)
def test_a_layer_alone_stops_what_it_is_for(layer: str, user: int) -> None:
    assert STOPS[layer] - refused([layer], user) == set()


@NEEDS_PYTHON
def test_a_user_of_its_own_keeps_executors_of_root_from_the_worker() -> None:
    assert refused(["user"], 0) >= {
        "open_the_memory_of_the_worker", "read_the_environment_of_the_worker", "signal_the_worker", "trace_the_worker",
        "change_the_mode_of_a_file", "slow_the_worker_down", "become_root_again",
    }  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGSYS, signal.SIGKILL])
def test_a_layer_whose_trial_is_killed_is_not_taken_for_one_that_works(number: int) -> None:
    killed = walls._first_error(lambda: os.kill(os.getpid(), number))
    assert killed.startswith(signal.Signals(number).name)
    assert walls._first_error(os.getpid) == ""


# Smaller steps. Each is tried without it, where the attempt works, and with it alone.


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user may enter."""
    found = Path(tempfile.mkdtemp(prefix="nb-layer-", dir="/var/tmp"))
    found.chmod(0o777)
    yield found
    shutil.rmtree(found)


def test_no_new_privileges_makes_a_set_uid_program_an_ordinary_one(folder: Path) -> None:
    program = folder / "id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)

    def run() -> str:
        return os.popen(f"{program} -u").read().strip()

    assert outcome(run, lambda: become(USER)) == "0"
    assert outcome(run, lambda: become(USER), system.give_up_privileges) == str(USER)


def test_without_capabilities_root_is_bound_by_the_modes_of_files(folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("a secret")
    secret.chmod(0)
    assert outcome(secret.read_text) == "a secret"
    assert outcome(secret.read_text, lambda: system.capset(*system.NO_CAPABILITIES)) == "EACCES"


def test_who_is_not_dumpable_cannot_be_looked_into_by_the_same_user() -> None:
    def look_at_parent() -> str:
        reader, writer = os.pipe()
        parent = os.getpid()
        if os.fork() == 0:
            try:
                os.close(os.open(f"/proc/{parent}/mem", os.O_RDONLY))
                os.write(writer, b"opened")
            except OSError as error:
                os.write(writer, errno.errorcode[error.errno or 0].encode())
            os._exit(0)
        os.wait()
        return os.read(reader, 100).decode()

    def be_dumpable() -> None:
        system.set_dumpable(True)  # which one is not after a change of user

    assert outcome(look_at_parent, lambda: become(USER), be_dumpable) == "opened"
    for step in (lambda: system.set_dumpable(False), kernel.keep_out_of_sight):
        assert outcome(look_at_parent, lambda: become(USER), be_dumpable, step) == "EACCES"


def test_a_session_of_its_own_has_no_terminal() -> None:
    def have_a_terminal() -> None:
        os.setsid()
        _, follower = pty.openpty()
        fcntl.ioctl(follower, 0x540E, 0)  # TIOCSCTTY
        if os.fork() != 0:  # the leader cannot leave its session, but its child can
            os.wait()
            os._exit(0)

    def open_it() -> str:
        os.close(os.open("/dev/tty", os.O_RDWR))
        return "opened"

    assert outcome(open_it, have_a_terminal) == "opened"
    assert outcome(open_it, have_a_terminal, os.setsid) == "ENXIO"


def test_it_dies_with_the_worker_though_it_blocks_every_signal_and_holds_the_interpreter() -> None:
    reader, writer = kernel.lifeline()
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(writer)
            kernel.die_with(reader)
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            os.write(told, b"x")
            while True:
                pass
        finally:
            os._exit(0)
    os.read(ready, 1)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    for descriptor in (reader, ready, told):
        os.close(descriptor)


def test_descriptors_are_replaced_and_their_numbers_stay_taken(folder: Path) -> None:
    (folder / "secret").write_text("a secret")
    opened: list[int] = []

    def open_it() -> None:
        opened.append(os.open(folder / "secret", os.O_RDONLY))

    def read_it() -> str:
        following = os.open(os.devnull, os.O_RDONLY)
        return f"{os.pread(opened[0], 100, 0).decode()} {following > opened[0]}"

    def silence() -> None:
        kept = [int(name) for name in os.listdir("/proc/self/fd") if int(name) not in opened]
        child.silence_descriptors(set(kept))

    assert outcome(read_it, open_it) == "a secret True"
    assert outcome(read_it, open_it, silence) == " True"


LIMITS = Limits(memory=64 * MB, processes=16, scratch=MB)


def limit_only() -> None:
    """The rlimits of an executor, and nothing else of its walls."""
    around = Walls(Reach(), Order())
    around.has_root = True  # so that processes are counted; here, all of the user
    around._memory = walls._Memory(*kernel.memory_now())
    around._limit_all()
    for limit in around._limits(LIMITS):
        resource.setrlimit(*limit)


def write_a_large_file(folder: Path) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    (folder / f"large-{os.getpid()}").write_bytes(bytes(2 * MB))
    return "written"


def lock_memory() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(MB)
    if libc.mlock(buffer, MB) != 0:
        raise OSError(ctypes.get_errno(), "mlock")
    return "locked"


def fork_often() -> str:
    for _ in range(40):
        if os.fork() == 0:
            signal.pause()
    return "forked"


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        (lambda folder: len(bytes(128 * MB)), "MemoryError"),
        (write_a_large_file, "EFBIG"),
        (lambda folder: len([os.dup(0) for _ in range(walls.MOST_FILES)]), "EMFILE"),
        (lambda folder: lock_memory(), "ENOMEM"),
    ],
    ids=["memory", "the size of files", "open files", "locked memory"],
)
def test_each_limit_alone(folder: Path, attempt: Callable[[Path], object], error: str) -> None:
    def more() -> None:  # than a limit has usually
        for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_MEMLOCK):
            _, hard = resource.getrlimit(what)
            resource.setrlimit(what, (hard, hard))
        become(USER)

    assert not outcome(lambda: attempt(folder), more).isupper()
    assert outcome(lambda: attempt(folder), more, limit_only) == error


def test_processes_are_counted() -> None:
    def leave_none() -> None:
        os.setsid()

    def count() -> str:
        try:
            return fork_often()
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)

    assert outcome(count, lambda: become(USER + 1), leave_none) == "forked"
    assert outcome(count, lambda: become(USER + 1), leave_none, limit_only) == "EAGAIN"


def test_the_kernel_shows_the_other_limits() -> None:
    text = outcome(lambda: Path("/proc/self/limits").read_text(), limit_only)
    hard = {line[:26].strip(): line[47:68].strip() for line in text.splitlines()}
    for name in ("core file size", "nice priority", "realtime priority", "msgqueue size"):
        assert hard[f"Max {name}"] == "0"


def test_processor_time_ends_a_loop() -> None:
    def loop() -> None:
        while True:
            pass

    assert outcome(loop, lambda: walls.limit_processor(0.1, is_final=True)) == f"killed by {int(signal.SIGXCPU)}"


def connect(port: int) -> str:
    with socket.socket() as client:  # not create_connection, which reads files of the system
        client.connect(("127.0.0.1", port))
    return "connected"


needs_landlock = pytest.mark.skipif(landlock.version() < 6, reason="needs Landlock 6")


@pytest.fixture
def bystander() -> Iterator[int]:
    """A process that does nothing."""
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    process.kill()
    process.wait()


@needs_landlock
@pytest.mark.parametrize("what", ["files", "ports", "signals", "abstract sockets"])
def test_landlock_alone(folder: Path, bystander: int, what: str) -> None:
    (folder / "secret").write_text("a secret")
    target = bystander
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        port, name = server.getsockname()[1], f"\0nb-{folder.name}"
        local.bind(name)
        local.listen()
        attempt, number = {
            "files": (lambda: (folder / "secret").read_text(), "EACCES"),
            "ports": (lambda: connect(port), "EACCES"),
            "signals": (lambda: os.kill(target, 0), "EPERM"),
            "abstract sockets": (lambda: socket.socket(socket.AF_UNIX).connect(name), "EPERM"),
        }[what]

        def restrict() -> None:
            system.give_up_privileges()
            landlock.restricting(landlock.ruleset([], (), landlock.version()))()

        assert not outcome(attempt).isupper()
        assert outcome(attempt, restrict) == number


@needs_landlock
def test_landlock_leaves_what_was_declared(folder: Path) -> None:
    (folder / "declared").write_text("shown")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def restrict() -> None:
            system.give_up_privileges()
            places = [landlock.place(str(folder), landlock.READ)]
            landlock.restricting(landlock.ruleset(places, (port,), landlock.version()))()

        assert outcome((folder / "declared").read_text, restrict) == "shown"
        assert outcome(lambda: connect(port), restrict) == "connected"


def test_a_network_namespace_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert outcome(lambda: connect(port)) == "connected"
        refusals = ("ENETUNREACH", "ECONNREFUSED")
        assert outcome(lambda: connect(port), lambda: system.unshare(system.NEW_NETWORK)) in refusals


def test_a_pid_namespace_alone() -> None:
    target = os.getpid()

    def be_in_one() -> None:
        system.unshare(system.NEW_PIDS)
        if os.fork() != 0:
            os.wait()
            os._exit(0)

    assert outcome(lambda: os.kill(target, 0)) == "None"
    assert outcome(lambda: os.kill(target, 0), be_in_one) == "ESRCH"


def test_an_ipc_namespace_alone() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x6E620000 | os.getpid() & 0xFFFF
    number = libc.shmget(key, 4096, 0o600 | 0o1000)  # IPC_CREAT
    assert number >= 0

    def find() -> str:
        if libc.shmget(key, 4096, 0) < 0:
            raise OSError(ctypes.get_errno(), "shmget")
        return "found"

    try:
        assert outcome(find) == "found"
        assert outcome(find, lambda: system.unshare(system.NEW_IPC)) == "ENOENT"
    finally:
        libc.shmctl(number, 0, None)  # IPC_RMID


def test_a_user_namespace_alone(folder: Path) -> None:
    """Root there is nobody outside."""
    (folder / "secret").write_text("a secret")
    (folder / "secret").chmod(0o600)
    os.chown(folder / "secret", USER, USER)
    assert outcome((folder / "secret").read_text) == "a secret"
    assert outcome((folder / "secret").read_text, lambda: system.unshare(system.NEW_USER)) == "EACCES"


def test_a_private_root_alone(folder: Path) -> None:
    (folder / "secret").write_text("a secret")
    (folder / "shown").write_text("shown")
    (folder / "root").mkdir()

    def enter() -> None:
        system.unshare(system.NEW_MOUNTS)
        root.build(str(folder / "root"), [Place(str(folder / "shown"), "read")], USER, USER)

    assert outcome((folder / "secret").read_text) == "a secret"
    assert outcome((folder / "secret").read_text, enter) == "ENOENT"
    assert outcome((folder / "shown").read_text, enter) == "shown"
    assert outcome(lambda: (folder / "shown").write_text("x"), enter) == "EROFS"
    assert outcome(lambda: sorted(os.listdir("/")), enter).count("root") == 0


# What the kernel says of an executor of a real worker.

APP = """
import os, time
from narrowboat import App, progress
app = App("shop")

@app.task(memory="100MB")
def wait(path: str) -> None:
    os.open("/dev/zero", os.O_RDONLY)
    progress(0, 1, "waiting")
    time.sleep(600)
"""


@pytest.mark.parametrize(
    "restricted", [False, pytest.param(True, marks=NEEDS_PYTHON)], ids=["namespaces", "no namespaces"]
)
def test_the_kernel_says_so_of_an_executor(restricted: bool) -> None:
    with (
        machine(APP, restricted=restricted) as there,
        running_worker("shop:app", there.url, there.folder, "-n", "1", host=there.host) as worker,
    ):
        app = App("shop", url=there.url)
        job = app.enqueue_by_name("shop.wait", "x")
        wait_for("its task to run", lambda: job.refresh().progress)
        [executor] = worker.executors()
        proc = Path(f"/proc/{executor}")
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
        fields = (proc / "stat").read_text().rpartition(")")[2].split()
        limits = (proc / "limits").read_text()
        own, workers = ({name: os.readlink(f"/proc/{pid}/ns/{name}") for name in os.listdir(proc / "ns")}
                        for pid in (executor, worker.pid))  # fmt: skip
        descriptors = {os.readlink(proc / "fd" / name).split(":")[0] for name in os.listdir(proc / "fd")}
        job.cancel()
        app.close()
    assert status["Uid"].split() == [str(EXECUTOR_USER)] * 4 == status["Gid"].split()
    assert status["Groups"].strip() == ""
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}
    assert fields[3] == fields[2] == str(executor), "it leads a session of its own"
    assert proc.parent == Path("/proc") and f"Max core file size{'':8}0" in limits
    assert {name for name in own if own[name] != workers[name]} - {"pid_for_children"} == (
        set() if restricted else {"user", "mnt", "ipc", "pid", "net"}
    )
    assert descriptors <= {"/dev/null", "socket", "pipe", "/memfd", "/dev/zero"}


def test_a_zygote_has_nothing_of_the_worker_in_its_memory_though_the_sandbox_is_off() -> None:
    secret = "hunter2-" + "c0ffee42" * 4
    with (
        machine(APP) as there,
        running_worker(
            "shop:app", there.url, there.folder, "-n", "1", "--sandbox", "off", env={"PLANTED": secret}, host=there.host
        ) as worker,
    ):
        assert holds(worker.pid, secret.encode()), "the search itself must be able to find it"
        for zygote in worker.zygotes():
            assert secret.encode() not in Path(f"/proc/{zygote}/environ").read_bytes()
            assert not holds(zygote, secret.encode())


def test_the_page_says_what_each_layer_costs() -> None:
    """The figures are those of another run; what they are of must be what is measured, and all of it."""
    _, *each = layers.run(3)
    once = zygotes.run(1)
    rows = {name for layer in table.LAYERS for name in (*layer.once, *layer.each)}
    assert {*each[0]} - {"fork", "whole"} <= rows
    assert {*once[0]} - {zygotes.ZYGOTE, zygotes.WALLS} == rows - {*each[0]} - {"lifeline"}
    assert all(us > 0 for us in once[0].values())
    page = table.PAGE.read_text().partition(table.MARKS["layers"][0])[2].partition(table.MARKS["layers"][1])[0]
    said, found = (
        [re.sub(r"[\d,]+ / [\d,]+", "#", line) for line in text.splitlines() if line.startswith("|")]
        for text in (page, table.of_layers((each[0], each[1]), once, ""))
    )
    assert said == found
    assert sum(line.count("#") for line in said) == 14


def test_each_layer_is_tried_alone() -> None:
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for layer in table.LAYERS for name in layer.tests if f"\ndef test_{name}(" not in text] == []
    assert all(layer.tests for layer in table.LAYERS)
