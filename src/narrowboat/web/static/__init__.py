"""What browsers load, and where it is."""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).parent
SERVED = {"job-status.js": "text/javascript; charset=utf-8", "status.css": "text/css; charset=utf-8"}
