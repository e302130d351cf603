"""The transport of the tests, put through the suite of transports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from narrowboat.backends.transport import Transport
from tests.conformance.transports import TransportConformance
from tests.support.loopback import LoopbackTransport, Server


class TestLoopback(TransportConformance):
    @pytest.fixture
    def service(self, tmp_path: Path) -> Iterator[None]:
        self._folder = tmp_path
        server = Server(tmp_path / "loopback").start()
        yield
        server.stop()

    def make_transport(self) -> Transport:
        return LoopbackTransport(str(self._folder / "loopback"))

    def reopen(self, transport: Transport) -> Transport:
        return self.make_transport()

    def unreachable(self) -> Transport:
        return LoopbackTransport(str(self._folder / "nobody"))
