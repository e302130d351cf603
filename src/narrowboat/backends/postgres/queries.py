"""The statements, one file each, read when first used. The files are written for a schema named `narrowboat`.

They are given to psycopg as bytes: as it says, that is how text that is no literal of the program is handed over.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from ...core.errors import ConfigError

SCHEMA = "narrowboat"
_FOLDER = Path(__file__).parent / "sql"


class Queries:
    """The statements for one schema. Raises ConfigError for a name that would need quotes."""

    def __init__(self, schema: str = SCHEMA) -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,39}", schema) or schema.startswith("pg_"):
            raise ConfigError(f"schema {schema!r}: use up to 40 small letters, digits and _, not beginning with pg_")
        self.schema = schema
        self._texts: dict[str, bytes] = {}

    def __call__(self, name: str) -> bytes:
        """The text of sql/queries/<name>.sql without its header, always the same object."""
        text = self._texts.get(name)
        if text is None:
            lines = _read(f"queries/{name}.sql").splitlines()
            text = self._named("\n".join(line for line in lines if not line.startswith("--"))).encode()
            self._texts[name] = text
        return text

    def migration(self, version: int) -> str:
        """What leads from the version before to this one."""
        return self._named(_read(f"migrations/{version}.sql"))

    def functions(self) -> list[str]:
        """The functions of the newest version."""
        return [self._named(path.read_text()) for path in sorted((_FOLDER / "functions").glob("*.sql"))]

    def named(self, name: str) -> str:
        """The text of sql/<name>.sql with its header."""
        return self._named(_read(f"{name}.sql"))

    def _named(self, text: str) -> str:
        return text if self.schema == SCHEMA else text.replace(f"{SCHEMA}.", f"{self.schema}.")


@cache
def _read(name: str) -> str:
    return (_FOLDER / name).read_text()
