"""Targets for attacks, made for one test and gone after it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from tests.support.processes import ROOT, wait_for

from .attacks import Ground, handle_of

MB = 1024 * 1024
USER = 12_345  # an ordinary one, whom nobody else is
EXECUTOR_USER = 64_738


def everyones_python() -> str:
    """An interpreter of this version that any user can run; empty where there is none."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (f"{sys.base_prefix}/bin/{name}", f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        found = Path(os.path.realpath(path))
        if found.exists() and all(parent.stat().st_mode & 0o001 for parent in found.parents):
            return path
    return ""


def copy_code(folder: Path) -> None:
    """What attackers and workers run, where any user can read it."""
    for source in (
        ROOT / "src/narrowboat",
        ROOT / "tests/security",
        ROOT / "tests/support",
        Path(msgspec.__file__).parent,
        Path(click.__file__).parent,
    ):
        target = folder / ("tests" if "tests" in source.parts[-2:-1] else "") / source.name
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests/__init__.py").touch()


def as_user(user: int) -> dict[str, Any]:
    """For subprocess; nothing where that is who we are, since only root may say it."""
    return {} if user == os.geteuid() else {"user": user, "group": user, "extra_groups": []}


@contextmanager
def ground_for(user: int) -> Iterator[Ground]:
    """Files, sockets and a process of this user, which nothing but a sandbox keeps its processes from."""
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="nb-ground-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        home.chmod(0o777)
        for name in ("open", "app", "mount", "control", "scratches", "root"):
            (home / name).mkdir()
            (home / name).chmod(0o777)
        for name in ("secret", "database", "open/file", "open/victim", "open/mover", "own"):
            (home / name).write_text("SQLite format 3" if name == "database" else "a secret")
            (home / name).chmod(0o666)
        for path in [home, *home.rglob("*")]:
            os.chown(path, user, user)
        copy_code(home / "code")
        target = subprocess.Popen(["sleep", "600"], env={"PATH": os.environ["PATH"]}, **as_user(user))
        stack.callback(target.wait)
        stack.callback(target.kill)
        wait_for("it to be loaded", lambda: "libc" in Path(f"/proc/{target.pid}/maps").read_text())
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        places = {"unix_socket": f"{home}/stream", "abstract": f"\0nb-{home.name}"}
        for place in places.values():
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(place)
            server.listen(64)
        datagram = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        datagram.bind(f"{home}/datagram")
        for name in ("stream", "datagram"):
            (home / name).chmod(0o777)
        yield {
            **places,
            "home": str(home),
            "folder": str(home / "open"),
            "secret_file": str(home / "secret"),
            "link_folder": "",
            "database": str(home / "database"),
            "handle": handle_of(str(home / "secret")),
            "open_folder": str(home / "open"),
            "open_file": str(home / "open/file"),
            "own_file": str(home / "own"),
            "app": str(home / "app"),
            "mount_point": str(home / "mount"),
            "control_scratch": str(home / "control"),
            "scratches": str(home / "scratches"),
            "unix_datagram": f"{home}/datagram",
            "port": tcp.getsockname()[1],
            "udp_port": udp.getsockname()[1],
            "target": target.pid,
            "address": int(Path(f"/proc/{target.pid}/maps").read_text().partition("-")[0], 16),
            "status": "",
            "bomb": 256 * MB,
            "big_bomb": 2048 * MB,
            "disk": 16 * MB,
            "forks": 40,
            "threads": 64,
        }


def run_attacks(
    names: Sequence[str],
    ground: Ground,
    *,
    user: int,
    walls: bool,
    restricted: bool = False,
    only: Sequence[str] | None = None,
) -> tuple[dict[str, str], str]:
    """What each came to (empty: refused), and the layers that stood."""
    setup = {
        "names": list(names),
        "ground": ground,
        "walls": walls,
        "user": user,
        "executor_user": EXECUTOR_USER if user == 0 and (only is None or "user" in only) else None,
        "restricted": restricted,
        "only": only,
        "folder": f"{ground['home']}/root",
    }
    done = subprocess.run(
        [everyones_python(), "-m", "tests.security.inside", json.dumps(setup)],
        cwd=f"{ground['home']}/code",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ground['home']}/code", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=900,  # on an emulated processor it takes minutes
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "error" not in told, f"{told}\n{done.stderr}"
    return told["results"], told["layers"]
