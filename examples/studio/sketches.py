"""A charcoal drawing of a photo by ImageMagick, the library behind ImageTragick, where Debian's package is there."""

from __future__ import annotations

from typing import Any

from narrowboat import File, Retry, progress

from .app import Photo, Result, app
from .images import BadPhoto

try:
    from wand.exceptions import WandException
    from wand.image import Image
except ImportError:  # Debian: apt install libmagickwand-6.q16-6; Python: pip install Wand
    Image: Any = None
    WandException: Any = ()

HAS_MAGICK = Image is not None
WIDTH = 900


@app.task(queue="images", timeout="60s", memory="600MB", retry=Retry(attempts=3, never=BadPhoto), summary="{photo}")
def sketch(photo: Photo) -> list[Result]:
    """Draw it with charcoal."""
    if not HAS_MAGICK:
        raise BadPhoto("ImageMagick is not installed where the worker is, so nobody can draw.")
    progress(0, 3, "opening the photo")
    try:
        with Image(filename=f"{photo.path}[0]") as picture:
            picture.auto_orient()
            picture.transform(resize=f"{WIDTH}x{WIDTH * 3}>")
            progress(1, 3, "drawing")
            picture.charcoal(radius=1.5, sigma=0.7)
            progress(2, 3, "putting it on paper")
            picture.strip()
            picture.format = "webp"
            picture.compression_quality = 80
            picture.save(filename="sketch.webp")
            size = picture.width, picture.height
    except WandException as error:
        raise BadPhoto("ImageMagick can make nothing of this picture.") from error
    progress(3, 3, "done")
    return [Result("Charcoal", File("sketch.webp"), *size)]
