"""One newsletter becomes many letters, each a job of its own: one that cannot be sent now is tried again later."""

from __future__ import annotations

from email.message import EmailMessage

import aiosmtplib

from narrowboat import Breaker, Needs, Retry, current_job, progress

from .app import MAIL, app, mail_server

SENDER = "studio@example.com"
MOST_READERS = 500
# While the mail server is down, letters wait, and none of them loses an attempt by it.
SERVICE = Breaker("mail", failures=5, within="1m", retry_after="2s", on=(OSError, aiosmtplib.SMTPException))


@app.task(
    queue="mail",
    concurrency=20,
    timeout="30s",
    needs=Needs(network=True, read=[MAIL]),
    retry=Retry(attempts=8),
    breaker=SERVICE,
    summary="to {to}",
)
async def letter(to: str, subject: str, text: str) -> None:
    """Send one letter. Its Message-ID is the job's, so that a mail server can tell a letter that comes twice."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, to, subject
    job = current_job()
    if job is not None:
        message["Message-ID"] = f"<{job.id.replace(':', '.')}@studio.example.com>"
    message.set_content(text)
    host, port = mail_server()
    await aiosmtplib.send(message, hostname=host, port=port, start_tls=False)


@app.task(queue="documents", needs=Needs(enqueue=[letter]), summary="{subject}")
def newsletter(subject: str, text: str, readers: int) -> int:
    """Write a letter to each reader. They are all enqueued together with this job's success, or none is."""
    for number in range(1, readers + 1):
        letter.enqueue(f"reader-{number:03}@example.com", subject, f"Dear reader {number},\n\n{text}\n")
        progress(number, readers, "writing the letters")
    return readers
