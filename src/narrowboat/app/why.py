"""Why is this job not running? There is always an answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from ..backends.base import PLACES, Backend, Gate, WorkerView
from ..core.controls import Gated, Meter, kind_of
from ..core.job import Job
from ..core.moments import in_short
from ..core.states import State
from ..core.units import in_words, many
from .handle import unknown_job
from .steering import read_gates, state_of


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """code: short and stable, for programs. text: a sentence for people.

    place: jobs ahead in its lane; PLACES stands for that many or more.
    """

    code: str
    text: str
    state: State
    place: int | None = None


def why(backend: Backend, job_id: str, now: float | None = None) -> Reason:
    """Ask the backend what it takes to answer. Raises UnknownJob."""
    now = time.time() if now is None else now
    [job] = backend.get([job_id])
    if job is None:
        raise unknown_job(job_id)
    if job.state is State.QUEUED:
        live = [worker for worker in backend.workers() if worker.lease_until >= now]
        [place] = backend.places([job.id])
        spec = backend.published([job.task]).get(job.task)
        gates = read_gates(backend, job, spec)
        reason = explain_queued(job, live, backend.gates(), gates, spec is not None, place, now)
        hindrance = backend.hindrance(job.queue) if reason.code == "in line" else ""
        if hindrance:
            return msgspec.structs.replace(reason, code="transport", text=f"{reason.text}; {hindrance}")
        return reason
    return explain(job, now)


def explain(job: Job, now: float) -> Reason:
    """The answer for a job that is in no line."""
    match job.state:
        case State.SCHEDULED:
            due_in = in_words(max(0.0, (job.due_at or now) - now))
            spent = f" after {job.attempts} attempts" if job.attempts else ""
            last = (
                f"; the last one: {job.history[-1].error.in_one_line()}"
                if job.history and job.history[-1].error
                else ""
            )
            return _reason(job, "scheduled", f"it is due in {due_in}{spent}{last}")
        case State.RUNNING if job.is_cancel_asked:
            return _reason(job, "cancelling", f"it runs on {job.worker}, and is being cancelled")
        case State.RUNNING if job.started_at is None:
            return _reason(job, "claimed", f"{job.worker} has claimed it and begins it next")
        case State.RUNNING:
            ran = in_words(max(0.0, now - (job.started_at or now)))
            return _reason(job, "running", f"it is running, for {ran}, on {job.worker}")
        case State.DEAD:
            return _reason(
                job, "dead", f"its attempts are spent; a person may retry it. Last: {job.reason or 'no reason'}"
            )
        case State.CANCELLED:
            return _reason(job, "cancelled", f"it was cancelled: {job.reason or 'no reason given'}")
        case _:
            return _reason(job, "succeeded", "it has succeeded")


def explain_queued(
    job: Job,
    live: list[WorkerView],
    gates: list[Gate],
    controls: Sequence[tuple[Gated, Meter]],
    is_published: bool,
    place: int | None,
    now: float,
) -> Reason:
    """The answer for a job that waits in its lane, the first that applies."""
    shut = next((gate for gate in gates if gate.scope in (f"queue:{job.queue}", f"task:{job.task}")), None)
    if shut is not None:
        end = f" until {in_short(shut.until, now)}" if shut.until else ""
        reason = f": {shut.reason}" if shut.reason else ""
        scope, code = shut.scope.replace(":", " "), "slow down" if shut.kind == "slow-down" else "paused"
        return _reason(job, code, f"{scope} is {'held' if code == 'slow down' else 'paused'}{end}{reason}", place)
    if not live:
        return _reason(job, "no workers", "no worker is running on this backend", place)
    knowing = [worker for worker in live if job.task in worker.tasks]
    if not knowing:
        known = "only workers that are gone knew it" if is_published else "none ever did; is the name right?"
        return _reason(job, "unknown task", f"no live worker knows the task {job.task}: {known}", place)
    consuming = [worker for worker in knowing if job.queue in worker.info.queues]
    if not consuming:
        return _reason(
            job, "unserved queue", f"no live worker that knows its task consumes the queue {job.queue}", place
        )
    for gated, meter in controls:
        if not gated.control.room(meter, now):
            code = kind_of(gated.control)
            name = gated.scope.partition(":")[2]
            text = f"the {code} {name} holds it ({gated.control.words()}): {state_of(gated.control, meter, now)}"
            return _reason(job, code, text, place)
    slots = sum(worker.info.queues[job.queue] for worker in consuming)
    before = f"{place:,} or more jobs" if place == PLACES else many(place or 0, "job")
    ahead = f"{before} of its task before it" if place else "it is next of its task"
    takers = f"{many(len(consuming), 'worker')} with {many(slots, 'slot')} {'takes' if len(consuming) == 1 else 'take'}"
    return _reason(job, "in line", f"it waits in line: {ahead}; {takers} from {job.queue}", place)


def _reason(job: Job, code: str, text: str, place: int | None = None) -> Reason:
    return Reason(code=code, text=text, state=job.state, place=place)
