"""An order becomes a PDF that a screen reader can read, too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typst

from narrowboat import Needs, current_job, progress

from .app import RESULTS, Result, app

TEMPLATE = Path(__file__).resolve().parent / "invoice.typ"
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Item(msgspec.Struct):
    """A line of an invoice. price: cents for one."""

    text: Text
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    price: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]


@app.task(queue="documents", timeout="30s", memory="600MB", needs=Needs(write=[RESULTS]), summary="for {customer}")
def invoice(number: int, customer: Text, items: list[Item]) -> list[Result]:
    """Set the invoice as a tagged PDF (PDF/UA-1)."""
    progress(1, 3, "reading the order")
    job = current_job()
    name = f"invoice-{number}-{job.id[-8:] if job else 'draft'}.pdf".lower()
    data = {"number": number, "customer": customer, "items": items}
    progress(2, 3, "setting the type")
    # The order is data for the template, never a part of it: what a stranger typed stays text.
    pdf = typst.compile(
        TEMPLATE,
        sys_inputs={"order": msgspec.json.encode(data).decode()},
        pdf_standards=["ua-1"],
        ignore_system_fonts=True,
    )
    unfinished = RESULTS / f".{name}"
    unfinished.write_bytes(pdf)
    unfinished.replace(RESULTS / name)
    progress(3, 3, "done")
    return [Result(name, f"Invoice {number}", 0, 0, len(pdf))]
