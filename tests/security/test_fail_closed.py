"""When a step on the way into the walls fails, the executor ends before it has seen a job, which another one runs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from narrowboat import App
from tests.support.processes import running_worker

from .ground import USER, everyones_python
from .hosts import machine

pytestmark = pytest.mark.linux

ALWAYS = [
    "child.os.setsid", "kernel.limit_memory", "walls._lower", "system.set_dumpable",
    "system.drop_capabilities", "landlock.restrict", "seccomp.for_process", "system.filter_calls",
    "child.os.dup2", "child.os.chdir",
]  # fmt: skip
STEPS = {
    "namespaces": [*ALWAYS, "system.unshare", "walls._map_user", "root.mount_scratch"],
    "no namespaces": [*ALWAYS, "kernel.die_with", "landlock.place", "landlock.ruleset"],
}

# The app is imported in the zygote, so it can break what its executors will do. Each of them counts itself in memory
# that all share: the first of a branch is the probe; then every other one fails, at one step after the other.
SHOP = """
import mmap, os
from narrowboat import App, kernel
from narrowboat.executor import child
from narrowboat.sandbox import landlock, root, seccomp, system, walls

STEPS = {steps}
app = App("shop")
count = mmap.mmap(-1, 4)  # executors; the pid of the last; the one in which a step failed

def number():
    return int.from_bytes(count[:2], "big")

def main(*args, real=child.main):
    count[:2] = (number() + 1).to_bytes(2, "big")
    main.pid = os.getpid()
    return real(*args)

child.main, main.pid = main, -1

def fragile(place, name, index):
    real = getattr(place, name)
    def step(*args, **options):
        if os.getpid() == main.pid and number() == 2 + 2 * index:
            count[2:] = number().to_bytes(2, "big")
            raise OSError(f"the step {{name}} fails")
        return real(*args, **options)
    return step

class Own:
    "A module as one other module sees it."
    def __init__(self, module):
        self.__dict__.update(vars(module))

child.os = Own(os)
child.os._exit = os._exit
for index, step in enumerate(STEPS):
    *path, name = step.split(".")
    place = globals()[path[0]]
    for part in path[1:]:
        place = getattr(place, part)
    setattr(place, name, fragile(place, name, index))

@app.task(memory="100MB")
def run() -> list[int]:
    return [number(), int.from_bytes(count[2:], "big")]
"""


@pytest.mark.parametrize("where", STEPS)
def test_a_step_that_fails_ends_the_executor_and_the_job_is_run_once_by_the_next(where: str) -> None:
    steps = STEPS[where]
    parts = [steps[start::5] for start in range(5)]  # side by side, since a worker waits after each such death
    with ThreadPoolExecutor(len(parts)) as threads:
        for done in [threads.submit(check, part, where != "namespaces") for part in parts]:
            done.result()


def check(steps: list[str], is_restricted: bool) -> None:
    with (
        machine(SHOP.format(steps=steps), restricted=is_restricted) as there,
        running_worker("shop:app", there.url, there.folder, "-n", "1", "--max-jobs", "1", host=there.host) as worker,
    ):
        app = App("shop", url=there.url)
        for index, step in enumerate(steps):
            record = app.enqueue_by_name("shop.run").wait(60).record
            failed, ran = 2 + 2 * index, 3 + 2 * index
            assert record.result == f"[{ran},{failed}]".encode(), f"{step}: {record.reason} {worker.output()[-3000:]}"
            assert (record.attempts, record.crashes) == (1, 0), step
        said = worker.output()
        assert app.backend.audit() == []
        app.close()
    assert said.count("an executor died before its first job (exit code 1)") == len(steps)
    for step in steps:
        assert f"the step {step.rpartition('.')[2]} fails" in said


def test_a_worker_does_not_start_with_walls_that_cannot_be_raised() -> None:
    broken = "from narrowboat.sandbox import system\n\ndef fail(*_):\n    raise OSError('the step fails')\n\n"
    for step in ("give_up_privileges", "drop_capabilities", "filter_calls"):
        source = (
            f"{broken}system.{step} = fail\nfrom narrowboat import App\napp = App('shop')\n@app.task\ndef one(): pass\n"
        )
        with machine(source) as there:
            done = there.cli("worker", "shop:app", "--url", there.url)
        assert done.returncode == 1
        assert "the step fails" in done.stderr


@pytest.mark.parametrize("user", [None, USER], ids=["root or whoever this is", "an ordinary user"])
def test_a_worker_that_requires_all_walls_does_not_start_without_one(user: int | None) -> None:
    if user is not None and (os.geteuid() != 0 or not everyones_python()):
        pytest.skip("only root can be somebody else, with an interpreter that every user can run")
    steps = ["walls.Walls._limit_all", "walls.start_init", "root.build", "landlock.ruleset", "seccomp.build"]
    steps += ["walls.Walls._become_user"] if user is None and os.geteuid() == 0 else []
    as_less = ("root.build", "walls.Walls._become_user")  # as where there are no namespaces
    with ThreadPoolExecutor(3) as threads:
        ended = [(step, threads.submit(required, step, "raise OSError('the step fails')", user)) for step in steps]
        for step, done in ended:
            status, said = done.result()
            refusal = "this host cannot keep all of it" if step in as_less else "the step fails"
            assert (status, refusal in said) == (1, True), f"{step}: {said}"
        status, said = threads.submit(required, "system.filter_calls", "pass", user).result()
    assert status == 1
    assert "this host cannot keep all of it" in said and "network" in said  # the probe has noticed, without an error


def required(step: str, what: str, user: int | None) -> tuple[int, str]:
    """How a worker ends that wants everything, and what it says, when a step does something else."""
    source = (
        "from narrowboat.sandbox import landlock, root, seccomp, system, walls\n"
        f"def other(*_, **__):\n    {what}\n{step} = other\n"
        "from narrowboat import App\napp = App('shop')\n@app.task\ndef one(): pass\n"
    )
    with machine(source, user=user) as there:
        done = there.cli("worker", "shop:app", "--url", there.url, "--sandbox", "require")
    return done.returncode, done.stderr
