"""How an attempt ended, as a value. Executors send Outcome; `decide` turns one into a Settlement."""

from __future__ import annotations

import msgspec

MAX_MESSAGE = 4_000  # characters
MAX_TRACEBACK = 16_000


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An error as text, bounded; it comes from the far side and is never trusted as markup."""

    type: str
    message: str
    traceback: str = ""

    def bounded(self) -> ErrorInfo:
        """The same with every text cut to its limit; the end of a traceback is what is kept."""
        return ErrorInfo(
            type=self.type[:200],
            message=self.message[:MAX_MESSAGE],
            traceback=self.traceback[-MAX_TRACEBACK:],
        )

    def in_one_line(self) -> str:
        """Type and first line of the message."""
        first = self.message.strip().splitlines()[0] if self.message.strip() else ""
        return f"{self.type}: {first}"[:300] if first else self.type[:300]


class Succeeded(msgspec.Struct, frozen=True, tag="succeeded", gc=False):
    """The task returned; `result` is JSON, empty for None."""

    result: bytes = b""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The task raised. `retry` is whether its Retry covers the exception; `delay_s` overrides the backoff.

    trips: it is of the kinds that open the task's breaker.
    """

    error: ErrorInfo
    retry: bool = True
    delay_s: float | None = None
    trips: bool = False


class Snoozed(msgspec.Struct, frozen=True, tag="snoozed"):
    """The task asked to be run later, at no charge."""

    delay_s: float


class SlowedDown(msgspec.Struct, frozen=True, tag="slowed-down"):
    """A service asked for a pause: the job, and all others under its key, run later, at no charge."""

    delay_s: float


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """The task, or a person, ended the job."""

    reason: str


class Crashed(msgspec.Struct, frozen=True, tag="crashed"):
    """The process died, or had to be killed. `cause` is short: "SIGSEGV", "out of memory", "timeout".

    is_final: it looks like an attack, which is not to be given another try.
    """

    cause: str
    detail: str = ""
    is_final: bool = False


class Released(msgspec.Struct, frozen=True, tag="released"):
    """The job was not begun, or was interrupted through no fault of its own: back to its place, uncharged."""

    reason: str = ""


class Unreadable(msgspec.Struct, frozen=True, tag="unreadable"):
    """Another version of the task wrote these arguments, and this one cannot read them: left for the other."""

    error: ErrorInfo


class DeadJob(msgspec.Struct, frozen=True, kw_only=True):
    """What `on_dead` is told of a job that ended dead."""

    id: str
    task: str
    queue: str
    attempts: int
    reason: str


Outcome = Succeeded | Failed | Snoozed | SlowedDown | Cancelled | Crashed | Released | Unreadable
KINDS = ("succeeded", "failed", "snoozed", "cancelled", "crashed", "released")
