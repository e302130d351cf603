"""The definition of a backend's behaviour, as tests that any backend can run.

With pytest, subclass; the methods are the tests:

    import pytest
    pytest.register_assert_rewrite("narrowboat.testing.conformance")  # before the import: better failures
    from narrowboat.testing.conformance import BackendConformance

    class TestMine(BackendConformance):
        def make_backend(self) -> Backend:        # a fresh, empty store each time
            return MyBackend(...)

        def reopen(self, backend: Backend) -> Backend:  # a second handle on the same store, if it is shared
            return MyBackend(...)

Without pytest: `print(run(make_backend, reopen))`. What a backend's Capabilities say it cannot do is
skipped, by name. Every case ends with `audit()`, which must find nothing.
"""

from __future__ import annotations

from .bench import Bench, BenchWorker
from .suite import BackendConformance, Case, Report, cases, run

__all__ = ["BackendConformance", "Bench", "BenchWorker", "Case", "Report", "cases", "run"]
