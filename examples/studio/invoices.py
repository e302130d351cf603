"""An order becomes a PDF that a screen reader can read, too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typst

from narrowboat import File, progress

from .app import Result, app

TEMPLATE = Path(__file__).resolve().parent / "invoice.typ"
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Item(msgspec.Struct):
    """A line of an invoice. price: cents for one."""

    text: Text
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    price: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]


@app.task(queue="documents", timeout="30s", memory="600MB", summary="for {customer}")
def invoice(number: int, customer: Text, items: list[Item]) -> list[Result]:
    """Set the invoice as a tagged PDF (PDF/UA-1)."""
    progress(1, 3, "reading the order")
    data = {"number": number, "customer": customer, "items": items}
    progress(2, 3, "setting the type")
    # The order is data for the template, never a part of it: what a stranger typed stays text.
    pdf = typst.compile(
        TEMPLATE,
        sys_inputs={"order": msgspec.json.encode(data).decode()},
        pdf_standards=["ua-1"],
        ignore_system_fonts=True,
    )
    progress(3, 3, "done")
    return [Result(f"Invoice {number}", File.of(pdf, name=f"invoice-{number}.pdf"))]
