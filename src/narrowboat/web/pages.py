"""The pages that work without a script: the status of a job, its result, and "not found"."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

from ..core.file import SHOWN_HERE
from .answer import HTML, PRIVATE, Answer, Refusal
from .document import Document

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = (
    ("Content-Type", HTML),
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    *PRIVATE,
    ("Vary", "Accept, Authorization, Cookie"),
)
LONGEST_VALUE = 20_000  # characters of a result that a page shows


@functools.cache
def _template(name: str) -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("narrowboat.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


@dataclass(frozen=True, slots=True)
class Pages:
    """base: where they are. home: where they lead back to; empty for nowhere."""

    base: str
    home: str = ""

    def job(self, found: Document, token: str) -> Answer:
        """The status of a job."""
        return self._page(200, "job.html", job=found, token=token)

    def result(self, found: Document, value: Any) -> Answer:
        """A result that is not a file: the value, or the files in it."""
        text = None if value is None else json.dumps(value, indent=2, ensure_ascii=False)[:LONGEST_VALUE]
        return self._page(200, "result.html", job=found, value=text, pictures=SHOWN_HERE)

    def lost(self) -> Answer:
        """There is no such job, or it is somebody else's."""
        return self._page(404, "lost.html")

    def refused(self, refusal: Refusal) -> Answer:
        """Why nothing was taken, or cannot be shown."""
        return self._page(refusal.status, "refused.html", *refusal.headers(), text=refusal.text)

    def _page(self, status: int, name: str, *headers: tuple[str, str], **shown: Any) -> Answer:
        content = _template(name).render(base=self.base, home=self.home, **shown)
        return Answer(status, (*HEADERS, *headers), content.encode())
