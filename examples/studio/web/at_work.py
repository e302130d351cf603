"""The workers, and what each is doing now. Other people's work is named by its kind alone."""

from __future__ import annotations

from typing import Any

from narrowboat import BackendUnavailable, State
from narrowboat.backends.base import Backend, Filter, WorkerView
from narrowboat.core.job import JobSummary

KINDS = {
    "render": "Thumbnails of a photo",
    "sketch": "A charcoal drawing",
    "harm": "An attack",
    "invoice": "An invoice",
    "newsletter": "A newsletter",
    "letter": "A letter",
}
MOST = 200


def workers_now(backend: Backend) -> dict[str, Any]:
    """Every worker with its slots and its jobs, and how many jobs wait."""
    try:
        running = backend.find(Filter(states=frozenset({State.RUNNING})), limit=MOST).jobs
        workers = sorted(backend.workers(), key=lambda view: view.info.id)
        stats = backend.stats()
    except BackendUnavailable:
        return {"workers": [], "waiting": 0, "is_reached": False}
    waiting = sum(queue.counts.get(state, 0) for queue in stats for state in (State.QUEUED, State.SCHEDULED))
    shown = [worker(number, view, running) for number, view in enumerate(workers, 1)]
    return {"workers": shown, "waiting": waiting, "is_reached": True}


def worker(number: int, view: WorkerView, running: tuple[JobSummary, ...]) -> dict[str, Any]:
    """One worker. Jobs that share an executor's slot make more jobs than slots."""
    doing = [job for job in running if job.worker == view.info.id]
    return {
        "name": f"Worker {number}",
        "pid": view.info.pid,
        "slots": view.info.slots,
        "tasks": len(view.tasks),
        "jobs": [at_work(job) for job in sorted(doing, key=lambda job: job.id)],
    }


def at_work(job: JobSummary) -> dict[str, Any]:
    """One job, without whose it is."""
    kind = job.task.rpartition(".")[2]
    progress = job.progress
    return {
        "kind": KINDS.get(kind, kind),
        "words": progress.message if progress and kind in KINDS else "starting",
        "done": progress.done if progress else 0,
        "total": (progress.total if progress else 0) or 0,
        "since": job.started_at,
    }
