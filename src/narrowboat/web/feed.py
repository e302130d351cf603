"""What a stream says, in order, whatever carries it: a whole document of each job first, then each change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from ..core import codec
from .document import Document
from .hub import Hub, Subscription
from .tokens import Grant

FIRST_S = 5.0  # the longest wait for the first documents


@dataclass(frozen=True, slots=True)
class Word:
    """One thing that is said. name: "job", "gone" (no such job any more), "end" (all have ended), "bye" (shutdown)."""

    name: str
    id: str = ""
    data: bytes = b"{}"


class Feed:
    """The jobs of some tokens, for one listener. Use `open`, and leave it by closing what that gives."""

    def __init__(
        self, stream: Subscription, grants: Sequence[Grant], closing: AbstractContextManager[object], base: str
    ) -> None:
        self.stream, self._closing, self._base = stream, closing, base
        self._grants = {grant.job: grant for grant in sorted(grants, key=lambda grant: grant.may_cancel)}
        self._open = set(self._grants)
        self._first: dict[str, Document | None] = {}

    @classmethod
    async def open(cls, hub: Hub, grants: Sequence[Grant]) -> Feed | None:
        """None when there is none, none of these jobs exists, or none could be read in time."""
        if not grants:
            return None
        stack = ExitStack()
        feed = cls(stack.enter_context(hub.subscribed([grant.job for grant in grants])), grants, stack, hub.base)
        try:
            async with asyncio.timeout(FIRST_S):
                while len(feed._first) < len(feed._grants) and not feed.stream.is_over:
                    await feed.stream.wait()
                    feed._first |= feed.stream.take()
        except TimeoutError:
            pass
        except BaseException:
            feed.close()
            raise
        if any(feed._first.values()):
            return feed
        feed.close()
        return None

    def close(self) -> None:
        """Look at nothing any more; legal twice."""
        self._closing.__exit__(None, None, None)

    async def words(self) -> AsyncIterator[Word]:
        """Until all jobs have ended, or the process shuts down."""
        news = self._first
        while True:
            for job_id, found in news.items():
                yield self._word(job_id, found)
            if not self._open:
                yield Word("end")
                return
            if self.stream.is_over:
                yield Word("bye")
                return
            await self.stream.wait()
            news = self.stream.take()

    def _word(self, job_id: str, found: Document | None) -> Word:
        if found is None:
            self._open.discard(job_id)
            return Word("gone", job_id, codec.encode({"id": job_id}))
        if found.finished:
            self._open.discard(job_id)
        grant = self._grants[job_id]
        shown = found.for_token(grant.token, grant.may_cancel, self._base)
        revision = str(found.revision)
        return Word("job", revision if len(self._grants) == 1 else f"{job_id}={revision}", codec.encode(shown))
