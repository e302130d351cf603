"""The App, where its files are, and what its tasks make."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec

from narrowboat import App

app = App("studio")

DATA = Path(__file__).resolve().parent / "data"
UPLOADS = DATA / "uploads"
RESULTS = DATA / "results"
INBOX = DATA / "inbox.jsonl"  # the letters that the practice mail server took, one JSON object a line
MAIL = DATA / "mail"
MAIL_SERVER = MAIL / "server.json"  # where it listens, written by whoever started it


for folder in (DATA, UPLOADS, RESULTS, MAIL):
    if not folder.exists() and os.access(folder.parent, os.W_OK):  # executors find them there
        folder.mkdir(parents=True)
        folder.chmod(0o777)  # a worker that is root runs executors as somebody else


class Result(msgspec.Struct):
    """One file that was made, in RESULTS. width, height: of pictures, else 0. size: bytes."""

    name: str
    label: str
    width: int
    height: int
    size: int


def mail_server() -> tuple[str, int]:
    """Host and port; executors have no environment to read them from."""
    try:
        found = json.loads(MAIL_SERVER.read_text())
    except FileNotFoundError:
        return "127.0.0.1", 8025
    return found["host"], found["port"]
