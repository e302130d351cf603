"""What the executor needs of an app: its tasks as things that can be run. `App` is one such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .hooks import Hooks
from .task import Manifest, TaskSpec


class Runnable(Protocol):
    """A task on the far side."""

    @property
    def spec(self) -> TaskSpec:
        """Its options."""
        ...

    def read(self, args: bytes) -> dict[str, Any]:
        """The arguments, checked. Raises BadArguments."""
        ...

    def run(self, arguments: dict[str, Any]) -> bytes:
        """Call a sync function, and return its result as JSON (empty for None)."""
        ...

    async def arun(self, arguments: dict[str, Any]) -> bytes:
        """The same for an async function."""
        ...

    def covers(self, error: BaseException) -> bool:
        """Whether this error is one to try again after."""
        ...

    def delay_s(self, error: BaseException, failures: int) -> float | None:
        """How long to wait after this error, the `failures`-th, where it is not as after any other."""
        ...

    def trips(self, error: BaseException) -> bool:
        """Whether this error is of the kinds that open its breaker."""
        ...


class RunnableApp(Protocol):
    """An app on the far side."""

    @property
    def hooks(self) -> Hooks:
        """What runs around jobs."""
        ...

    def load(self) -> None:
        """Import what else registers tasks."""
        ...

    def runnables(self) -> Mapping[str, Runnable]:
        """Tasks by every name that jobs may know them by."""
        ...

    def manifest(self) -> Manifest:
        """What to publish."""
        ...


ZYGOTE_MARK = "NARROWBOAT_ZYGOTE"
"""Set in the environment of a zygote and its executors, so that an App there knows where it is."""
