"""The hostile corner: what code does that has taken over an executor, for instance through a hole in a decoder."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from narrowboat import Retry

from .app import DATA, app


@dataclass(frozen=True)
class Attack:
    """title: for people. does: what it does; it returns what it got, or raises."""

    title: str
    does: Callable[[], str]


def files() -> str:
    """The folder with the database and everybody's photos."""
    return f"it saw {', '.join(os.listdir(DATA))}"


def shell() -> str:
    """What ImageTragick made of a picture."""
    return subprocess.run(["/bin/sh", "-c", "id"], capture_output=True, text=True, check=True).stdout


def cloud() -> str:
    """Where machines in a cloud get their passwords from."""
    with socket.create_connection(("169.254.169.254", 80), 3):
        return "it is connected"


def worker() -> str:
    """The environment of the process that started this one."""
    names = Path(f"/proc/{os.getppid() or 1}/environ").read_bytes().split(b"\0")
    return f"it read {len(names)} variables"


def plant() -> str:
    """Code that the next worker would run."""
    place = Path(__file__).with_name("planted.py")
    place.write_text("# planted by the hostile corner of the studio\n")
    place.unlink()
    return f"it wrote {place.name}"


def memory() -> str:
    """A picture of 20,000 by 20,000 pixels, unpacked."""
    size = 20_000 * 20_000 * 4
    return f"it took {len(bytearray(size)) / 1e9:.1f} GB"


def forever() -> str:
    """A decoder in an endless loop."""
    while True:
        pass


def trace() -> str:
    """A call that debuggers make, and attacks."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, os.getppid(), 0, 0) != 0:  # PTRACE_SEIZE
        raise OSError(ctypes.get_errno(), "ptrace")
    return "it holds the process that started it"


ATTACKS = {
    "files": Attack("Look through everybody's files", files),
    "shell": Attack("Run a shell, as ImageTragick did", shell),
    "cloud": Attack("Ask the cloud for its passwords", cloud),
    "worker": Attack("Read the worker's environment", worker),
    "plant": Attack("Plant code in the app", plant),
    "memory": Attack("Unpack 20,000 × 20,000 pixels", memory),
    "forever": Attack("Never end", forever),
    "trace": Attack("Take over another process", trace),
}


@app.task(
    queue="images", untrusted=True, memory="256MB", cpu=1, timeout="10s", retry=Retry(attempts=1), summary="{attack}"
)
def harm(attack: str) -> str:
    """Do it, in an executor like those of photos."""
    return ATTACKS[attack].does()
