"""What a worker prints when it starts: exactly what it listens to, and how safe it is."""

from __future__ import annotations

from .. import __version__
from ..backends.base import WorkerInfo
from ..core.task import Manifest
from ..core.units import in_words

SANDBOX = "processes apart, clean environment; no kernel rules yet"


def banner(location: str, origin: str, info: WorkerInfo, manifest: Manifest, drain_s: float) -> str:
    """Several lines, without a last line end."""
    tasks = sorted(task.name for task in manifest.tasks)
    shown = ", ".join(tasks[:8]) + (f" and {len(tasks) - 8} more" if len(tasks) > 8 else "")
    queues = ", ".join(name if count == info.slots else f"{name}={count}" for name, count in info.queues.items())
    rows = [
        ("backend", f"{location}  ({origin})"),
        ("queues", queues or "none: the app has no tasks"),
        ("slots", f"{info.slots}"),
        ("tasks", shown or "none"),
        ("sandbox", SANDBOX),
        ("worker", f"{info.id}, drains for {in_words(drain_s)} on TERM or Ctrl-C"),
    ]
    width = max(len(name) for name, _ in rows)
    head = f"Narrowboat {__version__} - app {manifest.app}"
    return "\n".join([head, *(f"  {name:<{width}}  {value}" for name, value in rows)])
