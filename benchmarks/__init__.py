"""Measurements beside Huey on SQLite, in one run on one machine: `make bench`."""
