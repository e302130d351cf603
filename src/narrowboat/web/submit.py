"""Handing in: one small message is written, and the browser is answered at once with where to look."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, Protocol

import msgspec

from ..app import App, PreparedJob
from ..app.handle import AnyJob
from ..app.task import BoundTask, Enqueueable
from ..core import keys
from ..core.errors import BadArguments, NarrowboatError
from ..core.job import NewJob
from .answer import Answer, Ask, KeyUsedOtherwise, as_json, moved, refusal, retry_after
from .pages import Pages

P = ParamSpec("P")
HEADER = "idempotency-key"
FINGERPRINT = "narrowboat-payload"  # in the job's headers: what an Idempotency-Key came with
KEEP_S = 86_400.0  # a key is remembered so long after the job has succeeded
LONGEST_KEY = 200


class Counter(Protocol):
    """Where jobs are handed in."""

    @property
    def app(self) -> App:
        """Whose jobs they are."""
        ...

    @property
    def pages(self) -> Pages:
        """For browsers without scripts."""
        ...

    def token(self, job_id: str, *, may_cancel: bool = True) -> str:
        """A token for the job."""
        ...

    def job_url(self, job_id: str, token: str = "") -> str:
        """Its status page."""
        ...

    def events_url(self, job_id: str, token: str) -> str:
        """Its stream."""
        ...

    def cookie_for(self, job_id: str, token: str) -> str | None:
        """A Set-Cookie header, where tokens travel in cookies."""
        ...


class Visitor:
    """Somebody who hands in jobs. See `Web.visitor`."""

    def __init__(self, counter: Counter, person: str, headers: Mapping[str, str]) -> None:
        self._counter, self._person, self._ask = counter, person, Ask.of(headers)

    def submit(self, task: Enqueueable[P, Any] | BoundTask[P, Any], *args: P.args, **kwargs: P.kwargs) -> Answer:
        """Enqueue a job, and say where to look: 202 for a script, 303 to its page for a browser.

        With an Idempotency-Key header, the same person's next request with the same key for this task is answered
        with the same job; 422 if its arguments are others. What cannot be taken is answered with 413, 415, 422, 429
        or 503, and nothing is kept. Raises what is this side's own fault, such as ConfigError.
        """
        return self._answered(lambda: task.job(*args, **kwargs))

    async def asubmit(self, task: Enqueueable[P, Any] | BoundTask[P, Any], *args: P.args, **kwargs: P.kwargs) -> Answer:
        """`submit` for async code."""
        return await asyncio.to_thread(self._answered, lambda: task.job(*args, **kwargs))

    def accepted(self, job: AnyJob) -> Answer:
        """The answer for a job that is enqueued already."""
        token = self._counter.token(job.id)
        place = self._counter.job_url(job.id, token)
        cookie = self._counter.cookie_for(job.id, token)
        extra = [("Set-Cookie", cookie)] if cookie else []
        if self._ask.wants_page:
            where = self._counter.job_url(job.id) if cookie else place
            return moved(where, *extra)
        body = {
            "id": job.id,
            "created": job.created,
            "token": token,
            "status": place,
            "events": self._counter.events_url(job.id, token),
        }
        return as_json(202, body, ("Location", place), retry_after(1), *extra)

    def _answered(self, prepare: Callable[[], PreparedJob[Any]]) -> Answer:
        try:
            return self.accepted(self._enqueue(prepare))
        except NarrowboatError as error:
            refused = refusal(error)
            if refused is None:
                raise
            return self._counter.pages.refused(refused) if self._ask.wants_page else refused.answer()

    def _enqueue(self, prepare: Callable[[], PreparedJob[Any]]) -> AnyJob:
        app = self._counter.app
        given = self._ask.headers.get(HEADER, "").strip()
        if len(given) > LONGEST_KEY or not given.isprintable():
            raise BadArguments(f"an Idempotency-Key has at most {LONGEST_KEY} printable characters")
        new = msgspec.structs.replace(prepare().new, client=self._person)
        if not given or new.key is not None:  # a task with a key= of its own is one job already
            return app.enqueue(_prepared(new))
        fingerprint = keys.name_of(app.runnables()[new.task].all_values(new.args))
        # Behind a hash, since the parts are other people's texts, of any length.
        key = "visit:" + hashlib.sha256(f"{len(self._person)}:{self._person}{given}".encode()).hexdigest()
        headers = {**new.headers, FINGERPRINT: fingerprint}
        job = app.enqueue(_prepared(msgspec.structs.replace(new, key=key, key_for=KEEP_S, headers=headers)))
        if not job.created and job.record.headers.get(FINGERPRINT) != fingerprint:
            raise KeyUsedOtherwise("this Idempotency-Key was used for something else; send a new one")
        return job


def _prepared(new: NewJob) -> PreparedJob[Any]:
    return PreparedJob(new)
