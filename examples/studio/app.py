"""The App, where its data is, and what its tasks make."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import msgspec

from narrowboat import Accept, App, File, Queue

# Past these a form is answered with "please try again in a while"; so nobody can fill the disk, nor take all turns.
MOST_WAITING, MOST_FOR_ONE = 500, 40
app = App(
    "studio",
    queues=[Queue(name, waiting=MOST_WAITING, waiting_per_client=MOST_FOR_ONE) for name in ("images", "documents")],
)

DATA = Path(__file__).resolve().parents[2] / "studio-data"  # not below the code, which every executor may read
INBOX = DATA / "inbox.jsonl"  # the letters that the practice mail server took, one JSON object a line
MAIL = DATA / "mail"
MAIL_SERVER = MAIL / "server.json"  # where it listens, written by whoever started it
MAIL_OFF = MAIL / "off"  # while it is there, the practice mail server is down
MOST_BYTES = 25 * 1024 * 1024
Photo = Annotated[
    File, Accept(types=["image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff"], size=MOST_BYTES)
]

if not MAIL.exists() and os.access(
    DATA.parent, os.W_OK
):  # the task that sends letters may read it, so it must be there
    MAIL.mkdir(parents=True)


class Result(msgspec.Struct):
    """One file that was made. width, height: of pictures, else 0."""

    label: str
    file: File
    width: int = 0
    height: int = 0


def mail_server() -> tuple[str, int]:
    """Host and port; executors have no environment to read them from."""
    try:
        found = json.loads(MAIL_SERVER.read_text())
    except FileNotFoundError:
        return "127.0.0.1", 8025
    return found["host"], found["port"]
