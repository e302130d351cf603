"""Machines for a real worker: this one, and one like a container; as root and as an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import Host

from .ground import copy_code, everyones_python


@dataclass(frozen=True)
class Machine:
    """A host, and a folder on it that its user may write to."""

    host: Host
    folder: Path

    @property
    def url(self) -> str:
        """Of a database there."""
        return f"sqlite:///{self.folder / 'jobs.db'}"

    def cli(self, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """The command line in the folder."""
        return subprocess.run(
            [*self.host.python, "-m", "narrowboat.cli", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            **self.host.options(env),
        )


@contextmanager
def machine(app: str = "", *, user: int | None = None, restricted: bool = False) -> Iterator[Machine]:
    """With an app as shop.py. restricted: as by Docker. user: takes root, and an interpreter that everyone can run."""
    home = Path(tempfile.mkdtemp(prefix="nb-machine-", dir="/var/tmp"))
    try:
        home.chmod(0o755)
        copy_code(home / "code")
        folder = home / "project"
        for path in (folder, home / "tmp"):
            path.mkdir()
            path.chmod(0o777)
        (folder / "shop.py").write_text(app)
        if user is not None:
            os.chown(folder, user, user)
        python = everyones_python() or sys.executable  # executors of root are somebody else, too
        words = (python, "-m", "tests.security.docker", python) if restricted else (python,)
        yield Machine(Host(words, str(home / "code"), user, str(home / "tmp")), folder)
    finally:
        shutil.rmtree(home, ignore_errors=True)
