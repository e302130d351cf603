"""Where tests of the sandbox run: as root and as somebody else in turn, with an interpreter that both can run."""

from __future__ import annotations

import os

import pytest

from .ground import USER, everyones_python

TAKES_TURNS = [
    pytest.mark.linux,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root and somebody else in turn"),
]
NEEDS_PYTHON = pytest.mark.skipif(
    not everyones_python(), reason="needs an interpreter of this version that every user can run"
)
# Whether the machine is like a container, and who the worker is there.
PLACES = {
    "here, as root": (False, 0),
    "here, as a user": (False, USER),
    "in a container, as root": (True, 0),
    "in a container, as a user": (True, USER),
}
