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
        try:
            prepared, fingerprint = self._prepared(lambda: task.job(*args, **kwargs))
            return self._taken(self._counter.app.enqueue(prepared), fingerprint)
        except NarrowboatError as error:
            return self._refused(error)

    async def asubmit(self, task: Enqueueable[P, Any] | BoundTask[P, Any], *args: P.args, **kwargs: P.kwargs) -> Answer:
        """`submit` for async code."""
        try:
            prepared, fingerprint = await asyncio.to_thread(self._prepared, lambda: task.job(*args, **kwargs))
            job = await self._counter.app.aenqueue(prepared)
            return await asyncio.to_thread(self._taken, job, fingerprint)
        except NarrowboatError as error:
            return self._refused(error)

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

    def _prepared(self, prepare: Callable[[], PreparedJob[Any]]) -> tuple[PreparedJob[Any], str]:
        """The job for this person, and a fingerprint of its arguments where a request may come again."""
        given = self._ask.headers.get(HEADER, "").strip()
        if len(given) > LONGEST_KEY or not given.isprintable():
            raise BadArguments(f"an Idempotency-Key has at most {LONGEST_KEY} printable characters")
        prepared = prepare()
        new = msgspec.structs.replace(prepared.new, client=self._person)
        if not given or new.key is not None:  # a task with a key= of its own is one job already
            return msgspec.structs.replace(prepared, new=new), ""
        fingerprint = keys.name_of(self._counter.app.runnables()[new.task].all_values(new.args))
        # Behind a hash, since the parts are other people's texts, of any length.
        key = "visit:" + hashlib.sha256(f"{len(self._person)}:{self._person}{given}".encode()).hexdigest()
        headers = {**new.headers, FINGERPRINT: fingerprint}
        new = msgspec.structs.replace(new, key=key, key_for=KEEP_S, headers=headers)
        return msgspec.structs.replace(prepared, new=new), fingerprint

    def _taken(self, job: AnyJob, fingerprint: str) -> Answer:
        if fingerprint and not job.created and job.record.headers.get(FINGERPRINT) != fingerprint:
            raise KeyUsedOtherwise("this Idempotency-Key was used for something else; send a new one")
        return self.accepted(job)

    def _refused(self, error: NarrowboatError) -> Answer:
        """Raises the error where it is no fault of the request."""
        refused = refusal(error)
        if refused is None:
            raise error
        return self._counter.pages.refused(refused) if self._ask.wants_page else refused.answer()
