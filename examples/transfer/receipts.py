"""What a worker does about a transfer."""

from __future__ import annotations

from narrowboat import App

app = App("transfer")


@app.task(queue="receipts")
def receipt(number: int, source: str, target: str, cents: int) -> str:
    """The text for the two people."""
    return f"Receipt {number}: {cents // 100}.{cents % 100:02} from {source} to {target}"
