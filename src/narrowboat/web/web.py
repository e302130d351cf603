"""Web: the browser's way to the jobs of an App."""

from __future__ import annotations

import functools
import html
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from ..app import App
from ..app.handle import AnyJob
from ..core.units import seconds
from .answer import COOKIE, Answer
from .document import Describe, address, no_words
from .pages import Pages
from .reader import Reader
from .status import Status
from .submit import Visitor
from .tokens import Signer

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from .wsgi import WSGI


class Element(str):
    """Markup: templates that escape take it as it is."""

    def __html__(self) -> str:
        return self


class Web:
    """What browsers may see of an App's jobs, and how they hand jobs in.

    base: the path, or the whole address, at which `asgi` or `wsgi` is mounted.
    key: signs the tokens, at least 32 characters; several between commas, of which the first signs. Without it
    NARROWBOAT_WEB_KEY. All web processes need the same one.
    ttl: how long a token is good; what a page shows longer must be loaded again.
    describe: an application's own words for its jobs, called with a JobHandle whose record has been read; it gives a
    Shown. It is called often, so it should look at nothing else.
    home: where the plain pages lead back to, such as "/".
    cookies: tokens travel in cookies, one for each job's page, instead of in addresses; for pages without scripts.
    Raises ConfigError.
    """

    def __init__(
        self,
        app: App,
        *,
        base: str = "/jobs",
        key: str | None = None,
        ttl: float | str | timedelta = "1h",
        describe: Describe = no_words,
        home: str = "",
        cookies: bool = False,
    ) -> None:
        self.app, self.base, self._ttl_s, self._has_cookies = app, base.rstrip("/"), seconds(ttl), cookies
        self._signer = Signer.of(key)
        self.reader = Reader(app, self.base, describe)
        self.pages = Pages(self.base, home)
        self.status = Status(self.reader, self._signer, self.pages)

    def visitor(self, person: str, headers: Mapping[str, str]) -> Visitor:
        """Whoever sends this request. person: a user's or a session's id; an Idempotency-Key of theirs is theirs
        alone, and the limit per client counts by it. headers: the request's.
        """
        return Visitor(self, person, headers)

    def token(self, job_id: str, *, may_cancel: bool = True) -> str:
        """A token for a job. Give it only to whom the job belongs."""
        return self._signer.sign(job_id, time.time(), self._ttl_s, may_cancel=may_cancel)

    def job_url(self, job_id: str, token: str = "") -> str:
        """The address of a job's status."""
        return address(self.base, job_id) + (f"?token={token}" if token else "")

    def events_url(self, job_id: str, token: str) -> str:
        """The address of a job's stream of server-sent events."""
        return f"{address(self.base, job_id)}/events?token={token}"

    def element(self, job: AnyJob | str, label: str = "", *, may_cancel: bool = True) -> Element:
        """`<job-status>` for a job, with a link inside for browsers without scripts."""
        job_id = job if isinstance(job, str) else job.id
        token = self.token(job_id, may_cancel=may_cancel)
        parts = {"job": job_id, "token": token, "src": self.base, "label": label or None}
        written = " ".join(f'{name}="{html.escape(text)}"' for name, text in parts.items() if text is not None)
        link = f'<a href="{html.escape(self.job_url(job_id, token))}">{html.escape(label or "How it stands")}</a>'
        return Element(f"<job-status {written}>{link}</job-status>")

    def cookie_for(self, job_id: str, token: str) -> str | None:
        """A Set-Cookie header that only this job's pages get back."""
        if not self._has_cookies:
            return None
        path = "/" + self.job_url(job_id).partition("://")[2].partition("/")[2] if "://" in self.base else None
        return (
            f"{COOKIE}={token}; Path={path or self.job_url(job_id)}; Max-Age={int(self._ttl_s)}; HttpOnly; SameSite=Lax"
        )

    @functools.cached_property
    def asgi(self) -> ASGIApp:
        """An ASGI application, to be mounted at `base`, or run alone where `base` is ""."""
        from .asgi import application

        return application(self)

    @functools.cached_property
    def wsgi(self) -> WSGI:
        """A WSGI application, without streams, to be mounted at `base`."""
        from .wsgi import WSGI

        return WSGI(self)

    @staticmethod
    def starlette(answer: Answer) -> Response:
        """An Answer as a Starlette, and so a FastAPI, response."""
        from .asgi import to_response

        return to_response(answer)
