"""Builds a small Debian with the project in it, boots or contains it, and shows what its trial prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
WORK = Path("/var/tmp/narrowboat-platforms")
PACKAGES = "systemd,systemd-sysv,dbus,udev,python3,kmod,procps,iproute2"
IMAGE = "narrowboat-trial"
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
UNIT = re.compile(r"^```ini narrowboat\.service\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INIT = """#!/bin/sh
ip link set lo up
mkdir -p /dev/shm
mount -t tmpfs tmpfs /dev/shm
/srv/shop/.venv/bin/python -u /srv/trial/processor.py </dev/null
echo o >/proc/sysrq-trigger
sleep 60
"""  # that is all that a machine runs which is for its processor; systemd takes minutes there
TRIAL = """[Service]
Type=oneshot
ExecStart=/srv/shop/.venv/bin/python -u /srv/trial/units.py
ExecStopPost=/usr/bin/systemctl --force --force poweroff
StandardOutput=file:/dev/ttyS0
StandardError=file:/dev/ttyS0
"""


@dataclass(frozen=True)
class Platform:
    """A machine. wheels: the platform tag of those that pip is to take."""

    architecture: str
    qemu: tuple[str, ...]
    console: str
    init: str
    wheels: str


# Pointers are signed by a cheaper algorithm than the architected one, on which emulation would spend most of its time.
AARCH64 = ("qemu-system-aarch64", "-machine", "virt", "-cpu", "max,pauth-impdef=on")
X86_64 = ("qemu-system-x86_64", "-cpu", "max")
PLATFORMS = {
    "systemd": Platform("amd64", X86_64, "ttyS0", "/sbin/init", "x86_64"),
    "x86_64": Platform("amd64", X86_64, "ttyS0", "/srv/trial/init", "x86_64"),
    "aarch64": Platform("arm64", AARCH64, "ttyAMA0", "/srv/trial/init", "aarch64"),
}


def run(*words: str | Path) -> None:
    """A command that must end well."""
    subprocess.run([str(word) for word in words], check=True)


def base(platform: Platform) -> Path:
    """A folder with Debian in it, made once."""
    root, is_whole = WORK / platform.architecture, WORK / f"{platform.architecture}.whole"
    if not is_whole.exists():
        shutil.rmtree(root, ignore_errors=True)
        packages = f"{PACKAGES},linux-image-{platform.architecture}"
        run(
            "mmdebstrap", "--variant=minbase", "--mode=root", f"--architectures={platform.architecture}",
            f"--include={packages}", "bookworm", root, "http://deb.debian.org/debian",
        )  # fmt: skip
        is_whole.touch()
    return root


def make_environment(platform: Platform, folder: Path) -> None:
    """A virtual environment for the machine's own Python, with the project's wheel; made here, which is faster."""
    packages, programs = folder / "lib/python3.11/site-packages", folder / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "python3"):
        (programs / name).symlink_to("/usr/bin/python3")
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n")
    with tempfile.TemporaryDirectory() as wheels:
        run(*PIP, "wheel", "--no-deps", "-w", wheels, ROOT)
        tags = [f"--platform=manylinux{tag}_{platform.wheels}" for tag in ("2014", "_2_28")]
        wanted = (*Path(wheels).glob("narrowboat-*.whl"), "pytest", "pytest-timeout")
        run(*PIP, "install", "--only-binary=:all:", "--python-version=3.11", *tags, "--target", packages, *wanted)
    program = programs / "narrowboat"
    program.write_text("#!/srv/shop/.venv/bin/python\nfrom narrowboat.cli import main\n\nmain()\n")
    program.chmod(0o755)


def put_in(platform: Platform, root: Path) -> None:
    """The project as a wheel, the app, the unit that the docs show, and the trial."""
    shop, trial = root / "srv/shop", root / "srv/trial"
    for path in (shop, trial, root / "etc/shop"):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    make_environment(platform, shop / ".venv")
    shutil.copy(HERE / "shop.py", shop)
    shutil.copytree(HERE, trial, dirs_exist_ok=True)
    (trial / "init").write_text(INIT)
    (trial / "init").chmod(0o755)
    shutil.rmtree(root / "srv/narrowboat", ignore_errors=True)
    for name in ("src", "tests", "docs", "benchmarks"):
        shutil.copytree(ROOT / name, root / "srv/narrowboat" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root / "srv/narrowboat")
    unit = UNIT.search((ROOT / "docs/deployment.md").read_text())
    assert unit is not None
    units = root / "etc/systemd/system"
    (units / "narrowboat.service").write_text(unit[1])
    (units / "trial.service").write_text(TRIAL)
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "trial.service").unlink(missing_ok=True)
    (wants / "trial.service").symlink_to("../trial.service")
    getty = units / "serial-getty@ttyS0.service"
    getty.unlink(missing_ok=True)
    getty.symlink_to("/dev/null")
    (root / "etc/shop/worker.env").write_text("NARROWBOAT_URL=sqlite:////var/lib/shop/jobs.db\nNARROWBOAT_SLOTS=3\n")
    (root / "etc/shop/SMTP_PASSWORD").write_text("tr0mb0ne\n")
    for name in ("worker.env", "SMTP_PASSWORD"):
        (root / "etc/shop" / name).chmod(0o600)


def boot(platform: Platform, root: Path) -> int:
    """From a disk that is made for this run; its console is ours. 0 if the trial says that all went well."""
    disk = WORK / f"{platform.architecture}.ext4"
    disk.unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", "ext4", "-d", root, disk, "4G")
    kernel, initrd = (next((root / "boot").glob(f"{name}-*")) for name in ("vmlinuz", "initrd.img"))
    options = f"root=/dev/vda rw console={platform.console} init={platform.init} systemd.show_status=no loglevel=4"
    machine = subprocess.Popen(
        [
            "nice", "-n", "2", *platform.qemu, "-smp", "1", "-m", "4096", "-nographic", "-no-reboot",
            "-kernel", kernel, "-initrd", initrd, "-drive", f"file={disk},format=raw,if=virtio,cache=unsafe",
            "-append", options,
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    assert machine.stdout is not None
    is_well = False
    for line in machine.stdout:
        print(line, end="", flush=True)
        is_well = is_well or "the trial went well" in line
    machine.wait()
    return 0 if is_well else 1


def contain(root: Path, options: list[str]) -> int:
    """In a container with Docker's defaults, but for these options."""
    with subprocess.Popen(["tar", "-c", "-C", root, "--exclude=./boot", "."], stdout=subprocess.PIPE) as files:
        subprocess.run(["docker", "import", "-", IMAGE], stdin=files.stdout, check=True)
    program = ("/srv/shop/.venv/bin/python", "-u", "/srv/trial/container.py")
    try:
        return subprocess.run(["docker", "run", "--rm", "--network=none", *options, IMAGE, *program]).returncode
    finally:
        run("docker", "rmi", IMAGE)


def main() -> int:
    """As the docstring of the package says."""
    name, *options = sys.argv[1:]
    platform = PLATFORMS["systemd" if name == "docker" else name]
    WORK.mkdir(exist_ok=True)
    root = base(platform)
    put_in(platform, root)
    if name == "docker":
        return contain(root, options)
    (root / "srv/trial/wanted").write_text(" ".join(options))
    return boot(platform, root)


if __name__ == "__main__":
    sys.exit(main())
