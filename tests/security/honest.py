"""An app of honest workloads, copied into a test's folder: what ordinary tasks do, with no needs declared.

Each returns what can be told of its result, and is registered with what that must be.
"""

import asyncio
import concurrent.futures
import configparser
import csv
import ctypes
import decimal
import email.message
import email.parser
import email.policy
import gettext
import hashlib
import hmac
import importlib
import io
import json
import locale
import logging
import mmap
import multiprocessing
import os
import pathlib
import pickle
import queue
import secrets
import shutil
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.parse
import uuid
import xml.etree.ElementTree as ElementTree
import xml.sax
import zipfile
import zoneinfo
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy
import typst
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from narrowboat import App, Needs, Retry, progress

app = App("honest")
SORT = os.path.realpath("/usr/bin/sort")
DEJAVU = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
WORKLOADS: dict[str, Any] = {}  # name -> what it returns


def returns(value: Any, needs: Needs | None = None) -> Callable[[Callable[[], Any]], Any]:
    """Register a workload."""

    def add(function: Callable[[], Any]) -> Callable[[], Any]:
        WORKLOADS[function.__name__] = value
        return app.task(function, needs=needs or Needs(), retry=Retry(attempts=1), timeout=60)

    return add


KINDS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "ICO", "PPM", "TGA", "PCX")


@returns([[kind, 40, 30] for kind in KINDS])
def pictures_in_each_format() -> list[list[Any]]:
    """Drawn, written, read back, made smaller."""
    found: list[list[Any]] = []
    for kind in KINDS:
        picture = Image.linear_gradient("L").resize((640, 480)).convert("RGB")
        picture.filter(ImageFilter.SHARPEN).save(f"photo.{kind}", kind)
        with Image.open(f"photo.{kind}") as opened:
            opened.thumbnail((40, 30))
            found.append([opened.format, opened.width, opened.height])
    return found


@returns([True, True, True])
def letters() -> list[bool]:
    """A font of the system, Pillow's own, and the bitmap one, each leave ink."""
    inked: list[bool] = []
    for font in (ImageFont.truetype(DEJAVU, 20), ImageFont.load_default(20), ImageFont.load_default_imagefont()):
        picture = Image.new("L", (200, 40))
        ImageDraw.Draw(picture).text((5, 5), "Narrowboat", 255, font)
        inked.append(numpy.asarray(picture).sum() > 1000)
    return [bool(value) for value in inked]


@returns([250.0, 1.0, True])
def matrices() -> list[Any]:
    """Products by BLAS, in as many threads as it likes; a system of equations; numbers by chance."""
    size = 500
    product = numpy.full((size, size), 0.5) @ numpy.ones((size, size))
    solved = numpy.linalg.solve(numpy.eye(size), numpy.ones(size))
    return [float(product[3, 4]), float(solved[7]), bool(0 < numpy.random.default_rng().random() < 1)]


@returns([[0, 1, 4, 9], "in a thread", "late"])
def an_event_loop() -> list[Any]:
    """Tasks, a thread of the executor, a timeout that does not come."""

    async def square(number: int) -> int:
        await asyncio.sleep(0.001)
        return number * number

    async def main() -> list[Any]:
        squares = await asyncio.gather(*(asyncio.create_task(square(number)) for number in range(4)))
        there = await asyncio.get_running_loop().run_in_executor(None, lambda: "in a thread")
        return [squares, there, await asyncio.wait_for(asyncio.sleep(0.001, "late"), 10)]

    return asyncio.run(main())


@returns(4950)
def threads_and_a_queue() -> int:
    """Four threads put what one takes."""
    box: queue.Queue[int] = queue.Queue(10)
    threads = [threading.Thread(target=lambda n=n: [box.put(i) for i in range(n, 100, 4)]) for n in range(4)]
    for thread in threads:
        thread.start()
    total = sum(box.get(timeout=10) for _ in range(100))
    for thread in threads:
        thread.join()
    return total


@returns(["wal", 1000, 499500])
def a_database_in_scratch() -> list[Any]:
    """SQLite with a write-ahead log, and a second connection that reads."""
    with sqlite3.connect("own.db") as one, sqlite3.connect("own.db") as other:
        mode = one.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        one.execute("CREATE TABLE numbers (n INTEGER)")
        one.executemany("INSERT INTO numbers VALUES (?)", ((n,) for n in range(1000)))
        one.commit()
        found = [mode, *other.execute("SELECT count(*), sum(n) FROM numbers").fetchone()]
    one.close()
    other.close()
    return found


@returns(["hello", "hello", "hello", 0o644])
def archives() -> list[Any]:
    """zip, and tar with gzip, bzip2 and xz; unpacked with shutil, too."""
    with open("page.txt", "w") as file:
        file.write("hello")
    found: list[Any] = []
    with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write("page.txt")
    with zipfile.ZipFile("a.zip") as packed:
        found.append(packed.read("page.txt").decode())
    for kind in ("gz", "bz2", "xz"):
        with tarfile.open(f"a.tar.{kind}", f"w:{kind}") as tar:
            tar.add("page.txt")
        with tarfile.open(f"a.tar.{kind}") as tar:
            tar.extractall(kind, filter="data")
    found.append(open("xz/page.txt").read())
    shutil.unpack_archive("a.zip", "there")
    found.append(open(shutil.copy2("there/page.txt", "copied.txt")).read())
    return [*found, os.stat("copied.txt").st_mode & 0o777]


@returns([True, "TLSv1_2"])
def certificates() -> list[Any]:
    """The system's, as a client would load them."""
    context = ssl.create_default_context()
    return [context.verify_mode is ssl.CERT_REQUIRED, context.minimum_version.name]


@returns(["2026-07-01T12:00:00+02:00", "CEST", True])
def time_zones() -> list[Any]:
    """From the system, or the package tzdata."""
    noon = datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    return [noon.isoformat(), noon.tzname(), time.localtime().tm_year >= 2026]


@returns(["INFO kept: one", "WARNING kept: two"])
def a_log_file() -> list[str]:
    """In scratch, by a handler of its own."""
    log = logging.getLogger("kept")
    handler = logging.FileHandler("task.log")
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    log.addHandler(handler)
    log.info("one")
    log.warning("two")
    log.removeHandler(handler)
    handler.close()
    return open("task.log").read().splitlines()


@returns("a\nb\nc\n", Needs(programs=[SORT]))
def a_declared_program() -> str:
    """With pipes."""
    return subprocess.run([SORT], input="c\na\nb\n", capture_output=True, text=True, check=True).stdout


@returns(["named", "spooled", True, True])
def temporary_files() -> list[Any]:
    """Named, spooled, in a folder, without a name."""
    with tempfile.NamedTemporaryFile("w+") as named, tempfile.SpooledTemporaryFile(10, "w+") as spooled:
        named.write("named")
        named.seek(0)
        spooled.write("spooled" * 10)
        spooled.seek(0)
        found: list[Any] = [open(named.name).read() or named.read(), spooled.read(7)]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as nameless:
        nameless.write(b"x")
        found.append(os.path.isdir(folder))
    return [*found, not os.path.exists(folder)]


@returns([True, True, False, ["touched"]])
def marks() -> list[Any]:
    """Empty files, made, made again, moved and removed."""
    mark = pathlib.Path("marks/mark")
    mark.parent.mkdir()
    mark.touch()
    made = mark.exists()
    mark.touch()
    mark.with_name("other").touch(mode=0o600)
    mark.with_name("other").unlink()
    mark.rename(mark.with_name("touched"))
    return [made, os.path.exists("marks/touched"), mark.exists(), os.listdir("marks")]


@returns(["ba7816bf", "508c5e8c", "de7c9b85", 64, 32])
def digests_and_secrets() -> list[Any]:
    """Known answers, a key from a password, random bytes."""
    return [
        hashlib.sha256(b"abc").hexdigest()[:8],
        hashlib.new("blake2s", b"abc").hexdigest()[:8],
        hmac.new(b"key", b"The quick brown fox jumps over the lazy dog", "sha1").hexdigest()[:8],
        len(hashlib.scrypt(b"password", salt=b"salt", n=1024, r=8, p=1)),
        len(secrets.token_bytes(32)),
    ]


@returns(["0.3333333333", {"a": [1, None]}, [["x", "y"], ["1", "2"]], "v"])
def numbers_and_tables() -> list[Any]:
    """decimal, json, csv, an .ini file."""
    with decimal.localcontext() as context:
        context.prec = 10
        third = str(decimal.Decimal(1) / 3)
    table = io.StringIO()
    csv.writer(table).writerows([["x", "y"], [1, 2]])
    settings = configparser.ConfigParser()
    settings.read_string("[s]\nk = v")
    rows = list(csv.reader(io.StringIO(table.getvalue())))
    return [third, json.loads(json.dumps({"a": [1, None]})), rows, settings["s"]["k"]]


@returns([[0, 2, 4, 6], 8])
def a_pool_of_threads() -> list[Any]:
    """map, submit and as_completed."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        doubled = list(pool.map(lambda n: n * 2, range(4)))
        futures = [pool.submit(pow, 2, 3)]
        return [doubled, next(concurrent.futures.as_completed(futures)).result()]


@returns(["b", ["a", "b"], "<r><a>1</a></r>"])
def xml_documents() -> list[Any]:
    """A tree, and events."""

    class Names(xml.sax.ContentHandler):
        seen: list[str]

        def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802
            self.seen.append(name)

    handler = Names()
    handler.seen = []
    xml.sax.parseString(b"<a><b/></a>", handler)
    root = ElementTree.fromstring("<a><b/></a>")
    made = ElementTree.Element("r")
    ElementTree.SubElement(made, "a").text = "1"
    return [root[0].tag, handler.seen, ElementTree.tostring(made, "unicode")]


@returns(["Yz", 8192])
def mapped_files() -> list[Any]:
    """A file of the scratch folder, written through memory; memory without a file."""
    with open("mapped", "wb+") as file:
        file.write(b"x" * 8192)
        file.flush()
        with mmap.mmap(file.fileno(), 0) as mapped:
            mapped[:2] = b"Yz"
            mapped.flush()
        file.seek(0)
        start = file.read(2).decode()
    with mmap.mmap(-1, 8192) as memory:
        return [start, len(memory)]


@returns([[1, 2, 3], 5])
def calls_back_from_c() -> list[Any]:
    """qsort of the C library, with a comparison in Python; strlen."""
    libc = ctypes.CDLL(None)
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    libc.qsort(numbers, 3, ctypes.sizeof(ctypes.c_int), kind(lambda a, b: a[0] - b[0]))
    return [list(numbers), libc.strlen(b"hello")]


@returns([True, True])
def a_pdf() -> list[bool]:
    """Made by typst."""
    with open("page.typ", "w") as file:
        file.write("= Invoice\nWith $x^2$ and #text(red)[red].")
    pdf = typst.compile("page.typ")
    return [pdf[:5] == b"%PDF-", len(pdf) > 2000]


@returns(["hello", "photo.png", "image/png", "Grüße"])
def a_letter() -> list[Any]:
    """With an attachment, parsed again."""
    letter = email.message.EmailMessage()
    letter["Subject"], letter["To"] = "Grüße", "reader@example.org"
    letter.set_content("hello")
    letter.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="photo.png")
    parsed = email.parser.BytesParser(policy=email.policy.default).parsebytes(letter.as_bytes())
    [attached] = parsed.iter_attachments()
    body = parsed.get_body()
    assert body is not None
    return [body.get_content().strip(), attached.get_filename(), attached.get_content_type(), str(parsed["Subject"])]


@returns("ping")
def a_pair_of_sockets() -> str:
    """Between two threads."""
    one, other = socket.socketpair()
    with one, other:
        thread = threading.Thread(target=lambda: one.sendall(b"ping"))
        thread.start()
        thread.join()
        return other.recv(10).decode()


@returns(["untranslated", "1000", True])
def languages() -> list[Any]:
    """gettext without a catalogue, the locale of C, and what the environment names."""
    locale.setlocale(locale.LC_ALL, "C")
    return [gettext.gettext("untranslated"), locale.format_string("%d", 1000, grouping=True), bool(locale.localeconv())]


@returns(["CgkK", 2, [3.0, 4.0]])
def modules_on_demand() -> list[Any]:
    """Of the standard library, with an extension, and of another package, imported for the first time."""
    assert "audioop" not in sys.modules and "wave" not in sys.modules
    encoded = importlib.import_module("binascii").b2a_base64(b"\n\t\n").decode().strip()
    with importlib.import_module("wave").open("sound.wav", "wb") as sound:
        sound.setparams((1, 2, 44100, 0, "NONE", ""))
        width = sound.getsampwidth()
    return [encoded, width, importlib.import_module("numpy.fft").fft([3.5, -0.5]).real.tolist()]


@returns([4, 1, True, "fe80::1"])
def names_and_places() -> list[Any]:
    """uuid, also by the address of the machine; the home, the host; the parts of a URL."""
    home = os.path.expanduser("~")
    with open(f"{home}/settings", "w") as file:
        file.write("x")
    is_named = bool(socket.gethostname()) and os.path.exists(f"{home}/settings")
    return [uuid.uuid4().version, uuid.uuid1().version, is_named, urllib.parse.urlsplit("http://[fe80::1]/").hostname]


@returns([True, "rung"])
def clocks_and_timers() -> list[Any]:
    """sleep, a Timer, an Event with a timeout."""
    began = time.monotonic()
    time.sleep(0.01)
    rung = threading.Event()
    timer = threading.Timer(0.01, rung.set)
    timer.start()
    assert rung.wait(10)
    timer.join()
    return [time.monotonic() - began >= 0.02, "rung" if rung.is_set() else ""]


@returns([1, True, "xyz"])
def locks_of_multiprocessing() -> list[Any]:
    """Which libraries make though they use only threads."""
    with multiprocessing.Lock(), multiprocessing.RLock():
        value = multiprocessing.Value("i", 1)
    semaphore, event = multiprocessing.Semaphore(1), multiprocessing.Event()
    event.set()
    one, other = multiprocessing.Pipe()
    one.send("xyz")
    return [value.value, semaphore.acquire(timeout=1) and event.wait(1), other.recv()]


@returns([[1, "two", 3.0], [1, 2]])
def bytes_of_all_kinds() -> list[Any]:
    """pickle within the task, struct, and progress on the way."""
    progress(1, 2, "half")
    copied = pickle.loads(pickle.dumps([1, "two", 3.0]))
    return [copied, list(struct.unpack("<HH", struct.pack("<HH", 1, 2)))]


PROCESSES = []  # names of what cannot be: an executor is one process


def cannot(function: Callable[[], None]) -> Any:
    """Register what is to be refused."""
    PROCESSES.append(function.__name__)
    return app.task(function, retry=Retry(attempts=1))


@cannot
def a_pool_of_processes() -> None:
    """Which there cannot be."""
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        pool.submit(pow, 2, 3).result(10)


@cannot
def a_process() -> None:
    """The same by multiprocessing."""
    process = multiprocessing.Process(target=print)
    process.start()
    process.join()


@cannot
def a_spawned_process() -> None:
    """The same by a fresh interpreter."""
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()


@cannot
def shared_memory() -> None:
    """Which starts a process that watches over it."""
    from multiprocessing.shared_memory import SharedMemory

    memory = SharedMemory(create=True, size=100)
    memory.close()
    memory.unlink()


@cannot
def a_manager() -> None:
    """Which is a process, too."""
    with multiprocessing.Manager() as manager:
        manager.dict()
