"""The answers about one job: its status, its result, its files, its cancel. They never wait for the job, so a WSGI
application can call them from its request threads.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator

from ..app import JobHandle
from ..core import codec
from ..core.errors import BackendUnavailable, FileMissing, NarrowboatError, StoreUnavailable
from ..core.file import MARK, File, names_files, refs_in
from ..core.job import Job
from ..core.states import State
from .answer import JSON, PRIVATE, Answer, Ask, as_json, moved, not_found, refusal, retry_after
from .document import Document, address, with_token
from .pages import Pages
from .reader import Reader
from .tokens import Grant, Signer

NOSNIFF = ("X-Content-Type-Options", "nosniff")
QUEUED_S, SCHEDULED_S, RUNNING_S = 2, 5, 1  # asked of pollers
LONGEST_PAUSE_S = 30


class Status:
    """The framework-free handlers. Each takes a job's id as it stands in the path, decoded, and an Ask."""

    def __init__(self, reader: Reader, signer: Signer, pages: Pages, clock: Callable[[], float] = time.time) -> None:
        self._reader, self._signer, self._pages, self._clock = reader, signer, pages, clock

    def grant(self, job_id: str, ask: Ask) -> Grant | None:
        """The right to see this job that the request shows."""
        found = [grant for grant in self.grants(ask) if grant.job == job_id]
        return max(found, key=lambda grant: (grant.may_cancel, grant.ends_at), default=None)

    def grants(self, ask: Ask) -> Iterator[Grant]:
        """All rights that the request shows."""
        now = self._clock()
        for token in ask.tokens:
            grant = self._signer.read(token, now)
            if grant is not None:
                yield grant

    def job(self, job_id: str, ask: Ask) -> Answer:
        """How a job stands: JSON, or a page; a browser is sent on to the result of a job that has one."""
        return self._guarded(job_id, ask, self._job)

    def result(self, job_id: str, ask: Ask) -> Answer:
        """What a job that has succeeded gave: its only file, or the value as JSON or on a page."""
        return self._guarded(job_id, ask, self._result)

    def file(self, job_id: str, number: int, ask: Ask) -> Answer:
        """One file of a result, counted from 0 in the order of the document's `files`."""
        return self._guarded(job_id, ask, lambda job, grant, ask: self._file(job, number))

    def cancel(self, job_id: str, ask: Ask) -> Answer:
        """Cancel a job, with a token that allows it, not from another site's page."""
        return self._guarded(job_id, ask, self._cancel)

    def _guarded(self, job_id: str, ask: Ask, handle: Callable[[Job, Grant, Ask], Answer]) -> Answer:
        grant = self.grant(job_id, ask)
        if grant is None:  # without a look at the backend: guesses cost it nothing, and take the same time
            return self._lost(ask)
        try:
            job = self._reader.read([job_id]).get(job_id)
            return self._lost(ask) if job is None else handle(job, grant, ask)
        except FileMissing:
            return self._lost(ask)
        except (BackendUnavailable, StoreUnavailable) as error:
            refused = refusal(error)
            assert refused is not None
            return self._pages.refused(refused) if ask.wants_page else refused.answer()

    def _lost(self, ask: Ask) -> Answer:
        return self._pages.lost() if ask.wants_page else not_found()

    def _job(self, job: Job, grant: Grant, ask: Ask) -> Answer:
        found = self._shown(job, grant)
        if ask.wants_page:
            if found.state is State.SUCCEEDED and found.result is not None:
                return moved(found.result)
            return self._pages.job(found, grant.token)
        return status_answer(found, ask)

    def _result(self, job: Job, grant: Grant, ask: Ask) -> Answer:
        if job.state is not State.SUCCEEDED or not job.result:
            return self._lost(ask)
        value = codec.decode(job.result)
        if isinstance(value, dict) and MARK in value:
            return self._file(job, 0)
        if ask.wants_page:
            return self._pages.result(self._shown(job, grant), None if names_files(job.result) else value)
        return Answer(200, [("Content-Type", JSON), NOSNIFF, *PRIVATE], job.result)

    def _file(self, job: Job, number: int) -> Answer:
        refs = list(refs_in(codec.decode(job.result))) if job.state is State.SUCCEEDED and job.result else []
        if not 0 <= number < len(refs):
            raise FileMissing(f"job {job.id} has no file {number}")
        content = self._reader.app.files.open(refs[number].key)
        return Answer(
            200, [*File.found(refs[number]).headers(inline=True).items(), ("Referrer-Policy", "no-referrer")], content
        )

    def _cancel(self, job: Job, grant: Grant, ask: Ask) -> Answer:
        if not grant.may_cancel or ask.is_foreign:
            return self._lost(ask)
        try:
            JobHandle.of(self._reader.app, job).cancel("by the person who asked for it")
        except NarrowboatError as error:
            if isinstance(error, BackendUnavailable):
                raise
            return self._lost(ask)
        if ask.wants_page:
            return moved(with_token(address(self._reader.base, job.id), grant.token, self._reader.base))
        [after] = self._reader.read([job.id]).values()
        return as_json(202, self._shown(after, grant))

    def _shown(self, job: Job, grant: Grant) -> Document:
        [found] = self._reader.documents({job.id: job}).values()
        return found.for_token(grant.token, grant.may_cancel, self._reader.base)


def status_answer(found: Document, ask: Ask) -> Answer:
    """A document as JSON with an ETag, or 304 for who has it already."""
    body = codec.encode(found)
    etag = etag_of(body)
    headers = [("ETag", etag), NOSNIFF, *PRIVATE, ("Vary", "Accept, Authorization, Cookie")]
    if not found.finished:
        headers.append(retry_after(pause_s(found)))
    if etag in [part.strip().removeprefix("W/") for part in ask.headers.get("if-none-match", "").split(",")]:
        return Answer(304, headers)
    return Answer(200, [("Content-Type", JSON), *headers], body)


def etag_of(body: bytes) -> str:
    """The same for the same document."""
    return f'"{hashlib.sha256(body).hexdigest()[:20]}"'


def pause_s(found: Document) -> float:
    """After how many seconds a poller should look again."""
    match found.state:
        case State.RUNNING:
            return RUNNING_S
        case State.QUEUED:
            return min(max(QUEUED_S, (found.left_s or 0) / 4), LONGEST_PAUSE_S)
        case _:
            return SCHEDULED_S
