"""A certificate authority for one test, and a certificate of it for 127.0.0.1."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from .servers import program


@dataclass(frozen=True)
class Certificates:
    """authority: signed `certificate`, whose key is `key`. stranger: another authority, which signed nothing."""

    authority: Path
    stranger: Path
    certificate: Path
    key: Path


def issued(folder: Path) -> Certificates:
    """Made by openssl, in this folder, good for a day."""
    authority, stranger = _authority(folder, "authority"), _authority(folder, "stranger")
    key, request, certificate = (folder / f"server.{kind}" for kind in ("key", "csr", "pem"))
    extensions = folder / "server.ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1")
    _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", key, "-out", request)
    signer = ("-CA", authority, "-CAkey", authority.with_suffix(".key"), "-CAcreateserial")
    _openssl("x509", "-req", "-in", request, "-days", "1", *signer, "-extfile", extensions, "-out", certificate)
    key.chmod(0o600)
    return Certificates(authority, stranger, certificate, key)


def _authority(folder: Path, name: str) -> Path:
    made = folder / f"{name}.pem"
    of = ("-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}")
    _openssl("req", "-x509", *of, "-keyout", made.with_suffix(".key"), "-out", made)
    return made


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run([program("openssl"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
