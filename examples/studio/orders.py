"""What people send by the forms, checked: a task, and what to do it with."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, UploadFile

from narrowboat import File, Task

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


@dataclass(frozen=True, slots=True)
class Order:
    """One job to be."""

    task: Task[..., Any]
    values: tuple[Any, ...]


def upload_in(form: FormData) -> UploadFile:
    """The photo that was sent. Raises Refused."""
    upload = form.get("photo")
    if not isinstance(upload, UploadFile) or not upload.filename:
        raise Refused(400, "Please choose a photo first.")
    return upload


def photo(form: FormData) -> Order:
    """Thumbnails of the upload, or a drawing. Raises Refused."""
    upload = upload_in(form)
    task = sketch if form.get("as") == "sketch" else render
    return Order(task, (File.of(upload.file, name=upload.filename or ""),))


def attack(form: FormData) -> Order:
    """One from the hostile corner. Raises Refused."""
    name = str(form.get("attack") or "")
    if name not in ATTACKS:
        raise Refused(400, "Please choose an attack from the list.")
    return Order(harm, (name,))


def order(form: FormData) -> Order:
    """An invoice for one thing. Raises Refused."""
    item = Item(_line(form, "what"), _number(form, "quantity", 1000), _number(form, "price", 100_000) * 100)
    customer = _line(form, "customer")
    return Order(invoice, (1000 + secrets.randbelow(9000), customer, [item]))


def news(form: FormData) -> Order:
    """A newsletter. Raises Refused."""
    subject, readers = _line(form, "subject"), _number(form, "readers", MOST_READERS)
    text = str(form.get("text") or "").strip()[:10_000]
    return Order(newsletter, (subject, text, readers))


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
