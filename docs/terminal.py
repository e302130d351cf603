"""A shell in a terminal of its own, 100 columns wide: types commands, and keeps what the terminal showed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

COLUMNS = 100
PATIENCE_S = 60.0
PROMPT = "\x1b[1;32m$\x1b[0m "
STEERING = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """bash in a pty. It is ended by `close`, with all that it started."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._master, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "--noediting", "-i"],
            cwd=folder,
            env={**env, "TERM": "xterm-256color", "PS1": PROMPT, "HISTFILE": ""},
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C reaches what runs in it
        )
        os.close(there)
        self._read = b""
        self.until(lambda text: text.endswith(PROMPT), "a prompt")

    def type(self, command: str, shows: str | None = None) -> None:
        """Type a line; wait until the prompt is back, or, where it goes on running, until it shows this."""
        before = len(self._read)
        os.write(self._master, command.encode() + b"\n")
        if shows is None:
            self.until(lambda text: text.endswith(PROMPT), f"the end of `{command}`", before + len(command))
        else:
            self.until(lambda text: shows in STEERING.sub("", text), f"`{shows}` from `{command}`", before)

    def mark(self) -> int:
        """Where the screen ends now, for `see`."""
        return len(self._read)

    def see(self, shows: str | None, mark: int) -> None:
        """Wait until this stands below the mark, if it is to be shown at all."""
        if shows is not None:
            self.until(lambda text: shows in STEERING.sub("", text), f"`{shows}`", mark)

    def screen(self) -> str:
        """What it showed, with colours, without the last prompt and line end."""
        return self._text(0).removesuffix(PROMPT).rstrip("\n")

    def until(self, is_so: Callable[[str], bool], what: str, start: int = 0) -> None:
        """Read until the text since then is as wanted. Fails with all that was shown."""
        end = time.monotonic() + PATIENCE_S
        while not is_so(self._text(start)):
            ready, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"waited {PATIENCE_S:g} s in vain for {what}:\n{self._text(0)}")
            try:
                self._read += os.read(self._master, 65536)
            except OSError:
                raise AssertionError(f"the shell ended before {what}:\n{self._text(0)}") from None

    def close(self) -> None:
        """Ctrl-C for what runs, then the end of the shell; both are waited for."""
        os.write(self._master, b"\x03")
        with contextlib.suppress(AssertionError):
            self.until(lambda text: text.endswith(PROMPT), "the end", max(0, len(self._read) - len(PROMPT)))
        self._shell.send_signal(signal.SIGHUP)  # which it passes on to what it runs
        try:
            self._shell.wait(10)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()
        os.close(self._master)

    def _text(self, start: int) -> str:
        return self._read[start:].decode(errors="replace").replace("\r\n", "\n")
