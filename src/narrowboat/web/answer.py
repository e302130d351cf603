"""Requests and answers in the words of no framework, so that any of them can carry these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from math import ceil
from typing import Any, BinaryIO
from urllib.parse import parse_qs

from ..core import codec
from ..core.errors import (
    BackendUnavailable,
    BadArguments,
    FileTooLarge,
    FileTypeRefused,
    NarrowboatError,
    PayloadTooLarge,
    QueueFull,
    StoreUnavailable,
)
from ..core.units import in_words

COOKIE = "narrowboat"
MOST_TOKENS = 100  # in one request
CHUNK = 65_536  # bytes
AWAY_S = 10  # what is asked of a client while the backend is away
HTML, JSON = "text/html; charset=utf-8", "application/json"
PRIVATE = (("Cache-Control", "private, no-store"), ("Referrer-Policy", "no-referrer"))


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a job. headers: names in lower case. query: the text after "?", not decoded."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str], query: str = "") -> Ask:
        """From whatever mapping a framework has for headers."""
        return cls({name.lower(): value for name, value in headers.items()}, query)

    @property
    def tokens(self) -> list[str]:
        """All that it shows: in the query, in "Authorization: Bearer", in a cookie, in this order."""
        found = self._values("token")
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            found.append(value.strip())
        try:
            morsel = SimpleCookie(self.headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            morsel = None
        if morsel is not None:
            found.append(morsel.value)
        return found[:MOST_TOKENS]

    def first(self, name: str) -> str:
        """A parameter of the query, or an empty text."""
        return next(iter(self._values(name)), "")

    def _values(self, name: str) -> list[str]:
        try:
            return parse_qs(self.query, max_num_fields=MOST_TOKENS * 2).get(name, []) if self.query else []
        except ValueError:  # more fields than anybody needs: it shows nothing
            return []

    @property
    def wants_page(self) -> bool:
        """Whether a person's browser asks, rather than a script."""
        return "text/html" in self.headers.get("accept", "")

    @property
    def is_foreign(self) -> bool:
        """Whether another site's page makes a browser ask this."""
        return self.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered. body: all of it, or a file that is open for reading and to be closed by whoever sends it."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes | BinaryIO = b""

    def header(self, name: str) -> str | None:
        """The first header of this name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def as_json(status: int, value: Any, *headers: tuple[str, str]) -> Answer:
    """An answer for a script."""
    return Answer(status, [("Content-Type", JSON), *PRIVATE, *headers], codec.encode(value))


def chunks(content: BinaryIO) -> Iterator[bytes]:
    """A body that is a file, in parts."""
    while chunk := content.read(CHUNK):
        yield chunk


def not_found() -> Answer:
    """For a job that does not exist, and for one that is somebody else's: the same to the last byte."""
    return as_json(404, {"error": "not found"})


def moved(place: str, *headers: tuple[str, str]) -> Answer:
    """See there."""
    return Answer(303, [("Location", place), ("Content-Type", HTML), *PRIVATE, *headers])


def retry_after(seconds: float) -> tuple[str, str]:
    """The header of this name, in whole seconds, at least 1."""
    return "Retry-After", str(max(1, ceil(seconds)))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a job could not be handed in. again_s: after how long it is worth another try, if it is."""

    status: int
    text: str
    again_s: float | None = None

    def answer(self) -> Answer:
        """For a script."""
        return as_json(self.status, {"error": self.text}, *self.headers())

    def headers(self) -> list[tuple[str, str]]:
        """Those that a page has, too."""
        return [] if self.again_s is None else [retry_after(self.again_s)]


def refusal(error: NarrowboatError) -> Refusal | None:
    """What to answer when a job could not be handed in; None for an error that is this side's own fault."""
    match error:
        case QueueFull(client=client):
            status, text = (429, "You have much waiting already.") if client else (503, "There is much to do just now.")
            again_s = max(1, ceil(error.retry_after_s))
            return Refusal(status, f"{text} Please try again in about {in_words(again_s)}.", again_s)
        case FileTooLarge() | PayloadTooLarge():
            return Refusal(413, _sentence(error))
        case FileTypeRefused():
            return Refusal(415, _sentence(error))
        case KeyUsedOtherwise() | BadArguments():
            return Refusal(422, _sentence(error))
        case BackendUnavailable() | StoreUnavailable():
            return Refusal(503, "Nothing can be taken just now. Please try again in a while.", AWAY_S)
        case _:
            return None


class KeyUsedOtherwise(NarrowboatError):
    """An Idempotency-Key came again with another payload."""


def _sentence(error: NarrowboatError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:500]
