"""The worker's own folder: where roots are built, scratch folders where the kernel gives none, and bait for probes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from ..core.errors import ConfigError
from ..sandbox.findings import Questions

PREFIX = "narrowboat-worker-"


class Yard:
    """Gone when the worker ends; what a killed worker left is removed by the next one. user: of executors."""

    def __init__(self, user: int | None) -> None:
        self._user = user
        base = _base(user)
        _remove_abandoned(base)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        self.path.chmod(0o711)
        self._lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._listener: socket.socket | None = None
        self._probes = 0
        self.root = self.path / "root"
        self.root.mkdir(0o755)
        self._bait = self.path / "bait"
        self._bait.mkdir()
        self._bait.chmod(0o777)
        (self._bait / "read").write_text("nobody but the worker needs this\n")

    def questions(self, is_grouped: bool, is_weighed: bool) -> Questions:
        """What a probe tries: a file that anybody may read, a folder that anybody may write to, a port that answers."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
        return Questions(
            worker=os.getpid(),
            read=str(self._bait / "read"),
            write=str(self._bait),
            port=self._listener.getsockname()[1],
            is_grouped=is_grouped,
            is_weighed=is_weighed,
        )

    def stop_listening(self) -> None:
        """No probe is under way."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def scratch(self, request: int, is_root: bool) -> str:
        """A folder for one executor. is_root: it runs as root, though it has a user of its own where it can."""
        path = self.path / f"scratch-{request}"
        path.mkdir(0o700)
        if self._user is not None and os.geteuid() == 0 and not is_root:
            os.chown(path, self._user, self._user)
        return str(path)

    def probe_scratch(self, is_root: bool) -> str:
        """The same for one that only tries to break out."""
        self._probes += 1
        return self.scratch(-self._probes, is_root)

    def clear(self, path: str) -> None:
        """Remove one, whatever was put there."""
        if path:
            _remove(path)

    def close(self) -> None:
        """Remove all of it."""
        self.stop_listening()
        os.close(self._lock)
        _remove(self.path)


def _base(user: int | None) -> Path:
    """The temporary folder; where executors have a user of their own, one that this user can enter.

    Raises ConfigError where there is none.
    """
    wanted = Path(tempfile.gettempdir()).resolve()
    if user is None or os.geteuid() != 0:
        return wanted
    for folder in (wanted, Path("/tmp"), Path("/var/tmp")):
        with contextlib.suppress(OSError):
            if all(above.stat().st_mode & stat.S_IXOTH for above in (folder, *folder.parents)):
                return folder
    raise ConfigError(
        f"executors run as user {user}, who cannot enter {wanted}; set TMPDIR to a folder that everybody can enter"
    )


def _remove_abandoned(base: Path) -> None:
    for path in base.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid != os.geteuid():
                continue
            lock = os.open(path / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path)
            finally:
                os.close(lock)


def _remove(folder: str | Path) -> None:
    """Also with folders in it that their owner, who may be this user, has shut."""
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.lexists(folder):
        return
    for _, names, _, here in os.fwalk(folder):
        for name in names:
            with contextlib.suppress(OSError, NotImplementedError):
                os.chmod(name, 0o700, dir_fd=here, follow_symlinks=False)
    shutil.rmtree(folder, ignore_errors=True)
