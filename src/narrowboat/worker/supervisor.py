"""What systemd is told (sd_notify): that the worker takes work, how it is, that its loop turns, that it ends.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

_PATIENCE_S = 1.0  # for whoever listens to take a message


class Supervisor:
    """Whoever started this process and wants to be told; every call does nothing where nobody does.

    address: of a datagram socket, "@" before an abstract name. watchdog_s: how long it bears silence, or None.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._every_s = None if watchdog_s is None else watchdog_s / 2
        self._status = ""
        self.next_sign = float("inf") if self._every_s is None else 0.0  # on the monotonic clock
        self.is_reloading = False

    def ready(self) -> None:
        """It takes work, after its start or with new code."""
        self.is_reloading = False
        self._tell("READY=1")

    def reloading(self) -> None:
        """New code is on its way; until `ready`."""
        self.is_reloading = True
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, within_s: float) -> None:
        """It ends within so many seconds, for which it is not to be killed, whatever the unit says."""
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(within_s * 1e6)}")

    def status(self, text: str) -> None:
        """One line for people, if it is another than before."""
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    def sign_of_life(self, now: float) -> None:
        """The loop has come round; told twice in the time that silence is borne."""
        if self._every_s is not None and now >= self.next_sign:
            self.next_sign = now + self._every_s
            self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
                told.settimeout(_PATIENCE_S)
                told.sendto(message.encode(), self._address)


def supervisor_here(environment: MutableMapping[str, str] = os.environ) -> Supervisor:
    """As the environment says, from which it is taken: no child is to speak for this process."""
    address = environment.pop("NOTIFY_SOCKET", "")
    microseconds, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    is_watched = microseconds.isdigit() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
    known = address.startswith(("/", "@"))
    return Supervisor(address if known else "", int(microseconds) / 1e6 if is_watched else None)
