"""When the sandbox stops something, say what it was and what would allow it.

Python's audit hooks note what a task was about to do; the kernel alone decides whether it may. So code that goes round
the hooks loses a message, not a wall.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections import deque
from typing import Any, cast

from ..core.needs import Reach

REFUSED = {errno.EPERM, errno.EACCES, errno.EROFS, errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.ENOSYS}
_NETWORK = {"socket.connect", "socket.sendto", "socket.bind", "socket.getaddrinfo", "socket.__new__"}
_PROGRAMS = {"subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "os.system", "os.spawn"}
_WATCHED = {*_NETWORK, *_PROGRAMS, "sqlite3.connect"}
# Where the standard library makes a socket that is to listen, and what it calls the address there.
_SERVERS = {("socket", "create_server"): "address", ("socketserver", "__init__"): "server_address"}
_CHAIN = 20  # of exceptions that one was raised from

_seen: deque[tuple[str, tuple[Any, ...]]] = deque(maxlen=16)
_is_watching = False


def watch() -> None:
    """From now on, note what could be refused. For good: audit hooks cannot be removed."""
    global _is_watching
    _is_watching = True
    sys.addaudithook(_note)


def _note(event: str, args: tuple[Any, ...]) -> None:
    if event in _WATCHED:
        _seen.append((event, args[1:] if event.startswith("socket.") and event != "socket.getaddrinfo" else args))


def forget() -> None:
    """A new attempt begins."""
    _seen.clear()


def explain(error: BaseException, task: str, reach: Reach) -> str:
    """In words what was refused and what to declare; empty for other errors."""
    if not _is_watching:
        return ""
    current: BaseException | None = error
    for _ in range(_CHAIN):
        if current is None:
            return ""
        said = _explain(current, task, reach)
        if said:
            return said
        current = current.__cause__ or current.__context__
    return ""


def _explain(error: BaseException, task: str, reach: Reach) -> str:
    if isinstance(error, KeyError):
        return _secret(error, task)
    if isinstance(error, socket.gaierror):
        return "" if reach.has_network else _network(error, task, reach)
    if type(error).__name__ == "OperationalError" and _seen and _seen[-1][0] == "sqlite3.connect":
        path = os.path.abspath(os.fsdecode(_seen[-1][1][0]))
        declare = f'needs=Needs(write=["{_folder(path)}"])'
        return f"task {task} tried to open the database {path}; to allow it, declare {declare}"
    if not isinstance(error, OSError):
        return ""
    path = error.filename
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if error.errno in REFUSED and _comes_from(error, "multiprocessing"):
        return (
            f"task {task} used multiprocessing, which an executor, being one process, has no use for: take threads "
            "(concurrent.futures.ThreadPoolExecutor) or a job for each part (needs=Needs(enqueue=[...]))"
        )
    event = _seen[-1][0] if _seen else ""
    if event in _PROGRAMS and (error.errno in REFUSED or isinstance(error, FileNotFoundError)):
        return _program(task, reach)
    if isinstance(path, str) and (error.errno in REFUSED or _is_out_of_sight(error, path)):
        return _file(error, path, task)
    if error.errno in REFUSED and event in _NETWORK:
        return _network(error, task, reach)
    return ""


def _comes_from(error: BaseException, package: str) -> bool:
    """Whether code of a package is among what was running. It may call the kernel where no audit event tells of it."""
    frame = error.__traceback__
    while frame is not None:
        if str(frame.tb_frame.f_globals.get("__name__")).partition(".")[0] == package:
            return True
        frame = frame.tb_next
    return False


def _secret(error: KeyError, task: str) -> str:
    """A variable of the environment that is not there."""
    name = error.args[0] if error.args else None
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    is_environment = frame is not None and frame.tb_frame.f_code.co_filename in (os.__file__, "<frozen os>")
    if not is_environment or not isinstance(name, str) or name in os.environ:
        return ""
    return (
        f"task {task} wanted the environment variable {name}; executors have none of the worker's; "
        f'to give it this one, declare needs=Needs(secrets=["{name}"])'
    )


def _network(error: BaseException, task: str, reach: Reach) -> str:
    server = _server(error)
    if server:
        return _listen(server, task)
    verb, where, port = "use", "the network", 0
    for event, args in reversed(_seen):
        address: Any = args[:2] if event == "socket.getaddrinfo" else args[0] if args else None
        if event == "socket.__new__" and address == socket.AF_UNIX:
            where, need = "a local socket", "sockets=[PATH]"
            return f"task {task} tried to connect to {where}; to allow it, declare needs=Needs({need})"
        if event == "socket.bind":
            return _listen(address, task)
        if isinstance(address, str | bytes):
            name = os.fsdecode(address)
            declare = f'needs=Needs(sockets=["{name}"])'
            return f"task {task} tried to connect to the socket {name}; to allow it, declare {declare}"
        if isinstance(address, tuple):
            host, number = cast(tuple[Any, Any], address[:2])
            port = int(number) if str(number).isdecimal() else 0
            verb, where = "connect to", f"{host}:{port}" if port else f"{host}"
            break
    ports = sorted({*reach.ports, port} - {0})
    need = f"network={ports}" if port else "network=True"
    return f"task {task} tried to {verb} {where}; to allow it, declare needs=Needs({need})"


def _listen(address: Any, task: str) -> str:
    """A declared port is one to connect to."""
    if isinstance(address, str | bytes):
        name = os.fsdecode(address)
        declare = f'needs=Needs(write=["{_folder(os.path.abspath(name))}"])'
        return f"task {task} tried to make the socket {name}; to allow it outside its scratch folder, declare {declare}"
    where = ":".join(map(str, cast(tuple[Any, ...], address)[:2])) if isinstance(address, tuple) else "a port"
    return f"task {task} tried to listen on {where}; to allow it, declare needs=Needs(network=True)"


def _server(error: BaseException) -> Any:
    """The address that a server of the standard library was made for, if it was that for which a socket was refused."""
    frame = error.__traceback__
    while frame is not None:
        code = frame.tb_frame
        name = _SERVERS.get((str(code.f_globals.get("__name__")), code.f_code.co_name))
        if name:
            return code.f_locals.get(name)
        frame = frame.tb_next
    return None


def _program(task: str, reach: Reach) -> str:
    event, args = _seen[-1]
    if event in ("os.fork", "os.forkpty"):
        return f"task {task} tried to fork; executors may start only the programs that Needs(programs=[...]) names"
    program: Any = args[0] if args else "a program"
    if event == "subprocess.Popen" and isinstance(args[1], list | tuple) and args[1] and not program:
        program = args[1][0]  # pyright: ignore[reportUnknownVariableType]
    name = os.fsdecode(program) if isinstance(program, str | bytes) else str(program)  # pyright: ignore[reportUnknownArgumentType]
    if name in reach.programs:
        return (
            f"task {task} may run {name}, but not what that needs in turn: a script needs its interpreter declared, too"
        )
    shown = name if name.startswith("/") else f"/usr/bin/{name}"
    return f'task {task} tried to run {name}; to allow it, declare needs=Needs(programs=["{shown}"])'


def _is_out_of_sight(error: OSError, path: str) -> bool:
    """Whether a file that is not there might be there outside."""
    return isinstance(error, FileNotFoundError) and path.startswith("/") and not path.startswith("/scratch/")


def _file(error: OSError, path: str, task: str) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            f"{path} is not there for task {task}; if it is there outside, "
            f'declare needs=Needs(read=["{path}"]) to let the task read it'
        )
    shown = os.path.abspath(path)
    folder = _folder(shown)
    if os.access(shown, os.R_OK) or error.errno == errno.EROFS or not os.path.exists(shown):
        return (
            f"task {task} tried to write to {shown}; it may write to its scratch folder, where it starts; "
            f'to allow more, declare needs=Needs(write=["{folder}"])'
        )
    return f'task {task} tried to open {shown}; to allow reading it, declare needs=Needs(read=["{shown}"])'


def _folder(path: str) -> str:
    return path if os.path.isdir(path) else os.path.dirname(path)
