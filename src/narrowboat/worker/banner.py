"""What a worker says when it starts: exactly what it listens to, and how safe it is."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence

from .. import __version__, kernel
from ..backends.base import WorkerInfo
from ..core.needs import Reach
from ..core.task import Manifest
from ..core.units import in_words
from ..sandbox.findings import Finding, lacking
from ..sandbox.findings import in_words as findings_in_words
from ..sandbox.walls import Layers


def facts(location: str, origin: str, info: WorkerInfo, manifest: Manifest, drain_s: float) -> dict[str, str]:
    """Name and value of each line."""
    tasks = sorted(task.name for task in manifest.tasks)
    shown = ", ".join(tasks[:8]) + (f" and {len(tasks) - 8} more" if len(tasks) > 8 else "")
    queues = ", ".join(name if count == info.slots else f"{name}={count}" for name, count in info.queues.items())
    return {
        "backend": f"{location}  ({origin})",
        "queues": queues or "none: the app has no tasks",
        "slots": f"{info.slots}",
        "tasks": shown or "none",
        "sandbox": "",  # its place; what it is comes from the probes
        "worker": f"{info.id}, drains for {in_words(drain_s)} on TERM or Ctrl-C",
    }


def banner(app: str, lines: dict[str, str]) -> str:
    """The facts under a head, without a last line end."""
    width = max(map(len, lines))
    head = f"Narrowboat {__version__} - app {app}"
    return "\n".join([head, *(f"  {name:<{width}}  {value}" for name, value in lines.items())])


def doubts(info: WorkerInfo, manifest: Manifest) -> list[str]:
    """What the system lacks; queues that no task of the app goes to: misspelt, or used by `using(queue=...)` only."""
    known = sorted({task.queue for task in manifest.tasks})
    found: list[str] = [kernel.MISSING] if kernel.MISSING else []
    for queue in info.queues:
        if queue not in known:
            close = difflib.get_close_matches(queue, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"its tasks go to {', '.join(known) or 'none'}"
            found.append(f"no task of the app goes to the queue {queue}: {hint}")
    return found


def exposed(manifest: Manifest, hidden: Sequence[str]) -> list[str]:
    """Tasks whose needs open a folder in which something lies that no task is to see: jobs, files, secrets."""
    found: list[str] = []
    for task in manifest.tasks:
        reach = task.needs.reach
        for verb, paths in (("read", reach.read), ("write to", reach.write)):
            for path in paths:
                inside = [other for other in hidden if f"{other}/".startswith(os.path.join(os.path.realpath(path), ""))]
                if inside:
                    found.append(f"task {task.name} may {verb} {path}, and with it {inside[0]}: keep them apart")
    return found


Walls = Mapping[Reach, tuple[Layers, tuple[Finding, ...]]]


def sandbox_line(mode: str, walls: Walls) -> str:
    """What stands around executors of tasks that are not trusted."""
    if mode == "off":
        return "OFF: tasks can do whatever this worker's user can"
    kept = [found for reach, found in walls.items() if not reach.trusted]
    if not kept:
        return "none: every task is trusted"
    layers, _ = kept[0]
    weak = sorted({finding.name for _, findings in kept for finding in lacking(findings)})
    what = f"not enforced: {', '.join(weak)}" if weak else "every property enforced"
    return f"{layers.in_words()}; {what}"


def gaps(mode: str, walls: Walls) -> list[str]:
    """What is missing, with the reasons."""
    if mode == "off":
        return ["the sandbox is off: tasks can read, change and reach whatever this worker's user can"]
    found: list[str] = []
    for reach, (layers, findings) in walls.items():
        if not reach.trusted and lacking(findings):
            who = f"tasks with {reach.in_words()}" if reach != Reach() else "tasks"
            why = f"; no namespaces: {layers.namespaces}" if layers.namespaces else ""
            why += f"; executors run as root: {layers.user}" if layers.user else ""
            found.append(f"the sandbox of {who}: {findings_in_words(findings)}{why}")
    return found
