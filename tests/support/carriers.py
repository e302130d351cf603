"""Servers that deliver, as the tests of the relay kill them and start them again."""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from narrowboat.backends.rabbitmq.address import address_of
from narrowboat.backends.sqs.names import queue_name
from narrowboat.backends.transport import Notice, Transport
from narrowboat.core.errors import BackendUnavailable

from . import aws_server
from .aws_server import REGION, AwsServer
from .gearman_server import GearmanServer
from .loopback import LoopbackTransport
from .processes import ROOT, wait_for
from .rabbitmq_server import RabbitServer
from .servers import program

Send = Callable[[str, bytes], None]  # a body, to a channel


class Carrier(Protocol):
    """A server that delivers. environment: what its clients need. informed: a URL with which it tells all it can."""

    url: str
    informed: str
    environment: Mapping[str, str]

    def start(self) -> None:
        """Start it, on what it has kept; it answers when this returns."""

    def kill(self) -> None:
        """kill -9."""

    def stop(self) -> None:
        """The test is over."""

    def transport(self) -> Transport:
        """Narrowboat's own client of it."""

    def prepare(self, channels: Sequence[str]) -> None:
        """Have what must be there before other programs can send."""

    def programs(self) -> Sequence[Send]:
        """How other programs send; each in its own way."""

    def counted(self, channel: str) -> tuple[int, int]:
        """How many messages wait in a channel and how many are held, by what others use to look."""

    def doubt(self) -> str:
        """Something that people should know of it, and how that begins in our words."""


class Loopback:
    """The service of the tests as a process of its own; it keeps nothing."""

    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "loopback"
        self.url = self.informed = f"loopback://{self._socket}"
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

    def prepare(self, channels: Sequence[str]) -> None:
        pass

    def programs(self) -> Sequence[Send]:
        def send(channel: str, body: bytes) -> None:
            with contextlib.closing(self.transport()) as transport:
                transport.publish([Notice(channel, "", body)])

        return [send]

    def counted(self, channel: str) -> tuple[int, int]:
        with contextlib.closing(self.transport()) as transport:
            depth = transport.depths([channel])[channel]
            return depth.waiting or 0, depth.held or 0

    def doubt(self) -> str:
        return "it is of the tests, and forgets everything"


GEAR = """
import sys, gear
client = gear.Client("tests")
client.addServer("127.0.0.1", int(sys.argv[1]))
client.waitForServer(timeout=20)
client.submitJob(gear.Job(sys.argv[2].encode(), sys.stdin.buffer.read()), background=True, timeout=20)
client.shutdown()
"""


class Gearman:
    """gearmand, which keeps nothing."""

    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self._server = GearmanServer(folder)
        self.url = self.informed = self._server.url
        self.start, self.kill = self._server.start, self._server.kill

    def stop(self) -> None:
        self._server.stop()

    def transport(self) -> Transport:
        from narrowboat.backends.gearman import open_transport

        return open_transport(self.url)

    def prepare(self, channels: Sequence[str]) -> None:
        pass

    def programs(self) -> Sequence[Send]:
        tool = [program("gearman"), "-h", "127.0.0.1", "-p", str(self._server.port), "-b"]
        gear = [sys.executable, "-W", "ignore", "-c", GEAR, str(self._server.port)]
        return [
            lambda channel, body: _run([*tool, "-f", f"nb:{channel}"], body),
            lambda channel, body: _run([*gear, f"nb:{channel}"], body),
        ]

    def counted(self, channel: str) -> tuple[int, int]:
        return self._server.status(f"nb:{channel}")[:2]

    def doubt(self) -> str:
        return "gearmand keeps messages in memory only"


class RabbitMQ:
    """A node that all these tests share, since it takes seconds to start; each test has queues of its own."""

    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self._server = _node()
        self.url = self._server.apart()
        self.informed = f"{self.url}&management={self._server.management}"
        self.start, self.kill = self._server.start, self._server.kill

    def stop(self) -> None:
        process = self._server.process
        if process is None or process.poll() is not None:
            self.start()

    def transport(self) -> Transport:
        from narrowboat.backends.rabbitmq import open_transport

        return open_transport(self.url)

    def prepare(self, channels: Sequence[str]) -> None:
        """As a worker does: without a queue, a message to it is dropped."""
        with contextlib.closing(self.transport()) as transport:
            transport.receive("first", channels, 1, 0.01)

    def programs(self) -> Sequence[Send]:
        tool = [program("amqp-publish"), f"--url=amqp://guest:guest@{self._server.place}", "-p"]
        return [lambda channel, body: _run([*tool, "-r", self._queue(channel)], body)]

    def counted(self, channel: str) -> tuple[int, int]:
        return self._server.counted(self._queue(channel))

    def doubt(self) -> str:
        queue = self._queue("queue:default")
        policy = {"pattern": f"^{queue}$", "definition": {"message-ttl": 600_000}, "apply-to": "queues"}
        self._server.asked(f"policies/%2F/{queue}", "PUT", policy)
        about = f"queues/%2F/{queue}"
        wait_for("the policy", lambda: self._server.asked(about).get("effective_policy_definition"))
        return f"queue {queue} drops messages (message-ttl 600000)"

    def _queue(self, channel: str) -> str:
        return address_of(self.url).queue(channel)


@functools.cache
def _node() -> RabbitServer:
    return RabbitServer()


class SQS:
    """moto, which keeps nothing."""

    environment = aws_server.ENVIRONMENT

    def __init__(self, folder: Path) -> None:
        self._server = AwsServer()
        self.url = self.informed = self._server.sqs()
        self.start, self.kill, self.stop = self._server.start, self._server.kill, self._server.kill

    def transport(self) -> Transport:
        from narrowboat.backends.sqs import open_transport

        return open_transport(self.url)

    def prepare(self, channels: Sequence[str]) -> None:
        """As an operator does for each task that others send to."""
        for channel in channels:
            self._queue(channel)

    def programs(self) -> Sequence[Send]:
        tool = [program("curl"), "-sSf", "--aws-sigv4", f"aws:amz:{REGION}:sqs", "--user", "key:secret"]
        tool += ["-H", "X-Amz-Target: AmazonSQS.SendMessage", "-H", "Content-Type: application/x-amz-json-1.0"]

        def send(channel: str, body: bytes) -> None:
            message = {"QueueUrl": self._queue(channel), "MessageBody": body.decode()}
            _run([*tool, "--data", "@-", self._server.url], json.dumps(message).encode())

        return [send]

    def counted(self, channel: str) -> tuple[int, int]:
        asked = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._client.get_queue_attributes(QueueUrl=self._queue(channel), AttributeNames=asked)["Attributes"]
        return int(found[asked[0]]), int(found[asked[1]])

    def doubt(self) -> str:
        return f"{self._server.url} is asked without TLS"

    @functools.cached_property
    def _client(self) -> Any:
        return self._server.client("sqs")

    def _queue(self, channel: str) -> str:
        """Its URL; it is made if it is not there."""
        name = queue_name(self.url.partition("prefix=")[2].partition("&")[0], channel)
        return self._client.create_queue(QueueName=name)["QueueUrl"]


def _run(command: Sequence[str], given: bytes = b"") -> str:
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


CARRIERS: dict[str, Callable[[Path], Carrier]] = {
    "loopback": Loopback,
    "gearman": Gearman,
    "rabbitmq": RabbitMQ,
    "sqs": SQS,
}
