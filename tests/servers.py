"""Installs what the tests need from Debian when it may: root, apt-get, and not there yet."""

from __future__ import annotations

import os
import shutil
import subprocess
from ctypes.util import find_library
from pathlib import Path

PROGRAMS = {  # name -> package
    "chromium": "chromium",
    "aws": "awscli",
    "curl": "curl",
    "convert-im6.q16": "imagemagick",
    "nginx": "nginx-light",
    "ip": "iproute2",
    "redis-server": "redis-server",
    "pgbouncer": "pgbouncer",
    "gearmand": "gearman-job-server",
    "gearman": "gearman-tools",
    "rabbitmq-server": "rabbitmq-server",
    "amqp-publish": "amqp-tools",
}
PROGRAMS_BY_FOLDER = {"/usr/lib/postgresql": "postgresql"}  # Debian's are not on the path
WHERE = os.environ.get("PATH", "") + ":/usr/sbin"  # which is not in the path of ordinary users
LIBRARIES = {"MagickWand-6.Q16": "libmagickwand-6.q16-6"}
FILES = {"/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf": "fonts-dejavu-core"}


def main() -> None:
    """Install what is missing; a machine where that is not allowed skips those tests by name."""
    missing = [package for name, package in PROGRAMS.items() if shutil.which(name, path=WHERE) is None]
    missing += [package for path, package in PROGRAMS_BY_FOLDER.items() if not any(Path(path).glob("*/bin/initdb"))]
    missing += [package for name, package in LIBRARIES.items() if find_library(name) is None]
    missing += [package for path, package in FILES.items() if not Path(path).exists()]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"not installed, and not allowed to: {', '.join(missing)}; the tests that need them are skipped")
        return
    print(f"installing {', '.join(missing)} (Debian)", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    subprocess.run([*quiet, "update"], check=True, env=env, stdout=subprocess.DEVNULL)
    subprocess.run(
        [*quiet, "install", "--no-install-recommends", "-y", *missing], check=True, env=env, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    main()
