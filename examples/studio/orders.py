"""What people send by the forms, checked, as jobs."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from narrowboat import BadArguments, File, FileTooLarge, FileTypeRefused, JobHandle

from .app import MOST_BYTES
from .hostile import ATTACKS, harm
from .images import render
from .invoices import Item, invoice
from .letters import MOST_READERS, newsletter
from .sketches import sketch

TOO_LARGE = "This file is larger than 25 MB, which is more than we take."


class Refused(Exception):
    """Something that is not taken: a status and a kind sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


async def photo(request: Request) -> JobHandle[Any]:
    """Ask for thumbnails of the upload, or for a drawing. Raises Refused."""
    if int(request.headers.get("content-length") or 0) > MOST_BYTES + 10_000:
        raise Refused(413, TOO_LARGE)
    async with request.form(max_files=1, max_fields=5) as form:
        upload = form.get("photo")
        if not isinstance(upload, UploadFile) or not upload.filename:
            raise Refused(400, "Please choose a photo first.")
        task = sketch if form.get("as") == "sketch" else render
        try:
            return await task.aenqueue(File.of(upload.file, name=upload.filename))
        except FileTooLarge:
            raise Refused(413, TOO_LARGE) from None
        except FileTypeRefused:
            raise Refused(415, "This file is not a picture. We take JPEG, PNG, WebP, GIF and TIFF.") from None


async def attack(request: Request) -> JobHandle[Any]:
    """One from the hostile corner. Raises Refused."""
    async with request.form(max_files=0, max_fields=2) as form:
        name = str(form.get("attack") or "")
    if name not in ATTACKS:
        raise Refused(400, "Please choose an attack from the list.")
    return await harm.aenqueue(name)


async def order(request: Request) -> JobHandle[Any]:
    """An invoice for one thing. Raises Refused."""
    async with request.form(max_files=0, max_fields=10) as form:
        item = Item(_line(form, "what"), _number(form, "quantity", 1000), _number(form, "price", 100_000) * 100)
        customer = _line(form, "customer")
    try:
        return await invoice.aenqueue(1000 + secrets.randbelow(9000), customer, [item])
    except BadArguments as error:
        raise Refused(400, "Please fill in every field.") from error


async def news(request: Request) -> JobHandle[Any]:
    """A newsletter. Raises Refused."""
    async with request.form(max_files=0, max_fields=10) as form:
        subject, readers = _line(form, "subject"), _number(form, "readers", MOST_READERS)
        text = str(form.get("text") or "").strip()[:10_000]
    return await newsletter.aenqueue(subject, text, readers)


def _line(form: FormData, name: str) -> str:
    text = " ".join(str(form.get(name) or "").split())
    if not text or not text.isprintable():
        raise Refused(400, f"Please fill in the field “{name}”.")
    return text[:200]


def _number(form: FormData, name: str, most: int) -> int:
    text = str(form.get(name) or "")
    if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
        raise Refused(400, f"The field “{name}” takes a number from 1 to {most:,}.")
    return int(text)
