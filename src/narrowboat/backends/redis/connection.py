"""Connections to the server: one for each call that is under way, for this process only."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections import deque
from collections.abc import Generator
from typing import Any

from redis import exceptions as errors

from ...core.errors import BackendError, BackendUnavailable, ConfigError, UnknownWorker
from .address import Address
from .line import Line, Word, pack
from .scripts import Script

MOST_IDLE = 16  # lines that are kept for the next call
_PASSING = ("LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "READONLY", "CLUSTERDOWN", "NOREPLICAS")
_leaked: list[object] = []  # of a parent process, which goes on using the sockets

Reply = Any


class Connections:
    """Makes each call, again and again until it is answered or its time is up. Every verb may be repeated.

    timeout_s: how long a call may take in all, and how long one answer may take.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.address, self.timeout_s = address, timeout_s
        self._pid = os.getpid()
        self._idle: deque[Line] = deque()
        self.is_closed = False

    def run(self, script: Script, *args: Word) -> Reply:
        """Call a script. Raises as `call`, and UnknownWorker."""
        return self._until_answered(("EVALSHA", script.sha, 1, self.address.prefix, *args), script)

    def call(self, *words: Word) -> Reply:
        """Call a command that may be repeated. Raises BackendUnavailable, BackendError, ConfigError."""
        return self._until_answered(words)

    def _until_answered(self, words: tuple[Word, ...], script: Script | None = None) -> Reply:
        until = time.monotonic() + self.timeout_s
        packed, failures = pack(words), 0
        while True:
            try:
                return self._exchange(packed)
            except errors.NoScriptError:
                if script is None:
                    raise
                packed = pack(("EVAL", script.source, *words[2:]))
            except errors.AuthenticationError as error:
                raise ConfigError(f"{self.address.location}: the server refused user or password: {error}") from error
            except (errors.ConnectionError, errors.TimeoutError, errors.ResponseError) as error:
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise ConfigError(f"{self.address.location}: {error}") from error
                failures += 1
                pause_s = random.random() * min(1.0, 0.01 * 2**failures)
                if not self._is_passing(error) or time.monotonic() + pause_s > until:
                    raise self._in_our_words(error) from error
                if failures > 1:  # the first may have been a line that had ended while it was idle
                    time.sleep(pause_s)

    def _exchange(self, packed: bytes) -> Reply:
        line = self.take()
        is_sound = False
        try:
            line.send(packed)
            reply = line.read()
            is_sound = True
            return reply
        except errors.ResponseError:
            is_sound = True
            raise
        except errors.ConnectionError:
            self._drop_idle()  # they have ended, too
            raise
        finally:
            if is_sound:
                self.give_back(line)
            else:
                line.hang_up()

    def take(self) -> Line:
        """A line for this caller alone; it connects when it is first used."""
        if self._pid != os.getpid():
            _leaked.append(self._idle)
            self._pid, self._idle = os.getpid(), deque()
        if self.is_closed:
            raise BackendUnavailable(f"{self.address.location}: this backend was closed")
        try:
            return self._idle.pop()
        except IndexError:
            return Line(self.address, self.timeout_s)

    def give_back(self, line: Line) -> None:
        """For the next caller. Nothing may be under way on it."""
        if self.is_closed or len(self._idle) >= MOST_IDLE or line.pid != os.getpid():
            line.hang_up()
        else:
            self._idle.append(line)

    @contextlib.contextmanager
    def taken(self) -> Generator[Line]:
        """A line that is given back when all went well."""
        line = self.take()
        try:
            yield line
        except BaseException:
            line.hang_up()
            raise
        self.give_back(line)

    def close(self) -> None:
        """Close those that are idle; the others when they are given back."""
        self.is_closed = True
        if self._pid == os.getpid():
            self._drop_idle()

    def _drop_idle(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().hang_up()

    def _is_passing(self, error: errors.RedisError) -> bool:
        if isinstance(error, errors.ConnectionError | errors.TimeoutError):
            return not self.is_closed
        return str(error).startswith(_PASSING) or isinstance(error, errors.ReadOnlyError)

    def _in_our_words(self, error: errors.RedisError) -> BackendError:
        where, text = self.address.location, str(error)
        if text.startswith("UNKNOWNWORKER"):
            return UnknownWorker("this worker has not published here, or was forgotten: publish again")
        if isinstance(error, errors.OutOfMemoryError) or text.startswith("OOM"):
            return BackendUnavailable(
                f"{where}: the server's memory is full (maxmemory); nothing was written. "
                "Give it more, or keep finished jobs for a shorter time"
            )
        if text.startswith("MISCONF"):
            return BackendUnavailable(
                f"{where}: the server cannot save to its disk, and takes no writes until it can; "
                f"nothing was written: {text}"
            )
        if isinstance(error, errors.NoPermissionError) or text.startswith("NOPERM") or "executing the script" in text:
            return BackendError(f"{where}: the user of this URL may not do that: {text}")
        if self._is_passing(error):
            return BackendUnavailable(f"{where}: no answer within {self.timeout_s:g} s: {text}")
        return BackendError(f"{where}: {text}")
