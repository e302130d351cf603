"""An app to try on a platform."""

import hashlib
import os
import subprocess
import sys
import time

from narrowboat import App, Needs

app = App("shop")
PYTHON = os.path.realpath("/usr/bin/python3")


@app.task
def version() -> str:
    return "first"


@app.task(timeout="5m")
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


@app.task
def sort(count: int) -> str:
    text = "\n".join(sorted(str(number * 7919 % count) for number in range(count)))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@app.task(needs=Needs(secrets=["SMTP_PASSWORD"]))
def use_the_secret() -> str:
    return hashlib.sha256(os.environ["SMTP_PASSWORD"].encode()).hexdigest()


@app.task
def look_for_the_secret(folder: str) -> list[str]:
    found = [name for name, value in os.environ.items() if "tr0mb0ne" in value]
    for path in (folder, f"{folder}/SMTP_PASSWORD", "/etc/shop/SMTP_PASSWORD", "/etc/shop/worker.env"):
        try:
            found += os.listdir(path) if os.path.isdir(path) else [open(path).read()]
        except OSError:
            pass
    return found


@app.task(memory="64MB", retry=1)
def hoard() -> int:
    return len(bytearray(1_000_000_000))


@app.task(memory="100MB", scratch="10MB", processes=8, retry=1, needs=Needs(programs=[PYTHON]))
def hoard_together() -> str:
    """Each helper stays below the limit, and all of them together do not."""
    code = "import time; held = b'x' * 60_000_000; time.sleep(60)"
    helpers = [subprocess.Popen([PYTHON, "-I", "-S", "-c", code]) for _ in range(4)]
    return str([helper.wait() for helper in helpers])


@app.task
def crash() -> None:
    import ctypes

    ctypes.string_at(0)


if __name__ == "__main__":
    print(sys.version)
