"""Narrowboat as it was: the last program of each version of the schema in PostgreSQL, to be run beside this one.

They are kept here, for a checkout may lack the history, without what a worker on it never loads. Whoever makes
a new version of the schema first keeps the program of the one before: `python -m tests.support.programs`.
"""

from __future__ import annotations

import io
import subprocess
import sysconfig
import tarfile
import venv
from pathlib import Path

from narrowboat.backends.postgres import schema

from .processes import ROOT, Host

KEPT = Path(__file__).with_suffix(".tar.xz")
LEFT_OUT = {"gearman", "memory", "rabbitmq", "redis", "sqs", "testing", "web"}


def installed(version: int, folder: Path) -> Host:
    """An environment with the program of a version, and with the packages of this one."""
    with tarfile.open(KEPT) as kept:
        members = [member for member in kept if member.name.startswith(f"{version}/")]
        kept.extractall(folder, members, filter="data")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    [packages] = (folder / "venv" / "lib").glob("python*/site-packages")
    program = str(folder / str(version))
    (packages / "both.pth").write_text(f"{program}\n{sysconfig.get_path('purelib')}\n")
    return Host(python=(str(python),), path=program)


def keep(version: int, commit: str) -> None:
    """Put the program of a commit beside the others."""
    packed = subprocess.run(["git", "archive", f"{commit}:src"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    files: dict[str, bytes] = {}
    for archive, prefix in ((KEPT.read_bytes() if KEPT.exists() else b"", ""), (packed, f"{version}/")):
        if archive:
            with tarfile.open(fileobj=io.BytesIO(archive)) as found:
                for member in found:
                    content = found.extractfile(member)
                    if content is not None and not LEFT_OUT & set(Path(member.name).parts):
                        files[prefix + member.name] = content.read()
    with tarfile.open(KEPT, "w:xz", preset=9) as kept:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            kept.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    keep(schema.VERSION, "HEAD")
