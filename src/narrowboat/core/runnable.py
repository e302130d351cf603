"""What the executor needs of an app: its tasks as things that can be run. `App` is one such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .task import Manifest, TaskSpec


class Runnable(Protocol):
    """A task on the far side."""

    @property
    def spec(self) -> TaskSpec:
        """Its options."""
        ...

    def run(self, args: bytes) -> bytes:
        """Check the arguments, call the function, and return its result as JSON (empty for None)."""
        ...

    def covers(self, error: BaseException) -> bool:
        """Whether this error is one to try again after."""
        ...


class RunnableApp(Protocol):
    """An app on the far side."""

    def runnables(self) -> Mapping[str, Runnable]:
        """Tasks by name."""
        ...

    def manifest(self) -> Manifest:
        """What to publish."""
        ...


ZYGOTE_MARK = "NARROWBOAT_ZYGOTE"
"""Set in the environment of a zygote and its executors, so that an App there knows where it is."""
