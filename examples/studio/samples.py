"""Draws the sample photos: 12 megapixels each, so that there is real work to do, and no file of anyone else's."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

SIZE = (4000, 3000)
LARGE = (5700, 4275)  # 24 megapixels, as telephones make them
Colour = tuple[int, int, int]


def samples(folder: Path) -> list[Path]:
    """The paths of all samples; those that are not there yet are drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, draw in SCENES.items():
        path = folder / f"{name}.jpg"
        if not path.exists():
            unfinished = path.with_suffix(".part")
            _grain(draw(random.Random(name))).save(unfinished, "JPEG", quality=88)
            unfinished.replace(path)
        paths.append(path)
    return paths


def large(folder: Path) -> Path:
    """The path of one photo that is more work; drawn if it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "large.jpg"
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        hills(random.Random("large")).resize(LARGE, Image.Resampling.BICUBIC).save(unfinished, "JPEG", quality=85)
        unfinished.replace(path)
    return path


def canal_at_dusk(rng: random.Random) -> Image.Image:
    """A narrowboat, its reflection, and the last light."""
    picture = _sky((38, 44, 92), (250, 166, 98))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((2700, 1080, 3060, 1440), fill=(255, 226, 160))
    _hills(draw, rng, 1500, 130, (52, 50, 84))
    _hills(draw, rng, 1640, 80, (34, 38, 62))
    draw.rectangle((700, 1540, 2300, 1660), fill=(128, 34, 40))
    draw.polygon([(500, 1660), (2560, 1660), (2420, 1790), (620, 1790)], fill=(24, 52, 44))
    for x in range(860, 2200, 260):
        draw.rounded_rectangle((x, 1570, x + 120, 1630), 20, fill=(255, 214, 130))
    water = picture.crop((0, 600, SIZE[0], 1800)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    picture.paste(ImageChops.multiply(water, Image.new("RGB", water.size, (190, 196, 220))), (0, 1800))
    ripples = ImageDraw.Draw(picture)
    for _ in range(700):
        x, y = rng.randrange(SIZE[0]), rng.randrange(1820, SIZE[1])
        ripples.line(
            (x, y, x + rng.randrange(60, 260), y), fill=(236, 170, 128) if rng.random() < 0.3 else (60, 58, 92), width=4
        )
    return picture


def hills(rng: random.Random) -> Image.Image:
    """Green hills under a summer sky."""
    picture = _sky((86, 156, 224), (226, 240, 250))
    draw = ImageDraw.Draw(picture)
    for _ in range(60):
        x, y, width = rng.randrange(SIZE[0]), rng.randrange(150, 1100), rng.randrange(120, 460)
        draw.ellipse((x, y, x + width, y + width // 3), fill=(250, 252, 255))
    picture = picture.filter(ImageFilter.GaussianBlur(18))
    draw = ImageDraw.Draw(picture)
    greens = ((124, 170, 142), (96, 156, 98), (74, 138, 70), (58, 116, 50), (40, 92, 40))
    for number, green in enumerate(greens):
        _hills(draw, rng, 1350 + number * 330, 220 - number * 20, green)
    for _ in range(240):
        x, y = rng.randrange(SIZE[0]), rng.randrange(2300, SIZE[1])
        draw.ellipse((x, y, x + 34, y + 34), fill=rng.choice(((214, 40, 44), (250, 206, 70), (248, 246, 240))))
    return picture


def night(rng: random.Random) -> Image.Image:
    """Stars above a ridge."""
    picture = _sky((4, 8, 26), (40, 56, 98))
    draw = ImageDraw.Draw(picture)
    for _ in range(5200):
        x, y, r = rng.randrange(SIZE[0]), rng.randrange(2400), rng.choice((1, 1, 2, 2, 3, 5))
        light = rng.randrange(150, 256)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(light, light, min(255, light + 20)))
    draw.ellipse((560, 420, 980, 840), fill=(246, 242, 222))
    draw.ellipse((660, 380, 1060, 780), fill=(10, 16, 40))
    _hills(draw, rng, 2250, 330, (14, 20, 36))
    _hills(draw, rng, 2620, 160, (6, 9, 18))
    return picture


SCENES: dict[str, Callable[[random.Random], Image.Image]] = {
    "canal-at-dusk": canal_at_dusk,
    "summer-hills": hills,
    "night-sky": night,
}


def _sky(top: Colour, bottom: Colour) -> Image.Image:
    mask = Image.linear_gradient("L").resize(SIZE)
    return Image.composite(Image.new("RGB", SIZE, bottom), Image.new("RGB", SIZE, top), mask)


def _hills(draw: ImageDraw.ImageDraw, rng: random.Random, height: int, steepness: int, colour: Colour) -> None:
    points = [(x, height + rng.randrange(-steepness, steepness)) for x in range(-400, SIZE[0] + 800, 400)]
    smooth: list[tuple[float, float]] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        for part in range(20):
            t = part / 20
            ease = t * t * (3 - 2 * t)
            smooth.append((x0 + (x1 - x0) * t, y0 + (y1 - y0) * ease))
    draw.polygon([*smooth, (SIZE[0] + 400, SIZE[1]), (-400, SIZE[1])], fill=colour)


def _grain(picture: Image.Image) -> Image.Image:
    """A little noise, as a camera makes it, so that the file compresses like a photo."""
    noise = Image.effect_noise(SIZE, 22).convert("RGB")
    return Image.blend(picture, noise, 0.05)
