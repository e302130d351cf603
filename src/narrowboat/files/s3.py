"""Files in Amazon S3, or in a service that speaks like it."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, urlsplit

from ..core.credentials import AWS
from ..core.errors import ConfigError, FileMissing, StoreUnavailable
from .store import CHUNK, FileStore, checked, shard_of

_OPTIONS = ("endpoint", "region")


class S3Store(FileStore):
    """s3://bucket/prefix?endpoint=http://...&region=...; credentials by the usual AWS variables, files and roles.

    Large files go up in parts; a part that was left behind by a crash is the bucket's own rules' to expire.
    """

    variables = AWS

    def __init__(self, url: str) -> None:
        try:
            self._api: Any = importlib.import_module("obstore")
            bucket: Any = importlib.import_module("obstore.store").S3Store
        except ImportError:
            raise ConfigError("s3:// needs the extra narrowboat[s3]") from None
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        unknown = sorted(options.keys() - set(_OPTIONS))
        if not parts.hostname or unknown:
            raise ConfigError(f"{url!r}: write s3://bucket/prefix, with {' and '.join(_OPTIONS)} as options")
        self.location = f"s3://{parts.hostname}{parts.path}"
        if "endpoint" in options:
            options["virtual_hosted_style_request"] = "false"
        client = {"allow_http": options.get("endpoint", "").startswith("http://"), "timeout": "60s"}
        prefix = parts.path.strip("/") or None
        self._bucket: Any = bucket(parts.hostname, prefix=prefix, config=options, client_options=client)

    def put(self, key: str, content: Iterable[bytes]) -> None:
        """See FileStore. It is gathered on the disk first: an upload that stops half-way must not count."""
        with tempfile.TemporaryFile() as whole:
            for chunk in content:
                whole.write(chunk)
            whole.seek(0)
            self._call("write", lambda: self._api.put(self._bucket, checked(key), whole))

    def open(self, key: str) -> BinaryIO:
        """See FileStore: fetched to the disk, into a file without a name."""
        file = tempfile.TemporaryFile()
        try:
            found = self._call("read", lambda: self._api.get(self._bucket, checked(key)))
            for chunk in found.stream(min_chunk_size=CHUNK):
                file.write(chunk)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file  # type: ignore[return-value]

    def jobs(self, shard: str) -> list[tuple[str, float]]:
        """See FileStore."""
        now = datetime.now(UTC)
        ages: dict[str, float] = {}
        for batch in self._call("list", lambda: list(self._api.list(self._bucket, prefix=f"{shard}/"))):
            for found in batch:
                job_id, age = found["path"].split("/")[-2], (now - found["last_modified"]).total_seconds()
                ages[job_id] = min(age, ages.get(job_id, age))
        return list(ages.items())

    def remove(self, job_id: str) -> None:
        """See FileStore."""
        prefix = f"{shard_of(job_id)}/{job_id}/"

        def remove() -> None:
            paths = [found["path"] for batch in self._api.list(self._bucket, prefix=prefix) for found in batch]
            if paths:
                self._api.delete(self._bucket, paths)

        self._call("remove", remove)

    def _call(self, what: str, call: Any) -> Any:
        try:
            return call()
        except FileNotFoundError:
            raise FileMissing(f"{self.location}: not there: files go with the record of their job") from None
        except Exception as error:
            if type(error).__module__.startswith("obstore") or isinstance(error, OSError):
                raise StoreUnavailable(f"the file store {self.location}: cannot {what}: {error}"[:500]) from error
            raise
