"""What a worker is started with."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ..backends.base import Retention
from ..core.errors import ConfigError
from .wear import Wear

LEASE_S = 30.0
DRAIN_S = 25.0  # below the 30 s that Kubernetes gives
STOPPING_S = 1.0  # between Stopping in the task and SIGKILL


@dataclass(frozen=True, slots=True)
class Settings:
    """slots: executors in all. queues: name -> slots of its own (None: any free one); empty: every queue of the app.

    Durations are seconds.
    """

    app: str
    slots: int = field(default_factory=lambda: os.cpu_count() or 1)
    queues: dict[str, int | None] = field(default_factory=dict[str, int | None])
    drain_s: float = DRAIN_S
    lease_s: float = LEASE_S
    path: tuple[str, ...] = ()
    retention: Retention = field(default_factory=Retention)
    wear: Wear = field(default_factory=Wear)
    kept: tuple[int, int] | None = None  # by a Keeper: descriptors to say on that it works, and of the keeper's life
    health_port: int | None = None  # for /livez and /readyz; 0: any free one
    health_host: str = "127.0.0.1"
    sandbox: str = "best"  # or "require", "off"
    executor_user: int | None = None  # that executors run as where the worker is root
    files: str | None = None  # URL of the file store; None: a folder beside the database
    reload: bool = False  # move over to new code when files below path[0] change

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= 4096:
            raise ConfigError(f"-n {self.slots}: give 1 to 4096 slots")


def parse_queues(text: str) -> dict[str, int | None]:
    """Queues from "images=2,email=50,default". Raises ConfigError."""
    queues: dict[str, int | None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = part.partition("=")
        if equals and (not number.isdigit() or int(number) < 1):
            raise ConfigError(f"-q {part}: after = comes the number of slots, 1 or more")
        if not name:
            raise ConfigError(f"-q {text!r}: a queue has no name; write images=2,email")
        queues[name] = int(number) if equals else None
    return queues


def slots_for(queues: dict[str, int | None], slots: int | None) -> int:
    """Slots in all: what was asked for, else the sum of the queues' own, else one for each processor."""
    if slots is not None:
        return slots
    own = [count for count in queues.values() if count is not None]
    if own and len(own) == len(queues):
        return sum(own)
    return os.cpu_count() or 1
