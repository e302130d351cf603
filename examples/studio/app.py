"""The App, and where its files are."""

from pathlib import Path

from narrowboat import App

app = App("studio")

DATA = Path(__file__).resolve().parent / "data"
UPLOADS = DATA / "uploads"
RESULTS = DATA / "results"
