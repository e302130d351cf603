"""A real mail server as a process, to be killed: python mail_server.py PORT LEDGER. A line there is a letter."""

import os
import sys
import time
from typing import Any

from aiosmtpd.controller import Controller


class Postbox:
    """Writes the subject of each letter down, and then says that it has it."""

    def __init__(self, ledger: str) -> None:
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd's name)
        """Called by aiosmtpd with a whole letter."""
        subject = next(line for line in envelope.content.splitlines() if line.startswith(b"Subject: "))
        os.write(self._ledger, subject.removeprefix(b"Subject: ") + b"\n")
        return "250 OK"


if __name__ == "__main__":
    Controller(Postbox(sys.argv[2]), hostname="127.0.0.1", port=int(sys.argv[1]), ready_timeout=60).start()
    while True:
        time.sleep(3600)
