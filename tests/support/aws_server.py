"""A private stand-in for Amazon's services (moto), over HTTP. It forgets everything when it is killed."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
import urllib.request
from typing import Any

import boto3

from .ending import at_end
from .processes import wait_for
from .servers import free_port

REGION = "eu-west-1"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
# moto asks for the time three times for each message of a queue, whenever one is sent, by way of three dates.
MOTO = """
import time
from moto.server import main
from moto.sqs import models
models.unix_time = time.time
models.unix_time_millis = lambda: time.time() * 1000
main(["-H", "127.0.0.1", "-p", "{port}"])
"""
_prefixes = itertools.count(1)


class AwsServer:
    """Killed and started again it has the same port, and nothing of what it had."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes]
        self.start()
        at_end(self.kill)  # whatever becomes of the test

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", MOTO.format(port=self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def is_up() -> bool:
            assert self.process.poll() is None, "moto ended"
            try:
                return urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=5).status == 200
            except OSError:
                return False

        wait_for("moto", is_up, 60)

    def kill(self) -> None:
        """kill -9, and reap; legal twice."""
        self.process.kill()
        self.process.wait(20)

    def client(self, service: str, key: str = "key", secret: str = "secret") -> Any:
        """Amazon's own client of one of its services."""
        session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=REGION)
        return session.client(service, endpoint_url=self.url)

    def sqs(self, *settings: str, url: str = "") -> str:
        """The URL of queues of which there are none yet."""
        more = "".join(f"&{setting}" for setting in settings)
        return f"sqs://{REGION}?prefix=t{next(_prefixes)}-&endpoint_url={url or self.url}{more}"


@functools.cache
def shared_aws() -> AwsServer:
    """The server of all tests that do not harm it."""
    return AwsServer()
