"""An app that hands pictures from strangers to ImageMagick, carelessly; copied into a test's folder and run there.

As a program it does the same in the open: argv[1] names the function, argv[2] holds its arguments as JSON.
"""

import json
import os
import resource
import subprocess
import sys

from wand.image import Image

from narrowboat import App, Needs, Retry

CONVERT = os.path.realpath("/usr/bin/convert")
MB = 1024 * 1024
app = App("gallery")


def lay_out(files: dict[str, str]) -> None:
    """Write what came with the upload."""
    for name, text in files.items():
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "w") as file:
            file.write(text)


@app.task(untrusted=True, memory="256MB", timeout=60, retry=Retry(attempts=1))
def in_process(files: dict[str, str], source: str, target: str) -> dict[str, str]:
    """Read and write a picture with Wand: its signature, or the error. most: megabytes at the most; died: by what."""
    lay_out(files)
    told = {"signature": "", "error": "", "died": ""}
    try:
        with Image(filename=source) as image:
            told["signature"] = image.signature
            image.save(filename=target)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is told)
        told["error"] = f"{type(error).__name__}: {error}"
    return {**told, "most": str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)}


@app.task(untrusted=True, memory="256MB", timeout=60, retry=Retry(attempts=1), needs=Needs(programs=[CONVERT]))
def as_program(files: dict[str, str], source: str, target: str) -> dict[str, str]:
    """The same with `convert`."""
    lay_out(files)
    command = [CONVERT, source, "-write", target, "-format", "%#", "info:"]
    done = subprocess.run(command, capture_output=True, text=True)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    died = "SIG" if done.returncode < 0 else ""
    return {"signature": done.stdout, "error": done.stderr, "died": died, "most": str(most)}


HONEST = {"photo.png": (80, 60), "photo.jpg": (80, 60), "photo.webp": (80, 60)}


@app.task(untrusted=True, memory="256MB")
def honest_in_process() -> dict[str, tuple[int, int]]:
    """Thumbnails of each format, and a text in letters; their sizes."""
    sizes = {}
    for name in HONEST:
        with Image(width=640, height=480, pseudo="gradient:red-blue") as photo:
            photo.save(filename=name)
        with Image(filename=name) as photo:
            photo.resize(80, 60)
            photo.save(filename=f"small-{name}")
        with Image(filename=f"small-{name}") as small:
            sizes[name] = small.size
    with Image(filename="label:hello") as text:
        sizes["text"] = text.size
    return sizes


@app.task(untrusted=True, memory="256MB", needs=Needs(programs=[CONVERT]))
def honest_as_program() -> dict[str, tuple[int, int]]:
    """The same with `convert`."""

    def convert(*arguments: str) -> str:
        return subprocess.run([CONVERT, *arguments], check=True, capture_output=True, text=True).stdout

    sizes = {}
    for name in HONEST:
        convert("-size", "640x480", "gradient:red-blue", name)
        convert(name, "-resize", "80x60", f"small-{name}")
        sizes[name] = tuple(map(int, convert(f"small-{name}", "-format", "%w %h", "info:").split()))
    sizes["text"] = tuple(map(int, convert("label:hello", "-format", "%w %h", "info:").split()))
    return sizes


@app.task(untrusted=True)
def policy() -> str:
    """What ImageMagick is allowed."""
    with open("/etc/ImageMagick-6/policy.xml") as file:
        return file.read()


if __name__ == "__main__":
    for what, most in ((resource.RLIMIT_AS, 4096 * MB), (resource.RLIMIT_CPU, 3), (resource.RLIMIT_FSIZE, 256 * MB)):
        resource.setrlimit(what, (most, most))
    functions = {"in_process": in_process, "as_program": as_program}
    print(json.dumps(functions[sys.argv[1]](*json.loads(sys.argv[2]))))
