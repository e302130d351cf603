"""Makes transfers in children that kill themselves, each one line of code later than the one before.

python -m tests.support.killed_transfer URL: prints a JSON list with, for each child that was killed, where that was and
whether its transfer was there afterwards. The lines are those of the example and of what enqueues on its connection.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from examples.transfer import bank
from narrowboat.app import app as app_module
from narrowboat.backends import foreign, postgres, sqlite

OF_BACKENDS = [(postgres, "callers"), (postgres, "into"), (sqlite, "callers"), (sqlite, "enqueue")]
CODE = {bank.__file__, foreign.__file__, app_module.__file__}
CODE |= {str(Path(package.__file__).parent / f"{name}.py") for package, name in OF_BACKENDS}


class Assassin:
    """Kills its process when so many lines of CODE were begun, and writes into a pipe where that was."""

    def __init__(self, lines: int, pipe: int) -> None:
        self._left, self._pipe = lines, pipe

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename not in CODE:
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                where = f"{Path(frame.f_code.co_filename).stem}:{frame.f_code.co_name}:{frame.f_lineno}"
                os.write(self._pipe, where.encode())
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def child(url: str, number: int, pipe: int) -> None:
    """One transfer, with connections of its own, killed at its line of this number."""
    engine = bank.opened(url)
    sys.settrace(Assassin(number, pipe))
    bank.transfer(engine, number, "ann", "bob", 1)
    sys.settrace(None)


def main(url: str) -> None:
    """Children until one is done before it is killed."""
    killed: list[tuple[str, bool]] = []
    while True:
        number = len(killed) + 1
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child(url, number, write)
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(read) as pipe:
            where = pipe.read()
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        killed.append((where, False))
    engine = bank.opened(url)
    made = set(bank.done(engine))
    json.dump([(where, number in made) for number, (where, _) in enumerate(killed, 1)], sys.stdout)
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1])
