"""Installs what the tests need from Debian when it may: root, apt-get, and not there yet."""

from __future__ import annotations

import os
import shutil
import subprocess

PACKAGES = {"chromium": "chromium"}  # program -> package


def main() -> None:
    """Install what is missing; a machine where that is not allowed skips those tests by name."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
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
