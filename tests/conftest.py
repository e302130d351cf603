"""For all tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest

from narrowboat.kernel import PORTABLE
from tests.support.ending import end_all

# Workers leave notes in the temporary folder, by which others of the same user find them: not those of other tests.
# Beside that of the run, where this is one of its processes: the paths of sockets must stay short.
_beside = os.path.dirname(os.environ["TMPDIR"]) if "PYTEST_XDIST_WORKER" in os.environ else None
tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="nb-", dir=_beside)
os.chmod(tempfile.tempdir, 0o711)  # executors of a worker that is root have a user of their own
atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)


def pytest_sessionfinish() -> None:
    """Stop servers while there is time: a process of several is killed some seconds after it was told to end."""
    end_all()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, by name, what the portable part cannot do."""
    if os.environ.get(PORTABLE) == "1":
        left_out = [item for item in items if item.get_closest_marker("linux")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        print("\nonly Linux can do these:", *(item.nodeid for item in left_out), sep="\n  ")
