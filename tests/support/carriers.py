"""Servers that deliver, as the tests of the relay kill them and start them again."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from narrowboat.backends.transport import Transport
from narrowboat.core.errors import BackendUnavailable

from . import aws_server
from .aws_server import AwsServer
from .gearman_server import GearmanServer
from .loopback import LoopbackTransport
from .processes import ROOT, wait_for
from .rabbitmq_server import RabbitServer


class Carrier(Protocol):
    """A server that delivers. environment: what its clients need."""

    url: str
    environment: Mapping[str, str]

    def start(self) -> None:
        """Start it, on what it has kept; it answers when this returns."""

    def kill(self) -> None:
        """kill -9."""

    def stop(self) -> None:
        """The test is over."""

    def transport(self) -> Transport:
        """For what other programs send."""


class Loopback:
    """The service of the tests as a process of its own; it keeps nothing."""

    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "loopback"
        self.url = f"loopback://{self._socket}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "tests.support.loopback", self._socket], cwd=ROOT)
        wait_for("the service", lambda: self._process.poll() is None and self._is_there())

    def _is_there(self) -> bool:
        with contextlib.closing(self.transport()) as transport, contextlib.suppress(BackendUnavailable):
            return transport.depths([]) == {}
        return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        if self._process.poll() is None:
            self.kill()

    def transport(self) -> LoopbackTransport:
        return LoopbackTransport(str(self._socket))


class Gearman:
    """gearmand, which keeps nothing."""

    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self._server = GearmanServer(folder)
        self.url = self._server.url
        self.start, self.kill = self._server.start, self._server.kill

    def stop(self) -> None:
        self._server.stop()

    def transport(self) -> Transport:
        from narrowboat.backends.gearman import open_transport

        return open_transport(self.url)


class RabbitMQ:
    """A node that all these tests share, since it takes seconds to start; each test has queues of its own."""

    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self._server = _node()
        self.url = self._server.apart()
        self.start, self.kill = self._server.start, self._server.kill

    def stop(self) -> None:
        process = self._server.process
        if process is None or process.poll() is not None:
            self.start()

    def transport(self) -> Transport:
        from narrowboat.backends.rabbitmq import open_transport

        return open_transport(self.url)


@functools.cache
def _node() -> RabbitServer:
    return RabbitServer()


class SQS:
    """moto, which keeps nothing."""

    environment = aws_server.ENVIRONMENT

    def __init__(self, folder: Path) -> None:
        self._server = AwsServer()
        self.url = self._server.sqs()
        self.start, self.kill, self.stop = self._server.start, self._server.kill, self._server.kill

    def transport(self) -> Transport:
        from narrowboat.backends.sqs import open_transport

        return open_transport(self.url)


CARRIERS: dict[str, Callable[[Path], Carrier]] = {
    "loopback": Loopback,
    "gearman": Gearman,
    "rabbitmq": RabbitMQ,
    "sqs": SQS,
}
