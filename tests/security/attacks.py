"""What a hostile task may try. Each function returns a text if it succeeded, and raises or returns "" if it did not.

Every one is harmless where it succeeds: it touches only what `Ground` made for it, and every bomb is bounded. The
targets are told in a dict, so that the same code runs in the open, as the control, and inside an executor.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from .calls import NUMBERS

Ground = dict[str, Any]
Attack = Callable[[Ground], str]
ATTACKS: dict[str, dict[str, Attack]] = {}
MB = 1024 * 1024
IMPOSSIBLE = "impossible: "  # begins what is told of an attack that this kernel does not offer
libc = ctypes.CDLL(None, use_errno=True)


def attack(group: str) -> Callable[[Attack], Attack]:
    """Register one under what it aims at."""

    def add(function: Attack) -> Attack:
        ATTACKS.setdefault(group, {})[function.__name__] = function
        return function

    return add


def syscall(name: str, *arguments: Any) -> int:
    """A raw system call. Raises OSError."""
    wide = (ctypes.c_long(value) if isinstance(value, int) else value for value in arguments)
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *wide)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# Files.


@attack("files read")
def read_a_file_of_the_worker(ground: Ground) -> str:
    """By its path."""
    return open(ground["secret_file"]).read()


@attack("files read")
def read_through_a_symbolic_link(ground: Ground) -> str:
    """A link in the own folder."""
    os.symlink(ground["secret_file"], f"link-{os.getpid()}")
    return open(f"link-{os.getpid()}").read()


@attack("files read")
def read_through_a_hard_link(ground: Ground) -> str:
    """A second name in the own folder."""
    os.link(ground["secret_file"], f"{ground['link_folder'] or os.getcwd()}/hard-{os.getpid()}")
    return open(f"{ground['link_folder'] or os.getcwd()}/hard-{os.getpid()}").read()


@attack("files read")
def read_by_climbing_up(ground: Ground) -> str:
    """A path with many dots."""
    return open("../" * 40 + ground["secret_file"].lstrip("/")).read()


@attack("files read")
def list_a_folder_of_the_worker(ground: Ground) -> str:
    """Names only."""
    return " ".join(os.listdir(ground["folder"]))


@attack("files read")
def see_whether_a_file_exists(ground: Ground) -> str:
    """stat says it without reading."""
    return str(os.stat(ground["secret_file"]).st_size)


@attack("files read")
def read_the_database(ground: Ground) -> str:
    """The jobs of all others."""
    return open(ground["database"], "rb").read(15).decode()


@attack("files read")
def read_the_scratch_of_another(ground: Ground) -> str:
    """Of an attempt that runs beside this one: by the path, and through its process."""
    for folder in _folders_of_another(ground):
        with suppress(OSError):
            return open(f"{folder}/treasure").read()
    return ""


@attack("files read")
def read_the_passwords(ground: Ground) -> str:
    """What every program may read."""
    return "root" if "root:" in open("/etc/passwd").read() else ""


@attack("files read")
def open_by_handle(ground: Ground) -> str:
    """open_by_handle_at goes past every path; the handle, which can be guessed, is given here."""
    handle = ctypes.create_string_buffer(bytes.fromhex(ground["handle"]))
    for place in ("/", "/usr", "/usr/lib", ".", ground["folder"]):
        with suppress(OSError):
            opened = syscall("open_by_handle_at", os.open(place, os.O_RDONLY), handle, os.O_RDONLY)
            return os.read(opened, 100).decode()
    return ""


@attack("files written")
def write_outside(ground: Ground) -> str:
    """A new file."""
    path = f"{ground['open_folder']}/new-{os.getpid()}"
    open(path, "w").close()
    return path


@attack("files written")
def empty_a_file(ground: Ground) -> str:
    """truncate needs no open file."""
    os.truncate(ground["open_file"], 0)
    return "emptied"


@attack("files written")
def append_to_a_file(ground: Ground) -> str:
    """Open for writing."""
    with open(ground["open_file"], "a") as file:
        file.write("x")
    return "appended"


@attack("files written")
def remove_a_file(ground: Ground) -> str:
    """unlink."""
    path = f"{ground['open_folder']}/victim"
    os.unlink(path)
    return path


@attack("files written")
def rename_a_file(ground: Ground) -> str:
    """rename."""
    os.rename(f"{ground['open_folder']}/mover", f"{ground['open_folder']}/moved")
    return "moved"


@attack("files written")
def make_a_folder(ground: Ground) -> str:
    """mkdir."""
    os.mkdir(f"{ground['open_folder']}/folder-{os.getpid()}")
    return "made"


@attack("files written")
def write_into_the_scratch_of_another(ground: Ground) -> str:
    """Of an attempt that runs beside this one."""
    for folder in _folders_of_another(ground):
        with suppress(OSError):
            with open(f"{folder}/treasure", "r+") as file:  # which is not made anew: the own folder may have its path
                file.write("of")
            return "written"
    return ""


@attack("files written")
def change_the_mode_of_a_file(ground: Ground) -> str:
    """chmod; success is only reported inside, so look at what became of it."""
    os.chmod(ground["own_file"], 0o777)
    return "changed" if os.stat(ground["own_file"]).st_mode & 0o777 == 0o777 else ""


@attack("files written")
def change_the_time_of_a_file(ground: Ground) -> str:
    """utime."""
    os.utime(ground["own_file"], (1, 1))
    return "changed" if os.stat(ground["own_file"]).st_mtime == 1 else ""


@attack("files written")
def write_into_the_app(ground: Ground) -> str:
    """Code that others will run."""
    path = f"{ground['app']}/planted-{os.getpid()}.py"
    open(path, "w").close()
    os.unlink(path)
    return path


@attack("files written")
def make_a_device(ground: Ground) -> str:
    """mknod, a harmless fifo first and then /dev/null's number."""
    os.mknod(f"{ground['open_folder']}/null-{os.getpid()}", 0o600 | 0o020000, os.makedev(1, 3))
    return "made"


# The worker and its secrets.


@attack("secrets")
def read_the_environment_of_the_worker(ground: Ground) -> str:
    """/proc/PID/environ."""
    return "read" if b"PATH" in open(f"/proc/{ground['target']}/environ", "rb").read() else ""


@attack("secrets")
def open_the_memory_of_the_worker(ground: Ground) -> str:
    """/proc/PID/mem."""
    open(f"/proc/{ground['target']}/mem", "rb").close()
    return "opened"


@attack("secrets")
def read_the_maps_of_the_worker(ground: Ground) -> str:
    """Where things are in its memory."""
    return open(f"/proc/{ground['target']}/maps").readline()


@attack("secrets")
def list_the_descriptors_of_the_worker(ground: Ground) -> str:
    """/proc/PID/fd."""
    return " ".join(os.listdir(f"/proc/{ground['target']}/fd"))


@attack("secrets")
def see_the_processes_of_the_machine(ground: Ground) -> str:
    """Their command lines may hold passwords."""
    return " ".join(name for name in os.listdir("/proc") if name.isdigit())


@attack("secrets")
def read_memory_with_process_vm_readv(ground: Ground) -> str:
    """Without /proc."""
    size = 8
    local = ctypes.create_string_buffer(size)
    here = (ctypes.c_void_p * 2)(ctypes.addressof(local), size)
    there = (ctypes.c_void_p * 2)(ground["address"], size)
    syscall("process_vm_readv", ground["target"], here, 1, there, 1, 0)
    return local.raw.hex()


@attack("secrets")
def trace_the_worker(ground: Ground) -> str:
    """ptrace(PTRACE_SEIZE), and at once a detach."""
    syscall("ptrace", 0x4206, ground["target"], 0, 0)
    libc.ptrace(17, ground["target"], 0, 0)
    return "seized"


@attack("secrets")
def take_a_descriptor_of_the_worker(ground: Ground) -> str:
    """pidfd_getfd."""
    found = syscall("pidfd_open", ground["target"], 0)
    os.close(syscall("pidfd_getfd", found, 0, 0))
    return "taken"


@attack("secrets")
def open_the_memory_of_another(ground: Ground) -> str:
    """Of an attempt that runs beside this one, with its arguments."""
    for pid in _pids_of_another(ground):
        with suppress(OSError):
            open(f"/proc/{pid}/mem", "rb").close()
            return "opened"
    return ""


@attack("secrets")
def read_a_key_of_the_session(ground: Ground) -> str:
    """Keyrings are shared by all processes of a user."""
    kind, name, secret = b"user", f"nb-{os.getpid()}".encode(), b"key"
    syscall("add_key", kind, name, secret, ctypes.c_size_t(3), -2)
    return "kept"


@attack("secrets")
def use_shared_memory_of_system_v(ground: Ground) -> str:
    """Its numbers are the same for all processes."""
    number = syscall("shmget", 0, ctypes.c_size_t(4096), 0o1600)
    syscall("shmctl", number, 0, None)
    return "made"


# The network.


@attack("network")
def connect_to_a_local_port(ground: Ground) -> str:
    """As to a database or to the cloud's metadata."""
    with socket.create_connection(("127.0.0.1", ground["port"]), 2):
        return "connected"


@attack("network")
def listen_on_a_port(ground: Ground) -> str:
    """A back door."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(("127.0.0.1", server.getsockname()[1]), 2),
    ):
        return "listening"


@attack("network")
def send_a_datagram(ground: Ground) -> str:
    """UDP, as for names."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return str(sender.sendto(b"x", ("127.0.0.1", ground["udp_port"])))


@attack("network")
def connect_to_a_unix_socket(ground: Ground) -> str:
    """As /run/docker.sock."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(ground["unix_socket"])
        return "connected"


@attack("network")
def send_from_a_pair_to_a_path(ground: Ground) -> str:
    """A datagram socketpair needs no socket()."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        return str(one.sendto(b"x", ground["unix_datagram"]))


@attack("network")
def connect_to_an_abstract_socket(ground: Ground) -> str:
    """It has no file."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(ground["abstract"])
        return "connected"


@attack("network")
def ask_the_kernel_by_netlink(ground: Ground) -> str:
    """Interfaces, routes, firewalls."""
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
    return "opened"


@attack("network")
def open_a_packet_socket(ground: Ground) -> str:
    """In a network namespace of its own, as root there."""
    _in_new_namespaces(0x10000000 | 0x40000000)
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    return "opened"


# Programs.


@attack("programs")
def run_a_shell(ground: Ground) -> str:
    """subprocess."""
    import subprocess

    return subprocess.run(["/bin/sh", "-c", "echo ran"], capture_output=True, text=True, check=True).stdout


@attack("programs")
def replace_itself_by_a_program(ground: Ground) -> str:
    """execve, in a child where there can be one."""
    return _in_a_child(lambda: os.execv("/bin/true", ["true"]))


@attack("programs")
def spawn_with_posix_spawn(ground: Ground) -> str:
    """vfork and execve."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    return "ran" if os.waitpid(pid, 0)[1] == 0 else ""


@attack("programs")
def run_an_own_file(ground: Ground) -> str:
    """A copy of a program in the own folder."""
    path = f"{os.getcwd()}/own-{os.getpid()}"
    with open("/bin/true", "rb") as source, open(path, "wb") as copy:
        copy.write(source.read())
    os.chmod(path, 0o700)
    return _in_a_child(lambda: os.execv(path, [path]))


@attack("programs")
def run_from_memory(ground: Ground) -> str:
    """memfd_create and fexecve: no file at all."""
    memory = os.memfd_create("program")
    with open("/bin/true", "rb") as source:
        os.write(memory, source.read())
    return _in_a_child(lambda: os.execve(memory, ["true"], {}))


@attack("programs")
def fork(ground: Ground) -> str:
    """A second process."""
    return _in_a_child(lambda: os._exit(0))


# Signals.


@attack("signals")
def signal_the_worker(ground: Ground) -> str:
    """kill, with signal 0."""
    os.kill(ground["target"], 0)
    return "reached"


@attack("signals")
def signal_by_pidfd(ground: Ground) -> str:
    """pidfd_send_signal."""
    found = os.pidfd_open(ground["target"])
    signal.pidfd_send_signal(found, 0)
    return "reached"


@attack("signals")
def signal_another(ground: Ground) -> str:
    """An attempt that runs beside this one."""
    for pid in _pids_of_another(ground):
        with suppress(OSError):
            os.kill(pid, 0)
            return "reached"
    return ""


@attack("signals")
def signal_everybody(ground: Ground) -> str:
    """kill(-1, 0): who could be reached."""
    os.kill(-1, 0)
    return "reached"


@attack("signals")
def have_the_kernel_signal_the_worker(ground: Ground) -> str:
    """F_SETOWN: data on a socket signals whom one names."""
    import fcntl

    one, other = socket.socketpair()
    with one, other:
        fcntl.fcntl(one.fileno(), fcntl.F_SETOWN, ground["target"])
        return "set" if fcntl.fcntl(one.fileno(), fcntl.F_GETOWN) == ground["target"] else ""


@attack("signals")
def slow_the_worker_down(ground: Ground) -> str:
    """renice."""
    os.setpriority(os.PRIO_PROCESS, ground["target"], os.getpriority(os.PRIO_PROCESS, ground["target"]) + 1)
    return "reniced"


@attack("signals")
def type_into_a_terminal(ground: Ground) -> str:
    """TIOCSTI on a terminal of its own: what its shell then reads as typed."""
    import fcntl
    import pty
    import select

    _, follower = pty.openpty()
    fcntl.ioctl(follower, 0x5412, b"x")
    fcntl.ioctl(follower, 0x5412, b"\n")
    ready, _, _ = select.select([follower], [], [], 10)
    return "typed" if ready else ""


# The kernel.


@attack("kernel")
def mount_something(ground: Ground) -> str:
    """In namespaces of its own."""
    _in_new_namespaces(0x10000000 | 0x20000)
    if libc.mount(b"none", ground["mount_point"].encode(), b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    return "mounted"


@attack("kernel")
def make_a_user_namespace(ground: Ground) -> str:
    """Root there reaches more of the kernel."""
    return _in_a_child(lambda: os._exit(0 if libc.unshare(0x10000000) == 0 else 1))


@attack("kernel")
def clone_into_a_namespace(ground: Ground) -> str:
    """The same by clone."""
    pid = syscall("clone", 0x10000000 | signal.SIGCHLD, None, None, None, None)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "cloned"


@attack("kernel")
def use_io_uring(ground: Ground) -> str:
    """It makes calls that seccomp does not see."""
    parameters = ctypes.create_string_buffer(120)
    os.close(syscall("io_uring_setup", 4, parameters))
    return "opened"


@attack("kernel")
def load_a_bpf_program(ground: Ground) -> str:
    """Any answer but EPERM from its argument check says that bpf can be reached."""
    return _reaches("bpf", 0, 0, 0)


@attack("kernel")
def use_userfaultfd(ground: Ground) -> str:
    """Makes races in the kernel easy to win."""
    os.close(syscall("userfaultfd", 1))
    return "opened"


@attack("kernel")
def watch_with_perf(ground: Ground) -> str:
    """perf_event_open: any answer but a refusal."""
    return _reaches("perf_event_open", 0, 0, 0, 0, 0)


@attack("kernel")
def make_memory_writable_and_executable(ground: Ground) -> str:
    """mmap with both rights."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    return "mapped"


@attack("kernel")
def make_written_memory_executable(ground: Ground) -> str:
    """mprotect afterwards."""
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, 4096, 3, 0x22, -1, 0)
    if libc.mprotect(ctypes.c_void_p(address), 4096, 5) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    return "made"


@attack("kernel")
def execute_a_written_file(ground: Ground) -> str:
    """Map a file of the own folder as code."""
    path = f"code-{os.getpid()}"
    with open(path, "wb") as file:
        file.write(bytes(4096))
    with open(path, "rb") as file:
        mmap.mmap(file.fileno(), 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    return "mapped"


@attack("kernel")
def change_the_personality(ground: Ground) -> str:
    """No random addresses, and memory that can be executed."""
    return "changed" if libc.personality(0x0040000) >= 0 and libc.personality(0xFFFFFFFF) & 0x40000 else ""


if platform.machine() == "x86_64":

    @attack("kernel")
    def make_a_32_bit_call(ground: Ground) -> str:
        """int 0x80: the numbers are others there, so that one which is let through as open is fork."""
        pid = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(_as_code(b"\x89\xf8\xcd\x80\xc3"))(2)
        if pid == 0:
            os._exit(0)
        return "forked" if pid > 0 and os.waitpid(pid, 0)[0] == pid else ""

    @attack("kernel")
    def make_a_call_of_x32(ground: Ground) -> str:
        """A second table of the same calls, past a filter that knows but one number of each."""
        found = libc.syscall(ctypes.c_long(0x40000000 | NUMBERS["getpid"]))
        if found < 0 and ctypes.get_errno() == errno.ENOSYS:
            return f"{IMPOSSIBLE}this kernel has no x32"
        return "called" if found == os.getpid() else ""


@attack("kernel")
def read_the_kernel_log(ground: Ground) -> str:
    """syslog(SYSLOG_ACTION_SIZE_BUFFER)."""
    return str(syscall("syslog", 10, None, 0))


@attack("kernel")
def undo_no_new_privileges(ground: Ground) -> str:
    """A program with a set-uid bit would gain rights: is it so here?"""
    return "" if libc.prctl(39, 0, 0, 0, 0) else "privileges can be gained"


@attack("kernel")
def become_root_again(ground: Ground) -> str:
    """Capabilities or saved ids."""
    status = open(ground["status"] or "/proc/self/status").read()
    return "has capabilities" if "CapEff:\t0000000000000000" not in status else ""


# Bombs, all of them bounded.


@attack("memory")
def take_heap(ground: Ground) -> str:
    """malloc, and write to it."""
    return _taken(bytes(ground["bomb"]))


@attack("memory")
def take_private_pages(ground: Ground) -> str:
    """mmap."""
    with mmap.mmap(-1, ground["bomb"], flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
        return _touch(pages)


@attack("memory")
def take_shared_pages(ground: Ground) -> str:
    """mmap, shared."""
    with mmap.mmap(-1, ground["big_bomb"]) as pages:
        return str(len(pages))


@attack("memory")
def take_a_memory_file(ground: Ground) -> str:
    """memfd_create."""
    memory = os.memfd_create("bomb")
    os.ftruncate(memory, ground["bomb"])
    os.posix_fallocate(memory, 0, ground["bomb"])
    os.close(memory)
    return "taken"


@attack("memory")
def fill_the_scratch_folder(ground: Ground) -> str:
    """Several files, none of them large."""
    try:
        return " ".join(_write(f"fill-{number}", ground["disk"] // 4) for number in range(8))
    finally:
        for number in range(8):
            if os.path.exists(f"fill-{number}"):
                os.unlink(f"fill-{number}")


@attack("memory")
def fill_shared_memory(ground: Ground) -> str:
    """A file in /dev/shm, which is memory of all."""
    path = f"/dev/shm/nb-{os.getpid()}"
    try:
        return _write(path, 2 * ground["disk"])
    finally:
        with suppress(OSError):
            os.unlink(path)


@attack("memory")
def write_a_large_file(ground: Ground) -> str:
    """A single one, larger than scratch=."""
    try:
        return _write("large", 2 * ground["disk"])
    finally:
        os.unlink("large")


@attack("memory")
def take_address_space(ground: Ground) -> str:
    """Reserve it only."""
    mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000).close()
    return "reserved"


@attack("memory")
def raise_the_limits(ground: Ground) -> str:
    """setrlimit back to where it was, or higher."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY:
        return "no limit"
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard + MB))
    return "raised"


@attack("processor")
def fork_bomb(ground: Ground) -> str:
    """Bounded."""
    children = []
    try:
        for _ in range(ground["forks"]):
            pid = os.fork()
            if pid == 0:
                time.sleep(20)
                os._exit(0)
            children.append(pid)
        return f"{len(children)} processes"
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@attack("processor")
def thread_bomb(ground: Ground) -> str:
    """Bounded; with small stacks, so that memory is not what stops it."""
    threading.stack_size(max(65_536, os.sysconf("SC_THREAD_STACK_MIN")))
    end = threading.Event()
    threads = []
    try:
        for _ in range(ground["threads"]):
            thread = threading.Thread(target=end.wait)
            thread.start()
            threads.append(thread)
        return f"{len(threads)} threads"
    except RuntimeError:
        return ""
    finally:
        end.set()
        for thread in threads:
            thread.join()
        threading.stack_size(0)


@attack("processor")
def open_many_files(ground: Ground) -> str:
    """Past the limit that is set."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(2000)]
    for descriptor in opened:
        os.close(descriptor)
    return f"{len(opened)} files"


@attack("clean-up")
def leave_the_session(ground: Ground) -> str:
    """setsid, in a child where there can be one: what is left cannot be found by its group."""
    return _in_a_child(lambda: (os.setsid(), os._exit(0)))


@attack("clean-up")
def leave_the_process_group(ground: Ground) -> str:
    """setpgid."""
    return _in_a_child(lambda: (os.setpgid(0, 0), os._exit(0)))


# Tools of attacks.


def handle_of(path: str) -> str:
    """What the file system calls a file, as hexadecimal digits; empty where it has no such names."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    with suppress(OSError):
        syscall("name_to_handle_at", -100, path.encode(), handle, ctypes.byref(mount), 0)
        return handle.raw.hex()
    return ""


def _folders_of_another(ground: Ground) -> Iterator[str]:
    """Each way to the scratch folder of who lives beside."""
    folder = ground["beside"]["folder"]
    yield folder
    for pid in _pids_of_another(ground):
        yield f"/proc/{pid}/cwd"
        yield f"/proc/{pid}/root{folder}"


def _pids_of_another(ground: Ground) -> list[int]:
    """What it may be called here."""
    return [pid for pid in ground["beside"]["pids"] if pid != os.getpid()]


def _as_code(instructions: bytes) -> int:
    """Their address, in memory that is written and executed, else in a file of the own folder."""
    libc.mmap.restype = ctypes.c_void_p
    failed = ctypes.c_void_p(-1).value
    address = libc.mmap(None, 4096, 7, 0x22, -1, 0)
    if address != failed:
        ctypes.memmove(address, instructions, len(instructions))
        return address
    with open(f"code-{os.getpid()}", "wb+") as file:
        file.write(instructions.ljust(4096, b"\xcc"))
        file.flush()
        address = libc.mmap(None, 4096, 5, 2, file.fileno(), 0)
    if address == failed:
        raise OSError(ctypes.get_errno(), "mmap")
    return address


def _in_a_child(act: Callable[[], object]) -> str:
    """What a child process comes to: "ran" if it ends with 0."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    return "ran" if os.waitstatus_to_exitcode(status) == 0 else ""


def _in_new_namespaces(flags: int) -> None:
    """For the rest of this process, which is a control's child or an executor."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _reaches(name: str, *arguments: Any) -> str:
    """Whether the kernel itself answers: its own check of silly arguments, not a filter."""
    try:
        syscall(name, *arguments)
    except OSError as error:
        return "" if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS) else f"reached: {error.strerror}"
    return "reached"


def _write(path: str, size: int) -> str:
    with open(path, "wb") as file:
        for _ in range(size // MB):
            file.write(bytes(MB))
    return str(os.path.getsize(path))


def _touch(pages: mmap.mmap) -> str:
    for offset in range(0, len(pages), 1 << 16):
        pages[offset] = 1
    return str(len(pages))


def _taken(block: bytes) -> str:
    return str(len(block))


def run(name: str, ground: Ground) -> str:
    """One attack; empty if it was refused."""
    for group in ATTACKS.values():
        if name in group:
            try:
                return group[name](ground)
            except (OSError, MemoryError, ValueError, RuntimeError) as error:
                sys.stderr.write(f"{name}: {error!r}\n")
                return ""
    raise LookupError(name)
