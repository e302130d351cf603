"""The service as one process sees it: clients, calls that end, and batches of which some entries may fail."""

from __future__ import annotations

import importlib
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]

from ...core.errors import BackendError, BackendUnavailable, ConfigError
from .address import Address
from .errors import in_our_words

LONGEST_POLL_S = 20  # the service's limit
MOST = 10  # entries of one request
MOST_BYTES = 262_144  # of a request's bodies: what every queue takes; those made since August 2025 take 1 MiB
TRIES = 3  # of a call, and of entries that failed without our fault
_CONNECT_S, _READ_S = 2.0, 4.0

Entry = dict[str, Any]


class Service:
    """Safe to use from any thread; after a fork, make another."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._clients: dict[bool, Any] = {}

    def call(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """One operation, as botocore names its method. Raises what botocore does, for who can tell more about it."""
        return getattr(self._client(is_poll=False), operation)(**parameters)

    def poll(self, **parameters: Any) -> Mapping[str, Any]:
        """A `receive_message`: it may take LONGEST_POLL_S, and is tried once, for the next one is soon."""
        return self._client(is_poll=True).receive_message(**parameters)

    def run(self, operation: str, queue_url: str, entries: Sequence[Entry]) -> list[Mapping[str, Any]]:
        """An operation for many messages, ten at a time. What failed without our fault is tried again.

        Returns what the service says of the entries that it refused. Raises BackendUnavailable, and as `call`.
        """
        refused: list[Mapping[str, Any]] = []
        for batch in batches(entries):
            left = [{"Id": str(n), **entry} for n, entry in enumerate(batch)]
            for attempt in range(1, TRIES + 1):
                failed = {
                    one["Id"]: one for one in self.call(operation, QueueUrl=queue_url, Entries=left).get("Failed", ())
                }
                refused += [one for one in failed.values() if one["SenderFault"]]
                left = [entry for entry in left if entry["Id"] in failed and not failed[entry["Id"]]["SenderFault"]]
                if not left:
                    break
                if attempt == TRIES:
                    raise BackendUnavailable(
                        f"{self.address.location}: {len(left)} of {len(batch)} messages failed {TRIES} times "
                        f"({said(failed[left[0]['Id']])})"
                    )
                time.sleep(random.random() * 0.1 * 2**attempt)
        return refused

    def close(self) -> None:
        """Give up connections; those in use go when their call ends. Legal twice."""
        with self._lock:
            for client in self._clients.values():
                client.close()

    def in_our_words(self, error: Exception) -> Exception:
        """The error that is raised instead of one of botocore's."""
        return in_our_words(error, self.address.location)

    def refused(self, what: str) -> BackendError:
        """The error for messages that the service would refuse again."""
        return BackendError(f"{self.address.location}: the service refuses {what}")

    def attributes(self, queue_url: str) -> dict[str, str]:
        """Everything that a queue says of itself. Raises as `call`."""
        reply = self.call("get_queue_attributes", QueueUrl=queue_url, AttributeNames=["All"])
        return dict(reply.get("Attributes", {}))

    def endpoint(self) -> str:
        """Who is asked."""
        return str(self._client(is_poll=False).meta.endpoint_url)

    def _client(self, *, is_poll: bool) -> Any:
        with self._lock:
            if is_poll not in self._clients:
                self._clients[is_poll] = self._made(is_poll)
            return self._clients[is_poll]

    def _made(self, is_poll: bool) -> Any:
        boto3: Any = importlib.import_module("boto3.session")  # it has no types
        session = boto3.Session(region_name=self.address.region or os.environ.get("AWS_REGION") or None)
        config = Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S + (LONGEST_POLL_S if is_poll else 0),
            retries={"mode": "standard", "total_max_attempts": 1 if is_poll else TRIES},
            max_pool_connections=64 if is_poll else 16,
            user_agent_extra="narrowboat",
        )
        try:
            return session.client("sqs", endpoint_url=self.address.endpoint_url, config=config)
        except ValueError as error:  # of an endpoint that is no URL
            raise ConfigError(f"{self.address.location}: {error}") from error


def batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """As many at a time as one request takes, by number and by bytes."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        bytes_of_it = len(entry.get("MessageBody", "").encode())
        if batch and (len(batch) == MOST or size + bytes_of_it > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += bytes_of_it
    if batch:
        yield batch


def said(failure: Mapping[str, Any]) -> str:
    """What the service says of an entry that failed."""
    return f"{failure.get('Code', '?')}: {failure.get('Message', '')}"[:300]
