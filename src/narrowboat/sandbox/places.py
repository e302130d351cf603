"""Which files an executor sees: the Python installation, the app's code, what every program relies on, its needs."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..core.needs import Reach

# No folder with programs is among them: an interpreter or ld.so there would run whatever one likes.
SYSTEM = (
    "/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share", "/usr/local/share",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/nsswitch.conf",
    "/etc/localtime", "/etc/timezone", "/etc/mime.types", "/etc/fonts", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/etc/ImageMagick-6",
    "/etc/ImageMagick-7", "/etc/libreoffice", "/etc/papersize", "/sys/devices/system/cpu", "/proc/cpuinfo",
)  # fmt: skip
FOR_NAMES = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols",
    "/run/systemd/resolve", "/run/resolvconf",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
LIBRARIES = ("site-packages", "dist-packages")
_DEPTH = 2  # below the top of the app's code, for `.env` files


class Place(NamedTuple):
    """A path that executors see. how: "read", "list" (names only), "write", "run", "device" or "socket"."""

    path: str
    how: str


def places(reach: Reach, hidden: Sequence[str]) -> list[Place]:
    """All that executors of this reach see, as far as it exists, parents before what is below them.

    Raises FileNotFoundError for something needed that does not exist.
    """
    found = [Place(path, "read") for path in SYSTEM if os.path.exists(path)]
    if reach.has_network:
        found += [Place(path, "read") for path in FOR_NAMES if os.path.exists(path)]
    found += [Place(path, "device") for path in DEVICES if os.path.exists(path)]
    for path in _installation():
        found.append(Place(path, "read"))
    for path in _code():
        found += around(path, hidden)
    for need, how in _HOW.items():
        paths: tuple[str, ...] = getattr(reach, need)
        for path in paths:
            if not os.path.exists(path):
                raise FileNotFoundError(f"{path} does not exist here; a task declares it in its Needs({need}=...)")
            found += [Place(name, how) for name in dict.fromkeys((path, os.path.realpath(path)))]
    if reach.programs:
        found += [Place(path, "run") for path in _loaders()]
    return sorted(dict.fromkeys(found), key=lambda place: (place.path.count("/"), place.path))


_HOW = {"read": "read", "write": "write", "programs": "run", "sockets": "socket"}


def around(path: str, hidden: Sequence[str]) -> list[Place]:
    """A place without what is hidden in it, and without `.env` files near its top."""
    if not os.path.isdir(path) or not _hides(path, hidden, _DEPTH):
        return [] if _is_hidden(path, hidden) else [Place(path, "read")]
    if _is_hidden(path, hidden):
        return []
    found = [Place(path, "list")]
    for name in sorted(os.listdir(path)):
        found += around(os.path.join(path, name), hidden)
    return found


def _is_hidden(path: str, hidden: Sequence[str]) -> bool:
    return os.path.basename(path).startswith(".env") or os.path.realpath(path) in hidden


def _hides(path: str, hidden: Sequence[str], depth: int) -> bool:
    """Whether something hidden is in this folder."""
    real = os.path.join(os.path.realpath(path), "")
    if any(other.startswith(real) for other in hidden):
        return True
    try:
        names = os.listdir(path)
    except OSError:
        return False
    if any(name.startswith(".env") for name in names):
        return True
    below = (os.path.join(path, name) for name in names if depth and not name.startswith("."))
    return any(os.path.isdir(name) and not os.path.islink(name) and _hides(name, (), depth - 1) for name in below)


def _installation() -> Iterable[str]:
    """Where Python and its libraries are."""
    # Not by sysconfig, which imports all that Python was built with.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    paths = [os.path.dirname(os.__file__), os.path.join(sys.base_exec_prefix, sys.platlibdir, version)]
    paths.append(os.path.join(sys.base_prefix, "lib"))
    paths += [path for path in sys.path if os.path.basename(path) in LIBRARIES or path.endswith(".zip")]
    if site.ENABLE_USER_SITE:
        paths.append(site.getusersitepackages())
    return [path for path in dict.fromkeys(paths) if os.path.exists(path)]


def _code() -> Iterable[str]:
    """The modules and packages in the other folders of sys.path, and what was loaded from elsewhere.

    Not the folders themselves: beside the code there are often a database, uploads, and keys.
    """
    library = tuple(os.path.join(path, "") for path in [*_installation(), "/usr/lib", "/usr/local/lib"])
    tops = [os.path.abspath(path) for path in sys.path if path and not os.path.join(path, "").startswith(library)]
    found: list[str] = []
    for top in dict.fromkeys(tops):
        if os.path.isdir(top):
            found += (os.path.join(top, name) for name in sorted(os.listdir(top)) if _is_code(os.path.join(top, name)))
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and not os.path.join(file, "").startswith(library) and not _is_below(file, found):
            name = os.path.basename(file)
            found.append(os.path.dirname(file) if name.startswith("__init__.") else file)
    return dict.fromkeys(found)


def _is_code(path: str) -> bool:
    name = os.path.basename(path)
    if os.path.isdir(path):
        if name.startswith("."):
            return False
        try:
            return name == "__pycache__" or any(_is_module(inner) for inner in os.listdir(path))
        except OSError:
            return False
    return _is_module(name)


def _is_module(name: str) -> bool:
    return name.endswith((".py", ".pyc", ".so"))


def _is_below(path: str, tops: Iterable[str]) -> bool:
    return any(path == top or path.startswith(os.path.join(top, "")) for top in tops)


def _loaders() -> Iterable[str]:
    """The programs that start programs; the kernel opens them with the same right."""
    names = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-x86_64.so.1")
    return [path for name in names if os.path.exists(name) for path in (name, os.path.realpath(name))]
