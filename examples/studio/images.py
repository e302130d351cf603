"""The slow and dangerous work: decoding a stranger's photo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from narrowboat import File, Retry, progress

from .app import Photo, Result, app

Image.MAX_IMAGE_PIXELS = 60_000_000  # a small file can claim to be a huge picture
WIDTHS = (160, 480, 1080)


class BadPhoto(Exception):
    """The photo itself is at fault; its text is for the person who sent it."""


@app.task(queue="images", timeout="60s", memory="600MB", retry=Retry(attempts=3, never=BadPhoto), summary="{photo}")
def render(photo: Photo) -> list[Result]:
    """Make three thumbnails and a WebP, in the scratch folder; the worker carries them out from there."""
    return thumbnails(photo.path, Path(), progress)


def thumbnails(photo: Path | BinaryIO, folder: Path, report: Callable[[int, int, str], object]) -> list[Result]:
    """The work itself, the same wherever it is done. Their files are in `folder`. Raises BadPhoto."""
    steps = len(WIDTHS) + 2
    report(0, steps, "opening the photo")
    picture = open_photo(photo)
    made: list[Result] = []
    for number, width in enumerate(WIDTHS, 1):
        report(number, steps, f"making the {width} pixel thumbnail")
        small = picture.copy()
        small.thumbnail((width, width * 3), Image.Resampling.LANCZOS)
        made.append(save(small, folder / f"{width}.jpg", f"{width} px", "JPEG", quality=85))
    report(steps - 1, steps, "making the WebP")
    picture.thumbnail((1600, 1600), Image.Resampling.LANCZOS)
    made.append(save(picture, folder / "1600.webp", "WebP", "WEBP", quality=80, method=2))
    report(steps, steps, "done")
    return made


def open_photo(photo: Path | BinaryIO) -> Image.Image:
    """Decode the upload, the right way up. Raises BadPhoto."""
    try:
        with Image.open(photo) as picture:
            picture.draft("RGB", (2160, 2160))  # lets the JPEG decoder skip what thumbnails do not need
            return ImageOps.exif_transpose(picture).convert("RGB")
    except Image.DecompressionBombError:
        raise BadPhoto("This picture has more than 60 megapixels, which is more than we take.") from None
    except UnidentifiedImageError:
        raise BadPhoto("This file is not a picture that we can read.") from None
    except OSError as error:
        raise BadPhoto("This picture is damaged: a part of the file is missing.") from error


def save(picture: Image.Image, path: Path, label: str, kind: str, **options: int) -> Result:
    """One file."""
    picture.save(path, kind, **options)
    return Result(label, File(path), picture.width, picture.height)
