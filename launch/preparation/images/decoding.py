"""One image file to pixels, within the bounds of limits.py, upright."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import struct
import warnings
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from preparation import limits
from preparation.errors import InputError, reason
from preparation.inputs import kind_of, open_regular

# Names that Pillow gives these formats. No others are tried: some of its readers start programs.
_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = {
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm",
    ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip

# Images that are told apart from other files, but not read.
UNREAD_SUFFIXES = {
    ".cr2", ".dng", ".eps", ".exr", ".heic", ".heif", ".j2k", ".jp2", ".jxl", ".nef", ".psd",
    ".raw", ".svg",
}  # fmt: skip

GREY_MODES = {"1", "L", "LA"}
_COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}

_ORIENTATION = 0x0112  # EXIF's tag; 1 is upright, 5 to 8 lie on their side
_WIDTH, _HEIGHT = 0x0100, 0x0101  # of TIFF: the size as it lies in the file
_BITS_PER_SAMPLE = 0x0102
_PNG_TURNS = re.compile(rb"eXIf|[tzi]..t(Raw profile type (exif|APP1)|XML:com\.adobe\.xmp)\0")

# What it logs it also raises.
logging.getLogger("PIL").addHandler(logging.NullHandler())
# Pillow's own guard warns only, and at another size.
Image.MAX_IMAGE_PIXELS = None
Image.init()
_AVAILABLE = [name for name in _FORMATS if name in Image.OPEN]  # AVIF is not in each Pillow


class Header:
    """What an image says of itself before it is decoded: mode, upright size, number of frames."""

    def __init__(self, path: str):
        try:
            with (
                warnings.catch_warnings(record=True) as warned,
                _opened(path) as stream,
                _image(path, stream) as image,
            ):
                warnings.simplefilter("always")
                self.bytes = os.fstat(stream.fileno()).st_size
                self.mode = image.mode
                self.width, self.height = _upright_size(image, stream)
                self.warning = str(warned[0].message) if warned else ""
                self.frames = image.format in ("GIF", "TIFF") and getattr(image, "is_animated", 0)
        except InputError:
            raise
        except Exception as error:  # Pillow's decoders raise nearly anything
            raise _not_an_image(path, error) from error
        if self.mode not in GREY_MODES | _COLOUR_MODES:
            raise InputError(
                f"{path}: has pixels of Pillow's mode {self.mode}; 8 bits a channel are needed"
            )


def decode(path: str, root: str, grey: bool, size: int | None) -> tuple[np.ndarray, bytes, int]:
    """Pixels [C,H,W]; a digest of the path under `root` and the content; the file's size."""
    try:
        with _opened(path) as stream:
            content = stream.read(os.fstat(stream.fileno()).st_size)
        with _image(path, io.BytesIO(content)) as opened:
            opened.load()  # TIFF is turned here already, by newer versions of Pillow
            image = ImageOps.exif_transpose(opened) if _orientation(opened) != 1 else opened
            image = image.convert("L" if grey else "RGB")
        if size:
            image = square(image, size)
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything
        raise InputError(f"{path}: cannot be decoded: {reason(error)}") from error
    pixels = np.asarray(image)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    name = os.fsencode(os.path.relpath(path, root).replace(os.sep, "/"))
    digest = hashlib.sha256(name + b"\0" + hashlib.sha256(content).digest()).digest()
    return pixels, digest, len(content)


def scaled_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height with the shorter side `size`, rounded as torchvision's Resize does."""
    scaled = int(size * max(width, height) / min(width, height))
    return (size, scaled) if width <= height else (scaled, size)


def square(image: Image.Image, size: int) -> Image.Image:
    """Scales the shorter side to `size`, then crops the centre, as torchvision's Resize and
    CenterCrop do (bilinear, their roundings), whose pre-trained weights expect it."""
    target = scaled_size(*image.size, size)
    if target != image.size:
        image = image.resize(target, Image.Resampling.BILINEAR)
    left, top = (int(round((extent - size) / 2.0)) for extent in target)
    return image.crop((left, top, left + size, top + size))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    with open_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size > limits.IMAGE_BYTES:
            raise InputError(f"{path}: is larger than {limits.IMAGE_BYTES:,} bytes")
        yield stream


def _image(path: str, stream: BinaryIO) -> Image.Image:
    image = Image.open(stream, formats=_AVAILABLE)
    if image.width * image.height > limits.PIXELS:
        raise InputError(
            f"{path}: claims {image.width:,}x{image.height:,} pixels; the most are "
            f"{limits.PIXELS:,}"
        )
    if _has_16_bits(image):
        raise InputError(
            f"{path}: has 16 bits a channel, of which the lower half would be dropped; 8 bits a "
            "channel are needed"
        )
    return image


def _has_16_bits(image: Image.Image) -> bool:
    """Whether its pixels hold more than Pillow's modes of several channels keep. Low values, as of
    12 bits a channel, would all become black. (BMP's `BGR;16` is 16 bits a pixel.)"""
    if image.format == "TIFF":  # whose channels may lie apart: each in a mode that tells nothing
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, 1)
        if 16 in (bits if isinstance(bits, tuple) else (bits,)):
            return True
    modes = (part[3] if isinstance(part[3], str) else part[3][0] for part in image.tile if part[3])
    return image.format in ("PNG", "TIFF") and any(";16" in str(mode) for mode in modes)


def _not_an_image(path: str, error: Exception) -> InputError:
    """What Pillow says when it knows no reader names the stream, not the file."""
    with open_regular(path) as stream:
        head = stream.read(32)
    if not head:
        return InputError(f"{path}: is no image: it is empty")
    kind = kind_of(head)
    known = "" if kind.endswith("image") else kind
    if isinstance(error, Image.UnidentifiedImageError):
        return InputError(
            f"{path}: is no image that Pillow knows" + (f"; it is {known}" * bool(known))
        )
    return InputError(f"{path}: is no image: {reason(error)}")


def _upright_size(image: Image.Image, stream: BinaryIO) -> tuple[int, int]:
    size = image.size
    if image.format == "TIFF":  # newer versions of Pillow give it turned already
        size = (image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT])
    if image.format == "PNG" and not _png_may_turn(stream):
        return size  # asking for its EXIF data would decode all of it
    return size[::-1] if _orientation(image) >= 5 else size


def _orientation(image: Image.Image) -> int:
    if image.format in ("BMP", "DIB", "GIF", "PPM"):
        return 1
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _png_may_turn(stream: BinaryIO) -> bool:
    """Whether a chunk of a PNG can say how it lies: it may stand behind the pixels."""
    place = stream.tell()
    stream.seek(8)
    try:
        while len(head := stream.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            start = stream.read(min(length, 40))
            if _PNG_TURNS.match(name + start):
                return True
            stream.seek(length - len(start) + 4, os.SEEK_CUR)
    finally:
        stream.seek(place)
    return False
