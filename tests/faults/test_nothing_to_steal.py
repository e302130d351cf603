"""An executor's environment, descriptors and memory hold nothing of the worker's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from narrowboat import kernel
from tests.support.memory import holds
from tests.support.processes import running_worker, wait_for

from .conftest import Harbour

SECRET = "hunter2-" + "f3b1c0de" * 4


def test_a_secret_of_the_worker_is_nowhere_in_zygote_or_executor(harbour: Harbour) -> None:
    go = harbour.folder / "go"
    with running_worker("harbour:app", harbour.url, harbour.folder, "-n", "1", env={"PLANTED": SECRET}) as worker:
        job = harbour.module.wait_for_file.enqueue(str(go))
        wait_for("the job to run", lambda: job.refresh().progress)
        [executor] = worker.executors()
        needle = SECRET.encode()
        assert holds(worker.pid, needle), "the search itself must be able to find it"
        for pid in (worker.zygote(), executor):
            assert needle not in Path(f"/proc/{pid}/environ").read_bytes()
            assert not holds(pid, needle)
            opened = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
            assert not any("harbour.db" in target for target in opened)
        kinds = {
            os.readlink(f"/proc/{executor}/fd/{name}").split(":")[0] for name in os.listdir(f"/proc/{executor}/fd")
        }
        words = "/memfd" if kernel.CAN_TAKE_BACK else f"{tempfile.gettempdir()}/#"  # where it writes when it crashes
        assert all(kind in ("/dev/null", "socket", "pipe") or kind.startswith(words) for kind in kinds), kinds
        seen = harbour.module.environment
        go.touch()
        job.wait(20)
        assert "PLANTED" not in seen.enqueue().wait(20).result
        assert "NARROWBOAT_URL" not in seen.enqueue().wait(20).result
