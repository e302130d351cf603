"""The pages that work without a script: the status of a job, its result, and "not found"."""

from __future__ import annotations

import functools
import json
from typing import Any

from .answer import HTML, PRIVATE, Answer
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


def page_of(found: Document | None, status: int, token: str = "", base: str = "") -> Answer:
    """The status page of a job, or the page that says there is none."""
    if found is None:
        return Answer(status, HEADERS, _template("lost.html").render().encode())
    shown = {"job": found, "token": token, "base": base}
    return Answer(status, HEADERS, _template("job.html").render(shown).encode())


def result_page(found: Document, value: Any, base: str) -> Answer:
    """A result that is not a file: the value, or links to the files in it."""
    text = None if value is None else json.dumps(value, indent=2, ensure_ascii=False)[:LONGEST_VALUE]
    return Answer(200, HEADERS, _template("result.html").render({"job": found, "value": text, "base": base}).encode())
