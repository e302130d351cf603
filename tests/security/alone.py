"""One layer alone: what a process comes to that takes this one step and no other."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable


def become(user: int) -> None:
    """For the rest of this process."""
    if os.geteuid() != user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def outcome(attempt: Callable[[], object], *steps: Callable[[], object]) -> str:
    """What an attempt in a process of its own comes to, after these steps: its value, the name of its error, "killed".

    A step that fails is an error of the test.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        text = "a step failed"
        try:
            os.close(reader)
            for step in steps:
                step()
            try:
                text = str(attempt())
            except OSError as error:
                text = errno.errorcode.get(error.errno or 0, repr(error))
            except BaseException as error:  # noqa: BLE001  (told to the test)
                text = type(error).__name__
        except BaseException as error:  # noqa: BLE001
            text = f"a step failed: {error!r}"
        finally:
            os.write(writer, text.encode()[:4000])
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        text = told.read().decode()
    _, status = os.waitpid(pid, 0)
    assert not text.startswith("a step failed"), text
    return text if os.waitstatus_to_exitcode(status) == 0 else f"killed by {-os.waitstatus_to_exitcode(status)}"
