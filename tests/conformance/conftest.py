"""Failures inside of suites say more."""

import pytest

pytest.register_assert_rewrite("narrowboat.testing.conformance", "tests.conformance.transports")
