"""The queue of each channel: found by its name, or made."""

from __future__ import annotations

import json

from ...core.errors import ConfigError
from .errors import DENIED, FAILURES, MISSING, THERE_ALREADY, code_of, lacking, no_service
from .names import dead_letters, queue_name
from .service import Service

RETENTION_S = 14 * 86_400  # the longest that there is
MOST_RECEIVES = 100  # giving back and being roused count, too, so it is far above what a healthy message sees


class Queues:
    """Remembers the URLs. Errors are those of botocore, and ConfigError. Safe to use from any thread."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._urls: dict[str, str] = {}

    def url_of(self, channel: str) -> str:
        """The queue of a channel, which is made if it is not there. Raises ConfigError if it may not be."""
        name = queue_name(self._service.address.prefix, channel)
        return self._find(name) or self._make(name)

    def find(self, channel: str) -> str | None:
        """The queue of a channel; None if it is not there."""
        return self._find(queue_name(self._service.address.prefix, channel))

    def forget(self) -> None:
        """Look again: a queue that was there no longer is."""
        self._urls = {}

    def _find(self, name: str) -> str | None:
        if name not in self._urls:
            try:
                reply = self._service.call("get_queue_url", QueueName=name)
            except FAILURES as error:
                if code_of(error) not in MISSING:
                    raise
                return None
            if "QueueUrl" not in reply:
                raise no_service(self._service.address.location, str(dict(reply))[:200])
            self._urls[name] = reply["QueueUrl"]
        return self._urls.get(name)

    def _make(self, name: str) -> str:
        where, prefix = self._service.address.location, self._service.address.prefix
        try:
            if self._find(f"{name}.fifo"):
                raise ConfigError(
                    f"{where}: there is a FIFO queue {name}.fifo, and no standard queue {name}. A FIFO queue holds "
                    "back what follows a held message, so none is used: delete it, or choose another prefix than "
                    f"{prefix!r}"
                )
            policy = {"deadLetterTargetArn": self._arn(dead_letters(prefix)), "maxReceiveCount": MOST_RECEIVES}
            return self._created(name, RedrivePolicy=json.dumps(policy))
        except FAILURES as error:
            if code_of(error) not in DENIED:
                raise
            raise ConfigError(
                f"{where}: there is no queue {name}, and these credentials may not make it ({lacking(error)}): make "
                "it, or start a worker that may; `narrowboat acl sqs` prints what that takes"
            ) from error

    def _arn(self, name: str) -> str:
        url = self._find(name) or self._created(name)
        return self._service.attributes(url)["QueueArn"]

    def _created(self, name: str, **attributes: str) -> str:
        attributes = {"MessageRetentionPeriod": str(RETENTION_S), **attributes}
        try:
            self._urls[name] = self._service.call("create_queue", QueueName=name, Attributes=attributes)["QueueUrl"]
        except FAILURES as error:  # made otherwise, in this moment
            if code_of(error) not in THERE_ALREADY or not self._find(name):
                raise
        return self._urls[name]
