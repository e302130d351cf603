"""From the test functions of this folder to something that a backend can be put through."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple
from unittest import SkipTest

from ...backends.base import Backend
from . import (
    batching,
    cancelling,
    claiming,
    controlling,
    delays,
    enqueueing,
    gating,
    keys,
    leases,
    limiting,
    order,
    purging,
    reading,
    rescuing,
    retrying,
    scheduling,
    settling,
    sharing,
    steps,
    threads,
    waiting,
    watching,
)
from .bench import Bench, MakeBackend, Reopen, needs_of

MODULES: tuple[ModuleType, ...] = (
    enqueueing,
    limiting,
    keys,
    delays,
    order,
    claiming,
    steps,
    settling,
    leases,
    rescuing,
    cancelling,
    retrying,
    gating,
    controlling,
    scheduling,
    batching,
    waiting,
    watching,
    reading,
    purging,
    threads,
    sharing,
)


class Case(NamedTuple):
    """One claim about a backend; `needs` is the Capabilities field without which it is skipped."""

    name: str
    check: Callable[[Bench], None]
    needs: str | None

    def run(self, make_backend: MakeBackend, reopen: Reopen | None = None) -> None:
        """Raises AssertionError when the claim is false, unittest.SkipTest when it does not apply."""
        with Bench(make_backend, reopen) as bench:
            if self.needs is not None and not getattr(bench.backend.capabilities, self.needs):
                raise SkipTest(f"{self.name}: {bench.backend.capabilities.name} has not {self.needs}")
            if self.needs == "is_shared" and reopen is None:
                raise SkipTest(f"{self.name}: no reopen was given")
            self.check(bench)
            problems = bench.backend.audit()
            assert not problems, f"audit() after {self.name}: {problems}"


def cases() -> list[Case]:
    """Every case of the suite, in the order of the port."""
    return [
        Case(name, check, needs_of(check))
        for module in MODULES
        for name, check in vars(module).items()
        if name.startswith("test_")
    ]


class Report(NamedTuple):
    """What came of a run. failed: name -> traceback; skipped: name -> why."""

    passed: tuple[str, ...]
    failed: dict[str, str]
    skipped: dict[str, str]

    def __str__(self) -> str:
        lines = [f"FAILED {name}\n{text}" for name, text in self.failed.items()]
        lines += [f"skipped {why}" for why in self.skipped.values()]
        lines.append(f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped")
        return "\n".join(lines)


def run(make_backend: MakeBackend, reopen: Reopen | None = None) -> Report:
    """Put a backend through the whole suite."""
    report = Report((), {}, {})
    for case in cases():
        try:
            case.run(make_backend, reopen)
        except SkipTest as skip:
            report.skipped[case.name] = str(skip)
        except Exception:  # noqa: BLE001 - whatever a backend raises is a failed claim
            report.failed[case.name] = traceback.format_exc()
        else:
            report = report._replace(passed=(*report.passed, case.name))
    return report


class BackendConformance:
    """Subclass with a name that pytest collects; `make_backend` gives a fresh, empty store each time.

    lacks: fields of Capabilities that the backend has not. Cases that need one are not collected, and named in
    `left_out`; a backend that lacks more than it says skips them, one that lacks less fails.
    """

    lacks: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        """Take away the cases that do not apply."""
        left_out = [case.name for case in cases() if case.needs in cls.lacks]
        for name in left_out:
            setattr(cls, name, None)
        cls.left_out = tuple(left_out)

    def test_the_backend_lacks_what_it_says(self) -> None:
        """`lacks` hides no case that would apply."""
        backend = self.make_backend()
        assert not {name for name in self.lacks if getattr(backend.capabilities, name)}
        backend.close()

    def make_backend(self) -> Backend:
        """A backend on a new, empty store."""
        raise NotImplementedError

    def reopen(self, backend: Backend) -> Backend:
        """A second handle on the store of `backend`, as another process would open it."""
        raise SkipTest("no second handle: reopen is not overridden")


def _method(case: Case) -> Callable[[BackendConformance], None]:
    def test(self: BackendConformance) -> None:
        case.run(self.make_backend, self.reopen)

    test.__name__, test.__doc__ = case.name, case.check.__doc__
    return test


for _case in cases():
    assert not hasattr(BackendConformance, _case.name), f"two cases are named {_case.name}"
    setattr(BackendConformance, _case.name, _method(_case))
