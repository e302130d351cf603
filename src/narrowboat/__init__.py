"""Background workers for Python web applications.

Names are loaded when first used, so that `narrowboat --help` and an executor pay only for what they touch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import App as App
    from .app import AsyncTask as AsyncTask
    from .app import BatchHandle as BatchHandle
    from .app import JobHandle as JobHandle
    from .app import PreparedJob as PreparedJob
    from .app import Task as Task
    from .core.context import RunningJob as RunningJob
    from .core.context import current_job as current_job
    from .core.context import progress as progress
    from .core.controls import Breaker as Breaker
    from .core.controls import Limit as Limit
    from .core.controls import Rate as Rate
    from .core.errors import (
        BackendUnavailable as BackendUnavailable,
    )
    from .core.errors import (
        BadArguments as BadArguments,
    )
    from .core.errors import (
        Cancel as Cancel,
    )
    from .core.errors import (
        ConfigError as ConfigError,
    )
    from .core.errors import (
        FileMissing as FileMissing,
    )
    from .core.errors import (
        FileTooLarge as FileTooLarge,
    )
    from .core.errors import (
        FileTypeRefused as FileTypeRefused,
    )
    from .core.errors import (
        JobFailed as JobFailed,
    )
    from .core.errors import (
        JobNotFinished as JobNotFinished,
    )
    from .core.errors import (
        NarrowboatError as NarrowboatError,
    )
    from .core.errors import (
        PayloadTooLarge as PayloadTooLarge,
    )
    from .core.errors import (
        PictureTooLarge as PictureTooLarge,
    )
    from .core.errors import (
        QueueFull as QueueFull,
    )
    from .core.errors import (
        RetryIn as RetryIn,
    )
    from .core.errors import (
        SlowDown as SlowDown,
    )
    from .core.errors import (
        Snooze as Snooze,
    )
    from .core.errors import (
        Stopping as Stopping,
    )
    from .core.errors import (
        StoreUnavailable as StoreUnavailable,
    )
    from .core.errors import (
        UnknownBatch as UnknownBatch,
    )
    from .core.errors import (
        UnknownJob as UnknownJob,
    )
    from .core.errors import (
        UnknownTask as UnknownTask,
    )
    from .core.errors import (
        WaitTimeout as WaitTimeout,
    )
    from .core.file import Accept as Accept
    from .core.file import File as File
    from .core.needs import Needs as Needs
    from .core.outcome import DeadJob as DeadJob
    from .core.queue import Queue as Queue
    from .core.retry import Backoff as Backoff
    from .core.retry import Retry as Retry
    from .core.schedule import Schedule as Schedule
    from .core.states import State as State

_HOMES = {
    "app": ("App", "AsyncTask", "BatchHandle", "JobHandle", "PreparedJob", "Task"),
    "core.context": ("RunningJob", "current_job", "progress"),
    "core.controls": ("Breaker", "Limit", "Rate"),
    "core.errors": (
        "BackendUnavailable",
        "BadArguments",
        "Cancel",
        "ConfigError",
        "FileMissing",
        "FileTooLarge",
        "FileTypeRefused",
        "JobFailed",
        "JobNotFinished",
        "NarrowboatError",
        "PayloadTooLarge",
        "PictureTooLarge",
        "QueueFull",
        "RetryIn",
        "SlowDown",
        "Snooze",
        "Stopping",
        "StoreUnavailable",
        "UnknownBatch",
        "UnknownJob",
        "UnknownTask",
        "WaitTimeout",
    ),
    "core.file": ("Accept", "File"),
    "core.needs": ("Needs",),
    "core.outcome": ("DeadJob",),
    "core.queue": ("Queue",),
    "core.retry": ("Backoff", "Retry"),
    "core.schedule": ("Schedule",),
    "core.states": ("State",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__"])  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'narrowboat' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
