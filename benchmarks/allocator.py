"""What glibc's settings for executors cost and save: `python -m benchmarks.allocator`, about a minute.

Each round runs the same work once with each setting, in a process of its own; the medians of the rounds are printed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from narrowboat import kernel
from narrowboat.worker.zygote import MEMORY

from . import measure

ROUNDS, JOBS = 5, 6
TRIM = "MALLOC_TRIM_THRESHOLD_"
SETTINGS = {"glibc as it is": {}, "only the trim threshold": {TRIM: MEMORY[TRIM]}, "as executors have it": MEMORY}


def _photo(folder: Path) -> Callable[[], object]:
    from examples.studio.images import thumbnails
    from examples.studio.samples import samples

    photo = samples(folder / "samples")[0]
    return lambda: thumbnails(photo, folder, lambda *_: None)


def _small_photo(folder: Path) -> Callable[[], object]:
    import base64
    import io

    from PIL import Image

    from .sandbox_app import photo

    data = base64.b64decode(photo())

    def job() -> None:
        picture = Image.open(io.BytesIO(data))
        picture.thumbnail((320, 320))
        picture.save(folder / "thumbnail.jpg")

    return job


def _json(_folder: Path) -> Callable[[], object]:
    text = json.dumps([{"n": n, "text": "x" * 600} for n in range(40_000)])
    return lambda: json.dumps(json.loads(text))


def _cache(_folder: Path) -> Callable[[], object]:
    """The worst there is: something small is kept that was made while much else was there."""
    kept: list[bytearray] = []

    def job() -> None:
        large = [bytearray(3_000_000) for _ in range(20)]
        kept.append(bytearray(5_000))
        del large

    return job


WORK = {
    "photo of 12 megapixels": _photo,
    "photo of 2 megapixels": _small_photo,
    "25 MB of JSON": _json,
    "60 MB beside a cache that grows": _cache,
}


def _resident_mib() -> float:
    return kernel.resident_bytes(os.getpid()) / 2**20


def run(name: str, folder: Path) -> tuple[float, float]:
    """Processor seconds of a job, and MiB that the process has kept after the last."""
    job = WORK[name](folder)
    before = _resident_mib()
    took: list[float] = []
    for _ in range(JOBS):
        began = time.process_time()
        job()
        took.append(time.process_time() - began)
    return statistics.median(took[1:]), _resident_mib() - before


def main() -> None:
    """Measure and print."""
    if len(sys.argv) > 1:
        print(json.dumps(run(sys.argv[1], Path(sys.argv[2]))))
        return
    print(measure.machine())
    with tempfile.TemporaryDirectory() as folder:
        for name in WORK:
            print(f"\n{name}")
            found: dict[str, list[tuple[float, float]]] = {setting: [] for setting in SETTINGS}
            for _ in range(ROUNDS):
                for setting, variables in SETTINGS.items():
                    command = [sys.executable, "-m", "benchmarks.allocator", name, folder]
                    environment = {"PATH": os.environ["PATH"], **variables}
                    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=120)
                    found[setting].append(json.loads(done.stdout))
            for setting, rounds in found.items():
                took, kept = (statistics.median(column) for column in zip(*rounds, strict=True))
                print(f"  {setting:<24}{took * 1000:9.1f} ms{kept:9.1f} MiB kept")


if __name__ == "__main__":
    main()
