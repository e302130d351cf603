"""Runs a program where ImageMagick has another configuration: a folder is bound over its own, for that program alone.

argv: the folder, then the program. MAGICK_CONFIGURE_PATH would not do: the system's policy.xml counts in any case.
"""

from __future__ import annotations

import os
import sys

from narrowboat.sandbox import system

CONFIGURATION = "/etc/ImageMagick-6"

if __name__ == "__main__":
    system.unshare(system.NEW_MOUNTS)
    system.mount("none", "/", flags=system.RECURSIVE | system.PRIVATE)
    system.mount(sys.argv[1], CONFIGURATION, flags=system.BIND)
    os.execvp(sys.argv[2], sys.argv[2:])
