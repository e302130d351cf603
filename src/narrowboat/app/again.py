"""Jobs that a person queues again: which they are, and with which arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from ..backends.base import Backend, Filter
from ..core import codec
from ..core.arguments import kind_of
from ..core.errors import BadArguments, ConfigError
from ..core.job import JobSummary
from ..core.states import State
from ..core.task import TaskSpec

RETRIED = frozenset({State.DEAD, State.CANCELLED})
PAGE = 500


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are meant. error: a pattern for the reason that they ended with, such as "Timeout*"."""

    states: frozenset[State] = frozenset({State.DEAD})
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if not self.states or not self.states <= RETRIED:
            raise ConfigError("only dead and cancelled jobs can be queued again")

    def covers(self, job: JobSummary) -> bool:
        """Whether the pattern fits."""
        return self.error is None or fnmatchcase(job.reason, self.error) or fnmatchcase(job.reason, f"{self.error}:*")


def jobs_of(backend: Backend, which: Which) -> Iterator[JobSummary]:
    """Those jobs, newest first, as they are while this goes on."""
    wanted = Filter(states=which.states, task=which.task, queue=which.queue, tag=which.tag)
    return filter(which.covers, all_of(backend, wanted))


def all_of(backend: Backend, wanted: Filter) -> Iterator[JobSummary]:
    """All jobs that a filter lets through, newest first, a page at a time."""
    after: str | None = None
    while True:
        page = backend.find(wanted, after, PAGE)
        yield from page.jobs
        after = page.next
        if after is None:
            return


def counted(jobs: Iterator[JobSummary]) -> Counter[tuple[str, str, str]]:
    """How many of each (task, state, kind of error)."""
    return Counter((job.task, job.state, job.reason.partition(":")[0][:60]) for job in jobs)


def refuse_unknown(spec: TaskSpec, named: Mapping[str, Any], task: str) -> None:
    """Raises BadArguments for names that a task does not take. task: what it is called in the error."""
    names = [parameter.name for parameter in spec.parameters]
    unknown = [] if spec.takes_any_names else sorted(named.keys() - set(names))
    if unknown:
        raise BadArguments(f"{task}: takes no {', '.join(unknown)}; it takes {', '.join(names) or 'nothing'}")


def refuse_changes(changes: Mapping[str, Any], spec: TaskSpec | None, task: str) -> None:
    """Raises BadArguments for other arguments that jobs of a task cannot be given: names that it does not take, values
    of another kind, and what their line depends on. What else its types ask for is checked when a job runs.

    spec: as published; None is refused, too.
    """
    if spec is None:
        raise BadArguments(
            f"{task}: no worker has published this task, so nobody knows which arguments it takes; start a worker "
            "first, or queue its jobs again as they are"
        )
    refuse_unknown(spec, changes, task)
    for name in changes:
        if f"{{{name}}}" in spec.controls.per:
            raise BadArguments(f"{task}: there is a line for each {name}, so that cannot change; enqueue a new job")
    for parameter in spec.parameters:
        if parameter.takes and parameter.name in changes:
            kind = kind_of(changes[parameter.name])
            if kind not in parameter.takes:
                wanted = " or ".join(parameter.takes)
                raise BadArguments(f"{task}: {parameter.name} is {wanted}, not {kind}")


def changed(args: bytes, changes: Mapping[str, Any], spec: TaskSpec | None, task: str) -> bytes:
    """The arguments of a job with some of them changed, as they are written. Raises BadArguments."""
    refuse_changes(changes, spec, task)
    data = codec.encode({**codec.decode(args), **changes})
    codec.refuse_large(data, "arguments of", task)
    return data
