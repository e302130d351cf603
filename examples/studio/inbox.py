"""A mail server for practice: takes every letter, sends none on, and writes them down for the page.

`python -m examples.studio.inbox` · it listens on this machine only
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import json
import signal
import sys
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from .app import DATA, INBOX, MAIL_OFF, MAIL_SERVER


class Box:
    """Appends each letter to INBOX."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Called by aiosmtpd with a whole letter."""
        content = envelope.content or b""
        message = email.message_from_bytes(
            content if isinstance(content, bytes) else content.encode(), policy=email.policy.default
        )
        body = message.get_body(("plain",))
        letter = {
            "id": message["Message-ID"],
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "subject": message["Subject"],
            "text": body.get_content() if body else "",
        }
        with INBOX.open("a") as inbox:
            inbox.write(json.dumps(letter) + "\n")
        return "250 taken"


def letters() -> list[dict[str, Any]]:
    """Every letter so far, oldest first."""
    with contextlib.suppress(FileNotFoundError):
        return [json.loads(line) for line in INBOX.read_text().splitlines()]
    return []


LOOK_EVERY_S = 0.1


async def serve() -> None:
    """Until TERM or Ctrl-C. While MAIL_OFF is there, nobody listens."""
    loop = asyncio.get_running_loop()

    async def opened(port: int) -> asyncio.Server:
        return await loop.create_server(lambda: SMTP(Box(), hostname="studio.example.com"), "127.0.0.1", port)

    MAIL_OFF.unlink(missing_ok=True)
    server = await opened(0)
    host, port = server.sockets[0].getsockname()
    DATA.mkdir(parents=True, exist_ok=True)
    INBOX.write_text("")
    MAIL_SERVER.write_text(json.dumps({"host": host, "port": port}))
    print(f"practice mail server on {host}:{port}", flush=True)
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    while not over.is_set():
        is_off = MAIL_OFF.exists()
        if is_off and server.is_serving():
            server.close()
        elif not is_off and not server.is_serving():
            server = await opened(port)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), LOOK_EVERY_S)
    server.close()
    MAIL_SERVER.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
