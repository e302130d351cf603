"""Measurements beside Huey on SQLite, and of Narrowboat's own parts: `make bench`; `make bench-peers` is `peers`."""
